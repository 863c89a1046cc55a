"""The command as people and scripts meet it: outputs, messages, exit codes."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import warnings
import wave
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import COMMAND, ENVIRONMENT, start

from ttscli import Synthesizer, __version__, cli
from ttscli.audio import Audio
from ttscli.console import printable
from ttscli.errors import SlowerWarning


@dataclass(frozen=True)
class Result:
    """What a run of the command left."""

    code: int
    out: bytes
    err: str


Run = Callable[..., Result]


class Input(io.TextIOWrapper):
    """Standard input that may claim to be a terminal."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def run(
    tiny_voice: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Run:
    """Run the command in this process, in an empty folder, with a tiny voice."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TTSCLI_VOICE", str(tiny_voice))
    monkeypatch.delenv("TTSCLI_HOME", raising=False)

    def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
        source = Input(io.BytesIO(stdin or b""))
        source.terminal = stdin is None
        monkeypatch.setattr(sys, "stdin", source)
        capfdbinary.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        captured = capfdbinary.readouterr()
        return Result(code, captured.out, captured.err.decode())

    return run


def files() -> list[str]:
    """What lies in the current folder."""
    return sorted(path.name for path in Path().iterdir())


def samples_of(path: str | Path) -> list[int]:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (22050, 1, 2)
        samples: list[int] = np.frombuffer(file.readframes(file.getnframes()), "<i2").tolist()
        return samples


def assert_one_line_error(result: Result, code: int, *parts: str) -> None:
    assert result.code == code, result.err
    assert result.out == b""
    assert result.err.startswith("ttscli: ")
    assert result.err.count("\n") == 1
    assert "bug" not in result.err
    for part in parts:
        assert part in result.err
    assert files() == []


# Speech


def test_speaks_into_a_file(run: Run, tiny_voice: Path) -> None:
    result = run("synth", "Hello world.", "And more.")
    assert result == Result(0, b"speech.wav\n", "")
    expected = Synthesizer.from_voice(tiny_voice)("Hello world. And more.")
    data = Audio(expected.samples, 22050).wav()
    assert Path("speech.wav").read_bytes() == data


def test_options_reach_the_voice(run: Run, tiny_voice: Path) -> None:
    Path("words.tsv").write_text("hello\tgood day\n")
    options = ["--seed", "5", "--pause", "0.01", "--sigma", "0.3", "--denoise", "0.1"]
    result = run("synth", "Hello. World.", *options, "--lexicon", "words.tsv", "-o", "x.wav")
    assert result.code == 0
    synthesizer = Synthesizer.from_voice(tiny_voice, pause=0.01, sigma=0.3, denoise=0.1)
    expected = synthesizer("Good day. World.", seed=5)
    assert Path("x.wav").read_bytes() == Audio(expected.samples, 22050).wav()
    options = ["--vocoder", "griffin-lim", "--device", "cpu", "--precision", "fp32"]
    assert run("synth", "Hello.", *options).code == 0
    expected = Synthesizer.from_voice(tiny_voice, vocoder="griffin-lim")("Hello.")
    assert Path("speech.wav").read_bytes() == Audio(expected.samples, 22050).wav()


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3"])
def test_formats(run: Run, ending: str) -> None:
    import soundfile

    assert run("synth", "Hello world.", "-o", f"x.{ending}").out == f"x.{ending}\n".encode()
    assert run("synth", "Hello world.").code == 0
    assert soundfile.info(f"x.{ending}").frames == len(samples_of("speech.wav"))


def test_opus_says_that_it_is_resampled(run: Run) -> None:
    result = run("synth", "Hello world.", "-o", "x.opus")
    assert result == Result(0, b"x.opus\n", "x.opus: resampled from 22050 to 24000 Hz\n")


@pytest.mark.parametrize("text", ["Hello world.\n", "\ufeffHello\r\nworld."])
def test_text_from_files_and_pipes(run: Run, text: str) -> None:
    run("synth", "Hello world.")
    expected = samples_of("speech.wav")
    Path("text.txt").write_text(text, encoding="utf-8", newline="")
    for result in (
        run("synth", "-f", "text.txt"),
        run("synth", stdin=text.encode()),
        run("synth", "-f", "-", stdin=text.encode()),
    ):
        assert result == Result(0, b"speech.wav\n", "")
        assert samples_of("speech.wav") == expected


def test_streams(run: Run) -> None:
    run("synth", "Hello world. Good bye.")
    data = Path("speech.wav").read_bytes()
    Path("speech.wav").unlink()
    streamed = run("synth", "Hello world. Good bye.", "-o", "-")
    assert (streamed.code, streamed.err) == (0, "")
    assert streamed.out[44:] == data[44:]
    assert streamed.out[:4] == b"RIFF"
    assert run("synth", "Hello world. Good bye.", "-o", "/dev/stdout") == streamed
    for options in (["--raw"], ["--raw", "-o", "-"]):
        assert run("synth", "Hello world. Good bye.", *options) == Result(0, data[44:], "")
    assert files() == []


def test_quiet(run: Run) -> None:
    assert run("synth", "-q", "Hello 😀 world.") == Result(0, b"", "")
    assert files() == ["speech.wav"]


def test_json(run: Run) -> None:
    result = run("synth", "--json", "Hello 😀 world. Bye.")
    events = [json.loads(line) for line in result.out.splitlines()]
    assert [event["event"] for event in events] == [
        "voice_loaded",
        "text_split",
        "text_dropped",
        "sentence_spoken",
        "sentence_spoken",
        "written",
    ]
    assert events[2] == {"event": "text_dropped", "text": "😀", "count": 1, "sentence": 0}
    assert events[-1]["path"] == "speech.wav"
    assert events[-1]["samples"] == len(samples_of("speech.wav"))
    assert (result.code, result.err) == (0, "")
    streamed = run("synth", "--json", "-o", "-", "Hello.")
    assert streamed.out[:4] == b"RIFF"
    assert [json.loads(line)["event"] for line in streamed.err.splitlines()][-1] == "written"


def test_the_text_is_not_replaced(run: Run) -> None:
    text = Path("text.wav")
    text.write_text("Hello.")
    Path("link.wav").symlink_to(text)
    for name in ("text.wav", "./link.wav"):
        for options in (["-o", name], ["-o", "x.wav", "--subtitles", name]):
            done = run("synth", "-f", "text.wav", *options)
            told = f"ttscli: {name}: it is the text itself; name another\n"
            assert (done.code, done.err) == (2, told)
    assert text.read_text() == "Hello."
    assert files() == ["link.wav", "text.wav"]


def test_only_one_file_is_spoken(run: Run) -> None:
    told = "join them: cat 'a b' c | ttscli synth"
    assert_one_line_error(run("synth", "-f", "a b", "-f", "c"), 2, told)


@pytest.mark.parametrize("columns", ["30", "40", "80"])
def test_help_names_all_options(run: Run, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = run("synth", "-h").out.decode()
    for name in ("--paragraph-pause", "--sample-rate", "--subtitles", "--tacotron2"):
        assert name in shown


def test_verbose(run: Run) -> None:
    result = run("synth", "--verbose", "Hello.")
    assert "voice tiny on cpu in fp32, loaded in" in result.err
    assert "sentence 1, " in result.err
    assert "Traceback" in run("synth", "--verbose", "").err


def test_verbose_tells_what_makes_it_slower(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    load = Synthesizer.from_voice

    def slower(*arguments: Any, **options: Any) -> Synthesizer:
        warnings.warn("no fused layers: there is no compiler", SlowerWarning, stacklevel=1)
        warnings.warn("what programmers should know", FutureWarning, stacklevel=1)
        return load(*arguments, **options)

    monkeypatch.setattr(Synthesizer, "from_voice", slower)
    told = "slower than it could be: no fused layers: there is no compiler\n"
    with warnings.catch_warnings():
        shown = run("synth", "--verbose", "Hello.").err
        assert told in shown and "programmers" not in shown
    with warnings.catch_warnings():
        assert run("synth", "Hello.").err == ""


def test_output_is_replaced_only_by_a_whole_one(run: Run) -> None:
    Path("speech.wav").write_text("before")
    assert run("synth", "...").code == 4
    assert Path("speech.wav").read_text() == "before"
    assert run("synth", "Hello.").code == 0
    assert samples_of("speech.wav")
    assert files() == ["speech.wav"]


def test_path_of_any_bytes_is_printed_as_it_is(run: Run) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    assert run("synth", "Hello.", "-o", name).out == b"caf\xe9.wav\n"
    assert files() == [name]


NOT_READ = (
    '1 of 2 sentences was not read right: 2 "Unstoppable." '
    "(it does not stop, it stops 10 sounds before the end, it skips 11 sounds, it reads only 0%, "
    "it is too fast, 947 sounds a second)"
)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but short words are stopped at their first step."""
    from ttscli.cpu.tacotron2 import Tacotron2

    monkeypatch.setattr(Tacotron2, "step_limit", lambda self, symbols: 1 if symbols > 10 else 200)


@pytest.mark.usefixtures("stopped")
def test_a_sentence_that_fails_the_check_is_exit_code_3(run: Run) -> None:
    result = run("synth", "Yes. Unstoppable.")
    assert result.code == 3
    assert result.out == b"speech.wav\n"
    assert result.err == (
        f"ttscli: {NOT_READ}; listen to them; try another --seed, or --keep-going\n"
    )
    assert samples_of("speech.wav")


@pytest.mark.usefixtures("stopped")
def test_keep_going_takes_what_fails_the_check(run: Run) -> None:
    run("synth", "Yes. Unstoppable.", "-o", "checked.wav")
    result = run("synth", "Yes. Unstoppable.", "--keep-going")
    assert (result.code, result.out, result.err) == (0, b"speech.wav\n", f"{NOT_READ}\n")
    assert samples_of("speech.wav") == samples_of("checked.wav")
    result = run("synth", "Yes. Unstoppable.", "--keep-going", "-q")
    assert (result.code, result.err) == (0, "")


@pytest.mark.usefixtures("stopped")
def test_retries_are_told_to_those_who_ask(run: Run) -> None:
    told = run("synth", "Yes. Unstoppable.", "--verbose").err
    assert "sentence 2: it does not stop, " in told
    assert "; now with constrained attention" in told
    events = [
        json.loads(line) for line in run("synth", "Yes. Unstoppable.", "--json").out.splitlines()
    ]
    retried = [event for event in events if event["event"] == "sentence_retried"]
    assert [event["way"] for event in retried] == ["another seed"] * 2 + ["constrained attention"]
    [failed] = [event for event in events if event["event"] == "sentence_failed"]
    assert (failed["index"], failed["tries"], failed["problems"][0]) == (1, 4, "it does not stop")


# Bad input: the list of the first issue


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_empty_text(run: Run, text: str) -> None:
    assert_one_line_error(run("synth", text), 4, "the text is empty")
    assert_one_line_error(run("synth", stdin=text.encode()), 4, "the text is empty")


@pytest.mark.parametrize("text", ["...", "?!", "–", "😀", "。", "***", "{}"])
def test_nothing_speakable(run: Run, text: str) -> None:
    assert_one_line_error(run("synth", text), 4, "there is nothing to say")


def test_no_text_at_all(run: Run) -> None:
    assert_one_line_error(run("synth"), 2, "there is no text", 'ttscli synth "Hello world."')


def test_emoji_and_chinese_are_reported_once(run: Run) -> None:
    result = run("synth", "Hello 😀 world 😀. " * 3 + "你好 means hello. \x1b[31m!")
    assert result.code == 0
    assert result.out == b"speech.wav\n"
    assert result.err.startswith("left out 7 characters that cannot be spoken: 😀 ")
    assert result.err.count("\n") == 1
    assert "\x1b" not in result.err


def test_nul_bytes(run: Run) -> None:
    result = run("synth", stdin=b"Hello\0world.\0\0")
    assert result.code == 0
    assert result.err == "left out 3 characters that cannot be spoken: control characters\n"


def test_braces_that_hold_no_phones(run: Run) -> None:
    result = run("synth", "Say {XX1} or {hello}.")
    what = "left out 2 pieces that cannot be spoken: XX1 hello"
    assert result.err == f"{what}; braces are for ARPAbet: {{HH AH0 L OW1}}\n"


def test_invalid_utf8(run: Run) -> None:
    data = b"One.\nTwo \xe9.\n"
    text = Path("../text.txt")
    text.write_bytes(data)
    for result, name in (
        (run("synth", "-f", text), "../text.txt"),
        (run("synth", stdin=data), "standard input"),
    ):
        assert_one_line_error(result, 4, f"{name}:2: the byte 0xe9 is not UTF-8", "iconv")
    argument = run("synth", os.fsdecode(b"caf\xe9"))
    assert_one_line_error(argument, 4, "arguments: the text is not UTF-8")


def test_utf16(run: Run) -> None:
    result = run("synth", stdin="Hello".encode("utf-16"))
    assert_one_line_error(result, 4, "standard input:1: ", "UTF-16")


@pytest.mark.parametrize(
    ("name", "message"),
    [("no.txt", "no.txt: No such file or directory"), ("..", "..: Is a directory")],
)
def test_unreadable_text(run: Run, name: str, message: str) -> None:
    assert_one_line_error(run("synth", "-f", name), 4, message)


def test_too_much_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "MOST_TEXT", 2**20)
    assert_one_line_error(run("synth", "-f", "/dev/zero"), 4, "more than 1 MB of text")


def test_many_words_without_a_full_stop(run: Run) -> None:
    result = run("synth", stdin=b"word " * 4000)
    assert (result.code, result.out, result.err) == (0, b"speech.wav\n", "")


@pytest.mark.slow
def test_megabyte_without_a_full_stop(run: Run) -> None:
    result = run("synth", stdin=b"word " * 200_000)
    assert (result.code, result.out, result.err) == (0, b"speech.wav\n", "")


def test_unknown_voice(run: Run) -> None:
    assert_one_line_error(run("synth", "-v", "nobody", "Hi."), 6, "unknown voice 'nobody'")


def test_missing_and_wrong_checkpoints(run: Run, tiny_voice: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html>Not found</html>")
    empty = tmp_path / "empty"
    empty.touch()
    for option in ("--tacotron2", "--waveglow"):
        for path in (Path("no/where.pt"), page, empty, tmp_path):
            assert_one_line_error(run("synth", option, path, "Hi."), 6, str(path))
    wrong = run("synth", "--waveglow", tiny_voice / "tacotron2.safetensors", "Hi.")
    assert_one_line_error(wrong, 6, "not a WaveGlow")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("no/x.wav", ["no/x.wav: No such file or directory", "mkdir -p no"]),
        ("/", ["/: "]),
        ("/proc/x.wav", ["/proc/x.wav: "]),
    ],
)
def test_unwritable_output(run: Run, path: str, parts: list[str]) -> None:
    result = run("synth", "Hi.", "-o", path)
    assert_one_line_error(result, 2 if path == "/" else 7, *parts)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk(run: Run) -> None:
    full = run("synth", "Hi.", "-o", "/dev/full")
    assert_one_line_error(full, 7, "/dev/full: No space left on device", "free some space")


def test_usage_errors(run: Run, tiny_voice: Path) -> None:
    for arguments, part in (
        (["synth", "--frobnicate"], "No such option: --frobnicate"),
        (["frobnicate"], "frobnicate"),
        (["synth", "-o"], "-o"),
        (["synth", "Hi.", "--seed", "-1"], "--seed"),
        (["synth", "Hi.", "--seed", "x"], "--seed"),
        (["synth", "Hi.", "--pause", "nan"], "pause must be"),
        (["synth", "Hi.", "--sigma", "-1"], "sigma must be"),
        (["synth", "Hi.", "--precision", "int8"], "fp32"),
        (["synth", "Hi.", "--device", "tpu"], "there is no device 'tpu'"),
        (["synth", "Hi.", "-f", "x.txt"], "give one of them"),
        (["synth", "Hi.", "-o", "x.doc"], "unknown ending '.doc'"),
        (["synth", "Hi.", "--raw", "-o", "x.wav"], "raw samples have no header"),
        (["synth", "Hi.", "-v", str(tiny_voice), "--vocoder", "x"], "there is no vocoder 'x'"),
    ):
        assert_one_line_error(run(*arguments), 2, part)


def test_help_everywhere(run: Run) -> None:
    for arguments in ([], ["-h"], ["--help"]):
        result = run(*arguments)
        assert result.code == 0
        assert b"synth" in result.out
    for name in ("-h", "--help"):
        assert b"--tacotron2" in run("synth", name).out
    assert run("--version") == Result(0, f"ttscli {__version__}\n".encode(), "")


def test_bugs_and_memory_are_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: BaseException) -> None:
        def stream(self: object, text: str, seed: int) -> None:
            raise error

        monkeypatch.setattr(Synthesizer, "stream", stream)

    fail(ZeroDivisionError("division\nby zero"))
    result = run("synth", "Hi.")
    assert result.code == 1
    assert result.err == (
        "ttscli: ZeroDivisionError: division by zero; this is a bug, --verbose shows where\n"
    )
    assert "Traceback" in run("synth", "Hi.", "--verbose").err
    fail(MemoryError())
    assert_one_line_error(run("synth", "Hi."), 1, "not enough memory")
    fail(KeyboardInterrupt())
    assert run("synth", "Hi.") == Result(130, b"", "ttscli: stopped\n")
    assert files() == []


def test_piped_help_fits_the_terminal_that_shows_it() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    done = subprocess.run(
        [*COMMAND, "synth", "-h"],
        env={name: value for name, value in ENVIRONMENT.items() if name != "COLUMNS"},
        stdin=theirs,
        capture_output=True,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert b"--paragraph-pause" in done.stdout


def test_help_where_there_is_only_ascii() -> None:
    done = subprocess.run(
        [*COMMAND, "synth", "-h"],
        env=ENVIRONMENT | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"3 ? --pause" in done.stdout


# Processes of their own: signals, pipes, terminals. They start side by side, for importing torch
# takes seconds.


def test_signals_leave_nothing(tiny_voice: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("This is a sentence. " * 20_000)
    codes = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
    arguments = ["synth", "-v", str(tiny_voice), "-f", str(text), "--json"]
    processes = {number: start(arguments, tmp_path / number.name) for number in codes}
    for number, process in processes.items():
        assert process.stdout is not None
        while b"sentence_spoken" not in process.stdout.readline():
            assert process.poll() is None
        folder = tmp_path / number.name
        assert [path.suffix for path in folder.iterdir()] == [".part"]
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (codes[number], b"ttscli: stopped\n")
        assert list(folder.iterdir()) == []


def test_nohup_keeps_it_speaking(tiny_voice: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        ["nohup", *COMMAND, "synth", "-v", tiny_voice, "This is a sentence. " * 200, "--json"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    while b"sentence_spoken" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert [path.suffix for path in tmp_path.glob("speech*")] == [".wav"]


def test_closed_pipe_ends_quietly(tiny_voice: Path, tmp_path: Path) -> None:
    arguments = ["synth", "-v", str(tiny_voice), "Hello. " * 10_000]
    folder = tmp_path / "here"
    for process in [start([*arguments, *o], folder) for o in (["-o", "-"], ["--raw"], ["--json"])]:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("arguments", [["-h"], ["--version"], ["batch", "-h"]])
def test_closed_pipe_ends_help_quietly(arguments: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start(arguments, tmp_path / "here", stdout=writing)
    os.close(writing)
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_help_into_a_full_disk(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start(["-h"], tmp_path, stdout=full.fileno())
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, b"ttscli: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_behind_standard_output(tiny_voice: Path, tmp_path: Path) -> None:
    arguments = ["synth", "-v", str(tiny_voice), "Hello."]
    with Path("/dev/full").open("wb") as full:
        for process in [
            start([*arguments, *options], tmp_path, stdout=full.fileno())
            for options in (["-o", "-"], ["-o", "x.wav"])
        ]:
            _, err = process.communicate(timeout=60)
            assert process.returncode == 7
            assert err.startswith(b"ttscli: standard output: No space left on device; free some")
            assert err.count(b"\n") == 1


def test_audio_is_not_written_to_a_terminal(tiny_voice: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    for process in [
        start(["synth", "-v", tiny_voice, "Hello.", "-o", target], tmp_path, stdout=theirs)
        for target in ("-", "/dev/stdout")
    ]:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert err.startswith(b"ttscli: audio is not written to a terminal; ")
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize("columns", [40, 100])
def test_progress_fits_the_terminal(tiny_voice: Path, tmp_path: Path, columns: int) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = start(["synth", "-v", tiny_voice, "Hello world. " * 60], tmp_path, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the end, when nobody holds the terminal any more
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    assert process.communicate(timeout=60)[0] == b"speech.wav\n"
    assert process.returncode == 0
    text = shown.decode()
    assert "/60" in text
    assert "of speech in" in text.splitlines()[-1]
    assert "\x1b[2K" in text, "the progress is wiped"


def test_no_progress_without_a_terminal(tiny_voice: Path, tmp_path: Path) -> None:
    process = start(["synth", "-v", tiny_voice, "Hello world. " * 20], tmp_path)
    assert process.communicate(timeout=60) == (b"speech.wav\n", b"")


def test_closed_standard_streams(tiny_voice: Path, tmp_path: Path) -> None:
    def shell(redirections: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["sh", "-c", f'"$@" {redirections}', "sh", *COMMAND, "synth", "-v", tiny_voice, "Hi."],
            cwd=tmp_path,
            env=ENVIRONMENT,
            capture_output=True,
            check=False,
        )

    closed = shell(">&-")
    assert closed.returncode == 7
    assert closed.stderr == b"ttscli: standard output is closed; name a file with -o\n"
    assert shell("2>&- <&-").stdout == b"speech.wav\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nb\r\nc", "a b c"), ("\x1b[1m", "U+001B[1m"), ("é😀", "é😀"), ("\u202e", "U+202E")],
)
def test_messages_cannot_steer_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
