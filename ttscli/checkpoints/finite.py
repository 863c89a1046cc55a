"""Refuses weights that are no numbers, in one pass at the speed of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ttscli.errors import VoiceError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_finite(name: str, array: NDArray[Any]) -> None:
    """Refuse a tensor with NaN or infinite numbers, and say which and how many."""
    import numpy as np

    flat = array.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum of squares is finite only if every number is, and takes one pass without memory.
        # It may overflow where all are finite: then one looks closer.
        if np.isfinite(np.dot(flat, flat)):
            return
    nan, infinite = int(np.isnan(flat).sum()), int(np.isinf(flat).sum())
    counts = [f"{count} {what}" for count, what in ((nan, "NaN"), (infinite, "infinite")) if count]
    if counts:
        found = f"{' and '.join(counts)} of {flat.size}"
        raise VoiceError(f"the tensor {name} has numbers that are not finite: {found}")
