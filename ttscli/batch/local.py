"""The engine of one machine: worker processes, each with its own jobs and its own pipe.

On a CPU they are forked from a process that has loaded the voices, and share that memory; where
that cannot be, and on GPUs, each loads its own.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait

from ttscli.batch.chunks import Chunks
from ttscli.batch.jobs import Job
from ttscli.batch.speaking import MOST_VOICES, LoadVoice, Outcome, fitting_batch_size, load_voice
from ttscli.batch.workers import READY, Nursery, Orders, Spawner, Workers
from ttscli.devices import processors
from ttscli.errors import TemporaryError, UsageError
from ttscli.events import OnEvent, WorkerLost, ignore

_AHEAD = 2  # chunks that a worker has, so that it need not wait for the next
_MOST_FAILED_STARTS = 3
_CHUNK_ON_A_GPU = 512  # jobs, where the batch size is not given
_BATCHES_A_CHUNK = 8  # there is something to sort by length, and a GPU is rarely without any


@dataclass(eq=False)
class _Worker:
    """A worker as the engine sees it."""

    number: int
    """Its name."""
    connection: Connection
    """To it."""
    ready: bool = False
    """Whether it has loaded its voices."""
    chunks: deque[deque[Job]] = field(default_factory=deque)
    """What it has not answered yet: what it is at first."""


class LocalEngine:
    """Speaks on this machine.

    Args:
        device: cpu, mps or cuda:N; cuda is all GPUs.
        workers: processes; 0 is one a processor, or a GPU.
        batch_size: sentences that are computed together; 0 asks the device.
        tries: for each job, if its process dies or memory runs out.
        load: how a voice is loaded.
        on_event: takes `WorkerLost`.
    """

    def __init__(
        self,
        device: str = "cpu",
        workers: int = 0,
        batch_size: int = 0,
        tries: int = 3,
        load: LoadVoice = load_voice,
        on_event: OnEvent = ignore,
    ) -> None:
        self._devices = _devices(device)
        self._workers = workers or (processors() if device == "cpu" else len(self._devices))
        _check_workers(workers, self._devices)
        self._batch_size, self._tries = batch_size, tries
        self._load, self._on_event = load, on_event
        self._shares_memory = device == "cpu" and _forks_safely()

    def speak(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """The outcomes of all jobs, in the order in which they come."""
        if not jobs:
            return
        voices = tuple(dict.fromkeys(job.options for job in jobs))[:MOST_VOICES]
        orders = Orders(self._load, self._batch_size, voices, self._devices)
        sharers = self._workers if self._devices[0] == "cpu" or self._workers > 1 else 0
        chunks = Chunks(jobs, chunk_size(self._devices[0], self._batch_size), self._tries, sharers)
        workers: Workers = Nursery(orders) if self._shares_memory else Spawner(orders)
        with closing(workers):
            yield from _Crew(workers, chunks, self._workers, self._on_event).work()


class _Crew:
    """Workers that have jobs among them, each replaced when it dies."""

    def __init__(self, workers: Workers, chunks: Chunks, size: int, on_event: OnEvent) -> None:
        self._workers, self._chunks = workers, chunks
        self._size, self._on_event = size, on_event
        self._crew: dict[Connection, _Worker] = {}
        self._started, self._failed_starts = 0, 0

    def work(self) -> Iterator[Outcome]:
        """The outcomes of all jobs."""
        try:
            while self._chunks.unsettled:
                while len(self._crew) < min(self._size, self._chunks.unsettled):
                    self._start()
                for worker in self._crew.values():
                    self._supply(worker)
                for connection in wait(list(self._crew)):
                    assert isinstance(connection, Connection)
                    outcome = self._heard(self._crew[connection])
                    if outcome is not None:
                        yield outcome
        finally:
            for connection in self._crew:
                connection.close()

    def _start(self) -> None:
        connection = self._workers.start(self._started)
        self._crew[connection] = _Worker(self._started, connection)
        self._started += 1

    def _supply(self, worker: _Worker) -> None:
        """Give a worker something to do, once it is known to be alive."""
        while worker.ready and len(worker.chunks) < _AHEAD:
            chunk = self._chunks.take()
            if not chunk:
                return
            worker.chunks.append(deque(chunk))
            try:
                worker.connection.send(chunk)
            except OSError:
                return  # it has died, as will be heard

    def _heard(self, worker: _Worker) -> Outcome | None:
        """What a worker says, or that it is silent for ever."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            return self._buried(worker)
        if message == READY:
            worker.ready, self._failed_starts = True, 0
            return None
        if isinstance(message, Exception):
            raise message
        assert isinstance(message, Outcome)
        worker.chunks[0].popleft()
        if not worker.chunks[0]:
            worker.chunks.popleft()
        return self._chunks.settle(message)

    def _buried(self, worker: _Worker) -> Outcome | None:
        """Share out the jobs of a dead worker; one of those that it was at may be to blame."""
        del self._crew[worker.connection]
        worker.connection.close()
        why = self._workers.cause_of_death(worker.number)
        self._on_event(WorkerLost(why))
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                what = f"no worker lives long enough to begin: {why}"
                raise TemporaryError(what, todo="try fewer --workers")
        suspects = worker.chunks.popleft() if worker.chunks else None
        while worker.chunks:
            self._chunks.give_back(worker.chunks.pop())
        return self._chunks.lost(suspects, why) if suspects else None


def _check_workers(workers: int, devices: Sequence[str]) -> None:
    """Refuse more workers than there are GPUs: a second one would but halve a GPU's memory."""
    if devices[0] != "cpu" and workers > len(devices):
        there = "is one GPU" if len(devices) == 1 else f"are {len(devices)} GPUs"
        raise UsageError(
            f"{workers} workers are too many: there {there}", todo="leave --workers out"
        )


def _forks_safely() -> bool:
    """Whether a process may go on in a fork of it; macOS's own libraries forbid that."""
    return "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"


def chunk_size(device: str, batch_size: int) -> int:
    """Jobs that a worker gets at once; 0 is a batch size that it chooses itself."""
    if device == "cpu":  # which does not gain from a choice of lengths
        return batch_size or fitting_batch_size(device)
    return _BATCHES_A_CHUNK * batch_size if batch_size else _CHUNK_ON_A_GPU


def _devices(device: str) -> tuple[str, ...]:
    """Where workers compute, in turn."""
    if device != "cuda":
        return (device,)
    import torch

    return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
