"""What a GPU speaks with: torch models, batch by batch, the next read while one is vocoded.

Tensor letters: T text symbols, F mel frames, M mel bins, S samples.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.utils.rnn import pad_sequence

from ttscli.core.tacotron2 import Tacotron2Output
from ttscli.devices import RECORDING, device_errors
from ttscli.errors import UsageError
from ttscli.gpu.transfer import Sent
from ttscli.readings import Reading, Spoken, Waiting, faded_out
from ttscli.tempo import stretched
from ttscli.vocoders import Vocoder

_AHEAD = 3  # batches: one is read, one is vocoded, one waits to be taken
_Result = TypeVar("_Result")


class Tacotron2(Protocol):
    """What reads: the readable model, or a GPU's."""

    def infer(
        self,
        sequences: Tensor,
        lengths: Tensor,
        *,
        generator: Sequence[Generator],
        constrained: Tensor | None,
        check: Callable[[], None],
    ) -> Tacotron2Output:
        """See `core.tacotron2.Tacotron2.infer`."""


@dataclass(frozen=True)
class Models:
    """Both models of a voice on a device."""

    tacotron2: Tacotron2
    """Text to mel."""
    vocoder: Vocoder
    """Mel to audio."""


@dataclass(frozen=True)
class _Mels:
    """A batch that has been read."""

    mels: list[Tensor]
    """The log-mel (M, F) of each sentence."""
    alignments: list[Tensor]
    """The attention that read it (F, T)."""
    finished: list[bool]
    """False if it ran into the step limit."""


@dataclass(frozen=True)
class _Sounding:
    """A batch whose audio is on its way to the CPU."""

    readings: Sequence[Reading]
    """Its sentences."""
    read: _Mels
    """What the audio is made of: as long as the device works on it, nothing else may lie there."""
    sent: Sent
    """The audio of each sentence, then the mels, then the attention."""


class TorchEngine:
    """Torch models on a device, in batches.

    Args:
        models: on the device.
        device: where they are.
        exact: loads the same in single precision, for what overflows; None where that would
            change nothing.
    """

    def __init__(
        self, models: Models, device: str, exact: Callable[[], Models] | None = None
    ) -> None:
        self.models, self.device, self._exact = models, device, exact
        self._reading = _Lane(device)
        # Torch does not survive two threads on an Apple GPU.
        self._vocoding = self._reading if device == "mps" else _Lane(device, waits=False)

    def speak(self, readings: Iterable[Reading], batch_size: int = 1) -> Iterator[Spoken]:
        """The sentences as audio, in order, with a few batches begun ahead.

        An error in `readings` is raised when what came before it has been spoken.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be a number of at least 1, not {batch_size}")
        waiting, stopped = Waiting(readings), threading.Event()
        begun: deque[tuple[Future[_Mels], Future[_Sounding]]] = deque()

        def check() -> None:
            if stopped.is_set():
                raise CancelledError

        try:
            while True:
                if len(begun) < _AHEAD and (batch := waiting.take(batch_size)):
                    read = self._reading.submit(self._read, self.models, batch, check)
                    begun.append((read, self._vocoding.submit(self._vocoded, batch, read)))
                elif begun:
                    yield from self._spoken(begun.popleft()[1].result(), check)
                else:
                    break
        finally:
            stopped.set()
            for read, vocoded in begun:
                read.cancel()
                vocoded.cancel()
        if waiting.failure is not None:
            raise waiting.failure

    def _read(
        self, models: Models, readings: Sequence[Reading], check: Callable[[], None]
    ) -> _Mels:
        lengths = torch.tensor([len(reading.ids) for reading in readings])
        ids = pad_sequence([torch.tensor(reading.ids) for reading in readings], batch_first=True)
        constrained = None
        if any(reading.constrained for reading in readings):
            constrained = torch.tensor([reading.constrained for reading in readings])
            constrained = constrained.to(self.device)
        output = models.tacotron2.infer(
            ids.to(self.device),
            lengths.to(self.device),
            generator=[self._dropout(reading.seed) for reading in readings],
            constrained=constrained,
            check=check,
        )
        # A vocoder needs a frame, even where the gate fired at the first.
        frames = output.lengths.clamp(min=1).tolist()
        each = list(zip(readings, frames, strict=True))
        return _Mels(
            [_stretched(m[:, :n].T, r.speed).T for m, (r, n) in zip(output.mel, each, strict=True)],
            [
                _stretched(row[:n, : len(r.ids)], r.speed)
                for row, (r, n) in zip(output.alignments, each, strict=True)
            ],
            (~output.hit_limit).tolist(),
        )

    def _vocoded(self, readings: Sequence[Reading], read: Future[_Mels]) -> _Sounding:
        return _vocoded(self.models, readings, read.result())

    def _exactly(self, reading: Reading, check: Callable[[], None]) -> _Sounding:
        """A sentence by itself in single precision."""
        check()
        return _vocoded(self._spare, [reading], self._read(self._spare, [reading], check))

    def _spoken(self, sounding: _Sounding, check: Callable[[], None]) -> list[Spoken]:
        """A batch when it is here, each sentence that overflowed computed again."""
        spoken = self._arrived(sounding)
        if self._exact is None:
            return spoken
        for place, one in enumerate(spoken):
            if not (np.isfinite(one.samples).all() and np.isfinite(one.mel).all()):
                again = self._vocoding.submit(self._exactly, sounding.readings[place], check)
                [exact] = self._arrived(again.result())
                spoken[place] = replace(exact, overflowed=True)
        return spoken

    def _arrived(self, sounding: _Sounding) -> list[Spoken]:
        with device_errors(self.device):
            while not sounding.sent.arrived:  # a wait in torch would hold Ctrl-C back
                time.sleep(0.0005)
            arrays: list[NDArray[np.float32]] = [t.numpy() for t in sounding.sent.wait()]
        count = len(sounding.readings)
        return [
            Spoken(faded_out(samples), finished, mel, alignment)
            for samples, finished, mel, alignment in zip(
                arrays[:count],
                sounding.read.finished,
                arrays[count : 2 * count],
                arrays[2 * count :],
                strict=True,
            )
        ]

    @cached_property
    def _spare(self) -> Models:
        assert self._exact is not None
        return self._exact()

    def _dropout(self, seed: np.random.SeedSequence) -> Generator:
        """Draws a sentence's dropout: on a CUDA device there, else on the CPU."""
        device = self.device if self.device.startswith("cuda") else "cpu"
        return Generator(device).manual_seed(_words(seed)[0])


def _vocoded(models: Models, readings: Sequence[Reading], read: _Mels) -> _Sounding:
    audio = models.vocoder(read.mels, [_noise(reading.seed) for reading in readings])
    tensors = [tensor.float() for tensor in (*audio, *read.mels, *read.alignments)]
    return _Sounding(readings, read, Sent(tensors))


class _Lane:
    """A thread that works on a device, with a stream of its own, in the order of what it is given.

    Args:
        device: where.
        waits: whether what it has done is done on the device as well, so that others may use it;
            else the thread prepares what comes next meanwhile.
    """

    def __init__(self, device: str, waits: bool = True) -> None:
        self._device, self._waits = device, waits
        self._stream: torch.cuda.Stream | None = None
        if device.startswith("cuda"):
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own
            with RECORDING:
                torch.cuda.synchronize(device)  # what loading has begun
        self._pool = ThreadPoolExecutor(1)

    def submit(self, function: Callable[..., _Result], *arguments: Any) -> Future[_Result]:
        """Have the thread call a function."""
        return self._pool.submit(self._call, function, *arguments)

    def _call(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        with torch.inference_mode(), device_errors(self._device), torch.cuda.stream(self._stream):
            try:
                return function(*arguments)
            finally:
                if self._stream is not None and self._waits:
                    self._stream.synchronize()


def _stretched(frames: Tensor, speed: float) -> Tensor:
    """Frames at another speed, on the device they were on."""
    if speed == 1:
        return frames
    return torch.from_numpy(stretched(frames.float().cpu().numpy(), speed)).to(frames)


def _noise(seed: np.random.SeedSequence) -> Generator:
    """Draws a sentence's noise for the vocoder, on the CPU: the same for all of torch's devices."""
    return Generator().manual_seed(_words(seed)[1])


def _words(seed: np.random.SeedSequence) -> list[int]:
    """What the randomness of a sentence starts from: of the dropout, and of the vocoder's noise."""
    return [int(word) >> 1 for word in seed.generate_state(2, np.uint64)]
