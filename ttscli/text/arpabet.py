"""Inline pronunciations, ``{HH AH0 L OW1}``: where they stand and how they change."""

from __future__ import annotations

import re

from ttscli.text.symbols import PHONES

BRACES = re.compile(r"\{([^{}]*)\}")
"""A pronunciation; the group is what stands between the braces."""

_PHONE = re.compile(r"[A-Z]{1,2}[0-9]?")

_KNOWN = frozenset(PHONES)
_SIBILANTS = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})
_VOICELESS = frozenset({"P", "T", "K", "F", "TH"})


def meant_as_phones(text: str) -> bool:
    """Whether what stands in braces is a pronunciation, perhaps a wrong one, and not {this}."""
    symbols = text.split()
    known = sum(symbol.upper() in _KNOWN for symbol in symbols)
    return 2 * known >= len(symbols) or all(map(_PHONE.fullmatch, symbols))


def possessive(phones: str) -> str:
    """Add the English possessive: ``IH0 Z`` to judge, ``S`` to cat, ``Z`` to dog."""
    last = phones.rsplit(maxsplit=1)[-1].upper()
    ending = "IH0 Z" if last in _SIBILANTS else "S" if last in _VOICELESS else "Z"
    return f"{phones} {ending}"
