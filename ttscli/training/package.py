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


@dataclass(frozen=True)
class Facts:
    """What the model card says of how the voice was made."""

    hours: float
    """Hours of distinct speech that were trained on."""
    utterances: int
    """How many pieces it was cut into."""
    tacotron2_steps: int
    """Optimizer steps of Tacotron 2."""
    vocoder_steps: int
    """Optimizer steps of the vocoder."""
    words: int
    """Words in the lexicon."""


_CARD = """# The voice `{name}`

A small English voice for ttscli: a Tacotron 2 with {tacotron2_m:.1f} million parameters that makes
two frames a step, and a WaveGlow over a lapped transform with {vocoder_m:.1f} million.

It is a copy of a synthetic teacher, not of a person: it was trained from nothing on the speech of
flite's voice `slt`, and can sound no better than that. flite and its voices are copyright Carnegie
Mellon University and others, under a licence that permits use, modification and distribution with
notice. The weights are under ttscli's own licence (MIT).

| | |
|---|---|
| speech | {hours:.1f} hours in {utterances} pieces, 16 kHz, made by the teacher from a text list |
| Tacotron 2 | {tacotron2_steps} steps, phones and letters mixed |
| vocoder | {vocoder_steps} steps |
| lexicon | {words} words, as the teacher's front end pronounces them |

Made by `make voice`; measured by `make quality`. English only; numbers and abbreviations as
`english_cleaners` writes them out. Words that are not in the lexicon are read from their letters,
less surely than the others.
"""


def write_card(folder: Path, facts: Facts, tacotron2: Tacotron2, vocoder: HarmonicWaveGlow) -> None:
    """Write the model card."""
    sizes = [sum(p.numel() for p in model.parameters()) / 1e6 for model in (tacotron2, vocoder)]
    card = _CARD.format(
        name=folder.name, tacotron2_m=sizes[0], vocoder_m=sizes[1], **dataclasses.asdict(facts)
    )
    (folder / "README.md").write_text(card, "utf-8")


def write_voice(
    folder: Path,
    tacotron2: Tacotron2,
    vocoder: HarmonicWaveGlow,
    lexicon: Path,
    sigma: float,
) -> None:
    """Write a voice folder; half precision suffices for its weights.

    Args:
        folder: where to; its name is the voice's.
        tacotron2: the averaged model.
        vocoder: the averaged model.
        lexicon: from `ttscli.training.lexicon.write`.
        sigma: standard deviation of the vocoder's noise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_safetensors(folder / "tacotron2.safetensors", tacotron2, "tacotron2", half=True)
    save_safetensors(folder / "waveglow.safetensors", vocoder, "harmonic-waveglow", half=True)
    shutil.copyfile(lexicon, folder / "lexicon.tsv")
    voice = {
        "name": folder.name,
        "description": "The built-in voice: small, fast, English, trained on a synthetic teacher",
        "licence": "see README.md beside this file",
        "sample_rate": vocoder.config.sample_rate,
        "tacotron2": "tacotron2.safetensors",
        "waveglow": "waveglow.safetensors",
        "lexicon": "lexicon.tsv",
        "cleaners": ["english_cleaners"],
        "final_stop": True,
        "sigma": sigma,
        "denoise": 0,
    }
    (folder / "voice.json").write_text(json.dumps(voice, indent=2) + "\n", "utf-8")
