"""Measures `--speed`: lengths, pitch, and what an offline listener understands, per tempo."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ttscli import Speech, Synthesizer
from ttscli.training.pitch import track_f0
from ttscli.training.quality import score

SPEEDS = (1.0, 0.5, 0.7, 0.85, 1.25, 1.5, 2.0)
SENTENCES = 24
HOP = 256


def median_f0(speech: Speech) -> float:
    """Of the voiced frames, Hz, by Praat."""
    track = track_f0(speech.samples.astype(np.float64), speech.sample_rate, HOP)
    assert track is not None, "there is voice in speech"
    f0, voiced = track
    return float(np.median(f0[voiced]))


def main() -> None:
    """Print the table; the argument is a file with a sentence a line."""
    texts = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()[:SENTENCES]
    table = Table("speed", title=f"--speed on {SENTENCES} held-out sentences")
    for name in ("length × speed", "F0: median, largest change", "words wrong", "characters wrong"):
        table.add_column(name, justify="right")
    plain_length, plain_f0 = 0, np.zeros(0)
    for speed in SPEEDS:
        tts = Synthesizer.from_voice("small", device="cpu", speed=speed, pause=0)
        speeches = [tts(text) for text in texts]
        length, f0 = sum(len(s.samples) for s in speeches), np.array([*map(median_f0, speeches)])
        if speed == 1:
            plain_length, plain_f0 = length, f0
        heard = score("", texts, [speech.samples for speech in speeches], 2)
        change = f0 / plain_f0 - 1
        table.add_row(
            f"{speed:g}",
            f"{length * speed / plain_length:.4f}",
            f"{np.median(change):+.2%}, {np.abs(change).max():.2%}",
            f"{heard.word_errors:.3f}",
            f"{heard.character_errors:.3f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
