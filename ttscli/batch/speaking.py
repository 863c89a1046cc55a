"""What a worker does: jobs in, encoded audio out, whatever goes wrong with one of them."""

from __future__ import annotations

import gc
import io
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ttscli.batch.jobs import Job, VoiceOptions
from ttscli.devices import RECORDING
from ttscli.errors import TemporaryError, TTSError
from ttscli.events import Event, Limited, SentenceOverflowed, TextDropped, TextSplit, Written

if TYPE_CHECKING:
    from ttscli.attention import Attention
    from ttscli.speech import Sentence, Speech

MOST_VOICES = 4
"""Synthesizers that are kept loaded."""
_MOST_TOGETHER = 64
"""Sentences, on whatever GPU."""
_MOST_FRUITLESS = 3
"""Attempts in a row to speak the jobs of a chunk together of which nothing came."""
_BYTES_A_SENTENCE = 640 << 20
"""Estimate of what a sentence of ten seconds takes in the paper's WaveGlow while it is computed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a job."""

    job: Job
    """Which."""
    audio: bytes = b""
    """The whole file; empty if there is none."""
    subtitles: bytes = b""
    """The whole file; empty if there is none."""
    samples: int = 0
    """Of the audio."""
    sample_rate: int = 0
    """Samples per second."""
    error: str = ""
    """What failed."""
    again: bool = False
    """Whether it may succeed when it is tried again."""
    attention: Attention | None = None
    """How its sentences were read: the worst of them; None if there is no audio."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """What could not be spoken, and how often."""
    limited: int = 0
    """Samples that were beyond full scale."""
    overflowed: int = 0
    """Sentences that half precision had no room for: they were computed again in fp32."""
    elapsed_s: float = 0.0
    """How long it took."""
    attempts: int = 1
    """How often it was tried."""


class Voice(Protocol):
    """What speaks: a `Synthesizer`, or a stand-in."""

    sample_rate: int
    on_event: Callable[[Event], None]

    def stream(self, text: str, seed: int = 0) -> Iterator[Speech]:
        """Speak a text sentence by sentence."""

    def map(
        self, texts: Sequence[str], seed: Sequence[int], batch_size: int = 1
    ) -> Iterator[Speech]:
        """Speak texts in order."""


LoadVoice = Callable[[VoiceOptions], Voice]


def load_voice(options: VoiceOptions) -> Voice:
    """The synthesizer of these options; on a CPU it takes one of its cores."""
    from ttscli.synthesizer import Synthesizer

    fields = asdict(options)
    del fields["sample_rate"]  # its files are resampled
    return Synthesizer.from_voice(fields.pop("voice"), **fields, threads=1)


class Speaker:
    """Speaks chunks of jobs with the voices that they ask for.

    Args:
        load: how a voice is loaded.
        batch_size: sentences that are computed together; 0 asks the device.
        device: where it computes, whatever the options of a job say.
    """

    def __init__(
        self, load: LoadVoice = load_voice, batch_size: int = 0, device: str = "cpu"
    ) -> None:
        self._load, self._batch_size, self._device = load, batch_size, device
        self._voices: dict[VoiceOptions, Voice] = {}

    def voice(self, options: VoiceOptions) -> Voice:
        """The voice of these options, loaded if it is not; the longest unused gives way."""
        options = replace(options, sample_rate=None)  # which is none of the voice's business
        voice = self._voices.pop(options, None)
        if voice is None:
            while len(self._voices) >= MOST_VOICES:
                self._voices.pop(next(iter(self._voices)))
            voice = self._load(replace(options, device=self._device))
        self._voices[options] = voice
        return voice

    def speak(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """An outcome for each job of a chunk, in order.

        Where they fail together the next of them is spoken alone: that shows if it was its fault.
        """
        left, fruitless = deque(jobs), 0
        alike = all(job.options == jobs[0].options for job in jobs)
        while left:
            if alike and len(left) > 1 and fruitless < _MOST_FRUITLESS:
                fruitless += 1
                with suppress(Exception):
                    for outcome in self._together(left):
                        yield outcome
                        left.popleft()
                        fruitless = 0
            if left:
                yield self._alone(left.popleft())

    def _together(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Speak jobs in batches, in smaller ones from the moment when memory runs out."""
        left = list(jobs)
        voice = self.voice(left[0].options)
        self._batch_size = self._batch_size or fitting_batch_size(self._device)
        while left:
            texts, seeds = [job.text for job in left], [job.seed for job in left]
            too_large = False
            try:
                with _Notes(voice) as notes:
                    for speech in voice.map(texts, seeds, self._batch_size):
                        yield _outcome(left.pop(0), [speech], voice.sample_rate, notes)
            except TemporaryError:
                if self._batch_size == 1:
                    raise
                too_large = True
            if too_large:  # and the error, which holds what failed, is gone
                self._batch_size //= 2
                free_memory()

    def _alone(self, job: Job) -> Outcome:
        """Speak a job by itself."""
        started = time.perf_counter()
        try:
            voice = self.voice(job.options)
            with _Notes(voice) as notes:
                return _outcome(job, voice.stream(job.text, job.seed), voice.sample_rate, notes)
        except TTSError as error:
            what, again = str(error), isinstance(error, TemporaryError)
        except MemoryError:
            what, again = "there is not enough memory", True
        except Exception as error:
            what, again = f"{type(error).__name__}: {error}; this is a bug", True
        return Outcome(job, error=what, again=again, elapsed_s=time.perf_counter() - started)


class _Noted(NamedTuple):
    """What a voice reported of a text; the fields are those of `Outcome`."""

    dropped: dict[str, int]
    limited: int
    overflowed: int
    elapsed_s: float


class _Notes:
    """Keeps what a voice reports while jobs are spoken; it may read texts ahead."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._dropped: deque[Counter[str]] = deque()
        self._limited = self._overflowed = 0
        self._began = time.perf_counter()
        self.written: Written | None = None

    def __enter__(self) -> _Notes:
        self._before, self._voice.on_event = self._voice.on_event, self
        return self

    def __exit__(self, *error: object) -> None:
        self._voice.on_event = self._before

    def __call__(self, event: Event) -> None:
        match event:
            case TextSplit():  # another text begins
                self._dropped.append(Counter())
            case TextDropped(text, count):
                self._dropped[-1][text] += count
            case Limited(samples=samples):
                self._limited = samples
            case SentenceOverflowed():
                self._overflowed += 1
            case Written():
                self.written = event

    def take(self) -> _Noted:
        """What there is to say of the next text."""
        now = time.perf_counter()
        dropped = dict(self._dropped.popleft()) if self._dropped else {}
        taken = _Noted(dropped, self._limited, self._overflowed, now - self._began)
        self._limited, self._overflowed, self._began = 0, 0, now
        return taken


def _outcome(job: Job, pieces: Iterable[Speech], sample_rate: int, notes: _Notes) -> Outcome:
    """A job's speech, encoded as it comes."""
    from ttscli.attention import worst
    from ttscli.audio import encode_audio
    from ttscli.synthesizer import what_failed

    file = io.BytesIO()
    sentences: list[Sentence] = []
    with encode_audio(job.path, sample_rate, file, job.options.sample_rate, notes) as writer:
        subtitles = _Subtitles(job.subtitles, sample_rate, writer.sample_rate)
        for piece in pieces:
            writer.write(piece.samples)
            subtitles.write(piece)
            sentences += piece.sentences
    noted = notes.take()
    assert notes.written is not None
    failed = [(n, s) for n, s in enumerate(sentences, start=1) if not s.attention.good]
    error = f"{what_failed(failed, len(sentences))}; try another seed" if failed else ""
    return Outcome(
        job, file.getvalue(), subtitles.finished(), notes.written.samples,
        notes.written.sample_rate, error,
        attention=worst([s.attention for s in sentences]), **noted._asdict(),
    )  # fmt: skip


class _Subtitles:
    """The subtitles of a job, in memory; none if it asks for none."""

    def __init__(self, name: str, from_rate: int, to_rate: int) -> None:
        from ttscli.subtitles import WRITERS

        self._file = io.BytesIO()
        ending = PurePath(name).suffix
        self._writer = WRITERS[ending](self._file, from_rate, to_rate) if ending else None

    def write(self, speech: Speech) -> None:
        if self._writer:
            self._writer.write(speech)

    def finished(self) -> bytes:
        if self._writer:
            self._writer.finish()
        return self._file.getvalue()


def fitting_batch_size(device: str) -> int:
    """How many sentences a device may have room for; it is halved where that proves too many."""
    if not device.startswith("cuda"):
        return 8  # a CPU gains nothing from more
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    fitting = max(1, min(free // _BYTES_A_SENTENCE, _MOST_TOGETHER))
    return 1 << (int(fitting).bit_length() - 1)


def free_memory() -> None:
    """Give a GPU's memory back that torch keeps for itself in pieces."""
    if "torch" in sys.modules:
        import torch

        with RECORDING:
            gc.collect()  # an error in another thread and what it holds hold each other
            torch.cuda.empty_cache()
