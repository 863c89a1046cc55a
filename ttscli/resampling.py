"""Sample rates: what the formats take, and the way from one to another."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ttscli.errors import UsageError

Samples = NDArray[np.float32]

OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
LOWEST_RATE, HIGHEST_RATE = 4000, 192000


class Resampler:
    """Changes the sample rate of a signal that comes in pieces, as if it came in one."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        divisor = math.gcd(from_rate, to_rate)
        self.up, self.down = to_rate // divisor, from_rate // divisor
        # resample_poly's filter reaches 10 samples of the lower rate to either side.
        reach = math.ceil(10 * max(self.up, self.down) / self.up) + 1
        self._context = math.ceil(reach / self.down) * self.down
        self._pending = np.zeros(self._context, np.float32)  # the last context, then new samples

    def write(self, samples: Samples) -> Samples:
        """Take (S,) samples; return those of the output that no later sample can change."""
        self._pending = np.concatenate([self._pending, samples])
        ready = (len(self._pending) - 2 * self._context) // self.down * self.down
        return self._convert(ready) if ready > 0 else samples[:0]

    def finish(self) -> Samples:
        """The rest of the output: in all, ceil(S * to_rate / from_rate) samples."""
        rest = len(self._pending) - self._context
        self._pending = np.pad(self._pending, (0, self._context))
        return self._convert(rest)

    def _convert(self, length: int) -> Samples:
        """Convert the next `length` samples and drop what no later ones need."""
        from scipy.signal import resample_poly

        block = self._pending[: length + 2 * self._context]
        self._pending = self._pending[length:]
        start = self._context * self.up // self.down
        converted = resample_poly(block, self.up, self.down)
        count = math.ceil(length * self.up / self.down)
        return np.asarray(converted[start : start + count], np.float32)


def check_sample_rate(rate: int, ending: str = "") -> int:
    """The sample rate, if a file of this ending can have it."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        what = f"the sample rate must be from {LOWEST_RATE} to {HIGHEST_RATE}, not {rate}"
        raise UsageError(what)
    taken = {".opus": OPUS_RATES, ".mp3": MP3_RATES}.get(ending)
    if taken and rate not in taken:
        todo = f"use one of {' '.join(map(str, taken))}"
        raise UsageError(f"{ending} files cannot have a sample rate of {rate}", todo=todo)
    return rate


def opus_rate(sample_rate: int) -> int:
    """The rate Opus takes: this one, else the next above it, else its highest."""
    return next((rate for rate in OPUS_RATES if rate >= sample_rate), OPUS_RATES[-1])
