"""How the parts of a sentence's arithmetic are shared out among threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Each(Protocol):
    """Calls a function with each of some items, in any order or at once."""

    def __call__(self, function: Callable[[Item], object], items: Iterable[Item], /) -> None: ...


def in_turn(function: Callable[[Item], object], items: Iterable[Item], /) -> None:
    """One item after the other."""
    for item in items:
        function(item)


class StoppedError(Exception):
    """Nobody wants the result of this work any more."""


class Shared:
    """The caller works through the items, and whatever threads of a pool are idle help.

    The caller may be one of the pool's threads itself: it waits for no helper that has not begun.

    Args:
        pool: the threads.
        threads: how many work at once, with the caller's.
    """

    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        self._pool, self._threads = pool, threads
        self._stopped = False

    def __call__(self, function: Callable[[Item], object], items: Iterable[Item], /) -> None:
        """Call the function with each item; raise what a call has raised."""
        waiting = deque(items)

        def work() -> None:
            while True:
                try:
                    item = waiting.popleft()
                except IndexError:  # asking first would race with another thread for the last one
                    return
                self.check()
                function(item)

        self.check()
        helpers = min(self._threads, len(waiting)) - 1
        futures = [self._pool.submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            begun = [future for future in futures if not future.cancel()]
            for future in begun:
                future.result()

    def stop(self) -> None:
        """Have all work that is or will be in hand raise `StoppedError` at its next item."""
        self._stopped = True

    def check(self) -> None:
        """Raise `StoppedError` if the work is to stop."""
        if self._stopped:
            raise StoppedError
