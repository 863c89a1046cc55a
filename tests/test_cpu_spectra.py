"""The spectra computed in NumPy equal those of torch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import parity
import pytest
import torch
from torch import Tensor

from ttscli.core import denoiser as core_denoiser
from ttscli.core import mel as core_mel
from ttscli.core.configs import MelConfig
from ttscli.cpu.layers import Array
from ttscli.cpu.spectra import Denoiser, GriffinLim, MelGain, Stft, bias_spectrum, mel_filterbank
from ttscli.cpu.waveglow import WaveGlow

SIZES = [
    MelConfig(),
    MelConfig(f_max=7000.0, n_mels=40),
    MelConfig(n_fft=512, hop_length=100, win_length=400),  # frames of no whole number of hops
]


def relative(ours: Array, core: Tensor) -> float:
    assert ours.shape == core.shape
    return float(np.abs(ours - core.numpy()).max() / core.abs().max())


def noise(samples: int, seed: int = 0) -> Array:
    return 0.1 * np.random.default_rng(seed).standard_normal(samples, np.float32)


def voice(seconds: float) -> Array:
    """A buzz of wandering pitch."""
    time = torch.arange(int(22050 * seconds))
    phase = torch.cumsum(150 + 60 * torch.sin(time / 3000), 0) / 22050
    harmonics = torch.stack([torch.sin(2 * math.pi * k * phase) for k in range(1, 30)])
    audio: Array = (0.05 * harmonics.sum(0)).numpy()
    return audio


@pytest.fixture(scope="module")
def mel() -> Array:
    """(M, F) of a second."""
    found: Tensor = core_mel.MelSpectrogram()(torch.from_numpy(voice(1.0))[None])[0]
    return found.numpy()


@pytest.mark.parametrize("config", SIZES)
def test_mel_filters(config: MelConfig) -> None:
    assert relative(mel_filterbank(config), core_mel.mel_filterbank(config)) < 1e-6


class TestStft:
    """Of lengths around a frame, and of several blocks of frames."""

    @pytest.mark.parametrize("config", SIZES)
    @pytest.mark.parametrize("samples", [513, 1024, 1500, 50_001])
    def test_equals_core(self, config: MelConfig, samples: int) -> None:
        audio = noise(samples)
        core = core_mel.Stft(config)
        ours = Stft(config.n_fft, config.hop_length, config.win_length)
        expected = core(torch.from_numpy(audio)[None])
        spectrum = ours(audio)
        assert relative(spectrum.T, expected[0]) < 1e-6
        back = core.inverse(expected, samples)[0]
        assert relative(ours.inverse(spectrum, samples), back) < 1e-6

    def test_filtering_with_nothing_changes_nothing(self) -> None:
        audio = noise(50_001)
        assert np.allclose(Stft(1024, 256, 1024).filter(audio, lambda x, _: x), audio, atol=1e-6)


class TestGriffinLim:
    """Equal to core as far as rounding lets the iterations stay together."""

    def test_magnitude(self, mel: Array) -> None:
        expected = core_mel.GriffinLim().magnitude(torch.from_numpy(mel)[None])[0]
        assert relative(GriffinLim().magnitude(mel).T, expected) < 1e-5

    @pytest.mark.parametrize(("iterations", "tolerance"), [(0, 1e-5), (3, 5e-5)])
    def test_audio(self, mel: Array, iterations: int, tolerance: float) -> None:
        turns = torch.rand(1, 513, mel.shape[1], generator=torch.Generator().manual_seed(0))
        expected = core_mel.GriffinLim(iterations=iterations)(torch.from_numpy(mel)[None])[0]
        ours = GriffinLim(iterations=iterations)(mel, turns[0].numpy())
        assert relative(ours, expected) < tolerance

    def test_iterations_bring_the_mel_back(self, mel: Array) -> None:
        turns = np.random.default_rng(0).random((513, mel.shape[1]), np.float32)

        def distance(iterations: int) -> float:
            audio = torch.from_numpy(GriffinLim(iterations=iterations)(mel, turns))
            again = core_mel.MelSpectrogram()(audio[None])[0].numpy()
            return float(np.abs(again - mel[:, : again.shape[1]]).mean())

        assert distance(60) < min(0.2, distance(0) / 2)

    @pytest.mark.parametrize("frames", [1, 2, 3, 5])
    def test_next_to_nothing(self, frames: int) -> None:
        turns = np.zeros((513, frames), np.float32)
        audio = GriffinLim(iterations=2)(np.full((80, frames), -8, np.float32), turns)
        assert audio.shape == ((frames - 1) * 256,)
        assert np.isfinite(audio).all()


class TestDenoiser:
    """Equal to core, which equals NVIDIA's."""

    @pytest.mark.parametrize("samples", [0, 1, 511, 512, 513, 1024, 5000, 70_001])
    @pytest.mark.parametrize("strength", [0, 0.05, 3.0])
    def test_equals_core(self, samples: int, strength: float) -> None:
        bias = np.random.default_rng(1).random(513, np.float32)
        audio = noise(samples)
        ours = Denoiser(bias)(audio, strength)
        core = core_denoiser.Denoiser(torch.from_numpy(bias))
        expected = core(torch.from_numpy(audio)[None], strength)[0]
        assert ours.shape == expected.shape
        assert np.abs(ours - expected.numpy()).max(initial=0) < 1e-6

    @pytest.mark.parametrize("strength", ["0.01", "0.1"])
    def test_equals_nvidia(self, reference: Path, strength: str) -> None:
        expected = np.load(reference / "expected.npz")
        denoiser = Denoiser(expected["dn_bias_spec"][0, :, 0])
        audios = expected["wg_infer_sigma0.7"]
        ours = np.stack([denoiser(audio, float(strength)) for audio in audios])
        theirs = expected[f"dn_strength{strength}"].reshape(ours.shape)
        assert np.abs(ours - theirs).max() < parity.TOLERANCE

    def test_bias_equals_nvidia(self, reference: Path) -> None:
        model = parity.nvidia_waveglow(reference)
        tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        bias = bias_spectrum(WaveGlow(model.config, tensors))
        theirs = np.load(reference / "expected.npz")["dn_bias_spec"][0, :, 0]
        assert np.abs(bias - theirs).max() < 1e-5 * np.abs(theirs).max()

    def test_silence_stays_silent(self) -> None:
        assert not Denoiser(np.ones(513, np.float32))(np.zeros(2000, np.float32), 0.1).any()

    @pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf")])
    def test_strength_must_be_a_number_from_0(self, strength: float) -> None:
        with pytest.raises(ValueError, match="strength must be a finite number of at least 0"):
            Denoiser(np.ones(513, np.float32))(noise(1000), strength)

    def test_a_bias_is_a_list_of_magnitudes(self) -> None:
        with pytest.raises(ValueError, match=r"bias_spectrum must be \(bins,\)"):
            Denoiser(np.zeros((1, 513), np.float32))


class TestMelGain:
    """Equal to core, and what the audio lacks of its mel it brings back."""

    @pytest.mark.parametrize("frames", [1, 2, 3, 86, 300])
    @pytest.mark.parametrize("passes", [0, 1, 3])
    def test_equals_core(self, frames: int, passes: int) -> None:
        audio = noise(256 * frames)
        wanted = np.random.default_rng(1).normal(-4, 2, (80, frames)).astype(np.float32)
        pair = (torch.from_numpy(audio)[None], torch.from_numpy(wanted)[None])
        expected = core_mel.MelGain(MelConfig(), passes)(*pair)[0]
        assert relative(MelGain(MelConfig(), passes)(audio, wanted), expected) < 1e-5

    def test_the_mel_comes_nearer_with_each_pass(self) -> None:
        analyse, samples = core_mel.MelSpectrogram(), 256 * 85
        buzz, hiss = voice(1.0)[:samples], noise(samples)
        wanted = analyse(torch.from_numpy(buzz + hiss)[None])[0, :, :85].numpy()

        def distance(passes: int) -> float:
            audio = MelGain(MelConfig(), passes)(2 * buzz + noise(samples, 1) / 2, wanted)
            again = analyse(torch.from_numpy(audio)[None])[0, :, :85].numpy()
            return float(np.abs(again - wanted).mean())

        assert distance(1) < distance(0) / 2
        assert distance(2) < distance(1)

    def test_audio_that_has_its_mel_already_is_left_alone(self, mel: Array) -> None:
        frames = mel.shape[1] - 1
        audio = voice(1.0)[: 256 * frames]
        changed = MelGain(MelConfig(), 2)(audio, mel[:, :frames])
        inner = slice(1024, -1024)  # the mel's last frames knew what came behind them
        assert np.abs(changed - audio)[inner].max() < 1e-4 * np.abs(audio).max()

    def test_what_no_filter_hears_stays(self) -> None:
        """Above 8 kHz there is no mel that could say anything."""
        time = np.arange(256 * 80) / 22050
        audio = (0.1 * np.sin(2 * np.pi * 9000 * time)).astype(np.float32)
        changed = MelGain(MelConfig(), 2)(audio, np.full((80, 80), 2, np.float32))
        inner = slice(2048, -2048)
        high = Stft(1024, 256, 1024)
        before, after = np.abs(high(audio[inner])), np.abs(high(changed[inner]))
        assert np.allclose(before[:, 400:], after[:, 400:], rtol=1e-3, atol=1e-3)

    def test_silence_stays_silent(self) -> None:
        audio = MelGain(MelConfig(), 2)(np.zeros(2560, np.float32), np.zeros((80, 10), np.float32))
        assert not audio.any()
