"""Abbreviations, with the context that some need: "St. John St.", "Dr.", "No. 5"."""

from __future__ import annotations

import re

from ttscli.text.normalize import words
from ttscli.text.normalize.rules import Rule, rest, word_after, word_before

_ALWAYS = {
    "Mr": "mister", "Mrs": "misess", "Ms": "miz", "Messrs": "messers", "Prof": "professor",
    "Jr": "junior",
    "Sr": "senior", "Rev": "reverend", "Hon": "honorable", "Gov": "governor", "Sen": "senator",
    "Rep": "representative", "Pres": "president", "Maj": "major", "Capt": "captain",
    "Lt": "lieutenant",
    "Sgt": "sergeant", "Cpl": "corporal", "Pvt": "private", "Adm": "admiral", "Cmdr": "commander",
    "Supt": "superintendent", "Esq": "esquire", "Ave": "avenue", "Av": "avenue",
    "Blvd": "boulevard", "Rd": "road",
    "Hwy": "highway", "Pkwy": "parkway", "Mt": "mount", "Inc": "incorporated", "Ltd": "limited",
    "Corp": "corporation", "Bros": "brothers", "Assn": "association", "Dept": "department",
    "Univ": "university",
    "Inst": "institute", "Ste": "suite", "Drs": "doctors", "Mssrs": "messers", "Ald": "alderman",
    "Atty": "attorney",
    "dept": "department", "approx": "approximately", "vs": "versus", "etc": "et cetera",
    "est": "established",
    "misc": "miscellaneous", "max": "maximum", "min": "minimum", "avg": "average",
    "govt": "government",
    "tel": "telephone", "apt": "apartment", "Apt": "apartment", "appt": "appointment",
    "esp": "especially",
    "incl": "including", "excl": "excluding", "resp": "respectively", "cf": "compare",
    "viz": "namely",
    "ibid": "ibid", "al": "al", "ca": "circa", "intl": "international", "Intl": "international",
    "natl": "national",
    "Tel": "telephone", "Approx": "approximately", "Est": "established", "wt": "weight",
    "qty": "quantity",
    "Calif": "California", "Mass": "Massachusetts", "Fla": "Florida", "Conn": "Connecticut",
    "Ill": "Illinois",
    "Tex": "Texas", "Penn": "Pennsylvania", "Va": "Virginia", "Ont": "Ontario", "Colo": "Colorado",
    "Minn": "Minnesota", "Ft": "fort", "Col": "colonel", "Gen": "general", "Co": "company",
    "Ct": "court", "Sq": "square", "Ln": "lane", "Pl": "place",
}  # fmt: skip
_BEFORE_NUMBERS = {
    "No": "number", "no": "number", "Nos": "numbers", "nos": "numbers", "Nr": "number",
    "nr": "number",
    "Vol": "volume", "vol": "volume", "Vols": "volumes", "vols": "volumes", "p": "page",
    "pp": "pages", "Ch": "chapter", "ch": "chapter",
    "Sec": "section", "sec": "section", "Fig": "figure", "fig": "figure", "Figs": "figures",
    "figs": "figures",
    "Eq": "equation", "eq": "equation", "Art": "article", "art": "article", "Pt": "part",
    "pt": "part",
    "ext": "extension", "Ext": "extension", "c": "circa", "b": "born", "d": "died", "fl": "floor",
    "ed": "edition",
    "para": "paragraph", "ll": "lines", "Bk": "book", "Op": "opus", "op": "opus",
    "App": "appendix", "Rm": "room", "rm": "room", "Flt": "flight",
}  # fmt: skip
_WITHOUT_STOP = {
    "Mr": "mister", "Mrs": "misess", "Ms": "miz", "Dr": "doctor", "Prof": "professor",
    "vs": "versus",
    "w/": "with", "w/o": "without", "b/c": "because", "c/o": "care of", "n/a": "not applicable",
    "N/A": "not applicable",
    "aka": "A K ay", "AKA": "A K ay", "a.k.a.": "also known as", "i.e.": "that is",
    "e.g.": "for example", "i.e": "that is", "eg.": "for example", "ie.": "that is",
    "P.S.": "P S", "et al.": "et al", "q.v.": "which see", "N.B.": "note well", "Ph.D.": "P H D",
    "Ph.D": "P H D", "D.Phil.": "D phil", "M.Sc.": "M S C", "B.Sc.": "B S C", "Ed.D.": "E D D",
    "Ph.D.s": "P H D's",
    "and/or": "and or", "his/her": "his or her", "he/she": "he or she", "him/her": "him or her",
    "she/he": "she or he",
    "s/he": "she or he", "either/or": "either or", "her/his": "her or his", "he/him": "he, him",
    "she/her": "she, her", "they/them": "they, them",
    "yes/no": "yes or no", "pro/con": "pro and con", "w/out": "without",
}  # fmt: skip
_FOUNDED = re.compile(r"\s(?:in |c(?:irca|a?\.) |[A-Z][a-z]+\.? )?[12][0-9]{3}(?![0-9])")
_VERSE = re.compile(r"\s[0-9]{1,2}:[0-9]+(?![0-9]|\s?[ap]\.?m)")
_BEFORE_MESSAGES = {
    "re": "regarding", "fw": "forwarded", "fwd": "forwarded", "attn": "attention",
}  # fmt: skip
_SHORT_WORDS = {"thx": "thanks", "pls": "please"}
_AMBIGUOUS = {"Dr": ("drive", "doctor"), "St": ("street", "saint")}


_NUMBER_SIGNS = frozenset("No no Nos nos Nr nr".split())
_BEFORE_ANSWERS = frozenset(
    "say says said tell told answer answers answered reply replied oh".split()
)


def is_abbreviation(word: str) -> bool:
    """Whether a word may stand for a longer one when a full stop follows."""
    return word in _ALWAYS or word in _BEFORE_NUMBERS or word in _AMBIGUOUS


def _capitalised(word: str) -> bool:
    return word[:1].isupper()


def _ambiguous(match: re.Match[str]) -> str | None:
    short = match[1]
    before, after = word_before(match), word_after(match)
    is_name = _capitalised(after) and not _comma(match)
    street = _capitalised(before) and before.rstrip(".") not in _ALWAYS and not is_name
    street = street or bool(re.match(r"[0-9]+(st|nd|rd|th)$", before))
    if _capitalised(before) and is_name and _numbered(match):
        street = True
    return _AMBIGUOUS[short][0 if street else 1]


def _numbered(match: re.Match[str]) -> bool:
    """Whether a house number stands before the name: 12 Elm St. Boston."""
    near = match.string[max(0, match.start() - 40) : match.start()]
    return bool(re.search(r"[0-9]+ [A-Z][a-z]+ $", near))


def _comma(match: re.Match[str]) -> bool:
    return rest(match).lstrip(" ")[:1] in (",", ";")


def _always(match: re.Match[str]) -> str | None:
    short = match[1]
    if short in _AMBIGUOUS:
        return _ambiguous(match)
    if short in _BEFORE_NUMBERS and _before_number(match):
        return _BEFORE_NUMBERS[short]
    if short in ("max", "min", "est", "resp") and not word_before(match):
        return _ALWAYS[short] if _before_number(match) else None
    if other := _otherwise(match):
        return other
    if short in ("Mass", "Ill", "Va", "Tex", "Conn", "Penn", "Est", "Rep", "Pres"):
        return _ALWAYS[short] if word_before(match) or _capitalised(word_after(match)) else None
    return _ALWAYS.get(short)


def _otherwise(match: re.Match[str]) -> str | None:
    """What an abbreviation means here, if that is not what it always means."""
    if match[1] == "est":
        return None if _FOUNDED.match(rest(match)) else "estimated"
    return "Genesis" if match[1] == "Gen" and _VERSE.match(rest(match)) else None


def _before_number(match: re.Match[str]) -> bool:
    short, before = match[1], word_before(match).lower()
    if short in _NUMBER_SIGNS:  # "No. I stayed.", "She said no. 5 people left."
        answer = short == "no" and before in _BEFORE_ANSWERS
        return not answer and bool(re.match(r"\s?[0-9#]", rest(match)))
    if short in ("fig", "sec") and before == "a":
        return False  # a fruit, a moment
    return bool(re.match(r"\s?(?:[0-9#]|[IVXLivxl]+(?![A-Za-z]))", rest(match)))


def _plain(match: re.Match[str]) -> str | None:
    how = _WITHOUT_STOP.get(match[0])
    if how is None:
        return None
    if match[0] in ("Mr", "Mrs", "Ms", "Dr", "Prof") and not _capitalised(word_after(match)):
        return None
    return how


def _message(match: re.Match[str]) -> str | None:
    """What a message begins with: "Re: lunch"."""
    return _BEFORE_MESSAGES.get(match[1].lower()) if not match.start() else None


def _direction(match: re.Match[str]) -> str | None:
    if not re.search(r"[0-9] $", match.string[max(0, match.start() - 2) : match.start()]):
        return None
    return {"N": "north", "S": "south", "E": "east", "W": "west"}[match[1]]


def _numbers(match: re.Match[str]) -> str:
    return f"number {words.cardinal(match[1])}"


WORD_RULES = (
    Rule(
        "abbreviation",
        r"(?:a\.k\.a\.|i\.e\.?|e\.g\.|eg\.|ie\.|P\.S\.|et al\.|q\.v\.|N\.B\.|Ph\.D\.?s?|D\.Phil\."
        r"|[MB]\.Sc\.|Ed\.D\.)(?![A-Za-z])",
        _plain,
    ),
    Rule("abbreviation", r"([NSEW])\.(?=\s[A-Z0-9])", _direction),
    Rule("abbreviation", r"([A-Za-z]{1,8})\.(?![A-Za-z])", _always),
    Rule(
        "abbreviation",
        r"(?:w/o(?:ut)?|b/c|c/o|n/a|N/A|w/|[a-z]{1,6}/[a-z]{2,4})(?![A-Za-z/])",
        _plain,
    ),
    Rule("abbreviation", r"(RE|Re|FWD?|Fwd|ATTN|Attn)(?=:\s)", _message),
    Rule(
        "abbreviation",
        r"([Tt]hx|[Pp]ls)(?![A-Za-z0-9'])",
        lambda match: _SHORT_WORDS[match[1].lower()],
    ),
    Rule("abbreviation", r"(?:Mr|Mrs|Ms|Dr|Prof|vs|aka|AKA)(?![A-Za-z0-9.'])", _plain),
)
SIGN_RULES = (Rule("number sign", r"(?:#|№)\s?([0-9]{1,6})(?![0-9A-Za-z])", _numbers),)
