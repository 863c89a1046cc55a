"""`ttscli batch` as people and scripts meet it."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import pty
import struct
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import start

from ttscli import cli
from ttscli.checkpoints import load_tacotron2, save_safetensors


@dataclass(frozen=True)
class Result:
    """What a run of the command left."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(
    harmonic_voice: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """Run the command in this process, in an empty folder, with a tiny voice."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TTSCLI_VOICE", str(harmonic_voice))
    monkeypatch.delenv("TTSCLI_HOME", raising=False)

    def run(*arguments: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = cli.main(["batch", *arguments])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    Path("in.txt").write_text("Hello there.\nGood bye.\n")
    return run


def assert_errors(result: Result, code: int, *lines: str) -> None:
    assert (result.code, result.out) == (code, ""), result.err
    found = result.err.splitlines()
    assert len(found) == len(lines), result.err
    for one, expected in zip(found, lines, strict=True):
        assert one.startswith(f"ttscli: {expected}")
    assert not Path("speech").exists()


def test_batch(run: Run) -> None:
    result = run("in.txt")
    assert (result.code, result.out) == (0, "speech/manifest.jsonl\n")
    assert result.err.splitlines()[0] == "too loud in 2 of the files, softly limited"
    assert result.err.splitlines()[1].startswith("2 spoken: ")
    assert sorted(p.name for p in Path("speech").iterdir()) == [
        "00001.wav",
        "00002.wav",
        "manifest.jsonl",
    ]
    assert run("in.txt") == Result(0, "speech/manifest.jsonl\n", "2 of 2 are done already\n")
    assert run("in.txt", "-q", "--overwrite") == Result(0, "", "")


def test_options_reach_the_voice(run: Run, harmonic_voice: Path) -> None:
    from ttscli import Synthesizer

    Path("words.tsv").write_text("hello\tgood day\n")
    Path("in.csv").write_text("id,text,seed,sigma\na,Hello. World.,,\nb,Bye.,4,0.1\n")
    options = ["--seed", "5", "--pause", "0.01", "--sigma", "0.3", "--lexicon", "words.tsv"]
    assert run("in.csv", *options, "--device", "cpu", "-o", "out", "--workers", "1").code == 0
    tts = Synthesizer.from_voice(harmonic_voice, pause=0.01, sigma=0.3)
    assert Path("out/a.wav").read_bytes() == tts("Good day. World.", seed=5).wav()
    tts = Synthesizer.from_voice(harmonic_voice, sigma=0.1)
    assert Path("out/b.wav").read_bytes() == tts("Bye.", seed=4).wav()


@pytest.mark.parametrize("ending", ["flac", "ogg", "opus", "mp3"])
def test_formats(run: Run, ending: str) -> None:
    import soundfile

    assert run("in.txt", "--name", f"{{index}}.{ending}").code == 0
    record = json.loads(Path("speech/manifest.jsonl").read_bytes().splitlines()[0])
    info = soundfile.info(f"speech/1.{ending}")
    assert (info.frames, info.samplerate) == (record["samples"], record["sample_rate"])
    assert run("in.txt", "--name", f"{{index}}.{ending}").err.endswith("are done already\n")


def test_standard_input(run: Run) -> None:
    assert run("-", "--format", "tsv", "-q", stdin=b"id\ttext\nx\tHi.\n").code == 0
    assert Path("speech/x.wav").exists()
    bad = run("-", "--format", "jsonl", "-o", "other", stdin=b'{"id": "x"}\n')
    assert bad.err.startswith("ttscli: standard input:1: column 'text' is missing\n")


def test_dry_run(run: Run) -> None:
    result = run("in.txt", "--dry-run")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "2 utterances: 0 done, 2 to speak\n"
        "21 characters, about 1.4 s of audio\n"
        "speech/00001.wav … speech/00002.wav\n"
    )
    assert not Path("speech").exists()
    run("in.txt")
    Path("speech/00002.wav").unlink()
    plan = json.loads(run("in.txt", "--dry-run", "--json").out)
    assert (plan["event"], plan["done"], plan["left"]) == ("batch_planned", 1, 1)
    assert not Path("speech/00002.wav").exists()


def test_json(run: Run) -> None:
    Path("in.txt").write_text("Hello 😀.\n...\n")
    result = run("in.txt", "--json")
    events = [json.loads(line) for line in result.out.splitlines()]
    assert [e["event"] for e in events[:1] + events[-1:]] == ["batch_planned", "batch_finished"]
    by_name = {event["event"]: event for event in events}
    assert by_name["utterance_spoken"]["dropped"] == {"😀": 1}
    assert by_name["utterance_failed"]["error"].startswith("there is nothing to say")
    assert result.code == 3
    assert result.err.splitlines()[-1].startswith("ttscli: 1 of 2 utterances failed; ")


def test_failures_are_named(run: Run) -> None:
    Path("in.txt").write_text("Hello 😀.\n...\n\n😀\n" + "?!\n" * 20)
    result = run("in.txt")
    assert (result.code, result.out) == (3, "speech/manifest.jsonl\n")
    lines = result.err.splitlines()
    assert lines[0] == "left out 1 character that cannot be spoken: 😀"
    assert lines[2].startswith("1 spoken, 22 failed: ")
    assert lines[3].startswith("in.txt:2: there is nothing to say: ")
    assert lines[4].startswith("in.txt:4: there is nothing to say: ")
    assert lines[-2] == "and 10 more, see speech/manifest.jsonl"
    assert lines[-1] == (
        "ttscli: 22 of 23 utterances failed; correct them, or run the same command to try again"
    )


@pytest.fixture
def stuck(harmonic_voice: Path, tmp_path: Path) -> Path:
    """A checkpoint whose attention never leaves the first symbol: only the shortest texts pass."""
    model = load_tacotron2(harmonic_voice / "tacotron2.safetensors")
    with torch.no_grad():
        model.decoder.attention.score.weight.zero_()
    save_safetensors(tmp_path / "stuck.safetensors", model, "tacotron2")
    return tmp_path / "stuck.safetensors"


def manifest() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("speech/manifest.jsonl").read_bytes().splitlines()]


def test_speech_that_fails_the_check_is_a_failed_line(run: Run, stuck: Path) -> None:
    Path("in.txt").write_text("O.\nUnstoppable.\n")
    arguments = ("in.txt", "--tacotron2", str(stuck), "--subtitles", "srt")
    first = run(*arguments)
    assert (first.code, first.out) == (3, "speech/manifest.jsonl\n")
    named, last = first.err.splitlines()[-2:]
    assert named.startswith('in.txt:2: 1 of 1 sentence was not read right: 1 "Unstoppable." (')
    assert last == (
        "ttscli: 1 of 2 utterances failed; "
        "listen to them; give them another seed, or accept them with --keep-going"
    )
    good, bad = manifest()
    assert (good["status"], good["error"], bad["status"]) == ("ok", None, "failed")
    assert bad["attention"]["problems"] and bad["attention"]["tries"] == 4
    assert all(problem in bad["error"] for problem in bad["attention"]["problems"])
    written = Path("speech/00002.wav").read_bytes()
    assert hashlib.sha256(written).hexdigest() == bad["sha256"]
    assert Path("speech/00002.srt").exists()

    again = run(*arguments)
    assert again.code == 3 and "1 of 2 is done already" in again.err, "it is tried again"
    accepted = run(*arguments, "--keep-going")
    assert (accepted.code, accepted.out) == (0, "speech/manifest.jsonl\n")
    assert accepted.err.splitlines() == ["2 of 2 are done already", named], (
        "it is named all the same"
    )
    assert run(*arguments, "--keep-going", "-q") == Result(0, "", "")
    assert [line["status"] for line in manifest()] == ["ok", "failed"]
    assert run(*arguments).code == 3, "who does not accept it is not told that all is well"

    Path("speech/00002.wav").write_bytes(written[:-2])
    assert "1 of 2 is done already" in run(*arguments, "--keep-going").err
    assert Path("speech/00002.wav").read_bytes() == written


def test_keep_going_accepts_what_fails_the_check_and_nothing_else(run: Run, stuck: Path) -> None:
    Path("in.txt").write_text("Unstoppable.\nO.\n")
    arguments = ("in.txt", "--tacotron2", str(stuck), "--keep-going")
    result = run(*arguments, "--fail-fast")
    assert (result.code, result.out) == (0, "speech/manifest.jsonl\n")
    assert result.err.splitlines()[-2].startswith("1 spoken, 1 failed: ")
    assert result.err.splitlines()[-1].startswith("in.txt:1: 1 of 1 sentence was not read right")
    assert [line["status"] for line in manifest()] == ["failed", "ok"]
    assert run(*arguments, "--overwrite", "-q") == Result(0, "", "")

    Path("in.txt").write_text("Unstoppable.\n...\n")
    result = run(*arguments)
    assert result.code == 3
    assert result.err.splitlines()[-1] == (
        "ttscli: 2 of 2 utterances failed; correct them, or run the same command to try again"
    )
    assert run(*arguments, "--fail-fast").code == 3


def test_bad_input_before_any_work(run: Run) -> None:
    Path("in.csv").write_text("id,text\n../../x,Hi.\n/etc/x,\nCON,Hi.\nok,Hi.\nOK,Hi.\n")
    assert_errors(
        run("in.csv"), 4,
        "in.csv:2: the file name '../../x.wav' has '/' in it; change the id, or use --name",
        "in.csv:3: column 'text' is empty",
        "in.csv:3: the file name '/etc/x.wav' has '/' in it; change the id, or use --name",
        "in.csv:4: the file name 'CON.wav' is a device's on Windows; ",
        "in.csv:6: the file name 'OK.wav' is that of line 5 too",
        "5 errors, so nothing was done",
    )  # fmt: skip
    Path("in.txt").write_bytes(b"One.\nTwo \xe9.\n")
    assert_errors(run("in.txt"), 4, "in.txt:2: the byte 0xe9 is not UTF-8; convert the text")
    assert_errors(run("no.txt"), 4, "no.txt: No such file or directory")
    Path("in.txt").write_text("\n \n")
    assert_errors(run("in.txt"), 4, "in.txt: there is nothing to speak in it")


def test_a_lexicon_that_cannot_be_read_is_said_as_synth_says_it(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("in.csv").write_text("text,sigma\nHi.,\nHi.,0.5\n")
    Path("folder").mkdir()
    Path("words.tsv").write_text("nonsense\n")
    for lexicon in ("nope", "folder", "words.tsv"):
        assert cli.main(["synth", "Hi", "--lexicon", lexicon, "-o", "x.wav"]) == 4
        said = capfd.readouterr().err
        for source in ("in.txt", "in.csv"):
            assert run(source, "--lexicon", lexicon) == Result(4, "", said)
            assert run(source, "--lexicon", lexicon, "--dry-run") == Result(4, "", said)


def test_usage(run: Run) -> None:
    for arguments, code, line in (
        (["in.txt", "--shard", "3/2"], 2, "the shard '3/2' is not I/N"),
        (["in.txt", "--engine", "x"], 2, "there is no engine 'x'; use local or ray"),
        (["in.txt", "--ray-address", "auto"], 2, "--ray-address is for --engine ray alone"),
        (["in.txt", "--batch-size", "0"], 2, "the batch size '0' is neither auto nor"),
        (["in.txt", "--name", "{x}.wav"], 2, "--name has an unknown field {x}"),
        (["in.txt", "--name", "{id}"], 2, "--name '{id}' has no known ending"),
        (["in.txt", "--name", "../{id}.wav"], 2, "--name '../{id}.wav' cannot be: it has '/' in"),
        (["in.txt", "--format", "xml"], 2, "there is no format 'xml'"),
        (["in.txt", "--device", "tpu"], 2, "there is no device 'tpu'"),
        (["in.txt", "--pause", "nan"], 2, "pause must be"),
        (["in.txt", "--vocoder", "x"], 2, "there is no vocoder 'x'"),
        (["in.txt", "--shard", "3/3"], 4, "in.txt: no utterance falls to this shard"),
        (["in.txt", "-v", "nobody"], 6, "unknown voice 'nobody'"),
        (["in.txt", "--tacotron2", "in.txt"], 6, "in.txt: "),
    ):
        assert_errors(run(*arguments), code, line)


def test_a_folder_that_is_a_file(run: Run) -> None:
    result = run("in.txt", "-o", "in.txt")
    assert result.code == 7
    assert result.err.startswith("ttscli: in.txt")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("columns", [40, 100])
def test_progress_fits_the_terminal(harmonic_voice: Path, tmp_path: Path, columns: int) -> None:
    (tmp_path / "in.txt").write_text("Hello world.\n" * 40)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = start(["batch", "-v", harmonic_voice, "in.txt"], tmp_path, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the end, when nobody holds the terminal any more
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    assert process.communicate(timeout=60)[0] == b"speech/manifest.jsonl\n"
    assert process.returncode == 0
    text = shown.decode()
    assert "/40" in text
    assert "40 spoken: " in text.splitlines()[-1]
    assert "\x1b[2K" in text, "the progress is wiped"
    assert text.count("speaking") < 200


def test_closed_pipe_ends_quietly(harmonic_voice: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("Hello world.\n" * 400)
    process = start(["batch", "-v", harmonic_voice, "in.txt", "--json"], tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 141
