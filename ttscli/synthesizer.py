"""Text in, speech out: the library."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ttscli.attention import Attention
from ttscli.audio import Samples
from ttscli.counts import counted
from ttscli.devices import choose_device, choose_precision
from ttscli.engines import load_engine, speak_by_length
from ttscli.errors import InputError, UsageError, VoiceError
from ttscli.events import (
    OnEvent,
    SentenceFailed,
    SentenceOverflowed,
    SentenceRetried,
    SentenceSpoken,
    TextDropped,
    TextSplit,
    VoiceLoaded,
    ignore,
)
from ttscli.readings import Engine, Reading, Spoken
from ttscli.retries import Ladder, Read
from ttscli.speech import Sentence, Speech, View
from ttscli.tempo import check_speed
from ttscli.text.symbols import SYMBOLS
from ttscli.timings import word_times
from ttscli.vocoders import check_vocoder
from ttscli.voices import MOST, Voice, find_voice

if TYPE_CHECKING:
    from ttscli.text.frontend import Encoded, Frontend
    from ttscli.text.sentences import Piece

_MOST_NAMED = 3  # sentences that failed
_SILENT = 1e-3  # of full scale (-60 dB): speech that is nowhere louder is none


@dataclass(frozen=True)
class _Line:
    """A sentence that waits to be spoken."""

    whole: str
    """The text it is from."""
    index: int
    """Its place among the sentences of that text, from 0."""
    text: str
    """As it was given."""
    encoded: Encoded
    """As the voice reads it."""
    silence: int
    """Samples of silence before it."""
    after: int
    """Samples of silence after it."""
    last: bool
    """Whether it is the last of its text that is spoken."""
    characters: int
    """Characters of the text up to its end."""
    total_characters: int
    """Characters of the text."""


class Synthesizer:
    """A voice, loaded and ready to speak.

    Args:
        engine: symbols to samples.
        frontend: text to symbols.
        sample_rate: of the engine's audio.
        pause: silence between sentences, seconds; half of it where one had to be cut, and twice
            as much between the items of a list.
        paragraph_pause: silence between paragraphs, seconds; None is three times the other.
        speed: tempo without pitch change; pauses stay as they are.
        on_event: takes what happens, see `ttscli.events`.
    """

    def __init__(
        self,
        engine: Engine,
        frontend: Frontend,
        *,
        sample_rate: int = 22050,
        pause: float = 0.2,
        paragraph_pause: float | None = None,
        speed: float = 1.0,
        on_event: OnEvent = ignore,
    ) -> None:
        self.engine, self.frontend, self.speed = engine, frontend, check_speed(speed)
        self.sample_rate, self.on_event = sample_rate, on_event
        self._ladder = Ladder(engine, sample_rate)
        self._pause = pause
        self._paragraph_pause = 3 * pause if paragraph_pause is None else paragraph_pause

    @classmethod
    def from_voice(
        cls,
        name: str | Path | Voice = "small",
        *,
        device: str = "auto",
        precision: str = "auto",
        tacotron2: str | Path | None = None,
        waveglow: str | Path | None = None,
        vocoder: str = "waveglow",
        sigma: float | None = None,
        denoise: float | None = None,
        pause: float = 0.2,
        paragraph_pause: float | None = None,
        speed: float = 1.0,
        lexicon: str | Path | None = None,
        emoji: bool = False,
        threads: int = 0,
        on_event: OnEvent = ignore,
    ) -> Synthesizer:
        """Load a voice.

        Args:
            name: a built-in or downloaded voice, or a folder with a `voice.json`.
            device: auto, cpu, cuda, cuda:N or mps.
            precision: auto, fp32, or on an NVIDIA GPU fp16 or bf16, see
                `devices.choose_precision`.
            tacotron2: a checkpoint instead of the voice's; the voice's lexicon, which belongs to
                its own Tacotron 2, is then not used.
            waveglow: a checkpoint instead of the voice's.
            vocoder: waveglow or griffin-lim.
            sigma: standard deviation of WaveGlow's noise; None is the voice's.
            denoise: strength of the bias remover, 0 is off; None is the voice's.
            pause: silence between sentences, seconds.
            paragraph_pause: silence between paragraphs, seconds; None is three times the other.
            speed: tempo without pitch change, 0.5 to 2; pauses stay as they are.
            lexicon: file of `word<TAB>replacement` or `word<TAB>{AA1 R P AH0}` lines.
            emoji: say the names of emoji, which are left out otherwise.
            threads: sentences that a CPU speaks at once; 0 is one for each processor.
            on_event: takes what happens, see `ttscli.events`.
        """
        from ttscli.text.frontend import Frontend

        started = time.perf_counter()
        voice = choose_voice(
            name, tacotron2=tacotron2, waveglow=waveglow, vocoder=vocoder, sigma=sigma,
            denoise=denoise,
        )  # fmt: skip
        pause, speed = check_pause("pause", pause), check_speed(speed)
        if paragraph_pause is not None:
            paragraph_pause = check_pause("paragraph_pause", paragraph_pause)
        chosen = choose_device(device)
        precision = choose_precision(precision, chosen)
        frontend = Frontend.open(
            voice.cleaners, voice.lexicon, lexicon, final_stop=voice.final_stop, emoji=emoji
        )
        synthesizer = cls(
            load_engine(voice, vocoder, chosen, threads, precision),
            frontend,
            sample_rate=voice.sample_rate,
            pause=pause,
            paragraph_pause=paragraph_pause,
            speed=speed,
            on_event=on_event,
        )
        on_event(VoiceLoaded(voice.name, chosen, precision, time.perf_counter() - started))
        return synthesizer

    def __call__(self, text: str, seed: int = 0) -> Speech:
        """Speak a text: the pieces of `stream`, joined."""
        return self._joined(text, self.stream(text, seed))

    def stream(self, text: str, seed: int = 0) -> Iterator[Speech]:
        """Speak a text sentence by sentence; the pieces joined are the whole.

        Each piece begins with the pause that precedes its sentence.
        """
        check_seed(seed)
        return (piece for _, piece in self._speak((line, seed) for line in self._lines(text)))

    def map(
        self, texts: Iterable[str], seed: int | Iterable[int] = 0, batch_size: int = 1
    ) -> Iterator[Speech]:
        """Speak many texts, in order, each as if it were the only one.

        Args:
            texts: read as they are needed.
            seed: for each of the texts, or one for every one.
            batch_size: sentences that a GPU computes together; those of a like length are put
                together. A CPU computes each by itself, so that its samples never depend on what
                else there is to say.
        """
        seeds = repeat(seed) if isinstance(seed, int) else iter(seed)
        lines = (
            (line, check_seed(own))
            for text, own in zip(texts, seeds, strict=not isinstance(seed, int))
            for line in self._lines(text)
        )
        pieces: list[Speech] = []
        for line, piece in self._speak(lines, batch_size):
            pieces.append(piece)
            if line.last:
                yield self._joined(line.whole, pieces)
                pieces = []

    def _lines(self, text: str) -> Iterator[_Line]:
        """The sentences of a text that have something to say, read as they are needed."""
        from ttscli.text.sentences import split_text

        pieces = split_text(text, read=self.frontend.spans)
        total = sum(len(piece.text) for piece in pieces)
        done = 0
        line: _Line | None = None  # held back until it is known whether another follows
        since: list[Piece] = []  # the pieces after that line
        if pieces:
            self.on_event(TextSplit(len(pieces), total))
        for index, piece in enumerate(pieces):
            done += len(piece.text)
            since.append(piece)
            encoded = self.frontend.encode(piece.text, "." if piece.whole else ",")
            for dropped in encoded.dropped:
                self.on_event(TextDropped(dropped.text, dropped.count, index))
            if not encoded.speakable:
                continue
            silence = self._samples(self._silence(since, first=line is None))
            if line is not None:
                yield line
            line = _Line(text, index, piece.text, encoded, silence, 0, False, done, total)
            since = []
        if line is None:
            raise InputError("there is nothing to say: no word in the text can be spoken")
        after = self._silence(since, first=True) + pieces[-1].after
        yield replace(line, last=True, after=self._samples(after))

    def _silence(self, pieces: Sequence[Piece], *, first: bool) -> float:
        """Seconds of silence before the last of some pieces, of which no other is spoken."""
        asked = [piece.pause for piece in pieces if piece.pause is not None]
        if asked or first:
            return sum(asked)
        seconds = {
            "clause": self._pause / 2,
            "sentence": self._pause,
            "item": 2 * self._pause,
            "paragraph": self._paragraph_pause,
        }
        return max(seconds[piece.gap.value] for piece in pieces)

    def _samples(self, seconds: float) -> int:
        return round(seconds * self.sample_rate)

    def _speak(
        self, lines: Iterable[tuple[_Line, int]], batch_size: int = 1
    ) -> Iterator[tuple[_Line, Speech]]:
        """Speak sentences with their seeds, each as it would be spoken alone.

        A sentence's noise depends on nothing but the seed and its place in its text.
        """
        begun: deque[tuple[_Line, Reading]] = deque()

        def readings() -> Iterator[Reading]:
            for line, seed in lines:
                noise = np.random.SeedSequence(seed, spawn_key=(line.index,))
                reading = Reading(line.encoded.ids, noise, speed=self.speed)
                begun.append((line, reading))
                yield reading

        for spoken in speak_by_length(self.engine, readings(), batch_size):
            line, reading = begun.popleft()
            _check_samples(line, spoken)
            read = self._ladder.climb(reading, spoken, partial(self._retried, line))
            if spoken.overflowed or read.spoken.overflowed:
                self.on_event(SentenceOverflowed(line.index, line.text))
            _check_samples(line, read.spoken)
            yield line, self._piece(line, read)

    def _retried(self, line: _Line, way: str, before: Attention) -> None:
        self.on_event(SentenceRetried(line.index, line.text, way, before.problems))

    def _piece(self, line: _Line, read: Read) -> Speech:
        """A spoken sentence, reported, with the pause before it."""
        samples, attention = read.spoken.samples, read.attention
        duration = len(samples) / self.sample_rate
        if not attention.good:
            self.on_event(
                SentenceFailed(line.index, line.text, duration, attention.problems, attention.tries)
            )
        self.on_event(
            SentenceSpoken(line.index, line.text, line.characters, line.total_characters, duration)
        )
        words = word_times(
            line.text, line.encoded, read.spoken.alignment, len(samples), self.sample_rate
        )
        symbols = tuple(SYMBOLS[index] for index in line.encoded.ids)
        view = View(symbols, read.spoken.mel, read.spoken.alignment)
        sentence = Sentence(line.text, 0, len(samples), attention, words, view)
        joined = np.pad(samples, (line.silence, line.after))
        return Speech(joined, self.sample_rate, line.text, (sentence.later(line.silence),))

    def _joined(self, text: str, pieces: Iterable[Speech]) -> Speech:
        """One speech of many pieces."""
        samples: list[Samples] = []
        sentences: list[Sentence] = []
        start = 0
        for piece in pieces:
            sentences += (sentence.later(start) for sentence in piece.sentences)
            samples.append(piece.samples)
            start += len(piece.samples)
        return Speech(np.concatenate(samples), self.sample_rate, text, tuple(sentences))


def what_failed(failed: Sequence[tuple[int, Sentence]], total: int) -> str:
    """In words what the attention check says about sentences, each with its number from 1."""
    named = [
        f'{number} "{sentence.text:.40}" ({", ".join(sentence.attention.problems)})'
        for number, sentence in failed[:_MOST_NAMED]
    ]
    verb = "was" if len(failed) == 1 else "were"
    what = f"{len(failed)} of {counted(total, 'sentence')} {verb} not read right"
    what = f"{what}: {', '.join(named)}"
    return what + (", …" if len(failed) > _MOST_NAMED else "")


def _check_samples(line: _Line, spoken: Spoken) -> None:
    """Refuse what no one could hear."""
    loudest = float(np.abs(spoken.samples).max(initial=0))
    if not math.isfinite(loudest):
        what = f"it gave samples that are no numbers for {line.text!r:.60}"
        raise VoiceError(what, where="the voice", todo="its checkpoints may be damaged")
    if loudest < _SILENT:
        what = f"it gave silence for {line.text!r:.60}"
        todo = "its models may not belong together, or denoise may be too high"
        raise VoiceError(what, where="the voice", todo=todo)


def choose_voice(
    name: str | Path | Voice = "small",
    *,
    tacotron2: str | Path | None = None,
    waveglow: str | Path | None = None,
    vocoder: str = "waveglow",
    sigma: float | None = None,
    denoise: float | None = None,
) -> Voice:
    """The voice with what is asked of it; see `Synthesizer.from_voice`."""
    voice = name if isinstance(name, Voice) else find_voice(name)
    check_vocoder(vocoder, waveglow=waveglow, sigma=sigma, denoise=denoise)
    if tacotron2 is not None:
        voice = replace(voice, tacotron2=Path(tacotron2), lexicon=None)
    if waveglow is not None:
        voice = replace(voice, waveglow=Path(waveglow), denoiser=None, mel_gain=0)
    if sigma is not None:
        voice = replace(voice, sigma=check_amount("sigma", sigma))
    if denoise is not None:
        voice = replace(voice, denoise=check_amount("denoise", denoise))
    return voice


def check_pause(name: str, seconds: float) -> float:
    """The seconds, if they are as many as a text may ask for."""
    from ttscli.text.sentences import LONGEST_PAUSE

    if not 0 <= seconds <= LONGEST_PAUSE:
        raise UsageError(f"{name} must be from 0 to {LONGEST_PAUSE:g} seconds, not {seconds:g}")
    return seconds


def check_seed(seed: int) -> int:
    """The seed, if noise can start there."""
    if seed < 0:
        raise UsageError(f"a seed must be a whole number of at least 0, not {seed}")
    return seed


def check_amount(name: str, value: float) -> float:
    """The value, if it is one that leaves speech to be heard."""
    if not 0 <= value <= MOST:
        raise UsageError(f"{name} must be a number from 0 to {MOST:g}, not {value:g}")
    return value
