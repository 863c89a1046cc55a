"""Tacotron 2 (Shen et al. 2018, arXiv 1712.05884): text to mel spectrogram.

Tensor letters: B batch, T text symbols, F mel frames, M mel bins; D decoder steps of
n_frames_per_step frames each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttscli.core.noise import row_generators

_MASK_CHUNK = 64  # decoder steps whose dropout masks are drawn at once


@dataclass(frozen=True)
class Tacotron2Config:
    """Sizes of the model, named as in NVIDIA's configuration; defaults are the published ones."""

    n_mel_channels: int = 80
    """Mel bins."""
    n_symbols: int = 148
    """Size of the symbol table."""
    symbols_embedding_dim: int = 512
    """Width of a symbol's embedding."""
    encoder_kernel_size: int = 5
    """Width of the encoder's convolutions, symbols."""
    encoder_n_convolutions: int = 3
    """Number of the encoder's convolutions."""
    encoder_embedding_dim: int = 512
    """Width of the encoder's output, both directions together."""
    attention_rnn_dim: int = 1024
    """Width of the attention LSTM."""
    attention_dim: int = 128
    """Width in which query, memory and location are compared."""
    attention_location_n_filters: int = 32
    """Filters over the earlier attention weights."""
    attention_location_kernel_size: int = 31
    """Their width, symbols."""
    n_frames_per_step: int = 1
    """Mel frames that a decoder step makes."""
    decoder_rnn_dim: int = 1024
    """Width of the decoder LSTM."""
    prenet_dim: int = 256
    """Width of the prenet's two layers."""
    postnet_embedding_dim: int = 512
    """Width of the postnet's convolutions."""
    postnet_kernel_size: int = 5
    """Their width, frames."""
    postnet_n_convolutions: int = 5
    """Their number."""
    gate_threshold: float = 0.5
    """Speech ends where the gate's probability rises above this."""
    p_attention_dropout: float = 0.1
    """Dropout on the attention LSTM's output, in training."""
    p_decoder_dropout: float = 0.1
    """Dropout on the decoder LSTM's output, in training."""


@dataclass(frozen=True)
class Tacotron2Output:
    """What the model says to a batch of texts."""

    mel: Tensor
    """Log-mel after the postnet: (B, M, F); zero past the frames that a row has."""
    mel_before: Tensor
    """Log-mel before the postnet: (B, M, F)."""
    lengths: Tensor
    """Frames before the one whose gate fired: (B,), int64. Teacher forcing: as given."""
    alignments: Tensor
    """Attention weights: (B, F, T)."""
    gate: Tensor
    """Logits of "this is the end": (B, F)."""
    hit_limit: Tensor
    """Rows that ran into the step limit, their gate silent to the last: (B,), bool."""


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """True at positions below each length: (B, size)."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


class ConvolutionNorm(nn.Module):
    """A convolution that keeps the length, then batch normalisation."""

    def __init__(self, n_in: int, n_out: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel_size, padding=kernel_size // 2)
        self.norm = nn.BatchNorm1d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, L) to (B, n_out, L)."""
        normalised: Tensor = self.norm(self.conv(x))
        return normalised


class Encoder(nn.Module):
    """Convolutions and a bidirectional LSTM over the text's embeddings (section 2.2)."""

    def __init__(self, config: Tacotron2Config) -> None:
        super().__init__()
        widths = [config.symbols_embedding_dim]
        widths += [config.encoder_embedding_dim] * config.encoder_n_convolutions
        self.convolutions = nn.ModuleList(
            ConvolutionNorm(n_in, n_out, config.encoder_kernel_size)
            for n_in, n_out in zip(widths, widths[1:], strict=False)
        )
        self.lstm = nn.LSTM(
            widths[-1], config.encoder_embedding_dim // 2, batch_first=True, bidirectional=True
        )

    def forward(self, embedded: Tensor, lengths: Tensor, dropout: float = 0.5) -> Tensor:
        """Embedded text (B, T, ·) to memory (B, T, E); padding is masked after each layer."""
        mask = length_mask(lengths, embedded.shape[1])[:, None]
        x = embedded.transpose(1, 2) * mask
        for convolution in self.convolutions:
            x = F.dropout(F.relu(convolution(x)), dropout, self.training) * mask
        packed = nn.utils.rnn.pack_padded_sequence(
            x.transpose(1, 2), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        memory, _ = nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=embedded.shape[1]
        )
        return memory


class Prenet(nn.Module):
    """Two narrow layers over the last frame, whose dropout stays on in inference (section 2.2)."""

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(n_in, width, bias=False), nn.Linear(width, width, bias=False)]
        )

    def forward(self, frames: Tensor, masks: Tensor | None) -> Tensor:
        """Frames (…, n_in) to (…, P); `masks` (…, 2, P) hold 0 or 2, None means no dropout."""
        x = frames
        for i, layer in enumerate(self.layers):
            x = F.relu(layer(x))
            if masks is not None:
                x = x * masks[..., i, :]
        return x


class LocationSensitiveAttention(nn.Module):
    """Additive attention that sees where it looked before (Chorowski et al. 2015)."""

    def __init__(self, config: Tacotron2Config) -> None:
        super().__init__()
        width, filters = config.attention_dim, config.attention_location_n_filters
        kernel_size = config.attention_location_kernel_size
        self.query = nn.Linear(config.attention_rnn_dim, width, bias=False)
        self.memory = nn.Linear(config.encoder_embedding_dim, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)
        self.location_conv = nn.Conv1d(
            2, filters, kernel_size, padding=kernel_size // 2, bias=False
        )
        self.location_dense = nn.Linear(filters, width, bias=False)

    def forward(self, query: Tensor, keys: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Weights (B, T) of the symbols.

        Args:
            query: the attention LSTM's output (B, A).
            keys: `self.memory` of the encoder's memory (B, T, ·), computed once.
            history: the last weights and the sum of all before (B, 2, T).
            mask: True where there is text (B, T).
        """
        location = self.location_dense(self.location_conv(history).transpose(1, 2))
        energies = self.score(torch.tanh(self.query(query)[:, None] + location + keys))[..., 0]
        return energies.masked_fill(~mask, -math.inf).softmax(dim=1)


class Memory(NamedTuple):
    """The text as the decoder sees it."""

    values: Tensor
    """The encoder's output (B, T, E)."""
    keys: Tensor
    """Its projection for the attention (B, T, ·)."""
    mask: Tensor
    """True where there is text (B, T)."""


class DecoderState(NamedTuple):
    """All that one decoder step hands to the next."""

    attention: tuple[Tensor, Tensor]
    """Hidden and cell state of the attention LSTM, (B, A) each."""
    decoder: tuple[Tensor, Tensor]
    """Hidden and cell state of the decoder LSTM, (B, H) each."""
    context: Tensor
    """The memory as last attended to (B, E)."""
    history: Tensor
    """The last attention weights and the sum of all so far (B, 2, T)."""


class Decoder(nn.Module):
    """From the last frames and the text to the next frames (section 2.2)."""

    def __init__(self, config: Tacotron2Config) -> None:
        super().__init__()
        self.config = config
        self.frame_width = config.n_mel_channels * config.n_frames_per_step
        encoder_width, rnn_width = config.encoder_embedding_dim, config.attention_rnn_dim
        self.prenet = Prenet(self.frame_width, config.prenet_dim)
        self.attention_rnn = nn.LSTMCell(config.prenet_dim + encoder_width, rnn_width)
        self.attention = LocationSensitiveAttention(config)
        self.decoder_rnn = nn.LSTMCell(rnn_width + encoder_width, config.decoder_rnn_dim)
        output_width = config.decoder_rnn_dim + encoder_width
        self.projection = nn.Linear(output_width, self.frame_width)
        self.gate = nn.Linear(output_width, 1)

    def remember(self, values: Tensor, lengths: Tensor) -> Memory:
        """The encoder's output (B, T, E) made ready for the attention."""
        return Memory(values, self.attention.memory(values), length_mask(lengths, values.shape[1]))

    def initial_state(self, memory: Memory) -> DecoderState:
        """The state before the first frame: all zero."""
        B, T, E = memory.values.shape
        zeros = memory.values.new_zeros
        hidden, width = self.config.attention_rnn_dim, self.config.decoder_rnn_dim
        return DecoderState(
            (zeros(B, hidden), zeros(B, hidden)),
            (zeros(B, width), zeros(B, width)),
            zeros(B, E),
            zeros(B, 2, T),
        )

    def step(
        self, frame: Tensor, state: DecoderState, memory: Memory
    ) -> tuple[Tensor, Tensor, DecoderState]:
        """One step: prenet output (B, P) to frames (B, M · r), gate logit (B,) and new state."""
        c = self.config
        attention, cell = self.attention_rnn(torch.cat([frame, state.context], 1), state.attention)
        attention = F.dropout(attention, c.p_attention_dropout, self.training)
        weights = self.attention(attention, memory.keys, state.history, memory.mask)
        context = torch.bmm(weights[:, None], memory.values)[:, 0]
        hidden, decoder_cell = self.decoder_rnn(torch.cat([attention, context], 1), state.decoder)
        hidden = F.dropout(hidden, c.p_decoder_dropout, self.training)
        history = torch.stack([weights, state.history[:, 1] + weights], 1)
        output = torch.cat([hidden, context], 1)
        new_state = DecoderState((attention, cell), (hidden, decoder_cell), context, history)
        return self.projection(output), self.gate(output)[:, 0], new_state


class Postnet(nn.Module):
    """Convolutions whose output is added to the decoder's mel (section 2.2)."""

    def __init__(self, config: Tacotron2Config) -> None:
        super().__init__()
        inner = [config.postnet_embedding_dim] * (config.postnet_n_convolutions - 1)
        widths = [config.n_mel_channels, *inner, config.n_mel_channels]
        self.convolutions = nn.ModuleList(
            ConvolutionNorm(n_in, n_out, config.postnet_kernel_size)
            for n_in, n_out in zip(widths, widths[1:], strict=False)
        )

    def forward(self, mel: Tensor, mask: Tensor, dropout: float = 0.5) -> Tensor:
        """Residual (B, M, F) of a mel (B, M, F); `mask` (B, 1, F) keeps padding at zero."""
        x = mel * mask
        for i, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if i < len(self.convolutions) - 1:
                x = torch.tanh(x)
            x = F.dropout(x, dropout, self.training) * mask
        return x


class Tacotron2(nn.Module):
    """The whole model: `infer` speaks, `forward` is teacher-forced for training."""

    def __init__(self, config: Tacotron2Config | None = None) -> None:
        super().__init__()
        self.config = config or Tacotron2Config()
        self.embedding = nn.Embedding(self.config.n_symbols, self.config.symbols_embedding_dim)
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        self.postnet = Postnet(self.config)

    def step_limit(self, symbols: int) -> int:
        """Decoder steps that a text of so many symbols may take: far more than speech needs."""
        return math.ceil((120 + 12 * symbols) / self.config.n_frames_per_step)

    def encode(self, sequences: Tensor, lengths: Tensor) -> Tensor:
        """Symbol ids (B, T) to the encoder's memory (B, T, E)."""
        memory: Tensor = self.encoder(self.embedding(sequences), lengths)
        return memory

    def forward(
        self,
        sequences: Tensor,
        lengths: Tensor,
        mels: Tensor,
        mel_lengths: Tensor,
        prenet_dropout: bool = True,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> Tacotron2Output:
        """Predict each frame from the true ones before it (teacher forcing).

        Args:
            sequences: symbol ids (B, T), padded with anything.
            lengths: symbols in each row (B,).
            mels: true log-mels (B, M, F), F a multiple of n_frames_per_step.
            mel_lengths: frames in each row (B,).
            prenet_dropout: whether the prenet drops half of its units.
            generator: draws the dropout: one for each row, or one that seeds all rows.
        """
        B, M, n_frames = mels.shape
        r = self.config.n_frames_per_step
        memory = self.decoder.remember(self.encode(sequences, lengths), lengths)
        steps = mels.transpose(1, 2).reshape(B, n_frames // r, r * M)
        inputs = F.pad(steps, (0, 0, 1, 0))[:, :-1]
        masks = _masks(self.config, generator, mels, prenet_dropout)
        state = self.decoder.initial_state(memory)
        frames, gates, weights = [], [], []
        for i in range(n_frames // r):
            prenet_output = self.decoder.prenet(inputs[:, i], next(masks))
            frame, gate, state = self.decoder.step(prenet_output, state, memory)
            frames.append(frame)
            gates.append(gate)
            weights.append(state.history[:, 0])
        mel = torch.stack(frames, 1).reshape(B, n_frames, M).transpose(1, 2)
        return self._finish(
            mel, torch.stack(gates, 1), torch.stack(weights, 1), mel_lengths, mel_lengths,
            torch.zeros(B, dtype=torch.bool, device=mels.device),
        )  # fmt: skip

    @torch.inference_mode()
    def infer(
        self,
        sequences: Tensor,
        lengths: Tensor,
        prenet_dropout: bool = True,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        max_steps: int | None = None,
    ) -> Tacotron2Output:
        """Speak a batch of texts, each row as it would be spoken alone.

        Args:
            sequences: symbol ids (B, T), padded with anything, in any order of length.
            lengths: symbols in each row (B,).
            prenet_dropout: whether the prenet drops half of its units, as it was trained to.
            generator: draws the dropout: one for each row, or one that seeds all rows;
                None is seed 0 for each row.
            max_steps: decoder steps after which a row is stopped; `step_limit` of its text if None.

        Returns:
            The output; a row that was stopped is marked in `hit_limit`.
        """
        B, T = sequences.shape
        M, r = self.config.n_mel_channels, self.config.n_frames_per_step
        memory = self.decoder.remember(self.encode(sequences, lengths), lengths)
        limits = torch.tensor(
            [max_steps or self.step_limit(int(n)) for n in lengths], device=sequences.device
        )
        most = int(limits.max())
        masks = _masks(self.config, generator, memory.values, prenet_dropout)
        new = memory.values.new_zeros
        frames, gates, weights = new(B, most, r * M), new(B, most), new(B, most, T)
        state = self.decoder.initial_state(memory)
        frame = new(B, r * M)
        ended = torch.full((B,), -1, device=sequences.device)  # step whose gate fired
        done = 0
        while done < most:
            prenet_output = self.decoder.prenet(frame, next(masks))
            frame, gate, state = self.decoder.step(prenet_output, state, memory)
            frames[:, done], gates[:, done], weights[:, done] = frame, gate, state.history[:, 0]
            fired = torch.sigmoid(gate) > self.config.gate_threshold
            ended = torch.where((ended < 0) & fired & (done < limits), done, ended)
            done += 1
            if bool(((ended >= 0) | (done >= limits)).all()):
                break
        hit_limit = ended < 0
        steps = torch.where(hit_limit, limits, ended + 1)  # each row's own, the fired one included
        mel = frames[:, :done].reshape(B, done * r, M).transpose(1, 2)
        spoken = torch.where(hit_limit, limits, ended) * r
        return self._finish(mel, gates[:, :done], weights[:, :done], steps * r, spoken, hit_limit)

    def _finish(
        self,
        mel: Tensor,
        gate: Tensor,
        weights: Tensor,
        frames: Tensor,
        lengths: Tensor,
        hit_limit: Tensor,
    ) -> Tacotron2Output:
        """Apply the postnet within each row's own frames (B,), and repeat steps to frames."""
        r = self.config.n_frames_per_step
        mask = length_mask(frames, mel.shape[2])[:, None]
        mel = mel * mask
        return Tacotron2Output(
            mel=mel + self.postnet(mel, mask),
            mel_before=mel,
            lengths=lengths,
            alignments=weights.repeat_interleave(r, 1) * mask.transpose(1, 2),
            gate=gate.repeat_interleave(r, 1),
            hit_limit=hit_limit,
        )


def _masks(
    config: Tacotron2Config,
    generator: torch.Generator | Sequence[torch.Generator] | None,
    like: Tensor,
    enabled: bool,
) -> Iterator[Tensor | None]:
    """Dropout masks (B, 2, P) of 0 and 2 for one step after the other, without end.

    Each row's come from its own generator in chunks of a fixed size, so that they do not depend
    on what else is in the batch.
    """
    if not enabled:
        while True:
            yield None
    rows = row_generators(generator, like.shape[0])
    half = torch.full((_MASK_CHUNK, 2, config.prenet_dim), 0.5)
    while True:
        chunk = torch.stack([torch.bernoulli(half, generator=row) for row in rows], 1) * 2
        yield from chunk.to(like)


def tacotron2_loss(
    output: Tacotron2Output, mels: Tensor, gates: Tensor, lengths: Tensor
) -> Tensor:
    """Each row's loss (B,): squared error of both mels, cross entropy of the gate (section 2.2).

    Args:
        output: of `Tacotron2.forward`.
        mels: true log-mels (B, M, F).
        gates: 1 from the last frame on, 0 before (B, F).
        lengths: frames in each row (B,).
    """
    mask = length_mask(lengths, mels.shape[2]).to(mels)
    before = (output.mel_before - mels).square().mean(1)
    after = (output.mel - mels).square().mean(1)
    gate = F.binary_cross_entropy_with_logits(output.gate, gates, reduction="none")
    return ((before + after + gate) * mask).sum(1) / lengths
