"""Tempo: speech takes another time and keeps its pitch, and every frame its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_synthesizer import TEXT, torch_engine

from ttscli import Synthesizer
from ttscli.errors import UsageError
from ttscli.readings import Reading, Spoken
from ttscli.tempo import stretched


def speak(tts: Synthesizer, text: str, speed: float) -> Spoken:
    ids = tts.frontend.encode(text).ids
    return next(tts.engine.speak([Reading(ids, np.random.SeedSequence(0), speed=speed)]))


@given(st.integers(1, 300), st.floats(0.5, 2))
def test_frames_are_read_at_their_time(count: int, speed: float) -> None:
    """A line stays a line, of the new length; nothing beyond its ends is made up."""
    line = np.arange(count, dtype=np.float32)[:, None].repeat(2, 1)
    found = stretched(line, speed)
    assert found.shape == (max(1, round(count / speed)), 2)
    assert found.dtype == np.float32
    expected = (np.arange(len(found)) + 0.5) * count / len(found) - 0.5
    np.testing.assert_allclose(found[:, 1], np.clip(expected, 0, count - 1), atol=1e-3)


def test_speed_one_is_the_same_object() -> None:
    frames = np.ones((3, 2), np.float32)
    assert stretched(frames, 1) is frames


@pytest.mark.parametrize("speed", [0.5, 0.7, 1.5, 2])
def test_mel_alignment_and_samples_fit(harmonic_voice: Path, speed: float) -> None:
    tts = Synthesizer.from_voice(harmonic_voice, device="cpu")
    plain, other = (speak(tts, "Hello there.", s) for s in (1, speed))
    frames = max(1, round(plain.mel.shape[1] / speed))
    assert other.mel.shape == (80, frames)
    assert other.alignment.shape == (frames, plain.alignment.shape[1])
    assert len(other.samples) == frames * 256
    np.testing.assert_array_equal(other.mel, stretched(plain.mel.T, speed).T)
    np.testing.assert_allclose(other.alignment.sum(1), 1, atol=1e-4)


def test_gpu_code_keeps_the_same_time(tiny_voice: Path) -> None:
    """What a GPU runs, in batches of several speeds, on the CPU."""
    engine = torch_engine(tiny_voice)
    ids = Synthesizer.from_voice(tiny_voice, device="cpu").frontend.encode("Hello there.").ids
    readings = [Reading(ids, np.random.SeedSequence(1), speed=speed) for speed in (1, 0.5, 2)]
    plain, *others = engine.speak(readings, batch_size=3)
    for other, reading in zip(others, readings[1:], strict=True):
        np.testing.assert_array_equal(other.mel, stretched(plain.mel.T, reading.speed).T)
        np.testing.assert_array_equal(other.alignment, stretched(plain.alignment, reading.speed))
        assert len(other.samples) == 256 * other.mel.shape[1]
    alone = next(engine.speak(readings[1:2]))
    np.testing.assert_allclose(others[0].samples, alone.samples, atol=1e-5)


def test_pauses_stay(harmonic_voice: Path) -> None:
    plain = Synthesizer.from_voice(harmonic_voice, device="cpu")(TEXT)
    fast = Synthesizer.from_voice(harmonic_voice, device="cpu", speed=2)(TEXT)
    for before, after in zip(plain.sentences, fast.sentences, strict=True):
        assert after.samples == max(1, round(before.samples / 256 / 2)) * 256
    first, second, _ = fast.sentences
    assert second.start - first.samples == round(0.2 * 22050)


def pitch(samples: np.ndarray, rate: int = 22050) -> float:
    """The median F0 of voiced speech, Hz, by autocorrelation."""
    found = []
    for start in range(0, len(samples) - 1024, 512):
        piece = samples[start : start + 1024] * np.hanning(1024)
        spectrum = np.abs(np.fft.rfft(piece, 2048)) ** 2
        correlation = np.fft.irfft(spectrum)[: rate // 80]
        lags = correlation[rate // 350 :]
        if piece.std() > 0.02 and lags.max() > 0.4 * correlation[0]:
            found.append(rate / (lags.argmax() + rate // 350))
    return float(np.median(found))


@pytest.mark.parametrize("speed", [0.7, 1.5])
def test_the_built_in_voice_keeps_its_pitch(speed: float) -> None:
    text = "The quick brown fox jumps over the lazy dog, and nobody is surprised."
    plain = Synthesizer.from_voice("small", device="cpu")(text)
    other = Synthesizer.from_voice("small", device="cpu", speed=speed)(text)
    assert other.duration == pytest.approx(plain.duration / speed, abs=256 / 22050)
    assert pitch(other.samples) == pytest.approx(pitch(plain.samples), rel=0.03)


@pytest.mark.parametrize("speed", [0.49, 2.01, 0, -1, float("nan"), float("inf")])
def test_speeds_that_nobody_understands(tiny_voice: Path, speed: float) -> None:
    with pytest.raises(UsageError, match=r"from 0\.5 to 2"):
        Synthesizer.from_voice(tiny_voice, speed=speed)


@pytest.mark.gpu
def test_speed_on_a_gpu() -> None:
    tts = Synthesizer.from_voice("small", device="cuda")
    plain, other = (speak(tts, "Hello there.", s) for s in (1, 1.5))
    np.testing.assert_allclose(other.mel, stretched(plain.mel.T, 1.5).T, atol=1e-3)
    assert torch.cuda.is_available()
