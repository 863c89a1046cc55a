"""A flow of WaveGlow (`core.flow`) undone on a GPU: its coupling net, in rows, and the 1x1 inverse.

Letters: F mel frames, P groups of a frame, R = F * P rows in time, G channels of the state, N of
those that the flow changes; K numbers of the mel that a frame's conditioning is made of, C hidden
channels, L layers. What differs from `core` is exact but for rounding:

- `start` is folded into the first layer, which reads the input and a column of ones, and `end`
  into the skips: C -> C becomes C -> N;
- upsampling, conditioning and the biases of both are one map per flow, straight from the mel: half
  of the multiplications, and all layers at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscli.core.configs import FlowSizes, WaveGlowConfig
from ttscli.core.waveglow import WaveGlow as CoreWaveGlow
from ttscli.errors import SlowerWarning
from ttscli.gpu.graphs import Recorder
from ttscli.gpu.trial import Random, compare, distance

Tensors: TypeAlias = Mapping[str, Tensor]
Gate: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""The gated acts (R, C) of gates (R, 2C) and their bias (2C,)."""
_FEWEST = 16  # channels that a narrow matrix is padded to: the fewest that a matrix unit takes


@dataclass(frozen=True)
class Layer:
    """One layer's weights, in float32."""

    dilation: int
    """Rows between the taps."""
    kernel: Tensor
    """From what each tap sees to the gates: (taps, width, 2C)."""
    bias: Tensor
    """Of the gates, with that of the conditioning: (2C,)."""
    residual: Tensor | None
    """(C, C), None in the last layer."""
    residual_bias: Tensor
    """(C,)."""
    skip: Tensor
    """(C, N)."""

    @property
    def reach(self) -> int:
        """Rows that the first tap lies ahead of the row itself, and the last behind it."""
        return self.dilation * (len(self.kernel) - 1) // 2


@dataclass(frozen=True)
class FoldedFlow:
    """What a flow is made of, folded, in float32."""

    start: Tensor
    """From the unchanged half and a one to the hidden state: (N / 2 + 1, C)."""
    layers: Sequence[Layer]
    """The first reads what `start` reads."""
    conditioning: Tensor
    """From the mel to the gates of each group and layer: (K, P, L, 2C)."""
    bias: Tensor
    """Of shift and log scale: (N,)."""
    inverse: Tensor
    """Of the 1x1 convolution, for rows: (N, N)."""

    @property
    def margin(self) -> int:
        """Rows of zeros around what the layers read."""
        return max(layer.reach for layer in self.layers)


class Flow(Protocol):
    """A flow, prepared for a device and a precision."""

    def __call__(self, x: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
        """The state (R, G) with this flow undone: in its last N channels, the others stay.

        Args:
            x: (R, G), float32, 0 where the mask is.
            mel: (F, K), what each frame is conditioned on.
            mask: (R,), 1, and 0 in frames of no audio: every convolution sees zeros there.
        """


MakeFlow: TypeAlias = Callable[[FoldedFlow, torch.dtype], Flow]


def folded_flows(core: CoreWaveGlow) -> Iterator[FoldedFlow]:
    """All flows of a model, one after the other: each takes much memory."""
    c, tensors = core.config, core.state_dict()
    upsampling = upsampling_map(c, tensors["upsample.weight"])
    bias = tensors["upsample.bias"].repeat_interleave(c.n_group)
    for k in range(c.n_flows):
        weight = tensors[f"invertible.{k}.weight"]
        inverse = torch.linalg.inv(weight.cpu().double()).T.to(weight)
        yield _folded(tensors, f"couplings.{k}.", upsampling, bias, inverse)


def upsampling_map(config: WaveGlowConfig, weight: Tensor) -> Tensor:
    """The transposed convolution and the squeeze of its result, as one map.

    From a frame and those before it that reach into it, K = taps * M numbers, to the condition of
    each of the frame's groups: (K, P, M * G).
    """
    n_mels, hop = config.n_mel_channels, config.hop_length
    taps = -(-config.upsample_kernel_size // hop)
    weight = F.pad(weight, (0, taps * hop - weight.shape[2]))
    split = weight.view(n_mels, n_mels, taps, config.groups_per_frame, config.n_group)
    return split.permute(2, 0, 3, 1, 4).reshape(
        taps * n_mels, config.groups_per_frame, n_mels * config.n_group
    )


def _folded(
    tensors: Tensors, prefix: str, upsampling: Tensor, upsampling_bias: Tensor, inverse: Tensor
) -> FoldedFlow:
    names = [name for name in tensors if name.startswith(prefix)]
    net = {name.removeprefix(prefix): tensors[name].squeeze(-1) for name in names}
    end, weight = net["end.weight"], net["conditioning.weight"]
    channels = end.shape[1]
    biases = (net["conditioning.bias"] + weight @ upsampling_bias).view(-1, 2 * channels)
    start = torch.cat([net["start.weight"], net["start.bias"][:, None]], 1).T
    layers = [_layer(net, i, start, bias) for i, bias in enumerate(biases)]
    skips = [net[f"res_skip_layers.{i}.bias"][-channels:] for i in range(len(layers))]
    return FoldedFlow(
        start,
        layers,
        (upsampling @ weight.T).view(*upsampling.shape[:2], len(layers), -1),
        net["end.bias"] + end @ torch.stack(skips).sum(0),
        inverse,
    )


def _layer(net: Tensors, i: int, start: Tensor, bias: Tensor) -> Layer:
    """Layer i, whose conditioning has this bias."""
    in_layer, weight = net[f"in_layers.{i}.weight"], net[f"res_skip_layers.{i}.weight"]
    channels = start.shape[1]
    taps = in_layer.reshape(*in_layer.shape[:2], -1).permute(2, 1, 0)  # (taps, C, 2C)
    residual, skip = weight[:-channels], weight[-channels:]
    return Layer(
        dilation=2**i,
        kernel=taps if i else start @ taps,
        bias=bias + net[f"in_layers.{i}.bias"],
        residual=residual.T if len(residual) else None,
        residual_bias=net[f"res_skip_layers.{i}.bias"][:-channels],
        skip=(net["end.weight"] @ skip).T,
    )


def plain_gate(gates: Tensor, bias: Tensor) -> Tensor:
    """tanh of the first half of the channels times sigmoid of the second."""
    filtered, gate = (gates + bias).chunk(2, 1)
    return (torch.tanh(filtered) * torch.sigmoid(gate)).to(gates.dtype)


class RowFlow:
    """A flow with products as torch has them.

    Args:
        flow: what it is made of.
        dtype: of products and hidden state.
        gate: how the gate is computed.
    """

    def __init__(self, flow: FoldedFlow, dtype: torch.dtype, gate: Gate = plain_gate) -> None:
        self._dtype, self._gate = dtype, gate
        self._conditioning = flow.conditioning.flatten(1).to(dtype)
        # The input's channels, then ones: what pads it in front and behind must pad them too.
        narrow = (0, 0, 0, padded(len(flow.start)) - len(flow.start))
        self._start = F.pad(flow.start, narrow).to(dtype)
        self._layers = [
            replace(
                layer,
                kernel=F.pad(layer.kernel, (0, 0, 0, 0) if i else narrow).to(dtype),
                residual=None if layer.residual is None else layer.residual.to(dtype),
                skip=layer.skip.to(dtype),
            )
            for i, layer in enumerate(flow.layers)
        ]
        self._margin, self._bias, self._inverse = flow.margin, flow.bias, flow.inverse

    def __call__(self, x: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
        """See `Flow`."""
        n = len(self._bias)
        early, unchanged, changed = x.tensor_split((x.shape[1] - n, x.shape[1] - n // 2), 1)
        shift, log_scale = self._coupling(unchanged, mel, mask).chunk(2, 1)
        restored = (changed - shift) * (-log_scale).exp()
        mixed = torch.cat([unchanged, restored], 1) @ self._inverse
        return torch.cat([early, mixed.masked_fill_(mask[:, None] == 0, 0)], 1)

    def _coupling(self, x: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
        """Shift and log scale (R, N), not yet split; where the mask is 0 they mean nothing."""
        rows, margin, channels = len(x), self._margin, self._start.shape[1]
        condition = (mel @ self._conditioning).view(rows, len(self._layers), 2 * channels)
        source = x.new_zeros(rows + 2 * margin, len(self._start), dtype=self._dtype)
        source[margin : margin + rows, : x.shape[1]] = x
        source[margin : margin + rows, x.shape[1]] = mask
        surrounded = x.new_zeros(rows + 2 * margin, channels, dtype=self._dtype)
        hidden = surrounded[margin : margin + rows]
        torch.mm(source[margin : margin + rows], self._start, out=hidden)
        skips = x.new_zeros(rows, len(self._bias))
        outside = mask[:, None] == 0
        for i, layer in enumerate(self._layers):
            first = (surrounded if i else source)[margin - layer.reach :]
            taps = [first[tap * layer.dilation :][:rows] for tap in range(len(layer.kernel))]
            kernel = layer.kernel.flatten(0, 1)
            acts = self._gate(torch.addmm(condition[:, i], torch.cat(taps, 1), kernel), layer.bias)
            skips += acts @ layer.skip
            if layer.residual is not None:
                hidden.addmm_(acts, layer.residual)
                hidden += layer.residual_bias
                hidden.masked_fill_(outside, 0)  # not times 0: that keeps what is no number
        return skips + self._bias


def padded(channels: int) -> int:
    """The power of two that a narrow matrix's channels are padded to."""
    return max(_FEWEST, 1 << (channels - 1).bit_length())


def try_flow(
    flow: FoldedFlow,
    channels: int,
    dtype: torch.dtype,
    make: MakeFlow,
    recorder: Recorder | None = None,
) -> None:
    """Undo a flow of random frames in a way, and in plain torch in single precision.

    Args:
        flow: what it is made of.
        channels: G.
        dtype: of the way's products.
        make: makes the way.
        recorder: makes a graph of it, in which kernels follow each other most closely.

    Raises:
        ArithmeticError: it comes to something else.
    """
    (mels, groups), random = flow.conditioning.shape[:2], Random(flow.bias)
    single, half, way = RowFlow(flow, torch.float32), RowFlow(flow, dtype), make(flow, dtype)
    for frames in (160, 200):  # more than one tile, of either height
        mask = torch.ones(frames, groups, device=flow.bias.device)
        mask[10:13] = 0
        mask = mask.flatten()
        x, mel = random(frames * groups, channels) * mask[:, None], 2 * random(frames, mels) - 5
        given, ours = mel.to(dtype), torch.empty_like(x)
        work = partial(_undo_into, ours, way, x, given, mask)
        (work if recorder is None else recorder.record(work))()
        exact = single(x, mel, mask)
        compare(ours, exact, dtype, distance(half(x, given, mask), exact))


def _undo_into(out: Tensor, flow: Flow, x: Tensor, mel: Tensor, mask: Tensor) -> None:
    out.copy_(flow(x, mel, mask))


def choose_flow(
    device: torch.device,
    dtype: torch.dtype,
    sizes: FlowSizes,
    trial: Callable[[MakeFlow], None],
) -> MakeFlow:
    """The quickest that a device has for a type and sizes, and that stands a trial.

    What Triton makes needs a C compiler and enough shared memory.
    """
    for name, make in _quickest_first(device, dtype, sizes):
        try:
            trial(make)
            if device.type == "cuda":
                torch.cuda.current_stream(device).synchronize()
        except Exception as error:  # whatever it is that they lack, there is another way
            warnings.warn(f"no {name}: {error!r}", SlowerWarning, stacklevel=2)
        else:
            return make
    return RowFlow


def _quickest_first(
    device: torch.device, dtype: torch.dtype, sizes: FlowSizes
) -> Iterator[tuple[str, MakeFlow]]:
    if device.type != "cuda":
        return
    try:
        from ttscli.gpu.tiled_flow import TiledFlow
        from ttscli.gpu.waveglow_kernels import gate
    except ImportError:  # Triton comes with torch's CUDA builds, but not on every system
        return
    # In float32 Triton's products would round to TF32, or take several times as long; for GPUs
    # before Ampere it makes products without their matrix units.
    able = torch.cuda.get_device_capability(device) >= (8, 0)
    if able and dtype != torch.float32 and sizes.n_channels % 64 == 0:
        yield "fused layers", TiledFlow
    yield "fused gate", partial(RowFlow, gate=gate)
