"""A model's weights as NumPy arrays for `ttscli.cpu`: our own format without importing torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ttscli.checkpoints import layouts, own_format
from ttscli.checkpoints.finite import check_finite
from ttscli.checkpoints.models import (
    check_kind,
    check_names,
    load_tacotron2,
    load_waveglow,
    make_config,
    named,
)
from ttscli.checkpoints.sizes import harmonic_waveglow_sizes, tacotron2_sizes, waveglow_sizes
from ttscli.core.configs import HarmonicWaveGlowConfig, Tacotron2Config, WaveGlowConfig
from ttscli.errors import VoiceError

_Config = TypeVar("_Config")
_FORMS: dict[str, tuple[type[Any], Any, Any]] = {
    "tacotron2": (Tacotron2Config, tacotron2_sizes, layouts.tacotron2_layout),
    "waveglow": (WaveGlowConfig, waveglow_sizes, layouts.waveglow_layout),
    "harmonic-waveglow": (
        HarmonicWaveGlowConfig, harmonic_waveglow_sizes, layouts.harmonic_waveglow_layout,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Arrays(Generic[_Config]):
    """A model in parts, its weights as float32 arrays."""

    config: _Config
    """Its sizes."""
    tensors: dict[str, NDArray[np.float32]]
    """Its weights, by our names; float32 ones of our own files stay mapped."""


def read_tacotron2(path: str | os.PathLike[str]) -> Arrays[Tacotron2Config]:
    """The weights of a Tacotron 2 in a file of any known format.

    Raises:
        VoiceError: in one line, what is wrong with the file.
    """
    found = _ours(Path(path), ("tacotron2",))
    return found or _converted(load_tacotron2(path))


def read_waveglow(
    path: str | os.PathLike[str],
) -> Arrays[WaveGlowConfig] | Arrays[HarmonicWaveGlowConfig]:
    """The weights of a WaveGlow of either sort in a file of any known format.

    Raises:
        VoiceError: in one line, what is wrong with the file.
    """
    found = _ours(Path(path), ("waveglow", "harmonic-waveglow"))
    return found or _converted(load_waveglow(path))


def _ours(path: Path, kinds: tuple[str, ...]) -> Arrays[Any] | None:
    """The contents of a file of our own format; None if the file is of another."""
    with named(path):
        if not own_format.is_safetensors(path):
            return None
        metadata, tensors = own_format.read_arrays(path)
        if not own_format.is_ours(metadata):
            return None
        kind, given = own_format.kind_and_config(metadata)
        if kind not in kinds:
            check_kind(kind, kinds[0])
        config_class, sizes, layout = _FORMS[kind]
        config = make_config(config_class, given, sizes(tensors))
        expected = layout(config)
        check_names(expected, tensors)
        return Arrays(config, {name: _fitting(name, tensors[name], expected) for name in expected})


def _fitting(
    name: str, array: NDArray[Any], expected: Mapping[str, tuple[int, ...]]
) -> NDArray[np.float32]:
    """The array as float32, once its shape and numbers are known to be good."""
    if array.shape != expected[name]:
        shapes = f"{array.shape} instead of {expected[name]}"
        raise VoiceError(f"the tensor {name} has the shape {shapes}")
    if array.dtype.kind not in "fi" or (array.dtype.kind == "i") != name.endswith("tracked"):
        raise VoiceError(f"the tensor {name} is of the type {array.dtype}")
    fitting = array.astype(np.float32, copy=False)
    check_finite(name, fitting)
    return fitting


def _converted(model: Any) -> Arrays[Any]:
    """A model that torch had to read."""
    arrays = {name: tensor.float().numpy() for name, tensor in model.state_dict().items()}
    return Arrays(model.config, arrays)
