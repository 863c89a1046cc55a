"""A whole batch: what is asked for, what of it is there already, and the rest into its folder."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from ttscli.audio import signals_deferred
from ttscli.batch.folder import Shard, hold_folder, manifest_name, part_owner
from ttscli.batch.jobs import Job, VoiceOptions, choose_shard, read_jobs
from ttscli.batch.keys import Keys
from ttscli.batch.manifest import Entry, Manifest, Record
from ttscli.batch.readers import choose_reader
from ttscli.batch.speaking import Outcome
from ttscli.errors import InputError, SpeechError, UsageError
from ttscli.events import (
    BatchFinished,
    BatchPlanned,
    OnEvent,
    UtteranceFailed,
    UtteranceSpoken,
    ignore,
)
from ttscli.files import atomic_file, output_errors, sha256_of
from ttscli.inputs import read_text

_MOST_INPUT = 1 << 30  # bytes
_WAV_HEADER = 44  # bytes
_SECONDS_A_CHARACTER = 0.065  # as English is read: the built-in voice's average
_READERS = 4  # threads that check files: hashing leaves Python's lock to others


class Engine(Protocol):
    """Speaks jobs, somewhere."""

    def speak(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """The last outcome of each job, in the order in which they come.

        Closing the generator ends all work.
        """


@dataclass(frozen=True)
class Request:
    """What is to be spoken, and where to."""

    source: str
    """The input; "-" is standard input."""
    folder: Path
    """Takes the audio and the manifest."""
    options: VoiceOptions = field(default_factory=VoiceOptions)
    """For rows that give none of their own."""
    seed: int = 0
    """For rows that give none of their own."""
    form: str | None = None
    """The input's format; None is by its ending."""
    template: str = ""
    """Names the audio files; empty is by id where there are ids, else by index."""
    shard: Shard | None = None
    """The part that is to be done; None is all."""
    overwrite: bool = False
    """Whether to do what is done already."""
    fail_fast: bool = False
    """Whether the first failure ends it."""
    subtitles: str | None = None
    """The format of the subtitles beside each audio file; None is none."""
    keep_going: bool = False
    """Whether audio is accepted although it failed the attention check: it counts as done."""


@dataclass(frozen=True)
class Failure:
    """An utterance that failed."""

    where: str
    """Its place in the input."""
    error: str
    """Why."""
    spoken: bool = False
    """Whether there is audio, which failed the attention check."""


class Batch:
    """A request, its input read and checked.

    Args:
        request: what is to be done.
        on_event: takes what happens.
    """

    def __init__(self, request: Request, on_event: OnEvent = ignore) -> None:
        self._request, self._on_event = request, on_event
        if request.options.lexicon is not None:
            from ttscli.text.lexicon import UserLexicon

            UserLexicon.open(request.options.lexicon)  # what is wrong with it is no row's fault
        content = read_text(request.source, _MOST_INPUT)
        reader = choose_reader(request.source, request.form, content)
        self._name = "standard input" if request.source == "-" else request.source
        self._keys = Keys()
        jobs = read_jobs(
            reader, self._name, content, template=request.template, seed=request.seed,
            options=request.options, check=self._keys.check,
        )  # fmt: skip
        if request.subtitles is not None:
            ending = _subtitle_ending(request.subtitles)
            jobs = [replace(j, subtitles=str(Path(j.path).with_suffix(ending))) for j in jobs]
        for job in jobs:  # whose own options are known to be good, but not the run's
            self._keys.check(job.options)
        self.jobs = choose_shard(jobs, request.shard) if request.shard else jobs
        if not self.jobs:
            what = f"no utterance falls to this shard: there are {len(jobs)}"
            raise InputError(what, where=self._name)

    def plan(self) -> BatchPlanned:
        """What there is to do; nothing is touched."""
        folder = self._request.folder
        return self._planned(Manifest(folder, manifest_name(self._request.shard)))[1]

    def run(self, engine: Engine) -> list[Failure]:
        """Do it; what failed, now or when it was done before, is returned in the input's order."""
        request = self._request
        with hold_folder(request.folder, request.shard):
            owner = part_owner(request.shard)
            manifest = Manifest(request.folder, manifest_name(request.shard), owner)
            manifest.repair()
            with closing(manifest):
                left, planned = self._planned(manifest)
                self._on_event(planned)
                failures = self._accepted(left, manifest)
                failures |= self._speak(engine, left, manifest, planned.done)
            manifest.tidy(merge=request.shard is None)
        return [failures[index] for index in sorted(failures)]

    def _planned(self, manifest: Manifest) -> tuple[list[Job], BatchPlanned]:
        """The jobs that are to be done, those with equal options behind each other."""
        done = set() if self._request.overwrite else self._done(manifest)
        left = [job for job in self.jobs if job.index not in done]
        order = {options: n for n, options in enumerate(dict.fromkeys(j.options for j in left))}
        left.sort(key=lambda job: order[job.options])
        characters = sum(len(job.text) for job in left)
        shard = self._request.shard
        return left, BatchPlanned(
            len(self.jobs), len(done), len(left), characters, characters * _SECONDS_A_CHARACTER,
            f"{shard.number}/{shard.of}" if shard else "", manifest.damaged,
        )  # fmt: skip

    def _done(self, manifest: Manifest) -> set[int]:
        """Indices of jobs whose audio is there, as their manifest says and would be made now."""
        claimed = []
        for job in self.jobs:
            entry = manifest.entries.get(job.path)
            if entry is not None and self._accepts(entry) and entry.key == self._key(job):
                claimed.append((job, entry))
        stop = threading.Event()

        def intact(part: Sequence[tuple[Job, Entry]]) -> list[int]:
            folder = self._request.folder
            return [
                job.index
                for job, entry in part
                if not stop.is_set()
                and _intact(folder / job.path, entry)
                and (not job.subtitles or (folder / job.subtitles).is_file())
            ]

        with ThreadPoolExecutor(_READERS) as pool:
            try:
                parts = [claimed[n::_READERS] for n in range(_READERS)]
                return {index for indices in pool.map(intact, parts) for index in indices}
            finally:
                stop.set()  # or an interrupted run would first read all there is

    def _accepts(self, entry: Entry) -> bool:
        """Whether what an entry tells of is what was asked for, if it is still so."""
        return entry.ok or (self._request.keep_going and entry.sha256 is not None)

    def _accepted(self, left: Sequence[Job], manifest: Manifest) -> dict[int, Failure]:
        """What counts as done although it failed the attention check, by index."""
        again = {job.index for job in left}
        done = [(j, manifest.entries[j.path]) for j in self.jobs if j.index not in again]
        return {
            job.index: Failure(f"{self._name}:{job.line}", entry.error, spoken=True)
            for job, entry in done
            if not entry.ok
        }

    def _speak(
        self, engine: Engine, left: list[Job], manifest: Manifest, done: int
    ) -> dict[int, Failure]:
        """Have jobs spoken, and everything about each on the disk before the next."""
        began = time.perf_counter()
        failures: dict[int, Failure] = {}
        spoken, duration = 0, 0.0
        with closing(engine.speak(left)) as outcomes:
            for outcome in outcomes:
                with signals_deferred():  # audio without its record would be spoken again
                    record = self._place(outcome, manifest)
                duration += record.duration_s or 0
                if not outcome.error:
                    spoken += 1
                    continue
                where, there = f"{self._name}:{outcome.job.line}", bool(outcome.audio)
                failure = Failure(where, outcome.error, there)
                failures[outcome.job.index] = failure
                if self._request.fail_fast and not (self._request.keep_going and there):
                    raise SpeechError(outcome.error, where=where, todo="the same command goes on")
        elapsed = time.perf_counter() - began
        self._on_event(
            BatchFinished(str(manifest.path), spoken, len(failures), done, duration, elapsed)
        )
        return failures

    def _place(self, outcome: Outcome, manifest: Manifest) -> Record:
        """Write an outcome's audio, then its record."""
        job = outcome.job
        path = self._request.folder / job.path
        if outcome.audio:
            if job.subtitles:
                self._put(self._request.folder / job.subtitles, outcome.subtitles)
            self._put(path, outcome.audio)
        elif job.path in manifest.entries:
            for name in filter(None, (job.path, job.subtitles)):
                with suppress(OSError):  # what an earlier text gave is not what is asked for now
                    (self._request.folder / name).unlink()
        record = self._record(outcome)
        manifest.append(record)
        seconds = record.duration_s or 0.0
        about = (job.index, job.id, job.path, len(job.text), seconds, outcome.attempts)
        if outcome.error:
            self._on_event(UtteranceFailed(*about, outcome.error))
        else:
            self._on_event(
                UtteranceSpoken(*about, outcome.dropped, outcome.limited, outcome.overflowed)
            )
        return record

    def _put(self, path: Path, data: bytes) -> None:
        owner = part_owner(self._request.shard)
        with atomic_file(str(path), owner) as file, output_errors(str(path)):
            file.write(data)

    def _record(self, outcome: Outcome) -> Record:
        job, there = outcome.job, bool(outcome.audio)
        return Record(
            id=job.id,
            index=job.index,
            text=job.text,
            path=job.path,
            status="failed" if outcome.error else "ok",
            error=outcome.error or None,
            duration_s=outcome.samples / outcome.sample_rate if there else None,
            sample_rate=outcome.sample_rate if there else None,
            samples=outcome.samples if there else None,
            sha256=hashlib.sha256(outcome.audio).hexdigest() if there else None,
            seed=job.seed,
            voice=job.options.voice,
            key=self._key(job),
            attempts=outcome.attempts,
            attention=outcome.attention,
            elapsed_s=round(outcome.elapsed_s, 3),
        )

    def _key(self, job: Job) -> str:
        return self._keys.key(job, Path(job.path).suffix.lower())


def _subtitle_ending(name: str) -> str:
    from ttscli.subtitles import WRITERS

    if f".{name}" not in WRITERS:
        known = ", ".join(ending[1:] for ending in WRITERS)
        raise UsageError(f"there are no subtitles {name!r}", todo=f"use {known}")
    return f".{name}"


def _intact(path: Path, entry: Entry) -> bool:
    """Whether a file is what was once written there; a WAV's length tells most that are not."""
    with suppress(OSError):
        length = _WAV_HEADER + 2 * (entry.samples or 0)
        if path.suffix.lower() != ".wav" or path.stat().st_size == length:
            return sha256_of(path) == entry.sha256
    return False
