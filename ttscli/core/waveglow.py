"""WaveGlow: a flow between audio and noise, given the mel spectrogram (arXiv 1811.00002)."""

# The sections named here are the paper's. Beside B, M, F and S, shapes have G, the samples of a
# group, and L = S / G, the groups.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttscli.core.configs import WaveGlowConfig
from ttscli.core.noise import Generators, draw_normal, row_generators


class WaveGlowOutput(NamedTuple):
    """What the flow makes of audio, with all that its likelihood needs."""

    z: Tensor
    """(B, G, L): early outputs first, standard normal times sigma if the model is good."""
    log_s: tuple[Tensor, ...]
    """The log scales (B, channels / 2, L) of each flow's coupling."""
    log_det_w: tuple[Tensor, ...]
    """log |det W| of each flow's 1x1 convolution, times B * L: the sum over all positions."""


def loss(output: WaveGlowOutput, sigma: float = 1.0) -> Tensor:
    """Negative log-likelihood per sample of audio, without its constant (end of section 2.2)."""
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0 in the loss, not {sigma}")
    prior = output.z.square().sum() / (2 * sigma**2)
    log_det = sum(log_s.sum() for log_s in output.log_s) + sum(output.log_det_w)
    return (prior - log_det) / output.z.numel()


def squeeze(x: Tensor, n_group: int) -> Tensor:
    """(B, C, S) to (B, C * G, L): each group of samples becomes channels (start of section 2)."""
    batch, channels, samples = x.shape
    grouped = x.reshape(batch, channels, samples // n_group, n_group)
    return grouped.transpose(2, 3).flatten(1, 2)


class CouplingNet(nn.Module):
    """The WaveNet-like network that gives an affine coupling its scale and shift (section 2.1).

    Its convolutions look both ways in time: unlike WaveNet's, they need not be causal, because the
    half of the channels they read is known as a whole in both directions of the flow.

    Args:
        n_in: channels of the half that is left unchanged.
        n_out: channels of the result.
        n_cond: channels of the conditioning.
        n_channels: channels C of the hidden state.
        n_layers: dilated convolutions; layer i has dilation 2^i.
        kernel_size: taps of each dilated convolution, odd.
    """

    def __init__(
        self, n_in: int, n_out: int, n_cond: int, n_channels: int, n_layers: int, kernel_size: int
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd to keep the length, not {kernel_size}")
        self.start = nn.Conv1d(n_in, n_channels, 1)
        self.conditioning = nn.Conv1d(n_cond, 2 * n_channels * n_layers, 1)
        self.in_layers = nn.ModuleList()
        self.res_skip_layers = nn.ModuleList()
        for i in range(n_layers):
            padding = 2**i * (kernel_size - 1) // 2
            self.in_layers.append(
                nn.Conv1d(n_channels, 2 * n_channels, kernel_size, dilation=2**i, padding=padding)
            )
            last = i == n_layers - 1
            self.res_skip_layers.append(
                nn.Conv1d(n_channels, n_channels if last else 2 * n_channels, 1)
            )
        self.end = nn.Conv1d(n_channels, n_out, 1)
        # A coupling starts as the identity, which keeps the first steps of training stable.
        for parameter in self.end.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scale and shift, not yet split.

        Args:
            x: (B, n_in, L), the unchanged half.
            condition: (B, n_cond, L).
            mask: (B, 1, L), 1 within each row and 0 after its end. With it, each row is what it
                would be without its padding: every convolution sees zeros after the row's end.

        Returns:
            (B, n_out, L), zero where the mask is.
        """
        hidden = self.start(x)
        skips = torch.zeros_like(hidden)
        # One product per layer, not one for all: L times fewer numbers are alive at once.
        n_layers = len(self.in_layers)
        weights, biases = (p.chunk(n_layers) for p in self.conditioning.parameters())
        layers = zip(self.in_layers, self.res_skip_layers, weights, biases, strict=True)
        for in_layer, res_skip, weight, bias in layers:
            if mask is not None:
                hidden = hidden * mask
            gates = in_layer(hidden) + F.conv1d(condition, weight, bias)
            filtered, gate = gates.chunk(2, dim=1)
            res_skip_out = res_skip(torch.tanh(filtered) * torch.sigmoid(gate))
            *residual, skip = res_skip_out.split(hidden.shape[1], dim=1)
            skips = skips + skip
            if residual:  # the last layer has a skip only
                hidden = hidden + residual[0]
        out: Tensor = self.end(skips)
        return out if mask is None else out * mask


class Invertible1x1(nn.Module):
    """The invertible 1x1 convolution that mixes the channels before each coupling (section 2.2)."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_channels, n_channels))
        nn.init.orthogonal_(self.weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W x for x (B, n, L), and log |det W| summed over its B * L positions."""
        positions = x.shape[0] * x.shape[2]
        log_det = torch.linalg.slogdet(self._precise_weight())[1]
        return self.weight @ x, positions * log_det

    def inverse(self, x: Tensor) -> Tensor:
        """W^-1 x for x (B, n, L).

        W is inverted at each call and not cached: an n x n matrix takes microseconds, and a cache
        would go stale in training.
        """
        inverse: Tensor = torch.linalg.inv(self._precise_weight())
        return inverse.to(x.dtype) @ x

    def _precise_weight(self) -> Tensor:
        """W in float32 at least: inverses and determinants do not exist in half precision."""
        return self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))


class WaveGlow(nn.Module):
    """Audio to noise (`forward`, for training) and noise to audio (`infer`), given a mel."""

    def __init__(self, config: WaveGlowConfig) -> None:
        super().__init__()
        self.config = config
        mels, group = config.n_mel_channels, config.n_group
        self.upsample = nn.ConvTranspose1d(
            mels, mels, config.upsample_kernel_size, stride=config.hop_length
        )
        self.invertible = nn.ModuleList(Invertible1x1(n) for n in config.flow_channels)
        self.couplings = nn.ModuleList(
            CouplingNet(
                n_in=n // 2,
                n_out=n,
                n_cond=mels * group,
                n_channels=config.n_channels,
                n_layers=config.n_layers,
                kernel_size=config.kernel_size,
            )
            for n in config.flow_channels
        )

    def forward(self, audio: Tensor, mel: Tensor) -> WaveGlowOutput:
        """The noise behind the audio.

        Args:
            audio: (B, S), in [-1, 1]; S a multiple of G.
            mel: (B, M, F), the audio's log mel; at least as long as the audio.
        """
        self._check_mel(mel)
        self._check_audio(audio, mel)
        condition = self._condition(mel, audio.shape[1])
        x = squeeze(audio.unsqueeze(1), self.config.n_group)
        early, log_s, log_det_w = [], [], []
        for k, (invertible, coupling) in enumerate(
            zip(self.invertible, self.couplings, strict=True)
        ):
            if self.config.leaves_early(k):
                size = self.config.n_early_size
                early.append(x[:, :size])
                x = x[:, size:]
            x, log_det = invertible(x)
            unchanged, changed = x.chunk(2, dim=1)
            shift, log_scale = coupling(unchanged, condition).chunk(2, dim=1)
            x = torch.cat([unchanged, log_scale.exp() * changed + shift], dim=1)
            log_s.append(log_scale)
            log_det_w.append(log_det)
        return WaveGlowOutput(torch.cat([*early, x], dim=1), tuple(log_s), tuple(log_det_w))

    @torch.no_grad()
    def infer(
        self,
        mel: Tensor,
        sigma: float = 1.0,
        noise: Sequence[Tensor] | None = None,
        generator: Generators = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """The audio behind noise: each flow undone, from the last to the first (section 2.4).

        Args:
            mel: (B, M, F) log mel.
            sigma: standard deviation of the noise.
            noise: the unscaled draws (B, channels, L), channels as in `config.noise_channels`.
            generator: where the noise comes from if it is not given; see `row_generators`.
            lengths: (B,) frames of each row. Rows then come out as they would alone, and are
                silent after their ends.

        Returns:
            (B, S) audio, S = F * hop_length.
        """
        self._check_mel(mel)
        if not 0 <= sigma < math.inf:
            raise ValueError(f"sigma must be a finite number of at least 0, not {sigma}")
        if noise is not None:
            self._check_noise(mel, noise)
        mask = None
        if lengths is not None:
            mel, mask = self._mask_padding(mel, lengths)
        condition = self._condition(mel, mel.shape[2] * self.config.hop_length)
        if noise is None:
            noise = self._draw(mel, generator, lengths)
        x, *early = (sigma * draw.to(mel) for draw in noise)
        for k in reversed(range(self.config.n_flows)):
            unchanged, changed = x.chunk(2, dim=1)
            shift, log_scale = self.couplings[k](unchanged, condition, mask).chunk(2, dim=1)
            x = torch.cat([unchanged, (changed - shift) * (-log_scale).exp()], dim=1)
            x = cast(Invertible1x1, self.invertible[k]).inverse(x)
            if self.config.leaves_early(k):
                x = torch.cat([early.pop(0), x], dim=1)
        if mask is not None:
            x = x * mask
        return x.transpose(1, 2).flatten(1)

    def _condition(self, mel: Tensor, samples: int) -> Tensor:
        """The mel (B, M, F) at the rate of the audio, in the audio's groups: (B, M * G, L)."""
        return squeeze(self.upsample(mel)[:, :, :samples], self.config.n_group)

    def _draw(self, mel: Tensor, generator: Generators, lengths: Tensor | None) -> list[Tensor]:
        """The unscaled noise (B, channels, L) of each row's own generator and length."""
        batch, _, frames = mel.shape
        per_frame = self.config.groups_per_frame
        rows = [frames] * batch if lengths is None else lengths.tolist()
        groups = [row * per_frame for row in rows]
        generators = row_generators(generator, batch)
        return [
            draw_normal(generators, channels, groups, like=mel, size=frames * per_frame)
            for channels in self.config.noise_channels
        ]

    def _mask_padding(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The mel with zeros after each row, and a mask (B, 1, L): 1 within each row, 0 after it.

        The mel is cleared because whatever it holds there would meet the mask, and 0 * inf is nan.
        """
        batch, _, frames = mel.shape
        if lengths.shape != (batch,) or not all(1 <= row <= frames for row in lengths.tolist()):
            raise ValueError(
                f"lengths must be {batch} frame counts from 1 to {frames}, not {lengths.tolist()}"
            )
        positions = torch.arange(frames, device=mel.device)
        inside = (positions < lengths.to(mel.device)[:, None]).unsqueeze(1)
        mask = inside.to(mel.dtype).repeat_interleave(self.config.groups_per_frame, dim=2)
        return mel.masked_fill(~inside, 0), mask

    def _check_mel(self, mel: Tensor) -> None:
        mels = self.config.n_mel_channels
        if mel.dim() != 3 or mel.shape[1] != mels or mel.shape[2] == 0:
            raise ValueError(f"mel must be (batch, {mels}, frames), not {tuple(mel.shape)}")

    def _check_audio(self, audio: Tensor, mel: Tensor) -> None:
        if audio.dim() != 2 or audio.shape[0] != mel.shape[0]:
            raise ValueError(f"audio must be ({mel.shape[0]}, samples), not {tuple(audio.shape)}")
        group, longest = self.config.n_group, mel.shape[2] * self.config.hop_length
        samples = audio.shape[1]
        if samples == 0 or samples % group or samples > longest:
            raise ValueError(
                f"audio for this mel must have a multiple of {group} samples, "
                f"up to {longest}, not {samples}"
            )

    def _check_noise(self, mel: Tensor, noise: Sequence[Tensor]) -> None:
        groups = mel.shape[2] * self.config.groups_per_frame
        expected = [(mel.shape[0], channels, groups) for channels in self.config.noise_channels]
        shapes = [tuple(draw.shape) for draw in noise]
        if shapes != expected:
            raise ValueError(f"noise must be draws of shapes {expected}, not {shapes}")
