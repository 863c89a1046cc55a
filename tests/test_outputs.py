"""What else a speech becomes: pictures, subtitles of batches, sound from a player."""

from __future__ import annotations

import json
import re
import wave
from pathlib import Path

import numpy as np
import pytest
from test_batch import InProcess, here, records, run, spoken, write
from test_cli import Run, files
from test_cli import run as command

from ttscli import Synthesizer
from ttscli.batch.jobs import VoiceOptions
from ttscli.batch.speaking import load_voice
from ttscli.errors import UsageError
from ttscli.subtitles import open_subtitles

__all__ = ["command", "here"]


def player(folder: Path, script: str, name: str = "aplay") -> None:
    """A player that is a script."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def players(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "players"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_speed_rate_and_subtitles_reach_the_files(command: Run, tiny_voice: Path) -> None:
    done = command(
        "synth", "Hello there. Bye.", "--speed", "1.5", "--sample-rate", "16000", "--subtitles",
        "x.json", "-o", "x.wav",
    )  # fmt: skip
    assert (done.code, done.out) == (0, b"x.wav\n"), done.err
    assert files() == ["x.json", "x.wav"]
    speech = Synthesizer.from_voice(tiny_voice, speed=1.5)("Hello there. Bye.")
    speech.save("y.wav", sample_rate=16000)
    assert Path("x.wav").read_bytes() == Path("y.wav").read_bytes()
    with wave.open("x.wav") as file:
        assert json.loads(Path("x.json").read_text())["samples"] == file.getnframes()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--pause", "601"], "pause must be from 0 to 600 seconds"),
        (["--pause", "nan"], "pause must be from 0 to 600 seconds"),
        (["--paragraph-pause", "1e300"], "paragraph_pause must be from 0 to 600 seconds"),
        (["-o", "."], ".: it is a folder; name a file in it"),
        (["-o", "new/"], "new/: it is a folder; name a file in it"),
        (["-5"], "in front of a text that begins with a sign, put --"),
        (["--speed", "3"], "the speed must be from 0.5 to 2"),
        (["--sample-rate", "1"], "the sample rate must be from 4000 to 192000"),
        (["--subtitles", "x.txt"], "use one of .srt .vtt .json"),
        (["--plot", "x.gif"], "use .png .svg .pdf"),
    ],
)
def test_refused_before_any_work(command: Run, options: list[str], why: str) -> None:
    done = command("synth", "Hi.", *options)
    assert done.code == 2
    assert why in done.err
    assert done.err.count("\n") == 1
    assert files() == []


def test_picture(command: Run) -> None:
    pytest.importorskip("matplotlib")
    done = command("synth", "Hello $3. " * 20, "--plot", "x.png")
    assert (done.code, done.err) == (0, "x.png: shows the first 12 of 20 sentences\n")
    assert Path("x.png").read_bytes().startswith(b"\x89PNG")
    done = command("synth", "Hello. " * 12, "--plot", "x.png")
    assert (done.code, done.err) == (0, "")


def test_no_matplotlib(command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttscli.plot.find_spec", lambda name: None)
    done = command("synth", "Hi.", "--plot", "x.png")
    assert done.code == 2
    assert done.err == (
        "ttscli: --plot: pictures need matplotlib; install it: pip install 'ttscli[plot]'\n"
    )
    assert files() == []


def test_no_player(command: Run, players: Path) -> None:
    done = command("synth", "Hi.", "--play")
    assert done.code == 7
    assert done.err.startswith("ttscli: --play: there is no audio player; install one of aplay")
    assert done.err.count("\n") == 1


def test_plays_what_is_said(command: Run, players: Path, tiny_voice: Path) -> None:
    player(players, f"/bin/cat > {players}/heard")
    done = command("synth", "Hi there. Bye.", "--play")
    assert (done.code, done.out) == (0, b""), done.err
    assert files() == []
    heard = (players / "heard").read_bytes()
    assert heard[44:] == Synthesizer.from_voice(tiny_voice)("Hi there. Bye.").wav()[44:]


def test_a_player_of_files_hears_each_sentence(
    command: Run, players: Path, tiny_voice: Path
) -> None:
    player(players, f"/bin/cat $1 >> {players}/heard", "afplay")
    done = command("synth", "Hi there. Bye. And?", "--play", "-o", "x.wav")
    assert (done.code, done.out) == (0, b"x.wav\n"), done.err
    pieces = Synthesizer.from_voice(tiny_voice).stream("Hi there. Bye. And?")
    assert (players / "heard").read_bytes() == b"".join(piece.wav() for piece in pieces)


@pytest.mark.parametrize("name", ["aplay", "afplay"])
def test_a_file_is_finished_whatever_the_player_does(
    command: Run, players: Path, tiny_voice: Path, name: str
) -> None:
    player(players, "echo no sound card >&2; exit 1", name)
    done = command("synth", "Hi there. " * 30, "--play", "-o", "x.wav")
    assert (done.code, done.out) == (7, b"x.wav\n")
    assert done.err == f"ttscli: {name}: no sound card; x.wav is whole\n"
    assert Path("x.wav").read_bytes() == Synthesizer.from_voice(tiny_voice)("Hi there. " * 30).wav()


@pytest.mark.parametrize("name", ["aplay", "afplay"])
def test_a_player_that_fails(command: Run, players: Path, name: str) -> None:
    player(players, "echo no sound card >&2; exit 1", name)
    done = command("synth", "Hi there. " * 30, "--play")
    assert done.code == 7
    assert done.err.startswith(f"ttscli: {name}: no sound card; write a file with -o")
    assert done.err.count("\n") == 1


def test_subtitles_of_a_batch(here: Path) -> None:
    source = write(["Hi there.", "Bye."])
    engine = InProcess(load=load_voice)
    assert run(source, engine, subtitles="json")[0] == []
    for record in records():
        found = json.loads(Path("out", record["path"]).with_suffix(".json").read_text())
        assert found["samples"] == record["samples"]
        assert found["sentences"][0]["text"] == record["text"]
    assert spoken(run(source, engine, subtitles="json")[1]) == []
    Path("out/00002.json").unlink()
    assert spoken(run(source, engine, subtitles="json")[1]) == [2]
    assert spoken(run(source, engine, subtitles="srt")[1]) == [1, 2]
    assert Path("out/00001.srt").read_text().startswith("1\n00:00:00,")
    with pytest.raises(UsageError, match="there are no subtitles 'ass'"):
        run(source, engine, subtitles="ass")


@pytest.mark.parametrize("ending", ["srt", "vtt", "json"])
def test_subtitles_of_a_batch_are_those_of_synth(here: Path, ending: str) -> None:
    text = 'Well, "Maria" had 22 umbrellas. She forgot all of them under a very old tree.'
    write([text, "Bye."])
    options = VoiceOptions(speed=1.2, sample_rate=16000)
    engine = InProcess(load=load_voice)
    assert run("in.txt", engine, subtitles=ending, options=options)[0] == []
    tts = Synthesizer.from_voice("small", device="cpu", speed=1.2)
    for record in records():
        speech = tts(record["text"])
        with open_subtitles(f"expected.{ending}", speech.sample_rate, 16000) as writer:
            writer.write(speech)
        beside = Path("out", record["path"]).with_suffix(f".{ending}").read_text("utf-8")
        assert beside == Path(f"expected.{ending}").read_text("utf-8")
    first = Path(f"out/00001.{ending}").read_text("utf-8")
    if ending == "json":
        found = json.loads(first)
        assert (found["sample_rate"], found["samples"]) == (16000, records()[0]["samples"])
        words = [word["text"] for sentence in found["sentences"] for word in sentence["words"]]
        assert words == text.split()
    else:
        cues = [block.splitlines() for block in first.strip().split("\n\n")][ending == "vtt" :]
        shown = [line for cue in cues for line in cue[1 + (ending == "srt") :]]
        assert re.sub(r"<[\d:.]+>", "", " ".join(shown)) == text
        ends = [cue[ending == "srt"].split(" --> ")[1].replace(",", ".") for cue in cues]
        minutes, seconds = ends[-1].split(":")[1:]
        assert 60 * int(minutes) + float(seconds) <= records()[0]["duration_s"] + 0.0005


def test_views_are_of_the_speech(tiny_voice: Path) -> None:
    for sentence in Synthesizer.from_voice(tiny_voice, speed=1.3)("Hi there. Bye.").sentences:
        assert sentence.view is not None
        frames, symbols = sentence.view.alignment.shape
        assert sentence.view.mel.shape == (80, frames)
        assert len(sentence.view.symbols) == symbols
        assert np.isfinite(sentence.view.mel).all()
