"""Fixtures shared by the tests."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import parity
import pytest
import torch

if TYPE_CHECKING:
    from ttscli.core.tacotron2 import Tacotron2

if not torch.cuda.is_available():
    # Kernels run in the interpreter. Triton reads this when it is imported, as torch does now and
    # then by itself.
    os.environ["TRITON_INTERPRET"] = "1"

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"
PARITY_TESTS = {f"test_{name}.py" for name in ("tacotron2", "waveglow", "denoiser", "mel")}


@pytest.fixture(autouse=True)
def single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's convolutions are not to round to TF32, as where ttscli loads its models."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of data computed with NVIDIA's own code; tests that need it skip without it."""
    if not REFERENCE.is_dir():
        pytest.skip("the reference data is not beside this checkout")
    return REFERENCE


@pytest.fixture(scope="session")
def expected(reference: Path, request: pytest.FixtureRequest) -> Iterator[parity.Expected]:
    """Inputs and outputs of NVIDIA's models; a run of all parity tests must use every entry."""
    entries = parity.Expected(reference / "expected.npz")
    yield entries
    run = {item.path.name for item in request.session.items}
    if run >= PARITY_TESTS and not request.config.option.keyword:
        assert not entries.unread, f"no test uses {sorted(entries.unread)}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the table of parity where more than dots are asked for."""
    if parity.differences and terminalreporter.verbosity > 0:
        terminalreporter.section("largest differences to NVIDIA's models")
        terminalreporter.write_line(parity.table())


def let_it_read(model: Tacotron2) -> None:
    """Weights by hand: four frames for each symbol in order, at last three.

    The attention stays on the first symbol that it has not spent four frames on. Of the memory,
    element 0 rises from symbol to symbol, 1 is constant, 4 falls towards the end.
    """
    n, always, never = 4, 10.0, -10.0  # units of the encoder's LSTM in a direction; of its gates
    lstm = model.encoder.lstm
    for end, unit, gates in (
        ("l0", 0, (always, always, 0.004, always)),
        ("l0", 1, (always, never, always, always)),
        ("l0_reverse", 0, (always, always, 0.549, always)),
    ):
        for name in ("weight_ih", "weight_hh", "bias_hh"):
            getattr(lstm, f"{name}_{end}")[unit::n] = 0
        getattr(lstm, f"bias_ih_{end}")[unit::n] = torch.tensor(gates)

    attention = model.decoder.attention
    for parameter in attention.parameters():
        parameter.zero_()
    attention.location_conv.weight[0, 1, 1] = 1  # the attention that a symbol has had so far
    attention.location_dense.weight[0, 0] = 20
    attention.memory.weight[0, 1] = -20 * 3.5 / math.tanh(1)
    attention.memory.weight[1, 0] = 0.1
    attention.score.weight[0, :2] = torch.tensor([-4000.0, -36000.0])

    # The decoder LSTM's unit 0 counts the steps at the last symbol.
    rnn, width = model.decoder.decoder_rnn, model.config.decoder_rnn_dim
    for parameter in (rnn.weight_ih, rnn.weight_hh, rnn.bias_hh):
        parameter[::width] = 0
    rnn.weight_ih[0, model.config.attention_rnn_dim + 4] = -40
    rnn.bias_ih[::width] = torch.tensor([24.0, always, 0.3, always])
    model.decoder.gate.weight.zero_()
    model.decoder.gate.weight[0, 0] = 30
    model.decoder.gate.bias.fill_(-23)


@pytest.fixture(scope="session")
def tiny_voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a voice that says noise, quickly: tiny random models that read in order."""
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
        let_it_read(tacotron2)
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


@pytest.fixture(scope="session")
def harmonic_voice(tiny_voice: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny voice with the built-in voice's sort of vocoder: NumPy speaks it."""
    import shutil

    from ttscli.checkpoints import save_safetensors
    from ttscli.core.configs import HarmonicWaveGlowConfig
    from ttscli.core.harmonic_waveglow import HarmonicWaveGlow

    folder = Path(shutil.copytree(tiny_voice, tmp_path_factory.mktemp("voices") / "harmonic"))
    config = HarmonicWaveGlowConfig(
        n_flows=2, n_early_every=1, n_condition=4, n_channels=4, n_layers=1, n_source=4,
        n_pitch_channels=4,
    )  # fmt: skip
    torch.manual_seed(0)
    model = HarmonicWaveGlow(config).eval()
    save_safetensors(folder / "waveglow.safetensors", model, "harmonic-waveglow")
    return folder
