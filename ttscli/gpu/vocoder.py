"""A WaveGlow and a denoiser as a GPU's vocoder (`ttscli.vocoders.Vocoder`)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Generator, Tensor

from ttscli.gpu.denoiser import Denoiser
from ttscli.gpu.waveglow import WaveGlow


class WaveGlowVocoder:
    """A WaveGlow, and a denoiser behind it where one is wanted."""

    def __init__(
        self,
        model: WaveGlow,
        sigma: float,
        denoiser: Denoiser | None = None,
        strength: float = 0.0,
    ) -> None:
        self.model, self.sigma = model, sigma
        self.denoiser, self.strength = denoiser, strength

    def __call__(self, mels: Sequence[Tensor], generators: Sequence[Generator]) -> list[Tensor]:
        """Audio (S,) for each log-mel (M, F); S = F * hop_length."""
        noise = self.model.draw([mel.shape[1] for mel in mels], generators)
        rows = self.model.infer(mels, self.sigma, noise)
        return rows if self.denoiser is None else self.denoiser(rows, self.strength)
