"""The voice's lexicon, written out once by the teacher's own front end."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from ttscli.training import teacher
from ttscli.training.corpus import Corpus

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_CORRECTED = {"misess": ("M", "IH1", "S", "IH0", "Z"), "sh": ("SH",)}  # the teacher guesses


def words_of(texts: Iterable[str], word_lists: Iterable[Path]) -> list[str]:
    """The words of texts and word lists, sorted; possessives are left to a rule."""
    words = set(_WORD.findall("\n".join(texts)))
    for path in word_lists:
        listed = path.read_text("utf-8").lower().split("\n")
        words.update(word for word in listed if _WORD.fullmatch(word))
    return sorted(w for w in words if not (w.endswith("'s") and w[:-2] in words))


def pronounce(program: Path, words: list[str], scratch: Path) -> dict[str, tuple[str, ...]]:
    """The teacher's phones of each word.

    Words with an apostrophe are not in its lexicon as such: it is asked to say them.
    """
    plain = [word for word in words if "'" not in word]
    lexicon = teacher.look_up(program, plain, scratch)
    contracted = [word for word in words if "'" in word]
    for utterance in teacher.speak(program, contracted, scratch):
        lexicon[utterance.text] = _phones(token for token in utterance.tokens)
    return lexicon


def _phones(tokens: Iterable[teacher.Token]) -> tuple[str, ...]:
    return tuple(phone.symbol for token in tokens for word in token.words for phone in word)


def as_in_speech(lexicon: dict[str, tuple[str, ...]], corpus: Corpus) -> dict[str, tuple[str, ...]]:
    """The lexicon with each word as it is most often said in running speech ("a", "the").

    What the teacher is known to say wrong is put right.
    """
    said: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for record in corpus.records:
        for unit in record.units:
            if _WORD.fullmatch(unit.text):
                said[unit.text][tuple(symbol for word in unit.words for symbol, _ in word)] += 1
    usual = {word: phones.most_common(1)[0][0] for word, phones in said.items()}
    better = {**usual, **_CORRECTED}
    return {**lexicon, **{word: better[word] for word in better if word in lexicon}}


def read(path: Path) -> dict[str, tuple[str, ...]]:
    """A lexicon that `write` has written."""
    rows = (line.split("\t") for line in path.read_text("utf-8").split("\n") if line)
    return {word: tuple(phones.split()) for word, phones in rows}


def write(path: Path, lexicon: dict[str, tuple[str, ...]]) -> None:
    """Write the sorted table that `ttscli.text.lexicon.Lexicon` maps."""
    lines = sorted(f"{word}\t{' '.join(phones)}\n".encode() for word, phones in lexicon.items())
    path.write_bytes(b"".join(lines))
