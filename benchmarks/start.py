"""Takes a one-shot of `ttscli synth` apart: what its CPU time goes into, package by package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from measure import interleaved
from rich.console import Console
from rich.table import Table
from speed import IMPORT_TORCH, PROGRAM, children_cpu, run

_IMPORTED = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)")
_SHOWN = 12  # packages


def imports(arguments: list[str]) -> tuple[dict[str, float], float]:
    """Milliseconds that each top-level package takes to import, and seconds to load the voice."""
    command = [sys.executable, "-X", "importtime", "-m", "ttscli", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    spent: dict[str, float] = defaultdict(float)
    for microseconds, module in _IMPORTED.findall(done.stderr):
        package = module.partition(".")[0]
        known = package in sys.stdlib_module_names
        spent["the standard library" if known else package] += float(microseconds) / 1000
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    loaded = next(event["seconds"] for event in events if event["event"] == "voice_loaded")
    return spent, loaded


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["synth", "Hello world.", "-o", str(Path(folder) / "x.wav")]
        works = {
            "an empty Python": lambda: run([sys.executable, "-c", ""]),
            "import numpy": lambda: run([sys.executable, "-c", "import numpy"]),
            "ttscli --help": lambda: run([PROGRAM, "--help"]),
            "ttscli synth": lambda: run([PROGRAM, *arguments]),
            "import torch": lambda: run(IMPORT_TORCH),
        }
        seconds = interleaved(works, 7, children_cpu)
        spent, loaded = imports([*arguments, "--json"])
    table = Table("a one-shot", title="ttscli synth 'Hello world.'")
    table.add_column("ms", justify="right")
    for name, value in seconds.items():
        table.add_row(f"{name}: CPU time of the process", f"{1000 * value:.0f}")
    table.add_section()
    ranked = sorted(spent.items(), key=lambda item: -item[1])
    for name, value in ranked[:_SHOWN]:
        table.add_row(f"importing {name}", f"{value:.0f}")
    table.add_row("importing all others", f"{sum(value for _, value in ranked[_SHOWN:]):.0f}")
    table.add_row("loading the voice, imports included", f"{1000 * loaded:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
