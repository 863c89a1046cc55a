"""Our own format: tensors in safetensors, what the model is and its config in the metadata."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttscli.errors import OutputError, VoiceError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

KINDS = ("tacotron2", "waveglow", "harmonic-waveglow")
_FORMAT, _VERSION = "ttscli", "1"


def save_safetensors(
    path: str | os.PathLike[str], model: nn.Module, kind: str, half: bool = False
) -> None:
    """Write a model, all of it or nothing.

    Args:
        path: where to; a file that is there is replaced.
        model: a Tacotron2, WaveGlow or HarmonicWaveGlow; its `config` goes along.
        kind: "tacotron2", "waveglow" or "harmonic-waveglow".
        half: store 16-bit floats, which are loaded as 32-bit ones.
    """
    from safetensors.torch import save

    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    config: Any = model.config
    metadata = {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": kind,
        "config": json.dumps(dataclasses.asdict(config)),
    }
    tensors = {name: _storable(name, t, half) for name, t in model.state_dict().items()}
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:  # save_file would make it unreadable for others
            file.write(save(tensors, metadata))
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as e:
        raise OutputError(f"the model cannot be written: {e.strerror}", where=str(target)) from e
    finally:
        with contextlib.suppress(OSError):  # it is gone, or could not be made
            partial.unlink()


def _storable(name: str, tensor: Tensor, half: bool) -> Tensor:
    import torch

    tensor = tensor.detach().cpu().contiguous()
    if not (half and tensor.is_floating_point()):
        return tensor
    halved = tensor.half()
    if not torch.isfinite(halved).all():
        raise ValueError(f"{name} has numbers that 16 bits cannot hold")
    return halved


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of any safetensors file; the tensors are mapped, not copied."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = file.keys()
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except SafetensorError as e:
        raise damaged(e) from e


def damaged(error: Exception) -> VoiceError:
    """What to say of a file that safetensors cannot read."""
    reason = str(error).partition("\n")[0]
    return VoiceError(f"the file is damaged or cut short ({reason})", todo="download it again")


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of any safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except SafetensorError as e:
        raise damaged(e) from e


def read_arrays(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Metadata and tensors of any safetensors file as mapped arrays, without torch."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as e:
        raise damaged(e) from e


def has_metadata(path: Path) -> bool:
    """Whether a file begins as a safetensors file does."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def is_ours(metadata: Mapping[str, str]) -> bool:
    """Whether the metadata are those that `save_safetensors` writes."""
    return metadata.get("format") == _FORMAT


def kind_and_config(metadata: Mapping[str, str]) -> tuple[str, dict[str, object]]:
    """What the metadata of our own file say about the model."""
    version, kind = metadata.get("version"), metadata.get("kind", "")
    if version != _VERSION or kind not in KINDS:
        what = f"it holds a {kind!r} of format version {version}, which this program does not know"
        raise VoiceError(what, todo="update ttscli")
    try:
        config = json.loads(metadata.get("config", ""))
    except ValueError as e:
        raise VoiceError("the config in its metadata is not JSON") from e
    if not isinstance(config, dict):
        raise VoiceError("the config in its metadata is not a JSON object")
    return kind, config
