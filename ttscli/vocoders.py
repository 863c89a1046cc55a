"""Vocoders: the ways from mel spectrograms to audio, each an object that is chosen once.

Tensor letters: M mel bins, F mel frames, S samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ttscli.checkpoints import load_waveglow
from ttscli.errors import UsageError, VoiceError
from ttscli.voices import Voice

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ttscli.core.denoiser import Denoiser
    from ttscli.core.harmonic_waveglow import HarmonicWaveGlow
    from ttscli.core.mel import GriffinLim
    from ttscli.core.waveglow import WaveGlow

VOCODERS = ("waveglow", "griffin-lim")


class Vocoder(Protocol):
    """Turns mel spectrograms into audio."""

    def __call__(self, mels: Sequence[Tensor], generators: Sequence[Generator]) -> list[Tensor]:
        """Audio (S,) for each log-mel (M, F), as it would be made alone.

        Args:
            mels: of any lengths.
            generators: one for each mel, which draws all that is random about its audio.
        """


class WaveGlowVocoder:
    """A trained WaveGlow, and a denoiser behind it where one is wanted."""

    def __init__(
        self,
        model: WaveGlow | HarmonicWaveGlow,
        sigma: float,
        denoiser: Denoiser | None = None,
        strength: float = 0.0,
    ) -> None:
        self.model, self.sigma = model, sigma
        self.denoiser, self.strength = denoiser, strength

    def __call__(self, mels: Sequence[Tensor], generators: Sequence[Generator]) -> list[Tensor]:
        """Audio (S,) for each log-mel (M, F); S = F * hop_length."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        frames = [mel.shape[1] for mel in mels]
        batch = pad_sequence([mel.T for mel in mels], batch_first=True).transpose(1, 2)
        padded = min(frames) < max(frames)
        lengths = torch.tensor(frames, device=batch.device) if padded else None
        audio = self.model.infer(batch, sigma=self.sigma, generator=generators, lengths=lengths)
        hop = audio.shape[1] // batch.shape[2]
        rows = [row[: n * hop] for row, n in zip(audio, frames, strict=True)]
        if self.denoiser is not None:
            # Row by row: the denoiser mirrors the audio at its end, which padding would move.
            rows = [self.denoiser(row[None], self.strength)[0] for row in rows]
        return rows


class GriffinLimVocoder:
    """Phases guessed from the spectrogram; no training, and the quality of none."""

    def __init__(self, model: GriffinLim) -> None:
        self.model = model

    def __call__(self, mels: Sequence[Tensor], generators: Sequence[Generator]) -> list[Tensor]:
        """Audio (S,) for each log-mel (M, F); S = (F - 1) * hop_length."""
        return [
            self.model(mel[None], generator)[0]
            for mel, generator in zip(mels, generators, strict=True)
        ]


def check_vocoder(name: str, **waveglow_options: object) -> None:
    """Refuse an unknown vocoder, and options that would do nothing with this one."""
    if name not in VOCODERS:
        raise UsageError(f"there is no vocoder {name!r}", todo=f"use {' or '.join(VOCODERS)}")
    given = [option for option, value in waveglow_options.items() if value is not None]
    if name != "waveglow" and given:
        raise UsageError(f"{given[0]} belongs to WaveGlow and would do nothing with {name}")


def load_vocoder(name: str, voice: Voice, n_mels: int, device: str) -> Vocoder:
    """The vocoder of this name for a voice whose mels have so many bins, on a torch device."""
    if name == "griffin-lim":
        from ttscli.core.configs import MelConfig
        from ttscli.core.mel import GriffinLim

        config = MelConfig(sample_rate=voice.sample_rate, n_mels=n_mels)
        return GriffinLimVocoder(GriffinLim(config).to(device))
    model = load_waveglow(voice.waveglow).to(device)
    if model.config.n_mel_channels != n_mels:
        what = f"it takes {model.config.n_mel_channels} mel bins, but the Tacotron 2 makes {n_mels}"
        raise VoiceError(what, where=str(voice.waveglow))
    if voice.denoise == 0:
        return WaveGlowVocoder(model, voice.sigma)
    denoiser = _denoiser(model, voice).to(device)
    return WaveGlowVocoder(model, voice.sigma, denoiser, voice.denoise)


def _denoiser(model: WaveGlow | HarmonicWaveGlow, voice: Voice) -> Denoiser:
    """The denoiser for this model, with the bias that the voice brings or a fresh one."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ttscli.core.denoiser import Denoiser, bias_spectrum
    from ttscli.core.waveglow import WaveGlow

    if not isinstance(model, WaveGlow):
        what = "this voice's vocoder leaves no constant tones that could be removed"
        raise UsageError(what, todo="set denoise to 0")
    if voice.denoiser is None:
        return Denoiser(bias_spectrum(model))
    try:
        return Denoiser(load_file(voice.denoiser)["bias_spectrum"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise VoiceError("no bias spectrum can be read here", where=str(voice.denoiser)) from error
