"""Shows a batch to people: progress while it lasts, and at the end what has become of it."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType

from ttscli.console import (
    JsonLines,
    Reporter,
    dropped_note,
    progress_bar,
    put,
    say,
    say_beside,
)
from ttscli.counts import counted
from ttscli.events import (
    BatchFinished,
    BatchPlanned,
    Event,
    UtteranceFailed,
    UtteranceSpoken,
    WorkerLost,
)

_LINE_EVERY = 60.0  # seconds: where there is no terminal, a log shows that work goes on

_WIDE = 72  # columns, from which on there is room for everything


class HumanBatch(Reporter):
    """A bar, or now and then a line; notes and a summary; the manifest's path on the output."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._bar = progress_bar(58)
        self._task = (
            self._bar.add_task("checking", total=None, sentences="", speed="")
            if (self._bar is not None)
            else None
        )
        self._left, self._total_characters = 0, 0
        self._spoken, self._failed, self._characters, self._seconds = 0, 0, 0, 0.0
        self._dropped: Counter[str] = Counter()
        self._limited, self._lost = 0, 0
        self._began = self._shown = time.monotonic()

    def __enter__(self) -> HumanBatch:
        if self._bar is not None:
            self._bar.start()
        return self

    def __call__(self, event: Event) -> None:
        """Show an event, or keep it for the end."""
        match event:
            case BatchPlanned():
                self._planned(event)
            case UtteranceSpoken():
                self._spoken += 1
                self._dropped.update(event.dropped)
                self._limited += event.limited > 0
                again = f", {event.overflowed} computed again in fp32" if event.overflowed else ""
                self._progressed(event, f"{event.path}, {event.duration_s:.2f} s{again}")
            case UtteranceFailed():
                self._failed += 1
                self._progressed(event, f"{event.id} failed: {event.error}")
            case WorkerLost(error):
                self._lost += 1
                self._detail(f"a worker is replaced: {error}")
            case BatchFinished():
                self._finished(event)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if error is not None and self._spoken:
            say(f"{self._counts()}; the same command goes on from here")

    def _planned(self, plan: BatchPlanned) -> None:
        self._began = self._shown = time.monotonic()
        self._left, self._total_characters = plan.left, plan.characters
        if plan.damaged_lines:
            verbs = "cannot be read and " + ("does" if plan.damaged_lines == 1 else "do")
            self._say(f"{counted(plan.damaged_lines, 'line')} of the manifest {verbs} not count")
        if plan.done:
            verb = "is" if plan.done == 1 else "are"
            self._say(f"{plan.done} of {plan.utterances} {verb} done already")
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, description="speaking", total=plan.characters,
                sentences=f"0/{plan.left}",
            )  # fmt: skip

    def _progressed(self, event: UtteranceSpoken | UtteranceFailed, detail: str) -> None:
        self._characters += event.characters
        self._seconds += event.duration_s
        self._detail(detail)
        now = time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=self._characters, sentences=self._counts(short=True),
                speed=f"{self._speed(now):.1f}×",
            )  # fmt: skip
        elif now - self._shown > _LINE_EVERY:
            self._shown = now
            left = self._total_characters / max(1, self._characters) - 1
            say(f"{self._counts()}, about {_duration((now - self._began) * left)} to go")

    def _finished(self, event: BatchFinished) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._dropped:
            say(dropped_note(self._dropped))
        if self._limited:
            say(f"too loud in {self._limited} of the files, softly limited")
        if self._lost:
            say(f"workers that died and were replaced: {self._lost}")
        if event.spoken or event.failed:
            speed = event.duration_s / max(event.elapsed_s, 1e-9)
            parts = [f"{event.spoken} spoken"]
            parts += [f"{event.failed} failed"] if event.failed else []
            parts += [f"{event.done} done before"] if event.done else []
            times = f"{_duration(event.duration_s)} of speech in {_duration(event.elapsed_s)}"
            say(f"{', '.join(parts)}: {times} ({speed:.1f}×)")
        put(event.manifest)

    def _counts(self, *, short: bool = False) -> str:
        done = self._spoken + self._failed
        failed = f", {self._failed} failed" if self._failed else ""
        if short:
            narrow = self._bar is not None and self._bar.console.width < _WIDE
            audio = "" if narrow else f", {_duration(self._seconds)}"
            return f"{done}/{self._left}{failed}{audio}"
        speed = self._speed(time.monotonic())
        return (
            f"{done} of {self._left}{failed}, {_duration(self._seconds)} of speech ({speed:.1f}×)"
        )

    def _speed(self, now: float) -> float:
        return self._seconds / max(now - self._began, 1e-9)

    def _detail(self, line: str) -> None:
        if self._verbose:
            self._say(line)

    def _say(self, line: str) -> None:
        say_beside(self._bar, line)


def make_batch_reporter(quiet: bool, as_json: bool, verbose: bool) -> Reporter:
    """The reporter that the options ask for."""
    if as_json:
        return JsonLines(on_stderr=False)
    return Reporter() if quiet else HumanBatch(verbose=verbose)


def show_plan(plan: BatchPlanned, first: str, last: str, *, as_json: bool) -> None:
    """Show what would be done."""
    if as_json:
        JsonLines(on_stderr=False)(plan)
        return
    shard = f" in shard {plan.shard}" if plan.shard else ""
    put(f"{counted(plan.utterances, 'utterance')}{shard}: {plan.done} done, {plan.left} to speak")
    put(f"{counted(plan.characters, 'character')}, about {_duration(plan.estimated_s)} of audio")
    put(f"{first} … {last}")


def _duration(seconds: float) -> str:
    """A length of time as people write it."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
