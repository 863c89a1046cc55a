"""WaveGlow (`core.waveglow`) as inference in NumPy: noise to audio, given a mel.

Letters: F mel frames, M mel bins, S samples; G the samples of a group, L = S / G the groups, P the
groups of a frame. Arrays are time-major: the last flow's output, read in order, is the audio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TypeAlias

import numpy as np

from ttscli.core.configs import WaveGlowConfig
from ttscli.cpu.coupling_net import CouplingNet
from ttscli.cpu.layers import Array, Tensors, float32, keep_freed_memory
from ttscli.cpu.sharing import Each, in_turn

_WINDOW = 512  # frames that are computed at once, at most

Condition: TypeAlias = Callable[[int, int], Array]
"""From a range of frames to their conditioning, (groups, M * G)."""


class WaveGlow:
    """Noise to audio, given a mel; prepared once from its tensors, and threads may share it.

    Args:
        config: its sizes.
        tensors: under the core model's names.
    """

    def __init__(self, config: WaveGlowConfig, tensors: Tensors) -> None:
        keep_freed_memory()
        self.config = config
        self.upsampling = _upsampling(config, float32(tensors["upsample.weight"]))
        self.upsampling_bias = np.repeat(float32(tensors["upsample.bias"]), config.n_group)
        weights = [tensors[f"invertible.{k}.weight"] for k in range(config.n_flows)]
        self.inverses = [np.linalg.inv(w.astype(np.float64)).astype(np.float32) for w in weights]
        self.couplings = [CouplingNet(tensors, f"couplings.{k}.") for k in range(config.n_flows)]
        groups = (2**config.n_layers - 1) * (config.kernel_size // 2)
        self.reach = -(-groups // config.groups_per_frame)
        """Frames on each side that a frame of a coupling's result depends on."""

    def noise_shapes(self, frames: int) -> list[tuple[int, int]]:
        """Of the draws (channels, L) for a mel of so many frames, in the reference's order."""
        groups = frames * self.config.groups_per_frame
        return [(channels, groups) for channels in self.config.noise_channels]

    def infer(
        self, mel: Array, sigma: float, noise: Sequence[Array], each: Each = in_turn
    ) -> Array:
        """The audio (S,) behind noise, S = F * hop_length.

        Args:
            mel: log mel (M, F).
            sigma: standard deviation of the noise.
            noise: the unscaled draws, see `noise_shapes`.
            each: what shares the work out, which does not change the samples; where threads do,
                BLAS should be held to one.
        """
        self._check(mel, sigma, noise)
        x: Array
        x, *early = (np.float32(sigma) * draw.T for draw in noise)
        # Where one window holds all frames, the flows share its conditioning.
        condition = lru_cache(maxsize=1)(partial(self._condition, mel.T))
        for k in reversed(range(self.config.n_flows)):
            unchanged, changed = np.split(x, 2, axis=1)
            shift, log_scale = np.split(self._couple(k, unchanged, condition, each), 2, axis=1)
            restored = (changed - shift) * np.exp(-log_scale)
            x = np.concatenate([unchanged, restored], axis=1) @ self.inverses[k].T
            if self.config.leaves_early(k):
                x = np.concatenate([early.pop(0), x], axis=1)
        return x.reshape(-1)

    def _couple(self, k: int, unchanged: Array, condition: Condition, each: Each) -> Array:
        """Shift and log scale (L, channels) of flow k, window by window.

        Each flow has its own windows, with what a single coupling net reaches beyond their ends:
        3 % more work at full size. Windows through all flows would need as much for each flow,
        a third more work, to save computing the conditioning anew, which is a sixtieth.
        """
        per_frame = self.config.groups_per_frame
        frames = len(unchanged) // per_frame
        pieces = []
        for first, last in _windows(frames):
            start, stop = max(0, first - self.reach), min(frames, last + self.reach)
            groups = unchanged[start * per_frame : stop * per_frame]
            piece = self.couplings[k](groups, condition(start, stop), each)
            pieces.append(piece[(first - start) * per_frame : (last - start) * per_frame])
        return np.concatenate(pieces)

    def _condition(self, mel: Array, start: int, stop: int) -> Array:
        """The conditioning (groups, M * G) of some frames of a mel (F, M)."""
        n_mels = mel.shape[1]
        taps = len(self.upsampling) // n_mels
        earlier = np.pad(mel, ((taps - 1, 0), (0, 0)))
        frames = [earlier[start + taps - 1 - tap : stop + taps - 1 - tap] for tap in range(taps)]
        condition: Array = np.concatenate(frames, axis=1) @ self.upsampling
        groups = condition.reshape(-1, n_mels * self.config.n_group)
        groups += self.upsampling_bias
        return groups

    def _check(self, mel: Array, sigma: float, noise: Sequence[Array]) -> None:
        c = self.config
        if mel.ndim != 2 or len(mel) != c.n_mel_channels or mel.shape[1] == 0:
            raise ValueError(f"mel must be ({c.n_mel_channels}, frames), not {mel.shape}")
        if not 0 <= sigma < math.inf:
            raise ValueError(f"sigma must be a finite number of at least 0, not {sigma}")
        expected = self.noise_shapes(mel.shape[1])
        if [draw.shape for draw in noise] != expected:
            raise ValueError(f"noise must be draws of shapes {expected}")


def _upsampling(config: WaveGlowConfig, weight: Array) -> Array:
    """The transposed convolution and the squeeze of its result, as one matrix.

    From a frame and those before it that reach into it, (taps * M), to the frame's groups,
    (P * M * G). Of the weight (M, M, kernel), the first hop_length samples belong to the frame
    itself, the next to the frame before it, and so on.
    """
    n_mels, hop = config.n_mel_channels, config.hop_length
    taps = -(-config.upsample_kernel_size // hop)
    weight = np.pad(weight, ((0, 0), (0, 0), (0, taps * hop - weight.shape[2])))
    split = weight.reshape(n_mels, n_mels, taps, config.groups_per_frame, config.n_group)
    matrix: Array = split.transpose(2, 0, 3, 1, 4).reshape(taps * n_mels, -1)
    return matrix


def _windows(frames: int) -> list[tuple[int, int]]:
    """The frames in equal ranges, none longer than a window."""
    count = -(-frames // _WINDOW)
    return [(i * frames // count, (i + 1) * frames // count) for i in range(count)]
