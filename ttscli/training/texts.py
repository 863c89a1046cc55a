"""What the teacher is asked to say: pieces of a text list, from single words to whole sentences."""

from __future__ import annotations

import random
import re
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ttscli.text.cleaners import english_cleaners
from ttscli.text.normalize.words import number, one_by_one, ordinal
from ttscli.text.symbols import SYMBOL_TO_ID

_CLAUSE_END = re.compile(r"(?<=[,.;:!?])\s+")
_TARGETS = (20, 30, 45, 60, 80, 100, 140, 1000)  # characters at which a piece is long enough
_QUOTES = re.compile(r'["\[\]]')
_REPLIES = (
    "yes no oh okay well yeah yep hello hi hey please sorry thanks welcome ready done sure right"
    " wow good great stop wait go start you your year yesterday young yet use i it's"
).split()
_SPEAKABLE = re.compile(r"[a-z' ,.;:!?()-]*[a-z][a-z' ,.;:!?()-]*")


def read_lines(path: Path) -> list[str]:
    """The lines of a text list, cleaned as the front end cleans its input, unusable ones left out.

    A line is unusable when it holds characters other than letters and punctuation: a teacher with a
    front end of its own might read those differently from ours.
    """
    lines = (english_cleaners(line) for line in path.read_text("utf-8").split("\n"))
    cleaned = (" ".join(_QUOTES.sub("", line).replace("--", ", ").split()) for line in lines)
    return [line for line in cleaned if _SPEAKABLE.fullmatch(line)]


def pieces(line: str, chance: random.Random) -> list[str]:
    """Cut a line at clause ends into pieces of very different lengths that cover all of it."""
    found: list[str] = []
    target = 0
    for clause in _CLAUSE_END.split(line):
        if found and len(found[-1]) + len(clause) < target:
            found[-1] += " " + clause
        else:
            found.append(clause)
            target = chance.choice(_TARGETS)
    return found


def word_run(line: str, chance: random.Random) -> str:
    """A few words in a row from anywhere in the line."""
    words = line.split()
    count = min(len(words), chance.randint(1, 5))
    start = chance.randrange(len(words) - count + 1)
    return " ".join(words[start : start + count])


def finish(piece: str, chance: random.Random) -> str:
    """Trim a piece and end it with a stop, but for one in ten."""
    piece = piece.strip(" ,;:'-")
    if piece.count("(") != piece.count(")"):
        piece = piece.replace("(", "").replace(")", "").strip()
    if piece and piece[-1] not in ".?!" and chance.random() > 0.1:
        piece += "."
    return piece


def drills(words: Sequence[str], count: int, chance: random.Random) -> list[str]:
    """Short texts of kinds that prose hardly has, `count` of each kind.

    Spelled letters, numbers, questions, exclamations, lists, words said over and over, replies.

    Args:
        words: to draw from, in order of how common they are.
        count: of each kind.
        chance: what draws.
    """

    def some(least: int, most: int) -> list[str]:
        """A few words, common ones more often."""
        few = min(len(words), 40 * 2 ** chance.randint(0, 8))
        return [chance.choice(words[:few]) for _ in range(chance.randint(least, most))]

    def spoken_number() -> str:
        """A number in words: a count, a decimal, an ordinal, or digits one by one."""
        digits = str(chance.randrange(10 ** chance.randint(1, 7)))
        kinds = (number, number, one_by_one, ordinal, lambda whole: number(f"{whole}.{digits[:2]}"))
        return chance.choice(kinds)(digits)

    found = list(string.ascii_lowercase)
    for _ in range(count):
        found.append(" ".join(chance.choices(string.ascii_lowercase, k=chance.randint(1, 5))))
        found.append(" ".join([*some(0, 3), spoken_number(), *some(0, 3)]))
        found.append(" ".join(some(1, 7)) + "?")
        found.append(" ".join(some(1, 4)) + "!")
        found.append(", ".join([*some(2, 5), f"and {some(1, 1)[0]}"]))
        found.append(chance.choice((" ", ", ")).join(some(1, 2) * chance.randint(2, 12)))
        found.append(chance.choice((" ", ", ")).join([chance.choice(_REPLIES), *some(0, 5)]))
    return found


def utterances(
    lines: Sequence[str], *, words: int = 6000, drilled: int = 800, seed: int = 0
) -> list[str]:
    """What the teacher says for these lines, shuffled: pieces, runs of words, words, and drills.

    Args:
        lines: cleaned lines of text.
        words: how many of the most common words are also said alone.
        drilled: texts of each kind of `drills`.
        seed: of the cuts and the order.
    """
    chance = random.Random(seed)
    found = [piece for line in lines for piece in pieces(line, chance)]
    found += [word_run(line, chance) for line in lines]
    counts = Counter(re.findall(r"[a-z]+(?:'[a-z]+)*", " ".join(lines)))
    common = [word for word, _ in counts.most_common(words)]
    found += [*common, *drills(common, drilled, chance)]
    finished = dict.fromkeys(finish(piece, chance) for piece in found)
    kept = [text for text in finished if any(c.isalpha() for c in text) and len(text) < 400]
    assert all(character in SYMBOL_TO_ID for text in kept for character in text)
    chance.shuffle(kept)
    return kept
