"""What surrounds the products of a decoder step: in plain torch, and the choice of fused kernels.

Tensor letters: B batch, T text symbols; E encoder's and P prenet's width, H an LSTM's, D the width
of the attention's comparison, K taps of its location filter.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscli.core.configs import WINDOW
from ttscli.errors import SlowerWarning

_OLDEST = (8, 0)  # compute capability that Triton is made for


@dataclass(frozen=True)
class LSTMWeights:
    """An LSTM's, those of what comes in and of its own output in one."""

    weight: Tensor
    """(4H, n)."""
    bias: Tensor
    """(4H,), float32."""


@dataclass(frozen=True)
class AttentionWeights:
    """What the attention has beside its two projections."""

    location: Tensor
    """Location filter and dense layer in one, channels before taps: (2 * K, D), float32."""
    score: Tensor
    """What makes an energy of a comparison: (D,), float32."""


@dataclass(frozen=True)
class Attended:
    """What the attention of a step reads and changes, a row for each text."""

    memory: Tensor
    """Of the encoder: (B, T, E)."""
    keys: Tensor
    """The memory as it is compared: (B, T, D)."""
    lengths: Tensor
    """Symbols of each text: (B,), int32."""
    constrained: Tensor
    """1 for texts that are read strictly onwards, else 0: (B,), int32."""
    history: Tensor
    """The last weights and the sum of all so far: (B, 2, T), float32."""
    energies: Tensor
    """A place for those of a step: (B, T), float32."""


class Parts(Protocol):
    """The arithmetic of a step, in float32 but for an LSTM's product.

    What is stored in half precision is read as it is, and rounded where it is stored.
    """

    def prenet(self, sums: Tensor, weight: Tensor, masks: Tensor, out: Tensor) -> None:
        """The sums (B, P) of the prenet's first layer to `out` (B, P), through the second (P, P).

        Each layer is times its dropout mask of (B, 2, P).
        """

    def lstm(
        self, x: Tensor, weights: LSTMWeights, sums: Tensor, cell: Tensor, hidden: Tensor
    ) -> None:
        """Step an LSTM: `cell` (B, H) changes, `hidden` (B, H) comes out, which x is no part of.

        `sums` (B, 4H) is a place for its gates.
        """

    def product(self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        """A narrow layer, [x | y] (B, n) to `out` (B, m), float32."""

    def attend(
        self,
        query: Tensor,
        weights: AttentionWeights,
        attended: Attended,
        context: Tensor,
        alignment: Tensor,
    ) -> None:
        """Of a query (B, D) come the weights, in `alignment` (B, T), and the context (B, E)."""


class PlainParts:
    """Without kernels of ours: what they are tested against, and what runs where there are none."""

    def prenet(self, sums: Tensor, weight: Tensor, masks: Tensor, out: Tensor) -> None:
        """See `Parts`."""
        x = F.relu(sums) * masks[:, 0]
        out.copy_(F.relu(x @ weight.float().T) * masks[:, 1])

    def lstm(
        self, x: Tensor, weights: LSTMWeights, sums: Tensor, cell: Tensor, hidden: Tensor
    ) -> None:
        """See `Parts`."""
        torch.mm(x, weights.weight.T, out=sums)
        i, f, g, o = (sums + weights.bias).chunk(4, dim=1)
        cell.mul_(f.sigmoid()).add_(i.sigmoid() * g.tanh())
        hidden.copy_(o.sigmoid() * cell.tanh())

    def product(self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        """See `Parts`."""
        out.copy_(F.linear(torch.cat([x, y], 1).float(), weight.float(), bias))

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
        taps = len(weights.location) // 2
        windows = F.pad(a.history, (taps // 2, taps // 2)).unfold(2, taps, 1)  # (B, 2, T, K)
        location = windows.transpose(1, 2).flatten(2) @ weights.location
        energies = torch.tanh(query[:, None] + location + a.keys.float()) @ weights.score
        places = torch.arange(energies.shape[1], device=energies.device)
        ahead = places - a.history[:, 0].argmax(1, keepdim=True)
        near = (ahead >= 0) & (ahead <= WINDOW)
        heard = (places < a.lengths[:, None]) & (near | (a.constrained[:, None] == 0))
        torch.softmax(energies.masked_fill(~heard, -math.inf), 1, out=alignment)
        a.history[:, 0] = alignment
        a.history[:, 1] += alignment
        context.copy_(torch.bmm(alignment[:, None], a.memory.float())[:, 0])


def choose_parts(device: torch.device, trial: Callable[[Parts], None]) -> Parts:
    """Fused kernels where there is Triton and they stand a trial: they need a C compiler too."""
    plain = PlainParts()
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return plain
    if torch.cuda.get_device_capability(device) < _OLDEST:
        return plain
    try:
        from ttscli.gpu.decoder_kernels import FusedParts

        fused = FusedParts()
        with torch.cuda.device(device):
            trial(fused)
            torch.cuda.current_stream(device).synchronize()
    except Exception as error:  # whatever they lack, there is another way
        warnings.warn(f"no fused kernels: {error!r}", SlowerWarning, stacklevel=2)
        return plain
    return fused
