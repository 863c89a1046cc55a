"""Sentences: right in ordinary text, short in any text, and nothing lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscli.errors import InputError
from ttscli.text.characters import sanitise
from ttscli.text.frontend import Frontend
from ttscli.text.sentences import MAX_LENGTH, split_text
from ttscli.text.spans import spoken


def split_sentences(text: str, max_length: int = MAX_LENGTH) -> list[str]:
    """The texts of the pieces of a text."""
    return [piece.text for piece in split_text(text, max_length)]


def squeezed(text: str) -> str:
    """Text without white space."""
    return "".join(text.split())


def test_ordinary_text() -> None:
    text = "Dr. Smith went home. “Why?” he asked!  It cost $3.50, i.e. nothing."
    assert split_sentences(text) == [
        "Dr. Smith went home.",
        "“Why?” he asked!",
        "It cost $3.50, i.e. nothing.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        'He said so. lewdness." under forty shillings in the city. "Thus it must be," he says.',
        "It was (he said so!) under a tree.",
        "“Why?” she asked. ‘Well.’ he said.",
    ],
)
def test_quotation_marks_stay_in_their_sentences(text: str) -> None:
    pieces = split_sentences(text)
    assert " ".join(pieces) == text
    assert not any(re.match(r"\W+\s", piece) or re.search(r"\s\W+\Z", piece) for piece in pieces)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\x0b", "\x85", "\u2028"])
def test_line_breaks_are_spaces_and_blank_lines_are_ends(newline: str) -> None:
    text = f"{newline}A title{newline} {newline}{newline}one line{newline}and another{newline}"
    assert split_sentences(text) == ["A title", "one line and another"]


def test_a_paragraph_separator_ends_a_sentence() -> None:
    assert split_sentences("one\u2029two") == ["one", "two"]


@pytest.mark.parametrize("text", ["", " ", "\n\n\n", "\t \u2029 \u3000"])
def test_nothing_makes_no_sentence(text: str) -> None:
    assert split_sentences(text) == []


def test_what_is_no_text_is_replaced() -> None:
    assert split_sentences("a\0b\ud800c\x1b[31m") == ["a\ufffdb\ufffdc\ufffd[31m"]


def test_a_long_sentence_is_cut_at_clauses() -> None:
    clause = "as the story went on for a good while longer,"
    pieces = split_sentences(" ".join([clause] * 20))
    assert len(pieces) == 4
    assert all(piece == " ".join([clause] * 5) for piece in pieces)


def test_a_sentence_without_clauses_is_cut_at_words() -> None:
    pieces = split_sentences("word " * 1000)
    assert all(set(piece.split()) == {"word"} for piece in pieces)
    assert all(MAX_LENGTH / 2 < len(piece) <= MAX_LENGTH for piece in pieces)


def test_one_endless_word_is_cut_anywhere() -> None:
    pieces = split_sentences("a" * 1001)
    assert all(len(piece) <= MAX_LENGTH for piece in pieces)
    assert "".join(pieces) == "a" * 1001


def test_pronunciations_stay_whole() -> None:
    pronunciation = "{HH AH0 . L OW1! B}"
    assert split_sentences(f"Say {pronunciation}. Go on.") == [f"Say {pronunciation}.", "Go on."]
    pieces = split_sentences(pronunciation * 200, max_length=20)
    assert all(re.fullmatch(r"(\{[^{}]+\})+", piece) for piece in pieces)
    assert "".join(pieces) == pronunciation * 200


def test_a_giant_pronunciation_is_divided() -> None:
    pieces = split_sentences("{" + "AA1 B " * 1000 + "}")
    assert all(len(piece.split()) <= MAX_LENGTH for piece in pieces)
    assert " ".join(pieces).replace("} {", " ") == "{" + ("AA1 B " * 1000).strip() + "}"


def test_numbers_stay_whole_or_are_read_digit_by_digit() -> None:
    named = "123,456,789,012,345,678,901,234,567,890,123,456"
    assert split_sentences(f"{'a' * 200} {named}") == ["a" * 200, named]
    pieces = split_sentences("9" * 1000)
    assert all(set(piece.split()) == {"9"} for piece in pieces)
    assert sum(map(len, map(str.split, pieces))) == 1000


@pytest.mark.parametrize(
    "unit", ["a", "a ", "'", "“a. ", "“", "1", "{", "{a", "a\n\n", ".", "é", "\ud800", "(a. "]
)
def test_much_of_anything_takes_linear_time(unit: str) -> None:
    """In a window that grew with the text, sentencex alone would need minutes for some of these."""
    text = unit * (200_000 // len(unit))
    pieces = split_sentences(text)
    assert all(len(piece) <= MAX_LENGTH for piece in pieces)
    assert squeezed("".join(pieces)) == squeezed(sanitise(text))


texts = st.lists(
    st.one_of(
        st.text(),
        st.text(st.sampled_from("ab .,;!?'\"“”()\n\r1\t—。")),
        st.sampled_from(["{AA1 B}", "{HH AH0 . L}", "Dr. ", "U.S. ", "e.g. ", "\n\n", "…", "1.5"]),
    )
).map("".join)


@settings(deadline=None)
@given(texts, st.integers(min_value=20, max_value=300))
def test_rejoining_loses_nothing_but_white_space(text: str, max_length: int) -> None:
    pieces = split_sentences(text, max_length)
    assert all(piece == piece.strip() != "" for piece in pieces)
    assert squeezed("".join(pieces)) == squeezed(sanitise(text))
    "".join(pieces).encode()  # no lone surrogate is left


def gaps(text: str) -> list[tuple[str, str, float | None]]:
    return [(piece.text, piece.gap.value, piece.pause) for piece in split_text(text)]


def test_pauses_that_the_text_asks_for() -> None:
    assert gaps("One. [pause 0.5] Two [pause 250ms] three. [pause][pause 1 s]Four") == [
        ("One.", "paragraph", None),
        ("Two", "sentence", 0.5),
        ("three.", "sentence", 0.25),
        ("Four", "sentence", 1.5),
    ]
    assert [piece.whole for piece in split_text("Two [pause 1] three")] == [False, True]
    assert split_text("[pause 2] Hi. [pause 3]")[0].pause == 2
    assert split_text("[pause 2] Hi. [pause 3]")[0].after == 3
    assert split_text("[Pause 500Ms] Hi.")[0].pause == split_text("[pause 0.5S] Hi.")[0].pause
    assert gaps("[pause soon] {AA1 P} pause 3]")[0][2] is None
    with pytest.raises(InputError, match=r"\[pause 601\]: a pause of 601 seconds is longer"):
        split_text("Hi [pause 601]")


def test_headings_items_and_paragraphs() -> None:
    text = "# Title\nIt begins. And goes\non.\n- one\n- two\n1. Three.\n\nThe end\n=====\nof it"
    assert gaps(text) == [
        ("# Title", "paragraph", None),
        ("It begins.", "item", None),
        ("And goes on.", "sentence", None),
        ("- one", "item", None),
        ("- two", "item", None),
        ("1. Three.", "item", None),
        ("The end", "paragraph", None),
        ("=====", "paragraph", None),
        ("of it", "paragraph", None),
    ]


def test_nothing_is_cut_amid_what_is_spoken_as_one() -> None:
    read = Frontend.open(["english_cleaners"]).spans
    text = ("On December 25, 2024, at 3:30 p.m. on Main St. he paid $1,234.56 to Dr. Smith of "
            "the U.S. Army, tel. (212) 555-0199, ") * 8  # fmt: skip
    spans = [(s.start, s.end) for s in read(text) if s.rewritten]
    pieces = split_text(text, 120, read)
    assert len(pieces) > 8
    for piece in pieces:
        assert not any(start < piece.start < end for start, end in spans), piece.text
        assert len(spoken(read(piece.text))) <= 120


@pytest.mark.parametrize(
    "sentence",
    [
        "It was approx. 5 cm. vs. that.",
        "He met Mr. Lee at 3 p.m. sharp.",
        "The U.S. Army came to No. 10 St. John St. at once.",
        "J. K. Rowling paid $1.50, i.e. nothing, to Prof. Dr. Smith, Ph.D. and others.",
        "It was in 1999.",
        "Of the 12, he ate (all but) $3.50.",
        "The .NET framework and C# .NET.",
        "Visit example.com or see fig. 3 on p. 12.",
    ],
)
def test_abbreviations_and_numbers_end_no_sentence(sentence: str) -> None:
    read = Frontend.open(["english_cleaners"]).spans
    assert [piece.text for piece in split_text(f"{sentence} Then go.", read=read)] == [
        sentence,
        "Then go.",
    ]


@pytest.mark.parametrize(
    "answer", ["The answer was no.", "Oh no.", "No.", "He asked (she said no.)", "“No.”"]
)
def test_an_answer_ends_a_sentence(answer: str) -> None:
    read = Frontend.open(["english_cleaners"]).spans
    for after in ("I left No. 5 there.", "“Why?” he asked No. 5."):
        pieces = [piece.text for piece in split_text(f"{answer} {after}", read=read)]
        assert (pieces[0], " ".join(pieces[1:])) == (answer, after)


@settings(deadline=None)
@given(texts, st.integers(min_value=20, max_value=300))
def test_pieces_know_where_they_are_from(text: str, max_length: int) -> None:
    """With the rules for what is spoken, too, nothing is lost, and every piece has its place."""
    pieces = split_text(text, max_length, Frontend.open(["english_cleaners"]).spans)
    assert squeezed("".join(piece.text for piece in pieces)) == squeezed(sanitise(text))
    place = 0
    for piece in pieces:
        assert piece.start >= place
        assert sanitise(text)[piece.start] == piece.text[0]
        place = piece.start + 1
