"""The normaliser: a table of cases, nothing lost without a word, any input in linear time."""

from __future__ import annotations

from pathlib import Path

import pytest

from ttscli.text.frontend import Frontend
from ttscli.text.normalize import Normaliser

TABLE = Path(__file__).with_name("normalizer_cases.tsv")
FRONTEND = Frontend.open(["english_cleaners"], final_stop=False)
NORMALISER = Normaliser()


def cases() -> list[tuple[str, str]]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if "\t" in line]
    return [(written, said) for written, said in rows]


def test_the_table_is_long_and_has_no_case_twice() -> None:
    written = [case[0] for case in cases()]
    assert len(written) >= 400
    assert len(set(written)) == len(written)


@pytest.mark.parametrize(("written", "said"), cases(), ids=[case[0] for case in cases()])
def test_what_is_said(written: str, said: str) -> None:
    assert FRONTEND.encode(written).text == said
