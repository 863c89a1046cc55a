"""The flow of WaveGlow (arXiv 1811.00002): between data and noise, given a condition."""

# The sections named here are the paper's. Shapes: B batch, G channels of the first flow, L places
# in time, C channels of a coupling net.

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttscli.core.configs import FlowSizes


class WaveGlowOutput(NamedTuple):
    """What the flow makes of audio, with all that its likelihood needs."""

    z: Tensor
    """(B, G, L): early outputs first, standard normal times sigma if the model is good."""
    log_s: tuple[Tensor, ...]
    """The log scales (B, channels / 2, L) of each flow's coupling."""
    log_det_w: tuple[Tensor, ...]
    """log |det W| of each flow's 1x1 convolution, times B * L: the sum over all positions."""


def loss(output: WaveGlowOutput, sigma: float = 1.0) -> Tensor:
    """Negative log-likelihood per sample of audio, without its constant (end of section 2.2)."""
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0 in the loss, not {sigma}")
    prior = output.z.square().sum() / (2 * sigma**2)
    log_det = sum(log_s.sum() for log_s in output.log_s) + sum(output.log_det_w)
    return (prior - log_det) / output.z.numel()


class CouplingNet(nn.Module):
    """The WaveNet-like network that gives an affine coupling its scale and shift (section 2.1).

    Its convolutions look both ways in time: unlike WaveNet's, they need not be causal, because the
    half of the channels they read is known as a whole in both directions of the flow.

    Args:
        n_in: channels of the half that is left unchanged.
        n_out: channels of the result.
        n_cond: channels of the conditioning.
        n_channels: channels C of the hidden state.
        n_layers: dilated convolutions; layer i has dilation 2^i.
        kernel_size: taps of each dilated convolution, odd.
    """

    def __init__(
        self, n_in: int, n_out: int, n_cond: int, n_channels: int, n_layers: int, kernel_size: int
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd to keep the length, not {kernel_size}")
        self.start = nn.Conv1d(n_in, n_channels, 1)
        self.conditioning = nn.Conv1d(n_cond, 2 * n_channels * n_layers, 1)
        self.in_layers = nn.ModuleList()
        self.res_skip_layers = nn.ModuleList()
        for i in range(n_layers):
            padding = 2**i * (kernel_size - 1) // 2
            self.in_layers.append(
                nn.Conv1d(n_channels, 2 * n_channels, kernel_size, dilation=2**i, padding=padding)
            )
            last = i == n_layers - 1
            self.res_skip_layers.append(
                nn.Conv1d(n_channels, n_channels if last else 2 * n_channels, 1)
            )
        self.end = nn.Conv1d(n_channels, n_out, 1)
        # A coupling starts as the identity, which keeps the first steps of training stable.
        for parameter in self.end.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scale and shift, not yet split.

        Args:
            x: (B, n_in, L), the unchanged half.
            condition: (B, n_cond, L).
            mask: (B, 1, L), 1 within each row and 0 after its end. With it, each row is what it
                would be without its padding: every convolution sees zeros after the row's end.

        Returns:
            (B, n_out, L), zero where the mask is.
        """
        hidden = self.start(x)
        skips = torch.zeros_like(hidden)
        # One product per layer, not one for all: L times fewer numbers are alive at once.
        n_layers = len(self.in_layers)
        weights, biases = (p.chunk(n_layers) for p in self.conditioning.parameters())
        layers = zip(self.in_layers, self.res_skip_layers, weights, biases, strict=True)
        for in_layer, res_skip, weight, bias in layers:
            if mask is not None:
                hidden = hidden * mask
            gates = in_layer(hidden) + F.conv1d(condition, weight, bias)
            filtered, gate = gates.chunk(2, dim=1)
            res_skip_out = res_skip(torch.tanh(filtered) * torch.sigmoid(gate))
            *residual, skip = res_skip_out.split(hidden.shape[1], dim=1)
            skips = skips + skip
            if residual:  # the last layer has a skip only
                hidden = hidden + residual[0]
        out: Tensor = self.end(skips)
        return out if mask is None else out * mask


class Invertible1x1(nn.Module):
    """The invertible 1x1 convolution that mixes the channels before each coupling (section 2.2)."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_channels, n_channels))
        nn.init.orthogonal_(self.weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W x for x (B, n, L), and log |det W| summed over its B * L positions."""
        positions = x.shape[0] * x.shape[2]
        log_det = torch.linalg.slogdet(self._precise_weight())[1]
        return self.weight @ x, positions * log_det

    def inverse(self, x: Tensor) -> Tensor:
        """W^-1 x for x (B, n, L).

        W is inverted at each call and not cached: an n x n matrix takes microseconds, and a cache
        would go stale in training.
        """
        inverse: Tensor = torch.linalg.inv(self._precise_weight())
        return inverse.to(x.dtype) @ x

    def _precise_weight(self) -> Tensor:
        """W in float32 at least: inverses and determinants do not exist in half precision."""
        return self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))


class Flow(nn.Module):
    """Invertible 1x1 convolutions and affine couplings in turn, with early outputs (section 2).

    Args:
        sizes: of the flow and its coupling nets.
        n_cond: channels of the condition.
        n_side: channels that every coupling net sees beside the half that is left unchanged.
    """

    def __init__(self, sizes: FlowSizes, n_cond: int, n_side: int = 0) -> None:
        super().__init__()
        self.sizes = sizes
        self.invertible = nn.ModuleList(Invertible1x1(n) for n in sizes.flow_channels)
        self.couplings = nn.ModuleList(
            CouplingNet(
                n_in=n // 2 + n_side,
                n_out=n,
                n_cond=n_cond,
                n_channels=sizes.n_channels,
                n_layers=sizes.n_layers,
                kernel_size=sizes.kernel_size,
            )
            for n in sizes.flow_channels
        )

    def encode(self, x: Tensor, condition: Tensor, side: Tensor | None = None) -> WaveGlowOutput:
        """The noise behind data.

        Args:
            x: (B, G, L).
            condition: (B, n_cond, L).
            side: (B, n_side, L).
        """
        early, log_s, log_det_w = [], [], []
        for k, coupling in enumerate(self.couplings):
            if self.sizes.leaves_early(k):
                size = self.sizes.n_early_size
                early.append(x[:, :size])
                x = x[:, size:]
            x, log_det = self.invertible[k](x)
            unchanged, changed = x.chunk(2, dim=1)
            shift, log_scale = coupling(_beside(unchanged, side), condition).chunk(2, dim=1)
            x = torch.cat([unchanged, log_scale.exp() * changed + shift], dim=1)
            log_s.append(log_scale)
            log_det_w.append(log_det)
        return WaveGlowOutput(torch.cat([*early, x], dim=1), tuple(log_s), tuple(log_det_w))

    def decode(
        self,
        noise: Sequence[Tensor],
        condition: Tensor,
        side: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The data (B, G, L) behind noise: each flow undone, from the last to the first.

        Args:
            noise: scaled, (B, n, L) for each n of `sizes.noise_channels`.
            condition: (B, n_cond, L).
            side: (B, n_side, L).
            mask: (B, 1, L), 1 within each row and 0 after its end; see `CouplingNet`.
        """
        x, *early = noise
        for k in reversed(range(self.sizes.n_flows)):
            unchanged, changed = x.chunk(2, dim=1)
            net_output = self.couplings[k](_beside(unchanged, side), condition, mask)
            shift, log_scale = net_output.chunk(2, dim=1)
            x = torch.cat([unchanged, (changed - shift) * (-log_scale).exp()], dim=1)
            x = cast(Invertible1x1, self.invertible[k]).inverse(x)
            if self.sizes.leaves_early(k):
                x = torch.cat([early.pop(0), x], dim=1)
        return x if mask is None else x * mask


def _beside(unchanged: Tensor, side: Tensor | None) -> Tensor:
    return unchanged if side is None else torch.cat([unchanged, side], 1)
