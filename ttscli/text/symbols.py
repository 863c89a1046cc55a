"""The 148 symbols of NVIDIA's Tacotron 2; a symbol's id is its place in the list."""

from __future__ import annotations

import string

PAD = "_"
PUNCTUATION = "-!'(),.:;? "
LETTERS = string.ascii_uppercase + string.ascii_lowercase
_STRESSABLE = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"

PHONES = sorted(
    _CONSONANTS.split()
    + [vowel + stress for vowel in _STRESSABLE.split() for stress in ("", *"012")]
)
"""ARPAbet, each vowel bare and with its three stresses."""

SYMBOLS = [PAD, *PUNCTUATION, *LETTERS, *("@" + phone for phone in PHONES)]
SYMBOL_TO_ID = {symbol: index for index, symbol in enumerate(SYMBOLS)}

WRITTEN = frozenset(PUNCTUATION + LETTERS)
"""Characters of a text that have an id; the pad has one too, but is never written."""

FIRST_SOUND = SYMBOL_TO_ID["A"]
"""Ids from here on are letters and phones: they sound, where those before only pace the speech."""
