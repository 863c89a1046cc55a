"""Timings: words where the attention was, exact to the sample, in every rate and tempo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_synthesizer import torch_engine

from ttscli import Speech, Synthesizer
from ttscli.text.frontend import Encoded, Frontend, Word
from ttscli.text.lexicon import UserLexicon
from ttscli.text.symbols import SYMBOLS
from ttscli.timings import symbol_bounds, word_times

ENGLISH = ("english_cleaners",)
LEXICON = UserLexicon({"New York": "Newark city", "%": "percent", "Zoë": "{Z OW1 IY0}"})


def words_of(text: str, frontend: Frontend | None = None) -> list[tuple[str, str]]:
    """What is written and what is read, word by word."""
    encoded = (frontend or Frontend(ENGLISH)).encode(text)
    return [
        (text[w.start : w.end], "".join(SYMBOLS[i] for i in encoded.ids[w.first : w.last]))
        for w in encoded.words
    ]  # fmt: skip


def test_words_and_their_symbols() -> None:
    assert words_of("Dr. Smith,  22 ☃ Elm—ok – it's {HH AY1 }!") == [
        ("Dr.", "doctor"),
        ("Smith,", "smith,"),
        ("22", "twenty-two"),
        ("Elm—ok", "elm -- ok"),
        ("it's", "it's"),
        ("{HH AY1 }", "@HH@AY1"),
    ]


def test_words_of_a_lexicon() -> None:
    frontend = Frontend(ENGLISH, [LEXICON], final_stop=True)
    assert words_of("New York has 5% new Zoë", frontend) == [
        ("New York", "newark"),
        ("New York", "city"),
        ("has", "has"),
        ("5", "five"),
        ("%", "percent"),
        ("new", "new"),
        ("Zoë", "@Z@OW1@IY0"),
    ]


@given(st.text(st.sampled_from("ab 1.,-—'\"{}☃é%$N\n"), max_size=60))
def test_words_are_apart_and_hold_all_sounds(text: str) -> None:
    encoded = Frontend(ENGLISH, [LEXICON]).encode(text)
    sounding = {i for i, index in enumerate(encoded.ids) if index >= SYMBOLS.index("A")}
    held: set[int] = set()
    place = symbol = 0
    for word in encoded.words:
        assert place <= word.start < word.end <= len(text)
        assert symbol <= word.first < word.last <= len(encoded.ids)
        place, symbol = word.end, word.last
        held |= set(range(word.first, word.last))
    assert sounding <= held


def attention(frames: list[int]) -> np.ndarray:
    """An attention that looks at each symbol for so many frames."""
    return np.repeat(np.eye(len(frames), dtype=np.float32), frames, axis=0)


def test_times_are_those_of_the_attention() -> None:
    encoded = Frontend(ENGLISH).encode("ab, c.")
    frames = [3, 4, 15, 1, 6, 2]  # a b , _ c .
    first, second = word_times("ab, c.", encoded, attention(frames), 31 * 256, 22050)
    assert (first.text, first.start, first.end) == ("ab,", 0, 7 * 256)
    assert (second.text, second.start, second.end) == ("c.", 23 * 256, 29 * 256)
    assert second.start_s == 23 * 256 / 22050
    assert second.place == 4


def test_a_figure_that_is_read_as_several_words_is_one() -> None:
    """Of a front end that keeps each spoken word, all with the place of the figure."""
    ids = [SYMBOLS.index(letter) for letter in "ab cd e"]
    words = (Word(0, 3, 0, 2), Word(0, 3, 3, 5), Word(4, 5, 6, 7))
    encoded = Encoded(ids, "ab cd e", (), words)
    found = word_times("$22 e", encoded, attention([1] * 7), 700, 22050)
    assert [(word.text, word.start, word.end) for word in found] == [
        ("$22", 0, 550),  # a space takes time, but between words there is no silence
        ("e", 550, 700),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('He said "Maria," (as "so").', ["He", "said", '"Maria,"', "(as", '"so").']),
        ("“Stop”—go, ‘ok’", ["“Stop”—go,", "‘ok’"]),
        ('one -- "the LL.D., 12 p.m', ["one --", '"the', "LL.D.,", "12", "p.m"]),
        ('"He \u00a0"$22"', ['"He', '"$22"']),
    ],
)
def test_quotation_marks_stay_with_their_words(text: str, words: list[str]) -> None:
    frontend = Frontend.open(ENGLISH)
    encoded = frontend.encode(text)
    even = attention([1] * len(encoded.ids))
    found = word_times(text, encoded, even, 10_000, 22050)
    assert [word.text for word in found] == words
    assert [text[word.place :][: len(word.text)] for word in found] == words


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 10**6), st.integers(0, 99))
def test_symbols_fill_the_audio(frames: int, symbols: int, samples: int, seed: int) -> None:
    """Whatever the attention did, time never goes backwards and nothing of it is lost."""
    weights = np.random.default_rng(seed).random((frames, symbols)).astype(np.float32)
    bounds = symbol_bounds(weights / weights.sum(1, keepdims=True), samples)
    assert (bounds[0], bounds[-1]) == (0, samples)
    assert (np.diff(bounds) >= 0).all()


def assert_timed(speech: Speech, words: list[str]) -> None:
    assert [word.text for word in speech.words] == words
    sentence = 0
    for before, after in zip(speech.words, speech.words[1:], strict=False):
        assert before.start <= before.end <= after.start
    for sentence in speech.sentences:
        assert sentence.start <= sentence.words[0].start
        assert sentence.words[-1].end <= sentence.start + sentence.samples
    last = speech.sentences[-1]
    assert last.start + last.samples == len(speech.samples)


@pytest.mark.parametrize("options", [{}, {"speed": 1.7}, {"vocoder": "griffin-lim", "pause": 0}])
def test_a_speech_knows_its_words(harmonic_voice: Path, options: dict[str, object]) -> None:
    tts = Synthesizer.from_voice(harmonic_voice, device="cpu", **options)
    text = "Hello, Dr. Who. 22 days?\n\nBye"
    speech = tts(text)
    assert_timed(speech, ["Hello,", "Dr.", "Who.", "22", "days?", "Bye"])
    start = 0
    pieces = []
    for piece in tts.stream(text):
        pieces += [word.later(start) for word in piece.words]
        start += len(piece.samples)
    assert tuple(pieces) == speech.words


def test_words_of_gpu_code(tiny_voice: Path) -> None:
    tts = Synthesizer.from_voice(tiny_voice, device="cpu")
    speech = Synthesizer(torch_engine(tiny_voice), tts.frontend)("Hello world. And more.")
    assert_timed(speech, ["Hello", "world.", "And", "more."])


def test_the_built_in_voice_is_silent_between_its_words() -> None:
    """Where a comma is read there is less sound than where words are."""
    speech = Synthesizer.from_voice("small", device="cpu")("Stop here, please, and wait for me.")
    loud = np.concatenate([speech.samples[w.start : w.end] for w in speech.words])
    here, please = speech.words[1:3]
    gap = speech.samples[here.end : please.start]
    assert 0.05 < len(gap) / 22050 < 0.6
    assert gap.std() < 0.3 * loud.std()


@pytest.mark.parametrize("text", ["I think so.", "Oh no!", "I am here."])
def test_a_first_word_of_one_vowel_lasts_until_the_next(text: str) -> None:
    first, second, *_ = Synthesizer.from_voice("small", device="cpu")(text).words
    assert first.end == second.start
    assert first.end_s > 0.15
