"""Subtitles: readable cues, formats as players read them, exact times over hours."""

from __future__ import annotations

import io
import itertools
import json
import re
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscli import Speech, Synthesizer
from ttscli.errors import UsageError
from ttscli.speech import Sentence
from ttscli.subtitles import (
    LINE_WIDTH,
    MOST_LINES,
    WRITERS,
    JsonWriter,
    SrtWriter,
    VttWriter,
    cues_of,
    open_subtitles,
)
from ttscli.timings import Word

RATE = 22050
NO_SAMPLES = np.zeros(0, np.float32)


def sentence(text: str, each: int = RATE // 4) -> Sentence:
    """A sentence whose words take so many samples each."""
    words = tuple(
        Word(m[0], i * each, (i + 1) * each, RATE, m.start())
        for i, m in enumerate(re.finditer(r"\S+", text))
    )
    return Sentence(text, 0, len(words) * each, True, words)


def speech(text: str, each: int = RATE // 4, pause: int = 0) -> Speech:
    """A piece with a pause in front."""
    said = sentence(text, each)
    samples = np.zeros(pause + said.samples, np.float32)
    return Speech(samples, RATE, text, (said.later(pause),))


def written(ending: str, *pieces: Speech, to_rate: int = RATE) -> str:
    file = io.BytesIO()
    writer = WRITERS[ending](file, RATE, to_rate)
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    return file.getvalue().decode()


def test_srt() -> None:
    text = written(".srt", speech("Hello there, you."), speech("Bye --> bye.", pause=4410))
    assert text == (
        "1\n00:00:00,000 --> 00:00:00,950\nHello there, you.\n\n"
        "2\n00:00:00,950 --> 00:00:01,700\nBye → bye.\n\n"
    )


def test_vtt() -> None:
    text = written(".vtt", speech("A <b> & c."))
    assert text == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n"
        "A <00:00:00.250>&lt;b&gt; <00:00:00.500>&amp; <00:00:00.750>c.\n\n"
    )


def test_json() -> None:
    found = json.loads(written(".json", speech("Hi you."), speech("“Bye.”", pause=4410)))
    assert found["samples"] == 2 * 5512 + 4410 + 5512
    assert found["sample_rate"] == RATE
    first, second = found["sentences"]
    assert first["text"] == "Hi you."
    assert first["words"][1] == {
        "text": "you.", "start": 5512, "end": 11024, "start_s": 0.249977, "end_s": 0.499955,
    }  # fmt: skip
    assert (second["text"], second["start"]) == ("“Bye.”", 15434)
    assert json.loads(written(".json"))["sentences"] == []


@given(st.lists(st.text("abc,.é", min_size=1, max_size=30), min_size=1, max_size=60))
def test_cues_are_readable_and_lose_nothing(words: list[str]) -> None:
    said = sentence(" ".join(words))
    cues = cues_of(said, RATE)
    assert " ".join(text for cue in cues for text in cue.texts) == said.text
    assert [word for cue in cues for word in cue.words] == list(said.words)
    for cue in cues:
        assert [i for line in cue.lines() for i in line] == list(range(len(cue.words)))
        if len(cue.words) > 1:
            assert len(cue.lines()) <= MOST_LINES
            assert cue.end - cue.start <= 7 * RATE
            for line in cue.lines():
                assert len(" ".join(cue.texts[i] for i in line)) <= LINE_WIDTH


def test_cues_are_cut_at_clauses() -> None:
    text = (
        "If somebody did that to me, a lousy trick, to take my wife away, I would be mad as hell."
    )
    assert [" ".join(cue.texts) for cue in cues_of(sentence(text), RATE)] == [
        "If somebody did that to me, a lousy trick,",
        "to take my wife away, I would be mad as hell.",
    ]


def test_slow_speech_changes_cues_in_time() -> None:
    for cue in cues_of(sentence("One two three four five six.", 2 * RATE), RATE):
        assert cue.end - cue.start <= 7 * RATE


@pytest.mark.parametrize("to_rate", [8000, 16000, 22050, 44100])
def test_times_are_exact_after_hours(to_rate: int) -> None:
    """30 hours: each word is where resampling puts its sample, to the sample."""
    hour = RATE * 3600 + 1
    pieces = [Speech(np.broadcast_to(np.float32(0), (hour,)), RATE)] * 30  # type: ignore[arg-type]
    text = written(".json", *pieces, speech("The end."), to_rate=to_rate)
    found = json.loads(text)
    last = found["sentences"][-1]["words"][-1]
    total = 30 * hour + 2 * 5512
    assert found["samples"] == -(-total * to_rate // RATE)
    assert last["end"] == found["samples"]
    assert last["start"] == -(-(30 * hour + 5512) * to_rate // RATE)
    srt = written(".srt", *pieces, speech("The end."), to_rate=to_rate)
    assert srt.startswith("1\n30:00:00,001 --> 30:00:00,501\n")


def test_a_book_needs_no_memory(tmp_path: Path) -> None:
    piece = speech("The quick brown fox jumps over the lazy dog, and nobody is surprised.")
    for ending in WRITERS:
        with open_subtitles(str(tmp_path / f"x{ending}"), RATE, RATE) as writer:
            writer.write(piece)
            tracemalloc.start()
            for _ in range(3000):
                writer.write(piece)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 400_000
        assert (tmp_path / f"x{ending}").stat().st_size > 3000 * 60


@pytest.mark.parametrize("name", ["x", "x.txt", "-"])
def test_unknown_formats(name: str) -> None:
    with pytest.raises(UsageError, match=r"use one of \.srt \.vtt \.json"):
        open_subtitles(name, RATE, RATE).__enter__()


def test_failed_subtitles_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_subtitles(str(tmp_path / "x.srt"), RATE, RATE):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("speed", "rate"), [(1.0, None), (1.3, 16000), (0.7, 44100)])
def test_durations_add_up_to_the_file(
    harmonic_voice: Path, tmp_path: Path, speed: float, rate: int | None
) -> None:
    tts = Synthesizer.from_voice(harmonic_voice, device="cpu", speed=speed)
    said = tts("Hello there. How are you? Bye.")
    said.save(tmp_path / "x.wav", sample_rate=rate)
    with wave.open(str(tmp_path / "x.wav")) as file:
        frames, file_rate = file.getnframes(), file.getframerate()
    found = json.loads(written(".json", said, to_rate=file_rate))
    assert found["samples"] == frames
    sentences = found["sentences"]
    pauses = [b["start"] - a["end"] for a, b in itertools.pairwise(sentences)]
    assert sum(s["end"] - s["start"] for s in sentences) + sum(pauses) == frames
    assert all(abs(pause - 0.2 * file_rate) <= 1 for pause in pauses)
    assert [type(WRITERS[e](io.BytesIO(), 1, 1)) for e in WRITERS] == [
        SrtWriter, VttWriter, JsonWriter,
    ]  # fmt: skip
