"""Numbers in figures to words, as NVIDIA's front end spells them, in time linear in the text."""

from __future__ import annotations

import re
from functools import lru_cache

_BELOW_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_DECADES = "twenty thirty forty fifty sixty seventy eighty ninety"
_THOUSANDS = (
    "thousand million billion trillion quadrillion quintillion sextillion septillion octillion "
    "nonillion decillion"
)
_SMALL, _TENS, _SCALES = _BELOW_TWENTY.split(), _DECADES.split(), _THOUSANDS.split()
_IRREGULAR_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
MAX_NAMED_DIGITS = 3 * (len(_SCALES) + 1)
"""A number with more digits has no name and is read digit by digit."""

_MONEY_NAMES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
}

# The look-behinds keep a search from starting again at every digit of a long run.
_WITH_COMMAS = re.compile(r"[0-9][0-9,]+[0-9]")
_MONEY = re.compile(r"([$£€])([0-9.,]*[0-9])")
_DECIMAL = re.compile(r"(?<![0-9])([0-9]+)\.([0-9]+)")
_ORDINAL = re.compile(r"(?<![0-9])([0-9]+)(?:st|nd|rd|th)")
_NUMBER = re.compile(r"[0-9]+")


def expand_numbers(text: str) -> str:
    """Spell out every figure of lower-case text: amounts of money, decimals, ordinals, the rest."""
    text = _WITH_COMMAS.sub(lambda match: match[0].replace(",", ""), text)
    text = _MONEY.sub(lambda match: _money(match[1], match[2]), text)
    text = _DECIMAL.sub(r"\1 point \2", text)
    text = _ORDINAL.sub(lambda match: ordinal(match[1]), text)
    return _NUMBER.sub(lambda match: _cardinal_or_year(match[0]), text)


def cardinal(digits: str, conjunction: str = "") -> str:
    """Spell a number in words; one too long to have a name is read digit by digit.

    Args:
        digits: ASCII digits, any number of them.
        conjunction: the word before the tens and units, "and" or nothing.
    """
    if len(digits) > MAX_NAMED_DIGITS:
        return _digit_by_digit(digits)
    return _named(digits, conjunction)


def ordinal(digits: str) -> str:
    """Spell the ordinal of a number: ``one hundred and first``."""
    words = cardinal(digits, conjunction="and")
    start = max(words.rfind(" "), words.rfind("-")) + 1
    return words[:start] + _ordinal_of(words[start:])


def year(number: int) -> str:
    """Spell a number between 1000 and 3000 as a year is read: ``nineteen oh five``."""
    if 2000 <= number < 2010:
        return cardinal(str(number))
    century, rest = divmod(number, 100)
    if rest == 0:
        return f"{_below_hundred(century)} hundred"
    return f"{_below_hundred(century)} {'oh ' if rest < 10 else ''}{_below_hundred(rest)}"


def _money(sign: str, amount: str) -> str:
    one, many, one_part, many_parts = _MONEY_NAMES[sign]
    parts = amount.replace(",", "").split(".")
    if len(parts) > 2:
        return f"{amount} {many}"  # $1.2.3 is no amount: its figures are still read
    # Figures are left for the later rules; zeros go by text, for int() refuses long numbers.
    whole, part = (digits.lstrip("0") for digits in (*parts, "")[:2])
    spoken = []
    if whole:
        spoken.append(f"{whole} {one if whole == '1' else many}")
    if part:
        spoken.append(f"{part} {one_part if part == '1' else many_parts}")
    return ", ".join(spoken) or f"zero {many}"


def _cardinal_or_year(digits: str) -> str:
    if len(digits) <= MAX_NAMED_DIGITS and 1000 < int(digits) < 3000:
        return year(int(digits))
    return cardinal(digits)


@lru_cache(maxsize=1 << 12)
def _named(digits: str, conjunction: str) -> str:
    number = int(digits)
    if number < 100:
        return _below_hundred(number)
    groups = []
    for scale in reversed(range(len(_SCALES) + 1)):
        group = number // 1000**scale % 1000
        if group:
            words = _below_thousand(group, conjunction)
            groups.append(f"{words} {_SCALES[scale - 1]}" if scale else words)
    if 0 < number % 1000 < 100 and len(groups) > 1:
        last = groups.pop()  # one thousand [and] one: here no comma stands before the last group
        groups[-1] = _join(groups[-1], conjunction, last)
    return ", ".join(groups)


def _below_thousand(number: int, conjunction: str) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _below_hundred(rest)
    words = f"{_SMALL[hundreds]} hundred"
    return _join(words, conjunction, _below_hundred(rest)) if rest else words


def _below_hundred(number: int) -> str:
    if number < 20:
        return _SMALL[number]
    tens, rest = divmod(number, 10)
    return f"{_TENS[tens - 2]}-{_SMALL[rest]}" if rest else _TENS[tens - 2]


def _digit_by_digit(digits: str) -> str:
    """Read digits one at a time, with a breath after every third."""
    words = [_SMALL[int(digit)] for digit in digits]
    return ", ".join(" ".join(words[start : start + 3]) for start in range(0, len(words), 3))


def _ordinal_of(word: str) -> str:
    if word in _IRREGULAR_ORDINALS:
        return _IRREGULAR_ORDINALS[word]
    return f"{word[:-1]}ieth" if word.endswith("y") else f"{word}th"


def _join(*words: str) -> str:
    return " ".join(filter(None, words))
