"""Triton kernels for what surrounds the products of a decoder step, see `parts.Parts`.

Each program computes in float32, whatever it reads; tanh is 2 * sigmoid(2 * x) - 1.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ttscli.core.configs import WINDOW
from ttscli.gpu.parts import Attended, AttentionWeights, LSTMWeights, PrenetWeights

_LEAST = 16  # rows and columns of a product in the tensor cores
FEW, UNITS = 4, 8
"""Rows for which an LSTM is one kernel, and its units of a program: most GPUs run all at once."""
WARPS = 16
"""Of a program that has a row for itself: many loads are under way at once."""
PRENET_BLOCK = 128
"""Inputs or outputs of a layer of the prenet at once."""
BLOCK_HALF, BLOCK_EXACT = 64, 32
"""Symbols that are compared at once: more need more shared memory than small GPUs have."""
READ = 64
"""Symbols whose memory is read at once."""


class FusedParts:
    """One kernel for each part, a program or a few for each row."""

    def prenet(self, frame: Tensor, weights: PrenetWeights, masks: Tensor, out: Tensor) -> None:
        """See `Parts`."""
        n, width = weights.first.shape
        _prenet[(len(frame),)](
            frame, weights.first, weights.second, masks, out,
            n, width, frame.stride(0), masks.stride(0), out.stride(0),
            WIDTH=_power(width), BLOCK=PRENET_BLOCK, num_warps=WARPS,
        )  # fmt: skip

    def lstm(
        self, x: Tensor, weights: LSTMWeights, sums: Tensor, cell: Tensor, hidden: Tensor
    ) -> None:
        """See `Parts`: few rows take no longer than the weights, and then need no `sums`."""
        rows, width = cell.shape
        if rows <= FEW:
            n = x.shape[1]
            _lstm[(triton.cdiv(width, UNITS),)](
                x, weights.weight, weights.bias, cell, hidden,
                rows, n, width, x.stride(0), hidden.stride(0),
                UNITS=UNITS, CHUNK=min(512, _power(n)), num_warps=8,
            )  # fmt: skip
            return
        torch.mm(x, weights.weight.T, out=sums)
        block = min(256, _power(width))
        _cell[(rows, triton.cdiv(width, block))](
            sums, weights.bias, cell, hidden, width, hidden.stride(0), BLOCK=block, num_warps=4
        )

    def product(self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        """See `Parts`."""
        m, n = weight.shape
        block = 4
        _product[(len(x), triton.cdiv(m, block))](
            x, y, weight, bias, out,
            x.shape[1], n, m, x.stride(0), y.stride(0), out.stride(0),
            BLOCK=block, CHUNK=min(2048, _power(n)), num_warps=4,
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
        exact = a.memory.dtype == torch.float32
        _attend[(rows,)](
            query, a.keys, a.memory, a.lengths, a.constrained, a.history,
            weights.location, weights.score, context, alignment,
            T, context.stride(0), TAPS=inputs // 2, D=D, E=E, AHEAD=WINDOW,
            D_BLOCK=max(_LEAST, _power(D)), INPUTS=max(_LEAST, _power(inputs)), E_BLOCK=_power(E),
            BLOCK=min(BLOCK_EXACT if exact else BLOCK_HALF, max(_LEAST, _power(T))),
            READ=READ, ROW=_power(T), num_warps=WARPS,
            # Three products of rounded parts are as good as one in float32, which has no unit.
            PRECISION="tf32x3" if exact else "tf32",
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
def _cell(sums, bias, cell, hidden, width, hidden_stride, BLOCK: tl.constexpr):
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


@triton.jit
def _lstm(
    x, weight, bias, cell, hidden, rows, n, width, x_stride, hidden_stride,
    UNITS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    column = tl.arange(0, CHUNK)
    inside = unit < width
    gate = width * n  # from the weights of a gate to those of the next
    for row in range(rows):  # but for the first they find the weights in their processor's cache
        i = tl.zeros([UNITS, CHUNK], tl.float32)
        f, g, o = i, i, i
        for start in range(0, n, CHUNK):
            place = start + column
            values = tl.load(x + row * x_stride + place, place < n, 0.0).to(tl.float32)[None, :]
            at = weight + unit[:, None] * n + place[None, :]
            there = inside[:, None] & (place < n)[None, :]
            i += tl.load(at, there, 0.0).to(tl.float32) * values
            f += tl.load(at + gate, there, 0.0).to(tl.float32) * values
            g += tl.load(at + 2 * gate, there, 0.0).to(tl.float32) * values
            o += tl.load(at + 3 * gate, there, 0.0).to(tl.float32) * values
        of = bias + unit
        _store_cell(
            tl.sum(i, 1) + tl.load(of, inside),
            tl.sum(f, 1) + tl.load(of + width, inside),
            tl.sum(g, 1) + tl.load(of + 2 * width, inside),
            tl.sum(o, 1) + tl.load(of + 3 * width, inside),
            cell + row * width + unit,
            hidden + row * hidden_stride + unit,
            inside,
        )


@triton.jit
def _product(
    x, y, weight, bias, out, x_width, n, m, x_stride, y_stride, out_stride,
    BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    output = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, CHUNK)
    sums = tl.zeros([BLOCK, CHUNK], tl.float32)
    for start in range(0, n, CHUNK):
        place = start + column
        in_y = (place >= x_width) & (place < n)
        values = tl.load(x + row * x_stride + place, place < x_width, 0.0).to(tl.float32)
        values += tl.load(y + row * y_stride + place - x_width, in_y, 0.0).to(tl.float32)
        inside = (output < m)[:, None] & (place < n)[None, :]
        tile = tl.load(weight + output[:, None] * n + place[None, :], inside, 0.0)
        sums += tile.to(tl.float32) * values[None, :]
    total = tl.sum(sums, 1) + tl.load(bias + output, output < m, 0.0)
    tl.store(out + row * out_stride + output, total, output < m)


@triton.jit
def _prenet(
    frame, first, second, masks, out,
    n, width, frame_stride, masks_stride, out_stride,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    unit = tl.arange(0, WIDTH)
    inside = unit < width
    sums = tl.zeros([BLOCK, WIDTH], tl.float32)
    for start in range(0, n, BLOCK):
        place = start + tl.arange(0, BLOCK)
        values = tl.load(frame + row * frame_stride + place, place < n, 0.0)
        there = (place < n)[:, None] & inside[None, :]
        tile = tl.load(first + place[:, None] * width + unit[None, :], there, 0.0)
        sums += tile.to(tl.float32) * values[:, None]
    mask = masks + row * masks_stride
    x = tl.maximum(tl.sum(sums, 0), 0.0) * tl.load(mask + unit, inside, 0.0).to(tl.float32)
    for start in range(0, width, BLOCK):
        output = start + tl.arange(0, BLOCK)
        there = (output < width)[:, None] & inside[None, :]
        tile = tl.load(second + output[:, None] * width + unit[None, :], there, 0.0)
        y = tl.maximum(tl.sum(tile.to(tl.float32) * x[None, :], 1), 0.0)
        y *= tl.load(mask + width + output, output < width, 0.0).to(tl.float32)
        target = out + row * out_stride + output
        tl.store(target, y.to(out.dtype.element_ty), output < width)


@triton.jit
def _attend(
    query, keys, memory, lengths, constrained, history,
    location, score, context, alignment, T, context_stride,
    TAPS: tl.constexpr, D: tl.constexpr, E: tl.constexpr, AHEAD: tl.constexpr,
    D_BLOCK: tl.constexpr, INPUTS: tl.constexpr, E_BLOCK: tl.constexpr, BLOCK: tl.constexpr,
    READ: tl.constexpr, ROW: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    last = history + row * 2 * T
    weights = alignment + row * T
    whole = tl.arange(0, ROW)
    known = tl.load(last + whole, whole < T, -1.0)

    # Where it may attend.
    held = tl.load(constrained + row) != 0
    place = tl.argmax(known, 0)
    length = tl.load(lengths + row)
    begin = tl.where(held, place, 0)
    end = tl.where(held, tl.minimum(place + AHEAD + 1, length), length)

    # Energies, for the time being where the weights will be.
    d = tl.arange(0, D_BLOCK)
    asked = tl.load(query + row * D + d, d < D, 0.0)
    scores = tl.load(score + d, d < D, 0.0)
    j = tl.arange(0, INPUTS)
    real = (j < 2 * TAPS)[:, None] & (d < D)[None, :]
    filters = tl.load(location + j[:, None] * D + d[None, :], real, 0.0)
    for start in range(begin, end, BLOCK):
        t = start + tl.arange(0, BLOCK)
        seen = t[:, None] + (j % TAPS)[None, :] - TAPS // 2
        there = (seen >= 0) & (seen < T) & (j < 2 * TAPS)[None, :]
        windows = tl.load(last + (j // TAPS)[None, :] * T + seen, there, 0.0)
        compared = tl.dot(windows, filters, input_precision=PRECISION)
        there = (t < end)[:, None] & (d < D)[None, :]
        key = tl.load(keys + (row * T + t)[:, None] * D + d[None, :], there, 0.0)
        compared = _tanh(compared + key.to(tl.float32) + asked[None, :])
        tl.store(weights + t, tl.sum(compared * scores[None, :], 1), t < end)
    tl.debug_barrier()  # what threads wrote is read by others

    heard = (whole >= begin) & (whole < end)
    energies = tl.load(weights + whole, heard, -float("inf"))
    powers = tl.exp(energies - tl.max(energies, 0))
    new = powers / tl.sum(powers, 0)
    total = tl.load(last + T + whole, whole < T, 0.0) + new
    tl.debug_barrier()
    tl.store(weights + whole, new, whole < T)
    tl.store(last + whole, new, whole < T)
    tl.store(last + T + whole, total, whole < T)
    tl.debug_barrier()

    e = tl.arange(0, E_BLOCK)
    sums = tl.zeros([E_BLOCK], tl.float32)
    for start in range(begin, end, READ):
        t = start + tl.arange(0, READ)
        share = tl.load(weights + t, t < end, 0.0)
        there = (t < end)[:, None] & (e < E)[None, :]
        values = tl.load(memory + (row * T + t)[:, None] * E + e[None, :], there, 0.0)
        sums += tl.sum(values.to(tl.float32) * share[:, None], 0)
    tl.store(context + row * context_stride + e, sums.to(context.dtype.element_ty), e < E)
