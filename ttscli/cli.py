"""The commands: options in, one library call, exit code out; the one place where errors end."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from ttscli import __version__, inputs
from ttscli import options as o
from ttscli.cli_download import FilesAfterFrom, download
from ttscli.console import make_reporter, printable, put, say, to_json, wrapped
from ttscli.counts import counted
from ttscli.errors import (
    ClosedPipeError,
    InputError,
    SlowerWarning,
    SpeechError,
    TTSError,
    UsageError,
)

MOST_TEXT = 64 << 20  # bytes: two months of speech
MOST_NAMED = 12  # failures; the manifest has all
NARROW = 60  # columns, in which a table of options has no room for their names

app = typer.Typer(
    name="ttscli",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Speak text with Tacotron 2 and WaveGlow."""
    if version:
        typer.echo(f"ttscli {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def synth(
    text: o.Text = None,
    file: o.TextFile = None,
    output: o.Output = None,
    raw: o.Raw = False,
    play: o.Play = False,
    subtitles: o.Subtitles = None,
    plot: o.Plot = None,
    voice: o.VoiceName = "small",
    tacotron2: o.Tacotron2File = None,
    waveglow: o.WaveGlowFile = None,
    vocoder: o.VocoderName = "waveglow",
    sigma: o.Sigma = None,
    denoise: o.Denoise = None,
    pause: o.Pause = 0.2,
    paragraph_pause: o.ParagraphPause = None,
    speed: o.Speed = 1.0,
    sample_rate: o.SampleRate = None,
    seed: o.Seed = 0,
    lexicon: o.LexiconFile = None,
    emoji: o.Emoji = False,
    explain: o.Explain = False,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    threads: o.Threads = 0,
    keep_going: o.KeepGoing = False,
    offline: o.Offline = False,  # noqa: ARG001 - speaking never uses the network
    quiet: o.Quiet = False,
    json: o.Json = False,
    verbose: o.Verbose = False,
) -> None:
    """Speak a text into a file or a stream.

    The text is read from the arguments, else from -f, else from a pipe. The path of the finished
    file is printed: aplay "$(ttscli synth Hello world.)"
    """
    words = read_text(text, file)
    if explain:
        show_explained(words, voice, tacotron2, lexicon, emoji, json, verbose)
        return
    keep_source(file, output, subtitles, plot)
    target = output or ("-" if raw else None if play else "speech.wav")
    if target == "/dev/stdout":
        target = "-"  # by that name its path would be printed into the audio

    from ttscli.outputs import Targets, open_outputs
    from ttscli.synthesizer import Synthesizer, what_failed
    from ttscli.voices import find_voice

    chosen = find_voice(voice)
    failed = []
    with (
        make_reporter(quiet, json, verbose, audio_on_stdout=target == "-") as report,
        open_outputs(
            Targets(target, raw, sample_rate, subtitles, plot, play), chosen.sample_rate, report
        ) as outputs,
    ):
        synthesizer = Synthesizer.from_voice(
            chosen, device=device, precision=precision, tacotron2=tacotron2, waveglow=waveglow,
            vocoder=vocoder, sigma=sigma, denoise=denoise, pause=pause,
            paragraph_pause=paragraph_pause, speed=speed, lexicon=lexicon, emoji=emoji,
            threads=threads, on_event=report,
        )  # fmt: skip
        for number, speech in enumerate(synthesizer.stream(words, seed), start=1):
            outputs.write(speech)
            failed += [(number, sentence) for sentence in speech.failed]
    if failed:
        what = what_failed(failed, number)
        if not keep_going:
            raise SpeechError(what, todo="listen to them; try another --seed, or --keep-going")
        if not (quiet or json):
            say(what)


@app.command()
def batch(
    source: o.BatchInput,
    output: o.BatchFolder = "speech",
    form: o.Form = None,
    name: o.Name = "",
    subtitles: o.SubtitleFormat = None,
    batch_size: o.BatchSize = "auto",
    workers: o.Workers = 0,
    engine: o.EngineName = "local",
    ray_address: o.RayAddress = None,
    shard: o.ShardOption = None,
    overwrite: o.Overwrite = False,
    fail_fast: o.FailFast = False,
    keep_going: o.KeepGoing = False,
    retries: o.Retries = 2,
    dry_run: o.DryRun = False,
    voice: o.VoiceName = "small",
    tacotron2: o.Tacotron2File = None,
    waveglow: o.WaveGlowFile = None,
    vocoder: o.VocoderName = "waveglow",
    sigma: o.Sigma = None,
    denoise: o.Denoise = None,
    pause: o.Pause = 0.2,
    paragraph_pause: o.ParagraphPause = None,
    speed: o.Speed = 1.0,
    sample_rate: o.SampleRate = None,
    seed: o.Seed = 0,
    lexicon: o.LexiconFile = None,
    emoji: o.Emoji = False,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    offline: o.Offline = False,  # noqa: ARG001 - speaking never uses the network
    quiet: o.Quiet = False,
    json: o.Json = False,
    verbose: o.Verbose = False,
) -> None:
    """Speak a list of texts, each into a file of its own.

    What is done already, unchanged, is left alone: after any interruption the same command goes on.
    """
    if source == inputs.STANDARD_INPUT and inputs.nothing_piped_in():
        raise UsageError("nothing is piped in", todo="name a file")

    from ttscli.batch.engines import choose_engine
    from ttscli.batch.folder import parse_shard
    from ttscli.batch.jobs import VoiceOptions
    from ttscli.batch.runner import Batch, Request
    from ttscli.batch_console import make_batch_reporter, show_plan

    voice_options = VoiceOptions(
        voice, tacotron2, waveglow, vocoder, sigma, denoise, pause, paragraph_pause, speed,
        sample_rate, lexicon, emoji, device, precision,
    )  # fmt: skip
    request = Request(
        source, Path(output), voice_options, seed, form, name,
        parse_shard(shard) if shard else None, overwrite, fail_fast, subtitles,
        keep_going,
    )  # fmt: skip
    with make_batch_reporter(quiet or dry_run, json and not dry_run, verbose) as report:
        speaker = choose_engine(
            engine, device, precision, workers=workers, batch_size=batch_size, tries=retries + 1,
            ray_address=ray_address, on_event=report,
        )  # fmt: skip
        whole = Batch(request, report)
        if dry_run:
            first, last = (
                str(request.folder / job.path) for job in (whole.jobs[0], whole.jobs[-1])
            )
            show_plan(whole.plan(), first, last, as_json=json)
            return
        failures = whole.run(speaker)
    if keep_going and (quiet or json):
        failures = [failure for failure in failures if not failure.spoken]
    for failure in failures[:MOST_NAMED]:
        say(f"{failure.where}: {failure.error}")
    more = len(failures) - MOST_NAMED
    if more > 0:
        say(f"and {more} more, see {request.folder / 'manifest.jsonl'}")
    if failures and not (keep_going and all(failure.spoken for failure in failures)):
        what = f"{len(failures)} of {counted(len(whole.jobs), 'utterance')} failed"
        todo = "correct them, or run the same command to try again"
        if all(failure.spoken for failure in failures):
            todo = "listen to them; give them another seed, or accept them with --keep-going"
        raise SpeechError(what, todo=todo)


app.command(cls=FilesAfterFrom)(download)


def show_explained(
    text: str,
    voice: str,
    tacotron2: str | None,
    lexicon: str | None,
    emoji: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Print how a text is read."""
    from ttscli.explain import explain, in_lines
    from ttscli.synthesizer import choose_voice

    reader = choose_voice(voice, tacotron2=tacotron2)
    phones = as_json or verbose
    for sentence in explain(text, reader, lexicon, emoji=emoji, phones=phones):
        if as_json:
            put(to_json("sentence_explained", sentence))
        else:
            for line in in_lines(sentence):
                for part in wrapped(printable(line), indent=6):
                    put(part)


def read_text(arguments: Sequence[str] | None, files: Sequence[str] | None) -> str:
    """The text to speak: the arguments, else a file, else what is piped in."""
    if len(files or ()) > 1:
        todo = f"join them: cat {shlex.join(files or ())} | ttscli synth"
        raise UsageError("there are several files with -f", todo=todo)
    file = files[0] if files else None
    if arguments and file:
        raise UsageError("there is text and a file with -f", todo="give one of them")
    if arguments:
        text = " ".join(arguments)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError("the text is not UTF-8", where="arguments") from error
    elif file or not inputs.nothing_piped_in():
        text = inputs.read_text(file or inputs.STANDARD_INPUT, MOST_TEXT)
    else:
        raise UsageError("there is no text", todo='try: ttscli synth "Hello world."')
    if not text.strip():
        raise InputError("the text is empty", where=file or "", todo='try: ttscli synth "Hello."')
    return text


def keep_source(files: Sequence[str] | None, *outputs: str | None) -> None:
    """Refuse outputs that would replace the text that is spoken."""
    for file in files or ():
        for output in outputs:
            with suppress(OSError):  # where one is not there, they are two
                if output is not None and Path(output).samefile(file) and Path(file).is_file():
                    raise UsageError("it is the text itself", where=output, todo="name another")


class Stopped(BaseException):
    """A signal asks the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: here every error becomes one line."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    # By default torch's threads spin while they wait, which on a busy machine makes speech ten
    # times slower than with one thread; this is read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what libraries tell programmers
        if "--verbose" in arguments:
            warnings.simplefilter("default", SlowerWarning)
            warnings.showwarning = lambda message, *_: say(f"slower than it could be: {message}")
    if _columns() < NARROW:
        app.rich_markup_mode = None
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the help has signs that ASCII lacks
    try:
        with _stopped_by_signals():
            code = int(app(list(arguments), prog_name="ttscli", standalone_mode=False) or 0)
        if code == 130:  # what Typer makes of KeyboardInterrupt
            raise Stopped(signal.SIGINT)
        return code
    except SystemExit:  # Typer's, where nobody reads the help
        return ClosedPipeError.exit_code
    except BaseException as caught:
        interrupted = isinstance(caught, (KeyboardInterrupt, typer.Abort))
        error = Stopped(signal.SIGINT) if interrupted else caught
        if "--verbose" in arguments and not isinstance(error, Stopped):
            traceback.print_exc()
        code, line = _in_words(error)
        for part in getattr(error, "errors", ()):
            say(f"ttscli: {part}")
        if line:
            say(f"ttscli: {line}")
        _forget_output()
        return code


def _columns() -> int:
    """The width that Rich finds: of a terminal on any stream, where a pipe's end is often read."""
    width = os.environ.get("COLUMNS", "")
    if width.isdigit():
        return int(width) or 80
    for stream in range(3):
        with suppress(OSError):
            return os.get_terminal_size(stream).columns or 80
    return 80


def _in_words(error: BaseException) -> tuple[int, str]:
    """The exit code of an error and the line that explains it."""
    match error:
        case ClosedPipeError():
            line = ""
        case TTSError():
            line = str(error)
        case Stopped():
            line = "stopped"
        case OSError():
            line = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
        case MemoryError():
            line = "there is not enough memory; close other programs, or take a smaller voice"
        case _ if hasattr(error, "format_message"):  # Typer's; its class moved between releases
            command = getattr(getattr(error, "ctx", None), "command_path", "ttscli")
            line = f"{error.format_message()} (see {command} -h)"
            if re.match("-[0-9.]", getattr(error, "option_name", "")):
                line += "; in front of a text that begins with a sign, put --"
        case _:
            line = f"{type(error).__name__}: {error}; this is a bug, --verbose shows where"
    return getattr(error, "exit_code", 1), line


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closing terminal unwind the program, so that no half file stays behind."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # One that is ignored stays so: nohup asks for that.
    wanted = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in wanted:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in wanted:
            signal.signal(number, signal.SIG_DFL)


def _forget_output() -> None:
    """Drop what a full disk or a closed pipe did not take; Python would complain at its exit."""
    with suppress(OSError, ValueError, AttributeError):
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
