"""Tacotron 2 (Shen et al. 2018, arXiv 1712.05884): text to mel spectrogram.

Tensor letters: B batch, T text symbols, F mel frames, M mel bins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttscli.core.configs import Tacotron2Config
from ttscli.core.noise import Generators, row_generators
from ttscli.core.tacotron2_layers import Decoder, Encoder, Postnet, length_mask, reading_ends

MASK_CHUNK = 64
"""Decoder steps whose dropout masks are drawn at once."""


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
    """Rows that ran into the step limit before they came to an end: (B,), bool."""


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
        return self.config.step_limit(symbols)

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
        generator: Generators = None,
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
        generator: Generators = None,
        max_steps: int | None = None,
        constrained: Tensor | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Tacotron2Output:
        """Speak a batch of texts, each row as it would be spoken alone.

        Args:
            sequences: symbol ids (B, T), padded with anything, in any order of length.
            lengths: symbols in each row (B,).
            prenet_dropout: whether the prenet drops half of its units, as it was trained to.
            generator: draws the dropout: one for each row, or one that seeds all rows;
                None is seed 0 for each row.
            max_steps: decoder steps after which a row is stopped; `step_limit` of its text if None.
            constrained: rows (B,) that read strictly onwards: the attention stays within
                `forward_window`, which also tells when they end, see `reading_ends`.
            check: is called before each step, and may raise to stop the work.

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
            check()
            prenet_output = self.decoder.prenet(frame, next(masks))
            frame, gate, state = self.decoder.step(prenet_output, state, memory, constrained)
            frames[:, done], gates[:, done], weights[:, done] = frame, gate, state.history[:, 0]
            fired = torch.sigmoid(gate) > self.config.gate_threshold
            if constrained is not None:
                ends = reading_ends(fired, weights[:, : done + 1], lengths.to(gate.device), r)
                fired = torch.where(constrained, ends, fired)
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
    generator: Generators,
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
    half = torch.full((MASK_CHUNK, 2, config.prenet_dim), 0.5)
    while True:
        chunk = torch.stack([torch.bernoulli(half, generator=row) for row in rows], 1) * 2
        yield from chunk.to(like)
