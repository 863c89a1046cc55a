"""Speed of the built-in voice on this machine: medians of several runs, ratios in the same run."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from ttscli import Synthesizer
from ttscli.checkpoints import load_tacotron2
from ttscli.engines import TorchEngine
from ttscli.vocoders import load_vocoder
from ttscli.voices import find_voice

TEXT = (
    "The library opens at nine and closes at six. A cold wind came down from the mountains "
    "during the night. Nobody expected the old bridge to last another year. He forgot his "
    "umbrella, so he waited under a tree. The museum keeps its oldest maps in a dark, dry room. "
    "In the end, the committee agreed to pay for the repairs."
)
RUNS = 7


def cpu_seconds(command: list[str]) -> float:
    """CPU seconds, user and system, of a whole process."""
    before = os.times()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    return (
        after.children_user - before.children_user + after.children_system - before.children_system
    )


def interleaved(commands: dict[str, list[str]]) -> dict[str, float]:
    """Median CPU seconds of each command, run in turn so that drift touches all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            seconds[name].append(cpu_seconds(command))
    return {name: statistics.median(values) for name, values in seconds.items()}


def wall_seconds(work: Callable[[], object]) -> float:
    """Median wall seconds of a call, after one that is not counted."""
    work()
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def engines() -> dict[str, Synthesizer]:
    """The built-in voice as a CPU runs it, and as the same models run in torch."""
    tts = Synthesizer.from_voice("small", device="cpu")
    voice = find_voice("small")
    vocoder = load_vocoder("waveglow", voice, 80, "cpu")
    in_torch = TorchEngine(load_tacotron2(voice.tacotron2), vocoder, "cpu")
    return {
        "NumPy": tts,
        "torch": Synthesizer(in_torch, tts.frontend),
        "torch, Griffin-Lim": Synthesizer.from_voice("small", device="cpu", vocoder="griffin-lim"),
    }


def main() -> None:
    """Print the table, and with `--json` the numbers as JSON instead."""
    program = str(Path(sys.executable).with_name("ttscli"))
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder) / "speech.wav")
        starts = interleaved(
            {
                "import torch": [sys.executable, "-c", "import torch"],
                "ttscli --help": [program, "--help"],
                "ttscli synth": [program, "synth", "Hello world.", "-o", target],
            }
        )
    rates = {
        name: tts(TEXT).duration / wall_seconds(lambda speak=tts: speak(TEXT))  # type: ignore[misc]
        for name, tts in engines().items()
    }
    numbers = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "cpu_s": starts,
        "help_to_import_torch": starts["ttscli --help"] / starts["import torch"],
        "synth_to_import_torch": starts["ttscli synth"] / starts["import torch"],
        "speech_s_per_s": rates,
    }
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps(numbers) + "\n")
        return
    table = Table(title=f"{numbers['machine']}, torch {torch.__version__}, medians of {RUNS}")
    table.add_column("what")
    table.add_column("measured", justify="right")
    for name, value in starts.items():
        table.add_row(f"{name}, CPU seconds", f"{value:.2f}")
    for name in ("help", "synth"):
        table.add_row(f"{name} / import torch", f"{numbers[f'{name}_to_import_torch']:.2f} ×")
    for name, rate in rates.items():
        table.add_row(f"small, {name}: seconds of speech per second", f"{rate:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
