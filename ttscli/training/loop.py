"""What both trainers share: averaged weights, the learning rate's course, and resumable state."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

OnStep = Callable[[int], None]


def ignore(step: int) -> None:
    """An `OnStep` that does nothing."""


class Average:
    """An exponential moving average of a model's weights, which speaks better than the last step's.

    Its memory grows with the number of steps seen, so that the start is forgotten early.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps; buffers are copied."""
        keep = min(self.decay, (step + 1) / (step + 20))
        averaged: list[Tensor] = list(self.model.parameters())
        current: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(averaged, current, 1 - keep)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)


@dataclass(frozen=True)
class Schedule:
    """The learning rate's course: a short rise, a plateau, and a fall over the rest."""

    peak: float
    """Rate on the plateau."""
    end: float
    """Rate at the last step."""
    steps: int
    """Steps in all."""
    hold: float
    """Share of the steps after which the rate falls."""
    warmup: int = 50
    """Steps of the rise."""

    def rate(self, step: int) -> float:
        """Learning rate of a step: the fall is exponential."""
        fall = max(0.0, (step / self.steps - self.hold) / (1 - self.hold))
        decayed = self.peak * (self.end / self.peak) ** min(1.0, fall)
        return float(decayed * min(1.0, (step + 1) / self.warmup))


class Log:
    """A file of JSON lines, one for each report of a trainer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start, self._cpu = time.time(), time.process_time()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line: the step, seconds and CPU seconds since the start, and the values."""
        times = {"wall_s": time.time() - self._start, "cpu_s": time.process_time() - self._cpu}
        line = {"step": step, **{k: round(float(v), 5) for k, v in {**times, **values}.items()}}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class Means:
    """Running means of named numbers between two reports."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, values: Mapping[str, Tensor | float]) -> None:
        """Take in one step's numbers."""
        self._count += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: total / max(1, self._count) for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means


class TrainingState:
    """A model in training with its average, optimizer and step: saved and resumed as one.

    Args:
        path: the file; if it is there, its state is taken up.
        model: what is trained.
        optimizer: of its parameters.
        decay: of the averaged weights.
    """

    def __init__(
        self, path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, decay: float
    ) -> None:
        self.path, self.model, self.optimizer = path, model, optimizer
        self.average, self.step = Average(model, decay), 0
        if path.exists():
            state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
            model.load_state_dict(state["model"])
            self.average.model.load_state_dict(state["average"])
            optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]

    def advance(self, loss: Tensor, rate: float, clip: float) -> float:
        """One optimizer step down the gradient of `loss`; returns the gradient's norm."""
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        norm = apply_gradient(self.optimizer, self.model, rate, clip)
        self.step += 1
        self.average.update(self.model, self.step)
        return norm

    def save(self) -> None:
        """Write the file so that a kill at any moment leaves the old one or the new one."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)


def apply_gradient(
    optimizer: torch.optim.Optimizer, model: nn.Module, rate: float, clip: float
) -> float:
    """One step of the optimizer at `rate`, unless the gradient is not finite; returns its norm."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), clip))
    if math.isfinite(norm):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm
