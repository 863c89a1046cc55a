"""The sizes of a model, read from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ttscli.errors import VoiceError

if TYPE_CHECKING:
    from torch import Tensor

# Files of NVIDIA/tacotron2 and NVIDIA/waveglow have no config, and a config that lies about the
# number of layers could make us build them for days: so sizes come from the tensors, always.


def tacotron2_sizes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Fields of Tacotron2Config."""
    n_symbols, symbols_dim = _shape(tensors, "embedding.weight", 2)
    encoder_dim, _, encoder_kernel = _shape(tensors, "encoder.convolutions.0.conv.weight", 3)
    location = _shape(tensors, "decoder.attention.location_conv.weight", 3)
    postnet_dim, n_mels, postnet_kernel = _shape(tensors, "postnet.convolutions.0.conv.weight", 3)
    return {
        "n_mel_channels": n_mels,
        "n_symbols": n_symbols,
        "symbols_embedding_dim": symbols_dim,
        "encoder_kernel_size": encoder_kernel,
        "encoder_n_convolutions": _count(tensors, "encoder.convolutions."),
        "encoder_embedding_dim": encoder_dim,
        "attention_rnn_dim": _shape(tensors, "decoder.attention_rnn.weight_hh", 2)[1],
        "attention_dim": _shape(tensors, "decoder.attention.query.weight", 2)[0],
        "attention_location_n_filters": location[0],
        "attention_location_kernel_size": location[2],
        "n_frames_per_step": _shape(tensors, "decoder.projection.weight", 2)[0] // n_mels,
        "decoder_rnn_dim": _shape(tensors, "decoder.decoder_rnn.weight_hh", 2)[1],
        "prenet_dim": _shape(tensors, "decoder.prenet.layers.0.weight", 2)[0],
        "postnet_embedding_dim": postnet_dim,
        "postnet_kernel_size": postnet_kernel,
        "postnet_n_convolutions": _count(tensors, "postnet.convolutions."),
    }


def waveglow_sizes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Fields of WaveGlowConfig, but for hop_length, which is in no shape."""
    n_mels, _, upsample_kernel = _shape(tensors, "upsample.weight", 3)
    return _flow_sizes(tensors) | {
        "n_mel_channels": n_mels,
        "n_group": _shape(tensors, "invertible.0.weight", 2)[0],
        "upsample_kernel_size": upsample_kernel,
    }


def harmonic_waveglow_sizes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Fields of HarmonicWaveGlowConfig, but for the two that are in no shape."""
    n_condition, n_mels, _ = _shape(tensors, "condition_in.weight", 3)
    hop_length = _shape(tensors, "mel_scale.weight", 3)[0]
    n_in = _shape(tensors, "couplings.0.start.weight", 3)[1]
    return _flow_sizes(tensors) | {
        "n_mel_channels": n_mels,
        "hop_length": hop_length,
        "n_condition": n_condition,
        "n_source": (n_in - hop_length // 2) // 2,
        "n_pitch_channels": _shape(tensors, "pitch.end.weight", 3)[1],
    }


def _flow_sizes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """What both sorts of WaveGlow have."""
    n_flows = _count(tensors, "couplings.")
    channels = [_shape(tensors, f"invertible.{k}.weight", 2)[0] for k in range(n_flows)]
    sizes = {
        "n_flows": n_flows,
        "n_layers": _count(tensors, "couplings.0.in_layers."),
        "kernel_size": _shape(tensors, "couplings.0.in_layers.0.weight", 3)[2],
        "n_channels": _shape(tensors, "couplings.0.start.weight", 3)[0],
    }
    # The first flow that is narrower tells when channels leave early, and how many.
    narrower = next((k for k, width in enumerate(channels) if width != channels[0]), None)
    if narrower is not None:
        sizes |= {"n_early_every": narrower, "n_early_size": channels[0] - channels[narrower]}
    return sizes


def _shape(tensors: Mapping[str, Tensor], name: str, dims: int) -> tuple[int, ...]:
    if name not in tensors:
        raise VoiceError(f"the tensor {name} is missing")
    shape = tuple(tensors[name].shape)
    if len(shape) != dims or 0 in shape:
        raise VoiceError(f"the tensor {name} has the shape {shape}, which fits no model")
    return shape


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbers follow a prefix; a part that lacks a tensor counts, and is found later."""
    rests = (name.removeprefix(prefix) for name in tensors if name.startswith(prefix))
    return len({rest.partition(".")[0] for rest in rests})
