"""Tacotron 2's decoder (`core.tacotron2_layers`) as inference in NumPy, for one text or many.

Tensor letters: T text symbols, M mel bins; E encoder's, A attention LSTM's, H decoder LSTM's and
P prenet's width; r frames of a decoder step. Hidden states of LSTMs are kept doubled, see
`layers.LSTMCell`: the weights that read them are halved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ttscli.core.configs import TAIL, WINDOW, Tacotron2Config
from ttscli.cpu.layers import (
    Array,
    LSTMCell,
    Tensors,
    beside,
    empty_aligned,
    float32,
    logit,
    stack_gate_biases,
    stack_gates,
)

_ZERO = np.array(0, np.float32)  # a quicker operand than a scalar
_UNHEARD = np.array(2**-33, np.float32)  # attention that no sum of 24 bits can show
_PANEL = 3 << 19  # bytes of a matrix that a core's own cache keeps from one text to the next


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

        def gates_bias(name: str) -> Array:
            return stack_gate_biases(weight(f"{name}.bias_ih"), weight(f"{name}.bias_hh"))

        c = config
        self.widths = c.prenet_dim, c.attention_rnn_dim, c.decoder_rnn_dim
        self.tail = math.ceil(TAIL / c.n_frames_per_step)
        self.gate_threshold = np.array(logit(c.gate_threshold), np.float32)
        self.prenet = [beside(weight(f"prenet.layers.{i}.weight")) for i in range(2)]

        prenet, context = np.split(weight("attention_rnn.weight_ih"), [c.prenet_dim], axis=1)
        from_context = [stack_gates((context, 1))]
        hidden = weight("attention_rnn.weight_hh")
        self.attention_rnn = _panels(stack_gates((prenet, 1), (hidden, 0.5)))

        inputs = weight("decoder_rnn.weight_ih")
        attention, context = np.split(inputs, [c.attention_rnn_dim], axis=1)
        from_context.append(stack_gates((context, 1)))
        hidden = weight("decoder_rnn.weight_hh")
        self.decoder_rnn = _panels(stack_gates((attention, 0.5), (hidden, 0.5)))

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
        # Of attention LSTM, decoder LSTM and output: (E, their widths together), and their biases.
        self.context = np.concatenate(from_context).T
        biases = [gates_bias("attention_rnn"), gates_bias("decoder_rnn")]
        biases += [weight("projection.bias"), weight("gate.bias")]
        self.bias = np.concatenate(biases)


class Decoding:
    """A text on its way through the decoder: the state, and all that the steps have made.

    `frames` (limit, r * M), `gates` (limit,) and `alignment` (limit, T) fill up step by step.

    Args:
        decoder: the weights.
        memory: of the text (T, E).
        masks: the prenet's dropout (2, P) for each step.
        limit: steps that there is room for.
        constrained: whether it reads strictly onwards, see `core.tacotron2.Tacotron2.infer`.
    """

    def __init__(
        self,
        decoder: Decoder,
        memory: Array,
        masks: Iterator[Array],
        limit: int,
        *,
        constrained: bool = False,
    ) -> None:
        self._weights, self._masks, self._limit = decoder, masks, limit
        self._constrained = constrained
        self.steps = 0
        """How many have been made."""
        self.fired = False
        """Whether the text ended with the last of them."""
        self._outputs = np.empty((limit, len(decoder.output)), np.float32)
        self.frames, self.gates = self._outputs[:, :-1], self._outputs[:, -1]
        self.alignment = np.empty((limit, len(memory)), np.float32)
        self.last_frames: Array = np.zeros(self.frames.shape[1], np.float32)
        """What the next step reads (r * M,)."""

        prenet, attention, hidden = decoder.widths
        state = empty_aligned(sum(decoder.widths))
        state[:] = 0
        self._prenet, self._attention, self._hidden = np.split(
            state, np.cumsum(decoder.widths)[:-1]
        )
        self._prenet_inner = np.empty(prenet, np.float32)
        self._attention_cell, self._decoder_cell = LSTMCell(attention), LSTMCell(hidden)
        self.attention_product = _Product(
            decoder.attention_rnn, state[:-hidden], self._attention_cell.gates
        )
        self.decoder_product = _Product(
            decoder.decoder_rnn, state[prenet:], self._decoder_cell.gates
        )

        # Weights of a mean add up to 1: what is added to all symbols is added to their mean.
        self._from_memory = memory @ decoder.context + decoder.bias
        self._from_context = decoder.bias.copy()  # before the first step the context is 0
        ends = [4 * attention, 4 * (attention + hidden)]
        self._attention_context, self._decoder_context, self._output_context = np.split(
            self._from_context, ends
        )
        self._prepare_attention(memory)

    def _prepare_attention(self, memory: Array) -> None:
        """Room for what is compared, location and query in one product: the query's input is 1."""
        length, size = len(memory), self._weights.location_kernel_size
        self._keys = memory @ self._weights.keys
        self._energies = np.empty_like(self._keys)
        history = np.zeros((2, length + 2 * (size // 2)), np.float32)
        self._last, self._total = history[:, size // 2 :][:, :length]
        channel, item = history.strides
        self._windows = as_strided(history, (length, 2, size), (item, channel, item))
        self._compared = np.ones((length, 2 * size + 1), np.float32)
        self._compared_windows = self._compared[:, :-1].reshape(length, 2, size)  # still a view
        self._comparison = np.empty((2 * size + 1, self._keys.shape[1]), np.float32)
        self._comparison[:-1] = self._weights.location
        self._query = self._comparison[-1]

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to be done."""
        return self.fired or self.steps == self._limit

    def read(self) -> None:
        """The last frames through the prenet into the state."""
        x = self.last_frames
        results = (self._prenet_inner, self._prenet)
        for weight, mask, result in zip(
            self._weights.prenet, next(self._masks), results, strict=True
        ):
            np.dot(weight, x, out=result)
            np.maximum(result, _ZERO, out=result)
            np.multiply(result, mask, out=result)
            x = result

    def attend(self) -> None:
        """From the attention LSTM's sums to what the context adds, by way of the alignment."""
        self._attention_cell.gates += self._attention_context
        self._attention_cell.step(self._attention)
        np.dot(self._weights.query, self._attention, out=self._query)
        self._compared_windows[:] = self._windows
        energies = self._energies
        np.dot(self._compared, self._comparison, out=energies)
        energies += self._keys
        np.tanh(energies, out=energies)
        alignment = self.alignment[self.steps]
        np.dot(energies, self._weights.score, out=alignment)
        if self._constrained:
            start = int(self._last.argmax())
            alignment[:start] = alignment[start + WINDOW + 1 :] = -np.inf
        alignment -= np.maximum.reduce(alignment)
        np.exp(alignment, out=alignment)
        alignment /= np.add.reduce(alignment)
        self._last[:] = alignment
        self._total += alignment
        (heard,) = (~(alignment <= _UNHEARD)).nonzero()  # what is no number is heard as well
        part = slice(heard[0], heard[-1] + 1)
        np.dot(alignment[part], self._from_memory[part], out=self._from_context)

    def speak(self) -> None:
        """From the decoder LSTM's sums to the next r frames."""
        self._decoder_cell.gates += self._decoder_context
        self._decoder_cell.step(self._hidden)
        output = self._outputs[self.steps]
        np.dot(self._weights.output, self._hidden, out=output)
        output += self._output_context
        self.last_frames = self.frames[self.steps]
        self.fired = bool(output[-1] > self._weights.gate_threshold)
        if self._constrained:
            self.fired = self._reading_ends()
        self.steps += 1

    def _reading_ends(self) -> bool:
        """See `core.tacotron2_layers.reading_ends`."""
        last, tail = len(self._last) - 1, self._weights.tail
        if self.fired and last - int(self._last.argmax()) <= WINDOW:
            return True
        return self.steps >= tail and int(self.alignment[self.steps - tail].argmax()) == last


def decode(decodings: Sequence[Decoding], check: Callable[[], None] = lambda: None) -> None:
    """Take texts to their ends, all by one decoder.

    They go step by step together, so that a core's own cache gives the weights to all but the
    first, which has to wait for them. Each text is computed by itself, with the same operations as
    if it were alone: its numbers do not depend on the others.

    `check` is called before each step, and may raise to stop the work.
    """
    while active := [decoding for decoding in decodings if not decoding.ended]:
        check()
        advance(active)


def advance(decodings: Sequence[Decoding]) -> None:
    """Take texts a step further."""
    for decoding in decodings:
        decoding.read()
    _multiply([decoding.attention_product for decoding in decodings])
    for decoding in decodings:
        decoding.attend()
    _multiply([decoding.decoder_product for decoding in decodings])
    for decoding in decodings:
        decoding.speak()


class _Product:
    """A product of a matrix, in panels of its columns, with a vector: both stay where they are."""

    def __init__(self, panels: Sequence[Array], vector: Array, result: Array) -> None:
        ends = np.cumsum([panel.shape[1] for panel in panels])[:-1]
        self.panels, self.result = panels, result
        self._parts = np.split(vector, ends)
        self._summand = np.empty_like(result)

    def add(self, i: int) -> None:
        """What panel i adds to the result, which the first one begins."""
        if i == 0:
            np.dot(self.panels[0], self._parts[0], out=self.result)
        else:
            np.dot(self.panels[i], self._parts[i], out=self._summand)
            np.add(self.result, self._summand, out=self.result)


def _multiply(products: Sequence[_Product]) -> None:
    """Compute products with the same matrix, a panel for all of them after the other."""
    for i in range(len(products[0].panels)):
        for product in products:
            product.add(i)


def _panels(matrix: Array) -> list[Array]:
    """A matrix in panels of columns, each of which lies in memory column by column.

    A product that streams long columns reads memory up to 1.5 times faster than one that reads
    short rows, of which a library takes several at once.
    """
    count = -(-matrix.nbytes // _PANEL)
    panels = []
    for columns in np.array_split(matrix.T, count):
        panel = empty_aligned(*columns.shape)
        panel[:] = columns
        panels.append(panel.T)
    return panels
