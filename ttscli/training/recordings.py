"""Recordings in LJ Speech's layout as training data; forced alignment finds when each phone sounds.

The layout is `wavs/ID.wav` and `metadata.csv`, a line `ID|text` or `ID|text|text as it is spoken`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from ttscli.errors import InputError
from ttscli.text.cleaners import english_cleaners
from ttscli.text.lexicon import Lexicon
from ttscli.training.teacher import Phone, Token, Utterance

Floats = NDArray[np.float32]
Span = tuple[float, float]  # start and end

_RATE = 16000  # of what the aligner hears
_MARGIN = 0.2  # seconds of silence around a recording, which the aligner wants
_TOKEN = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_STRESS = re.compile(r"\d")
_PER_SECOND = 100  # the aligner's frames
_UNLIKELY = {"beam": 1e-80, "wbeam": 1e-60, "pbeam": 1e-80}  # how unlike its models speech may be


@dataclass(frozen=True)
class Recording:
    """A recorded sentence."""

    path: Path
    """Its audio, in any format and at any rate."""
    text: str
    """What is said, as the cleaners leave it."""


def read_metadata(folder: Path) -> list[Recording]:
    """What `metadata.csv` lists.

    Raises:
        InputError: there is no such file, a line is no `ID|text`, or its audio is missing.
    """
    listing = folder / "metadata.csv"
    try:
        lines = listing.read_text("utf-8").split("\n")
    except OSError as e:
        raise InputError(f"cannot read the list of recordings ({e})", where=str(listing)) from e
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *texts = line.split("|")
        path = folder / "wavs" / f"{name}.wav"
        if not texts or not path.is_file():
            problem = f"there is no {path}" if texts else "this is no ID|text"
            raise InputError(problem, where=f"{listing}:{number}")
        found.append(Recording(path, english_cleaners(texts[-1]).strip()))
    return found


def align(lexicon: Path, recordings: Sequence[Recording], scratch: Path) -> list[Utterance]:
    """The recordings whose words are all in the lexicon and found in the audio.

    Args:
        lexicon: of a voice, which says how words are pronounced.
        recordings: what to align.
        scratch: a folder for the aligner's dictionary, which is removed.
    """
    known = Lexicon.open(lexicon)
    tokens = [_tokens(recording.text, known) for recording in recordings]
    words = {phones for row in tokens for _, words in row for phones in words}
    aligner = _Aligner(sorted(words), scratch / "words.dict")
    found = []
    for recording, row in zip(recordings, tokens, strict=True):
        if not row or not all(words for _, words in row):
            continue
        audio, rate = soundfile.read(recording.path, dtype="float32", always_2d=True)
        mono = audio.mean(1)
        sounds = aligner.sounds(mono, rate, [phones for _, words in row for phones in words])
        if sounds is not None:
            samples = np.clip(mono * 32768, -32768, 32767).astype(np.int16)
            found.append(Utterance(recording.text, _timed(row, sounds), samples, rate))
    return found


def _tokens(text: str, lexicon: Lexicon) -> list[tuple[str, list[str]]]:
    """Each token with the phones of its words; with none where a word is not known."""
    found = []
    said = {span.start: span.spoken.strip("{}") for span in lexicon.spans(text)}
    for match in _TOKEN.finditer(text):
        lengths = [len(word) + 1 for word in match[0].split("-")]
        words = [said.get(start) for start in accumulate(lengths[:-1], initial=match.start())]
        found.append((match[0], [phones for phones in words if phones] * all(words)))
    return found


def _timed(row: list[tuple[str, list[str]]], sounds: list[list[Span]]) -> tuple[Token, ...]:
    """Tokens with the times of their words' phones."""
    left = iter(sounds)
    tokens = []
    for text, words in row:
        times = [next(left) for _ in words]
        phones = tuple(
            tuple(Phone(name, end) for name, (_, end) in zip(word.split(), spans, strict=True))
            for word, spans in zip(words, times, strict=True)
        )
        tokens.append(Token(text, times[0][0][0], times[-1][-1][1], phones))
    return tuple(tokens)


class _Aligner:
    """Pocketsphinx with a dictionary of just the words that are said, named by their phones."""

    def __init__(self, words: Sequence[str], dictionary: Path) -> None:
        from pocketsphinx import Decoder

        self._names = {phones: f"w{i}" for i, phones in enumerate(words)}
        lines = (f"{name} {_STRESS.sub('', phones)}\n" for phones, name in self._names.items())
        dictionary.write_text("".join(lines))
        self._decoder: Any = Decoder(
            samprate=_RATE, loglevel="FATAL", dict=str(dictionary), lm=None, **_UNLIKELY
        )
        dictionary.unlink()

    def sounds(self, audio: Floats, rate: int, words: Sequence[str]) -> list[list[Span]] | None:
        """When each phone of each word sounds in audio (S,); None if they are not found in it."""
        pcm = _heard(audio, rate)
        decoder = self._decoder
        try:
            decoder.set_align_text(" ".join(self._names[phones] for phones in words))
            self._listen(pcm)
            spans = [(s.start_frame, s.end_frame + 1) for s in decoder.seg() if _is_word(s.word)]
        except RuntimeError:  # all that pocketsphinx says
            return None
        if len(spans) != len(words):
            return None
        try:
            decoder.set_alignment()
            self._listen(pcm)
            sounds = [
                [(phone.start, phone.start + phone.duration) for phone in word]
                for word in decoder.get_alignment()
                if _is_word(word.name)
            ]
        except RuntimeError:  # too fast for its models of phones: each takes its share of the word
            sounds = [
                _shares(span, len(phones.split()))
                for span, phones in zip(spans, words, strict=True)
            ]
        return [[_seconds(span, len(audio) / rate) for span in word] for word in sounds]

    def _listen(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()


def _heard(audio: Floats, rate: int) -> bytes:
    """Audio (S,) as the aligner wants it: 16 kHz, loud, between silences that are not digital."""
    silence = np.zeros(round(_MARGIN * _RATE))
    common = np.gcd(rate, _RATE)
    heard = resample_poly(audio, _RATE // common, rate // common)
    heard = np.concatenate([silence, heard, silence])
    heard = heard + np.random.default_rng(0).standard_normal(len(heard)) * 1e-4
    loud = heard / max(1e-6, float(np.abs(heard).max())) * 0.7
    return (loud * 32767).astype(np.int16).tobytes()


def _is_word(name: str) -> bool:
    return name.startswith("w")


def _shares(span: Span, count: int) -> list[Span]:
    """A span cut into even parts."""
    edges = np.linspace(*span, count + 1)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _seconds(span: Span, duration: float) -> Span:
    """Frames of the aligner as seconds of the recording."""
    start, end = (min(max(edge / _PER_SECOND - _MARGIN, 0.0), duration) for edge in span)
    return start, end
