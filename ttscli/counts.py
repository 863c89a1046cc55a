"""Numbers of things, as messages say them."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """The number and its noun: ``1 line``, ``2 lines``."""
    return f"{number} {noun}{'s' * (number != 1)}"
