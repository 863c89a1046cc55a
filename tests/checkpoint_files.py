"""Small models, and files of them as NVIDIA's programs and as villains write them."""

from __future__ import annotations

import io
import pickle
import re
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ttscli.checkpoints import key_tables
from ttscli.core.configs import Tacotron2Config, WaveGlowConfig
from ttscli.core.tacotron2 import Tacotron2
from ttscli.core.waveglow import WaveGlow

TACOTRON2_CONFIG = Tacotron2Config(
    n_mel_channels=3,
    n_symbols=11,
    symbols_embedding_dim=6,
    encoder_n_convolutions=2,
    encoder_embedding_dim=8,
    attention_rnn_dim=7,
    attention_dim=5,
    attention_location_n_filters=2,
    attention_location_kernel_size=9,
    decoder_rnn_dim=10,
    prenet_dim=4,
    postnet_embedding_dim=9,
    postnet_n_convolutions=3,
)
WAVEGLOW_CONFIG = WaveGlowConfig(
    n_mel_channels=3, n_flows=4, n_group=8, n_early_every=2, n_layers=3, n_channels=4
)


def randomised(model: Any, seed: int = 0) -> Any:
    """The model in eval mode, with every weight drawn, also those that start as 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return model.eval()


def tacotron2() -> Tacotron2:
    return randomised(Tacotron2(TACOTRON2_CONFIG))


def waveglow() -> WaveGlow:
    return randomised(WaveGlow(WAVEGLOW_CONFIG))


def their_names(model: nn.Module) -> dict[str, Tensor]:
    """The state dict as NVIDIA's class has it, without weight norm."""
    tables = key_tables.TACOTRON2 if isinstance(model, Tacotron2) else key_tables.WAVEGLOW
    theirs = {}
    for name, tensor in model.state_dict().items():
        for their_template, our_template in tables.items():
            pattern = re.escape(our_template).replace(r"\{\}", r"(\d+)")
            if match := re.fullmatch(pattern, name):
                their_name = their_template.format(*match.groups())
        theirs[their_name] = tensor.clone()
        if "convinv" in their_name:
            theirs[their_name] = tensor[:, :, None].clone()
    return theirs


def with_weight_norm(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same WaveGlow with weight_g and weight_v, and the conditioning in one piece a layer."""
    n_layers = sum("WN.0.in_layers" in name for name in theirs) // 2
    state = {}
    for name, tensor in theirs.items():
        parts = {name: tensor}
        if "cond_layer" in name:
            pieces = enumerate(tensor.chunk(n_layers))
            parts = {name.replace("cond_layer", f"cond_layers.{i}"): piece for i, piece in pieces}
        for part, weight in parts.items():
            if re.search(r"(start|cond_layers\.\d|in_layers\.\d|skip_layers\.\d)\.weight", part):
                state[f"{part}_g"] = weight.norm(dim=tuple(range(1, weight.dim())), keepdim=True)
                state[f"{part}_v"] = 3 * weight
            else:
                state[part] = weight
    return state


def save(payload: object, path: Path, legacy: bool = False, **options: Any) -> Path:
    torch.save(payload, path, _use_new_zipfile_serialization=not legacy, **options)
    return path


@contextmanager
def glow_classes() -> Iterator[types.ModuleType]:
    """The modules `glow` and, as in torch 1.0, `torch.nn.backends.thnn`, while a file is made."""
    glow, thnn = types.ModuleType("glow"), types.ModuleType("torch.nn.backends.thnn")
    for name in ("WaveGlow", "WN", "Invertible1x1Conv"):
        setattr(glow, name, type(name, (nn.Module,), {"__module__": "glow"}))

    def _get_thnn_function_backend() -> None: ...

    _get_thnn_function_backend.__module__ = thnn.__name__
    _get_thnn_function_backend.__qualname__ = "_get_thnn_function_backend"
    thnn._get_thnn_function_backend = _get_thnn_function_backend  # type: ignore[attr-defined]
    sys.modules |= {glow.__name__: glow, thnn.__name__: thnn}
    try:
        yield glow
    finally:
        del sys.modules[glow.__name__], sys.modules[thnn.__name__]


class Backend:
    """An attribute that each module had in 2019."""

    def __reduce__(self) -> Any:
        return sys.modules["torch.nn.backends.thnn"]._get_thnn_function_backend, ()


def glow_module(glow: types.ModuleType, model: WaveGlow) -> nn.Module:
    """A module of NVIDIA/waveglow's classes, weight norm included, with the model's weights."""
    top = glow.WaveGlow()
    top._backend = Backend()
    mels, _, kernel_size = model.upsample.weight.shape
    top.upsample = nn.ConvTranspose1d(mels, mels, kernel_size, stride=256)
    top.WN, top.convinv = nn.ModuleList(), nn.ModuleList()
    for invertible, coupling in zip(model.invertible, model.couplings, strict=True):
        network, mixer = glow.WN(), glow.Invertible1x1Conv()
        network.start, network.end = coupling.start, coupling.end
        network.cond_layer = coupling.conditioning
        network.in_layers, network.res_skip_layers = coupling.in_layers, coupling.res_skip_layers
        mixer.conv = nn.Conv1d(*invertible.weight.shape, 1, bias=False)
        # Transposed in memory, as the factor of a QR decomposition is.
        mixer.conv.weight = nn.Parameter(invertible.weight.detach().t().clone().t()[:, :, None])
        mixer.W_inverse = invertible.weight.detach().inverse()  # inference leaves it there
        for layer in (network.start, network.cond_layer, *network.in_layers):
            nn.utils.weight_norm(layer)
        top.WN.append(network)
        top.convinv.append(mixer)
    top.upsample.load_state_dict(model.upsample.state_dict())
    return top


class Calls:
    """Pickled as a call: what a villain puts into a file."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> Any:
        return self.function, self.args


class StorageReference(str):
    """Pickled as torch refers to a storage."""


class RawPickler(pickle.Pickler):
    """Writes references to storages that may not be there."""

    def __init__(self, file: io.BytesIO, numel: int, legacy: bool) -> None:
        super().__init__(file, protocol=2)
        self.numel, self.rest = numel, (None,) if legacy else ()

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, StorageReference):
            return None
        return ("storage", torch.FloatStorage, str(obj), "cpu", self.numel, *self.rest)


def lying_file(
    path: Path, legacy: bool, numel: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> Path:
    """A checkpoint of one tensor with four numbers, which declares more."""
    arguments = (StorageReference("0"), 0, shape, stride, False, OrderedDict())
    payload = {
        "state_dict": {"embedding.weight": Calls(torch._utils._rebuild_tensor_v2, *arguments)}
    }
    buffer = io.BytesIO()
    RawPickler(buffer, numel, legacy).dump(payload)
    data = struct.pack("<4f", 1, 2, 3, 4)
    if legacy:
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
        head = [pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, system)]
        tail = [pickle.dumps(["0"], 2), struct.pack("<q", numel), data]
        path.write_bytes(b"".join([*head, buffer.getvalue(), *tail]))
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", data)
    return path
