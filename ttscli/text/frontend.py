"""A sentence to the symbol ids that a voice reads, with a report of what could not be spoken."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ttscli.errors import UsageError
from ttscli.text.arpabet import BRACES
from ttscli.text.characters import LEFT_TO_CLEANERS, is_lost, sanitise, transliterate
from ttscli.text.cleaners import CLEANERS
from ttscli.text.spans import DROPPED, PHONES, Span, Spans, filled, spoken
from ttscli.text.symbols import FIRST_SOUND, SYMBOL_TO_ID, WRITTEN

if TYPE_CHECKING:
    from ttscli.text.normalize import Normaliser

_UNWRITABLE = re.compile(f"[^{re.escape(''.join(sorted(WRITTEN)))}]")
_TOKEN = re.compile(r"\{[^{}]*\}|\s+|[^\s{}]+|[{}]")  # cleaners never look beyond white space
_ENDS = re.compile(r"[-!,.:;?]['() ]*\Z")


class WordReplacer(Protocol):
    """A lexicon, whether it is looked up on disk or given by the user."""

    @property
    def on_raw_text(self) -> bool:
        """Whether it comes before the cleaners."""

    def spans(self, text: str, start: int = 0, end: int | None = None) -> Sequence[Span]:
        """The words that it knows, in order, and what is spoken for them.

        Args:
            text: what the words stand in.
            start: where the slice begins in which they are looked up.
            end: where that ends; None for the end of the text.
        """


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
    """The character behind its last; of the words that one figure gave, each has its place."""
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
    """What sounds, in order."""

    @property
    def speakable(self) -> bool:
        """Whether there is a letter or a phone among the symbols."""
        return any(index >= FIRST_SOUND for index in self.ids)


class Frontend:
    """Text to symbols: the user's words, the normaliser, the cleaners, the voice's pronunciations.

    Args:
        cleaners: names from ``ttscli.text.cleaners.CLEANERS``, applied in order.
        lexicons: a user's before the cleaners, a voice's after them.
        normaliser: what writes out figures, signs and capitals; None leaves them to the cleaners.
        final_stop: strip sentences, and end those without punctuation with a full stop.
    """

    def __init__(
        self,
        cleaners: Sequence[str] = ("english_cleaners",),
        lexicons: Sequence[WordReplacer] = (),
        *,
        normaliser: Normaliser | None = None,
        final_stop: bool = False,
    ) -> None:
        for name in cleaners:
            if name not in CLEANERS:
                known = ", ".join(CLEANERS)
                raise UsageError(f"there are no cleaners named {name!r}", todo=f"known: {known}")
        self._cleaners = [CLEANERS[name] for name in cleaners]
        self._before = [lexicon for lexicon in lexicons if lexicon.on_raw_text]
        self._after = [lexicon for lexicon in lexicons if not lexicon.on_raw_text]
        self._normaliser = normaliser
        self._final_stop = final_stop

    @classmethod
    def open(
        cls,
        cleaners: Sequence[str],
        lexicon: str | Path | None = None,
        user_lexicon: str | Path | None = None,
        *,
        final_stop: bool = True,
        emoji: bool = False,
    ) -> Frontend:
        """The front end that speaks: lexicons from files, and English with its normaliser."""
        from ttscli.text.lexicon import Lexicon, UserLexicon
        from ttscli.text.normalize import Normaliser

        lexicons: list[WordReplacer] = []
        if user_lexicon is not None:
            lexicons.append(UserLexicon.open(user_lexicon))
        if lexicon is not None:
            lexicons.append(Lexicon.open(lexicon))
        normaliser = Normaliser(emoji=emoji) if "english_cleaners" in cleaners else None
        return cls(cleaners, lexicons, normaliser=normaliser, final_stop=final_stop)

    def spans(self, sentence: str) -> Spans:
        """What is spoken for each slice of a sentence, before the cleaners make letters of it."""
        text = sanitise(sentence)
        settled = _in_braces(text)
        for lexicon in self._before:
            settled = _merged(text, settled, lexicon, 0, len(text))
        if self._normaliser is not None:
            return self._normaliser.spans(text, settled)
        return filled(text, settled)

    def encode(self, sentence: str, stop: str = ".") -> Encoded:
        """Turn a sentence, with ``{ARPAbet}`` or without, into ids.

        Args:
            sentence: any text.
            stop: the punctuation for an end that has none, if ends are to have one.
        """
        spans = self.spans(sentence)
        dropped: Counter[str] = Counter()
        unknown: Counter[str] = Counter()
        for span in spans:
            if span.kind == DROPPED:
                dropped[sentence[span.start : span.end]] += 1
        tokens = list(_TOKEN.finditer(spoken(spans)))
        cleaned: list[str] = []
        apart = begun = False  # whether what the cleaners gave ends with a space; is anything
        for token in tokens:
            if BRACES.fullmatch(token[0]):
                piece, apart = _known_phones(token[0][1:-1], unknown), False
            else:
                piece, apart = self._clean(token[0], apart, dropped)
            if self._final_stop and not begun:
                piece = piece.lstrip()
            begun = begun or piece != ""
            cleaned.append(piece)
        pieces = self._pronounced(cleaned)
        words: list[Word] = []
        symbols = 0
        where = _Places(spans)
        for token, piece in zip(tokens, pieces, strict=True):
            count = len(_ids(piece))
            if _sounds(piece):
                words.append(Word(*where.of(token.start(), token.end()), symbols, symbols + count))
            symbols += count
        text = "".join(pieces)
        if self._final_stop and text.strip():
            text = text.rstrip()
            text += "" if _ENDS.search(text) else stop
        report = tuple(DroppedText(*item) for item in (dropped + unknown).items())
        return Encoded(_ids(text), text, report, tuple(words))

    def _clean(self, token: str, apart: bool, dropped: Counter[str]) -> tuple[str, bool]:
        """Reduce a token to characters that have an id."""
        # Judged before the cleaners, so that the report shows what the user wrote.
        for character in token:
            if is_lost(character):
                dropped[character] += 1
        text = transliterate(token)
        for clean in self._cleaners:
            text = clean(text)
        if self._cleaners and apart and text.startswith(" "):
            text = text[1:]
            ends_apart = text.endswith(" ") or not text
        else:
            ends_apart = text.endswith(" ") or (apart and not text)
        for character in _UNWRITABLE.findall(text):
            if character in LEFT_TO_CLEANERS:
                dropped[character] += 1
        return _UNWRITABLE.sub("", text), ends_apart

    def _pronounced(self, pieces: list[str]) -> list[str]:
        """The pieces of a sentence with phones for the words that the voice's lexicon knows.

        It sees the whole sentence: how a word is said may depend on its neighbours.
        """
        for lexicon in self._after:
            sentence, end, pronounced = "".join(pieces), 0, []
            for piece in pieces:
                start, end = end, end + len(piece)
                settled = [span.moved(start) for span in _in_braces(piece)]
                known = _merged(sentence, settled, lexicon, start, end)
                pronounced.append(spoken(filled(piece, (span.moved(-start) for span in known))))
            pieces = pronounced
        return pieces


class _Places:
    """Where in the source the text of spans is from, asked for from its start on."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._index, self._offset = 0, 0  # a span, and where it begins in the text

    def of(self, start: int, end: int) -> tuple[int, int]:
        """The slice of the source that a slice of the text is from."""
        return self._at(start)[0], self._at(end - 1)[1]

    def _at(self, position: int) -> tuple[int, int]:
        while position >= self._offset + len(self._spans[self._index].spoken):
            self._offset += len(self._spans[self._index].spoken)
            self._index += 1
        span = self._spans[self._index]
        if span.rewritten:
            return span.start, span.end
        place = span.start + position - self._offset
        return place, place + 1


def _in_braces(text: str) -> list[Span]:
    return [Span(*match.span(), match[0], PHONES) for match in BRACES.finditer(text)]


def _merged(
    text: str, settled: list[Span], lexicon: WordReplacer, start: int, end: int
) -> list[Span]:
    """The settled spans of a slice, and between them those of a lexicon."""
    merged: list[Span] = []
    done = start
    for span in [*settled, Span(end, end, "")]:
        merged += lexicon.spans(text, done, span.start)
        merged.append(span)
        done = span.end
    return merged[:-1]


def _sounds(piece: str) -> bool:
    return piece.startswith("{") or any(map(str.isalpha, piece))


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
