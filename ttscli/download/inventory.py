"""What voices there are, and whether the files of those that are here are still what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ttscli import registry, voices
from ttscli.counts import counted
from ttscli.download.install import find_here, is_whole
from ttscli.download.originals import partial_file
from ttscli.download.records import Record, read_records
from ttscli.errors import VoiceError
from ttscli.events import VoiceListed, VoiceVerified
from ttscli.files import sha256_of
from ttscli.registry import Offer
from ttscli.voices import Voice


def list_voices(folder: Path) -> list[VoiceListed]:
    """The built-in voices, those in a folder, and those that can be downloaded into it."""
    offers = registry.read_registry()
    names = dict.fromkeys([*voices.list_voices(folder), *offers])
    return [_listed(folder, name, offers.get(name)) for name in names]


def _listed(folder: Path, name: str, offer: Offer | None) -> VoiceListed:
    path = find_here(folder, name)
    if path is None:
        assert offer is not None
        if offer.problem is not None:
            return VoiceListed(name, "wrong entry", 0, "", str(offer.problem), "")
        begun = any(partial_file(folder, source).exists() for source in offer.sources)
        licence, description = (offer.settings.get(f, "") for f in ("licence", "description"))
        state = "partly here" if begun else "not here"
        return VoiceListed(name, state, offer.expected_size, str(licence), str(description), "")
    size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    try:
        voice = voices.read_voice(path)
    except VoiceError:
        return VoiceListed(name, "damaged", size, "", "", str(path))
    state = "built in" if voices.is_built_in(path) else "here" if is_whole(path) else "damaged"
    return VoiceListed(name, state, size, voice.licence, voice.description, str(path))


def verify(folder: Path, names: list[str]) -> Iterator[VoiceVerified]:
    """Read the files of voices through; of all that are here if none are named."""
    for name in names or voices.list_voices(folder):
        path = find_here(folder, name)
        if path is None:
            todo = f"ttscli download {name}" if name in registry.read_registry() else ""
            what = "it is not here"
            yield VoiceVerified(name, "", "nothing", (what,), todo)
            continue
        records = read_records(path)
        problems = [*_changed(path, records), *_unreadable(path, bool(records))]
        compared = "recorded checksums" if records else "the model's layout"
        todo = _how_to_mend(name, path) if problems else ""
        yield VoiceVerified(name, str(path), compared, tuple(problems), todo)


def _changed(path: Path, records: list[Record]) -> Iterator[str]:
    """Files that are not what they were when the voice was made."""
    for record in records:
        files = [(record.file, record.size, record.sha256)]
        if record.kept:
            files.append((record.kept, record.origin_size, record.origin_sha256))
        for name, size, sha256 in files:
            file = path / name
            if not file.is_file():
                yield f"{file}: it is missing"
            elif file.stat().st_size != size:
                yield f"{file}: it has {counted(file.stat().st_size, 'byte')} instead of {size}"
            elif sha256_of(file) != sha256:
                yield f"{file}: its content has changed"


def _unreadable(path: Path, has_records: bool) -> Iterator[str]:
    """What cannot be read; weights only where no checksum says that they are whole."""
    try:
        voice = voices.read_voice(path)
    except VoiceError as error:
        yield f"{error.where}: {error.what}"
        return
    for read in _reads(voice, weights=not has_records):
        try:
            read()
        except VoiceError as error:
            yield f"{error.where}: {error.what}"


def _reads(voice: Voice, *, weights: bool) -> Iterator[Callable[[], object]]:
    """What reads each of a voice's files, as speaking does, or says why it cannot be read."""
    from ttscli.checkpoints.arrays import read_tacotron2, read_waveglow
    from ttscli.vocoders import stored_bias

    if weights:
        yield partial(read_tacotron2, voice.tacotron2)
        yield partial(read_waveglow, voice.waveglow)
    if voice.lexicon is not None:
        yield partial(_check_lexicon, voice.lexicon)
    if voice.denoiser is not None:
        yield partial(stored_bias, voice)


def _check_lexicon(path: Path) -> None:
    """Refuse a table in which words cannot be found: it must be sorted lines of word and phones."""
    from ttscli.text.lexicon import Lexicon

    Lexicon.open(path)
    before = b""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        word, tab, phones = line.partition(b"\t")
        if not (word and tab and phones.strip()):
            raise VoiceError("this line is not a word, a tab and phones", where=f"{path}:{number}")
        if word <= before:
            raise VoiceError("its words are not sorted", where=f"{path}:{number}")
        before = word


def _how_to_mend(name: str, path: Path) -> str:
    if voices.is_built_in(path):
        return "install ttscli again"
    if name in registry.read_registry():
        return f"ttscli download {name} --force"
    return f"ttscli download {name} --force --from FILE..."
