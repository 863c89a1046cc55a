"""Batches: the same bytes in every way, nothing lost and nothing done twice, whatever fails."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import batch_voices
import pytest

from ttscli import Synthesizer
from ttscli.batch.chunks import Chunks
from ttscli.batch.folder import Shard, hold_folder, manifest_name
from ttscli.batch.jobs import Job, VoiceOptions
from ttscli.batch.local import LocalEngine
from ttscli.batch.manifest import Manifest
from ttscli.batch.ray_engine import RayEngine
from ttscli.batch.runner import Batch, Engine, Failure, Request
from ttscli.batch.speaking import LoadVoice, Outcome, Speaker, fitting_batch_size, load_voice
from ttscli.batch.workers import READY, Orders, Spawner
from ttscli.batch_console import make_batch_reporter, show_plan
from ttscli.errors import (
    InputErrors,
    LockedError,
    SpeechError,
    TemporaryError,
    TTSError,
    UsageError,
)
from ttscli.events import BatchFinished, BatchPlanned, Event, UtteranceSpoken, WorkerLost
from ttscli.voices import find_voice

LINES = [f"Line {number}." for number in range(1, 21)]


class InProcess:
    """An engine without processes, which remembers what it was given."""

    def __init__(
        self, batch_size: int = 0, chunk: int = 1, load: LoadVoice = batch_voices.load
    ) -> None:
        self.speaker = Speaker(load, batch_size)
        self.chunk, self.spoken = chunk, 0

    def speak(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        chunks = Chunks(jobs, self.chunk, 1)
        while chunk := chunks.take():
            for outcome in self.speaker.speak(chunk):
                self.spoken += 1
                yield outcome


def local(**options: Any) -> LocalEngine:
    return LocalEngine(load=batch_voices.load, **{"workers": 2, **options})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(lines: Sequence[str], name: str = "in.txt") -> str:
    Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return name


def run(
    lines: Sequence[str] | str, engine: Engine | None = None, folder: str = "out", **more: Any
) -> tuple[list[Failure], list[Event]]:
    """Run a batch; its failures and events."""
    events: list[Event] = []
    source = lines if isinstance(lines, str) else write(lines)
    batch = Batch(Request(source, Path(folder), **more), events.append)
    return batch.run(engine or InProcess()), events


def records(path: str = "out/manifest.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


def audio(folder: str = "out") -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in Path(folder).glob("*.wav")}


def assert_whole(lines: Sequence[str], folder: str = "out", failed: Sequence[int] = ()) -> None:
    """One record for each line, in order, each true; and nothing else in the folder."""
    found = records(f"{folder}/manifest.jsonl")
    assert [record["index"] for record in found] == list(range(1, len(lines) + 1))
    assert [record["text"] for record in found] == list(lines)
    files = audio(folder)
    for record in found:
        assert (record["status"] == "failed") == (record["index"] in failed), record
        if record["status"] == "ok":
            assert files.pop(record["path"]) == record["sha256"]
    names = {path.name for path in Path(folder).iterdir() if path.suffix != ".wav"}
    assert names == {"manifest.jsonl"}


def spoken(events: Sequence[Event]) -> list[int]:
    return sorted(event.index for event in events if isinstance(event, UtteranceSpoken))


# Same bytes


def test_every_way_gives_the_same_bytes(here: Path) -> None:
    """With the built-in voice: synth, workers, batch sizes, shards."""
    lines = [
        f"Number {n} is here. And so am I." if n % 3 else f"{n} 😀 it is!" for n in range(1, 8)
    ]
    write(lines)
    tts = Synthesizer.from_voice("small", device="cpu")
    expected = {}
    for number, line in enumerate(lines, start=1):
        name = f"{number:05d}.wav"
        expected[name] = hashlib.sha256(tts(line, seed=3).wav()).hexdigest()
    ways: dict[str, dict[str, Any]] = {
        "one": {"workers": 1},
        "two": {"workers": 2, "batch_size": 1},
        "seven": {"workers": 1, "batch_size": 7},
    }
    for name, options in ways.items():
        assert run("in.txt", LocalEngine(**options), name, seed=3)[0] == []
        assert audio(name) == expected, name
        assert_whole(lines, name)
    for number in (2, 1):
        assert run("in.txt", LocalEngine(), "shards", seed=3, shard=Shard(number, 2))[0] == []
    assert audio("shards") == expected
    merged = [r for n in (1, 2) for r in records(f"shards/manifest-{n}-of-2.jsonl")]
    merged.sort(key=lambda record: int(record["index"]))
    clock = {"elapsed_s": 0}
    assert [r | clock for r in merged] == [r | clock for r in records("one/manifest.jsonl")]


def test_record(here: Path) -> None:
    source = write(["id,text,seed", "a,Hi.,5"], "in.csv")
    run(source)
    data = Path("out/a.wav").read_bytes()
    record = records()[0]
    key, elapsed = record.pop("key"), record.pop("elapsed_s")
    assert len(key) == 32
    assert elapsed >= 0
    assert record == {
        "id": "a", "index": 1, "text": "Hi.", "path": "a.wav", "status": "ok", "error": None,
        "duration_s": 100 / 22050, "sample_rate": 22050, "samples": 100,
        "sha256": hashlib.sha256(data).hexdigest(), "seed": 5, "voice": "small", "attempts": 1,
        "attention": {
            "ended": True, "coverage": 1.0, "skipped": 0, "unread": 0, "back": 0, "stall_s": 0.25,
            "rate": 12.5, "problems": [], "tries": 1,
        },
    }  # fmt: skip


def test_speed_and_sample_rate(here: Path) -> None:
    """With the built-in voice: files are those of synth, whatever a row asks for."""
    source = write(["id,text,speed,sample_rate", "a,Hi.,1.5,16000", "b,Hi.,,"], "in.csv")
    assert run(source, InProcess(load=load_voice), options=VoiceOptions(speed=0.8))[0] == []
    for name, speed, rate in (("a", 1.5, 16000), ("b", 0.8, None)):
        speech = Synthesizer.from_voice("small", device="cpu", speed=speed)("Hi.")
        speech.save("expected.wav", sample_rate=rate)
        assert Path(f"out/{name}.wav").read_bytes() == Path("expected.wav").read_bytes()
    first, _ = records()
    assert first["sample_rate"] == 16000
    assert first["samples"] == -(
        -len(Synthesizer.from_voice("small", device="cpu", speed=1.5)("Hi.").samples) * 320 // 441
    )


def test_events(here: Path) -> None:
    _, events = run(["Hi.", "endless."])
    planned, first, failed, finished = events
    assert planned == BatchPlanned(2, 0, 2, 11, 11 * 0.065, "", 0)
    assert isinstance(first, UtteranceSpoken)
    assert (first.index, first.path, first.characters) == (1, "00001.wav", 3)
    assert type(failed).__name__ == "UtteranceFailed"
    assert isinstance(finished, BatchFinished)
    assert (finished.spoken, finished.failed, finished.done) == (1, 1, 0)


@pytest.mark.parametrize("chunk", [1, 8])
def test_overflow_is_told_of_its_line(
    here: Path, chunk: int, capsys: pytest.CaptureFixture[str]
) -> None:
    _, events = run(["Hi.", "large.", "Bye."], InProcess(batch_size=2, chunk=chunk))
    told = {event.index: event for event in events if isinstance(event, UtteranceSpoken)}
    assert {index: event.overflowed for index, event in told.items()} == {1: 0, 2: 1, 3: 0}
    with make_batch_reporter(False, False, True) as report:
        report(told[2])
    assert "00002.wav, 0.00 s, 1 computed again in fp32" in capsys.readouterr().err


# Resuming


def test_nothing_is_done_twice(here: Path) -> None:
    run(LINES)
    engine = InProcess()
    _, events = run(LINES, engine)
    assert engine.spoken == 0
    assert isinstance(events[0], BatchPlanned)
    assert (events[0].done, events[0].left) == (20, 0)
    run(LINES, engine, overwrite=True)
    assert engine.spoken == 20
    assert_whole(LINES)


def test_changes_redo_just_those_lines(here: Path) -> None:
    run(LINES)
    before = audio()
    changed = [*LINES]
    changed[3] = "Something else."
    _, events = run([*changed, "One more."])
    assert spoken(events) == [4, 21]
    assert {name for name, digest in audio().items() if before.get(name) != digest} == {
        "00004.wav",
        "00021.wav",
    }
    assert_whole([*changed, "One more."])


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"options": VoiceOptions(sigma=0.1)},
        {"options": VoiceOptions(pause=0.1)},
        {"options": VoiceOptions(speed=1.25)},
        {"options": VoiceOptions(sample_rate=16000)},
    ],
)
def test_changed_options_redo_all(here: Path, change: dict[str, Any]) -> None:
    run(LINES)
    assert len(spoken(run(LINES, **change)[1])) == 20
    assert_whole(LINES)


def test_options_that_are_the_voices_own_change_nothing(here: Path) -> None:
    run(LINES)
    own = VoiceOptions(sigma=find_voice("small").sigma, denoise=0.0)
    assert spoken(run(LINES, options=own)[1]) == []


def test_changed_voice_redoes_all(here: Path, harmonic_voice: Path) -> None:
    import shutil

    shutil.copytree(harmonic_voice, "voice")
    options = VoiceOptions(voice="voice")
    run(LINES, options=options)
    manifest = json.loads(Path("voice/voice.json").read_text())
    Path("voice/voice.json").write_text(json.dumps(manifest | {"description": "another"}))
    assert spoken(run(LINES, options=options)[1]) == []
    Path("voice/voice.json").write_text(json.dumps(manifest | {"sigma": 0.2}))
    assert len(spoken(run(LINES, options=options)[1])) == 20
    data = bytearray(Path("voice/waveglow.safetensors").read_bytes())
    data[-1] ^= 1
    Path("voice/waveglow.safetensors").write_bytes(data)
    assert len(spoken(run(LINES, options=options)[1])) == 20


def test_spoilt_audio_is_redone(here: Path) -> None:
    run(LINES)
    before = audio()
    Path("out/00002.wav").unlink()
    with Path("out/00005.wav").open("r+b") as file:
        file.truncate(60)
    data = bytearray(Path("out/00007.wav").read_bytes())
    data[100] ^= 1
    Path("out/00007.wav").write_bytes(data)
    Path("out/00009.wav").write_bytes(b"")
    assert spoken(run(LINES)[1]) == [2, 5, 7, 9]
    assert audio() == before
    assert_whole(LINES)


def test_torn_manifest_is_repaired_wherever_it_is_torn(here: Path) -> None:
    lines = LINES[:4]
    run(lines)
    before = audio()
    whole = Path("out/manifest.jsonl").read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for end in [*range(start, len(whole), 13), len(whole) - 1]:
        Path("out/manifest.jsonl").write_bytes(whole[:end])
        assert spoken(run(lines)[1]) == [4], end
        assert_whole(lines)
        assert audio() == before


def test_damaged_lines_of_the_manifest_do_not_count(here: Path) -> None:
    run(LINES)
    found = Path("out/manifest.jsonl").read_bytes().splitlines(keepends=True)
    found[2] = b"\0" * 100 + b"\n"
    found[5] = b'{"index": 6}\n'
    found[7] = b"\xff\xfe[\n"
    Path("out/manifest.jsonl").write_bytes(b"".join(found))
    _, events = run(LINES)
    assert spoken(events) == [3, 6, 8]
    assert isinstance(events[0], BatchPlanned)
    assert events[0].damaged_lines == 3
    assert_whole(LINES)


@pytest.mark.parametrize(
    ("damaged", "done", "said"),
    [
        (
            1,
            1,
            ["1 line of the manifest cannot be read and does not count", "1 of 3 is done already"],
        ),
        (
            2,
            2,
            ["2 lines of the manifest cannot be read and do not count", "2 of 3 are done already"],
        ),
    ],
)
def test_one_is_not_said_as_many(
    damaged: int, done: int, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with make_batch_reporter(False, False, False) as report:
        report(BatchPlanned(3, done, 3 - done, 1, 1.0, "", damaged))
    assert capsys.readouterr().err.splitlines() == said
    show_plan(BatchPlanned(1, 0, 1, 1, 1.0, "", 0), "a", "a", as_json=False)
    assert capsys.readouterr().out.startswith("1 utterance: 0 done, 1 to speak\n1 character, ")


def test_failures_are_tried_again(here: Path) -> None:
    lines = [*LINES[:3], "mute", "fail now", "endless."]
    failures, _ = run(lines)
    assert [(f.where, f.error.split(";")[0]) for f in failures] == [
        ("in.txt:4", "there is nothing to say"),
        ("in.txt:5", "ZeroDivisionError: division by zero"),
        ("in.txt:6", '1 of 1 sentence was not read right: 1 "endless." (it does not stop)'),
    ]
    assert_whole(lines, failed=[4, 5, 6])
    unspoken, read = (record["attention"] for record in records()[-2:])
    assert unspoken is None
    assert (read["ended"], read["problems"]) == (False, ["it does not stop"])
    assert Path("out/00006.wav").exists(), "what there is can be listened to, as with synth"
    assert [f.where for f in run(lines)[0]] == [f.where for f in failures]
    lines[3:] = ["One.", "Two.", "Three."]
    assert run(lines)[0] == []
    assert_whole(lines)


def test_audio_of_an_earlier_text_is_not_left(here: Path) -> None:
    run(["One.", "Two."])
    run(["One.", "mute"])
    assert set(audio()) == {"00001.wav"}


def test_fail_fast(here: Path) -> None:
    lines = [*LINES[:3], "mute", *LINES[3:]]
    with pytest.raises(SpeechError, match=r"in\.txt:4: there is nothing to say"):
        run(lines, fail_fast=True)
    assert len(records()) == 4


def test_rows_with_options_of_their_own(here: Path) -> None:
    rows = ["id,text,sigma,seed", "a,Hi.,0.5,", "b,Hi.,,", "c,Hi.,0.5,9", "d,Hi.,0.25,"]
    run(write(rows, "in.csv"))
    assert len(set(audio().values())) == 4
    assert [record["id"] for record in records()] == ["a", "b", "c", "d"]
    before = audio()
    rows[2] = "b,Hi.,0.5,"
    assert spoken(run(write(rows, "in.csv"))[1]) == [2]
    assert audio() == before | {"b.wav": before["a.wav"]}


def test_rows_with_voices_that_are_not_there(here: Path) -> None:
    with pytest.raises(InputErrors) as caught:
        run(write(["id,text,voice", "a,Hi.,", "b,Hi.,nobody"], "in.csv"))
    assert str(caught.value.errors[0]).startswith("in.csv:3: unknown voice 'nobody'")
    assert not Path("out").exists()
    rows = ["id,text,voice,seed", "a,,,", "b,Hi.,nobody,x", "c,Hi.,nobody,", "d,Hi.,,-1"]
    with pytest.raises(InputErrors) as caught:
        run(write(rows, "in.csv"))
    named = [(error.where, error.what.split(";")[0]) for error in caught.value.errors]
    assert [where for where, _ in named] == [f"in.csv:{line}" for line in (2, 3, 3, 4, 5)]
    assert [what for _, what in named if "nobody" in what] == ["unknown voice 'nobody'"] * 2


# Shards and locks


def test_shards_side_by_side_then_whole(here: Path) -> None:
    for number in (1, 2, 3):
        run(LINES, shard=Shard(number, 3))
    assert len(list(Path("out").glob("manifest-*-of-3.jsonl"))) == 3
    _, events = run(LINES)
    assert spoken(events) == []
    assert_whole(LINES)


def test_shard_knows_what_a_whole_run_did(here: Path) -> None:
    run(LINES[:6])
    assert spoken(run(LINES, shard=Shard(1, 2))[1]) == list(range(7, 21, 2))
    changed = [f"{line} Changed." for line in LINES]
    run(changed, shard=Shard(1, 2))
    assert spoken(run(changed, shard=Shard(1, 2))[1]) == []


def test_locks(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttscli.batch.folder._GATE_WAIT", 0.1)
    out = Path("out")
    one, two, other = Shard(1, 4), Shard(2, 4), Shard(1, 2)
    with hold_folder(out):
        for shard in (None, one):
            with pytest.raises(LockedError, match="another run"), hold_folder(out, shard):
                pass
    with hold_folder(out, one):
        with hold_folder(out, two):
            pass
        for shard in (None, one, other):
            with pytest.raises(LockedError), hold_folder(out, shard):
                pass
    with hold_folder(out):
        out.joinpath("x").touch()
    assert [path.name for path in out.iterdir()] == ["x"]


def test_parts_of_killed_runs_are_removed(here: Path) -> None:
    out = Path("out")
    out.mkdir()
    ours, other, foreign = (
        out / f".ttscli-{name}.part" for name in ("batch-1-of-2-ab", "batch-2-of-2-ab", "ab")
    )
    for path in (ours, other, foreign):
        path.touch()
    with hold_folder(out, Shard(1, 2)):
        assert not ours.exists()
        assert other.exists(), "shard 2 may be at work"
    with hold_folder(out):
        assert not other.exists()
    assert foreign.exists(), "synth may be at work"


def test_manifests_merge_with_cat(here: Path) -> None:
    for number in (1, 2):
        run(LINES, folder=f"out{number}", shard=Shard(number, 2))
    Path("all").mkdir()
    joined = b""
    for number in (1, 2):
        for path in Path(f"out{number}").glob("*.wav"):
            path.rename(Path("all", path.name))
        joined += Path(f"out{number}", manifest_name(Shard(number, 2))).read_bytes()
    Path("all/manifest.jsonl").write_bytes(joined)
    assert spoken(run(LINES, folder="all")[1]) == []
    assert_whole(LINES, "all")


# The local engine


def test_workers_that_die_are_replaced(here: Path) -> None:
    lines = [*LINES[:5], "die", *LINES[5:], f"flaky {here / 'once'}", f"flaky {here / 'again'}"]
    lost: list[Event] = []
    failures, _ = run(lines, local(batch_size=1, on_event=lost.append))
    assert [(f.where, f.error) for f in failures] == [
        ("in.txt:6", "its process was killed by SIGKILL; is there enough memory?")
    ]
    assert_whole(lines, failed=[6])
    attempts = {record["text"].split()[0]: record["attempts"] for record in records()}
    assert attempts == {"Line": 1, "die": 3, "flaky": 2}
    assert lost == [WorkerLost("its process was killed by SIGKILL; is there enough memory?")] * 5
    assert run(["Fine now." if line == "die" else line for line in lines], local())[0] == []


def test_dying_in_a_chunk_of_many(here: Path) -> None:
    """It is halved until one is left, and all the others are spoken."""
    lines = [*LINES[:9], "die", *LINES[9:]]
    failures, _ = run(lines, local(batch_size=4, tries=2))
    assert [f.where for f in failures] == ["in.txt:10"]
    assert_whole(lines, failed=[10])


def test_spawned_workers(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU or on Windows."""
    engine = local(batch_size=2)
    engine._shares_memory = False
    lines = [*LINES[:3], "die", *LINES[3:]]
    assert [f.where for f in run(lines, engine)[0]] == ["in.txt:4"]
    assert_whole(lines, failed=[4])


def test_workers_that_cannot_begin(here: Path) -> None:
    for shares, kind, match in (
        (True, TTSError, "cannot be loaded: its process was killed by SIGKILL"),
        (False, TemporaryError, "no worker lives long enough to begin"),
    ):
        engine = LocalEngine(workers=2, load=batch_voices.load_in_vain)
        engine._shares_memory = shares
        with pytest.raises(kind, match=match):
            run(LINES, engine)


def test_retries_of_what_may_pass(here: Path) -> None:
    failures, _ = run(["full", "Hi."], local())
    assert [f.error for f in failures] == ["there is not enough free memory on cuda"]
    assert [record["attempts"] for record in records()] == [3, 1]


def test_large_texts_do_not_block(here: Path) -> None:
    """Both pipes are full at once: a line is larger than they, and so is its audio's record."""
    lines = [f"{number} " + "é" * 99_000 for number in range(8)]
    assert run(lines, local(workers=1))[0] == []
    assert_whole(lines)


# What a GPU does, on a CPU


def speak_in_batches(voice: batch_voices.FakeVoice, jobs: int, batch_size: int) -> list[Outcome]:
    options = VoiceOptions()
    speaker = Speaker(lambda _: voice, batch_size)
    chunk = [Job(n, str(n), f"Line {n}.", f"{n}.wav", n, options, n) for n in range(jobs)]
    return list(speaker.speak(chunk))


def test_batches_halve_when_memory_runs_out() -> None:
    expected = [o.audio for o in speak_in_batches(batch_voices.load(VoiceOptions()), 20, 16)]
    tight = batch_voices.FakeVoice(VoiceOptions(), most_together=5)
    outcomes = speak_in_batches(tight, 20, 16)
    assert [outcome.audio for outcome in outcomes] == expected
    assert [outcome.job.index for outcome in outcomes] == list(range(20))
    assert tight.batches == [16, 8, 4, 4, 4, 4, 4]
    hopeless = batch_voices.FakeVoice(VoiceOptions(), most_together=0)
    assert {o.error for o in speak_in_batches(hopeless, 4, 2)} == {""}, "alone they are streamed"
    assert hopeless.batches == [2, 1, 1, 1]


def test_memory_is_given_back_when_nothing_holds_what_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[object] = []
    monkeypatch.setattr("ttscli.batch.speaking.free_memory", lambda: held.append(sys.exc_info()[1]))
    tight = batch_voices.FakeVoice(VoiceOptions(), most_together=5)
    assert len(speak_in_batches(tight, 20, 16)) == 20
    assert held == [None, None]


def test_batch_size_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for free, expected in ((80 << 30, 64), (24 << 30, 32), (4 << 30, 4), (1 << 29, 1)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert fitting_batch_size("cuda:0") == expected
    assert fitting_batch_size("cpu") == 8


def test_one_bad_line_in_a_batch(here: Path) -> None:
    lines = [*LINES[:6], "mute", *LINES[6:]]
    failures, _ = run(lines, InProcess(batch_size=4, chunk=16))
    assert [f.where for f in failures] == ["in.txt:7"]
    assert_whole(lines, failed=[7])


def test_behind_a_bad_line_it_goes_on_in_batches(here: Path) -> None:
    def batches(lines: Sequence[str]) -> list[int]:
        engine = InProcess(batch_size=4, chunk=32)
        run(lines, engine, overwrite=True)
        [voice] = engine.speaker._voices.values()
        assert isinstance(voice, batch_voices.FakeVoice)
        return voice.batches

    assert batches([*LINES[:6], "mute", *LINES[6:16]]) == [4, 4, 4, 4, 2]
    assert batches(["fail now"] * 9) == [4, 4, 4], "then it is given up"


def test_sentences_of_a_like_length_go_together(harmonic_voice: Path) -> None:
    """And come back in order, with their own seeds."""
    tts = Synthesizer.from_voice(harmonic_voice, device="cpu")
    texts = [f"{'Word ' * (n * 7 % 10 + 1)}. And {n}." for n in range(12)]
    alone = [tts(text, seed=n).samples for n, text in enumerate(texts)]
    lengths: list[int] = []
    speak = tts.engine.speak

    def watched(readings: Any, batch_size: int = 1) -> Any:
        listed = list(readings)
        lengths.extend(len(reading.ids) for reading in listed)
        return speak(listed, batch_size)

    tts.engine.speak = watched  # type: ignore[method-assign]
    together = [speech.samples for speech in tts.map(texts, range(12), batch_size=3)]
    assert [s.tolist() for s in together] == [s.tolist() for s in alone]
    assert lengths == sorted(lengths)


def test_every_gpu_has_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    loaded: list[str] = []

    def load(options: VoiceOptions) -> batch_voices.FakeVoice:
        loaded.append(options.device)
        return batch_voices.FakeVoice(options)

    engine = LocalEngine("cuda", load=load)
    assert (engine._workers, engine._shares_memory) == (3, False)
    for number in range(4):
        Orders(load, 0, (VoiceOptions(),), engine._devices).speaker(number)
    assert loaded == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]


def test_who_takes_a_dead_workers_place_takes_its_gpu(tmp_path: Path) -> None:
    noted = tmp_path / "devices"
    options = VoiceOptions(lexicon=str(noted))
    orders = Orders(batch_voices.load_and_note, 1, (options,), ("cuda:0", "cuda:1"))
    connections = []  # without which workers end by themselves
    with closing(Spawner(orders)) as spawner:

        def start(number: int) -> str:
            connections.append(spawner.start(number))
            assert connections[-1].recv() == READY
            return noted.read_text().split()[-1]

        assert [start(0), start(1)] == ["cuda:0", "cuda:1"]
        for number, device in ((1, "cuda:1"), (0, "cuda:0")):
            spawner._processes[number].kill()
            assert "SIGKILL" in spawner.cause_of_death(number)
            assert start(number + 2) == device


def test_more_workers_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for count, told in ((1, "there is one GPU"), (2, "there are 2 GPUs")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert LocalEngine("cuda", workers=count)._workers == count
        with pytest.raises(UsageError, match=f"{count + 1} workers are too many: {told}"):
            LocalEngine("cuda", workers=count + 1)
    for device in ("cuda:1", "mps"):
        with pytest.raises(UsageError, match="2 workers are too many: there is one GPU"):
            LocalEngine(device, workers=2)


def test_ray_gives_an_actor_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    assert RayEngine(device="cuda")._gpus == 1
    assert RayEngine(device="cpu")._gpus == 0
    with pytest.raises(UsageError, match="Ray chooses each actor's GPU itself; use --device cuda"):
        RayEngine(device="cuda:1")


# Chunks


def test_chunks_settle_every_job_once() -> None:
    """Whatever dies and in whatever order, and poison costs no other job its life."""
    options = [VoiceOptions(), VoiceOptions(sigma=0.5)]
    for seed in range(100):
        chance = random.Random(seed)
        jobs = [Job(n, str(n), "x", "x", 0, options[n // 13], n) for n in range(25)]
        poison = set(chance.sample(range(25), 3))
        chunks = Chunks(jobs, chance.randint(1, 8), 3)
        settled: Counter[int] = Counter()
        while chunks.unsettled:
            chunk = chunks.take()
            assert len({job.options for job in chunk}) == 1
            for position, job in enumerate(chunk):
                if job.index in poison:
                    outcome = chunks.lost(chunk[position:], "died")
                    if outcome:
                        assert outcome.job.index in poison
                        assert outcome.attempts == 3
                        settled[outcome.job.index] += 1
                    break
                outcome = chunks.settle(Outcome(job))
                assert outcome == replace(Outcome(job), attempts=1)
                settled[job.index] += 1
        assert settled == Counter(range(25))
        assert not len(chunks)


def test_manifest_appends_in_one_piece(here: Path) -> None:
    run(LINES)
    manifest = Manifest(Path("out"))
    assert sorted(manifest.entries) == sorted(audio())
    assert not manifest.damaged


def test_the_benchmark_goes_through_a_batch() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "batch.py"
    done = subprocess.run(
        [sys.executable, str(script), "--scale", "20"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["lines"] == 20
