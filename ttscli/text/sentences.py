"""Text of any length to sentences short enough to speak at once; only white space is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from ttscli.text.arpabet import BRACES
from ttscli.text.characters import sanitise
from ttscli.text.numbers import MAX_NAMED_DIGITS

MAX_LENGTH = 250

_WINDOW = 4096

_LONG_NUMBER = re.compile(rf"\d(?:,*\d){{{MAX_NAMED_DIGITS},}}")
_BETWEEN_DIGITS = re.compile(r"(?<=.)(?=\d)")

# What is never cut: a pronunciation, a number, a character.
_ATOM = re.compile(rf"{BRACES.pattern}|[\d.,]{{1,{4 * MAX_NAMED_DIGITS // 3}}}|.", re.DOTALL)
_CLAUSE_END = re.compile(r"""([.,;:!?…—][)\]"'”’»]*\s|[。，、；：！？])\Z""")


def split_sentences(text: str, max_length: int = MAX_LENGTH) -> list[str]:
    """Split text into sentences, and those that are too long at clauses, words, or anywhere.

    Args:
        text: any text. A blank line ends a sentence, a single line break is a space. Control
            characters and lone surrogates come back as U+FFFD.
        max_length: the longest sentence, in characters as they sound: a digit counts as several.
    """
    return [
        stripped
        for paragraph in _paragraphs(sanitise(text))
        for sentence in _sentences(_divide_giants(paragraph, max_length))
        for piece in _pieces(sentence, max_length)
        if (stripped := piece.strip())
    ]


def _paragraphs(text: str) -> Iterator[str]:
    """Join the lines between blank lines."""
    lines: list[str] = []
    for line in [*text.replace("\u2029", "\n\n").splitlines(), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            yield " ".join(lines)
            lines = []


def _sentences(paragraph: str) -> Iterator[str]:
    """Cut a paragraph at the ends of its sentences."""
    # A pronunciation stands for a word, and a full stop inside it would end no sentence.
    masked = BRACES.sub(lambda match: "x" * len(match[0]), paragraph)
    start = 0
    for end in [*_sentence_ends(masked), len(paragraph)]:
        yield paragraph[start:end]
        start = end


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


def _pieces(sentence: str, max_length: int) -> Iterator[str]:
    """Cut a sentence into about equal pieces of at most the given length."""
    left = sum(_spoken_length(atom[0]) for atom in _ATOM.finditer(sentence))
    start = 0
    while left > max_length:
        cut = _best_cut(sentence, start, max_length, ideal=left / ceil(left / max_length))
        yield sentence[start : cut.end]
        start = cut.end
        left -= cut.length
    yield sentence[start:]


class _Cut(NamedTuple):
    """A place to cut at; the smallest is the best."""

    rank: int
    """0 after a clause, 1 after a word, 2 and 3 the same for a short piece, 4 anywhere."""
    distance: float
    """From the ideal length."""
    end: int
    """Index into the sentence."""
    length: int
    """Of the piece that ends here, as it is spoken."""


def _best_cut(sentence: str, start: int, max_length: int, ideal: float) -> _Cut:
    best: _Cut | None = None
    length = 0
    for atom in _ATOM.finditer(sentence, start):
        length += _spoken_length(atom[0])
        if best and length > max_length:
            break
        end = atom.end()
        rank = 4
        if _CLAUSE_END.search(sentence[max(start, end - 4) : end]):
            rank = 0 if length >= ideal / 2 else 2
        elif atom[0].isspace():
            rank = 1 if length >= ideal / 2 else 3
        cut = _Cut(rank, abs(length - ideal), end, length)
        best = min(best or cut, cut)
    assert best, "there is text left to cut"
    return best


def _spoken_length(atom: str) -> int:
    """Guess how many letters are spoken for a character or a pronunciation."""
    if len(atom) > 1 and atom.startswith("{"):
        return len(atom.split())
    if "\u2e80" <= atom <= "\uffdc":
        return 4  # a Chinese, Japanese or Korean syllable
    return sum(8 if character.isdecimal() else 1 for character in atom)  # "seventy-"
