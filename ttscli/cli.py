"""The commands: options in, one library call, exit code out; the one place where errors end."""

from __future__ import annotations

import codecs
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TypeAlias

import typer

from ttscli import __version__
from ttscli.console import make_reporter, printable, put, say, to_json
from ttscli.errors import ClosedPipeError, InputError, SpeechError, TTSError, UsageError

MOST_TEXT = 64 << 20  # bytes: two months of speech

app = typer.Typer(
    name="ttscli",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _option(names: str, metavar: str | None, meaning: str, panel: str, **more: Any) -> Any:
    """An option as the help shows it; a flag has no metavar."""
    return typer.Option(
        *names.split(), metavar=metavar or "", help=meaning, rich_help_panel=panel, **more
    )


_TEXT, _OUTPUT, _VOICE, _MESSAGES = "Options", "Output", "Voice", "Messages"
_VOICES_OWN = {"show_default": "the voice's"}

Text: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="TEXT", help="What to say.", show_default=False)
]
TextFile: TypeAlias = Annotated[
    str | None, _option("-f --file", "FILE", "Read the text from a file.", _TEXT)
]
Output: TypeAlias = Annotated[
    str | None,
    _option(
        "-o --output",
        "PATH|-",
        "Its ending picks the format: .wav .flac .ogg .opus .mp3; - streams WAV to the output.",
        _OUTPUT,
        show_default="speech.wav",
    ),
]
Raw: TypeAlias = Annotated[
    bool, _option("--raw", None, "Stream bare 16-bit little-endian samples.", _OUTPUT)
]
VoiceName: TypeAlias = Annotated[
    str,
    _option(
        "-v --voice",
        "NAME|DIR",
        "A voice by name, or a folder with a voice.json.",
        _VOICE,
        envvar="TTSCLI_VOICE",
    ),
]
Tacotron2File: TypeAlias = Annotated[
    str | None,
    _option("--tacotron2", "FILE", "A Tacotron 2 checkpoint instead of the voice's.", _VOICE),
]
WaveGlowFile: TypeAlias = Annotated[
    str | None,
    _option("--waveglow", "FILE", "A WaveGlow checkpoint instead of the voice's.", _VOICE),
]
VocoderName: TypeAlias = Annotated[
    str, _option("--vocoder", "waveglow|griffin-lim", "What makes the audio.", _VOICE)
]
Sigma: TypeAlias = Annotated[
    float | None,
    _option("--sigma", "F", "Standard deviation of WaveGlow's noise.", _VOICE, **_VOICES_OWN),
]
Denoise: TypeAlias = Annotated[
    float | None,
    _option("--denoise", "F", "Strength of the bias remover, 0 is off.", _VOICE, **_VOICES_OWN),
]
Pause: TypeAlias = Annotated[
    float, _option("--pause", "S", "Silence between sentences, seconds.", _VOICE)
]
Seed: TypeAlias = Annotated[int, _option("--seed", "N", "Where all noise starts.", _VOICE, min=0)]
LexiconFile: TypeAlias = Annotated[
    str | None,
    _option(
        "--lexicon",
        "FILE",
        "Your words, one a line: word, tab, replacement or {AA1 R P AH0}.",
        _TEXT,
    ),
]
ParagraphPause: TypeAlias = Annotated[
    float | None,
    _option(
        "--paragraph-pause",
        "S",
        "Silence between paragraphs, seconds.",
        _VOICE,
        show_default="3 × --pause",
    ),
]
Emoji: TypeAlias = Annotated[bool, _option("--emoji", None, "Say the names of emoji.", _TEXT)]
Explain: TypeAlias = Annotated[
    bool,
    _option("--explain", None, "Print what would be said, changed and left out; no audio.", _TEXT),
]
Device: TypeAlias = Annotated[
    str, _option("--device", "auto|cpu|cuda[:N]|mps", "Where to compute.", _VOICE)
]
Precision: TypeAlias = Annotated[
    str, _option("--precision", "auto|fp32", "How exactly to compute.", _VOICE)
]
Threads: TypeAlias = Annotated[
    int,
    _option(
        "--threads",
        "N",
        "Sentences that a CPU speaks at once.",
        _VOICE,
        min=0,
        show_default="one a processor",
    ),
]
Quiet: TypeAlias = Annotated[
    bool, _option("-q --quiet", None, "Say nothing but errors.", _MESSAGES)
]
Json: TypeAlias = Annotated[
    bool,
    _option("--json", None, "Print a JSON object for all that happens, one a line.", _MESSAGES),
]
Verbose: TypeAlias = Annotated[
    bool, _option("--verbose", None, "Tell more on standard error.", _MESSAGES)
]


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
    text: Text = None,
    file: TextFile = None,
    output: Output = None,
    raw: Raw = False,
    voice: VoiceName = "small",
    tacotron2: Tacotron2File = None,
    waveglow: WaveGlowFile = None,
    vocoder: VocoderName = "waveglow",
    sigma: Sigma = None,
    denoise: Denoise = None,
    pause: Pause = 0.2,
    paragraph_pause: ParagraphPause = None,
    seed: Seed = 0,
    lexicon: LexiconFile = None,
    emoji: Emoji = False,
    explain: Explain = False,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = 0,
    quiet: Quiet = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Speak a text into a file or a stream.

    The text is read from the arguments, else from -f, else from a pipe. The path of the finished
    file is printed: aplay "$(ttscli synth Hello world.)"
    """
    words = read_text(text, file)
    if explain:
        show_explained(words, voice, lexicon, emoji, json)
        return
    target = output or ("-" if raw else "speech.wav")
    if target == "/dev/stdout":
        target = "-"  # by that name its path would be printed into the audio

    from ttscli.audio import open_audio
    from ttscli.synthesizer import Synthesizer
    from ttscli.voices import find_voice

    chosen = find_voice(voice)
    unfinished = []
    with (
        make_reporter(quiet, json, verbose, audio_on_stdout=target == "-") as report,
        open_audio(target, chosen.sample_rate, raw=raw, on_event=report) as writer,
    ):
        synthesizer = Synthesizer.from_voice(
            chosen, device=device, precision=precision, tacotron2=tacotron2, waveglow=waveglow,
            vocoder=vocoder, sigma=sigma, denoise=denoise, pause=pause,
            paragraph_pause=paragraph_pause, lexicon=lexicon, emoji=emoji, threads=threads,
            on_event=report,
        )  # fmt: skip
        for number, speech in enumerate(synthesizer.stream(words, seed), start=1):
            writer.write(speech.samples)
            unfinished += [] if speech.finished else [f'{number} "{speech.text:.40}"']
    if unfinished:
        what = f"{len(unfinished)} of {number} sentences did not come to an end: "
        raise SpeechError(what + ", ".join(unfinished[:3]), todo="try another --seed")


def show_explained(text: str, voice: str, lexicon: str | None, emoji: bool, as_json: bool) -> None:
    """Print how a text is read."""
    from ttscli.explain import explain, in_lines
    from ttscli.voices import find_voice

    for sentence in explain(text, find_voice(voice), lexicon, emoji=emoji):
        if as_json:
            put(to_json("sentence_explained", sentence))
        else:
            for line in in_lines(sentence):
                put(printable(line))


def read_text(arguments: Sequence[str] | None, file: str | None) -> str:
    """The text to speak: the arguments, else a file, else what is piped in."""
    if arguments and file:
        raise UsageError("there is text and a file with -f", todo="give one of them")
    if arguments:
        text = " ".join(arguments)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError("the text is not UTF-8", where="arguments") from error
    elif file and file != "-":
        text = _decode(_read_file(file), file)
    elif sys.stdin is None or (file is None and sys.stdin.isatty()):
        raise UsageError("there is no text", todo='try: ttscli synth "Hello world."')
    else:
        text = _decode(sys.stdin.buffer.read(MOST_TEXT + 1), "standard input")
    if not text.strip():
        raise InputError("the text is empty", where=file or "", todo='try: ttscli synth "Hello."')
    return text


def _read_file(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MOST_TEXT + 1)
    except OSError as error:
        raise InputError(error.strerror or str(error), where=path) from error


def _decode(data: bytes, name: str) -> str:
    if len(data) > MOST_TEXT:
        raise InputError(f"more than {MOST_TEXT >> 20} MB of text", where=name, todo="split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        encoding = "UTF-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "LATIN1"
        todo = f"convert the text: iconv -f {encoding} -t UTF-8"
        raise InputError(what, where=f"{name}:{line}", todo=todo) from error


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
    try:
        with _stopped_by_signals():
            code = int(app(list(arguments), prog_name="ttscli", standalone_mode=False) or 0)
        if code == 130:  # what Typer makes of KeyboardInterrupt
            raise Stopped(signal.SIGINT)
        return code
    except SystemExit:
        raise
    except BaseException as caught:
        interrupted = isinstance(caught, (KeyboardInterrupt, typer.Abort))
        error = Stopped(signal.SIGINT) if interrupted else caught
        if "--verbose" in arguments:
            traceback.print_exc()
        code, line = _in_words(error)
        if line:
            say(f"ttscli: {line}")
        _forget_output()
        return code


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
