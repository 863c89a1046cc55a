"""Whether a quick way computes what the plain one does, on the device where it is to be used.

Kernels are made on each machine, by its own compiler, for its own GPU: what they say there is worth
more than any test elsewhere.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

_MOST = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 4e-2}
"""Difference, as a share of the numbers' size: some times what rounding makes."""


class Random:
    """Normal random numbers of a tensor's type, where it is, the same each time.

    Args:
        like: the tensor.
    """

    def __init__(self, like: Tensor) -> None:
        self._like, self._generator = like, Generator().manual_seed(0)

    def __call__(self, *shape: int) -> Tensor:
        """Of a shape."""
        return torch.randn(shape, generator=self._generator).to(self._like)


def distance(ours: Tensor, plain: Tensor) -> float:
    """Of results of the same numbers, as a share of their size."""
    return float((ours.float() - plain.float()).norm() / plain.float().norm())


def compare(ours: Tensor, plain: Tensor, dtype: torch.dtype, rounding: float = 0.0) -> None:
    """Compare results of the same numbers in a precision.

    Args:
        ours: of the quick way.
        plain: of the plain one.
        dtype: the precision of ours.
        rounding: how far the plain way in this precision is from itself in a finer one.

    Raises:
        ArithmeticError: they differ by more than rounding explains, or are no numbers.
    """
    difference = distance(ours, plain)
    if not difference <= max(_MOST[dtype], 3 * rounding):  # nor if it is no number
        raise ArithmeticError(f"its results differ from plain torch's by {difference:.1%}")
