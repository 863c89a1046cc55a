"""What `gpu.py` measures with: sizes, models of ours and of NVIDIA's, a device's clock."""

from __future__ import annotations

import copy
import gc
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import nvidia
import torch
from torch import Generator, Tensor
from torch.profiler import ProfilerActivity, profile

from ttscli.checkpoints import load_tacotron2, load_waveglow
from ttscli.core.configs import Tacotron2Config, WaveGlowConfig
from ttscli.core.tacotron2 import Tacotron2 as CoreTacotron2
from ttscli.core.waveglow import WaveGlow as CoreWaveGlow
from ttscli.gpu.decoder import Decoder
from ttscli.gpu.tacotron2 import Tacotron2, steps_per_second
from ttscli.gpu.waveglow import DTYPES
from ttscli.readings import Reading
from ttscli.torch_engine import Models, TorchEngine
from ttscli.vocoders import Vocoder

ENOUGH = 2.0  # seconds of a measurement, after which three runs will do


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    tacotron2: Tacotron2Config = field(default_factory=Tacotron2Config)
    """The text-to-mel model."""
    channels: tuple[int, ...] = (256, 512)
    """Of the vocoders."""
    flows: int = 12
    """Of the vocoders."""
    layers: int = 8
    """Of each of their coupling nets."""
    windows: tuple[int, ...] = (512, 1024, 2048)
    """Frames that WaveGlow computes at once."""
    symbols: int = 128
    """Of each text."""
    frames: int = 605
    """That a text becomes: seven seconds."""
    product: int = 8192
    """Rows and columns of the matrices whose product shows the chip's rate."""
    copied: int = 1 << 28
    """Numbers whose copy shows its bandwidth."""
    batches: tuple[int, ...] = (1, 8, 32)
    """Of WaveGlow."""
    reading: tuple[int, ...] = (1, 8, 32, 64)
    """Batches of the decoder."""
    spoken: tuple[int, ...] = (1, 4, 64)
    """Batches from end to end."""
    runs: int = 7
    """Of each measurement, after two that are not counted."""


SMOKE = Sizes(
    Tacotron2Config(
        symbols_embedding_dim=16, encoder_embedding_dim=16, attention_rnn_dim=16, attention_dim=8,
        decoder_rnn_dim=16, prenet_dim=8, postnet_embedding_dim=16,
    ),
    channels=(32,), flows=2, layers=2, windows=(32, 64), symbols=12, frames=20, product=64,
    copied=1 << 12, batches=(1, 2), reading=(1, 2), spoken=(1, 2), runs=1,
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    part: str
    """Which part of this script."""
    what: str
    """Was measured."""
    batch: int = 1
    """Texts at once."""
    precision: str = ""
    """Of ours, and of NVIDIA's where it has that."""
    unit: str = ""
    """Of the numbers."""
    values: dict[str, float] = field(default_factory=dict)
    """By whose: NVIDIA, ttscli, or a way of ours."""
    share: float | None = None
    """Of the chip's measured matrix rate, what ttscli's products reach."""
    wanted: str = ""
    """What it should be."""
    error: str = ""
    """Why there are no numbers."""


class Setting:
    """Where and with what is measured.

    Args:
        sizes: how much.
        device: where.
        folder: for checkpoints.
        precisions: that are measured; all if None.
        with_nvidia: whether NVIDIA's models are at hand, see `nvidia.use`.
    """

    def __init__(
        self,
        sizes: Sizes,
        device: str,
        folder: Path,
        precisions: Sequence[str] | None = None,
        *,
        with_nvidia: bool,
    ) -> None:
        self.sizes, self.device, self.folder = sizes, torch.device(device), folder
        self.precisions, self.with_nvidia = precisions or list(DTYPES), with_nvidia
        self.generator = Generator(device).manual_seed(0)
        self.matrix_rate, self.tacotron2s = cache(self._matrix_rate), cache(self._tacotron2s)
        self.waveglows = cache(self._waveglows)

    def of(self, *precisions: str) -> list[str]:
        """Those that are measured."""
        return [precision for precision in precisions if precision in self.precisions]

    def seconds(self, work: Callable[[], object]) -> float:
        """Median seconds that the device is busy with it."""
        for _ in range(2):
            work()
        times: list[float] = []
        for run in range(self.sizes.runs):
            if run >= 3 and sum(times) > ENOUGH:
                break
            if self.device.type == "cuda":
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record()
                work()
                end.record()
                end.synchronize()
                times.append(begin.elapsed_time(end) / 1000)
            else:
                times.append(self.wall(work))
        return statistics.median(times)

    def wall(self, work: Callable[[], object]) -> float:
        """Seconds of once, as a user waits."""
        started = time.perf_counter()
        work()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    def kernels(
        self, work: Callable[[], object], most: int = 8
    ) -> Iterator[tuple[str, int, float]]:
        """What the device does longest: a kernel, how often, and seconds of all its runs."""
        on_gpu = self.device.type == "cuda"
        for _ in range(3):
            work()
        activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
        with profile(activities=[activity]) as profiler:
            self.wall(work)

        def spent(event: Any) -> float:
            return (
                float(event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e6
            )

        events = sorted(profiler.key_averages(), key=spent, reverse=True)
        for event in events[:most]:
            yield str(event.key), int(event.count), spent(event)

    def random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.device)

    def _matrix_rate(self, precision: str) -> float:
        """Floating-point operations per second of torch's product of large random matrices."""
        n = self.sizes.product
        a, b = (self.random(n, n).to(DTYPES[precision]) for _ in range(2))
        return 2 * n**3 / self.seconds(lambda: torch.mm(a, b))

    def _tacotron2s(self) -> tuple[CoreTacotron2, Any]:
        """Ours on the CPU, and NVIDIA's of the same weights, neither of which ever ends."""
        if self.with_nvidia:
            theirs = nvidia.tacotron2(self.sizes.tacotron2, self.sizes.frames)
            core = load_tacotron2(nvidia.save(theirs, self.folder / "tacotron2.pt"))
        else:
            torch.manual_seed(0)
            theirs, core = None, CoreTacotron2(self.sizes.tacotron2).eval()
        with torch.no_grad():
            core.decoder.gate.bias.fill_(nvidia.NEVER)
        return core, theirs

    def _waveglows(self, channels: int) -> tuple[CoreWaveGlow, Any]:
        """Ours on the device, and NVIDIA's of the same weights on the CPU."""
        config = WaveGlowConfig(
            n_channels=channels, n_flows=self.sizes.flows, n_layers=self.sizes.layers
        )
        if self.with_nvidia:
            theirs = nvidia.waveglow(config)
            core = load_waveglow(nvidia.save(theirs, self.folder / "waveglow.pt"))
            assert isinstance(core, CoreWaveGlow)
            return core.to(self.device), theirs
        torch.manual_seed(0)
        core = CoreWaveGlow(config).eval()
        with torch.no_grad():
            for k in range(config.n_flows):
                core.get_parameter(f"couplings.{k}.end.weight").normal_(std=0.01)
        return core.to(self.device), None

    def nvidia_waveglow(self, channels: int, precision: str) -> Callable[..., Tensor] | None:
        """NVIDIA's on the device; it knows no bfloat16."""
        _, theirs = self.waveglows(channels)
        if theirs is None or precision == "bf16":
            return None
        return nvidia.scripted_waveglow(self._moved(theirs, precision))

    def nvidia_tacotron2(self, precision: str, *, decoder: bool) -> Callable[..., Any] | None:
        """NVIDIA's on the device, whole or its decoder alone."""
        _, theirs = self.tacotron2s()
        if theirs is None:
            return None
        scripted = nvidia.scripted_decoder if decoder else nvidia.scripted_tacotron2
        return scripted(self._moved(theirs, precision))

    def _moved(self, theirs: Any, precision: str) -> Any:
        return copy.deepcopy(theirs).to(self.device, DTYPES[precision])

    def mels(self, batch: int) -> list[Tensor]:
        """Of no speech, but of its size."""
        return [2 * self.random(80, self.sizes.frames) - 5 for _ in range(batch)]

    def steps_per_second(self, precision: str, batch: int) -> float:
        """Of our decoder."""
        sizes, core = self.sizes, self.tacotron2s()[0]
        where = str(self.device)
        return steps_per_second(core, where, precision, batch, sizes.symbols, sizes.frames)

    def decoder_parts(self, precision: str) -> str:
        """What our decoder computes a step with."""
        core = self.tacotron2s()[0].decoder
        decoder = Decoder(core, self.device, DTYPES[precision], graphs=False)
        return type(decoder.parts).__name__

    def engine(self, vocoder: Vocoder, precision: str) -> Callable[[int, int], None]:
        """What speaks so many texts in batches of a size, each of as many frames."""
        core, where = self.tacotron2s()[0], str(self.device)
        model = _Limited(Tacotron2(core, where, precision), self.sizes.frames)
        engine = TorchEngine(Models(model, vocoder), where)
        numbers = torch.randint(1, 148, (self.sizes.symbols,)).tolist()

        def speak(count: int, batch: int) -> None:
            readings = (Reading(numbers, np.random.SeedSequence(i)) for i in range(count))
            theirs = torch.backends.cudnn.allow_tf32
            torch.backends.cudnn.allow_tf32 = False  # as where ttscli loads its models
            try:
                for _ in engine.speak(readings, batch):
                    pass
            finally:
                torch.backends.cudnn.allow_tf32 = theirs

        return speak

    def collect(self) -> None:
        """Give memory back that nothing holds any more."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class _Limited:
    """A Tacotron 2 that makes so many frames of any text."""

    def __init__(self, model: Any, frames: int) -> None:
        self.model, self.frames = model, frames

    def infer(self, *arguments: Any, **options: Any) -> Any:
        return self.model.infer(*arguments, max_steps=self.frames, **options)


def flop(config: WaveGlowConfig, flows: Iterable[int] | None = None) -> float:
    """Floating-point operations that a mel frame takes through our form of some flows, or all."""
    c, C = config, config.n_channels
    mels = -(-c.upsample_kernel_size // c.hop_length) * c.n_mel_channels
    total = 0
    for n in [c.flow_channels[k] for k in (range(c.n_flows) if flows is None else flows)]:
        first = (n // 2 + 1) * (c.kernel_size * 2 * C + C)
        others = (c.n_layers - 1) * (c.kernel_size * C * 2 * C + C * C)
        row = first + others + c.n_layers * (C * n + mels * 2 * C)
        total += c.groups_per_frame * row
    return 2.0 * total
