"""Signals that ask the program to end: who is deaf to them, and when they have to wait."""

from __future__ import annotations

import signal
import threading
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


@contextmanager
def stops_held() -> Iterator[None]:
    """Have what is begun come to its end before a signal's handler may raise.

    A mask would not do: a signal that another thread takes is handled in the main one all the same.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers run in that alone
        yield
        return
    held: list[int] = []
    handlers = {number: signal.getsignal(number) for number in stops()}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for taken in held:
            signal.raise_signal(taken)
