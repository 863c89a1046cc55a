"""The files that the tests and the bench make have the layout of the published ones."""

from __future__ import annotations

import json
from pathlib import Path

import checkpoint_files as make
import pytest
import torch

from ttscli.checkpoints import layouts
from ttscli.core.configs import Tacotron2Config, WaveGlowConfig
from ttscli.core.tacotron2 import Tacotron2
from ttscli.core.waveglow import WaveGlow
from ttscli.errors import VoiceError
from ttscli.registry import read_registry


@pytest.mark.parametrize("kind", ["tacotron2", "waveglow"])
def test_full_size_files_are_made_as_published(reference: Path, kind: str) -> None:
    published = json.loads((reference / "full_size_layout.json").read_text())[kind]
    with torch.device("meta"):
        model = Tacotron2(Tacotron2Config()) if kind == "tacotron2" else WaveGlow(WaveGlowConfig())
        state = make.their_names(model)
        state = make.with_weight_norm(state) if kind == "waveglow" else state
    made = {
        name: [str(tensor.dtype).removeprefix("torch."), *tensor.shape]
        for name, tensor in state.items()
    }
    assert made == published["state_dict"]
    parameters = sum(t.numel() for name, t in state.items() if "running" not in name)
    assert parameters - sum("tracked" in name for name in state) == published["parameters"]


def test_the_registry_knows_the_published_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTSCLI_HOME", "/nowhere")
    for name, offer in read_registry().items():
        channels = 256 if name == "ljspeech-256" else 512
        for source in offer.sources:
            assert source.sizes is not None
            if source.role == "tacotron2":
                layouts.check_sizes("tacotron2", Tacotron2Config(), source.sizes)
                continue
            layouts.check_sizes("waveglow", WaveGlowConfig(n_channels=channels), source.sizes)
            with pytest.raises(VoiceError, match="not the published model"):
                layouts.check_sizes("waveglow", WaveGlowConfig(n_channels=128), source.sizes)
