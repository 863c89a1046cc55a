"""Triton kernels for what surrounds the products of a decoder step, see `parts.Parts`.

Each program computes in float32, whatever it reads; tanh is 2 * sigmoid(2 * x) - 1. What may
be read before the kernel before has ended is read first: see `chained_kernels.await_previous`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ttscli.core.configs import WINDOW
from ttscli.gpu.chained_kernels import await_previous, chained
from ttscli.gpu.parts import Attended, AttentionWeights, LSTMWeights

_LEAST = 16  # rows and columns of a product in the tensor cores
FEW, UNITS = 4, 8
"""Rows for which an LSTM is one kernel, and its units of a program: most GPUs run all at once."""
EARLY = 2048
"""Bytes of each row of its weights that are read before its input is there."""
BLOCK = 16
"""Outputs of the prenet, or symbols that are compared, of a program."""
COLUMNS = 64
"""Numbers of the context of a program, and symbols whose memory it reads at once."""


class FusedParts:
    """A kernel or two for each part, some programs for each row.

    A kernel gets ready while the one before it ends, on GPUs that can: `chained`.
    """

    def prenet(self, sums: Tensor, weight: Tensor, masks: Tensor, out: Tensor) -> None:
        """See `Parts`."""
        rows, width = sums.shape
        _prenet[(rows, triton.cdiv(width, BLOCK))](
            sums, weight, masks, out, width, sums.stride(0), masks.stride(0), out.stride(0),
            WIDTH=_power(width), BLOCK=BLOCK, num_warps=4, **chained(out),
        )  # fmt: skip

    def lstm(
        self, x: Tensor, weights: LSTMWeights, sums: Tensor, cell: Tensor, hidden: Tensor
    ) -> None:
        """See `Parts`: few rows take no longer than the weights, and then need no `sums`."""
        rows, width = cell.shape
        if rows <= FEW:
            n = x.shape[1]
            early = min(EARLY // x.itemsize, _power(n + 1) // 2)
            _lstm[(triton.cdiv(width, UNITS),)](
                x, weights.weight, weights.bias, cell, hidden,
                rows, n, width, x.stride(0), hidden.stride(0),
                UNITS=UNITS, EARLY=early, CHUNK=min(256, _power(n)), num_warps=8, **chained(x),
            )  # fmt: skip
            return
        torch.mm(x, weights.weight.T, out=sums)
        block = min(256, _power(width))
        _cell[(rows, triton.cdiv(width, block))](
            sums, weights.bias, cell, hidden, width, hidden.stride(0),
            BLOCK=block, num_warps=4, **chained(x),
        )  # fmt: skip

    def product(self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        """See `Parts`."""
        m, n = weight.shape
        rows, block, at_once = len(x), 4, 4
        _product[(triton.cdiv(m, block), triton.cdiv(rows, at_once))](
            x, y, weight, bias, out,
            rows, x.shape[1], n, m, x.stride(0), y.stride(0), out.stride(0),
            ROWS=at_once, BLOCK=block, CHUNK=min(2048, _power(n)), num_warps=4, **chained(x),
        )  # fmt: skip

    def attend(
        self,
        query: Tensor,
        weights: AttentionWeights,
        attended: Attended,
        context: Tensor,
        alignment: Tensor,
    ) -> None:
        """See `Parts`."""
        a = attended
        rows, T, E = a.memory.shape
        inputs, D = weights.location.shape
        _energies[(rows, triton.cdiv(T, BLOCK))](
            query, a.keys, a.lengths, a.constrained, a.history,
            weights.location, weights.score, a.energies,
            T, TAPS=inputs // 2, D=D, AHEAD=WINDOW, D_BLOCK=max(_LEAST, _power(D)),
            INPUTS=max(_LEAST, _power(inputs)), BLOCK=BLOCK, ROW=_power(T),
            # Three products of rounded parts are as good as one in float32, which has no unit.
            PRECISION="tf32x3" if a.memory.dtype == torch.float32 else "tf32",
            num_warps=4, **chained(query),
        )  # fmt: skip
        _context[(rows, triton.cdiv(E, COLUMNS))](
            a.energies, a.memory, a.lengths, a.history, context, alignment,
            T, context.stride(0), E=E, BLOCK=COLUMNS, READ=COLUMNS, ROW=_power(T),
            num_warps=4, **chained(query),
        )  # fmt: skip


def _power(n: int) -> int:
    """The power of two that is not less."""
    return int(triton.next_power_of_2(n))


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _store_cell(i, f, g, o, state, hidden, inside):
    new = tl.sigmoid(f) * tl.load(state, inside) + tl.sigmoid(i) * _tanh(g)
    tl.store(state, new, inside)
    output = tl.sigmoid(o) * _tanh(new)
    tl.store(hidden, output.to(hidden.dtype.element_ty), inside)


@triton.jit
def _cell(
    sums, bias, cell, hidden, width, hidden_stride, BLOCK: tl.constexpr, CHAINED: tl.constexpr
):
    await_previous(CHAINED)
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = unit < width
    at = sums + row * 4 * width + unit
    i = tl.load(at, inside).to(tl.float32) + tl.load(bias + unit, inside)
    f = tl.load(at + width, inside).to(tl.float32) + tl.load(bias + width + unit, inside)
    g = tl.load(at + 2 * width, inside).to(tl.float32) + tl.load(bias + 2 * width + unit, inside)
    o = tl.load(at + 3 * width, inside).to(tl.float32) + tl.load(bias + 3 * width + unit, inside)
    target = hidden + row * hidden_stride + unit
    _store_cell(i, f, g, o, cell + row * width + unit, target, inside)


@triton.jit(do_not_specialize=["rows"])
def _lstm(
    x, weight, bias, cell, hidden, rows, n, width, x_stride, hidden_stride,
    UNITS: tl.constexpr, EARLY: tl.constexpr, CHUNK: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    early, column = tl.arange(0, EARLY), tl.arange(0, CHUNK)
    inside = unit < width
    gate = width * n  # from the weights of a gate to those of the next
    at = weight + unit[:, None] * n + early[None, :]
    first_i = tl.load(at, inside[:, None], 0.0)
    first_f = tl.load(at + gate, inside[:, None], 0.0)
    first_g = tl.load(at + 2 * gate, inside[:, None], 0.0)
    first_o = tl.load(at + 3 * gate, inside[:, None], 0.0)
    await_previous(CHAINED)
    for row in range(rows):  # but for the first they find the weights in their processor's cache
        i = tl.zeros([UNITS, CHUNK], tl.float32)
        f, g, o = i, i, i
        for start in range(EARLY, n, CHUNK):
            place = start + column
            values = tl.load(x + row * x_stride + place, place < n, 0.0).to(tl.float32)[None, :]
            beyond = weight + unit[:, None] * n + place[None, :]
            there = inside[:, None] & (place < n)[None, :]
            i += tl.load(beyond, there, 0.0).to(tl.float32) * values
            f += tl.load(beyond + gate, there, 0.0).to(tl.float32) * values
            g += tl.load(beyond + 2 * gate, there, 0.0).to(tl.float32) * values
            o += tl.load(beyond + 3 * gate, there, 0.0).to(tl.float32) * values
        values = tl.load(x + row * x_stride + early).to(tl.float32)[None, :]
        of = bias + unit
        _store_cell(
            tl.sum(first_i * values, 1) + tl.sum(i, 1) + tl.load(of, inside),
            tl.sum(first_f * values, 1) + tl.sum(f, 1) + tl.load(of + width, inside),
            tl.sum(first_g * values, 1) + tl.sum(g, 1) + tl.load(of + 2 * width, inside),
            tl.sum(first_o * values, 1) + tl.sum(o, 1) + tl.load(of + 3 * width, inside),
            cell + row * width + unit,
            hidden + row * hidden_stride + unit,
            inside,
        )


@triton.jit
def _joined(x, y, place, x_width, n):
    """Numbers of [x | y], which has n."""
    values = tl.load(x + place, place < x_width, 0.0).to(tl.float32)
    in_y = (place >= x_width) & (place < n)
    return values + tl.load(y + place - x_width, in_y, 0.0).to(tl.float32)


@triton.jit(do_not_specialize=["rows"])
def _product(
    x, y, weight, bias, out, rows, x_width, n, m, x_stride, y_stride, out_stride,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    output = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, CHUNK)
    inside = output < m
    weights = weight + output[:, None] * n
    there = inside[:, None] & (column < n)[None, :]
    first = tl.load(weights + column[None, :], there, 0.0)
    await_previous(CHAINED)
    begin = tl.program_id(1) * ROWS
    for row in range(begin, tl.minimum(begin + ROWS, rows)):
        of_x, of_y = x + row * x_stride, y + row * y_stride
        sums = first.to(tl.float32) * _joined(of_x, of_y, column, x_width, n)[None, :]
        for start in range(CHUNK, n, CHUNK):
            place = start + column
            tile = tl.load(weights + place[None, :], inside[:, None] & (place < n)[None, :], 0.0)
            sums += tile.to(tl.float32) * _joined(of_x, of_y, place, x_width, n)[None, :]
        total = tl.sum(sums, 1) + tl.load(bias + output, inside, 0.0)
        tl.store(out + row * out_stride + output, total, inside)


@triton.jit
def _prenet(
    sums, weight, masks, out, width, sums_stride, masks_stride, out_stride,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    output = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    unit = tl.arange(0, WIDTH)
    inside, there = unit < width, output < width
    tile = tl.load(
        weight + output[:, None] * width + unit[None, :], there[:, None] & inside[None, :], 0.0
    )
    mask = masks + row * masks_stride
    first = tl.load(mask + unit, inside, 0.0).to(tl.float32)
    second = tl.load(mask + width + output, there, 0.0).to(tl.float32)
    await_previous(CHAINED)
    x = tl.maximum(tl.load(sums + row * sums_stride + unit, inside, 0.0), 0.0) * first
    y = tl.maximum(tl.sum(tile.to(tl.float32) * x[None, :], 1), 0.0) * second
    tl.store(out + row * out_stride + output, y.to(out.dtype.element_ty), there)


@triton.jit
def _energies(
    query, keys, lengths, constrained, history, location, score, energies, T,
    TAPS: tl.constexpr, D: tl.constexpr, AHEAD: tl.constexpr, D_BLOCK: tl.constexpr,
    INPUTS: tl.constexpr, BLOCK: tl.constexpr, ROW: tl.constexpr, PRECISION: tl.constexpr,
    CHAINED: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    t = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    last = history + row * 2 * T
    whole = tl.arange(0, ROW)

    # Where it may attend.
    held = tl.load(constrained + row) != 0
    place = tl.argmax(tl.load(last + whole, whole < T, -1.0), 0)
    length = tl.load(lengths + row)
    begin = tl.where(held, place, 0)
    end = tl.where(held, tl.minimum(place + AHEAD + 1, length), length)

    d, j = tl.arange(0, D_BLOCK), tl.arange(0, INPUTS)
    scores = tl.load(score + d, d < D, 0.0)
    real = (j < 2 * TAPS)[:, None] & (d < D)[None, :]
    filters = tl.load(location + j[:, None] * D + d[None, :], real, 0.0)
    seen = t[:, None] + (j % TAPS)[None, :] - TAPS // 2
    there = (seen >= 0) & (seen < T) & (j < 2 * TAPS)[None, :]
    windows = tl.load(last + (j // TAPS)[None, :] * T + seen, there, 0.0)
    there = (t < end)[:, None] & (d < D)[None, :]
    key = tl.load(keys + (row * T + t)[:, None] * D + d[None, :], there, 0.0)
    known = tl.dot(windows, filters, input_precision=PRECISION) + key.to(tl.float32)
    await_previous(CHAINED)
    asked = tl.load(query + row * D + d, d < D, 0.0)
    energy = tl.sum(_tanh(known + asked[None, :]) * scores[None, :], 1)
    energy = tl.where((t >= begin) & (t < end), energy, -float("inf"))
    tl.store(energies + row * T + t, energy, t < T)


@triton.jit
def _context(
    energies, memory, lengths, history, context, alignment, T, context_stride,
    E: tl.constexpr, BLOCK: tl.constexpr, READ: tl.constexpr, ROW: tl.constexpr,
    CHAINED: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    whole = tl.arange(0, ROW)
    length = tl.load(lengths + row)
    await_previous(CHAINED)
    energy = tl.load(energies + row * T + whole, whole < T, -float("inf"))
    most = tl.max(energy, 0)
    powers = tl.exp(energy - most)
    total = tl.sum(powers, 0)
    if tl.program_id(1) == 0:
        weights = powers / total
        last = history + row * 2 * T + whole
        tl.store(alignment + row * T + whole, weights, whole < T)
        tl.store(last + T, tl.load(last + T, whole < T, 0.0) + weights, whole < T)
        tl.store(last, weights, whole < T)

    e = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    sums = tl.zeros([BLOCK], tl.float32)
    for start in range(0, length, READ):
        t = start + tl.arange(0, READ)
        share = tl.exp(tl.load(energies + row * T + t, t < length, -float("inf")) - most) / total
        there = (t < length)[:, None] & (e < E)[None, :]
        values = tl.load(memory + (row * T + t)[:, None] * E + e[None, :], there, 0.0)
        sums += tl.sum(values.to(tl.float32) * share[:, None], 0)
    tl.store(context + row * context_stride + e, sums.to(context.dtype.element_ty), e < E)
