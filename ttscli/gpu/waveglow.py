"""WaveGlow (`core.waveglow`) as inference on a GPU: noise to audio, given mels of any lengths.

Letters: F mel frames, M mel bins, S samples; G the samples of a group, P the groups of a frame.
All rows of a batch lie on one tape in time (`gpu.tape`), of which each flow takes window after
window: what is computed does not depend on what else is in the batch, nothing is padded to the
longest row, and hidden states take no more memory for longer audio. The state is (F * P, G) in
float32: read in order, it is the audio in the end. Early outputs lie in the first channels from
the beginning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

import torch
from torch import Generator, Tensor

from ttscli.core.waveglow import WaveGlow as CoreWaveGlow
from ttscli.devices import processors
from ttscli.gpu.captured import CapturedSteps, Step
from ttscli.gpu.flows import MakeFlow, choose_flow, folded_flows, try_flow
from ttscli.gpu.graphs import Recorder
from ttscli.gpu.tape import Tape, lay

_WINDOW = 2048  # frames that are computed at once, at most
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class WaveGlow:
    """Noise to audio, given mels; prepared once from core's model, on the device it is on.

    Args:
        core: the model in float32.
        precision: of products and hidden states: fp32, fp16 or bf16. The 1x1 convolutions'
            inverses, the scales and the audio are float32.
        window: frames that are computed at once, at most.
        flow: makes a flow of its weights; the quickest way if None.
        graphs: whether the steps of common lengths are captured as CUDA graphs.
    """

    @torch.inference_mode()
    def __init__(
        self,
        core: CoreWaveGlow,
        precision: str = "fp32",
        *,
        window: int = _WINDOW,
        flow: MakeFlow | None = None,
        graphs: bool = True,
    ) -> None:
        self.config = c = core.config
        self.window, self.dtype = window, DTYPES[precision]
        self.device = core.get_parameter("upsample.weight").device
        folded = folded_flows(core)
        first = next(folded)
        mels = len(first.conditioning)
        self.taps = mels // c.n_mel_channels
        self.reach = -(-sum(layer.reach for layer in first.layers) // c.groups_per_frame)
        """Frames on each side that a frame of a flow's result depends on."""
        self.gap = max(self.taps - 1, -(-first.margin // c.groups_per_frame))
        """Frames between rows, for which neither the convolutions nor the upsampling reach."""

        recorder = Recorder(self.device) if graphs and self.device.type == "cuda" else None
        trial = partial(try_flow, first, c.n_group, self.dtype, recorder=recorder)
        with torch.cuda.device_of(first.bias):  # type: ignore[no-untyped-call]  # torch's own
            make = flow or choose_flow(self.device, self.dtype, c, trial)
            self.flows = [make(each, self.dtype) for each in chain([first], folded)]
        self.step: Step = self._undo
        if recorder is not None:
            self.step = CapturedSteps(self._undo, recorder.record)

    def draw(self, frames: Sequence[int], generators: Sequence[Generator]) -> list[list[Tensor]]:
        """The unscaled noise of rows of so many frames, each from its own generator.

        The draws (channels, F * P) of a row are in the reference's order. Where generators are the
        CPU's, the noise is the same on every device; threads then draw as fast as a GPU asks.
        """

        def row(length: int, generator: Generator) -> list[Tensor]:
            groups = length * self.config.groups_per_frame
            return [
                torch.randn(n, groups, generator=generator, device=generator.device)
                for n in self.config.noise_channels
            ]

        if len(frames) == 1:
            return [row(frames[0], generators[0])]
        with ThreadPoolExecutor(min(processors(), len(frames))) as pool:
            return list(pool.map(row, frames, generators))

    @torch.inference_mode()
    def infer(
        self, mels: Sequence[Tensor], sigma: float, noise: Sequence[Sequence[Tensor]]
    ) -> list[Tensor]:
        """The audio (S,) of each row, S = F * hop_length, in float32.

        A row comes out as it would alone, to the rounding of a product that is cut otherwise.

        Args:
            mels: log-mels (M, F).
            sigma: standard deviation of the noise.
            noise: for each row its unscaled draws, see `draw`.
        """
        self._check(mels, sigma, noise)
        tape = lay([mel.shape[1] for mel in mels], self.gap, self.reach, self.window)
        mel, mask = self._written(tape, mels)
        x = self._noise(tape, noise, mask).mul_(sigma)
        # Triton launches on what is the device at the time.
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]  # torch's own
            x = self._decoded(tape, x, mel, mask)
        hop = self.config.hop_length
        audio = x.view(-1)
        return [audio[row.start * hop : row.stop * hop].clone() for row in tape.rows]

    def _decoded(self, tape: Tape, x: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
        """All flows undone, window by window."""
        following = torch.zeros_like(x)
        per_frame = self.config.groups_per_frame
        for k in reversed(range(self.config.n_flows)):
            for window in tape.windows:
                frames = slice(window.start, window.start + window.frames)
                rows = slice(frames.start * per_frame, frames.stop * per_frame)
                kept = slice(window.skipped * per_frame, len(x[rows]) - window.skipped * per_frame)
                undone = self.step(k, x[rows], mel[frames], mask[rows])
                following[rows][kept] = undone[kept]
            x, following = following, x
        return x

    def _undo(self, k: int, x: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
        """Flow k undone: of the last channels of x (R, G), the others stay."""
        return self.flows[k](x, mel, mask)

    def _written(self, tape: Tape, mels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What each frame of the tape is conditioned on (F, taps * M), and the mask (F * P,)."""
        earlier, frames = self.taps - 1, tape.frames
        lying = torch.zeros(earlier + frames, mels[0].shape[0], device=self.device)
        mask = torch.zeros(frames, self.config.groups_per_frame, device=self.device)
        for row, mel in zip(tape.rows, mels, strict=True):
            lying[earlier + row.start : earlier + row.stop] = mel.T
            mask[row] = 1
        taps = [lying[earlier - tap : earlier - tap + frames] for tap in range(self.taps)]
        return torch.cat(taps, 1).to(self.dtype), mask.flatten()

    def _noise(self, tape: Tape, noise: Sequence[Sequence[Tensor]], mask: Tensor) -> Tensor:
        """The unscaled noise (F * P, G): what leaves earliest in the first channels."""
        per_frame, place = self.config.groups_per_frame, noise[0][0].device
        pinned = place.type == "cpu" and self.device.type == "cuda"
        lying = torch.empty(
            self.config.n_group, tape.frames * per_frame, device=place, pin_memory=pinned
        )
        for row, draws in zip(tape.rows, noise, strict=True):
            groups = slice(row.start * per_frame, row.stop * per_frame)
            end = self.config.n_group
            for draw in draws:
                lying[end - len(draw) : end, groups] = draw
                end -= len(draw)
        x = lying.to(self.device, non_blocking=True).T.contiguous()
        return x.masked_fill_(mask[:, None] == 0, 0)

    def _check(
        self, mels: Sequence[Tensor], sigma: float, noise: Sequence[Sequence[Tensor]]
    ) -> None:
        c = self.config
        if not 0 <= sigma < math.inf:
            raise ValueError(f"sigma must be a finite number of at least 0, not {sigma}")
        for mel, draws in zip(mels, noise, strict=True):
            if mel.dim() != 2 or len(mel) != c.n_mel_channels or mel.shape[1] == 0:
                shape = tuple(mel.shape)
                raise ValueError(f"mels must be ({c.n_mel_channels}, frames), not {shape}")
            groups = mel.shape[1] * c.groups_per_frame
            if [tuple(draw.shape) for draw in draws] != [(n, groups) for n in c.noise_channels]:
                raise ValueError("noise must be draws of the shapes that `draw` gives")
