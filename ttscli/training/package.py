"""Puts a trained voice into the folder that users get: weights, lexicon, voice.json, model card."""

from __future__ import annotations

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
