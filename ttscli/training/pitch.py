"""Pitch of recorded speech: an F0 track, and the phase of its glottal pulses to the sample.

The vocoder learns best when the pulses it is given stand where those of the recording stand. They
are found in three steps: F0 by autocorrelation (Praat), the phase of the fundamental that this
gives, and the peaks of the linear-prediction residual, one near each turn of that phase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz
from scipy.signal import fftconvolve

Floats = NDArray[np.float64]

_FLOOR, _CEILING = 80.0, 350.0  # range of a woman's F0, Hz
_LPC_ORDER = 26
_WINDOW = 1024  # samples of a linear-prediction window


@dataclass(frozen=True)
class Pitch:
    """The pitch of an utterance."""

    f0: NDArray[np.float32]
    """F0 at each mel frame, Hz, interpolated where there is no voice (F,)."""
    voiced: NDArray[np.bool_]
    """Whether there is voice at each mel frame (F,)."""
    phase: NDArray[np.float32]
    """Phase at each sample, radians in [0, 2π), 0 at a glottal pulse (S,)."""


def analyse(audio: Floats, sample_rate: int, hop_length: int) -> Pitch | None:
    """Pitch of audio (S,), S a multiple of the hop; None if there is no voice in it.

    The frames lie at multiples of hop_length, S / hop_length + 1 of them.
    """
    track = track_f0(audio, sample_rate, hop_length)
    if track is None:
        return None
    f0, voiced = track
    frames, samples = np.arange(len(f0)) * hop_length, np.arange(len(audio))
    fundamental = fundamental_phase(audio, np.interp(samples, frames, f0), sample_rate)
    voiced_samples = np.interp(samples, frames, voiced.astype(float)) > 0.5
    residual = prediction_residual(audio, hop_length)
    phase = pulse_phase(residual, fundamental, voiced_samples, sample_rate)
    wrapped = np.mod(phase, 2 * np.pi).astype(np.float32)
    return Pitch(f0.astype(np.float32), voiced, wrapped)


def track_f0(
    audio: Floats, sample_rate: int, hop_length: int
) -> tuple[Floats, NDArray[np.bool_]] | None:
    """F0 and voicing at multiples of the hop (F,), by Praat's autocorrelation (Boersma 1993)."""
    import parselmouth

    pitch = parselmouth.Sound(audio, sample_rate).to_pitch_ac(
        time_step=hop_length / sample_rate, pitch_floor=_FLOOR, pitch_ceiling=_CEILING
    )
    times, values = pitch.xs(), pitch.selected_array["frequency"]
    known = values > 0
    if not known.any():
        return None
    frames = np.arange(len(audio) // hop_length + 1) * hop_length / sample_rate
    voiced = np.interp(frames, times, known.astype(float)) > 0.5
    return np.exp(np.interp(frames, times[known], np.log(values[known]))), voiced


def fundamental_phase(audio: Floats, f0: Floats, sample_rate: int) -> Floats:
    """Unwrapped phase of the fundamental at each sample, from F0 at each sample.

    The audio is shifted down by F0 and smoothed; the angle that is left corrects F0's integral.
    """
    integral = 2 * np.pi * np.cumsum(f0 / sample_rate)
    window = np.hanning(int(0.06 * sample_rate))
    shifted = fftconvolve(audio * np.exp(-1j * integral), window, "same")
    unwrapped: Floats = np.unwrap(integral + np.angle(shifted))
    return unwrapped


def prediction_residual(audio: Floats, hop_length: int) -> Floats:
    """What linear prediction cannot explain (S,): peaks where the glottis closes."""
    margin = _WINDOW // 2
    padded = np.concatenate([np.zeros(margin), audio, np.zeros(margin + _WINDOW)])
    count = -(-len(audio) // hop_length)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::hop_length][:count]
    power = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW), 2 * _WINDOW)) ** 2
    correlation = np.fft.irfft(power)[:, : _LPC_ORDER + 1]
    correlation[:, 0] = correlation[:, 0] * 1.0001 + 1e-5
    residual = np.zeros(count * hop_length)
    for frame, row in enumerate(correlation):
        predictor = np.concatenate([[1.0], -solve_toeplitz(row[:-1], row[1:])])
        start = margin + frame * hop_length - hop_length // 2  # the hop around the window's centre
        piece = padded[start - _LPC_ORDER : start + hop_length]
        left = frame * hop_length - hop_length // 2
        filtered = np.convolve(piece, predictor, "valid")
        skip = max(0, -left)
        residual[left + skip : left + hop_length] = filtered[skip:]
    return residual[: len(audio)]


def pulse_phase(
    residual: Floats, fundamental: Floats, voiced: NDArray[np.bool_], sample_rate: int
) -> Floats:
    """Phase that is a multiple of 2π at each pulse (S,), from the fundamental's phase (S,).

    Where in a cycle the pulses fall changes slowly; it is tracked first, and then each pulse is
    put on the residual's highest peak within a fifth of a period.
    """
    smooth = fftconvolve(residual, [0.25, 0.5, 0.25], "same")
    upright = smooth if np.sum(smooth[voiced] ** 3) > 0 else -smooth
    peaks = np.maximum(upright, 0)
    turning = np.where(voiced, peaks**2, 0) * np.exp(1j * fundamental)
    offset = np.angle(fftconvolve(turning, np.hanning(sample_rate // 10), "same"))
    slow = np.maximum.accumulate(fundamental - np.unwrap(offset))
    first, last = int(np.ceil(slow[0] / (2 * np.pi))), int(np.floor(slow[-1] / (2 * np.pi)))
    turns = np.arange(first, last + 1) * 2 * np.pi
    if len(turns) < 3:
        return slow
    samples = np.arange(len(slow))
    guesses = np.interp(turns, slow, samples).round().astype(int)
    places = guesses.astype(float)
    for i in range(1, len(guesses) - 1):
        reach = int((guesses[i + 1] - guesses[i - 1]) / 2 * 0.2)
        low, high = max(1, guesses[i] - reach), min(len(peaks) - 2, guesses[i] + reach + 1)
        if voiced[guesses[i]] and high > low:
            peak = low + int(np.argmax(peaks[low:high]))
            places[i] = peak + _parabola_peak(*peaks[peak - 1 : peak + 2])
    rising = np.maximum.accumulate(places) + np.arange(len(places)) * 1e-6
    phase: Floats = np.interp(samples, rising, turns)
    return phase


def _parabola_peak(left: float, middle: float, right: float) -> float:
    """Where the parabola through three neighbours has its top, from the middle one, in samples."""
    bend = left - 2 * middle + right
    slope = (left - right) / 2
    return slope / bend if bend < 0 and abs(slope) < abs(bend) else 0.0
