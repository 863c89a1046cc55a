"""The network inside a WaveGlow coupling (`core.flow.CouplingNet`) as inference in NumPy.

Letters: L rows in time, C hidden channels. What differs from `core` is exact but for rounding:

- where it saves work, `start` is folded into the first layer, which then reads the input itself,
  and `end` into the skip half of every layer: C -> C becomes C -> n_out;
- sigmoid(x) = (1 + tanh(x / 2)) / 2, its halves folded into the weights, so that the gate is
  tanh(a) * (1 + tanh(b)), and one call of tanh does for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ttscli.cpu.dilated import Dilated, Direct, Scratch, Winograd
from ttscli.cpu.layers import Array, Tensors, float32
from ttscli.cpu.sharing import Each, in_turn

_CHUNK = 3072  # rows that one thread takes through a layer at once, at most
_PART = 1 << 17  # numbers that a core's own cache holds while several operations go over them
_FEWEST_CHANNELS = 64  # with fewer, Winograd's transforms cost more than they save


@dataclass(frozen=True)
class _Layer:
    """One layer's weights, prepared."""

    dilated: Dilated
    """From the hidden state, or the first layer's from the input, to 2C."""
    conditioning: Array
    """(n_cond, 2C)."""
    bias: Array
    """Of both: (2C,)."""
    res_skip: Array
    """(C, C + n_skip), the last layer's (C, n_skip)."""
    residual_bias: Array
    """(C,), the last layer's (0,)."""


@dataclass(frozen=True)
class _Rows:
    """What the layers read and write, L rows of each."""

    condition: Array
    """(L, n_cond)."""
    source: Array
    """What the layer's dilated convolution reads, zeros around it."""
    hidden: Array
    """The hidden state, zeros around it."""
    following: Array
    """Room for the next layer's hidden state, zeros around it."""
    skips: Array
    """The sum of the skips so far: (L, n_skip)."""
    scratches: list[Scratch]
    """Those that no thread is using."""


class CouplingNet:
    """The net for one row, prepared once; threads may share it.

    Args:
        tensors: under the core model's names.
        prefix: of this net's names, with the dot at its end.
    """

    def __init__(self, tensors: Tensors, prefix: str) -> None:
        def tensor(name: str) -> Array:
            return float32(tensors[prefix + name])

        weight, bias = tensor("start.weight")[..., 0], tensor("start.bias")
        end = tensor("end.weight")[..., 0]
        self.n_channels = c = len(weight)
        self.start = np.concatenate([weight.T, bias[None]])  # of the input beside ones
        self.end, self.bias = np.ascontiguousarray(end.T), tensor("end.bias").copy()
        self.folds_start, self.folds_end = len(self.start) < c, len(end) < c
        n_layers = sum(name.startswith(f"{prefix}in_layers.") for name in tensors) // 2
        conditioning = np.split(tensor("conditioning.weight")[..., 0], n_layers)
        biases = np.split(tensor("conditioning.bias"), n_layers)
        halves = np.repeat(np.array([1, 0.5], np.float32), c)[:, None]
        self.layers: list[_Layer] = []
        for i in range(n_layers):
            kernel = np.moveaxis(tensor(f"in_layers.{i}.weight"), 2, 0) * halves
            if i == 0 and self.folds_start:
                kernel = kernel @ self.start.T
            res_skip = tensor(f"res_skip_layers.{i}.weight")[..., 0] * np.float32(0.5)
            residual, skip = np.split(res_skip, [-c])
            residual_bias, skip_bias = np.split(tensor(f"res_skip_layers.{i}.bias"), [-c])
            skip = end @ skip if self.folds_end else skip
            self.bias += end @ skip_bias
            self.layers.append(
                _Layer(
                    dilated=_dilated(kernel, 2**i),
                    conditioning=(conditioning[i] * halves).T,
                    bias=(biases[i] + tensor(f"in_layers.{i}.bias")) * halves[:, 0],
                    res_skip=np.concatenate([residual, skip]).T,
                    residual_bias=residual_bias,
                )
            )
        self.ahead = max(layer.dilated.ahead for layer in self.layers)
        self.behind = max(layer.dilated.behind for layer in self.layers)

    def __call__(self, x: Array, condition: Array, each: Each = in_turn) -> Array:
        """Shift and log scale, not yet split, (L, n_out), of (L, n_in) and (L, n_cond).

        `each` shares out the chunks of a layer, which does not change the result.
        """
        length, n_in = x.shape
        places = slice(self.ahead, self.ahead + length)
        hidden, following = (self._surrounded(length, self.n_channels) for _ in range(2))
        np.matmul(x, self.start[:-1], out=hidden[places])
        hidden[places] += self.start[-1]
        source = hidden
        if self.folds_start:
            source = self._surrounded(length, n_in + 1)
            source[places, :-1], source[places, -1] = x, 1
        skips = np.zeros((length, self.layers[-1].res_skip.shape[1]), np.float32)
        scratches: list[Scratch] = []
        for layer in self.layers:
            rows = _Rows(condition, source, hidden, following, skips, scratches)
            self._advance(layer, rows, each)
            source, hidden, following = following, following, hidden
        out: Array = skips if self.folds_end else skips @ self.end
        out += self.bias
        return out

    def _surrounded(self, length: int, channels: int) -> Array:
        """Zeros that stay zero around `length` rows."""
        return np.zeros((self.ahead + length + self.behind, channels), np.float32)

    def _advance(self, layer: _Layer, rows: _Rows, each: Each) -> None:
        """Take all rows through a layer."""
        length = len(rows.skips)
        chunk = _chunk(length, layer.dilated.step)

        def advance(first: int) -> None:
            try:
                scratch = rows.scratches.pop()
            except IndexError:  # asking first would race with another thread for the last one
                scratch = Scratch()
            self._advance_chunk(layer, rows, first, min(chunk, length - first), scratch)
            rows.scratches.append(scratch)

        each(advance, range(0, length, chunk))

    def _advance_chunk(
        self, layer: _Layer, rows: _Rows, first: int, count: int, scratch: Scratch
    ) -> None:
        """Take `count` rows through a layer."""
        here, c = slice(first, first + count), self.n_channels
        inside = slice(self.ahead + first, self.ahead + first + count)
        gates = layer.dilated(rows.source, self.ahead + first, count, scratch)
        products = scratch("products", *gates.shape)
        np.matmul(rows.condition[here], layer.conditioning, out=products)
        acts = scratch("tiles", count, c)
        for part in _parts(gates):
            _gate(gates[part], products[part], layer.bias, acts[part])
        width = len(layer.residual_bias)
        products = scratch("products", count, layer.res_skip.shape[1])
        np.matmul(acts, layer.res_skip, out=products)
        rows.skips[here] += products[:, width:]
        if width:
            hidden, following = rows.hidden[inside], rows.following[inside]
            for part in _parts(following):
                np.add(hidden[part], products[part, :width], out=following[part])
                following[part] += layer.residual_bias


def _chunk(length: int, step: int) -> int:
    """Rows of a chunk, a multiple of `step`: what is long is cut into an even number of chunks."""
    count = 1 if 2 * length <= _CHUNK else 2 * -(-length // (2 * _CHUNK))
    return -(-length // (count * step)) * step


def _gate(gates: Array, condition: Array, bias: Array, out: Array) -> None:
    """tanh of the first half of the channels times one plus tanh of the second."""
    gates += condition
    gates += bias
    np.tanh(gates, out=gates)
    channels = out.shape[1]
    gates[:, channels:] += 1
    np.multiply(gates[:, :channels], gates[:, channels:], out=out)


def _parts(array: Array) -> Iterator[slice]:
    """An array's rows, as many at once as a core's own cache holds."""
    rows = max(1, _PART // array.shape[1])
    for first in range(0, len(array), rows):
        yield slice(first, first + rows)


def _dilated(kernel: Array, dilation: int) -> Dilated:
    """The quickest way to convolve with a kernel (taps, N, C)."""
    taps, _, channels = kernel.shape
    if taps == 3 and channels >= _FEWEST_CHANNELS:
        return Winograd(kernel, dilation)
    return Direct(kernel, dilation)
