"""Where and in which precision the models run, or in words why they cannot."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ttscli.errors import TemporaryError, UsageError

PRECISIONS = ("auto", "fp32", "fp16", "bf16")
_NO_MEMORY = re.compile("CUDA error: out of memory|ALLOC_FAILED")  # of libraries, and pinned
RECORDING = threading.Lock()
"""Held while work for a GPU is recorded, which stopping the whole device would end."""


def choose_device(name: str) -> str:
    """The torch device of this name, or the reason why it cannot be; auto takes an NVIDIA GPU."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", name):
        todo = "use auto, cpu, cuda, cuda:N or mps"
        raise UsageError(f"there is no device {name!r}", todo=todo)
    if name == "cpu" or (name == "auto" and not _has_nvidia_driver()):
        return "cpu"
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    reason = ""
    if name == "mps" and not torch.backends.mps.is_available():
        reason = "torch finds no Apple GPU"
    elif name.startswith("cuda") and not torch.cuda.is_available():
        built = torch.version.cuda is not None
        reason = "torch finds no NVIDIA GPU" if built else "this torch was built without CUDA"
    elif name.startswith("cuda:") and int(name[5:]) >= torch.cuda.device_count():
        reason = f"there are {torch.cuda.device_count()} GPUs, counted from 0"
    if reason:
        raise UsageError(f"the device {name} cannot be used: {reason}", todo="use cpu")
    return name


def _has_nvidia_driver() -> bool:
    """Whether there can be a CUDA device: importing torch to ask it takes seconds."""
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32/nvcuda.dll").exists()
    return Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()  # the latter: WSL


def choose_precision(name: str, device: str) -> str:
    """The precision of this name for a device of torch's, or the reason why it cannot be.

    auto is fp32, on an NVIDIA GPU with units for it mixed: Tacotron 2 in fp32, WaveGlow in fp16.
    Neither is heard, but how Tacotron 2 rounds in fp16 depends on what else is in a batch, and that
    now and then makes a sentence longer or shorter.
    """
    if name not in (*PRECISIONS, "int8"):
        raise UsageError(f"there is no precision {name!r}", todo=f"use {', '.join(PRECISIONS)}")
    reason = ""
    if name == "int8":
        reason = "no model here is made for it"
    elif name in ("fp16", "bf16") and not device.startswith("cuda"):
        where = "a CPU" if device == "cpu" else "an Apple GPU"
        reason = f"{where} runs the models in fp32 only"
    elif name == "bf16" and _age(device) < (8, 0):
        reason = f"{device} is too old for it"
    if reason:
        raise UsageError(f"the precision {name} cannot be used: {reason}", todo="use fp32")
    if name == "auto":
        return "mixed" if device.startswith("cuda") and _age(device) >= (7, 0) else "fp32"
    return name


def _age(device: str) -> tuple[int, int]:
    """The compute capability of a GPU."""
    import torch

    return torch.cuda.get_device_capability(device)


@contextmanager
def device_errors(device: str) -> Iterator[None]:
    """Say in one line that memory ran out, which torch says in many."""
    import torch

    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY.search(str(error)):
            what = f"there is not enough free memory on {device}"
            raise TemporaryError(what, todo="wait for some, or use cpu") from error
        if "can't allocate memory" in str(error):
            raise MemoryError from error
        raise


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
