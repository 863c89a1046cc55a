"""Tacotron 2 (`core.tacotron2`) as inference in NumPy, a text at a time.

Tensor letters: T text symbols, F mel frames, M mel bins; E encoder's, A attention LSTM's, H decoder
LSTM's and P prenet's width; r frames of a decoder step. Hidden states of LSTMs are kept doubled,
see `layers.LSTMCell`: the weights that read them are halved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ttscli.core.configs import Tacotron2Config
from ttscli.cpu.layers import (
    Array,
    Convolution,
    LSTMCell,
    Tensors,
    beside,
    empty_aligned,
    float32,
    stack_gate_biases,
    stack_gates,
)

_ZERO = np.array(0, np.float32)  # a quicker operand than a scalar
_UNHEARD = np.array(2**-33, np.float32)  # attention that no sum of 24 bits can show


@dataclass(frozen=True)
class Output:
    """What the model says to a text."""

    mel: Array
    """Log-mel after the postnet: (M, F)."""
    length: int
    """Frames before those of the step whose gate fired."""
    alignment: Array
    """Attention weights: (F, T)."""
    gate: Array
    """Logits of "this is the end": (F,)."""
    hit_limit: bool
    """Whether it ran into the step limit, its gate silent to the last."""


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
        return math.ceil((120 + 12 * symbols) / self.config.n_frames_per_step)

    def infer(
        self, ids: Sequence[int], masks: Iterator[Array] | None, max_steps: int | None = None
    ) -> Output:
        """Speak a text.

        Args:
            ids: its symbols.
            masks: the prenet's dropout (2, P) of 0 and 2 for each decoder step; None is none.
            max_steps: decoder steps after which it is stopped; `step_limit` if None.
        """
        r, limit = self.config.n_frames_per_step, max_steps or self.step_limit(len(ids))
        if masks is None:
            masks = repeat(np.ones((2, self.config.prenet_dim), np.float32))
        decoding = Decoding(self.decoder, self.encoder(ids), limit)
        threshold = _logit(self.config.gate_threshold)
        frames = np.zeros(r * self.config.n_mel_channels, np.float32)
        steps, fired = 0, False
        while steps < limit and not fired:
            frames = decoding.step(frames, next(masks))
            fired = bool(decoding.gates[steps] > threshold)
            steps += 1
        before = decoding.frames[:steps].reshape(steps * r, -1).T
        return Output(
            mel=before + self.residual(before),
            length=(steps - fired) * r,
            alignment=decoding.alignment[:steps].repeat(r, axis=0),
            gate=decoding.gates[:steps].repeat(r),
            hit_limit=not fired,
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


class Decoder:
    """The weights of a decoder step, in the order in which its state lies in memory.

    The state is one array, [prenet P | attention hidden A | decoder hidden H]: each LSTM reads
    neighbouring parts of it. What reads the context, a weighted mean of the memory, is applied to
    the memory instead, once a text: a step then weighs what comes out at the few symbols that it
    attends to. A step's time goes into reading weights, of which that spares about a quarter.
    """

    def __init__(self, config: Tacotron2Config, tensors: Tensors) -> None:
        def weight(name: str) -> Array:
            return float32(tensors[f"decoder.{name}"])

        def bias(name: str) -> Array:
            return stack_gate_biases(weight(f"{name}.bias_ih"), weight(f"{name}.bias_hh"))

        c = config
        self.widths = c.prenet_dim, c.attention_rnn_dim, c.decoder_rnn_dim
        self.prenet = [beside(weight(f"prenet.layers.{i}.weight")) for i in range(2)]

        prenet, context = np.split(weight("attention_rnn.weight_ih"), [c.prenet_dim], axis=1)
        from_context = [stack_gates((context, 1))]
        hidden = weight("attention_rnn.weight_hh")
        self.attention_rnn = stack_gates((prenet, 1), (hidden, 0.5))
        self.attention_rnn_bias = bias("attention_rnn")

        inputs = weight("decoder_rnn.weight_ih")
        attention, context = np.split(inputs, [c.attention_rnn_dim], axis=1)
        from_context.append(stack_gates((context, 1)))
        hidden = weight("decoder_rnn.weight_hh")
        self.decoder_rnn = stack_gates((attention, 0.5), (hidden, 0.5))
        self.decoder_rnn_bias = bias("decoder_rnn")

        # Convolution and dense layer in one: (2 * kernel_size, width of the comparison).
        kernel = weight("attention.location_conv.weight")
        self.location_kernel_size = kernel.shape[2]
        dense = weight("attention.location_dense.weight")
        self.location = kernel.reshape(len(kernel), -1).T @ dense.T
        self.query = beside(np.float32(0.5) * weight("attention.query.weight"))
        self.keys = weight("attention.memory.weight").T
        self.score = weight("attention.score.weight")[0]

        # Frames and gate in one.
        outputs = np.concatenate([weight("projection.weight"), weight("gate.weight")])
        hidden, context = np.split(outputs, [c.decoder_rnn_dim], axis=1)
        from_context.append(context)
        self.output = beside(np.float32(0.5) * hidden)
        # Of attention LSTM, decoder LSTM and output: (E, their widths together).
        self.context = np.concatenate(from_context).T
        self.output_bias = np.concatenate([weight("projection.bias"), weight("gate.bias")])


class Decoding:
    """A text on its way through the decoder: the state, and all that the steps have made.

    `frames` (limit, r * M), `gates` (limit,) and `alignment` (limit, T) fill up step by step.

    Args:
        decoder: the weights.
        memory: of the text (T, E).
        limit: steps that there is room for.
    """

    def __init__(self, decoder: Decoder, memory: Array, limit: int) -> None:
        self.weights = decoder
        self._steps = 0
        self._outputs = np.empty((limit, len(decoder.output)), np.float32)
        self.frames, self.gates = self._outputs[:, :-1], self._outputs[:, -1]
        self.alignment = np.empty((limit, len(memory)), np.float32)

        prenet, attention, hidden = decoder.widths
        state = empty_aligned(sum(decoder.widths))
        state[:] = 0
        self._prenet, self._attention, self._hidden = np.split(
            state, np.cumsum(decoder.widths)[:-1]
        )
        self._attention_inputs, self._decoder_inputs = state[:-hidden], state[prenet:]
        self._attention_cell, self._decoder_cell = LSTMCell(attention), LSTMCell(hidden)
        self._prenet_inner = np.empty(prenet, np.float32)

        self._from_memory = memory @ decoder.context
        self._from_context = np.zeros(self._from_memory.shape[1], np.float32)
        ends = [4 * attention, 4 * (attention + hidden)]
        self._attention_gates, self._decoder_gates, self._output = np.split(
            self._from_context, ends
        )
        self._prepare_attention(memory)

    def _prepare_attention(self, memory: Array) -> None:
        """Room for what is compared, location and query in one product: the query's input is 1."""
        length, size = len(memory), self.weights.location_kernel_size
        self._keys = memory @ self.weights.keys
        self._energies = np.empty_like(self._keys)
        history = np.zeros((2, length + 2 * (size // 2)), np.float32)
        self._last, self._total = history[:, size // 2 :][:, :length]
        channel, item = history.strides
        self._windows = as_strided(history, (length, 2, size), (item, channel, item))
        self._compared = np.ones((length, 2 * size + 1), np.float32)
        self._compared_windows = self._compared[:, :-1].reshape(length, 2, size)  # still a view
        self._comparison = np.empty((2 * size + 1, self._keys.shape[1]), np.float32)
        self._comparison[:-1] = self.weights.location
        self._query = self._comparison[-1]

    def step(self, frames: Array, masks: Array) -> Array:
        """Make the next r frames of the last ones, (r * M,) each.

        Args:
            frames: the last ones; zeros at first.
            masks: the prenet's dropout (2, P).
        """
        weights = self.weights
        self._read(frames, masks)
        gates = self._attention_cell.gates
        np.dot(weights.attention_rnn, self._attention_inputs, out=gates)
        gates += weights.attention_rnn_bias
        gates += self._attention_gates
        self._attention_cell.step(self._attention)
        self._attend()
        gates = self._decoder_cell.gates
        np.dot(weights.decoder_rnn, self._decoder_inputs, out=gates)
        gates += weights.decoder_rnn_bias
        gates += self._decoder_gates
        self._decoder_cell.step(self._hidden)
        output = self._outputs[self._steps]
        np.dot(weights.output, self._hidden, out=output)
        output += weights.output_bias
        output += self._output
        made: Array = self.frames[self._steps]
        self._steps += 1
        return made

    def _read(self, x: Array, masks: Array) -> None:
        """The last frames through the prenet into the state."""
        results = (self._prenet_inner, self._prenet)
        for weight, mask, result in zip(self.weights.prenet, masks, results, strict=True):
            np.dot(weight, x, out=result)
            np.maximum(result, _ZERO, out=result)
            np.multiply(result, mask, out=result)
            x = result

    def _attend(self) -> None:
        """From the attention LSTM's hidden state to what the context adds, by the alignment."""
        np.dot(self.weights.query, self._attention, out=self._query)
        self._compared_windows[:] = self._windows
        energies = self._energies
        np.dot(self._compared, self._comparison, out=energies)
        energies += self._keys
        np.tanh(energies, out=energies)
        alignment = self.alignment[self._steps]
        np.dot(energies, self.weights.score, out=alignment)
        alignment -= np.maximum.reduce(alignment)
        np.exp(alignment, out=alignment)
        alignment /= np.add.reduce(alignment)
        self._last[:] = alignment
        self._total += alignment
        heard = np.flatnonzero(~(alignment <= _UNHEARD))  # what is no number is heard as well
        part = slice(heard[0], heard[-1] + 1)
        np.dot(alignment[part], self._from_memory[part], out=self._from_context)


def _convolutions(tensors: Tensors, name: str, n_layers: int) -> list[Convolution]:
    return [
        Convolution(tensors, f"{name}.{i}.conv", norm=f"{name}.{i}.norm") for i in range(n_layers)
    ]


def _logit(probability: float) -> float:
    """The value whose sigmoid this is; infinite where there is none."""
    if 0 < probability < 1:
        return math.log(probability / (1 - probability))
    return math.copysign(math.inf, probability - 0.5)
