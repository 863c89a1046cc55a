"""Dilated convolutions along time, time-major: directly, and with 4/9 of the multiplications.

Letters: L rows in time, C channels in, N channels out, d the dilation.

`Winograd` is the minimal filtering F(6, 3) of Winograd (1980), in the form of Lavin and Gray
(arXiv 1509.09308): of eight rows that lie d apart, eight products give six rows of the result,
which take eighteen by themselves. Its matrices come from evaluating polynomials at the points
0, +-1, +-2, +-1/2 and infinity. Rounding errors are three times those of the plain convolution;
one more pair of points would take 6 % off the products and make the errors five times larger.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ttscli.cpu.layers import Array

_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
_TAPS = 3
_TILE = len(_POINTS) + 1  # rows that a tile reads, and products that it takes
_STEP = _TILE - _TAPS + 1  # rows that a tile gives
_BLOCK = 4096  # numbers of each row that are transformed at once: small products stay in cache


class Scratch:
    """Memory that is used again: fresh megabytes cost as much as what is computed in them."""

    def __init__(self) -> None:
        self._rooms: dict[str, Array] = {}

    def __call__(self, name: str, *shape: int) -> Array:
        """An array of any content, valid until the next one of that name."""
        size = int(np.prod(shape))
        room = self._rooms.get(name)
        if room is None or room.size < size:
            room = self._rooms[name] = np.empty(size, np.float32)
        return room[:size].reshape(shape)


class Dilated(Protocol):
    """A convolution prepared for its weights and dilation."""

    step: int
    """A range of rows that is a multiple of this long is computed without waste."""
    ahead: int
    """Rows of the input that may be read in front of the first row of the result."""
    behind: int
    """Rows of the input that may be read behind the last row of the result."""

    def __call__(self, x: Array, first: int, rows: int, scratch: Scratch) -> Array:
        """Some rows of the result: (rows, N), in scratch.

        Args:
            x: the input (·, C).
            first: where in x the first row of the result has its place.
            rows: how many to compute.
            scratch: its "gates" hold the result, its "tiles" and "products" are overwritten.
        """
        ...


class Direct:
    """Each row of the result as one product with all that it sees.

    Args:
        weight: (taps, N, C), an odd number of taps.
        dilation: the distance between taps.
    """

    step = 1

    def __init__(self, weight: Array, dilation: int) -> None:
        self.taps, n_out, _ = weight.shape
        self.dilation = dilation
        self.ahead = self.behind = self.taps // 2 * dilation
        self.weight = weight.transpose(1, 0, 2).reshape(n_out, -1).T

    def __call__(self, x: Array, first: int, rows: int, scratch: Scratch) -> Array:
        seen = scratch("tiles", rows, len(self.weight))
        starts = [first + (tap - self.taps // 2) * self.dilation for tap in range(self.taps)]
        np.concatenate([x[start : start + rows] for start in starts], axis=1, out=seen)
        return np.matmul(seen, self.weight, out=scratch("gates", rows, self.weight.shape[1]))


class Winograd:
    """Tiles of eight rows through eight smaller products, for kernels of three taps.

    Args:
        weight: (3, N, C).
        dilation: the distance between taps.
    """

    def __init__(self, weight: Array, dilation: int) -> None:
        self.dilation = dilation
        self.step = _STEP * dilation
        self.ahead, self.behind = dilation, self.step + dilation
        # Row by row, (8, C, N): products read that 3 % faster than column by column.
        taps = np.ascontiguousarray(weight.transpose(0, 2, 1))
        self.weight = np.empty((_TILE, *taps.shape[1:]), np.float32)
        _transform(_FROM_TAPS, taps, self.weight)

    def __call__(self, x: Array, first: int, rows: int, scratch: Scratch) -> Array:
        _, n_in, n_out = self.weight.shape
        count = -(-rows // self.step)  # whole tiles, of which the last may stick out
        places = count * self.dilation  # rows of each of the eight products
        tiles = scratch("tiles", _TILE, places, n_in)
        products = scratch("products", _TILE, places, n_out)
        gates = scratch("gates", count * self.step, n_out)
        _transform(_TO_POINTS, self._overlapping(x, first, count), tiles.reshape(_TILE, count, -1))
        np.matmul(tiles, self.weight, out=products)
        _transform(
            _FROM_POINTS,
            products.reshape(_TILE, count, -1),
            gates.reshape(count, _STEP, -1).transpose(1, 0, 2),
        )
        return gates[:rows]

    def _overlapping(self, x: Array, first: int, count: int) -> Array:
        """The rows of x that each tile reads, as a view (8, count, d * C): tiles overlap."""
        assert x.flags.c_contiguous
        assert self.ahead <= first <= len(x) - count * self.step - self.dilation
        row, number = x.strides
        return as_strided(
            x[first - self.dilation :],
            shape=(_TILE, count, self.dilation * x.shape[1]),
            strides=(self.dilation * row, self.step * row, number),
            writeable=False,
        )


def _transform(matrix: Array, x: Array, out: Array) -> None:
    """Multiply what lies along the first axis: x (n, ·, width) to out (m, ·, width)."""
    parts = 1
    while x.shape[2] // parts > _BLOCK and x.shape[2] % (2 * parts) == 0:
        parts *= 2
    x, out = (array.reshape(*array.shape[:2], parts, -1) for array in (x, out))
    np.matmul(matrix, x.transpose(1, 2, 0, 3), out=out.transpose(1, 2, 0, 3))


def _matrices() -> tuple[Array, Array, Array]:
    """What takes rows to points (8, 8), taps to points (8, 3), and points to rows (6, 8)."""
    points = np.array(_POINTS)
    others = [np.delete(points, j) for j in range(len(points))]
    scales = [np.prod(point - other) for point, other in zip(points, others, strict=True)]
    to_points = np.zeros((_TILE, _TILE))
    for j, roots in enumerate([*others, points]):
        to_points[j, : len(roots) + 1] = np.poly(roots)[::-1]
    # At infinity, a polynomial's value is its highest coefficient.
    taps, rows = (np.vander(points, n, increasing=True) for n in (_TAPS, _STEP))
    from_taps = np.vstack([taps / np.array(scales)[:, None], np.eye(_TAPS)[-1]])
    from_points = np.vstack([rows, np.eye(_STEP)[-1]]).T
    return (
        to_points.astype(np.float32),
        from_taps.astype(np.float32),
        from_points.astype(np.float32),
    )


_TO_POINTS, _FROM_TAPS, _FROM_POINTS = _matrices()
