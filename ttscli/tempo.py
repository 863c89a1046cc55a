"""The tempo of speech: mel spectrograms stretched in time, which leaves the pitch as it is.

Tensor letters: T text symbols, F mel frames, M mel bins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ttscli.errors import UsageError

SLOWEST, FASTEST = 0.5, 2.0

Array = NDArray[np.float32]


def check_speed(speed: float) -> float:
    """The speed, if speech can be understood at it."""
    if not SLOWEST <= speed <= FASTEST:
        raise UsageError(f"the speed must be from {SLOWEST:g} to {FASTEST:g}, not {speed:g}")
    return speed


def stretched(frames: Array, speed: float) -> Array:
    """Frames in time order (F, ...) at another speed: F / speed of them, rounded, at least one.

    Each is read between the two that surround it in time, which for a log-mel is a mean of
    loudness in decibels, and for an alignment keeps the sum of its weights.
    """
    if speed == 1:
        return frames
    count = len(frames)
    new = max(1, round(count / speed))
    # Frames have a length: the first and the last are read at their middles, not at their edges.
    position = np.clip((np.arange(new) + 0.5) * count / new - 0.5, 0, count - 1)
    left = position.astype(np.intp)
    right = np.minimum(left + 1, count - 1)
    weight = (position - left).astype(np.float32).reshape(-1, *[1] * (frames.ndim - 1))
    return frames[left] * (1 - weight) + frames[right] * weight
