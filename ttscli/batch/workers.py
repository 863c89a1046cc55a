"""Processes that speak: how they start, what runs in them, and what they died of."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any, Protocol

from ttscli.batch.jobs import Job, VoiceOptions
from ttscli.batch.speaking import LoadVoice, Speaker
from ttscli.batch.stops import stops, stops_blocked
from ttscli.errors import TTSError

READY = "ready"
"""The first message of a worker that has loaded its voices."""
_SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_MOST_SECONDS_TO_END = 1.0


@dataclass(frozen=True)
class Orders:
    """What all workers are told when they start."""

    load: LoadVoice
    """How they load a voice."""
    batch_size: int
    """Sentences that are computed together; 0 asks the device."""
    voices: tuple[VoiceOptions, ...]
    """To be loaded at once."""
    devices: tuple[str, ...]
    """Where they compute, in turn."""

    def speaker(self, place: int) -> Speaker:
        """What a worker speaks with, given its place among those that live at the time."""
        device = self.devices[place % len(self.devices)]
        speaker = Speaker(self.load, self.batch_size, device)
        for options in self.voices:
            try:
                speaker.voice(options)
            except TTSError:
                if len(self.voices) == 1:
                    raise  # else the lines that want this voice will say so
        return speaker


class Workers(Protocol):
    """Starts workers."""

    def start(self, number: int) -> Connection:
        """Start a worker; the connection takes chunks of jobs and gives their outcomes."""

    def cause_of_death(self, number: int) -> str:
        """In words, why a worker is no more."""

    def close(self) -> None:
        """End all workers, at once."""


class Spawner:
    """Workers that are new processes and load everything themselves."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._processes: dict[int, BaseProcess] = {}
        self._places: dict[int, int] = {}

    def start(self, number: int) -> Connection:
        """Start a worker, on the device of one that has died if there is such a one."""
        ours, theirs = multiprocessing.Pipe()
        place = min(set(range(len(self._places) + 1)) - set(self._places.values()))
        process = multiprocessing.get_context("spawn").Process(
            target=_spawned, args=(theirs, self._orders, place)
        )
        with stops_blocked():
            process.start()
        theirs.close()
        self._processes[number], self._places[number] = process, place
        return ours

    def cause_of_death(self, number: int) -> str:
        """In words, why a worker is no more."""
        process = self._processes.pop(number)
        del self._places[number]
        process.join(_MOST_SECONDS_TO_END)
        return _in_words(process.exitcode)

    def close(self) -> None:
        """End all workers, at once."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.join()


class Nursery:
    """Workers that are forked from a process which has loaded the voices, and share its memory.

    That process has a single thread, so that a fork finds nothing half done in it. When this
    program dies, however it dies, it ends its workers.
    """

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._process: BaseProcess | None = None
        self._control: Connection | None = None
        self._exits: dict[int, int | None] = {}

    def start(self, number: int) -> Connection:
        """Start a worker."""
        from multiprocessing.reduction import send_handle

        while True:
            process, control = self._running()
            ours, theirs = multiprocessing.Pipe()
            assert process.pid is not None
            with theirs:
                try:
                    control.send(number)
                    send_handle(control, theirs.fileno(), process.pid)
                    return ours
                except OSError:  # it has died a moment ago
                    ours.close()
                    self.close()

    def cause_of_death(self, number: int) -> str:
        """In words, why a worker is no more."""
        with suppress(EOFError, OSError):
            while number not in self._exits and self._control and self._control.poll(1):
                dead, code = self._control.recv()
                self._exits[dead] = code
        return _in_words(self._exits.pop(number, None))

    def close(self) -> None:
        """End all workers, at once."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.join(_MOST_SECONDS_TO_END)
            self._process.kill()
            self._process.join()
        self._process = self._control = None

    def _running(self) -> tuple[BaseProcess, Connection]:
        """The nursery's process, a new one if there is none; a voice's error is raised here."""
        if self._process is not None and self._process.is_alive() and self._control is not None:
            return self._process, self._control
        self.close()
        self._control, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_nurse, args=(theirs, self._orders)
        )
        with stops_blocked():
            process.start()
        self._process = process
        theirs.close()
        try:
            error = self._control.recv()
        except (EOFError, OSError):
            process.join()
            why = _in_words(process.exitcode)
            error = TTSError(f"the voice cannot be loaded: {why}")
        if error is not None:
            raise error
        return process, self._control


def _nurse(control: Connection, orders: Orders) -> None:
    """Load the voices, then fork a worker for every connection that comes."""
    _be_quiet()
    # Threads of a BLAS would be lost in a fork; and workers share the machine better without.
    os.environ.update(dict.fromkeys(_SINGLE_THREADED, "1"))
    children: dict[Any, tuple[int, BaseProcess]] = {}
    with suppress(EOFError, OSError):  # the program has gone
        try:
            speaker = orders.speaker(0)
        except Exception as error:
            control.send(error)
            return
        control.send(None)
        gc.collect()
        gc.freeze()  # else the collector would touch, and thereby copy, what is shared
        _fork_and_reap(control, speaker, children)
    for _, process in children.values():
        process.kill()
    for _, process in children.values():
        process.join()


def _fork_and_reap(
    control: Connection, speaker: Speaker, children: dict[Any, tuple[int, BaseProcess]]
) -> None:
    """Start the workers that are asked for, and tell what those died of that die."""
    from multiprocessing.reduction import recv_handle

    fork: Any = multiprocessing.get_context("fork")
    while True:
        for ready in wait([control, *children]):
            if ready is control:
                number = control.recv()
                connection = Connection(recv_handle(control))
                process = fork.Process(target=_forked, args=(control, connection, speaker))
                process.start()
                connection.close()
                children[process.sentinel] = number, process
            else:
                number, process = children.pop(ready)
                process.join()
                control.send((number, process.exitcode))


def _forked(control: Connection, connection: Connection, speaker: Speaker) -> None:
    control.close()  # or the nursery's own end would not be seen
    with suppress(OSError):
        connection.send(READY)
        _work(connection, _received(connection), speaker)


def _spawned(connection: Connection, orders: Orders, place: int) -> None:
    _be_quiet()
    chunks = _received(connection)
    with suppress(OSError):
        try:
            speaker = orders.speaker(place)
        except Exception as error:
            connection.send(error)
            return
        connection.send(READY)
        _work(connection, chunks, speaker)


def _received(connection: Connection) -> SimpleQueue[Sequence[Job]]:
    """The chunks that come, taken at once: who sends them must not wait for a line to end.

    When nobody is left to send any, the process ends, in the middle of a line too.
    """
    chunks: SimpleQueue[Sequence[Job]] = SimpleQueue()

    def receive() -> None:
        with suppress(EOFError, OSError):
            while True:
                chunks.put(connection.recv())
        os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    return chunks


def _work(connection: Connection, chunks: SimpleQueue[Sequence[Job]], speaker: Speaker) -> None:
    """Speak the chunks that come."""
    while True:
        for outcome in speaker.speak(chunks.get()):
            connection.send(outcome)


def _be_quiet() -> None:
    """Leave signals to the program, and what libraries tell programmers unsaid."""
    import warnings

    for number in stops():
        signal.signal(number, signal.SIG_IGN)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _in_words(code: int | None) -> str:
    if code is None:
        return "its process died"
    if code >= 0:
        return f"its process ended with code {code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        memory = "; is there enough memory?" if name == "SIGKILL" else ""
        return f"its process was killed by {name}{memory}"
    return f"its process was killed by signal {-code}"
