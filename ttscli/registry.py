"""The voices that can be downloaded, as data: the program's table and the user's own."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ttscli.errors import VoiceError

ROLES = ("tacotron2", "waveglow")
_OURS = Path(__file__).with_name("registry.toml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST = 1 << 40  # bytes


@dataclass(frozen=True)
class Source:
    """A file that can be fetched, and what is known of it."""

    role: str
    """Which model it holds, one of `ROLES`."""
    url: str
    """Where it is."""
    size: int | None = None
    """Its published size, bytes."""
    sha256: str | None = None
    """Its published checksum, hexadecimal."""
    about: int = 0
    """Its size as far as known, bytes; 0 if nothing is."""
    sizes: Mapping[str, int] | None = None
    """Where its model differs from the published layout; None if any model will do."""

    @property
    def filename(self) -> str:
        """Its name on mirrors."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2]

    @property
    def expected_size(self) -> int:
        """Bytes, as far as known."""
        return self.size or self.about


@dataclass(frozen=True)
class Offer:
    """A voice that can be downloaded."""

    name: str
    """What it is called."""
    settings: Mapping[str, Any]
    """What its `voice.json` says beside its files."""
    sources: tuple[Source, ...]
    """Its files, one of each role."""
    problem: VoiceError | None = None
    """Why its entry cannot be used, which concerns no other voice; None if it can."""

    @property
    def expected_size(self) -> int:
        """Bytes of all its files, as far as known."""
        return sum(source.expected_size for source in self.sources)


def home() -> Path:
    """The user's folder, with `voices/` and `voices.toml`: $TTSCLI_HOME, else the platform's."""
    given = os.environ.get("TTSCLI_HOME")
    if given:
        return Path(given).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("ttscli", appauthor=False)


def voices_folder() -> Path:
    """Where downloaded voices lie."""
    return home() / "voices"


def read_registry() -> dict[str, Offer]:
    """All voices on offer by name; the user's own come last and may replace ours.

    An entry that cannot be used is there too, and says so itself.

    Raises:
        VoiceError: the user's table cannot be read, and where.
    """
    offers = _read(_OURS)
    own = home() / "voices.toml"
    return offers | _read(own) if own.exists() else offers


def find_offer(name: str) -> Offer | None:
    """The voice on offer of this name; None if there is none.

    Raises:
        VoiceError: its entry cannot be used, or the user's table cannot be read.
    """
    offer = read_registry().get(name)
    if offer is not None and offer.problem is not None:
        raise offer.problem
    return offer


def check_name(name: str) -> str:
    """The name, if it can be that of a voice, and so of a folder, on every system."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        todo = "use letters, digits, - and _"
        raise VoiceError(f"{name!r:.80} cannot be the name of a voice", todo=todo)
    return name


def _read(path: Path) -> dict[str, Offer]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VoiceError(error.strerror or str(error), where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise VoiceError(f"this is not TOML ({error})", where=str(path)) from error
    offers = {}
    for name, table in tables.items():
        try:
            check_name(name)
            offers[name] = _offer(name, table)
        except VoiceError as error:
            problem = VoiceError(f"[{name:.80}]: {error.what}", where=str(path))
            offers[name] = Offer(name, {}, (), problem)
    return offers


def _offer(name: str, table: object) -> Offer:
    if not isinstance(table, dict):
        raise VoiceError("it is not a table")
    missing = [role for role in ROLES if not isinstance(table.get(role), dict)]
    if missing:
        raise VoiceError(f"it has no table [{name}.{missing[0]}]")
    sources = tuple(_source(role, table[role]) for role in ROLES)
    settings = {field: value for field, value in table.items() if field not in ROLES}
    return Offer(name, settings, sources)


def _source(role: str, table: Mapping[str, Any]) -> Source:
    known = {"url", "size", "sha256", "about", "sizes"}
    if unknown := sorted(table.keys() - known):
        raise VoiceError(f"{role}: unknown field {unknown[0]!r}")
    source = Source(role, **{"url": "", **table})
    parts = urlsplit(source.url) if isinstance(source.url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise VoiceError(f"{role}: its url is not one of http or https")
    if source.filename in ("", ".", "..") or "\\" in source.filename:
        raise VoiceError(f"{role}: its url does not end in the name of a file")
    sha256 = source.sha256
    if sha256 is not None and not re.fullmatch("[0-9a-f]{64}", str(sha256)):
        raise VoiceError(f"{role}: its sha256 is not 64 hexadecimal digits in lower case")
    for field in ("size", "about"):
        value = table.get(field, 1)
        if not isinstance(value, int) or not 0 < value < _LARGEST:
            raise VoiceError(f"{role}: its {field} is not a number of bytes")
    if not _are_sizes(source.sizes):
        raise VoiceError(f"{role}: its sizes are not a table of numbers")
    return source


def _are_sizes(sizes: object) -> bool:
    if sizes is None:
        return True
    return isinstance(sizes, dict) and all(type(value) is int for value in sizes.values())
