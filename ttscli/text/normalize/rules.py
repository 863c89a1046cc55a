"""What a rule is, and what rules may ask about the words around them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

Say = Callable[["re.Match[str]"], "str | None"]

INITIALISMS = frozenset(
    "afaik ai api apis atm aws bbc btw cd cds ceo ceos cfo ci cia cli cpu cpus css csv cto "
    "dhcp diy dj dns dvd dvds faq faqs fbi ftp fyi gps gpu gpus hdmi html http https ide "
    "imo ip iq isp lgtm npm ntp ocr omg os pc pcs pdf pdfs phd php pr prs qa qr rss sdk sdks "
    "sms smtp sql ssd ssds ssh ssl svg svn tbh tcp tls tts tv tvs udp ui uk url urls usb utc "
    "utf uuid ux vm vms vpn vpns wtf www xml".split()
)
"""Of letters that are said by their names, those that are written in small letters too."""

_NEAR = 40  # characters on either side that a rule may look at: time stays linear
_WORD = re.compile(r"[^\W\d_]+(?:['.][^\W\d_]+)*")


class Rule(NamedTuple):
    """A pattern that is tried where a word, a figure or a sign begins."""

    kind: str
    """What `--explain` calls it."""
    pattern: str
    """A regular expression that matches at most some hundred characters."""
    say: Say
    """What is spoken for a match; None if it is none."""


def word_before(match: re.Match[str]) -> str:
    """The word that ends right before a match, with no more than spaces between; else nothing."""
    near = match.string[max(0, match.start() - _NEAR) : match.start()]
    if not near[-1:].isspace():
        return ""
    parts = near.split()
    word = parts[-1] if parts else ""
    return word.lstrip("(\"'[") if word[-1:].isalnum() else word.lstrip("(\"'[").rstrip(".")


def word_after(match: re.Match[str]) -> str:
    """The word that begins right behind a match, with no more than spaces between; else nothing."""
    near = match.string[match.end() : match.end() + _NEAR].lstrip()
    found = _WORD.match(near)
    return found[0] if found else ""


def rest(match: re.Match[str]) -> str:
    """Some of what stands behind a match."""
    return match.string[match.end() : match.end() + _NEAR]


def glued(match: re.Match[str]) -> bool:
    """Whether a letter or a figure touches the start of a match."""
    return match.string[max(0, match.start() - 1) : match.start()].isalnum()


def ends_text(match: re.Match[str]) -> bool:
    """Whether nothing but quotation marks and brackets follows."""
    return not rest(match).strip(" \t\n\"'”’»)]}*_")
