"""Voices that stand in for models, in processes of their own too: quick, deterministic, faulty."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ttscli.attention import Attention
from ttscli.batch.jobs import VoiceOptions
from ttscli.errors import InputError, TemporaryError
from ttscli.events import Event, SentenceOverflowed, TextSplit, ignore
from ttscli.speech import Sentence, Speech

RATE = 22050
READ_WELL = Attention(
    ended=True, coverage=1.0, skipped=0, unread=0, back=0, stall_s=0.25, rate=12.5
)


class FakeVoice:
    """Says 100 samples that depend on the text and the seed; some texts do harm.

    die: kills its process. fail: raises what no voice should raise. endless: has no end.
    large: overflows in half precision.
    flaky FILE: kills its process unless the file is there, which it makes.
    """

    def __init__(self, options: VoiceOptions, most_together: int = 1 << 30) -> None:
        self.options, self.most_together = options, most_together
        self.sample_rate = RATE
        self.on_event: Callable[[Event], None] = ignore
        self.batches: list[int] = []

    def stream(self, text: str, seed: int = 0) -> Iterator[Speech]:
        self.on_event(TextSplit(1, len(text)))
        word, _, rest = text.partition(" ")
        word = word.rstrip(".")
        match word:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "fail":
                raise ZeroDivisionError("division by zero")
            case "mute":
                raise InputError("there is nothing to say")
            case "large":
                self.on_event(SentenceOverflowed(0, text))
            case "full":
                raise TemporaryError("there is not enough free memory on cuda")
            case "slow":
                time.sleep(float(rest))
            case "flaky":
                try:
                    Path(rest).touch(exist_ok=False)
                except FileExistsError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
        name = f"{text}/{seed}/{self.options.sigma}/{self.options.voice}"
        digest = hashlib.sha256(name.encode()).digest()
        start = np.frombuffer(digest, "<i2").astype(np.float32) / 65536
        samples = np.resize(start, 100)
        problems = ("it does not stop",) if word == "endless" else ()
        attention = replace(READ_WELL, ended=not problems, problems=problems)
        sentence = Sentence(text, 0, len(samples), attention)
        yield Speech(samples, RATE, text, (sentence,))

    def map(
        self, texts: Sequence[str], seed: Sequence[int], batch_size: int = 1
    ) -> Iterator[Speech]:
        for start in range(0, len(texts), batch_size):
            batch = texts[start : start + batch_size]
            self.batches.append(len(batch))
            if len(batch) > self.most_together:
                raise TemporaryError("there is not enough free memory on cuda")
            for text, own in zip(batch, seed[start : start + batch_size], strict=True):
                yield from self.stream(text, own)


def load(options: VoiceOptions) -> FakeVoice:
    return FakeVoice(options)


def load_and_note(options: VoiceOptions) -> FakeVoice:
    """Tell in a file, which stands where a lexicon would, on which device it was loaded."""
    assert options.lexicon is not None
    with Path(options.lexicon).open("a") as file:
        file.write(options.device + "\n")
    return FakeVoice(options)


def load_in_vain(options: VoiceOptions) -> FakeVoice:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
