"""Formats of lists of texts: each turns a file's content into rows with line numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ttscli.counts import counted
from ttscli.errors import InputError, UsageError

_CSV_LARGEST = 1 << 20  # characters of a cell
_QUOTING = (
    "a cell that begins with a quotation mark must end with one, and those in between are doubled: "
    '"""Hello,"" she said."'
)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the input."""

    line: int
    """Where it begins in the file, from 1."""
    fields: dict[str, object]
    """Its values by column."""


@dataclass(frozen=True)
class Reader:
    """A format that is read."""

    name: str
    """What `--format` calls it."""
    endings: tuple[str, ...]
    """Of its files."""
    rows: Callable[[str], Iterator[Row | InputError]]
    """The rows of a content, and for each that is none an error with its line as `where`; an
    InputError that is raised ends them."""
    by_stem: bool = False
    """Whether its ids are paths, whose last part names the audio."""

    def name_template(self, has_ids: bool) -> str:
        """What names the audio where the user does not say."""
        if not has_ids:
            return "{index:05d}.wav"
        return "{stem}.wav" if self.by_stem else "{id}.wav"


def _lines(content: str) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers. Only a line feed ends one, as for `wc`."""
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r")


def _plain(content: str) -> Iterator[Row | InputError]:
    for number, line in _lines(content):
        yield Row(number, {"text": line.strip()})


def _filelist(content: str) -> Iterator[Row | InputError]:
    """``path|text`` or ``id|text``; of ``id|text|text in words``, LJSpeech's own, the words."""
    for number, line in _lines(content):
        name, *texts = line.split("|")
        if not 1 <= len(texts) <= 2 or (len(texts) == 2 and texts[1].strip().isdigit()):
            what = "expected path|text or id|text|normalised text"
            todo = "several speakers are not supported"
            yield InputError(what, where=str(number), todo=todo)
        else:
            yield Row(number, {"id": name.strip(), "text": texts[-1].strip()})


def _table(delimiter: str) -> Callable[[str], Iterator[Row | InputError]]:
    def rows(content: str) -> Iterator[Row | InputError]:
        header: list[str] = []
        for number, cells in _cells(content, delimiter):
            if isinstance(cells, InputError):
                if not header:
                    raise cells
                yield cells
            elif not any(cell.strip() for cell in cells):
                continue
            elif not header:
                header = _header(cells, number, delimiter)
            elif len(cells) != len(header):
                what = f"{counted(len(cells), 'cell')}, but the header has {len(header)}"
                yield InputError(what, where=str(number), todo="quote what has delimiters")
            else:
                yield Row(number, dict(zip(header, cells, strict=True)))

    return rows


def _cells(content: str, delimiter: str) -> Iterator[tuple[int, list[str] | InputError]]:
    """The cells of each row, or what is wrong with it, and the line where it begins."""
    lines = (line + "\n" for line in content.split("\n"))
    table = csv.reader(lines, delimiter=delimiter, strict=True)
    csv.field_size_limit(_CSV_LARGEST)
    while True:
        begun = table.line_num + 1
        try:
            cells = next(table, None)
        except csv.Error as error:
            what, todo = _in_words(error)
            fault = InputError(what, where=str(begun), todo=todo)
            # In a cell of several lines, or of more than there can be, nobody knows where it ends.
            if table.line_num > begun or "field limit" in str(error):
                raise fault from error
            yield begun, fault
            continue
        if cells is None:
            return
        yield begun, cells


def _in_words(error: csv.Error) -> tuple[str, str]:
    """What Python's reader means, and what to do about it."""
    text = str(error)
    if "expected after" in text:
        return "a cell goes on behind the quotation mark that closes it", _QUOTING
    if "unexpected end" in text:
        return "a quotation mark begins a cell, and none ends it", _QUOTING
    if "field limit" in text:
        return f"a cell has more than {_CSV_LARGEST} characters", "is a quotation mark not closed?"
    if "new-line" in text:
        return "there is a carriage return amid a cell", "put the cell in quotation marks"
    return f"it cannot be read ({text})", ""


def _header(cells: list[str], line: int, delimiter: str) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    if "text" not in names:
        shown = ", ".join(names) if len(", ".join(names)) < 80 else f"{', '.join(names):.77}..."
        what = f"the header has no column 'text' but {shown!r}"
        hint = (
            f"begin with a line: id{delimiter}text" if delimiter == "," else "begin with id, text"
        )
        raise InputError(what, where=str(line), todo=hint)
    if len(set(names)) < len(names):
        raise InputError("the header names a column twice", where=str(line))
    return names


def _objects(content: str) -> Iterator[Row | InputError]:
    for number, line in _lines(content):
        try:
            fields = json.loads(line)
            if not isinstance(fields, dict):
                raise ValueError("it is not an object")
        except (ValueError, RecursionError) as error:
            yield InputError(f"this line is not a JSON object ({error})", where=str(number))
        else:
            yield Row(number, fields)


READERS = {
    reader.name: reader
    for reader in (
        Reader("txt", (".txt", ".text"), _plain),
        Reader("csv", (".csv",), _table(",")),
        Reader("tsv", (".tsv", ".tab"), _table("\t")),
        Reader("jsonl", (".jsonl", ".ndjson"), _objects),
        Reader("filelist", (), _filelist, by_stem=True),
    )
}


def choose_reader(path: str, form: str | None, content: str) -> Reader:
    """The reader of a file: as `--format` says, else by its ending.

    LJSpeech's lists are called .txt and .csv too: they are known by the bar in every line.
    """
    known = ", ".join(READERS)
    if form is not None:
        if form not in READERS:
            raise UsageError(f"there is no format {form!r}", todo=f"use {known}")
        return READERS[form]
    ending = Path(path).suffix.lower()
    for reader in READERS.values():
        if ending in reader.endings:
            return READERS["filelist"] if _looks_like_filelist(reader, content) else reader
    what = f"its ending {ending!r} names no format" if ending else "its format is not known"
    raise UsageError(what, where=path, todo=f"give --format {known.replace(', ', '|')}")


def _looks_like_filelist(reader: Reader, content: str) -> bool:
    """Whether every line is a word without spaces, a bar, and more."""
    if reader.name not in ("txt", "csv") or "|" not in content:
        return False
    names = (line.partition("|") for _, line in _lines(content))
    return all(bar and name and not any(c in name for c in " ,") for name, bar, _ in names)
