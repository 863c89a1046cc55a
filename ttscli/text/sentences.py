"""Text of any length to pieces short enough to speak at once, with the pauses between them."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import ceil
from typing import NamedTuple

from ttscli.errors import InputError
from ttscli.text.arpabet import BRACES
from ttscli.text.characters import sanitise
from ttscli.text.numbers import MAX_NAMED_DIGITS
from ttscli.text.spans import Span

MAX_LENGTH = 250
LONGEST_PAUSE = 600.0  # seconds; more is a slip of the pen

_WINDOW = 4096

_PAUSE = re.compile(
    r"\[pause(?:[\s:=]\s*([0-9]{1,9}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})\s*(ms|s)?)?\]", re.I
)
_ITEM = re.compile(r"\s*(?:[-*+•‣◦▪–—]|\(?[0-9]{1,3}[.)]|\(?[a-zA-Z]\)|#{1,6})\s")
_NUMBERED = re.compile(r"\A\s*\(?[0-9]{1,3}\.\s")
_HEADING = re.compile(r"\s*#{1,6}\s")
_RULER = re.compile(r"\s*([-=*_~#+.<>|])(?:\s*\1){2,}\s*")

_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_INK = re.compile(r"\S+")

_LONG_NUMBER = re.compile(rf"\d(?:,*\d){{{MAX_NAMED_DIGITS},}}")
_BETWEEN_DIGITS = re.compile(r"(?<=.)(?=\d)")

# What is never cut: a pronunciation, a number, a character.
_ATOM = re.compile(rf"{BRACES.pattern}|[\d.,]{{1,{4 * MAX_NAMED_DIGITS // 3}}}|.", re.DOTALL)
_CLOSING = re.compile(r"""(?<=\S)["'”’»)\]]{1,8}(?=\s|\Z)""")
_OPENING = re.compile(r"""(?<=\s)["'“‘«(\[]{1,8}\Z""")
# sentencex takes every "no." for a number's sign.
_ANSWER_NO = re.compile(r"""\b[Nn]o\.["'”’)\]]{0,8}\s+(?=["'“‘(\[]{0,8}[A-Z])""")
# Vol. II, Ch. V; and of an I, which may well be the pronoun, only Vol. I.
_NUMERAL_BEHIND = re.compile(
    r"(?i:vols?|ch|pt|bk|figs?|art|app)\.\s+(?:[IVXLC]{2,}|[VXLC])(?![A-Za-z])"
    r"|(?:Vol|Ch|Pt|Bk)\.\s+I(?![A-Za-z])"
)
_CLAUSE_END = re.compile(r"""([.,;:!?…—][)\]"'”’»]*\s|[。，、；：！？])\Z""")

Reader = Callable[[str], Sequence[Span]]
"""Tells what is spoken for each slice of a text."""


class Gap(Enum):
    """What lies between a piece and the one before it."""

    CLAUSE = "clause"
    SENTENCE = "sentence"
    ITEM = "item"
    """The pieces are items of a list."""
    PARAGRAPH = "paragraph"


@dataclass(frozen=True)
class Piece:
    """A sentence, or a part of one that is too long to be spoken at once."""

    text: str
    """Without white space around it; a line break is a space."""
    start: int
    """Its first character in the text."""
    gap: Gap
    """What lies before it."""
    pause: float | None = None
    """Seconds of silence before it, where the text asks for a pause."""
    after: float = 0.0
    """Seconds of silence after it; only the last can have some."""
    whole: bool = True
    """Whether its sentence ends with it."""


class _Piece(NamedTuple):
    """A piece of a block."""

    text: str
    """Without white space around it."""
    gap: Gap
    """What lies before it."""
    whole: bool
    """Whether its sentence ends with it."""


class _Block(NamedTuple):
    """Lines that belong together."""

    text: str
    """Joined by spaces."""
    start: int
    """Where they begin."""
    gap: Gap
    """What lies before them."""


def split_text(text: str, max_length: int = MAX_LENGTH, read: Reader | None = None) -> list[Piece]:
    """Split text into sentences, and those that are too long at clauses, words, or anywhere.

    Args:
        text: any text. A blank line ends a sentence, a single line break is a space but for items
            of lists and headings with ``#``. ``[pause 0.5]`` stands for silence. Control characters
            and lone surrogates come back as U+FFFD.
        max_length: the longest sentence, in characters as they sound: a digit counts as several.
        read: tells what is spoken, so that lengths are exact, and nothing is cut amid a date.
    """
    text = sanitise(text)
    pieces: list[Piece] = []
    pause: float | None = None
    for block in _blocks(text):
        place = block.start
        gap: Gap | None = block.gap
        for part, seconds, marker in _parts(block.text):
            for cut in _cuts(part, max_length, read):
                place = _find(text, place, cut.text[0])
                pieces.append(Piece(cut.text, place, gap or cut.gap, pause, whole=cut.whole))
                place = _behind(text, place, cut.text)
                gap = pause = None
            if marker:
                place = _behind(text, _find(text, place, "["), marker)
                pause = (pause or 0.0) + seconds
                if pieces and pieces[-1].text[-1].isalnum():
                    pieces[-1] = replace(pieces[-1], whole=False)
    if pause and pieces:
        pieces[-1] = replace(pieces[-1], after=pause, whole=True)
    return pieces


def _blocks(text: str) -> Iterator[_Block]:
    """Join lines, but those between which a blank line stands, and items and headings."""
    lines: list[str] = []
    start = place = 0
    gap = Gap.PARAGRAPH
    apart, heading = True, False  # whether a blank line came last; a heading
    for line in _lines(text):
        blank = not line.strip() or bool(_RULER.fullmatch(line))
        if lines and (blank or heading or _ITEM.match(line)):
            yield _Block(" ".join(lines), start, gap)
            lines, apart = [], False
        if blank:
            if line.strip():  # a ruler of dashes: nothing to say, but not lost
                yield _Block(line.strip(), place, Gap.PARAGRAPH)
            apart = True
        else:
            heading = bool(_HEADING.match(line))
            if not lines:
                start, gap = place, Gap.PARAGRAPH if apart or heading else Gap.ITEM
            lines.append(line.rstrip(_BREAKS))
        place += len(line)


def _lines(text: str) -> Iterator[str]:
    """The lines of a text, with their ends; a blank one more at the end of each paragraph."""
    for line in text.splitlines(keepends=True):
        yield line
        if line.endswith("\u2029"):
            yield ""
    yield ""


def _parts(text: str) -> Iterator[tuple[str, float, str]]:
    """Cut at the pauses that the text asks for: what stands before one, its seconds, its marker."""
    done = 0
    for match in _PAUSE.finditer(text):
        seconds = float(match[1] or 0.5) / (1000 if (match[2] or "").lower() == "ms" else 1)
        if seconds > LONGEST_PAUSE:
            what = f"a pause of {seconds:g} seconds is longer than {LONGEST_PAUSE:g}"
            raise InputError(what, where=match[0], todo="several pauses in a row add up")
        yield text[done : match.start()], seconds, match[0]
        done = match.end()
    yield text[done:], 0.0, ""


def _find(text: str, place: int, character: str) -> int:
    """Where the next piece begins: behind white space, and spaces that were put into giants."""
    found = text.find(character, place)
    return place if found < 0 else found


def _behind(text: str, place: int, piece: str) -> int:
    """Where a piece ends: pieces and text differ in nothing but white space."""
    for match in _INK.finditer(piece):
        place = max(place, _find(text, place, match[0])) + len(match[0])
    return min(place, len(text))


def _cuts(text: str, max_length: int, read: Reader | None) -> Iterator[_Piece]:
    """The sentences of a part of a block, and the pieces of those that are too long."""
    if not text.strip():
        return
    text = _divide_giants(text, max_length)
    spans = [span for span in read(text) if span.rewritten] if read is not None else []
    for start, end in _sentences(text, spans):
        inside = [
            replace(span, start=span.start - start, end=span.end - start)
            for span in _within(spans, start, end)
        ]
        pieces = [piece for piece in _pieces(text[start:end], max_length, inside) if piece.strip()]
        for index, piece in enumerate(pieces):
            gap = Gap.CLAUSE if index else Gap.SENTENCE
            yield _Piece(piece.strip(), gap, index == len(pieces) - 1)


def _sentences(text: str, spans: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """Cut a text at the ends of its sentences, but not amid what is spoken as one."""
    # A pronunciation stands for a word, and a full stop inside it would end no sentence.
    masked = BRACES.sub(lambda match: "x" * len(match[0]), text)
    masked = _NUMBERED.sub(lambda match: "x" * len(match[0]), masked, count=1)
    start = 0
    waiting = iter(spans)
    before, span = None, next(waiting, None)
    ends = {_beside_marks(text, end) for end in _sentence_ends(masked)}
    ends.update(match.end() for match in _ANSWER_NO.finditer(masked))
    for end in [*sorted(ends), len(text)]:
        while span and span.end <= end:
            before, span = span, next(waiting, None)
        if (span and span.start < end) or (before and _goes_on(text, before, end)):
            continue
        if end > start:
            yield start, end
        start = end


def _beside_marks(text: str, end: int) -> int:
    """The end of a sentence, so that quotation marks that touch a word stay with it: which of them
    are a pair is a guess."""
    if closing := _CLOSING.match(text, end):
        return closing.end()
    near = max(0, end - 9)
    opening = _OPENING.search(text[near:end]) if not text[end : end + 1].isspace() else None
    return near + opening.start() if opening else end


def _goes_on(text: str, before: Span, end: int) -> bool:
    """Whether a full stop only ended an abbreviation: what follows begins no sentence."""
    near = end - before.end < 8 and text[before.end : end].strip() in ("", ".")
    following = text[end : end + 8].lstrip()
    numbered = following[:1].isdigit() or _NUMERAL_BEHIND.match(text, before.start)
    return near and bool(following[:1].islower() or (numbered and before.kind == "abbreviation"))


def _sentence_ends(text: str) -> Iterator[int]:
    """Find where sentences end, a window at a time: sentencex is quadratic in unclosed quotes."""
    from sentencex import get_sentence_boundaries

    start = 0
    while start < len(text):
        window = text[start : start + _WINDOW]
        ends = [start + found["end_index"] for found in get_sentence_boundaries("en", window)]
        if start + len(window) < len(text):
            ends.pop()  # the last is the end of the window; look again from where it begins
        yield from ends
        start = ends[-1] if ends else start + len(window)


def _divide_giants(text: str, max_length: int) -> str:
    """Put spaces, to cut at, into pronunciations and numbers that are longer than a sentence."""

    def divide(match: re.Match[str]) -> str:
        phones = match[1].split()
        if len(phones) <= max_length:
            return match[0]
        starts = range(0, len(phones), max_length)
        return " ".join(f"{{{' '.join(phones[i : i + max_length])}}}" for i in starts)

    text = BRACES.sub(divide, text)
    # Half of a number that is read digit by digit might be short enough to be read as a number.
    return _LONG_NUMBER.sub(lambda match: _BETWEEN_DIGITS.sub(" ", match[0]), text)


def _pieces(sentence: str, max_length: int, spans: Sequence[Span]) -> Iterator[str]:
    """Cut a sentence into about equal pieces of at most the given length."""
    atoms = list(_atoms(sentence, max_length, spans))
    left = sum(atom.length for atom in atoms)
    start = first = 0
    while left > max_length:
        cut = _best_cut(sentence, atoms, first, max_length, ideal=left / ceil(left / max_length))
        yield sentence[start : cut.end]
        start, first = cut.end, cut.atom + 1
        left -= cut.length
    yield sentence[start:]


class _Atom(NamedTuple):
    """A slice of a sentence that is never cut."""

    end: int
    """Behind its last character."""
    length: int
    """Letters that are spoken for it."""
    word: bool
    """Whether other words took its place: a full stop in it ends no clause."""


def _atoms(sentence: str, max_length: int, spans: Sequence[Span]) -> Iterator[_Atom]:
    done = 0
    for span in [*spans, Span(len(sentence), len(sentence), "")]:
        for atom in _ATOM.finditer(sentence, done, span.start):
            yield _Atom(atom.end(), _spoken_length(atom[0]), False)
        done = span.start
        if span.end > span.start and len(span.spoken) <= max_length:
            yield _Atom(span.end, len(span.spoken), True)
            done = span.end
        # What is too long to be spoken at once falls into its characters.


class _Cut(NamedTuple):
    """A place to cut at; the smallest is the best."""

    rank: int
    """0 after a clause, 1 after a word, 2 and 3 the same for a short piece, 4 anywhere."""
    distance: float
    """From the ideal length."""
    end: int
    """Index into the sentence."""
    atom: int
    """Index of the last atom before it."""
    length: int
    """Of the piece that ends here, as it is spoken."""


def _best_cut(
    sentence: str, atoms: Sequence[_Atom], first: int, max_length: int, ideal: float
) -> _Cut:
    best: _Cut | None = None
    length = 0
    start = atoms[first - 1].end if first else 0
    for index in range(first, len(atoms)):
        atom = atoms[index]
        length += atom.length
        if best and length > max_length:
            break
        end = atom.end
        rank = 4
        after_word = index > first and atoms[index - 1].word
        if not after_word and _CLAUSE_END.search(sentence[max(start, end - 4) : end]):
            rank = 0 if length >= ideal / 2 else 2
        elif sentence[end - 1].isspace() and not atom.word:
            rank = 1 if length >= ideal / 2 else 3
        cut = _Cut(rank, abs(length - ideal), end, index, length)
        best = min(best or cut, cut)
    assert best, "there is text left to cut"
    return best


def _within(spans: Sequence[Span], start: int, end: int) -> Sequence[Span]:
    """The spans that lie between two places."""
    low = bisect_left(spans, start, key=lambda span: span.start)
    high = bisect_right(spans, end, key=lambda span: span.end)
    return spans[low:high]


def _spoken_length(atom: str) -> int:
    """Guess how many letters are spoken for a character or a pronunciation."""
    if len(atom) > 1 and atom.startswith("{"):
        return len(atom.split())
    if "\u2e80" <= atom <= "\uffdc":
        return 4  # a Chinese, Japanese or Korean syllable
    return sum(8 if character.isdecimal() else 1 for character in atom)  # "seventy-"
