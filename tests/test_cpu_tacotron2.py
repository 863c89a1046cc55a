"""Tacotron 2 in NumPy is Tacotron 2 in torch, over whole sentences."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import parity
import pytest
import torch
from numpy.typing import NDArray

from ttscli.checkpoints import load_tacotron2
from ttscli.core import tacotron2 as core
from ttscli.core.configs import Tacotron2Config
from ttscli.core.tacotron2_layers import ConvolutionNorm
from ttscli.cpu.decoder import Decoding, advance
from ttscli.cpu.layers import Convolution, float32
from ttscli.cpu.tacotron2 import Output, Tacotron2
from ttscli.text.frontend import Frontend
from ttscli.text.lexicon import Lexicon
from ttscli.voices import find_voice

TINY = Tacotron2Config(
    n_mel_channels=6,
    symbols_embedding_dim=16,
    encoder_embedding_dim=20,
    attention_rnn_dim=12,
    attention_dim=6,
    attention_location_n_filters=4,
    attention_location_kernel_size=7,
    n_frames_per_step=2,
    decoder_rnn_dim=14,
    prenet_dim=8,
    postnet_embedding_dim=10,
)
# Of the published proportions, a quarter as wide.
QUARTER = Tacotron2Config(
    symbols_embedding_dim=128,
    encoder_embedding_dim=128,
    attention_rnn_dim=256,
    attention_dim=32,
    decoder_rnn_dim=256,
    prenet_dim=64,
    postnet_embedding_dim=128,
)
SENTENCE = "He forgot his umbrella, so he waited under a tree, and read the newspaper twice."


def random_model(config: Tacotron2Config, seed: int = 0) -> core.Tacotron2:
    """A model that has seen something: its batch normalisation is not the identity."""
    torch.manual_seed(seed)
    model = core.Tacotron2(config).eval()
    for name, tensor in model.state_dict().items():
        if "running_mean" in name or "norm.bias" in name:
            tensor.normal_(std=0.3)
        elif "running_var" in name or "norm.weight" in name:
            tensor.uniform_(0.5, 2)
    return model


def arrays(model: torch.nn.Module) -> dict[str, NDArray[Any]]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def in_numpy(model: core.Tacotron2) -> Tacotron2:
    return Tacotron2(model.config, arrays(model))


def masks(seed: int, width: int) -> Iterator[NDArray[np.float32]]:
    """What core draws from a generator with this seed."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        half = torch.full((64, 2, width), 0.5)
        yield from (torch.bernoulli(half, generator=generator) * 2).numpy()


def in_float64(model: core.Tacotron2) -> core.Tacotron2:
    """The model in double precision: differences to it are the NumPy model's own."""
    double = core.Tacotron2(model.config).double().eval()
    double.load_state_dict(model.state_dict())
    return double


def said_by(model: core.Tacotron2, ids: list[int], **options: Any) -> core.Tacotron2Output:
    return model.infer(torch.tensor([ids]), torch.tensor([len(ids)]), **options)


def relative(ours: Any, theirs: Any) -> float:
    scale = float(np.abs(np.asarray(theirs)).max())
    return parity.max_difference(ours, theirs) / scale


def check(ours: Output, theirs: core.Tacotron2Output, tolerance: float = 1e-5) -> None:
    assert ours.length == int(theirs.lengths[0])
    assert ours.hit_limit is bool(theirs.hit_limit[0])
    assert relative(ours.mel, theirs.mel[0]) < tolerance
    assert relative(ours.alignment, theirs.alignments[0]) < tolerance
    assert relative(ours.gate, theirs.gate[0]) < tolerance
    assert {a.dtype for a in (ours.mel, ours.alignment, ours.gate)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("symbols", [1, 2, 7, 40])
@pytest.mark.parametrize(
    "config", [TINY, QUARTER, replace(QUARTER, n_frames_per_step=3)], ids=["tiny", "r1", "r3"]
)
def test_it_is_cores(config: Tacotron2Config, symbols: int) -> None:
    model = random_model(config)
    ids = torch.randint(148, (symbols,)).tolist()
    generator = torch.Generator().manual_seed(5)
    check(
        in_numpy(model).infer(ids, masks(5, config.prenet_dim), max_steps=70),
        said_by(in_float64(model), ids, generator=generator, max_steps=70),
    )


def test_without_dropout_it_is_cores() -> None:
    model, ids = random_model(QUARTER), list(range(20, 45))
    ours = in_numpy(model).infer(ids, None, max_steps=50)
    check(ours, said_by(in_float64(model), ids, prenet_dropout=False, max_steps=50))


@pytest.mark.parametrize("row", range(3))
def test_it_is_nvidias(row: int, reference: Path, expected: parity.Expected) -> None:
    model = in_numpy(load_tacotron2(reference / "tacotron2_deeplearningexamples.pt"))
    ids = expected[f"taco_ids_{row}"].tolist()
    output = model.infer(ids, None, max_steps=60)
    values = {
        "memory": model.encoder(ids)[None],
        "mel_postnet": output.mel[None],
        "gate": output.gate,
        "alignment": output.alignment[None],
        "length": [output.length],
    }
    for name, value in values.items():
        difference = parity.max_difference(value, expected[f"taco_{name}_{row}"])
        assert difference <= parity.TOLERANCE, name


@pytest.fixture(scope="module")
def small() -> core.Tacotron2:
    return load_tacotron2(find_voice("small").tacotron2)


def ids_of(text: str) -> list[int]:
    """As the built-in voice reads a text."""
    lexicon = find_voice("small").lexicon
    assert lexicon is not None
    return Frontend(lexicons=[Lexicon.open(lexicon)]).encode(text).ids


def test_the_built_in_voice_hears_and_says_what_core_does(small: core.Tacotron2) -> None:
    model, ids = small, ids_of(SENTENCE)
    ours, r = in_numpy(model), model.config.n_frames_per_step
    mel = ours.infer(ids, masks(1, model.config.prenet_dim)).mel
    theirs = in_float64(model)(
        torch.tensor([ids]), torch.tensor([len(ids)]), torch.from_numpy(mel)[None].double(),
        torch.tensor([mel.shape[1]]), generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    given = mel.T.reshape(-1, r * len(mel))
    dropout = masks(1, model.config.prenet_dim)
    decoding = Decoding(ours.decoder, ours.encoder(ids), dropout, len(given))
    for frames in [np.zeros_like(given[0]), *given[:-1]]:
        decoding.last_frames = frames
        advance([decoding])
    assert mel.shape[1] > 300
    before = decoding.frames.reshape(mel.shape[::-1]).T
    assert relative(before, theirs.mel_before[0].detach()) < 1e-5
    assert relative(decoding.alignment.repeat(r, 0), theirs.alignments[0].detach()) < 1e-5
    assert relative(decoding.gates.repeat(r), theirs.gate[0].detach()) < 1e-5


def test_the_built_in_voice_speaks_as_in_core(small: core.Tacotron2) -> None:
    """What a step rounds off goes on into all that follow: the yardstick is core in float32."""
    model, ids = small, ids_of("Hello world.")
    ours = in_numpy(model).infer(ids, masks(1, model.config.prenet_dim))
    single, double = (
        said_by(m, ids, generator=torch.Generator().manual_seed(1))
        for m in (model, in_float64(model))
    )
    check(ours, double, tolerance=1e-5 + 20 * relative(single.mel, double.mel))


def test_texts_together_are_the_bits_of_each_alone(small: core.Tacotron2) -> None:
    ours = in_numpy(small)
    texts = [ids_of(text) for text in ("Hello world.", "Yes.", SENTENCE, "Yes.", "I have come.")]
    width = small.config.prenet_dim
    together = ours.infer_together(
        [(ids, masks(seed, width), False) for seed, ids in enumerate(texts)]
    )
    for seed, (ids, output) in enumerate(zip(texts, together, strict=True)):
        alone = ours.infer(ids, masks(seed, width))
        for name in ("mel", "alignment", "gate"):
            np.testing.assert_array_equal(getattr(output, name), getattr(alone, name))
        assert (output.length, output.hit_limit) == (alone.length, alone.hit_limit)


def test_halves_are_weights_like_others() -> None:
    model = random_model(TINY)
    halves = {
        name: array.astype(np.float16) if array.dtype == np.float32 else array
        for name, array in arrays(model).items()
    }
    rounded = {name: array.astype(np.float32) for name, array in halves.items()}
    ids = list(range(12))
    ours = Tacotron2(TINY, halves).infer(ids, None, max_steps=20)
    theirs = Tacotron2(TINY, rounded).infer(ids, None, max_steps=20)
    np.testing.assert_array_equal(ours.mel, theirs.mel)


def test_preparing_leaves_the_tensors_alone() -> None:
    tensors = arrays(random_model(TINY))
    for array in tensors.values():
        array.flags.writeable = False
    Tacotron2(TINY, tensors).infer([1, 2, 3], None, max_steps=5)


def test_it_ends_where_the_gate_fires() -> None:
    model, ids = random_model(TINY), list(range(30, 39))
    with torch.no_grad():
        model.decoder.gate.weight.neg_()  # its logit then rises at first
        model.decoder.gate.bias.fill_(-9.0)
        gate = in_numpy(model).infer(ids, masks(3, 8), max_steps=40).gate
        model.decoder.gate.bias.sub_(float(gate.max()) - 1e-3)
    fires = int(np.argmax(gate > gate.max() - 1e-3))
    output = in_numpy(model).infer(ids, masks(3, 8))
    assert output.length == fires > 0
    assert output.mel.shape == (6, output.length + 2)
    generator = torch.Generator().manual_seed(3)
    check(output, said_by(in_float64(model), ids, generator=generator))


def test_it_may_end_at_once_or_never() -> None:
    model = random_model(TINY)
    with torch.no_grad():
        model.decoder.gate.bias.fill_(50.0)
    output = in_numpy(model).infer([4, 5], None)
    assert (output.length, output.mel.shape, output.hit_limit) == (0, (6, 2), False)
    with torch.no_grad():
        model.decoder.gate.bias.fill_(-50.0)
    ours = in_numpy(model)
    output = ours.infer([4, 5], None)
    assert ours.step_limit(2) == model.step_limit(2)
    assert (output.length, output.hit_limit) == (2 * ours.step_limit(2), True)


def test_huge_weights_raise_no_floating_point_warning() -> None:
    model = random_model(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(50)
    with np.errstate(all="raise", under="ignore"):
        output = in_numpy(model).infer(list(range(9)), None, max_steps=10)
    assert np.isfinite(output.mel).all()


def test_threads_share_a_model() -> None:
    model = in_numpy(random_model(QUARTER))
    texts = [list(range(n, 3 * n)) for n in (8, 5, 12, 20)]
    alone = [model.infer(ids, None, max_steps=40).mel for ids in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda ids: model.infer(ids, None, max_steps=40).mel, texts))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_finite_half_is_converted_exactly() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]
    ours = float32(finite)
    np.testing.assert_array_equal(ours.view(np.uint32), finite.astype(np.float32).view(np.uint32))


@pytest.mark.parametrize(("length", "kernel_size", "dilation"), [(1, 5, 1), (9, 5, 2), (4, 1, 1)])
def test_a_convolution_is_torchs(length: int, kernel_size: int, dilation: int) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.Conv1d(
        3, 7, kernel_size, padding=dilation * (kernel_size // 2), dilation=dilation
    )
    tensors = {f"some.{name}": array for name, array in arrays(theirs).items()}
    x = torch.randn(3, length)
    ours = Convolution(tensors, "some", dilation=dilation)(x.numpy())
    assert parity.max_difference(ours, theirs(x[None])[0].detach()) < 1e-6


def test_batch_normalisation_is_folded_into_a_convolution() -> None:
    torch.manual_seed(0)
    theirs = ConvolutionNorm(3, 7, 5)
    for _ in range(3):
        theirs(torch.randn(4, 3, 20) * 3 + 1)  # gathers statistics
    theirs.eval()
    x = torch.randn(3, 11)
    ours = Convolution(arrays(theirs), "conv", norm="norm")(x.numpy())
    assert parity.max_difference(ours, theirs(x[None])[0].detach()) < 1e-6
