"""Mel spectrograms from audio, audio back from them by Griffin-Lim, and audio brought to them.

Tensor letters: B batch, F mel frames, M mel bins, S samples, K frequency bins (n_fft / 2 + 1).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttscli.core.configs import MEL_GAIN_LIMIT, MelConfig


def hz_to_mel(hz: Tensor) -> Tensor:
    """Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above."""
    linear = hz * 3 / 200
    logarithmic = 15 + torch.log(hz.clamp(min=1.0) / 1000) * (27 / math.log(6.4))
    return torch.where(hz < 1000, linear, logarithmic)


def mel_to_hz(mel: Tensor) -> Tensor:
    """Inverse of `hz_to_mel`."""
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


def mel_centers(config: MelConfig) -> Tensor:
    """Edges and centres of the triangular filters, Hz: (M + 2,), float64."""
    edges = hz_to_mel(torch.tensor([config.f_min, config.f_max], dtype=torch.float64))
    steps = torch.linspace(0, 1, config.n_mels + 2, dtype=torch.float64)
    return mel_to_hz(edges[0] + (edges[1] - edges[0]) * steps)


def mel_filterbank(config: MelConfig) -> Tensor:
    """Triangular filters of equal area on Slaney's scale: (M, K), float32."""
    frequencies = torch.linspace(
        0, config.sample_rate / 2, config.n_fft // 2 + 1, dtype=torch.float64
    )
    points = mel_centers(config)[:, None]
    low, center, high = points[:-2], points[1:-1], points[2:]
    rising = (frequencies - low) / (center - low)
    falling = (high - frequencies) / (high - center)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * 2 / (high - low)).float()


class Stft(nn.Module):
    """Short-time Fourier transform with a periodic Hann window and reflected edges, and back."""

    window: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.win_length), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Audio (B, S) to the complex spectrum (B, K, F), F = S // hop_length + 1."""
        c = self.config
        return torch.stft(
            audio, c.n_fft, c.hop_length, c.win_length, self.window,
            center=True, pad_mode="reflect", return_complex=True,
        )  # fmt: skip

    def inverse(self, spectrum: Tensor, length: int) -> Tensor:
        """Complex spectrum (B, K, F) to audio (B, length)."""
        c = self.config
        return torch.istft(
            spectrum, c.n_fft, c.hop_length, c.win_length, self.window, center=True, length=length
        )


class MelSpectrogram(nn.Module):
    """Log of the mel-filtered magnitude spectrum, as Tacotron 2 and WaveGlow exchange it."""

    filterbank: Tensor

    def __init__(self, config: MelConfig | None = None) -> None:
        super().__init__()
        self.config = config or MelConfig()
        self.stft = Stft(self.config)
        self.register_buffer("filterbank", mel_filterbank(self.config), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Audio (B, S) within [-1, 1] to log-mels (B, M, F), F = S // hop_length + 1."""
        magnitude: Tensor = self.stft(audio).abs()
        energies = self.filterbank @ magnitude
        return energies.clamp(min=self.config.floor).log()


class GriffinLim(nn.Module):
    """Audio from a log-mel spectrogram without a trained vocoder.

    The magnitude comes from the mel by multiplicative updates of non-negative least squares
    (Lee and Seung 2001), the phase by fast Griffin-Lim (Perraudin et al. 2013).
    """

    filterbank: Tensor

    def __init__(
        self, config: MelConfig | None = None, iterations: int = 60, momentum: float = 0.99
    ) -> None:
        super().__init__()
        self.config = config or MelConfig()
        self.iterations, self.momentum = iterations, momentum
        self.stft = Stft(self.config)
        self.register_buffer("filterbank", mel_filterbank(self.config), persistent=False)

    def magnitude(self, mel: Tensor, updates: int = 30) -> Tensor:
        """Magnitude spectrum (B, K, F) whose mel is close to the log-mel (B, M, F)."""
        target = mel.exp()
        transposed = self.filterbank.T
        numerator, gram = transposed @ target, transposed @ self.filterbank
        magnitude: Tensor = (torch.linalg.pinv(self.filterbank) @ target).clamp(min=1e-6)
        for _ in range(updates):
            magnitude = magnitude * numerator / (gram @ magnitude + 1e-9)
        return magnitude

    def forward(self, mel: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Log-mels (B, M, F) to audio (B, S), S = (F - 1) · hop_length.

        `generator` draws the first phases; without one they are drawn from seed 0.
        """
        generator = generator or torch.Generator().manual_seed(0)
        magnitude = self.magnitude(mel)
        length = (mel.shape[2] - 1) * self.config.hop_length
        if length < self.config.n_fft // 2 + 1:  # shorter than what the edges reflect
            return magnitude.new_zeros(mel.shape[0], length)
        turns = torch.rand(magnitude.shape, generator=generator).to(magnitude)
        phase = torch.polar(torch.ones_like(magnitude), 2 * math.pi * turns)
        previous = torch.zeros_like(phase)
        for _ in range(self.iterations):
            rebuilt = self.stft(self.stft.inverse(magnitude * phase, length))
            phase = torch.sgn(rebuilt - previous * (self.momentum / (1 + self.momentum)))
            previous = rebuilt
        return self.stft.inverse(magnitude * phase, length)


class MelGain(nn.Module):
    """Brings the mel of audio to the one that it was made from.

    What a vocoder says differs from its mel by the noise that it began with. Each bin of the
    spectrum is scaled by the quotient of the mel that was wanted and the mel that is there, as the
    filters over the bin have it; bins above all filters stay as they are.

    Args:
        config: of the mel.
        passes: how often; the filters overlap, so that once does not bring all of it.
    """

    filterbank: Tensor
    spread: Tensor
    unheard: Tensor

    def __init__(self, config: MelConfig, passes: int) -> None:
        super().__init__()
        self.config, self.passes = config, passes
        self.stft = Stft(config)
        bank = mel_filterbank(config)
        self.register_buffer("filterbank", bank, persistent=False)
        total = bank.sum(0)
        spread = (bank / total.clamp(min=torch.finfo(total.dtype).tiny)).T
        self.register_buffer("spread", spread, persistent=False)
        self.register_buffer("unheard", (total == 0).float()[:, None], persistent=False)

    def forward(self, audio: Tensor, mel: Tensor) -> Tensor:
        """The audio (B, S), S = F · hop_length, with its mel nearer to the log-mel (B, M, F)."""
        samples, c = audio.shape[1], self.config
        lacking = max(0, c.n_fft // 2 + 1 - samples)  # of what the edges reflect
        # The samples end on a frame of their own: the last one once more.
        target = torch.cat([mel, mel[:, :, -1:]], dim=2).exp()
        for _ in range(self.passes):
            spectrum = self.stft(F.pad(audio, (0, lacking)))
            heard = spectrum[:, :, : target.shape[2]]
            gain = target / (self.filterbank @ heard.abs()).clamp(min=c.floor)
            gain = gain.clamp(1 / MEL_GAIN_LIMIT, MEL_GAIN_LIMIT)
            scaled = heard * (self.spread @ gain + self.unheard)
            rest = spectrum[:, :, target.shape[2] :]
            audio = self.stft.inverse(torch.cat([scaled, rest], dim=2), samples)
        return audio
