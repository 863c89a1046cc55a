"""Times of day, durations and ratios."""

from __future__ import annotations

import re

from ttscli.text.normalize import words
from ttscli.text.normalize.rules import Rule, rest, word_after, word_before

_HALF = r"(?:\s?(?P<half{0}>[ap]\.\s?m\.|[ap]m|[AP]M|[AP]\.\s?M\.)(?![A-Za-z]))"
_CLOCK = r"(?P<hour{0}>[0-2]?[0-9]):(?P<minute{0}>[0-5][0-9])(?![0-9])"


_BOOKS = frozenset(
    "genesis gen exodus leviticus numbers deuteronomy joshua judges ruth samuel kings"
    " chronicles ezra nehemiah esther job psalm psalms proverbs ecclesiastes isaiah jeremiah"
    " lamentations ezekiel daniel hosea joel amos obadiah jonah micah nahum habakkuk zephaniah"
    " haggai zechariah malachi matthew mark luke john acts romans corinthians galatians"
    " ephesians philippians colossians thessalonians timothy titus philemon hebrews james peter"
    " jude revelation".split()
)


def _half(match: re.Match[str], which: str = "") -> str:
    half = match[f"half{which}"]
    return f" {'ay' if half[0] in 'aA' else 'P'} M" if half else ""


def _clock(hour: str, minute: str, half: str) -> str | None:
    if int(hour) > 24:
        return None
    if minute == "00":
        if half:
            return words.cardinal(hour.lstrip("0") or "0") + half
        if int(hour) in (0, 24):
            return "midnight"
        if int(hour) > 12:
            return f"{words.cardinal(hour)} hundred hours"
        return f"{words.cardinal(hour.lstrip('0'))} o'clock"
    head = words.cardinal(hour.lstrip("0") or "0")
    return f"{head} {words.short_year(minute)}{half}"


def _time(match: re.Match[str]) -> str | None:
    following = rest(match)[:2]
    if following[:1] == ":" and following[1:].isdigit():
        return None
    if word_after(match).startswith("o'clock"):
        return None
    return _clock(match["hour"], match["minute"], _half(match))


def _span(match: re.Match[str]) -> str | None:
    low = _clock(match["hour1"], match["minute1"], _half(match, "1"))
    high = _clock(match["hour2"], match["minute2"], _half(match, "2"))
    return low and high and f"{low} to {high}"


def _hours(match: re.Match[str]) -> str | None:
    if match["last"]:
        first = words.cardinal(match["hour"]) + (_half(match, "1") if match["half1"] else "")
        return f"{first} to {words.cardinal(match['last'])}{_half(match)}"
    return words.cardinal(match["hour"].lstrip("0") or "0") + _half(match)


def _with_seconds(match: re.Match[str]) -> str | None:
    hour, minute, second = match[1], match[2], match[3]
    half = _half(match)
    if len(hour) == 1 and not half:
        parts = ((hour, "hour"), (minute, "minute"), (second, "second"))
        counted = [(str(int(value)), name) for value, name in parts]
        return ", ".join(
            f"{words.cardinal(v)} {name}{'' if v == '1' else 's'}"
            for v, name in counted
            if v != "0"
        )
    clock = _clock(hour, minute, "")
    count = str(int(second))
    tail = (
        f" and {words.cardinal(count)} second{'' if count == '1' else 's'}"
        if second != "00"
        else ""
    )
    zulu = " U T C" if match["zulu"] else ""
    return clock and clock + tail + half + zulu


def _ratio(match: re.Match[str]) -> str | None:
    if rest(match)[:1] == ":":
        return None
    if len(match[2]) == 2 and match[2] >= "60" and match[1] != "1":
        return f"{words.cardinal(match[1])} {words.cardinal(match[2])}"
    return f"{words.cardinal(match[1])} to {words.cardinal(match[2])}"


def _verse(match: re.Match[str]) -> str | None:
    """Chapter and verse: John 3:16, Gen. 1:1-3."""
    book = word_before(match)
    if book.lower() not in _BOOKS or not book[:1].isupper():
        return None
    last = f" to {words.cardinal(match[3])}" if match[3] else ""
    return f"{words.cardinal(match[1])} {words.cardinal(match[2])}{last}"


def _lap(match: re.Match[str]) -> str:
    """Minutes and seconds to the hundredth: 1:23.45."""
    minute, second = words.cardinal(match[1].lstrip("0") or "0"), words.short_year(match[2])
    return f"{minute} {second} point {words.one_by_one(match[3])}"


def _standard(match: re.Match[str]) -> str:
    """ISO 9001:2015."""
    number = words.cardinal(match[1]) if "00" in match[1] else words.in_pairs(match[1])
    return f"{number}, {words.year(match[2])}"


RULES = (
    Rule(
        "verse",
        r"([1-9][0-9]{0,2}):([1-9][0-9]{0,2})(?:[-–]([1-9][0-9]{0,2}))?(?![0-9:]|[-–.][0-9]|\s?[apAP]\.?\s?[mM])",
        _verse,
    ),
    Rule(
        "time",
        r"([0-2]?[0-9]):([0-5][0-9]):([0-5][0-9])(?:\.[0-9]{1,6})?(?![0-9])(?P<zulu>Z(?![A-Za-z]))?"
        + _HALF.format("")
        + "?",
        _with_seconds,
    ),
    Rule(
        "time",
        _CLOCK.format("1")
        + _HALF.format("1")
        + r"?\s?[-–]\s?"
        + _CLOCK.format("2")
        + _HALF.format("2")
        + "?",
        _span,
    ),
    Rule("time", r"([0-5]?[0-9]):([0-5][0-9])\.([0-9]{1,3})(?![0-9.])", _lap),
    Rule("time", _CLOCK.format("") + _HALF.format("") + "?", _time),
    Rule(
        "time",
        r"(?P<hour>[01]?[0-9])"
        + _HALF.format("1")
        + r"?(?:\s?[-–]\s?(?P<last>[01]?[0-9]))?"
        + _HALF.format(""),
        _hours,
    ),
    Rule("standard", r"([0-9]{3,5}):([12][0-9]{3})(?![0-9])", _standard),
    Rule("ratio", r"([0-9]{1,4}):([0-9]{1,4})(?![0-9])", _ratio),
)
