"""The network inside a WaveGlow coupling, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class CouplingNet:
    """`core.waveglow.CouplingNet` for one row, time-major, prepared once from its tensors.

    Args:
        tensors: under the core model's names.
        prefix: of this net's names, with the dot at its end.
    """

    def __init__(self, tensors: Mapping[str, NDArray[np.generic]], prefix: str) -> None:
        def tensor(name: str) -> Array:
            return np.asarray(tensors[prefix + name], np.float32)

        n_layers = sum(name.startswith(f"{prefix}in_layers.") for name in tensors) // 2
        self.start = tensor("start.weight")[..., 0].T, tensor("start.bias")
        self.end = tensor("end.weight")[..., 0].T, tensor("end.bias")
        self.conditioning = np.split(tensor("conditioning.weight")[..., 0], n_layers)
        biases = np.split(tensor("conditioning.bias"), n_layers)
        self.biases = [b + tensor(f"in_layers.{i}.bias") for i, b in enumerate(biases)]
        self.kernels = [
            np.ascontiguousarray(tensor(f"in_layers.{i}.weight").transpose(2, 1, 0))
            for i in range(n_layers)
        ]
        self.res_skip = [
            (tensor(f"res_skip_layers.{i}.weight")[..., 0].T, tensor(f"res_skip_layers.{i}.bias"))
            for i in range(n_layers)
        ]

    def __call__(self, x: Array, condition: Array) -> Array:
        """Shift and log scale, not yet split, (L, n_out), of (L, n_in) and (L, n_cond)."""
        length, channels = x.shape[0], self.end[0].shape[0]
        hidden = x @ self.start[0] + self.start[1]
        skips = np.zeros_like(hidden)
        for i, kernel in enumerate(self.kernels):
            gates = condition @ self.conditioning[i].T + self.biases[i]
            for tap, weight in enumerate(kernel):
                offset = (tap - len(kernel) // 2) * 2**i
                first, last = max(0, -offset), min(length, length - offset)
                if first < last:
                    gates[first:last] += hidden[first + offset : last + offset] @ weight
            acts = np.tanh(gates[:, :channels]) / (1 + np.exp(-gates[:, channels:]))
            weight, bias = self.res_skip[i]
            out = acts @ weight + bias
            if out.shape[1] > channels:
                hidden = hidden + out[:, :channels]
            skips += out[:, -channels:]
        return skips @ self.end[0] + self.end[1]
