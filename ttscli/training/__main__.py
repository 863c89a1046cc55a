"""Makes the built-in voice and measures it: `python -m ttscli.training voice | quality`."""

from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from ttscli.core.configs import MelConfig
from ttscli.synthesizer import Synthesizer
from ttscli.training import corpus, lexicon, package, quality, tacotron2, teacher, texts, vocoder

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
console = Console()

Work = Annotated[Path, typer.Option("--work", help="Folder for speech, states and logs.")]
VoiceFolder = Annotated[Path, typer.Option("--out", help="Folder of the finished voice.")]
_EVALUATION = Path(__file__).with_name("evaluation.txt")
_VOCODER_SHARDS = 6  # two hours: more speech does not help a vocoder this small


@app.command()
def voice(
    text_list: Annotated[Path, typer.Argument(help="Text for the teacher, a line a sentence.")],
    work: Work = Path("work"),
    out: VoiceFolder = Path("checkpoints/small"),
    words: Annotated[
        list[Path], typer.Option("--words", help="Word list for the lexicon, a word a line.")
    ] = [],  # noqa: B006  # Typer reads it as the default and never changes it
    shards: Annotated[int, typer.Option(help="Shards of speech, 21 minutes each; 0 = all.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps of Tacotron 2.")] = 8000,
    vocoder_steps: Annotated[int, typer.Option(help="Steps of the vocoder.")] = 8000,
    device: Annotated[str, typer.Option(help="Where to train: cpu or cuda.")] = "cpu",
    sigma: Annotated[float, typer.Option(help="Noise of the finished vocoder.")] = 0.65,
) -> None:
    """Make the voice; stopped at any moment, the same command goes on where it was."""
    speech, program = work / "corpus", _teacher(work)
    speech.mkdir(parents=True, exist_ok=True)
    _refuse_other_text(work / "texts.sha256", text_list)
    lines = texts.read_lines(text_list)
    planned = corpus.shards_of(texts.utterances(lines))
    names = list(planned)[: shards or None]
    with ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,)) as pool:
        missing = [name for name in names if not (speech / f"{name}.jsonl").exists()]
        console.print(f"speech: {len(missing)} of {len(names)} shards to make")
        made = [pool.submit(corpus.write_shard, speech, n, planned[n], program) for n in missing]
        for shard in made:
            shard.result()
        voiced = [n for n in names[:_VOCODER_SHARDS] if not (speech / f"{n}.pitch.npz").exists()]
        console.print(f"pitch: {len(voiced)} shards to analyse")
        list(pool.map(vocoder.analyse_shard, [speech] * len(voiced), voiced))
    console.print(f"Tacotron 2: {steps} steps (log in {work / 'tacotron2'})")
    acoustic = tacotron2.Trainer(
        speech, _folder(work / "tacotron2"), tacotron2.Recipe(steps=steps), device
    ).train()
    console.print(f"vocoder: {vocoder_steps} steps (log in {work / 'vocoder'})")
    flow = vocoder.Trainer(
        speech, _folder(work / "vocoder"), vocoder.Recipe(steps=vocoder_steps), device
    ).train()
    table = work / "lexicon.tsv"
    known = lexicon.pronounce(program, lexicon.words_of(lines, words), work)
    said = corpus.Corpus(speech)
    lexicon.write(table, lexicon.as_in_speech(known, said))
    facts = package.Facts(
        hours=sum(record.samples for record in said.records) / MelConfig().sample_rate / 3600,
        utterances=len(said),
        tacotron2_steps=steps,
        vocoder_steps=vocoder_steps,
        words=len(known),
    )
    package.write_voice(out, acoustic.cpu(), flow.cpu(), table, sigma)
    package.write_card(out, facts, acoustic, flow)
    console.print(f"the voice is in {out}")


@app.command("quality")
def quality_report(
    text_list: Annotated[Path, typer.Argument(help="Unseen sentences, one a line.")] = _EVALUATION,
    work: Work = Path("work"),
    voice_folder: Annotated[str, typer.Option("--voice", help="Which voice.")] = "small",
    pictures: Annotated[int, typer.Option(help="How many sentences to draw and keep.")] = 4,
    count: Annotated[int, typer.Option(help="How many sentences to measure; 0 = all.")] = 0,
) -> None:
    """Measure a voice: error rates of an offline listener, and failures of the attention."""
    sentences = [line for line in text_list.read_text("utf-8").split("\n") if line.strip()]
    sentences = sentences[: count or None]
    tts = Synthesizer.from_voice(voice_folder, device="cpu")
    scores, spoken = quality.measure(tts, sentences, _folder(work))
    table = Table(title=f"{voice_folder} on {len(sentences)} sentences of {text_list.name}")
    for heading in ("", "WER", "CER", "× teacher", "seconds", "clipped"):
        table.add_column(heading, justify="left" if not heading else "right")
    for row in scores:
        ratio = row.word_errors / max(scores[0].word_errors, 1e-9)
        numbers = (f"{row.word_errors:.3f}", f"{row.character_errors:.3f}", f"{ratio:.2f}")
        table.add_row(row.name, *numbers, f"{row.seconds:.0f}", str(row.clipped))
    console.print(table)
    failed = [sentence for sentence in spoken if sentence.problems]
    console.print(f"attention failures: {len(failed)} of {len(spoken)}")
    for sentence in failed:
        console.print(f"  {', '.join(sentence.problems)}: {sentence.text}", highlight=False)
    for i, sentence in enumerate(spoken[:pictures]):
        quality.picture(sentence, work / f"quality_{i}.png")
        audio = quality.joined(piece.samples for piece in sentence.pieces)
        quality.save_audio(work / f"quality_{i}.wav", audio)


def _refuse_other_text(marker: Path, text_list: Path) -> None:
    """Remember the text that the work folder's speech is of; refuse another."""
    digest = hashlib.sha256(text_list.read_bytes()).hexdigest()
    if marker.exists() and marker.read_text() != digest:
        raise typer.BadParameter(f"{marker.parent} holds the speech of another text; use --work")
    marker.write_text(digest)


def _teacher(work: Path) -> Path:
    return teacher.build(_folder(work))


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    app()
