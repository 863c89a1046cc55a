"""What is installed: the wheel carries the built-in voice, byte for byte, and little else."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
VOICE = ROOT / "checkpoints" / "small"
MOST_BYTES = 25_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling", reason="the dev extra is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return zipfile.ZipFile(folder / done.stdout.strip().splitlines()[-1])


def test_the_voice_travels_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    files = [path for path in VOICE.iterdir() if path.is_file()]
    names = {"voice.json", "README.md", "tacotron2.safetensors", "waveglow.safetensors"}
    assert names <= {path.name for path in files}
    for path in files:
        inside = wheel.read(f"ttscli/voices_data/small/{path.name}")
        assert hashlib.sha256(inside).digest() == hashlib.sha256(path.read_bytes()).digest()


def test_the_voice_is_small() -> None:
    assert sum(path.stat().st_size for path in VOICE.rglob("*")) <= MOST_BYTES


def test_the_wheel_has_the_program_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"ttscli", "ttscli-0.1.0.dist-info"}
    assert "ttscli/py.typed" in wheel.namelist()
    assert "ttscli/registry.toml" in wheel.namelist()
    assert "ttscli/training/teacher.c" in wheel.namelist()
