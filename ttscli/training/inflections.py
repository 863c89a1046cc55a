"""Regular inflections: said like their base word where a teacher's letter-to-sound rules fail."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set

from ttscli.text.arpabet import possessive

Phones = tuple[str, ...]

# How a spelling ends, what its base has there instead, and which ending that is.
_SPELLINGS = (
    ("s", "", "s"), ("es", "", "s"), ("ies", "y", "s"),
    ("ed", "e", "ed"), ("ed", "", "ed"), ("ied", "y", "ed"),
    ("ing", "e", "ing"), ("ing", "", "ing"), ("ly", "", "ly"), ("ness", "", "ness"),
)  # fmt: skip
_SHORTEST_BASE = 3
_VOWEL = "*"
_VOICED = {"S": "Z", "TH": "DH", "F": "V"}  # closing, housed, halves
_VOICELESS = frozenset({"P", "K", "F", "TH", "S", "SH", "CH"})


def regular(lexicon: Mapping[str, Phones], known: Set[str]) -> dict[str, Phones]:
    """The inflections that a teacher only guesses, and not as their base is said.

    Left alone is a guess that may be another word of the same letters, see `_may_be_right`. One
    that has no stress is always replaced.

    Args:
        lexicon: pronunciations, known and guessed.
        known: the words that the teacher has in its dictionary.
    """
    found = {}
    for word, guess in lexicon.items():
        bases = [(base, ending) for base, ending in _bases(word) if base in lexicon]
        if _stress(guess) >= 0:
            explained = [(b, e) for b, e in bases if _sounds_like(guess, lexicon[b], e)]
            if any(_may_be_right(guess, lexicon[base], ending) for base, ending in explained):
                continue
            bases = explained or bases
        for base, ending in bases:
            known_base = base in known or (_stress(guess) < 0 <= _stress(lexicon[base]))
            if word not in known and known_base:
                found[word] = _inflected(lexicon[base], ending)
                break
    return found


def _bases(word: str) -> Iterator[tuple[str, str]]:
    """What a word may be an inflection of, and by which ending."""
    for written, replaced, ending in _SPELLINGS:
        base = word.removesuffix(written) + replaced
        if not word.endswith(written) or len(base) < _SHORTEST_BASE:
            continue
        if ending == "s" and word.endswith("ss"):
            continue
        if ending != "ness" and base.endswith(("ate", "ical")):
            continue  # verbs are not said like adjectives: separating; basically loses a vowel
        yield base, ending
        if not replaced and ending in ("ed", "ing") and base[-1] == base[-2]:
            yield base[:-1], ending


def _inflected(phones: Phones, ending: str) -> Phones:
    last = phones[-1]
    if ending == "s":
        return tuple(possessive(" ".join(phones)).split())
    sounds = {
        "ed": "AH0 D" if last in ("T", "D") else "T" if last in _VOICELESS else "D",
        "ing": "IH0 NG",
        "ly": "IY0" if last == "L" else "L IY0",
        "ness": "N AH0 S",
    }
    return (*phones, *sounds[ending].split())


def _sounds_like(guess: Phones, base: Phones, ending: str) -> bool:
    """Whether a guess has the consonants of the inflection, the base's last one voiced or not."""
    voiced = (*base[:-1], _VOICED.get(base[-1], base[-1]))
    return _sounds(guess) in (
        _sounds(_inflected(base, ending)),
        _sounds(_inflected(voiced, ending)),
    )


def _may_be_right(guess: Phones, base: Phones, ending: str) -> bool:
    """Whether a guess that sounds like an inflection is perhaps another word or form of it.

    That is so if it is that very inflection, the last consonant is voiced ("closing"), the stress
    is elsewhere ("recording"), or the base is one syllable ("reading", "winding").
    """
    if guess == _inflected(base, ending):
        return True
    one_syllable = _sounds(base).count(_VOWEL) == 1
    voiced = _sounds(guess) != _sounds(_inflected(base, ending))
    return one_syllable or voiced or _stress(guess) != _stress(base)


def _sounds(phones: Phones) -> list[str]:
    """Consonants, and where vowels are; ER is a vowel before R."""
    apart = re.sub(r"ER\d", f"{_VOWEL} R", " ".join(phones))
    return re.sub(r"[A-Z]+\d", _VOWEL, apart).split()


def _stress(phones: Phones) -> int:
    """Which vowel is stressed, -1 if none is."""
    vowels = [phone for phone in phones if phone[-1].isdigit()]
    return next((i for i, vowel in enumerate(vowels) if vowel.endswith("1")), -1)
