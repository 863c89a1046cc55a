"""Pitch and voicing read off a mel, and the pulse train that they describe, in NumPy.

Tensor letters as in `harmonic_waveglow`: M mel bins, N samples of a block, L rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttscli.core.configs import HarmonicWaveGlowConfig
from ttscli.cpu.layers import Array, Convolution, Tensors, leaky_relu

_DILATIONS = (1, 1, 2)
_SMALL_SINE = 2e-3  # below it the pulse train is taken to be at its peak, as in core
_CHUNK = 64  # blocks that are made at once: what they pass through stays in a core's own cache


class PitchNet:
    """Reads the logarithm of F0 and a voicing logit off each mel frame."""

    def __init__(self, tensors: Tensors) -> None:
        self.layers = [
            Convolution(tensors, f"pitch.layers.{i}", dilation=dilation)
            for i, dilation in enumerate(_DILATIONS)
        ]
        self.end = Convolution(tensors, "pitch.end")
        self.reach = sum(layer.reach for layer in self.layers)
        """Frames on each side that a frame's pitch depends on."""

    def __call__(self, x: Array) -> Array:
        """Normalised mel (M, L) to log F0 (natural, Hz) and voicing logit: (2, L)."""
        for layer in self.layers:
            x = leaky_relu(layer(x))
        result = self.end(x)
        result[0] *= np.float32(0.2)
        result[0] += np.float32(math.log(165))
        return result


@dataclass(frozen=True)
class Source:
    """The pulse train of a sentence, any of whose blocks can be made by itself."""

    f0: NDArray[np.float64]
    """In Hz at the borders of the L + 1 blocks: (L + 2,)."""
    voiced: NDArray[np.bool_]
    """At the borders of the blocks: (L + 2,)."""
    phase: NDArray[np.float64]
    """Of the fundamental where each block begins, cycles: (L + 1,)."""
    config: HarmonicWaveGlowConfig
    """Of the vocoder."""

    @classmethod
    def of(cls, log_f0: Array, voicing: Array, config: HarmonicWaveGlowConfig) -> Source:
        """The source with these natural logarithms of Hz and voicing logits, (L,) each."""
        f0 = np.pad(np.exp(log_f0, dtype=np.float64), 1, mode="edge")
        voiced = np.pad(voicing > 0, 1, mode="edge")
        # The sum over a block of what is interpolated between its borders.
        hop = config.hop_length
        cycles = (f0[:-1] * (hop + 1) + f0[1:] * (hop - 1)) / 2 / config.sample_rate
        phase = np.append(0.0, np.cumsum(cycles)[:-1]) % 1
        return cls(f0, voiced, phase, config)

    def blocks(self, first: int, last: int) -> Array:
        """The samples of some blocks: (last - first, N)."""
        samples = np.empty((last - first, self.config.hop_length), np.float32)
        for start in range(first, last, _CHUNK):
            stop = min(start + _CHUNK, last)
            samples[start - first : stop - first] = self._chunk(start, stop)
        return samples

    def _chunk(self, first: int, last: int) -> Array:
        c, hop = self.config, self.config.hop_length
        f0, level = self.f0[first : last + 1], 0.1 * self.voiced[first : last + 1]
        place = np.arange(hop)
        # The sum up to each sample, that sample included, of what lies between the borders.
        curves = np.stack([np.ones(hop), place + 1, place * (place + 1) / (2 * hop)])
        slopes = np.stack([f0[:-1], np.diff(f0)]) / c.sample_rate
        cycles = np.stack([self.phase[first:last], *slopes], axis=1) @ curves
        lines = np.stack([np.ones(hop), place / hop])
        levels = np.stack([level[:-1], np.diff(level)], axis=1) @ lines
        # No harmonic is above half the sample rate.
        count = np.minimum(np.floor(c.sample_rate / 2 / f0[:-1]), c.n_harmonics)
        return levels.astype(np.float32) * pulse_train(cycles, count[:, None])


def pulse_train(cycles: NDArray[np.float64], count: NDArray[np.float64]) -> Array:
    """Sum of the cosines at the first `count` multiples of a phase, in closed form.

    The phase is reduced to within half a cycle in float64. Sines in float32 are then right to the
    last bits, also close to a pulse, where one small sine is divided by another.
    """
    cycles = cycles - np.rint(cycles)
    turns = (count + 0.5) * cycles
    turns -= np.rint(turns)
    below = np.sin(np.float32(math.pi) * cycles.astype(np.float32))
    train: Array = np.sin(np.float32(2 * math.pi) * turns.astype(np.float32))
    near = np.abs(below) < _SMALL_SINE
    below[near] = 1
    train /= below
    train -= np.float32(1)
    train *= np.float32(0.5)
    np.copyto(train, count.astype(np.float32), where=near)
    return train
