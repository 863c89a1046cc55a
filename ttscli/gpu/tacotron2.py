"""Tacotron 2 (`core.tacotron2`) as inference on a GPU, in single or half precision.

Tensor letters: B batch, T text symbols, F mel frames, M mel bins; r frames of a decoder step.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ttscli.core import tacotron2 as core
from ttscli.core.noise import Generators, row_generators
from ttscli.core.tacotron2 import Tacotron2Output
from ttscli.core.tacotron2_layers import ConvolutionNorm, Encoder, Postnet, length_mask
from ttscli.gpu.decoder import STEPS, Decoded, Decoder, Texts
from ttscli.gpu.parts import Parts

_MULTIPLE = 32  # symbols and frames are filled up to: cuDNN plans anew for each other length
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Tacotron2:
    """The whole model, prepared once from the readable one; one thread at a time may use it.

    Args:
        model: in float32, wherever it is; it is left as it is.
        device: where it runs.
        precision: fp32, fp16 or bf16: of the weights and of what layers hand on; cell states,
            softmax, frames and gate are float32.
        steps: of the decoder between two looks at who has ended: no result depends on it.
        parts, graphs: see `Decoder`.
    """

    def __init__(
        self,
        model: core.Tacotron2,
        device: str | torch.device,
        precision: str = "fp32",
        steps: int = STEPS,
        parts: Parts | None = None,
        graphs: bool = True,
    ) -> None:
        self.config, self.step_limit = model.config, model.step_limit
        self._device, self._dtype = torch.device(device), DTYPES[precision]
        self._embedding = copy.deepcopy(model.embedding).to(self._device, self._dtype)
        self._encoder = self._folded(model.encoder)
        self._postnet = self._folded(model.postnet)
        self.decoder = Decoder(model.decoder, self._device, self._dtype, steps, parts, graphs)

    def _folded(self, module: Encoder | Postnet) -> nn.Module:
        """A copy whose convolutions have their batch normalisation in them."""
        folded = copy.deepcopy(module)
        folded.convolutions = nn.ModuleList(
            fuse_conv_bn_eval(layer.conv, layer.norm)
            for layer in module.convolutions
            if isinstance(layer, ConvolutionNorm)
        )
        return folded.eval().requires_grad_(False).to(self._device, self._dtype)

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

        The arguments are those of `core.tacotron2.Tacotron2.infer`; dropout is drawn where its
        generators live. A row whose numbers break ends there, with the broken frames.
        """
        symbols = sequences.shape[1]
        each = [int(length) for length in lengths.tolist()]
        held = [False] * len(each) if constrained is None else constrained.tolist()
        texts = Texts(
            memory=self.remember(sequences, lengths),
            lengths=each,
            limits=[max_steps or self.step_limit(length) for length in each],
            constrained=held,
            generators=row_generators(generator, len(each)) if prenet_dropout else None,
        )
        return self._finish(self.decoder.decode(texts, check), symbols)

    def remember(self, sequences: Tensor, lengths: Tensor) -> Tensor:
        """What the decoder reads of texts (B, T): (B, T and some more, E)."""
        sequences = F.pad(sequences, (0, -sequences.shape[1] % _MULTIPLE))
        memory: Tensor = self._encoder(self._embedding(sequences), lengths)
        return memory

    def _finish(self, decoded: Decoded, symbols: int) -> Tacotron2Output:
        """Apply the postnet within each row's own frames, and repeat steps to frames."""
        M, r = self.config.n_mel_channels, self.config.n_frames_per_step
        B, L = decoded.gates.shape
        steps, ended = torch.tensor(
            [decoded.steps, decoded.fired], dtype=torch.int64, device=self._device
        )
        mask = length_mask(steps * r, L * r)[:, None]
        mel = decoded.frames.reshape(B, L * r, M).transpose(1, 2).masked_fill(~mask, 0)
        filled, inside = (F.pad(x, (0, -(L * r) % _MULTIPLE)) for x in (mel, mask))
        residual = self._postnet(filled.to(self._dtype), inside)[:, :, : L * r]
        own = mask.transpose(1, 2)
        alignments = decoded.alignments[..., :symbols].repeat_interleave(r, 1)
        return Tacotron2Output(
            mel=mel + residual.float(),
            mel_before=mel,
            lengths=(steps - ended) * r,
            alignments=alignments.masked_fill(~own, 0),
            gate=decoded.gates.repeat_interleave(r, 1),
            hit_limit=torch.tensor(
                [not (f or b) for f, b in zip(decoded.fired, decoded.broken, strict=True)],
                device=self._device,
            ),
        )


def steps_per_second(
    model: core.Tacotron2,
    device: str,
    precision: str = "fp32",
    batch: int = 1,
    symbols: int = 128,
    steps: int = 640,
    repeats: int = 5,
) -> float:
    """Decoder steps a second of a batch of random texts, none of which ends by itself: the median.

    Args:
        model: in float32.
        device: where it runs.
        precision: see `Tacotron2`.
        batch: texts; a step is one of all of them together.
        symbols: of each.
        steps: that each takes.
        repeats: how often that is measured, when everything is ready.
    """
    endless = copy.deepcopy(model.decoder)
    endless.gate.bias.data.fill_(-1e4)
    where, dtype = torch.device(device), DTYPES[precision]
    decoder = Decoder(endless, where, dtype)
    memory = torch.randn(batch, symbols, model.config.encoder_embedding_dim).to(where, dtype)
    seed = torch.Generator(where).manual_seed(0)
    times = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            began = time.perf_counter()
            decoder.decode(
                Texts(
                    memory, [symbols] * batch, [steps] * batch, [False] * batch,
                    row_generators(seed, batch),
                )
            )  # fmt: skip
            if where.type == "cuda":
                torch.cuda.synchronize(where)
            times.append(time.perf_counter() - began)
    return steps / statistics.median(times[1:])
