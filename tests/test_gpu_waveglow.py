"""WaveGlow as a GPU runs it equals core's: its logic on a CPU, its kernels in an interpreter."""

from __future__ import annotations

import contextlib
import copy
import gc
import importlib
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import parity
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cpu_waveglow import TINY, fill
from torch import Generator, Tensor, nn

from ttscli.core.configs import WaveGlowConfig
from ttscli.core.denoiser import Denoiser as CoreDenoiser
from ttscli.core.waveglow import WaveGlow as CoreWaveGlow
from ttscli.errors import SlowerWarning
from ttscli.gpu import flows
from ttscli.gpu.captured import MOST_FRAMES, SHORT, CapturedSteps
from ttscli.gpu.denoiser import Denoiser
from ttscli.gpu.flows import FoldedFlow, MakeFlow, RowFlow, folded_flows, try_flow
from ttscli.gpu.graphs import Recorder
from ttscli.gpu.tape import lay
from ttscli.gpu.vocoder import WaveGlowVocoder
from ttscli.gpu.waveglow import DTYPES, WaveGlow
from ttscli.vocoders import load_vocoder
from ttscli.voices import find_voice

TOLERANCE = {"fp32": 1e-5, "fp16": 5e-3, "bf16": 3e-2}
"""Of the largest difference to float64, as a share of the largest number."""
FRAMES = [1, 5, 40, 3, 61]
DEEP = WaveGlowConfig(n_mel_channels=6, n_flows=5, n_early_every=2, n_channels=16)
"""With the published model's group, early outputs, upsampling and reach."""
OTHER = WaveGlowConfig(
    n_mel_channels=3, n_flows=2, n_group=4, n_layers=2, kernel_size=5, n_channels=6, hop_length=12,
    upsample_kernel_size=12,
)  # fmt: skip
FLAT = WaveGlowConfig(
    n_mel_channels=2, n_flows=2, n_group=2, n_layers=2, kernel_size=1, n_channels=4, hop_length=4,
    upsample_kernel_size=9,
)  # fmt: skip
CONFIGS = {"tiny": TINY, "deep": DEEP, "other": OTHER, "flat": FLAT}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """More only wait for each other over products as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_core(config: WaveGlowConfig) -> CoreWaveGlow:
    """A flow that does something and does not blow up."""
    model = CoreWaveGlow(config)
    fill(model)
    with torch.no_grad():
        for k in range(config.n_flows):
            weight = model.get_parameter(f"invertible.{k}.weight")
            weight.copy_(torch.linalg.qr(weight)[0] + 0.05 * weight)
            model.get_parameter(f"couplings.{k}.end.weight").mul_(0.2)
    return model.eval()


CORES = {name: make_core(config) for name, config in CONFIGS.items()}


def generators(count: int) -> list[Generator]:
    return [Generator().manual_seed(i) for i in range(count)]


def random_mels(config: WaveGlowConfig, frames: list[int]) -> list[Tensor]:
    generator = Generator().manual_seed(0)
    return [torch.randn(config.n_mel_channels, n, generator=generator) for n in frames]


def exact(core: CoreWaveGlow, mel: Tensor, noise: list[Tensor]) -> Tensor:
    """Core's audio (S,) in float64."""
    draws = [draw.double()[None].cpu() for draw in noise]
    return copy.deepcopy(core).cpu().double().infer(mel[None].double().cpu(), 0.7, draws)[0]


def relative(ours: Tensor, truth: Tensor) -> float:
    assert ours.dtype == torch.float32
    assert ours.shape == truth.shape
    return float((ours.cpu() - truth).abs().max() / truth.abs().max())


class TestParity:
    """Each row of a batch is core's audio of that row alone."""

    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
    @pytest.mark.parametrize("name", CORES)
    def test_equals_core(self, name: str, precision: str) -> None:
        core = CORES[name]
        model = WaveGlow(core, precision)
        mels = random_mels(core.config, FRAMES)
        noise = model.draw(FRAMES, generators(len(FRAMES)))
        for mel, draws, audio in zip(mels, noise, model.infer(mels, 0.7, noise), strict=True):
            assert relative(audio, exact(core, mel, draws)) < TOLERANCE[precision]

    @pytest.mark.parametrize("window", [32, 64, 96])
    def test_windows_give_the_same_audio(self, window: int) -> None:
        core = CORES["deep"]
        mels = random_mels(core.config, FRAMES)
        whole, pieces = WaveGlow(core), WaveGlow(core, window=window)
        noise = whole.draw(FRAMES, generators(len(FRAMES)))
        computed: list[int] = []
        undo = pieces.step

        def step(k: int, x: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
            computed.append(len(mel))
            return undo(k, x, mel, mask)

        pieces.step = step
        rows = zip(whole.infer(mels, 0.7, noise), pieces.infer(mels, 0.7, noise), strict=True)
        for one, other in rows:
            assert relative(other, one) < TOLERANCE["fp32"]
        assert len(computed) > core.config.n_flows
        assert max(computed) <= window  # which bounds the memory

    def test_a_row_does_not_depend_on_its_batch(self) -> None:
        model = WaveGlow(CORES["deep"], window=64)
        mels = random_mels(model.config, FRAMES)
        noise = model.draw(FRAMES, generators(len(FRAMES)))
        for i, audio in enumerate(model.infer(mels, 0.7, noise)):
            alone = model.infer([mels[i]], 0.7, [noise[i]])[0]
            assert relative(audio, alone) < TOLERANCE["fp32"]

    @pytest.mark.parametrize("sigma", ["0", "0.7"])
    def test_equals_nvidia(self, reference: Path, sigma: str) -> None:
        expected = np.load(reference / "expected.npz")
        model = WaveGlow(parity.nvidia_waveglow(reference))
        mels = list(torch.from_numpy(expected["wg_mel"]))
        draws = [torch.from_numpy(expected[f"wg_noise_{i}"]) for i in range(3)]
        noise = [[draw[row] for draw in draws] for row in range(len(mels))]
        truth = torch.from_numpy(expected[f"wg_infer_sigma{sigma}"])
        for row, audio in enumerate(model.infer(mels, float(sigma), noise)):
            assert relative(audio, truth[row]) < TOLERANCE["fp32"]

    def test_what_overflows_stays_in_its_row(self) -> None:
        """Half precision ends at 65504: such a row is no number, its neighbours are what they were.

        A row that is not finite can be found in the samples and made again.
        """
        model = WaveGlow(CORES["deep"], "fp16")
        mels = random_mels(model.config, [9, 20, 9])
        noise = model.draw([9, 20, 9], generators(3))
        before = model.infer(mels, 0.7, noise)
        mels[1] *= 1e6
        after = model.infer(mels, 0.7, noise)
        assert not after[1].isfinite().all()
        assert torch.equal(after[0], before[0])
        assert torch.equal(after[2], before[2])


class TestNoise:
    """The vocoder's noise is what core draws from the same generators."""

    def test_core_draws_the_same(self) -> None:
        core = CORES["deep"]
        mels = random_mels(core.config, [7, 12])
        audio = WaveGlowVocoder(WaveGlow(core), 0.7)(mels, generators(2))
        for mel, generator, row in zip(mels, generators(2), audio, strict=True):
            assert relative(row, core.infer(mel[None], 0.7, generator=generator)[0]) < 1e-5

    def test_refused(self) -> None:
        model = WaveGlow(CORES["tiny"])
        mels = random_mels(model.config, [4])
        noise = model.draw([4], generators(1))
        with pytest.raises(ValueError, match="sigma must be a finite number of at least 0"):
            model.infer(mels, float("nan"), noise)
        with pytest.raises(ValueError, match=r"mels must be \(3, frames\), not \(4, 3\)"):
            model.infer([mels[0].T], 0.7, noise)
        with pytest.raises(ValueError, match="noise must be draws of the shapes"):
            model.infer(mels, 0.7, model.draw([3], generators(1)))


def test_an_nvidia_gpu_gets_this_vocoder(tiny_voice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here everything that goes to the GPU stays where it is."""
    voice = replace(find_voice(tiny_voice), denoise=0.3)
    readable = load_vocoder("waveglow", voice, 80, "cpu")
    monkeypatch.setattr(nn.Module, "to", lambda self, device: self)
    mels = random_mels(WaveGlowConfig(), [9, 4, 30])
    expected = readable(mels, generators(3))
    for precision, tolerance in TOLERANCE.items():
        vocoder = load_vocoder("waveglow", voice, 80, "cuda", precision)
        assert isinstance(vocoder, WaveGlowVocoder)
        assert vocoder.model.dtype == DTYPES[precision]
        for ours, row in zip(vocoder(mels, generators(3)), expected, strict=True):
            assert relative(ours, row) < tolerance


@given(
    rows=st.lists(st.integers(1, 300), min_size=1, max_size=9),
    gap=st.integers(0, 5),
    context=st.integers(0, 9),
    most=st.integers(1, 8).map(lambda n: 32 * n),
)
@settings(deadline=None)
def test_windows_cover_each_row_once(rows: list[int], gap: int, context: int, most: int) -> None:
    tape = lay(rows, gap, context, most)
    assert [row.stop - row.start for row in tape.rows] == rows
    gaps = [after.start - before.stop for before, after in pairwise(tape.rows)]
    assert set(gaps) <= {gap}
    kept = np.zeros(tape.frames, int)
    for window in tape.windows:
        assert window.start >= 0
        assert window.start + window.frames <= tape.frames
        assert window.frames <= most
        assert window.frames % 32 == 0
        kept[window.start + window.skipped : window.start + window.frames - window.skipped] += 1
        assert len(tape.windows) == 1 or window.skipped == context
    assert kept.max() == 1
    assert all((kept[row] == 1).all() for row in tape.rows)


class TestDenoiser:
    """Rows together are what core makes of each alone."""

    @pytest.mark.parametrize("lengths", [[5000], [256, 768, 512, 7680], [513, 512, 1, 1031]])
    def test_equals_core(self, lengths: list[int]) -> None:
        generator = Generator().manual_seed(0)
        core = CoreDenoiser(torch.rand(513, generator=generator))
        rows = [torch.randn(n, generator=generator) / 10 for n in lengths]
        for row, ours in zip(rows, Denoiser(core)(rows, 0.3), strict=True):
            assert not torch.equal(ours, row)
            torch.testing.assert_close(ours, core(row[None], 0.3)[0], atol=1e-6, rtol=0)

    def test_what_is_no_number_stays_in_its_row(self) -> None:
        rows = [torch.ones(n) * torch.linspace(0, 1, n) for n in (5000, 3000, 4000)]
        rows[1][7] = math.nan
        denoiser = Denoiser(CoreDenoiser(torch.ones(513)))
        before, _, after = denoiser(rows, 0.3)
        for ours, row in ((before, rows[0]), (after, rows[2])):
            torch.testing.assert_close(ours, denoiser([row], 0.3)[0], atol=1e-6, rtol=0)

    def test_strength_0_changes_nothing(self) -> None:
        row = torch.ones(3000)
        assert torch.equal(Denoiser(CoreDenoiser(torch.ones(513)))([row], 0)[0], row)


class TestChoice:
    """What cannot run is not chosen."""

    @staticmethod
    def broken(flow: FoldedFlow, dtype: torch.dtype) -> RowFlow:
        raise RuntimeError("no C compiler")

    @staticmethod
    def wrong(flow: FoldedFlow, dtype: torch.dtype) -> RowFlow:
        return RowFlow(replace(flow, bias=flow.bias + 0.2), dtype)

    @staticmethod
    def no_number(flow: FoldedFlow, dtype: torch.dtype) -> RowFlow:
        return RowFlow(replace(flow, bias=flow.bias * math.nan), dtype)

    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
    @pytest.mark.parametrize("name", CORES)
    def test_what_is_wrong_fails(self, name: str, precision: str) -> None:
        core, dtype = CORES[name], DTYPES[precision]
        for flow in folded_flows(core):
            try_flow(flow, core.config.n_group, dtype, RowFlow)
            for wrong in (self.wrong, self.no_number):
                with pytest.raises(ArithmeticError, match="its results differ from plain"):
                    try_flow(flow, core.config.n_group, dtype, wrong)

    def choose(self, monkeypatch: pytest.MonkeyPatch, **ways: MakeFlow) -> WaveGlow:
        ways = {"fused layers": self.broken, **ways}
        monkeypatch.setattr(flows, "_quickest_first", lambda *_: iter(ways.items()))
        with pytest.warns(SlowerWarning, match="no fused layers: .*no C compiler"):
            return WaveGlow(CORES["tiny"])

    def test_the_first_that_works(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Working(RowFlow):
            pass

        model = self.choose(monkeypatch, working=Working, other=RowFlow)
        assert all(type(flow) is Working for flow in model.flows)

    def test_plain_where_none_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert all(type(flow) is RowFlow for flow in self.choose(monkeypatch).flows)


class TestCapturedSteps:
    """Recorded steps give what the steps themselves give; here a record runs its work again."""

    @pytest.fixture
    def recorded(self) -> list[Callable[[], None]]:
        return []

    @pytest.fixture
    def model(self, recorded: list[Callable[[], None]]) -> WaveGlow:
        def record(work: Callable[[], None]) -> Callable[[], None]:
            recorded.append(work)
            return work

        model = WaveGlow(CORES["tiny"], window=64)
        model.step = CapturedSteps(model.step, record)
        return model

    def test_same_audio(self, model: WaveGlow, recorded: list[Callable[[], None]]) -> None:
        core = CORES["tiny"]
        for seed, frames in enumerate([[40], [150, 9], [35], [40, 200]]):
            mels = random_mels(core.config, frames)
            noise = model.draw(frames, [Generator().manual_seed(seed + i) for i in range(2)])
            for mel, draws, audio in zip(mels, noise, model.infer(mels, 0.7, noise), strict=True):
                assert relative(audio, exact(core, mel, draws)) < TOLERANCE["fp32"]
        assert recorded

    def test_what_comes_once_is_not_recorded(
        self, model: WaveGlow, recorded: list[Callable[[], None]]
    ) -> None:
        mels = random_mels(TINY, [40])
        noise = model.draw([40], generators(1))
        for expected in (0, TINY.n_flows, TINY.n_flows):
            model.infer(mels, 0.7, noise)
            assert len(recorded) == expected

    def test_no_more_frames_are_recorded_than_allowed(self) -> None:
        def step(k: int, x: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
            return x + k

        recorded: list[int] = []

        def record(work: Callable[[], None]) -> Callable[[], None]:
            recorded.append(1)
            return work

        steps = CapturedSteps(step, record)
        half = MOST_FRAMES // 2
        for _ in range(3):
            for length in (half, half + 1, half - 1, SHORT, 3):
                x = torch.ones(2 * length, 3)
                for k in (0, 5):
                    done = steps(k, x, torch.ones(length, 2), torch.ones(2 * length))
                    assert torch.equal(done, x + k)
        assert len(recorded) == 2 * len(steps._held)
        assert sorted(steps._held) == [3, SHORT, half - 1, half]


class TestRecorder:
    """Where a device refuses to record, the work is done as it is."""

    class Device:
        """What a recorder asks of torch.cuda; recordings end with an error if there is one."""

        def __init__(self, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
            self.error, self.recording = error, False
            nothing = contextlib.nullcontext()
            stream = SimpleNamespace(wait_stream=lambda _: None)
            for name, value in {
                "graph_pool_handle": object,
                "Stream": lambda _: stream,
                "device": lambda _: nothing,
                "stream": lambda _: nothing,
                "current_stream": lambda: stream,
                "CUDAGraph": lambda: self,
            }.items():
                monkeypatch.setattr(torch.cuda, name, value)

        def replay(self) -> None: ...

        def capture_begin(self, pool: object, capture_error_mode: str) -> None:
            assert not gc.isenabled()
            assert capture_error_mode == "thread_local"
            self.recording, self.pool = True, pool

        def capture_end(self) -> None:
            self.recording = False
            if self.error:
                raise RuntimeError(self.error)

    @pytest.mark.parametrize("error", ["", "operation failed due to a previous error"])
    def test_recording(self, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
        device, done = self.Device(monkeypatch, error), []

        def work() -> None:
            done.append(device.recording)

        recorder = Recorder(torch.device("cuda"))
        told = pytest.warns(SlowerWarning, match=error) if error else contextlib.nullcontext()
        with told:
            again = recorder.record(work)
        assert done == [False, True]
        assert again == (work if error else device.replay)
        assert (recorder._pool is device.pool) == (not error)
        assert gc.isenabled()


KERNELS = ("ttscli.gpu.tiled_flow", "ttscli.gpu.waveglow_kernels", "ttscli.gpu.chained_kernels")


def forget_kernels() -> None:
    """Have them imported anew, as Triton's settings then are."""
    for name in KERNELS:
        sys.modules.pop(name, None)


@pytest.fixture(params=["described", "layers", "gate"])
def interpreted(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A flow with kernels in Triton's interpreter, which has no products of bfloat16."""
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    forget_kernels()
    kernels = importlib.import_module("ttscli.gpu.waveglow_kernels")
    if request.param == "gate":
        yield partial(RowFlow, gate=kernels.gate)
    else:
        cut = replace(kernels.INTERPRETED, described=request.param == "described")
        yield partial(importlib.import_module("ttscli.gpu.tiled_flow").TiledFlow, cut=cut)
    forget_kernels()


class TestKernels:
    """The kernels compute what torch computes."""

    def test_tiles_leave_little_empty(self) -> None:
        kernels = pytest.importorskip("ttscli.gpu.waveglow_kernels")
        blocks = kernels.Blocks(128, 128, 4, 3)
        assert [blocks.rows_for(n) for n in (32, 64, 65, 128, 160, 256, 448)] == [
            64, 64, 128, 128, 64, 128, 64,
        ]  # fmt: skip
        assert [blocks.rows_for(n) for n in (512, 576, 2048)] == [128, 128, 128]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    @pytest.mark.parametrize(
        ("channels", "layers", "taps", "mels"), [(64, 3, 3, 2), (128, 2, 3, 5), (64, 1, 1, 2)]
    )
    def test_flows(
        self,
        interpreted: MakeFlow,
        channels: int,
        layers: int,
        taps: int,
        mels: int,
        dtype: torch.dtype,
    ) -> None:
        config = WaveGlowConfig(
            n_flows=3, n_early_every=2, n_layers=layers, n_channels=channels, kernel_size=taps,
            n_mel_channels=mels, hop_length=32, n_early_size=2,
        )  # fmt: skip
        generator = Generator().manual_seed(0)
        frames, groups = 37, config.groups_per_frame
        mask = torch.ones(frames, groups)
        mask[10:14] = 0
        for k, flow in enumerate(folded_flows(make_core(config))):
            x = torch.randn(frames * groups, config.n_group, generator=generator)
            x *= mask.view(-1, 1)
            mel = torch.randn(frames, len(flow.conditioning), generator=generator)
            plain = RowFlow(flow, torch.float32)(x, mel, mask.flatten())
            ours = interpreted(flow, dtype)(x, mel.to(dtype), mask.flatten())
            error = (ours - plain).abs().max() / plain.abs().max()
            assert error < (3e-6 if dtype == torch.float32 else 4e-3), k
            assert ours[mask.flatten() == 0].count_nonzero() == 0

    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_whole_model(self, interpreted: MakeFlow, precision: str) -> None:
        config = WaveGlowConfig(
            n_flows=3, n_early_every=2, n_layers=3, n_channels=64, hop_length=32, n_mel_channels=4
        )
        core = make_core(config)
        model = WaveGlow(core, precision, flow=interpreted)
        mels = random_mels(config, [6, 3])
        noise = model.draw([6, 3], generators(2))
        for mel, draws, audio in zip(mels, noise, model.infer(mels, 0.7, noise), strict=True):
            assert relative(audio, exact(core, mel, draws)) < TOLERANCE[precision]

    def test_what_overflows_stays_where_it_is(self, interpreted: MakeFlow) -> None:
        config = WaveGlowConfig(
            n_flows=1, n_layers=2, n_channels=64, hop_length=32, n_mel_channels=4
        )
        model = WaveGlow(make_core(config), "fp16", flow=interpreted)
        mels = random_mels(config, [4, 4])
        noise = model.draw([4, 4], generators(2))
        before = model.infer(mels, 0.7, noise)[0]
        mels[1] *= 1e6
        first, second = model.infer(mels, 0.7, noise)
        assert torch.equal(first, before)
        assert not second.isfinite().all()


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from ttscli.gpu import waveglow_kernels as kernels

half, single, inner, channels = "*fp16", "*fp32", kernels.INNER, 256
for chip, cut in ((90, kernels.HOPPER), (80, kernels.OLDER)):
    def described(rows, columns):
        return f"tensordesc<fp16[{rows},{columns}]>" if cut.described else half

    for kernel, blocks in (("_gated", cut.gated), ("_add_residual", cut.residual)):
        rows, columns = blocks.rows, blocks.columns
        source, weights = described(rows, inner), described(inner, columns)
        sizes = {"CHANNELS": channels, "BLOCK_F": rows, "BLOCK_N": columns, "BLOCK_K": inner}
        sizes["CHAINED"], sizes["DESCRIBED"] = chip == 90, cut.described
        if kernel == "_gated":
            types = {"source": source, "kernel": weights, "bias": single, "acts": half}
            types |= dict.fromkeys(("frames", "apart", "before", "dilation"), "i32")
            sizes |= {"GROUPS": 32, "WIDTH": channels, "TAPS": 3, "MELS": 320, "QUICK": True}
        else:
            types = {"acts": source, "residual": weights, "bias": single}
            types |= {"skip": described(inner, 16), "first": source, "start": weights}
            types |= {"mask": single, "hidden": half, "skips": single}
            types |= dict.fromkeys(("frames", "apart", "before"), "i32")
            sizes |= {"SKIP": 16, "WIDTH": inner, "RESIDUAL": True, "FIRST": False}
        multiples = {
            (place,): [["tt.divisibility", 16]]
            for place, name in enumerate(types)
            if types[name].startswith("*")
        }
        types |= dict.fromkeys(sizes, "constexpr")
        source = ASTSource(getattr(kernels, kernel), types, sizes, multiples)
        options = {"num_warps": blocks.warps, "num_stages": blocks.stages}
        options["launch_pdl"] = chip == 90
        made = triton.compile(source, target=GPUTarget("cuda", chip, 32), options=options)
        code = made.asm["ptx"]
        matrix_units = "wgmma.mma_async" if chip == 90 else "mma.sync"
        ahead = "cp.async.bulk.tensor" if chip == 90 else "cp.async"
        print(chip, made.metadata.shared, matrix_units in code, ahead in code)
"""


def test_kernels_compile() -> None:
    """For a Hopper and an older GPU: with matrix units, in the shared memory that they have.

    What they read is loaded ahead, or products would wait for it.
    """
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE],
        env=os.environ | {"TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = [line.split() for line in done.stdout.splitlines()]
    assert len(made) == 4
    for chip, shared, matrix_units, ahead in made:
        assert int(shared) <= {"90": 227, "80": 99}[chip] << 10
        assert (matrix_units, ahead) == ("True", "True")


@pytest.mark.gpu
class TestOnGpu:
    """What only a CUDA device can show."""

    @pytest.fixture(scope="class")
    def core(self) -> nn.Module:
        config = WaveGlowConfig(n_channels=256, n_flows=4, n_early_every=2)
        return make_core(config).cuda()

    @pytest.fixture(scope="class")
    def truth(self, core: CoreWaveGlow) -> list[Tensor]:
        mels = random_mels(core.config, [200, 33])
        noise = WaveGlow(core).draw([200, 33], generators(2))
        return [exact(core, mel, draws) for mel, draws in zip(mels, noise, strict=True)]

    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
    @pytest.mark.parametrize("graphs", [False, True])
    def test_equals_core(
        self, core: CoreWaveGlow, truth: list[Tensor], precision: str, graphs: bool
    ) -> None:
        model = WaveGlow(core, precision, graphs=graphs, window=128)
        mels = [mel.cuda() for mel in random_mels(core.config, [200, 33])]
        noise = model.draw([200, 33], generators(2))
        for _ in range(3):  # as it is, recorded, replayed
            for audio, expected in zip(model.infer(mels, 0.7, noise), truth, strict=True):
                assert relative(audio, expected) < TOLERANCE[precision]

    def test_work_is_recorded(self) -> None:
        x = torch.zeros(3, device="cuda")

        def work() -> None:
            x.add_(1)

        again = Recorder(x.device).record(work)
        assert again != work
        again()
        assert x.tolist() == [2, 2, 2]  # recording itself does nothing

    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_graphs_change_nothing(self, core: CoreWaveGlow, precision: str) -> None:
        mels = [mel.cuda() for mel in random_mels(core.config, [100])]
        plain, recorded = (WaveGlow(core, precision, graphs=graphs) for graphs in (False, True))
        noise = plain.draw([100], generators(1))
        expected = plain.infer(mels, 0.7, noise)[0]
        for _ in range(3):
            assert torch.equal(recorded.infer(mels, 0.7, noise)[0], expected)

    @pytest.mark.parametrize("precision", ["fp16", "bf16"])
    def test_chained_kernels_wait(
        self, core: CoreWaveGlow, precision: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that began too early would now and then say something else."""
        kernels = pytest.importorskip("ttscli.gpu.waveglow_kernels")
        mels = [mel.cuda() for mel in random_mels(core.config, [300, 61])]
        noise = WaveGlow(core).draw([300, 61], generators(2))
        model = WaveGlow(core, precision, window=256)
        runs = [model.infer(mels, 0.7, noise) for _ in range(6)]
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "chained", lambda tensor: {"CHAINED": False})
            runs.append(WaveGlow(core, precision, window=256, graphs=False).infer(mels, 0.7, noise))
        for run in runs:
            assert all(torch.equal(*pair) for pair in zip(run, runs[-1], strict=True))

    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
    def test_the_quickest_way_is_chosen(self, core: CoreWaveGlow, precision: str) -> None:
        pytest.importorskip("triton")
        flow = WaveGlow(core, precision).flows[0]
        assert type(flow).__name__ == ("RowFlow" if precision == "fp32" else "TiledFlow")

    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
    def test_vocoder(self, tiny_voice: Path, precision: str) -> None:
        voice = replace(find_voice(tiny_voice), denoise=0.3)
        mels = random_mels(WaveGlowConfig(), [9, 4, 30])
        expected = load_vocoder("waveglow", voice, 80, "cpu")(mels, generators(3))
        vocoder = load_vocoder("waveglow", voice, 80, "cuda", precision)
        rows = vocoder([mel.cuda() for mel in mels], generators(3))
        for ours, row in zip(rows, expected, strict=True):
            assert relative(ours, row) < TOLERANCE[precision]
