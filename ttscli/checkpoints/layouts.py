"""The names and shapes of each model's tensors, from its config: a strict check without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from ttscli.core.configs import HarmonicWaveGlowConfig, Tacotron2Config, WaveGlowConfig
from ttscli.errors import VoiceError

Layout = dict[str, tuple[int, ...]]


def tacotron2_layout(config: Tacotron2Config) -> Layout:
    """Tensors of `core.tacotron2.Tacotron2`."""
    c, frame = config, config.n_mel_channels * config.n_frames_per_step
    encoder = [c.symbols_embedding_dim, *[c.encoder_embedding_dim] * c.encoder_n_convolutions]
    inner = [c.postnet_embedding_dim] * (c.postnet_n_convolutions - 1)
    postnet = [c.n_mel_channels, *inner, c.n_mel_channels]
    output = c.decoder_rnn_dim + c.encoder_embedding_dim
    layout: Layout = {
        "embedding.weight": (c.n_symbols, c.symbols_embedding_dim),
        "decoder.prenet.layers.0.weight": (c.prenet_dim, frame),
        "decoder.prenet.layers.1.weight": (c.prenet_dim, c.prenet_dim),
        "decoder.attention.query.weight": (c.attention_dim, c.attention_rnn_dim),
        "decoder.attention.memory.weight": (c.attention_dim, c.encoder_embedding_dim),
        "decoder.attention.score.weight": (1, c.attention_dim),
        "decoder.attention.location_conv.weight": (
            c.attention_location_n_filters, 2, c.attention_location_kernel_size,
        ),
        "decoder.attention.location_dense.weight": (
            c.attention_dim, c.attention_location_n_filters,
        ),
        **_dense("decoder.projection", frame, output),
        **_dense("decoder.gate", 1, output),
    }  # fmt: skip
    for part, widths, kernel_size in (
        ("encoder", encoder, c.encoder_kernel_size),
        ("postnet", postnet, c.postnet_kernel_size),
    ):
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            name = f"{part}.convolutions.{i}"
            layout |= _dense(f"{name}.conv", n_out, n_in, kernel_size)
            norms = ("weight", "bias", "running_mean", "running_var")
            layout |= {f"{name}.norm.{norm}": (n_out,) for norm in norms}
            layout[f"{name}.norm.num_batches_tracked"] = ()
    half, width, hidden = c.encoder_embedding_dim // 2, c.prenet_dim, c.attention_rnn_dim
    for direction in ("_l0", "_l0_reverse"):
        layout |= _lstm("encoder.lstm", encoder[-1], half, direction)
    layout |= _lstm("decoder.attention_rnn", width + c.encoder_embedding_dim, hidden)
    layout |= _lstm("decoder.decoder_rnn", hidden + c.encoder_embedding_dim, c.decoder_rnn_dim)
    return layout


def waveglow_layout(config: WaveGlowConfig) -> Layout:
    """Tensors of `core.waveglow.WaveGlow`."""
    c, mels = config, config.n_mel_channels
    layout: Layout = {
        "upsample.weight": (mels, mels, c.upsample_kernel_size),
        "upsample.bias": (mels,),
    }
    for k, n in enumerate(c.flow_channels):
        layout[f"invertible.{k}.weight"] = (n, n)
        layout.update(_coupling(c, k, n // 2, n, mels * c.n_group))
    return layout


def harmonic_waveglow_layout(config: HarmonicWaveGlowConfig) -> Layout:
    """Tensors of `core.harmonic_waveglow.HarmonicWaveGlow`."""
    c = config
    layout: Layout = {
        **_dense("condition_in", c.n_condition, c.n_mel_channels, 5),
        **_dense("condition_out", c.n_condition, c.n_condition, 1),
        **_dense("mel_scale", c.hop_length, c.n_mel_channels, 1),
        **_dense("residual_scale", c.hop_length, c.n_condition, 1),
        **_dense("pitch.layers.0", c.n_pitch_channels, c.n_mel_channels, 5),
        **_dense("pitch.layers.1", c.n_pitch_channels, c.n_pitch_channels, 5),
        **_dense("pitch.layers.2", c.n_pitch_channels, c.n_pitch_channels, 5),
        **_dense("pitch.end", 2, c.n_pitch_channels, 1),
    }
    for k, n in enumerate(c.flow_channels):
        layout[f"invertible.{k}.weight"] = (n, n)
        layout.update(_coupling(c, k, n // 2 + 2 * c.n_source, n, c.n_condition))
    return layout


def check_sizes(kind: str, config: Any, sizes: Mapping[str, int]) -> None:
    """Refuse a model that is not the published one.

    Args:
        kind: one of `own_format.KINDS`.
        config: the model's.
        sizes: where the published one's config differs from the defaults.
    """
    layouts: dict[str, Any] = {
        "tacotron2": tacotron2_layout,
        "waveglow": waveglow_layout,
        "harmonic-waveglow": harmonic_waveglow_layout,
    }
    layout: Layout = layouts[kind](config)
    try:
        published: Layout = layouts[kind](type(config)(**sizes))
    except (TypeError, ValueError) as error:
        raise VoiceError(f"the sizes in the registry fit no {kind}: {error}") from error
    for name in [*published, *layout]:
        if layout.get(name) != published.get(name):
            what = f"it is not the published model: the tensor {name} has the shape"
            raise VoiceError(f"{what} {layout.get(name)} instead of {published.get(name)}")


def _coupling(
    config: WaveGlowConfig | HarmonicWaveGlowConfig, flow: int, n_in: int, n_out: int, n_cond: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Tensors of a flow's `core.waveglow.CouplingNet`."""
    name, channels, layers = f"couplings.{flow}", config.n_channels, config.n_layers
    yield from _dense(f"{name}.start", channels, n_in, 1).items()
    yield from _dense(f"{name}.conditioning", 2 * channels * layers, n_cond, 1).items()
    for i in range(layers):
        in_layer = _dense(f"{name}.in_layers.{i}", 2 * channels, channels, config.kernel_size)
        yield from in_layer.items()
        both = channels if i == layers - 1 else 2 * channels
        yield from _dense(f"{name}.res_skip_layers.{i}", both, channels, 1).items()
    yield from _dense(f"{name}.end", n_out, channels, 1).items()


def _dense(name: str, n_out: int, *rest: int) -> Layout:
    """Weight and bias of a convolution or a linear layer."""
    return {f"{name}.weight": (n_out, *rest), f"{name}.bias": (n_out,)}


def _lstm(name: str, n_in: int, hidden: int, suffix: str = "") -> Layout:
    return {
        f"{name}.weight_ih{suffix}": (4 * hidden, n_in),
        f"{name}.weight_hh{suffix}": (4 * hidden, hidden),
        f"{name}.bias_ih{suffix}": (4 * hidden,),
        f"{name}.bias_hh{suffix}": (4 * hidden,),
    }
