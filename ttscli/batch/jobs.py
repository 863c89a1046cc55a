"""What is to be spoken: a file's rows, checked one and all before any work begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from ttscli.audio import ENDINGS
from ttscli.batch.names import Names, NameTemplate
from ttscli.batch.readers import Reader, Row
from ttscli.errors import InputError, InputErrors, TTSError, UsageError
from ttscli.resampling import check_sample_rate
from ttscli.tempo import check_speed
from ttscli.voices import MOST

MOST_CHARACTERS = 100_000
"""Of an utterance, which is about two hours of speech: it is held in memory."""
MOST_ERRORS = 20
"""That are named before reading ends."""


@dataclass(frozen=True, slots=True)
class VoiceOptions:
    """Which voice speaks and how, as `Synthesizer.from_voice` takes it."""

    voice: str = "small"
    """Its name or folder."""
    tacotron2: str | None = None
    """A checkpoint instead of the voice's."""
    waveglow: str | None = None
    """A checkpoint instead of the voice's."""
    vocoder: str = "waveglow"
    """What makes the audio."""
    sigma: float | None = None
    """Standard deviation of WaveGlow's noise; None is the voice's."""
    denoise: float | None = None
    """Strength of the bias remover; None is the voice's."""
    pause: float = 0.2
    """Silence between sentences, seconds."""
    paragraph_pause: float | None = None
    """Silence between paragraphs, seconds; None is what goes with the pause."""
    speed: float = 1.0
    """Tempo without pitch change."""
    sample_rate: int | None = None
    """Of the audio files; None is the voice's."""
    lexicon: str | None = None
    """The user's words."""
    emoji: bool = False
    """Whether the names of emoji are said."""
    device: str = "auto"
    """Where it is computed."""
    precision: str = "auto"
    """How exactly."""


@dataclass(frozen=True, slots=True)
class Job:
    """An utterance to be spoken."""

    index: int
    """Its place in the input, from 1."""
    id: str
    """What the input calls it; its index where the input gives no names."""
    text: str
    """What is to be said."""
    path: str
    """The name of its file."""
    seed: int
    """Where its noise starts."""
    options: VoiceOptions
    """Which voice speaks it; jobs share equal ones."""
    line: int
    """Where the input has it."""
    subtitles: str = ""
    """The name of its file of subtitles; empty if there is none."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a text")
    return value


def _choice(value: object) -> str:
    text = _text(value)
    if text not in ("waveglow", "griffin-lim"):
        raise ValueError("is neither waveglow nor griffin-lim")
    return text


def _amount(value: object) -> float:
    number = float(_number(value, float))
    if not 0 <= number <= MOST:
        raise ValueError(f"is not a number from 0 to {MOST:g}")
    return number


def _seed(value: object) -> int:
    number = int(_number(value, int))
    if number < 0:
        raise ValueError("is not a whole number of at least 0")
    return number


def _number(value: object, kind: type[Any]) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    try:
        if whole or isinstance(value, str) or (kind is float and isinstance(value, float)):
            return kind(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"is not a {'whole ' * (kind is int)}number of at least 0")


def _speed(value: object) -> float:
    return float(_in_words(check_speed, _number(value, float)))


def _pause(value: object) -> float:
    from ttscli.synthesizer import check_pause

    return float(_in_words(partial(check_pause, "pause"), _number(value, float)))


def _sample_rate(value: object) -> int:
    return int(_in_words(check_sample_rate, _number(value, int)))


def _in_words(check: Callable[[Any], Any], value: Any) -> Any:
    """The value, if the check lets it pass."""
    try:
        return check(value)
    except UsageError as error:
        raise ValueError(f"is refused: {error}") from error


_OPTIONS = {
    "voice": _text,
    "vocoder": _choice,
    "sigma": _amount,
    "denoise": _amount,
    "pause": _pause,
    "speed": _speed,
    "sample_rate": _sample_rate,
}
COLUMNS = ("id", "text", "seed", *_OPTIONS)


def read_jobs(
    reader: Reader,
    name: str,
    content: str,
    *,
    template: str,
    seed: int,
    options: VoiceOptions,
    check: Callable[[VoiceOptions], None] | None = None,
) -> list[Job]:
    """The jobs in a file, in its order.

    Args:
        reader: of the file's format.
        name: of the file, as an error shows it.
        content: of the file.
        template: what names the audio files; empty is the reader's own.
        seed: of rows that give none.
        options: for what rows do not give themselves.
        check: refuses options that a row has of its own, such as an unknown voice, with a TTSError.

    Raises:
        InputErrors: all that is wrong, each with its line.
    """
    found: list[Job] = []
    errors = _Errors()
    maker = _JobMaker(template, reader, seed, options, check)
    for row in _rows(reader.rows(content), name, errors):
        job = maker.make(row)
        if isinstance(job, Job):
            found.append(job)
        else:
            errors += [InputError(fault, where=f"{name}:{row.line}") for fault in job]
        if len(errors) >= MOST_ERRORS:
            break
    if errors:
        complete = errors.complete and len(errors) < MOST_ERRORS
        raise InputErrors(errors[:MOST_ERRORS], complete=complete)
    if not found:
        raise InputError("there is nothing to speak in it", where=name)
    return found


class _Errors(list[InputError]):
    """All that is wrong with a file."""

    complete = True
    """Whether the file was read to its end."""


def _rows(rows: Iterator[Row | InputError], name: str, errors: _Errors) -> Iterator[Row]:
    """The rows up to one after which the file cannot be read any further."""

    def add(error: InputError) -> None:
        where = f"{name}:{error.where}" if error.where else name
        errors.append(InputError(error.what, where=where, todo=error.todo))

    try:
        for row in rows:
            if isinstance(row, Row):
                yield row
            else:
                add(row)
            if len(errors) >= MOST_ERRORS:
                break
    except InputError as error:
        add(error)
        errors.complete = False


class _Faults(list[str]):
    """All that is wrong with a row."""

    def of(self, read: Callable[..., Any], *values: Any) -> Any:
        """What `read` makes of the values; None if its ValueError is a fault more."""
        try:
            return read(*values)
        except ValueError as error:
            self.append(str(error))
            return None


class _JobMaker:
    """Turns rows into jobs, or says what is wrong with them."""

    def __init__(
        self,
        template: str,
        reader: Reader,
        seed: int,
        options: VoiceOptions,
        check: Callable[[VoiceOptions], None] | None,
    ) -> None:
        self.template, self._check = template, check
        self.reader, self.seed, self.options = reader, seed, options
        self._names: NameTemplate | None = None
        self._files, self._ids = Names("the file name"), Names("the id", exact=True)
        self._known: dict[VoiceOptions, VoiceOptions] = {}
        self._unknown: set[str] = set()
        self._index = 0

    def make(self, row: Row) -> Job | Sequence[str]:
        """The job of a row, or all that is wrong with it."""
        self._index += 1
        faults = _Faults()
        faults.of(self._check_columns, row.fields)
        named = "id" in row.fields
        id_ = faults.of(_id, row.fields["id"]) if named else str(self._index)
        text = faults.of(_speakable, row.fields.get("text"))
        path: Any = None if id_ is None else faults.of(self._path, id_, named, row.line)
        seed = faults.of(_field, row.fields, "seed", _seed, self.seed)
        options = self._options(row.fields, faults)
        if path is not None:
            faults.of(self._check_rate, options.sample_rate, path)
        faults.of(self._check_options, options)
        return faults or Job(self._index, id_, text, path, seed, options, row.line)

    def _check_columns(self, fields: Mapping[str, object]) -> None:
        """Refuse unknown columns, in the first row that has them."""
        unknown = [key for key in fields if key not in COLUMNS and key not in self._unknown]
        self._unknown.update(unknown)
        if unknown:
            what = f"unknown column{'s' * (len(unknown) > 1)} {', '.join(map(repr, unknown))}"
            raise ValueError(f"{what}; there are {', '.join(COLUMNS)}")

    def _path(self, id_: str, named: bool, line: int) -> str:
        """The name of the row's file, which no other row may have."""
        if self._names is None:
            self._names = NameTemplate(self.template or self.reader.name_template(named))
        stem = PurePosixPath(id_.replace("\\", "/"))
        short = stem.stem if stem.suffix.lower() in ENDINGS else stem.name
        path = self._names.name(self._index, id_, short)
        if named:
            self._ids.add(id_, line)
        self._files.add(path, line)
        return path

    def _check_options(self, options: VoiceOptions) -> None:
        """Refuse what cannot be; the run's own options are no row's fault."""
        try:
            if self._check is not None and options != self.options:
                self._check(options)
        except TTSError as error:
            raise ValueError(str(error)) from error

    def _check_rate(self, rate: int | None, path: str) -> None:
        """Refuse a sample rate that such a file cannot have; the run's own is no row's fault."""
        try:
            if rate is not None:
                check_sample_rate(rate, PurePosixPath(path).suffix.lower())
        except UsageError as error:
            if rate == self.options.sample_rate:
                raise
            raise ValueError(f"column 'sample_rate': {error}") from error

    def _options(self, fields: Mapping[str, object], faults: _Faults) -> VoiceOptions:
        given = {
            key: value
            for key, read in _OPTIONS.items()
            if (value := faults.of(_field, fields, key, read, None)) is not None
        }
        if not given:
            return self.options
        options = replace(self.options, **given)
        return self._known.setdefault(options, options)


def _field(fields: Mapping[str, object], key: str, read: Any, default: Any) -> Any:
    """The value of an optional column; an empty cell is none."""
    value = fields.get(key)
    if value is None or value == "":
        return default
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"column {key!r}: {value!r:.40} {error}") from error


def _id(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"column 'id': {value!r:.40} is neither a text nor a whole number")
    if not value.strip():
        raise ValueError("column 'id' is empty")
    return _encodable(value, "id")


def _speakable(value: object) -> str:
    if value is None:
        raise ValueError("column 'text' is missing")
    if not isinstance(value, str):
        raise ValueError(f"column 'text': {value!r:.40} is not a text")
    if not value.strip():
        raise ValueError("column 'text' is empty")
    if len(value) > MOST_CHARACTERS:
        what = f"the text has {len(value)} characters, more than {MOST_CHARACTERS}"
        raise ValueError(f"{what}; split it, or speak it with ttscli synth -f")
    return _encodable(value, "text")


def _encodable(value: str, column: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"column {column!r} has half of a surrogate pair") from error
    return value


def choose_shard(jobs: Iterable[Job], shard: tuple[int, int]) -> list[Job]:
    """The jobs of shard I of N: every N-th, so that no job changes shards when others are added."""
    number, of = shard
    return [job for job in jobs if (job.index - 1) % of == number - 1]
