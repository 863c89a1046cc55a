"""Measures what half precision does to the mel: a GPU's Tacotron 2 in each, against the CPU's.

With the same dropout, text by text. Frames are compared where they stand, so that a sentence which
is read at another pace counts in full from there on; how many are is told too, what another seed
does to the same texts, and how many words a weak recogniser gets wrong, where there is one. The
device is cpu or cuda: on a CPU it is the same arithmetic, slowly.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ttscli.attention import check
from ttscli.checkpoints import load_tacotron2
from ttscli.checkpoints.arrays import read_tacotron2
from ttscli.core.configs import MelConfig
from ttscli.cpu.tacotron2 import Tacotron2 as CpuTacotron2
from ttscli.gpu.tacotron2 import Tacotron2
from ttscli.text.frontend import Frontend
from ttscli.training import quality
from ttscli.vocoders import load_vocoder
from ttscli.voices import Voice, find_voice

Mel = NDArray[np.float32]
DECIBELS = 20 / np.log(10)  # of a neper


def dropout(seed: int, width: int) -> Iterator[Mel]:
    """The masks that a generator with this seed gives to the models in torch."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.full((64, 2, width), 0.5)
    while True:
        yield from (2 * torch.bernoulli(half, generator=generator)).numpy()


def said(model: Tacotron2, ids: list[int], seed: int, device: str) -> tuple[Mel, bool]:
    """The mel (M, F) of a text, and whether its reading passes the attention check."""
    output = model.infer(
        torch.tensor([ids], device=device),
        torch.tensor([len(ids)], device=device),
        generator=[torch.Generator().manual_seed(seed)],
    )
    frames = int(output.lengths[0])
    alignment = output.alignments[0, :frames].cpu().numpy()
    config = MelConfig()
    seconds = frames * config.hop_length / config.sample_rate
    good = check(ids, alignment, not bool(output.hit_limit[0]), seconds).good
    return output.mel[0, :, :frames].cpu().numpy(), good


class Listener:
    """How many words of the texts a recogniser gets wrong, by way of the voice's own vocoder."""

    def __init__(self, voice: Voice, texts: list[str], mels: int, device: str) -> None:
        self._texts, self._device = texts, device
        self._there = find_spec("pocketsphinx") is not None
        self._vocoder = load_vocoder("waveglow", voice, mels, device)

    def errors(self, mels: list[Mel]) -> str:
        """The word error rate, each text with noise of its own."""
        if not self._there:
            return "nobody listens"
        generators = [torch.Generator().manual_seed(seed) for seed in range(len(mels))]
        audio = [
            self._vocoder([torch.from_numpy(mel).to(self._device)], [generator])[0].cpu().numpy()
            for mel, generator in zip(mels, generators, strict=True)
        ]
        return f"{quality.score('', self._texts, audio, 2).word_errors:.3f}"


def main() -> None:
    """Print the table."""
    evaluation = Path(quality.__file__).with_name("evaluation.txt")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="?", type=Path, default=evaluation, help="a line a text")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--voice", default="small")
    arguments = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False
    voice = find_voice(arguments.voice)
    frontend = Frontend.open(voice.cleaners, voice.lexicon, None, final_stop=voice.final_stop)
    lines = arguments.texts.read_text().splitlines()
    texts = [frontend.encode(line).ids for line in lines]
    found = read_tacotron2(voice.tacotron2)
    cpu = CpuTacotron2(found.config, found.tensors)
    width = found.config.prenet_dim
    listener = Listener(voice, lines, found.config.n_mel_channels, arguments.device)
    theirs = []
    for seed, ids in enumerate(texts):
        output = cpu.infer(ids, dropout(seed, width))
        theirs.append(output.mel[:, : output.length])

    readable = load_tacotron2(voice.tacotron2)
    table = Table(
        "", "mean", "mean, same length", "worst text", "same length", "read right", "word errors"
    )
    table.add_row(
        "the CPU's", "", "", "", "", "", listener.errors([np.array(mel) for mel in theirs])
    )
    for name in ("fp32", "fp16", "bf16", "another seed"):
        precision, other = ("fp32", len(texts)) if " " in name else (name, 0)
        model = Tacotron2(readable, arguments.device, precision)
        errors, same, right, mels = [], [], 0, []
        for seed, (ids, mel) in enumerate(zip(texts, theirs, strict=True)):
            ours, good = said(model, ids, seed + other, arguments.device)
            frames = min(ours.shape[1], mel.shape[1])
            errors.append(float(np.abs(ours[:, :frames] - mel[:, :frames]).mean()) * DECIBELS)
            same.append(ours.shape == mel.shape)
            right += good
            mels.append(ours)
        alike = [error for error, one in zip(errors, same, strict=True) if one]
        table.add_row(
            name,
            f"{np.mean(errors):.3f} dB",
            f"{np.mean(alike):.3f} dB" if alike else "",
            f"{max(errors):.2f} dB",
            f"{sum(same)}/{len(same)}",
            f"{right}/{len(same)}",
            listener.errors(mels),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
