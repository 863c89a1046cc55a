"""Rows of any lengths as one tape in time, which is worked on in even windows.

Letters: F mel frames of the tape, P groups of a frame. Between rows lie frames of silence, in
which every convolution sees the zeros that it would see after the end of a row that is alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_FINEST = 32  # frames that a window is a multiple of
_STEPS = 16  # lengths between a power of two and the next: what is few is met often


@dataclass(frozen=True)
class Window:
    """Frames that are computed at once."""

    start: int
    """The first that is read."""
    frames: int
    """How many are read."""
    skipped: int
    """Of those, in front and at the end: there for what is between them to see."""


@dataclass(frozen=True)
class Tape:
    """Where rows lie on a tape, and how it is cut."""

    rows: tuple[slice, ...]
    """The frames of each row."""
    frames: int
    """Length of the tape, with what its windows read before and after the rows."""
    windows: tuple[Window, ...]
    """What is kept of them covers every row once."""


def lay(rows: Sequence[int], gap: int, context: int, most: int) -> Tape:
    """Lay rows of so many frames on a tape.

    Args:
        rows: frames of each.
        gap: frames of silence between them.
        context: frames on each side that a frame's result depends on.
        most: frames of a window at most.
    """
    assert most > 2 * context
    places, end = [], context
    for row in rows:
        places.append(slice(end, end + row))
        end += row + gap
    end -= gap
    if end - context <= most:  # one window sees all there is and needs nothing around it
        whole = min(_rounded(end - context), most)
        return Tape(tuple(places), context + whole, (Window(context, whole, 0),))
    windows, kept = [], context
    while kept < end:
        frames = min(_rounded(end - kept + 2 * context), most)
        windows.append(Window(kept - context, frames, context))
        kept += frames - 2 * context
    return Tape(tuple(places), kept + context, tuple(windows))


def _rounded(frames: int) -> int:
    """A length of which there are few, at most an eighth longer where it is not short."""
    step = max(_FINEST, (1 << (frames - 1).bit_length()) // _STEPS)
    return -(-frames // step) * step
