"""Triton kernels of a flow of WaveGlow: products, gate and sums in one pass.

Letters: F frames, F' with those before and after, P groups of a frame, C hidden channels, W the
width of what a layer reads, K numbers of the mel, N channels of a skip, G of the state. Rows of
(P, F) are those of the first group, then of the next. This module can be imported only where there
is Triton.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from ttscli.gpu.chained_kernels import await_previous, chained

INNER = 64
"""What products read at once of what they sum over."""


@triton.jit
def _gate(filtered, gate):
    """tanh(filtered) * sigmoid(gate); tanh x = 2 sigmoid(2 x) - 1."""
    return (2 / (1 + tl.exp(-2 * filtered)) - 1) / (1 + tl.exp(-gate))


@triton.jit
def _quick_tanh(x):
    """One instruction of NVIDIA's, right to 2**-11: as good as what halves can hold."""
    return tl.inline_asm_elementwise(
        "tanh.approx.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
    )


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


@triton.jit
def _block(
    matrix, row, column, rows,
    WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DESCRIBED: tl.constexpr,
):  # fmt: skip
    """A block of a matrix (rows, WIDTH): of a descriptor, or of where it begins."""
    if DESCRIBED:
        block = matrix.load([row, column])
    else:
        r = row + tl.arange(0, ROWS)
        places = matrix + r[:, None] * WIDTH + (column + tl.arange(0, COLUMNS))[None, :]
        block = tl.load(places, (r < rows)[:, None], 0)
    return block


@triton.jit(do_not_specialize=["frames", "apart", "before", "dilation"])
def _gated(
    source, kernel, bias, acts, frames, apart, before, dilation,
    GROUPS: tl.constexpr, WIDTH: tl.constexpr, TAPS: tl.constexpr, MELS: tl.constexpr,
    CHANNELS: tl.constexpr, BLOCK_F: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    QUICK: tl.constexpr, DESCRIBED: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """A dilated convolution, the conditioning, the bias and the gate of a tile."""
    await_previous(CHAINED)
    column, group = tl.program_id(0) * BLOCK_N, tl.program_id(1)
    frame = tl.program_id(2) * BLOCK_F
    # Where the first tap reads, in rows before which `before` frames lie.
    first = before * GROUPS + group - dilation * (TAPS - 1) // 2
    total = tl.zeros((BLOCK_F, BLOCK_N), tl.float32)
    read = (GROUPS + (MELS + WIDTH - 1) // WIDTH) * apart
    weights: tl.constexpr = TAPS * WIDTH + GROUPS * MELS
    # One loop over taps and mel, which is pipelined as a whole. The compiler must see that a block
    # begins at a multiple of its size, or older GPUs read number by number.
    for step in range((TAPS * WIDTH + MELS) // BLOCK_K):
        tap, inner = step // (WIDTH // BLOCK_K), step % (WIDTH // BLOCK_K) * BLOCK_K
        place = first + tap * dilation
        row = place % GROUPS * apart + place // GROUPS
        # Behind the taps lies the mel, whose weights are each group's own.
        mel = tap >= TAPS
        row = tl.where(mel, (GROUPS + tap - TAPS) * apart + before, row)
        deep = (step + tl.where(mel, group * (MELS // BLOCK_K), 0)) * BLOCK_K
        x = _block(source, row + frame, inner, read, WIDTH, BLOCK_F, BLOCK_K, DESCRIBED)
        w = _block(kernel, deep, column, weights, 2 * CHANNELS, BLOCK_K, BLOCK_N, DESCRIBED)
        total = tl.dot(x, w, total)
    total += tl.load(bias + column + tl.arange(0, BLOCK_N))[None, :]
    filtered, gate = tl.split(total.reshape(BLOCK_F, BLOCK_N // 2, 2))
    if QUICK:
        gated = _quick_tanh(filtered) * (0.5 * _quick_tanh(0.5 * gate) + 0.5)
    else:
        gated = _gate(filtered, gate)
    at = frame + tl.arange(0, BLOCK_F)
    channels = column // 2 + tl.arange(0, BLOCK_N // 2)
    there = acts + (group * frames + at)[:, None] * CHANNELS + channels[None, :]
    tl.store(there, gated.to(acts.dtype.element_ty), (at < frames)[:, None])


@triton.jit(do_not_specialize=["frames", "apart", "before"])
def _add_residual(
    acts, residual, bias, skip, first, start, mask, hidden, skips, frames, apart, before,
    CHANNELS: tl.constexpr, SKIP: tl.constexpr, WIDTH: tl.constexpr, RESIDUAL: tl.constexpr,
    FIRST: tl.constexpr, BLOCK_F: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    DESCRIBED: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """Add a layer's residual to a tile of the hidden state, and its skip to the sum of skips."""
    await_previous(CHAINED)
    column, group = tl.program_id(0) * BLOCK_N, tl.program_id(1)
    frame = tl.program_id(2) * BLOCK_F
    total = tl.zeros((BLOCK_F, BLOCK_N), tl.float32)
    skipped = tl.zeros((BLOCK_F, SKIP), tl.float32)
    row, rows = group * frames + frame, tl.num_programs(1) * frames
    for inner in range(0, CHANNELS, BLOCK_K):
        x = _block(acts, row, inner, rows, CHANNELS, BLOCK_F, BLOCK_K, DESCRIBED)
        w = _block(skip, inner, 0, CHANNELS, SKIP, BLOCK_K, SKIP, DESCRIBED)
        skipped = tl.dot(x, w, skipped)
        if RESIDUAL:
            w = _block(residual, inner, column, CHANNELS, CHANNELS, BLOCK_K, BLOCK_N, DESCRIBED)
            total = tl.dot(x, w, total)
    at = frame + tl.arange(0, BLOCK_F)
    within = at < frames
    inside = within[:, None]
    if RESIDUAL:
        columns = column + tl.arange(0, BLOCK_N)
        there = (group * apart + before + at)[:, None] * CHANNELS + columns[None, :]
        if FIRST:  # there is no hidden state yet
            for inner in range(0, WIDTH, BLOCK_K):
                x = _block(first, row, inner, rows, WIDTH, BLOCK_F, BLOCK_K, DESCRIBED)
                w = _block(start, inner, column, WIDTH, CHANNELS, BLOCK_K, BLOCK_N, DESCRIBED)
                total = tl.dot(x, w, total)
        else:
            total += tl.load(hidden + there, inside, 0).to(tl.float32)
        total += tl.load(bias + columns)[None, :]
        spoken = tl.load(mask + at, within, 0)[:, None]
        total = tl.where(spoken != 0, total, 0)  # not times: what is no number must not spread
        tl.store(hidden + there, total.to(hidden.dtype.element_ty), inside)
    if tl.program_id(0) == 0:
        places = skips + (group * frames + at)[:, None] * SKIP + tl.arange(0, SKIP)[None, :]
        if not FIRST:
            skipped += tl.load(places, inside, 0)
        tl.store(places, skipped, inside)


@triton.jit(do_not_specialize=["frames"])
def _mixed(
    x, skips, bias, inverse, mask, out, frames,
    GROUPS: tl.constexpr, STATE: tl.constexpr, CHANGED: tl.constexpr, SKIP: tl.constexpr,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The affine coupling undone, and the 1x1 convolution."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    within = row < frames * GROUPS
    early: tl.constexpr = STATE - CHANGED
    half: tl.constexpr = CHANGED // 2
    # Of the flow's channels the first half is unchanged; shift and log scale are of the second.
    channel = tl.arange(0, WIDTH)
    own, second = channel < CHANGED, (channel >= half) & (channel < CHANGED)
    net = skips + (row % GROUPS * frames + row // GROUPS)[:, None] * SKIP + channel[None, :]
    there = within[:, None] & second[None, :]
    shift = tl.load(net - half, there, 0) + tl.load(bias + channel - half, second, 0)[None, :]
    scale = tl.load(net, there, 0) + tl.load(bias + channel, second, 0)[None, :]
    place = row[:, None] * STATE + channel[None, :]
    ours = within[:, None] & own[None, :]
    state = tl.load(x + place + early, ours, 0)
    state = tl.where(second[None, :], (state - shift) * tl.exp(-scale), state)
    weights = inverse + channel[:, None] * CHANGED + channel[None, :]
    matrix = tl.load(weights, own[:, None] & own[None, :], 0)
    total = tl.sum(state[:, :, None] * matrix[None, :, :], 1)
    spoken = tl.load(mask + row, within, 0)[:, None]
    tl.store(out + place + early, tl.where(spoken != 0, total, 0), ours)
    left = within[:, None] & (channel < early)[None, :]
    tl.store(out + place, tl.load(x + place, left, 0), left)


@dataclass(frozen=True)
class Blocks:
    """How a product is cut."""

    rows: int
    """Of a tile, or half of them where that leaves less empty."""
    columns: int
    """Of a tile."""
    warps: int
    """That compute a tile."""
    stages: int
    """Of what is loaded ahead."""

    def rows_for(self, frames: int) -> int:
        """Rows of the tiles of so many frames."""
        half = self.rows // 2
        odd = -(-frames // half) % 2 == 1
        return half if odd and frames < 4 * self.rows else self.rows


@dataclass(frozen=True)
class Tiles:
    """How the products of a layer are cut."""

    gated: Blocks
    """From what a row sees to its acts."""
    residual: Blocks
    """From acts to residual and skip."""
    described: bool
    """Whether blocks are read by descriptors, as Hopper's copying engine does it."""


HOPPER = Tiles(Blocks(128, 128, 4, 3), Blocks(128, 128, 4, 3), described=True)
OLDER = Tiles(Blocks(128, 64, 8, 3), Blocks(128, 64, 8, 3), described=False)
INTERPRETED = Tiles(Blocks(32, 32, 4, 1), Blocks(32, 32, 4, 1), described=True)


def tiles(device: torch.device) -> Tiles:
    """What suits a device."""
    if device.type != "cuda":  # Triton's interpreter
        return INTERPRETED
    shared: int = torch.cuda.get_device_properties(device).shared_memory_per_block_optin  # type: ignore[attr-defined]  # torch's own
    able = torch.cuda.get_device_capability(device) >= (9, 0)
    return HOPPER if able and shared >= 200 << 10 else OLDER


def gate(gates: Tensor, bias: Tensor) -> Tensor:
    """The gate (R, C) of (R, 2C) and a bias (2C,) in float32; rows may lie apart."""
    rows, channels = gates.shape[0], gates.shape[1] // 2
    out = gates.new_empty(rows, channels)
    grid = (triton.cdiv(out.numel(), 1024),)
    _gate_rows[grid](gates, bias, out, out.numel(), gates.stride(0), CHANNELS=channels, BLOCK=1024)
    return out


def gated(
    source: Tensor,
    before: int,
    kernel: Tensor,
    bias: Tensor,
    acts: Tensor,
    dilation: int,
    taps: int,
    groups: int,
    cut: Tiles,
) -> None:
    """Write the gated acts of a layer, conditioned on the mel.

    Args:
        source: (P + K / W, F', W), what each row reads, and the mel in pieces.
        before: frames before those that acts are wanted of.
        kernel: (taps * W + P * K, 2C), filter and gate of each channel beside each other.
        bias: (2C,) float32, likewise.
        acts: (P * F, C), written.
        dilation: rows between taps.
        taps: how many.
        groups: P.
        cut: how its products are cut.
    """
    width, channels, frames = source.shape[2], acts.shape[1], len(acts) // groups
    blocks, described = cut.gated, cut.described
    rows, columns = blocks.rows_for(frames), _fitting(2 * channels, blocks.columns)
    _gated[(2 * channels // columns, groups, triton.cdiv(frames, rows))](
        _read(source.flatten(0, 1), rows, INNER, described),
        _read(kernel, INNER, columns, described),
        bias, acts, frames, source.shape[1], before, dilation,
        GROUPS=groups, WIDTH=width, TAPS=taps, MELS=(len(kernel) - taps * width) // groups,
        CHANNELS=channels, BLOCK_F=rows, BLOCK_N=columns, BLOCK_K=INNER,
        QUICK=acts.is_cuda, DESCRIBED=described, num_warps=blocks.warps,
        num_stages=blocks.stages, **chained(acts),
    )  # fmt: skip


def add_residual(
    acts: Tensor,
    residual: Tensor | None,
    bias: Tensor,
    skip: Tensor,
    beginning: tuple[Tensor, Tensor] | None,
    mask: Tensor,
    hidden: Tensor,
    before: int,
    skips: Tensor,
    cut: Tiles,
) -> None:
    """Add acts times `residual` to `hidden`, times `skip` to `skips`.

    Args:
        acts: (P * F, C).
        residual: (C, C), None in the last layer.
        bias: of the residual (C,), float32.
        skip: (C, N).
        beginning: of the first layer: what it read (P + ..., F, W), and what makes the hidden
            state of that (W, C); `hidden` and `skips` are then overwritten.
        mask: (F,), float32, 0 in frames that stay 0.
        hidden: (P + ..., F', C), changed.
        before: frames in it before those that are changed.
        skips: (P * F, N), float32, changed.
        cut: how its products are cut.
    """
    channels, frames = acts.shape[1], len(mask)
    blocks, described = cut.residual, cut.described
    rows, columns = blocks.rows_for(frames), _fitting(channels, blocks.columns)
    groups = len(acts) // frames
    read = _read(acts, rows, INNER, described)
    matrix = read if residual is None else _read(residual, INNER, columns, described)
    first, start, width = read, matrix, INNER
    if beginning is not None:
        source, weights = beginning
        width = source.shape[2]
        first = _read(source.flatten(0, 1), rows, INNER, described)
        start = _read(weights, INNER, columns, described)
    across = 1 if residual is None else channels // columns
    _add_residual[(across, groups, triton.cdiv(frames, rows))](
        read, matrix, bias, _read(skip, INNER, skip.shape[1], described), first, start, mask,
        hidden, skips, frames, hidden.shape[1], before,
        CHANNELS=channels, SKIP=skip.shape[1], WIDTH=width, RESIDUAL=residual is not None,
        FIRST=beginning is not None, BLOCK_F=rows, BLOCK_N=columns, BLOCK_K=INNER,
        DESCRIBED=described, num_warps=blocks.warps, num_stages=blocks.stages, **chained(acts),
    )  # fmt: skip


def mixed(
    x: Tensor, skips: Tensor, bias: Tensor, inverse: Tensor, mask: Tensor, groups: int
) -> Tensor:
    """The state after its last channels' coupling and 1x1 convolution are undone, in float32.

    Args:
        x: (F * P, G).
        skips: shift and log scale of half of the flow's channels, (P * F, N) or wider.
        bias: of those (N,).
        inverse: of the convolution (N, N).
        mask: (F * P,), 0 in rows that stay 0.
        groups: P.
    """
    rows, state = x.shape
    out = torch.empty_like(x)
    block = 64
    _mixed[(triton.cdiv(rows, block),)](
        x, skips, bias, inverse, mask, out, rows // groups,
        GROUPS=groups, STATE=state, CHANGED=len(bias), SKIP=skips.shape[1],
        WIDTH=triton.next_power_of_2(state), BLOCK=block, num_warps=4,
    )  # fmt: skip
    return out


def _read(matrix: Tensor, rows: int, columns: int, described: bool) -> Tensor | TensorDescriptor:
    """A matrix as a kernel takes it that reads it in blocks."""
    return TensorDescriptor.from_tensor(matrix, [rows, columns]) if described else matrix


def _fitting(size: int, most: int) -> int:
    """The largest power of two up to `most` that divides a size."""
    block = most
    while size % block:
        block //= 2
    return block
