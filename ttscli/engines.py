"""What turns symbols into samples, chosen once: NumPy on a CPU, torch on a GPU.

Tensor letters: T text symbols, F mel frames, M mel bins, S samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ttscli.devices import device_errors, processors
from ttscli.errors import UsageError, VoiceError
from ttscli.readings import Engine, Reading, Spoken, Waiting, child_seed, faded_out
from ttscli.tempo import stretched
from ttscli.vocoders import load_cpu_vocoder, load_vocoder
from ttscli.voices import Voice

if TYPE_CHECKING:
    from ttscli.core.configs import Tacotron2Config
    from ttscli.cpu.sharing import Shared
    from ttscli.cpu.tacotron2 import Output
    from ttscli.cpu.tacotron2 import Tacotron2 as CpuTacotron2
    from ttscli.cpu.vocoders import CpuVocoder
    from ttscli.torch_engine import TorchEngine

TOGETHER = 8  # sentences that a CPU's thread decodes together at most: more gain nothing
_BATCHES_SORTED = 8  # that are sorted by length together


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

        waiting = Waiting(readings)
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
            future.set_result(Spoken(faded_out(samples), not output.hit_limit, mel, alignment))


def _generator(seed: np.random.SeedSequence, index: int) -> np.random.Generator:
    """Randomness of the seed's child of that index: 0 is the prenet's, 1 the vocoder's."""
    return np.random.default_rng(child_seed(seed, index))


def speak_by_length(
    engine: Engine, readings: Iterable[Reading], batch_size: int
) -> Iterator[Spoken]:
    """The sentences as audio, in order; a batch has those of a like length, which wastes least.

    They are sorted within a window of some batches, and come back in the order in which they came:
    each in exchange for one of the next window, so that the engine is at work all the time.
    """
    if batch_size < 2:
        yield from engine.speak(readings, batch_size)
        return
    waiting, orders = Waiting(readings), deque[list[int]]()

    def by_length() -> Iterator[Reading]:
        while window := waiting.take(_BATCHES_SORTED * batch_size):
            orders.append(sorted(range(len(window)), key=lambda i: len(window[i].ids)))
            yield from (window[i] for i in orders[-1])

    spoken: list[Spoken] = []
    ready: deque[Spoken] = deque()
    for one in engine.speak(by_length(), batch_size):
        if ready:
            yield ready.popleft()
        spoken.append(one)
        if len(spoken) == len(orders[0]):
            places = {place: n for n, place in enumerate(orders.popleft())}
            ready.extend(spoken[places[i]] for i in range(len(spoken)))
            spoken = []
    yield from ready
    if waiting.failure is not None:
        raise waiting.failure


def load_engine(
    voice: Voice, vocoder: str, device: str, threads: int = 0, precision: str = "fp32"
) -> Engine:
    """The engine for a device, with a voice's models.

    Args:
        voice: whose checkpoints are read.
        vocoder: waveglow or griffin-lim.
        device: cpu, or one of torch's.
        threads: see `CpuEngine`.
        precision: fp32, fp16, bf16 or mixed, see `devices.choose_precision`.
    """
    if device == "cpu":
        return _load_cpu_engine(voice, vocoder, threads)
    return _load_torch_engine(voice, vocoder, device, precision)


def _load_torch_engine(voice: Voice, vocoder: str, device: str, precision: str) -> TorchEngine:
    """Torch models; those of an NVIDIA GPU are made for it."""
    import torch

    from ttscli.checkpoints import load_tacotron2
    from ttscli.gpu.tacotron2 import Tacotron2
    from ttscli.gpu.vocoder import WaveGlowVocoder
    from ttscli.torch_engine import Models, TorchEngine

    readable = load_tacotron2(voice.tacotron2)
    _check_symbols(readable.config, voice)
    mels = readable.config.n_mel_channels
    on_cuda = device.startswith("cuda")
    if on_cuda:
        torch.backends.cudnn.allow_tf32 = False  # fp32 is to be what it says

    def models(precision: str) -> Models:
        with device_errors(device):
            reading, vocoding = ("fp32", "fp16") if precision == "mixed" else (precision,) * 2
            tacotron2 = Tacotron2(readable, device, reading) if on_cuda else readable.to(device)
            return Models(tacotron2, load_vocoder(vocoder, voice, mels, device, vocoding))

    made = models(precision)
    half = precision in ("fp16", "bf16")
    if precision == "mixed":  # Griffin-Lim and the built-in voice's vocoder know only fp32
        half = isinstance(made.vocoder, WaveGlowVocoder)
    return TorchEngine(made, device, partial(models, "fp32") if half else None)


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
