"""Tacotron 2 (`core.tacotron2`) as inference in NumPy, each text by itself.

Tensor letters: T text symbols, F mel frames, M mel bins; E encoder's and P prenet's width; r frames
of a decoder step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from ttscli.core.configs import Tacotron2Config
from ttscli.cpu.decoder import Decoder, Decoding, decode
from ttscli.cpu.layers import (
    Array,
    Convolution,
    LSTMCell,
    Tensors,
    float32,
    stack_gate_biases,
    stack_gates,
)

_ZERO = np.array(0, np.float32)  # a quicker operand than a scalar


@dataclass(frozen=True)
class Output:
    """What the model says to a text."""

    mel: Array
    """Log-mel after the postnet: (M, F)."""
    length: int
    """Frames before those of the step with which it ended."""
    alignment: Array
    """Attention weights: (F, T)."""
    gate: Array
    """Logits of "this is the end": (F,)."""
    hit_limit: bool
    """Whether it ran into the step limit before it came to an end."""


class Tacotron2:
    """The whole model, prepared once from its tensors; threads may share it.

    Args:
        config: its sizes.
        tensors: under the core model's names.
    """

    def __init__(self, config: Tacotron2Config, tensors: Tensors) -> None:
        self.config = config
        self.encoder = Encoder(config, tensors)
        self.decoder = Decoder(config, tensors)
        n_layers = config.postnet_n_convolutions
        self.postnet = _convolutions(tensors, "postnet.convolutions", n_layers)

    def step_limit(self, symbols: int) -> int:
        """Decoder steps that a text of so many symbols may take: far more than speech needs."""
        return self.config.step_limit(symbols)

    def infer(
        self,
        ids: Sequence[int],
        masks: Iterator[Array] | None,
        max_steps: int | None = None,
        *,
        constrained: bool = False,
    ) -> Output:
        """Speak a text.

        Args:
            ids: its symbols.
            masks: the prenet's dropout (2, P) of 0 and 2 for each decoder step; None is none.
            max_steps: decoder steps after which it is stopped; `step_limit` if None.
            constrained: whether it reads strictly onwards, see `core.tacotron2.Tacotron2.infer`.
        """
        decoding = self._begin(ids, masks, max_steps, constrained)
        decode([decoding])
        return self._finish(decoding)

    def infer_together(
        self,
        texts: Sequence[tuple[Sequence[int], Iterator[Array], bool]],
        check: Callable[[], None] = lambda: None,
    ) -> list[Output]:
        """Speak texts, as `infer` would, but sooner: each its ids, masks, and if it is constrained.

        `check` is called now and then, and may raise to stop the work.
        """
        decodings = [
            self._begin(ids, masks, None, constrained) for ids, masks, constrained in texts
        ]
        decode(decodings, check)
        return [self._finish(decoding) for decoding in decodings]

    def _begin(
        self,
        ids: Sequence[int],
        masks: Iterator[Array] | None,
        max_steps: int | None,
        constrained: bool,
    ) -> Decoding:
        if masks is None:
            masks = repeat(np.ones((2, self.config.prenet_dim), np.float32))
        limit = max_steps or self.step_limit(len(ids))
        return Decoding(self.decoder, self.encoder(ids), masks, limit, constrained=constrained)

    def _finish(self, decoding: Decoding) -> Output:
        r, steps = self.config.n_frames_per_step, decoding.steps
        before = decoding.frames[:steps].reshape(steps * r, -1).T
        return Output(
            mel=before + self.residual(before),
            length=(steps - decoding.fired) * r,
            alignment=decoding.alignment[:steps].repeat(r, axis=0),
            gate=decoding.gates[:steps].repeat(r),
            hit_limit=not decoding.fired,
        )

    def residual(self, mel: Array) -> Array:
        """What the postnet adds to a mel (M, F)."""
        for convolution in self.postnet[:-1]:
            mel = convolution(mel)
            np.tanh(mel, out=mel)
        return self.postnet[-1](mel)


class Encoder:
    """Symbols to the memory that the decoder attends to."""

    def __init__(self, config: Tacotron2Config, tensors: Tensors) -> None:
        self.embedding = tensors["embedding.weight"]
        n_layers = config.encoder_n_convolutions
        self.convolutions = _convolutions(tensors, "encoder.convolutions", n_layers)
        self.forward, self.backward = (LSTM(tensors, end) for end in ("l0", "l0_reverse"))
        self.width = config.encoder_embedding_dim // 2

    def __call__(self, ids: Sequence[int]) -> Array:
        """Symbol ids to memory (T, E)."""
        x = float32(self.embedding[list(ids)]).T
        for convolution in self.convolutions:
            x = convolution(x)
            np.maximum(x, _ZERO, out=x)
        memory = np.empty((len(ids), 2 * self.width), np.float32)
        self.forward(x.T, memory[:, : self.width])
        self.backward(x.T[::-1], memory[::-1, self.width :])
        memory *= np.float32(0.5)
        return memory


class LSTM:
    """One direction of the encoder's LSTM.

    Args:
        tensors: under the core model's names.
        end: of the names of this direction's.
    """

    def __init__(self, tensors: Tensors, end: str) -> None:
        def tensor(part: str) -> Array:
            return float32(tensors[f"encoder.lstm.{part}_{end}"])

        self.input = stack_gates((tensor("weight_ih"), 1)).T
        self.hidden = stack_gates((tensor("weight_hh"), 0.5))
        self.bias = stack_gate_biases(tensor("bias_ih"), tensor("bias_hh"))

    def __call__(self, x: Array, states: Array) -> None:
        """Write the hidden states that inputs (T, n) lead to, doubled, into (T, width)."""
        sums = x @ self.input
        sums += self.bias
        cell, hidden = LSTMCell(states.shape[1]), np.zeros(states.shape[1], np.float32)
        for own, state in zip(sums, states, strict=True):
            np.dot(self.hidden, hidden, out=cell.gates)
            cell.gates += own
            cell.step(state)
            hidden = state


def _convolutions(tensors: Tensors, name: str, n_layers: int) -> list[Convolution]:
    return [
        Convolution(tensors, f"{name}.{i}.conv", norm=f"{name}.{i}.norm") for i in range(n_layers)
    ]
