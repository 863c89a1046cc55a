"""Work that is shared out among threads is done once, wherever it is called from."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ttscli.cpu.sharing import Each, Shared, StoppedError, in_turn


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("items", [0, 1, 2, 100])
def test_each_item_once(threads: int, items: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for each in (in_turn, Shared(pool, threads)):
            done: list[int] = []
            each(done.append, range(items))
            assert sorted(done) == list(range(items))


def test_idle_threads_help() -> None:
    """Both items are in work at once, or the barrier would break."""
    together = threading.Barrier(2, timeout=30)
    with ThreadPoolExecutor(2) as pool:
        Shared(pool, 2)(lambda _: together.wait(), range(2))


def test_busy_threads_are_not_waited_for() -> None:
    """Every thread of the pool shares out its own work while no other is free to help."""
    started = threading.Barrier(3, timeout=30)

    def sentence(each: Each) -> int:
        started.wait()
        done: list[int] = []
        each(done.append, range(50))
        return len(done)

    with ThreadPoolExecutor(3) as pool:
        each = Shared(pool, 3)
        assert [f.result(30) for f in [pool.submit(sentence, each) for _ in range(3)]] == [50] * 3


@pytest.mark.parametrize("fails", [0, 7])
def test_an_error_is_raised(fails: int) -> None:
    def work(item: int) -> None:
        if item == fails:
            raise ValueError(f"item {item}")

    with ThreadPoolExecutor(3) as pool, pytest.raises(ValueError, match=f"item {fails}"):
        Shared(pool, 3)(work, range(8))


def test_stopped_work_ends_at_its_next_item() -> None:
    done: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        each = Shared(pool, 2)

        def work(item: int) -> None:
            done.append(item)
            each.stop()

        with pytest.raises(StoppedError):
            each(work, range(100))
        with pytest.raises(StoppedError):
            each(work, range(100))
    assert 1 <= len(done) <= 2
