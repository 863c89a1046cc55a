"""The benchmark for GPUs runs through, so that it does when one is at hand."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"


def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, results and stderr of tiny sizes on the CPU."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--smoke", "--json", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_every_part_gives_numbers() -> None:
    code, results, told = run()
    assert code == 0, told
    assert not [result for result in results if result["error"]]
    assert {result["part"] for result in results} == {
        "chip", "equal", "decoder", "waveglow", "speech", "apart", "busiest", "graphs", "kernels",
        "windows", "noise",
    }  # fmt: skip
    equal = [r for r in results if r["part"] == "equal" and r["wanted"]]
    assert len(equal) == 4
    for result in equal:
        assert result["values"]["ttscli"] <= float(result["wanted"].strip("≤ "))


def test_one_precision() -> None:
    code, results, told = run("--precision", "fp16", "--only", "decoder", "--only", "waveglow")
    assert code == 0, told
    assert {result["part"] for result in results} == {"decoder", "waveglow"}
    assert {result["precision"] for result in results} == {"fp16"}


def test_a_part_that_fails_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    gpu, setting = (importlib.import_module(name) for name in ("gpu", "gpu_setting"))

    def failing(_: object) -> Iterator[object]:
        yield setting.Result("chip", "begun")
        raise RuntimeError("no\nroom")

    monkeypatch.setitem(gpu.PARTS, "chip", failing)
    results: list[Any] = []
    tiny = setting.Setting(setting.SMOKE, "cpu", tmp_path, with_nvidia=False)
    assert not gpu.measured(tiny, ["chip", "noise"], results.append)
    begun, stopped, noise = results
    assert begun == setting.Result("chip", "begun")
    assert stopped == setting.Result("chip", "stopped here", error="RuntimeError: no room")
    assert noise.values["ttscli"] > 0
    assert "RuntimeError: no" in capsys.readouterr().err
