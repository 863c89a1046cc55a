"""The denoiser equals NVIDIA's and keeps the length of what it is given."""

from __future__ import annotations

from pathlib import Path

import parity
import pytest
import torch
from torch import Generator, Tensor

from ttscli.core.denoiser import Denoiser, bias_spectrum


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(0))


@pytest.fixture
def denoiser() -> Denoiser:
    """A bias of one in every bin."""
    return Denoiser(torch.ones(513))


class TestParity:
    """Equal to NVIDIA's on reference/expected.npz."""

    def test_bias(self, reference: Path, expected: parity.Expected) -> None:
        bias = bias_spectrum(parity.nvidia_waveglow(reference))
        parity.check("dn_bias_spec", bias[None, :, None], expected["dn_bias_spec"])

    @pytest.mark.parametrize("strength", ["0.01", "0.1"])
    def test_denoised(self, expected: parity.Expected, strength: str) -> None:
        denoiser = Denoiser(torch.from_numpy(expected["dn_bias_spec"][0, :, 0]))
        audio = denoiser(torch.from_numpy(expected["wg_infer_sigma0.7"]), float(strength))
        parity.check(f"dn_strength{strength}", audio, expected[f"dn_strength{strength}"])


@pytest.mark.parametrize("samples", [0, 1, 256, 511, 512, 513, 1023, 1024, 5000])
def test_length_is_kept(denoiser: Denoiser, samples: int) -> None:
    assert denoiser(noise(2, samples), 0.1).shape == (2, samples)


@pytest.mark.parametrize("samples", [1, 256, 513, 5000])
def test_without_a_bias_nothing_changes(samples: int) -> None:
    """Analysis and synthesis undo each other up to the last sample."""
    audio = noise(2, samples)
    assert torch.allclose(Denoiser(torch.zeros(513))(audio, 1.0), audio, atol=1e-5)


def test_strength_0_changes_nothing(denoiser: Denoiser) -> None:
    audio = noise(1, 3000)
    assert torch.equal(denoiser(audio, 0), audio)


def test_magnitudes_fall_by_the_bias_to_0_at_least() -> None:
    """A tone of 1 in bin 64 has the magnitudes 128, 256, 128 there: a tenth is taken, or all."""
    bias = torch.zeros(513)
    bias[63:66] = torch.tensor([128.0, 256.0, 128.0])
    denoiser = Denoiser(bias)
    tone = torch.sin(torch.arange(8192) * (2 * torch.pi * 64 / 1024))[None]
    inner = slice(1024, -1024)
    assert torch.allclose(denoiser(tone, 0.1)[:, inner], 0.9 * tone[:, inner], atol=1e-4)
    assert denoiser(0.05 * tone, 0.1)[:, inner].abs().max() < 1e-4


def test_silence_stays_silent(denoiser: Denoiser) -> None:
    assert not denoiser(torch.zeros(1, 2000), 0.1).any()


def test_rows_do_not_mix(denoiser: Denoiser) -> None:
    audio = noise(3, 4000)
    assert torch.allclose(denoiser(audio, 0.5)[1:2], denoiser(audio[1:2], 0.5), atol=1e-6)


@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf")])
def test_strength_must_be_a_number_from_0(denoiser: Denoiser, strength: float) -> None:
    with pytest.raises(ValueError, match="strength must be a finite number of at least 0"):
        denoiser(noise(1, 1000), strength)


def test_a_bias_is_a_list_of_magnitudes() -> None:
    with pytest.raises(ValueError, match=r"bias_spectrum must be \(bins,\)"):
        Denoiser(torch.zeros(1, 513))
