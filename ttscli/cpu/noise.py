"""Random numbers of a sentence, in NumPy: they depend on nothing but its seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_CHUNK = 64  # decoder steps whose dropout masks are drawn at once


def dropout_masks(generator: np.random.Generator, width: int) -> Iterator[NDArray[np.float32]]:
    """Masks (2, width) of 0 and 2 for one decoder step after the other, without end."""
    while True:
        kept = generator.random((_CHUNK, 2, width), np.float32) < 0.5
        yield from kept * np.float32(2)


def normal_draws(
    generator: np.random.Generator, shapes: Sequence[tuple[int, int]]
) -> list[NDArray[np.float32]]:
    """Standard normal noise of these shapes."""
    return [generator.standard_normal(shape, np.float32) for shape in shapes]
