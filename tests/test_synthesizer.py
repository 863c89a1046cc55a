"""The library: text in, speech out."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import threading
import time
import wave
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ttscli import Speech, Synthesizer, devices
from ttscli.audio import Samples
from ttscli.checkpoints import load_tacotron2, load_waveglow, save_safetensors
from ttscli.checkpoints.arrays import read_tacotron2
from ttscli.core.configs import MelConfig, Tacotron2Config, WaveGlowConfig
from ttscli.core.denoiser import Denoiser, bias_spectrum
from ttscli.core.tacotron2 import Tacotron2
from ttscli.core.waveglow import WaveGlow
from ttscli.cpu.noise import dropout_masks, normal_draws
from ttscli.cpu.sharing import Each, StoppedError
from ttscli.cpu.spectra import GriffinLim, MelGain
from ttscli.cpu.tacotron2 import Tacotron2 as CpuTacotron2
from ttscli.devices import choose_device
from ttscli.engines import CpuEngine
from ttscli.errors import InputError, TTSError, UsageError, VoiceError
from ttscli.events import (
    Event,
    SentenceFailed,
    SentenceRetried,
    SentenceSpoken,
    TextDropped,
    TextSplit,
    VoiceLoaded,
)
from ttscli.readings import Reading
from ttscli.synthesizer import choose_voice
from ttscli.text import text_to_sequence
from ttscli.torch_engine import Models, TorchEngine
from ttscli.vocoders import WaveGlowVocoder, load_cpu_vocoder, load_vocoder
from ttscli.voices import Voice, find_voice

TEXT = "Hello world. Is this a test? Yes, and it goes on for longer than the others do!"


@pytest.fixture
def tts(tiny_voice: Path) -> Synthesizer:
    return Synthesizer.from_voice(tiny_voice, device="cpu")


def torch_engine(voice: Path) -> TorchEngine:
    """What a GPU runs, on the CPU."""
    tacotron2 = load_tacotron2(voice / "tacotron2.safetensors")
    waveglow = load_waveglow(voice / "waveglow.safetensors")
    return TorchEngine(Models(tacotron2, WaveGlowVocoder(waveglow, 0.1)), "cpu")


def with_bias(voice: Path, folder: Path, name: str, value: float) -> Path:
    """The voice with a bias of its decoder changed."""
    changed = Path(shutil.copytree(voice, folder / "changed"))
    model = load_tacotron2(changed / "tacotron2.safetensors")
    with torch.no_grad():
        model.get_parameter(f"decoder.{name}.bias").fill_(value)
    save_safetensors(changed / "tacotron2.safetensors", model, "tacotron2")
    return changed


def sentences_of(speech: Speech) -> Iterator[Samples]:
    for sentence in speech.sentences:
        yield speech.samples[sentence.start : sentence.start + sentence.samples]


def faded(audio: np.ndarray) -> np.ndarray:
    """Audio whose last 5 ms fade to nothing."""
    return audio * np.minimum(1, np.arange(len(audio))[::-1] / 109).astype(np.float32)


def test_sentences_do_not_click_at_their_ends(tts: Synthesizer) -> None:
    for samples in sentences_of(tts(TEXT)):
        assert np.abs(np.diff(samples[-10:])).max() < 0.1 * np.abs(samples).max()
        assert samples[-1] == 0


def test_torch_speech_is_what_the_models_say(tts: Synthesizer, tiny_voice: Path) -> None:
    engine = torch_engine(tiny_voice)
    speech = Synthesizer(engine, tts.frontend)("Hello world.", seed=3)
    words = np.random.SeedSequence(3, spawn_key=(0,)).generate_state(2, np.uint64)
    dropout, noise = (torch.Generator().manual_seed(int(word) >> 1) for word in words)
    ids = torch.tensor([text_to_sequence("Hello world.", ["english_cleaners"])])
    output = engine.models.tacotron2.infer(ids, torch.tensor([ids.shape[1]]), generator=dropout)
    mel = output.mel[:, :, : int(output.lengths)]
    audio = load_waveglow(tiny_voice / "waveglow.safetensors").infer(mel, 0.1, generator=noise)
    np.testing.assert_array_equal(speech.samples, faded(audio[0].numpy()))


@pytest.mark.parametrize("vocoder", ["waveglow", "harmonic", "griffin-lim"])
def test_cpu_speech_is_what_the_models_say(
    tiny_voice: Path, harmonic_voice: Path, vocoder: str
) -> None:
    """With the noise that the NumPy models get, the torch models say the same."""
    voice = harmonic_voice if vocoder == "harmonic" else tiny_voice
    name = "griffin-lim" if vocoder == "griffin-lim" else "waveglow"
    speech = Synthesizer.from_voice(voice, device="cpu", vocoder=name)("Hello world.", seed=3)
    seeds = np.random.SeedSequence(3, spawn_key=(0,)).spawn(2)
    dropout, noise = (np.random.default_rng(seed) for seed in seeds)
    found = read_tacotron2(voice / "tacotron2.safetensors")
    ids = text_to_sequence("Hello world.", ["english_cleaners"])
    masks = dropout_masks(dropout, found.config.prenet_dim)
    output = CpuTacotron2(found.config, found.tensors).infer(ids, masks)
    mel = output.mel[:, : output.length]
    if vocoder == "griffin-lim":  # its iterations blow up what torch's rounding changes
        audio = GriffinLim()(mel, noise.random((513, output.length), np.float32))
    else:
        model = load_waveglow(voice / "waveglow.safetensors")
        rows = output.length + 1 if vocoder == "harmonic" else 32 * output.length
        draws = normal_draws(noise, [(channels, rows) for channels in model.config.noise_channels])
        tensors = [torch.from_numpy(draw)[None] for draw in draws]
        audio = model.infer(torch.from_numpy(mel.copy())[None], 0.1, tensors)[0].numpy()
    np.testing.assert_allclose(speech.samples, faded(audio), atol=1e-4 * np.abs(audio).max())


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_threads_change_nothing(harmonic_voice: Path, threads: int) -> None:
    tts = Synthesizer.from_voice(harmonic_voice, device="cpu")
    other = Synthesizer.from_voice(harmonic_voice, device="cpu", threads=threads)
    np.testing.assert_array_equal(other(TEXT, seed=1).samples, tts(TEXT, seed=1).samples)


def test_pieces_joined_are_the_whole(tts: Synthesizer) -> None:
    speech = tts(TEXT, seed=1)
    pieces = list(tts.stream(TEXT, seed=1))
    assert len(pieces) == 3
    np.testing.assert_array_equal(np.concatenate([p.samples for p in pieces]), speech.samples)
    assert speech.duration == len(speech.samples) / 22050
    assert speech.text == TEXT
    assert [s.text for s in speech.sentences] == [p.text for p in pieces]
    assert speech.samples.dtype == np.float32


@pytest.mark.parametrize(("pause", "samples"), [(0, 0), (0.2, 4410), (0.123456, 2722)])
def test_pause_is_exact(tiny_voice: Path, pause: float, samples: int) -> None:
    speech = Synthesizer.from_voice(tiny_voice, pause=pause)(TEXT)
    assert speech.sentences[0].start == 0
    for before, after in pairwise(speech.sentences):
        end = before.start + before.samples
        assert after.start - end == samples
        assert not speech.samples[end : after.start].any()
    last = speech.sentences[-1]
    assert last.start + last.samples == len(speech.samples)


def test_every_kind_of_pause_is_exact(tiny_voice: Path) -> None:
    """Silence of the text's own, of paragraphs and items; at either end, too, and nothing else."""
    tts = Synthesizer.from_voice(tiny_voice, pause=0.1, paragraph_pause=0.7, device="cpu")
    text = (
        "[pause 0.3]One.\n\nTwo. Three [pause 1.23456] four."
        "\n- five\n😀 [pause 0.25] 😀\n[pause 50ms]"
    )
    speech = tts(text)
    seconds = [0.3, 0.7, 0.1, 1.23456, 0.2]
    end = 0
    for sentence, pause in zip(speech.sentences, seconds, strict=True):
        assert sentence.start - end == round(pause * 22050)
        assert not speech.samples[end : sentence.start].any()
        end = sentence.start + sentence.samples
    assert len(speech.samples) - end == round(0.3 * 22050)
    assert not speech.samples[end:].any()
    np.testing.assert_array_equal(
        np.concatenate([piece.samples for piece in tts.stream(text)]), speech.samples
    )
    plain = tts("One. Two. Three, four. Five.").samples
    first = speech.sentences[0]
    np.testing.assert_array_equal(
        speech.samples[first.start : first.start + first.samples], plain[: first.samples]
    )


def test_a_seed_below_zero_is_refused(tiny_voice: Path) -> None:
    tts = Synthesizer.from_voice(tiny_voice, device="cpu")
    for speak in (lambda: tts("Hi.", seed=-1), lambda: list(tts.map(["Hi."], seed=[-1]))):
        with pytest.raises(UsageError, match="seed must be a whole number of at least 0, not -1"):
            speak()


def test_no_text_is_left_out_where_seeds_are_missing(tiny_voice: Path) -> None:
    tts = Synthesizer.from_voice(tiny_voice, device="cpu")
    speeches = tts.map(["Hi.", "Bye."], seed=[1])
    assert next(speeches).text == "Hi."
    with pytest.raises(ValueError, match="shorter"):
        list(speeches)


def test_paragraphs_pause_three_times_as_long(tiny_voice: Path) -> None:
    one, two = Synthesizer.from_voice(tiny_voice, pause=0.25)("One.\n\nTwo.").sentences
    assert two.start - one.samples == round(0.75 * 22050)
    with pytest.raises(UsageError, match="paragraph_pause must be"):
        Synthesizer.from_voice(tiny_voice, paragraph_pause=-1)


def test_figures_are_spoken_as_words(tts: Synthesizer) -> None:
    written, said = tts("Pay $5 by 3:30 p.m."), tts("pay five dollars by three thirty p m.")
    np.testing.assert_array_equal(written.samples, said.samples)


def test_sentence_depends_on_seed_and_place_alone(tts: Synthesizer) -> None:
    first, second, _ = sentences_of(tts(TEXT, seed=1))
    alone = tts("Hello world.", seed=1).samples
    np.testing.assert_array_equal(first, alone)
    _, moved = sentences_of(tts("Something else goes first. Is this a test?", seed=1))
    np.testing.assert_array_equal(second, moved)
    again, repeated = sentences_of(tts("Hello world. Hello world.", seed=1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, repeated), "each place has its own noise"
    assert not np.array_equal(first, tts("Hello world.", seed=2).samples)


def test_torch_random_state_is_left_alone(tts: Synthesizer) -> None:
    before = torch.get_rng_state()
    tts("Hello world.")
    assert torch.equal(before, torch.get_rng_state())


def test_speech_before_an_error_is_not_lost(harmonic_voice: Path) -> None:
    spoken = Synthesizer.from_voice(harmonic_voice, device="cpu", threads=2).map(
        ["Hello there.", "...", "Bye."]
    )
    assert next(spoken).text == "Hello there."
    with pytest.raises(InputError, match="nothing to say"):
        next(spoken)


def test_a_stream_that_is_left_stops_its_work(tiny_voice: Path) -> None:
    """What was begun ahead is not finished first: Ctrl-C would wait for minutes."""
    tts = Synthesizer.from_voice(tiny_voice, device="cpu", threads=1)
    assert isinstance(tts.engine, CpuEngine)
    vocode, begun = tts.engine.vocoder, threading.Event()
    finished: list[int] = []

    def vocoder(mel: Samples, noise: np.random.Generator, each: Each) -> Samples:
        if finished:  # the second sentence is in work when the stream is left
            begun.set()
            with pytest.raises(StoppedError):
                while True:
                    each(time.sleep, [0.001])
            each(finished.append, [0])
        finished.append(mel.shape[1])
        return vocode(mel, noise, each)

    tts.engine.vocoder = vocoder
    stream = tts.stream("Hello. World. " * 9)
    next(stream)
    assert begun.wait(30)
    stream.close()
    assert len(finished) == 1


def test_a_reading_can_be_spoken_again(harmonic_voice: Path) -> None:
    engine = Synthesizer.from_voice(harmonic_voice, device="cpu").engine
    reading = Reading([40, 41, 42], np.random.SeedSequence(1))
    first, second = engine.speak([reading, reading])
    np.testing.assert_array_equal(first.samples, second.samples)


def test_idle_threads_help_with_a_long_sentence(tiny_voice: Path) -> None:
    """The bits of one sentence, longer than a window of WaveGlow's, are those of one thread."""
    alone, helped = (
        Synthesizer.from_voice(tiny_voice, device="cpu", threads=threads)("so it goes on " * 12)
        for threads in (1, 3)
    )
    assert len(alone.sentences) == 1
    assert len(alone.samples) > 512 * 256
    np.testing.assert_array_equal(helped.samples, alone.samples)


def test_streams_that_take_turns_are_the_same_bits(harmonic_voice: Path) -> None:
    from threadpoolctl import threadpool_info

    tts = Synthesizer.from_voice(harmonic_voice, device="cpu")
    streams = [tts.stream(TEXT, seed=1), tts.stream(TEXT, seed=1)]
    for first, second in zip(*streams, strict=True):
        np.testing.assert_array_equal(first.samples, second.samples)
        pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert all(pool["num_threads"] == 1 for pool in pools if "numpy" in pool["filepath"])


def test_processors_are_counted_everywhere(
    harmonic_voice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)  # macOS and Windows have none
    tts = Synthesizer.from_voice(harmonic_voice, device="cpu")
    assert isinstance(tts.engine, CpuEngine) and tts.engine.threads == os.cpu_count()
    tts = Synthesizer.from_voice(harmonic_voice, device="cpu", threads=1000)
    assert isinstance(tts.engine, CpuEngine) and tts.engine.threads == os.cpu_count()
    with pytest.raises(UsageError, match="threads must be"):
        Synthesizer.from_voice(harmonic_voice, device="cpu", threads=-1)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_map_gives_what_single_calls_give(tts: Synthesizer, batch_size: int) -> None:
    texts = ["One.", TEXT, "Two. Three.", "Four.", "Four."]
    singles = [tts(text, seed=4) for text in texts]
    mapped = list(tts.map(iter(texts), seed=4, batch_size=batch_size))
    assert [speech.text for speech in mapped] == texts
    for speech, single in zip(mapped, singles, strict=True):
        np.testing.assert_array_equal(speech.samples, single.samples)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_batches_on_a_gpu_give_what_singles_give(
    tts: Synthesizer, tiny_voice: Path, batch_size: int
) -> None:
    tts = Synthesizer(torch_engine(tiny_voice), tts.frontend)
    texts = ["One.", TEXT, "Two. Three.", "Four.", "Four."]
    mapped = tts.map(iter(texts), seed=4, batch_size=batch_size)
    for speech, text in zip(mapped, texts, strict=True):
        single = tts(text, seed=4)
        assert speech.sentences == single.sentences
        np.testing.assert_allclose(speech.samples, single.samples, atol=1e-5)


def test_events_in_order(tiny_voice: Path) -> None:
    events: list[Event] = []
    tts = Synthesizer.from_voice(tiny_voice, device="cpu", on_event=events.append)
    tts("Hello 😀 world. 😀😀😀. {AA1 XX} bye.")
    loaded, split, *rest = events
    assert isinstance(loaded, VoiceLoaded)
    assert (loaded.voice, loaded.device) == ("tiny", "cpu")
    assert split == TextSplit(3, 31)
    spoken = [event for event in rest if isinstance(event, SentenceSpoken)]
    dropped = [event for event in rest if isinstance(event, TextDropped)]
    assert [(s.index, s.text, s.characters, s.total_characters) for s in spoken] == [
        (0, "Hello 😀 world.", 14, 31),
        (2, "{AA1 XX} bye.", 31, 31),
    ]
    assert dropped == [TextDropped("😀", 1, 0), TextDropped("😀", 3, 1), TextDropped("XX", 1, 2)]
    assert len(rest) == 5


def test_step_limit_is_marked(tiny_voice: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    voice = with_bias(tiny_voice, tmp_path, "gate", -1000)
    model = load_tacotron2(voice / "tacotron2.safetensors")
    with torch.no_grad():
        model.decoder.attention.score.weight.zero_()  # nor does it ever come to the end
    save_safetensors(voice / "tacotron2.safetensors", model, "tacotron2")
    tts = Synthesizer.from_voice(voice, on_event=events.append)
    speech = tts("Hello world. Bye.")
    assert speech.failed == speech.sentences
    assert not any(sentence.attention.ended for sentence in speech.sentences)
    failed = [event for event in events if isinstance(event, SentenceFailed)]
    assert [(event.index, event.text) for event in failed] == [(0, "Hello world."), (1, "Bye.")]
    assert failed[0].duration_s == speech.sentences[0].samples / 22050
    assert failed[0].problems[0] == "it does not stop"
    ways = [event.way for event in events if isinstance(event, SentenceRetried)]
    one_word = ["another seed", "another seed", "constrained attention"]
    parts = ["two parts", "constrained attention", "constrained attention"]
    assert ways == [*one_word, *parts, *one_word]
    assert [event.tries for event in failed] == [8, 4]


def test_gate_that_fires_at_once_gives_one_frame(tiny_voice: Path, tmp_path: Path) -> None:
    tts = Synthesizer.from_voice(with_bias(tiny_voice, tmp_path, "gate", 1000))
    reading = Reading(tts.frontend.encode("Hello.").ids, np.random.SeedSequence(0))
    [spoken] = tts.engine.speak([reading])
    assert len(spoken.samples) == 256
    [held] = tts.engine.speak([replace(reading, constrained=True)])
    assert len(held.samples) == 256 * 8, "four frames for each symbol but the last of the window"
    (sentence,) = tts("Hello world.").sentences
    assert sentence.words[-1].end <= sentence.samples


@pytest.mark.parametrize("text", ["", " \n", "...", "?! -- ;", "😀", "\0", "{}"])
def test_nothing_to_say(tts: Synthesizer, text: str) -> None:
    with pytest.raises(InputError, match="nothing to say"):
        tts(text)
    with pytest.raises(InputError, match="nothing to say"):
        list(tts.map(["Hello.", text]))


def test_numbers_that_overflow_are_an_error(tiny_voice: Path, tmp_path: Path) -> None:
    tts = Synthesizer.from_voice(with_bias(tiny_voice, tmp_path, "projection", 3e38))
    with pytest.raises(VoiceError, match="checkpoints may be damaged"):
        tts("Hello.")


def test_silence_is_an_error(tiny_voice: Path, tmp_path: Path) -> None:
    quiet = with_bias(tiny_voice, tmp_path, "projection", -30)  # of a log mel
    tts = Synthesizer.from_voice(quiet, vocoder="griffin-lim")
    with pytest.raises(VoiceError, match=r"it gave silence for 'Hello\.'; its models may not"):
        tts("Hello.")


def test_saved_and_shown(tts: Synthesizer, tmp_path: Path) -> None:
    speech = tts("Hello world.")
    speech.save(tmp_path / "x.wav")
    data = (tmp_path / "x.wav").read_bytes()
    with wave.open(io.BytesIO(data)) as file:
        assert file.getnframes() == len(speech.samples)
    player = speech._repr_html_()
    assert base64.b64encode(data).decode() in player
    assert player.startswith("<audio controls")


def test_griffin_lim(tiny_voice: Path) -> None:
    speech = Synthesizer.from_voice(tiny_voice, vocoder="griffin-lim")(TEXT, seed=2)
    for samples in sentences_of(speech):
        assert len(samples) % 256 == 0
    again = Synthesizer.from_voice(tiny_voice, vocoder="griffin-lim")(TEXT, seed=2)
    np.testing.assert_array_equal(speech.samples, again.samples)


def test_sigma_zero_is_the_same_for_every_noise(tiny_voice: Path) -> None:
    loud = Synthesizer.from_voice(tiny_voice, sigma=2)("Hello.").samples
    quiet = Synthesizer.from_voice(tiny_voice, sigma=0)("Hello.").samples
    assert len(loud) == len(quiet)
    assert np.std(loud) > 5 * np.std(quiet)


def test_denoiser(tiny_voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttscli.engines.faded_out", lambda samples: samples)
    plain = Synthesizer.from_voice(tiny_voice)("Hello.").samples
    denoised = Synthesizer.from_voice(tiny_voice, denoise=0.5)("Hello.").samples
    model = load_waveglow(tiny_voice / "waveglow.safetensors")
    assert isinstance(model, WaveGlow)
    bias = bias_spectrum(model)
    expected = Denoiser(bias)(torch.from_numpy(plain)[None], 0.5)[0].numpy()
    np.testing.assert_allclose(denoised, expected, atol=1e-6)
    assert not np.array_equal(denoised, plain)

    stored = shutil.copytree(tiny_voice, tmp_path / "stored")
    save_file({"bias_spectrum": 2 * bias}, stored / "bias.safetensors")
    manifest = json.loads((stored / "voice.json").read_text())
    manifest |= {"denoiser": "bias.safetensors", "denoise": 0.25}
    (stored / "voice.json").write_text(json.dumps(manifest))
    np.testing.assert_allclose(
        Synthesizer.from_voice(stored)("Hello.").samples, expected, atol=1e-6
    )
    own = Synthesizer.from_voice(stored, waveglow=tiny_voice / "waveglow.safetensors", denoise=0.5)
    np.testing.assert_allclose(own("Hello.").samples, expected, atol=1e-6)
    (stored / "bias.safetensors").write_bytes(b"no")
    with pytest.raises(VoiceError, match="no bias spectrum can be read here"):
        Synthesizer.from_voice(stored)


def test_mel_gain(tiny_voice: Path) -> None:
    """The voice's filter stands behind its own WaveGlow, in NumPy and in torch."""
    plain = find_voice(tiny_voice)
    filtered = replace(plain, mel_gain=2)
    count = read_tacotron2(plain.tacotron2).config.n_mel_channels
    mel = np.random.default_rng(0).normal(-4, 1, (count, 20)).astype(np.float32)
    gain = MelGain(MelConfig(n_mels=count), 2)

    def in_numpy(voice: Voice) -> Samples:
        return load_cpu_vocoder("waveglow", voice, count)(mel, np.random.default_rng(1))

    def in_torch(voice: Voice) -> Samples:
        generators = [torch.Generator().manual_seed(1)]
        vocoder = load_vocoder("waveglow", voice, count, "cpu")
        return vocoder([torch.from_numpy(mel)], generators)[0].numpy()

    for speak in (in_numpy, in_torch):
        expected = gain(speak(plain), mel)
        tolerance = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(speak(filtered), expected, atol=tolerance)
        assert np.abs(expected - speak(plain)).max() > 100 * tolerance
    own = choose_voice(filtered, waveglow=plain.waveglow)
    assert own.mel_gain == 0, "the filter belongs to the voice's own WaveGlow"


def test_own_checkpoints_and_lexicons(tiny_voice: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_voice, tmp_path / "own")
    (folder / "lexicon.tsv").write_text("hello\tHH AH0 L OW1\n")
    (tmp_path / "mine.tsv").write_text("world\tearth\n")
    voice = replace(find_voice(folder), lexicon=folder / "lexicon.tsv")

    def read(**options: Path) -> str:
        synthesizer = Synthesizer.from_voice(voice, **options)  # type: ignore[arg-type]  # paths
        return synthesizer.frontend.encode("Hello world.").text

    checkpoint = folder / "tacotron2.safetensors"
    assert read() == "{HH AH0 L OW1} world."
    assert read(lexicon=tmp_path / "mine.tsv") == "{HH AH0 L OW1} earth."
    assert read(tacotron2=checkpoint) == "hello world.", "the lexicon belongs to the other model"
    assert read(tacotron2=checkpoint, lexicon=tmp_path / "mine.tsv") == "hello earth."


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sigma": -1.0}, UsageError, "sigma must be a number from 0 to 10, not -1"),
        ({"sigma": float("nan")}, UsageError, "sigma must be"),
        ({"sigma": 1e39}, UsageError, "sigma must be"),
        ({"denoise": float("inf")}, UsageError, "denoise must be"),
        ({"pause": -0.1}, UsageError, "pause must be"),
        ({"vocoder": "hifi-gan"}, UsageError, "no vocoder 'hifi-gan'; use waveglow or griffin-lim"),
        ({"vocoder": "griffin-lim", "sigma": 1.0}, UsageError, "sigma belongs to WaveGlow"),
        ({"precision": "fp16"}, UsageError, "fp16 cannot be used: a CPU runs the models in fp32"),
        ({"precision": "int8"}, UsageError, "int8 cannot be used: no model here is made for it"),
        ({"precision": "fp8"}, UsageError, "no precision 'fp8'; use auto, fp32"),
        ({"device": "gpu"}, UsageError, "no device 'gpu'; use auto, cpu"),
        ({"tacotron2": "/no/where"}, VoiceError, "/no/where: "),
        ({"waveglow": "/no/where"}, VoiceError, "/no/where: "),
        ({"lexicon": "/no/where"}, InputError, "/no/where: "),
    ],
)
def test_refusals(
    tiny_voice: Path, options: dict[str, float], error: type[TTSError], message: str
) -> None:
    with pytest.raises(error, match=message):
        Synthesizer.from_voice(tiny_voice, **options)  # type: ignore[arg-type]  # on purpose


def test_checkpoints_in_each_others_place(tiny_voice: Path) -> None:
    with pytest.raises(VoiceError, match="not a WaveGlow"):
        Synthesizer.from_voice(tiny_voice, waveglow=tiny_voice / "tacotron2.safetensors")
    with pytest.raises(VoiceError, match="not a Tacotron 2"):
        Synthesizer.from_voice(tiny_voice, tacotron2=tiny_voice / "waveglow.safetensors")


def test_checkpoints_that_do_not_fit(tiny_voice: Path, tmp_path: Path) -> None:
    fewer_symbols = Tacotron2(Tacotron2Config(n_symbols=20, attention_rnn_dim=2, decoder_rnn_dim=2))
    save_safetensors(tmp_path / "t", fewer_symbols, "tacotron2")
    with pytest.raises(VoiceError, match="trained on 20 symbols, not on the 148"):
        Synthesizer.from_voice(tiny_voice, tacotron2=tmp_path / "t")
    fewer_mels = WaveGlow(WaveGlowConfig(n_mel_channels=16, n_flows=2, n_layers=1, n_channels=2))
    save_safetensors(tmp_path / "w", fewer_mels, "waveglow")
    with pytest.raises(VoiceError, match="takes 16 mel bins, but the Tacotron 2 makes 80"):
        Synthesizer.from_voice(tiny_voice, waveglow=tmp_path / "w")


@pytest.mark.parametrize(
    ("available", "count", "name", "expected"),
    [
        (True, 2, "auto", "cuda"),
        (True, 2, "cuda:1", "cuda:1"),
        (True, 2, "cuda:2", "there are 2 GPUs, counted from 0"),
        (False, 0, "auto", "cpu"),
        (False, 0, "cuda", "cannot be used: (torch finds no|this torch was built without)"),
        (True, 2, "cuda:x", "there is no device 'cuda:x'"),
        (True, 2, "cpu:1", "there is no device"),
    ],
)
def test_devices(
    monkeypatch: pytest.MonkeyPatch, available: bool, count: int, name: str, expected: str
) -> None:
    monkeypatch.setattr(devices, "_has_nvidia_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if " " not in expected:
        assert choose_device(name) == expected
    else:
        with pytest.raises(UsageError, match=expected):
            choose_device(name)
