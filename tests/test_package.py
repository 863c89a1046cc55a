"""What is installed: a wheel with the built-in voice and little else, and what the locks name."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ttscli.download.records import read_records
from ttscli.files import sha256_of

ROOT = Path(__file__).resolve().parents[1]
VOICE = ROOT / "checkpoints" / "small"
MOST_BYTES = 25_000_000
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


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


def test_the_voice_is_what_its_records_say() -> None:
    records = {record.file: record.sha256 for record in read_records(VOICE)}
    files = {path.name for path in VOICE.glob("*.safetensors")} | {"lexicon.tsv"}
    assert records == {name: sha256_of(VOICE / name) for name in files}


def test_the_voice_is_small() -> None:
    assert sum(path.stat().st_size for path in VOICE.rglob("*")) <= MOST_BYTES


def test_the_wheel_has_the_program_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"ttscli", "ttscli-0.1.0.dist-info"}
    assert "ttscli/py.typed" in wheel.namelist()
    assert "ttscli/registry.toml" in wheel.namelist()
    assert "ttscli/training/teacher.c" in wheel.namelist()


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.lock")), ids=lambda p: p.stem)
def test_a_lock_names_each_package_once(lock: Path, python: str) -> None:
    names = [pin.name for pin in _pins(lock, python)]
    assert names and len(names) == len(set(names))


@pytest.mark.slow  # and needs the network
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", ["requirements", "requirements-dev"])
def test_what_set_up_installs_exists_for_each_python(
    lock: str, python: str, tmp_path: Path
) -> None:
    """The two commands of the README, on Pythons other than this one."""
    pins = [pin for pin in _pins(ROOT / f"{lock}.lock", python) if pin.name != "torch"]
    wanted = tmp_path / "pins.txt"
    wanted.write_text("\n".join(f"{pin.name}{pin.specifier}" for pin in pins))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
         "--no-deps", "--only-binary=:all:", f"--python-version={python}",
         f"--target={tmp_path}", "-r", str(wanted)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _pins(lock: Path, python: str) -> list[Requirement]:
    """What a lock pins for a Python."""
    lines = [line.split("#")[0].strip() for line in lock.read_text().splitlines()]
    pins = [Requirement(line) for line in lines if line]
    there = {"python_version": python}
    return [pin for pin in pins if pin.marker is None or pin.marker.evaluate(there)]
