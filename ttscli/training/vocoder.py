"""Training of the built-in voice's vocoder on the teacher's speech.

First the network that reads pitch off the mel, then the flow: by likelihood alone, and over the
last quarter also by the mel spectrograms, at several resolutions, of what it says. Half of the mels
are the recording's, half those that Tacotron 2 predicts for it, whose blur it has to live with.

Tensor letters: B batch, F mel frames, M mel bins, N bins of the lapped transform, S samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ttscli.core.configs import MelConfig
from ttscli.core.flow import loss as flow_loss
from ttscli.core.harmonic_waveglow import HarmonicWaveGlow
from ttscli.core.mel import Stft, mel_filterbank
from ttscli.core.noise import draw_normal, row_generators
from ttscli.training import pitch
from ttscli.training.corpus import DITHER, Corpus
from ttscli.training.loop import Log, Means, OnStep, Schedule, TrainingState, ignore


@dataclass(frozen=True)
class Recipe:
    """How the vocoder is trained; shares of progress are of all steps."""

    steps: int = 8000
    """Optimizer steps of the flow."""
    pitch_steps: int = 2500
    """Optimizer steps of the pitch network, which is trained first."""
    peak_rate: float = 1.5e-3
    """Learning rate on the plateau."""
    end_rate: float = 3e-5
    """Learning rate at the end."""
    hold: float = 0.35
    """Share of progress after which the rate falls."""
    crops: int = 6
    """Pieces of speech in a batch."""
    frames: int = 48
    """Mel frames in a piece."""
    listen_from: float = 0.75
    """Share of progress from which samples are compared by their mels."""
    flow_weight: float = 5.0
    """Weight of the likelihood from then on; the mel distance weighs 1."""
    predicted: float = 0.5
    """Share of the crops whose mel is Tacotron 2's."""
    sigma: float = 0.8
    """Standard deviation of the noise of the samples that are compared."""
    average: float = 0.995
    """Decay of the averaged weights."""
    clip: float = 5.0
    """Largest norm of a gradient."""
    seed: int = 0
    """Of weights, crops and noise."""
    save_every: int = 200
    """Steps between saved states."""

    def onwards(self) -> Recipe:
        """The recipe for weights that speak already: a lower rate."""
        return replace(self, peak_rate=1e-3)


@dataclass(frozen=True)
class Piece:
    """Crops of speech side by side."""

    audio: Tensor
    """Dithered samples (B, (F + 1) · N), from N before the first frame's centre on."""
    mel: Tensor
    """Log-mels (B, M, F)."""
    phase: Tensor
    """Phase of the pulses, radians, at the audio's samples (B, (F + 1) · N)."""
    f0: Tensor
    """F0 in Hz at the frames' borders (B, F + 2)."""
    voiced: Tensor
    """0 or 1 at the frames' borders (B, F + 2)."""

    def to(self, device: torch.device) -> Piece:
        """The same crops on a device."""
        return Piece(*(tensor.to(device) for tensor in vars(self).values()))


def analyse_shard(folder: Path, name: str) -> None:
    """Find the pitch of a shard's utterances and write it beside them, as `NNN.pitch.npz`.

    Utterances without voice get F0 0 everywhere.
    """
    corpus = Corpus(folder, [name])
    config = MelConfig()
    phases, f0s, voiced = [], [], []
    for i, record in enumerate(corpus.records):
        found = pitch.analyse(corpus.audio(i).astype(float), config.sample_rate, config.hop_length)
        if found is None:
            found = pitch.Pitch(
                np.zeros(record.frames, np.float32),
                np.zeros(record.frames, np.bool_),
                np.zeros(record.samples, np.float32),
            )
        phases.append(found.phase.astype(np.float16))
        f0s.append(found.f0)
        voiced.append(found.voiced)
    target = folder / f"{name}.pitch.npz"
    partial = folder / f"{name}.pitch.partial.npz"
    np.savez(
        partial, phase=np.concatenate(phases), f0=np.concatenate(f0s), voiced=np.concatenate(voiced)
    )
    partial.replace(target)


class Crops:
    """Random pieces of the utterances whose pitch is known.

    Args:
        folder: of the shards.
        names: which of them; None for all whose pitch is there.
        predicted: share of the pieces whose mel is Tacotron 2's, see `tacotron2.predict_shard`.
    """

    def __init__(
        self, folder: Path, names: list[str] | None = None, predicted: float = 0.0
    ) -> None:
        if names is None:
            names = sorted(file.name.split(".")[0] for file in folder.glob("*.pitch.npz"))
        self.corpus, self._share = Corpus(folder, names), predicted
        self._predicted: list[NDArray[np.float16]] = []
        if predicted:
            files = [folder / f"{name}.predicted.npy" for name in names]
            self._predicted = [np.load(file, mmap_mode="r") for file in files]
        pitches = [dict(np.load(folder / f"{name}.pitch.npz")) for name in names]
        self._phase = np.concatenate([p["phase"] for p in pitches])
        self._f0 = np.concatenate([p["f0"] for p in pitches])
        self._voiced = np.concatenate([p["voiced"] for p in pitches])
        records = self.corpus.records
        self._samples = np.cumsum([0] + [record.samples for record in records])
        self._frames = np.cumsum([0] + [record.frames for record in records])

    def draw(self, count: int, frames: int, chance: np.random.Generator) -> Piece:
        """`count` pieces of `frames` frames, each utterance as likely as it is long."""
        records, hop = self.corpus.records, MelConfig().hop_length
        room = np.array([max(0, r.frames - frames - 1) for r in records])
        room[self._f0[self._frames[:-1]] == 0] = 0
        rows = []
        for i in chance.choice(len(records), count, p=room / room.sum()):
            first = int(chance.integers(1, room[i] + 1))
            samples = slice((first - 1) * hop, (first + frames) * hop)
            here = self._samples[i] + np.arange(samples.start, samples.stop)
            borders = self._frames[i] + np.arange(first - 1, first + frames + 1)
            rows.append(
                (
                    self.corpus.audio(i)[samples]
                    + chance.standard_normal(len(here)).astype(np.float32) * DITHER,
                    self._mel(i, chance)[first : first + frames].T,
                    self._phase[here].astype(np.float32),
                    self._f0[borders],
                    self._voiced[borders].astype(np.float32),
                )
            )
        return Piece(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))

    def _mel(self, index: int, chance: np.random.Generator) -> NDArray[np.float32]:
        """Log-mel of an utterance (F, M): the recording's, or the one predicted for it."""
        if chance.random() >= self._share:
            return self.corpus.mel(index)
        return self.corpus.mel_of(self._predicted, index)


def blurred(mel: Tensor, chance: np.random.Generator) -> Tensor:
    """Log-mels (B, M, F) as a weak acoustic model would say them: blurred both ways, and noisy."""
    noise = torch.from_numpy(chance.standard_normal(mel.shape).astype(np.float32)).to(mel)
    x = mel + noise * float(chance.uniform(0, 0.3))
    for axis, most in ((1, 1.2), (2, 1.5)):
        width = float(chance.uniform(0.05, most))
        taps = torch.exp(-(torch.arange(-4, 5, device=mel.device) ** 2) / (2 * width**2))
        rows = x.transpose(axis, 2)
        shape = rows.shape
        padded = F.pad(rows.reshape(-1, 1, shape[2]), (4, 4), mode="replicate")
        rows = F.conv1d(padded, (taps / taps.sum()).to(mel)[None, None])
        x = rows.view(shape).transpose(axis, 2)
    return x


class MelDistance(nn.Module):
    """Mean distance of log-mels at several resolutions.

    Mel filters and not single bins: a distance of bins rewards combs of tones in place of noise.
    """

    _RESOLUTIONS = ((2048, 120), (1024, 80), (512, 40), (256, 20))  # n_fft, mel bins

    def __init__(self) -> None:
        super().__init__()
        configs = [
            MelConfig(n_fft=n_fft, hop_length=n_fft // 4, win_length=n_fft, n_mels=n_mels)
            for n_fft, n_mels in self._RESOLUTIONS
        ]
        self.stfts = nn.ModuleList(Stft(config) for config in configs)
        for i, config in enumerate(configs):
            bank = mel_filterbank(config)
            scale = (1024 / config.n_fft) ** 0.5 / bank.sum(1, keepdim=True).clamp(min=1e-9)
            self.register_buffer(f"bank_{i}", bank * scale, persistent=False)

    def _mels(self, audio: Tensor) -> Iterator[Tensor]:
        for i, stft in enumerate(self.stfts):
            spectrum = torch.view_as_real(stft(audio)).square().sum(-1)
            yield (self.get_buffer(f"bank_{i}") @ (spectrum + 1e-7).sqrt() + 3e-3).log()

    def forward(self, audio: Tensor, target: Tensor) -> Tensor:
        """Distance of audio (B, S) and target (B, S), a scalar."""
        pairs = zip(self._mels(audio), self._mels(target), strict=True)
        return torch.stack([(mine - theirs).abs().mean() for mine, theirs in pairs]).mean()


class Trainer:
    """Trains and saves; started again on the same folder it goes on where it was.

    Args:
        corpus_folder: speech whose pitch is known.
        folder: for the state and the log.
        recipe: how to train.
        device: where.
        on_step: is told how many steps are done, those of the pitch network among them.
        start: a model to go on from, in place of random weights.
    """

    def __init__(
        self,
        corpus_folder: Path,
        folder: Path,
        recipe: Recipe,
        device: str,
        on_step: OnStep = ignore,
        start: HarmonicWaveGlow | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.on_step = recipe, torch.device(device), on_step
        self.crops = Crops(corpus_folder, predicted=recipe.predicted)
        self.model = HarmonicWaveGlow().to(self.device)
        if start is not None:
            self.model.load_state_dict(start.state_dict())
        self.distance = MelDistance().to(self.device)
        self.log = Log(folder / "log.jsonl")
        self.train_pitch(folder / "pitch.pt")
        self.model.pitch.requires_grad_(False)
        optimizer = torch.optim.Adam(self.model.parameters(), betas=(0.9, 0.99))
        self.state = TrainingState(folder / "state.pt", self.model, optimizer, recipe.average)

    def train_pitch(self, path: Path) -> None:
        """Train the network that reads pitch off the mel, on blurred and noisy mels too.

        Args:
            path: of its state.
        """
        recipe, means, net = self.recipe, Means(), self.model.pitch
        state = TrainingState(path, net, torch.optim.Adam(net.parameters()), recipe.average)
        schedule = Schedule(2e-3, 2e-5, recipe.pitch_steps, 0.3)
        while state.step < recipe.pitch_steps:
            chance = np.random.default_rng([recipe.seed, 1, state.step])
            piece = self.crops.draw(16, 64, chance).to(self.device)
            f0, voiced = piece.f0[:, 1:-1].log(), piece.voiced[:, 1:-1]
            mel = piece.mel if state.step % 2 else blurred(piece.mel, chance)
            log_f0, voicing = self.model.read_pitch(mel)
            error = ((log_f0 - f0).abs() * voiced).sum() / voiced.sum()
            loss = 10 * error + F.binary_cross_entropy_with_logits(voicing, voiced)
            state.advance(loss, schedule.rate(state.step), recipe.clip)
            self.on_step(state.step)
            wrong = ((voicing > 0) != (voiced > 0.5)).float().mean()
            means.add({"f0_error": error.detach(), "voicing_error": wrong})
            if state.step % 100 == 0:
                self.log.write(state.step - recipe.pitch_steps, means.take())
            if state.step % recipe.save_every == 0 or state.step == recipe.pitch_steps:
                state.save()
        net.load_state_dict(state.average.model.state_dict())

    def train(self) -> HarmonicWaveGlow:
        """Run to the recipe's last step and return the averaged model."""
        recipe, means = self.recipe, Means()
        schedule = Schedule(recipe.peak_rate, recipe.end_rate, recipe.steps, recipe.hold)
        self.on_step(recipe.pitch_steps + self.state.step)
        while self.state.step < recipe.steps:
            step = self.state.step
            chance = np.random.default_rng([recipe.seed, step])
            piece = self.crops.draw(recipe.crops, recipe.frames, chance).to(self.device)
            parts = self.losses(piece, step >= recipe.listen_from * recipe.steps)
            loss = parts["flow"]
            if "mel" in parts:
                loss = recipe.flow_weight * loss + parts["mel"]
            rate = schedule.rate(step)
            norm = self.state.advance(loss, rate, recipe.clip)
            means.add({**{name: part.detach() for name, part in parts.items()}, "norm": norm})
            self.on_step(recipe.pitch_steps + self.state.step)
            if self.state.step % 50 == 0:
                self.log.write(self.state.step, {**means.take(), "rate": rate})
            if self.state.step % recipe.save_every == 0:
                self.state.save()
        self.state.save()
        model = self.state.average.model
        assert isinstance(model, HarmonicWaveGlow)
        return model

    def losses(self, piece: Piece, listen: bool) -> dict[str, Tensor]:
        """Negative log-likelihood per sample and, if asked for, the mel distance of a sample."""
        model, hop = self.model, self.model.config.hop_length
        source = model.excitation(piece.phase, piece.f0, piece.voiced)
        parts = {"flow": flow_loss(model(piece.audio, piece.mel, source))}
        if listen:
            B, _, frames = piece.mel.shape
            generators = row_generators(torch.Generator().manual_seed(self.state.step), B)
            noise = [
                self.recipe.sigma * draw_normal(generators, n, [frames] * B, piece.mel)
                for n in model.config.noise_channels
            ]
            said = model.sample(piece.mel, source, noise)
            parts["mel"] = self.distance(said[:, hop:-hop], piece.audio[:, hop:-hop])
        return parts
