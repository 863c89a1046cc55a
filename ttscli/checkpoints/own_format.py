"""Our own format: tensors in safetensors, what the model is and its config in the metadata."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import mmap
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttscli.errors import OutputError, VoiceError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

KINDS = ("tacotron2", "waveglow", "harmonic-waveglow")
_FORMAT, _VERSION = "ttscli", "1"
_NUMPY_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U8": "u1", "BOOL": "?",
}  # fmt: skip


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
    from safetensors import SafetensorError
    from safetensors.torch import save_file

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
        partial.open("xb").close()
        mode = partial.stat().st_mode
        save_file(tensors, partial, metadata)
        partial.chmod(mode)  # save_file makes it unreadable for others
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    except (OSError, SafetensorError) as e:
        raise _unwritable(e, target) from e
    finally:
        with contextlib.suppress(OSError):  # it is gone, or could not be made
            partial.unlink()


def _unwritable(error: Exception, target: Path) -> OutputError:
    """What to say of a model that cannot be written."""
    what = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    if match := re.search(r"\(os error (\d+)\)", what):  # the system's, in safetensors' words
        what = os.strerror(int(match[1]))
    return OutputError(f"the model cannot be written: {what}", where=str(target))


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
    reason = f"{str(error).partition(chr(10))[0]:.100}"
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
    """Metadata and tensors of any safetensors file as mapped arrays, without torch.

    safetensors itself gives copies for NumPy; it checks the header here, and that the tensors fill
    the file without a gap or an overlap.
    """
    import numpy as np

    metadata = read_metadata(path)
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    data = np.frombuffer(mapped, np.uint8, offset=8 + length)
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _NUMPY_TYPES:
            raise VoiceError(f"the tensor {name} is of the type {entry['dtype']}")
        start, end = entry["data_offsets"]
        array = data[start:end].view(_NUMPY_TYPES[entry["dtype"]])
        arrays[name] = array.reshape(entry["shape"])
    return metadata, arrays


def is_safetensors(path: Path) -> bool:
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
    except (ValueError, RecursionError) as e:
        raise VoiceError("the config in its metadata is not JSON") from e
    if not isinstance(config, dict):
        raise VoiceError("the config in its metadata is not a JSON object")
    return kind, config
