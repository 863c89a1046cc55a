"""Triton kernels of WaveGlow's coupling net, rows in time: products, gate and sums in one pass.

Letters: R rows in time, W the width of a source row, C hidden channels, N channels of a skip.
This module can be imported only where there is Triton.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _gate(filtered, gate):
    """tanh(filtered) * sigmoid(gate); tanh x = 2 sigmoid(2 x) - 1."""
    return (2 / (1 + tl.exp(-2 * filtered)) - 1) / (1 + tl.exp(-gate))


@triton.jit
def _gate_rows(
    gates, bias, out, n_numbers, row_stride, CHANNELS: tl.constexpr, BLOCK: tl.constexpr
):
    """The gate of rows of 2C channels."""
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, channel = places // CHANNELS, places % CHANNELS
    inside = places < n_numbers
    here = gates + row.to(tl.int64) * row_stride + channel
    filtered = tl.load(here, inside, 0).to(tl.float32) + tl.load(bias + channel)
    gate = tl.load(here + CHANNELS, inside, 0).to(tl.float32) + tl.load(bias + channel + CHANNELS)
    tl.store(out + places, _gate(filtered, gate).to(out.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["dilation"])
def _dilated_gate(
    source, kernel, condition, bias, out, n_rows, dilation, condition_stride,
    WIDTH: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A dilated convolution, the conditioning, the bias and the gate of a tile."""
    columns = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    rows = tl.program_id(1) * BLOCK_R + tl.arange(0, BLOCK_R)
    inside = (rows < n_rows)[:, None]
    inner = tl.arange(0, BLOCK_K)
    filtered = tl.full((BLOCK_R, BLOCK_N), 0, tl.float32)
    gate = tl.full((BLOCK_R, BLOCK_N), 0, tl.float32)
    # One loop over taps and channels, which is pipelined as a whole. The first tap reads the row
    # itself: `source` points to what the first row of the result sees first. The compiler must see
    # that a block begins at a multiple of its size, or it reads number by number.
    for step in range(TAPS * WIDTH // BLOCK_K):
        seen = rows + step // (WIDTH // BLOCK_K) * dilation
        within = step % (WIDTH // BLOCK_K) * BLOCK_K
        x = tl.load(source + seen[:, None] * WIDTH + (within + inner)[None, :], inside, 0)
        weights = kernel + (step * BLOCK_K + inner)[:, None] * (2 * CHANNELS) + columns[None, :]
        filtered = tl.dot(x, tl.load(weights), filtered)
        gate = tl.dot(x, tl.load(weights + CHANNELS), gate)
    given = condition + rows[:, None].to(tl.int64) * condition_stride + columns[None, :]
    filtered += tl.load(given, inside, 0).to(tl.float32) + tl.load(bias + columns)[None, :]
    gate += tl.load(given + CHANNELS, inside, 0).to(tl.float32)
    gate += tl.load(bias + CHANNELS + columns)[None, :]
    acts = _gate(filtered, gate).to(out.dtype.element_ty)
    tl.store(out + rows[:, None] * CHANNELS + columns[None, :], acts, inside)


@triton.jit
def _residual_skip(
    acts, residual, bias, skip, mask, hidden, skips, n_rows,
    CHANNELS: tl.constexpr, SKIP: tl.constexpr, RESIDUAL: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Add a layer's residual to a tile of the hidden state, and its skip to the sum of skips."""
    columns = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    rows = tl.program_id(1) * BLOCK_R + tl.arange(0, BLOCK_R)
    within = rows < n_rows
    inside = within[:, None]
    inner, few = tl.arange(0, BLOCK_K), tl.arange(0, SKIP)
    total = tl.full((BLOCK_R, BLOCK_N), 0, tl.float32)
    skipped = tl.full((BLOCK_R, SKIP), 0, tl.float32)
    for first in range(0, CHANNELS, BLOCK_K):
        x = tl.load(acts + rows[:, None] * CHANNELS + (first + inner)[None, :], inside, 0)
        skipped = tl.dot(x, tl.load(skip + (first + inner)[:, None] * SKIP + few), skipped)
        if RESIDUAL:
            weights = residual + (first + inner)[:, None] * CHANNELS + columns[None, :]
            total = tl.dot(x, tl.load(weights), total)
    if RESIDUAL:
        here = hidden + rows[:, None] * CHANNELS + columns[None, :]
        total += tl.load(here, inside, 0).to(tl.float32) + tl.load(bias + columns)[None, :]
        spoken = tl.load(mask + rows, within, 0)[:, None]
        total = tl.where(spoken != 0, total, 0)  # not times: what is no number must not spread
        tl.store(here, total.to(hidden.dtype.element_ty), inside)
    if tl.program_id(0) == 0:
        there = skips + rows[:, None] * SKIP + few[None, :]
        tl.store(there, tl.load(there, inside, 0) + skipped, inside)


@dataclass(frozen=True)
class Blocks:
    """How a product is cut."""

    rows: int
    """Of a tile."""
    columns: int
    """Of a tile; where there is a gate, of each of its halves."""
    warps: int
    """That compute a tile."""
    stages: int
    """Of what is loaded ahead."""


@dataclass(frozen=True)
class Tiles:
    """How the products of a layer are cut."""

    dilated: Blocks
    """From what a row sees to its acts."""
    residual: Blocks
    """From acts to residual and skip."""


LARGE = Blocks(128, 128, 8, 3)
SMALL = Blocks(128, 64, 8, 3)
_INTERPRETED = Blocks(32, 32, 4, 1)


def tiles(device: torch.device) -> Tiles:
    """Large tiles where a device's shared memory holds them: they read the weights less often."""
    if device.type != "cuda":  # Triton's interpreter
        return Tiles(_INTERPRETED, _INTERPRETED)
    shared: int = torch.cuda.get_device_properties(device).shared_memory_per_block_optin  # type: ignore[attr-defined]  # torch's own
    return Tiles(LARGE, LARGE) if shared >= 200 << 10 else Tiles(SMALL, SMALL)


def gate(gates: Tensor, bias: Tensor) -> Tensor:
    """The gate (R, C) of (R, 2C) and a bias (2C,) in float32; rows may lie apart."""
    rows, channels = gates.shape[0], gates.shape[1] // 2
    out = gates.new_empty(rows, channels)
    grid = (triton.cdiv(out.numel(), 1024),)
    _gate_rows[grid](gates, bias, out, out.numel(), gates.stride(0), CHANNELS=channels, BLOCK=1024)
    return out


def dilated_gate(
    source: Tensor, kernel: Tensor, condition: Tensor, bias: Tensor, dilation: int, blocks: Blocks
) -> Tensor:
    """The gate (R, C) of a dilated convolution and its conditioning.

    Args:
        source: (rows, W) from what the first tap of the first row sees on.
        kernel: (taps * W, 2C).
        condition: (R, 2C); rows may lie apart.
        bias: (2C,) float32.
        dilation: rows between taps.
        blocks: how it is cut.
    """
    rows, channels = condition.shape[0], condition.shape[1] // 2
    width = source.shape[1]
    columns, inner = _fitting(channels, blocks.columns), _fitting(width, 64)
    out = source.new_empty(rows, channels)
    _dilated_gate[(channels // columns, triton.cdiv(rows, blocks.rows))](
        source, kernel, condition, bias, out, rows, dilation, condition.stride(0),
        WIDTH=width, CHANNELS=channels, TAPS=len(kernel) // width,
        BLOCK_R=blocks.rows, BLOCK_N=columns, BLOCK_K=inner,
        num_warps=blocks.warps, num_stages=blocks.stages,
    )  # fmt: skip
    return out


def residual_skip(
    acts: Tensor,
    residual: Tensor | None,
    bias: Tensor,
    skip: Tensor,
    mask: Tensor,
    hidden: Tensor,
    skips: Tensor,
    blocks: Blocks,
) -> None:
    """Add acts (R, C) times `residual` (C, C) to `hidden` (R, C), times `skip` to `skips`.

    Args:
        acts: (R, C).
        residual: (C, C), None in the last layer.
        bias: of the residual (C,), float32.
        skip: (C, N).
        mask: (R,), float32, 0 in rows that stay 0.
        hidden: (R, C), changed.
        skips: (R, N), float32, changed.
        blocks: how it is cut.
    """
    rows, channels = acts.shape
    columns = _fitting(channels, blocks.columns)
    across = 1 if residual is None else channels // columns
    _residual_skip[(across, triton.cdiv(rows, blocks.rows))](
        acts, skip if residual is None else residual, bias, skip, mask, hidden, skips, rows,
        CHANNELS=channels, SKIP=skip.shape[1], RESIDUAL=residual is not None,
        BLOCK_R=blocks.rows, BLOCK_N=columns, BLOCK_K=_fitting(channels, 64),
        num_warps=blocks.warps, num_stages=blocks.stages,
    )  # fmt: skip


def _fitting(size: int, most: int) -> int:
    """The largest power of two up to `most` that divides a size."""
    block = most
    while size % block:
        block //= 2
    return block
