"""The built-in voice's vocoder: its transform, its source, and both directions of its flow."""

from __future__ import annotations

import math

import pytest
import torch

from ttscli.core.configs import HarmonicWaveGlowConfig
from ttscli.core.harmonic_waveglow import (
    HarmonicWaveGlow,
    LappedTransform,
    interpolate_frames,
    pulse_train,
)

TINY = HarmonicWaveGlowConfig(
    n_flows=4, n_early_every=2, n_early_size=8, n_condition=8, n_channels=12, n_layers=2, n_source=6
)


@pytest.fixture
def tiny() -> HarmonicWaveGlow:
    torch.manual_seed(0)
    model = HarmonicWaveGlow(TINY).eval()
    for coupling in model.couplings:
        torch.nn.init.normal_(coupling.end.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    return model


def test_the_lapped_transform_is_orthonormal_and_inverts() -> None:
    transform = LappedTransform(32)
    audio = torch.randn(2, 32 * 9)
    bins = transform(audio)
    assert bins.shape == (2, 32, 8)
    torch.testing.assert_close(transform.inverse(bins)[:, 32:-32], audio[:, 32:-32])
    silent_ends = torch.nn.functional.pad(audio[:, 32:-32], (32, 32))
    torch.testing.assert_close(
        transform(silent_ends).square().sum(), silent_ends.square().sum(), rtol=1e-4, atol=0
    )


def test_the_pulse_train_is_a_sum_of_cosines() -> None:
    phase = torch.linspace(-7, 30, 5000, dtype=torch.float64)[None]
    cosines = sum(torch.cos(k * phase) for k in range(1, 12))
    ours = pulse_train(phase, torch.full_like(phase, 0.5), 11)
    torch.testing.assert_close(ours, 0.5 * cosines, rtol=0, atol=1e-2)  # type: ignore[operator]


def test_frames_are_interpolated_in_line() -> None:
    values = torch.tensor([[0.0, 4.0, 2.0]])
    assert interpolate_frames(values, 4).tolist() == [[0, 1, 2, 3, 4, 3.5, 3, 2.5]]


def test_sampling_undoes_the_flow(tiny: HarmonicWaveGlow) -> None:
    mel, audio = torch.randn(2, 80, 10) - 4, torch.randn(2, 11 * 256) * 0.1
    source = torch.randn(2, 11 * 256) * 0.1
    with torch.no_grad():
        z = tiny(audio, mel, source).z
        early = TINY.n_early_size
        again = tiny.sample(mel, source, [z[:, early:], z[:, :early]])
    torch.testing.assert_close(again[:, 256:-256], audio[:, 256:-256], rtol=1e-4, atol=1e-5)


def test_log_determinant_is_the_jacobians() -> None:
    torch.manual_seed(1)
    config = HarmonicWaveGlowConfig(
        hop_length=8, n_flows=2, n_early_every=1, n_early_size=2, n_condition=3, n_channels=4,
        n_layers=1, n_source=2,
    )  # fmt: skip
    model = HarmonicWaveGlow(config).double()
    for coupling in model.couplings:
        torch.nn.init.normal_(coupling.end.weight, std=0.3)  # type: ignore[union-attr, arg-type]
    mel, source = torch.randn(1, 80, 3).double() - 4, torch.randn(1, 32).double()
    audio = torch.randn(1, 32).double()
    # From the transform's bins on; the transform itself is orthonormal.
    basis = torch.linalg.pinv(
        torch.func.jacrev(lambda a: model.transform(a).flatten())(audio[0][None])[:, 0]
    )
    jacobian = torch.func.jacrev(lambda bins: model((basis @ bins)[None], mel, source).z.flatten())(
        model.transform(audio).flatten()
    )
    output = model(audio, mel, source)
    ours = sum(part.sum() for part in output.log_s) + sum(output.log_det_w)
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], ours, rtol=1e-4, atol=1e-4)


def test_a_row_of_a_batch_is_the_row_alone(tiny: HarmonicWaveGlow) -> None:
    mel = torch.randn(2, 80, 20) - 4
    batch = tiny.infer(
        mel,
        0.7,
        generator=[torch.Generator().manual_seed(i) for i in range(2)],
        lengths=torch.tensor([20, 13]),
    )
    for row, frames in enumerate((20, 13)):
        alone = tiny.infer(
            mel[row : row + 1, :, :frames], 0.7, generator=torch.Generator().manual_seed(row)
        )
        assert alone.shape == (1, frames * 256)
        assert (batch[row, : frames * 256] - alone[0]).abs().max() < 1e-5
        assert not batch[row, frames * 256 :].any()


def test_noise_is_scaled_by_sigma_and_comes_from_the_generator(tiny: HarmonicWaveGlow) -> None:
    mel = torch.randn(1, 80, 6) - 4
    draws = [torch.randn(1, n, 7) for n in TINY.noise_channels]
    doubled = [2 * draw for draw in draws]
    torch.testing.assert_close(tiny.infer(mel, 1.0, draws), tiny.infer(mel, 0.5, doubled))
    same, again, other = (
        tiny.infer(mel, 1.0, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(same, again)
    assert not torch.allclose(same, other)
    with pytest.raises(ValueError, match="sigma"):
        tiny.infer(mel, -1.0)


def test_the_source_pulses_at_the_pitch_that_the_net_reads(tiny: HarmonicWaveGlow) -> None:
    with torch.no_grad():
        tiny.pitch.end.weight.zero_()
        tiny.pitch.end.bias.copy_(torch.tensor([math.log(200 / 165) / 0.2, 5.0]))  # 200 Hz, voiced
    source = tiny.source(torch.zeros(1, 80, 200))[0]
    spectrum = torch.fft.rfft(source * torch.hann_window(len(source))).abs()
    hz = torch.fft.rfftfreq(len(source), 1 / 22050)
    assert float(hz[spectrum.argmax()]) % 200 == pytest.approx(0, abs=1) or float(
        hz[spectrum.argmax()]
    ) % 200 == pytest.approx(200, abs=1)
    between = (hz % 200 > 60) & (hz % 200 < 140)
    assert spectrum[between].square().sum() < 1e-3 * spectrum.square().sum()
