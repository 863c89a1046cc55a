"""The engine of a cluster: Ray actors that hold the voices.

Of Ray only `init`, `is_initialized`, `remote`, `get`, `wait`, `kill`, `shutdown` and its errors are
used. An actor gets work once it has answered: one that finds no room in the cluster waits, and
nothing waits for it.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ttscli.audio import signals_deferred
from ttscli.batch.chunks import Chunks
from ttscli.batch.jobs import Job, VoiceOptions
from ttscli.batch.keys import Keys
from ttscli.batch.local import chunk_size
from ttscli.batch.speaking import MOST_VOICES, LoadVoice, Outcome, load_voice
from ttscli.batch.workers import Orders
from ttscli.devices import choose_device, processors
from ttscli.errors import TemporaryError, TTSError, UsageError, VoiceError
from ttscli.events import OnEvent, WorkerLost, ignore

_AHEAD = 2  # chunks that an actor has, so that it need not wait for the next
_MOMENT = 0.2  # seconds: how long a signal may have to wait
_PATIENCE = 120.0  # seconds without any actor that has answered
_MOST_FAILED_STARTS = 10
_SOME = 8  # GPUs, where it is not known how many there are room for

_RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # What nodes complain of would be printed among our results. This is read with Ray's import.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "(?s).",
}


class Actor:
    """What runs in the cluster.

    Args:
        orders: as for workers of one machine.
        heads: what the voices are where the batch is run: elsewhere, other files may lie under
            the same names.
    """

    def __init__(self, orders: Orders, heads: Mapping[VoiceOptions, str]) -> None:
        self._orders, self._heads = orders, heads

    def ping(self) -> None:
        """Load the voices; to have answered is to be alive."""
        for options, head in self._heads.items():
            if Keys().head(options) != head:
                what = f"on {socket.gethostname()} this voice, or ttscli, is another one than here"
                raise VoiceError(what, where=options.voice, todo="install the same on all nodes")
        self._speaker = self._orders.speaker(0)

    def speak(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcomes of a chunk."""
        return list(self._speaker.speak(jobs))


@dataclass(eq=False)
class _Worker:
    """An actor as the engine sees it."""

    actor: Any
    """Its handle."""
    calls: deque[tuple[Any, tuple[Job, ...]]] = field(default_factory=deque)
    """References to what it has not answered yet, with the jobs; of a ping there are none."""
    ready: bool = False
    """Whether it has ever answered."""


class RayEngine:
    """Speaks in a Ray cluster.

    Args:
        address: of the cluster; None starts Ray on this machine, for as long as this takes.
        device: auto is what this machine has; cuda gives every actor a GPU of the cluster's.
        workers: actors; 0 is as many as there is room for.
        batch_size: sentences that are computed together; 0 asks the device.
        tries: for each job, if its actor dies or memory runs out.
        load: how a voice is loaded.
        on_event: takes `WorkerLost`.
    """

    def __init__(
        self,
        address: str | None = None,
        device: str = "auto",
        workers: int = 0,
        batch_size: int = 0,
        tries: int = 3,
        load: LoadVoice = load_voice,
        on_event: OnEvent = ignore,
    ) -> None:
        for name, value in _RAY_SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            import ray  # noqa: F401 - said before any work
        except ImportError as error:
            todo = "pip install 'ttscli[ray]'"
            raise UsageError("the engine ray needs Ray, which is not here", todo=todo) from error
        if device.startswith("cuda:"):
            raise UsageError("Ray chooses each actor's GPU itself", todo="use --device cuda")
        # A GPU of another machine cannot be looked at from here.
        self._device = "cuda" if device == "cuda" else choose_device(device)
        self._address, self._workers = address, workers
        if address is None and workers == 0 and self._device == "cpu":
            self._workers = processors()
        self._gpus = 1 if self._device == "cuda" else 0
        """Of each actor; it sees no others."""
        self._batch_size, self._tries = batch_size, tries
        self._load, self._on_event = load, on_event

    def speak(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """The outcomes of all jobs, in the order in which they come."""
        if not jobs:
            return
        import ray

        options = list(dict.fromkeys(job.options for job in jobs))
        keys = Keys()
        heads = {one: keys.head(one) for one in options}
        voices = tuple(options[:MOST_VOICES])
        orders = Orders(self._load, self._batch_size, voices, (self._device,))
        sharers = self._workers or _SOME * self._gpus
        chunks = Chunks(jobs, chunk_size(self._device, self._batch_size), self._tries, sharers)
        with _cluster(self._address, self._workers if self._gpus == 0 else 0):
            # What died may have died of its work: it is for `Chunks` to say who tries that again.
            make = ray.remote(num_cpus=1, num_gpus=self._gpus, max_restarts=0, max_task_retries=0)(
                Actor
            )
            crew = _Crew(make, (orders, heads), chunks, self._workers, self._on_event)
            yield from crew.work()


class _Crew:
    """Actors that have jobs among them, each replaced when it dies."""

    def __init__(
        self, make: Any, arguments: tuple[Any, ...], chunks: Chunks, size: int, on_event: OnEvent
    ) -> None:
        self._make, self._arguments, self._chunks = make, arguments, chunks
        self._size, self._on_event = size, on_event
        self._crew: list[_Worker] = []
        self._failed_starts = 0
        self._began = time.monotonic()  # or when an actor was last known to live

    def work(self) -> Iterator[Outcome]:
        """The outcomes of all jobs."""
        import ray

        try:
            while self._chunks.unsettled:
                self._muster()
                for worker in self._crew:
                    self._supply(worker)
                yield from self._listen()
        finally:
            for worker in self._crew:
                with suppress(Exception):  # Ray may be gone already
                    ray.kill(worker.actor)

    def _listen(self) -> Iterator[Outcome]:
        """Wait a moment for an answer."""
        import ray

        calls = {worker.calls[0][0]: worker for worker in self._crew if worker.calls}
        with signals_deferred():  # what they raise would be a SystemError of Ray's
            answered, _ = ray.wait(list(calls), num_returns=1, timeout=_MOMENT)
        if not any(worker.ready for worker in self._crew):
            if time.monotonic() - self._began > _PATIENCE:
                what = f"no actor found room in the cluster within {_PATIENCE:.0f} s"
                raise TemporaryError(what, todo="look at: ray status")
        else:
            self._began = time.monotonic()
        for call in answered:
            yield from self._heard(calls[call])

    def _muster(self) -> None:
        """Ask for actors: all that are wanted, or as many again as there are until none comes."""
        ready = sum(worker.ready for worker in self._crew)
        wanted = self._size or ready + max(1, ready)
        while len(self._crew) < min(wanted, self._chunks.unsettled):
            actor = self._make.remote(*self._arguments)
            self._crew.append(_Worker(actor, deque([(actor.ping.remote(), ())])))

    def _supply(self, worker: _Worker) -> None:
        while worker.ready and len(worker.calls) < _AHEAD:
            chunk = self._chunks.take()
            if not chunk:
                return
            worker.calls.append((worker.actor.speak.remote(chunk), chunk))

    def _heard(self, worker: _Worker) -> Iterator[Outcome]:
        """What an actor says to its first call, or that it never will."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        call, chunk = worker.calls.popleft()
        try:
            with signals_deferred():
                outcomes = ray.get(call)
        except RayTaskError as error:
            if isinstance(error.cause, TTSError):
                raise error.cause from error
            raise
        except RayError as error:
            yield from self._buried(worker, chunk, _in_words(error))
            return
        if not chunk:
            worker.ready, self._failed_starts = True, 0
            return
        for outcome in outcomes:
            settled = self._chunks.settle(outcome)
            if settled is not None:
                yield settled

    def _buried(self, worker: _Worker, suspects: tuple[Job, ...], why: str) -> Iterator[Outcome]:
        """Share out the jobs of a dead actor, or of one whose node does not answer."""
        import ray

        self._crew.remove(worker)
        with suppress(Exception):
            ray.kill(worker.actor)
        self._on_event(WorkerLost(why))
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise TemporaryError(f"no actor lives long enough to begin: {why}")
        while worker.calls:
            self._chunks.give_back(worker.calls.pop()[1])
        outcome = self._chunks.lost(suspects, why) if suspects else None
        if outcome is not None:
            yield outcome


@contextmanager
def _cluster(address: str | None, cpus: int) -> Iterator[None]:
    """Ray, started or joined, unless who calls has done that."""
    import ray

    if ray.is_initialized():
        yield
        return
    if address is not None:
        _knock(address)
    # Ray puts its own in the place of ours, and ends the program where that would clean up.
    handler = signal.getsignal(signal.SIGTERM)
    try:
        # "local" and not nothing: what a crashed cluster left in /tmp would be joined.
        own: dict[str, Any] = {"num_cpus": cpus or None, "include_dashboard": False}
        ray.init(
            address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else own),
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        what = f"Ray cannot be reached at {address}" if address else "Ray does not start"
        reason = str(error).strip().splitlines()[0]
        raise TemporaryError(f"{what}: {reason}", todo="look at: ray status") from error
    except SystemExit:  # of Ray's own handler
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, handler)
            signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        ray.shutdown()
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, handler)


def _knock(address: str) -> None:
    """Find out at once whether anything is at an address: Ray tries for minutes."""
    found = re.fullmatch(r"(?:ray://)?(.+):([0-9]+)", address)
    if found:
        try:
            socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=10).close()
        except (OSError, OverflowError) as error:
            what = f"Ray cannot be reached at {address}: {error}"
            raise TemporaryError(what, todo="is it running there? ray status") from error


def _in_words(error: Exception) -> str:
    """What an actor died of; where its making failed, the last line has the reason."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    made = "creation task" not in lines[0]
    return f"its actor died ({lines[0]})" if made else f"no actor can be made ({lines[-1]})"
