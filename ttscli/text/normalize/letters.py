"""Capitals: initialisms are spelled, acronyms are words, and shouting is neither."""

from __future__ import annotations

import re
from functools import lru_cache

from ttscli.text.normalize.rules import INITIALISMS, Rule, ends_text, rest, word_before
from ttscli.text.normalize.words import SUBSCRIPTS, cardinal

_SPELLED = """
AI API ATM BBC BMW CEO CFO CIA CNN CPU CTO DNA DIY DJ DVD ESPN ETA EU FAQ FBI FDA GDP GMT GPS GPU
GPT HBO HIV HR HTML HTTP HTTPS IBM ID IMF IP IPO IQ IRS ISO IT KFC KGB LCD LED LLC LLM MBA
MIT MRI MTV NBA NBC NFL NGO NHL NHS NSA NYC NYPD PBS PC PDF PDT PST EST EDT CST CDT MST MDT UTC CET
BST PR QA RNA RPM RSVP SMS SQL SSD SUV TNT TTS TV UAE UFC UFO UK UN URL USA USB USD VAT VHS VIP VPN
WHO WWF WWW XML YMCA ABC CBS UPS USSR UEFI CIO COO UCLA USC GIS NPR OECD IOU EKG ECG ICU EPA IUD
AMD AOL ACLU IED IUPAC ESA AM FM UI UX OS IO AC DC ASAP EV AR VR
"""
"""Initialisms, said letter by letter even where all is in capitals."""

_WORDS = "CAD DOS GNU HUD LAN LOL MAC PIN RAM ROM SAT SIM TED WAN ZIP"
"""Acronyms, and a few words that are often in capitals, too short to be taken for words."""

_SHORT_WORDS = """
A AD AGE AGO AH AID AIM AIR ALL AM AN AND ANY ARE ARM ART AS ASK AT ATE BAD BAG BAN BAR BE BED
BEE BET BIG BIT BOX BOY BUS BUT BUY BY CAN CAP CAR CAT COW CRY CUP CUT DAD DAY DEN DID DIE DO DOG
DRY DUE EAR EAT EGG END ERA EVE EYE FAN FAR FAT FEE FEW FIT FIX FLY FOR FUN GAS GET GO GOD GOT GUN
GUY HAD HAS HAT HE HER HEY HI HIM HIS HIT HOT HOW HUH I ICE IF ILL IN INK IS IT ITS JAR JOB JOY KEY
KID LAW LAY LEG LET LIE LIP LOT LOW MAD MAN MAP MAY ME MEN MET MIX MOM MUD MY NET NEW NO NOR
NOT NOW NUT OF OFF OH OIL OLD ON ONE OR OUR OUT OWE OWN PAN PAY PEN PET PIG PIT POT PUT RAN RAT RAW
RED RID ROW RUN SAD SAW SAY SEA SEE SET SHE SHY SIR SIT SIX SKY SO SON SUM SUN TAX TEA TEN THE TIE
TIN TIP TO TOE TOO TOP TOY TRY TWO UP US USE WAR WAS WAY WE WET WHY WIN WON YES YET YOU ZOO PS
"""

_SAID = {
    "IEEE": "I triple E", "JPEG": "jay peg", "JPG": "jay peg", "MPEG": "M peg", "OK": "okay",
    "SQL": "S Q L", "GUI": "gooey", "NAACP": "N double A C P", "AAA": "triple ay",
    "WWII": "world war two",
    "WWI": "world war one", "LaTeX": "lay tech", "iOS": "I O S", "macOS": "mac O S",
    "PhD": "P H D", "PhDs": "P H D's", "eBay": "ee bay", "WiFi": "why fie", "GIF": "gif",
    "MHz": "megahertz", "GHz": "gigahertz", "kHz": "kilohertz", "LaTeX's": "lay tech's",
    "pH": "P H", "mRNA": "M R N ay", "tRNA": "T R N ay", "DDoS": "D doss", "VoIP": "voyp",
    "SaaS": "sass", "PaaS": "pass", "IoT": "I O T", "eSIM": "E sim", "CRISPR": "crisper",
    "ASCII": "askey", "YAML": "yammel", "JSON": "jason", "CUDA": "cooda", "NOAA": "noah",
    "TODO": "to do", "FIXME": "fix me",
    "NASDAQ": "naz dack", "McDonald": "mick donald", "DARPA": "darpa",
}  # fmt: skip

_VOWEL = re.compile("[AEIOUY]")
# Around the A of "A or B", "from A to Z", "B, A and C", "A-Z", "(A)", "A B C".
_BEFORE_LETTER = re.compile(
    r"\s?[,/&-]\s?(?:and |or )?\(?[B-HJ-Z](?![\w'])|\s(?:and|or|to) [B-HJ-Z](?![\w'])|\)"
    r"|(?:\s[B-Z](?![\w'])){2}"
)
_BEHIND_LETTER = re.compile(r"(?<![\w'])[B-HJ-Z](?:\s?[,/&-]\s?(?:and |or )?|\s(?:and|or|to)\s)$")
_BEFORE_SMALL_LETTER = re.compile(r"\)|(?:,\s|-|\s(?:and|or|to) )[b-hj-z](?![\w'])")
_CAPITALS = re.compile(r"[A-Z]{2,}")
_NEAR = 12  # characters in front of a letter
_NAMES_A_LETTER = frozenset(
    "plan vitamin vitamins grade grades type group class level option team exhibit hepatitis"
    " section appendix letter letters schedule point column row figure gate terminal platform"
    " block series apartment apt unit model version room side step part category note key model"
    " train line an".split()
)


@lru_cache(maxsize=1)
def _tables() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    return frozenset(_SPELLED.split()), frozenset(_WORDS.split()), frozenset(_SHORT_WORDS.split())


@lru_cache(maxsize=4)
def shouts(text: str) -> bool:
    """Whether a text is in capitals throughout, so that these say nothing about its words."""
    return text.upper() == text and len(_CAPITALS.findall(text)) > 1


def spelled(word: str) -> str:
    """Letters by their names: a capital by itself is one, but for A, which would be an article."""
    return " ".join("ay" if letter in "Aa" else letter.upper() for letter in word)


def said(word: str, text: str) -> str | None:
    """How a word in capitals is said in this text; None if as any other word."""
    spelling, words, short = _tables()
    if word in _SAID or word in words:
        return _SAID.get(word)
    loud = shouts(text)
    if word in spelling and not (loud and word in short):
        return spelled(word)
    if not _VOWEL.search(word):
        return spelled(word)
    plain = loud or len(word) > 3 or (word in short and word != "US")
    return None if plain else spelled(word)


def _capitals(match: re.Match[str]) -> str | None:
    word, ending = match["word"], match["ending"] or ""
    if match[0] in _SAID:
        return _SAID[match[0]]
    how = said(word, match.string)
    if how is None:
        if ending == "s" and len(word) > 1:
            return word.lower() + "s"
        return None
    if not ending:
        return how
    return how + (
        "'s" if len(how.split()[-1]) == 1 or how.endswith(" ay") else "s" if ending == "s" else "'s"
    )


def _mixed(match: re.Match[str]) -> str | None:
    word = match[0].removesuffix("'s")
    if word not in INITIALISMS:
        return _SAID.get(match[0])
    plural = word.endswith("s") and word[:-1] in INITIALISMS and word != "https"
    one = word[:-1] if plural else word
    return spelled(one) + ("" if one == match[0] else "'s")


def _one_letter(match: re.Match[str]) -> str | None:
    letter = match[1]
    if match.start() > 1 and re.match(r"\w'", match.string[match.start() - 2 : match.start()]):
        return None  # the end of "Lee's", of "don't"
    before = word_before(match).lower()
    alone = match.start() < 4 and not match.string[: match.start()].strip(" \"'(")
    alone = alone and ends_text(match)
    if letter in "Aa":
        named = letter == "A" and before in _NAMES_A_LETTER
        last = letter == "A" and before and (ends_text(match) or _behind(match) in ",.;:!?")
        formula = rest(match).lstrip()[:1] in tuple("^=+*/²³<>÷×→←≤≥≠≈")
        answer = letter == "A" and not match.start() and rest(match)[:1] == ":"
        return "ay" if alone or named or last or formula or answer or _listed(match) else None
    if letter in "IO" or (letter in "io" and not alone):
        return None
    return letter.upper()


def _listed(match: re.Match[str]) -> bool:
    """Whether an A stands among other letters."""
    if match[1] == "a":
        return bool(_BEFORE_SMALL_LETTER.match(rest(match)))
    near = match.string[max(0, match.start() - _NEAR) : match.start()]
    return bool(_BEFORE_LETTER.match(rest(match)) or _BEHIND_LETTER.search(near))


def _letters(_match: re.Match[str]) -> str:
    """The A's of a report."""
    return "ay's"


def _behind(match: re.Match[str]) -> str:
    return match.string[match.end() : match.end() + 1] or "."


def _dotted(match: re.Match[str]) -> str | None:
    letters = re.sub(r"[.\s]", "", match[0])
    ending = "'s" if letters.endswith("'s") else ""
    return spelled(letters.removesuffix("'s")) + ending


def _initial(match: re.Match[str]) -> str | None:
    """The J of "J. Smith": its full stop ends no sentence."""
    return spelled(match[1])


def _joined(match: re.Match[str]) -> str:
    return f"{spelled(match[1])} and {spelled(match[2])}"


def _product(match: re.Match[str]) -> str:
    """The right side of E = mc²."""
    return spelled(match[0])


def _formula(match: re.Match[str]) -> str:
    """Elements and how many of each: H₂SO₄."""
    parts = re.findall(r"[A-Za-z]+|[₀-₉]+", match[0])
    return " ".join(
        spelled(part) if part.isalpha() else cardinal(part.translate(SUBSCRIPTS)) for part in parts
    )


def _share(match: re.Match[str]) -> str:
    """One class of a company's shares: BRK.B."""
    return f"{spelled(match[1])} {match[2]}"


RULES = (
    Rule("formula", r"(?=[A-Za-z]{1,8}[₀-₉])(?:[A-Z][a-z]?[₀-₉]{0,3}){1,12}(?![A-Za-z])", _formula),
    Rule("share", r"([A-Z]{3})\.([AB])(?![A-Za-z0-9.])", _share),
    Rule("initialism", r"([A-Z]{1,2})&([A-Z]{1,2})(?![A-Za-z0-9])", _joined),
    Rule("initialism", r"(?:[A-Za-z]\.){2,8}(?:'s)?(?![A-Za-z0-9])", _dotted),
    Rule("initial", r"([A-Z])\.(?=\s?[A-Z])", _initial),
    Rule("spelling", r"[A-Za-z]{2,8}(?:'s)?(?![A-Za-z0-9'])", _mixed),
    Rule("initialism", r"(?P<word>[A-Z]{2,12})(?P<ending>'?s)?(?![A-Za-z0-9'])", _capitals),
    Rule("letter", r"A's(?![A-Za-z0-9'])", _letters),
    Rule("letter", r"([A-Za-z])(?![A-Za-z0-9'])", _one_letter),
    Rule("formula", r"mc(?=²|\^2)", _product),
)
