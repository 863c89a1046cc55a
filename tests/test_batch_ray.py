"""The Ray engine: on one machine, and on a cluster of several nodes whose parts are killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import batch_voices
import pytest
from commands import start

from ttscli import Synthesizer
from ttscli.batch.jobs import VoiceOptions
from ttscli.batch.keys import Keys
from ttscli.batch.ray_engine import Actor, RayEngine
from ttscli.batch.runner import Batch, Failure, Request
from ttscli.batch.workers import Orders
from ttscli.errors import TemporaryError, VoiceError
from ttscli.events import Event, WorkerLost

pytestmark = pytest.mark.ray
ray = pytest.importorskip("ray")

LINES = [f"slow 0.{number % 10}" for number in range(30)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Three nodes of one processor each, the first without any: only it lives to the end."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for the voices that stand in
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def run(lines: list[str], engine: RayEngine, folder: str = "out") -> list[Failure]:
    Path("in.txt").write_text("".join(f"{line}\n" for line in lines))
    return Batch(Request("in.txt", Path(folder))).run(engine)


def test_what_fails_the_check_can_be_accepted(here: Path, cluster: Any) -> None:
    """Its audio and its attention come back from the actors."""
    Path("in.txt").write_text("One.\nendless.\nfail\n")
    engine = RayEngine(load=batch_voices.load, workers=1)
    request = Request("in.txt", Path("out"), keep_going=True)
    failures = Batch(request).run(engine)
    assert [(failure.where, failure.spoken) for failure in failures] == [
        ("in.txt:2", True), ("in.txt:3", False),
    ]  # fmt: skip
    lines = Path("out/manifest.jsonl").read_text().splitlines()
    _, endless, failed = map(json.loads, lines)
    assert (endless["status"], endless["attention"]["problems"]) == ("failed", ["it does not stop"])
    audio = Path("out/00002.wav").read_bytes()
    assert hashlib.sha256(audio).hexdigest() == endless["sha256"]
    assert failed["sha256"] is None
    assert Batch(request).plan().left == 1
    assert Batch(Request("in.txt", Path("out"))).plan().left == 2


def assert_whole(lines: list[str], failed: list[int]) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in Path("out/manifest.jsonl").read_bytes().splitlines()]
    assert [record["text"] for record in records] == lines
    assert [r["index"] for r in records if r["status"] == "failed"] == failed
    for record in records:
        if record["status"] == "ok":
            data = Path("out", record["path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == record["sha256"]
    return records


def actors() -> list[int]:
    """Processes of our actors on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::Actor"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def kill_an_actor() -> None:
    deadline = time.monotonic() + 60
    while not actors():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(actors()[0], signal.SIGKILL)


def test_same_bytes_with_two_actors(here: Path) -> None:
    """With the built-in voice, against synth."""
    lines = [f"Number {n} is here. And so am I." for n in range(1, 9)]
    (here / "in.txt").write_text("".join(f"{line}\n" for line in lines))
    arguments = ["batch", "in.txt", "--engine", "ray", "--workers", "2", "-o", "out"]
    process = start(arguments, here)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, b"out/manifest.jsonl\n"), err
    assert err.startswith(b"8 spoken: ")
    assert err.count(b"\n") == 1
    tts = Synthesizer.from_voice("small", device="cpu")
    for number, line in enumerate(lines, start=1):
        assert (here / f"out/{number:05d}.wav").read_bytes() == tts(line).wav()
    assert start([*arguments[:2], "-o", "out", "-q"], here).wait(60) == 0, "and resumes locally"


def test_poison_and_killed_actors(here: Path, cluster: Any) -> None:
    lines = [*LINES[:7], "die", *LINES[7:], "mute", "fail"]
    lost: list[Event] = []
    engine = RayEngine(load=batch_voices.load, workers=2, tries=3, on_event=lost.append)
    killer = threading.Thread(target=kill_an_actor)
    killer.start()
    failures = run(lines, engine)
    killer.join()
    assert [failure.where for failure in failures] == ["in.txt:8", "in.txt:32", "in.txt:33"]
    records = assert_whole(lines, [8, 32, 33])
    assert [records[index]["attempts"] for index in (7, 31, 32)] == [3, 1, 3]
    assert len(lost) >= 3
    assert all(isinstance(event, WorkerLost) for event in lost)


def test_poison_in_a_chunk(here: Path, cluster: Any) -> None:
    """It is bisected, and all the others are spoken."""
    lines = [*LINES[:7], "die", *LINES[7:12]]
    engine = RayEngine(load=batch_voices.load, workers=2, batch_size=2, tries=2)
    assert [failure.where for failure in run(lines, engine)] == ["in.txt:8"]
    assert_whole(lines, [8])


def test_removed_node(here: Path, cluster: Any) -> None:
    """The number of actors is not given: there is always one more than have answered."""
    lost: list[Event] = []
    engine = RayEngine("of the test", load=batch_voices.load, on_event=lost.append)

    def remove() -> None:
        deadline = time.monotonic() + 60
        while len(actors()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        cluster.remove_node(cluster.workers[0], allow_graceful=False)

    remover = threading.Thread(target=remove)
    remover.start()
    assert run(LINES * 2, engine) == []
    remover.join()
    assert lost
    assert_whole(LINES * 2, [])


def test_command_on_a_cluster(here: Path, cluster: Any) -> None:
    """Its output is clean, whatever Ray has to say about an actor that is killed."""
    lines = "".join(f"Sentence {n}. And another one.\n" for n in range(40))
    (here / "in.txt").write_text(lines)
    arguments = ["batch", "in.txt", "--engine", "ray", "--ray-address", cluster.address]
    process = start(arguments, here)
    while len(list(here.glob("speech/*.wav"))) < 5:
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(actors()[0], signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, b"speech/manifest.jsonl\n"), err
    died, summary = err.decode().splitlines()
    assert died == "workers that died and were replaced: 1"
    assert summary.startswith("40 spoken: ")


def test_no_room(here: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttscli.batch.ray_engine._PATIENCE", 3.0)
    for node in cluster.workers:
        cluster.remove_node(node)
    with pytest.raises(TemporaryError, match="no actor found room"):
        run(LINES, RayEngine("of the test", load=batch_voices.load))


def test_another_voice_elsewhere() -> None:
    options = VoiceOptions()
    orders = Orders(batch_voices.load, 0, (options,), ("cpu",))
    Actor(orders, {options: Keys().head(options)}).ping()
    with pytest.raises(VoiceError, match="another one than here"):
        Actor(orders, {options: "0" * 32}).ping()


def test_an_address_where_nothing_is(here: Path) -> None:
    (here / "in.txt").write_text("Hi.\n")
    arguments = ["batch", "in.txt", "--engine", "ray", "--ray-address", "127.0.0.1:1"]
    process = start(arguments, here)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (5, b"")
    assert b"Ray cannot be reached at 127.0.0.1:1" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals(here: Path, number: signal.Signals, code: int) -> None:
    (here / "in.txt").write_text("A sentence. And another one.\n" * 500)
    process = start(["batch", "in.txt", "--engine", "ray", "--workers", "2"], here)
    while not list(here.glob("speech/*.wav")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert err.endswith(b"ttscli: stopped\n")
    assert not list(here.glob("speech/.ttscli-*"))


def test_killed_driver(here: Path) -> None:
    lines = "".join(f"Sentence {n}. And another one.\n" for n in range(60))
    (here / "in.txt").write_text(lines)
    arguments = ["batch", "in.txt", "--engine", "ray", "--workers", "2"]
    process = start(arguments, here)
    while len(list(here.glob("speech/*.wav"))) < 5:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while actors():
        assert time.monotonic() < deadline, "actors outlive their driver"
        time.sleep(0.1)
    again = start([*arguments, "--json"], here)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert 0 < out.count(b"utterance_spoken") <= 56
    assert len(list(here.glob("speech/*.wav"))) == 60
