"""Numbers: signs, fractions, ranges, ordinals, decades, years against quantities, powers."""

from __future__ import annotations

import re

from ttscli.text.normalize import words
from ttscli.text.normalize.rules import Rule, glued, rest, word_after, word_before
from ttscli.text.normalize.words import NUMBER, SUPERSCRIPTS

_YEAR_BEFORE = frozenset(
    "in since by from until till before after during circa year years of around spring summer"
    " autumn fall winter early late mid january february march april may june july august september"
    " october november december and to between the c ca ad copyright ©".split()
)
_COUNTED = frozenset(
    "people men women children percent million billion thousand dollars euros pounds points"
    " feet miles kilometers kilometres meters metres acres words pages copies votes soldiers"
    " troops deaths cases employees jobs homes students years days hours minutes seconds times"
    " members".split()
)
_NOT_COUNTED = frozenset("was is has as this its his us was does les series news".split())
_IN_PAIRS = frozenset("room flight suite apartment apt highway bus route interstate".split())
_DIGIT_NAMES = frozenset("call dial dialed dialled phone code pin zip extension ext".split())
_SPOKEN_PAIRS = {
    "24/7": "twenty-four seven", "9/11": "nine eleven", "50/50": "fifty-fifty",
    "20/20": "twenty twenty",
    "7/7": "seven seven", "1-1": "one to one", "50-50": "fifty-fifty", "20-20": "twenty twenty",
}  # fmt: skip
_OPERATOR = re.compile(r"[-+−*/^=<>]\s?(?:[0-9(]|[a-z](?![a-z]))")
_SIGN_NAMES = {
    "-": "minus", "−": "minus", "+": "plus", "±": "plus or minus", "~": "about", "≈": "about",
}  # fmt: skip
_GAP = "[ \u00a0\u202f\u2009]?"


def integer(match: re.Match[str], digits: str) -> str:
    """A whole number by itself: a year, a room, a count."""
    before, after = word_before(match).lower(), word_after(match)
    if len(digits) == 4 and digits.isdigit() and "1000" < digits < "2100":
        counted = after.lower() in _COUNTED or (
            after.islower()
            and after.endswith("s")
            and len(after) > 3
            and after not in _NOT_COUNTED
            and before not in _YEAR_BEFORE - {"the", "of", "to", "and", "from"}
        )
        if not counted and (digits > "1100" or before in _YEAR_BEFORE):
            return words.year(digits)
        return words.cardinal(digits)
    if before in _IN_PAIRS:
        return words.in_pairs(digits)
    if before in _DIGIT_NAMES and digits.isdigit() and len(digits) > 2:
        return words.one_by_one(digits)
    return words.cardinal(digits)


def _number(match: re.Match[str]) -> str:
    return words.number(match[0]) if "." in match[0] else integer(match, match[0])


def _signed(match: re.Match[str]) -> str | None:
    if glued(match):
        return None
    return f"{_SIGN_NAMES[match[1]]} {words.number(match[2])}"


def _sign_of_fraction(match: re.Match[str]) -> str | None:
    if match[0][-1].isspace() and not match.start():
        return None  # the dash of a list
    if glued(match):
        return None
    return _SIGN_NAMES[match[1]]


def _point(match: re.Match[str]) -> str | None:
    if glued(match):
        return None
    return f"point {words.one_by_one(match[1])}"


def _ordinal(match: re.Match[str]) -> str:
    return words.ordinal(match[1])


def _ordinal_range(match: re.Match[str]) -> str:
    return f"{words.ordinal(match[1])} to {words.ordinal(match[2])}"


def _fraction(match: re.Match[str]) -> str | None:
    if match[0] in _SPOKEN_PAIRS:
        return _SPOKEN_PAIRS[match[0]]
    whole, top, bottom = match["whole"], match["top"], match["bottom"]
    if whole:
        return words.mixed(whole, top, bottom) if int(top) < int(bottom) else None
    if word_after(match) in ("time", "meter", "rhythm"):
        return f"{words.cardinal(top)} {words.cardinal(bottom)}"
    if len(top) == 4 and len(bottom) in (2, 4):
        second = words.year(bottom) if len(bottom) == 4 else words.short_year(bottom)
        return f"{words.year(top)} {second}"
    named = int(bottom) <= 20 or bottom in ("32", "64", "100", "1000")
    if not named or int(top) > 99:
        return f"{words.cardinal(top)} over {words.cardinal(bottom)}"
    return words.fraction(top, bottom)


def _fraction_sign(match: re.Match[str]) -> str:
    top, bottom = words.FRACTION_SIGNS[match[2]].split("/")
    part = words.fraction(top, bottom) if top != "0" else "zero thirds"
    return words.mixed(match[1], top, bottom) if match[1] else part


def _against(match: re.Match[str]) -> str:
    return f"{words.cardinal(match[1])} on {words.cardinal(match[2])}"


def _years(match: re.Match[str]) -> str | None:
    first, second = match[1], match[2]
    if not "1000" < first < "2200":
        return None
    if len(second) == 4:
        return f"{words.year(first)} to {words.year(second)}" if first < second < "2200" else None
    if second <= first[2:]:
        return None
    return f"{words.year(first)} to {words.short_year(second)}"


def _range(match: re.Match[str]) -> str | None:
    if match[0] in _SPOKEN_PAIRS:
        return _SPOKEN_PAIRS[match[0]]
    low, gap, high = match[1], match[2], match[3]
    if rest(match)[:1] in ("-", "–") and rest(match)[1:2].isdigit():
        return None
    if "-" in gap and (_is_sum(match) if " " in gap else rest(match)[:1] == "="):
        return f"{words.number(low)} minus {words.number(high)}"
    return f"{words.number(low)} to {words.number(high)}"


def _is_sum(match: re.Match[str]) -> bool:
    """Whether a match is part of an equation."""
    before = match.string[max(0, match.start() - 2) : match.start()].strip()
    return rest(match).lstrip()[:1] in tuple("=+*/×÷-") or before[-1:] in tuple("=+*×÷")


def _row(match: re.Match[str]) -> str:
    """Figures with hyphens between: a countdown, a serial number."""
    groups = match[0].split("-")
    read = [words.cardinal(g) if len(g) < 3 else words.one_by_one(g) for g in groups]
    return ", ".join(read)


def _decade(match: re.Match[str]) -> str | None:
    digits = match[1]
    if match.string[max(0, match.start() - 1) : match.start()] in ("$", "£", "€"):
        return None
    if len(digits) == 4:
        if digits.endswith("00"):
            return (
                words.plural("two thousand" if digits == "2000" else words.year(digits))
                if digits < "2200"
                else None
            )
        return words.plural(words.year(digits))
    if len(digits) == 2 and digits.endswith("0") and digits >= "20":
        return words.plural(words.cardinal(digits))
    if len(digits) == 3:
        return words.plural(words.in_pairs(digits))
    return None if len(digits) < 3 and not match[2] else words.plural(words.cardinal(digits))


def _short_decade(match: re.Match[str]) -> str:
    return words.plural(words.cardinal(match[1])) if match[1] != "00" else "two thousands"


def _short_year(match: re.Match[str]) -> str | None:
    if glued(match):
        return None
    return words.short_year(match[1])


def _times_ten(match: re.Match[str]) -> str:
    exponent = match[2].translate(SUPERSCRIPTS).lstrip("^+").strip("{}")
    return f"{words.number(match[1])} times ten {words.power(exponent)}"


def _power(match: re.Match[str]) -> str:
    exponent = match[2].translate(SUPERSCRIPTS).lstrip("^")
    return f"{words.number(match[1])} {words.power(exponent)}"


def _by(match: re.Match[str]) -> str:
    equation = rest(match).lstrip()[:1] == "=" or _is_sum(match)
    between = " times " if equation else " by "
    parts = re.split(r"\s*[x×]\s*", match[0])
    return between.join(
        words.in_pairs(p) if len(p) == 4 and p.isdigit() and not equation else words.number(p)
        for p in parts
    )


def _multiple(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - 3) : match.start()].rstrip()[-1:]
    following = rest(match).lstrip()
    variable = match[2] == "x" and (
        _OPERATOR.match(following) or (before in tuple("=+-*/^<>") and not following[:1].isalpha())
    )
    return f"{words.number(match[1])} {'X' if variable else 'times'}"


def _era(match: re.Match[str]) -> str:
    how = words.year(match[1]) if len(match[1]) == 4 else words.cardinal(match[1])
    return f"{how} {' '.join(match[2].replace('.', '')).replace('A', 'ay')}"


def _prefix(match: re.Match[str]) -> str:
    return match[1]


def _era_first(match: re.Match[str]) -> str:
    how = words.year(match[2]) if len(match[2]) == 4 else words.cardinal(match[2])
    return f"{' '.join(match[1].replace('.', '')).replace('A', 'ay')} {how}"


def _with_letters(match: re.Match[str]) -> str | None:
    """4B, 3D, 747s."""
    from ttscli.text.normalize.letters import spelled

    digits, tail = match[1], match[2]
    if len(tail) > 3:
        return None
    return f"{words.in_pairs(digits)} {spelled(tail)}"


def _long(match: re.Match[str]) -> str:
    return words.one_by_one(match[0])


FIRST_RULES = (
    Rule("years", r"([0-9]{4})\s?[-–]\s?([0-9]{2}|[0-9]{4})(?![-–0-9.,]?[0-9])(?!s)", _years),
    Rule("against", r"([0-9]{1,2})-on-([0-9]{1,2})(?![A-Za-z0-9])", _against),
    Rule("era", r"([0-9]{1,5})\s?(BCE?|CE|AD|B\.C\.(?:E\.)?|A\.D\.)(?![A-Za-z])", _era),
    Rule("scientific", rf"({NUMBER})[eE]([-+]?[0-9]{{1,4}})(?![A-Za-z0-9])", _times_ten),
    Rule(
        "power",
        rf"({NUMBER})(\^-?[0-9]{{1,4}}|\^[a-z]|[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{{1,4}}|ⁿ)(?![0-9])",
        _power,
    ),
)
"""Tried before units."""

RULES = (
    Rule(
        "scientific",
        rf"({NUMBER})\s?[x×*·]\s?10(\^\{{?[-+]?[0-9]{{1,4}}\}}?|[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{{1,4}})(?![0-9])",
        _times_ten,
    ),
    Rule(
        "fraction",
        r"(?:(?P<whole>[0-9]{1,4})[ -])?(?P<top>[0-9]{1,4})[/⁄](?P<bottom>[0-9]{1,4})"
        r"(?:(?:rds?|ths?|nds)(?![A-Za-z]))?(?![0-9/]|[.,][0-9])",
        _fraction,
    ),
    Rule("fraction", rf"([0-9]{{0,4}}){_GAP}([{''.join(words.FRACTION_SIGNS)}])", _fraction_sign),
    Rule("dimensions", rf"{NUMBER}(?:\s?[×x]\s?{NUMBER}){{1,3}}(?![A-Za-z0-9])", _by),
    Rule("multiple", rf"({NUMBER})\s?([x×])(?![A-Za-z0-9])", _multiple),
    Rule("decade", r"([0-9]{1,4})('?)s(?![A-Za-z0-9])", _decade),
    Rule(
        "ordinals",
        r"([0-9,]{1,20})(?:st|nd|rd|th)\s?[-–]\s?([0-9,]{1,20})(?:st|nd|rd|th)(?![A-Za-z0-9])",
        _ordinal_range,
    ),
    Rule(
        "ordinal",
        r"([0-9][0-9,]{0,30})(?:st|nd|rd|th|ST|ND|RD|TH|º|ª|ᵗʰ|ˢᵗ|ⁿᵈ|ʳᵈ)(?![A-Za-z0-9])",
        _ordinal,
    ),
    Rule("range", rf"({NUMBER})(\s?[-–]\s?)({NUMBER})(?![A-Za-z0-9:])", _range),
    Rule("figures", r"[0-9]{1,12}(?:-[0-9]{1,12}){2,12}(?![A-Za-z0-9])", _row),
    Rule("figures", r"([0-9]{1,4})([A-Za-z]{1,3})(?![A-Za-z0-9])", _with_letters),
    Rule("number", rf"{NUMBER}(?![0-9])", _number),
    Rule("figures", r"[0-9]+", _long),
)
"""Tried where a figure begins."""

WORD_RULES = (
    Rule("era", r"(AD|A\.D\.|BCE?|CE)\s?([0-9]{1,4})(?![0-9])", _era_first),
    # No letters of a code: what follows is a figure by itself, "mid-90s", "mid-19th".
    Rule("prefix", r"((?i:mid|early|late|pre|post))-(?=[0-9])", _prefix),
)
"""Tried where a word begins."""

SIGN_RULES = (
    Rule("decade", r"'([0-9]0)s(?![A-Za-z0-9])", _short_decade),
    Rule("year", r"'([0-9]{2})(?![A-Za-z0-9'])", _short_year),
    Rule("number", rf"([-−+±~≈])\s?({NUMBER})(?![0-9]|/[0-9])", _signed),
    Rule("number", r"([-−+±~≈])\s?(?=[0-9]{1,4}/[0-9])", _sign_of_fraction),
    Rule("number", r"\.([0-9]{1,40})(?![0-9])", _point),
    Rule("fraction", rf"()([{''.join(words.FRACTION_SIGNS)}])", _fraction_sign),
)
"""Tried where a sign begins."""
