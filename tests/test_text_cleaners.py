"""Cleaners and numbers: NVIDIA's rules, and input that breaks NVIDIA's code."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscli.text.cleaners import english_cleaners
from ttscli.text.numbers import cardinal, ordinal


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Mr. and Mrs. Lee", "mister and misess lee"),
        ("St. Dr. Ft. drst.", "saint doctor fort drst."),
        ("st.co. co.st.", "saintco. companysaint"),  # in the order of the table
        ("1,234,567", "one million, two hundred thirty-four thousand, five hundred sixty-seven"),
        ("3.14 and 1.2.3", "three point fourteen and one point two.three"),
        ("1st 12th 21st 30th", "first twelfth twenty-first thirtieth"),
        ("101st", "one hundred and first"),
        ("1000 1001 1066 1905", "one thousand ten oh one ten sixty-six nineteen oh five"),
        ("1900 2000 2005", "nineteen hundred two thousand two thousand five"),
        ("2010 2999 3000", "twenty ten twenty-nine ninety-nine three thousand"),
        ("007 0 000", "seven zero zero"),
        ("$1 $2 $0 $.5", "one dollar two dollars zero dollars five cents"),
        ("$1.01 $1,000.50", "one dollar, one cent one thousand dollars, fifty cents"),
        ("$1.2.3", "one point two.three dollars"),
        ("£1 €2.50", "one pound two euros, fifty cents"),
        ("café — 20°C", "cafe -- twenty degrees c"),
        (" Tabs\tand\r\n\nlines ", " tabs and lines "),
    ],
)
def test_what_is_spoken(written: str, spoken: str) -> None:
    assert english_cleaners(written) == spoken


def test_numbers_are_spelled_as_inflect_spells_them() -> None:
    inflect = pytest.importorskip("inflect")
    engine = inflect.engine()
    generator = random.Random(0)
    numbers = [*range(130), *range(990, 1120), 10**6 + 1, 10**6 + 100, 10**33, 10**36 - 1]
    numbers += [generator.randrange(10**digits) for digits in range(1, 37) for _ in range(8)]
    numbers += [number // 1000 * 1000 + generator.randrange(130) for number in numbers]
    for digits in map(str, numbers):
        assert cardinal(digits) == engine.number_to_words(digits, andword="")
        assert ordinal(digits) == engine.number_to_words(digits + "th")


def test_a_number_without_a_name_is_read_digit_by_digit() -> None:
    assert english_cleaners("9" * 36).startswith("nine hundred ninety-nine decillion, ")
    assert english_cleaners("1234567" + "0" * 30).startswith("one two three, four five six, seven")
    assert english_cleaners("0" * 36 + "1st").endswith("zero zero zero, first")
    assert english_cleaners("$" + "7" * 37).endswith(" seven dollars")


@pytest.mark.parametrize("text", ["$,,1", "$.", "$1.,5", "$,", "1,", ",1", "$1..5", "0th", "1.st"])
def test_odd_figures_are_no_error(text: str) -> None:
    assert not set(english_cleaners(text)) & set("0123456789")


@pytest.mark.parametrize(
    "unit",
    ["1", "1,1,", "12 ", "1.1.", "1,,", "$", "$1,", "1st", "9.", "dr.", "co", " ", "\ud800", "é5"],
)
def test_much_of_anything_takes_linear_time(unit: str) -> None:
    """A quadratic rule would need hours here, so this test would not come back."""
    text = unit * (300_000 // len(unit))
    assert not set(english_cleaners(text)) & set("0123456789")


@settings(deadline=None)
@given(st.text())
def test_cleaners_take_any_text(text: str) -> None:
    cleaned = english_cleaners(text)
    assert "  " not in cleaned
    assert cleaned == cleaned.lower()
    assert cleaned.replace("£", "").replace("€", "").isascii()


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789,.$£ stndrh")))
def test_no_figure_is_left(text: str) -> None:
    assert not any(character.isdigit() for character in english_cleaners(text))
