"""The built-in voice's vocoder (`core.harmonic_waveglow`) as inference in NumPy.

Tensor letters: F mel frames, M mel bins, N bins of the transform (= hop_length), S samples; L is
the F + 1 rows that the flow works on: each block of N samples lies under two of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ttscli.core.configs import HarmonicWaveGlowConfig
from ttscli.cpu.coupling_net import CouplingNet
from ttscli.cpu.harmonic_source import PitchNet, Source
from ttscli.cpu.lapped_transform import LappedTransform
from ttscli.cpu.layers import (
    Array,
    Convolution,
    Tensors,
    float32,
    keep_freed_memory,
    leaky_relu,
)
from ttscli.cpu.sharing import Each, in_turn

_WINDOW = 1024  # frames that are computed at once, at most


class HarmonicWaveGlow:
    """Noise to audio, given a mel; prepared once from its tensors, and threads may share it.

    Args:
        config: its sizes.
        tensors: under the core model's names.
    """

    def __init__(self, config: HarmonicWaveGlowConfig, tensors: Tensors) -> None:
        keep_freed_memory()
        self.config = c = config
        self.transform = LappedTransform(c.hop_length, c.n_source)
        self.pitch = PitchNet(tensors)
        self.condition_in = Convolution(tensors, "condition_in")
        self.condition_out = Convolution(tensors, "condition_out")
        self.mel_scale = Convolution(tensors, "mel_scale")
        self.residual_scale = Convolution(tensors, "residual_scale")
        flows = range(c.n_flows)
        self.inverses = [np.linalg.inv(float32(tensors[f"invertible.{k}.weight"])).T for k in flows]
        self.couplings = [CouplingNet(tensors, f"couplings.{k}.") for k in flows]
        self.reach = (2**c.n_layers - 1) * (c.kernel_size // 2)
        """Rows on each side that a row of a coupling's result depends on."""

    def noise_shapes(self, frames: int) -> list[tuple[int, int]]:
        """Of the draws (channels, L) for a mel of so many frames."""
        return [(channels, frames + 1) for channels in self.config.noise_channels]

    def infer(
        self, mel: Array, sigma: float, noise: Sequence[Array], each: Each = in_turn
    ) -> Array:
        """The audio (S,) behind noise, S = F * N.

        Args:
            mel: log mel (M, F).
            sigma: standard deviation of the noise.
            noise: the unscaled draws, see `noise_shapes`.
            each: see `sample`.
        """
        if not 0 <= sigma < math.inf:
            raise ValueError(f"sigma must be a finite number of at least 0, not {sigma}")
        expected = self.noise_shapes(mel.shape[1])
        if [draw.shape for draw in noise] != expected:
            raise ValueError(f"noise must be draws of shapes {expected}")
        # The last samples need a row that begins behind them: the last frame once more.
        mel = np.concatenate([mel, mel[:, -1:]], axis=1)
        return self.sample(mel, self.source(mel), sigma, noise, each)

    def source(self, mel: Array) -> Source:
        """The pulse train at the pitch of a log mel (M, L)."""
        normalised, length = _normalise(mel), mel.shape[1]
        pieces = []
        for first, last in _windows(length):
            start, stop = _around(first, last, self.pitch.reach, length)
            piece = self.pitch(normalised[:, start:stop])
            pieces.append(piece[:, first - start : last - start])
        log_f0, voicing = np.concatenate(pieces, axis=1)
        return Source.of(log_f0, voicing, self.config)

    def sample(
        self,
        mel: Array,
        source: Source,
        sigma: float,
        noise: Sequence[Array],
        each: Each = in_turn,
    ) -> Array:
        """`infer` for a log mel (M, L), its last frame doubled, and a source of one's own.

        It works in windows, each with as much around it as changes it, so that a long mel takes
        no more room than a short one but for what comes in and goes out.

        Args:
            each: what shares the windows out, which does not change the samples; where threads
                do, BLAS should be held to one.
        """
        frames, hop = mel.shape[1] - 1, self.config.hop_length
        audio = np.empty((frames, hop), np.float32)

        def compute(window: tuple[int, int]) -> None:
            audio[slice(*window)] = self._window(mel, source, sigma, noise, window)

        each(compute, _windows(frames))
        return audio.reshape(-1)

    def _window(
        self,
        mel: Array,
        source: Source,
        sigma: float,
        noise: Sequence[Array],
        window: tuple[int, int],
    ) -> Array:
        """The blocks of samples (last - first, N) of the frames from `first` to before `last`.

        Each flow spoils `reach` rows at an end that is not the mel's own, so that it starts with
        as many more as there are flows.
        """
        first, last = window

        def rows(flows: int) -> tuple[int, int]:
            """Those needed by so many flows; the last block lies under one more row."""
            return _around(first, last + 1, flows * self.reach, mel.shape[1])

        start, stop = rows(self.config.n_flows)
        condition, scale = self._condition(mel, start, stop)
        harmonics = self.transform.both(source.blocks(start, stop + 1))
        draws = iter(noise)
        x = _scaled(next(draws), sigma, start, stop)
        for k in reversed(range(self.config.n_flows)):
            unchanged, changed = np.split(x, 2, axis=1)
            net_input = np.concatenate([unchanged, harmonics], axis=1)
            shift, log_scale = np.split(self.couplings[k](net_input, condition), 2, axis=1)
            changed -= shift
            changed *= np.exp(-log_scale)
            x = x @ self.inverses[k]
            if self.config.leaves_early(k):
                x = np.concatenate([_scaled(next(draws), sigma, start, stop), x], axis=1)
            kept_start, kept_stop = rows(k)
            kept = slice(kept_start - start, kept_stop - start)
            x, harmonics, condition, scale = x[kept], harmonics[kept], condition[kept], scale[kept]
            start, stop = kept_start, kept_stop
        return self.transform.inverse(x * np.exp(scale))

    def _condition(self, mel: Array, start: int, stop: int) -> tuple[Array, Array]:
        """Conditioning (rows, n_condition) and each bin's log scale (rows, N) of some rows."""
        left, right = _around(start, stop, self.condition_in.reach, mel.shape[1])
        hidden = leaky_relu(self.condition_in(_normalise(mel[:, left:right])))
        condition = leaky_relu(self.condition_out(hidden[:, start - left : stop - left]))
        scale = self.mel_scale(mel[:, start:stop]) + self.residual_scale(condition)
        return np.ascontiguousarray(condition.T), scale.T


def _scaled(draw: Array, sigma: float, start: int, stop: int) -> Array:
    """Some rows of noise (channels, L): (rows, channels)."""
    rows = np.array(draw[:, start:stop].T, order="C")
    rows *= np.float32(sigma)
    return rows


def _normalise(mel: Array) -> Array:
    """Log-mels brought near zero mean and unit variance."""
    normalised: Array = (mel + np.float32(5)) * np.float32(0.4)
    return normalised


def _windows(length: int) -> list[tuple[int, int]]:
    """A length in equal parts, no longer than a window."""
    count = -(-length // _WINDOW)
    return [(i * length // count, (i + 1) * length // count) for i in range(count)]


def _around(first: int, last: int, reach: int, length: int) -> tuple[int, int]:
    """A range made wider on both sides, but not beyond what there is."""
    return max(0, first - reach), min(length, last + reach)
