"""Speed and memory of `ttscli batch` on this machine; what it is compared with runs beside it."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ttscli.audio import Audio
from ttscli.batch.jobs import Job
from ttscli.batch.runner import Batch, Request
from ttscli.batch.speaking import Outcome

PROGRAM = str(Path(sys.executable).with_name("ttscli"))
LINES = 200
LOOPED = 20  # lines that the shell loop really speaks; its time for all is in proportion
RUNS = 3
COUNTS = (25_000, 50_000, 100_000)
SUBJECTS = (
    "The library", "A cold wind", "The old bridge", "My umbrella", "The last train", "Her brother",
    "A small boat", "The museum", "This long letter", "Our neighbour",
)  # fmt: skip
PREDICATES = (
    "opens at nine and closes at six.", "came down from the mountains.", "will not last a year.",
    "was forgotten under a tree.", "arrived in the rain.", "is older than anybody thought.",
    "waits in a dark, dry room.", "was sold for a good price.", "crossed the river at night.",
    "has no reason to complain.",
)  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """What a batch of many lines costs when its voice costs nothing."""

    lines: int
    """How many."""
    read_s: float
    """Reading and checking them, hashing the voice."""
    run_s: float
    """Planning, 100 samples and a record for each, the tidied manifest."""
    plan_s: float
    """Reading, and finding that all is there: what a resumed run does before it speaks."""
    memory_mb: float
    """Peak, above a Python that does nothing."""


class Stub:
    """Speaks at once."""

    def speak(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """The same 100 samples for every job."""
        wav = Audio(np.zeros(100, np.float32), 22050).wav()
        for job in jobs:
            yield Outcome(job, wav, samples=100, sample_rate=22050)


def texts(count: int) -> Iterator[str]:
    """Lines of some forty characters, which take two or three seconds to say."""
    for number in range(count):
        subject, predicate = SUBJECTS[number % 10], PREDICATES[number // 10 % 10]
        yield f"{subject} {predicate}\n"


def seconds(command: Sequence[str], folder: Path) -> float:
    """Wall seconds of a command."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


def throughput(folder: Path) -> dict[str, float]:
    """Wall seconds for the lines: a loop of synth, and batch with one and two workers, in turn."""
    lines = list(texts(LINES))
    (folder / "in.txt").write_text("".join(lines))
    (folder / "some.txt").write_text("".join(lines[:LOOPED]))
    loop = f'n=0; while read -r line; do n=$((n+1)); "{PROGRAM}" synth -q "$line" -o $n.wav; done'
    batch = [PROGRAM, "batch", "in.txt", "--overwrite", "-q", "--device", "cpu", "--workers"]
    commands = {
        "loop": ["sh", "-c", f"{loop} < some.txt"],
        "1 worker": [*batch, "1"],
        "2 workers": [*batch, "2"],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            taken[name].append(seconds(command, folder))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    medians["loop"] *= LINES / LOOPED
    same = all(
        (folder / f"{n}.wav").read_bytes() == (folder / f"speech/{n:05d}.wav").read_bytes()
        for n in range(1, LOOPED + 1)
    )
    assert same, "batch and synth must give the same bytes"
    return medians


def processors() -> float:
    """How much more two busy processes get done than one: 2 if nobody else uses the machine."""
    busy = [sys.executable, "-c", "for _ in range(60_000_000): pass"]
    started = time.perf_counter()
    subprocess.run(busy, check=True)
    alone = time.perf_counter() - started
    started = time.perf_counter()
    pair = [subprocess.Popen(busy) for _ in range(2)]
    for process in pair:
        process.wait()
    return 2 * alone / (time.perf_counter() - started)


def scale(count: int) -> Scale:
    """Run many lines through everything but a voice; in memory, for the disk is not the point."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        source = Path(folder, "in.txt")
        source.write_text("".join(texts(count)))
        request = Request(str(source), Path(folder, "out"))
        times = [time.perf_counter()]
        batch = Batch(request)
        times.append(time.perf_counter())
        assert batch.run(Stub()) == []
        times.append(time.perf_counter())
        del batch
        assert Batch(request).plan().left == 0
        times.append(time.perf_counter())
    read_s, run_s, plan_s = (b - a for a, b in pairwise(times))
    return Scale(count, read_s, run_s, plan_s, _peak_mb())


def _peak_mb() -> float:
    """This process's peak of memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def in_its_own_process(count: int) -> Scale:
    """The same, above what an empty Python takes."""
    nothing = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    empty = float(subprocess.check_output([sys.executable, "-c", nothing]))
    out = subprocess.check_output([sys.executable, __file__, "--scale", str(count)])
    found = json.loads(out)
    return Scale(**found | {"memory_mb": found["memory_mb"] - empty})


def main() -> None:
    """Print the tables, and with `--json` the numbers as JSON instead."""
    if "--scale" in sys.argv:
        print(json.dumps(asdict(scale(int(sys.argv[-1])))))  # noqa: T201 - to this same program
        return
    scales = [in_its_own_process(count) for count in COUNTS]
    with tempfile.TemporaryDirectory() as folder:
        free = processors()
        taken = throughput(Path(folder))
    ratios = {
        "batch_to_loop": taken["loop"] / taken["2 workers"],
        "one_worker_to_loop": taken["loop"] / taken["1 worker"],
        "two_workers_to_one": taken["1 worker"] / taken["2 workers"],
        "two_busy_processes_to_one": free,
    }
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    if "--json" in sys.argv:
        numbers = {"machine": machine, "seconds": taken, **ratios, "scale": [*map(asdict, scales)]}
        sys.stdout.write(json.dumps(numbers) + "\n")
        return
    table = Table(title=f"{LINES} lines, {machine}, medians of {RUNS}")
    table.add_column("what")
    table.add_column("measured", justify="right")
    table.add_row(
        f"shell loop of synth ({LOOPED} lines × {LINES / LOOPED:g})", f"{taken['loop']:.1f} s"
    )
    for name in ("1 worker", "2 workers"):
        table.add_row(f"batch, {name}", f"{taken[name]:.1f} s")
    table.add_row("batch, 2 workers / loop", f"{ratios['batch_to_loop']:.1f} ×")
    table.add_row("batch, 1 worker / loop", f"{ratios['one_worker_to_loop']:.1f} ×")
    table.add_row("2 workers / 1 worker", f"{ratios['two_workers_to_one']:.2f} ×")
    table.add_row("for comparison: 2 busy processes / 1", f"{free:.2f} ×")
    Console().print(table)
    table = Table(title="a voice that costs nothing")
    for name in ("lines", "read", "run", "resume: plan", "memory above an empty process"):
        table.add_column(name, justify="right")
    for one in scales:
        figures = (f"{value:.1f} s" for value in (one.read_s, one.run_s, one.plan_s))
        table.add_row(f"{one.lines}", *figures, f"{one.memory_mb:.0f} MB")
    Console().print(table)


if __name__ == "__main__":
    main()
