"""Makes a voice and measures it: `python -m ttscli.training voice | quality`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from ttscli.errors import TTSError, UsageError
from ttscli.synthesizer import Synthesizer
from ttscli.training import package, quality, sources, teacher
from ttscli.training.making import OnProgress, Order, make_voice
from ttscli.voices import Voice, find_voice

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
console = Console()

Work = Annotated[Path, typer.Option("--work", help="Folder for speech, states and logs.")]
VoiceFolder = Annotated[Path, typer.Option("--out", help="Folder of the finished voice.")]
_EVALUATION = Path(__file__).with_name("evaluation.txt")


@app.command()
def voice(
    speech: Annotated[
        Path,
        typer.Argument(
            metavar="TEXTS|RECORDINGS",
            help="Text for the teacher, a line a sentence; or a folder in LJ Speech's layout.",
        ),
    ],
    work: Work = Path("work"),
    out: VoiceFolder = Path("checkpoints/small"),
    words: Annotated[
        list[Path], typer.Option("--words", help="Word list for the lexicon, a word a line.")
    ] = [],  # noqa: B006  # Typer reads it as the default and never changes it
    start: Annotated[
        str | None, typer.Option("--start", help="A voice whose weights it goes on from.")
    ] = None,
    shards: Annotated[int, typer.Option(help="Shards of 500 utterances; 0 is all.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps of Tacotron 2.")] = 12000,
    vocoder_steps: Annotated[int, typer.Option(help="Steps of the vocoder.")] = 12000,
    device: Annotated[str, typer.Option(help="Where to train: cpu or cuda.")] = "cpu",
    sigma: Annotated[float, typer.Option(help="Noise of the finished vocoder.")] = 0.85,
    mel_gain: Annotated[
        int, typer.Option(min=0, max=10, help="Passes of the mel-gain filter behind the vocoder.")
    ] = 2,
) -> None:
    """Make a voice; stopped at any moment, the same command goes on where it was."""
    with _errors():
        base = find_voice(start) if start else None
        if words and speech.is_dir():
            raise UsageError("--words is for a text list: recordings take the lexicon of --start")
        order = Order(_source(speech, tuple(words), base, work), out, base, shards)
        order = replace(
            order,
            tacotron2=replace(order.tacotron2, steps=steps),
            vocoder=replace(order.vocoder, steps=vocoder_steps),
            device=device,
            sigma=sigma,
            mel_gain=mel_gain,
        )
        with _progress() as on_progress:
            facts = make_voice(order, work, on_progress)
        left = facts.offered - facts.utterances
        note = f"; {left} left out: they do not fit their text" if left else ""
        console.print(f"trained on {facts.utterances} utterances, {facts.hours:.1f} hours{note}")
        report = _report(str(out), _lines(_EVALUATION), work, pictures=4, noises=1)
        package.write_card(out, facts, report)
        console.print(f"the voice is in {out}")


@app.command("quality")
def quality_report(
    text_list: Annotated[Path, typer.Argument(help="Unseen sentences, one a line.")] = _EVALUATION,
    work: Work = Path("work"),
    voice_name: Annotated[str, typer.Option("--voice", help="Which voice.")] = "small",
    pictures: Annotated[int, typer.Option(help="How many sentences to draw and keep.")] = 4,
    count: Annotated[int, typer.Option(help="How many sentences to measure; 0 = all.")] = 0,
    noises: Annotated[int, typer.Option(help="How often each is said, with other noise.")] = 3,
) -> None:
    """Measure a voice: an offline listener's errors, attention, pitch and sound beside flite's."""
    with _errors():
        _report(voice_name, _lines(text_list)[: count or None], work, pictures, noises)


def _report(name: str, sentences: list[str], work: Path, pictures: int, noises: int) -> str:
    """Measure a voice, print the tables and draw the pictures; the tables in Markdown."""
    work.mkdir(parents=True, exist_ok=True)
    tts = Synthesizer.from_voice(name, device="cpu")
    with console.status(f"speaking {len(sentences)} sentences and listening to them"):
        report = quality.measure(tts, sentences, work, noises=noises)
    tables = quality.tables(report)
    for rows in tables:
        table = Table(title=f"{name} on {len(sentences)} sentences")
        for heading in rows[0]:
            table.add_column(heading, justify="right" if table.columns else "left")
        for row in rows[1:]:
            table.add_row(*row)
        console.print(table)
    failed = [said for said in report.spoken if said.problems]
    failures = f"Attention failures: {len(failed)} of {len(report.spoken)}."
    console.print(failures)
    for said in failed:
        console.print(f"  {', '.join(said.problems)}: {said.text}", highlight=False)
    for i, said in enumerate(report.spoken[:pictures]):
        quality.picture(said, work / f"quality_{i}.png")
        audio = quality.joined(piece.samples for piece in said.pieces)
        quality.save_audio(work / f"quality_{i}.wav", audio)
    return "\n\n".join([*map(quality.markdown, tables), failures])


def _source(
    speech: Path, words: tuple[Path, ...], start: Voice | None, work: Path
) -> sources.Source:
    """The teacher for a text list, the recordings of a folder."""
    if not speech.is_dir():
        work.mkdir(parents=True, exist_ok=True)
        return sources.Teacher(teacher.build(work), speech, words)
    lexicon = (start or find_voice("small")).lexicon
    if lexicon is None:
        raise UsageError(f"the voice {start and start.name} has no lexicon to align recordings by")
    return sources.Recordings(speech, lexicon)


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").split("\n") if line.strip()]


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """A bar for each stage, as it begins."""
    columns = (
        TextColumn("{task.description:<15}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars: dict[str, int] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done)  # type: ignore[arg-type]  # a TaskID is one

        yield show


@contextmanager
def _errors() -> Iterator[None]:
    """What a user can mend is one line."""
    try:
        yield
    except TTSError as error:
        console.print(str(error), style="red", highlight=False)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    app()
