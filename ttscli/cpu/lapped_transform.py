"""Orthonormal MDCT with a sine window (Princen and Bradley 1986), and its sine twin, in NumPy."""

from __future__ import annotations

import numpy as np

from ttscli.cpu.layers import Array


class LappedTransform:
    """Blocks of N samples to frames of N bins, each over two blocks, and back.

    The transforms are matrix products: at these sizes, a product with a table takes as long as the
    Fourier transforms and the twiddles around them.

    Args:
        n_bins: N.
        n_source: bins of the transform, and as many of its sine twin, that `both` gives.
    """

    def __init__(self, n_bins: int, n_source: int) -> None:
        self.n_bins = n_bins
        n, bins = np.arange(2 * n_bins), np.arange(n_bins)[:, None]
        window = np.sin(np.pi * (n + 0.5) / (2 * n_bins)) * np.sqrt(2 / n_bins)
        # Every angle is a multiple of a turn's 8N-th part: few sines need to be computed.
        turn = 8 * n_bins
        sines = np.sin(2 * np.pi / turn * np.arange(turn))
        steps = (2 * n + 1 + n_bins) * (2 * bins + 1) % turn
        cosine = window * sines[(steps + turn // 4) % turn]
        sine = window * sines[steps[:n_source]]
        self._inverse: Array = cosine.astype(np.float32)
        self._both: Array = np.concatenate([cosine[:n_source], sine]).astype(np.float32).T

    def both(self, blocks: Array) -> Array:
        """The lowest bins of blocks (L + 1, N) in the transform and in its sine twin: (L, ...)."""
        return np.concatenate([blocks[:-1], blocks[1:]], axis=1) @ self._both

    def inverse(self, bins: Array) -> Array:
        """The blocks (L - 1, N) that two of the frames (L, N) each lie over."""
        halves = bins @ self._inverse
        blocks: Array = halves[1:, : self.n_bins] + halves[:-1, self.n_bins :]
        return blocks
