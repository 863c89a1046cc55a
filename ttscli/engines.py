"""What turns symbols into samples, chosen once: NumPy on a CPU, torch on a GPU.

Tensor letters: T text symbols, F mel frames, M mel bins, S samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ttscli.devices import device_errors, processors
from ttscli.errors import UsageError, VoiceError
from ttscli.tempo import stretched
from ttscli.vocoders import load_cpu_vocoder, load_vocoder
from ttscli.voices import Voice

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ttscli.core.configs import Tacotron2Config
    from ttscli.core.tacotron2 import Tacotron2
    from ttscli.cpu.sharing import Shared
    from ttscli.cpu.tacotron2 import Output
    from ttscli.cpu.tacotron2 import Tacotron2 as CpuTacotron2
    from ttscli.cpu.vocoders import CpuVocoder
    from ttscli.vocoders import Vocoder

Samples = NDArray[np.float32]

TOGETHER = 8  # sentences that a CPU's thread decodes together at most: more gain nothing
_BATCHES_SORTED = 8  # that are sorted by length together


@dataclass(frozen=True)
class Reading:
    """A sentence that waits to be spoken."""

    ids: Sequence[int]
    """As the voice reads it: an id per symbol (T,)."""
    seed: np.random.SeedSequence
    """Where all of its noise starts."""
    constrained: bool = False
    """Whether it is read strictly onwards, whatever the attention would do."""
    speed: float = 1.0
    """Its tempo; 2 takes half the time."""


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
            batch_size: how many are computed together.
        """


class CpuEngine:
    """NumPy models: each sentence is computed by itself, never in padded batches.

    Sentences that wait are decoded a few together on each thread, see `cpu.decoder.decode`; threads
    that have none help with the long ones of others. NumPy's BLAS must be held to one thread, as
    `load_engine` does: more would change the last bits of the samples with their number.

    Args:
        tacotron2: text to mel.
        vocoder: mel to audio.
        threads: how many compute at once, which is never more than there are processors; 0 is as
            many as there are.
    """

    def __init__(self, tacotron2: CpuTacotron2, vocoder: CpuVocoder, threads: int = 0) -> None:
        if threads < 0:
            raise UsageError(f"threads must be a number of at least 0, not {threads}")
        self.tacotron2, self.vocoder = tacotron2, vocoder
        self.threads = min(threads or processors(), processors())  # more get in each other's way

    def speak(self, readings: Iterable[Reading], batch_size: int = 1) -> Iterator[Spoken]:
        """The sentences as audio, in order, with a few begun ahead.

        The first are begun `batch_size` together, one to be heard soon, and then ever more. An
        error in `readings` is raised when what came before it has been spoken.
        """
        from ttscli.cpu.sharing import Shared

        waiting = _Waiting(readings)
        begun: deque[Future[Spoken]] = deque()
        count = 0
        with ThreadPoolExecutor(self.threads) as pool:
            each = Shared(pool, self.threads)
            try:
                while True:
                    together = min(TOGETHER, max(batch_size, 1 + count // (2 * self.threads)))
                    if len(begun) <= self.threads * together and (group := waiting.take(together)):
                        count += len(group)
                        futures = [Future[Spoken]() for _ in group]
                        begun.extend(futures)
                        pool.submit(self._speak_together, group, futures, pool, each)
                    elif begun:
                        yield begun.popleft().result()
                    else:
                        break
            finally:
                each.stop()
        if waiting.failure is not None:
            raise waiting.failure

    def _speak_together(
        self,
        readings: Sequence[Reading],
        futures: Sequence[Future[Spoken]],
        pool: ThreadPoolExecutor,
        each: Shared,
    ) -> None:
        """Decode some sentences, then vocode the first; others wait for any thread to do so."""
        from ttscli.cpu.noise import dropout_masks

        width = self.tacotron2.config.prenet_dim
        masks = [dropout_masks(_generator(reading.seed, 0), width) for reading in readings]
        texts = [(r.ids, mask, r.constrained) for r, mask in zip(readings, masks, strict=True)]
        try:
            with np.errstate(all="ignore"):  # what overflows is found in the samples
                outputs = self.tacotron2.infer_together(texts, each.check)
            first, *others = zip(outputs, readings, futures, strict=True)
            for other in others:
                pool.submit(self._vocode, *other, each)
        except BaseException as error:
            for future in futures:
                future.set_exception(error)
        else:
            self._vocode(*first, each)

    def _vocode(
        self, output: Output, reading: Reading, future: Future[Spoken], each: Shared
    ) -> None:
        # A vocoder needs a frame, even where the gate fired at the first.
        frames = max(1, output.length)
        mel = stretched(output.mel[:, :frames].T, reading.speed).T
        try:
            with np.errstate(all="ignore"):
                samples = self.vocoder(mel, _generator(reading.seed, 1), each)
        except BaseException as error:
            future.set_exception(error)
        else:
            alignment = stretched(output.alignment[:frames], reading.speed)
            future.set_result(Spoken(samples, not output.hit_limit, mel, alignment))


class _Waiting:
    """Readings to be taken a few at a time, up to the first error among them."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._readings = iter(readings)
        self.failure: Exception | None = None
        """What reading them has raised."""

    def take(self, count: int) -> list[Reading]:
        """The next ones, fewer at the end or in front of an error."""
        taken: list[Reading] = []
        try:
            for reading in islice(self._readings, count):
                taken.append(reading)
        except Exception as error:
            self.failure, self._readings = error, iter(())
        return taken


def child_seed(seed: np.random.SeedSequence, index: int) -> np.random.SeedSequence:
    """The seed's child of that index; `spawn` would count on in the seed itself."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, index))


def _generator(seed: np.random.SeedSequence, index: int) -> np.random.Generator:
    """Randomness of the seed's child of that index: 0 is the prenet's, 1 the vocoder's."""
    return np.random.default_rng(child_seed(seed, index))


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
        constrained = None
        if any(reading.constrained for reading in readings):
            constrained = torch.tensor([reading.constrained for reading in readings])
            constrained = constrained.to(self.device)
        with torch.inference_mode(), device_errors(self.device):
            output = self.tacotron2.infer(
                ids.to(self.device),
                lengths.to(self.device),
                generator=[dropout for dropout, _ in generators],
                constrained=constrained,
            )
            # A vocoder needs a frame, even where the gate fired at the first.
            frames = output.lengths.clamp(min=1).tolist()
            mels = [
                _stretched(mel[:, :n].T, reading.speed).T
                for mel, n, reading in zip(output.mel, frames, readings, strict=True)
            ]
            audio = self.vocoder(mels, [noise for _, noise in generators])
        weights = [
            _stretched(row[:n, : len(reading.ids)], reading.speed)
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


def _stretched(frames: Tensor, speed: float) -> Tensor:
    """Frames at another speed, on the device they were on."""
    import torch

    if speed == 1:
        return frames
    return torch.from_numpy(stretched(_array(frames), speed)).to(frames)


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
