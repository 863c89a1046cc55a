"""WaveGlow in NumPy equals core's, whatever its sizes, windows and threads."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import parity
import pytest
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from ttscli.core.configs import WaveGlowConfig
from ttscli.core.flow import CouplingNet as CoreCouplingNet
from ttscli.core.waveglow import WaveGlow as CoreWaveGlow
from ttscli.cpu import waveglow as cpu_waveglow
from ttscli.cpu.coupling_net import CouplingNet
from ttscli.cpu.dilated import Direct, Scratch, Winograd
from ttscli.cpu.layers import Array
from ttscli.cpu.sharing import Shared
from ttscli.cpu.waveglow import WaveGlow

TOLERANCE = 1e-5
"""Of the largest difference to float64, as a share of the largest number."""

TINY = WaveGlowConfig(
    n_mel_channels=3,
    n_flows=5,
    n_early_every=2,
    n_layers=3,
    n_channels=72,  # some convolutions by Winograd, and start folded
    hop_length=16,
    upsample_kernel_size=40,  # no whole number of hops
)


def relative(ours: Array, exact: Tensor | NDArray[np.float64]) -> float:
    exact = np.asarray(exact)
    assert ours.dtype == np.float32
    assert ours.shape == exact.shape
    return float(np.abs(ours - exact).max() / np.abs(exact).max())


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed))


def fill(module: nn.Module) -> None:
    """Weights that keep signals at their size, and do something: ends start at zero."""
    generator = Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            values = torch.randn(parameter.shape, generator=generator)
            inputs = parameter[0].numel() if parameter.dim() > 1 else 4
            parameter.copy_(values / inputs**0.5)


def arrays(module: nn.Module, prefix: str = "") -> dict[str, Array]:
    return {prefix + name: tensor.numpy() for name, tensor in module.state_dict().items()}


class TestDilated:
    """Both ways to convolve, in the middle of their input and at its ends."""

    @pytest.mark.parametrize("dilation", [1, 2, 8, 64])
    @pytest.mark.parametrize("rows", [1, 7, 500])
    def test_equals_torch(self, dilation: int, rows: int) -> None:
        weight = random(20, 12, 3) / 6
        x = random(1, 12, 1000, seed=1)
        exact = nn.functional.conv1d(
            x.double(), weight.double(), dilation=dilation, padding=dilation
        )
        taps = np.ascontiguousarray(weight.numpy().transpose(2, 0, 1))
        for convolution in (Direct(taps, dilation), Winograd(taps, dilation)):
            around = ((convolution.ahead, convolution.behind), (0, 0))
            surrounded = np.ascontiguousarray(np.pad(x[0].T.numpy(), around))
            for first in (0, 123, 1000 - rows):
                ours = convolution(surrounded, convolution.ahead + first, rows, Scratch())
                assert relative(ours, exact[0].T[first : first + rows]) < TOLERANCE

    def test_any_odd_number_of_taps(self) -> None:
        weight, x = random(6, 4, 5), random(1, 4, 50, seed=1)
        direct = Direct(weight.numpy().transpose(2, 0, 1), 3)
        ours = direct(np.pad(x[0].T.numpy(), ((6, 6), (0, 0))), 6, 50, Scratch())
        exact = nn.functional.conv1d(x.double(), weight.double(), dilation=3, padding=6)
        assert relative(ours, exact[0].T) < TOLERANCE


NETS = {  # n_in, n_out, n_cond, n_channels, n_layers, kernel_size
    "paper": (4, 8, 40, 64, 8, 3),
    "harmonic": (90, 100, 96, 80, 4, 3),
    "narrow": (6, 3, 5, 8, 3, 3),
    "wide": (3, 4, 5, 8, 2, 5),
    "flat": (3, 4, 5, 8, 1, 1),
}


def make_nets(name: str) -> tuple[CoreCouplingNet, CouplingNet]:
    core = CoreCouplingNet(*NETS[name])
    fill(core)
    return core, CouplingNet(arrays(core, "net."), "net.")


def inputs(name: str, length: int) -> tuple[Tensor, Tensor]:
    n_in, _, n_cond, *_ = NETS[name]
    return random(1, n_in, length), random(1, n_cond, length, seed=1)


class TestCouplingNet:
    """Equal to core's in float64."""

    @pytest.mark.parametrize("name", NETS)
    @pytest.mark.parametrize("length", [1, 2, 31, 1000])
    def test_equals_core(self, name: str, length: int) -> None:
        core, ours = make_nets(name)
        x, condition = inputs(name, length)
        with torch.no_grad():
            exact = core.double()(x.double(), condition.double())
        result = ours(x[0].T.numpy(), condition[0].T.numpy())
        assert relative(result, exact[0].T) < TOLERANCE

    def test_many_chunks_in_any_order(self) -> None:
        core, ours = make_nets("paper")
        x, condition = inputs("paper", 6500)
        with torch.no_grad():
            exact = core.double()(x.double(), condition.double())
        result = ours(x[0].T.numpy(), condition[0].T.numpy())
        assert relative(result, exact[0].T) < TOLERANCE
        with ThreadPoolExecutor(3) as pool:
            again = ours(x[0].T.numpy(), condition[0].T.numpy(), Shared(pool, 3))
        assert np.array_equal(result, again)

    def test_half_precision_weights(self) -> None:
        core, _ = make_nets("paper")
        core = core.half()
        ours = CouplingNet(arrays(core), "")
        x, condition = inputs("paper", 100)
        with torch.no_grad():
            exact = core.double()(x.double(), condition.double())
        assert relative(ours(x[0].T.numpy(), condition[0].T.numpy()), exact[0].T) < TOLERANCE

    @pytest.mark.slow
    @pytest.mark.parametrize("channels", [256, 512])
    def test_full_size(self, channels: int) -> None:
        core = CoreCouplingNet(4, 8, 640, channels, n_layers=8, kernel_size=3)
        fill(core)
        ours = CouplingNet(arrays(core), "")
        x, condition = random(1, 4, 1601), random(1, 640, 1601, seed=1)
        with torch.no_grad():
            exact = core.double()(x.double(), condition.double())
        assert relative(ours(x[0].T.numpy(), condition[0].T.numpy()), exact[0].T) < TOLERANCE


@pytest.fixture(scope="module")
def core() -> CoreWaveGlow:
    model = CoreWaveGlow(TINY)
    fill(model)
    with torch.no_grad():
        for k in range(TINY.n_flows):
            weight = model.get_parameter(f"invertible.{k}.weight")
            weight.copy_(torch.linalg.qr(weight)[0] + 0.05 * weight)
            # Couplings that scale by a little: the flow must not blow up.
            model.get_parameter(f"couplings.{k}.end.weight").mul_(0.2)
    return model


@pytest.fixture(scope="module")
def waveglow(core: CoreWaveGlow) -> WaveGlow:
    return WaveGlow(TINY, arrays(core))


def noise(frames: int) -> list[Array]:
    groups = frames * TINY.groups_per_frame
    return [random(n, groups, seed=i).numpy() for i, n in enumerate(TINY.noise_channels)]


class TestWaveGlow:
    """Equal to core's and NVIDIA's."""

    @pytest.mark.parametrize("frames", [1, 2, 5, 300])
    def test_equals_core(self, core: CoreWaveGlow, waveglow: WaveGlow, frames: int) -> None:
        mel = random(3, frames)
        draws = [torch.from_numpy(draw).double()[None] for draw in noise(frames)]
        exact = copy.deepcopy(core).double().infer(mel[None].double(), 0.7, draws)
        ours = waveglow.infer(mel.numpy(), 0.7, noise(frames))
        assert relative(ours, exact[0]) < TOLERANCE

    @pytest.mark.parametrize("sigma", ["0", "0.7"])
    def test_equals_nvidia(self, reference: Path, sigma: str) -> None:
        expected = np.load(reference / "expected.npz")
        model = parity.nvidia_waveglow(reference)
        waveglow = WaveGlow(model.config, arrays(model))
        for row, mel in enumerate(expected["wg_mel"]):
            draws = [expected[f"wg_noise_{i}"][row] for i in range(3)]
            audio = waveglow.infer(mel, float(sigma), draws)
            assert relative(audio, expected[f"wg_infer_sigma{sigma}"][row]) < TOLERANCE

    def test_windows_give_the_same_audio(
        self, waveglow: WaveGlow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mel, draws = random(3, 50).numpy(), noise(50)
        whole = waveglow.infer(mel, 0.7, draws)
        monkeypatch.setattr(cpu_waveglow, "_WINDOW", 12)
        assert relative(waveglow.infer(mel, 0.7, draws), whole.astype(np.float64)) < TOLERANCE

    def test_threads_give_the_same_samples(self, waveglow: WaveGlow) -> None:
        frames = 3500  # several windows and chunks
        mel, draws = random(3, frames).numpy(), noise(frames)
        alone = waveglow.infer(mel, 0.7, draws)
        with ThreadPoolExecutor(3) as pool:
            shared = waveglow.infer(mel, 0.7, draws, Shared(pool, 3))
        assert np.array_equal(shared, alone)

    def test_what_it_refuses(self, waveglow: WaveGlow) -> None:
        mel = random(3, 4).numpy()
        with pytest.raises(ValueError, match=r"mel must be \(3, frames\), not \(4, 3\)"):
            waveglow.infer(mel.T, 0.7, noise(4))
        with pytest.raises(ValueError, match=r"mel must be \(3, frames\), not \(3, 0\)"):
            waveglow.infer(mel[:, :0], 0.7, noise(0))
        for sigma in (-0.1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="sigma must be a finite number of at least 0"):
                waveglow.infer(mel, sigma, noise(4))
        with pytest.raises(ValueError, match="noise must be draws of shapes"):
            waveglow.infer(mel, 0.7, noise(3))
