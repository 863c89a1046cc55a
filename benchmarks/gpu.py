"""The models on a GPU, in one run: rates, ratios to NVIDIA's own code, and that results are equal.

`--nvidia DIR`, a checkout of NVIDIA/DeepLearningExamples, adds its models with the same weights,
as its inference.py runs them there: TorchScript, and half precision (`--fp16`). `--smoke` goes
through all of it with tiny models on the CPU, to show that this script works. What fails is told in
its row, and the rest goes on. Weights are random, of full size; no text ends by itself. NVIDIA's
fp32 is torch's default, whose convolutions may round to TF32; ours does not. Where vocoders run by
themselves, NVIDIA's draws its noise meanwhile, and ours is on the device before: see `noise`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import nvidia
import torch
from gpu_setting import SMOKE, Result, Setting, Sizes, flop
from measure import machine
from rich.console import Console
from rich.table import Table
from torch import Generator, Tensor

from ttscli.core.denoiser import Denoiser as CoreDenoiser
from ttscli.core.denoiser import bias_spectrum
from ttscli.core.mel import MelSpectrogram
from ttscli.core.tacotron2 import Tacotron2Output
from ttscli.cpu.waveglow import WaveGlow as CpuWaveGlow
from ttscli.errors import SlowerWarning
from ttscli.gpu.denoiser import Denoiser
from ttscli.gpu.flows import MakeFlow, RowFlow, folded_flows
from ttscli.gpu.graphs import Recorder
from ttscli.gpu.tacotron2 import Tacotron2
from ttscli.gpu.transfer import Sent
from ttscli.gpu.vocoder import WaveGlowVocoder
from ttscli.gpu.waveglow import DTYPES, WaveGlow

SIGMA, DENOISE = 0.9, 0.01  # the defaults of NVIDIA's inference.py
CUTS = (
    (128, 128, 4, 2),
    (128, 128, 4, 3),
    (128, 128, 8, 3),
    (256, 128, 8, 3),
    (128, 256, 8, 3),
    (64, 256, 4, 3),
)
"""Of Triton's products: rows and columns of a tile, warps and stages."""


def chip(setting: Setting) -> Iterator[Result]:
    """What the device can do at most."""
    for precision in DTYPES:
        rate = setting.matrix_rate(precision) / 1e12
        yield Result("chip", "matrix product", 1, precision, "TFLOP/s", {"torch": rate})
    source = setting.random(setting.sizes.copied)
    target = torch.empty_like(source)
    rate = 2 * source.nbytes / setting.seconds(lambda: target.copy_(source)) / 1e9
    yield Result("chip", "copy, read and written", unit="GB/s", values={"torch": rate})


def equal(setting: Setting) -> Iterator[Result]:
    """Samples against the CPU's, in half precision, with and without graphs."""
    channels = setting.sizes.channels[0]
    core = setting.waveglows(channels)[0]
    arrays = {name: tensor.cpu().numpy() for name, tensor in core.state_dict().items()}
    mel = setting.mels(1)[0][:, :100]
    noise = WaveGlow(core).draw([mel.shape[1]], [Generator().manual_seed(0)])
    draws = [draw.numpy() for draw in noise[0]]
    truth = CpuWaveGlow(core.config, arrays).infer(mel.cpu().numpy(), SIGMA, draws)
    spectrum = MelSpectrogram()
    expected = spectrum(torch.from_numpy(truth)[None])
    for precision in DTYPES:
        audio = WaveGlow(core, precision, graphs=False).infer([mel], SIGMA, noise)[0].cpu()
        graphed = WaveGlow(core, precision)
        again = [graphed.infer([mel], SIGMA, noise)[0].cpu() for _ in range(3)][-1]
        values = {
            "difference to the CPU's": float(np.abs(audio.numpy() - truth).max()),
            "mean log-mel distance": float((spectrum(audio[None]) - expected).abs().mean()),
            "difference that graphs make": float((again - audio).abs().max()),
        }
        largest = float(np.abs(truth).max())
        for name, value in values.items():
            mels, graphs = "log-mel" in name, "graphs" in name
            wanted = "0" if graphs else "≤ 0.001" if precision == "fp32" and not mels else ""
            number = {"ttscli": value if mels else value / largest}
            yield Result("equal", name, 1, precision, "", number, wanted=wanted)


def waveglow(setting: Setting) -> Iterator[Result]:
    """Samples per second of mels of seven seconds."""
    for channels in setting.sizes.channels:
        for precision in setting.of("fp16", "bf16", "fp32"):
            theirs = setting.nvidia_waveglow(channels, precision)
            ours = WaveGlow(setting.waveglows(channels)[0], precision)
            for batch in setting.sizes.batches:
                if batch <= 8 or precision != "fp32":
                    yield vocoded(setting, precision, batch, ours, theirs)
            del ours, theirs
            setting.collect()


def vocoded(
    setting: Setting,
    precision: str,
    batch: int,
    ours: WaveGlow,
    theirs: Callable[..., Tensor] | None = None,
) -> Result:
    """Both vocoders on a batch."""
    frames, mels = setting.sizes.frames, setting.mels(batch)
    rows = ours.draw([frames] * batch, [Generator().manual_seed(i) for i in range(batch)])
    noise = [[draw.to(setting.device) for draw in draws] for draws in rows]
    samples = batch * frames * ours.config.hop_length
    seconds = setting.seconds(lambda: ours.infer(mels, SIGMA, noise))
    values = {"ttscli": samples / seconds}
    if theirs is not None:
        together = torch.stack(mels).to(DTYPES[precision])
        with torch.no_grad():
            values["NVIDIA"] = samples / setting.seconds(lambda: theirs(together, SIGMA))
    work = batch * frames * flop(ours.config)
    share = work / seconds / setting.matrix_rate(precision)
    wanted = {1: "≥ 3 ×", 8: "≥ 40 %"}.get(batch, "") if precision == "fp16" else ""
    what = f"WaveGlow {ours.config.n_channels}, {type(ours.flows[0]).__name__}"
    return Result("waveglow", what, batch, precision, "samples/s", values, share, wanted)


def decoder(setting: Setting) -> Iterator[Result]:
    """Decoder steps per second, a step being one of all texts of a batch."""
    sizes = setting.sizes
    for precision in setting.of("fp16", "fp32"):
        theirs = setting.nvidia_tacotron2(precision, decoder=True)
        what = f"decoder, {setting.decoder_parts(precision)}"
        for batch in sizes.reading:
            values = {"ttscli": setting.steps_per_second(precision, batch)}
            if theirs is not None:
                width = sizes.tacotron2.encoder_embedding_dim
                memory = setting.random(batch, sizes.symbols, width).to(DTYPES[precision])
                lengths = torch.full((batch,), sizes.symbols, device=setting.device)
                with torch.no_grad():
                    seconds = setting.seconds(lambda t=theirs, m=memory, n=lengths: t(m, n))
                values["NVIDIA"] = sizes.frames / seconds
            wanted = {1: "≥ 15 ×", 32: "≥ 6 ×"}.get(batch, "") if precision == "fp16" else ""
            yield Result("decoder", what, batch, precision, "steps/s", values, None, wanted)


def speech(setting: Setting) -> Iterator[Result]:
    """From symbols to samples in memory: ours with the denoiser, NVIDIA's without."""
    channels, frames = setting.sizes.channels[0], setting.sizes.frames
    core = setting.waveglows(channels)[0]
    denoiser = Denoiser(CoreDenoiser(bias_spectrum(core)))
    for precision in setting.of("fp16", "fp32"):
        vocoder = WaveGlowVocoder(WaveGlow(core, precision), SIGMA, denoiser, DENOISE)
        speak = setting.engine(vocoder, precision)
        theirs = nvidia_speech(setting, channels, precision)
        for batch in setting.sizes.spoken:
            if batch > 8 and precision == "fp32":
                continue  # minutes, and nobody's aim
            count = batch if batch == 1 else 4 * batch  # one batch is read while another sounds
            seconds = waited(setting, lambda s=speak, c=count, b=batch: s(c, b))
            values = {"ttscli": count * frames * 256 / seconds}
            if theirs is not None:
                seconds = waited(setting, lambda b=batch, t=theirs: t(b))
                values["NVIDIA"] = batch * frames * 256 / seconds
            wanted = {1: "≥ 3,000,000", 64: "≥ 30,000,000"}.get(batch, "")
            yield Result(
                "speech", f"end to end, {channels}", batch, precision, "samples/s", values, None,
                wanted * (precision == "fp16"),
            )  # fmt: skip
        setting.collect()


def nvidia_speech(
    setting: Setting, channels: int, precision: str
) -> Callable[[int], Tensor] | None:
    """What speaks a batch as NVIDIA's inference.py does."""
    reading = setting.nvidia_tacotron2(precision, decoder=False)
    vocoding = setting.nvidia_waveglow(channels, precision)
    if reading is None or vocoding is None:
        return None
    symbols, device = setting.sizes.symbols, setting.device

    def speak(batch: int) -> Tensor:
        ids = torch.randint(1, 148, (batch, symbols), device=device)
        lengths = torch.full((batch,), symbols, device=device)
        with torch.no_grad():
            return vocoding(reading(ids, lengths)[0], SIGMA).float().cpu()

    return speak


def waited(setting: Setting, work: Callable[[], object]) -> float:
    """Median seconds that a user waits for work, when everything is ready."""
    times = [setting.wall(work) for _ in range(2 + min(3, setting.sizes.runs))]
    return statistics.median(times[2:])


def apart(setting: Setting) -> Iterator[Result]:
    """Where the time of speech goes: what is waited for where each step is waited for."""
    core = setting.waveglows(setting.sizes.channels[0])[0]
    model = Tacotron2(setting.tacotron2s()[0], setting.device, "fp16")
    vocoder, denoiser = WaveGlow(core, "fp16"), Denoiser(CoreDenoiser(bias_spectrum(core)))
    for batch in (setting.sizes.spoken[0], setting.sizes.spoken[-1]):
        for name, seconds in steps_apart(setting, batch, model, vocoder, denoiser):
            yield Result("apart", name, batch, "fp16", "ms", {"ttscli": 1000 * seconds})
        setting.collect()


@torch.inference_mode()
def steps_apart(
    setting: Setting, batch: int, model: Tacotron2, vocoder: WaveGlow, denoiser: Denoiser
) -> Iterator[tuple[str, float]]:
    """The steps from symbols to samples in memory, and the seconds of each."""
    device, frames = setting.device, setting.sizes.frames
    ids = torch.randint(1, 148, (batch, setting.sizes.symbols), device=device)
    lengths = torch.full((batch,), setting.sizes.symbols, device=device)

    def read() -> Tacotron2Output:
        seeds = [Generator(device).manual_seed(i) for i in range(batch)]
        return model.infer(ids, lengths, generator=seeds, max_steps=frames)

    def draw() -> list[list[Tensor]]:
        return vocoder.draw([frames] * batch, [Generator().manual_seed(i) for i in range(batch)])

    output, noise = read(), draw()
    mels = list(output.mel[:, :, :frames])
    audio = vocoder.infer(mels, SIGMA, noise)
    steps: dict[str, Callable[[], object]] = {
        "encoder": lambda: model.remember(ids, lengths),
        "Tacotron 2": read,
        "noise": draw,
        "WaveGlow": lambda: vocoder.infer(mels, SIGMA, noise),
        "denoiser": lambda: denoiser(audio, DENOISE),
        "to the CPU": lambda: Sent([*audio, *mels, *output.alignments]).wait(),
    }
    for name, step in steps.items():
        yield name, waited(setting, step)


def graphs(setting: Setting) -> Iterator[Result]:
    """What graphs save: most on short texts."""
    channels = setting.sizes.channels[0]
    core = setting.waveglows(channels)[0]
    for frames in (max(1, setting.sizes.frames // 10), setting.sizes.frames):
        mels, values = [setting.mels(1)[0][:, :frames]], {}
        for name, wanted in (("without graphs", False), ("ttscli", True)):
            model = WaveGlow(core, "fp16", graphs=wanted)
            noise = model.draw([frames], [Generator().manual_seed(0)])
            seconds = setting.seconds(lambda m=model, x=mels, n=noise: m.infer(x, SIGMA, n))
            values[name] = frames * 256 / seconds
        what = f"WaveGlow {channels}, {frames} frames"
        yield Result("graphs", what, 1, "fp16", "samples/s", values)


def windows(setting: Setting) -> Iterator[Result]:
    """Frames that are computed at once: more fill the chip, fewer stay in its cache."""
    batch = setting.sizes.batches[-1]
    for channels in setting.sizes.channels:
        values = {}
        for window in setting.sizes.windows:
            ours = WaveGlow(setting.waveglows(channels)[0], "fp16", window=window)
            values[str(window)] = vocoded(setting, "fp16", batch, ours).values["ttscli"]
            del ours
            setting.collect()
        yield Result("windows", f"WaveGlow {channels}", batch, "fp16", "samples/s", values)


def kernels(setting: Setting) -> Iterator[Result]:
    """The ways through a flow, and how Triton's products are cut best."""
    on_gpu = setting.device.type == "cuda"
    record = Recorder(setting.device).record if on_gpu else lambda work: work
    for channels in setting.sizes.channels:
        core = setting.waveglows(channels)[0]
        folded, config, frames = next(folded_flows(core)), core.config, 1024 if on_gpu else 4
        rows = frames * config.groups_per_frame
        x, mask = setting.random(rows, config.n_group), torch.ones(rows, device=setting.device)
        mel = setting.random(frames, len(folded.conditioning)).half()
        for name, make in ways(setting):
            what = f"flow {channels}: {name}"
            try:
                with torch.inference_mode():
                    flow = make(folded, torch.float16)
                    seconds = setting.seconds(record(partial(flow, x, mel, mask)))
            except Exception as error:  # a tile that this chip has no room for
                yield Result("kernels", what, error=told(error))
                continue
            share = frames * flop(config, [0]) / seconds / setting.matrix_rate("fp16")
            yield Result("kernels", what, 1, "fp16", "ms", {"ttscli": 1000 * seconds}, share)


def ways(setting: Setting) -> Iterator[tuple[str, MakeFlow]]:
    """Ways by their names."""
    yield "plain", RowFlow
    if setting.device.type == "cuda":
        from ttscli.gpu.tiled_flow import TiledFlow
        from ttscli.gpu.waveglow_kernels import Blocks, gate, tiles

        best = tiles(setting.device)
        yield "fused gate", partial(RowFlow, gate=gate)
        yield "fused layers", TiledFlow
        for cut in CUTS:
            yield f"gated {cut}", partial(TiledFlow, cut=replace(best, gated=Blocks(*cut)))
            yield f"residual {cut}", partial(TiledFlow, cut=replace(best, residual=Blocks(*cut)))


def busiest(setting: Setting) -> Iterator[Result]:
    """The kernels that the device is busy with longest."""
    core, sizes = setting.waveglows(setting.sizes.channels[0])[0], setting.sizes
    model, vocoder = (
        Tacotron2(setting.tacotron2s()[0], setting.device, "fp16"),
        WaveGlow(core, "fp16"),
    )
    for batch in (sizes.spoken[0], sizes.batches[-1]):
        ids = torch.randint(1, 148, (batch, sizes.symbols), device=setting.device)
        lengths = torch.full((batch,), sizes.symbols, device=setting.device)
        noise = vocoder.draw([sizes.frames] * batch, [Generator().manual_seed(0)] * batch)
        steps: dict[str, Callable[[], object]] = {
            "Tacotron 2": partial(model.infer, ids, lengths, max_steps=sizes.frames),
            "WaveGlow": partial(vocoder.infer, setting.mels(batch), SIGMA, noise),
        }
        for what, step in steps.items():
            for kernel, count, seconds in setting.kernels(step):
                yield Result(
                    "busiest", f"{what}: {count} × {kernel}"[:60], batch, "fp16", "ms",
                    {"ttscli": 1000 * seconds},
                )  # fmt: skip


def noise(setting: Setting) -> Iterator[Result]:
    """Draws per second of the noise of a large batch, on the CPU's threads."""
    count = setting.sizes.spoken[-1]
    model = WaveGlow(setting.waveglows(setting.sizes.channels[0])[0], "fp16")
    rows = [Generator().manual_seed(i) for i in range(count)]
    seconds = waited(setting, lambda: model.draw([setting.sizes.frames] * count, rows))
    rate = {"ttscli": count * setting.sizes.frames * 256 / seconds}
    yield Result("noise", "noise", count, "fp32", "samples/s", rate)


PARTS: dict[str, Callable[[Setting], Iterator[Result]]] = {
    part.__name__: part
    for part in (
        chip,
        equal,
        decoder,
        waveglow,
        speech,
        apart,
        busiest,
        graphs,
        windows,
        noise,
        kernels,
    )
}


def told(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def measured(setting: Setting, parts: list[str], report: Callable[[Result], None]) -> bool:
    """Run the parts, each whatever becomes of the others, and say whether all went well."""
    good = True
    for name in parts:
        started = time.perf_counter()
        try:
            for result in PARTS[name](setting):
                report(result)
            setting.collect()
        except Exception as error:
            traceback.print_exc()
            report(Result(name, "stopped here", error=told(error)))
            good = False
        sys.stderr.write(f"{name}: {time.perf_counter() - started:.0f} s\n")
    return good


def show(results: list[Result], title: str, *, aside: bool) -> None:
    """The table, on stderr if it stands aside."""
    table = Table(title=title)
    for name in (
        "what",
        "batch",
        "precision",
        "NVIDIA",
        "others",
        "ttscli",
        "÷",
        "reached",
        "wanted",
    ):
        table.add_column(name)
    for r in results:
        values = dict(r.values)
        ours, theirs = values.pop("ttscli", None), values.pop("NVIDIA", None)
        others = ", ".join(f"{name}: {value:,.4g}" for name, value in values.items())
        table.add_row(
            r.what, str(r.batch), r.precision,
            "" if theirs is None else f"{theirs:,.4g}",
            r.error or others,
            "" if ours is None else f"{ours:,.4g} {r.unit}",
            "" if ours is None or theirs is None else f"{ours / theirs:.2f} ×",
            "" if r.share is None else f"{r.share:.0%}",
            r.wanted,
        )  # fmt: skip
    stream = sys.stderr if aside else sys.stdout
    Console(stderr=aside, width=None if stream.isatty() else 130).print(table)


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nvidia", type=Path, metavar="DIR")
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--precision", choices=DTYPES, action="append")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument(
        "--json", action="store_true", help="a line for each result, when it is there"
    )
    return parser.parse_args()


def main() -> int:
    """Print the table, and with `--json` each result as soon as it is there."""
    options = arguments()
    device = "cpu" if options.smoke else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device: --smoke goes through this script without one")
    name = machine() if options.smoke else torch.cuda.get_device_name()
    title = f"{name}, torch {torch.__version__}"
    warnings.simplefilter("error", SlowerWarning)  # or another way is measured than the row says
    results: list[Result] = []

    def report(result: Result) -> None:
        results.append(result)
        if options.json:
            sys.stdout.write(json.dumps(asdict(result) | {"machine": title}) + "\n")
            sys.stdout.flush()

    with tempfile.TemporaryDirectory() as folder:
        if options.nvidia is not None:
            nvidia.use(options.nvidia)
        sizes = SMOKE if options.smoke else Sizes()
        setting = Setting(
            sizes, device, Path(folder), options.precision, with_nvidia=options.nvidia is not None
        )
        good = measured(setting, options.only or list(PARTS), report)
    show(results, title, aside=options.json)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
