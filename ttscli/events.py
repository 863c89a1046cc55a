"""What the library reports while it works; who shows it is decided elsewhere."""

from __future__ import annotations

from collections.abc import Callable
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
    seconds: float
    """How long loading took."""


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
class SentenceUnfinished(Event):
    """A sentence ran into its step limit: the decoder did not say that it had ended."""

    index: int
    """Index of the sentence, from 0."""
    text: str
    """The sentence as it was given."""
    duration_s: float
    """Length of the audio at the limit, seconds."""


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


OnEvent = Callable[[Event], None]
"""Takes each event as it happens."""


def ignore(_event: Event) -> None:
    """Take an event and show nothing."""
