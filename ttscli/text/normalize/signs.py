"""Signs: mathematics, dashes, ellipses, quotation marks, symbols, emoji, other scripts."""

from __future__ import annotations

import re
import unicodedata

from ttscli.text.characters import ascii_of, is_lost
from ttscli.text.normalize.rules import Rule, ends_text, glued, rest, word_after, word_before
from ttscli.text.normalize.words import SUPERSCRIPTS, cardinal, power
from ttscli.text.spans import DROPPED, SILENT

_NAMES = {
    "&": "and", "@": "at", "%": "percent", "+": "plus", "=": "equals", "÷": "divided by",
    "×": "times",
    "≠": "is not equal to", "≈": "is about", "≤": "is at most", "≥": "is at least",
    "±": "plus or minus",
    "√": "square root of", "∞": "infinity", "∑": "sum of", "∏": "product of", "∫": "integral of",
    "∂": "partial",
    "∇": "nabla", "∈": "in", "∉": "not in", "⊂": "subset of", "∪": "union", "∩": "intersection",
    "∅": "empty set",
    "∀": "for all", "∃": "there exists", "¬": "not", "∧": "and", "∨": "or",
    "∝": "is proportional to", "≡": "is identical to",
    "⇒": "implies", "→": "to", "←": "from", "↔": "to and from", "⟶": "to", "∴": "therefore",
    "∵": "because",
    "°": "degrees", "′": "prime", "″": "double prime", "‰": "per thousand",
    "‱": "per ten thousand", "©": "copyright", "®": "registered",
    "™": "trademark", "℠": "service mark", "§": "section", "¶": "paragraph", "№": "number",
    "℃": "degrees Celsius",
    "℉": "degrees Fahrenheit", "Ω": "ohm", "¢": "cents", "$": "dollars", "£": "pounds",
    "€": "euros", "¥": "yen", "₹": "rupees",
    "₩": "won", "₽": "rubles", "₺": "lira", "₿": "bitcoin", "₪": "shekels", "₫": "dong",
    "₴": "hryvnia", "^": "caret", "\\": "backslash", "−": "minus",
    "♯": "sharp", "♭": "flat", "²": "squared", "³": "cubed", "⁄": "slash", "∆": "delta",
    "∗": "times", "∙": "times", "⋅": "times",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho",
    "σ": "sigma", "τ": "tau",
    "υ": "upsilon", "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "gamma",
    "Δ": "delta", "Θ": "theta", "Λ": "lambda",
    "Ξ": "xi", "Π": "pi", "Σ": "sigma", "Φ": "phi", "Ψ": "psi", "Ω": "omega",
}  # fmt: skip
_OPERATORS = {
    "<": "is less than", ">": "is greater than", "<=": "is at most", ">=": "is at least",
    "==": "equals", "!=": "is not equal to",
    "->": "to", "=>": "implies", "-": "minus", "*": "times", "/": "divided by", "+": "plus",
    "=": "equals", "~": "about", "^": "to the power of",
}  # fmt: skip
EMOJI = (
    r"(?:[\U0001F1E6-\U0001F1FF]{2}|(?:[\U0001F300-\U0001FAFF\u2600-\u27BF\u2B00-\u2BFF"
    r"\u231A-\u23FF]"
    r"[\uFE0E\uFE0F\u20E3]?[\U0001F3FB-\U0001F3FF]?(?:\u200D[\U0001F300-\U0001FAFF\u2600-"
    r"\u27BF][\uFE0F]?[\U0001F3FB-\U0001F3FF]?){0,6}))"
)

_LOVED = "you|u|this|that|them|him|her|my"  # behind a "<3"

# Only names that are HTML's: "a < b > c" are comparisons.
_TAG = (
    r"</?(?:(?i:b|i|u|em|strong|a|span|code|sub|sup)|(?P<apart>(?i:p|br|div|h[1-6]|li|ul|ol|pre)))"
    r"(?:\s{1,9}[a-zA-Z-]{1,30}=(?:\"[^\"<>]{0,300}\"|'[^'<>]{0,300}'|[^\s\"'<>]{1,300})){0,8}"
    r"\s{0,9}/?>"
)


def _name(match: re.Match[str]) -> str | None:
    return _NAMES.get(match[0])


def emoji_name(cluster: str) -> str:
    """What the first sign of an emoji is called."""
    if "\U0001f1e6" <= cluster[0] <= "\U0001f1ff":
        letters = " ".join(chr(ord(c) - 0x1F1E6 + ord("A")) for c in cluster)
        return f"flag {letters}"
    names = (unicodedata.name(c, "").lower() for c in cluster if unicodedata.category(c) == "So")
    return " ".join(filter(None, names)).replace("-", " ")


def _emoji(match: re.Match[str]) -> str | None:
    return emoji_name(match[0])


def _operator(match: re.Match[str]) -> str | None:
    return _OPERATORS[match[1]]


def _before(match: re.Match[str]) -> str:
    """The last character before a match that is no space."""
    return match.string[max(0, match.start() - 80) : match.start()].rstrip()[-1:]


def _dash(match: re.Match[str]) -> str:
    before = _before(match)
    return "," if before.isalnum() or before in tuple("\"'”’)%") else ""


def _ellipsis(match: re.Match[str]) -> str:
    if not _before(match):
        return ""
    following = rest(match).lstrip()[:1]
    if following in tuple(",;:.!?"):
        return ""
    return "." if ends_text(match) or word_after(match)[:1].isupper() else ","


def _marks(match: re.Match[str]) -> str | None:
    marks = match[0]
    if len(marks) == 1:
        return None
    return "?" if "?" in marks else "!"


def _commas(match: re.Match[str]) -> str:
    return match[0][0]


def _slash(match: re.Match[str]) -> str:
    before = re.search(r"[A-Za-z]+$", match.string[max(0, match.start() - 20) : match.start()])
    after = re.match(r"[A-Za-z]+", rest(match))
    if before and after and before[0].isupper() and after[0].isupper():
        return " "
    return " slash "


def _sharp(match: re.Match[str]) -> str:
    return (
        "sharp"
        if re.search(r"(?:^|\W)[A-GJ]$", match.string[max(0, match.start() - 2) : match.start()])
        else "hash"
    )


def _between_letters(_match: re.Match[str]) -> str:
    return " "


def _superscript(match: re.Match[str]) -> str | None:
    if not glued(match):
        return None
    exponent = match[1].translate(SUPERSCRIPTS)
    return power(exponent)


def _caret(match: re.Match[str]) -> str:
    return power(match[1])


def _heart(match: re.Match[str]) -> str | None:
    """I <3 you; not of x <3."""
    before = word_before(match)
    fond = before in ("I", "We", "we", "it", "you", "them", "this", "that") or not match.start()
    return "heart" if fond else None


def _charge(match: re.Match[str]) -> str:
    """Of an ion: Fe³⁺."""
    sign = "plus" if match[2] == "⁺" else "minus"
    return f"{cardinal(match[1].translate(SUPERSCRIPTS))} {sign}" if match[1] else sign


def _nothing(_match: re.Match[str]) -> str:
    return ""


def _link(match: re.Match[str]) -> str | None:
    """What stands around a link's text, and not behind a name: values[i](x.y)."""
    if match[0][0] == "]":
        before, opened, _ = match.string[max(0, match.start() - 202) : match.start()].rpartition(
            "["
        )
        if not opened or re.search(r"[\w\])]\Z", before):
            return None
    return ""


def _heading(match: re.Match[str]) -> str | None:
    return None if match.string[max(0, match.start() - 80) : match.start()].strip() else ""


def _greek(match: re.Match[str]) -> str | None:
    return _GREEK.get(match[0])


def _tag(match: re.Match[str]) -> str:
    return " " if match["apart"] else ""


def other(character: str) -> tuple[str, str]:
    """What is spoken for a sign without a rule, and why: its spelling, silence, or nothing."""
    if unicodedata.category(character) in ("No", "Nl"):
        value = unicodedata.numeric(character, -1)
        if value >= 0 and value == int(value):
            return cardinal(str(int(value))), "number"
    if is_lost(character):
        return "", DROPPED
    spelling = ascii_of(character)
    heard = any(c.isalnum() or c in "-!'(),.:;?" for c in spelling)
    return (spelling.strip(), "letters") if heard else ("", SILENT)


_LINK = r"\]\([^()\s]{0,200}[./#:][^()\s]{0,200}\)"

RULES = (
    Rule("markup", _TAG, _tag),
    Rule("link", rf"(?<![\w\])])!?\[(?=[^\[\]\n]{{0,200}}{_LINK})|{_LINK}", _link),
    Rule("mark", "[„‚¿¡]", _nothing),
    Rule(
        "emoticon",
        r"(?<![^\s(])(?:[:;][-o^']?[)(D]|[:;]-?[Pp](?=\s*\Z)|=[)(])(?![^\s.,!?)])",
        _nothing,
    ),
    Rule("heart", rf"<3(?=\s(?:{_LOVED})(?![a-z])|\s*\Z)", _heart),
    Rule("ellipsis", r"\s?(?:\.(?:\s?\.){2,200}|…[….]{0,200})", _ellipsis),
    Rule("repeated marks", r"[!?][!?\s]{0,200}[!?]|[!?‼⁇⁈⁉]{2,200}", _marks),
    Rule("repeated marks", r"([,;:.])\1{1,200}", _commas),
    Rule("item", r"[-*+•‣◦▪–—]\s+", _heading),
    Rule("sign", r"&&(?!&)", lambda _: "and"),
    Rule("sign", r"\$(?=[A-Za-z_])", lambda _: "dollar"),
    Rule("ruler", r"([=*_~#+<>|^%$@&/\\])\1{2,200}", _nothing),
    Rule("mathematics", r"(<=|>=|==|!=|=>|->)", _operator),
    Rule(
        "mathematics",
        r"(?<=[0-9A-Za-z)])\s([-*/<>^])(?= [0-9A-Za-z(√-]{1,20}(?:\s?[=<>]| [-+*/] ))",
        _operator,
    ),
    Rule("mathematics", r"(?<=[0-9])\s([*/])(?= [0-9])", _operator),
    # "x - 1", "3x - 2", "7 - x".
    Rule(
        "mathematics",
        r"(?<![A-Za-z'][b-hj-z])(?<=[b-hj-z])\s(-)(?= (?:[0-9]{1,4}[a-hj-z]?|[b-hj-z])(?![\w']))",
        _operator,
    ),
    Rule(
        "mathematics", r"(?<=[0-9)])\s(-)(?= (?:[0-9]{1,4}[a-hj-z]|[b-hj-z])(?![\w']))", _operator
    ),
    Rule("mathematics", r"(?<=[0-9A-Za-z)])\s([<>])(?= ?[0-9A-Za-z])", _operator),
    Rule("mathematics", r"(?<=[0-9)])([*/^])(?=[0-9(])", _operator),
    Rule("mathematics", r"(?<=[0-9)A-Za-z])([<>+=])(?=-?[0-9A-Za-z(])", _operator),
    Rule("mathematics", r"([<>~])(?=\s?[-$]?[0-9])", _operator),
    Rule("charge", r"(?<=[A-Za-z₀-₉])([¹²³⁴-⁹]?)([⁺⁻])(?![⁰¹²³⁴-⁹])", _charge),
    Rule("power", r"\^(-?[0-9]{1,4}|[a-z](?![a-z]))", _caret),
    Rule("power", r"([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ]{1,4})", _superscript),
    Rule(
        "emphasis",
        r"(?<![\w*])[*_]{1,3}(?=[\w(\"'])|(?<=[\w.,!?)\"'])[*_]{1,3}(?![\w*])|`{1,3}",
        _nothing,
    ),
    Rule("heading", r"#{1,6}\s+", _heading),
    Rule("dash", r"\s?(?:--+|[–—―⸺⸻]+)\s?|\s[-−](?=\s)", _dash),
    Rule("emoji", EMOJI, _emoji),
    Rule("slash", r"(?<=[A-Za-z])/(?=[A-Za-z])", _slash),
    Rule("sharp", r"(?<=[A-Z])#(?![A-Za-z0-9])", _sharp),
    Rule("underscore", r"(?<=[A-Za-z0-9])_+(?=[A-Za-z0-9])", _between_letters),
    Rule("sign", r"[^\w\s]|[⁰-₿]", _name),
)
"""Tried where a sign begins."""

LETTER_RULES = (Rule("Greek letter", r"[α-ωϕΓΔΘΛΞΠΣΦΨΩµ](?![^\W\d_])", _greek),)
"""Tried where a word begins."""
