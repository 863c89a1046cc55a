"""The teacher's speech and the times of its phones, through a small C program over libflite."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttscli.errors import InputError, TTSError

_VOWELS = frozenset("aa ae ah ao aw ay eh er ey ih iy ow oy uh uw".split())
_LIBRARIES = ("flite_cmu_us_slt", "flite_usenglish", "flite_cmulex", "flite", "m")


@dataclass(frozen=True)
class Phone:
    """One phone as it was said."""

    symbol: str
    """ARPAbet with stress, as the symbol table writes it without its '@'."""
    end: float
    """When it ends, seconds from the start of the utterance's audio."""


@dataclass(frozen=True)
class Token:
    """A stretch of text without white space or punctuation around it, as it was said."""

    text: str
    """As it stands in the text."""
    start: float
    """When it starts, seconds."""
    end: float
    """When it ends, seconds."""
    words: tuple[tuple[Phone, ...], ...]
    """Its words ("grey-haired" has two), each a row of phones."""


@dataclass(frozen=True)
class Utterance:
    """A text and how it was said."""

    text: str
    """What was to be said."""
    tokens: tuple[Token, ...]
    """Its tokens in order."""
    samples: NDArray[np.int16]
    """The audio (S,)."""
    sample_rate: int
    """Samples per second."""


def arpabet(phone: str, stress: str = "") -> str:
    """The symbol of a flite phone: 'ax' is an unstressed AH, vowels carry their stress.

    Args:
        phone: flite's name, with the stress digit behind it if `stress` is empty.
        stress: '0' or '1'.
    """
    if phone[-1].isdigit():
        phone, stress = phone[:-1], phone[-1]
    if phone == "ax":
        return f"AH{stress or 0}"
    return phone.upper() + ((stress or "0") if phone in _VOWELS else "")


def build(folder: Path) -> Path:
    """Compile the teacher into `folder` and return the program.

    Raises:
        TTSError: there is no C compiler, or flite's development files are missing.
    """
    program = folder / "teacher"
    source = Path(__file__).with_name("teacher.c")
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    compiler = shutil.which("cc")
    todo = "install the packages gcc and flite1-dev (Debian's names)"
    if compiler is None:
        raise TTSError("the teacher needs a C compiler", todo=todo)
    libraries = [f"-l{name}" for name in _LIBRARIES]
    command = [compiler, "-O2", "-o", str(program), str(source), *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TTSError(f"the teacher does not compile: {done.stderr.splitlines()[0]}", todo=todo)
    return program


def speak(program: Path, texts: Sequence[str], scratch: Path) -> list[Utterance]:
    """Let the teacher say each text; those whose tokens cannot be found in it are left out.

    Args:
        program: from `build`.
        texts: single lines.
        scratch: a folder for the program's files, which are removed.
    """
    lines, audio, times = (scratch / name for name in ("lines.txt", "audio.raw", "times.tsv"))
    lines.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    subprocess.run([program, "speak", lines, audio, times], check=True)
    samples = np.fromfile(audio, np.int16)
    found = []
    start = 0
    for text, line in zip(texts, times.read_text("utf-8").split("\n"), strict=False):
        count, rate, *fields = line.split("\t")
        piece = samples[start : start + int(count)]
        start += int(count)
        tokens = tuple(parse_token(field) for field in fields)
        if spans(text, tokens) is not None:
            found.append(Utterance(text, tokens, piece, int(rate)))
    for file in (lines, audio, times):
        file.unlink()
    return found


def parse_token(field: str) -> Token:
    """Read one token as the C program writes it."""
    try:
        name, start, end, phones = field.split(" ")
        words = tuple(
            tuple(_parse_phone(phone) for phone in word.split(";"))
            for word in phones.split("/")
            if word
        )
        return Token(name, float(start), float(end), words)
    except ValueError as error:
        raise InputError(f"not a token of the teacher's: {field!r}") from error


def _parse_phone(field: str) -> Phone:
    name, stress, end = field.split(",")
    return Phone(arpabet(name, stress), float(end))


def spans(text: str, tokens: Sequence[Token]) -> list[tuple[int, int]] | None:
    """Where each token stands in the text (start and end character); None if one is not there."""
    found = []
    position = 0
    for token in tokens:
        start = text.find(token.text, position)
        if start < 0 or token.end <= token.start or not token.words:
            return None
        position = start + len(token.text)
        found.append((start, position))
    return found or None


class LookedUp(NamedTuple):
    """What the teacher's dictionary says, and what its letter-to-sound rules."""

    phones: dict[str, tuple[str, ...]]
    """Of each word."""
    known: set[str]
    """The words in its dictionary, which lacks many that the rules get right."""


def look_up(program: Path, words: Sequence[str], scratch: Path) -> LookedUp:
    """The teacher's pronunciation of single words."""
    listed, phones = scratch / "words.txt", scratch / "phones.txt"
    listed.write_text("".join(f"{word}\n" for word in words), "utf-8")
    subprocess.run([program, "lexicon", listed, phones], check=True)
    found = LookedUp({}, set())
    for line in phones.read_text("utf-8").splitlines():
        word, known, *names = line.split()
        if names:
            found.phones[word] = tuple(arpabet(name) for name in names)
        if known == "1":
            found.known.add(word)
    return found
