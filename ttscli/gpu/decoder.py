"""Tacotron 2's decoder (`core.tacotron2_layers`) as inference on a GPU, some steps at a time.

Tensor letters: B batch, T text symbols, M mel bins; E encoder's and P prenet's width, D the width
of the attention's comparison; r frames of a decoder step, L steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ttscli.core import tacotron2_layers as core
from ttscli.core.configs import TAIL, Tacotron2Config
from ttscli.core.tacotron2 import MASK_CHUNK
from ttscli.gpu.graphs import Recorder
from ttscli.gpu.parts import AttentionWeights, LSTMWeights, Parts, PlainParts, choose_parts
from ttscli.gpu.rooms import Room, Rooms, StepWeights, room_size
from ttscli.gpu.transfer import Sent
from ttscli.gpu.trial import Random, compare

_TRIED = (1, 2, 8)  # rows, for which there may be different kernels
_TRIAL_STEPS = 4
STEPS = 32
"""Decoder steps of a run, after which it is looked who has ended."""


@dataclass(frozen=True)
class Texts:
    """What is to be decoded."""

    memory: Tensor
    """The encoder's output (B, T, E)."""
    lengths: Sequence[int]
    """Symbols of each text."""
    limits: Sequence[int]
    """Steps after which each is stopped."""
    constrained: Sequence[bool]
    """Whether each is read strictly onwards, see `core.tacotron2.Tacotron2.infer`."""
    generators: Sequence[Generator] | None
    """Draw each text's dropout, where they live; None is no dropout."""


@dataclass(frozen=True)
class Decoded:
    """What the steps made, of each text as many as it took; nothing is said of what lies behind."""

    frames: Tensor
    """Before the postnet: (B, L, r * M), float32."""
    gates: Tensor
    """Logits of "this is the end": (B, L), float32."""
    alignments: Tensor
    """Attention weights: (B, L, T), float32."""
    steps: list[int]
    """How many each text took."""
    fired: list[bool]
    """Whether it came to its end, by the gate or as `core.tacotron2_layers.reading_ends` says."""
    broken: list[bool]
    """Whether it ended because its numbers were none any more."""


class Decoder:
    """The weights of a decoder step, and the rooms in which steps are made.

    Args:
        decoder: the readable one, in float32.
        device: where it runs.
        dtype: of the large weights and of the state that they read.
        steps: of a run: no result depends on it.
        parts: the arithmetic of a step; None is what is fastest on the device.
        graphs: whether a CUDA device runs them as graphs, which changes nothing but the speed.
    """

    def __init__(
        self,
        decoder: core.Decoder,
        device: torch.device,
        dtype: torch.dtype,
        steps: int = STEPS,
        parts: Parts | None = None,
        graphs: bool = True,
    ) -> None:
        if steps % 2 or MASK_CHUNK % steps:
            raise ValueError(f"steps must be even and divide {MASK_CHUNK}, not be {steps}")
        self.config = decoder.config
        weights = _stacked(decoder, device, dtype)
        self._keys = decoder.attention.memory.weight.detach().to(device, dtype, copy=True)
        self._device = device

        recorder = Recorder(device) if graphs and device.type == "cuda" else None
        self.parts = parts or choose_parts(device, partial(try_parts, weights, recorder=recorder))
        self.rooms = Rooms(weights, self.parts, steps, recorder)

    def decode(self, texts: Texts, check: Callable[[], None] = lambda: None) -> Decoded:
        """Take texts to their ends, each as it would go alone.

        Args:
            texts: to decode.
            check: is called between runs, and may raise to stop the work.
        """
        B, T = texts.memory.shape[:2]
        lengths, constrained = (
            torch.tensor(each, dtype=torch.int32, device=self._device)
            for each in (texts.lengths, texts.constrained)
        )
        room = self.rooms.room(B, T)
        room.enter(texts.memory, F.linear(texts.memory, self._keys), lengths, constrained)
        dropout = _Dropout(texts.generators, room.masks, B)
        record, crew = _Record(texts, self.config), _Crew(B, self._device)
        dropout.hand_out(0, room, crew)
        done = 0
        while True:
            check()
            room.run()
            ends = Sent([room.ends])
            # What needs no knowledge of who has ended is begun before it is there.
            record.add(done, room, crew)
            dropout.hand_out(done + room.steps, room, crew)
            first, broken = ends.wait()[0].tolist()
            staying = record.settle(done, room.steps, crew, first, broken)
            done += room.steps
            if not staying:
                return record.decoded()
            if len(staying) < len(crew.rows):
                crew.keep(staying)
                room = self._fitting(room, crew)
                dropout.hand_out(done, room, crew)

    def _fitting(self, room: Room, crew: _Crew) -> Room:
        """A smaller room for those who go on, if there is one, with them in it."""
        if room_size(len(crew.rows)) == room.rows:
            return room
        smaller = self.rooms.room(len(crew.rows), room.symbols)
        smaller.take_over(room, crew.slots)
        crew.move()
        return smaller


@torch.inference_mode()
def try_parts(weights: StepWeights, parts: Parts, recorder: Recorder | None = None) -> None:
    """Read some random texts with them, and in plain torch.

    Args:
        weights: of a step.
        parts: to be tried.
        recorder: makes a graph of their steps, in which kernels follow each other most closely.

    Raises:
        ArithmeticError: they say something else.
    """
    symbols, (P, _, E, _) = 128, weights.widths  # rooms are for multiples of 32
    random = Random(weights.output)
    for rows in _TRIED:
        lengths, held = (
            torch.tensor(each, dtype=torch.int32, device=weights.output.device)
            for each in ([symbols // 2 + 7 * row for row in range(rows)], [0, 1] * rows)
        )
        memory, keys = random(rows, symbols, E), random(rows, symbols, len(weights.query))
        masks = 2 * (random(_TRIAL_STEPS, rows, 2, P) > 0)
        said = []
        for each, by in ((PlainParts(), None), (parts, recorder)):
            room = Room(weights, each, rows, symbols, _TRIAL_STEPS, by)
            room.enter(memory, keys, lengths, held[:rows])
            room.masks.copy_(masks)
            room.run()
            said.append([room.outputs, room.alignments])
        for plain, ours in zip(*said, strict=True):
            compare(ours, plain, weights.output.dtype)


class _Crew:
    """The texts that go on: which they are, and in which rows of a room."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.rows, self.places = list(range(count)), list(range(count))
        """Their numbers, and their rows of the room."""
        self.index = self.slots = torch.arange(count, device=device)
        """The same, on the device."""

    def keep(self, places: Sequence[int]) -> None:
        """Let all go but those at some places among them."""
        chosen = torch.tensor(places, device=self.index.device)
        self.index, self.slots = self.index[chosen], self.slots[chosen]
        self.rows = [self.rows[place] for place in places]
        self.places = [self.places[place] for place in places]

    def move(self) -> None:
        """Stand in the first rows from now on."""
        self.places = list(range(len(self.rows)))
        self.slots = torch.arange(len(self.rows), device=self.index.device)


class _Dropout:
    """The prenet's dropout of all texts, drawn `MASK_CHUNK` steps ahead."""

    def __init__(self, generators: Sequence[Generator] | None, like: Tensor, count: int) -> None:
        self._generators = generators
        self._masks = like.new_ones(MASK_CHUNK, count, *like.shape[2:])
        self._drawn = 0

    def hand_out(self, done: int, room: Room, crew: _Crew) -> None:
        """Give a room the masks of the steps after `done`."""
        if done == self._drawn and self._generators is not None:
            self._draw([self._generators[row] for row in crew.rows], crew.index)
        start = done % MASK_CHUNK
        room.masks[:, crew.slots] = self._masks[start : start + room.steps, crew.index]

    def _draw(self, generators: Sequence[Generator], index: Tensor) -> None:
        shape = MASK_CHUNK, *self._masks.shape[2:]
        halves = {g.device: torch.full(shape, 0.5, device=g.device) for g in generators}
        drawn = [torch.bernoulli(halves[g.device], generator=g) for g in generators]
        self._masks[:, index] = (2 * torch.stack(drawn, 1)).to(self._masks)
        self._drawn += MASK_CHUNK


class _Record:
    """What the steps of all texts have made, in tensors that grow."""

    def __init__(self, texts: Texts, config: Tacotron2Config) -> None:
        count, symbols = texts.memory.shape[:2]
        width = config.n_mel_channels * config.n_frames_per_step + 1
        new, self._limits = texts.memory.new_zeros, texts.limits
        self._outputs = new(count, MASK_CHUNK, width, dtype=torch.float32)
        self._alignments = new(count, MASK_CHUNK, symbols, dtype=torch.float32)
        self._steps, self._fired, self._broken = [0] * count, [False] * count, [False] * count

    def add(self, done: int, room: Room, crew: _Crew) -> None:
        """Copy what a run has made after `done` steps."""
        end = done + room.steps
        while end > self._outputs.shape[1]:
            self._outputs, self._alignments = (
                torch.cat([tensor, torch.zeros_like(tensor)], 1)
                for tensor in (self._outputs, self._alignments)
            )
        self._outputs[crew.index, done:end] = room.outputs[:, crew.slots].transpose(0, 1)
        alignments = room.alignments[:, crew.slots, : self._alignments.shape[2]]
        self._alignments[crew.index, done:end] = alignments.transpose(0, 1)

    def settle(
        self, done: int, steps: int, crew: _Crew, first: Sequence[int], broken: Sequence[int]
    ) -> list[int]:
        """Note who has ended in a run after `done` steps; the places of those who go on.

        Args:
            done: steps before the run.
            steps: of the run.
            crew: who was in the room.
            first: by its rows, the step of the run at which a text ended; beyond it if none.
            broken: the same of the numbers' end.
        """
        staying = []
        for i, (row, place) in enumerate(zip(crew.rows, crew.places, strict=True)):
            end, limit = done + first[place] + 1, self._limits[row]
            if first[place] < steps and end <= limit:
                self._steps[row] = end
                self._broken[row] = broken[place] == first[place]
                self._fired[row] = not self._broken[row]
            elif done + steps >= limit:
                self._steps[row] = limit
            else:
                staying.append(i)
        return staying

    def decoded(self) -> Decoded:
        """All of it, up to the end of the longest."""
        done = max(self._steps)
        return Decoded(
            self._outputs[:, :done, :-1],
            self._outputs[:, :done, -1],
            self._alignments[:, :done],
            self._steps,
            self._fired,
            self._broken,
        )


@torch.no_grad()
def _stacked(decoder: core.Decoder, device: torch.device, dtype: torch.dtype) -> StepWeights:
    """The weights as a step reads them."""

    def stored(*blocks: Tensor) -> Tensor:
        return torch.cat(blocks, dim=1).to(device, dtype).contiguous()

    def exact(tensor: Tensor) -> Tensor:
        return tensor.to(device, torch.float32).contiguous()

    c = decoder.config
    P, H = c.prenet_dim, c.decoder_rnn_dim
    attention, first, second = decoder.attention, decoder.attention_rnn, decoder.decoder_rnn
    prenet = dict(decoder.prenet.layers.named_parameters())
    first_layer = prenet["0.weight"]
    kernel = attention.location_conv.weight.flatten(1)  # (filters, 2 * K)
    outputs = torch.cat([decoder.projection.weight, decoder.gate.weight])
    biases = torch.cat([decoder.projection.bias, decoder.gate.bias])
    read = first_layer.shape[1]
    outputs, biases = (
        torch.cat([x, (first_layer.double() @ x[:read].double()).to(x)]) for x in (outputs, biases)
    )
    return StepWeights(
        prenet=stored(prenet["1.weight"]),
        attention_rnn=LSTMWeights(
            stored(first.weight_ih[:, :P], first.weight_hh, first.weight_ih[:, P:]),
            exact(first.bias_ih + first.bias_hh),
        ),
        query=stored(attention.query.weight),
        query_bias=torch.zeros(c.attention_dim, device=device),
        attention=AttentionWeights(
            exact(kernel.T @ attention.location_dense.weight.T), exact(attention.score.weight[0])
        ),
        decoder_rnn=LSTMWeights(
            stored(second.weight_ih, second.weight_hh), exact(second.bias_ih + second.bias_hh)
        ),
        output=stored(outputs[:, H:], outputs[:, :H]),
        output_bias=exact(biases),
        gate_threshold=c.gate_threshold,
        tail=math.ceil(TAIL / c.n_frames_per_step),
    )
