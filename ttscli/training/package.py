"""Puts a trained voice into the folder that users get: weights, lexicon, voice.json, model card."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from ttscli.checkpoints import save_safetensors
from ttscli.core.harmonic_waveglow import HarmonicWaveGlow
from ttscli.core.tacotron2 import Tacotron2
from ttscli.download.records import Record, write_records
from ttscli.files import sha256_of


@dataclass(frozen=True)
class Facts:
    """What the model card says of how the voice was made."""

    source: str
    """Where its speech comes from."""
    credit: str
    """Whose speech it is, and under which terms it may be used."""
    start: str | None
    """The voice whose weights it went on from."""
    hours: float
    """Hours of distinct speech that were trained on."""
    utterances: int
    """How many pieces it was cut into."""
    offered: int
    """How many there were; the rest could not be aligned with their text."""
    tacotron2_steps: int
    """Optimizer steps of Tacotron 2."""
    vocoder_steps: int
    """Optimizer steps of the vocoder."""
    words: int
    """Words in the lexicon."""
    parameters: tuple[int, ...]
    """Of Tacotron 2 and of the vocoder."""


_CARD = """# The voice `{name}`

A small English voice for ttscli: a Tacotron 2 with {tacotron2_m:.1f} million parameters that makes
two frames a step, and a WaveGlow over a lapped transform with {vocoder_m:.1f} million.
It was trained {start}. {credit}

| | |
|---|---|
| speech | {hours:.1f} hours in {utterances} pieces, {source} |
| Tacotron 2 | {tacotron2_steps} steps, phones and letters mixed |
| vocoder | {vocoder_steps} steps, half on the mels that Tacotron 2 predicts |
| lexicon | {words} words |

{report}

Made by `make voice`; measured by `make quality`. English only. Words that are not in the lexicon
are read from their letters, less surely than the others.
"""


def write_card(folder: Path, facts: Facts, report: str) -> None:
    """Write the model card.

    Args:
        folder: the voice's; its name is the voice's.
        facts: of its making.
        report: of its quality, in Markdown.
    """
    sizes = [count / 1e6 for count in facts.parameters]
    start = f"from the weights of `{facts.start}` on" if facts.start else "from nothing"
    card = _CARD.format(
        name=folder.name,
        tacotron2_m=sizes[0],
        vocoder_m=sizes[1],
        report=report,
        **{**dataclasses.asdict(facts), "start": start},
    )
    (folder / "README.md").write_text(card, "utf-8")


def write_voice(
    folder: Path,
    tacotron2: Tacotron2,
    vocoder: HarmonicWaveGlow,
    lexicon: Path,
    sigma: float,
    mel_gain: int,
    description: str = "A small, fast English voice",
) -> None:
    """Write a voice folder; half precision suffices for its weights.

    Args:
        folder: where to; its name is the voice's.
        tacotron2: the averaged model.
        vocoder: the averaged model.
        lexicon: from `ttscli.training.lexicon.write`.
        sigma: standard deviation of the vocoder's noise.
        mel_gain: passes of the filter that brings the audio to its mel.
        description: a sentence about the voice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_safetensors(folder / "tacotron2.safetensors", tacotron2, "tacotron2", half=True)
    save_safetensors(folder / "waveglow.safetensors", vocoder, "harmonic-waveglow", half=True)
    shutil.copyfile(lexicon, folder / "lexicon.tsv")
    voice = {
        "name": folder.name,
        "description": description,
        "licence": "see README.md beside this file",
        "sample_rate": vocoder.config.sample_rate,
        "tacotron2": "tacotron2.safetensors",
        "waveglow": "waveglow.safetensors",
        "lexicon": "lexicon.tsv",
        "cleaners": ["english_cleaners"],
        "final_stop": True,
        "sigma": sigma,
        "denoise": 0,
        "mel_gain": mel_gain,
    }
    (folder / "voice.json").write_text(json.dumps(voice, indent=2) + "\n", "utf-8")
    record(folder)


def record(folder: Path) -> None:
    """Write down the checksums of a voice's files, for `ttscli download --verify`."""
    records = []
    for path in [*sorted(folder.glob("*.safetensors")), folder / "lexicon.tsv"]:
        size, sha256 = path.stat().st_size, sha256_of(path)
        records.append(Record(path.name, size, sha256, "ttscli.training", size, sha256, "none"))
    write_records(folder, records)
