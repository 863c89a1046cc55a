"""The folder that takes the audio: held by one run, or by shards that cannot meet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ttscli.batch.manifest import WHOLE
from ttscli.errors import LockedError, UsageError
from ttscli.files import output_errors, remove_parts

if TYPE_CHECKING:
    from filelock import BaseFileLock

_GATE_WAIT = 1.0  # seconds: shards hold the gate while they begin, a whole run as long as it lasts
_SHARD_LOCK = re.compile(r"\.ttscli-shard-[0-9]+-of-([0-9]+)\.lock\Z")


class Shard(NamedTuple):
    """A part of the input: every N-th utterance from the I-th on."""

    number: int
    """I, from 1."""
    of: int
    """N."""

    @property
    def name(self) -> str:
        """As file names have it."""
        return f"{self.number}-of-{self.of}"


def parse_shard(text: str) -> Shard:
    """What `--shard` says: I/N."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        what = f"the shard {text!r} is not I/N with I from 1 to N"
        raise UsageError(what, todo="for the first of four: --shard 1/4")
    return Shard(int(found[1]), int(found[2]))


@contextmanager
def hold_folder(folder: Path, shard: Shard | None = None) -> Iterator[None]:
    """Make the folder and keep other runs out of it; what killed ones left is removed.

    Shards of the same number may work in it at once. Whoever begins holds the gate meanwhile; a
    whole run keeps it.
    """
    with ExitStack() as held:
        if not folder.is_dir():
            with output_errors(str(folder)):
                folder.mkdir(parents=True, exist_ok=True)
            held.callback(_remove_if_empty, folder)
        gate = held.enter_context(ExitStack())
        gate.enter_context(_held(folder, ".ttscli.lock", wait=_GATE_WAIT))
        for path in sorted(folder.glob(".ttscli-shard-*.lock")):
            found = _SHARD_LOCK.match(path.name)
            if found and (shard is None or int(found[1]) != shard.of):
                with _held(folder, path.name):
                    pass
        if shard is not None:
            held.enter_context(_held(folder, f".ttscli-shard-{shard.name}.lock"))
            gate.close()
        remove_parts(folder, part_owner(shard))
        yield


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def part_owner(shard: Shard | None) -> str:
    """What begins the names of unfinished files of this run, and for a whole run of any shard."""
    return f"batch-{shard.name}-" if shard else "batch-"


def manifest_name(shard: Shard | None) -> str:
    """The manifest that this run appends to: shards cannot append to one file safely on NFS."""
    return f"manifest-{shard.name}.jsonl" if shard else WHOLE


@contextmanager
def _held(folder: Path, name: str, wait: float = 0) -> Iterator[None]:
    """Hold a lock file; the system lets go of it when the process dies."""
    from filelock import FileLock, Timeout

    path = folder / name
    lock: BaseFileLock = FileLock(path)
    with output_errors(str(path)):
        try:
            lock.acquire(timeout=wait)
        except Timeout as error:
            todo = "wait until it is done, or choose another folder with -o"
            raise LockedError(
                "another run is at work here", where=str(folder), todo=todo
            ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # while it is held; who waits for it will see that it is gone
            path.unlink()
        lock.release()
