"""Figures that are no numbers: telephones, versions, addresses, codes of letters and figures."""

from __future__ import annotations

import re

from ttscli.text.normalize import words
from ttscli.text.normalize.letters import spelled
from ttscli.text.normalize.rules import INITIALISMS, Rule, word_before

_SOFTWARE = frozenset(
    "version versions python java node perl ruby php ios android ubuntu debian fedora windows macos"
    " firefox chrome safari linux kernel release django numpy pytorch torch cuda gcc go"
    " rust bluetooth usb http tls html css gpt v ver update patch build section chapter"
    " figure".split()
)
_BY_LETTERS = INITIALISMS | {"ec", "gcc", "gpt", "ipv", "md", "mp"}
_STATES = frozenset(
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ"
    " NM NY NC ND OH OK OR PA PR RI SC SD TN TX UT VT VA WA WV WI WY".split()
)
_TOLL_FREE = {"800": "eight hundred", "900": "nine hundred"}


def _group(digits: str) -> str:
    return _TOLL_FREE.get(digits) or words.one_by_one(digits)


def _phone(match: re.Match[str]) -> str | None:
    groups = re.findall(r"[0-9]+|[A-Z]{3,7}", match[0])
    if len(re.sub(r"\D", "", match[0])) > 15:
        return None
    plus = "plus " if match[0].startswith("+") else ""
    return plus + ", ".join(g.lower() if g.isalpha() else _group(g) for g in groups)


def _card(match: re.Match[str]) -> str | None:
    """A card's number: its check digit tells it from four years."""
    digits = re.sub("[^0-9]", "", match[0])
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    total = sum(map(int, digits[-1::-2])) + sum(doubled)
    return None if total % 10 else _digits(match)


def _digits(match: re.Match[str]) -> str:
    """Groups of figures, each by itself."""
    return ", ".join(map(words.one_by_one, re.findall("[0-9]+", match[0])))


def _postal_code(match: re.Match[str]) -> str | None:
    state = word_before(match)
    near = match.string[max(0, match.start() - 8) : match.start()]
    return _digits(match) if state in _STATES and f", {state}" in near else None


def _hexadecimal(match: re.Match[str]) -> str | None:
    """The groups of an identifier, character by character: a UUID, a MAC address."""
    if "-" in match[0] and not re.search("[A-Fa-f]", match[0]):
        return None
    groups = re.split("[-:]", match[0])
    return ", ".join(
        " ".join(words.cardinal(c) if c.isdigit() else spelled(c) for c in group)
        for group in groups
    )


def _lines(match: re.Match[str]) -> str:
    """The height of a picture: 1080p."""
    return f"{words.in_pairs(match[1])} P"


def _short_phone(match: re.Match[str]) -> str:
    return f"{words.one_by_one(match[1])}, {words.one_by_one(match[2])}"


def _address(match: re.Match[str]) -> str | None:
    parts = match[1].split(".")
    if any(int(part) > 255 for part in parts):
        return None
    read = " dot ".join(words.one_by_one(part) for part in parts)
    if match[3]:
        read += f" slash {words.cardinal(match[3])}"
    return read + (f" colon {words.one_by_one(match[2])}" if match[2] else "")


def _version(match: re.Match[str]) -> str:
    head = "version " if match["v"] and not word_before(match).lower().startswith("version") else ""
    spoken = head + " point ".join(words.cardinal(part) for part in match["parts"].split("."))
    if match["tag"]:
        name, count = re.fullmatch(r"-?([A-Za-z]+)[.-]?([0-9]*)", match["tag"]).groups()  # type: ignore[union-attr]  # the rule's own pattern
        known = {"rc": "release candidate", "dev": "dev", "a": "alpha", "b": "beta", "post": "post"}
        spoken += f" {known.get(name, name)}" + (f" {words.cardinal(count)}" if count else "")
    return spoken


def _two_parts(match: re.Match[str]) -> str | None:
    if word_before(match).lower() not in _SOFTWARE:
        return None
    return f"{words.cardinal(match[1])} point {words.cardinal(match[2])}"


def _grouped(match: re.Match[str]) -> str:
    return words.cardinal(re.sub("[._,]", "", match[0]))


def _code(match: re.Match[str]) -> str | None:
    """Letters and figures in turn: MP3, B2B, F-16, A4."""
    pieces = re.findall(r"[A-Za-z]+|[0-9]+", match[0])
    if len(match[0]) > 24 or len(pieces) < 2:
        return None
    read = []
    for piece in pieces:
        if piece.isdigit():
            short = len(piece) < 5 and not piece.startswith("0")
            read.append(words.in_pairs(piece) if short else words.one_by_one(piece))
        else:
            read.append(_name(piece))
    return " ".join(read)


def _name(letters: str) -> str:
    """The letters of a code, as a word or one by one."""
    by_letters = letters.lower() in _BY_LETTERS or (letters.isupper() and len(letters) <= 3)
    return spelled(letters) if by_letters or len(letters) == 1 else letters


def _named_version(match: re.Match[str]) -> str | None:
    if match[2].count(".") == 1 and match[1].lower() not in _SOFTWARE:
        return None  # sub-1.5, May5.2020
    parts = " point ".join(words.cardinal(part) for part in match[2].split("."))
    return f"{_name(match[1])} {parts}"


_TAG = r"(?P<tag>-?(?:alpha|beta|rc|dev|post|a|b)[.-]?[0-9]{0,3}(?![A-Za-z0-9]))?"
FIRST_RULES = (
    Rule(
        "identifier",
        r"(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
        r"|[0-9A-Fa-f]{2}([-:])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4})(?![0-9A-Za-z])",
        _hexadecimal,
    ),
)
"""Tried where a figure begins, before dates and times."""

RULES = (
    Rule("card", r"[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?![0-9]|\1[0-9])", _card),
    Rule("postal code", r"[0-9]{5}(?:-[0-9]{4})?(?![0-9A-Za-z-])", _postal_code),
    Rule("figures", r"(144|240|360|480|576|720|1080|1440|2160|4320)[pP](?![A-Za-z0-9])", _lines),
    Rule("figures", r"24/7/365(?![0-9/])", lambda _: "twenty-four seven three sixty-five"),
    Rule(
        "address",
        r"([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?::([0-9]{1,5}))?(?:/([0-9]{1,2}))?(?![0-9]|\.[0-9])",
        _address,
    ),
    Rule(
        "phone",
        r"1[-.\s](?:800|888|877|866|855|844|833|900)[-.\s][0-9A-Z]{3,7}(?:[-.\s]?[0-9A-Z]{3,4})?(?![A-Za-z0-9])",
        _phone,
    ),
    Rule("phone", r"(?:1[-.\s])?\(?[0-9]{3}\)?[-.\s][0-9]{3}[-.][0-9]{4}(?![0-9])", _phone),
    Rule("phone", r"([0-9]{3})-([0-9]{4})(?![0-9]|-[0-9])", _short_phone),
    Rule("phone", r"0[0-9]{2,4}[ -][0-9]{3,4}[ -]?[0-9]{3,4}(?![0-9])", _phone),
    Rule(
        "number",
        r"[0-9]{1,3}(?:\.[0-9]{3}){2,8}(?![0-9]|[.,][0-9])|[0-9]{1,3}(?:_[0-9]{3}){1,8}(?![0-9_])|[0-9]{1,2}(?:,[0-9]{2}){1,6},[0-9]{3}(?![0-9])",
        _grouped,
    ),
    Rule("version", r"(?P<v>)(?P<parts>[0-9]{1,6}(?:\.[0-9]{1,6}){2,8})(?![0-9])" + _TAG, _version),
    Rule(
        "version",
        r"(?P<v>)(?P<parts>[0-9]{1,4}\.[0-9]{1,4})(?P<tag>-?(?:alpha|beta|rc|dev|post)[.-]?[0-9]{0,3}(?![A-Za-z0-9]))",
        _version,
    ),
    Rule("version", r"([0-9]{1,4})\.([0-9]{1,4})(?![0-9.%])", _two_parts),
)
SIGN_RULES = (
    Rule("phone", r"(?<![\w)])\+[0-9]{10,15}(?![0-9])", _phone),
    Rule("phone", r"\+[0-9]{1,3}(?:[-.\s]\(?[0-9]{1,5}\)?){2,5}(?![0-9])", _phone),
    Rule("phone", r"\(?[0-9]{3}\)\s?[0-9]{3}[-.\s][0-9]{4}(?![0-9])", _phone),
)
WORD_RULES = (
    *FIRST_RULES,
    Rule(
        "version",
        r"(?P<v>v\.?\s?)(?P<parts>[0-9]{1,6}(?:\.[0-9]{1,6}){0,8})(?![0-9A-Za-z])" + _TAG,
        _version,
    ),
    Rule(
        "version",
        r"(?P<v>[Vv]er\.\s?)(?P<parts>[0-9]{1,6}(?:\.[0-9]{1,6}){0,8})(?![0-9])" + _TAG,
        _version,
    ),
    Rule(
        "version",
        r"([A-Za-z]{2,12})-?([0-9]{1,4}(?:\.[0-9]{1,4}){1,4})(?![A-Za-z0-9]|\.[0-9])",
        _named_version,
    ),
    Rule(
        "code",
        r"[A-Za-z]{1,12}(?:-?[0-9]{1,8}[A-Za-z]{0,4}|-[A-Z](?=[0-9])){1,6}(?![A-Za-z0-9])",
        _code,
    ),
)
