"""The sizes of the models and of the mel spectrogram; reading them needs no torch."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

WINDOW = 3
"""Symbols that an attention which is held to the text's order may go on in a decoder step."""
TAIL = 24
"""Frames that such an attention may stay at the last symbol, 0.28 s, before a silent gate no longer
counts. The built-in voice's gate fires after 4 in the median, after 10 in 95 % of sentences."""
BIAS_FRAMES = 88
"""Of a vocoder's silence that shows its bias: about a second, as NVIDIA's denoiser takes."""
MEL_GAIN_LIMIT = 10.0
"""What a pass of the mel-gain filter may at most multiply or divide by."""


@dataclass(frozen=True)
class MelConfig:
    """How audio becomes a mel spectrogram; the defaults are those of the published voices."""

    sample_rate: int = 22050
    """Samples per second, Hz."""
    n_fft: int = 1024
    """Length of the Fourier transform, samples."""
    hop_length: int = 256
    """Distance between frames, samples."""
    win_length: int = 1024
    """Length of the Hann window, samples."""
    n_mels: int = 80
    """Number of mel bins."""
    f_min: float = 0.0
    """Lower edge of the lowest bin, Hz."""
    f_max: float = 8000.0
    """Upper edge of the highest bin, Hz."""
    floor: float = 1e-5
    """Magnitudes below this are raised to it before the logarithm."""


@dataclass(frozen=True)
class Tacotron2Config:
    """Sizes of the model, named as in NVIDIA's configuration; defaults are the published ones."""

    n_mel_channels: int = 80
    """Mel bins."""
    n_symbols: int = 148
    """Size of the symbol table."""
    symbols_embedding_dim: int = 512
    """Width of a symbol's embedding."""
    encoder_kernel_size: int = 5
    """Width of the encoder's convolutions, symbols."""
    encoder_n_convolutions: int = 3
    """Number of the encoder's convolutions."""
    encoder_embedding_dim: int = 512
    """Width of the encoder's output, both directions together."""
    attention_rnn_dim: int = 1024
    """Width of the attention LSTM."""
    attention_dim: int = 128
    """Width in which query, memory and location are compared."""
    attention_location_n_filters: int = 32
    """Filters over the earlier attention weights."""
    attention_location_kernel_size: int = 31
    """Their width, symbols."""
    n_frames_per_step: int = 1
    """Mel frames that a decoder step makes."""
    decoder_rnn_dim: int = 1024
    """Width of the decoder LSTM."""
    prenet_dim: int = 256
    """Width of the prenet's two layers."""
    postnet_embedding_dim: int = 512
    """Width of the postnet's convolutions."""
    postnet_kernel_size: int = 5
    """Their width, frames."""
    postnet_n_convolutions: int = 5
    """Their number."""
    gate_threshold: float = 0.5
    """Speech ends where the gate's probability rises above this."""
    p_attention_dropout: float = 0.1
    """Dropout on the attention LSTM's output, in training."""
    p_decoder_dropout: float = 0.1
    """Dropout on the decoder LSTM's output, in training."""

    def step_limit(self, symbols: int) -> int:
        """Decoder steps that a text of so many symbols may take: far more than speech needs."""
        return math.ceil((120 + 12 * symbols) / self.n_frames_per_step)


class FlowSizes:
    """What both sorts of WaveGlow derive from their sizes."""

    n_flows: int
    n_early_every: int
    n_early_size: int
    n_layers: int
    n_channels: int
    kernel_size: int

    @property
    def width(self) -> int:
        """Channels of the first flow."""
        raise NotImplementedError

    def leaves_early(self, flow: int) -> bool:
        """Whether n_early_size channels leave in front of this flow (section 2.3)."""
        return flow > 0 and flow % self.n_early_every == 0

    @property
    def flow_channels(self) -> tuple[int, ...]:
        """Channels of each flow."""
        left = (flow // self.n_early_every * self.n_early_size for flow in range(self.n_flows))
        return tuple(self.width - early for early in left)

    @property
    def noise_channels(self) -> tuple[int, ...]:
        """Channels of each draw of noise: what remains to the last flow, then the early outputs."""
        early = sum(self.leaves_early(flow) for flow in range(self.n_flows))
        return (self.flow_channels[-1], *[self.n_early_size] * early)


@dataclass(frozen=True)
class WaveGlowConfig(FlowSizes):
    """The sizes of a WaveGlow; the defaults are those of the published LJSpeech model."""

    n_mel_channels: int = 80
    """Mel bins M of the conditioning."""
    n_flows: int = 12
    """Steps of flow, each an invertible 1x1 convolution and an affine coupling."""
    n_group: int = 8
    """Neighbouring samples G that become the channels of the flow."""
    n_early_every: int = 4
    """Flows between two early outputs."""
    n_early_size: int = 2
    """Channels that leave at each early output."""
    n_layers: int = 8
    """Dilated convolutions of each coupling net."""
    kernel_size: int = 3
    """Taps of each dilated convolution."""
    n_channels: int = 512
    """Channels of each coupling net's hidden state."""
    hop_length: int = 256
    """Samples per mel frame."""
    upsample_kernel_size: int = 1024
    """Samples that each mel frame reaches."""

    def __post_init__(self) -> None:
        if min(astuple(self)) < 1:
            raise ValueError(f"every size must be at least 1: {self}")
        if self.hop_length % self.n_group:
            raise ValueError(f"n_group {self.n_group} does not divide hop_length {self.hop_length}")
        if self.upsample_kernel_size < self.hop_length:
            raise ValueError(
                "upsample_kernel_size is shorter than hop_length: samples would get no mel"
            )
        if any(channels < 2 or channels % 2 for channels in self.flow_channels):
            raise ValueError(
                f"every flow needs an even number of channels to halve, not {self.flow_channels}"
            )

    @property
    def groups_per_frame(self) -> int:
        """Groups of samples in a mel frame."""
        return self.hop_length // self.n_group

    @property
    def width(self) -> int:
        """Channels of the first flow."""
        return self.n_group


@dataclass(frozen=True)
class HarmonicWaveGlowConfig(FlowSizes):
    """The sizes of the vocoder; the defaults are the built-in voice's."""

    n_mel_channels: int = 80
    """Mel bins M."""
    sample_rate: int = 22050
    """Samples per second, Hz."""
    hop_length: int = 256
    """Samples per mel frame, and bins N of the lapped transform."""
    n_flows: int = 6
    """Steps of flow."""
    n_early_every: int = 3
    """Flows between two early outputs."""
    n_early_size: int = 32
    """Channels that leave at each early output."""
    n_condition: int = 96
    """Channels of the conditioning made from the mel."""
    n_channels: int = 128
    """Channels of each coupling net's hidden state."""
    n_layers: int = 4
    """Dilated convolutions of each coupling net."""
    kernel_size: int = 3
    """Taps of each dilated convolution."""
    n_source: int = 192
    """Bins of the source that couplings see, in the transform and in its sine twin each."""
    n_harmonics: int = 44
    """Harmonics of the source at most."""
    n_pitch_channels: int = 96
    """Channels of the network that reads pitch and voicing off the mel."""

    @property
    def width(self) -> int:
        """Channels of the first flow."""
        return self.hop_length
