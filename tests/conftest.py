"""Fixtures shared by the tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of data computed with NVIDIA's own code; tests that need it skip without it."""
    if not REFERENCE.is_dir():
        pytest.skip("the reference data is not beside this checkout")
    return REFERENCE


@pytest.fixture(scope="session")
def tiny_voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a voice that says noise, quickly: tiny random models."""
    import torch

    from ttscli.checkpoints import save_safetensors
    from ttscli.core.configs import Tacotron2Config, WaveGlowConfig
    from ttscli.core.tacotron2 import Tacotron2
    from ttscli.core.waveglow import WaveGlow

    folder = tmp_path_factory.mktemp("voices") / "tiny"
    folder.mkdir()
    random = torch.Generator().manual_seed(1)
    tacotron2 = Tacotron2(
        Tacotron2Config(
            symbols_embedding_dim=8,
            encoder_n_convolutions=1,
            encoder_embedding_dim=8,
            attention_rnn_dim=8,
            attention_dim=4,
            attention_location_n_filters=2,
            attention_location_kernel_size=3,
            decoder_rnn_dim=8,
            prenet_dim=8,
            postnet_embedding_dim=8,
            postnet_kernel_size=3,
            postnet_n_convolutions=2,
        )
    ).eval()
    waveglow = WaveGlow(
        WaveGlowConfig(
            n_flows=2, n_early_every=1, n_layers=1, n_channels=4, upsample_kernel_size=256
        )
    ).eval()
    with torch.no_grad():
        for model, scale in ((tacotron2, 0.5), (waveglow, 0.02)):
            for name, parameter in model.named_parameters():
                if "invertible" not in name and "norm" not in name:
                    parameter.copy_(scale * torch.randn(parameter.shape, generator=random))
        # The prenet's dropout moves the gate about, until it fires after a few frames.
        tacotron2.decoder.gate.weight.mul_(6)
        tacotron2.decoder.gate.bias.fill_(-2)
    save_safetensors(folder / "tacotron2.safetensors", tacotron2, "tacotron2")
    save_safetensors(folder / "waveglow.safetensors", waveglow, "waveglow")
    manifest = {
        "name": "tiny",
        "tacotron2": "tacotron2.safetensors",
        "waveglow": "waveglow.safetensors",
        "sigma": 0.1,
    }
    (folder / "voice.json").write_text(json.dumps(manifest))
    return folder
