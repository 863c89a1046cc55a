"""The built-in voice's vocoder: WaveGlow's flow over a lapped transform, with a harmonic source.

What is the paper's (arXiv 1811.00002): invertible 1x1 convolutions, affine couplings with the
network of `flow.CouplingNet`, early outputs, and training by likelihood. What is ours:

- audio is squeezed into channels by an orthonormal MDCT whose frames lie on the mel's frames, in
  place of cutting it into groups of samples; its determinant is 1;
- the first step of the flow scales each bin by what the mel says of its energy;
- every coupling also sees a pulse train at the pitch that a small network reads off the mel.

A thirtieth of the paper's multiplications are left. Tensor letters: B batch, F mel frames, M mel
bins, N bins of the transform (= hop_length), S samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttscli.core.configs import HarmonicWaveGlowConfig, MelConfig
from ttscli.core.flow import Flow, Invertible1x1, WaveGlowOutput
from ttscli.core.mel import mel_centers
from ttscli.core.noise import Generators, draw_normal, row_generators
from ttscli.core.tacotron2_layers import length_mask

_SILENT_LOG_SCALE = -8.1  # of bins above the mel's range, where the training audio has only dither


class LappedTransform(nn.Module):
    """Orthonormal MDCT with a sine window (Princen and Bradley 1986), and its sine twin."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, n_bins: int) -> None:
        super().__init__()
        self.n_bins = n_bins
        n = torch.arange(2 * n_bins, dtype=torch.float64)
        bins = torch.arange(n_bins, dtype=torch.float64)[:, None]
        angle = math.pi / n_bins * (n + 0.5 + n_bins / 2) * (bins + 0.5)
        window = torch.sin(math.pi * (n + 0.5) / (2 * n_bins)) * math.sqrt(2 / n_bins)
        self.register_buffer("cosine", (window * angle.cos()).float()[:, None], persistent=False)
        self.register_buffer("sine", (window * angle.sin()).float()[:, None], persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Audio (B, (F + 1) · N) to bins (B, N, F); frame f is centred on sample (f + 1) · N."""
        return F.conv1d(audio[:, None], self.cosine, stride=self.n_bins)

    def both(self, audio: Tensor, bins: int) -> Tensor:
        """The lowest bins of the transform and of its sine twin: (B, 2 · bins, F)."""
        kernel = torch.cat([self.cosine[:bins], self.sine[:bins]])
        return F.conv1d(audio[:, None], kernel, stride=self.n_bins)

    def inverse(self, bins: Tensor) -> Tensor:
        """Bins (B, N, F) to audio (B, (F + 1) · N), right but for its first and last N samples."""
        return F.conv_transpose1d(bins, self.cosine, stride=self.n_bins)[:, 0]


class PitchNet(nn.Module):
    """Reads the logarithm of F0 and a voicing logit off each mel frame."""

    def __init__(self, n_mels: int, n_channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv1d(n_mels, n_channels, 5, padding=2),
                nn.Conv1d(n_channels, n_channels, 5, padding=2),
                nn.Conv1d(n_channels, n_channels, 5, padding=4, dilation=2),
            ]
        )
        self.end = nn.Conv1d(n_channels, 2, 1)

    def forward(self, mel: Tensor, mask: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """Normalised mel (B, M, F) to log F0 (natural, Hz) and voicing logit, (B, F) each."""
        x = mel * mask
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1) * mask
        log_f0, voicing = self.end(x).unbind(1)
        return log_f0 * 0.2 + math.log(165), voicing


def pulse_train(phase: Tensor, amplitude: Tensor, n_harmonics: Tensor | int) -> Tensor:
    """Sum of equal cosines at multiples of a phase, in closed form (Dirichlet's kernel).

    Args:
        phase: of the fundamental, radians (B, S).
        amplitude: of each harmonic (B, S).
        n_harmonics: how many there are, a number or (B, S).
    """
    half = phase / 2
    below = half.sin()
    near = below.abs() < 2e-3  # the limit at a pulse: every cosine is 1
    count = torch.as_tensor(n_harmonics).to(phase)
    kernel = (count * half).sin() * ((count + 1) * half).cos() / torch.where(near, 1.0, below)
    return amplitude * torch.where(near, count, kernel)


def interpolate_frames(values: Tensor, hop_length: int) -> Tensor:
    """Values at frames (B, F + 1) to values at samples (B, F · hop), linearly in between."""
    places = torch.arange(hop_length, device=values.device).to(values) / hop_length
    left, right = values[:, :-1, None], values[:, 1:, None]
    return (left + (right - left) * places).flatten(1)


class HarmonicWaveGlow(Flow):
    """Audio to noise (`forward`, for training) and noise to audio (`infer`), given a mel."""

    def __init__(self, config: HarmonicWaveGlowConfig | None = None) -> None:
        c = config or HarmonicWaveGlowConfig()
        super().__init__(c, n_cond=c.n_condition, n_side=2 * c.n_source)
        self.config = c
        self.transform = LappedTransform(c.hop_length)
        self.pitch = PitchNet(c.n_mel_channels, c.n_pitch_channels)
        self.condition_in = nn.Conv1d(c.n_mel_channels, c.n_condition, 5, padding=2)
        self.condition_out = nn.Conv1d(c.n_condition, c.n_condition, 1)
        self.mel_scale = nn.Conv1d(c.n_mel_channels, c.hop_length, 1)
        self.residual_scale = nn.Conv1d(c.n_condition, c.hop_length, 1)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Start from what is known: the mel's energy at each bin, and neighbours in both halves.

        The 1x1 convolutions start as permutations that put every second bin into the half that the
        coupling changes, so that each bin is predicted from its neighbours; high bins leave first.
        """
        c = self.config
        hz = (torch.arange(c.hop_length) + 0.5) * c.sample_rate / 2 / c.hop_length
        config = MelConfig(sample_rate=c.sample_rate, n_mels=c.n_mel_channels)
        centers = mel_centers(config)[1:-1].float()
        right = torch.searchsorted(centers, hz).clamp(1, c.n_mel_channels - 1)
        share = ((hz - centers[right - 1]) / (centers[right] - centers[right - 1])).clamp(0, 1)
        weight = torch.zeros(c.hop_length, c.n_mel_channels)
        rows = torch.arange(c.hop_length)
        weight[rows, right - 1], weight[rows, right] = 1 - share, share
        weight[hz > config.f_max] = 0
        self.mel_scale.weight.copy_(weight[..., None])
        bias = torch.where(hz > config.f_max, _SILENT_LOG_SCALE, 0.2)
        cast(Tensor, self.mel_scale.bias).copy_(bias)
        for parameter in self.residual_scale.parameters():
            nn.init.zeros_(parameter)
        bins = list(range(c.hop_length))
        for k, invertible in enumerate(self.invertible):
            if c.leaves_early(k):
                bins = bins[c.n_early_size :]
            falling = sorted(bins, reverse=True)
            order = falling[k % 2 :: 2] + falling[1 - k % 2 :: 2]
            permutation = torch.zeros(len(bins), len(bins))
            permutation[torch.arange(len(bins)), torch.tensor([bins.index(b) for b in order])] = 1
            cast(Invertible1x1, invertible).weight.copy_(permutation)
            bins = order

    def forward(self, audio: Tensor, mel: Tensor, source: Tensor) -> WaveGlowOutput:
        """The noise behind the audio.

        Args:
            audio: (B, (F + 1) · N), from N samples before the first frame's centre on.
            mel: (B, M, F).
            source: the pulse train over the same samples as the audio.
        """
        condition, scale = self._condition(mel)
        harmonics = self.transform.both(source, self.config.n_source)
        output = self.encode(self.transform(audio) * (-scale).exp(), condition, harmonics)
        return output._replace(log_s=(-scale, *output.log_s))

    @torch.no_grad()
    def infer(
        self,
        mel: Tensor,
        sigma: float = 1.0,
        noise: Sequence[Tensor] | None = None,
        generator: Generators = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """The audio behind noise: each flow undone, from the last to the first.

        Args:
            mel: (B, M, F) log mel.
            sigma: standard deviation of the noise.
            noise: the unscaled draws (B, channels, F + 1), channels as in `config.noise_channels`.
            generator: where the noise comes from if it is not given; see `row_generators`.
            lengths: (B,) frames of each row. Rows then come out as they would alone, and are
                silent after their ends.

        Returns:
            (B, S) audio, S = F · hop_length.
        """
        batch, _, frames = mel.shape
        if not 0 <= sigma < math.inf:
            raise ValueError(f"sigma must be a finite number of at least 0, not {sigma}")
        if lengths is None:
            lengths = torch.full((batch,), frames, device=mel.device)
        # The last samples of a row need a frame that begins behind it: its last frame once more.
        places = torch.arange(frames + 1, device=mel.device).clamp(max=(lengths - 1)[:, None])
        mel = mel.gather(2, places[:, None].expand(-1, mel.shape[1], -1))
        mask = length_mask(lengths + 1, frames + 1)[:, None].to(mel)
        if noise is None:
            rows = [int(length) + 1 for length in lengths]
            generators = row_generators(generator, batch)
            channels = self.config.noise_channels
            noise = [draw_normal(generators, n, rows, mel, frames + 1) for n in channels]
        scaled = [sigma * draw.to(mel) for draw in noise]
        hop = self.config.hop_length
        audio = self.sample(mel, self.source(mel, mask), scaled, mask)[:, hop:-hop]
        return audio * length_mask(lengths * hop, audio.shape[1])

    def sample(
        self, mel: Tensor, source: Tensor, noise: Sequence[Tensor], mask: Tensor | None = None
    ) -> Tensor:
        """The inverse of `forward`: audio (B, (F + 1) · N), right but for its first and last N.

        Args:
            mel: (B, M, F).
            source: the pulse train (B, (F + 1) · N).
            noise: what is left after the last flow, then the early outputs from the last to the
                first, scaled.
            mask: (B, 1, F), 1 within each row; none if all rows have the same length.
        """
        condition, scale = self._condition(mel, 1.0 if mask is None else mask)
        harmonics = self.transform.both(source, self.config.n_source)
        harmonics = harmonics if mask is None else harmonics * mask
        bins = self.decode(noise, condition, harmonics, mask) * scale.exp()
        audio: Tensor = self.transform.inverse(bins)
        return audio

    def source(self, mel: Tensor, mask: Tensor | float = 1.0) -> Tensor:
        """The pulse train of a mel (B, M, F): (B, (F + 1) · N), aligned as `forward` needs it."""
        c = self.config
        log_f0, voicing = self.read_pitch(mel, mask)
        edges = [0, *range(mel.shape[2]), mel.shape[2] - 1]  # a frame more at each end
        f0 = log_f0.double().exp()[:, edges]
        voiced = (voicing > 0).double()[:, edges]
        # In float64: the phase of an hour of speech is millions of radians.
        step = interpolate_frames(f0, c.hop_length) / c.sample_rate
        return self.excitation(2 * math.pi * (step.cumsum(1) % 1), f0, voiced).to(mel)

    def read_pitch(self, mel: Tensor, mask: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """Natural logarithm of F0 in Hz and voicing logit of log-mels (B, M, F): (B, F) each."""
        log_f0, voicing = self.pitch(_normalise(mel), mask)
        return log_f0, voicing

    def excitation(self, phase: Tensor, f0: Tensor, voiced: Tensor) -> Tensor:
        """The pulse train (B, (F + 1) · N), with no harmonic above half the sample rate.

        Args:
            phase: of the fundamental, radians, at each sample (B, (F + 1) · N).
            f0: in Hz at the frames' borders (B, F + 2).
            voiced: 0 or 1 at the frames' borders (B, F + 2).
        """
        c = self.config
        count = (c.sample_rate / 2 / f0).floor().clamp(max=c.n_harmonics)
        harmonics = count[:, :-1].repeat_interleave(c.hop_length, 1)
        return pulse_train(phase, 0.1 * interpolate_frames(voiced, c.hop_length), harmonics)

    def _condition(self, mel: Tensor, mask: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """Conditioning (B, n_condition, F) and each bin's log scale (B, N, F)."""
        normalised = _normalise(mel) * mask
        hidden = F.leaky_relu(self.condition_in(normalised), 0.1) * mask
        condition = F.leaky_relu(self.condition_out(hidden), 0.1)
        return condition, self.mel_scale(mel) + self.residual_scale(condition)


def _normalise(mel: Tensor) -> Tensor:
    """Log-mels brought near zero mean and unit variance."""
    return (mel + 5) * 0.4
