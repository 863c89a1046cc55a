"""Text to ids: equal to NVIDIA's, in input order, light to import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ttscli.errors import UsageError
from ttscli.text import prepare_input_sequence, text_to_sequence
from ttscli.text.symbols import FIRST_SOUND, SYMBOL_TO_ID, SYMBOLS

ENGLISH = ["english_cleaners"]


def test_symbols_are_nvidias(reference: Path) -> None:
    assert json.loads((reference / "symbols.json").read_text()) == SYMBOLS


def test_symbols_without_the_reference() -> None:
    assert len(SYMBOLS) == len(set(SYMBOLS)) == 148
    assert [SYMBOL_TO_ID[s] for s in ("_", " ", "A", "z", "@AA", "@ZH")] == [0, 11, 12, 63, 64, 147]
    assert SYMBOLS[FIRST_SOUND:] == [s for s in SYMBOLS if s.strip("@").isalnum()]


def test_ids_are_nvidias(reference: Path) -> None:
    lines = (reference / "text_ids.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) > 100
    wrong = [row["text"] for row in rows if text_to_sequence(row["text"], ENGLISH) != row["ids"]]
    assert not wrong


def test_pronunciations_in_braces() -> None:
    ids = text_to_sequence("on {HH AW1 S} Street", ENGLISH)
    assert "".join(SYMBOLS[i] for i in ids) == "on @HH@AW1@S street"
    assert text_to_sequence("{hh aw1 s}", ENGLISH) == text_to_sequence("{HH AW1 S}", ENGLISH)
    assert text_to_sequence("{a {HH} b}", ENGLISH) == text_to_sequence("a {HH} b", ENGLISH)


def test_unknown_cleaners_are_refused() -> None:
    with pytest.raises(UsageError, match=r"klingon_cleaners.*known: english_cleaners"):
        text_to_sequence("hello", ["klingon_cleaners"])


def test_a_batch_keeps_its_order() -> None:
    texts = ["one", "a longer text", "", "mid one"]
    ids, lengths = prepare_input_sequence(texts)
    assert ids.shape == (4, len("a longer text"))
    assert lengths.tolist() == [len(text) for text in texts]
    for row, length, text in zip(ids.tolist(), lengths.tolist(), texts, strict=True):
        assert row[:length] == text_to_sequence(text, ENGLISH)
        assert not any(row[length:])


def test_an_empty_batch() -> None:
    ids, lengths = prepare_input_sequence([])
    assert ids.shape == (0, 0) and lengths.shape == (0,)


def test_ascii_text_loads_no_heavy_module() -> None:
    program = """
import sys
from ttscli.text import text_to_sequence
from ttscli.text import arpabet, cleaners, frontend, lexicon, sentences
assert text_to_sequence("Dr. Smith paid $3.50 on the 3rd of May, 1984.", ["english_cleaners"])
heavy = {"torch", "numpy", "inflect", "unidecode", "sentencex"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)
