"""What is done about a sentence whose speech fails the attention check: it is spoken again.

Tensor letters: T text symbols, F mel frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ttscli.attention import Attention, check
from ttscli.readings import Engine, Reading, Spoken, child_seed
from ttscli.tempo import stretched
from ttscli.text.symbols import FIRST_SOUND, SYMBOL_TO_ID

_OTHER_SEEDS = 2  # tries of a whole sentence: they mend single slips
_FIRST_CHILD = 2  # of a sentence's seed: those before are its own noise
_DEEPEST = 2  # halvings: a quarter of the longest sentence is a dozen words
_COMMA, _SPACE = SYMBOL_TO_ID[","], SYMBOL_TO_ID[" "]
_CLAUSE_ENDS = frozenset(SYMBOL_TO_ID[mark] for mark in ".,;:!?")


@dataclass(frozen=True)
class Read:
    """A sentence, spoken and judged."""

    spoken: Spoken
    """The audio, and how it came about."""
    attention: Attention
    """What the check says about that."""


OnRetry = Callable[[str, Attention], None]
"""Takes how a sentence is spoken next, and what was wrong before."""


class Ladder:
    """Speaks a sentence again until it passes the check.

    First with other noise, then with the attention held to the text's order, then in two parts,
    each as it comes, with such an attention, and in two parts once more: 16 tries at most. Where
    all fail, what has the least wrong is kept. A sentence's tries depend on nothing but its symbols
    and its seed, so that they are the same in any batch.

    Args:
        engine: what speaks.
        sample_rate: of its audio.
    """

    def __init__(self, engine: Engine, sample_rate: int) -> None:
        self._engine, self._sample_rate = engine, sample_rate

    def climb(self, reading: Reading, spoken: Spoken, on_retry: OnRetry, halvings: int = 0) -> Read:
        """The sentence as it is to be heard.

        Args:
            reading: the sentence.
            spoken: as it was spoken first.
            on_retry: is told of each further try.
            halvings: how often its sentence was cut in two until it became this part of it.
        """
        best = self._judged(reading, spoken)
        for way, changed in _other_ways(reading, 0 if halvings else _OTHER_SEEDS):
            if best.attention.good:
                return best
            on_retry(way, best.attention)
            best = _better(best, self._judged(reading, self._speak(changed)))
        cut = _middle(reading.ids)
        if cut is not None and halvings < _DEEPEST and not best.attention.good:
            on_retry("two parts", best.attention)
            best = _better(best, self._in_two(reading, cut, on_retry, halvings + 1))
        return best

    def _speak(self, reading: Reading) -> Spoken:
        [spoken] = self._engine.speak([reading])
        return spoken

    def _judged(self, reading: Reading, spoken: Spoken, tries: int = 1) -> Read:
        # It is judged at the tempo at which the voice read it.
        seconds = len(spoken.samples) / self._sample_rate * reading.speed
        alignment = stretched(spoken.alignment, 1 / reading.speed)
        attention = check(reading.ids, alignment, spoken.finished, seconds)
        return Read(spoken, replace(attention, tries=tries))

    def _in_two(self, reading: Reading, cut: int, on_retry: OnRetry, halvings: int) -> Read:
        """The sentence in two parts, judged as a whole."""
        ids = list(reading.ids)
        starts = 0, cut + 1
        # What ends the first part is a pause, and no longer a space.
        parts = [[*ids[:cut], ids[cut] if ids[cut] in _CLAUSE_ENDS else _COMMA], ids[cut + 1 :]]
        if parts[1][0] == _SPACE:
            parts[1], starts = parts[1][1:], (0, cut + 2)
        reads = []
        for index, part in enumerate(parts, start=_FIRST_CHILD + _OTHER_SEEDS):
            own = replace(reading, ids=part, seed=child_seed(reading.seed, index))
            reads.append(self.climb(own, self._speak(own), on_retry, halvings))
        joined = _joined([read.spoken for read in reads], starts, len(ids))
        return self._judged(reading, joined, sum(read.attention.tries for read in reads))


def _other_ways(reading: Reading, seeds: int) -> Iterator[tuple[str, Reading]]:
    for index in range(_FIRST_CHILD, _FIRST_CHILD + seeds):
        yield "another seed", replace(reading, seed=child_seed(reading.seed, index))
    yield "constrained attention", replace(reading, constrained=True)


def _better(one: Read, other: Read) -> Read:
    """The one with less wrong, the first of equals, with the tries of both."""

    def wrong(read: Read) -> tuple[int, int, float]:
        a = read.attention
        return len(a.problems), a.skipped + a.unread + a.back, -a.coverage

    best = min(one, other, key=wrong)
    tries = one.attention.tries + other.attention.tries
    return replace(best, attention=replace(best.attention, tries=tries))


def _middle(ids: Sequence[int]) -> int | None:
    """Where to cut: at the end of a clause near the middle, else at the space nearest to it."""
    sounding = [i for i, symbol in enumerate(ids) if symbol >= FIRST_SOUND]
    inside = range(sounding[0] + 1, sounding[-1])
    quarter = len(ids) / 4
    near = [
        i for i in inside
        if ids[i] in _CLAUSE_ENDS and ids[i + 1] == _SPACE and quarter <= i <= 3 * quarter
    ]  # fmt: skip
    places = near or [i for i in inside if ids[i] == _SPACE]
    return min(places, key=lambda i: abs(2 * i - len(ids)), default=None)


def _joined(parts: Sequence[Spoken], starts: Sequence[int], symbols: int) -> Spoken:
    """Parts of a sentence as one: each read its own of the symbols, from its start on."""
    frames = sum(len(part.alignment) for part in parts)
    alignment = np.zeros((frames, symbols), np.float32)
    done = 0
    for part, start in zip(parts, starts, strict=True):
        frames, width = part.alignment.shape
        alignment[done : done + frames, start : start + width] = part.alignment
        done += frames
    return Spoken(
        samples=np.concatenate([part.samples for part in parts]),
        finished=all(part.finished for part in parts),
        mel=np.concatenate([part.mel for part in parts], axis=1),
        alignment=alignment,
        overflowed=any(part.overflowed for part in parts),
    )
