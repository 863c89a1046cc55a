"""Inline pronunciations, ``{HH AH0 L OW1}``: where they stand and how they change."""

from __future__ import annotations

import re

BRACES = re.compile(r"\{([^{}]*)\}")
"""A pronunciation; the group is what stands between the braces."""

_SIBILANTS = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})
_VOICELESS = frozenset({"P", "T", "K", "F", "TH"})


def possessive(phones: str) -> str:
    """Add the English possessive: ``IH0 Z`` to judge, ``S`` to cat, ``Z`` to dog."""
    last = phones.rsplit(maxsplit=1)[-1].upper()
    ending = "IH0 Z" if last in _SIBILANTS else "S" if last in _VOICELESS else "Z"
    return f"{phones} {ending}"
