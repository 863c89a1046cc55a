"""The engine of a GPU, on the CPU: batches that overlap, errors in their place, overflow."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_gpu_tacotron2 import overflowing
from test_gpu_waveglow import make_core
from test_synthesizer import TEXT, torch_engine
from torch import Generator, Tensor

from ttscli import Synthesizer, engines
from ttscli.checkpoints import load_tacotron2, load_waveglow
from ttscli.console import JsonLines, make_reporter
from ttscli.core.configs import WaveGlowConfig
from ttscli.core.tacotron2 import Tacotron2Output
from ttscli.devices import choose_precision, device_errors
from ttscli.engines import speak_by_length
from ttscli.errors import InputError, TemporaryError, UsageError, VoiceError
from ttscli.events import Event, SentenceOverflowed, VoiceLoaded
from ttscli.gpu.tacotron2 import Tacotron2
from ttscli.gpu.transfer import Sent
from ttscli.gpu.vocoder import WaveGlowVocoder as WaveGlowOnGpu
from ttscli.gpu.waveglow import WaveGlow as WaveGlowModelOnGpu
from ttscli.readings import Reading, Spoken
from ttscli.torch_engine import Models, TorchEngine
from ttscli.vocoders import WaveGlowVocoder
from ttscli.voices import find_voice

WAIT = 30.0  # seconds after which a test that waits has failed


def readings(count: int) -> list[Reading]:
    return [Reading([40 + n, 50, 60], np.random.SeedSequence(n)) for n in range(count)]


class Watched:
    """Models that say what they are at: a batch is known by its first text's first symbol."""

    def __init__(self) -> None:
        self.read: dict[int, threading.Event] = {n: threading.Event() for n in range(40, 60)}
        self.order: list[str] = []
        self.while_vocoding: Callable[[int], None] = lambda batch: None
        self.while_reading: Callable[[int], None] = lambda batch: None

    def infer(
        self, sequences: Tensor, lengths: Tensor, check: Callable[[], None], **_: Any
    ) -> Tacotron2Output:
        first = int(sequences[0, 0])
        self.order.append(f"read {first}")
        self.read[first].set()
        self.while_reading(first)
        check()
        B, T = sequences.shape
        mel = sequences[:, :1, None].float().expand(B, 1, 4)
        return Tacotron2Output(
            mel, mel, torch.full((B,), 4), torch.ones(B, 4, T), torch.zeros(B, 4),
            torch.zeros(B, dtype=torch.bool),
        )  # fmt: skip

    def __call__(self, mels: Sequence[Tensor], generators: Sequence[Generator]) -> list[Tensor]:
        first = int(mels[0][0, 0])
        self.while_vocoding(first)
        self.order.append(f"vocoded {first}")
        return [mel[0].repeat(64) for mel in mels]

    def engine(self) -> TorchEngine:
        return TorchEngine(Models(self, self), "cpu")


def numbers(spoken: Sequence[Spoken]) -> list[int]:
    return [int(one.samples[0]) for one in spoken]


def test_a_batch_is_read_while_the_one_before_it_is_vocoded() -> None:
    watched = Watched()

    def wait(batch: int) -> None:
        assert batch == 48 or watched.read[batch + 2].wait(WAIT)

    watched.while_vocoding = wait
    spoken = list(watched.engine().speak(readings(10), batch_size=2))
    assert numbers(spoken) == list(range(40, 50))
    vocoded = [event for event in watched.order if event.startswith("vocoded")]
    assert vocoded == [f"vocoded {n}" for n in range(40, 50, 2)]


def test_readings_are_taken_only_a_little_ahead() -> None:
    taken: list[int] = []

    def watched_readings() -> Iterator[Reading]:
        for reading in readings(19):
            taken.append(reading.ids[0])
            yield reading

    stream = Watched().engine().speak(watched_readings(), batch_size=2)
    next(stream)
    assert len(taken) == 6
    stream.close()


def test_windows_of_a_like_length_come_back_in_order() -> None:
    lengths = np.random.default_rng(0).integers(1, 30, 53)
    taken: list[int] = []

    def some() -> Iterator[Reading]:
        for n, length in enumerate(lengths):
            taken.append(n)
            yield Reading([n % 100] * length, np.random.SeedSequence(n))

    watched = Watched()
    watched.read = {n: threading.Event() for n in range(100)}
    spoken = speak_by_length(watched.engine(), some(), 2)
    first = next(spoken)
    assert len(taken) == 32, "a window, and the one that the next batches are from"
    assert numbers([first, *spoken]) == list(range(53))
    batches = [int(event.split()[1]) for event in watched.order if event.startswith("read")]
    for window in range(0, 53, 16):
        among = [lengths[n] for n in batches if window <= n < window + 16]
        assert among == sorted(among)


def test_an_error_in_a_later_text_costs_nothing_before_it() -> None:
    def some(count: int) -> Iterator[Reading]:
        yield from readings(count)
        raise InputError("nothing to say")

    for count, batch_size in ((5, 1), (5, 2), (5, 8), (0, 4)):
        heard: list[Spoken] = []
        for speak in (Watched().engine().speak, lambda *a: speak_by_length(Watched().engine(), *a)):
            heard.clear()
            with pytest.raises(InputError, match="nothing to say"):
                for spoken in speak(some(count), batch_size):
                    heard.append(spoken)
            assert numbers(heard) == list(range(40, 40 + count))


def test_an_error_in_a_batch_costs_that_batch(tiny_voice: Path) -> None:
    watched = Watched()

    def no_memory(batch: int) -> None:
        if batch == 44:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    for stage in ("while_reading", "while_vocoding"):
        watched = Watched()
        setattr(watched, stage, no_memory)
        engine, heard = watched.engine(), []
        with pytest.raises(TemporaryError, match="not enough free memory on cpu"):
            for spoken in engine.speak(readings(8), batch_size=2):
                heard.append(spoken)
        assert numbers(heard) == [40, 41, 42, 43]
        assert numbers(list(engine.speak(readings(2)))) == [40, 41], "the engine goes on"


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        ("CUDA error: out of memory", TemporaryError),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`", TemporaryError),
        ("[enforce fail] DefaultCPUAllocator: can't allocate memory", MemoryError),
        ("CUDA error: an illegal memory access was encountered", RuntimeError),
    ],
)
def test_memory_that_ran_out_in_words(said: str, raised: type[Exception]) -> None:
    with pytest.raises(raised) as caught, device_errors("cuda"):
        raise RuntimeError(said)
    assert type(caught.value) is raised


def test_nobody_reads_on_when_a_stream_is_left() -> None:
    watched, reading, left = Watched(), threading.Event(), threading.Event()
    stopped = threading.Event()

    def hang(batch: int) -> None:
        if batch == 41:
            reading.set()
            assert left.wait(WAIT)

    watched.while_reading = hang
    engine = watched.engine()
    stream = engine.speak(readings(6))
    next(stream)
    assert reading.wait(WAIT)
    stream.close()
    left.set()
    engine._vocoding.submit(stopped.set).result(WAIT)
    engine._reading.submit(stopped.set).result(WAIT)
    assert sorted(watched.order) == ["read 40", "read 41", "vocoded 40"]


def test_a_sentence_may_be_spoken_again_in_the_middle_of_a_stream(tiny_voice: Path) -> None:
    engine = torch_engine(tiny_voice)
    alone = [next(engine.speak([reading])) for reading in readings(6)]
    for reading, spoken, one in zip(
        readings(6), engine.speak(readings(6), batch_size=2), alone, strict=True
    ):
        np.testing.assert_allclose(spoken.samples, one.samples, atol=1e-5)
        [again] = engine.speak([reading])
        np.testing.assert_array_equal(again.samples, one.samples)


def test_batches_of_no_sentences_are_refused() -> None:
    with pytest.raises(UsageError, match="batch_size must be a number of at least 1, not 0"):
        next(Watched().engine().speak(readings(1), batch_size=0))


# Precision


def halved(voice: Path, precision: str, overflow: bool) -> TorchEngine:
    """The voice as a GPU speaks it in half precision, on the CPU."""
    readable = load_tacotron2(voice / "tacotron2.safetensors")
    if overflow:
        readable = overflowing(readable)
    waveglow = load_waveglow(voice / "waveglow.safetensors")
    vocoder = WaveGlowVocoder(waveglow, 0.1)

    def models(precision: str) -> Models:
        return Models(Tacotron2(readable, "cpu", precision), vocoder)

    return TorchEngine(models(precision), "cpu", lambda: models("fp32"))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_what_overflows_is_computed_again(tiny_voice: Path, batch_size: int) -> None:
    """And sounds as in single precision; where nothing overflows nothing is."""
    frontend = Synthesizer.from_voice(tiny_voice, device="cpu").frontend
    exact = Synthesizer(torch_engine(tiny_voice), frontend)(TEXT, seed=2)
    for precision, overflow in (("fp16", True), ("fp16", False), ("bf16", True)):
        events: list[Event] = []
        engine = halved(tiny_voice, precision, overflow)
        tts = Synthesizer(engine, frontend, on_event=events.append)
        [speech] = tts.map([TEXT], seed=2, batch_size=batch_size)
        assert np.isfinite(speech.samples).all() and speech.samples.any()
        told = [event for event in events if isinstance(event, SentenceOverflowed)]
        if precision == "fp16" and overflow:
            assert [event.index for event in told] == [0, 1, 2]
            assert told[0].text == "Hello world."
            np.testing.assert_allclose(speech.samples, exact.samples, atol=1e-4)
        else:
            assert not told


def test_only_the_sentence_that_overflows_is(tiny_voice: Path) -> None:
    engine = halved(tiny_voice, "fp16", overflow=False)
    vocode, spare = engine.models.vocoder, engine._exact

    def vocoder(mels: Sequence[Tensor], generators: Sequence[Generator]) -> list[Tensor]:
        samples = vocode(mels, generators)
        samples[1][100] = float("inf")
        return samples

    calls: list[int] = []

    def counted() -> Models:
        calls.append(0)
        assert spare is not None
        return spare()

    engine = TorchEngine(Models(engine.models.tacotron2, vocoder), "cpu", counted)
    spoken = list(engine.speak(readings(4), batch_size=2))
    assert [one.overflowed for one in spoken] == [False, True, False, True]
    assert all(np.isfinite(one.samples).all() for one in spoken)
    assert len(calls) == 1, "loaded once"


def test_what_breaks_in_single_precision_too_is_an_error(tiny_voice: Path) -> None:
    engine = halved(tiny_voice, "fp16", overflow=False)
    broken = load_tacotron2(tiny_voice / "tacotron2.safetensors")
    with torch.no_grad():
        broken.decoder.projection.bias.fill_(3e38)
    models = Models(Tacotron2(broken, "cpu"), engine.models.vocoder)
    frontend = Synthesizer.from_voice(tiny_voice, device="cpu").frontend
    tts = Synthesizer(TorchEngine(models, "cpu", lambda: models), frontend)
    with pytest.raises(VoiceError, match="checkpoints may be damaged"):
        tts("Hello.")


def test_overflow_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    event = SentenceOverflowed(1, "Hello.")
    JsonLines(on_stderr=False)(event)
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"event": "sentence_overflowed", "index": 1, "text": "Hello."}
    for verbose in (False, True):
        with make_reporter(False, False, verbose, audio_on_stdout=False) as report:
            report(VoiceLoaded("small", "cuda", "fp16", 1.0))
            report(event)
        told = capsys.readouterr().err.splitlines()
        assert told == (
            [
                "voice small on cuda in fp16, loaded in 1.0 s",
                "sentence 2: too large for half precision, computed again in fp32",
            ]
            if verbose
            else []
        )


@pytest.mark.parametrize(
    ("name", "device", "expected"),
    [
        ("auto", "cpu", "fp32"),
        ("auto", "mps", "fp32"),
        ("auto", "cuda:1", "mixed"),
        ("auto", "cuda:2", "fp32"),
        ("fp32", "cuda", "fp32"),
        ("fp16", "cuda", "fp16"),
        ("bf16", "cuda:1", "bf16"),
        ("bf16", "cuda:0", "bf16 cannot be used: cuda:0 is too old for it; use fp32"),
        ("fp16", "cpu", "fp16 cannot be used: a CPU runs the models in fp32 only; use fp32"),
        ("bf16", "mps", "bf16 cannot be used: an Apple GPU runs the models in fp32 only"),
        ("int8", "cuda", "int8 cannot be used: no model here is made for it; use fp32"),
        ("half", "cuda", "there is no precision 'half'; use auto, fp32, fp16, bf16"),
    ],
)
def test_precisions(monkeypatch: pytest.MonkeyPatch, name: str, device: str, expected: str) -> None:
    ages = {"cuda:0": (7, 5), "cuda:1": (9, 0), "cuda:2": (6, 1)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", ages.get)
    if " " not in expected:
        assert choose_precision(name, device) == expected
    else:
        with pytest.raises(UsageError, match=expected):
            choose_precision(name, device)


def test_a_gpu_gets_models_of_the_precision(
    tiny_voice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `load_engine` asks for, with the device taken for another."""
    made: list[tuple[str, str]] = []

    def tacotron2(readable: Any, device: str, precision: str) -> str:
        made.append((device, precision))
        return precision

    @dataclass
    class Made(WaveGlowOnGpu):
        """Stands for a WaveGlow of a precision."""

        precision: str

    def vocoder(name: str, voice: Any, mels: int, device: str, precision: str) -> Any:
        made.append((name, precision))
        return Made(precision) if name == "waveglow" else precision

    monkeypatch.setattr("ttscli.gpu.tacotron2.Tacotron2", tacotron2)
    monkeypatch.setattr("ttscli.torch_engine._Lane", lambda device, waits=True: None)
    monkeypatch.setattr(engines, "load_vocoder", vocoder)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    voice = find_voice(tiny_voice)
    engine = engines.load_engine(voice, "waveglow", "cuda:1", precision="fp16")
    assert isinstance(engine, TorchEngine)
    assert made == [("cuda:1", "fp16"), ("waveglow", "fp16")]
    assert vars(engine._spare) == {"tacotron2": "fp32", "vocoder": Made("fp32")}
    mixed = engines.load_engine(voice, "waveglow", "cuda", precision="mixed")
    assert isinstance(mixed, TorchEngine)
    assert vars(mixed.models) == {"tacotron2": "fp32", "vocoder": Made("fp16")}
    assert vars(mixed._spare) == {"tacotron2": "fp32", "vocoder": Made("fp32")}
    single = engines.load_engine(voice, "griffin-lim", "cuda", precision="mixed")
    assert isinstance(single, TorchEngine) and single._exact is None
    exact = engines.load_engine(voice, "waveglow", "cuda")
    assert isinstance(exact, TorchEngine) and exact._exact is None
    assert not torch.backends.cudnn.allow_tf32


def test_tensors_are_sent_as_they_are() -> None:
    tensors = [torch.arange(6).reshape(2, 3).T, torch.tensor(1.5)]
    for sent, tensor in zip(Sent(tensors).wait(), tensors, strict=True):
        assert torch.equal(sent, tensor)
    assert Sent([]).wait() == []


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "auto"])
def test_a_gpu_speaks(precision: str) -> None:
    tts = Synthesizer.from_voice("small", device="cuda", precision=precision)
    texts = [TEXT, "Hello there. How are you?", "Yes."] * 3
    for speech, text in zip(tts.map(texts, seed=1, batch_size=4), texts, strict=True):
        alone = tts(text, seed=1)
        assert not speech.failed
        assert abs(speech.duration - alone.duration) < (0.1 if precision in ("fp32", "auto") else 1)


@pytest.mark.gpu
def test_batches_that_overlap_on_a_gpu_do_not_mix() -> None:
    """While one is vocoded the next is read, and the one before is on its way to the CPU."""
    readable = load_tacotron2(find_voice("small").tacotron2)
    core = make_core(WaveGlowConfig(n_channels=64, n_flows=4, n_early_every=2)).cuda()
    vocoder = WaveGlowOnGpu(WaveGlowModelOnGpu(core, "fp16"), 0.7)
    engine = TorchEngine(Models(Tacotron2(readable, "cuda"), vocoder), "cuda")
    asked = [
        Reading([40 + n % 20, 50, 60, 44] * (2 + n % 3), np.random.SeedSequence(n))
        for n in range(24)
    ]
    alone = [next(engine.speak([reading])).samples for reading in asked]
    for _ in range(3):  # lengths that come again are recorded
        for spoken, samples in zip(engine.speak(asked, batch_size=3), alone, strict=True):
            assert spoken.samples.shape == samples.shape
            difference = np.linalg.norm(spoken.samples - samples)
            assert difference < 0.05 * np.linalg.norm(samples)
