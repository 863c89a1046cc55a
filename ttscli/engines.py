"""What turns symbols into samples, chosen once: NumPy on a CPU, torch on a GPU.

On a CPU, torch still speaks for the paper's WaveGlow and for Griffin-Lim.

Tensor letters: T text symbols, F mel frames, M mel bins, S samples.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ttscli.checkpoints.arrays import is_harmonic
from ttscli.devices import device_errors
from ttscli.errors import UsageError, VoiceError
from ttscli.voices import Voice

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ttscli.core.configs import Tacotron2Config
    from ttscli.core.tacotron2 import Tacotron2
    from ttscli.cpu.tacotron2 import Tacotron2 as CpuTacotron2
    from ttscli.cpu.vocoders import CpuVocoder
    from ttscli.vocoders import Vocoder

Samples = NDArray[np.float32]

_BATCHES_SORTED = 8  # that are sorted by length together


@dataclass(frozen=True)
class Reading:
    """A sentence that waits to be spoken."""

    ids: Sequence[int]
    """As the voice reads it: an id per symbol (T,)."""
    seed: np.random.SeedSequence
    """Where all of its noise starts."""


@dataclass(frozen=True)
class Spoken:
    """A sentence as audio."""

    samples: Samples
    """Its samples (S,)."""
    finished: bool
    """False if it ran into the step limit."""
    mel: NDArray[np.float32]
    """Its log-mel (M, F)."""
    alignment: NDArray[np.float32]
    """The attention that read it (F, T)."""


class Engine(Protocol):
    """Speaks sentences, each as it would be spoken alone."""

    def speak(self, readings: Iterable[Reading], batch_size: int = 1) -> Iterator[Spoken]:
        """The sentences as audio, in order; `readings` is read only a little ahead.

        Args:
            readings: what to speak.
            batch_size: how many a GPU computes together.
        """


class CpuEngine:
    """NumPy models: sentences are spoken side by side, one on a thread, never in padded batches.

    NumPy's BLAS is held to one thread from then on, in the whole process: more would change the
    last bits of the samples with their number, and threads that each speak a sentence share the
    machine better.

    Args:
        tacotron2: text to mel.
        vocoder: mel to audio.
        threads: sentences that are spoken at once; 0 is one for each processor.
    """

    def __init__(self, tacotron2: CpuTacotron2, vocoder: CpuVocoder, threads: int = 0) -> None:
        from threadpoolctl import threadpool_limits

        if threads < 0:
            raise UsageError(f"threads must be a number of at least 0, not {threads}")
        self.tacotron2, self.vocoder = tacotron2, vocoder
        self.threads = threads or _processors()
        threadpool_limits(1, "blas")

    def speak(self, readings: Iterable[Reading], batch_size: int = 1) -> Iterator[Spoken]:  # noqa: ARG002 - a GPU's
        """The sentences as audio, in order; one more than there are threads is begun ahead.

        An error in `readings` is raised when what came before it has been spoken.
        """
        waiting = iter(readings)
        failure: Exception | None = None
        begun: deque[Future[Spoken]] = deque()
        with ThreadPoolExecutor(self.threads) as pool:
            try:
                while True:
                    try:
                        while failure is None and len(begun) <= self.threads:
                            begun.append(pool.submit(self._one, next(waiting)))
                    except StopIteration:
                        waiting = iter(())
                    except Exception as error:
                        failure = error
                    if not begun:
                        break
                    yield begun.popleft().result()
            finally:
                for future in begun:
                    future.cancel()
        if failure is not None:
            raise failure

    def _one(self, reading: Reading) -> Spoken:
        from ttscli.cpu.noise import dropout_masks

        dropout, noise = (np.random.default_rng(_child(reading.seed, i)) for i in range(2))
        masks = dropout_masks(dropout, self.tacotron2.config.prenet_dim)
        output = self.tacotron2.infer(reading.ids, masks)
        # A vocoder needs a frame, even where the gate fired at the first.
        frames = max(1, output.length)
        mel = output.mel[:, :frames]
        samples = self.vocoder(mel, noise)
        return Spoken(samples, not output.hit_limit, mel, output.alignment[:frames])


def _processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _child(seed: np.random.SeedSequence, index: int) -> np.random.SeedSequence:
    """The seed's child of that index; `spawn` would count on in the seed itself."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, index))


class TorchEngine:
    """Torch models on a device, in batches.

    Args:
        tacotron2: text to mel.
        vocoder: mel to audio.
        device: where both models are.
    """

    def __init__(self, tacotron2: Tacotron2, vocoder: Vocoder, device: str) -> None:
        self.tacotron2, self.vocoder, self.device = tacotron2, vocoder, device

    def speak(self, readings: Iterable[Reading], batch_size: int = 1) -> Iterator[Spoken]:
        """The sentences as audio, in order, a batch at a time.

        On a CPU a batch is always one: its samples never depend on what else there is to say.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be a number of at least 1, not {batch_size}")
        if self.device == "cpu":
            batch_size = 1
        waiting = iter(readings)
        while batch := list(islice(waiting, batch_size)):
            yield from self._batch(batch)

    def _batch(self, readings: Sequence[Reading]) -> list[Spoken]:
        import torch
        from torch.nn.utils.rnn import pad_sequence

        lengths = torch.tensor([len(reading.ids) for reading in readings])
        ids = pad_sequence([torch.tensor(reading.ids) for reading in readings], batch_first=True)
        generators = [_torch_generators(reading.seed) for reading in readings]
        with torch.inference_mode(), device_errors(self.device):
            output = self.tacotron2.infer(
                ids.to(self.device),
                lengths.to(self.device),
                generator=[dropout for dropout, _ in generators],
            )
            # A vocoder needs a frame, even where the gate fired at the first.
            frames = output.lengths.clamp(min=1).tolist()
            mels = [mel[:, :n] for mel, n in zip(output.mel, frames, strict=True)]
            audio = self.vocoder(mels, [noise for _, noise in generators])
        weights = [
            row[:n, : len(reading.ids)]
            for row, n, reading in zip(output.alignments, frames, readings, strict=True)
        ]
        return [
            Spoken(_array(row), finished, _array(mel), _array(alignment))
            for row, finished, mel, alignment in zip(
                audio, (~output.hit_limit).tolist(), mels, weights, strict=True
            )
        ]


def speak_by_length(
    engine: Engine, readings: Iterable[Reading], batch_size: int
) -> Iterator[Spoken]:
    """The sentences as audio, in order; a batch has those of a like length, which wastes least.

    They are sorted within a window of some batches, and come back in the order in which they came.
    """
    if batch_size < 2:
        yield from engine.speak(readings, batch_size)
        return
    waiting = iter(readings)
    while window := list(islice(waiting, _BATCHES_SORTED * batch_size)):
        order = sorted(range(len(window)), key=lambda i: len(window[i].ids))
        spoken: list[Spoken | None] = [None] * len(window)
        for i, one in zip(order, engine.speak((window[i] for i in order), batch_size), strict=True):
            spoken[i] = one
        yield from (one for one in spoken if one is not None)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.float().cpu().numpy()
    return array


def _torch_generators(seed: np.random.SeedSequence) -> tuple[Generator, Generator]:
    """The randomness of a sentence: the prenet's dropout, the vocoder's noise.

    The draws are made on the CPU, which gives all of torch's devices the same ones.
    """
    import torch

    words = seed.generate_state(2, np.uint64)
    dropout, noise = (torch.Generator().manual_seed(int(word) >> 1) for word in words)
    return dropout, noise


def load_engine(voice: Voice, vocoder: str, device: str, threads: int = 0) -> Engine:
    """The engine for a device, with a voice's models.

    Args:
        voice: whose checkpoints are read.
        vocoder: waveglow or griffin-lim.
        device: cpu, or one of torch's.
        threads: see `CpuEngine`.
    """
    if device == "cpu" and vocoder == "waveglow" and is_harmonic(voice.waveglow):
        from ttscli.checkpoints.arrays import read_tacotron2
        from ttscli.cpu.tacotron2 import Tacotron2
        from ttscli.cpu.vocoders import load_cpu_vocoder

        found = read_tacotron2(voice.tacotron2)
        _check_symbols(found.config, voice)
        model = Tacotron2(found.config, found.tensors)
        mels = found.config.n_mel_channels
        return CpuEngine(model, load_cpu_vocoder(voice, mels), threads)
    from ttscli.checkpoints import load_tacotron2
    from ttscli.vocoders import load_vocoder

    with device_errors(device):
        tacotron2 = load_tacotron2(voice.tacotron2).to(device)
        _check_symbols(tacotron2.config, voice)
        mels = tacotron2.config.n_mel_channels
        return TorchEngine(tacotron2, load_vocoder(vocoder, voice, mels, device), device)


def _check_symbols(config: Tacotron2Config, voice: Voice) -> None:
    from ttscli.text.symbols import SYMBOLS

    if config.n_symbols != len(SYMBOLS):
        known = config.n_symbols
        what = f"it was trained on {known} symbols, not on the {len(SYMBOLS)} that text becomes"
        raise VoiceError(what, where=str(voice.tacotron2))
