"""The recipe of the built-in voice, on made-up speech: no teacher is needed here."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ttscli.core.configs import MelConfig
from ttscli.core.tacotron2 import Tacotron2
from ttscli.errors import InputError
from ttscli.synthesizer import Synthesizer
from ttscli.text.lexicon import Lexicon
from ttscli.text.symbols import SYMBOL_TO_ID
from ttscli.training import (
    corpus,
    lexicon,
    loop,
    losses,
    making,
    pitch,
    prosody,
    recordings,
    sources,
    tacotron2,
    teacher,
    texts,
    vocoder,
)
from ttscli.training.quality import mels_of, say
from ttscli.voices import find_voice

TOKENS = (
    "grey-haired 0.300 0.500 g,1,0.340;r,1,0.380;ey,1,0.420/hh,1,0.450;d,0,0.500",
    "ann's 0.500 0.800 ae,1,0.600;n,1,0.700/z,0,0.800",
    "the 0.900 1.000 dh,0,0.950;ax,0,1.000",
)
TEXT = "grey-haired ann's, the."


def utterance(text: str = TEXT, f0: float = 170.0) -> teacher.Utterance:
    """1.2 seconds of a buzz that is said to be these words."""
    phase = np.cumsum(np.full(19200, f0 / 16000))
    buzz = sum(np.cos(2 * np.pi * k * phase) for k in range(1, 20)) * 400
    tokens = tuple(teacher.parse_token(token) for token in TOKENS)
    return teacher.Utterance(text, tokens, np.asarray(buzz).astype(np.int16), 16000)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A corpus of one shard with eight utterances."""
    said = [utterance(f0=150 + 10 * i) for i in range(8)]
    folder = tmp_path / "corpus"
    folder.mkdir()
    corpus.write_shard(folder, "000", [TEXT] * 8, lambda *_: said)
    return folder


def test_phones_are_arpabet_with_stress() -> None:
    names = [teacher.arpabet("ax", "0"), teacher.arpabet("ey", "1"), teacher.arpabet("d", "1")]
    assert names == ["AH0", "EY1", "D"]
    assert [teacher.arpabet(name) for name in ("ax0", "iy0", "k")] == ["AH0", "IY0", "K"]


def test_tokens_are_found_in_their_text() -> None:
    tokens = utterance().tokens
    found = teacher.spans(TEXT, tokens)
    assert found is not None
    assert [TEXT[a:b] for a, b in found] == ["grey-haired", "ann's", "the"]
    assert teacher.spans("grey-haired ann's.", tokens) is None


def test_a_record_is_trimmed_to_whole_hops() -> None:
    record, samples = corpus.to_record(utterance(), MelConfig(), 0, 0)
    assert len(samples) == record.samples and record.samples % 256 == 0
    assert record.samples / 22050 == pytest.approx(1.0 - 0.3 + 2 * corpus.SILENCE, abs=256 / 22050)
    assert record.units[0].start == pytest.approx(corpus.SILENCE)


@pytest.mark.parametrize("letters", [0.0, 1.0])
def test_symbols_have_rising_times_and_spell_the_text(letters: float) -> None:
    record, _ = corpus.to_record(utterance(), MelConfig(), 0, 0)
    found = corpus.to_sequence(record, letters, random.Random(0))
    symbols = {number: symbol for symbol, number in SYMBOL_TO_ID.items()}
    spelled = [symbols[number] for number in found.ids]
    phones = [
        "@G",
        "@R",
        "@EY1",
        "-",
        "@HH",
        "@D",
        " ",
        "@AE1",
        "@N",
        "@Z",
        ",",
        " ",
        "@DH",
        "@AH0",
        ".",
    ]
    assert spelled == (list(TEXT) if letters else phones)
    assert len(found.boundaries) == len(found.ids) + 1
    assert (np.diff(found.boundaries) >= 0).all()
    if not letters:  # the Z of "ann's" ends where the teacher ended it
        assert found.boundaries[spelled.index("@Z") + 1] == pytest.approx(0.8 - 0.25)


def test_a_shard_gives_back_what_was_written(speech: Path) -> None:
    read = corpus.Corpus(speech)
    assert len(read) == 8
    for i, record in enumerate(read.records):
        assert read.audio(i).shape == (record.samples,)
        assert read.mel(i).shape == (record.frames, 80)
        _, samples = corpus.to_record(utterance(f0=150 + 10 * i), MelConfig(), 0, 0)
        np.testing.assert_array_equal(read.audio(i), samples.astype(np.float32) / 32768)


def test_pieces_cover_a_line() -> None:
    line = "one, two three; four five six seven, eight. nine ten? eleven"
    for seed in range(20):
        assert " ".join(texts.pieces(line, random.Random(seed))) == line


def test_utterances_are_speakable_and_end() -> None:
    lines = ["he said (softly), never again, and left", "what is this? a line of text"]
    found = texts.utterances(lines, words=5)
    assert len(found) > 6
    assert all(text[-1] in ".?!" or text[-1].isalpha() for text in found)
    assert sum(text[-1] == "." for text in found) > len(found) / 2
    assert found == texts.utterances(lines, words=5)


def test_drills_have_replies() -> None:
    found = texts.drills(["tree"], 200, random.Random(0))
    assert {"yes", "yes, tree", "no"} <= set(found)


def test_lines_that_a_teacher_might_read_differently_are_left_out(tmp_path: Path) -> None:
    listed = tmp_path / "texts.txt"
    listed.write_text('He said "yes".\nAn emoji \U0001f600 here\nMr. Smith -- again.\n', "utf-8")
    assert texts.read_lines(listed) == ["he said yes.", "an emoji here", "mister smith , again."]


def test_the_lexicon_follows_running_speech(speech: Path, tmp_path: Path) -> None:
    said = lexicon.as_in_speech({"the": ("DH", "IY0"), "zoo": ("Z", "UW1")}, corpus.Corpus(speech))
    assert said == {"the": ("DH", "AH0"), "zoo": ("Z", "UW1")}
    lexicon.write(tmp_path / "lexicon.tsv", said)
    mapped = Lexicon.open(tmp_path / "lexicon.tsv")
    assert mapped.lookup("the") == "DH AH0"
    assert mapped.lookup("zoo") == "Z UW1"
    words = lexicon.words_of(["don't stop, ann's cat", "ann"], [])
    assert words == ["ann", "cat", "don't", "stop"]


def test_pulses_are_found_to_the_sample() -> None:
    rate, f0 = 22050, 180.0
    places = np.arange(200, 22050 - 200, rate / f0)
    residual = np.zeros(rate)
    residual[places.round().astype(int)] = 1.0
    guess = 2 * np.pi * f0 * np.arange(rate) / rate + 2.0  # the right rate, the wrong offset
    phase = pitch.pulse_phase(residual, guess, np.ones(rate, bool), rate)
    inner = places[10:-10]
    at_pulses = np.interp(inner, np.arange(rate), phase) / (2 * np.pi)
    assert np.abs(at_pulses - at_pulses.round()).max() * rate / f0 < 1.0


def test_the_pitch_of_a_buzz() -> None:
    pytest.importorskip("parselmouth", reason="the train extra is not installed")
    rate = 22050
    phase = np.cumsum(np.full(rate, 180.0 / rate))
    buzz = sum(np.cos(2 * np.pi * k * phase) for k in range(1, 20)) * 0.02
    found = pitch.analyse(np.asarray(buzz)[: 256 * 80], rate, 256)
    assert found is not None and found.voiced[10:-10].all()
    np.testing.assert_allclose(found.f0[10:-10], 180, rtol=0.01)
    assert pitch.analyse(np.zeros(256 * 40), rate, 256) is None


def test_tacotron2_learns_and_resumes(
    speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(tacotron2.SMALL, encoder_embedding_dim=32, symbols_embedding_dim=32,
                    attention_rnn_dim=32, decoder_rnn_dim=32, prenet_dim=16)  # fmt: skip
    monkeypatch.setattr(tacotron2, "SMALL", small)
    recipe = tacotron2.Recipe(steps=50, postnet_from=20, save_every=10)
    trainer = tacotron2.Trainer(speech, tmp_path, recipe, "cpu")
    trainer.train()
    resumed = tacotron2.Trainer(speech, tmp_path, replace(recipe, steps=100), "cpu")
    assert resumed.state.step == 50
    for name, tensor in trainer.trainee.state_dict().items():
        assert torch.equal(tensor, resumed.trainee.state_dict()[name]), name
    resumed.train()
    first, last = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert last["mel"] < first["mel"]
    assert last["guide"] < first["guide"]
    assert "post" in last and "contrast" in last


def test_contrast_is_lost_by_blur_alone() -> None:
    chance = torch.Generator().manual_seed(0)
    mel = torch.randn(2, 40, 80, generator=chance)
    spoken = torch.ones(2, 40, 1)
    spoken[1, 30:] = 0
    blurred = torch.nn.functional.avg_pool1d(mel.transpose(1, 2), 3, 1, 1).transpose(1, 2)
    assert losses.contrast_loss(mel, mel, spoken) == 0
    assert losses.contrast_loss(mel + 2, mel, spoken) < 1e-5
    assert losses.contrast_loss(blurred, mel, spoken) > 1
    assert losses.contrast_loss(mel * 1.5, mel, spoken) > 1
    past_the_end = torch.where(spoken > 0, mel, 5)
    past_the_end[1, 30:] += torch.randn(10, 80, generator=chance)
    assert losses.contrast_loss(past_the_end, mel, spoken) < 1e-5


def test_contrast_is_taught_to_the_postnet_alone(speech: Path) -> None:
    read, chance = corpus.Corpus(speech), random.Random(0)
    trainee = tacotron2.Trainee(tacotron2.SMALL, torch.full((80,), -5.0))
    batch = tacotron2.collate(read, [0], tacotron2.Recipe(), 2, chance)

    def gradients(weight: float) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(0)
        recipe = tacotron2.Recipe(contrast_weight=weight)
        trainee.zero_grad()
        trainee.losses(batch, recipe, frame_drop=0.2, guide=1.0, postnet=True)[0].backward()
        decoder, postnet = (
            next(module.parameters()).grad
            for module in (trainee.model.decoder.projection, trainee.model.postnet)
        )
        assert decoder is not None and postnet is not None
        return decoder.clone(), postnet.clone()

    (decoder, postnet), (same, other) = gradients(0), gradients(5)
    torch.testing.assert_close(decoder, same)
    assert not torch.allclose(postnet, other)


def add_pitch(speech: Path) -> None:
    """Give the corpus's shard a pitch, and mels that were predicted all too well."""
    frames = [record.frames for record in corpus.Corpus(speech).records]
    np.savez(
        speech / "000.pitch.npz",
        phase=np.zeros(sum(n - 1 for n in frames) * 256, np.float16),
        f0=np.full(sum(frames), 170, np.float32),
        voiced=np.ones(sum(frames), bool),
    )
    np.save(speech / "000.predicted.npy", np.load(speech / "000.mel.npy"))


def test_the_vocoder_learns_and_resumes(speech: Path, tmp_path: Path) -> None:
    add_pitch(speech)
    recipe = vocoder.Recipe(steps=4, pitch_steps=2, crops=2, frames=24, listen_from=0.5)
    trainer = vocoder.Trainer(speech, tmp_path, recipe, "cpu")
    piece = trainer.crops.draw(2, 24, np.random.default_rng(0))
    before = trainer.losses(piece, listen=True)
    trainer.train()
    after = trainer.losses(piece, listen=True)
    assert after["flow"] < before["flow"]
    pitch_net = {name: tensor.clone() for name, tensor in trainer.model.pitch.state_dict().items()}
    resumed = vocoder.Trainer(speech, tmp_path, replace(recipe, steps=5), "cpu")
    assert resumed.state.step == 4
    resumed.train()
    for name, tensor in resumed.model.pitch.state_dict().items():
        assert torch.equal(tensor, pitch_net[name]), name


def test_crops_are_of_predicted_mels_as_often_as_asked(speech: Path) -> None:
    add_pitch(speech)
    np.save(speech / "000.predicted.npy", np.full_like(np.load(speech / "000.mel.npy"), 7))
    crops = vocoder.Crops(speech, predicted=0.25)
    mels = crops.draw(400, 24, np.random.default_rng(0)).mel
    assert (mels == 7).all((1, 2)).float().mean() == pytest.approx(0.25, abs=0.08)


def test_a_predicted_mel_is_what_the_model_says_to_the_true_past(
    speech: Path, tmp_path: Path
) -> None:
    model = Tacotron2(replace(tacotron2.SMALL, prenet_dim=16)).eval()
    tacotron2.predict_shard(speech, "000", model)
    read = corpus.Corpus(speech)
    predicted = [read.mel_of([np.load(speech / "000.predicted.npy")], i) for i in range(len(read))]
    assert [mel.shape for mel in predicted] == [read.mel(i).shape for i in range(len(read))]
    recipe, chance = tacotron2.Recipe(), random.Random(0)
    batch = tacotron2.collate(read, [0, 1], recipe, 2, chance)
    masks = torch.ones(batch.positions.shape[1], 2, 2, 16)
    with torch.no_grad():
        forced = tacotron2.teacher_forced(model, batch, masks, 0.0)
        one = tacotron2.Batch(*(tensor[:1] for tensor in vars(batch).values()))
        alone = tacotron2.teacher_forced(model, one, masks[:, :1], 0.0)
    torch.testing.assert_close(forced.mel[:1], alone.mel)


@dataclass(frozen=True)
class Buzzes:
    """A source whose speech is a buzz."""

    name = "a buzz"
    credit = ""

    def fingerprint(self) -> str:
        return "buzz"

    def items(self) -> list[str]:
        return [TEXT] * 8

    def speak(self, items: Sequence[str], scratch: Path) -> list[teacher.Utterance]:
        return [utterance(text, 150 + 10 * i) for i, text in enumerate(items)]

    def pronunciations(self, said: corpus.Corpus, scratch: Path) -> sources.Pronunciations:
        return {"the": ("DH", "AH0")}


def test_a_voice_is_made_in_stages_and_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("parselmouth")
    order = making.Order(
        Buzzes(),
        tmp_path / "voice",
        start=find_voice("small"),
        tacotron2=tacotron2.Recipe(steps=2, postnet_from=1),
        vocoder=vocoder.Recipe(steps=2, pitch_steps=1, crops=1, frames=24, listen_from=0.5),
    )
    told: list[tuple[str, int, int]] = []
    facts = making.make_voice(order, tmp_path / "work", lambda *progress: told.append(progress))
    stages = ["speech", "Tacotron 2", "pitch", "predicted mels", "vocoder"]
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == stages
    assert (facts.utterances, facts.offered, facts.start) == (8, 8, "small")
    made = find_voice(tmp_path / "voice")
    speech = Synthesizer.from_voice(made)
    assert speech.frontend.encode("the").text == "{DH AH0}."

    told.clear()
    assert making.make_voice(order, tmp_path / "work", lambda *now: told.append(now)) == facts
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == stages
    assert all(done == total for _, done, total in told)
    monkeypatch.setattr(Buzzes, "fingerprint", lambda self: "other")
    with pytest.raises(InputError, match="other texts"):
        making.make_voice(order, tmp_path / "work", ignore_progress)


class Misfits(Buzzes):
    """A source whose speech does not fit its text."""

    def speak(self, items: Sequence[str], scratch: Path) -> list[teacher.Utterance]:
        return []


def test_speech_of_which_nothing_can_be_used_is_an_error(tmp_path: Path) -> None:
    order = making.Order(Misfits(), tmp_path / "voice")
    with pytest.raises(InputError, match="none of the speech could be aligned"):
        making.make_voice(order, tmp_path / "work", ignore_progress)


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


def test_blurring_keeps_a_flat_mel_and_smears_a_line() -> None:
    chance = np.random.default_rng(0)
    flat = torch.full((1, 80, 30), -3.0)
    line = flat.clone()
    line[:, 40] = 3.0
    blurred = vocoder.blurred(line, chance)
    assert blurred.shape == line.shape
    assert float(blurred[:, 40].mean()) < 3.0
    assert float((vocoder.blurred(flat, chance) - flat).abs().mean()) < 0.3


def test_the_mel_distance_is_zero_for_equals_only() -> None:
    audio = torch.randn(1, 8192) * 0.1
    distance = vocoder.MelDistance()
    assert float(distance(audio, audio)) == 0
    assert float(distance(audio, audio * 0.5)) > 0.1


def test_the_rate_rises_holds_and_falls() -> None:
    schedule = loop.Schedule(peak=1.0, end=0.01, steps=1000, hold=0.5, warmup=10)
    assert schedule.rate(0) == pytest.approx(0.1)
    assert schedule.rate(300) == 1.0
    assert schedule.rate(750) == pytest.approx(0.1)
    assert schedule.rate(1000) == pytest.approx(0.01)


@pytest.mark.slow
def test_the_teacher_speaks(tmp_path: Path) -> None:
    try:
        program = teacher.build(tmp_path)
    except teacher.TTSError as error:
        pytest.skip(str(error))
    spoken = teacher.speak(program, ["hello world."], tmp_path)
    assert [token.text for token in spoken[0].tokens] == ["hello", "world"]
    assert [p.symbol for p in spoken[0].tokens[0].words[0]] == ["HH", "AH0", "L", "OW1"]
    assert teacher.look_up(program, ["kennedy"], tmp_path).phones["kennedy"][:2] == ("K", "EH1")


def recorded(folder: Path, *lines: str) -> Path:
    """A folder in LJ Speech's layout, with an empty recording."""
    (folder / "wavs").mkdir(parents=True)
    soundfile.write(folder / "wavs" / "one.wav", np.zeros(2205), 22050)
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def test_recordings_are_listed_with_what_is_spoken(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "mine", "one|Dr. No|Doctor No.", "", "one|Mr. X")
    found = recordings.read_metadata(folder)
    assert [recording.text for recording in found] == ["doctor no.", "mister x"]


@pytest.mark.parametrize("line", ["one", "two|There is no such file."])
def test_a_bad_list_of_recordings_is_refused_by_line(tmp_path: Path, line: str) -> None:
    folder = recorded(tmp_path / "mine", "one|Fine.", line)
    with pytest.raises(InputError, match=r"metadata.csv:2"):
        recordings.read_metadata(folder)


def test_recordings_are_aligned(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    text = "The quick brown fox jumps over the lazy dog, and then it sleeps."
    speech = Synthesizer.from_voice("small")(text)
    folder = recorded(tmp_path / "mine", f"one|{text}", "one|Zzyzx qqq is not in the lexicon.")
    speech.save(folder / "wavs" / "one.wav")
    lexicon_path = find_voice("small").lexicon
    assert lexicon_path is not None
    found = recordings.align(lexicon_path, recordings.read_metadata(folder), tmp_path)
    assert [said.text for said in found] == [text.lower()]
    assert [token.text for token in found[0].tokens] == [
        w.strip(",.") for w in text.lower().split()
    ]
    ends = np.array([token.end for token in found[0].tokens])
    timed = np.array([word.end / speech.sample_rate for word in speech.words])
    assert np.median(np.abs(ends - timed)) < 0.06


def test_a_voice_is_as_near_to_its_teacher_as_it_is() -> None:
    pytest.importorskip("dtw")
    pytest.importorskip("parselmouth")
    rate = MelConfig().sample_rate
    phase = np.cumsum(np.full(rate, 150 / rate))

    def buzz(factor: float, loudness: float) -> prosody.Floats:
        waves = sum(np.cos(2 * np.pi * k * phase * factor) for k in range(1, 20))
        return (np.pad(waves, (2000, 2000)) * loudness / 40).astype(np.float32)

    mine, theirs = buzz(1.1, 1.0), buzz(1.0, 0.5)
    mels = mels_of([mine, theirs])
    near = prosody.compare([mine], [theirs], mels[:1], mels[1:])
    assert near.duration == 1
    assert near.f0_error == pytest.approx(np.log(1.1), abs=0.01)
    assert near.f0_bias == pytest.approx(np.log(1.1), abs=0.01)
    assert near.spectrum_error > 5
    assert near.silence < -100
    same = prosody.compare([mine], [mine], mels[:1], mels[:1])
    assert (same.f0_error, same.voicing_error, same.spectrum_error) == (0, 0, 0)


def test_quality_hears_what_the_synthesizer_says(tiny_voice: Path) -> None:
    tts = Synthesizer.from_voice(tiny_voice, device="cpu")
    text = "He paid $1.5 million for it, and " + "it was a rather long story, " * 12 + "he said. Ok"
    speech = tts(text, seed=5)
    pieces = say(tts, text, seed=5).pieces
    assert len(pieces) == len(speech.sentences) > 2
    for piece, sentence in zip(pieces, speech.sentences, strict=True):
        spoken = speech.samples[sentence.start :][: sentence.samples]
        np.testing.assert_array_equal(piece.samples, spoken)
