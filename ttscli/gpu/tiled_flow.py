"""A flow undone in a few kernels for each layer, in half precision.

Letters as in `flows`, and S numbers of what a frame of the first layer reads. All of the group p of
every frame lie together, p after p: the rows of a tile are frames of one p. They read the same
weights of the conditioning, which is so a part of the layer's product: (taps * C + K) -> 2C, of
which nothing is written but the gated acts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscli.gpu.flows import FoldedFlow, Layer, padded
from ttscli.gpu.waveglow_kernels import INNER, Tiles, add_residual, gated, mixed, tiles


class TiledFlow:
    """A flow that a GPU's matrix units undo; C is a multiple of 64.

    Args:
        flow: what it is made of.
        dtype: of products and hidden state.
        cut: how the products are cut; as suits the device if None.
    """

    def __init__(self, flow: FoldedFlow, dtype: torch.dtype, cut: Tiles | None = None) -> None:
        self._dtype, self._tiles = dtype, cut or tiles(flow.bias.device)
        self._groups, self._margin = flow.conditioning.shape[1], flow.margin
        self._read = len(flow.layers[0].kernel), len(flow.start)
        columns = _up(self._read[0] * self._read[1])
        middle = self._read[0] // 2 * self._read[1]
        start = F.pad(flow.start, (0, 0, middle, columns - middle - len(flow.start)))
        self._start = start.to(dtype)
        """From what a row of the first layer reads to the hidden state: (S, C)."""
        n = padded(len(flow.bias))
        self._layers = [
            _Layer(layer, flow.conditioning[:, :, i], columns if i == 0 else None, n, dtype)
            for i, layer in enumerate(flow.layers)
        ]
        self._bias, self._inverse = flow.bias, flow.inverse.contiguous()

    def __call__(self, x: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
        """See `flows.Flow`."""
        frames, groups, channels = len(mel), self._groups, self._start.shape[1]
        before = -(-self._margin // groups)
        spoken = mask[::groups].contiguous()
        first = self._first(x, mel, mask)
        seen = _beside(mel, groups, channels, before, self._dtype)
        acts = seen.new_empty(groups * frames, channels)
        skips = x.new_empty(groups * frames, self._layers[0].skip.shape[1])
        for i, layer in enumerate(self._layers):
            read = (seen, before) if i else (first, 0)
            gated(
                *read, layer.kernel, layer.bias, acts, layer.dilation, layer.taps, groups,
                self._tiles,
            )  # fmt: skip
            beginning = (first, self._start) if i == 0 else None
            add_residual(
                acts, layer.residual, layer.residual_bias, layer.skip, beginning, spoken,
                seen, before, skips, self._tiles,
            )  # fmt: skip
        return mixed(x, skips, self._bias, self._inverse, mask, groups)

    def _first(self, x: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
        """What the first layer reads, (P + K / S, F, S): all taps of a row, then the mel."""
        taps, width = self._read
        n, rows = len(self._bias), len(x)
        unchanged = x[:, x.shape[1] - n : x.shape[1] - n // 2]
        source = F.pad(torch.cat([unchanged, mask[:, None]], 1), (0, 0, taps // 2, taps // 2))
        seen = torch.cat([source[tap : tap + rows] for tap in range(taps)], 1)
        first = _beside(mel, self._groups, len(self._start), 0, self._dtype)
        rows_of_groups = first[: self._groups]
        rows_of_groups[:, :, taps * width :] = 0
        rows_of_groups[:, :, : taps * width] = seen.view(len(mel), self._groups, -1).transpose(0, 1)
        return first


class _Layer:
    """A layer's weights as the kernels read them."""

    def __init__(
        self, layer: Layer, conditioning: Tensor, columns: int | None, n: int, dtype: torch.dtype
    ) -> None:
        kernel = layer.kernel.flatten(0, 1)
        if columns is not None:  # the first layer reads all taps of a row at once
            kernel = F.pad(kernel, (0, 0, 0, columns - len(kernel)))
        conditioning = conditioning.transpose(0, 1)  # (P, K, 2C)
        rows = _up(conditioning.shape[1])
        conditioning = F.pad(conditioning, (0, 0, 0, rows - conditioning.shape[1]))
        self.dilation, self.taps = layer.dilation, len(layer.kernel) if columns is None else 1
        self.kernel = _interleaved(torch.cat([kernel, conditioning.flatten(0, 1)])).to(dtype)
        """(taps * C + P * K, 2C), filter and gate by turns."""
        self.bias = _interleaved(layer.bias)
        """(2C,), filter and gate by turns."""
        self.residual = None if layer.residual is None else layer.residual.to(dtype).contiguous()
        """(C, C), None in the last layer."""
        self.residual_bias = layer.residual_bias
        """(C,)."""
        self.skip = F.pad(layer.skip, (0, n - layer.skip.shape[1])).to(dtype).contiguous()
        """(C, N), padded."""


def _beside(mel: Tensor, groups: int, width: int, before: int, dtype: torch.dtype) -> Tensor:
    """Room for rows of each group, and the mel (F, K) as further groups of this width.

    It is (P + K / width, F', width): before and after the frames lie some of zeros.
    """
    frames = len(mel)
    mel = F.pad(mel, (0, _up(mel.shape[1]) - mel.shape[1]))
    pieces = torch.split(mel, width, 1)
    room = torch.empty(
        groups + len(pieces), frames + 2 * before, width, dtype=dtype, device=mel.device
    )
    room[:, :before] = 0
    room[:, before + frames :] = 0
    for piece, place in zip(pieces, room[groups:], strict=True):
        place[before : before + frames, : piece.shape[1]] = piece
    return room


def _interleaved(gates: Tensor) -> Tensor:
    """(..., 2C) of filters, then gates, with both of each channel beside each other."""
    return gates.view(*gates.shape[:-1], 2, -1).transpose(-1, -2).flatten(-2).contiguous()


def _up(size: int) -> int:
    """To a multiple of what a product reads at once."""
    return -(-size // INNER) * INNER
