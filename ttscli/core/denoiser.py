"""Removes the tones that WaveGlow leaves in silence, by spectral subtraction."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttscli.core.configs import BIAS_FRAMES
from ttscli.core.waveglow import WaveGlow


class Denoiser(nn.Module):
    """Subtracts a vocoder's bias spectrum from every frame of audio.

    The bias is what the vocoder says when it has nothing to say: see `bias_spectrum`.

    Args:
        bias_spectrum: (n_fft / 2 + 1,) magnitudes.
        hop_length: samples between frames.
    """

    bias_spectrum: Tensor
    window: Tensor

    def __init__(self, bias_spectrum: Tensor, hop_length: int = 256) -> None:
        super().__init__()
        if bias_spectrum.dim() != 1:
            raise ValueError(f"bias_spectrum must be (bins,), not {tuple(bias_spectrum.shape)}")
        self.n_fft = 2 * (bias_spectrum.shape[0] - 1)
        self.hop_length = hop_length
        self.register_buffer("bias_spectrum", bias_spectrum)
        window = torch.hann_window(self.n_fft, device=bias_spectrum.device)
        self.register_buffer("window", window, persistent=False)

    def forward(self, audio: Tensor, strength: float) -> Tensor:
        """The audio (B, S) less `strength` times the bias, in float32; 0 changes nothing."""
        if not 0 <= strength < math.inf:
            raise ValueError(f"strength must be a finite number of at least 0, not {strength}")
        samples = audio.shape[1]
        if strength == 0 or samples == 0:
            return audio.float()
        # The reflection at the edges needs more samples than it mirrors.
        padded = F.pad(audio.float(), (0, max(0, self.n_fft // 2 + 1 - samples)))
        spectrum = stft(padded, self.window, self.hop_length)
        magnitude = spectrum.abs()
        kept = (magnitude - strength * self.bias_spectrum.float()[:, None]).clamp(min=0)
        # Scaling the spectrum keeps its phase; where the magnitude is 0 there is nothing to keep.
        spectrum = spectrum * torch.where(magnitude > 0, kept / magnitude, 0)
        return torch.istft(
            spectrum, self.n_fft, self.hop_length, window=self.window, length=samples
        )


@torch.no_grad()
def bias_spectrum(waveglow: WaveGlow, n_fft: int = 1024, hop_length: int = 256) -> Tensor:
    """The magnitudes (n_fft / 2 + 1,) of what the vocoder makes of an empty mel without noise."""
    like = next(waveglow.parameters())
    mel = like.new_zeros(1, waveglow.config.n_mel_channels, BIAS_FRAMES)
    audio = waveglow.infer(mel, sigma=0.0).float()
    window = torch.hann_window(n_fft, device=audio.device)
    return stft(audio, window, hop_length)[0, :, 0].abs()


def stft(audio: Tensor, window: Tensor, hop_length: int) -> Tensor:
    """Complex spectrum (B, bins, frames) of audio (B, S), mirrored at its edges."""
    return torch.stft(
        audio, len(window), hop_length, window=window, pad_mode="reflect", return_complex=True
    )
