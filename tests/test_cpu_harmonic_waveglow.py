"""The built-in voice's vocoder in NumPy is the one in torch, however long the mel."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import parity
import pytest
import torch
from numpy.typing import NDArray

from ttscli.checkpoints import load_tacotron2, load_waveglow
from ttscli.core import harmonic_waveglow as core
from ttscli.core.configs import HarmonicWaveGlowConfig
from ttscli.cpu import harmonic_waveglow as cpu
from ttscli.cpu.harmonic_source import Source, pulse_train
from ttscli.cpu.harmonic_waveglow import HarmonicWaveGlow
from ttscli.cpu.lapped_transform import LappedTransform
from ttscli.cpu.sharing import Shared
from ttscli.text import text_to_sequence
from ttscli.voices import find_voice

TINY = HarmonicWaveGlowConfig(
    hop_length=32, n_flows=4, n_early_every=2, n_early_size=4, n_condition=8, n_channels=12,
    n_layers=2, n_source=6, n_pitch_channels=10,
)  # fmt: skip


def random_model(config: HarmonicWaveGlowConfig = TINY) -> core.HarmonicWaveGlow:
    """A model whose couplings couple, and whose source speaks and is silent by turns."""
    torch.manual_seed(0)
    model = core.HarmonicWaveGlow(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".end.weight" in name and "couplings" in name:
                parameter.normal_(std=0.1)
            elif "invertible" in name:
                parameter.add_(0.05 * torch.randn_like(parameter))
            elif "residual_scale" in name:
                parameter.normal_(std=0.05)
        end: Any = model.pitch.end  # is to read from 100 to 400 Hz, voiced or not
        end.weight.mul_(torch.tensor([60.0, 5.0])[:, None, None])
        log_f0, voicing = model.read_pitch(random_mel(100)[None])
        shift = torch.stack([(log_f0.mean() - math.log(220)) / 0.2, voicing.median()])
        end.load_state_dict({"weight": end.weight, "bias": end.bias - shift})
    return model


def in_numpy(model: core.HarmonicWaveGlow) -> HarmonicWaveGlow:
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return HarmonicWaveGlow(model.config, tensors)


def random_mel(frames: int) -> torch.Tensor:
    return torch.randn(80, frames, generator=torch.Generator().manual_seed(frames)) * 2 - 5


def draws(config: HarmonicWaveGlowConfig, frames: int) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(1)
    shapes = [(n, frames + 1) for n in config.noise_channels]
    return [generator.standard_normal(shape, np.float32) for shape in shapes]


def in_torch(
    model: core.HarmonicWaveGlow, mel: torch.Tensor, sigma: float, noise: list[Any]
) -> NDArray[np.float32]:
    return model.infer(mel[None], sigma, [torch.from_numpy(n)[None] for n in noise])[0].numpy()


def relative(ours: Any, theirs: Any) -> float:
    return parity.max_difference(ours, theirs) / float(np.abs(np.asarray(theirs)).max())


def cores_source(model: core.HarmonicWaveGlow, mel: torch.Tensor) -> Source:
    """The source at the pitch that core reads off a mel (M, L)."""
    with torch.no_grad():
        log_f0, voicing = model.read_pitch(mel[None])
    return Source.of(log_f0[0].numpy(), voicing[0].numpy(), model.config)


@pytest.mark.parametrize("frames", [1, 2, 3, 17, 60])
def test_it_is_cores(frames: int) -> None:
    model, mel = random_model(), random_mel(frames)
    noise = draws(TINY, frames)
    ours = in_numpy(model).infer(mel.numpy(), 0.7, noise)
    assert ours.dtype == np.float32 and ours.shape == (frames * TINY.hop_length,)
    assert relative(ours, in_torch(model, mel, 0.7, noise)) < 1e-5


@pytest.mark.parametrize("n_layers", [1, 3])
def test_other_sizes_are_cores_too(n_layers: int) -> None:
    config = replace(TINY, hop_length=48, n_flows=5, n_layers=n_layers, kernel_size=5)
    model, mel = random_model(config), random_mel(23)
    noise = draws(config, 23)
    ours = in_numpy(model).infer(mel.numpy(), 1.0, noise)
    assert relative(ours, in_torch(model, mel, 1.0, noise)) < 1e-5


def test_the_built_in_voice_sounds_as_in_core() -> None:
    voice = find_voice("small")
    ids = text_to_sequence("The library opens at nine and closes at six.", voice.cleaners)
    tacotron2 = load_tacotron2(voice.tacotron2)
    mel = tacotron2.infer(torch.tensor([ids]), torch.tensor([len(ids)])).mel[0]
    model: Any = load_waveglow(voice.waveglow)
    noise = draws(model.config, mel.shape[1])
    theirs, ours = in_torch(model, mel, 0.65, noise), in_numpy(model)
    longer = torch.cat([mel, mel[:, -1:]], 1)
    same_pitch = ours.sample(longer.numpy(), cores_source(model, longer), 0.65, noise)
    assert relative(same_pitch, theirs) < 1e-5
    # The last bit of a frame's pitch moves the phase of all that follows.
    assert relative(ours.infer(mel.numpy(), 0.65, noise), theirs) < 1e-3


def test_pitch_and_source_are_cores() -> None:
    model, mel = random_model(), random_mel(300)
    with torch.no_grad():
        log_f0, voicing = model.read_pitch(mel[None])
        theirs = model.source(mel[None])[0].numpy()
    assert 0.2 < float((voicing > 0).float().mean()) < 0.8
    assert log_f0.exp().min() < 150 and log_f0.exp().max() > 300
    ours = in_numpy(model)
    source = ours.source(mel.numpy())
    assert relative(np.log(source.f0[1:-1]), log_f0[0]) < 1e-6
    np.testing.assert_array_equal(source.voiced[1:-1], voicing[0] > 0)
    blocks = cores_source(model, mel).blocks(0, 301)
    assert relative(blocks.reshape(-1), theirs) < 1e-5
    np.testing.assert_array_equal(blocks[120:131], cores_source(model, mel).blocks(120, 131))


def test_the_pulse_train_is_a_sum_of_cosines() -> None:
    cycles = np.linspace(-3, 1e6, 100_003)
    cosines = sum(np.cos(2 * math.pi * k * (cycles % 1)) for k in range(1, 45))
    ours = pulse_train(cycles, np.array(44.0))
    assert np.abs(ours - cosines).max() < 0.3  # the peak is cut off flat
    away = np.abs(np.sin(math.pi * cycles)) > 2e-3
    assert np.abs(ours - cosines)[away].max() < 1e-3


@pytest.mark.parametrize("window", [1, 7, 20, 59])
def test_windows_and_threads_change_nothing(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, mel = in_numpy(random_model()), random_mel(60).numpy()
    noise = draws(TINY, 60)
    whole = model.infer(mel, 0.7, noise)
    monkeypatch.setattr(cpu, "_WINDOW", window)
    pieces = model.infer(mel, 0.7, noise)
    assert relative(pieces, whole) < 1e-5
    for threads in (2, 5):
        with ThreadPoolExecutor(threads) as pool:
            shared = model.infer(mel, 0.7, noise, Shared(pool, threads))
        np.testing.assert_array_equal(shared, pieces)


def test_wrong_noise_is_refused() -> None:
    model, mel = in_numpy(random_model()), random_mel(9).numpy()
    for noise in (draws(TINY, 9)[:1], draws(TINY, 8)):
        with pytest.raises(ValueError, match="noise"):
            model.infer(mel, 0.7, noise)


def test_the_noise_is_left_alone_and_sigma_is_checked() -> None:
    model, mel = in_numpy(random_model()), random_mel(1).numpy()
    noise = draws(TINY, 1)
    for draw in noise:
        draw.flags.writeable = False
    model.infer(mel, 0.7, noise)
    for sigma in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="sigma"):
            model.infer(mel, sigma, noise)


def test_the_lapped_transform_is_cores() -> None:
    theirs, ours = core.LappedTransform(32), LappedTransform(32, 20)
    audio = torch.randn(1, 32 * 9)
    blocks = audio[0].numpy().reshape(9, 32)
    assert relative(ours.both(blocks), theirs.both(audio, 20)[0].T) < 1e-6
    bins = theirs(audio)[0].T.numpy()
    assert relative(ours.inverse(bins), blocks[1:-1]) < 1e-6


def test_threads_may_want_the_last_scratch_at_once() -> None:
    class Contested(list[Any]):
        """As a thread sees it when another takes the last item after it has looked."""

        def __bool__(self) -> bool:
            return True

    model, mel = in_numpy(random_model()), random_mel(9).numpy()
    noise = draws(TINY, 9)
    before = model.infer(mel, 0.7, noise)
    for coupling in model.couplings:
        coupling.scratches = Contested()
    np.testing.assert_array_equal(model.infer(mel, 0.7, noise), before)
