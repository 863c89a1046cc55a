"""Recognises a checkpoint file by its content and reads what is in it by our names."""

from __future__ import annotations

import pickle
import reprlib
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ttscli.checkpoints import key_tables, own_format
from ttscli.checkpoints.pickled_module import LEGACY_MAGIC, ZIP_MAGIC, checked_archive, read_module
from ttscli.errors import VoiceError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """A model in parts, whatever file it came from."""

    kind: str
    """One of `own_format.KINDS`."""
    config: Mapping[str, object]
    """What the file says of the model's config; files of some formats say nothing."""
    tensors: dict[str, Tensor]
    """The weights, by our names."""


def read(path: Path) -> Checkpoint:
    """Read any format; the name of the file does not matter.

    Raises:
        VoiceError: the file is no checkpoint, is damaged, or asks for more than its tensors.
        OSError: there is no such file, or it is not ours to read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise VoiceError("this is a folder" if path.is_dir() else "this is not a regular file")
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise VoiceError("the file is empty", todo="download it again")
    if start[8:9] == b"{":  # after the length of the header
        return _from_safetensors(path)
    if start.startswith((ZIP_MAGIC, LEGACY_MAGIC)):
        return _from_pickle(path)
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise VoiceError("this is a web page, not a checkpoint", todo="download it again")
    raise VoiceError("this is not a checkpoint: neither safetensors nor a file of torch.save")


def _from_safetensors(path: Path) -> Checkpoint:
    metadata, tensors = own_format.read_safetensors(path)
    if own_format.is_ours(metadata):
        kind, config = own_format.kind_and_config(metadata)
        return Checkpoint(kind, config, tensors)
    tensors = key_tables.to_ours(tensors)
    return Checkpoint(_kind(tensors), {}, tensors)


def _from_pickle(path: Path) -> Checkpoint:
    import torch

    with path.open("rb") as file:
        is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
        if is_zip:
            checked_archive(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says about old files is no help to users
            # Mapped, the optimizer's state is never read; the old container cannot be mapped.
            payload = torch.load(path, weights_only=True, map_location="cpu", mmap=is_zip)
    except pickle.UnpicklingError:
        payload = read_module(path)  # or it says what it refuses
    except Exception as e:  # what a damaged file raises can be anything
        raise VoiceError("the file is damaged or cut short", todo="download it again") from e
    state, config = _state_dict(payload)
    theirs = {str(name): _checked(name, value) for name, value in state.items()}
    del payload, state  # so that each tensor can go when what is made of it is there
    tensors = key_tables.to_ours(theirs)
    return Checkpoint(_kind(tensors), _flat(config), tensors)


def _state_dict(payload: object) -> tuple[Mapping[object, object], object]:
    """The weights and the config in a payload: {"state_dict": …, "config": …} or weights alone."""
    if not isinstance(payload, dict):
        raise VoiceError(f"it holds a {type(payload).__name__}, not the weights of a model")
    for name in ("state_dict", "model"):
        if isinstance(payload.get(name), dict):
            return payload[name], payload.get("config")
    return payload, None


def _checked(name: object, value: object) -> Tensor:
    """A tensor of a state dict, if it is a plain one with all its numbers in the file."""
    import torch

    if not isinstance(name, str) or type(value) not in (torch.Tensor, torch.nn.Parameter):
        what = f"{reprlib.repr(name):.40}, a {type(value).__name__}"
        raise VoiceError(f"it holds no weights, but {what}")
    assert isinstance(value, torch.Tensor)
    tensor = value.detach()
    is_plain = tensor.device.type == "cpu" and tensor.layout == torch.strided
    if not is_plain or tensor.nbytes > tensor.untyped_storage().nbytes():
        raise VoiceError(f"refused: the tensor {name} claims to be larger than its numbers")
    return tensor


def _flat(config: object) -> dict[str, object]:
    """A config whose nested parts, such as NVIDIA's WN_config, are on one level."""
    flat: dict[str, object] = {}
    for name, value in config.items() if isinstance(config, dict) else ():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def _kind(tensors: Mapping[str, Tensor]) -> str:
    """Which model has tensors of such names."""
    parts = {name.partition(".")[0] for name in tensors}
    if parts & {"embedding", "encoder", "decoder", "postnet"}:
        return "tacotron2"
    if parts & {"couplings", "invertible", "upsample"}:
        return "waveglow"
    raise VoiceError("its tensors are neither a Tacotron 2's nor a WaveGlow's")
