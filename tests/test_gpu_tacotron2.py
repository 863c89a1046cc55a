"""Tacotron 2 as a GPU runs it, on the CPU: it is core's, and nothing depends on how it is run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_cpu_tacotron2 import QUARTER, SENTENCE, TINY, ids_of, in_numpy, random_model
from torch import Generator, Tensor
from torch.nn.utils.rnn import pad_sequence

from ttscli.checkpoints import load_tacotron2
from ttscli.core import tacotron2 as core
from ttscli.core.configs import Tacotron2Config
from ttscli.errors import SlowerWarning
from ttscli.gpu.decoder import Decoder, try_parts
from ttscli.gpu.parts import (
    Attended,
    AttentionWeights,
    LSTMWeights,
    Parts,
    PlainParts,
    choose_parts,
)
from ttscli.gpu.tacotron2 import Tacotron2, steps_per_second
from ttscli.voices import find_voice

HELD = replace(TINY, n_frames_per_step=1)
FIELDS = ("mel", "mel_before", "alignments", "gate")


@pytest.fixture(scope="module")
def small() -> core.Tacotron2:
    return load_tacotron2(find_voice("small").tacotron2)


def batch(texts: list[list[int]]) -> dict[str, Any]:
    """Texts as a model takes them, each with dropout of its own."""
    return {
        "sequences": pad_sequence([torch.tensor(ids) for ids in texts], batch_first=True),
        "lengths": torch.tensor([len(ids) for ids in texts]),
        "generator": [Generator().manual_seed(100 + len(ids)) for ids in texts],
    }


def own(output: core.Tacotron2Output, row: int, r: int) -> dict[str, Tensor]:
    """What an output says of one row: nothing behind its end."""
    frames = int(output.lengths[row]) + (0 if output.hit_limit[row] else r)
    return {
        "mel": output.mel[row, :, :frames],
        "mel_before": output.mel_before[row, :, :frames],
        "alignments": output.alignments[row, :frames],
        "gate": output.gate[row, :frames],
    }


def check(ours: core.Tacotron2Output, theirs: core.Tacotron2Output, r: int, most: float) -> None:
    assert ours.lengths.tolist() == theirs.lengths.tolist()
    assert ours.hit_limit.tolist() == theirs.hit_limit.tolist()
    assert ours.mel.shape == theirs.mel.shape
    for row in range(len(ours.lengths)):
        for name, value in own(ours, row, r).items():
            other = own(theirs, row, r)[name].float()
            assert value.dtype == torch.float32
            assert float((value - other).abs().max()) <= most * float(other.abs().max()), name


def ending(config: Tacotron2Config, texts: list[list[int]]) -> core.Tacotron2:
    """A random model whose gate ends texts at different times, if it can."""
    model = random_model(config)
    with torch.no_grad():
        for layer in model.decoder.prenet.layers:
            layer.weight.mul_(5)  # that the dropout is heard
        model.decoder.attention_rnn.weight_ih.mul_(2)
        model.decoder.decoder_rnn.weight_ih.mul_(3)
        model.decoder.gate.bias.fill_(-50)
        gates = model.infer(**batch(texts), max_steps=60).gate[:, :: config.n_frames_per_step]

        def ends(level: float) -> int:
            fired = gates > level
            return len(set(torch.where(fired.any(1), fired.int().argmax(1), 60).tolist()))

        level = max(gates.flatten().sort().values[::7].tolist(), key=ends)
        model.decoder.gate.bias.sub_(level + 1e-4)
    return model


TEXTS = [list(range(n, n + size)) for n, size in ((20, 12), (30, 3), (60, 40), (50, 9), (70, 25))]


@pytest.mark.parametrize(
    "config", [TINY, QUARTER, replace(QUARTER, n_frames_per_step=3)], ids=["tiny", "r1", "r3"]
)
def test_it_is_cores(config: Tacotron2Config) -> None:
    model = ending(config, TEXTS)
    theirs = model.infer(**batch(TEXTS), max_steps=70)
    assert len(set(theirs.lengths.tolist())) > 2
    ours = Tacotron2(model, "cpu").infer(**batch(TEXTS), max_steps=70)
    check(ours, theirs, config.n_frames_per_step, 1e-5)


def test_without_dropout_it_is_cores() -> None:
    model = ending(QUARTER, TEXTS)
    theirs, ours = (
        m.infer(**batch(TEXTS), prenet_dropout=False, max_steps=50)
        for m in (model, Tacotron2(model, "cpu"))
    )
    check(ours, theirs, 1, 1e-5)


def test_rows_that_are_read_strictly_onwards() -> None:
    model = ending(TINY, TEXTS)
    constrained = torch.tensor([True, False, True, True, False])
    theirs, ours = (
        m.infer(**batch(TEXTS), constrained=constrained, max_steps=80)
        for m in (model, Tacotron2(model, "cpu"))
    )
    check(ours, theirs, 2, 1e-5)
    free = Tacotron2(model, "cpu").infer(**batch(TEXTS), max_steps=80)
    assert free.lengths.tolist() != ours.lengths.tolist()


@pytest.mark.parametrize("steps", [2, 16])
def test_readings_held_to_the_order_end_without_a_gate(steps: int) -> None:
    model = random_model(TINY)
    with torch.no_grad():
        model.decoder.gate.bias.fill_(-50)
    constrained = torch.tensor([True, True, True, False, True])
    theirs = model.infer(**batch(TEXTS), constrained=constrained, max_steps=80)
    assert 0 < theirs.hit_limit.sum() < 5
    ours = Tacotron2(model, "cpu", steps=steps)
    check(ours.infer(**batch(TEXTS), constrained=constrained, max_steps=80), theirs, 2, 1e-5)


def test_the_limit_is_the_texts_own() -> None:
    model = random_model(TINY)
    with torch.no_grad():
        model.decoder.gate.bias.fill_(-50)
    ours = Tacotron2(model, "cpu").infer(**batch(TEXTS[:2]))
    assert ours.hit_limit.tolist() == [True, True]
    assert ours.lengths.tolist() == [2 * model.step_limit(12), 2 * model.step_limit(3)]
    with torch.no_grad():
        model.decoder.gate.bias.fill_(50)
    ours = Tacotron2(model, "cpu").infer(**batch(TEXTS))
    assert ours.lengths.tolist() == [0] * 5
    assert ours.mel.shape[2] == 2


@pytest.mark.parametrize("steps", [2, 4, 64])
def test_it_does_not_matter_when_it_is_looked_who_has_ended(steps: int) -> None:
    model = ending(TINY, TEXTS)
    plain = Tacotron2(model, "cpu").infer(**batch(TEXTS), max_steps=70)
    other = Tacotron2(model, "cpu", steps=steps).infer(**batch(TEXTS), max_steps=70)
    check(other, plain, 2, 1e-6)
    with pytest.raises(ValueError, match="even and divide 64"):
        Tacotron2(model, "cpu", steps=24)
    with pytest.raises(ValueError, match="even and divide 64"):
        Tacotron2(model, "cpu", steps=1)


def test_rows_do_not_depend_on_others_or_on_who_leaves() -> None:
    model = ending(QUARTER, TEXTS)
    ours = Tacotron2(model, "cpu", steps=4)
    together = ours.infer(**batch(TEXTS), max_steps=90)
    assert {rows for rows, _ in ours.decoder.rooms.kept} >= {8, 2}, "they moved to smaller rooms"
    for row, ids in enumerate(TEXTS):
        alone = ours.infer(**batch([ids]), max_steps=90)
        assert alone.lengths.tolist() == [int(together.lengths[row])]
        for name, value in own(alone, 0, 1).items():
            other = own(together, row, 1)[name]
            other = other[:, : len(ids)] if name == "alignments" else other
            assert float((value - other).abs().max()) < 1e-4, name


def test_padding_is_not_seen() -> None:
    model = Tacotron2(random_model(TINY), "cpu")
    inputs = batch([TEXTS[0], TEXTS[2]])
    plain = model.infer(**inputs, max_steps=30)
    inputs = batch([TEXTS[0], TEXTS[2]])
    inputs["sequences"][0, 12:] = 99
    other = model.infer(**inputs, max_steps=30)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(plain, name), getattr(other, name))


def test_rooms_are_kept_within_bounds() -> None:
    model = random_model(TINY)
    decoder = Decoder(model.decoder, torch.device("cpu"), torch.float32)
    rooms = decoder.rooms
    first = rooms.room(3, 20)
    assert (first.rows, first.symbols) == (4, 32)
    assert rooms.room(4, 32) is first
    for rows in range(1, 65):
        for symbols in range(20, 501, 40):
            room = rooms.room(rows, symbols)
            assert room.rows >= rows > room.rows // 2
            assert room.symbols >= symbols > room.symbols - 32
    assert len(rooms.kept) == 64
    assert list(rooms.kept)[-1] == (64, 512)
    rooms._most_bytes = 2 * room.nbytes
    rooms.room(64, 480)
    assert list(rooms.kept) == [(64, 512), (64, 480)]
    rooms._most_bytes = 0
    assert list(rooms.kept) and rooms.room(1, 1).rows == 1
    assert list(rooms.kept) == [(1, 32)]


def test_a_room_is_clean_for_the_next_batch() -> None:
    ours = Tacotron2(random_model(TINY), "cpu")
    before = ours.infer(**batch([TEXTS[0]]), max_steps=40)
    ours.infer(**batch([TEXTS[4]]), max_steps=40, constrained=torch.tensor([True]))
    after = ours.infer(**batch([TEXTS[0]]), max_steps=40)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_getting_ready_for_a_graph_leaves_nothing_behind() -> None:
    """A recorder does the work once before it is asked for, over whatever is there."""

    class Recorder:
        def record(self, work: Callable[[], None]) -> Callable[[], None]:
            work()
            return work

    model = ending(TINY, TEXTS)
    plain, recorded = (Tacotron2(model, "cpu", steps=4) for _ in range(2))
    recorded.decoder.rooms._make = (*recorded.decoder.rooms._make[:3], Recorder())  # type: ignore[assignment]  # has what is needed
    theirs, ours = (m.infer(**batch(TEXTS), max_steps=70) for m in (plain, recorded))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def overflowing(model: core.Tacotron2) -> core.Tacotron2:
    """The same function, with weights that float16 has no room for."""
    with torch.no_grad():
        first, second = (layer.weight for layer in model.decoder.prenet.layers)
        first.mul_(2.0**20)
        second.mul_(2.0**-20)
    return model


def test_numbers_that_break_end_a_row_and_no_other() -> None:
    model = random_model(TINY)
    with torch.no_grad():
        model.decoder.gate.bias.fill_(-50)
        model.embedding.weight[7] = float("inf")
    ours = Tacotron2(model, "cpu")
    broken = ours.infer(**batch([TEXTS[0], [5, 7, 9], TEXTS[1]]), max_steps=40)
    whole = ours.infer(**batch([TEXTS[0], [5, 6, 9], TEXTS[1]]), max_steps=40)
    assert broken.lengths.tolist() == [80, 2, 80]
    assert broken.hit_limit.tolist() == [True, False, True]
    assert not broken.mel[1, :, :2].isfinite().any()
    for row in (0, 2):
        np.testing.assert_allclose(broken.mel[row], whole.mel[row], atol=1e-5)


@pytest.mark.parametrize(("precision", "fine"), [("fp16", False), ("bf16", True), ("fp32", True)])
def test_half_precision_may_overflow(precision: str, fine: bool) -> None:
    model = overflowing(random_model(QUARTER))
    with torch.no_grad():
        model.decoder.gate.bias.fill_(-50)  # it goes on to where that is heard
    ours = Tacotron2(model, "cpu", precision)
    output = ours.infer(**batch(TEXTS[:2]), max_steps=20)
    for row, frames in enumerate(output.lengths.tolist()):
        assert frames
        assert bool(output.mel[row, :, :frames].isfinite().all()) is fine


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-4), ("fp16", 0.02)])
def test_the_built_in_voice_says_what_it_says_in_core(
    small: core.Tacotron2, precision: str, most: float
) -> None:
    """Mean difference of log-mels, in nepers: half precision is not heard."""
    texts = [ids_of(text) for text in (SENTENCE, "Hello world.")]
    theirs = small.infer(**batch(texts))
    ours = Tacotron2(small, "cpu", precision).infer(**batch(texts))
    assert ours.lengths.tolist() == theirs.lengths.tolist()
    assert float((ours.mel - theirs.mel).abs().mean()) < most


def test_work_can_be_stopped() -> None:
    class StopError(Exception):
        pass

    calls = []

    def stop_later() -> None:
        calls.append(0)
        if len(calls) == 3:
            raise StopError

    model = random_model(TINY)
    with torch.no_grad():
        model.decoder.gate.bias.fill_(-50)
    for one in (Tacotron2(model, "cpu"), model):
        with pytest.raises(StopError):
            one.infer(**batch(TEXTS), check=stop_later)
        calls.clear()


def test_steps_can_be_timed() -> None:
    model = random_model(TINY)
    before = model.decoder.gate.bias.item()
    speed = steps_per_second(model, "cpu", batch=2, symbols=5, steps=20, repeats=2)
    assert 0 < speed < 1e6
    assert model.decoder.gate.bias.item() == before


# Kernels: on a GPU if there is one, else in Triton's interpreter


@pytest.fixture(scope="module")
def fused() -> Parts:
    if find_spec("triton") is None:
        pytest.skip("Triton is not here: see `make kernels`")
    from ttscli.gpu.decoder_kernels import FusedParts

    return FusedParts()


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
Run = Callable[[Parts], list[Tensor]]


def compare(fused: Parts, run: Run, dtype: torch.dtype, least: float = 0) -> None:
    """Both kinds of parts on the same random numbers; a rounding to half may go either way."""
    results = []
    for parts in (PlainParts(), fused):
        torch.manual_seed(3)
        results.append(run(parts))
    for plain, other in zip(*results, strict=True):
        assert plain.dtype == other.dtype and bool(plain.isfinite().all())
        tolerance = 2e-6 if plain.dtype == torch.float32 else torch.finfo(dtype).eps
        worst = (plain.float() - other.float()).abs().max() / plain.float().abs().max()
        assert float(worst) <= max(tolerance, least)


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(DEVICE, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 3, 6])
@pytest.mark.parametrize("width", [14, 300])
def test_the_lstms_kernels(fused: Parts, dtype: torch.dtype, rows: int, width: int) -> None:
    def run(parts: Parts) -> list[Tensor]:
        weights = LSTMWeights(normal(4 * width, 600, dtype=dtype) / 600**0.5, normal(4 * width))
        hidden, cell = normal(rows, width + 9, dtype=dtype), normal(rows, width)
        x = normal(rows, 640, dtype=dtype)[:, 32:632] * 3
        sums = normal(rows, 4 * width, dtype=dtype)
        parts.lstm(x, weights, sums, cell, hidden[:, 5 : 5 + width])
        return [hidden.to(dtype), cell.to(dtype)]

    compare(fused, run, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "m", "k"), [(20, 7, 0), (512, 81, 300), (5, 4, 2500)])
def test_the_products_kernel(fused: Parts, dtype: torch.dtype, n: int, m: int, k: int) -> None:
    def run(parts: Parts) -> list[Tensor]:
        out = torch.zeros(3, m + 2, device=DEVICE)
        x, y = normal(3, n + 5, dtype=dtype)[:, 5:], normal(3, k + 2, dtype=dtype)[:, 2:]
        weight = normal(m, n + k, dtype=dtype) / (n + k) ** 0.5
        parts.product(x, y, weight, normal(m), out[:, :m])
        return [out]

    compare(fused, run, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [24, 128])
def test_the_prenets_kernel(fused: Parts, dtype: torch.dtype, width: int) -> None:
    def run(parts: Parts) -> list[Tensor]:
        weight = normal(width, width, dtype=dtype) / width
        masks = 2 * (normal(3, 2, width) > 0).to(dtype)
        out = normal(3, width + 4, dtype=dtype)
        parts.prenet(normal(3, width + 9)[:, 9:], weight, masks, out[:, :width])
        return [out]

    compare(fused, run, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("symbols", "taps"), [(5, 7), (70, 31)])
def test_the_attentions_kernel(fused: Parts, dtype: torch.dtype, symbols: int, taps: int) -> None:
    T, E, D, K = symbols, symbols + 20, symbols // 2 + 4, taps
    lengths = torch.tensor([T, 1, T - 2, T // 2], dtype=torch.int32, device=DEVICE)
    inside = torch.arange(T, device=DEVICE) < lengths[:, None]

    def run(parts: Parts) -> list[Tensor]:
        history = torch.rand(4, 2, T).to(DEVICE) * inside[:, None]
        state = normal(4, E + 9, dtype=dtype)
        attended = Attended(
            normal(4, T, E, dtype=dtype), normal(4, T, D, dtype=dtype), lengths,
            torch.tensor([0, 0, 1, 1], dtype=torch.int32, device=DEVICE), history,
            torch.full((4, T), float("nan"), device=DEVICE),
        )  # fmt: skip
        weights = AttentionWeights(normal(2 * K, D), normal(D))
        alignment = torch.full((4, T), float("nan"), device=DEVICE)
        parts.attend(normal(4, D), weights, attended, state[:, 4:-5], alignment)
        np.testing.assert_allclose(alignment.sum(1).cpu(), 1, atol=1e-5)
        assert not bool(alignment[~inside].any())
        return [alignment, history, state]

    # With a memory of halves, a GPU's matrix units round the location's product to TF32.
    rounded = DEVICE == "cuda" and dtype != torch.float32
    compare(fused, run, dtype, least=4e-3 if rounded else 0)


def test_a_compiler_takes_the_kernels() -> None:
    """For a GPU that need not be here: the interpreter runs what it refuses."""
    if find_spec("triton") is None:
        pytest.skip("Triton is not here: see `make kernels`")
    script = Path(__file__).with_name("compile_kernels.py")
    package = str(Path(__file__).parents[1])  # which need not be installed
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False,
        env=os.environ | {"TRITON_INTERPRET": "0", "PYTHONPATH": package},
    )  # fmt: skip
    assert not done.returncode, done.stderr
    made = [line.split() for line in done.stdout.splitlines()]
    assert len(made) == 18
    small_gpus = 99 << 10  # shared memory of a program
    assert all(int(shared) <= small_gpus and int(code) > 1000 for *_, shared, code in made)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here kernels run on the GPU, see below")
def test_with_all_kernels_it_is_cores(fused: Parts) -> None:
    model = ending(TINY, TEXTS)
    theirs = model.infer(**batch(TEXTS[:3]), max_steps=20)
    ours = Tacotron2(model, "cpu", parts=fused).infer(**batch(TEXTS[:3]), max_steps=20)
    check(ours, theirs, 2, 1e-5)


# What needs a GPU


def on_gpu(inputs: dict[str, Any]) -> dict[str, Any]:
    return inputs | {name: inputs[name].cuda() for name in ("sequences", "lengths")}


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_graphs_change_nothing(small: core.Tacotron2, precision: str) -> None:
    texts = [ids_of(text) for text in (SENTENCE, "Yes.", "Hello world.")]
    plain, captured = (
        Tacotron2(small, "cuda", precision, graphs=graphs) for graphs in (False, True)
    )
    theirs = plain.infer(**on_gpu(batch(texts)))
    for _ in range(2):
        ours = captured.infer(**on_gpu(batch(texts)))
        for name in FIELDS:
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


def test_kernels_that_fail_their_trial_are_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is not here is asked for nothing but its age."""
    made: list[str] = []
    kernels = ModuleType("kernels")
    kernels.FusedParts = lambda: "fused"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ttscli.gpu.decoder_kernels", kernels)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: made.append(name) or True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    stream = SimpleNamespace(synchronize=lambda: made.append("waited"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)

    def fails(parts: Parts) -> None:
        raise RuntimeError("Failed to find C compiler")

    device = torch.device("cuda")
    assert choose_parts(device, lambda parts: None) == "fused"
    assert made == ["triton", "waited"]
    with pytest.warns(SlowerWarning, match="C compiler"):
        assert isinstance(choose_parts(device, fails), PlainParts)
    assert isinstance(choose_parts(torch.device("cpu"), lambda parts: None), PlainParts)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert isinstance(choose_parts(device, lambda parts: None), PlainParts)


class Wrong(PlainParts):
    """What a kernel may come to that compiles and runs."""

    def __init__(self, what: str) -> None:
        self.what = what

    def attend(
        self, query: Any, weights: Any, attended: Attended, context: Any, alignment: Any
    ) -> None:
        if self.what == "lengths":
            longest = torch.full_like(attended.lengths, attended.memory.shape[1])
            attended = replace(attended, lengths=longest)
        if self.what == "order":
            attended = replace(attended, constrained=torch.zeros_like(attended.constrained))
        super().attend(query, weights, attended, context, alignment)
        if self.what == "context":
            context.mul_(1.1)
        if self.what == "no number":
            context[-1, -1] = float("nan")

    def lstm(self, x: Any, weights: Any, sums: Any, cell: Any, hidden: Any) -> None:
        super().lstm(x, weights, sums, cell, hidden)
        if self.what == "late":  # as if the next kernel had begun before this one ended
            hidden[-1, ::2] = 0


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("what", ["lengths", "order", "context", "no number", "late"])
def test_kernels_that_are_wrong_fail_their_trial(
    small: core.Tacotron2, what: str, precision: str
) -> None:
    weights = Tacotron2(small, "cpu", precision).decoder.rooms._make[0]
    try_parts(weights, PlainParts())
    with pytest.raises(ArithmeticError, match="its results differ from plain torch's by"):
        try_parts(weights, Wrong(what))


def test_kernels_in_the_interpreter_pass_their_trial(fused: Parts) -> None:
    if DEVICE == "cpu":
        try_parts(Tacotron2(random_model(TINY), "cpu").decoder.rooms._make[0], fused)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_chained_kernels_wait(
    small: core.Tacotron2, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that began too early would now and then say something else."""
    kernels = pytest.importorskip("ttscli.gpu.decoder_kernels")
    texts = [ids_of(text) for text in (SENTENCE, "Yes.", "Hello world.")]
    for count in (1, 3):
        inputs = on_gpu(batch(texts[:count] * count))
        model = Tacotron2(small, "cuda", precision)
        runs = [model.infer(**on_gpu(batch(texts[:count] * count))) for _ in range(5)]
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "chained", lambda tensor: {"CHAINED": False})
            runs.append(Tacotron2(small, "cuda", precision).infer(**inputs))
        for name in FIELDS:
            assert all(torch.equal(getattr(run, name), getattr(runs[-1], name)) for run in runs)


@pytest.mark.gpu
def test_kernels_are_used_where_they_can_be(small: core.Tacotron2) -> None:
    assert not isinstance(Tacotron2(small, "cuda", "fp16").decoder.parts, PlainParts)


@pytest.mark.gpu
@pytest.mark.parametrize("kernels", [True, False])
def test_a_gpu_says_what_the_cpu_says(small: core.Tacotron2, kernels: bool) -> None:
    model = Tacotron2(small, "cuda", parts=None if kernels else PlainParts())
    ids = ids_of("Hello world.")
    ours = model.infer(**on_gpu(batch([ids])))
    generator = Generator().manual_seed(100 + len(ids))

    def masks() -> Any:
        half = torch.full((64, 2, small.config.prenet_dim), 0.5)
        while True:
            yield from (2 * torch.bernoulli(half, generator=generator)).numpy()

    theirs = in_numpy(small).infer(ids, masks())
    assert ours.lengths.tolist() == [theirs.length]
    assert float(np.abs(ours.mel[0].cpu().numpy() - theirs.mel).max()) < 1e-3


@pytest.mark.gpu
def test_a_gpus_own_dropout_is_the_same_in_any_batch(small: core.Tacotron2) -> None:
    texts = [ids_of(text) for text in ("Hello world.", "Yes.")]

    def said(model: Tacotron2, chosen: list[list[int]]) -> core.Tacotron2Output:
        inputs = on_gpu(batch(chosen))
        inputs["generator"] = [Generator("cuda").manual_seed(len(ids)) for ids in chosen]
        return model.infer(**inputs)

    model = Tacotron2(small, "cuda")
    together, alone = said(model, texts), said(model, texts[1:])
    frames = int(alone.lengths[0])
    assert int(together.lengths[1]) == frames
    difference = together.mel[1, :, :frames] - alone.mel[0, :, :frames]
    assert float(difference.abs().max()) < 1e-3
