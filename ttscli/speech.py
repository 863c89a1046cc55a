"""Spoken text: its samples, sentences and words, and what the models saw of it.

Tensor letters: T text symbols, F mel frames, M mel bins.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ttscli.attention import Attention
from ttscli.audio import Audio
from ttscli.timings import Word


@dataclass(frozen=True)
class Sentence:
    """A sentence of a speech."""

    text: str
    """As it was given."""
    start: int
    """Its first sample in the speech."""
    samples: int
    """How many samples it has."""
    attention: Attention
    """How it was read, and what is wrong with that."""
    words: tuple[Word, ...] = ()
    """When its words are said, in the speech."""
    view: View | None = field(default=None, compare=False, repr=False)
    """What the models saw of it."""

    def later(self, samples: int) -> Sentence:
        """The same sentence in a speech that starts so much earlier."""
        words = tuple(word.later(samples) for word in self.words)
        return replace(self, start=self.start + samples, words=words)


@dataclass(frozen=True)
class View:
    """A sentence as the models saw it."""

    symbols: tuple[str, ...]
    """What was read (T,)."""
    mel: NDArray[np.float32]
    """Its log-mel (M, F)."""
    alignment: NDArray[np.float32]
    """The attention that read it (F, T)."""


@dataclass(frozen=True)
class Speech(Audio):
    """Spoken text; it plays itself in a notebook."""

    text: str = ""
    """What was to be said."""
    sentences: tuple[Sentence, ...] = ()
    """Its sentences, in order."""

    @property
    def words(self) -> tuple[Word, ...]:
        """Its words, in order, and when each is said."""
        return tuple(word for sentence in self.sentences for word in sentence.words)

    @property
    def failed(self) -> tuple[Sentence, ...]:
        """The sentences that failed the attention check, however they were spoken."""
        return tuple(sentence for sentence in self.sentences if not sentence.attention.good)

    def _repr_html_(self) -> str:
        """A player."""
        data = base64.b64encode(self.wav()).decode()
        return f'<audio controls src="data:audio/wav;base64,{data}"></audio>'
