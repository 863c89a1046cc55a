"""The built-in voice's vocoder on a CPU, with its noise."""

from __future__ import annotations

import numpy as np

from ttscli.checkpoints.arrays import read_waveglow
from ttscli.core.configs import HarmonicWaveGlowConfig
from ttscli.cpu.harmonic_waveglow import HarmonicWaveGlow
from ttscli.cpu.layers import Array
from ttscli.cpu.noise import normal_draws
from ttscli.errors import UsageError, VoiceError
from ttscli.voices import Voice


class CpuVocoder:
    """A harmonic WaveGlow that draws its noise.

    Args:
        model: mel to audio.
        sigma: standard deviation of its noise.
    """

    def __init__(self, model: HarmonicWaveGlow, sigma: float) -> None:
        self.model, self.sigma = model, sigma

    def __call__(self, mel: Array, generator: np.random.Generator) -> Array:
        """Audio (S,) of a log-mel (M, F), S = F * hop_length; the generator draws the noise."""
        rows = mel.shape[1] + 1  # one more than frames, see the model
        noise = normal_draws(generator, self.model.config.noise_channels, rows)
        return self.model.infer(mel, self.sigma, noise)


def load_cpu_vocoder(voice: Voice, n_mels: int) -> CpuVocoder:
    """The vocoder of a voice whose mels have so many bins."""
    found = read_waveglow(voice.waveglow)
    assert isinstance(found.config, HarmonicWaveGlowConfig)
    if found.config.n_mel_channels != n_mels:
        taken = found.config.n_mel_channels
        what = f"it takes {taken} mel bins, but the Tacotron 2 makes {n_mels}"
        raise VoiceError(what, where=str(voice.waveglow))
    if voice.denoise:
        what = "this voice's vocoder leaves no constant tones that could be removed"
        raise UsageError(what, todo="set denoise to 0")
    return CpuVocoder(HarmonicWaveGlow(found.config, found.tensors), voice.sigma)
