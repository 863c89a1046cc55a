"""How often speech fails the attention check, what retries mend, and what the check misses."""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ttscli import Synthesizer
from ttscli.audio import Samples
from ttscli.engines import CpuEngine
from ttscli.events import Event, SentenceRetried
from ttscli.training import quality

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TWISTERS = (
    "She sells sea shells by the sea shore.",
    "Peter Piper picked a peck of pickled peppers.",
    "How much wood would a woodchuck chuck if a woodchuck could chuck wood?",
    "Red lorry, yellow lorry, red lorry, yellow lorry.",
    "The sixth sick sheikh's sixth sheep's sick.",
    "Unique New York, you know you need unique New York.",
    "Six slippery snails slid slowly seaward.",
    "Betty Botter bought some butter, but she said the butter's bitter.",
    "Which wristwatches are Swiss wristwatches?",
)
LONGEST = 400  # characters
RUNGS = {
    "the raw model": None,
    "other seeds": "constrained attention",
    "constrained attention": "two parts",
}
"""Each rung, and what is tried next if it was in vain."""


@dataclass(frozen=True)
class Said:
    """A text, spoken."""

    kind: str
    """What sort of text it is."""
    text: str
    """The text."""
    ways: frozenset[str]
    """How it was tried again."""
    failed: bool
    """Whether it failed in every way."""
    problems: tuple[str, ...]
    """What was wrong at first, or is at last."""
    seconds: float
    """Length of the speech."""
    samples: Samples | None
    """The speech, if it is to be listened to."""


def texts_of(lines: Sequence[str], count: int) -> list[tuple[str, str]]:
    """Texts, each with its kind: a half of them ordinary lines, the others hostile."""
    chance = random.Random(0)
    words = sorted({word for line in lines for word in re.findall(r"\b[A-Za-z][a-z']+", line)})

    def line() -> str:
        return chance.choice(lines)

    def long() -> str:
        text = line()
        while len(text) < LONGEST * 3 // 4:
            text += " " + line()
        return text

    kinds: dict[str, tuple[int, Callable[[], str]]] = {
        "ordinary": (55, line),
        "one word": (10, lambda: chance.choice(words)),
        "one letter": (3, lambda: chance.choice(LETTERS + LETTERS.upper())),
        "all capitals": (5, lambda: line().upper()),
        "digits": (5, lambda: str(chance.randrange(10 ** chance.randint(1, 15)))),
        "no punctuation": (5, lambda: re.sub(r"[^A-Za-z' ]", " ", line())),
        "a word 50 times": (3, lambda: " ".join([chance.choice(words)] * 50)),
        "tongue twister": (3, lambda: chance.choice(TWISTERS)),
        "one character": (2, lambda: chance.choice(LETTERS) * chance.randint(2, 40)),
        "odd end": (3, lambda: line().rstrip(".,;:!?") + chance.choice(["?!?!", "...", " ", ";"])),
        "list": (3, lambda: ", ".join(chance.choices(words, k=chance.randint(3, 30)))),
        "long": (3, long),
    }
    order = [name for name, (share, _) in kinds.items() for _ in range(share)]
    names = (order[i % len(order)] for i in range(count))
    return [(name, kinds[name][1]()[:LONGEST]) for name in names]


def harm(tts: Synthesizer, amount: float) -> None:
    """Put noise on what tells the attention where it was, as a share of that: it then gets lost."""
    assert isinstance(tts.engine, CpuEngine)
    location = tts.engine.tacotron2.decoder.location
    noise = np.random.default_rng(0).standard_normal(location.shape, np.float32)
    location += amount * location.std() * noise


def speak(tts: Synthesizer, texts: Sequence[tuple[str, str]], kept: Container[int]) -> list[Said]:
    """All the texts through the check and the ladder; the samples of some are kept."""
    retries: list[SentenceRetried] = []

    def note(event: Event) -> None:
        if isinstance(event, SentenceRetried):
            retries.append(event)

    tts.on_event = note
    said = []
    spoken = tts.map((text for _, text in texts), batch_size=8)
    for index, ((kind, text), speech) in enumerate(zip(texts, spoken, strict=True)):
        problems = [problem for event in retries[:1] for problem in event.problems]
        problems += [problem for s in speech.failed for problem in s.attention.problems]
        ways = frozenset(event.way for event in retries)
        samples = speech.samples if index in kept else None
        failed = bool(speech.failed)
        said.append(Said(kind, text, ways, failed, tuple(problems), speech.duration, samples))
        retries.clear()
    return said


def failing(said: Sequence[Said]) -> dict[str, int]:
    """Texts that fail after each rung."""
    counts = {
        rung: sum(bool(one.ways) if then is None else then in one.ways for one in said)
        for rung, then in RUNGS.items()
    }
    return counts | {"two parts": sum(one.failed for one in said)}


def heard(said: Sequence[Said]) -> tuple[list[float], list[float]]:
    """Shares of each text's words that an offline listener misses, and does not get right."""
    import jiwer

    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(quality.transcribe, [one.samples for one in said]))
    missing, wrong = [], []
    for one, words in zip(said, found, strict=True):
        wanted = quality.plain_words(one.text)
        result = jiwer.process_words(wanted, quality.plain_words(words))
        total = len(wanted.split())
        missing.append(result.deletions / total)
        wrong.append(1 - result.hits / total)
    return missing, wrong


def main() -> None:
    """Speak, count, listen."""
    parser = argparse.ArgumentParser(description=__doc__)
    evaluation = Path(quality.__file__).with_name("evaluation.txt")
    parser.add_argument("texts", nargs="?", type=Path, default=evaluation, help="a line a text")
    parser.add_argument("--voice", default="small")
    parser.add_argument("--count", type=int, default=1000, help="texts to speak")
    parser.add_argument("--listen", type=int, default=60, help="texts that are listened to")
    parser.add_argument("--harm", type=float, default=0, help="noise on the attention's memory")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    options = parser.parse_args()

    lines = [line for line in options.texts.read_text("utf-8").split("\n") if line.strip()]
    tts = Synthesizer.from_voice(options.voice, device="cpu")
    if options.harm:
        harm(tts, options.harm)
    started = time.process_time()
    texts = texts_of(lines, options.count)
    candidates = [i for i, (_, text) in enumerate(texts) if len(text.split()) > 2]
    kept = random.Random(1).sample(candidates, min(options.listen, len(candidates)))
    said = speak(tts, texts, set(kept))
    seconds = time.process_time() - started
    speech = sum(one.seconds for one in said)
    counts = failing(said)
    sample = [said[index] for index in kept if not said[index].failed]
    missing, wrong = heard(sample) if sample else ([], [])
    half_missing = sum(share > 0.5 for share in missing)
    half_wrong = sum(share > 0.5 for share in wrong)
    if options.json:
        facts = {"texts": len(said), "failing": counts, "speech_s": speech, "cpu_s": seconds}
        facts |= {"listened": len(sample), "half_missing": half_missing, "half_wrong": half_wrong}
        facts["retried"] = [[one.kind, one.text, one.problems] for one in said if one.ways]
        print(json.dumps(facts))  # noqa: T201 - the result
        return
    console = Console()
    table = Table(title=f"{options.voice}, {len(said)} texts, {speech / 60:.0f} min of speech")
    for heading in ("after", "failing", "%"):
        table.add_column(heading, justify="right" if heading != "after" else "left")
    for rung, count in counts.items():
        table.add_row(rung, str(count), f"{100 * count / len(said):.1f}")
    console.print(table)
    for (kind, problem), count in Counter(
        (one.kind, re.sub(r"[\d.]+", "N", problem)) for one in said for problem in one.problems[:1]
    ).most_common(12):
        console.print(f"{count:4} {kind}: {problem}", highlight=False)
    console.print(
        f"{seconds:.0f} CPU seconds. Of {len(sample)} that passed the listener misses over half "
        f"of the words in {half_missing}, and gets over half of them wrong in {half_wrong}"
    )
    for one, share, bad in zip(sample, missing, wrong, strict=True):
        if bad > 0.5:
            console.print(f"  {share:.0%} missing, {bad:.0%} wrong: {one.kind}: {one.text:.70}")


if __name__ == "__main__":
    main()
