"""Dates: in figures, and with the names of months and days."""

from __future__ import annotations

import re

from ttscli.text.normalize import words
from ttscli.text.normalize.rules import Rule, word_after, word_before

MONTHS = (
    "January February March April May June July August September October November December".split()
)
_SHORT = (
    {month[:3].lower(): month for month in MONTHS}
    | {month.lower(): month for month in MONTHS}
    | {"sept": "September"}
)
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_DAY_NAMES = {day[:3]: day for day in _DAYS} | {
    "Tues": "Tuesday",
    "Thur": "Thursday",
    "Thurs": "Thursday",
    "Weds": "Wednesday",
}
_MONTH = (
    r"(?P<month>Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|January|February|March|April|May"
    r"|June|July|August|September|October|November|December)(?![a-z])\.?"
)
_BEFORE_DATES = frozenset("on since until till due".split())
_DAY_NAME = f"(?:{'|'.join(sorted(_DAY_NAMES, reverse=True))})"
_BEFORE_HOURS = (
    r"\s[0-9]{1,2}(?::[0-9]{2}|\s?[ap]\.?m\.?(?![a-z])|/[0-9]{1,2}(?!\s[a-z])|\s"
    + f"(?:{'|'.join(month[:3] for month in MONTHS)}))"
)
_DAY = r"(?P<day>[0-3]?[0-9])(?:st|nd|rd|th)?(?![0-9A-Za-z:%]|[.,/][0-9])"
_YEAR = r"(?:,?\s(?P<year>[12][0-9]{3})(?![0-9A-Za-z%]|[.,/][0-9]))?"
_DASH = r"(?:\s?[-–]\s?(?P<last>[0-3]?[0-9])(?:st|nd|rd|th)?(?![0-9A-Za-z:%]))?"


def _full_year(digits: str) -> str:
    if len(digits) == 4:
        return words.year(digits)
    return words.year(("20" if int(digits) < 50 else "19") + digits)


def _date(month: int, day: int, year: str) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return f"{MONTHS[month - 1]} {words.ordinal(str(day))}, {_full_year(year)}"


def _iso(match: re.Match[str]) -> str | None:
    spoken = _date(int(match[2]), int(match[3]), match[1])
    return spoken and spoken + ("," if match[0].endswith("T") else "")


def _slashed(match: re.Match[str]) -> str | None:
    first, second, year = int(match[1]), int(match[3]), match[4]
    if match[2] == "." or first > 12:
        first, second = second, first
    return _date(first, second, year)


def _no_year(match: re.Match[str]) -> str | None:
    month, day = int(match[1]), int(match[2])
    before = word_before(match)
    is_day = before in _DAYS or (before in _DAY_NAMES and not word_after(match).islower())
    if not (is_day or before.lower() in _BEFORE_DATES) or word_after(match) == "of":
        return None
    possible = 1 <= month <= 12 and 1 <= day <= 31
    return f"{MONTHS[month - 1]} {words.ordinal(str(day))}" if possible else None


def _month_first(match: re.Match[str]) -> str | None:
    if not 1 <= int(match["day"]) <= 31:
        return None
    spoken = f"{_SHORT[match['month'].lower()]} {words.ordinal(match['day'])}"
    if match["last"]:
        spoken += f" to {words.ordinal(match['last'])}"
    return spoken + (f", {words.year(match['year'])}" if match["year"] else "")


def _day_first(match: re.Match[str]) -> str | None:
    if not 1 <= int(match["day"]) <= 31:
        return None
    the = "" if word_before(match).lower() in ("the", "a", "an", "this", "that") else "the "
    day = words.ordinal(match["day"])
    if match["last"]:
        day += f" to {words.ordinal(match['last'])}"
    month = _SHORT[match["month"].lower()]
    year = f", {words.year(match['year'])}" if match["year"] else ""
    return f"{the}{day} of {month}{year}"


def _month_year(match: re.Match[str]) -> str | None:
    month = _SHORT[match["month"].lower()]
    if match["year"]:
        return f"{month} {words.year(match['year'])}"
    return month if match["month"] not in MONTHS and match[0].endswith(".") else None


def _weekday(match: re.Match[str]) -> str | None:
    if match[1] in ("Sun", "Sat", "Wed", "Mon") and "." not in match[2]:
        return (
            _DAY_NAMES[match[1]] + match[2]
            if re.match(r"\s(?:[0-9]|[A-Z][a-z]{2})", match.string[match.end() : match.end() + 6])
            and match[2] == ","
            else None
        )
    return _DAY_NAMES[match[1]] + ("," if "," in match[2] else "")


def _weekdays(match: re.Match[str]) -> str | None:
    """Mon-Fri, Sat and Sun 10am."""
    if word_before(match).lower() == "the" and not match[2]:
        return None  # a star, a newspaper
    spoken = _DAY_NAMES[match[1]]
    return f"{spoken} to {_DAY_NAMES[match[2]]}" if match[2] else spoken


RULES = (
    Rule("date", r"([01]?[0-9])/([0-3]?[0-9])(?![0-9/A-Za-z%]|[.,:][0-9])", _no_year),
    Rule("date", r"([12][0-9]{3})-([01][0-9])-([0-3][0-9])(?![0-9-])T?", _iso),
    Rule("date", r"([12][0-9]{3})/([01]?[0-9])/([0-3]?[0-9])(?![0-9/])", _iso),
    Rule(
        "date",
        r"([0-3]?[0-9])([/.-])([0-3]?[0-9])\2([12][0-9]{3}|[0-9]{2})(?![0-9/]|[.-][0-9])",
        _slashed,
    ),
    Rule(
        "date",
        r"(?P<day>[0-3]?[0-9])(?:st|nd|rd|th)?(?:\s?[-–]\s?(?P<last>[0-3]?[0-9])(?:st|nd|r"
        r"d|th)?)?\s(?:of\s)?" + _MONTH + _YEAR,
        _day_first,
    ),
)
WORD_RULES = (
    Rule("date", _MONTH + r"\s" + _DAY + _DASH + _YEAR, _month_first),
    Rule("date", _MONTH + _YEAR, _month_year),
    Rule(
        "day",
        rf"({_DAY_NAME})(?:\.?\s?[-–]\s?({_DAY_NAME})(?![A-Za-z])|(?={_BEFORE_HOURS}))",
        _weekdays,
    ),
    Rule("day", rf"({_DAY_NAME})(\.,|\.|,)", _weekday),
)
