"""Vocoders: the ways from mel spectrograms to audio, each an object that is chosen once.

Tensor letters: M mel bins, F mel frames, S samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ttscli.checkpoints import load_waveglow, own_format
from ttscli.checkpoints.arrays import read_waveglow
from ttscli.core.configs import HarmonicWaveGlowConfig, MelConfig
from ttscli.errors import UsageError, VoiceError
from ttscli.voices import Voice

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ttscli.core.denoiser import Denoiser
    from ttscli.core.harmonic_waveglow import HarmonicWaveGlow
    from ttscli.core.mel import GriffinLim, MelGain
    from ttscli.core.waveglow import WaveGlow
    from ttscli.cpu.vocoders import CpuVocoder

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


class MelGainVocoder:
    """A vocoder, and behind it what brings the audio's mel to the one that it was made from."""

    def __init__(self, vocoder: Vocoder, gain: MelGain) -> None:
        self.vocoder, self.gain = vocoder, gain

    def __call__(self, mels: Sequence[Tensor], generators: Sequence[Generator]) -> list[Tensor]:
        """Audio (S,) for each log-mel (M, F); S = F * hop_length."""
        rows = self.vocoder(mels, generators)
        return [self.gain(row[None], mel[None])[0] for row, mel in zip(rows, mels, strict=True)]


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


def load_vocoder(
    name: str, voice: Voice, n_mels: int, device: str, precision: str = "fp32"
) -> Vocoder:
    """The vocoder of this name for a voice whose mels have so many bins, on a torch device.

    `precision` is that of a published WaveGlow's products on an NVIDIA GPU. The built-in voice's
    vocoder, of which a GPU has a thirtieth of the work, and Griffin-Lim compute in float32.
    """
    if name == "griffin-lim":
        from ttscli.core.mel import GriffinLim

        return GriffinLimVocoder(GriffinLim(_mel_config(voice, n_mels)).to(device))
    waveglow = _load_waveglow(voice, n_mels, device, precision)
    if voice.mel_gain == 0:
        return waveglow

    from ttscli.core.mel import MelGain

    gain = MelGain(_mel_config(voice, n_mels), voice.mel_gain).to(device)
    return MelGainVocoder(waveglow, gain)


def _load_waveglow(voice: Voice, n_mels: int, device: str, precision: str) -> Vocoder:
    """The WaveGlow of a voice in torch, with its denoiser."""
    model = load_waveglow(voice.waveglow).to(device)
    _check_mels(model.config.n_mel_channels, n_mels, voice)
    denoiser = _load_denoiser(voice, model, device) if voice.denoise else None

    from ttscli.core.waveglow import WaveGlow

    if isinstance(model, WaveGlow) and device.startswith("cuda"):
        from ttscli.gpu import denoiser as gpu_denoiser
        from ttscli.gpu import vocoder
        from ttscli.gpu import waveglow as gpu_waveglow

        together = None if denoiser is None else gpu_denoiser.Denoiser(denoiser)
        prepared = gpu_waveglow.WaveGlow(model, precision)
        return vocoder.WaveGlowVocoder(prepared, voice.sigma, together, voice.denoise)
    return WaveGlowVocoder(model, voice.sigma, denoiser, voice.denoise)


def _load_denoiser(voice: Voice, model: WaveGlow | HarmonicWaveGlow, device: str) -> Denoiser:
    """The bias remover of a voice's vocoder."""
    import torch

    from ttscli.core.denoiser import Denoiser, bias_spectrum
    from ttscli.core.waveglow import WaveGlow

    if not isinstance(model, WaveGlow):
        raise _nothing_to_denoise()
    stored = stored_bias(voice)
    bias = bias_spectrum(model) if stored is None else torch.from_numpy(stored)
    return Denoiser(bias).to(device)


def load_cpu_vocoder(name: str, voice: Voice, n_mels: int) -> CpuVocoder:
    """The vocoder of this name for a voice whose mels have so many bins, in NumPy."""
    from ttscli.cpu import vocoders

    if name == "griffin-lim":
        from ttscli.cpu.spectra import GriffinLim

        return vocoders.GriffinLimVocoder(GriffinLim(_mel_config(voice, n_mels)))
    waveglow = _load_cpu_waveglow(voice, n_mels)
    if voice.mel_gain == 0:
        return waveglow

    from ttscli.cpu.spectra import MelGain

    return vocoders.MelGainVocoder(waveglow, MelGain(_mel_config(voice, n_mels), voice.mel_gain))


def _load_cpu_waveglow(voice: Voice, n_mels: int) -> CpuVocoder:
    """The WaveGlow of a voice in NumPy, with its denoiser."""
    from ttscli.cpu import vocoders

    found = read_waveglow(voice.waveglow)
    _check_mels(found.config.n_mel_channels, n_mels, voice)
    if isinstance(found.config, HarmonicWaveGlowConfig):
        from ttscli.cpu.harmonic_waveglow import HarmonicWaveGlow

        if voice.denoise:
            raise _nothing_to_denoise()
        harmonic = HarmonicWaveGlow(found.config, found.tensors)
        return vocoders.WaveGlowVocoder(harmonic, voice.sigma)
    from ttscli.cpu.waveglow import WaveGlow

    model = WaveGlow(found.config, found.tensors)
    if voice.denoise == 0:
        return vocoders.WaveGlowVocoder(model, voice.sigma)

    from ttscli.cpu.spectra import Denoiser, bias_spectrum

    stored = stored_bias(voice)
    denoiser = Denoiser(bias_spectrum(model) if stored is None else stored)
    return vocoders.WaveGlowVocoder(model, voice.sigma, denoiser, voice.denoise)


def _mel_config(voice: Voice, n_mels: int) -> MelConfig:
    return MelConfig(sample_rate=voice.sample_rate, n_mels=n_mels)


def _check_mels(taken: int, made: int, voice: Voice) -> None:
    if taken != made:
        what = f"it takes {taken} mel bins, but the Tacotron 2 makes {made}"
        raise VoiceError(what, where=str(voice.waveglow))


def _nothing_to_denoise() -> UsageError:
    what = "this voice's vocoder leaves no constant tones that could be removed"
    return UsageError(what, todo="set denoise to 0")


def stored_bias(voice: Voice) -> NDArray[np.float32] | None:
    """The bias spectrum (bins,) that the voice brings, if it brings one."""
    if voice.denoiser is None:
        return None
    try:
        bias = own_format.read_arrays(voice.denoiser)[1]["bias_spectrum"]
        if bias.ndim != 1 or not np.isfinite(bias).all():
            raise ValueError("it is no row of numbers")
    except (OSError, VoiceError, KeyError, ValueError, TypeError) as error:
        raise VoiceError("no bias spectrum can be read here", where=str(voice.denoiser)) from error
    return bias.astype(np.float32)
