"""Names and layouts of NVIDIA's tensors, and how they become ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ttscli.errors import VoiceError

if TYPE_CHECKING:
    from torch import Tensor

# NVIDIA's name: ours. {} is the number of a part.
TACOTRON2 = {
    "embedding.weight": "embedding.weight",
    "encoder.convolutions.{}.0.conv.weight": "encoder.convolutions.{}.conv.weight",
    "encoder.convolutions.{}.0.conv.bias": "encoder.convolutions.{}.conv.bias",
    "encoder.convolutions.{}.1.weight": "encoder.convolutions.{}.norm.weight",
    "encoder.convolutions.{}.1.bias": "encoder.convolutions.{}.norm.bias",
    "encoder.convolutions.{}.1.running_mean": "encoder.convolutions.{}.norm.running_mean",
    "encoder.convolutions.{}.1.running_var": "encoder.convolutions.{}.norm.running_var",
    "encoder.convolutions.{}.1.num_batches_tracked": (
        "encoder.convolutions.{}.norm.num_batches_tracked"
    ),
    "encoder.lstm.weight_ih_l0": "encoder.lstm.weight_ih_l0",
    "encoder.lstm.weight_hh_l0": "encoder.lstm.weight_hh_l0",
    "encoder.lstm.bias_ih_l0": "encoder.lstm.bias_ih_l0",
    "encoder.lstm.bias_hh_l0": "encoder.lstm.bias_hh_l0",
    "encoder.lstm.weight_ih_l0_reverse": "encoder.lstm.weight_ih_l0_reverse",
    "encoder.lstm.weight_hh_l0_reverse": "encoder.lstm.weight_hh_l0_reverse",
    "encoder.lstm.bias_ih_l0_reverse": "encoder.lstm.bias_ih_l0_reverse",
    "encoder.lstm.bias_hh_l0_reverse": "encoder.lstm.bias_hh_l0_reverse",
    "decoder.prenet.layers.{}.linear_layer.weight": "decoder.prenet.layers.{}.weight",
    "decoder.attention_rnn.weight_ih": "decoder.attention_rnn.weight_ih",
    "decoder.attention_rnn.weight_hh": "decoder.attention_rnn.weight_hh",
    "decoder.attention_rnn.bias_ih": "decoder.attention_rnn.bias_ih",
    "decoder.attention_rnn.bias_hh": "decoder.attention_rnn.bias_hh",
    "decoder.attention_layer.query_layer.linear_layer.weight": "decoder.attention.query.weight",
    "decoder.attention_layer.memory_layer.linear_layer.weight": "decoder.attention.memory.weight",
    "decoder.attention_layer.v.linear_layer.weight": "decoder.attention.score.weight",
    "decoder.attention_layer.location_layer.location_conv.conv.weight": (
        "decoder.attention.location_conv.weight"
    ),
    "decoder.attention_layer.location_layer.location_dense.linear_layer.weight": (
        "decoder.attention.location_dense.weight"
    ),
    "decoder.decoder_rnn.weight_ih": "decoder.decoder_rnn.weight_ih",
    "decoder.decoder_rnn.weight_hh": "decoder.decoder_rnn.weight_hh",
    "decoder.decoder_rnn.bias_ih": "decoder.decoder_rnn.bias_ih",
    "decoder.decoder_rnn.bias_hh": "decoder.decoder_rnn.bias_hh",
    "decoder.linear_projection.linear_layer.weight": "decoder.projection.weight",
    "decoder.linear_projection.linear_layer.bias": "decoder.projection.bias",
    "decoder.gate_layer.linear_layer.weight": "decoder.gate.weight",
    "decoder.gate_layer.linear_layer.bias": "decoder.gate.bias",
    "postnet.convolutions.{}.0.conv.weight": "postnet.convolutions.{}.conv.weight",
    "postnet.convolutions.{}.0.conv.bias": "postnet.convolutions.{}.conv.bias",
    "postnet.convolutions.{}.1.weight": "postnet.convolutions.{}.norm.weight",
    "postnet.convolutions.{}.1.bias": "postnet.convolutions.{}.norm.bias",
    "postnet.convolutions.{}.1.running_mean": "postnet.convolutions.{}.norm.running_mean",
    "postnet.convolutions.{}.1.running_var": "postnet.convolutions.{}.norm.running_var",
    "postnet.convolutions.{}.1.num_batches_tracked": (
        "postnet.convolutions.{}.norm.num_batches_tracked"
    ),
}
WAVEGLOW = {
    "upsample.weight": "upsample.weight",
    "upsample.bias": "upsample.bias",
    "convinv.{}.conv.weight": "invertible.{}.weight",
    "WN.{}.start.weight": "couplings.{}.start.weight",
    "WN.{}.start.bias": "couplings.{}.start.bias",
    "WN.{}.cond_layer.weight": "couplings.{}.conditioning.weight",
    "WN.{}.cond_layer.bias": "couplings.{}.conditioning.bias",
    "WN.{}.in_layers.{}.weight": "couplings.{}.in_layers.{}.weight",
    "WN.{}.in_layers.{}.bias": "couplings.{}.in_layers.{}.bias",
    "WN.{}.res_skip_layers.{}.weight": "couplings.{}.res_skip_layers.{}.weight",
    "WN.{}.res_skip_layers.{}.bias": "couplings.{}.res_skip_layers.{}.bias",
    "WN.{}.end.weight": "couplings.{}.end.weight",
    "WN.{}.end.bias": "couplings.{}.end.bias",
}

_WRAPPERS = re.compile(r"^(module\.(1\.)?)+")  # of training on many GPUs
_COND_LAYER = re.compile(r"(WN\.[0-9]+)\.cond_layers\.([0-9]+)\.(weight|bias)")
_CONVINV = re.compile(r"convinv\.[0-9]+\.conv\.weight")
_PATTERNS = [
    (re.compile(re.escape(theirs).replace(r"\{\}", "([0-9]+)")), ours)
    for theirs, ours in (TACOTRON2 | WAVEGLOW).items()
]


def to_ours(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """NVIDIA's tensors by our names, in our layouts; what no table knows keeps its name.

    Their dict is emptied on the way: a large model is not held twice.
    """
    tensors = _renamed(theirs, lambda name: _WRAPPERS.sub("", name))
    _fold_weight_norm(tensors)
    _fuse_cond_layers(tensors)
    for name in filter(_CONVINV.fullmatch, tensors):
        if tensors[name].dim() == 3 and tensors[name].shape[2] == 1:
            tensors[name] = tensors[name][:, :, 0]
    return _renamed(tensors, _our_name)


def _our_name(theirs: str) -> str:
    for pattern, ours in _PATTERNS:
        if match := pattern.fullmatch(theirs):
            return ours.format(*match.groups())
    return theirs


def _renamed(tensors: dict[str, Tensor], rename: Callable[[str], str]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name in list(tensors):
        new_name = rename(name)
        if new_name in renamed:
            raise VoiceError(f"it holds {new_name} twice")
        renamed[new_name] = tensors.pop(name)
    return renamed


def _fold_weight_norm(tensors: dict[str, Tensor]) -> None:
    """Replace each pair weight_g, weight_v by the weight g v / |v|, the norm over all but dim 0."""
    import torch

    for name in [name for name in tensors if name.endswith(".weight_g")]:
        base = name.removesuffix("_g")
        if f"{base}_v" not in tensors or base in tensors:
            raise VoiceError(f"it holds {name}, but not just {base}_v beside it")
        # Halves would overflow in the square and lose digits in the sum.
        g, v = tensors.pop(name).float(), tensors.pop(f"{base}_v").float()
        if v.dim() < 2 or g.shape != (v.shape[0], *[1] * (v.dim() - 1)):
            raise VoiceError(f"{name} {tuple(g.shape)} does not fit {base}_v {tuple(v.shape)}")
        dims = tuple(range(1, v.dim()))
        tensors[base] = v * (g / torch.linalg.vector_norm(v, dim=dims, keepdim=True))


def _fuse_cond_layers(tensors: dict[str, Tensor]) -> None:
    """Stack the conditioning of each layer into one convolution, as NVIDIA/waveglow has it."""
    import torch

    layers: dict[str, dict[int, str]] = {}
    for name in tensors:
        if match := _COND_LAYER.fullmatch(name):
            flow, number, leaf = match.groups()
            layers.setdefault(f"{flow}.cond_layer.{leaf}", {})[int(number)] = name
    for fused, names in layers.items():
        parts = {number: tensors.pop(name) for number, name in names.items()}
        if sorted(parts) != list(range(len(parts))) or fused in tensors:
            raise VoiceError(f"the parts of {fused} are not those of one network")
        if len({part.shape[1:] for part in parts.values()}) > 1:
            raise VoiceError(f"the parts of {fused} have different shapes")
        tensors[fused] = torch.cat([parts[number] for number in range(len(parts))])
