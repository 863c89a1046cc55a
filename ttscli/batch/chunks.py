"""Jobs in the pieces that workers take, and what becomes of a piece whose worker died."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ttscli.batch.jobs import Job
from ttscli.batch.speaking import Outcome


class Chunks:
    """Hands out jobs; those that fail come back until they have had all their tries.

    Args:
        jobs: all of them.
        size: jobs in a chunk; those with different options are never in one.
        tries: for each job.
        sharers: workers that are to end at about the same time: the last chunks get smaller for
            that; 0 keeps all of one size.
    """

    def __init__(self, jobs: Iterable[Job], size: int, tries: int, sharers: int = 0) -> None:
        self._jobs = deque(jobs)
        self._size, self._tries, self._sharers = size, tries, sharers
        self._again: deque[tuple[Job, ...]] = deque()
        self._failures: dict[int, int] = {}  # by a job's index
        self.unsettled = len(self._jobs)
        """Jobs without a last outcome."""

    def __len__(self) -> int:
        """Jobs that wait to be handed out."""
        return len(self._jobs) + sum(map(len, self._again))

    def take(self) -> tuple[Job, ...]:
        """The next chunk; empty if none waits."""
        if self._again:
            return self._again.popleft()
        size = self._size
        if self._sharers:
            size = max(1, min(size, len(self._jobs) // (2 * self._sharers)))
        chunk: list[Job] = []
        while self._jobs and len(chunk) < size:
            if chunk and self._jobs[0].options != chunk[0].options:
                break
            chunk.append(self._jobs.popleft())
        return tuple(chunk)

    def give_back(self, chunk: Sequence[Job]) -> None:
        """Take back what no worker has begun."""
        if chunk:
            self._again.appendleft(tuple(chunk))

    def settle(self, outcome: Outcome) -> Outcome | None:
        """An outcome that is the last word on its job, None if the job is tried again."""
        index = outcome.job.index
        attempts = self._failures.get(index, 0) + 1
        if outcome.error and outcome.again and attempts < self._tries:
            self._failures[index] = attempts
            self._again.append((outcome.job,))
            return None
        self._failures.pop(index, None)
        self.unsettled -= 1
        return replace(outcome, attempts=attempts)

    def lost(self, chunk: Sequence[Job], why: str) -> Outcome | None:
        """A worker died of these jobs, perhaps: halve them, until one alone is known as guilty."""
        if len(chunk) == 1:
            return self.settle(Outcome(chunk[0], error=why, again=True))
        middle = len(chunk) // 2
        self.give_back(tuple(chunk)[middle:])
        self.give_back(tuple(chunk)[:middle])
        return None
