"""The checkpoints that voices are made from: fetched or at hand, and compared."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from ttscli.counts import counted
from ttscli.download.fetch import Fetch, Patience, forget
from ttscli.download.records import KnownFiles
from ttscli.download.trouble import shown
from ttscli.errors import UsageError, VoiceError
from ttscli.events import DownloadInterrupted, FileChecked, OnEvent, ignore
from ttscli.files import output_errors, sha256_of
from ttscli.registry import Source

PARTIAL = ".partial"


@dataclass(frozen=True)
class Original:
    """A checkpoint on this machine, as somebody published it."""

    file: str
    """What events call it: the voice and the model, or the file's name."""
    path: Path
    """Where it is."""
    origin: str
    """Where it is from, as it may be shown."""
    sha256: str
    """Of its content."""
    compared: str
    """What that was compared with, as in `events.FileChecked`."""
    source: Source | None = None
    """What it should be; None if nobody says."""
    is_partial: bool = False
    """Whether it is a partial file of ours, to be cleared away in the end."""

    @property
    def name(self) -> str:
        """Its file's name, as it was published."""
        return self.source.filename if self.source else self.path.name

    def discard(self) -> None:
        """Clear it away, if it was fetched by us."""
        if self.is_partial:
            forget(self.path)

    def keep(self, target: Path) -> None:
        """Put it there."""
        with output_errors(str(target)):
            if self.is_partial:
                self.path.replace(target)
            elif self.path.resolve() != target.resolve():
                shutil.copyfile(self.path, target)


@dataclass(frozen=True)
class Originals:
    """Gets checkpoints."""

    folder: Path
    """Where the voices lie."""
    mirror: str | None = None
    """Url or folder that has the files, instead of the published addresses."""
    offline: bool = False
    """Whether the network must not be used."""
    patience: Patience = field(default_factory=Patience)
    """How long to wait for servers."""
    on_event: OnEvent = ignore
    """Takes what happens."""

    def get(self, voice: str, source: Source) -> Original:
        """The checkpoint of a source, whole and compared."""
        file = f"{voice}/{source.role}"
        known = KnownFiles(self.folder).get(source.url)
        compared = "published" if source.sha256 else "recorded" if known else "first"
        address = self._address(source)
        if isinstance(address, Path):
            if not address.is_file():
                todo = "a mirror has the files under the names of their urls"
                raise VoiceError("the mirror has no such file", where=str(address), todo=todo)
            sha256 = sha256_of(address)
            _check(source, address, sha256, known, where=str(address), folder=self.folder)
            original = Original(file, address, str(address), sha256, compared, source)
        else:
            part, sha256 = self._fetched(file, source, address, known)
            original = Original(file, part, shown(address), sha256, compared, source, True)
        return self._reported(original)

    def at_hand(self, voice: str, path: Path) -> Original:
        """A checkpoint that somebody else fetched."""
        if not path.is_file():
            what = "this is a folder" if path.is_dir() else "there is no such file"
            raise VoiceError(what, where=str(path), todo="the voice's name goes before --from")
        file = f"{voice}/{path.name}"
        return self._reported(Original(file, path, str(path.absolute()), sha256_of(path), "none"))

    def _address(self, source: Source) -> str | Path:
        """Where to get a file: the mirror goes before the published address."""
        if self.mirror is None:
            return source.url
        if urlsplit(self.mirror).scheme in ("http", "https"):
            return f"{self.mirror.rstrip('/')}/{quote(source.filename)}"
        if "://" in self.mirror:
            raise UsageError(f"a mirror is a folder or a http url, not {self.mirror!r:.80}")
        return Path(self.mirror).expanduser() / source.filename

    def _fetched(self, file: str, source: Source, url: str, known: str | None) -> tuple[Path, str]:
        """The partial file, whole, and its checksum.

        Contents that were mixed, because the file changed and the server gave no sign of it, are
        fetched once more from the start.
        """
        part = partial_file(self.folder, source)
        fetch = Fetch(
            url, part, file=file, size=source.size, has_checksum=bool(source.sha256 or known),
            patience=self.patience, on_event=self.on_event,
        )  # fmt: skip
        if self.offline and not fetch.is_whole:
            todo = "run it without --offline, or name a folder with --mirror"
            raise VoiceError(f"{file} is not here, and --offline forbids the network", todo=todo)
        for may_repeat in (not self.offline, False):
            fetch.run()
            sha256 = sha256_of(part)
            try:
                _check(source, part, sha256, known, where=shown(url), folder=self.folder)
                break
            except VoiceError as error:
                fetch.discard()
                if not (may_repeat and fetch.is_in_pieces):
                    raise
                self.on_event(DownloadInterrupted(file, f"in its pieces {error.what}", 0, 0))
        return part, sha256

    def _reported(self, original: Original) -> Original:
        size = original.path.stat().st_size
        self.on_event(
            FileChecked(original.file, original.origin, size, original.sha256, original.compared)
        )
        return original


def partial_file(voices_folder: Path, source: Source) -> Path:
    """Where a source grows while it is fetched: one place, whichever voice it is for."""
    digest = hashlib.sha256(source.url.encode()).hexdigest()[:12]
    return voices_folder / PARTIAL / f"{source.filename[-80:]}.{digest}.part"


def complaint(source: Source, size: int, sha256: str, known: str | None) -> str:
    """What is wrong with a file's content; empty if nothing is."""
    if source.size is not None and size != source.size:
        return f"it has {counted(size, 'byte')} instead of {source.size}"
    wanted = source.sha256 or known
    if wanted is None or sha256 == wanted:
        return ""
    which = "the published file" if source.sha256 else "the file of the first download"
    return f"it is not {which}: its sha256 begins {sha256[:12]}, not {wanted[:12]}"


def _check(
    source: Source, path: Path, sha256: str, known: str | None, *, where: str, folder: Path
) -> None:
    if wrong := complaint(source, path.stat().st_size, sha256, known):
        changed = f"if its publisher has changed it, remove its line from {KnownFiles(folder).path}"
        is_published = source.sha256 is not None or source.size is not None
        todo = "try another --mirror" if is_published else changed
        raise VoiceError(wrong, where=where, todo=todo)
