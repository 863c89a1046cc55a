"""Where texts are decoded: buffers that never move, and the steps over them as one CUDA graph.

Tensor letters: B rows, T text symbols; E encoder's, A attention LSTM's, H decoder LSTM's and P
prenet's width, D the width of the attention's comparison; n numbers that come out of a step; k
steps of a run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ttscli.core.configs import WINDOW
from ttscli.gpu.graphs import Recorder
from ttscli.gpu.parts import Attended, AttentionWeights, LSTMWeights, Parts

_SYMBOLS = 32  # texts are filled up to multiples of
_MOST_BYTES = 1 << 30  # that rooms which wait for the next batch take
_MOST_ROOMS = 64


@dataclass(frozen=True)
class StepWeights:
    """The weights of a decoder step, in the order in which its state lies in memory.

    The state is [prenet P | attention hidden A | context E | decoder hidden H]: each LSTM reads
    neighbouring parts of it.
    """

    prenet: Tensor
    """Of its second layer: (P, P)."""
    attention_rnn: LSTMWeights
    """Reads [prenet | attention hidden | context]."""
    query: Tensor
    """Of the attention hidden: (D, A)."""
    query_bias: Tensor
    """Zeros (D,), float32."""
    attention: AttentionWeights
    """The rest of the attention."""
    decoder_rnn: LSTMWeights
    """Reads [attention hidden | context | decoder hidden]."""
    output: Tensor
    """Of [context | decoder hidden]: (n + P, E + H).

    Frames and gate, then the sums of the prenet's first layer, which are linear in the frames.
    """
    output_bias: Tensor
    """(n + P,), float32."""
    gate_threshold: float
    """Speech ends where the gate's probability rises above this."""
    tail: int
    """Steps at the last symbol after which a text that is held to its order ends without it."""

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """P, A, E and H."""
        P, H = len(self.prenet), len(self.decoder_rnn.weight) // 4
        A = len(self.attention_rnn.weight) // 4
        return P, A, self.output.shape[1] - H, H


class Room:
    """The state of up to B texts of up to T symbols, and k steps further at a time.

    Rows do not see each other, so that it does no harm what is in those that stand empty. There are
    two states, which take turns: what a kernel writes none of its programs may still have to read.

    Args:
        weights: of a step.
        parts: the arithmetic of a step.
        rows: B.
        symbols: T.
        steps: k, even.
        recorder: makes a graph of the steps; None is to run them one by one.
    """

    def __init__(
        self,
        weights: StepWeights,
        parts: Parts,
        rows: int,
        symbols: int,
        steps: int,
        recorder: Recorder | None,
    ) -> None:
        self._weights, self._parts, self.rows, self.symbols, self.steps = (
            weights, parts, rows, symbols, steps,
        )  # fmt: skip
        like, device = weights.output, weights.output.device
        P, A, E, H = weights.widths
        self.states = [like.new_zeros(rows, P + A + E + H) for _ in range(2)]
        self.attention_cell = torch.zeros(rows, A, device=device)
        self.decoder_cell = torch.zeros(rows, H, device=device)
        self.attended = Attended(
            memory=like.new_zeros(rows, symbols, E),
            keys=like.new_zeros(rows, symbols, len(weights.query)),
            lengths=torch.ones(rows, dtype=torch.int32, device=device),
            constrained=torch.zeros(rows, dtype=torch.int32, device=device),
            history=torch.zeros(rows, 2, symbols, device=device),
            energies=torch.zeros(rows, symbols, device=device),
        )
        self.masks = like.new_zeros(steps, rows, 2, P)
        """The prenet's dropout in the steps of a run, 0 or 2."""
        n = len(weights.output)
        made = torch.zeros(steps + 1, rows, -(-n // 4) * 4, device=device)
        self._made = made[:, :, :n]  # each step begins where kernels like it
        """All outputs: of the step before a run, then of its own."""
        self.outputs = self._made[1:, :, :-P]
        """Frames and gate in the steps of a run: (k, B, n)."""
        self.alignments = torch.zeros(steps, rows, symbols, device=device)
        """Attention weights in the steps of a run."""
        self.ends = torch.zeros(2, rows, dtype=torch.int64, device=device)
        """Of a run the step at which each text ended, and at which its numbers were none any more.

        Where that has not happened it is k.
        """
        self._at_the_end = torch.zeros(rows, dtype=torch.int64, device=device)
        """Steps of each text so far whose attention was at its last symbol."""
        self._sums = like.new_zeros(rows, 4 * A), like.new_zeros(rows, 4 * H)
        self._query = torch.zeros(rows, len(weights.query), device=device)
        self._run = self._steps if recorder is None else recorder.record(self._steps)

    @property
    def nbytes(self) -> int:
        """How much it takes, without what a graph needs to describe itself."""
        return sum(buffer.nbytes for buffer in self._buffers()) + self.masks.nbytes

    def _moving(self) -> list[Tensor]:
        """All that goes with a text from step to step, by rows."""
        a = self.attended
        return [
            *self.states, self.attention_cell, self.decoder_cell, self._made[-1],
            self._at_the_end, a.memory, a.keys, a.lengths, a.constrained, a.history,
        ]  # fmt: skip

    def _buffers(self) -> list[Tensor]:
        return [*self._moving(), self._made, self.alignments, *self._sums, self._query]

    def enter(self, memory: Tensor, keys: Tensor, lengths: Tensor, constrained: Tensor) -> None:
        """Begin with texts: memory (n, T, E), keys (n, T, D), lengths (n,), constrained (n,)."""
        count, symbols = memory.shape[:2]
        for buffer in self._moving():
            buffer.zero_()
        a = self.attended
        a.memory[:count, :symbols] = memory
        a.keys[:count, :symbols] = keys
        a.lengths.fill_(1)
        a.lengths[:count] = lengths
        a.constrained[:count] = constrained

    def take_over(self, other: Room, rows: Tensor) -> None:
        """Go on with some rows of another room whose texts may be as long."""
        for ours, theirs in zip(self._moving(), other._moving(), strict=True):
            ours[: len(rows)] = theirs[rows]

    def run(self) -> None:
        """Take all texts k steps further."""
        self._run()

    def _steps(self) -> None:
        self._made[0] = self._made[-1]
        for i in range(self.steps):
            self._step(i)
        self._look()

    def _step(self, i: int) -> None:
        """From the state of the step before, and the older decoder hidden beside the newer rest."""
        w, parts = self._weights, self._parts
        P, A, E, _ = w.widths
        old, new = self.states[i % 2], self.states[1 - i % 2]
        attention, context, hidden = (
            new[:, P : P + A],
            new[:, P + A : P + A + E],
            old[:, P + A + E :],
        )
        nothing = attention[:, :0]
        parts.prenet(self._made[i][:, -P:], w.prenet, self.masks[i], old[:, :P])
        sums, decoder_sums = self._sums
        parts.lstm(old[:, : P + A + E], w.attention_rnn, sums, self.attention_cell, attention)
        parts.product(attention, nothing, w.query, w.query_bias, self._query)
        parts.attend(self._query, w.attention, self.attended, context, self.alignments[i])
        parts.lstm(new[:, P:], w.decoder_rnn, decoder_sums, self.decoder_cell, hidden)
        parts.product(context, hidden, w.output, w.output_bias, self._made[i + 1])

    def _look(self) -> None:
        """Find out who has ended, as `core.tacotron2_layers.reading_ends` does.

        A text that is held to its order does not leave the last symbol: to count is enough.
        """
        a, outputs = self.attended, self.outputs
        fired = torch.sigmoid(outputs[..., -1]) > self._weights.gate_threshold
        left = a.lengths - 1 - self.alignments.argmax(2)
        waited = self._at_the_end + (left == 0).cumsum(0)
        self._at_the_end.copy_(waited[-1])
        held = a.constrained != 0
        fired = (fired & (~held | (left <= WINDOW))) | (held & (waited > self._weights.tail))
        broken = ~outputs.isfinite().all(2)
        order = torch.arange(self.steps, device=outputs.device)[:, None]
        either = torch.stack([fired | broken, broken])
        torch.amin(order.masked_fill(~either, self.steps), 1, out=self.ends)


class Rooms:
    """Rooms by their size, the longest unused of which are given up for others.

    Args:
        weights: of a step.
        parts: the arithmetic of a step.
        steps: of a run of theirs.
        recorder: makes graphs of their steps; None is to run them one by one.
        most_bytes: that they may take; one is there in any case.
    """

    def __init__(
        self,
        weights: StepWeights,
        parts: Parts,
        steps: int,
        recorder: Recorder | None,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self._make = weights, parts, steps, recorder
        self._most_bytes = most_bytes
        self.kept: OrderedDict[tuple[int, int], Room] = OrderedDict()
        """By rows and symbols, the one used last at the end."""

    def room(self, rows: int, symbols: int) -> Room:
        """The smallest that has room for so many texts of so many symbols."""
        size = room_size(rows), -(-symbols // _SYMBOLS) * _SYMBOLS
        if size not in self.kept:
            weights, parts, steps, recorder = self._make
            self.kept[size] = Room(weights, parts, *size, steps, recorder)
        self.kept.move_to_end(size)
        while len(self.kept) > 1 and self._too_much(list(self.kept.values())):
            self.kept.popitem(last=False)
        return self.kept[size]

    def _too_much(self, rooms: Sequence[Room]) -> bool:
        return len(rooms) > _MOST_ROOMS or sum(r.nbytes for r in rooms) > self._most_bytes


def room_size(rows: int) -> int:
    """Rows of the room for so many texts: a power of two."""
    return 1 << (rows - 1).bit_length()
