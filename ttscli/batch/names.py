"""Names of audio files: good on every system, never outside their folder, never used twice."""

from __future__ import annotations

import re
import string
import unicodedata

from ttscli.audio import ENDINGS
from ttscli.errors import UsageError

_FIELDS = ("index", "id", "stem")
_MOST_BYTES = 240  # file systems take 255; other programs append something
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')
_DEVICE = re.compile(
    r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])(\.|\s|$)", re.IGNORECASE
)


class NameTemplate:
    """A pattern such as ``{index:05d}.wav`` that names a job's file."""

    def __init__(self, template: str) -> None:
        example = f"use {', '.join(f'{{{name}}}' for name in _FIELDS)}, as in {{index:05d}}.wav"
        try:
            for _, field, form, _ in string.Formatter().parse(template):
                if field is not None and field not in _FIELDS:
                    raise UsageError(f"--name has an unknown field {{{field}}}", todo=example)
                _check_width(form or "")
            name = template.format(index=1, id="x", stem="x")
        except (ValueError, KeyError, IndexError) as error:
            raise UsageError(
                f"--name {template!r} is no pattern ({error})", todo=example
            ) from error
        if not template.lower().endswith(ENDINGS):
            raise UsageError(
                f"--name {template!r} has no known ending", todo=f"use {' '.join(ENDINGS)}"
            )
        if problem := _problem(name):
            todo = "-o names the folder" if "/" in template else example
            raise UsageError(f"--name {template!r} cannot be: it {problem}", todo=todo)
        self._template = template

    def name(self, index: int, id_: str, stem: str) -> str:
        """The name of a file; a ValueError says why it cannot be one."""
        name = self._template.format(index=index, id=id_, stem=stem)
        problem = _problem(name)
        if problem:
            raise ValueError(
                f"the file name {_short(name)} {problem}; change the id, or use --name"
            )
        return name


def _check_width(form: str) -> None:
    """Refuse a width that no name can have: it would be filled before it is measured."""
    if "{" in form:
        raise ValueError("a width is a number")
    if any(int(number) > _MOST_BYTES for number in re.findall(r"\d+", form)):
        raise ValueError(f"a width is at most {_MOST_BYTES}")


class Names:
    """Names that must differ, on file systems that fold case and normalise too.

    Args:
        what: is named, for errors.
        exact: whether names that differ in case or composition alone are different.
    """

    def __init__(self, what: str, *, exact: bool = False) -> None:
        self._what, self._exact = what, exact
        self._lines: dict[str, int] = {}

    def add(self, name: str, line: int) -> None:
        """Take a name; a ValueError says where it was before."""
        key = name if self._exact or (name.isascii() and name.islower()) else _folded(name)
        before = self._lines.setdefault(key, line)
        if before != line:
            raise ValueError(f"{self._what} {_short(name)} is that of line {before} too")


def _problem(name: str) -> str:
    """Why a name cannot be a file's on every system; nothing if it can."""
    found = _FORBIDDEN.search(name)
    size = len(name.encode(errors="replace"))
    stem = name.rpartition(".")[0]
    problems = {
        f"has {found and found[0]!r} in it": found,
        f"has {size} bytes, more than {_MOST_BYTES}": size > _MOST_BYTES,
        "is a device's on Windows": _DEVICE.match(name),
        f"begins with {name[0]!r}": name[0] in ".-~ ",
        f"has {stem[-1:]!r} before its ending": stem[-1:] in (".", " "),
    }
    return next((problem for problem, there in problems.items() if there), "")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:57] + "...")
