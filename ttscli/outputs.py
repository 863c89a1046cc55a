"""All that one speech becomes: audio, subtitles, a picture, sound; all take each piece."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttscli.errors import OutputError
from ttscli.events import OnEvent, ignore
from ttscli.resampling import check_sample_rate

if TYPE_CHECKING:
    from ttscli.audio import AudioWriter
    from ttscli.play import Playing
    from ttscli.plot import Picture
    from ttscli.speech import Speech
    from ttscli.subtitles import SubtitleWriter


@dataclass(frozen=True)
class Targets:
    """What is asked for."""

    audio: str | None
    """A file or a stream; None is none."""
    raw: bool = False
    """Whether the audio has no header."""
    sample_rate: int | None = None
    """Of the audio; None is the voice's."""
    subtitles: str | None = None
    """A file, whose ending names the format."""
    plot: str | None = None
    """A file for the picture."""
    play: bool = False
    """Whether it is to be heard."""


class Outputs:
    """Takes a speech piece by piece."""

    def __init__(self) -> None:
        self.audio: AudioWriter | None = None
        self.subtitles: SubtitleWriter | None = None
        self.picture: Picture | None = None
        self.player: Playing | None = None

    def write(self, speech: Speech) -> None:
        """Hand a piece to all outputs; it is heard last, when it is safe."""
        if self.audio:
            self.audio.write(speech.samples)
        if self.subtitles:
            self.subtitles.write(speech)
        if self.picture:
            self.picture.write(speech)
        if self.player:
            try:
                self.player.write(speech.samples)
            except OutputError:
                if not self.audio:
                    raise
                self.player = None  # which is told when it is left, behind the audio


@contextmanager
def open_outputs(
    targets: Targets, sample_rate: int, on_event: OnEvent = ignore
) -> Iterator[Outputs]:
    """Open all that is asked for, or say what cannot be before any work begins.

    Args:
        targets: what is asked for.
        sample_rate: of the speech to come.
        on_event: takes what `open_audio` and `open_picture` report.
    """
    outputs = Outputs()
    # The audio is opened before what else is written, so that its path is reported last; the player
    # before all, so that what is written is whole whatever becomes of it.
    with ExitStack() as stack:
        rate = check_sample_rate(targets.sample_rate or sample_rate)
        if targets.play:
            from ttscli.play import INSTEAD, open_player

            kept = "standard output" if targets.audio == "-" else targets.audio
            opened_player = open_player(sample_rate, f"{kept} is whole" if kept else INSTEAD)
            outputs.player = stack.enter_context(opened_player)
        if targets.audio is not None:
            from ttscli.audio import open_audio

            opened = open_audio(
                targets.audio, sample_rate, raw=targets.raw, to_rate=targets.sample_rate,
                on_event=on_event,
            )  # fmt: skip
            outputs.audio = stack.enter_context(opened)
            rate = outputs.audio.sample_rate
        if targets.subtitles is not None:
            from ttscli.subtitles import open_subtitles

            subtitles = open_subtitles(targets.subtitles, sample_rate, rate)
            outputs.subtitles = stack.enter_context(subtitles)
        if targets.plot is not None:
            from ttscli.plot import open_picture

            outputs.picture = stack.enter_context(open_picture(targets.plot, on_event))
        yield outputs
