"""Figures to words as a newsreader says them: without commas, digits after the point one by one."""

from __future__ import annotations

from ttscli.text import numbers

NUMBER = (
    r"(?:[0-9]{1,3}(?: [0-9]{3}){2,12}(?![0-9])|[0-9]{1,3}(?:[,\u00a0\u202f\u2009'][0-9]"
    r"{3}){1,12}(?![0-9])|[0-9]{1,40}(?![0-9]))"
    r"(?:\.[0-9]{1,40}(?![0-9]))?"
)
"""A number without a sign, as a piece of a pattern."""

FRACTION_SIGNS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5",
    "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅐": "1/7", "⅛": "1/8", "⅜": "3/8",
    "⅝": "5/8", "⅞": "7/8", "⅑": "1/9", "⅒": "1/10", "↉": "0/3",
}  # fmt: skip

_GROUPING = str.maketrans("", "", " ,'\u00a0\u202f\u2009")


def cardinal(digits: str) -> str:
    """A whole number: ``one thousand two hundred thirty-four``; with zeros in front, digits."""
    digits = digits.translate(_GROUPING)
    if digits[0] == "0" and len(digits) > 1:
        return one_by_one(digits)
    words = numbers.cardinal(digits)
    return words if len(digits) > numbers.MAX_NAMED_DIGITS else words.replace(",", "")


def one_by_one(digits: str) -> str:
    """Each digit by itself, with a breath after every third of a long row."""
    if len(digits) > 12:
        groups = (digits[start : start + 3] for start in range(0, len(digits), 3))
        return ", ".join(one_by_one(group) for group in groups)
    return " ".join(numbers.cardinal(digit) for digit in digits)


def number(written: str) -> str:
    """A number with a point or without: ``three point one four``."""
    whole, _, part = written.translate(_GROUPING).partition(".")
    if not part:
        return cardinal(whole)
    head = cardinal(whole) if whole else ""
    return f"{head} point {one_by_one(part)}".strip()


def value(written: str) -> float:
    """What a number is worth."""
    return float(written.translate(_GROUPING))


def ordinal(digits: str) -> str:
    """The ordinal of a number: ``one hundred first``."""
    digits = digits.translate(_GROUPING).lstrip("0") or "0"
    return numbers.ordinal(digits).replace(" and ", " ").replace(",", "")


def year(digits: str) -> str:
    """A year: ``nineteen oh five``, ``two thousand``, ``twenty twenty-four``."""
    value = int(digits)
    if len(digits) != 4 or not 1000 < value < 3000 or value == 2000:
        return cardinal(digits.lstrip("0") or "0")
    return numbers.year(value)


def short_year(digits: str) -> str:
    """The last two digits of a year: ``oh seven``, ``ninety-nine``."""
    return f"oh {cardinal(digits[1])}" if digits[0] == "0" else cardinal(digits)


def in_pairs(digits: str) -> str:
    """A room's or a flight's number: ``one oh one``, ``three seventy``, ``twelve oh four``."""
    if len(digits) not in (3, 4) or digits.endswith("00") or digits[0] == "0":
        return cardinal(digits)
    head, tail = digits[:-2], digits[-2:]
    return f"{cardinal(head)} {short_year(tail)}"


def fraction(top: str, bottom: str) -> str:
    """A fraction: ``one half``, ``three quarters``, ``seven sixteenths``; else ``… over …``."""
    if top == "0" or bottom.lstrip("0") in ("", "1") or len(top) > 3 or len(bottom) > 4:
        return f"{cardinal(top)} over {cardinal(bottom)}"
    one = top == "1"
    if bottom == "2":
        part = "half" if one else "halves"
    elif bottom == "4":
        part = "quarter" if one else "quarters"
    else:
        part = ordinal(bottom) + ("" if one else "s")
    return f"{cardinal(top)} {part}"


def mixed(whole: str, top: str, bottom: str) -> str:
    """A whole number and a fraction: ``two and a half``."""
    part = fraction(top, bottom)
    if part in ("one half", "one quarter", "one third"):
        part = part.replace("one", "a")
    return f"{cardinal(whole)} and {part}"


def plural(words: str) -> str:
    """The plural of a number's last word: ``nineties``, ``seven thirty-sevens``."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith("x") else "s")


def power(exponent: str) -> str:
    """What a power is called: ``squared``, ``to the fifth``, ``to the minus three``."""
    if exponent.startswith("-"):
        return f"to the minus {cardinal(exponent[1:])}"
    if exponent in ("2", "3"):
        return "squared" if exponent == "2" else "cubed"
    exponent = exponent.lstrip("+")
    return f"to the {ordinal(exponent) if exponent.isdigit() else f'{exponent}-th'}"


SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
