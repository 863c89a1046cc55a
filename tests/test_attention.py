"""The attention check, the retries that follow, and the attention that is held to the order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_cpu_tacotron2 import QUARTER, TINY, check, in_float64, in_numpy, masks, random_model
from test_synthesizer import torch_engine, with_bias

from ttscli import Synthesizer, attention
from ttscli.attention import Attention, worst
from ttscli.checkpoints import load_tacotron2
from ttscli.core.configs import TAIL, WINDOW, Tacotron2Config
from ttscli.core.tacotron2_layers import forward_window
from ttscli.engines import CpuEngine
from ttscli.events import Event, SentenceFailed, SentenceRetried
from ttscli.readings import Engine, Reading, Spoken
from ttscli.text import text_to_sequence
from ttscli.text.frontend import Frontend
from ttscli.voices import find_voice

FRAME = 256 / 22050
TEXT = "He forgot his umbrella, so he waited under a tree."
IDS = text_to_sequence(TEXT, ["english_cleaners"])
ALL = range(len(IDS))


def read(places: Iterable[int], symbols: int = len(IDS), frames: int = 7) -> np.ndarray:
    """An alignment that spends so many frames on each of these places."""
    rows = np.repeat(np.fromiter(places, int), frames)
    soft = np.exp(-((np.arange(symbols) - rows[:, None]) ** 2.0))
    return (soft / soft.sum(1, keepdims=True)).astype(np.float32)


def judged(alignment: np.ndarray, ended: bool = True, ids: list[int] | None = None) -> Attention:
    return attention.check(ids or IDS, alignment, ended, len(alignment) * FRAME)


def test_a_good_reading_passes() -> None:
    found = judged(read(ALL))
    assert found.good and found.ended
    assert (found.coverage, found.skipped, found.unread, found.back) == (1, 0, 0, 0)
    assert found.stall_s == pytest.approx(7 * FRAME, rel=0.4)
    sounds = sum(character.isalpha() for character in TEXT)
    assert found.rate == pytest.approx(sounds / (7 * len(IDS) * FRAME), abs=0.01)


@pytest.mark.parametrize(
    ("places", "frames", "problem"),
    [
        ([*ALL[:-6]], 7, "it stops 4 sounds before the end"),
        ([*ALL[:20], *ALL[30:]], 7, "it skips "),
        ([*ALL[:30], *ALL[22:]], 7, "it goes back 7 symbols"),
        ([*ALL[:20], *[20] * 30, *ALL[20:]], 7, "it stands still for "),
        (ALL, 2, "it is too fast, "),
        (ALL, 24, "it is too slow, "),
        (ALL[:25], 7, "it reads only "),
    ],
)
def test_what_is_wrong_is_named(places: Iterable[int], frames: int, problem: str) -> None:
    problems = judged(read(places, frames=frames)).problems
    assert any(found.startswith(problem) for found in problems), problems


def test_a_reading_that_does_not_stop() -> None:
    assert judged(read(ALL), ended=False).problems == ("it does not stop",)


def test_a_glance_elsewhere_is_no_repeat() -> None:
    alignment = read(ALL)
    alignment[100:103] = np.roll(alignment[100:103], 20, axis=1)
    alignment[200:203] = np.roll(alignment[200:203], -20, axis=1)
    assert judged(alignment).good


def test_noise_does_not_pass() -> None:
    chance = np.random.default_rng(0)
    for _ in range(20):
        alignment = chance.dirichlet(np.full(len(IDS), 0.05), 400).astype(np.float32)
        assert not judged(alignment).good


@pytest.mark.parametrize("text", ["a", "I.", "yes", "no!", "?!?! o"])
def test_the_shortest_texts_pass(text: str) -> None:
    ids = text_to_sequence(text, ["english_cleaners"])
    assert judged(read(range(len(ids)), len(ids), frames=14), ids=ids).good
    assert judged(read([0], len(ids), frames=1), ids=ids).problems


def test_the_worst_of_a_text() -> None:
    good = judged(read(ALL))
    bad = judged(read(ALL[:-6]), ended=False)
    assert worst([good, good]) == good
    both = worst([good, replace(bad, tries=4), replace(bad, tries=2)])
    assert both.problems == bad.problems
    assert (both.ended, both.unread, both.tries) == (False, bad.unread, 4)
    assert both.coverage == bad.coverage < good.coverage == 1


# Attention that is held to the text's order


@pytest.mark.parametrize("symbols", [1, 3, 40])
@pytest.mark.parametrize(
    "config", [TINY, QUARTER, replace(QUARTER, n_frames_per_step=3)], ids=["tiny", "r1", "r3"]
)
def test_constrained_numpy_is_constrained_core(config: Tacotron2Config, symbols: int) -> None:
    model = random_model(config)
    ids = torch.randint(148, (symbols,)).tolist()
    ours = in_numpy(model).infer(ids, masks(5, config.prenet_dim), 70, constrained=True)
    theirs = in_float64(model).infer(
        torch.tensor([ids]), torch.tensor([symbols]), max_steps=70,
        generator=torch.Generator().manual_seed(5), constrained=torch.tensor([True]),
    )  # fmt: skip
    check(ours, theirs)
    places = ours.alignment.argmax(1)
    steps = np.diff(places, prepend=0)
    assert ((steps >= 0) & (steps <= WINDOW)).all()
    with torch.no_grad():
        model.decoder.gate.bias.fill_(-50)
    unbound = in_numpy(model).infer(ids, masks(5, config.prenet_dim), 70).alignment.argmax(1)
    steps = np.diff(unbound, prepend=0)
    assert symbols < 40 or ((steps < 0) | (steps > WINDOW)).any(), "it would leave the window"


@pytest.mark.parametrize("r", [1, 3])
def test_without_a_gate_a_constrained_reading_ends_at_the_end(r: int) -> None:
    """A fixed while behind its last symbol, whatever else there is in the batch."""
    model = random_model(replace(QUARTER, n_frames_per_step=r))
    with torch.no_grad():
        model.decoder.gate.bias.fill_(-50)
    texts = [torch.randint(148, (symbols,)).tolist() for symbols in (9, 1, 4)]
    together = in_numpy(model).infer_together(
        [(ids, masks(n, QUARTER.prenet_dim), True) for n, ids in enumerate(texts)]
    )
    padded = torch.tensor([ids + [0] * (9 - len(ids)) for ids in texts])
    lengths = torch.tensor([len(ids) for ids in texts])
    theirs = in_float64(model).infer(
        padded, lengths, generator=[torch.Generator().manual_seed(n) for n in range(3)],
        constrained=torch.tensor([True] * 3),
    )  # fmt: skip
    for n, (ids, ours) in enumerate(zip(texts, together, strict=True)):
        alone = in_numpy(model).infer(ids, masks(n, QUARTER.prenet_dim), constrained=True)
        np.testing.assert_array_equal(alone.mel, ours.mel)
        assert (ours.length, ours.hit_limit) == (theirs.lengths[n], theirs.hit_limit[n])
        at_the_end = ours.alignment.argmax(1) == len(ids) - 1
        assert ours.hit_limit is not bool(at_the_end.any())
        if not ours.hit_limit:
            assert at_the_end[: ours.length].sum() == -(-TAIL // r) * r
    assert not together[1].hit_limit, "a single symbol is read at once"


def test_a_constrained_row_leaves_others_alone() -> None:
    model = random_model(TINY)
    with torch.no_grad():
        model.decoder.gate.bias.fill_(-50)
    ids = torch.randint(148, (3, 20))
    lengths = torch.tensor([20, 12, 20])

    def infer(constrained: torch.Tensor | None) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(n) for n in range(3)]
        return model.infer(ids, lengths, True, generators, 30, constrained).alignments

    mixed = infer(torch.tensor([False, True, False]))
    for row, all_rows in ((0, None), (2, None), (1, torch.tensor([True] * 3))):
        other = infer(all_rows)[row]
        torch.testing.assert_close(mixed[row, : len(other)], other, atol=1e-6, rtol=0)
        assert not mixed[row, len(other) :].any(), "it had ended"


def test_the_window_begins_where_the_last_step_looked() -> None:
    last = torch.zeros(2, 8)
    last[1, 5] = 1
    mask = torch.ones(2, 8, dtype=torch.bool)
    mask[1, 7] = False
    window = forward_window(last, mask)
    assert window[0].nonzero()[:, 0].tolist() == [0, 1, 2, 3]
    assert window[1].nonzero()[:, 0].tolist() == [5, 6]


# The ladder


class Scripted:
    """Speaks through an engine; what `spoil` says of a reading is what is heard of it."""

    def __init__(self, engine: Engine, spoils: str) -> None:
        self._engine, self._spoils = engine, spoils
        self.readings: list[Reading] = []

    def speak(self, readings: Iterable[Reading], batch_size: int = 1) -> Iterator[Spoken]:
        seen: list[Reading] = []

        def noted() -> Iterator[Reading]:
            for reading in readings:
                seen.append(reading)
                self.readings.append(reading)
                yield reading

        for index, spoken in enumerate(self._engine.speak(noted(), batch_size)):
            yield replace(spoken, finished=not self._is_spoilt(seen[index]))

    def _is_spoilt(self, reading: Reading) -> bool:
        raw = len(reading.seed.spawn_key) == 1 and not reading.constrained
        long = len(reading.ids) > 30
        other_seed = reading.seed.spawn_key[1:] == (3,)
        return {
            "first": raw,
            "all but the second seed": long and not other_seed,
            "unconstrained": long and not reading.constrained,
            "long": long,
            "all": True,
        }[self._spoils]


def spoken_by(voice: Path, spoils: str, **options: object) -> tuple[Synthesizer, list[Event]]:
    events: list[Event] = []
    tts = Synthesizer.from_voice(voice, device="cpu", on_event=events.append)
    return Synthesizer(
        Scripted(tts.engine, spoils), tts.frontend, on_event=events.append, **options
    ), events  # type: ignore[arg-type]  # options of a synthesizer


SEEDS = ["another seed"] * 2


@pytest.mark.parametrize(
    ("spoils", "ways"),
    [
        ("first", SEEDS[:1]),
        ("all but the second seed", SEEDS),
        ("unconstrained", [*SEEDS, "constrained attention"]),
        ("long", [*SEEDS, "constrained attention", "two parts"]),
    ],
)
def test_each_rung_is_climbed_in_turn(tiny_voice: Path, spoils: str, ways: list[str]) -> None:
    tts, events = spoken_by(tiny_voice, spoils)
    speech = tts(TEXT, seed=3)
    retried = [event for event in events if isinstance(event, SentenceRetried)]
    assert [event.way for event in retried] == ways
    assert all(event.problems == ("it does not stop",) for event in retried)
    assert speech.failed == ()
    expected = len(ways) + 1 + (spoils == "long")  # the two parts are two
    assert speech.sentences[0].attention.tries == expected


def test_two_parts_are_a_clause_each_and_one_sentence(tiny_voice: Path) -> None:
    tts, _ = spoken_by(tiny_voice, "long")
    speech = tts(TEXT)
    engine = tts.engine
    assert isinstance(engine, Scripted)
    parts = [list(reading.ids) for reading in engine.readings[-2:]]
    said = [text_to_sequence(part, ["english_cleaners"]) for part in TEXT.split(", ")]
    assert parts == [[*said[0], *text_to_sequence(",", [])], said[1]]
    [sentence] = speech.sentences
    assert (sentence.text, sentence.samples) == (TEXT, len(speech.samples))
    assert sentence.attention.coverage == 1
    singles = [next(engine._engine.speak([reading])) for reading in engine.readings[-2:]]
    np.testing.assert_array_equal(
        speech.samples, np.concatenate([spoken.samples for spoken in singles])
    )


def test_without_a_clause_it_is_cut_at_a_space(tiny_voice: Path) -> None:
    tts, _ = spoken_by(tiny_voice, "long")
    tts("he waited under a tree and read it twice")
    engine = tts.engine
    assert isinstance(engine, Scripted)
    first, second = (list(reading.ids) for reading in engine.readings[-2:])
    assert first == text_to_sequence("he waited under a tree,", ["english_cleaners"])
    assert second == text_to_sequence("and read it twice.", ["english_cleaners"])


def test_what_fails_in_every_way_is_reported(tiny_voice: Path) -> None:
    tts, events = spoken_by(tiny_voice, "all")
    speech = tts(TEXT)
    [failed] = [event for event in events if isinstance(event, SentenceFailed)]
    assert failed.problems == speech.failed[0].attention.problems == ("it does not stop",)
    assert failed.tries == speech.failed[0].attention.tries > 4
    assert failed.duration_s == speech.duration > 1, "what there is is heard all the same"


@pytest.mark.parametrize("spoils", ["first", "unconstrained", "long"])
def test_retries_are_the_same_in_any_batch(tiny_voice: Path, spoils: str) -> None:
    texts = [TEXT, "One.", f"Two. {TEXT} Three.", TEXT]
    singles = [spoken_by(tiny_voice, spoils)[0](text, seed=4) for text in texts]
    for batch_size in (1, 3):
        tts, _ = spoken_by(tiny_voice, spoils)
        mapped = list(tts.map(texts, seed=4, batch_size=batch_size))
        for speech, single in zip(mapped, singles, strict=True):
            assert speech.sentences == single.sentences
            np.testing.assert_array_equal(speech.samples, single.samples)


def test_retries_change_no_other_sentence(tiny_voice: Path) -> None:
    plain = Synthesizer.from_voice(tiny_voice, device="cpu")(f"One. {TEXT} Two.", seed=1)
    retried = spoken_by(tiny_voice, "long")[0](f"One. {TEXT} Two.", seed=1)
    for index in (0, 2):
        one, other = (
            s.samples[s.sentences[index].start :][: s.sentences[index].samples]
            for s in (plain, retried)
        )
        np.testing.assert_array_equal(one, other)


def test_torch_climbs_the_same_ladder(tiny_voice: Path) -> None:
    tts, events = spoken_by(tiny_voice, "unconstrained")
    ours = Synthesizer(
        Scripted(torch_engine(tiny_voice), "unconstrained"), tts.frontend, on_event=events.append
    )
    mapped = list(ours.map([TEXT, "One."], seed=2, batch_size=2))
    ways = [event.way for event in events if isinstance(event, SentenceRetried)]
    assert ways == [*SEEDS, "constrained attention"]
    assert not any(speech.failed for speech in mapped)


def test_a_gate_that_fires_too_soon_is_mended_by_the_window(
    tiny_voice: Path, tmp_path: Path
) -> None:
    """A real failure, of a real model: its gate would end each text at its first frame."""
    voice = with_bias(tiny_voice, tmp_path, "gate", 1000)
    events: list[Event] = []
    tts = Synthesizer.from_voice(voice, device="cpu", on_event=events.append)
    speech = tts("He waited under a tree.")
    retried = [event for event in events if isinstance(event, SentenceRetried)]
    assert [event.way for event in retried][:3] == [*SEEDS, "constrained attention"]
    assert any("before the end" in problem for problem in retried[0].problems)
    found = speech.sentences[0].attention
    assert found.unread <= WINDOW and found.skipped <= WINDOW and found.coverage > 0.8


@pytest.fixture(scope="module")
def endless() -> Synthesizer:
    """The built-in voice with a gate that never fires."""
    tts = Synthesizer.from_voice("small", device="cpu")
    assert isinstance(tts.engine, CpuEngine)
    tts.engine.tacotron2.decoder.bias[-1] = -1000
    return tts


@pytest.mark.parametrize("text", ["Yes.", TEXT, "The rule became general as regards the dress"])
def test_a_gate_that_never_fires_is_mended_by_the_window(endless: Synthesizer, text: str) -> None:
    events: list[Event] = []
    endless.on_event = events.append
    healthy = Synthesizer.from_voice("small", device="cpu")(text)
    [sentence] = endless(text).sentences
    retried = [event for event in events if isinstance(event, SentenceRetried)]
    assert [event.way for event in retried] == [*SEEDS, "constrained attention"]
    assert all("it does not stop" in event.problems for event in retried)
    assert sentence.attention.good and sentence.attention.tries == 4
    assert sentence.attention.unread == 0
    assert abs(sentence.samples / 22050 - healthy.duration) < TAIL * FRAME + 0.2


def test_torch_ends_without_a_gate_too() -> None:
    voice = find_voice("small")
    model = load_tacotron2(voice.tacotron2)
    with torch.no_grad():
        model.decoder.gate.bias.fill_(-1000)
    frontend = Frontend.open(voice.cleaners, voice.lexicon)
    texts = [frontend.encode(text).ids for text in (TEXT[:20], "Yes.")]
    rows = torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, texts)), batch_first=True)
    output = model.infer(
        rows, torch.tensor([len(ids) for ids in texts]), constrained=torch.tensor([True, True])
    )
    assert not output.hit_limit.any()
    for ids, length, weights in zip(texts, output.lengths, output.alignments, strict=True):
        alignment = weights[:length, : len(ids)].numpy()
        assert judged(alignment, ids=ids).good
        assert (alignment.argmax(1) == len(ids) - 1).sum() == TAIL


def test_what_is_hopeless_is_not_tried_for_ever(tiny_voice: Path) -> None:
    tts, _ = spoken_by(tiny_voice, "all")
    long = f"{TEXT[:-1]}, and {TEXT[0].lower()}{TEXT[1:-1]} until it was dark, and then he left."
    [sentence] = tts(long).sentences
    engine = tts.engine
    assert isinstance(engine, Scripted)
    assert sentence.attention.tries == len(engine.readings) == 16
