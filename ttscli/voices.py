"""Voices: folders with a `voice.json`, and how a name becomes one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ttscli import registry
from ttscli.errors import VoiceError

MANIFEST = "voice.json"
MOST = 10.0
"""Of sigma and denoise: more leaves only noise, or nothing."""

_PACKAGE = Path(__file__).resolve().parent
_BUILT_IN = (_PACKAGE / "voices_data", _PACKAGE.parent / "checkpoints")  # the wheel; a checkout


@dataclass(frozen=True)
class Voice:
    """What a voice folder holds, as its `voice.json` says."""

    name: str
    """What it is called."""
    tacotron2: Path
    """Checkpoint of the model from text to mel."""
    waveglow: Path
    """Checkpoint of the model from mel to audio."""
    description: str = ""
    """A sentence about it."""
    licence: str = ""
    """Under which terms it may be used."""
    sample_rate: int = 22050
    """Samples per second of its audio."""
    lexicon: Path | None = None
    """Sorted table of words and their phones; None if it reads letters only."""
    cleaners: tuple[str, ...] = ("english_cleaners",)
    """What makes text readable for it."""
    final_stop: bool = True
    """Whether sentences without punctuation at their end get a full stop; few voices end well
    without."""
    sigma: float = 0.9
    """Standard deviation of WaveGlow's noise that suits it."""
    denoise: float = 0.0
    """Strength of the bias remover that suits it, 0 is off."""
    denoiser: Path | None = None
    """WaveGlow's bias spectrum, where it was computed before."""
    mel_gain: int = 0
    """How often the audio is brought nearer to the mel that it was made from, 0 is off."""


def find_voice(name: str | Path) -> Voice:
    """The voice of this name, or in this folder.

    A name is a built-in voice's, else a downloaded one's, else a folder's.
    """
    text = str(name)
    if Path(text).name == text:
        for folder in _folders():
            if (folder / text / MANIFEST).is_file():
                return read_voice(folder / text)
    if (Path(text) / MANIFEST).is_file():
        return read_voice(Path(text))
    if Path(text).is_dir():
        raise VoiceError(f"this folder has no {MANIFEST}", where=text, todo=_known())
    if registry.find_offer(text) is not None:
        what = f"the voice {text!r} is not downloaded"
        raise VoiceError(what, todo=f"run: ttscli download {text}")
    raise VoiceError(f"unknown voice {text!r}", todo=_known())


def list_voices(downloaded: Path | None = None) -> list[str]:
    """Names of the voices that are here, the built-in ones first.

    Args:
        downloaded: folder of the downloaded ones; None is the usual one.
    """
    folders = [*_BUILT_IN, downloaded or registry.voices_folder()]
    found = (
        path.parent.name for folder in folders for path in sorted(folder.glob(f"*/{MANIFEST}"))
    )
    return list(dict.fromkeys(found))


def built_in(name: str) -> list[Path]:
    """Where a built-in voice of this name would lie."""
    return [folder / name for folder in _BUILT_IN]


def is_built_in(folder: Path) -> bool:
    """Whether a voice's folder came with the program."""
    return folder.parent in _BUILT_IN


def check_settings(settings: Mapping[str, Any], where: str) -> None:
    """Refuse what a `voice.json` could not say beside its files."""
    for name, value in settings.items():
        reader = _READERS.get(name)
        if reader is None or reader is _file:
            raise VoiceError(f"unknown field {name!r:.80}", where=where)
        try:
            reader(Path(), value)
        except ValueError as error:
            raise VoiceError(f"{name}: {error}", where=where) from error


def read_voice(folder: Path) -> Voice:
    """Read and check the `voice.json` of a folder."""
    path = folder / MANIFEST
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(fields, dict):
            raise ValueError("it is not an object")
    except OSError as error:
        raise VoiceError(error.strerror or str(error), where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise VoiceError(f"this is not a JSON object ({error})", where=str(path)) from error
    for complaint, names in (
        ("unknown field", fields.keys() - _READERS.keys()),
        ("missing field", {"tacotron2", "waveglow"} - fields.keys()),
    ):
        if names:
            raise VoiceError(f"{complaint} {', '.join(map(repr, sorted(names)))}", where=str(path))
    values: dict[str, Any] = {"name": folder.resolve().name}
    for name, value in fields.items():
        try:
            values[name] = _READERS[name](folder, value)
        except ValueError as error:
            raise VoiceError(f"{name}: {error}", where=str(path)) from error
    return Voice(**values)


def _text(_folder: Path, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _texts(folder: Path, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list of texts")
    return tuple(_text(folder, item) for item in value)


def _flag(_folder: Path, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _rate(_folder: Path, value: Any) -> int:
    if not isinstance(value, int) or not 1000 <= value <= 384000:
        raise ValueError(f"{value!r} is not a sample rate")
    return value


def _amount(_folder: Path, value: Any) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= MOST:
        raise ValueError(f"{value!r} is not a number from 0 to {MOST:g}")
    return float(value)


def _passes(_folder: Path, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 10:
        raise ValueError(f"{value!r} is not a whole number from 0 to 10")
    return value


def _file(folder: Path, value: Any) -> Path:
    """A file in the folder: a voice from elsewhere must not reach out of its own."""
    name = _text(folder, value)
    if not name or Path(name).name != name:
        raise ValueError(f"{name!r} is not the name of a file beside it")
    if not (folder / name).is_file():
        raise ValueError(f"the file {name!r} is missing beside it")
    if not (folder / name).stat().st_size:  # neither a model nor a table is; and none can be mapped
        raise ValueError(f"the file {name!r} beside it is empty")
    return folder / name


_READERS: dict[str, Callable[[Path, Any], Any]] = {
    "name": _text,
    "description": _text,
    "licence": _text,
    "sample_rate": _rate,
    "tacotron2": _file,
    "waveglow": _file,
    "lexicon": _file,
    "cleaners": _texts,
    "final_stop": _flag,
    "sigma": _amount,
    "denoise": _amount,
    "denoiser": _file,
    "mel_gain": _passes,
}


def _folders() -> Iterator[Path]:
    """Where named voices lie."""
    yield from _BUILT_IN
    yield registry.voices_folder()


def _known() -> str:
    names = list_voices()
    return f"there are: {', '.join(names)}" if names else "there is none here"
