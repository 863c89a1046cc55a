"""A book through `ttscli synth -f`, as its user would: memory, progress, Ctrl-C, exact times."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.console import Console

PROGRAM = (sys.executable, "-m", "ttscli")
SHORT = 1000  # words of the text whose memory a book's is compared with
PARAGRAPH, CHAPTER = 5, 200  # lines
RATE = 22050
PAUSES = {round(seconds * RATE) for seconds in (0.1, 0.2, 0.4, 0.6)}  # clause to paragraph
TERMINAL = (24, 80)  # lines, columns

_PERCENT, _SENTENCES = re.compile(rb"(\d+)%"), re.compile(rb"\d/\d")
_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{3})")


@dataclass(frozen=True)
class Run:
    """What a run of the program was like."""

    code: int
    """Its exit code."""
    seconds: float
    """Wall time."""
    first_s: float
    """Wall time until the first sentence was spoken."""
    peak_mb: float
    """Most memory that it had."""
    shown: tuple[int, ...]
    """Percentages that its bar showed, in order."""
    last: str
    """The last line on the terminal."""


def book(lines: Sequence[str], words: int) -> str:
    """Chapters of paragraphs of lines, of at least so many words."""
    chance = random.Random(0)
    parts: list[str] = []
    count = number = 0
    while count < words:
        if number % CHAPTER == 0:
            parts.append(f"\n\n# Chapter {number // CHAPTER + 1}\n\n")
        line = " ".join(chance.choice(lines).split())
        count += len(line.split())
        number += 1
        parts.append(line + ("\n\n" if number % PARAGRAPH == 0 else "\n"))
    return "".join(parts).strip() + "\n"


def run(arguments: Sequence[str], folder: Path, stop_at: int | None = None) -> Run:
    """Run the program in a terminal, with Ctrl-C at a percentage of its bar."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", *TERMINAL, 0, 0))
    began = time.perf_counter()
    process = subprocess.Popen(
        [*PROGRAM, "synth", *arguments], cwd=folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown: list[int] = []
    peak = first_s = 0.0
    tail = b""
    with suppress(OSError):  # which says on Linux that the other end is closed
        while data := os.read(ours, 1 << 16):
            tail = (tail + data)[-1000:]
            peak = max(peak, _memory_mb(process.pid))
            if not first_s and _SENTENCES.search(data):
                first_s = time.perf_counter() - began
            for percent in map(int, _PERCENT.findall(data)):
                if not shown or percent != shown[-1]:
                    shown.append(percent)
            if stop_at is not None and shown and shown[-1] >= stop_at:
                process.send_signal(signal.SIGINT)
                stop_at = None
    os.close(ours)
    code = process.wait()
    plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", tail).decode(errors="replace")
    last = [line.strip() for line in plain.splitlines() if line.strip()][-1]
    return Run(code, time.perf_counter() - began, first_s, peak, tuple(shown), last)


def _memory_mb(process: int) -> float:
    with suppress(OSError):  # it has ended
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


def check_times(path: Path, text: str, duration: float) -> int:
    """How many cues there are: in order, within the audio, and with all the words of the text."""
    cues = [cue.splitlines() for cue in path.read_text("utf-8").strip().split("\n\n")]
    said: list[str] = []
    before = 0.0
    for number, (count, times, *shown) in enumerate(cues, start=1):
        start, end = map(_seconds, times.split(" --> "))
        assert int(count) == number
        assert before <= start < end, f"cue {number} does not follow the one before it"
        before = end
        said += " ".join(shown).split()
    assert before <= duration + 0.0005, f"the last cue ends {before - duration:.3f} s late"
    assert said == text.split(), "the cues must have the words of the text, in its order"
    return len(cues)


def _seconds(time_of: str) -> float:
    found = _TIME.fullmatch(time_of)
    assert found
    hours, minutes, seconds, ms = map(int, found.groups())
    return hours * 3600 + minutes * 60 + seconds + ms / 1000


def check_samples(path: Path, audio: Path) -> int:
    """How many sentences there are: with the pauses they and no others make the file, to the
    sample, and where the times say that there is a pause there is silence in it."""
    import numpy as np
    import soundfile

    facts = json.loads(path.read_text("utf-8"))
    sentences = facts["sentences"]
    with soundfile.SoundFile(audio) as file:
        assert file.frames == facts["samples"] == sentences[-1]["end"]
        assert sentences[0]["start"] == 0
        for one, other in pairwise(sentences):
            pause = other["start"] - one["end"]
            assert pause in PAUSES, f"a pause of {pause} samples"
            file.seek(one["end"])
            assert not file.read(pause, dtype="int16").any(), "a pause that is not silent"
            assert np.abs(file.read(RATE // 2, dtype="int16")).max() > 100, "silent speech"
    for sentence in sentences:
        marks = [n for word in sentence["words"] for n in (word["start"], word["end"])]
        assert marks == sorted(marks), "words out of order"
        assert sentence["start"] <= marks[0] and marks[-1] <= sentence["end"]
    return len(sentences)


def measured(folder: Path, lines: Sequence[str], words: int) -> Iterator[tuple[str, Run, str]]:
    """Each run: its name, itself, and what was found in what it left behind."""
    import soundfile

    text = book(lines, words)
    (folder / "short.txt").write_text(book(lines, SHORT), "utf-8")
    (folder / "book.txt").write_text(text, "utf-8")

    def clean() -> None:
        left = {path.name for path in folder.iterdir()} - {"short.txt", "book.txt"}
        assert not left, f"it left {left}"

    yield "1,000 words", run(["-f", "short.txt", "-o", "short.flac"], folder), ""
    (folder / "short.flac").unlink()

    outputs = ["-o", "book.flac", "--subtitles", "book.srt"]
    stopped = run(["-f", "book.txt", *outputs], folder, stop_at=2)
    clean()
    yield "the book, Ctrl-C at 2 %", stopped, f'"{stopped.last}", no file left'

    whole = run(["-f", "book.txt", *outputs], folder)
    duration = soundfile.info(folder / "book.flac").duration
    cues = check_times(folder / "book.srt", text, duration)
    yield "the book, .flac and .srt", whole, f"{duration / 3600:.2f} h, {cues} cues in order"
    for name in ("book.flac", "book.srt"):
        (folder / name).unlink()

    outputs = ["-o", "book.wav", "--subtitles", "book.json"]
    whole = run(["-f", "book.txt", *outputs], folder)
    sentences = check_samples(folder / "book.json", folder / "book.wav")
    size = (folder / "book.wav").stat().st_size / 1e9
    yield "the book, .wav and .json", whole, f"{size:.2f} GB, {sentences} sentences to the sample"


def main() -> None:
    """Print a line a run; the argument is a file with a sentence a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path, help="a line a sentence")
    parser.add_argument("--words", type=int, default=100_000)
    options = parser.parse_args()
    # A shell lets what it starts in the background, and that what it starts, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    lines = [line for line in options.texts.read_text("utf-8").splitlines() if line.strip()]
    console = Console()
    console.print(f"a book of {options.words} words", style="bold", highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        for name, done, found in measured(Path(folder), lines, options.words):
            ordered = list(done.shown) == sorted(done.shown)
            console.print(
                f"{name}: exit {done.code} after {done.seconds:.0f} s, {done.peak_mb:.0f} MB; "
                f"first sentence after {done.first_s:.1f} s, "
                f"{len(set(done.shown))} steps of the bar"
                f"{'' if ordered else ', which went back'}{found and '; '}{found}",
                highlight=False,
            )


if __name__ == "__main__":
    main()
