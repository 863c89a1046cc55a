"""Weights as arrays: the same numbers and the same refusals as the torch models', without torch."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from ttscli.checkpoints import layouts, load_tacotron2, load_waveglow, save_safetensors
from ttscli.checkpoints.arrays import read_tacotron2, read_waveglow
from ttscli.core.configs import HarmonicWaveGlowConfig, Tacotron2Config, WaveGlowConfig
from ttscli.core.harmonic_waveglow import HarmonicWaveGlow
from ttscli.core.tacotron2 import Tacotron2
from ttscli.core.waveglow import WaveGlow
from ttscli.errors import VoiceError

TACOTRON2 = Tacotron2Config(
    symbols_embedding_dim=10, encoder_embedding_dim=8, encoder_n_convolutions=2,
    attention_rnn_dim=6, attention_dim=5, attention_location_n_filters=3,
    attention_location_kernel_size=7, n_frames_per_step=2, decoder_rnn_dim=9, prenet_dim=4,
    postnet_embedding_dim=7, postnet_n_convolutions=3,
)  # fmt: skip
WAVEGLOW = WaveGlowConfig(n_flows=5, n_early_every=2, n_layers=3, n_channels=6)
HARMONIC = HarmonicWaveGlowConfig(n_flows=3, n_early_every=2, n_channels=8, n_layers=2, n_source=5)
MODELS = {
    "tacotron2": (Tacotron2, TACOTRON2, layouts.tacotron2_layout),
    "waveglow": (WaveGlow, WAVEGLOW, layouts.waveglow_layout),
    "harmonic-waveglow": (HarmonicWaveGlow, HARMONIC, layouts.harmonic_waveglow_layout),
}


@pytest.mark.parametrize("kind", MODELS)
def test_layouts_are_those_of_the_torch_models(kind: str) -> None:
    model_class, config, layout = MODELS[kind]
    shapes = {name: tuple(t.shape) for name, t in model_class(config).state_dict().items()}
    assert layout(config) == shapes


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("half", [False, True])
def test_our_own_files_give_the_same_numbers(kind: str, half: bool, tmp_path: Path) -> None:
    model_class, config, _ = MODELS[kind]
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    save_safetensors(path, model_class(config), kind, half=half)
    read = read_tacotron2 if kind == "tacotron2" else read_waveglow
    load = load_tacotron2 if kind == "tacotron2" else load_waveglow
    found = read(path)
    assert found.config == config
    for name, tensor in load(path).state_dict().items():
        np.testing.assert_array_equal(found.tensors[name], tensor.numpy())
        assert found.tensors[name].dtype == np.float32


@pytest.mark.parametrize("name", ["tacotron2_fp16.pt", "waveglow_nvidia_repo_2019.pt"])
def test_foreign_files_are_read_by_torch(name: str, reference: Path) -> None:
    taco = name.startswith("tacotron2")
    found = (read_tacotron2 if taco else read_waveglow)(reference / name)
    model = (load_tacotron2 if taco else load_waveglow)(reference / name)
    assert found.config == model.config
    for key, tensor in model.state_dict().items():
        np.testing.assert_array_equal(found.tensors[key], tensor.numpy())


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    good = tmp_path / "good.safetensors"
    save_safetensors(good, Tacotron2(TACOTRON2), "tacotron2")
    from safetensors import safe_open

    with safe_open(good, framework="numpy") as file:
        metadata = file.metadata()
    tensors = load_file(good)
    name = "decoder.gate.weight"
    broken = {
        f"{name} is missing": {k: v for k, v in tensors.items() if k != name},
        "extra.*unknown": tensors | {"extra": np.zeros(3, np.float32)},
        f"{name} has the shape": tensors | {name: np.zeros((1, 3), np.float32)},
        f"{name} has numbers that are not finite": tensors | {name: tensors[name] * np.nan},
        f"{name} is of the type int64": tensors | {name: tensors[name].astype(np.int64)},
    }
    for message, changed in broken.items():
        save_file(changed, tmp_path / "broken.safetensors", metadata)
        with pytest.raises(VoiceError, match=message):
            read_tacotron2(tmp_path / "broken.safetensors")
    with pytest.raises(VoiceError, match="this is a Tacotron 2, not a WaveGlow"):
        read_waveglow(good)
    with pytest.raises(VoiceError, match="cannot be read"):
        read_waveglow(tmp_path / "none")
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:2000])
    with pytest.raises(VoiceError, match="damaged or cut short"):
        read_tacotron2(tmp_path / "cut.safetensors")


def test_torch_is_not_imported_for_our_own_files(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "t", Tacotron2(TACOTRON2), "tacotron2")
    code = (
        "import sys; from ttscli.checkpoints.arrays import read_tacotron2; "
        f"read_tacotron2({str(tmp_path / 't')!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_our_own_files_are_mapped_and_not_copied(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "x", WaveGlow(WAVEGLOW), "waveglow")
    for array in read_waveglow(tmp_path / "x").tensors.values():
        base = array
        while isinstance(base, np.ndarray) and base.base is not None:
            base = base.base  # type: ignore[assignment]
        assert isinstance(base, (mmap.mmap, memoryview))
        assert not array.flags.writeable
