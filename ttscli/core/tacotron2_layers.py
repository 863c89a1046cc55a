"""The parts of Tacotron 2: encoder, prenet, location-sensitive attention, decoder, postnet.

The sections named here are those of Shen et al. 2018, arXiv 1712.05884. Tensor letters: B batch,
T text symbols, F mel frames, M mel bins; E encoder's, A attention LSTM's, H decoder LSTM's and
P prenet's width; r frames of a decoder step.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttscli.core.configs import TAIL, WINDOW, Tacotron2Config


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """True at positions below each length: (B, size)."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def forward_window(last: Tensor, mask: Tensor) -> Tensor:
    """Where a step may attend if its reading is held to the text's order: (B, T).

    Args:
        last: the weights of the step before (B, T); zero before the first.
        mask: True where there is text (B, T).
    """
    ahead = torch.arange(last.shape[1], device=last.device) - last.argmax(1, keepdim=True)
    return mask & (ahead >= 0) & (ahead <= WINDOW)


def reading_ends(fired: Tensor, weights: Tensor, lengths: Tensor, n_frames: int) -> Tensor:
    """Which rows end with this step if their reading is held to the text's order: (B,).

    The gate is heeded near the end of the text. Without it a reading ends when it has been at the
    last symbol for a while; it cannot have left that in between.

    Args:
        fired: whether the gate says so (B,).
        weights: of all the steps so far (B, steps, T).
        lengths: symbols in each row (B,).
        n_frames: of a step.
    """
    last = lengths - 1
    ends = fired & (last - weights[:, -1].argmax(1) <= WINDOW)
    tail = math.ceil(TAIL / n_frames)
    if weights.shape[1] > tail:
        ends |= weights[:, -1 - tail].argmax(1) == last
    return ends


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
            for n_in, n_out in pairwise(widths)
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
        weights: Tensor = energies.masked_fill(~mask, -math.inf).softmax(dim=1)
        return weights


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
        self,
        frame: Tensor,
        state: DecoderState,
        memory: Memory,
        constrained: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, DecoderState]:
        """One step: prenet output (B, P) to frames (B, M · r), gate logit (B,) and new state.

        Rows that are `constrained` (B,) attend within `forward_window`.
        """
        c = self.config
        attention, cell = self.attention_rnn(torch.cat([frame, state.context], 1), state.attention)
        attention = F.dropout(attention, c.p_attention_dropout, self.training)
        mask = memory.mask
        if constrained is not None:
            window = forward_window(state.history[:, 0], mask)
            mask = torch.where(constrained[:, None], window, mask)
        weights = self.attention(attention, memory.keys, state.history, mask)
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
            for n_in, n_out in pairwise(widths)
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
