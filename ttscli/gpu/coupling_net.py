"""The network inside a WaveGlow coupling (`core.flow.CouplingNet`) as a GPU computes it: in rows.

Letters: F mel frames, P groups of a frame, R = F * P rows in time, K numbers of the mel that a
frame's conditioning is made of, C hidden channels, L layers. What differs from `core` is exact but
for rounding:

- `start` is folded into the first layer, which reads the input and a column of ones, and `end`
  into the skips: C -> C becomes C -> n_out;
- upsampling, conditioning and the biases of both are one product per flow, straight from the mel:
  half of the multiplications, and all layers at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscli.core.configs import FlowSizes
from ttscli.devices import SlowerWarning

if TYPE_CHECKING:
    from ttscli.gpu.waveglow_kernels import Tiles

Tensors: TypeAlias = Mapping[str, Tensor]
_FEWEST = 16  # channels that a narrow matrix is padded to: the fewest that a matrix unit takes


@dataclass(frozen=True)
class Layer:
    """One layer's weights, prepared."""

    dilation: int
    """Rows between the taps."""
    taps: int
    """How many there are."""
    kernel: Tensor
    """From what a row sees, tap by tap, to the gates: (taps * width, 2C)."""
    bias: Tensor
    """Of the gates (2C,), float32."""
    residual: Tensor | None
    """(C, C), None in the last layer."""
    residual_bias: Tensor
    """(C,), float32."""
    skip: Tensor
    """(C, n_out), padded with columns of zeros."""

    @property
    def reach(self) -> int:
        """Rows that the first tap lies ahead of the row itself, and the last behind it."""
        return self.dilation * (self.taps - 1) // 2


class Products(Protocol):
    """The two ways through a layer: to its acts, and from them on."""

    def acts(self, seen: Tensor, condition: Tensor, layer: Layer) -> Tensor:
        """The gated acts (R, C) of rows `seen` from the first tap's first on, and (R, 2C)."""

    def advance(
        self, acts: Tensor, layer: Layer, mask: Tensor, hidden: Tensor, skips: Tensor
    ) -> None:
        """Add the residual to `hidden` (R, C), 0 where the mask is, the skip to `skips`."""


class Plain:
    """Products and gate as torch has them."""

    def acts(self, seen: Tensor, condition: Tensor, layer: Layer) -> Tensor:
        """See `Products`."""
        rows, step = len(condition), layer.dilation
        taps = [seen[tap * step : tap * step + rows] for tap in range(layer.taps)]
        return self.gate(torch.addmm(condition, torch.cat(taps, 1), layer.kernel), layer.bias)

    def gate(self, gates: Tensor, bias: Tensor) -> Tensor:
        """tanh of the first half of the channels times sigmoid of the second."""
        filtered, gate = (gates + bias).chunk(2, 1)
        return (torch.tanh(filtered) * torch.sigmoid(gate)).to(gates.dtype)

    def advance(
        self, acts: Tensor, layer: Layer, mask: Tensor, hidden: Tensor, skips: Tensor
    ) -> None:
        """See `Products`."""
        skips += acts @ layer.skip
        if layer.residual is not None:
            hidden.addmm_(acts, layer.residual)
            hidden += layer.residual_bias
            hidden.masked_fill_(mask[:, None] == 0, 0)  # not times 0: that keeps what is no number


class FusedGate(Plain):
    """Products as torch has them, the gate in one pass."""

    def gate(self, gates: Tensor, bias: Tensor) -> Tensor:
        """See `Plain`."""
        from ttscli.gpu.waveglow_kernels import gate

        return gate(gates, bias)


class Fused:
    """All that a layer does to a tile of rows in two passes; half precision only."""

    def __init__(self, tiles: Tiles) -> None:
        self.tiles = tiles

    def acts(self, seen: Tensor, condition: Tensor, layer: Layer) -> Tensor:
        """See `Products`."""
        from ttscli.gpu.waveglow_kernels import dilated_gate

        return dilated_gate(
            seen, layer.kernel, condition, layer.bias, layer.dilation, self.tiles.dilated
        )

    def advance(
        self, acts: Tensor, layer: Layer, mask: Tensor, hidden: Tensor, skips: Tensor
    ) -> None:
        """See `Products`."""
        from ttscli.gpu.waveglow_kernels import residual_skip

        residual_skip(
            acts, layer.residual, layer.residual_bias, layer.skip, mask, hidden, skips,
            self.tiles.residual,
        )  # fmt: skip


def choose_products(
    device: torch.device,
    dtype: torch.dtype,
    sizes: FlowSizes,
    trial: Callable[[Products], None],
) -> Products:
    """The quickest that a device has for a type and sizes, and that stand a trial.

    What Triton makes needs a C compiler and enough shared memory.
    """
    for products in _quickest_first(device, dtype, sizes):
        try:
            trial(products)
            if device.type == "cuda":
                torch.cuda.current_stream(device).synchronize()
        except Exception as error:  # whatever it is that they lack, there is another way
            warnings.warn(f"no {type(products).__name__}: {error!r}", SlowerWarning, stacklevel=2)
        else:
            return products
    return Plain()


def _quickest_first(
    device: torch.device, dtype: torch.dtype, sizes: FlowSizes
) -> Iterator[Products]:
    if device.type != "cuda":
        return
    try:
        from ttscli.gpu.waveglow_kernels import tiles
    except ImportError:  # Triton comes with torch's CUDA builds, but not on every system
        return
    # In float32 Triton's products would round to TF32, or take several times as long.
    if dtype != torch.float32 and sizes.n_channels % 64 == 0:
        yield Fused(tiles(device))
    yield FusedGate()


class CouplingNet:
    """The net, prepared once.

    Args:
        tensors: in float32, under the core model's names.
        prefix: of this net's names, with the dot at its end.
        upsampling: from K numbers of the mel to the condition, (K, P, n_cond).
        upsampling_bias: (n_cond,).
        dtype: of products and hidden state.
    """

    def __init__(
        self,
        tensors: Tensors,
        prefix: str,
        upsampling: Tensor,
        upsampling_bias: Tensor,
        dtype: torch.dtype,
    ) -> None:
        names = [name for name in tensors if name.startswith(prefix)]
        net = {name.removeprefix(prefix): tensors[name].squeeze(-1) for name in names}
        self.dtype = dtype
        self.products: Products = Plain()
        """How its layers are computed."""
        end = net["end.weight"]
        self.n_out, self.n_channels = end.shape
        weight = net["conditioning.weight"]
        self.conditioning = (upsampling @ weight.T).flatten(1).to(dtype)
        """(K, P * L * 2C)."""
        # The input's channels, then ones: what pads it in front and behind must pad them too.
        start = torch.cat([net["start.weight"], net["start.bias"][:, None]], 1)
        start = F.pad(start, (0, _padded(start.shape[1]) - start.shape[1]))
        self.start = start.T.to(dtype).contiguous()
        bias = net["conditioning.bias"] + weight @ upsampling_bias
        biases = bias.view(-1, 2 * self.n_channels)
        self.layers = [_layer(net, i, start, biases[i], dtype) for i in range(len(biases))]
        skips = [net[f"res_skip_layers.{i}.bias"][-self.n_channels :] for i in range(len(biases))]
        self.bias = net["end.bias"] + end @ torch.stack(skips).sum(0)
        self.margin = max(layer.reach for layer in self.layers)
        """Rows of zeros around what the layers read."""

    def __call__(self, x: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
        """Shift and log scale, not yet split.

        Args:
            x: (R, n_in), the unchanged half, 0 where the mask is.
            mel: (F, K), what each frame is conditioned on.
            mask: (R,), 1, and 0 in rows of no audio: every convolution sees zeros there.

        Returns:
            (R, n_out), of float32; what it says where the mask is 0 means nothing.
        """
        rows, margin = len(x), self.margin
        condition = (mel @ self.conditioning).view(rows, len(self.layers), 2 * self.n_channels)
        source = x.new_zeros(rows + 2 * margin, len(self.start), dtype=self.dtype)
        source[margin : margin + rows, : x.shape[1]] = x
        source[margin : margin + rows, x.shape[1]] = mask
        surrounded = x.new_empty(rows + 2 * margin, self.n_channels, dtype=self.dtype)
        surrounded[:margin] = 0
        surrounded[margin + rows :] = 0
        hidden = surrounded[margin : margin + rows]
        torch.mm(source[margin : margin + rows], self.start, out=hidden)
        skips = x.new_zeros(rows, _padded(self.n_out))
        for i, layer in enumerate(self.layers):
            read = surrounded if i else source
            acts = self.products.acts(read[margin - layer.reach :], condition[:, i], layer)
            self.products.advance(acts, layer, mask, hidden, skips)
        return skips[:, : self.n_out] + self.bias


def _layer(net: Tensors, i: int, start: Tensor, bias: Tensor, dtype: torch.dtype) -> Layer:
    """Layer i, whose conditioning has this bias."""
    channels, end = len(start), net["end.weight"]
    in_layer = net[f"in_layers.{i}.weight"]
    taps = in_layer.reshape(*in_layer.shape[:2], -1).permute(2, 1, 0)  # (taps, C, 2C)
    kernel = taps if i else start.T @ taps
    weight = net[f"res_skip_layers.{i}.weight"]
    residual, skip = weight[:-channels], weight[-channels:]
    folded = F.pad(end @ skip, (0, 0, 0, _padded(len(end)) - len(end)))
    return Layer(
        dilation=2**i,
        taps=len(taps),
        kernel=kernel.flatten(0, 1).to(dtype).contiguous(),
        bias=bias + net[f"in_layers.{i}.bias"],
        residual=residual.T.to(dtype).contiguous() if len(residual) else None,
        residual_bias=net[f"res_skip_layers.{i}.bias"][:-channels],
        skip=folded.T.to(dtype).contiguous(),
    )


def _padded(channels: int) -> int:
    """The power of two that a narrow matrix's channels are padded to."""
    return max(_FEWEST, 1 << (channels - 1).bit_length())
