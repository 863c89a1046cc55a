"""What engines take and give: sentences that wait to be spoken, and sentences as audio.

Tensor letters: T text symbols, F mel frames, M mel bins, S samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

_FADE = np.linspace(1, 0, 110, dtype=np.float32)  # 5 ms at 22050 Hz


@dataclass(frozen=True)
class Reading:
    """A sentence that waits to be spoken."""

    ids: Sequence[int]
    """As the voice reads it: an id per symbol (T,)."""
    seed: np.random.SeedSequence
    """Where all of its noise starts."""
    constrained: bool = False
    """Whether it is read strictly onwards, whatever the attention would do."""
    speed: float = 1.0
    """Its tempo; 2 takes half the time."""


@dataclass(frozen=True)
class Spoken:
    """A sentence as audio."""

    samples: Samples
    """Its samples (S,)."""
    finished: bool
    """False if it ran into the step limit."""
    mel: NDArray[np.float32]
    """Its log-mel (M, F)."""
    alignment: NDArray[np.float32]
    """The attention that read it (F, T)."""
    overflowed: bool = False
    """Whether half precision had no room for its numbers, and it was computed again in single."""


def faded_out(samples: Samples) -> Samples:
    """Samples that end in nothing: what a vocoder cuts off in a vowel would click."""
    steady, ending = np.split(samples, [-len(_FADE)])
    return np.concatenate([steady, ending * _FADE[-len(ending) :]])


class Engine(Protocol):
    """Speaks sentences, each as it would be spoken alone."""

    def speak(self, readings: Iterable[Reading], batch_size: int = 1) -> Iterator[Spoken]:
        """The sentences as audio, in order; `readings` is read only a little ahead.

        Args:
            readings: what to speak.
            batch_size: how many are computed together.
        """


class Waiting:
    """Readings to be taken a few at a time, up to the first error among them."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._readings = iter(readings)
        self.failure: Exception | None = None
        """What reading them has raised."""

    def take(self, count: int) -> list[Reading]:
        """The next ones, fewer at the end or in front of an error."""
        taken: list[Reading] = []
        try:
            for reading in islice(self._readings, count):
                taken.append(reading)
        except Exception as error:
            self.failure, self._readings = error, iter(())
        return taken


def child_seed(seed: np.random.SeedSequence, index: int) -> np.random.SeedSequence:
    """The seed's child of that index; `spawn` would count on in the seed itself."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, index))
