"""A batch among hostile events: processes killed, disks full, folders locked, Ctrl-C."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import start

if not Path("/proc/self/stat").exists():
    pytest.skip("looks for processes in /proc", allow_module_level=True)

PATIENCE = 60.0  # seconds after which a test that waits has failed
LINES = [f"This is number {number} of many. Here is another sentence." for number in range(1, 17)]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A file that the built-in voice takes some seconds for."""
    path = tmp_path / "in.txt"
    path.write_text("".join(f"{line}\n" for line in LINES))
    return path


def audio(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.wav")}


def records(folder: Path) -> list[dict[str, object]]:
    path = folder / "manifest.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def children(pid: int) -> dict[int, list[int]]:
    """The processes below one, each with those below it."""
    below: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            below.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found: dict[int, list[int]] = {}
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        found[parent] = below.get(parent, [])
        waiting += found[parent]
    return found


def workers_of(pid: int) -> list[int]:
    """The grandchildren: what the nursery has forked."""
    tree = children(pid)
    return [worker for child in tree[pid] for worker in tree[child]]


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)


def assert_gone(pids: list[int]) -> None:
    """They end without being waited for: they are nobody's children any more, or are zombies."""

    def alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    until(lambda: not any(map(alive, pids)))


def below(pid: int) -> list[int]:
    return [child for found in children(pid).values() for child in found]


def assert_complete(folder: Path) -> None:
    """What an uninterrupted run leaves: every line's audio, and nothing else."""
    found = records(folder)
    assert [record["text"] for record in found] == LINES
    assert {record["path"]: record["sha256"] for record in found} == audio(folder)
    assert {p.name for p in folder.iterdir() if p.suffix != ".wav"} == {"manifest.jsonl"}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The hashes that an uninterrupted run gives."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "in.txt").write_text("".join(f"{line}\n" for line in LINES))
    process = start(["batch", "in.txt", "-q"], folder)
    assert process.communicate(timeout=PATIENCE) == (b"", b"")
    assert process.returncode == 0
    assert_complete(folder / "speech")
    return audio(folder / "speech")


def test_killed_five_times_and_resumed(lines: Path, expected: dict[str, str]) -> None:
    chance = random.Random(4)
    folder = lines.parent / "speech"
    done: list[int] = []
    for _ in range(5):
        process = start(["batch", lines, "--workers", "2"], lines.parent)
        wanted = len(records(folder)) + chance.randint(0, 1)
        until(lambda wanted=wanted: len(list(folder.glob("*.wav"))) >= wanted, process)  # type: ignore[misc]
        time.sleep(chance.random() / 20)
        ours = below(process.pid)
        process.kill()
        process.communicate()
        assert_gone(ours)
        done.append(len(audio(folder)))
    assert done[-1] > 0
    assert done == sorted(done)
    process = start(["batch", lines, "--json"], lines.parent)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, b"")
    spoken = [line for line in out.splitlines() if b"utterance_spoken" in line]
    # Audio whose record was not written yet is done again: one file at most, every time.
    assert len(LINES) - done[-1] <= len(spoken) <= len(LINES) - done[-1] + 1
    assert audio(folder) == expected
    assert_complete(folder)


def test_killed_workers(lines: Path, expected: dict[str, str]) -> None:
    folder = lines.parent / "speech"
    process = start(["batch", lines, "--workers", "2"], lines.parent)
    for count in (1, 5):
        until(lambda count=count: len(records(folder)) >= count, process)  # type: ignore[misc]
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, b"speech/manifest.jsonl\n")
    assert b"workers that died and were replaced: 2\n" in err
    assert audio(folder) == expected
    assert_complete(folder)


def test_killed_nursery(lines: Path, expected: dict[str, str]) -> None:
    """Its workers go on; when one of them is to be replaced, so is it."""
    folder = lines.parent / "speech"
    process = start(["batch", lines, "--workers", "2"], lines.parent)
    until(lambda: len(records(folder)) >= 1, process)
    workers = workers_of(process.pid)
    tree = children(process.pid)
    os.kill(next(child for child in tree[process.pid] if tree[child]), signal.SIGKILL)
    os.kill(workers[0], signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert audio(folder) == expected
    assert_complete(folder)


@pytest.mark.parametrize("number", CODES)
def test_signals(lines: Path, number: signal.Signals, expected: dict[str, str]) -> None:
    folder = lines.parent / "speech"
    process = start(["batch", lines], lines.parent)
    until(lambda: len(records(folder)) >= 2, process)
    ours = below(process.pid)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (CODES[number], b"")
    counts, last = err.decode().splitlines()
    assert counts.endswith("; the same command goes on from here")
    assert last == "ttscli: stopped"
    assert_gone(ours)
    assert not list(folder.glob(".ttscli-*"))
    assert audio(folder).items() <= expected.items()
    assert {record["path"] for record in records(folder)} == audio(folder).keys()


def test_interrupt_from_a_terminal(lines: Path) -> None:
    """It goes to all processes at once, at any moment of their lives."""
    lock = lines.parent / "speech" / ".ttscli.lock"
    for delay in (0, 0.05, 0.1, 0.2, 0.4):
        lock.unlink(missing_ok=True)  # it may stay behind, without meaning
        process = start(["batch", lines, "--overwrite"], lines.parent)
        until(lock.exists, process)
        time.sleep(delay)
        for pid in [process.pid, *below(process.pid)]:
            try:
                os.kill(pid, signal.SIGINT)
            except ProcessLookupError:
                continue
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (130, b""), err
        assert b"Traceback" not in err
        assert err.endswith(b"ttscli: stopped\n")


def test_second_run_in_a_folder_is_refused(lines: Path) -> None:
    lines.write_text(lines.read_text() * 50)
    process = start(["batch", lines], lines.parent)
    until(lambda: len(records(lines.parent / "speech")) >= 1, process)
    for arguments in (["batch", lines], ["batch", lines, "--shard", "1/2"]):
        second = start(arguments, lines.parent)
        out, err = second.communicate(timeout=PATIENCE)
        assert (second.returncode, out) == (8, b"")
        assert err.startswith(b"ttscli: speech: another run is at work here; ")
        assert err.count(b"\n") == 1
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143


def test_shards_at_once(lines: Path, expected: dict[str, str]) -> None:
    folder = lines.parent / "speech"
    shards = [
        start(["batch", lines, "--shard", f"{n}/2", "--workers", "1"], lines.parent) for n in (1, 2)
    ]
    for shard in shards:
        assert shard.communicate(timeout=PATIENCE)[0].startswith(b"speech/manifest-")
        assert shard.returncode == 0
    assert audio(folder) == expected
    whole = start(["batch", lines], lines.parent)
    assert whole.communicate(timeout=PATIENCE)[1] == b"16 of 16 are done already\n"
    assert_complete(folder)


# Disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that has room for a few lines."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk(lines: Path, small_disk: Path, expected: dict[str, str]) -> None:
    folder = small_disk / "speech"
    arguments: list[str | Path] = ["batch", lines, "-o", folder]
    for _ in range(2):
        process = start(arguments, lines.parent)
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (7, b"")
        assert b": No space left on device; free some space" in err.splitlines()[-1]
        assert not list(folder.glob(".ttscli-*.part"))
        assert audio(folder).items() <= expected.items(), "none is cut off"
        assert 0 < len(audio(folder)) < len(LINES)
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    process = start(arguments, lines.parent)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert audio(folder) == expected
    assert_complete(folder)


def test_read_only_disk(lines: Path, small_disk: Path) -> None:
    (small_disk / "speech").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for folder in ("speech", "new"):
        process = start(["batch", lines, "-o", small_disk / folder], lines.parent)
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (7, b"")
        assert b"Read-only file system; write to a folder that is yours" in err
        assert err.count(b"\n") == 1
