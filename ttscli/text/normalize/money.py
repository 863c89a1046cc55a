"""Money: amounts with signs and codes, cents, millions, ranges."""

from __future__ import annotations

import re

from ttscli.text.normalize import words
from ttscli.text.normalize.rules import Rule, rest, word_after, word_before
from ttscli.text.normalize.words import NUMBER

_UNITS = {
    "$": "dollar dollars cent cents", "£": "pound pounds penny pence", "€": "euro euros cent cents",
    "¥": "yen yen sen sen", "₹": "rupee rupees paisa paise", "₩": "won won jeon jeon",
    "₽": "ruble rubles kopek kopeks", "₺": "lira lira kurus kurus", "₿": "bitcoin bitcoins - -",
    "₪": "shekel shekels agora agorot", "₫": "dong dong - -", "₴": "hryvnia hryvnias kopek kopeks",
    "USD": "U.S._dollar U.S._dollars cent cents", "EUR": "euro euros cent cents",
    "GBP": "British_pound British_pounds penny pence", "JPY": "Japanese_yen Japanese_yen sen sen",
    "CHF": "Swiss_franc Swiss_francs centime centimes", "CNY": "Chinese_yuan Chinese_yuan fen fen",
    "CAD": "Canadian_dollar Canadian_dollars cent cents",
    "INR": "Indian_rupee Indian_rupees paisa paise",
    "AUD": "Australian_dollar Australian_dollars cent cents",
    "SEK": "Swedish_krona Swedish_kronor ore ore",
}  # fmt: skip
_PREFIXES = {
    "US": "U S", "A": "Australian", "AU": "Australian", "C": "Canadian", "CA": "Canadian",
    "NZ": "New Zealand", "HK": "Hong Kong", "S": "Singapore", "R": "Brazilian", "": "",
}  # fmt: skip
SCALES = {
    "k": "thousand", "m": "million", "mn": "million", "mm": "million", "mil": "million",
    "b": "billion", "bn": "billion", "t": "trillion", "tn": "trillion", "trn": "trillion",
    **{name: name for name in ("hundred", "thousand", "million", "billion", "trillion")},
}  # fmt: skip
_SIGNS = "$£€¥₹₩₽₺₿₪₫₴"
_CODES = "|".join(code for code in _UNITS if len(code) == 3)
_SCALE = (
    r"(?:[\s-]?(?P<scale{0}>hundred|thousand|million|billion|trillion)(?![A-Za-z])"
    r"|\s?(?P<short{0}>mn|bn|tn|trn|mil|MM|[kKmMbBtT])(?![A-Za-z0-9]))?"
)
_SINGULAR_BEFORE = frozenset("bill note coin bills notes coins ticket tickets".split())


def _names(unit: str, prefix: str = "") -> tuple[str, str, str, str]:
    one, many, part, parts = (
        name.replace("U.S._", "U S ").replace("_", " ") for name in _UNITS[unit].split()
    )
    which = _PREFIXES[prefix] + " " if prefix else ""
    return which + one, which + many, part, parts


def amount(figure: str, scale: str, unit: str, prefix: str = "", *, one: bool = False) -> str:
    """An amount of money: ``one dollar and five cents``, ``two point five million dollars``."""
    singular, many, part, parts = _names(unit, prefix)
    if scale:
        return f"{words.number(figure)} {SCALES[scale.lower()]} {singular if one else many}"
    whole, _, cents = figure.partition(".")
    if cents and (len(cents) != 2 or part == "-"):
        return f"{words.number(figure)} {many}"
    spoken = []
    if whole.strip("0") or not cents.strip("0"):
        spoken.append(f"{words.cardinal(whole)} {singular if one or whole == '1' else many}")
    if cents.strip("0"):
        spoken.append(f"{words.cardinal(cents.lstrip('0'))} {part if cents == '01' else parts}")
    return " and ".join(spoken)


def _european(match: re.Match[str]) -> str:
    """A comma for the point: 1.234,56 €."""
    return amount(f"{match['whole'].replace('.', '')}.{match['cents']}", "", "€")


def _scale(match: re.Match[str], which: str = "") -> str:
    return match[f"scale{which}"] or match[f"short{which}"] or ""


def _money(match: re.Match[str]) -> str:
    sign, prefix = match["sign"], match["prefix"] or ""
    minus = "minus " if match["minus"] else ""
    low, scale = match["low"], _scale(match)
    singular = match["joined"] is not None or word_after(match) in _SINGULAR_BEFORE
    described = word_before(match).lower() in ("a", "an") and word_after(match).islower()
    singular = singular or (scale != "" and described)
    if match["high"]:
        high_scale = _scale(match, "2")
        high = amount(match["high"], high_scale, sign, prefix, one=singular)
        own = f" {SCALES[scale.lower()]}" if scale and scale != high_scale else ""
        return f"{minus}{words.number(low)}{own} to {high}"
    return minus + amount(low, scale, sign, prefix, one=singular) + _per(match)


def _per(match: re.Match[str]) -> str:
    from ttscli.text.normalize.units import UNITS

    per = match["per"]
    if not per:
        return ""
    return f" per {UNITS[per][0] if per in UNITS else per}"


def _sign_or_code(match: re.Match[str]) -> str:
    return amount(match["low"], _scale(match), match["sign"])


def _range(match: re.Match[str]) -> str | None:
    low = match["from"]
    if (
        words.value(low) >= words.value(match["low"])
        or _scale(match)
        or rest(match).lstrip()[:1] == "="
    ):
        return None
    how = amount(low, "", match["sign"]) if "." in low else words.number(low)
    return f"{how} to {_sign_or_code(match)}"


def _cents(match: re.Match[str]) -> str:
    how = words.number(match[1])
    if match[2] == "¢":
        return f"{how} {'cent' if match[1] == '1' else 'cents'}"
    return f"{how} {'penny' if match[1] == '1' else 'pence'}"


_MONEY = (
    rf"(?P<minus>[-−]?)(?P<prefix>US|AU|A|CA|C|NZ|HK|S|R)?(?P<sign>[{_SIGNS}])\s?(?P<low>"
    rf"{NUMBER}|\.[0-9]{{2}}(?![0-9]))"
    + _SCALE.format("")
    + rf"(?:\s?[-–]\s?[{_SIGNS}]?(?P<high>{NUMBER})"
    + _SCALE.format("2")
    + ")?"
    + r"(?P<joined>(?=-[a-z]))?(?:\s?/\s?(?P<per>[a-z]{1,6})(?![A-Za-z]))?"
)
# A sign right before digits is theirs: "In 2024 $5 million was spent."
_SUFFIX = (
    rf"(?P<low>{NUMBER})"
    + _SCALE.format("")
    + rf"\s?(?P<sign>[{_SIGNS}](?!\.?[0-9])|(?:{_CODES})(?![A-Za-z0-9]))"
)

_EUROPEAN = r"(?P<whole>[0-9]{1,3}(?:\.[0-9]{3}){0,4}),(?P<cents>[0-9]{2})"

SIGN_RULES = (
    Rule(
        "money",
        rf"€\s?{_EUROPEAN}(?![0-9]|\s?[-–]|\s?(?:[mk]|bn|million|billion)\b)",
        _european,
    ),
    Rule("money", _MONEY, _money),
)
WORD_RULES = (
    Rule("money", r"(?=[A-Z]{1,2}\$)" + _MONEY, _money),
    Rule("money", rf"(?P<sign>{_CODES})\s?(?P<low>{NUMBER})" + _SCALE.format(""), _sign_or_code),
)
RULES = (
    Rule("money", rf"(?P<from>{NUMBER})\s?([{_SIGNS}])(\s?)[-–]\3{_SUFFIX}(?<=\2)", _range),
    Rule("money", rf"{_EUROPEAN}\s?(?:€|EUR(?![A-Z]))", _european),
    Rule("money", _SUFFIX, _sign_or_code),
    Rule("money", rf"({NUMBER})\s?(¢|p(?![A-Za-z0-9./]))", _cents),
)
