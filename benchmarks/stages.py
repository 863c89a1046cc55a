"""The models' stages on a CPU, one thread each: NumPy against plain torch and NVIDIA's own code.

`--nvidia DIR`, a checkout of NVIDIA/DeepLearningExamples, adds its models with the same weights, in
TorchScript as its inference.py runs them. `--slow` adds eight texts from end to end, on all cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import nvidia
import torch
from measure import bandwidth, gemm_rate, interleaved, machine
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from ttscli.checkpoints import load_tacotron2, load_waveglow
from ttscli.core.configs import MelConfig, Tacotron2Config, WaveGlowConfig
from ttscli.core.denoiser import Denoiser as CoreDenoiser
from ttscli.core.harmonic_waveglow import HarmonicWaveGlow as CoreHarmonicWaveGlow
from ttscli.core.mel import GriffinLim as CoreGriffinLim
from ttscli.core.tacotron2 import Tacotron2 as CoreTacotron2
from ttscli.core.waveglow import WaveGlow as CoreWaveGlow
from ttscli.cpu.decoder import Decoding, decode
from ttscli.cpu.harmonic_waveglow import HarmonicWaveGlow
from ttscli.cpu.layers import Array
from ttscli.cpu.noise import normal_draws
from ttscli.cpu.sharing import Each, Shared, in_turn
from ttscli.cpu.spectra import Denoiser, GriffinLim
from ttscli.cpu.tacotron2 import Tacotron2
from ttscli.cpu.waveglow import WaveGlow
from ttscli.devices import processors
from ttscli.engines import TOGETHER
from ttscli.voices import find_voice

SYMBOLS, STEPS, FRAMES = 100, 200, 172  # of a text; of its decoder; of two seconds
TEXTS = (3, 10, 25, 40, 60, 90, 120, 150)  # symbols of the eight texts
FRAMES_PER_SYMBOL = 5.7  # of LJ Speech's reader
Works = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Result:
    """A stage, measured."""

    stage: str
    """What of the models."""
    size: str
    """Of which sizes."""
    batch: int
    """Texts at once."""
    seconds: dict[str, float]
    """Median seconds by who computes it: torch, NVIDIA, ttscli."""
    share: float | None
    """Of this machine's measured rate, what ttscli reaches."""
    bound: str
    """Which rate that is: products (GEMM) or memory."""


def decoder_sizes(width: int, other: int) -> Tacotron2Config:
    """A Tacotron 2 with LSTMs of this width."""
    return Tacotron2Config(
        symbols_embedding_dim=other, encoder_embedding_dim=other, prenet_dim=other // 2,
        attention_rnn_dim=width, decoder_rnn_dim=width,
    )  # fmt: skip


TACOTRON2_SIZES = {
    "256": decoder_sizes(256, 256),
    "512": decoder_sizes(512, 512),
    "full": Tacotron2Config(),
}


class Bench:
    """Measures stage after stage.

    Args:
        runs: of each work.
        checkout: of NVIDIA's repository, if there is one.
        folder: for checkpoints.
    """

    def __init__(self, runs: int, checkout: Path | None, folder: Path) -> None:
        self.runs, self.with_nvidia, self.folder = runs, checkout is not None, folder
        if checkout is not None:
            nvidia.use(checkout)
        self.gemm, self.bandwidth = gemm_rate(), bandwidth()

    def measure(
        self,
        stage: str,
        size: str,
        works: Works,
        batch: int = 1,
        flop: float = 0,
        read: float = 0,
    ) -> Result:
        """Run the works in turn; `flop` or `read`, bytes, give the share of the rate."""
        slow = size in ("full", "512 channels", "256 channels")
        seconds = interleaved(works, 3 if slow else self.runs)
        rate = (flop or read) / seconds["ttscli"]
        share = rate / (self.gemm if flop else self.bandwidth) if flop or read else None
        return Result(stage, size, batch, seconds, share, "memory" if read else "GEMM")

    def tacotron2s(self) -> Iterator[tuple[str, CoreTacotron2, object]]:
        """Each size's model in torch, with NVIDIA's of the same weights."""
        yield "built-in", load_tacotron2(find_voice("small").tacotron2), None
        for name, config in TACOTRON2_SIZES.items():
            theirs = None
            if self.with_nvidia:
                theirs = nvidia.tacotron2(config, STEPS)
                core = load_tacotron2(nvidia.save(theirs, self.folder / "tacotron2.pt"))
            else:
                torch.manual_seed(0)
                core = CoreTacotron2(config).eval()
            with torch.no_grad():
                core.decoder.gate.bias.fill_(nvidia.NEVER)
            yield name, core, theirs

    def tacotron2(self) -> Iterator[Result]:
        """Encoder, decoder and postnet."""
        for size, core, theirs in self.tacotron2s():
            ours = Tacotron2(core.config, arrays(core))
            ids = torch.randint(1, 148, (1, SYMBOLS), generator=torch.Generator().manual_seed(0))
            mel = torch.randn(1, core.config.n_mel_channels, STEPS)
            mask, frames = torch.ones(1, 1, STEPS), mel[0].numpy()
            numbers = ids[0].tolist()
            if size in ("built-in", "full"):
                works: Works = {
                    "torch": lambda c=core, i=ids: c.encode(i, torch.tensor([SYMBOLS])),
                    "ttscli": lambda o=ours, n=numbers: o.encoder(n),
                }
                flop = 2.0 * parameters(core.encoder) * SYMBOLS
                yield self.measure("encoder", size, works, flop=flop)
            for batch in (1, 8, 32):
                works = decoder_works(core, ours, theirs, ids, batch)
                read = 4.0 * parameters(core.decoder) * STEPS * batch
                yield self.measure("decoder", size, works, batch, read=read)
            if size in ("built-in", "full"):
                works = {
                    "torch": lambda c=core, m=mel, k=mask: c.postnet(m, k, 0.0),
                    "ttscli": lambda o=ours, m=frames: o.residual(m),
                }
                flop = 2.0 * parameters(core.postnet) * STEPS
                yield self.measure("postnet", size, works, flop=flop)

    def waveglows(self) -> Iterator[tuple[str, CoreWaveGlow | CoreHarmonicWaveGlow, object]]:
        """Each size's model in torch, with NVIDIA's of the same weights."""
        yield "built-in", load_waveglow(find_voice("small").waveglow), None
        for channels in (256, 512):
            config, theirs = WaveGlowConfig(n_channels=channels), None
            if self.with_nvidia:
                theirs = nvidia.waveglow(config)
                core = load_waveglow(nvidia.save(theirs, self.folder / "waveglow.pt"))
            else:
                torch.manual_seed(0)
                core = CoreWaveGlow(config).eval()
            yield f"{channels} channels", core, theirs

    def vocoders(self) -> Iterator[Result]:
        """WaveGlow of each size, on two seconds of audio."""
        for size, core, theirs in self.waveglows():
            ours = in_numpy(core)
            for batch in (1, 8, 32) if size == "built-in" else (1,):
                mel = torch.randn(batch, 80, FRAMES, generator=torch.Generator().manual_seed(0)) - 5
                works: Works = {
                    "torch": lambda c=core, m=mel: c.infer(m, 0.7),
                    "ttscli": lambda o=ours, m=mel: [vocode(o, row) for row in m.numpy()],
                }
                if theirs is not None:
                    scripted = nvidia.scripted_waveglow(theirs)
                    works["NVIDIA"] = lambda s=scripted, m=mel: s(m, 0.7)
                rows = FRAMES * (1 if size == "built-in" else 32) * batch
                with torch.inference_mode():
                    flop = 2.0 * parameters(core.couplings) * rows
                    yield self.measure("WaveGlow", size, works, batch, flop=flop)

    def spectra(self) -> Iterator[Result]:
        """What works on spectra: two seconds of audio."""
        audio = torch.randn(1, FRAMES * 256, generator=torch.Generator().manual_seed(0)) / 10
        bias = torch.rand(513) / 10
        mel = torch.randn(1, 80, FRAMES, generator=torch.Generator().manual_seed(0)) - 5
        core_lim, lim = CoreGriffinLim(), GriffinLim(MelConfig())
        turns = np.random.default_rng(0).random((513, FRAMES), np.float32)
        core_denoiser, denoiser = CoreDenoiser(bias), Denoiser(bias.numpy())
        denoised: Works = {
            "torch": lambda: core_denoiser(audio, 0.1),
            "ttscli": lambda: denoiser(audio[0].numpy(), 0.1),
        }
        guessed: Works = {
            "torch": lambda: core_lim(mel),
            "ttscli": lambda: lim(mel[0].numpy(), turns),
        }
        yield self.measure("denoiser", "2 s", denoised)
        yield self.measure("Griffin-Lim", "2 s", guessed)

    def eight_texts(self) -> Result:
        """Texts of 3 to 150 symbols at full size, WaveGlow with 256 channels, on all cores."""
        steps = [round(FRAMES_PER_SYMBOL * symbols) for symbols in TEXTS]
        config, glow_config = Tacotron2Config(), WaveGlowConfig(n_channels=256)
        theirs, their_glow = nvidia.tacotron2(config, max(steps)), nvidia.waveglow(glow_config)
        core = load_tacotron2(nvidia.save(theirs, self.folder / "tacotron2.pt"))
        core_glow = load_waveglow(nvidia.save(their_glow, self.folder / "waveglow.pt"))
        ours, glow = Tacotron2(core.config, arrays(core)), in_numpy(core_glow)
        scripted = nvidia.scripted_tacotron2(theirs), nvidia.scripted_waveglow(their_glow)
        ids = torch.randint(1, 148, (len(TEXTS), max(TEXTS)))

        def speak_padded() -> None:
            lengths = torch.tensor(sorted(TEXTS, reverse=True))
            mel, *_ = scripted[0](ids, lengths)
            scripted[1](mel, 0.7)

        def speak(text: int, each: Each) -> None:
            numbers = ids[text, : TEXTS[text]].tolist()
            mel = ours.infer(numbers, no_dropout(ours), max_steps=steps[text]).mel
            vocode(glow, mel, each)

        def speak_apart() -> None:
            with ThreadPoolExecutor(processors()) as pool:
                list(pool.map(speak, range(len(TEXTS)), repeat(Shared(pool, processors()))))

        works: Works = {"NVIDIA": speak_padded, "ttscli": speak_apart}
        torch.set_num_threads(processors())
        with torch.inference_mode():
            seconds = interleaved(works, 1, time.perf_counter, uncounted=0)  # minutes each
        torch.set_num_threads(1)
        return Result("eight texts, end to end", "full, 256", len(TEXTS), seconds, None, "")


def decoder_works(
    core: CoreTacotron2, ours: Tacotron2, theirs: object, ids: Tensor, batch: int
) -> Works:
    """The decoder alone, for as many steps of a text as are measured."""
    lengths = torch.full((batch,), ids.shape[1])
    with torch.no_grad():
        memory = core.encode(ids.repeat(batch, 1), lengths)
    own = memory[0].numpy()

    def in_torch() -> None:
        remembered = core.decoder.remember(memory, lengths)
        state = core.decoder.initial_state(remembered)
        frame = memory.new_zeros(batch, core.config.n_mel_channels * core.config.n_frames_per_step)
        masks = memory.new_ones(batch, 2, core.config.prenet_dim)
        with torch.inference_mode():
            for _ in range(STEPS):
                read = core.decoder.prenet(frame, masks)
                frame, _, state = core.decoder.step(read, state, remembered)

    def in_arrays() -> None:
        for first in range(0, batch, TOGETHER):
            texts = range(first, min(batch, first + TOGETHER))
            decode([Decoding(ours.decoder, own, no_dropout(ours), STEPS) for _ in texts])

    works: Works = {"torch": in_torch, "ttscli": in_arrays}
    if theirs is not None:
        scripted = nvidia.scripted_decoder(theirs)

        def in_torchscript() -> None:
            with torch.no_grad():
                scripted(memory, lengths)

        works["NVIDIA"] = in_torchscript
    return works


def no_dropout(model: Tacotron2) -> Iterator[Array]:
    """Masks that drop nothing."""
    return repeat(np.ones((2, model.config.prenet_dim), np.float32))


def vocode(model: WaveGlow | HarmonicWaveGlow, mel: Array, each: Each = in_turn) -> Array:
    """Audio of a mel, with its noise."""
    noise = normal_draws(np.random.default_rng(0), model.noise_shapes(mel.shape[1]))
    return model.infer(mel, 0.7, noise, each)


def in_numpy(core: CoreWaveGlow | CoreHarmonicWaveGlow) -> WaveGlow | HarmonicWaveGlow:
    """The same model in NumPy."""
    if isinstance(core, CoreHarmonicWaveGlow):
        return HarmonicWaveGlow(core.config, arrays(core))
    return WaveGlow(core.config, arrays(core))


def arrays(model: nn.Module) -> dict[str, Array]:
    """A model's weights."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def parameters(model: nn.Module) -> int:
    """How many numbers a model has learnt."""
    return sum(parameter.numel() for parameter in model.parameters())


def show(results: list[Result], title: str) -> None:
    """The table."""
    table = Table(title=title)
    ways = ("torch", "NVIDIA", "ttscli", "torch ÷", "NVIDIA ÷")
    for name in ("stage", "size", "batch", *ways, "reached"):
        table.add_column(name, justify="left" if name in ("stage", "size") else "right")
    for result in results:
        ours = result.seconds["ttscli"]
        times = [result.seconds.get(name) for name in ("torch", "NVIDIA", "ttscli")]
        table.add_row(
            result.stage, result.size, str(result.batch),
            *["" if t is None else f"{1000 * t:.4g} ms" if t < 1 else f"{t:.4g} s" for t in times],
            *["" if t is None else f"{t / ours:.2f} ×" for t in times[:2]],
            "" if result.share is None else f"{result.share:.0%} {result.bound}",
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def main() -> None:
    """Print the table, and with `--json` the numbers instead."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nvidia", type=Path, metavar="DIR")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=["tacotron2", "vocoders", "spectra"], action="append")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    if options.slow and not options.nvidia:
        parser.error("--slow compares with NVIDIA's models: give --nvidia DIR")
    torch.set_num_threads(1)
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, "blas"):
        bench = Bench(options.runs, options.nvidia, Path(folder))
        for stage in options.only or ("tacotron2", "vocoders", "spectra"):
            with torch.no_grad():
                results += getattr(bench, stage)()
        if options.slow:
            results.append(bench.eight_texts())
    rates = f"{bench.gemm / 1e9:.0f} GFLOP/s, {bench.bandwidth / 1e9:.0f} GB/s"
    title = f"{machine()}; one thread: {rates}"
    if options.json:
        rows = [asdict(result) for result in results]
        sys.stdout.write(json.dumps({"machine": title, "stages": rows}) + "\n")
    else:
        show(results, title)


if __name__ == "__main__":
    main()
