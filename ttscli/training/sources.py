"""Where the speech of a voice comes from: a teacher that says a text list, or recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ttscli.training import lexicon, recordings, teacher, texts
from ttscli.training.corpus import Corpus

Pronunciations = dict[str, tuple[str, ...]]


class Source(Protocol):
    """Gives utterances, each with the times of its phones, and the words' pronunciations."""

    @property
    def name(self) -> str:
        """What the model card says of the speech."""

    @property
    def credit(self) -> str:
        """What the model card says of whose speech it is, and of its terms."""

    def fingerprint(self) -> str:
        """Of its texts: speech made of others must not be mixed with it."""

    def items(self) -> list[Any]:
        """What there is to be said, or was."""

    def speak(self, items: Sequence[Any], scratch: Path) -> list[teacher.Utterance]:
        """Some items' utterances; `scratch` is a folder for files, which are removed."""

    def pronunciations(self, said: Corpus, scratch: Path) -> Pronunciations:
        """The phones of all words that the voice's lexicon is to know; `said` is the speech."""


@dataclass(frozen=True)
class Teacher:
    """flite's voice `slt`, which reads a text list aloud."""

    program: Path
    """From `teacher.build`."""
    text_list: Path
    """A file with a sentence a line."""
    word_lists: tuple[Path, ...] = ()
    """Files with more words for the lexicon, a word a line."""
    name = "made by the teacher from a text list, 16 kHz"
    credit = """

It is a copy of a synthetic teacher, not of a person: it was trained on the speech of flite's voice
`slt`, and can sound no better than that. flite and its voices are copyright Carnegie Mellon
University and others, under a licence that permits use, modification and distribution with notice.
The weights are under ttscli's own licence (MIT)."""

    def fingerprint(self) -> str:
        return hashlib.sha256("\n".join(self.items()).encode()).hexdigest()

    def items(self) -> list[str]:
        return texts.utterances(texts.read_lines(self.text_list))

    def speak(self, items: Sequence[str], scratch: Path) -> list[teacher.Utterance]:
        return teacher.speak(self.program, items, scratch)

    def pronunciations(self, said: Corpus, scratch: Path) -> Pronunciations:
        words = lexicon.words_of(texts.read_lines(self.text_list), self.word_lists)
        return lexicon.pronounce(self.program, words, said, scratch)


@dataclass(frozen=True)
class Recordings:
    """A folder in LJ Speech's layout, see `recordings`."""

    folder: Path
    """With `metadata.csv` and `wavs`."""
    lexicon: Path
    """Of the voice whose pronunciations are taken over."""
    name = "recorded"
    credit = ""

    def fingerprint(self) -> str:
        return hashlib.sha256((self.folder / "metadata.csv").read_bytes()).hexdigest()

    def items(self) -> list[recordings.Recording]:
        return recordings.read_metadata(self.folder)

    def speak(
        self, items: Sequence[recordings.Recording], scratch: Path
    ) -> list[teacher.Utterance]:
        return recordings.align(self.lexicon, items, scratch)

    def pronunciations(self, said: Corpus, scratch: Path) -> Pronunciations:  # noqa: ARG002
        return lexicon.read(self.lexicon)
