"""The options of the commands: their names, as the help explains them."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer


def option(names: str, metavar: str | None, meaning: str, panel: str, **more: Any) -> Any:
    """An option as the help shows it; a flag has no metavar."""
    return typer.Option(
        *names.split(), metavar=metavar or "", help=meaning, rich_help_panel=panel, **more
    )


_TEXT, _OUTPUT, _VOICE, _MESSAGES = "Options", "Output", "Voice", "Messages"
_WORK = "Work"
_VOICES_OWN = {"show_default": "the voice's"}

Text: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="TEXT", help="What to say.", show_default=False)
]
TextFile: TypeAlias = Annotated[
    list[str] | None, option("-f --file", "FILE", "Read the text from a file.", _TEXT)
]
Output: TypeAlias = Annotated[
    str | None,
    option(
        "-o --output",
        "PATH|-",
        "Its ending picks the format: .wav .flac .ogg .opus .mp3; - streams WAV to the output.",
        _OUTPUT,
        show_default="speech.wav",
    ),
]
Raw: TypeAlias = Annotated[
    bool, option("--raw", None, "Stream bare 16-bit little-endian samples.", _OUTPUT)
]
Play: TypeAlias = Annotated[
    bool, option("--play", None, "Play it too; without -o, play it only.", _OUTPUT)
]
Subtitles: TypeAlias = Annotated[
    str | None,
    option("--subtitles", "FILE", "When each word is said: .srt .vtt .json.", _OUTPUT),
]
SubtitleFormat: TypeAlias = Annotated[
    str | None,
    option("--subtitles", "srt|vtt|json", "Subtitles beside each audio file.", _OUTPUT),
]
Plot: TypeAlias = Annotated[
    str | None,
    option("--plot", "FILE", "A picture of mel, words and attention: .png .svg .pdf.", _OUTPUT),
]
VoiceName: TypeAlias = Annotated[
    str,
    option(
        "-v --voice",
        "NAME|DIR",
        "A voice by name, or a folder with a voice.json.",
        _VOICE,
        envvar="TTSCLI_VOICE",
    ),
]
Tacotron2File: TypeAlias = Annotated[
    str | None,
    option("--tacotron2", "FILE", "A Tacotron 2 checkpoint instead of the voice's.", _VOICE),
]
WaveGlowFile: TypeAlias = Annotated[
    str | None,
    option("--waveglow", "FILE", "A WaveGlow checkpoint instead of the voice's.", _VOICE),
]
VocoderName: TypeAlias = Annotated[
    str, option("--vocoder", "waveglow|griffin-lim", "What makes the audio.", _VOICE)
]
Sigma: TypeAlias = Annotated[
    float | None,
    option("--sigma", "F", "Standard deviation of WaveGlow's noise.", _VOICE, **_VOICES_OWN),
]
Denoise: TypeAlias = Annotated[
    float | None,
    option("--denoise", "F", "Strength of the bias remover, 0 is off.", _VOICE, **_VOICES_OWN),
]
Pause: TypeAlias = Annotated[
    float, option("--pause", "S", "Silence between sentences, seconds.", _VOICE)
]
Speed: TypeAlias = Annotated[
    float, option("--speed", "F", "Tempo without pitch change, 0.5 to 2.", _VOICE)
]
SampleRate: TypeAlias = Annotated[
    int | None,
    option(
        "--sample-rate",
        "HZ",
        "Resample the output.",
        _OUTPUT,
        show_default="the voice's",
    ),
]
Seed: TypeAlias = Annotated[int, option("--seed", "N", "Where all noise starts.", _VOICE, min=0)]
LexiconFile: TypeAlias = Annotated[
    str | None,
    option(
        "--lexicon",
        "FILE",
        "Your words, one a line: word, tab, replacement or {AA1 R P AH0}.",
        _TEXT,
    ),
]
ParagraphPause: TypeAlias = Annotated[
    float | None,
    option(
        "--paragraph-pause",
        "S",
        "Silence between paragraphs, seconds.",
        _VOICE,
        show_default="3 × --pause",
    ),
]
Emoji: TypeAlias = Annotated[bool, option("--emoji", None, "Say the names of emoji.", _TEXT)]
Explain: TypeAlias = Annotated[
    bool,
    option(
        "--explain",
        None,
        "Print what would be said, changed and left out; no audio. With --verbose, phones too.",
        _TEXT,
    ),
]
Device: TypeAlias = Annotated[
    str, option("--device", "auto|cpu|cuda[:N]|mps", "Where to compute.", _VOICE)
]
Precision: TypeAlias = Annotated[
    str,
    option(
        "--precision",
        "auto|fp32|fp16|bf16",
        "How exactly to compute; the halves are for NVIDIA GPUs.",
        _VOICE,
    ),
]
Threads: TypeAlias = Annotated[
    int,
    option(
        "--threads",
        "N",
        "Sentences that a CPU speaks at once.",
        _VOICE,
        min=0,
        show_default="one a processor",
    ),
]
Offline: TypeAlias = Annotated[
    bool,
    option("--offline", None, "No network, whatever happens.", _WORK, envvar="TTSCLI_OFFLINE"),
]
Quiet: TypeAlias = Annotated[bool, option("-q --quiet", None, "Say nothing but errors.", _MESSAGES)]
Json: TypeAlias = Annotated[
    bool,
    option("--json", None, "Print a JSON object for all that happens, one a line.", _MESSAGES),
]
Verbose: TypeAlias = Annotated[
    bool, option("--verbose", None, "Tell more on standard error.", _MESSAGES)
]

BatchInput: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A list of texts: .txt (one a line), .csv or .tsv (a header: id, text, and options "
        "such as voice and seed), .jsonl, an LJSpeech filelist; - is standard input.",
        show_default=False,
    ),
]
BatchFolder: TypeAlias = Annotated[
    str, option("-o --output", "DIR", "The folder for the audio and manifest.jsonl.", _OUTPUT)
]
Form: TypeAlias = Annotated[
    str | None,
    option(
        "--format",
        "txt|csv|tsv|jsonl|filelist",
        "What the input is.",
        _TEXT,
        show_default="by its ending",
    ),
]
Name: TypeAlias = Annotated[
    str,
    option(
        "--name",
        "PATTERN",
        "Names the files, of {index}, {id} and {stem}: {index:05d}.flac. Its ending is the format.",
        _OUTPUT,
        show_default="{id}.wav, without ids {index:05d}.wav",
    ),
]
BatchSize: TypeAlias = Annotated[
    str,
    option(
        "--batch-size",
        "N|auto",
        "Sentences that are computed together; the samples stay the same.",
        _WORK,
    ),
]
Workers: TypeAlias = Annotated[
    int,
    option(
        "--workers",
        "N",
        "Processes that speak.",
        _WORK,
        min=0,
        show_default="one a processor, or a GPU",
    ),
]
EngineName: TypeAlias = Annotated[
    str, option("--engine", "local|ray", "Where the workers are.", _WORK)
]
RayAddress: TypeAlias = Annotated[
    str | None,
    option("--ray-address", "ADDRESS", "A Ray cluster to use: auto, HOST:PORT.", _WORK),
]
ShardOption: TypeAlias = Annotated[
    str | None, option("--shard", "I/N", "Do the I-th of N parts alone, from 1.", _WORK)
]
Overwrite: TypeAlias = Annotated[
    bool, option("--overwrite", None, "Do what is done already.", _WORK)
]
KeepGoing: TypeAlias = Annotated[
    bool,
    option(
        "--keep-going",
        None,
        "Accept sentences that could not be read right in any way: exit with 0, not with 3.",
        _WORK,
    ),
]
FailFast: TypeAlias = Annotated[bool, option("--fail-fast", None, "Stop at a failure.", _WORK)]
Retries: TypeAlias = Annotated[
    int,
    option(
        "--retries",
        "N",
        "Further tries for a line whose process died or ran out of memory.",
        _WORK,
        min=0,
    ),
]
DryRun: TypeAlias = Annotated[
    bool, option("--dry-run", None, "Check everything and show what would be done.", _WORK)
]
