"""Full-size checkpoints of random weights, in every format: imported, converted, loaded, spoken.

Each step runs in a process of its own. The memory of an import is all that its process ever held;
that of a load is without the libraries.
"""

from __future__ import annotations

import json
import os
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
from safetensors.torch import save_file

from ttscli.core.configs import Tacotron2Config, WaveGlowConfig
from ttscli.core.tacotron2 import Tacotron2
from ttscli.core.waveglow import WaveGlow

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import checkpoint_files as make  # noqa: E402 - the tests' maker of NVIDIA's files

RUNS = 5
MEASURE = """
import json, sys, time
def memory(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) * 1024
{imports}
path = sys.argv[1]
before = memory("VmRSS")
started = time.perf_counter()
kept = {load}
seconds = time.perf_counter() - started
print(json.dumps([seconds, memory("VmHWM") - before]))
"""
COMMAND = """
import sys
from ttscli.cli import main
code = main(sys.argv[1:])
with open("/proc/self/status") as file:
    print(next(line.split()[1] for line in file if line.startswith("VmHWM")))
sys.exit(code)
"""
LOADERS = {
    "torch.load of the original": ("import torch", "torch.load(path, weights_only=True)"),
    "ttscli, converted, torch": (
        "import torch; from ttscli.checkpoints import load_waveglow\n"
        "import ttscli.core.waveglow, safetensors.torch",
        "load_waveglow(path)",
    ),
    "ttscli, converted, NumPy": (
        "import numpy; from ttscli.checkpoints.arrays import read_waveglow\nimport safetensors",
        "read_waveglow(path)",
    ),
}


def tacotron2() -> Tacotron2:
    """Random weights that end a sentence after a few frames."""
    torch.manual_seed(0)
    model = Tacotron2(Tacotron2Config()).eval()
    with torch.no_grad():
        model.decoder.gate.weight.mul_(20)
        model.decoder.gate.bias.fill_(-0.158)
    return model


def waveglow(n_channels: int) -> WaveGlow:
    """Random weights, small at the end of each coupling net, as they are after training."""
    torch.manual_seed(1)
    model = WaveGlow(WaveGlowConfig(n_channels=n_channels)).eval()
    with torch.no_grad():
        for coupling in model.couplings:
            coupling.end.weight.normal_(std=1e-3)
    return model


def hub(folder: Path, half: bool) -> list[Path]:
    """As torch.hub has them: old container, config, `module.` names, weight norm."""
    paths = []
    for name, state in (
        ("tacotron2", make.their_names(tacotron2())),
        ("waveglow", make.with_weight_norm(make.their_names(waveglow(512)))),
    ):
        tensors = {
            f"module.{key}": value.half() if half and value.is_floating_point() else value
            for key, value in state.items()
        }
        payload = {"epoch": 1500, "state_dict": tensors, "config": {}, "optimizer": {"state": {}}}
        paths.append(make.save(payload, folder / name, legacy=True))
    return paths


def nvidia(folder: Path, n_channels: int, legacy: bool, module: bool) -> list[Path]:
    """As NVIDIA/tacotron2 and NVIDIA/waveglow write them."""
    payload = {
        "iteration": 0,
        "state_dict": make.their_names(tacotron2()),
        "optimizer": {},
        "learning_rate": 1e-3,
    }
    paths = [make.save(payload, folder / "tacotron2", legacy)]
    model = waveglow(n_channels)
    with make.glow_classes() as glow:
        pickled = make.glow_module(glow, model) if module else None
        whole = {"model": pickled, "iteration": 0} if module else make.their_names(model)
        return [*paths, make.save(whole, folder / "waveglow", legacy)]


def theirs_as_safetensors(folder: Path) -> list[Path]:
    """NVIDIA's names in safetensors, as people convert them."""
    paths = []
    for name, model in (("tacotron2", tacotron2()), ("waveglow", waveglow(512))):
        paths.append(folder / name)
        state = make.their_names(model)
        save_file({key: value.contiguous() for key, value in state.items()}, paths[-1])
    return paths


FORMATS: dict[str, Callable[[Path], list[Path]]] = {
    "torch.hub fp32": lambda folder: hub(folder, half=False),
    "torch.hub amp": lambda folder: hub(folder, half=True),
    "NVIDIA module, 512, zip": lambda folder: nvidia(folder, 512, legacy=False, module=True),
    "NVIDIA module, 256, 2019": lambda folder: nvidia(folder, 256, legacy=True, module=True),
    "NVIDIA state dict, zip": lambda folder: nvidia(folder, 512, legacy=False, module=False),
    "safetensors": theirs_as_safetensors,
}
TORCH_READS = ("torch.hub fp32", "torch.hub amp", "NVIDIA state dict, zip")


def run(*arguments: str, folder: Path) -> tuple[float, int]:
    """Seconds and the most memory, in bytes, of a `ttscli` command."""
    environment = os.environ | {"TTSCLI_HOME": str(folder)}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments], env=environment, stdout=subprocess.PIPE,
        text=True, check=True,
    )  # fmt: skip
    return time.perf_counter() - started, int(done.stdout.splitlines()[-1]) * 1024


def measure(name: str, path: Path) -> tuple[float, int]:
    """Seconds and additional memory of one load in a fresh process."""
    imports, load = LOADERS[name]
    code = MEASURE.format(imports=imports, load=load)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    )
    seconds, memory = json.loads(done.stdout)
    return seconds, memory


def loads(original: Path, converted: Path) -> dict[str, tuple[float, int]]:
    """Median seconds and the most memory of each way to load, run in turn."""
    results: dict[str, list[tuple[float, int]]] = {name: [] for name in LOADERS}
    for _ in range(RUNS):
        for name, values in results.items():
            values.append(measure(name, original if "original" in name else converted))
    return {
        name: (statistics.median(s for s, _ in values), max(m for _, m in values))
        for name, values in results.items()
    }


def take(name: str, folder: Path, made: Table, loaded: Table) -> None:
    """Import one format, speak with it as it was and as it is now, and measure the loads."""
    files = FORMATS[name](folder)
    seconds, most = run("download", "-q", "big", "--from", *map(str, files), folder=folder)
    weights = [folder / "voices/big" / f"{role}.safetensors" for role in ("tacotron2", "waveglow")]
    total = sum(path.stat().st_size for path in weights)
    speak = ["synth", "-q", "Hi.", "-v", "big", "-o"]
    wavs = [folder / "converted.wav", folder / "original.wav"]
    originals = ["--tacotron2", str(files[0]), "--waveglow", str(files[1])]
    spoken, held = run(*speak, str(wavs[0]), folder=folder)
    run(*speak, str(wavs[1]), *originals, folder=folder)
    same = "yes" if wavs[0].read_bytes() == wavs[1].read_bytes() else "no"
    made.add_row(
        name, f"{sum(path.stat().st_size for path in files) / 1e6:.0f}", f"{seconds:.1f}",
        f"{most / 1e6:.0f}", f"{most / total:.2f}", f"{(wavs[0].stat().st_size - 44) // 2}",
        f"{spoken:.1f}", f"{held / 1e6:.0f}", same,
    )  # fmt: skip
    if name not in TORCH_READS:
        return
    results = loads(files[1], weights[1])
    base = results["torch.load of the original"][0]
    for loader, (duration, memory) in results.items():
        loaded.add_row(
            name, loader, f"{duration:.2f}", f"{base / duration:.1f} ×", f"{memory / 1e6:.0f}",
            f"{memory / weights[1].stat().st_size:.2f}",
        )  # fmt: skip


def table(title: str, columns: str) -> Table:
    """A table; columns of numbers are on the right."""
    made = Table(title=title)
    for column in columns.split(", "):
        made.add_column(column, justify="left" if column in ("format", "loader") else "right")
    return made


def main() -> None:
    """Print two tables: what becomes of each format, and how fast what was made of it loads."""
    made = table(
        "A full-size voice (Tacotron 2 and WaveGlow) imported, a word spoken, as by the original",
        "format, MB, import s, most MB, most / weights, samples, synth s, synth MB, same",
    )
    loaded = table(
        f"WaveGlow, seconds to load, medians of {RUNS}",
        "format, loader, s, faster, MB, MB / weights",
    )
    for name in sys.argv[1:] or FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            take(name, Path(folder), made, loaded)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(made)
    console.print(loaded)


if __name__ == "__main__":
    main()
