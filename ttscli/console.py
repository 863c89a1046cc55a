"""Shows events: progress and notes for people, JSON lines for programs, nothing when quiet."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING

from ttscli.counts import counted
from ttscli.events import (
    Event,
    Limited,
    PictureCut,
    Resampled,
    SentenceOverflowed,
    SentenceRetried,
    SentenceSpoken,
    TextDropped,
    TextSplit,
    VoiceLoaded,
    Written,
)
from ttscli.files import output_errors, standard_output

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from rich.progress import Progress

_MOST_NAMED = 12  # distinct characters that a note about dropped text names


class Reporter(AbstractContextManager["Reporter"]):
    """Takes events; this one shows none of them."""

    def __call__(self, event: Event) -> None:
        """Take an event."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Show what is left to be shown."""


class JsonLines(Reporter):
    """One JSON object per event, on standard output, or on standard error where audio has that."""

    def __init__(self, *, on_stderr: bool) -> None:
        self._show = say if on_stderr else put

    def __call__(self, event: Event) -> None:
        """Show an event: its name in snake case, then its fields."""
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
        self._show(to_json(name, event))


class Human(Reporter):
    """Progress while it lasts, then notes, on standard error; the finished file on the output."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._progress = progress_bar(42)
        self._notes: list[str] = []
        self._dropped: Counter[str] = Counter()
        self._sentences = 0
        self._speech_s = 0.0
        self._began = time.perf_counter()

    def __enter__(self) -> Human:
        if self._progress is not None:
            self._progress.start()
            self._progress.add_task("loading", total=None, sentences="", speed="")
        return self

    def __call__(self, event: Event) -> None:
        """Show an event, or keep it for a note at the end."""
        match event:
            case VoiceLoaded(voice, device, precision, seconds):
                self._began = time.perf_counter()
                self._detail(f"voice {voice} on {device} in {precision}, loaded in {seconds:.1f} s")
            case TextSplit(sentences, characters):
                self._sentences = sentences
                self._update(total=characters, description="speaking")
            case SentenceSpoken():
                self._spoken(event)
            case SentenceRetried(index, _, way, problems):
                self._detail(f"sentence {index + 1}: {', '.join(problems)}; now with {way}")
            case SentenceOverflowed(index):
                what = "too large for half precision, computed again in fp32"
                self._detail(f"sentence {index + 1}: {what}")
            case TextDropped(text, count):
                self._dropped[text] += count
            case Resampled(path, from_rate, to_rate):
                self._notes.append(f"{path}: resampled from {from_rate} to {to_rate} Hz")
            case Limited(path, samples, peak):
                note = f"{path}: too loud in {samples} samples (peak {peak:.2f}), softly limited"
                self._notes.append(note)
            case PictureCut(path, shown, sentences):
                self._notes.append(f"{path}: shows the first {shown} of {sentences} sentences")
            case Written(path, duration_s):
                self._written(path, duration_s)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
        if error is None:
            if self._dropped:
                say(dropped_note(self._dropped))
            for note in self._notes:
                say(note)

    def _spoken(self, event: SentenceSpoken) -> None:
        self._speech_s += event.duration_s
        elapsed = time.perf_counter() - self._began
        self._update(
            completed=event.characters,
            sentences=f"{event.index + 1}/{self._sentences}",
            speed=f"{self._speech_s / elapsed:.1f}×",
        )
        self._detail(f"sentence {event.index + 1}, {event.duration_s:.2f} s: {event.text}")

    def _written(self, path: str, duration_s: float) -> None:
        if self._progress is not None:
            self._progress.stop()
            elapsed = time.perf_counter() - self._began
            speed = duration_s / elapsed
            say(f"{duration_s:.1f} s of speech in {elapsed:.1f} s ({speed:.1f}×)")
        if path != "-":
            put(path)

    def _update(self, **fields: object) -> None:
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], **fields)  # type: ignore[arg-type]  # columns' own fields

    def _detail(self, line: str) -> None:
        if self._verbose:
            say_beside(self._progress, line)


def make_reporter(quiet: bool, as_json: bool, verbose: bool, *, audio_on_stdout: bool) -> Reporter:
    """The reporter that the options ask for."""
    if as_json:
        return JsonLines(on_stderr=audio_on_stdout)
    return Reporter() if quiet else Human(verbose=verbose)


def to_json(name: str, event: DataclassInstance) -> str:
    """A line of JSON: what happened, and the fields of that."""
    return json.dumps({"event": name, **asdict(event)})


def put(line: str) -> None:
    """Write a line to standard output: paths come out as the bytes that they are."""
    with output_errors("-"):
        output = standard_output()
        output.write(line.encode("utf-8", "surrogateescape") + b"\n")
        output.flush()


def wrapped(line: str, indent: int) -> list[str]:
    """A line as a terminal on the output has room for it, broken at words; others take it whole."""
    if sys.stdout is None or not sys.stdout.isatty():
        return [line]
    width = max(2 * indent, shutil.get_terminal_size().columns)
    return textwrap.wrap(line, width, subsequent_indent=" " * indent)


def say(line: str) -> None:
    """Write a line to standard error, if there is one to read it."""
    if sys.stderr is not None:
        sys.stderr.write(printable(line) + "\n")
        sys.stderr.flush()


def say_beside(bar: Progress | None, line: str) -> None:
    """Write a line to standard error, above a progress bar that is shown there."""
    if bar is None:
        say(line)
    else:
        bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    """Text as one line that cannot steer a terminal, whatever was in the input."""
    return "".join(c if c.isprintable() else _code(c) for c in " ".join(text.splitlines()))


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"


def dropped_note(dropped: Counter[str]) -> str:
    """How many characters or, in braces, phones had no sound, and which."""
    names = ["control characters" if text == "\ufffd" else text for text in dropped]
    more = len(names) - _MOST_NAMED
    listed = " ".join(names[:_MOST_NAMED]) + (f" and {more} others" if more > 0 else "")
    phones = any(text.isascii() and len(text) > 1 for text in dropped)
    count = counted(sum(dropped.values()), "piece" if phones else "character")
    note = f"left out {count} that cannot be spoken: {listed}"
    return note + "; braces are for ARPAbet: {HH AH0 L OW1}" * phones


def progress_bar(others: int) -> Progress | None:
    """A bar on standard error, where that is a terminal.

    Args:
        others: columns that are taken by what stands around it.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    # A line that leaves room for "^C", which would break it: Rich could not wipe it any more.
    bar_width = max(4, min(40, console.width - others))
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width),
        TaskProgressColumn(),
        TextColumn("{task.fields[sentences]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[speed]}"),
        console=console,
        transient=True,
    )
