"""Whole programs with the built-in voice: start, speed, first audio, memory; ratios in one run."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import interleaved, machine
from rich.console import Console
from rich.table import Table

from ttscli import Synthesizer
from ttscli.devices import processors

SENTENCES = (
    "The library opens at nine and closes at six. A cold wind came down from the mountains "
    "during the night. Nobody expected the old bridge to last another year. He forgot his "
    "umbrella, so he waited under a tree. The museum keeps its oldest maps in a dark, dry room. "
    "In the end, the committee agreed to pay for the repairs. "
)
SHORT = SENTENCES[:150]  # ten seconds
LONG = SENTENCES * 29  # ten minutes
PROGRAM = str(Path(sys.executable).with_name("ttscli"))
IMPORT_TORCH = [sys.executable, "-c", "import torch"]


def run(command: list[str]) -> None:
    """A whole process."""
    subprocess.run(command, check=True, capture_output=True)


def children_cpu() -> float:
    """CPU seconds, user and system, of the processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def until_first_byte(text: str) -> float:
    """Wall seconds until a stream gives a sample, the rest of the process not counted."""
    started = time.perf_counter()
    with subprocess.Popen([PROGRAM, "synth", "-q", text, "-o", "-"], stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.read(64)
        seconds = time.perf_counter() - started
        process.stdout.close()
    return seconds


def peak_memory(text: str, target: str) -> float:
    """Bytes that a whole process held at most."""
    # A process counts what its parent held when it forked: here a parent that holds little.
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    command = [sys.executable, "-c", code, PROGRAM, "synth", "-q", text, "-o", target]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout) * (1 if sys.platform == "darwin" else 1024)


def starts(runs: int, target: str) -> dict[str, float]:
    """CPU seconds of whole processes beside those of importing torch."""
    works: dict[str, Callable[[], object]] = {
        "import torch": lambda: run(IMPORT_TORCH),
        "ttscli --help": lambda: run([PROGRAM, "--help"]),
        "ttscli synth": lambda: run([PROGRAM, "synth", "Hello world.", "-o", target]),
    }
    return interleaved(works, runs, children_cpu)


def first_audio(runs: int) -> dict[str, float]:
    """Wall seconds until twenty sentences begin to sound, beside those of importing torch."""
    text = " ".join([SENTENCES] * 4)[: 20 * 62]
    seconds: dict[str, list[float]] = {"import torch": [], "first byte": []}
    for _ in range(runs):
        started = time.perf_counter()
        run(IMPORT_TORCH)
        seconds["import torch"].append(time.perf_counter() - started)
        seconds["first byte"].append(until_first_byte(text))
    return {name: sorted(values)[runs // 2] for name, values in seconds.items()}


def rates(runs: int, target: str) -> dict[str, float]:
    """Seconds of speech per second of wall time."""
    voices = {
        f"{threads} threads": Synthesizer.from_voice("small", device="cpu", threads=threads)
        for threads in dict.fromkeys((1, processors(), 16))
    }
    speech_s = voices["16 threads"](LONG).duration
    works: dict[str, Callable[[], object]] = {
        name: lambda voice=voice: voice(LONG)  # type: ignore[misc]  # mypy wants no default
        for name, voice in voices.items()
    }
    works["whole process"] = lambda: run([PROGRAM, "synth", LONG, "-o", target])
    seconds = interleaved(works, min(runs, 3), time.perf_counter)
    return {name: speech_s / value for name, value in seconds.items()}


def rows(numbers: dict[str, dict[str, float]]) -> list[tuple[str, str]]:
    """What the numbers say, a line each."""
    cpu, wall = numbers["cpu_s"], numbers["wall_s"]
    speed, memory = numbers["speech_s_per_s"], numbers["peak_bytes"]
    lines = [(f"{name}, CPU seconds", f"{value:.2f}") for name, value in cpu.items()]
    for name in ("ttscli --help", "ttscli synth"):
        lines.append((f"{name} ÷ import torch", f"{cpu[name] / cpu['import torch']:.2f} ×"))
    ratio = wall["first byte"] / wall["import torch"]
    lines.append(("first audio of 20 sentences ÷ import torch, wall", f"{ratio:.2f} ×"))
    for name, value in speed.items():
        lines.append((f"10 minutes of speech, {name}: speech seconds a second", f"{value:.1f}"))
    lines.append(("peak memory for 10 seconds of speech", f"{memory['10 s'] / 1e6:.0f} MB"))
    lines.append(("for 10 minutes ÷ for 10 seconds", f"{memory['10 min'] / memory['10 s']:.2f} ×"))
    return lines


def main() -> None:
    """Print the table, and with `--json` the numbers instead."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder) / "speech.wav")
        numbers = {
            "cpu_s": starts(options.runs, target),
            "wall_s": first_audio(options.runs),
            "speech_s_per_s": rates(options.runs, target),
            "peak_bytes": {
                name: peak_memory(text, target)
                for name, text in (("10 s", SHORT), ("10 min", LONG))
            },
        }
    if options.json:
        sys.stdout.write(json.dumps({"machine": machine(), **numbers}) + "\n")
        return
    table = Table("what", title=f"{machine()}: medians of {options.runs} runs")
    table.add_column("measured", justify="right")
    for row in rows(numbers):
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
