"""Signals that ask the program to end wait until audio has its record."""

from __future__ import annotations

import signal
import threading

import pytest

from ttscli.audio import signals_deferred


def test_what_is_begun_is_done_first() -> None:
    done: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        with signals_deferred():
            signal.raise_signal(signal.SIGINT)
            done.append("audio")
            done.append("record")
        done.append("more")
    assert done == ["audio", "record"]
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with signals_deferred():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_hold_nothing() -> None:
    done: list[str] = []

    def work() -> None:
        with signals_deferred():
            done.append("record")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["record"]
