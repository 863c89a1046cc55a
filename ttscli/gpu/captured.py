"""WaveGlow's steps as CUDA graphs, for the lengths that come again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

SHORT, MOST_FRAMES = 512, 8192
"""Frames of a length that is always recorded, for a GPU waits most for what is short; and of all
longer lengths together whose steps are recorded: a graph keeps the memory that it takes."""

Step = Callable[[int, Tensor, Tensor, Tensor], Tensor]
Replay = Callable[[], None]


class CapturedSteps:
    """A step (k, inputs) that is recorded where its k and the inputs' length come again.

    The first time it runs as it is: what comes once is not worth a graph.

    Args:
        step: of k and of inputs, the second of which has the length; it changes none of them.
        record: makes a graph of work, see `gpu.graphs.Recorder`.
    """

    def __init__(self, step: Step, record: Callable[[Replay], Replay]) -> None:
        self._step, self._record = step, record
        self._seen: dict[int, set[int]] = {}
        self._held: dict[int, _Held] = {}

    def __call__(self, k: int, x: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
        """The step's result, which the next call may overwrite."""
        length = len(mel)
        seen = self._seen.setdefault(length, set())
        if k not in seen or self._too_much(length):
            seen.add(k)
            return self._step(k, x, mel, mask)
        if length not in self._held:
            like = torch.empty_like
            self._held[length] = _Held(like(x), like(mel), like(mask), like(x))
        held = self._held[length]
        held.x.copy_(x)
        held.mel.copy_(mel)
        held.mask.copy_(mask)
        if k not in held.replays:
            held.replays[k] = self._record(partial(self._work, k, held))
        held.replays[k]()
        return held.result

    def _too_much(self, length: int) -> bool:
        if length <= SHORT or length in self._held:
            return False
        return sum(held for held in self._held if held > SHORT) + length > MOST_FRAMES

    def _work(self, k: int, held: _Held) -> None:
        held.result.copy_(self._step(k, held.x, held.mel, held.mask))


@dataclass(frozen=True)
class _Held:
    """What the captured steps of a length work on."""

    x: Tensor
    """Where they read the state."""
    mel: Tensor
    """Where they read the mel."""
    mask: Tensor
    """Where they read the mask."""
    result: Tensor
    """Where they write."""
    replays: dict[int, Replay] = field(default_factory=dict)
    """The captured steps."""
