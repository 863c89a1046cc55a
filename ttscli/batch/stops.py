"""Signals that ask the program to end, and processes that are deaf to them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


def stops() -> list[signal.Signals]:
    """Signals that ask the program, and only it, to end."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


@contextmanager
def stops_blocked() -> Iterator[None]:
    """Have a process begin deaf to Ctrl-C and the like, which reach all that a terminal runs."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing.resource_tracker import ensure_running

    ensure_running()  # a helper of multiprocessing, whose start ends such a block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
