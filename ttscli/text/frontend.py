"""A sentence to the symbol ids that a voice reads, with a report of what could not be spoken."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ttscli.errors import UsageError
from ttscli.text.arpabet import BRACES, outside_braces
from ttscli.text.characters import LEFT_TO_CLEANERS, is_lost, sanitise, transliterate
from ttscli.text.cleaners import CLEANERS
from ttscli.text.symbols import FIRST_SOUND, SYMBOL_TO_ID, WRITTEN

_UNWRITABLE = re.compile(f"[^{re.escape(''.join(sorted(WRITTEN)))}]")
_TOKEN = re.compile(r"(?:\{[^{}]*\}|\S)+")
_SPACE = re.compile(r"\s*")
_MOST_GROUPED = 32  # tokens that become one word
_ENDS = re.compile(r"[-!,.:;?]['() ]*\Z")


class WordReplacer(Protocol):
    """A lexicon, whether it is looked up on disk or given by the user."""

    @property
    def on_raw_text(self) -> bool:
        """Whether it comes before the cleaners."""

    def apply(self, text: str) -> str:
        """Replace the words it knows outside of braces."""


@dataclass(frozen=True)
class DroppedText:
    """Something in the text that has no sound in this voice and was left out."""

    text: str
    """The character, or the symbol in braces that is not ARPAbet."""
    count: int
    """How often it stood in the sentence."""


@dataclass(frozen=True)
class Word:
    """A word of a sentence: where it was written, and where it is among the symbols."""

    start: int
    """Its first character in the sentence."""
    end: int
    """The character behind its last."""
    first: int
    """Index of its first symbol."""
    last: int
    """Index of the symbol behind its last."""


@dataclass(frozen=True)
class Encoded:
    """A sentence as a voice reads it."""

    ids: list[int]
    """An id per symbol (T)."""
    text: str
    """What is spoken: the letters of the ids, and the phones in braces."""
    dropped: tuple[DroppedText, ...]
    """What is not; without spaces, quotation marks and brackets, which nobody expects to hear."""
    words: tuple[Word, ...] = ()
    """What sounds, in order; figures and the like are one word, whatever is said for them."""

    @property
    def speakable(self) -> bool:
        """Whether there is a letter or a phone among the symbols."""
        return any(index >= FIRST_SOUND for index in self.ids)


class Frontend:
    """Text to symbols: the user's words, the cleaners, the voice's pronunciations.

    Args:
        cleaners: names from ``ttscli.text.cleaners.CLEANERS``, applied in order.
        lexicons: a user's before the cleaners, a voice's after them.
        final_stop: end sentences that have no punctuation at their end with a full stop.
    """

    def __init__(
        self,
        cleaners: Sequence[str] = ("english_cleaners",),
        lexicons: Sequence[WordReplacer] = (),
        *,
        final_stop: bool = False,
    ) -> None:
        for name in cleaners:
            if name not in CLEANERS:
                known = ", ".join(CLEANERS)
                raise UsageError(f"there are no cleaners named {name!r}", todo=f"known: {known}")
        self._cleaners = [CLEANERS[name] for name in cleaners]
        self._before = [lexicon for lexicon in lexicons if lexicon.on_raw_text]
        self._after = [lexicon for lexicon in lexicons if not lexicon.on_raw_text]
        self._final_stop = final_stop

    def encode(self, sentence: str) -> Encoded:
        """Turn a sentence, with ``{ARPAbet}`` or without, into ids."""
        dropped: Counter[str] = Counter()
        text = self._spoken(sentence, dropped)
        words = self._words(sentence, text)
        if self._final_stop and text.strip() and not _ENDS.search(text):
            text = text.rstrip() + "."
        report = tuple(DroppedText(*item) for item in dropped.items())
        return Encoded(_ids(text), text, report, words)

    def _spoken(self, sentence: str, dropped: Counter[str]) -> str:
        """What is spoken for a sentence: letters and phones."""
        text = sanitise(sentence)
        for lexicon in self._before:
            text = lexicon.apply(text)
        # Here is the place for a wider normaliser (dates, units, %): it sees what people write,
        # and what it spells out is no longer dropped below.
        text = outside_braces(text, lambda plain: self._clean(plain, dropped))
        for lexicon in self._after:
            text = lexicon.apply(text)
        return BRACES.sub(lambda match: _known_phones(match[1], dropped), text)

    def _words(self, sentence: str, text: str) -> tuple[Word, ...]:
        """Where the words of a sentence are in what is spoken for it.

        A word is as few tokens as give, by themselves, what stands in the text: more than one
        only where the user's lexicon, or the cleaners, made one thing of several.
        """
        words: list[Word] = []
        position = symbols = grouped = start = 0
        for token in _TOKEN.finditer(sentence):
            if not grouped:
                start = token.start()
            grouped += 1
            if grouped > _MOST_GROUPED:
                continue
            piece = self._spoken(sentence[start : token.end()], Counter()).strip()
            if not piece:
                grouped = 0
                continue
            gap = _SPACE.match(text, position)
            begin = gap.end() if gap else position
            end = begin + len(piece)
            if text.startswith(piece, begin) and (end == len(text) or text[end].isspace()):
                first = symbols + begin - position
                symbols, position, grouped = first + len(_ids(piece)), end, 0
                if _sounds(piece):
                    words.append(Word(start, token.end(), first, symbols))
        rest = text[position:].rstrip()
        if grouped and _sounds(rest):
            words.append(Word(start, len(sentence), symbols, symbols + len(_ids(rest))))
        return tuple(words)

    def _clean(self, text: str, dropped: Counter[str]) -> str:
        """Reduce text without pronunciations to characters that have an id."""
        # Judged before the cleaners, so that the report shows what the user wrote.
        for character, count in Counter(text).items():
            if is_lost(character):
                dropped[character] += count
        text = transliterate(text)
        for clean in self._cleaners:
            text = clean(text)
        for character in _UNWRITABLE.findall(text):
            if character in LEFT_TO_CLEANERS:
                dropped[character] += 1
        return _UNWRITABLE.sub("", text)


def _sounds(text: str) -> bool:
    return any(map(str.isalpha, text))


def _known_phones(phones: str, dropped: Counter[str]) -> str:
    known = []
    for phone in phones.split():
        if "@" + phone.upper() in SYMBOL_TO_ID:
            known.append(phone.upper())
        else:
            dropped[phone] += 1
    return f"{{{' '.join(known)}}}" if known else ""


def _ids(text: str) -> list[int]:
    """Number the symbols of text that consists of nothing else."""
    symbols: list[str] = []
    for index, piece in enumerate(BRACES.split(text)):
        symbols += (f"@{phone}" for phone in piece.split()) if index % 2 else piece
    return [SYMBOL_TO_ID[symbol] for symbol in symbols]
