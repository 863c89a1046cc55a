"""Vocoders on a CPU: the NumPy models, each with the noise that it draws.

Letters: M mel bins, F mel frames, S samples.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ttscli.cpu.harmonic_waveglow import HarmonicWaveGlow
from ttscli.cpu.layers import Array
from ttscli.cpu.noise import normal_draws
from ttscli.cpu.sharing import Each, in_turn
from ttscli.cpu.spectra import Denoiser, GriffinLim, MelGain
from ttscli.cpu.waveglow import WaveGlow


class CpuVocoder(Protocol):
    """Turns a mel spectrogram into audio."""

    def __call__(self, mel: Array, generator: np.random.Generator, each: Each = in_turn) -> Array:
        """Audio (S,) of a log-mel (M, F).

        Args:
            mel: of any length.
            generator: draws all that is random about the audio.
            each: what shares the work out, which does not change the samples.
        """


class WaveGlowVocoder:
    """A WaveGlow of either sort, and a denoiser behind it where one is wanted."""

    def __init__(
        self,
        model: WaveGlow | HarmonicWaveGlow,
        sigma: float,
        denoiser: Denoiser | None = None,
        strength: float = 0.0,
    ) -> None:
        self.model, self.sigma = model, sigma
        self.denoiser, self.strength = denoiser, strength

    def __call__(self, mel: Array, generator: np.random.Generator, each: Each = in_turn) -> Array:
        """Audio (S,) of a log-mel (M, F), S = F * hop_length."""
        noise = normal_draws(generator, self.model.noise_shapes(mel.shape[1]))
        audio = self.model.infer(mel, self.sigma, noise, each)
        return audio if self.denoiser is None else self.denoiser(audio, self.strength)


class MelGainVocoder:
    """A vocoder, and behind it what brings the audio's mel to the one that it was made from."""

    def __init__(self, vocoder: CpuVocoder, gain: MelGain) -> None:
        self.vocoder, self.gain = vocoder, gain

    def __call__(self, mel: Array, generator: np.random.Generator, each: Each = in_turn) -> Array:
        """Audio (S,) of a log-mel (M, F), S = F * hop_length."""
        return self.gain(self.vocoder(mel, generator, each), mel)


class GriffinLimVocoder:
    """Phases guessed from the spectrogram; no training, and the quality of none."""

    def __init__(self, model: GriffinLim) -> None:
        self.model = model

    def __call__(self, mel: Array, generator: np.random.Generator, each: Each = in_turn) -> Array:  # noqa: ARG002 - it is one piece
        """Audio (S,) of a log-mel (M, F), S = (F - 1) * hop_length."""
        bins = self.model.config.n_fft // 2 + 1
        return self.model(mel, generator.random((bins, mel.shape[1]), np.float32))
