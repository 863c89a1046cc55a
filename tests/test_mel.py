"""Mel analysis equals NVIDIA's; Griffin-Lim gives back what was analysed."""

from __future__ import annotations

import math

import parity
import pytest
import torch

from ttscli.core.configs import MelConfig
from ttscli.core.mel import GriffinLim, MelSpectrogram, hz_to_mel, mel_to_hz


@pytest.mark.parametrize("f_max", [7000, 8000])
def test_mel_equals_nvidia(f_max: int, expected: parity.Expected) -> None:
    mel = MelSpectrogram(MelConfig(f_max=f_max))(torch.from_numpy(expected["wg_audio"]))
    parity.check(f"mel_fmax{f_max}", mel, expected[f"mel_fmax{f_max}"])


def test_the_mel_scale_is_slaneys_and_inverts() -> None:
    hz = torch.tensor([0.0, 100.0, 1000.0, 6400.0, 8000.0], dtype=torch.float64)
    assert hz_to_mel(hz)[2:4].tolist() == pytest.approx([15.0, 42.0])
    torch.testing.assert_close(mel_to_hz(hz_to_mel(hz)), hz)


def test_griffin_lims_iterations_bring_the_mel_back() -> None:
    phase = torch.cumsum(150 + 60 * torch.sin(torch.arange(22050) / 3000), 0) / 22050
    voice = 0.05 * sum(torch.sin(2 * math.pi * k * phase) for k in range(1, 30))
    analyse = MelSpectrogram()
    mel = analyse(voice[None])  # type: ignore[index]

    def distance(iterations: int) -> float:
        again = analyse(GriffinLim(iterations=iterations)(mel))
        return float((again - mel[:, :, : again.shape[2]]).abs().mean())

    assert distance(60) < distance(0) / 2
    assert distance(60) < 0.2


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_griffin_lim_of_next_to_nothing(frames: int) -> None:
    audio = GriffinLim(iterations=2)(torch.full((1, 80, frames), -8.0))
    assert audio.shape == (1, (frames - 1) * 256)
    assert audio.isfinite().all()
