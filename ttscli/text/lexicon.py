"""Pronunciations of words: a voice's own lexicon, mapped from disk, and the few words of a user."""

from __future__ import annotations

import mmap
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ttscli.errors import InputError, VoiceError
from ttscli.text.arpabet import BRACES, possessive
from ttscli.text.homographs import part_of_speech
from ttscli.text.spans import LEXICON, Span
from ttscli.text.symbols import PHONES

_KNOWN_PHONES = frozenset(PHONES)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")

# What a user's word can begin with: a run of letters and digits, not that of a contraction's end
# (the "t" of don't), or a single symbol. And where it ends: not amid letters, but before an 's.
_TOKEN = re.compile(r"(?<![^\W_])(?<![^\W_]['’])[^\W_]+|[^\w\s]|_")
_WORD_END = re.compile(r"(['’]s)?(?![^\W_]|['’][^\W_])", re.IGNORECASE)


class Lexicon:
    """A voice's lexicon: sorted lines ``word<TAB>AA1 R P`` in UTF-8, never loaded whole.

    A word that is said in two ways may have lines ``word(n)`` and ``word(v)`` too, for where it is
    a noun or a verb, as far as its neighbours tell.
    """

    on_raw_text = False
    """Its words are those that the cleaners leave."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self._cached = lru_cache(maxsize=1 << 12)(self._search)

    @classmethod
    def open(cls, path: str | Path) -> Lexicon:
        """Map a lexicon file into memory."""
        try:
            with Path(path).open("rb") as file:
                return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as e:  # ValueError: an empty file cannot be mapped
            raise VoiceError(f"cannot read the voice's lexicon ({e})", where=str(path)) from e

    def lookup(self, word: str) -> str | None:
        """Give the phones of a word in any case, of a possessive by rule; None if unknown."""
        word = _fold(word)
        phones = self._cached(word)
        if phones is None and word.endswith("'s"):
            owner = self._cached(word[:-2])
            phones = owner and possessive(owner)
        return phones

    def spans(self, text: str, start: int = 0, end: int | None = None) -> list[Span]:
        """``{phones}`` for every known word between `start` and `end`."""
        spans = []
        for word in _WORD.finditer(text, start, len(text) if end is None else end):
            phones = self._of_its_part(word) or self.lookup(word[0])
            if phones:
                spans.append(Span(*word.span(), f"{{{phones}}}", LEXICON))
        return spans

    def _of_its_part(self, word: re.Match[str]) -> str | None:
        """The phones of a homograph as the part of speech that its neighbours make it."""
        part = part_of_speech(word.string, *word.span())
        return self._cached(_fold(word[0]) + part) if part else None

    def _search(self, word: str) -> str | None:
        """Bisect over the bytes: the line around the middle is in front, behind, or the one."""
        wanted = word.encode("utf-8", "replace")
        low, high = 0, len(self._data)
        while low < high:
            middle = (low + high) // 2
            start = max(low, self._data.rfind(b"\n", low, middle) + 1)
            end = self._data.find(b"\n", middle)
            end = high if end < 0 else end
            key, _, phones = self._data[start:end].partition(b"\t")
            if key == wanted:
                return phones.decode("utf-8", "replace").strip() or None
            if key < wanted:
                low = end + 1
            else:
                high = start
        return None


class UserLexicon:
    """A user's words: ``word<TAB>replacement`` or ``word<TAB>{AA1 R P AH0}``, a line each.

    A word may have several parts (New York, Wi-Fi) and may be a symbol (%). Empty lines and lines
    that begin with ``#`` and no tab are skipped; of two lines for one word the later counts.
    """

    on_raw_text = True
    """Its words are those that the user sees in the text."""

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._by_first_token: dict[str, list[tuple[str, str]]] = {}
        for word, replacement in {_fold(word): entries[word] for word in entries}.items():
            token = _TOKEN.match(word)
            problem = _problem(word, replacement)
            if problem or not token:
                raise InputError(problem, where=repr(word))
            self._by_first_token.setdefault(token[0], []).append((word, replacement))
        for candidates in self._by_first_token.values():
            candidates.sort(key=lambda entry: len(entry[0]), reverse=True)

    @classmethod
    def open(cls, path: str | Path) -> UserLexicon:
        """Read a lexicon file; what is wrong with it is an error with file and line."""
        try:
            data = Path(path).read_bytes()
        except OSError as e:
            raise InputError(f"cannot read the lexicon ({e.strerror})", where=str(path)) from e
        entries = {}
        for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
            comment = line.startswith(b"#") and not line.startswith(b"#\t")
            if line.strip() and not comment:
                word, replacement = _parse(line, where=f"{path}:{number}")
                entries[word] = replacement
        return cls(entries)

    def spans(self, text: str, start: int = 0, end: int | None = None) -> list[Span]:
        """Known words between `start` and `end`, in any case; of those at one place the longest."""
        end = len(text) if end is None else end
        spans: list[Span] = []
        done = start
        for token in _TOKEN.finditer(text, start, end):
            found = self._at(text, token, end) if token.start() >= done else None
            if found:
                replacement, done = found
                spans.append(Span(token.start(), done, replacement, LEXICON))
        return spans

    def _at(self, text: str, token: re.Match[str], limit: int) -> tuple[str, int] | None:
        """Find the longest word that begins with this token: what it becomes, and where it ends."""
        for word, replacement in self._by_first_token.get(_fold(token[0]), ()):
            end = token.start() + len(word)
            if end > limit or _fold(text[token.start() : end]) != word:
                continue
            if not word[-1].isalnum():
                return replacement, end
            boundary = _WORD_END.match(text, end)
            if boundary and boundary.end() <= limit:
                return (_owner(replacement) if boundary[1] else replacement), boundary.end()
        return None


def _fold(word: str) -> str:
    return word.replace("’", "'").lower()


def _owner(replacement: str) -> str:
    """Make the possessive of a replacement: a phone more where it ends in phones."""
    if not replacement.endswith("}"):
        return replacement + "'s"
    head, _, phones = replacement[:-1].rpartition("{")
    return f"{head}{{{possessive(phones)}}}"


def _parse(line: bytes, where: str) -> tuple[str, str]:
    try:
        fields = [field.strip() for field in line.decode().split("\t")]
    except UnicodeDecodeError as e:
        raise InputError("this line is not UTF-8", where=where) from e
    if len(fields) != 2:
        raise InputError("expected a word, one tab, and what is spoken for it", where=where)
    word, replacement = fields
    problem = _problem(word, replacement)
    if problem:
        raise InputError(problem, where=where)
    return word, replacement


def _problem(word: str, replacement: str) -> str:
    """Say what is wrong with an entry; nothing if it is right."""
    if not _TOKEN.match(_fold(word)):
        return f"{word!r} is not a word"
    if not replacement.strip():
        return f"nothing is to be spoken for {word!r}"
    for phones in BRACES.findall(replacement):
        for phone in phones.split() or [""]:
            if phone.upper() not in _KNOWN_PHONES:
                return f"{phone!r} is not an ARPAbet symbol"
    return ""
