"""What has become of each utterance: a file of JSON lines that only grows while work goes on."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttscli.files import atomic_file, output_errors

if TYPE_CHECKING:
    from ttscli.attention import Attention

WHOLE = "manifest.jsonl"
_SYNC_EVERY = 1.0  # seconds: what a power failure takes is spoken again


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the manifest: an utterance."""

    id: str
    """What the input calls it."""
    index: int
    """Its place in the input, from 1."""
    text: str
    """What was to be said."""
    path: str
    """Its file, in the manifest's folder."""
    status: str
    """ok or failed."""
    error: str | None
    """What failed."""
    duration_s: float | None
    """Length of the audio, seconds; None if there is none."""
    sample_rate: int | None
    """Samples per second."""
    samples: int | None
    """How many."""
    sha256: str | None
    """Of the file."""
    seed: int
    """Where its noise started."""
    voice: str
    """Whose it is."""
    key: str
    """Of what its samples depend on, see `keys`."""
    attempts: int
    """How often it was tried."""
    attention: Attention | None
    """How it was read: the worst of its sentences; None if there is no audio."""
    elapsed_s: float
    """How long speaking took, seconds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What resuming has to know of a record, and where it stands."""

    index: int
    """Its place in the input."""
    ok: bool
    """Whether its status is ok."""
    error: str
    """What failed; empty if nothing did."""
    key: str
    """Of what its samples depend on."""
    sha256: str | None
    """Of its file."""
    samples: int | None
    """Of its audio."""
    file: int
    """The number of the manifest it is in."""
    offset: int
    """Where in that its line begins."""
    size: int
    """Bytes of the line."""


class Manifest:
    """The manifests of a folder: all are read, one is appended to.

    Args:
        folder: where they are.
        own: the name of the one to append to.
        owner: of files that are being written.
    """

    def __init__(self, folder: Path, own: str = WHOLE, owner: str = "") -> None:
        self.path, self._owner = folder / own, owner
        shards = set(folder.glob("manifest-*-of-*.jsonl")) - {self.path}
        # The later counts: those of shards are newer than the whole one, which takes them in.
        self.paths = list(dict.fromkeys([folder / WHOLE, *sorted(shards), self.path]))
        self._own = self.paths.index(self.path)
        self.entries: dict[str, Entry] = {}
        """By the path of the audio; the last line counts."""
        self.damaged = 0
        """Lines that could not be read."""
        self._file: FileIO | None = None
        self._lines = 0
        self._synced = 0.0
        for number, path in enumerate(self.paths):
            if path.exists():
                self._read(number, path)

    def repair(self) -> None:
        """Remove what a power failure left of a line."""
        if not self.path.exists():
            return
        with output_errors(str(self.path)), self.path.open("rb+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            complete = _last_line_end(file, size)
            if complete < size:
                file.truncate(complete)

    def append(self, record: Record) -> None:
        """Add a record, with one write to the system."""
        # A byte of a path that is no UTF-8 becomes JSON's own escape for it.
        line = json.dumps(asdict(record), ensure_ascii=False).encode("utf-8", "backslashreplace")
        rest = line = line + b"\n"
        with output_errors(str(self.path)):
            if self._file is None:
                # Without a buffer: what a full disk did not take must not be written later.
                self._file = self.path.open("ab", buffering=0)
            offset = self._file.seek(0, os.SEEK_END)
            while rest:
                rest = rest[self._file.write(rest) :]
            now = time.monotonic()
            if now - self._synced > _SYNC_EVERY:
                os.fsync(self._file.fileno())
                self._synced = now
        self._lines += 1
        self.entries[record.path] = Entry(
            record.index, record.status == "ok", record.error or "", record.key, record.sha256,
            record.samples, self._own, offset, len(line),
        )  # fmt: skip

    def close(self) -> None:
        """Make sure that all of it is on the disk."""
        if self._file is not None:
            file, self._file = self._file, None
            with output_errors(str(self.path)), file:
                os.fsync(file.fileno())

    def tidy(self, *, merge: bool) -> None:
        """Once all is done: one line an utterance, in the input's order.

        Args:
            merge: take in the folder's other manifests and remove them.
        """
        others = [path for path in self.paths if path != self.path and path.exists()]
        wanted = [e for e in self.entries.values() if merge or e.file == self._own]
        places = [(e.index, e.file, e.offset) for e in wanted]
        wanted = [wanted[i] for i in sorted(range(len(wanted)), key=places.__getitem__)]
        offsets = [entry.offset for entry in wanted]
        in_order = len(wanted) == self._lines and offsets == sorted(offsets)
        if in_order and not (merge and others):
            return
        files = [path.open("rb") if path.exists() else None for path in self.paths]
        try:
            with atomic_file(str(self.path), self._owner) as tidied:
                for entry in wanted:
                    file = files[entry.file]
                    assert file is not None
                    file.seek(entry.offset)
                    with output_errors(str(self.path)):
                        tidied.write(file.read(entry.size))
        finally:
            for file in files:
                if file is not None:
                    file.close()
        for path in others if merge else []:
            path.unlink(missing_ok=True)

    def _read(self, number: int, path: Path) -> None:
        offset = 0
        with output_errors(str(path)), path.open("rb") as file:
            for line in file:
                if number == self._own:
                    self._lines += line.endswith(b"\n")
                entry = _entry(line, number, offset) if line.endswith(b"\n") else None
                if entry is not None:
                    self.entries[entry[0]] = entry[1]
                elif line.strip() and line.endswith(b"\n"):
                    self.damaged += 1
                offset += len(line)


def _entry(line: bytes, number: int, offset: int) -> tuple[str, Entry] | None:
    """The path and the entry of a line; None if it is no record."""
    try:
        fields: dict[str, Any] = json.loads(line)
        entry = Entry(
            int(fields["index"]), fields["status"] == "ok", str(fields.get("error") or ""),
            str(fields["key"]), fields["sha256"], fields["samples"], number, offset, len(line),
        )  # fmt: skip
        return str(fields["path"]), entry
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _last_line_end(file: FileIO, size: int) -> int:
    """Where the last complete line of a file ends."""
    end = size
    while end > 0:
        start = max(0, end - (1 << 16))
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
