"""Layers that the models share: stored weights as float32, convolutions, steps of an LSTM.

Arrays are float32. Convolutions are channel-major, (channels, L), like their stored weights: then
no weight has to be turned around, and im2col copies whole rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Tensors: TypeAlias = Mapping[str, NDArray[Any]]

_BATCH_NORM_EPSILON = 1e-5
_CACHE_LINE = 64  # bytes
_ONE, _HALF = np.array(1, np.float32), np.array(0.5, np.float32)  # quicker operands than scalars


def float32(tensor: NDArray[Any]) -> Array:
    """A stored tensor of finite numbers as float32; perhaps the very same array.

    NumPy takes eight times longer to convert halves. Their bits, moved to where float32 has them,
    are the same number divided by 2^112.
    """
    if tensor.dtype != np.float16:
        return np.asarray(tensor, np.float32)
    bits = tensor.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= ~0x70000000  # the copies of the sign in what is now the exponent
    values = bits.view(np.float32)
    values *= np.float32(2.0**112)
    return values


def empty_aligned(*shape: int) -> Array:
    """An array that begins at a cache line, which products with a vector are 5 % faster for."""
    size = int(np.prod(shape)) * np.dtype(np.float32).itemsize
    room = np.empty(size + _CACHE_LINE, np.uint8)
    start = -room.ctypes.data % _CACHE_LINE
    flat = room[start : start + size].view(np.float32)
    return flat.reshape(shape)


def beside(*blocks: Array) -> Array:
    """Matrices side by side, in an aligned array."""
    joined = empty_aligned(len(blocks[0]), sum(block.shape[1] for block in blocks))
    np.concatenate(blocks, axis=1, out=joined)
    return joined


def keep_freed_memory() -> None:
    """Have the C library keep what arrays free: a page fresh from the system costs microseconds.

    glibc keeps twice as much as the largest block that it has seen freed, of up to 32 MiB.
    """
    np.empty(31 << 20, np.uint8)


class Convolution:
    """A convolution that keeps the length, prepared once, its batch normalisation folded in.

    Args:
        tensors: under the core model's names.
        name: of the convolution.
        norm: of the batch normalisation behind it, if there is one.
        dilation: distance between the taps of its kernel.
    """

    def __init__(
        self, tensors: Tensors, name: str, norm: str | None = None, dilation: int = 1
    ) -> None:
        weight, bias = (float32(tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
        if norm is not None:
            gain, shift, mean, variance = (
                float32(tensors[f"{norm}.{part}"])
                for part in ("weight", "bias", "running_mean", "running_var")
            )
            scale = gain / np.sqrt(variance + np.float32(_BATCH_NORM_EPSILON))
            weight = weight * scale[:, None, None]
            bias = (bias - mean) * scale + shift
        self.kernel_size, self.dilation = int(weight.shape[2]), dilation
        self.reach = dilation * (self.kernel_size // 2)
        """Neighbours on each side that an output depends on."""
        self.weight = weight.reshape(len(weight), -1)
        self.bias = bias[:, None]

    def __call__(self, x: Array) -> Array:
        """(n_in, L) to (n_out, L)."""
        result: Array = self.weight @ self._columns(x)
        result += self.bias
        return result

    def _columns(self, x: Array) -> Array:
        """What each output depends on, one below the other: (n_in * kernel_size, L)."""
        if self.kernel_size == 1:
            return x
        channels, length = x.shape
        padded = np.zeros((channels, length + 2 * self.reach), np.float32)
        padded[:, self.reach : self.reach + length] = x
        row, item = padded.strides
        shape = (channels, self.kernel_size, length)
        taps = as_strided(padded, shape, (row, self.dilation * item, item))
        return taps.reshape(-1, length)


def leaky_relu(x: Array, slope: float = 0.1) -> Array:
    """In place."""
    np.maximum(x, np.float32(slope) * x, out=x)
    return x


def stack_gates(*blocks: tuple[Array, float]) -> Array:
    """LSTM weights (4H, ·) side by side, ready for `LSTMCell`.

    torch's order of the gates, input, forget, cell, output, becomes input, forget, output, cell,
    and all but the last are halved, because sigmoid(z) is (1 + tanh(z / 2)) / 2.

    Args:
        blocks: weights, and what they are multiplied by: 0.5 where they read a hidden state.
    """
    width = len(blocks[0][0]) // 4
    stacked = empty_aligned(4 * width, sum(block.shape[1] for block, _ in blocks))
    column = 0
    for block, scale in blocks:
        columns = slice(column, column := column + block.shape[1])
        for place, gate in enumerate((0, 1, 3, 2)):
            np.multiply(
                block[gate * width : (gate + 1) * width],
                np.float32(scale if place == 3 else scale / 2),
                out=stacked[place * width : (place + 1) * width, columns],
            )
    return stacked


def stack_gate_biases(*biases: Array) -> Array:
    """The sum of LSTM biases (4H,), as `stack_gates` orders and scales them."""
    return stack_gates((np.sum(biases, axis=0)[:, None], 1))[:, 0]


class LSTMCell:
    """The state of an LSTM, and the step that changes it, without its matrix product.

    One tanh serves all four gates, see `stack_gates`. The hidden state is kept doubled, since the
    sigmoid's half is cheaper in the weights of whatever reads it.

    Args:
        width: of the hidden state.
    """

    def __init__(self, width: int) -> None:
        self.gates = empty_aligned(4 * width)
        self._sigmoids = self.gates[: 3 * width]
        self._input, self._forget, self._output, self._new = np.split(self.gates, 4)
        self._cell = np.zeros(width, np.float32)
        self._squashed = np.empty(width, np.float32)

    def step(self, hidden: Array) -> None:
        """Turn the gates' sums (4H,) that `self.gates` holds into the hidden state, doubled."""
        cell, squashed = self._cell, self._squashed
        np.tanh(self.gates, out=self.gates)
        self._sigmoids += _ONE  # twice the sigmoids
        np.multiply(cell, self._forget, out=cell)
        np.multiply(self._new, self._input, out=squashed)
        np.add(cell, squashed, out=cell)
        np.multiply(cell, _HALF, out=cell)
        np.tanh(cell, out=squashed)
        np.multiply(squashed, self._output, out=hidden)


def logit(probability: float) -> float:
    """The value whose sigmoid this is; infinite where there is none."""
    if 0 < probability < 1:
        return math.log(probability / (1 - probability))
    return math.copysign(math.inf, probability - 0.5)
