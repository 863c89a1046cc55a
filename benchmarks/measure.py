"""How the benchmarks measure: interleaved runs, medians, what this machine can do at most."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from ttscli.devices import processors

Clock = Callable[[], float]


def interleaved(
    works: Mapping[str, Callable[[], object]],
    runs: int,
    clock: Clock = time.process_time,
    uncounted: int = 1,
) -> dict[str, float]:
    """Median seconds of each work, run in turn so that the machine's drift touches all alike.

    First come rounds that are not counted. By default CPU seconds of this process are measured,
    which other programs disturb less; works that use threads are compared by `time.perf_counter`.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(uncounted + runs):
        for name, work in works.items():
            started = clock()
            work()
            seconds[name].append(clock() - started)
    return {name: statistics.median(values[uncounted:]) for name, values in seconds.items()}


def machine() -> str:
    """The processor's name, how many of it there are, and the libraries that compute."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    torch_version = torch.__version__.partition("+")[0]
    return f"{name}, {processors()} cores, NumPy {np.__version__}, torch {torch_version}"


def gemm_rate() -> float:
    """Floating-point operations per second of NumPy's matrix product, as BLAS is set now."""
    size = 2048
    a, b, c = np.random.default_rng(0).random((3, size, size), np.float32)
    seconds = interleaved({"product": lambda: np.matmul(a, b, out=c)}, 5)["product"]
    return 2 * size**3 / seconds


def bandwidth() -> float:
    """Bytes per second of a product with a vector, whose matrix no core's own cache holds."""
    matrix = np.asfortranarray(np.random.default_rng(0).random((8192, 4096), np.float32))
    vector, out = matrix[0].copy(), np.empty(8192, np.float32)
    seconds = interleaved({"product": lambda: np.dot(matrix, vector, out=out)}, 9)["product"]
    return matrix.nbytes / seconds
