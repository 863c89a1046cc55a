"""Training of the built-in voice's Tacotron 2 on the teacher's speech.

Beyond the paper's losses: the attention is guided by the teacher's phone times, an auxiliary head
reads the frames from the attention's context alone, and frames fed back are dropped at random.
Without these three a model this small speaks fluently and without meaning. What comes nearest to
all that could be said is a blur: a fourth loss has the finished mels change as much as real ones.

Tensor letters: B batch, T symbols, F mel frames, M mel bins, D decoder steps.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ttscli.core.configs import MelConfig, Tacotron2Config
from ttscli.core.tacotron2 import Tacotron2
from ttscli.core.tacotron2_layers import length_mask
from ttscli.training.attention_loop import decode
from ttscli.training.corpus import Corpus, to_sequence
from ttscli.training.loop import Log, Means, OnStep, Schedule, TrainingState, ignore
from ttscli.training.losses import END_STEPS, contrast_loss, gate_loss, guide_loss

SMALL = Tacotron2Config(
    symbols_embedding_dim=256,
    encoder_embedding_dim=256,
    attention_rnn_dim=256,
    attention_dim=64,
    attention_location_n_filters=16,
    attention_location_kernel_size=15,
    n_frames_per_step=2,
    decoder_rnn_dim=256,
    prenet_dim=128,
    postnet_embedding_dim=128,
    p_attention_dropout=0.0,
    p_decoder_dropout=0.0,
)
"""The built-in voice's sizes: 3.4 million parameters."""


@dataclass(frozen=True)
class Recipe:
    """How Tacotron 2 is trained; shares of progress are of all steps."""

    steps: int = 8000
    """Optimizer steps."""
    peak_rate: float = 1.5e-3
    """Learning rate on the plateau."""
    end_rate: float = 5e-5
    """Learning rate at the end."""
    hold: float = 0.5
    """Share of progress after which the rate falls."""
    frames: int = 2500
    """Mel frames in a batch, padding included."""
    utterances: int = 24
    """Utterances in a batch at most."""
    curriculum: tuple[tuple[int, int], ...] = ((0, 220), (500, 500), (1500, 1300))
    """From which step on utterances may have how many frames."""
    letters_utterance: float = 0.12
    """Share of utterances spelled in letters throughout."""
    letters_word: float = 0.2
    """Share of words spelled in letters in the other utterances."""
    guide: tuple[float, float] = (1.0, 0.2)
    """Weight of the guided attention: at first, and from `settled` on."""
    guide_width: float = 1.0
    """Standard deviation of the guide, symbols."""
    settled: tuple[int, int] = (1200, 2400)
    """Steps between which the guide's weight falls."""
    context_weight: float = 0.5
    """Weight of the auxiliary head on the attention's context."""
    contrast_weight: float = 0.5
    """Weight of the difference in contrast of the finished mels."""
    frame_drop: tuple[float, float] = (0.4, 0.2)
    """Share of fed-back frames that are dropped, at the start and at the end."""
    postnet_from: int = 1000
    """Step from which the postnet is trained."""
    encoder_dropout: float = 0.1
    """Dropout of the encoder's convolutions."""
    average: float = 0.998
    """Decay of the averaged weights."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    seed: int = 0
    """Of weights, batches and dropout."""
    save_every: int = 200
    """Steps between saved states."""

    def onwards(self) -> Recipe:
        """The recipe for weights that speak already: no easy start, and a lower rate."""
        return replace(
            self, peak_rate=1e-3, curriculum=((0, 1600),), settled=(0, 1), postnet_from=0,
            frame_drop=(self.frame_drop[1], self.frame_drop[1]),
        )  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Utterances side by side, padded to decoder steps."""

    ids: Tensor
    """Symbol ids (B, T)."""
    lengths: Tensor
    """Symbols in each row (B,)."""
    mels: Tensor
    """Log-mels (B, F, M); past the end, the last frame again."""
    steps: Tensor
    """Decoder steps of speech in each row (B,)."""
    positions: Tensor
    """The symbol that sounds at the middle of each step, as a fraction of its row (B, D)."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(*(tensor.to(device) for tensor in vars(self).values()))


def collate(
    corpus: Corpus, indices: list[int], recipe: Recipe, r: int, chance: random.Random
) -> Batch:
    """Draw each utterance's spelling anew and pad; r is the frames of a decoder step."""
    hop = MelConfig().hop_length / MelConfig().sample_rate
    sequences, mels = [], [corpus.mel(index) for index in indices]
    for index in indices:
        letters = 1.0 if chance.random() < recipe.letters_utterance else recipe.letters_word
        sequences.append(to_sequence(corpus.records[index], letters, chance))
    steps = [-(-len(mel) // r) for mel in mels]
    D, T = max(steps) + END_STEPS, max(len(sequence.ids) for sequence in sequences)
    ids = torch.zeros(len(indices), T, dtype=torch.long)
    frames = torch.zeros(len(indices), D * r, mels[0].shape[1])
    positions = torch.zeros(len(indices), D)
    middles = (np.arange(D) * r + (r - 1) / 2) * hop
    for row, (sequence, mel) in enumerate(zip(sequences, mels, strict=True)):
        count = len(sequence.ids)
        ids[row, :count] = torch.tensor(sequence.ids)
        frames[row] = torch.from_numpy(mel[np.minimum(np.arange(D * r), len(mel) - 1)])
        edges = sequence.boundaries + np.arange(count + 1) * 1e-6  # strictly rising
        place = np.interp(middles, edges, np.arange(count + 1)) - 0.5
        positions[row] = torch.from_numpy(np.clip(place, 0, count - 1))
    lengths = torch.tensor([len(sequence.ids) for sequence in sequences])
    return Batch(ids, lengths, frames, torch.tensor(steps), positions)


def batches(
    corpus: Corpus, recipe: Recipe, chance: random.Random, longest: int
) -> Iterator[list[int]]:
    """One pass over the utterances of up to `longest` frames, those of like length together."""
    frames = {i: record.frames for i, record in enumerate(corpus.records)}
    order = [i for i in frames if frames[i] <= longest]
    order.sort(key=lambda i: frames[i] * chance.uniform(0.92, 1.08))
    found: list[list[int]] = [[]]
    for i in order:
        widest = max([frames[i], *(frames[j] for j in found[-1])])
        full = len(found[-1]) == recipe.utterances
        if found[-1] and (full or widest * (len(found[-1]) + 1) > recipe.frames):
            found.append([])
        found[-1].append(i)
    chance.shuffle(found)
    return iter(found)


class Forced(NamedTuple):
    """What the model says when it is told the true past."""

    mel: Tensor
    """Log-mels before the postnet (B, F, M)."""
    gate: Tensor
    """Logits of the end (D, B)."""
    weights: Tensor
    """Attention (D, B, T)."""
    context: Tensor
    """What the attention read (D, B, E)."""


def teacher_forced(
    model: Tacotron2,
    batch: Batch,
    masks: Tensor,
    encoder_dropout: float,
    kept: Tensor | float = 1.0,
) -> Forced:
    """Run the model along the true frames.

    Args:
        model: the one to run.
        batch: texts and frames.
        masks: dropout of the prenet (D, B, 2, P).
        encoder_dropout: of the encoder's convolutions.
        kept: 1 where the frames fed back are not dropped altogether (D, B, 1).
    """
    B, D = batch.positions.shape
    M = model.config.n_mel_channels
    r = model.config.n_frames_per_step
    values = model.encoder(model.embedding(batch.ids), batch.lengths, encoder_dropout)
    memory = model.decoder.remember(values, batch.lengths)
    fed_back = F.pad(batch.mels.view(B, D, r * M), (0, 0, 1, 0))[:, :-1].transpose(0, 1)
    prenet_output = model.decoder.prenet(fed_back, masks) * kept
    frames, gate, weights, context = decode(model.decoder, memory, prenet_output)
    return Forced(frames.transpose(0, 1).reshape(B, D * r, M), gate, weights, context)


class Trainee(nn.Module):
    """The model together with the auxiliary head that is thrown away after training."""

    def __init__(self, config: Tacotron2Config, mean_mel: Tensor) -> None:
        """Start from the mean mel (M,): the projection says it, the prenet does not see it."""
        super().__init__()
        self.model = Tacotron2(config)
        r = config.n_frames_per_step
        self.context_head = nn.Linear(config.encoder_embedding_dim, config.n_mel_channels * r)
        mean = mean_mel.repeat(r)
        with torch.no_grad():
            projection = self.model.decoder.projection
            projection.bias.copy_(mean)
            projection.weight.mul_(0.3)
            self.context_head.bias.copy_(mean)
            first = self.model.decoder.prenet.layers[0].weight
            assert isinstance(first, Tensor)
            direction = mean / mean.norm()
            first.sub_((first @ direction)[:, None] * direction).mul_(0.5)

    def losses(
        self, batch: Batch, recipe: Recipe, *, frame_drop: float, guide: float, postnet: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and its parts by name."""
        config = self.model.config
        B, D = batch.positions.shape
        r, M = config.n_frames_per_step, config.n_mel_channels
        device = batch.mels.device
        masks = 2.0 * (torch.rand(D, B, 2, config.prenet_dim, device=device) < 0.5)
        kept = torch.rand(D, B, 1, device=device) >= frame_drop
        mel, gate, weights, context = teacher_forced(
            self.model, batch, masks, recipe.encoder_dropout, kept
        )
        spoken = length_mask(batch.steps * r, D * r)[:, :, None]

        def distance(mel: Tensor) -> Tensor:
            """Squared plus absolute error over the spoken frames of (B, F, M)."""
            error = (mel - batch.mels) * spoken
            return (error.square().sum() + error.abs().sum()) / (spoken.sum() * M)

        parts = {
            "mel": distance(mel),
            "gate": gate_loss(gate.t(), batch.steps),
            "guide": guide_loss(
                weights.transpose(0, 1), batch.positions, batch.steps, recipe.guide_width
            ),
            "context": distance(self.context_head(context).transpose(0, 1).reshape(B, D * r, M)),
        }
        if postnet:
            mask = spoken.transpose(1, 2)
            parts["post"] = distance(_finished(self.model, mel, mask))
            # For the postnet alone: the decoder's frames are fed back, where contrast could harm.
            parts["contrast"] = contrast_loss(
                _finished(self.model, mel.detach(), mask), batch.mels, spoken
            )
        scale = {
            "guide": guide, "context": recipe.context_weight, "contrast": recipe.contrast_weight
        }  # fmt: skip
        loss = torch.stack([part * scale.get(name, 1.0) for name, part in parts.items()]).sum()
        return loss, {name: part.detach() for name, part in parts.items()}


def _finished(model: Tacotron2, mel: Tensor, mask: Tensor) -> Tensor:
    """Log-mels (B, F, M) after the postnet; the mask (B, 1, F) is 1 at speech."""
    masked = mel.transpose(1, 2) * mask
    finished: Tensor = masked + model.postnet(masked, mask, 0.0)
    return finished.transpose(1, 2)


@torch.no_grad()
def predict_shard(
    folder: Path, name: str, model: Tacotron2, device: str = "cpu", letters: float = 0.1
) -> None:
    """Write a shard's mels as the model predicts them from the true past: `NNN.predicted.npy`.

    Args:
        folder: of the shards.
        name: the shard's.
        model: a trained one.
        device: where it is.
        letters: share of words that it reads from letters.
    """
    corpus, recipe = Corpus(folder, [name]), Recipe(letters_word=letters)
    r, M = model.config.n_frames_per_step, model.config.n_mel_channels
    chance = random.Random(name)
    generator = torch.Generator().manual_seed(int(name))
    found: list[NDArray[np.float16]] = [np.empty((0, M), np.float16)] * len(corpus)
    for indices in batches(corpus, recipe, chance, sys.maxsize):
        batch = collate(corpus, indices, recipe, r, chance).to(torch.device(device))
        B, D = batch.positions.shape
        masks = 2.0 * (torch.rand(D, B, 2, model.config.prenet_dim, generator=generator) < 0.5)
        mel, *_ = teacher_forced(model, batch, masks.to(device), 0.0)
        mask = length_mask(batch.steps * r, D * r)[:, None]
        finished = _finished(model, mel, mask).cpu().numpy()
        for row, index in enumerate(indices):
            found[index] = finished[row, : corpus.records[index].frames].astype(np.float16)
    partial = folder / f"{name}.predicted.partial.npy"
    np.save(partial, np.concatenate(found))
    partial.replace(folder / f"{name}.predicted.npy")


def _between(step: int, first: float, last: float, start: int, end: int) -> float:
    """A number that goes from `first` to `last` while the step goes from `start` to `end`."""
    return first + (last - first) * min(1.0, max(0.0, (step - start) / (end - start)))


class Trainer:
    """Trains and saves; started again on the same folder it goes on where it was.

    Args:
        corpus_folder: speech of the teacher.
        folder: for the state and the log.
        recipe: how to train.
        device: where.
        on_step: is told how many steps are done.
        start: a model to go on from, in place of random weights; see `Recipe.onwards`.
    """

    def __init__(
        self,
        corpus_folder: Path,
        folder: Path,
        recipe: Recipe,
        device: str,
        on_step: OnStep = ignore,
        start: Tacotron2 | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.on_step = recipe, torch.device(device), on_step
        self.corpus_folder = corpus_folder
        corpus = Corpus(corpus_folder)
        sample = np.concatenate([corpus.mel(i) for i in range(min(200, len(corpus)))])
        self.trainee = Trainee(SMALL, torch.from_numpy(sample.mean(0))).to(self.device)
        if start is not None:
            self.trainee.model.load_state_dict(start.state_dict())
        optimizer = torch.optim.Adam(self.trainee.parameters(), eps=1e-6)
        self.state = TrainingState(folder / "state.pt", self.trainee, optimizer, recipe.average)
        self.log = Log(folder / "log.jsonl")

    def batches(self) -> Iterator[Batch]:
        """Batches without end; each pass takes in new shards and the curriculum's next stage."""
        while True:
            chance = random.Random(f"{self.recipe.seed} {self.state.step}")
            corpus = Corpus(self.corpus_folder)
            stage = [frames for step, frames in self.recipe.curriculum if step <= self.state.step]
            later = [step for step, _ in self.recipe.curriculum if step > self.state.step]
            for indices in batches(corpus, self.recipe, chance, stage[-1]):
                if later and self.state.step >= later[0]:
                    break
                r = SMALL.n_frames_per_step
                yield collate(corpus, indices, self.recipe, r, chance).to(self.device)

    def train(self) -> Tacotron2:
        """Run to the recipe's last step and return the averaged model."""
        recipe, means = self.recipe, Means()
        schedule = Schedule(recipe.peak_rate, recipe.end_rate, recipe.steps, recipe.hold)
        batches = self.batches()
        self.trainee.train()
        self.on_step(self.state.step)
        while self.state.step < recipe.steps:
            step = self.state.step
            loss, parts = self.trainee.losses(
                next(batches),
                recipe,
                frame_drop=_between(step, *recipe.frame_drop, 0, recipe.steps),
                guide=_between(step, *recipe.guide, *recipe.settled),
                postnet=step >= recipe.postnet_from,
            )
            rate = schedule.rate(step)
            norm = self.state.advance(loss, rate, recipe.clip)
            means.add({**parts, "norm": norm})
            self.on_step(self.state.step)
            if self.state.step % 50 == 0:
                self.log.write(self.state.step, {**means.take(), "rate": rate})
            if self.state.step % recipe.save_every == 0:
                self.state.save()
        self.state.save()
        averaged = self.state.average.model
        assert isinstance(averaged, Trainee)
        return averaged.model
