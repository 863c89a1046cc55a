"""The text cleaners of NVIDIA's front end: written English to the letters that are spoken."""

from __future__ import annotations

import re
from collections.abc import Callable

from ttscli.text.characters import transliterate
from ttscli.text.numbers import expand_numbers

# In NVIDIA's order, for one expansion can make or break the word boundary that the next needs;
# "misess" is how the published voices learned to say Mrs.
_ABBREVIATIONS = [
    (re.compile(rf"\b{short}\."), full)
    for short, full in {
        "mrs": "misess",
        "mr": "mister",
        "dr": "doctor",
        "st": "saint",
        "co": "company",
        "jr": "junior",
        "maj": "major",
        "gen": "general",
        "drs": "doctors",
        "rev": "reverend",
        "lt": "lieutenant",
        "hon": "honorable",
        "sgt": "sergeant",
        "capt": "captain",
        "esq": "esquire",
        "ltd": "limited",
        "col": "colonel",
        "ft": "fort",
    }.items()
]
_WHITE_SPACE = re.compile(r"\s+")


def english_cleaners(text: str) -> str:
    """Transliterate, lower the case, spell out numbers and abbreviations, collapse white space."""
    text = expand_numbers(transliterate(text).lower())
    return _WHITE_SPACE.sub(" ", expand_abbreviations(text))


def expand_abbreviations(text: str) -> str:
    """Write out titles and the like in lower-case text: ``dr.`` becomes ``doctor``."""
    for abbreviation, full in _ABBREVIATIONS:
        text = abbreviation.sub(full, text)
    return text


CLEANERS: dict[str, Callable[[str], str]] = {"english_cleaners": english_cleaners}
"""The cleaners that a voice can name."""
