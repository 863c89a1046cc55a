"""Voices into their folders: checkpoints are converted aside, and put in place at the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ttscli import registry, voices
from ttscli.download.fetch import Patience
from ttscli.download.lock import hold
from ttscli.download.originals import PARTIAL, Original, Originals, complaint, partial_file
from ttscli.download.records import ORIGIN, KnownFiles, Record, read_records, write_records
from ttscli.errors import UsageError, VoiceError
from ttscli.events import FileConverting, OnEvent, VoiceReady, ignore
from ttscli.files import atomic_file, check_space, output_errors, sha256_of
from ttscli.registry import ROLES, Offer, Source


@dataclass(frozen=True)
class Downloader:
    """Puts voices into a folder."""

    folder: Path = field(default_factory=registry.voices_folder)
    """Where the voices lie, each in a folder of its own."""
    mirror: str | None = None
    """Url or folder that has the files, instead of the published addresses."""
    offline: bool = False
    """Whether the network must not be used."""
    force: bool = False
    """Whether voices that are here are made again."""
    keep: bool = False
    """Whether the checkpoints are kept beside what is made of them."""
    patience: Patience = field(default_factory=Patience)
    """How long to wait for servers and for other runs."""
    on_event: OnEvent = ignore
    """Takes what happens, see `ttscli.events`."""

    def download(self, name: str) -> Path:
        """Download a voice that is on offer, unless it is here; its folder.

        Raises:
            TemporaryError: the network or a server does not deliver now; what has come is kept.
            VoiceError: there is no such voice, or what has come is not it.
            OutputError: it cannot be written.
            LockedError: another run holds the folder and does not get on.
        """
        offer = registry.find_offer(name)
        if offer is None:
            return self._not_on_offer(name)
        voices.check_settings(offer.settings, f"the voice {name}")

        def originals() -> list[Original]:
            begun = [partial_file(self.folder, source) for source in offer.sources]
            here = sum(part.stat().st_size for part in begun if part.exists())
            # In the end the checkpoints and what is made of them lie side by side.
            check_space(self.folder, max(0, 2 * offer.expected_size - here))
            return [self._originals.get(name, source) for source in offer.sources]

        with self._lock():
            if not self.force and is_whole(self.folder / name):
                return self._ready(self.folder / name, was_here=True)
            return self._install(name, offer, originals)

    def import_files(self, name: str, files: Sequence[Path]) -> Path:
        """Make a voice of checkpoints of any known format, whatever their names; its folder.

        Raises:
            VoiceError: a file is no checkpoint, is refused, or is not the voice of that name.
            UsageError: there is a voice of that name, and `force` is off.
            OutputError: it cannot be written.
            LockedError: another run holds the folder and does not get on.
        """
        registry.check_name(name)
        if any((path / voices.MANIFEST).exists() for path in voices.built_in(name)):
            raise UsageError(f"{name!r} is a built-in voice", todo="take another name")
        offer = registry.find_offer(name)
        with self._lock():
            if not self.force and find_here(self.folder, name):
                raise UsageError(f"there is a voice {name!r}", todo="take another name, or --force")
            return self._install(
                name, offer, lambda: [self._originals.at_hand(name, path) for path in files]
            )

    @property
    def _originals(self) -> Originals:
        return Originals(self.folder, self.mirror, self.offline, self.patience, self.on_event)

    def _lock(self) -> AbstractContextManager[None]:
        return hold(self.folder, f"{PARTIAL}/lock", self.on_event, self.patience.longest_idle_s)

    def _not_on_offer(self, name: str) -> Path:
        """A voice that came with the program or was imported is here; any other is unknown."""
        if path := find_here(self.folder, name):
            return self._ready(path, was_here=True)
        offers = ", ".join(n for n, o in registry.read_registry().items() if o.problem is None)
        raise VoiceError(f"there is no voice {name!r:.80} to download", todo=f"there are: {offers}")

    def _install(self, name: str, offer: Offer | None, get: Callable[[], list[Original]]) -> Path:
        """Make a voice of the checkpoints that `get` gets; nothing changes before all are good."""
        aside = self.folder / PARTIAL / name
        shutil.rmtree(aside, ignore_errors=True)  # of a run that was killed
        try:
            with output_errors(str(aside)):
                aside.mkdir(parents=True)
            originals = get()
            check_space(aside, sum(original.path.stat().st_size for original in originals))
            records: dict[str, Record] = {}
            for original in originals:
                role, record = self._convert(aside, offer, original)
                if role in records:
                    what = f"there are two checkpoints of a {role}"
                    raise VoiceError(what, where=original.origin)
                if self.keep:
                    kept = _name_beside(original.name, role, records.values())
                    record = replace(record, kept=kept)
                records[role] = record
            if missing := [role for role in ROLES if role not in records]:
                what = f"there is no checkpoint of a {missing[0]} among the files"
                raise VoiceError(what, todo="name both after --from")
            self._put_in_place(name, offer, originals, records)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return self._ready(self.folder / name, was_here=False)

    def _convert(self, aside: Path, offer: Offer | None, original: Original) -> tuple[str, Record]:
        """Write a checkpoint as safetensors, if it is whole, harmless and what it should be."""
        from ttscli.checkpoints import save_safetensors
        from ttscli.checkpoints.models import load_model

        self.on_event(FileConverting(original.file))
        try:
            kind, model = load_model(original.path)
            role = "tacotron2" if kind == "tacotron2" else "waveglow"
            if offer is not None:
                source = next(source for source in offer.sources if source.role == role)
                original = self._matched(offer, source, original, kind, model.config)
        except VoiceError as error:
            original.discard()
            raise VoiceError(error.what, where=original.origin, todo=error.todo) from error
        target = aside / f"{role}.safetensors"
        save_safetensors(target, model, kind)
        return role, Record(
            target.name, target.stat().st_size, sha256_of(target), original.origin,
            original.path.stat().st_size, original.sha256, original.compared,
        )  # fmt: skip

    def _matched(
        self, offer: Offer, source: Source, original: Original, kind: str, config: object
    ) -> Original:
        """The original, once its model is known to be the one that the registry describes."""
        from ttscli.checkpoints import layouts

        if original.source not in (None, source):
            raise VoiceError(f"this is a {kind}, not a {original.source.role}")
        if source.sizes is not None:
            layouts.check_sizes(kind, config, source.sizes)
        if original.source is None:
            known = KnownFiles(self.folder).get(source.url)
            size = original.path.stat().st_size
            if wrong := complaint(source, size, original.sha256, known):
                todo = f"if you trust it, import it under another name than {offer.name}"
                raise VoiceError(wrong, todo=todo)
            compared = "published" if source.sha256 else "recorded" if known else "none"
            return replace(original, compared=compared)
        return original

    def _put_in_place(
        self,
        name: str,
        offer: Offer | None,
        originals: Sequence[Original],
        records: dict[str, Record],
    ) -> None:
        """Rename what lies aside; the voice.json, which makes a folder a voice, comes last."""
        folder = self.folder / name
        with output_errors(str(folder)):
            folder.mkdir(exist_ok=True)
            for record in records.values():
                (self.folder / PARTIAL / name / record.file).replace(folder / record.file)
        write_records(folder, list(records.values()))
        known = KnownFiles(self.folder)
        for original, record in zip(originals, records.values(), strict=True):
            if original.compared == "first" and original.source is not None:
                known.put(original.source.url, original.sha256)
            if record.kept:
                original.keep(folder / record.kept)
        settings = dict(offer.settings) if offer else {"description": "imported checkpoints"}
        files = {role: record.file for role, record in records.items()}
        manifest = json.dumps({"name": name, **settings, **files}, indent=2, ensure_ascii=False)
        path = str(folder / voices.MANIFEST)
        with atomic_file(path) as file, output_errors(path):
            file.write(manifest.encode() + b"\n")
        for original in originals:
            original.discard()

    def _ready(self, path: Path, *, was_here: bool) -> Path:
        is_usual = path.parent == registry.voices_folder() or voices.is_built_in(path)
        speak_as = path.name if is_usual else str(path)
        self.on_event(VoiceReady(path.name, str(path), was_here, speak_as))
        return path


def _name_beside(name: str, role: str, others: Iterable[Record]) -> str:
    """What a kept checkpoint is called: as it was, unless another file of the voice is."""
    taken = {voices.MANIFEST, ORIGIN, *(f"{each}.safetensors" for each in ROLES)}
    taken.update(other.kept.casefold() for other in others)
    while name.casefold() in taken:
        name = f"{role}-{name}"
    return name


def find_here(folder: Path, name: str) -> Path | None:
    """The folder of a voice that is here: in a folder of voices, or built in."""
    places = (folder / name, *voices.built_in(name)) if Path(name).name == name else ()
    return next((path for path in places if (path / voices.MANIFEST).is_file()), None)


def is_whole(folder: Path) -> bool:
    """Whether a voice is here, its files of the sizes that are written down."""
    with suppress(VoiceError, OSError):
        voices.read_voice(folder)
        records = read_records(folder)
        return all((folder / record.file).stat().st_size == record.size for record in records)
    return False
