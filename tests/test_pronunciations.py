"""The built-in voice's lexicon: corrections, inflections, the words that the normaliser says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ttscli.text.lexicon import Lexicon
from ttscli.text.symbols import PHONES
from ttscli.training import lexicon
from ttscli.training.inflections import regular
from ttscli.voices import find_voice

CORRECTIONS = Path(lexicon.__file__).with_name("corrections.tsv")
CASES = Path(__file__).with_name("normalizer_cases.tsv")
WITHOUT_VOWEL = {"psst", "sh"}
FOREIGN = {"bei", "jing", "notit"}  # transliterated, and a typing error


@pytest.fixture(scope="module")
def small() -> Lexicon:
    path = find_voice("small").lexicon
    assert path is not None
    return Lexicon.open(path)


def test_corrections_are_sorted_words_of_known_phones_with_one_stress() -> None:
    lines = CORRECTIONS.read_text("utf-8").splitlines()
    words = [line.partition("\t")[0] for line in lines]
    assert words == sorted(set(words))
    for word, phones in lexicon.read(CORRECTIONS).items():
        assert set(phones) <= set(PHONES), word
        assert (sum(phone[-1] == "1" for phone in phones) == 1) != (word in WITHOUT_VOWEL), word


def test_the_built_in_voice_knows_the_corrections(small: Lexicon) -> None:
    for word, phones in lexicon.corrections().items():
        assert small.lookup(word) == " ".join(phones), word


def test_the_built_in_voice_knows_what_the_normalizer_says(small: Lexicon) -> None:
    cases = [line for line in CASES.read_text("utf-8").splitlines() if line[:1] not in ("", "#")]
    said = " ".join(line.partition("\t")[2] for line in cases).lower()
    words = set(re.findall(r"[a-z]{2,}(?:'[a-z]+)?", said))
    assert {word for word in words if small.lookup(word) is None} <= FOREIGN


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("misess", "M IH1 S IH0 Z"),
        ("sh", "SH"),
        ("github", "G IH1 T HH AH1 B"),
        ("login", "L AO1 G IH1 N"),
        ("milliseconds", "M IH1 L AH0 S EH1 K AH0 N D Z"),
        ("pounds", "P AW1 N D Z"),
        ("stepmothers", "S T EH1 P M AH1 DH ER0 Z"),
        ("recording", "R AH0 K AO1 R D IH0 NG"),
    ],
)
def test_words_of_the_built_in_voice(small: Lexicon, word: str, phones: str) -> None:
    assert small.lookup(word) == phones


def test_guessed_inflections_are_said_like_words_that_are_known() -> None:
    known = {
        "bus": "B AH1 S", "city": "S IH1 T IY0", "adder": "AE1 D ER0", "phone": "F OW1 N",
        "plod": "P L AA1 D", "dog": "D AO1 G", "natural": "N AE1 CH ER0 AH0 L",
        "wild": "W AY1 L D", "separate": "S EH1 P R AH0 T", "record": "R EH1 K ER0 D",
        "close": "K L OW1 S", "press": "P R EH1 S", "mew": "M Y UW1", "vote": "V OW1 T",
        "slav": "S L AA1 V", "slave": "S L EY1 V", "levi": "L IY1 V AY0",
    }  # fmt: skip
    guessed = {
        "buses": "B Y UW1 S", "cities": "S AY1 T S", "adders": "AE1 ER0 Z", "phoned": "F AH1 D",
        "plodding": "P L AA1 IH0 NG", "dogs": "D AO1 G S", "naturally": "N AH0 CH",
        "wildness": "W IH0 L N AH0 S", "voted": "V AH0 D",
        # rightly or at least not surely wrong:
        "separating": "S EH1 P ER0 EY1 T IH0 NG", "recording": "R IH0 K AO1 R D IH0 NG",
        "slaves": "S L EY1 V Z", "levies": "L EH1 V IY0 Z", "levy": "L EH1 V IY0",
        "closing": "K L OW1 Z IH0 NG", "pressed": "P R EH1 S T", "pres": "P R EH1 Z",
        "mews": "M Y AH1 Z", "pass": "P AE1 S", "as": "AE1 Z", "unknowns": "N OW1",
        # not known, but stressed:
        "demean": "D IH0 M IY1 N", "demeaned": "D IH0 M IY0 N D", "demeaning": "D IH0 M IH1 N",
    }  # fmt: skip
    phones = {word: tuple(said.split()) for word, said in {**guessed, **known}.items()}
    found = {word: " ".join(said) for word, said in regular(phones, known.keys()).items()}
    assert found == {
        "buses": "B AH1 S IH0 Z", "cities": "S IH1 T IY0 Z", "adders": "AE1 D ER0 Z",
        "phoned": "F OW1 N D", "plodding": "P L AA1 D IH0 NG", "dogs": "D AO1 G Z",
        "naturally": "N AE1 CH ER0 AH0 L IY0", "wildness": "W AY1 L D N AH0 S",
        "voted": "V OW1 T AH0 D", "demeaned": "D IH0 M IY1 N D",
    }  # fmt: skip
