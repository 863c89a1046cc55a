"""Tries rules where words, figures and signs begin, once from the start of a text to its end."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from ttscli.text.characters import transliterate
from ttscli.text.normalize.rules import INITIALISMS, Rule, ends_text
from ttscli.text.spans import DROPPED, SILENT, Span, Spans, filled

_MASK = "\ufffc"
_WRITTEN_SIGNS = frozenset("-!'(),.:;?")
_TOKEN = re.compile(r"[^\W\d_¹²³¼½¾⁰-₟⅐-↉①-⓿]+|[0-9]+|\s(?=--|[–—―⸺⸻…]|[-*/<>](?=\s)|\.\.)|\S")
_SAME_LETTERS = re.compile(r"([^\W\d_])\1{2,}", re.IGNORECASE)
# Most words are simple: no rule can match them, and none is loaded for them.
_SIMPLE_WORD = re.compile(
    r"(?:[A-Z][a-z]+|[a-z]{2,})(?:'[a-z]+)?(?![\w/@:\\'&^]|[-.]\w|\.\s?\.)"
    r"|a(?=\s(?!(?:and|or|to) [b-z]\b)[a-z]{2})"
)
_NOT_SIMPLE = frozenset(
    "Mr Mrs Ms Dr Prof vs aka Jan Feb Mar Apr May Jun Jul Aug Sep Sept Oct Nov Dec January February"
    " March April June July August September October November December Mon Tue Tues Wed Weds Thu"
    " Thur Thurs Fri Sat Sun Re Fwd Attn Thx thx Pls pls ii iii iv vi vii viii ix xi xii xiii xiv"
    " xv xvi xx".split()
)
_SIMPLE_MARK = re.compile(r"[,.;:!?'()](?=\s+[^\W_]|\s*\Z)")
_SINGLE = frozenset("no so hello go yes bro stop help us oh who to too wow please love".split())
_DOUBLED = frozenset("eolszfm")
_TYPOGRAPHY = {"’": "'", "‘": "'", "ʼ": "'", "‐": "-", "‑": "-", "·": "·"}
# An en dash in front of an amount, where no word ends: "–5°C", "(–$3)", "–.5".
_DASH_FOR_MINUS = re.compile(r"(?<![^\s(\[{])–(?=[$£€¥₹]?\.?[0-9])")

Matcher = tuple[str, "re.Pattern[str]", Callable[["re.Match[str]"], "str | None"]]


class Normaliser:
    """Figures, signs and capitals to words, with a record of what was changed.

    Args:
        emoji: say the names of emoji, which are left out otherwise.
    """

    def __init__(self, *, emoji: bool = False) -> None:
        self._emoji = emoji

    def spans(self, text: str, settled: Sequence[Span] = ()) -> Spans:
        """The spans of a text, in order, without a gap.

        Args:
            text: any text.
            settled: spans of it that are not looked at any more, in order.
        """
        return filled(_folded(text), self._changed(text, settled))

    def _changed(self, text: str, settled: Sequence[Span]) -> Iterator[Span]:
        seen = _seen(text, settled)
        waiting = iter(settled)
        here = 0
        while token := _TOKEN.search(seen, here):
            here = token.start()
            if seen[here] == _MASK and (span := next(waiting, None)):
                yield span
                here = span.end
                continue
            ruled = token[0].isascii() or len(token[0]) == 1  # rules know ASCII words
            found = (ruled and self._rewritten(seen, here)) or _unruled(text, seen, token)
            if found is None:
                here = token.end()
                continue
            yield found
            here = found.end

    def _rewritten(self, seen: str, here: int) -> Span | None:
        """The first rule's span that matches here."""
        first = seen[here]
        simple = first.isalpha() and _SIMPLE_WORD.match(seen, here)
        if simple and _is_simple(simple[0], seen[simple.end() : simple.end() + 1]):
            return None
        if _SIMPLE_MARK.match(seen, here) and first != seen[here - 1 : here]:
            return None
        for kind, pattern, say in _rules_for(first):
            match = pattern.match(seen, here)
            if not match or match.end() == here or _MASK in match[0]:
                continue
            how = say(match)
            if how is None:
                continue
            if kind == "emoji" and not self._emoji:
                return Span(here, match.end(), _gap(seen, here, match.end()), DROPPED)
            if not how:
                return Span(here, match.end(), "", SILENT)
            if match[0].endswith(".") and how[-1].isalnum() and ends_text(match):
                how += "."
            return Span(here, match.end(), how, kind)
        return None


def _is_simple(word: str, following: str) -> bool:
    word = word.removesuffix("'s")
    if word in _NOT_SIMPLE or _SAME_LETTERS.search(word) or word in INITIALISMS:
        return False
    if following != ".":
        return True

    from ttscli.text.normalize.abbreviations import is_abbreviation

    return not is_abbreviation(word)


def _rules_for(first: str) -> tuple[Matcher, ...]:
    if first in "0123456789":
        return _figure_rules()
    return _word_rules() if first.isalpha() else _sign_rules()


# Compiled when a text first needs them, for most need few: it takes some ten milliseconds.
@lru_cache(maxsize=1)
def _figure_rules() -> tuple[Matcher, ...]:
    from ttscli.text.normalize import (
        addresses,
        codes,
        dates,
        entities,
        figures,
        money,
        times,
        units,
    )

    return _compiled(
        entities.WORD_RULES, codes.FIRST_RULES, addresses.FIGURE_RULES, dates.RULES, times.RULES,
        codes.RULES, money.RULES, figures.FIRST_RULES, units.RULES, figures.RULES,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _word_rules() -> tuple[Matcher, ...]:
    from ttscli.text.normalize import (
        abbreviations,
        addresses,
        codes,
        dates,
        entities,
        figures,
        letters,
        money,
        roman,
        signs,
        units,
    )

    return _compiled(
        entities.WORD_RULES, addresses.WORD_RULES, units.WORD_RULES, dates.WORD_RULES,
        figures.WORD_RULES, money.WORD_RULES, abbreviations.WORD_RULES, roman.WORD_RULES,
        codes.WORD_RULES, letters.RULES, signs.LETTER_RULES,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _sign_rules() -> tuple[Matcher, ...]:
    from ttscli.text.normalize import (
        abbreviations,
        addresses,
        codes,
        entities,
        figures,
        money,
        signs,
        units,
    )

    return _compiled(
        entities.SIGN_RULES, money.SIGN_RULES, codes.SIGN_RULES, units.SIGN_RULES,
        figures.SIGN_RULES, addresses.SIGN_RULES, abbreviations.SIGN_RULES, signs.RULES,
    )  # fmt: skip


def _compiled(*parts: tuple[Rule, ...]) -> tuple[Matcher, ...]:
    return tuple((kind, re.compile(pattern), say) for part in parts for kind, pattern, say in part)


def _unruled(text: str, seen: str, token: re.Match[str]) -> Span | None:
    """What becomes of a token that no rule knows; None if it is spoken as it is written."""
    start, end, written = token.start(), token.end(), token[0]
    if written[0].isalpha():
        plain = _SAME_LETTERS.sub(_fewer, written)
        if plain != written:
            lowered = _SAME_LETTERS.sub(r"\1", written)
            plain = lowered if lowered.lower() in _SINGLE else plain
            return Span(start, end, transliterate(plain).strip(), "repeated letters")
        if written.isascii():
            return None
        spelling = transliterate(written).strip()
        if (
            spelling
            and all(map(str.isalnum, transliterate(written[0])[:1]))
            and _all_heard(written)
        ):
            return Span(start, end, spelling, "letters")
        end = start + 1
    if written[0].isspace() or written in _WRITTEN_SIGNS:
        return None
    if seen[start].isascii() and seen[start].isalpha():
        return Span(start, end, seen[start], "letters")

    from ttscli.text.normalize.signs import other

    how, kind = other(text[start])
    return Span(start, end, how or _gap(seen, start, end), kind)


def _all_heard(word: str) -> bool:
    from ttscli.text.characters import is_lost

    return word.isascii() or not any(map(is_lost, word))


def _fewer(match: re.Match[str]) -> str:
    return match[1] * (2 if match[1].lower() in _DOUBLED else 1)


def _gap(seen: str, start: int, end: int) -> str:
    """A space for a sign that is left out between two words; none for an accent or a joiner."""
    if unicodedata.category(seen[start]) in ("Mn", "Me", "Mc", "Cf"):
        return ""
    apart = start > 0 and seen[start - 1].isalnum() and seen[end : end + 1].isalnum()
    return " " if apart else ""


def _seen(text: str, settled: Sequence[Span]) -> str:
    """The text as the rules see it: character for character, in ASCII where there is one for it."""
    seen = _DASH_FOR_MINUS.sub(_minus, _folded(text))
    if not settled:
        return seen
    pieces: list[str] = []
    done = 0
    for span in settled:
        pieces += seen[done : span.start], _MASK * (span.end - span.start)
        done = span.end
    return "".join(pieces) + seen[done:]


def _minus(match: re.Match[str]) -> str:
    """A minus for an en dash, but not for one between two amounts: "10 –20", "$5 –$6"."""
    before = match.string[max(0, match.start() - 40) : match.start()].split()
    amount = before and before[-1][-1] not in ",;:.!?" and any(map(str.isdigit, before[-1]))
    return match[0] if amount else "−"


def _folded(text: str) -> str:
    return text if text.isascii() else "".join(map(_fold, text))


@lru_cache(maxsize=1 << 12)
def _fold(character: str) -> str:
    if character.isascii():
        return character
    if character in _TYPOGRAPHY:
        return _TYPOGRAPHY[character]
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    same = unicodedata.normalize("NFKC", character)
    if (
        len(same) == 1
        and same.isascii()
        and category not in ("No", "Lm")
        and character not in "ªº⁺⁻⁼⁽⁾₊₋₌₍₎"
    ):
        return same
    return character
