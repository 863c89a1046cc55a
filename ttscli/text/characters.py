"""Single characters: which are not text, which are silent by nature, how to write each in ASCII."""

from __future__ import annotations

import re
import string
import unicodedata
from functools import lru_cache

from ttscli.text.symbols import WRITTEN

LEFT_TO_CLEANERS = frozenset(string.digits + "$£€")
"""Spoken or not by what stands beside them: only the cleaners can tell."""

_SPEAKABLE = WRITTEN | LEFT_TO_CLEANERS | set(string.whitespace)

_NOT_TEXT = re.compile("[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")

# Bracket and quote categories, and what only formats (joiners, direction marks, soft hyphens).
# An accent without a sound of its own belongs to its letter, which is spoken.
_SILENT_CATEGORIES = frozenset({"Zs", "Zl", "Zp", "Ps", "Pe", "Pi", "Pf", "Cf", "Mn"})
_SILENT = frozenset("\"'`")

# Where unidecode's choice would be read wrongly ("PS five") or would glue two words together.
_OWN_SPELLINGS = {"£": "£", "€": "€", "—": " -- ", "―": " -- ", "°": " degrees "}


def sanitise(text: str) -> str:
    """Put U+FFFD for control characters and lone surrogates, so that text can be cut and shown."""
    return _NOT_TEXT.sub("\ufffd", text)


@lru_cache(maxsize=1 << 16)
def ascii_of(character: str) -> str:
    """Spell one character in ASCII, save for currencies, which stay; "" if there is no spelling."""
    if character.isascii():
        return character
    if character in _OWN_SPELLINGS:
        return _OWN_SPELLINGS[character]
    if unicodedata.category(character) == "Cs":
        return ""  # half of a pair that was cut; unidecode would warn

    from unidecode import unidecode

    return str(unidecode(character))


def transliterate(text: str) -> str:
    """Write text in ASCII, save for currencies."""
    return text if text.isascii() else "".join(map(ascii_of, text))


@lru_cache(maxsize=1 << 16)
def is_lost(character: str) -> bool:
    """Tell whether a character, or a part of it, is left out though one would expect to hear it."""
    if character.isspace() or character in _SILENT:
        return False
    if unicodedata.category(character) in _SILENT_CATEGORIES:
        return False
    spelling = ascii_of(character)
    return not spelling.strip() or not set(spelling) <= _SPEAKABLE
