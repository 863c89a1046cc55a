"""When each word is said: from the attention that read a sentence to samples of its audio.

Tensor letters: T text symbols, F mel frames, S samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ttscli.text.frontend import Encoded
from ttscli.text.frontend import Word as Place
from ttscli.text.symbols import FIRST_SOUND

_NO_PAUSE_S = 0.08  # seconds between words that are said without a pause


@dataclass(frozen=True)
class Word:
    """A word as it was said."""

    text: str
    """As it was written, with the punctuation that touches it."""
    start: int
    """Its first sample in the speech."""
    end: int
    """The sample behind its last."""
    sample_rate: int
    """Samples per second."""
    place: int = 0
    """Index of its first character in its sentence."""

    @property
    def start_s(self) -> float:
        """When it starts, seconds."""
        return self.start / self.sample_rate

    @property
    def end_s(self) -> float:
        """When it ends, seconds."""
        return self.end / self.sample_rate

    def later(self, samples: int) -> Word:
        """The same word in a speech that starts so much earlier."""
        return replace(self, start=self.start + samples, end=self.end + samples)


def word_times(
    sentence: str,
    encoded: Encoded,
    alignment: NDArray[np.float32],
    samples: int,
    sample_rate: int,
) -> tuple[Word, ...]:
    """The words of a sentence, in samples from the start of its audio.

    Args:
        sentence: as it was written.
        encoded: as the voice read it.
        alignment: the attention that read it (F, T).
        samples: of its audio.
        sample_rate: samples per second.
    """
    bounds = symbol_bounds(alignment, samples)
    words, marked, last = [], [], 0
    for place in _written(sentence, encoded.words):
        sounds = [i for i in range(place.first, place.last) if encoded.ids[i] >= FIRST_SOUND]
        if sounds:  # what follows them is punctuation, whose time is silence
            start, end = int(bounds[sounds[0]]), int(bounds[sounds[-1] + 1])
            text = " ".join(sentence[place.start : place.end].split())
            words.append(Word(text, start, end, sample_rate, place.start))
            between = sentence[max(0, last - 1) : place.start + 1]  # and the characters beside it
            marked.append(not all(c.isalnum() or c.isspace() for c in between))
            last = place.end
    return _closed(words, marked, round(_NO_PAUSE_S * sample_rate))


def _closed(words: Sequence[Word], marked: Sequence[bool], most: int) -> tuple[Word, ...]:
    """Words without the gaps that the attention gives to spaces: nothing is silent there.

    A longer one, without a mark in it, is still the word before: a first word of one vowel ("I
    think") has the attention for its first frames only.

    Args:
        words: in their order.
        marked: of each, whether there is punctuation between it and the word before.
        most: samples of a short gap.
    """
    closed = list(words)
    for index, (before, after) in enumerate(pairwise(words)):
        gap = after.start - before.end
        if gap < most or not marked[index + 1]:
            edge = before.end + gap // 2 if gap < most else after.start
            closed[index] = replace(closed[index], end=edge)
            closed[index + 1] = replace(after, start=edge)
    return tuple(closed)


def symbol_bounds(alignment: NDArray[np.float32], samples: int) -> NDArray[np.int64]:
    """Where each symbol starts, and the last one ends, in samples (T + 1,), from 0 to S.

    A symbol lasts as long as it has the attention, shared frames in parts: that cannot go
    backwards, and all the symbols together last as long as the audio.
    """
    ends = np.cumsum(alignment.sum(0, dtype=np.float64))
    bounds = np.concatenate([[0.0], ends]) * (samples / ends[-1])
    rounded: NDArray[np.int64] = np.rint(bounds).astype(np.int64)
    return rounded


def _written(sentence: str, places: Sequence[Place]) -> list[Place]:
    """Words as white space parts them: with the marks that touch them, and those as one that one
    figure gave or that nothing but a mark is between."""
    words: list[Place] = []
    for place in places:
        start, end = place.start, place.end
        while end - 1 > start and sentence[end - 1].isspace():
            end -= 1
        while start < end - 1 and sentence[start].isspace():
            start += 1
        while start and not sentence[start - 1].isspace():
            start -= 1
        while end < len(sentence) and not sentence[end].isspace():
            end += 1
        if words and start < words[-1].end:
            last = words[-1]
            words[-1] = replace(last, end=max(last.end, end), last=place.last)
        else:
            words.append(replace(place, start=start, end=end))
    return words
