"""The command `download`: voices from the network or from files; what is here, and whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperCommand

from ttscli.console_download import make_download_reporter
from ttscli.counts import counted
from ttscli.errors import UsageError, VoiceError
from ttscli.options import Json, Offline, Quiet, Verbose, option

_WHAT, _HOW = "Instead of downloading", "Options"

Voices: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="VOICE", help="Names of voices; --list shows them.", show_default=False),
]
List: TypeAlias = Annotated[
    bool, option("--list", None, "Show what there is, and what is here.", _WHAT)
]
Verify: TypeAlias = Annotated[
    bool, option("--verify", None, "Read voices through: those named, or all.", _WHAT)
]
Files: TypeAlias = Annotated[
    list[Path] | None,
    option(
        "--from",
        "FILE...",
        "Make VOICE of checkpoints at hand, a Tacotron 2 and a WaveGlow.",
        _WHAT,
        show_default=False,
    ),
]
Folder: TypeAlias = Annotated[
    Path | None,
    option(
        "--dir",
        "DIR",
        "Where the voices lie.",
        _HOW,
        show_default="$TTSCLI_HOME/voices, else in the user's data folder",
    ),
]
Mirror: TypeAlias = Annotated[
    str | None,
    option(
        "--mirror",
        "URL|DIR",
        "Who else has the files, under the same names.",
        _HOW,
        envvar="TTSCLI_MIRROR",
    ),
]
Force: TypeAlias = Annotated[
    bool, option("--force", None, "Make a voice again that is here.", _HOW)
]
Keep: TypeAlias = Annotated[
    bool, option("--keep", None, "Keep the checkpoints beside what is made of them.", _HOW)
]


class FilesAfterFrom(TyperCommand):
    """A command whose `--from` takes all words up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat `--from` in front of each of its words, which is how Typer wants it."""
        words: list[str] = []
        files = 0  # after the last --from; before the first, nothing counts them
        is_from = False
        for word in [*args, "--"]:
            is_option = word.startswith("-") and word != "-"
            if is_option and is_from and not files:
                words.append("--from")  # which complains that it has no file
            if word == "--from":
                is_from, files = True, 0
            elif is_from and not is_option:
                words += ["--from", word]
                files += 1
            else:
                is_from = False
                words.append(word)
        return super().parse_args(ctx, words[:-1])


def download(
    voices: Voices = None,
    list_: List = False,
    verify: Verify = False,
    files: Files = None,
    folder: Folder = None,
    mirror: Mirror = None,
    offline: Offline = False,
    force: Force = False,
    keep: Keep = False,
    quiet: Quiet = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Download voices, or make one of your own checkpoints.

    A download that was interrupted goes on where it was. The folder of each finished voice is
    printed.
    """
    names = voices or []
    _check_usage(names, files or [], list_, verify)

    from ttscli import download as library
    from ttscli.registry import voices_folder

    place = folder.expanduser().absolute() if folder else voices_folder()
    with make_download_reporter(quiet, json, verbose) as report:
        if list_:
            for listed in library.list_voices(place):
                report(listed)
            return
        if verify:
            broken = []
            for verified in library.verify(place, names):
                report(verified)
                broken += [verified] if verified.problems else []
            _complain(broken)
            return
        downloader = library.Downloader(place, mirror, offline, force, keep, on_event=report)
        if files:
            downloader.import_files(names[0], files)
        else:
            for name in names:
                downloader.download(name)


def _check_usage(names: list[str], files: list[Path], list_: bool, verify: bool) -> None:
    if sum((list_, verify, bool(files))) > 1:
        raise UsageError("--list, --verify and --from exclude one another", todo="take one")
    if files and len(names) != 1:
        todo = "try: ttscli download my-voice --from tacotron2.pt waveglow.pt"
        raise UsageError("--from makes one voice, which needs one name before it", todo=todo)
    if list_ and names:
        raise UsageError("--list shows all voices and takes no names")
    if not (names or list_ or verify):
        todo = "ttscli download --list shows what there is"
        raise UsageError("there is no voice named", todo=todo)


def _complain(broken: list[Any]) -> None:
    """Name what is broken in the one line that an error has."""
    if broken:
        problems = [f"{voice.voice}: {problem}" for voice in broken for problem in voice.problems]
        more = f" and {counted(len(problems) - 1, 'more problem')}" if len(problems) > 1 else ""
        mend = ", ".join(voice.todo for voice in broken if voice.todo)
        raise VoiceError(f"{problems[0]}{more}", todo=f"to mend it: {mend}" if mend else "")
