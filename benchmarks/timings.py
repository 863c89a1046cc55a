"""Measures word times: those from the attention against those that the teacher knows of itself.

The voice and its teacher say a sentence at different tempos. Their lengths are aligned in two ways:
as a whole, by one factor a sentence, and locally, by dynamic time warping of their log-mels.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ttscli import Synthesizer
from ttscli.core.configs import MelConfig
from ttscli.text.cleaners import english_cleaners
from ttscli.training import teacher
from ttscli.training.corpus import to_record
from ttscli.training.quality import mels_of

Floats = NDArray[np.float64]


def warped(teachers: NDArray[np.float32], ours: NDArray[np.float32]) -> Floats:
    """For each frame of the teacher's log-mel (M, F), the frame of ours that sounds like it."""
    apart = np.sqrt(((teachers[:, :, None] - ours[:, None]) ** 2).sum(0)).tolist()
    rows, columns = teachers.shape[1], ours.shape[1]
    cost = [[float("inf")] * (columns + 1) for _ in range(rows + 1)]
    cost[0][0] = 0.0
    for i in range(1, rows + 1):
        row, above, own = cost[i], cost[i - 1], apart[i - 1]
        for j in range(1, columns + 1):
            row[j] = own[j - 1] + min(above[j - 1], above[j], row[j - 1])
    met: list[list[int]] = [[] for _ in range(rows)]
    i, j = rows, columns
    while i and j:
        met[i - 1].append(j - 1)
        ways = ((i - 1, j - 1), (i - 1, j), (i, j - 1))
        i, j = min(ways, key=lambda way: cost[way[0]][way[1]])
    return np.array([np.mean(frames) for frames in met])


def main() -> None:
    """Print the table; the argument is a file with a sentence a line."""
    config = MelConfig()
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    texts = [english_cleaners(line) for line in lines]
    tts = Synthesizer.from_voice("small", device="cpu")
    errors: dict[str, list[float]] = {"one factor": [], "warped": []}
    with tempfile.TemporaryDirectory() as name:
        utterances = teacher.speak(teacher.build(Path(name)), texts, Path(name))
    for utterance in utterances:
        record, audio = to_record(utterance, config, 0, 0)
        speech = tts(utterance.text)
        if len(speech.sentences) != 1:
            continue
        as_floats = audio.astype(np.float32) / np.float32(32768)
        path = warped(*mels_of([as_floats, speech.samples]))
        places = teacher.spans(utterance.text, utterance.tokens) or []
        factor = len(speech.samples) / len(audio)
        for word in speech.words:
            end = word.place + len(word.text)
            said = zip(places, record.units, strict=True)
            units = (u for (a, b), u in said if a < end and b > word.place)
            unit = next(units, None)
            if unit is not None:
                frame = unit.start * config.sample_rate / config.hop_length
                there = np.interp(frame, np.arange(len(path)), path) * config.hop_length
                errors["one factor"].append(word.start_s - unit.start * factor)
                errors["warped"].append(word.start_s - there / config.sample_rate)
    table = Table("lengths aligned", title=f"starts of words, {len(utterances)} sentences")
    for column in ("words", "median |error|", "90 % below", "median error"):
        table.add_column(column, justify="right")
    for name, values in errors.items():
        ms = 1000 * np.array(values)
        amounts = np.median(abs(ms)), np.percentile(abs(ms), 90), np.median(ms)
        table.add_row(name, str(len(ms)), *(f"{amount:.1f} ms" for amount in amounts))
    Console().print(table)


if __name__ == "__main__":
    main()
