"""Outputs: files that appear only when they are complete, streams, and their errors in words."""

from __future__ import annotations

import errno
import os
import secrets
import shlex
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ttscli.errors import ClosedPipeError, OutputError, UsageError

_PART = ".ttscli-"  # begins the names of files that are not complete
_SPARE = 16 << 20  # bytes that a disk keeps for others

_ADVICE = {
    errno.ENOSPC: "free some space or write to another disk",
    errno.EDQUOT: "free some space or write to another disk",
    errno.EACCES: "write to a folder that is yours",
    errno.EPERM: "write to a folder that is yours",
    errno.EROFS: "write to a folder that is yours",
    errno.EISDIR: "name a file in it",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def is_stream(path: str) -> bool:
    """Whether bytes go straight to this target: standard output, a device, a pipe."""
    if path == "-" or os.fspath(Path(path).parent) in ("/dev", "/dev/fd", "/proc/self/fd"):
        return True
    with suppress(OSError, ValueError):
        mode = Path(path).stat().st_mode
        return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
    return False


def sha256_of(path: Path) -> str:
    """Checksum of a file's content, hexadecimal."""
    import hashlib

    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:  # Python's own `file_digest` came with 3.11
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_file(path: str, owner: str = "") -> Iterator[BinaryIO]:
    """A new file that takes its name, and another's place, only when the block ends well.

    Args:
        path: the file.
        owner: begins the name that it has until then; see `remove_parts`.
    """
    temporary = Path(path).with_name(f"{_PART}{owner}{secrets.token_hex(6)}.part")
    with ExitStack() as cleanup:
        cleanup.callback(_quietly, temporary.unlink)  # finds nothing once it is renamed
        with output_errors(path):
            _check_place(Path(path))
            file = temporary.open("x+b")
        cleanup.callback(_quietly, file.close)
        yield file
        with output_errors(path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            temporary.replace(path)


def remove_parts(folder: Path, owner: str) -> None:
    """Remove what killed writers of this name left in a folder; none may be at work there."""
    for path in folder.glob(f"{_PART}{owner}*.part"):
        _quietly(path.unlink)


@contextmanager
def open_stream(path: str) -> Iterator[BinaryIO]:
    """Standard output for "-", else a device or a pipe; anything but a terminal."""
    with ExitStack() as cleanup:
        if path == "-":
            file = standard_output()
        else:
            with output_errors(path):
                file = Path(path).open("wb")  # noqa: SIM115 - closed below, whatever the reader did
            cleanup.callback(_quietly, file.close)
        if file.isatty():
            todo = "name a file with -o, or pipe it into a player: | aplay"
            raise UsageError("audio is not written to a terminal", todo=todo)
        yield file


def standard_output() -> BinaryIO:
    """Where results go, for bytes; the shell may have closed it (`>&-`)."""
    if sys.stdout is None:
        raise OutputError("standard output is closed", todo="name a file with -o")
    return sys.stdout.buffer


@contextmanager
def output_errors(path: str) -> Iterator[None]:
    """Turn what the system says about an output into an `OutputError` that says what to do."""
    try:
        yield
    except BrokenPipeError as error:
        raise ClosedPipeError("the reader has gone", where=path) from error
    except OSError as error:
        folder = Path(path).parent
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            todo = f"make the folder first: mkdir -p {shlex.quote(str(folder))}"
        else:
            todo = _ADVICE.get(error.errno or 0, "write somewhere else")
        where = "standard output" if path == "-" else path
        raise OutputError(error.strerror or str(error), where=where, todo=todo) from error


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin what cannot end: `needed` bytes that will not fit on the folder's disk."""
    with output_errors(str(folder / "x")):
        free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        what = f"{needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free"
        raise OutputError(what, where=str(folder), todo=_ADVICE[errno.ENOSPC])


def _check_place(path: Path) -> None:
    """Find out before hours of work what would only show when the file is renamed."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(path.stat().st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _quietly(action: Callable[[], object]) -> None:
    """Clean up as far as it goes: a full disk, say, may refuse what is still buffered."""
    with suppress(OSError):
        action()
