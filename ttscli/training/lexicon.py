"""The voice's lexicon: the teacher's own pronunciations, put right where it guesses wrong."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from ttscli.training import teacher
from ttscli.training.corpus import Corpus
from ttscli.training.inflections import regular

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
# Words that the teacher's dictionary lacks, and those that its letter-to-sound rules get wrong: its
# pronunciations were read through from a to z.
_CORRECTIONS = Path(__file__).with_name("corrections.tsv")


def words_of(texts: Iterable[str], word_lists: Iterable[Path]) -> list[str]:
    """The words of texts and word lists, sorted; possessives are left to a rule."""
    words = set(_WORD.findall("\n".join(texts)))
    for path in word_lists:
        listed = path.read_text("utf-8").lower().split("\n")
        words.update(word for word in listed if _WORD.fullmatch(word))
    return sorted(w for w in words if not (w.endswith("'s") and w[:-2] in words))


def pronounce(
    program: Path, words: list[str], said: Corpus, scratch: Path
) -> dict[str, tuple[str, ...]]:
    """The phones of each word as the teacher says it, put right where it is known to guess wrong.

    Words with an apostrophe are not in its lexicon as such: it is asked to say them.

    Args:
        program: from `teacher.build`.
        words: in small letters.
        said: the teacher's speech.
        scratch: a folder for files.
    """
    looked_up = teacher.look_up(program, [word for word in words if "'" not in word], scratch)
    lexicon = looked_up.phones
    contracted = [word for word in words if "'" in word]
    for utterance in teacher.speak(program, contracted, scratch):
        lexicon[utterance.text] = _phones(token for token in utterance.tokens)
    corrected = corrections()
    lexicon = {**as_in_speech(lexicon, said), **corrected}
    return {**lexicon, **regular(lexicon, looked_up.known | corrected.keys())}


def corrections() -> dict[str, tuple[str, ...]]:
    """What the teacher guesses wrong, or cannot know, with stress as it writes it: 1 or 0."""
    return {
        word: tuple(phone.replace("2", "1") for phone in phones)
        for word, phones in read(_CORRECTIONS).items()
    }


def _phones(tokens: Iterable[teacher.Token]) -> tuple[str, ...]:
    return tuple(phone.symbol for token in tokens for word in token.words for phone in word)


def as_in_speech(lexicon: dict[str, tuple[str, ...]], corpus: Corpus) -> dict[str, tuple[str, ...]]:
    """The lexicon with each word as it is most often said in running speech ("a", "the")."""
    said: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for record in corpus.records:
        for unit in record.units:
            if _WORD.fullmatch(unit.text):
                said[unit.text][tuple(symbol for word in unit.words for symbol, _ in word)] += 1
    usual = {word: phones.most_common(1)[0][0] for word, phones in said.items()}
    return {**lexicon, **{word: usual[word] for word in usual if word in lexicon}}


def count(lexicon: dict[str, tuple[str, ...]]) -> int:
    """How many words there are; ``close(v)`` is not another one."""
    return sum("(" not in word for word in lexicon)


def read(path: Path) -> dict[str, tuple[str, ...]]:
    """A lexicon that `write` has written."""
    rows = (line.split("\t") for line in path.read_text("utf-8").split("\n") if line)
    return {word: tuple(phones.split()) for word, phones in rows}


def write(path: Path, lexicon: dict[str, tuple[str, ...]]) -> None:
    """Write the sorted table that `ttscli.text.lexicon.Lexicon` maps."""
    lines = sorted(f"{word}\t{' '.join(phones)}\n".encode() for word, phones in lexicon.items())
    path.write_bytes(b"".join(lines))
