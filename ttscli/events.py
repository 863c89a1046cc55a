"""What the library reports while it works; who shows it is decided elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Anything the library reports."""


@dataclass(frozen=True)
class VoiceLoaded(Event):
    """A voice is ready to speak."""

    voice: str
    """Its name."""
    device: str
    """Where it runs, as torch names it."""
    precision: str
    """How exactly: fp32, fp16, bf16, or mixed: Tacotron 2 in fp32, WaveGlow in fp16."""
    seconds: float
    """How long loading took."""


@dataclass(frozen=True)
class DownloadWaiting(Event):
    """Another run is downloading into the same folder; this one waits for it."""

    folder: str
    """The folder with the voices."""


@dataclass(frozen=True)
class DownloadStarted(Event):
    """A server began to send a file, or the rest of it."""

    file: str
    """The voice and the model: "ljspeech/waveglow"."""
    url: str
    """Who sends it, after redirects."""
    done: int
    """Bytes that were there before."""
    total: int | None
    """Bytes of the whole file; None if the server does not say."""


@dataclass(frozen=True)
class DownloadProgress(Event):
    """More of a file has come."""

    file: str
    """As in `DownloadStarted`."""
    done: int
    """Bytes that are here."""
    total: int | None
    """Bytes of the whole file; None if the server does not say."""
    bytes_per_s: int
    """Average speed of this run."""
    left_s: float | None
    """Seconds that the rest takes at this speed."""


@dataclass(frozen=True)
class DownloadInterrupted(Event):
    """A file stopped coming; it will be asked for again."""

    file: str
    """As in `DownloadStarted`."""
    reason: str
    """What happened."""
    wait_s: float
    """Seconds until the next attempt."""
    done: int
    """Bytes that are here."""


@dataclass(frozen=True)
class FileChecked(Event):
    """A checkpoint is complete, and its checksum has been compared with what is known."""

    file: str
    """As in `DownloadStarted`."""
    origin: str
    """Its url, or its path."""
    size: int
    """Bytes."""
    sha256: str
    """Of its content."""
    compared: str
    """With what: published, recorded (at the first download), first (recorded now) or none."""


@dataclass(frozen=True)
class FileConverting(Event):
    """A checkpoint is being read, checked and written as safetensors."""

    file: str
    """As in `DownloadStarted`."""


@dataclass(frozen=True)
class VoiceReady(Event):
    """A voice is in its place."""

    voice: str
    """Its name."""
    path: str
    """Its folder."""
    was_here: bool
    """Whether there was nothing to do."""
    speak_as: str
    """What `--voice` takes."""


@dataclass(frozen=True)
class VoiceListed(Event):
    """A voice that is here or can be downloaded."""

    voice: str
    """Its name."""
    state: str
    """built in, here, partly here, damaged, not here, or wrong entry: of the user's table."""
    size: int
    """Bytes on the disk, or of the download as far as known."""
    licence: str
    """Under which terms it may be used."""
    description: str
    """A sentence about it; of a wrong entry what is wrong."""
    path: str
    """Its folder; empty if it is not here."""


@dataclass(frozen=True)
class VoiceVerified(Event):
    """The files of a voice have been read through."""

    voice: str
    """Its name."""
    path: str
    """Its folder."""
    compared: str
    """With what: recorded checksums, or the model's layout where none are recorded."""
    problems: tuple[str, ...]
    """What is broken; empty if nothing is."""
    todo: str
    """How to mend it; empty if nothing is broken."""


@dataclass(frozen=True)
class TextSplit(Event):
    """A text was cut into sentences; speaking begins."""

    sentences: int
    """How many."""
    characters: int
    """Characters in all of them."""


@dataclass(frozen=True)
class TextDropped(Event):
    """Something in the input that cannot be spoken was left out."""

    text: str
    """The character, or the symbol in braces that is not ARPAbet."""
    count: int
    """How often it stood in the sentence."""
    sentence: int
    """Index of the sentence it stood in, from 0."""


@dataclass(frozen=True)
class SentenceSpoken(Event):
    """One sentence has become audio."""

    index: int
    """Index of the sentence, from 0."""
    text: str
    """The sentence as it was given."""
    characters: int
    """Characters of input text that are now done, with those before."""
    total_characters: int
    """Characters of input text in all."""
    duration_s: float
    """Length of this sentence's audio, seconds."""


@dataclass(frozen=True)
class SentenceRetried(Event):
    """The speech of a sentence failed the attention check; it is spoken in another way."""

    index: int
    """Index of the sentence, from 0."""
    text: str
    """The sentence as it was given."""
    way: str
    """How it is spoken now."""
    problems: tuple[str, ...]
    """What was wrong before."""


@dataclass(frozen=True)
class SentenceOverflowed(Event):
    """Half precision had no room for a sentence's numbers; it was computed again in fp32."""

    index: int
    """Index of the sentence, from 0."""
    text: str
    """The sentence as it was given."""


@dataclass(frozen=True)
class SentenceFailed(Event):
    """The speech of a sentence failed the attention check in whatever way it was spoken."""

    index: int
    """Index of the sentence, from 0."""
    text: str
    """The sentence as it was given."""
    duration_s: float
    """Length of the audio that there is all the same, seconds."""
    problems: tuple[str, ...]
    """What is wrong with it."""
    tries: int
    """How often it was spoken."""


@dataclass(frozen=True)
class Resampled(Event):
    """The output's format does not take the voice's sample rate and gets another one."""

    path: str
    """The output."""
    from_rate: int
    """The voice's samples per second."""
    to_rate: int
    """The output's samples per second."""


@dataclass(frozen=True)
class Limited(Event):
    """Samples beyond full scale were bent back into range."""

    path: str
    """The output."""
    samples: int
    """How many were beyond full scale."""
    peak: float
    """The largest magnitude before, 1 being full scale."""


@dataclass(frozen=True)
class PictureCut(Event):
    """A picture has room for the first sentences only."""

    path: str
    """The picture."""
    shown: int
    """Sentences that are in it."""
    sentences: int
    """Sentences of the speech."""


@dataclass(frozen=True)
class Written(Event):
    """The output is in place."""

    path: str
    """Where; "-" for standard output."""
    duration_s: float
    """Length of the audio, seconds."""
    samples: int
    """Number of samples."""
    sample_rate: int
    """Samples per second."""


@dataclass(frozen=True)
class BatchPlanned(Event):
    """It is known what a batch has to do; work begins."""

    utterances: int
    """In the input, or in this shard of it."""
    done: int
    """That are there already, unchanged."""
    left: int
    """To be spoken."""
    characters: int
    """In those to be spoken."""
    estimated_s: float
    """Roughly how much audio that will be, seconds."""
    shard: str
    """I/N; empty if it is the whole."""
    damaged_lines: int
    """Lines of the manifest that could not be read."""


@dataclass(frozen=True)
class UtteranceSpoken(Event):
    """An utterance's audio is in place."""

    index: int
    """Its place in the input, from 1."""
    id: str
    """What the input calls it."""
    path: str
    """Its file, in the batch's folder."""
    characters: int
    """Of its text."""
    duration_s: float
    """Length of its audio, seconds."""
    attempts: int
    """How often it was tried."""
    dropped: Mapping[str, int]
    """What could not be spoken, and how often."""
    limited: int
    """Samples that were beyond full scale."""
    overflowed: int
    """Sentences that half precision had no room for: they were computed again in fp32."""


@dataclass(frozen=True)
class UtteranceFailed(Event):
    """An utterance could not be spoken, or not to its end."""

    index: int
    """Its place in the input, from 1."""
    id: str
    """What the input calls it."""
    path: str
    """Its file, in the batch's folder."""
    characters: int
    """Of its text."""
    duration_s: float
    """Length of the audio that there is all the same, seconds."""
    attempts: int
    """How often it was tried."""
    error: str
    """What failed."""


@dataclass(frozen=True)
class WorkerLost(Event):
    """A worker died; another takes its place."""

    error: str
    """What it died of."""


@dataclass(frozen=True)
class BatchFinished(Event):
    """Every utterance of a batch is done or has failed."""

    manifest: str
    """Where it is written what became of them."""
    spoken: int
    """That are done now."""
    failed: int
    """That failed."""
    done: int
    """That were there already."""
    duration_s: float
    """Length of the audio made now, seconds."""
    elapsed_s: float
    """How long that took."""


OnEvent = Callable[[Event], None]
"""Takes each event as it happens."""


def ignore(_event: Event) -> None:
    """Take an event and show nothing."""
