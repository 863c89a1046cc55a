"""What turns symbols into samples, chosen once: NumPy on a CPU, torch on a GPU.

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

from ttscli.devices import device_errors
from ttscli.errors import UsageError, VoiceError
from ttscli.vocoders import load_cpu_vocoder, load_vocoder
from ttscli.voices import Voice

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ttscli.core.configs import Tacotron2Config
    from ttscli.core.tacotron2 import Tacotron2
    from ttscli.cpu.sharing import Each
    from ttscli.cpu.tacotron2 import Tacotron2 as CpuTacotron2
    from ttscli.cpu.vocoders import CpuVocoder
    from ttscli.vocoders import Vocoder

Samples = NDArray[np.float32]


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

    Threads without a sentence help with the long ones of others. NumPy's BLAS must be held to one
    thread, as `load_engine` does: more would change the last bits of the samples with their number.

    Args:
        tacotron2: text to mel.
        vocoder: mel to audio.
        threads: how many compute at once; 0 is one for each processor.
    """

    def __init__(self, tacotron2: CpuTacotron2, vocoder: CpuVocoder, threads: int = 0) -> None:
        if threads < 0:
            raise UsageError(f"threads must be a number of at least 0, not {threads}")
        self.tacotron2, self.vocoder = tacotron2, vocoder
        self.threads = threads or processors()

    def speak(self, readings: Iterable[Reading], batch_size: int = 1) -> Iterator[Spoken]:  # noqa: ARG002 - a GPU's
        """The sentences as audio, in order; one more than there are threads is begun ahead.

        An error in `readings` is raised when what came before it has been spoken.
        """
        from ttscli.cpu.sharing import Shared

        waiting = iter(readings)
        failure: Exception | None = None
        begun: deque[Future[Spoken]] = deque()
        with ThreadPoolExecutor(self.threads) as pool:
            each = Shared(pool, self.threads)
            try:
                while True:
                    try:
                        while failure is None and len(begun) <= self.threads:
                            begun.append(pool.submit(self._one, next(waiting), each))
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

    def _one(self, reading: Reading, each: Each) -> Spoken:
        from ttscli.cpu.noise import dropout_masks

        dropout, noise = (np.random.default_rng(_child(reading.seed, i)) for i in range(2))
        masks = dropout_masks(dropout, self.tacotron2.config.prenet_dim)
        with np.errstate(all="ignore"):  # what overflows is found in the samples
            output = self.tacotron2.infer(reading.ids, masks)
            # A vocoder needs a frame, even where the gate fired at the first.
            frames = max(1, output.length)
            mel = output.mel[:, :frames]
            samples = self.vocoder(mel, noise, each)
        return Spoken(samples, not output.hit_limit, mel, output.alignment[:frames])


def processors() -> int:
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
        """The sentences as audio, in order, a batch at a time."""
        if batch_size < 1:
            raise UsageError(f"batch_size must be a number of at least 1, not {batch_size}")
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
    if device == "cpu":
        return _load_cpu_engine(voice, vocoder, threads)
    from ttscli.checkpoints import load_tacotron2

    with device_errors(device):
        tacotron2 = load_tacotron2(voice.tacotron2).to(device)
        _check_symbols(tacotron2.config, voice)
        mels = tacotron2.config.n_mel_channels
        return TorchEngine(tacotron2, load_vocoder(vocoder, voice, mels, device), device)


def _load_cpu_engine(voice: Voice, vocoder: str, threads: int) -> CpuEngine:
    """NumPy models, with its BLAS on one thread from now on in the whole process."""
    from threadpoolctl import threadpool_limits

    from ttscli.checkpoints.arrays import read_tacotron2
    from ttscli.cpu.tacotron2 import Tacotron2

    threadpool_limits(1, "blas")
    found = read_tacotron2(voice.tacotron2)
    _check_symbols(found.config, voice)
    mels = found.config.n_mel_channels
    tacotron2 = Tacotron2(found.config, found.tensors)
    return CpuEngine(tacotron2, load_cpu_vocoder(vocoder, voice, mels), threads)


def _check_symbols(config: Tacotron2Config, voice: Voice) -> None:
    from ttscli.text.symbols import SYMBOLS

    if config.n_symbols != len(SYMBOLS):
        known = config.n_symbols
        what = f"it was trained on {known} symbols, not on the {len(SYMBOLS)} that text becomes"
        raise VoiceError(what, where=str(voice.tacotron2))
