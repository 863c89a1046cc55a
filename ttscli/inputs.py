"""Input as UTF-8 text, or in one line why it is none."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path

from ttscli.errors import InputError

STANDARD_INPUT = "-"
_NAMES = {STANDARD_INPUT: "standard input"}


def read_text(path: str, most: int) -> str:
    """The text of a file, or for "-" what is piped in; a byte order mark is left out.

    Args:
        path: the file.
        most: bytes that it may have.
    """
    name = _NAMES.get(path, path)
    try:
        if path == STANDARD_INPUT:
            data = sys.stdin.buffer.read(most + 1) if sys.stdin is not None else b""
        else:
            with Path(path).open("rb") as file:
                data = file.read(most + 1)
    except OSError as error:
        raise InputError(error.strerror or str(error), where=name) from error
    if len(data) > most:
        raise InputError(f"more than {most >> 20} MB of text", where=name, todo="split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        encoding = "UTF-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "LATIN1"
        todo = f"convert the text: iconv -f {encoding} -t UTF-8"
        raise InputError(what, where=f"{name}:{line}", todo=todo) from error


def nothing_piped_in() -> bool:
    """Whether standard input is closed or a terminal."""
    return sys.stdin is None or sys.stdin.isatty()
