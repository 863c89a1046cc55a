"""Shows what happens to voices: transfers with speed and time left, tables of what is here."""

from __future__ import annotations

import shlex
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from ttscli.console import JsonLines, Reporter, printable, put, say, say_beside
from ttscli.events import (
    DownloadInterrupted,
    DownloadProgress,
    DownloadStarted,
    DownloadWaiting,
    Event,
    FileChecked,
    FileConverting,
    VoiceListed,
    VoiceReady,
    VoiceVerified,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_NARROW = 72  # columns
_COLUMNS = {"licence": 72, "description": 110}  # from which width on a table has them
_CHECKSUMS = {
    "published": "as published",
    "recorded": "the same as at the first download",
    "first": "none is published; recorded, later downloads will be compared with it",
    "none": "not compared, for none is known",
}


class Downloads(Reporter):
    """Progress and notes on standard error; folders and tables on standard output."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._progress = _progress() if sys.stderr is not None and sys.stderr.isatty() else None
        self._task: TaskID | None = None
        self._listed: list[VoiceListed] = []

    def __call__(self, event: Event) -> None:
        """Show an event, or keep it for the table at the end."""
        match event:
            case DownloadWaiting(folder):
                self._line(f"{folder}: another run downloads into it; waiting for that")
            case DownloadStarted(file, url, done, total):
                self._started(file, url, done, total)
            case DownloadProgress(file, done, total):
                self._show(file, done, total)
            case DownloadInterrupted(file, reason, wait_s):
                self._line(f"{file}: {reason}; trying again in {wait_s:.0f} s")
            case FileChecked(file, _, size, sha256, compared):
                checksum = f"{_size(size)}, sha256 {sha256[:12]}: {_CHECKSUMS[compared]}"
                self._line(f"{file}: {checksum}")
            case FileConverting(file):
                self._show(f"converting {file}", 0, None)
            case VoiceReady(voice, path, was_here, speak_as):
                self._stop()
                here = "is here already" if was_here else "is ready"
                name = shlex.quote(speak_as)
                say(f'{voice} {here}; try: ttscli synth -v {name} "Hello world."')
                put(path)
            case VoiceListed():
                self._listed.append(event)
            case VoiceVerified():
                self._verified(event)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        if self._listed:
            _print_table(self._listed)

    def _started(self, file: str, url: str, done: int, total: int | None) -> None:
        self._show(file, done, total)
        if self._progress is None or self._verbose:
            size = _size(total) if total is not None else "unknown size"
            rest = f", going on at {_size(done)}" if done else ""
            self._line(f"{file}: {size} from {url}{rest}")

    def _show(self, file: str, done: int, total: int | None) -> None:
        if self._progress is None:
            return
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(printable(file), total=total)
        elif self._progress.tasks[0].description != printable(file):
            self._progress.reset(self._task, description=printable(file), total=total)
        self._progress.update(self._task, completed=done, total=total)

    def _stop(self) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.stop()
            self._progress.remove_task(self._task)
            self._task = None

    def _line(self, line: str) -> None:
        say_beside(None if self._task is None else self._progress, line)

    def _verified(self, event: VoiceVerified) -> None:
        if not event.problems:
            put(f"{event.voice}: whole, by {event.compared}")
        for problem in event.problems:
            say(f"{event.voice}: {problem}")


def make_download_reporter(quiet: bool, as_json: bool, verbose: bool) -> Reporter:
    """The reporter that the options ask for."""
    if as_json:
        return JsonLines(on_stderr=False)
    return Reporter() if quiet else Downloads(verbose=verbose)


def _print_table(voices: list[VoiceListed]) -> None:
    """One voice a line; a terminal gets the columns that it has room for, anything else all."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console(width=None if is_terminal else 400)
    more = [name for name, width in _COLUMNS.items() if console.width >= width]
    table = Table(box=None, pad_edge=False)
    for column in ("voice", "state"):
        table.add_column(column, no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for column in more:
        table.add_column(column, overflow="fold")
    for voice in voices:
        cells = [voice.voice, voice.state, _size(voice.size), *(getattr(voice, c) for c in more)]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        put(line.rstrip())


def _size(count: int) -> str:
    """Bytes as people say them; nothing is known of a size of 0."""
    if not count:
        return "?"
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}")]
    if console.width >= _NARROW:
        columns += [BarColumn(max(4, min(40, console.width - _NARROW))), DownloadColumn()]
        columns += [TransferSpeedColumn(), TimeRemainingColumn(compact=True)]
    else:
        columns += [TaskProgressColumn(), TimeRemainingColumn(compact=True)]
    return Progress(*columns, console=console, transient=True)
