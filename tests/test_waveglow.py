"""WaveGlow equals NVIDIA's, is its own inverse, and treats a row of a batch as a single."""

from __future__ import annotations

import copy
from pathlib import Path

import parity
import pytest
import torch
from torch import Generator, Tensor

from ttscli.core.configs import WaveGlowConfig
from ttscli.core.flow import CouplingNet, loss
from ttscli.core.noise import draw_normal, row_generators
from ttscli.core.waveglow import WaveGlow, squeeze

TINY = WaveGlowConfig(
    n_mel_channels=3,
    n_flows=5,
    n_group=8,
    n_early_every=2,
    n_early_size=2,
    n_layers=2,
    n_channels=6,
    hop_length=16,
    upsample_kernel_size=48,
)


def tiny_waveglow(dtype: torch.dtype = torch.float64) -> WaveGlow:
    """A small model whose couplings do something (their ends start at zero)."""
    model = WaveGlow(TINY).to(dtype)
    rng = Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=rng).to(dtype)
            if parameter.dim() == 2:
                parameter.copy_(torch.linalg.qr(noise)[0] + 0.05 * noise)
            else:
                parameter.copy_(0.2 * noise)
    return model


@pytest.fixture(scope="module")
def waveglow(reference: Path) -> WaveGlow:
    """NVIDIA's weights in our class, float32."""
    return parity.nvidia_waveglow(reference)


@pytest.fixture(scope="module")
def model() -> WaveGlow:
    return tiny_waveglow()


def random(*shape: int, seed: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=dtype)


def random_noise(batch: int, frames: int) -> list[Tensor]:
    groups = frames * TINY.groups_per_frame
    return [random(batch, n, groups, seed=n + i) for i, n in enumerate(TINY.noise_channels)]


class TestParity:
    """Equal to NVIDIA's on reference/expected.npz."""

    def test_forward(self, waveglow: WaveGlow, expected: parity.Expected) -> None:
        audio, mel = (torch.from_numpy(expected[f"wg_{name}"]) for name in ("audio", "mel"))
        with torch.no_grad():
            output = waveglow(audio, mel)
        sums = torch.stack([log_s.double().sum() for log_s in output.log_s])
        parity.check("wg_z", output.z, expected["wg_z"])
        parity.check("wg_logs_sum", sums, expected["wg_logs_sum"])
        # That of one group's matrix, as often as there are groups: so are its rounding errors.
        groups = audio.numel() // waveglow.config.n_group
        log_det = torch.stack(output.log_det_w) / groups
        parity.check("wg_logdet", log_det, expected["wg_logdet"] / groups)
        parity.check("wg_loss", loss(output), expected["wg_loss"])

    @pytest.mark.parametrize("sigma", ["0", "0.7"])
    def test_infer(self, waveglow: WaveGlow, expected: parity.Expected, sigma: str) -> None:
        noise = [torch.from_numpy(expected[f"wg_noise_{i}"]) for i in range(3)]
        audio = waveglow.infer(torch.from_numpy(expected["wg_mel"]), float(sigma), noise)
        parity.check(f"wg_infer_sigma{sigma}", audio, expected[f"wg_infer_sigma{sigma}"])


class TestFlow:
    """What must hold for any weights."""

    def test_forward_undoes_infer(self, model: WaveGlow) -> None:
        mel, noise = random(2, 3, 7), random_noise(batch=2, frames=7)
        z = model(model.infer(mel, sigma=0.5, noise=noise), mel).z
        last, *early = noise
        assert torch.allclose(z, 0.5 * torch.cat([*reversed(early), last], dim=1), atol=1e-10)

    def test_infer_undoes_forward(self, model: WaveGlow) -> None:
        mel, audio = random(2, 3, 7), random(2, 7 * TINY.hop_length)
        z = model(audio, mel).z
        *early, last = z.split([2, 2, 4], dim=1)
        again = model.infer(mel, noise=[last, *reversed(early)])
        assert torch.allclose(again, audio, atol=1e-10)

    def test_log_determinants_are_those_of_the_jacobian(self, model: WaveGlow) -> None:
        mel, audio = random(1, 3, 2), random(1, 2 * TINY.hop_length)
        output = model(audio, mel)
        jacobian = torch.autograd.functional.jacobian(lambda x: model(x, mel).z, audio)
        expected = torch.linalg.slogdet(jacobian.reshape(audio.numel(), -1)).logabsdet
        ours = sum(log_s.sum() for log_s in output.log_s) + sum(output.log_det_w)
        assert ours.item() == pytest.approx(expected.item(), abs=1e-9)

    def test_loss_is_the_gaussian_likelihood(self, model: WaveGlow) -> None:
        """Exact where couplings are the identity and the 1x1 convolutions are rotations."""
        fresh = WaveGlow(TINY).double()
        audio, sigma = random(2, 64), 0.8
        output = fresh(audio, random(2, 3, 4))
        normal = torch.distributions.Normal(0.0, sigma)
        constant = torch.tensor(2 * torch.pi * sigma**2).log() / 2
        expected = -normal.log_prob(audio).mean() - constant
        assert loss(output, sigma).item() == pytest.approx(expected.item(), abs=1e-6)

    def test_every_parameter_learns(self) -> None:
        model = tiny_waveglow()
        loss(model(random(2, 64), random(2, 3, 4))).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())

    def test_squeeze_makes_neighbours_channels(self) -> None:
        x = torch.arange(12).reshape(1, 2, 6)
        assert squeeze(x, 2).tolist() == [[[0, 2, 4], [1, 3, 5], [6, 8, 10], [7, 9, 11]]]

    def test_half_precision_inverts_in_float32(self, waveglow: WaveGlow) -> None:
        mel = random(1, 16, 6, dtype=torch.float32)
        exact = waveglow.infer(mel, sigma=0.7)
        half = copy.deepcopy(waveglow).bfloat16().infer(mel.bfloat16(), sigma=0.7)
        assert half.dtype == torch.bfloat16
        assert parity.max_difference(half.float(), exact) < 0.05 * exact.abs().max()

    def test_loads_onto_a_model_without_memory(self, model: WaveGlow) -> None:
        with torch.device("meta"):
            empty = WaveGlow(TINY)
        empty.load_state_dict(model.state_dict(), assign=True, strict=True)
        mel = random(1, 3, 4)
        assert torch.equal(empty.infer(mel), model.infer(mel))


class TestBatch:
    """A row of a batch is the same text alone."""

    FRAMES = (5, 9, 1)

    def singles(self, model: WaveGlow, mels: Tensor) -> list[Tensor]:
        return [
            model.infer(mels[i : i + 1, :, :frames], 0.7, generator=Generator().manual_seed(i))
            for i, frames in enumerate(self.FRAMES)
        ]

    def batch(self, model: WaveGlow, mels: Tensor) -> Tensor:
        generators = [Generator().manual_seed(i) for i in range(len(self.FRAMES))]
        return model.infer(mels, 0.7, generator=generators, lengths=torch.tensor(self.FRAMES))

    @pytest.mark.parametrize("padding", [0.0, 3.0, float("nan")])
    def test_rows_equal_singles(self, model: WaveGlow, padding: float) -> None:
        mels = random(3, 3, 9)
        for mel, frames in zip(mels, self.FRAMES, strict=True):
            mel[:, frames:] = padding
        rows = self.batch(model, mels)
        for row, single in zip(rows, self.singles(model, mels), strict=True):
            samples = single.shape[1]
            assert torch.allclose(row[:samples], single[0], atol=1e-10)
            assert not row[samples:].any()

    def test_padding_may_be_longer_than_the_longest_row(self, model: WaveGlow) -> None:
        mels = random(3, 3, 9)
        longer = torch.nn.functional.pad(mels, (0, 4))
        rows = self.batch(model, longer)
        assert torch.allclose(rows[:, : 9 * TINY.hop_length], self.batch(model, mels), atol=1e-10)
        assert not rows[:, 9 * TINY.hop_length :].any()

    def test_rows_equal_singles_with_nvidias_weights(self, waveglow: WaveGlow) -> None:
        mels = random(3, 16, 9, dtype=torch.float32)
        rows = self.batch(waveglow, mels)
        for row, single in zip(rows, self.singles(waveglow, mels), strict=True):
            assert parity.max_difference(row[: single.shape[1]], single[0]) < 1e-5

    def test_given_noise_after_a_rows_end_is_not_heard(self, model: WaveGlow) -> None:
        mel, noise = random(2, 3, 6), random_noise(batch=2, frames=6)
        audio = model.infer(mel, noise=noise, lengths=torch.tensor([6, 4]))
        short = [draw[1:, :, : 4 * TINY.groups_per_frame] for draw in noise]
        alone = model.infer(mel[1:, :, :4], noise=short)
        assert torch.allclose(audio[1:, : 4 * TINY.hop_length], alone, atol=1e-10)
        assert not audio[1, 4 * TINY.hop_length :].any()

    def test_full_lengths_change_nothing(self, model: WaveGlow) -> None:
        mel = random(2, 3, 5)
        assert torch.equal(model.infer(mel, lengths=torch.tensor([5, 5])), model.infer(mel))

    def test_coupling_net_sees_zeros_after_the_end(self) -> None:
        net = CouplingNet(4, 8, 6, n_channels=5, n_layers=3, kernel_size=3).double()
        torch.nn.init.normal_(net.end.weight, generator=Generator().manual_seed(0))
        x, condition = random(1, 4, 20), random(1, 6, 20)
        mask = (torch.arange(20) < 12).double().reshape(1, 1, 20)
        masked, alone = net(x, condition, mask), net(x[..., :12], condition[..., :12])
        assert torch.allclose(masked[..., :12], alone, atol=1e-12)
        assert not masked[..., 12:].any()


class TestNoise:
    """All randomness comes from the generators."""

    def test_same_seed_same_audio(self, model: WaveGlow) -> None:
        mel = random(1, 3, 4)
        a, b, c = (model.infer(mel, generator=Generator().manual_seed(s)) for s in (5, 5, 6))
        assert torch.equal(a, b)
        assert not torch.allclose(a, c, atol=1e-3)

    def test_a_generator_moves_on_and_no_generator_is_seed_0(self, model: WaveGlow) -> None:
        mel, generator = random(1, 3, 4), Generator().manual_seed(0)
        first, second = (model.infer(mel, generator=generator) for _ in range(2))
        assert torch.equal(model.infer(mel), first)
        assert not torch.allclose(first, second, atol=1e-3)

    def test_global_random_state_is_left_alone(self, model: WaveGlow) -> None:
        before = torch.get_rng_state()
        model.infer(random(2, 3, 4), generator=Generator().manual_seed(3))
        assert torch.equal(torch.get_rng_state(), before)

    def test_one_generator_gives_each_row_its_own(self) -> None:
        draws = [
            draw_normal(row_generators(Generator().manual_seed(7), 2), 3, [4, 2], torch.zeros(1))
            for _ in range(2)
        ]
        assert torch.equal(*draws)
        assert not torch.equal(draws[0][0, :, :2], draws[0][1, :, :2])
        assert not draws[0][1, :, 2:].any()

    def test_every_row_needs_a_generator(self) -> None:
        with pytest.raises(ValueError, match="1 generators were given for 2 rows"):
            row_generators([Generator()], 2)

    def test_sigma_scales_the_draws(self, model: WaveGlow) -> None:
        mel = random(1, 3, 4)
        draws = [torch.zeros_like(draw) for draw in random_noise(1, 4)]
        assert torch.equal(model.infer(mel, sigma=0), model.infer(mel, noise=draws))


class TestErrors:
    """Wrong input is refused with a sentence that names it."""

    @pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf")])
    def test_sigma(self, model: WaveGlow, sigma: float) -> None:
        with pytest.raises(ValueError, match="sigma must be a finite number of at least 0"):
            model.infer(random(1, 3, 4), sigma=sigma)

    def test_loss_sigma(self, model: WaveGlow) -> None:
        with pytest.raises(ValueError, match="sigma must be above 0"):
            loss(model(random(1, 64), random(1, 3, 4)), sigma=0)

    def test_noise(self, model: WaveGlow) -> None:
        with pytest.raises(ValueError, match=r"draws of shapes \[\(1, 4, 8\), \(1, 2, 8\), "):
            model.infer(random(1, 3, 4), noise=random_noise(1, 5))
        with pytest.raises(ValueError, match="noise must be draws"):
            model.infer(random(1, 3, 4), noise=random_noise(1, 4)[:2])

    @pytest.mark.parametrize("shape", [(3, 4), (1, 4, 4), (1, 3, 0)])
    def test_mel(self, model: WaveGlow, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"mel must be \(batch, 3, frames\)"):
            model.infer(torch.zeros(shape, dtype=torch.float64))

    @pytest.mark.parametrize("lengths", [[4], [0, 4], [4, 5], [[4, 4]]])
    def test_lengths(self, model: WaveGlow, lengths: list[int]) -> None:
        with pytest.raises(ValueError, match="2 frame counts from 1 to 4"):
            model.infer(random(2, 3, 4), lengths=torch.tensor(lengths))

    @pytest.mark.parametrize("shape", [(64,), (2, 64), (1, 60), (1, 72), (1, 0)])
    def test_audio(self, model: WaveGlow, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"audio .*must"):
            model(torch.zeros(shape, dtype=torch.float64), random(1, 3, 4))

    @pytest.mark.parametrize(
        "sizes",
        [
            {"n_group": 6},
            {"upsample_kernel_size": 255},
            {"n_early_size": 1},
            {"n_early_every": 2},
            {"n_flows": 0},
        ],
    )
    def test_sizes(self, sizes: dict[str, int]) -> None:
        with pytest.raises(
            ValueError, match=r"n_group|upsample_kernel_size|even number|at least 1"
        ):
            WaveGlowConfig(**sizes)

    def test_even_kernels(self) -> None:
        with pytest.raises(ValueError, match="kernel_size must be odd"):
            CouplingNet(2, 4, 3, n_channels=4, n_layers=1, kernel_size=2)
