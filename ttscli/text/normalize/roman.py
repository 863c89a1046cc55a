"""Roman numerals: rulers, chapters, wars, centuries, years."""

from __future__ import annotations

import re

from ttscli.text.normalize import words
from ttscli.text.normalize.letters import shouts
from ttscli.text.normalize.rules import Rule, rest, word_after, word_before

_RULERS = frozenset(
    "henry elizabeth george charles louis william james edward richard philip catherine"
    " napoleon paul pius benedict leo john gregory innocent clement urban alexander nicholas"
    " peter frederick ferdinand wilhelm otto ramses ramesses ptolemy cleopatra mary margaret"
    " christian gustav gustavus harald olaf haakon alfonso carlos juan isabella joseph francis"
    " franz leopold maximilian rudolf sixtus boniface celestine constantine justinian theodosius"
    " darius xerxes artaxerxes mehmed murad selim suleiman malcolm robert david baldwin humbert"
    " umberto victor emmanuel pedro manuel ivan sigismund stephen augustus thutmose amenhotep"
    " seti tutmose antiochus seleucus mithridates eric canute beatrix willem albert rainier"
    " hussein abdullah akbar charlemagne".split()
)
_COUNTED = frozenset(
    "chapter part act scene volume vol book section article appendix phase stage title class"
    " type level war world bowl olympiad grade verse canto episode season level mark apollo"
    " gemini saturn factor figure table schedule tier corps rocky rambo page pages sonata"
    " symphony opus lesson unit theorem fantasy quest chapters parts books acts iteration group"
    " category division".split()
)
_BEHIND_NUMERALS = frozenset("of and or to through is".split())
_SHORT = frozenset("vol vols ch pt bk".split())
_COUNTED_SMALL = frozenset("scene page pages part section chapter".split())
_NUMERAL = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_LETTER_X = frozenset("malcolm generation gen".split())
_VERBS = frozenset(
    "am think know will would can could believe hope guess suppose wonder mean want went saw"
    " feel love must should may might".split()
)


def value(numeral: str) -> int:
    """The number of a well-formed numeral; 0 of any other."""
    if not numeral or not _NUMERAL.fullmatch(numeral):
        return 0
    total = 0
    for letter, following in zip(numeral, [*numeral[1:], "I"], strict=True):
        worth = _VALUES[letter]
        total += -worth if worth < _VALUES[following] else worth
    return total


_ORDERED = frozenset("century centuries dynasty legion olympiad congress corps olympics".split())


def _numeral(match: re.Match[str]) -> str | None:
    numeral, ending = match[1], match[2] or ""
    number = str(value(numeral.upper()))
    before, after = word_before(match), word_after(match).lower()
    owner = ending if ending == "'s" else ""
    counts = number != "0" and _is_count(numeral, before.lower())
    if numeral == "I" and before.islower() and after and after not in _BEHIND_NUMERALS:
        return None  # the book I bought
    if numeral == "X" and before.lower() in _LETTER_X:
        return "X"
    if counts or numeral.islower() or number == "0":
        return words.cardinal(number) + owner if counts else None
    if before.lower() in _RULERS and before[:1].isupper() and int(number) < 40:
        pronoun = numeral == "I" and (after in _VERBS or rest(match)[:1] == "'")
        return None if pronoun else f"the {words.ordinal(number)}{owner}"
    if after in _ORDERED or ending in ("th", "st", "nd", "rd"):
        return words.ordinal(number) + owner if len(numeral) > 1 else None
    drip = numeral == "IV" and before.lower() in ("an", "the", "by")
    alone = None if drip or len(numeral) == 1 else _by_itself(numeral, number)
    return alone and alone + owner


def _by_itself(numeral: str, number: str) -> str | None:
    """How a numeral with nothing around it to explain it is read, if it is one."""
    if numeral.startswith("M") and len(numeral) > 3:
        return words.year(number)
    return words.cardinal(number) if set(numeral) <= set("IVX") else None


def _is_count(numeral: str, name: str) -> bool:
    """Whether a numeral counts what is named before it: chapter IV, scene ii."""
    if numeral.isupper():
        return name in _COUNTED or name in _SHORT
    return name in _COUNTED_SMALL and numeral != "i" and len(numeral) < 6


def _range(match: re.Match[str]) -> str | None:
    low, high = value(match[1].upper()), value(match[2].upper())
    if match[1].islower() and word_before(match) not in ("pp", "p", "pages", "page"):
        return None
    if not low or not high or low >= high or (shouts(match.string) and not word_before(match)):
        return None
    return f"{words.cardinal(str(low))} to {words.cardinal(str(high))}"


WORD_RULES = (
    Rule("Roman numeral", r"([IVXLivxl]{1,7})[-–]([IVXLivxl]{1,7})(?![A-Za-z0-9])", _range),
    Rule(
        "Roman numeral",
        r"([IVXLCDM]{1,15}|[ivx]{1,5})('s|th|st|nd|rd)?(?![A-Za-z0-9]|'[a-rt-z])",
        _numeral,
    ),
)
