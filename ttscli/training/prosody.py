"""How near a voice's pitch, timing and sound are to its teacher's, sentence by sentence.

Tensor letters: F mel frames, M mel bins, S samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from ttscli.core.configs import MelConfig
from ttscli.training.pitch import track_f0

Floats = NDArray[np.float32]

_RATE, _HOP = MelConfig().sample_rate, MelConfig().hop_length
_LOWEST_BAND, _BANDS = 100.0, 19  # third octaves from 100 to 6350 Hz: the teacher's end at 8000
_SILENT = 1e-7  # what stands for digital silence, where there is no level


@dataclass(frozen=True)
class Nearness:
    """A voice beside its teacher, over all sentences."""

    duration: float
    """Length of all audio over the teacher's."""
    f0_error: float
    """Root mean square of log F0's difference where both have voice: 0.1 is 10 %."""
    f0_bias: float
    """Mean of that difference: what the voice is higher by."""
    voicing_error: float
    """Share of frames where one has voice and the other has none."""
    spectrum_error: float
    """Largest difference of the long-term average spectra of any third octave, dB."""
    silence: float
    """Level of the quietest fiftieth of the audio, dB below full scale."""


def compare(
    mine: Sequence[Floats],
    theirs: Sequence[Floats],
    my_mels: Sequence[Floats],
    their_mels: Sequence[Floats],
) -> Nearness:
    """Compare sentence by sentence, frames paired by dynamic time warping of the mels.

    Args:
        mine: audio of each sentence (S,).
        theirs: the teacher's.
        my_mels: log-mels (M, F) of `mine`.
        their_mels: of `theirs`.
    """
    differences, voicings = [], []
    for a, b, a_mel, b_mel in zip(mine, theirs, my_mels, their_mels, strict=True):
        a_f0, a_voiced = _f0(a)
        b_f0, b_voiced = _f0(b)
        i, j = paired_frames(a_mel, b_mel)
        i, j = np.minimum(i, len(a_f0) - 1), np.minimum(j, len(b_f0) - 1)
        both = a_voiced[i] & b_voiced[j]
        differences.append(np.log(a_f0[i][both] / b_f0[j][both]))
        voicings.append(a_voiced[i] != b_voiced[j])
    difference = np.concatenate(differences)
    my_audio, their_audio = np.concatenate(list(mine)), np.concatenate(list(theirs))
    return Nearness(
        duration=len(my_audio) / len(their_audio),
        f0_error=float(np.sqrt(np.mean(difference**2))),
        f0_bias=float(np.mean(difference)),
        voicing_error=float(np.mean(np.concatenate(voicings))),
        spectrum_error=float(np.abs(third_octaves(my_audio) - third_octaves(their_audio)).max()),
        silence=silence_level(my_audio),
    )


def paired_frames(mine: Floats, theirs: Floats) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Frames of two log-mels (M, F) that say the same, by dynamic time warping (Sakoe 1978)."""
    import dtw

    found = dtw.dtw(mine.T.astype(float), theirs.T.astype(float))
    return found.index1, found.index2


def third_octaves(audio: Floats) -> NDArray[np.float64]:
    """Long-term average level of each third octave from 100 Hz on, dB."""
    frequencies, power = welch(audio, _RATE, nperseg=4096)
    edges = _LOWEST_BAND * 2.0 ** ((np.arange(_BANDS + 1) - 0.5) / 3)
    bands = np.digitize(frequencies, edges)
    levels = np.array([power[bands == band + 1].sum() for band in range(_BANDS)])
    decibels: NDArray[np.float64] = 10 * np.log10(levels + _SILENT**2)
    return decibels


def silence_level(audio: Floats) -> float:
    """Level of the quietest fiftieth of the mel's hops, dB below full scale."""
    hops = audio[: len(audio) // _HOP * _HOP].reshape(-1, _HOP)
    levels = np.sqrt(np.mean(hops.astype(float) ** 2, 1))
    return float(20 * np.log10(np.percentile(levels, 2) + _SILENT))


def _f0(audio: Floats) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """F0 and voicing at the mel's frames; a whisper has F0 1 and no voice."""
    whole = np.pad(audio, (0, -len(audio) % _HOP)).astype(float)
    found = track_f0(whole, _RATE, _HOP)
    if found is not None:
        return found
    frames = len(whole) // _HOP + 1
    return np.ones(frames), np.zeros(frames, np.bool_)
