"""Playing: speech to whatever audio player this machine has, sentence by sentence."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from ttscli.audio import Audio, Samples, stream_audio
from ttscli.errors import ClosedPipeError, OutputError

PLAYERS = {
    "aplay": "aplay -q -",
    "pacat": "pacat --raw --format=s16le --channels=1 --rate={rate}",
    "ffplay": "ffplay -nodisp -autoexit -loglevel error -",
    "play": "play -q -t wav -",
    "mpv": "mpv --really-quiet --no-terminal -",
    "afplay": "afplay",
}
"""Commands that play WAV from their standard input, or bare samples; the last plays files alone."""

INSTEAD = "write a file with -o, or pipe -o - into a player"


@dataclass(frozen=True)
class Player:
    """A program that plays audio."""

    name: str
    """Its own."""
    command: list[str]
    """It and its arguments."""
    raw: bool
    """Whether it takes samples without a header."""
    files: bool
    """Whether it can only play files."""


class Playing(Protocol):
    """What takes speech to be heard."""

    def write(self, samples: Samples) -> None:
        """Play (S,) samples behind those before."""


def find_player(sample_rate: int) -> Player:
    """The first player that is installed."""
    for name, line in PLAYERS.items():
        program = shutil.which(name)
        if program:
            arguments = line.format(rate=sample_rate).split()[1:]
            return Player(name, [program, *arguments], "--raw" in arguments, not arguments)
    todo = f"install one of {' '.join(PLAYERS)}, or {INSTEAD}"
    raise OutputError("there is no audio player", where="--play", todo=todo)


@contextmanager
def open_player(sample_rate: int, todo: str) -> Iterator[Playing]:
    """A player that begins with the first samples; the block ends when all has been heard.

    Args:
        sample_rate: of the samples to come.
        todo: what to do if it fails, whether at a write or at the end, which says so too.
    """
    player = find_player(sample_rate)
    with (_FilePlayer if player.files else _piped)(player, sample_rate, todo) as out:
        yield out


@contextmanager
def _piped(player: Player, sample_rate: int, todo: str) -> Iterator[Playing]:
    """A player that listens on a pipe, which makes speaking wait for it."""
    with tempfile.TemporaryFile() as errors:  # a pipe that nobody reads might fill
        process = subprocess.Popen(
            player.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors
        )
        assert process.stdin is not None
        try:
            with stream_audio(process.stdin, player.name, sample_rate, raw=player.raw) as writer:
                yield writer
            process.stdin.close()
            process.wait()
        except (ClosedPipeError, BrokenPipeError) as error:
            process.wait()
            raise _failure(player, process, errors, todo) from error
        finally:
            _stop(process)
        if process.returncode:
            raise _failure(player, process, errors, todo)


class _FilePlayer:
    """Plays each piece from a file, while the next is being spoken."""

    def __init__(self, player: Player, sample_rate: int, todo: str) -> None:
        self._player, self._sample_rate, self._todo = player, sample_rate, todo
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _FilePlayer:
        self._folder = tempfile.TemporaryDirectory(prefix="ttscli-")
        self._errors = tempfile.TemporaryFile()
        self._count = 0
        return self

    def write(self, samples: Samples) -> None:
        """Play (S,) samples behind those before."""
        path = Path(self._folder.name) / f"{self._count % 2}.wav"  # the other one is being played
        self._count += 1
        path.write_bytes(Audio(samples, self._sample_rate).wav())
        self._wait()
        command = [*self._player.command, str(path)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors
        )

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self._wait()
        finally:
            if self._process is not None:
                _stop(self._process)
            self._errors.close()
            self._folder.cleanup()

    def _wait(self) -> None:
        if self._process is not None and self._process.wait():
            raise _failure(self._player, self._process, self._errors, self._todo)


def _failure(
    player: Player, process: subprocess.Popen[bytes], errors: IO[bytes], todo: str
) -> OutputError:
    """What a player said last before it gave up."""
    errors.seek(0)
    said = errors.read().decode(errors="replace").strip().splitlines()
    what = said[-1].strip() if said else f"it ended with code {process.returncode}"
    return OutputError(what, where=player.name, todo=todo)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Leave no player behind."""
    if process.poll() is None:
        process.terminate()
        process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
