"""What is written down about files: checksums by url, and where the files of a voice are from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ttscli.errors import VoiceError
from ttscli.files import atomic_file, output_errors

ORIGIN = "origin.json"
_KNOWN = "known_files.json"


@dataclass(frozen=True)
class Record:
    """A file of a voice, and the checkpoint it was made from."""

    file: str
    """Its name in the voice's folder."""
    size: int
    """Bytes."""
    sha256: str
    """Of its content."""
    origin: str
    """Url or path of the checkpoint it was made from."""
    origin_size: int
    """Bytes of that."""
    origin_sha256: str
    """Of that one's content."""
    compared: str
    """What that checksum was compared with, as in `events.FileChecked`."""
    kept: str = ""
    """That checkpoint's name in the voice's folder, if it was kept."""


def read_records(folder: Path) -> list[Record]:
    """The records of a voice; empty if there are none that can be read."""
    try:
        entries = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))["files"]
        records = [Record(**entry) for entry in entries]
        names = [name for record in records for name in (record.file, record.kept or "x")]
        # A voice from elsewhere must not reach out of its own folder.
        return records if all(Path(name).name == name for name in names) else []
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []


def write_records(folder: Path, records: list[Record]) -> None:
    """Write the records of a voice, all or none."""
    _write(folder / ORIGIN, {"files": [asdict(record) for record in records]})


class KnownFiles:
    """Checksums of files without published ones, as they were at the first download."""

    def __init__(self, voices: Path) -> None:
        self.path = voices / _KNOWN

    def get(self, url: str) -> str | None:
        """The checksum of a url's content; None before its first download."""
        checksum = self._read().get(url)
        return checksum if isinstance(checksum, str) else None

    def put(self, url: str, sha256: str) -> None:
        """Remember the checksum of a url's content."""
        _write(self.path, self._read() | {url: sha256})

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
            if not isinstance(known, dict):
                raise ValueError("it is not an object")
        except (OSError, ValueError, RecursionError) as error:
            what = f"the recorded checksums cannot be read ({error})"
            raise VoiceError(what, where=str(self.path), todo="mend or remove it") from error
        return known


def _write(path: Path, content: object) -> None:
    with atomic_file(str(path)) as file, output_errors(str(path)):
        file.write(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")
