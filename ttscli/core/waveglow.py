"""WaveGlow: a flow between audio and noise, given the mel spectrogram (arXiv 1811.00002)."""

# The sections named here are the paper's. Beside B, M, F and S, shapes have G, the samples of a
# group, and L = S / G, the groups.

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ttscli.core.configs import WaveGlowConfig
from ttscli.core.flow import Flow, WaveGlowOutput
from ttscli.core.noise import Generators, draw_normal, row_generators


def squeeze(x: Tensor, n_group: int) -> Tensor:
    """(B, C, S) to (B, C * G, L): each group of samples becomes channels (start of section 2)."""
    batch, channels, samples = x.shape
    grouped = x.reshape(batch, channels, samples // n_group, n_group)
    return grouped.transpose(2, 3).flatten(1, 2)


class WaveGlow(Flow):
    """Audio to noise (`forward`, for training) and noise to audio (`infer`), given a mel."""

    def __init__(self, config: WaveGlowConfig) -> None:
        mels = config.n_mel_channels
        super().__init__(config, n_cond=mels * config.n_group)
        self.config = config
        self.upsample = nn.ConvTranspose1d(
            mels, mels, config.upsample_kernel_size, stride=config.hop_length
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
        return self.encode(squeeze(audio.unsqueeze(1), self.config.n_group), condition)

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
        x = self.decode([sigma * draw.to(mel) for draw in noise], condition, mask=mask)
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
