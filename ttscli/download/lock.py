"""One run at a time downloads into a folder; others wait for it while it gets on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ttscli.errors import LockedError
from ttscli.events import DownloadWaiting, OnEvent
from ttscli.files import output_errors

if TYPE_CHECKING:
    from filelock import FileLock

_LOOK_S = 0.5


@contextmanager
def hold(folder: Path, name: str, on_event: OnEvent, longest_idle_s: float) -> Iterator[None]:
    """Hold a folder of voices, by the lock file `name` in it.

    Raises:
        LockedError: another run holds it, and nothing in the folder has changed for so long.
    """
    from filelock import FileLock

    file = folder / name
    with output_errors(str(file)):
        file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, timeout=_LOOK_S)
    seen, since, is_told = _signs_of_life(folder, file), time.monotonic(), False
    while not _acquired(lock):
        if not is_told:
            on_event(DownloadWaiting(str(folder)))
            is_told = True
        now = _signs_of_life(folder, file)
        if now != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > longest_idle_s:
            what = f"another run holds it and has done nothing for {longest_idle_s:g} s"
            todo = "end that run, then run this command again"
            raise LockedError(what, where=str(folder), todo=todo)
    try:
        yield
    finally:
        lock.release()


def _acquired(lock: FileLock) -> bool:
    from filelock import Timeout

    with output_errors(lock.lock_file):
        try:
            lock.acquire()
        except Timeout:  # to Python an error of the system
            return False
    return True


def _signs_of_life(folder: Path, lock: Path) -> list[tuple[str, int, int]]:
    """What changes while a download gets on; older filelocks touch the lock as we look."""
    signs = []
    for path in folder.rglob("*"):
        if path == lock:
            continue
        with suppress(OSError):
            status = path.stat()
            signs.append((str(path), status.st_size, status.st_mtime_ns))
    return sorted(signs)
