"""The attention check: whether speech reads its text, as its alignment and its gate tell.

Tensor letters: T text symbols, F mel frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ttscli.text.symbols import FIRST_SOUND

Floats = NDArray[np.float32]

# Beside each limit stands the worst of 1,116 sentences of the built-in voice, like those of
# `make bench-attention`, where an offline listener missed half of the words in none of 60 texts.
# Other voices are slower and make longer pauses, so that the limits of time are wide.
_HELD = 7  # frames (80 ms) that a place must be held: a glance elsewhere is not heard
_TOUCHED = 0.012  # seconds of attention below which a symbol was not read
_MOST_SKIPPED = 2  # symbols in a row; measured: 1
_LEAST_COVERAGE = 0.9  # measured: 0.988
_MOST_UNREAD = 2  # sounding symbols at the end; measured: 0
_MOST_BACK = 3  # symbols, a short word; measured: 1
_LONGEST_STALL = 1.0  # seconds; measured: 0.59, the silence behind a single letter
_FASTEST = 0.033  # seconds a sounding symbol; measured: 0.037 for 26 times "t", else 0.045
_SLOWEST = (1.0, 0.25)  # seconds for any text, and for each symbol; measured: a half of that


@dataclass(frozen=True, slots=True)
class Attention:
    """How a text was read."""

    ended: bool
    """Whether it came to its end by itself."""
    coverage: float
    """Share of the sounding symbols that were read."""
    skipped: int
    """Most sounding symbols in a row that were not."""
    unread: int
    """Sounding symbols behind the furthest place that was read."""
    back: int
    """Most symbols that the reading fell back."""
    stall_s: float
    """Longest time on one symbol, seconds."""
    rate: float
    """Sounding symbols a second."""
    problems: tuple[str, ...] = ()
    """What is wrong with that, in words; empty if nothing is."""
    tries: int = 1
    """How often it was read until it was as it is."""

    @property
    def good(self) -> bool:
        """Whether it passes."""
        return not self.problems


def check(ids: Sequence[int], alignment: Floats, ended: bool, seconds: float) -> Attention:
    """Judge how a text was read.

    Args:
        ids: its symbols (T,).
        alignment: attention weights (F, T).
        ended: whether it did so before the step limit.
        seconds: length of the speech.
    """
    sounds = np.asarray(ids) >= FIRST_SOUND
    times = alignment.sum(0) * (seconds / len(alignment))
    places = _places(alignment)
    furthest = np.maximum.accumulate(places)
    read = times[sounds] >= _TOUCHED
    count = int(sounds.sum())
    measured = Attention(
        ended=ended,
        coverage=round(float(read.mean()), 4) if count else 1.0,
        skipped=_longest_run(~read),
        unread=int(sounds[furthest[-1] + 1 :].sum()),
        back=int((furthest - places).max()),
        stall_s=round(float(times.max()), 3),
        rate=round(count / seconds, 2),
    )
    return _judged(measured, count, len(ids), seconds)


def worst(attentions: Sequence[Attention]) -> Attention:
    """The worst of each measure, and all the problems, of the sentences of a text."""
    return Attention(
        ended=all(a.ended for a in attentions),
        coverage=min(a.coverage for a in attentions),
        skipped=max(a.skipped for a in attentions),
        unread=max(a.unread for a in attentions),
        back=max(a.back for a in attentions),
        stall_s=max(a.stall_s for a in attentions),
        rate=max(a.rate for a in attentions),
        problems=tuple(dict.fromkeys(p for a in attentions for p in a.problems)),
        tries=max(a.tries for a in attentions),
    )


def _judged(measured: Attention, count: int, length: int, seconds: float) -> Attention:
    """With what is wrong, in words."""
    m = measured
    least, each = _SLOWEST
    wrong = {
        "it does not stop": not m.ended,
        f"it stops {m.unread} sounds before the end": m.unread > _MOST_UNREAD,
        f"it skips {m.skipped} sounds": m.skipped > _MOST_SKIPPED,
        f"it reads only {m.coverage:.0%}": m.coverage < _LEAST_COVERAGE,
        f"it goes back {m.back} symbols": m.back > _MOST_BACK,
        f"it stands still for {m.stall_s:.1f} s": m.stall_s > _LONGEST_STALL,
        f"it is too fast, {m.rate:.0f} sounds a second": seconds < _FASTEST * count,
        f"it is too slow, {m.rate:.1f} sounds a second": seconds > least + each * length,
    }
    return replace(m, problems=tuple(problem for problem, there in wrong.items() if there))


def _places(alignment: Floats) -> NDArray[np.int64]:
    """The symbol that is read in each frame (F,), glances elsewhere apart."""
    most = alignment.argmax(1)
    around = sliding_window_view(np.pad(most, _HELD // 2, mode="edge"), _HELD)
    held: NDArray[np.int64] = np.median(around, axis=1).astype(np.int64)
    return held


def _longest_run(flags: NDArray[np.bool_]) -> int:
    """Most flags in a row that are set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
