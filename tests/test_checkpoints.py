"""Every format of checkpoint loads into the same model, and ours is written safely."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import checkpoint_files as make
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ttscli.checkpoints import load_tacotron2, load_waveglow, save_safetensors
from ttscli.errors import OutputError

pytestmark = [  # what torch thinks of the old files that are made here
    pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated"),
    pytest.mark.filterwarnings("ignore:Couldn't retrieve source code"),
]

TACOTRON2_FILES = ("nvidia_repo", "deeplearningexamples", "deeplearningexamples_2019")
WAVEGLOW_FILES = (
    "deeplearningexamples",
    "deeplearningexamples_2019",
    "nvidia_repo",
    "nvidia_repo_2019",
    "nvidia_repo_state_dict",
)


def difference(a: nn.Module, b: nn.Module) -> float:
    """The largest between two models' weights."""
    ours, theirs = a.state_dict(), b.state_dict()
    assert list(ours) == list(theirs)
    return max((ours[name].double() - theirs[name].double()).abs().max().item() for name in ours)


# Formats


@pytest.mark.parametrize("name", TACOTRON2_FILES[1:])
def test_tacotron2_of_every_reference_file_is_the_same(reference: Path, name: str) -> None:
    first = load_tacotron2(reference / f"tacotron2_{TACOTRON2_FILES[0]}.pt")
    other = load_tacotron2(reference / f"tacotron2_{name}.pt")
    assert difference(first, other) == 0
    assert other.config.gate_threshold == pytest.approx(0.26973, abs=1e-5)


@pytest.mark.parametrize("name", WAVEGLOW_FILES[1:])
def test_waveglow_of_every_reference_file_is_the_same(reference: Path, name: str) -> None:
    first = load_waveglow(reference / f"waveglow_{WAVEGLOW_FILES[0]}.pt")
    other = load_waveglow(reference / f"waveglow_{name}.pt")
    assert first.config == other.config
    assert difference(first, other) == 0


@pytest.mark.parametrize(
    ("load", "kind"), [(load_tacotron2, "tacotron2"), (load_waveglow, "waveglow")]
)
def test_half_precision_files_become_float32(reference: Path, load: Any, kind: str) -> None:
    whole = load(reference / f"{kind}_deeplearningexamples.pt")
    half = load(reference / f"{kind}_fp16.pt")
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    assert whole.config == half.config
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(half.state_dict()[name], tensor, rtol=4e-3, atol=1e-4)


def test_reference_sizes_agree_with_the_published_config(reference: Path) -> None:
    config = json.loads((reference / "config.json").read_text())
    tacotron2 = load_tacotron2(reference / "tacotron2_nvidia_repo.pt").config
    sizes = {
        k: v for k, v in config["tacotron2_config"].items() if not isinstance(v, (bool, float))
    }
    sizes.pop("max_decoder_steps")
    assert {name: getattr(tacotron2, name) for name in sizes} == sizes
    waveglow = load_waveglow(reference / "waveglow_nvidia_repo_2019.pt").config
    sizes = config["waveglow_config"] | config["waveglow_config"].pop("WN_config")
    assert {name: getattr(waveglow, name) for name in sizes} == sizes


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["", "module.", "module.1.", "module.module."])
def test_wrapped_tacotron2(tmp_path: Path, legacy: bool, prefix: str) -> None:
    model = make.tacotron2()
    state = {prefix + name: tensor for name, tensor in make.their_names(model).items()}
    path = make.save({"state_dict": state, "iteration": 1}, tmp_path / "x.wav", legacy)
    assert difference(load_tacotron2(path), model) == 0


def test_bare_state_dicts(tmp_path: Path) -> None:
    model = make.waveglow()
    theirs = make.their_names(model)
    save_file(theirs, tmp_path / "theirs.safetensors")
    for path in (
        make.save(theirs, tmp_path / "theirs"),
        make.save(model.state_dict(), tmp_path / "ours", legacy=True),
        make.save({"model": theirs}, tmp_path / "model"),
        tmp_path / "theirs.safetensors",
    ):
        assert difference(load_waveglow(path), model) == 0
        assert load_waveglow(path).config == model.config


def test_weight_norm_is_folded_and_conditioning_fused(tmp_path: Path) -> None:
    model = make.waveglow()
    state = make.with_weight_norm(make.their_names(model))
    assert "WN.0.cond_layers.2.weight_v" in state
    assert difference(load_waveglow(make.save({"state_dict": state}, tmp_path / "x")), model) < 1e-6


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap", [lambda module: {"model": module, "iteration": 3}, lambda module: module]
)
def test_pickled_module_is_read_without_its_classes(
    tmp_path: Path, legacy: bool, wrap: Any
) -> None:
    model = make.waveglow()
    with make.glow_classes() as glow:
        path = make.save(wrap(make.glow_module(glow, make.waveglow())), tmp_path / "x", legacy)
    loaded = load_waveglow(path)
    assert "glow" not in sys.modules
    assert loaded.config == model.config
    assert difference(loaded, model) < 1e-6


@pytest.mark.parametrize("half", [False, True])
def test_our_own_format_keeps_everything(tmp_path: Path, half: bool) -> None:
    tacotron2, waveglow = make.tacotron2(), make.waveglow()
    save_safetensors(tmp_path / "t", tacotron2, "tacotron2", half)
    save_safetensors(tmp_path / "w", waveglow, "waveglow", half)
    for loaded, model in (
        (load_tacotron2(tmp_path / "t"), tacotron2),
        (load_waveglow(tmp_path / "w"), waveglow),
    ):
        assert loaded.config == model.config
        assert not loaded.training
        assert {p.dtype for p in loaded.parameters()} == {torch.float32}
        assert difference(loaded, model) <= (1e-3 if half else 0)


def test_harmonic_waveglow_speaks_as_before_it_was_saved(tmp_path: Path) -> None:
    from ttscli.core.configs import HarmonicWaveGlowConfig
    from ttscli.core.harmonic_waveglow import HarmonicWaveGlow

    config = HarmonicWaveGlowConfig(
        n_flows=3, n_early_every=2, n_condition=8, n_channels=6, n_layers=2, n_source=5,
        n_harmonics=7, n_pitch_channels=4,
    )  # fmt: skip
    model = HarmonicWaveGlow(config).eval()
    save_safetensors(tmp_path / "x", model, "harmonic-waveglow")
    loaded = load_waveglow(tmp_path / "x")
    assert loaded.config == config
    assert difference(loaded, model) == 0
    mel = torch.linspace(-9, 1, 80)[None, :, None].expand(1, 80, 5)
    torch.testing.assert_close(loaded.infer(mel), model.infer(mel), rtol=0, atol=0)


def test_loaded_models_run(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "t", make.tacotron2(), "tacotron2")
    save_safetensors(tmp_path / "w", make.waveglow(), "waveglow")
    ids = torch.tensor([[1, 2, 3]])
    mel = load_tacotron2(tmp_path / "t").infer(ids, torch.tensor([3]), max_steps=4).mel
    assert torch.equal(mel, make.tacotron2().infer(ids, torch.tensor([3]), max_steps=4).mel)
    audio = load_waveglow(tmp_path / "w").infer(mel)
    assert torch.equal(audio, make.waveglow().infer(mel))


def test_loading_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "t", make.tacotron2(), "tacotron2")
    before = torch.get_rng_state()
    load_tacotron2(tmp_path / "t")
    assert torch.equal(before, torch.get_rng_state())


def test_importing_is_free() -> None:
    code = "import sys, ttscli.checkpoints; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tacotron2", "waveglow"])
def test_full_size_layout_loads(reference: Path, tmp_path: Path, kind: str) -> None:
    layout = json.loads((reference / "full_size_layout.json").read_text())[kind]
    generator = torch.Generator().manual_seed(0)
    state = {
        f"module.{name}": torch.rand(shape, generator=generator).to(getattr(torch, dtype)) + 1
        for name, (dtype, *shape) in layout["state_dict"].items()
    }
    file = {"epoch": 1, "config": layout["config"], "state_dict": state, "optimizer": {}}
    path = make.save(file, tmp_path / "nvidia_fp32_20190427", legacy=kind == "tacotron2")
    load = load_tacotron2 if kind == "tacotron2" else load_waveglow
    model: Any = load(path)
    folded = sum(t.numel() for name, t in state.items() if name.endswith("weight_g"))
    assert sum(p.numel() for p in model.parameters()) == layout["parameters"] - folded
    name = "embedding.weight" if kind == "tacotron2" else "upsample.weight"
    assert torch.equal(model.state_dict()[name], state[f"module.{name}"])


# Saving


def test_saving_replaces_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"old")
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(full))
        with pytest.raises(OutputError, match="No space left on device"):
            save_safetensors(path, make.waveglow(), "waveglow")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    save_safetensors(path, make.waveglow(), "waveglow")
    assert list(tmp_path.iterdir()) == [path]
    mask = os.umask(0o022)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    for bad in (path / "x", tmp_path / "no" / "x"):
        with pytest.raises(OutputError, match="cannot be written"):
            save_safetensors(bad, make.waveglow(), "waveglow")


def test_saving_refuses_what_it_cannot_keep(tmp_path: Path) -> None:
    model = make.waveglow()
    with pytest.raises(ValueError, match="kind"):
        save_safetensors(tmp_path / "x", model, "glow")
    with torch.no_grad():
        model.upsample.bias.fill_(1e6)
    with pytest.raises(ValueError, match=r"upsample\.bias has numbers that 16 bits cannot hold"):
        save_safetensors(tmp_path / "x", model, "waveglow", half=True)
    assert not list(tmp_path.iterdir())
