"""NVIDIA/DeepLearningExamples' own models, as its inference.py runs them on a CPU.

They come from a checkout of that repository; ours load the same weights from a file like its own.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ttscli.core.configs import Tacotron2Config, WaveGlowConfig

_PLACE = "PyTorch/SpeechSynthesis/Tacotron2"
NEVER = -1000.0
"""Bias of a gate that never fires: the decoder then makes as many steps as it is told to."""


def use(checkout: Path) -> None:
    """Make its modules importable; librosa, of which the models need nothing, stays away."""
    folder = checkout / _PLACE
    if not (folder / "tacotron2" / "model.py").is_file():
        raise SystemExit(f"{checkout}: this is no checkout of NVIDIA/DeepLearningExamples")
    for name, attributes in (
        ("librosa", ()),
        ("librosa.util", ("pad_center", "tiny")),
        ("librosa.filters", ("mel",)),
    ):
        module: Any = types.ModuleType(name)
        for attribute in attributes:
            setattr(module, attribute, None)
        sys.modules.setdefault(name, module)
    sys.path.insert(0, str(folder))


def tacotron2(config: Tacotron2Config, steps: int) -> Any:
    """Its model with random weights, which makes so many steps of any text."""
    from tacotron2.model import Tacotron2

    class ForwardIsInfer(Tacotron2):  # type: ignore[misc]  # as its inference.py makes it
        def forward(self, inputs: Tensor, input_lengths: Tensor) -> Any:
            return self.infer(inputs, input_lengths)

    torch.manual_seed(0)
    sizes = asdict(config) | {
        "mask_padding": False,
        "max_decoder_steps": steps,
        "decoder_no_early_stopping": False,
    }
    model = ForwardIsInfer(**sizes).eval()
    with torch.no_grad():
        model.decoder.gate_layer.linear_layer.bias.fill_(NEVER)
    return model


def waveglow(config: WaveGlowConfig) -> Any:
    """Its model with random weights, its weight norm removed."""
    from waveglow.model import WaveGlow

    torch.manual_seed(0)
    c = config
    net = {"n_layers": c.n_layers, "n_channels": c.n_channels, "kernel_size": c.kernel_size}
    model = WaveGlow(c.n_mel_channels, c.n_flows, c.n_group, c.n_early_every, c.n_early_size, net)
    with torch.no_grad():
        for coupling in model.WN:  # they start at zero, as if they did nothing
            coupling.end.weight.normal_(std=0.01)
    return WaveGlow.remove_weightnorm(model).eval()


def save(model: Any, path: Path) -> Path:
    """Write its weights as its training does."""
    torch.save({"state_dict": model.state_dict()}, path)
    return path


def scripted_decoder(model: Any) -> Callable[[Tensor, Tensor], Any]:
    """Its decoder alone, (B, T, E) and (B,), in TorchScript."""
    return _quiet(torch.jit.script(_DecoderAlone(model.decoder)))


def scripted_tacotron2(model: Any) -> Callable[[Tensor, Tensor], Any]:
    """Its model, ids (B, T) and lengths (B,) in falling order, in TorchScript."""
    return _quiet(torch.jit.script(model))


def scripted_waveglow(model: Any) -> Callable[..., Tensor]:
    """Its model, mel (B, M, F) to audio, in TorchScript."""
    model.make_ts_scriptable()
    scripted: Callable[..., Tensor] = torch.jit.script(model)
    return scripted


class _DecoderAlone(torch.nn.Module):
    """A decoder whose call is its `infer`."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, memory: Tensor, lengths: Tensor) -> Any:
        return self.decoder.infer(memory, lengths)


def _quiet(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same without what it prints at its step limit, from C++."""

    def quietly(*arguments: Any) -> Any:
        with _no_output():
            return work(*arguments)

    return quietly


@contextmanager
def _no_output() -> Iterator[None]:
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)
