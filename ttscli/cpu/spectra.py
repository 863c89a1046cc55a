"""Spectra in NumPy: mel filters, the Fourier transform of frames, Griffin-Lim, vocoders' filters.

It is the arithmetic of `core.mel` and `core.denoiser`, time-major inside. Letters: F mel frames,
M mel bins, S samples, K frequency bins (n_fft / 2 + 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ttscli.core.configs import BIAS_FRAMES, MEL_GAIN_LIMIT, MelConfig
from ttscli.cpu.layers import Array

if TYPE_CHECKING:
    from ttscli.cpu.waveglow import WaveGlow

Spectrum: TypeAlias = NDArray[np.complex64]

_BLOCK = 128  # frames that are transformed at once: they stay in a core's own cache
_TINY = np.finfo(np.float32).tiny


def hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above."""
    logarithmic = 15 + np.log(np.maximum(hz, 1.0) / 1000) * (27 / math.log(6.4))
    return np.where(hz < 1000, hz * 3 / 200, logarithmic)


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `hz_to_mel`."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))


def mel_filterbank(config: MelConfig) -> Array:
    """Triangular filters of equal area on Slaney's scale: (M, K)."""
    frequencies = np.linspace(0, config.sample_rate / 2, config.n_fft // 2 + 1)
    lowest, highest = hz_to_mel(np.array([config.f_min, config.f_max]))
    points = mel_to_hz(np.linspace(lowest, highest, config.n_mels + 2))[:, None]
    low, center, high = points[:-2], points[1:-1], points[2:]
    rising = (frequencies - low) / (center - low)
    falling = (high - frequencies) / (high - center)
    triangles = np.maximum(np.minimum(rising, falling), 0)
    return (triangles * 2 / (high - low)).astype(np.float32)


class Stft:
    """Fourier transform of frames with a periodic Hann window and mirrored edges, and back.

    Args:
        n_fft: length of the transform, samples.
        hop_length: distance between frames.
        win_length: length of the window, in the middle of the frame.
    """

    def __init__(self, n_fft: int, hop_length: int, win_length: int) -> None:
        self.n_fft, self.hop_length = n_fft, hop_length
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
        before = (n_fft - win_length) // 2
        self.window = np.zeros(n_fft, np.float32)
        self.window[before : before + win_length] = window

    def __call__(self, audio: Array) -> Spectrum:
        """Audio (S,), longer than half a frame, to its spectrum (F, K), F = S // hop_length + 1."""
        frames = self._frames(audio)
        spectrum = np.empty((len(frames), self.n_fft // 2 + 1), np.complex64)
        for first in range(0, len(frames), _BLOCK):
            block = slice(first, first + _BLOCK)
            spectrum[block] = self._transform(frames[block])
        return spectrum

    def inverse(self, spectrum: Spectrum, length: int) -> Array:
        """A spectrum (F, K) to audio (length,)."""
        starts = range(0, len(spectrum), _BLOCK)
        blocks = (spectrum[first : first + _BLOCK] for first in starts)
        return self._overlap_add(blocks, len(spectrum), length)

    def filter(self, audio: Array, change: Callable[[Spectrum, int], Spectrum]) -> Array:
        """The audio (S,) with its spectrum changed, a few frames (·, K) at a time.

        Args:
            audio: of any length.
            change: is given a spectrum, and the number of its first frame.
        """
        # The reflection at the edges needs more samples than it mirrors.
        samples = len(audio)
        audio = np.pad(audio, (0, max(0, self.n_fft // 2 + 1 - samples)))
        frames = self._frames(audio)
        starts = range(0, len(frames), _BLOCK)
        blocks = (
            change(self._transform(frames[first : first + _BLOCK]), first) for first in starts
        )
        return self._overlap_add(blocks, len(frames), samples)

    def _frames(self, audio: Array) -> Array:
        """Overlapping frames, as a view: (F, n_fft)."""
        padded = np.pad(audio, self.n_fft // 2, mode="reflect")
        return sliding_window_view(padded, self.n_fft)[:: self.hop_length]

    def _transform(self, frames: Array) -> Spectrum:
        return np.fft.rfft(frames * self.window).astype(np.complex64, copy=False)

    def _overlap_add(self, blocks: Iterable[Spectrum], frames: int, length: int) -> Array:
        """Audio whose frames, in blocks of `_BLOCK`, have these spectra."""
        parts = -(-self.n_fft // self.hop_length)
        # A row has hop_length samples: each frame reaches over `parts` rows.
        total, weights = np.zeros((2, frames + parts - 1, self.hop_length), np.float32)
        pieces = np.zeros((_BLOCK, parts, self.hop_length), np.float32)
        squares = np.zeros((parts, self.hop_length), np.float32)
        squares.reshape(-1)[: self.n_fft] = self.window**2
        for block, spectrum in enumerate(blocks):
            first, count = block * _BLOCK, len(spectrum)
            samples = pieces.reshape(_BLOCK, -1)[:count, : self.n_fft]
            np.multiply(np.fft.irfft(spectrum, self.n_fft), self.window, out=samples)
            for part in range(parts):
                rows = slice(first + part, first + part + count)
                total[rows] += pieces[:count, part]
                weights[rows] += squares[part]
        total /= np.maximum(weights, _TINY)
        audio: Array = np.zeros(length, np.float32)
        found = total.reshape(-1)[self.n_fft // 2 :][:length]
        audio[: len(found)] = found
        return audio


class GriffinLim:
    """Audio from a log-mel spectrogram without a trained vocoder.

    The magnitude comes from the mel by multiplicative updates of non-negative least squares
    (Lee and Seung 2001), the phase by fast Griffin-Lim (Perraudin et al. 2013).
    """

    def __init__(
        self, config: MelConfig | None = None, iterations: int = 60, momentum: float = 0.99
    ) -> None:
        self.config = c = config or MelConfig()
        self.iterations = iterations
        self.overshoot = np.float32(momentum / (1 + momentum))
        self.stft = Stft(c.n_fft, c.hop_length, c.win_length)
        self.filterbank = mel_filterbank(c)

    def magnitude(self, mel: Array, updates: int = 30) -> Array:
        """Magnitude spectrum (F, K) whose mel is close to the log-mel (M, F)."""
        target = np.exp(mel.T)
        numerator = target @ self.filterbank
        guess = target @ np.linalg.pinv(self.filterbank).T
        magnitude: Array = np.maximum(guess, np.float32(1e-6))
        for _ in range(updates):
            fitted = magnitude @ self.filterbank.T @ self.filterbank
            magnitude *= numerator / (fitted + np.float32(1e-9))
        return magnitude

    def __call__(self, mel: Array, turns: Array) -> Array:
        """Log-mels (M, F) to audio (S,), S = (F - 1) · hop_length.

        Args:
            mel: the log-mels.
            turns: the first phases (K, F), from 0 to 1.
        """
        length = (mel.shape[1] - 1) * self.config.hop_length
        if length < self.config.n_fft // 2 + 1:  # shorter than what the edges reflect
            return np.zeros(length, np.float32)
        magnitude = self.magnitude(mel)
        phase: Spectrum = np.exp(np.complex64(2j * np.pi) * turns.T)
        previous = np.zeros_like(phase)
        for _ in range(self.iterations):
            rebuilt = self.stft(self.stft.inverse(magnitude * phase, length))
            phase = rebuilt - self.overshoot * previous
            phase /= np.maximum(np.abs(phase), _TINY)
            previous = rebuilt
        return self.stft.inverse(magnitude * phase, length)


class Denoiser:
    """Subtracts a vocoder's bias spectrum from every frame of audio.

    Args:
        bias_spectrum: its magnitudes (K,), see `bias_spectrum`.
        hop_length: samples between frames.
    """

    def __init__(self, bias_spectrum: Array, hop_length: int = 256) -> None:
        if bias_spectrum.ndim != 1:
            raise ValueError(f"bias_spectrum must be (bins,), not {bias_spectrum.shape}")
        self.bias_spectrum = bias_spectrum.astype(np.float32)
        n_fft = 2 * (len(bias_spectrum) - 1)
        self.stft = Stft(n_fft, hop_length, n_fft)

    def __call__(self, audio: Array, strength: float) -> Array:
        """The audio (S,) less `strength` times the bias; 0 changes nothing."""
        if not 0 <= strength < math.inf:
            raise ValueError(f"strength must be a finite number of at least 0, not {strength}")
        if strength == 0 or len(audio) == 0:
            return audio
        bias = np.float32(strength) * self.bias_spectrum

        def subtract(spectrum: Spectrum, _first: int) -> Spectrum:
            magnitude = np.abs(spectrum)
            kept = np.maximum(magnitude - bias, 0)
            # Scaling keeps the phase; where the magnitude is 0 there is nothing to keep.
            spectrum *= kept / np.maximum(magnitude, _TINY)
            return spectrum

        return self.stft.filter(audio, subtract)


class MelGain:
    """Brings the mel of audio to the one that it was made from; see `core.mel.MelGain`.

    Args:
        config: of the mel.
        passes: how often.
    """

    def __init__(self, config: MelConfig, passes: int) -> None:
        self.config, self.passes = config, passes
        self.stft = Stft(config.n_fft, config.hop_length, config.win_length)
        bank = mel_filterbank(config)
        heard = np.flatnonzero(bank.sum(0))
        self.heard = slice(heard[0], heard[-1] + 1)
        """The bins under any filter: K' of them."""
        self.filterbank = np.ascontiguousarray(bank[:, self.heard].T)
        self.spread = bank[:, self.heard] / self.filterbank.sum(1)
        """What shares a gain of each filter out to the bins under it: (M, K')."""

    def __call__(self, audio: Array, mel: Array) -> Array:
        """The audio (S,), S = F · hop_length, with its mel nearer to the log-mel (M, F)."""
        # The samples end on a frame of their own: the last one once more.
        target: Array = np.exp(np.concatenate([mel, mel[:, -1:]], axis=1).T)

        def correct(spectrum: Spectrum, first: int) -> Spectrum:
            wanted = target[first : first + len(spectrum)]
            heard = spectrum[: len(wanted), self.heard]
            found = np.abs(heard) @ self.filterbank
            gain = wanted / np.maximum(found, np.float32(self.config.floor))
            np.clip(gain, 1 / MEL_GAIN_LIMIT, MEL_GAIN_LIMIT, out=gain)
            heard *= gain @ self.spread
            return spectrum

        for _ in range(self.passes):
            audio = self.stft.filter(audio, correct)
        return audio


def bias_spectrum(waveglow: WaveGlow, n_fft: int = 1024, hop_length: int = 256) -> Array:
    """The magnitudes (K,) of what the vocoder makes of an empty mel without noise."""
    mel = np.zeros((waveglow.config.n_mel_channels, BIAS_FRAMES), np.float32)
    silence = [np.zeros(shape, np.float32) for shape in waveglow.noise_shapes(BIAS_FRAMES)]
    audio = waveglow.infer(mel, sigma=0.0, noise=silence)
    magnitude: Array = np.abs(Stft(n_fft, hop_length, n_fft)(audio[: 2 * n_fft])[0])
    return magnitude
