"""Fetches one file: resumed where it stopped, begun anew where resuming could mix two contents."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ttscli import __version__
from ttscli.counts import counted
from ttscli.download import trouble
from ttscli.download.trouble import RestartError, TryAgainError, shown
from ttscli.errors import TemporaryError, VoiceError
from ttscli.events import DownloadInterrupted, DownloadProgress, DownloadStarted, OnEvent, ignore
from ttscli.files import check_space, output_errors

if TYPE_CHECKING:
    from requests import Response, Session

_BLOCK = 1 << 16  # bytes
_REPORT_S = 0.2


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often."""

    connect_s: float = 15.0
    """For a connection, seconds."""
    stall_s: float = 30.0
    """For the next byte, seconds."""
    attempts: int = 6
    """Attempts in a row that may bring no new byte."""
    first_wait_s: float = 1.0
    """Between the first of them, seconds; it doubles with each."""
    longest_wait_s: float = 30.0
    """Between any of them, seconds."""
    longest_asked_s: float = 300.0
    """The longest wait that a server may ask for, seconds; one that asks for more is left alone."""
    longest_idle_s: float = 600.0
    """For another run that holds the folder and does nothing, seconds."""


@dataclass(frozen=True)
class _State:
    """What is known of a partial file; it lies beside it."""

    url: str = ""
    """Where its bytes are from."""
    validator: str = ""
    """The server's mark of this content: a strong ETag, else a date; empty if there was none."""
    total: int | None = None
    """Bytes of the whole file."""


class Fetch:
    """One file on its way into a partial file.

    Args:
        url: where it is.
        part: the partial file; it grows until it is whole, and survives whatever happens.
        file: what events call it.
        size: how many bytes it must have, if that is known.
        has_checksum: whether its content is compared afterwards: then a server without any mark
            of the content may be resumed too.
        patience: how long to wait.
        on_event: takes what happens.
    """

    def __init__(
        self,
        url: str,
        part: Path,
        *,
        file: str = "",
        size: int | None = None,
        has_checksum: bool = False,
        patience: Patience | None = None,
        on_event: OnEvent = ignore,
    ) -> None:
        self.url, self.part, self.file = url, part, file or part.name
        self.size, self.has_checksum = size, has_checksum
        self.patience, self.on_event = patience or Patience(), on_event
        self.is_in_pieces = part.exists()
        self._state_file = _state_file(part)
        self._state = self._read_state()
        self._began, self._fetched, self._reported = time.monotonic(), 0, 0.0

    @property
    def is_whole(self) -> bool:
        """Whether all bytes are here."""
        return self._state.total is not None and self._have() == self._state.total

    def run(self) -> None:
        """Make the partial file whole.

        Raises:
            TemporaryError: the network or the server does not deliver now.
            VoiceError: the server will not deliver this file.
            OutputError: there is no place to put it.
        """
        from requests import Session

        failures, best = 0, self._have()
        with Session() as session:
            session.headers.update(
                {"User-Agent": f"ttscli/{__version__}", "Accept-Encoding": "identity"}
            )
            while not self.is_whole:
                try:
                    self._attempt(session)
                except TryAgainError as problem:
                    if isinstance(problem, RestartError):
                        self.discard()
                    failures = 0 if self._have() > best else failures + 1
                    best = max(best, self._have())
                    self._wait(problem, failures)

    def discard(self) -> None:
        """Forget what has been fetched."""
        forget(self.part)
        self._state = _State()

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _attempt(self, session: Session) -> None:
        """Ask once, and take what comes."""
        offset = self._resumable()
        headers = {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self._state.validator and self._state.url == self.url:
                headers["If-Range"] = self._state.validator
        waits = (self.patience.connect_s, self.patience.stall_s)
        with (
            trouble.of_network(self.url, self.patience.connect_s, self.patience.stall_s),
            session.get(self.url, headers=headers, stream=True, timeout=waits) as response,
        ):
            if self._ends_here(response, offset):
                self._write_state(replace(self._state, total=offset))
                return
            trouble.check_answer(response, self.url)
            start, total = self._place(response, offset)
            blocks = _blocks(response)
            first = next(blocks, b"")
            if start == 0:
                trouble.check_start(first, self.url)
            self._begin(response, start, total)
            self._take(first, blocks, start)
        if self._state.total is None:  # the server did not say; this was all
            self._write_state(replace(self._state, total=self._have()))
        if not self.is_whole:
            raise TryAgainError("the connection was cut")

    def _resumable(self) -> int:
        """How many bytes of the partial file can be built on."""
        marked = bool(self._state.validator) and self._state.url == self.url
        return self._have() if marked or self.has_checksum else 0

    def _ends_here(self, response: Response, offset: int) -> bool:
        """Whether there is nothing after the bytes that are here, by an answer without any."""
        may_be = self.has_checksum or self._state.total in (None, offset)
        return response.status_code == 416 and may_be and _total_of(response) == offset

    def _place(self, response: Response, offset: int) -> tuple[int, int | None]:
        """Where in the file the answer begins, and the file's size; it must be the same file."""
        start, total = 0, _length_of(response)
        if response.status_code == 206:
            match = re.fullmatch(
                r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
            )
            if match is None or int(match[1]) != offset:
                raise RestartError("the server sent another part than the one asked for")
            start, total = offset, None if match[2] == "*" else int(match[2])
            known = self._state
            same_source = known.url == self.url
            if same_source and known.validator and _validator_of(response) != known.validator:
                raise RestartError("the file on the server has changed")
            if known.total is not None and total is not None and total != known.total:
                raise RestartError("the file on the server has changed")
            total = total or known.total
        if self.size is not None and total is not None and total != self.size:
            what = f"the server has a file of {counted(total, 'byte')} instead of {self.size}"
            raise VoiceError(what, where=shown(self.url), todo="try another --mirror")
        return start, total

    def _begin(self, response: Response, start: int, total: int | None) -> None:
        if total is not None:
            check_space(self.part.parent, total - start)
        self.is_in_pieces = start > 0
        with output_errors(str(self.part)):
            if start == 0:
                self.part.unlink(missing_ok=True)  # of another state than the one written next
        self._write_state(_State(self.url, _validator_of(response), total))
        self.on_event(DownloadStarted(self.file, shown(response.url), start, total))

    def _take(self, first: bytes, blocks: Iterator[bytes], start: int) -> None:
        """Append what comes; whatever ends it, what has come is kept."""
        with output_errors(str(self.part)):
            file: BinaryIO = self.part.open("r+b" if start else "wb")
        with file:
            file.seek(start)
            try:
                self._append(file, first)
                for block in blocks:
                    self._append(file, block)
            finally:
                with output_errors(str(self.part)):
                    os.fsync(file.fileno())
                self._report(file.tell(), now=True)

    def _append(self, file: BinaryIO, block: bytes) -> None:
        total = self._state.total
        if total is not None and file.tell() + len(block) > total:
            raise RestartError("the server sent more than the file has")
        with output_errors(str(self.part)):
            file.write(block)
            file.flush()  # what has come survives even kill -9
        self._fetched += len(block)
        self._report(file.tell())

    def _report(self, done: int, *, now: bool = False) -> None:
        moment = time.monotonic()
        if not now and moment - self._reported < _REPORT_S:
            return
        self._reported = moment
        speed = self._fetched / max(moment - self._began, 1e-3)
        total = self._state.total
        left = None if total is None or not speed else round((total - done) / speed, 1)
        self.on_event(DownloadProgress(self.file, done, total, round(speed), left))

    def _wait(self, problem: TryAgainError, failures: int) -> None:
        """Wait before the next attempt, or give up."""
        patience, where = self.patience, shown(self.url)
        if failures >= patience.attempts:
            have = self._have()
            goes_on = f"the same command goes on after {counted(have, 'byte')}"
            todo = goes_on if have else "try again later"
            what = f"{problem.reason}, {failures} times in a row"
            raise TemporaryError(what, where=where, todo=todo)
        asked = problem.asked_s
        if asked is not None and asked > patience.longest_asked_s:
            todo = f"run the same command again in {asked:.0f} s"
            raise TemporaryError(f"{problem.reason}", where=where, todo=todo)
        backoff = patience.first_wait_s * 2.0 ** max(0, failures - 1)
        pause = random.uniform(0.5, 1) * min(backoff, patience.longest_wait_s)
        pause = pause if asked is None else max(asked, 0)
        self.on_event(DownloadInterrupted(self.file, problem.reason, round(pause, 1), self._have()))
        time.sleep(pause)

    def _read_state(self) -> _State:
        with suppress(OSError, ValueError, TypeError):
            state = _State(**json.loads(self._state_file.read_text(encoding="utf-8")))
            if isinstance(state.total, int | None) and isinstance(state.validator, str):
                return state
        return _State()

    def _write_state(self, state: _State) -> None:
        self._state = state
        with output_errors(str(self._state_file)):
            self._state_file.write_text(json.dumps(asdict(state)), encoding="utf-8")


def forget(part: Path) -> None:
    """Remove a partial file, and what is known of it."""
    part.unlink(missing_ok=True)
    _state_file(part).unlink(missing_ok=True)


def _state_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _blocks(response: Response) -> Iterator[bytes]:
    """What comes, as it comes, so that what a broken connection has brought is not lost."""
    while block := response.raw.read1(_BLOCK, decode_content=False):
        yield block


def _validator_of(response: Response) -> str:
    tag: str = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    modified: str = response.headers.get("Last-Modified", "")
    return modified


def _length_of(response: Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _total_of(response: Response) -> int | None:
    """The file's size as an answer says that has no part of it."""
    match = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", "").strip())
    return int(match[1]) if match else None
