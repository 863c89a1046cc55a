"""The command in processes of its own, as a terminal or a script starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "ttscli"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def start(arguments: Sequence[str | Path], folder: Path, **streams: int) -> subprocess.Popen[bytes]:
    """Start the command in a folder; output and errors go to pipes unless `streams` say else."""
    folder.mkdir(exist_ok=True)
    # Background jobs of a shell ignore Ctrl-C, those of nohup SIGHUP; what they start inherits it.
    code = "import signal, runpy; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    code += "runpy.run_module('ttscli', run_name='__main__')"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env=ENVIRONMENT,
        stdin=streams.get("stdin", subprocess.DEVNULL),
        stdout=streams.get("stdout", subprocess.PIPE),
        stderr=streams.get("stderr", subprocess.PIPE),
    )
