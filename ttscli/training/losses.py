"""What Tacotron 2 is trained for, beside the distance of its mels.

Tensor letters: B batch, T symbols, F mel frames, M mel bins, D decoder steps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscli.core.tacotron2_layers import length_mask

END_STEPS = 2
"""Decoder steps of silence after the end, on which the gate is taught to fire."""


def contrast_loss(mel: Tensor, true: Tensor, spoken: Tensor) -> Tensor:
    """How much more or less log-mels change than the true ones, in time and from bin to bin.

    The difference of the logarithms of the mean squared steps over an utterance, as global variance
    (Toda and Tokuda, 2007) compares the variances.

    Args:
        mel: those that are judged (B, F, M).
        true: those of the recordings (B, F, M).
        spoken: 1 at the frames that count (B, F, 1).
    """
    losses = []
    for axis, counts in ((1, spoken[:, 1:]), (2, spoken)):
        mine, real = (
            ((x.diff(dim=axis).square() * counts).sum(1) / counts.sum(1) + 1e-3).log()
            for x in (mel, true)
        )
        losses.append((mine - real).abs().mean())
    return torch.stack(losses).sum()


def gate_loss(gate: Tensor, steps: Tensor) -> Tensor:
    """Cross entropy of the gate (B, D); the few steps where it fires weigh five times.

    Args:
        gate: logits of the end.
        steps: decoder steps of speech in each row (B,).
    """
    position = torch.arange(gate.shape[1], device=gate.device)
    fired = (position >= steps[:, None] - 1).to(gate)
    weight = (position < steps[:, None] + END_STEPS) * (1 + 4 * fired)
    losses = F.binary_cross_entropy_with_logits(gate, fired, reduction="none")
    return (losses * weight).sum() / (position < steps[:, None] + END_STEPS).sum()


def guide_loss(weights: Tensor, positions: Tensor, steps: Tensor, width: float) -> Tensor:
    """−log of the attention (B, D, T) that lies near the symbol that sounds, over speech.

    Args:
        weights: the attention.
        positions: the symbol that sounds, as a fraction of its row (B, D).
        steps: decoder steps of speech in each row (B,).
        width: standard deviation of what is near, symbols.
    """
    symbol = torch.arange(weights.shape[2], device=weights.device)
    nearness = torch.exp(-((symbol - positions[:, :, None]) ** 2) / (2 * width**2))
    surprise = -torch.log((weights * nearness).sum(2) + 1e-4)
    spoken = length_mask(steps, weights.shape[1])
    return (surprise * spoken).sum() / spoken.sum()
