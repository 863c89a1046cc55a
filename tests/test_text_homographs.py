"""Words that are said in two ways, in the built-in voice's lexicon."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscli.text.homographs import part_of_speech
from ttscli.text.lexicon import Lexicon
from ttscli.text.spans import filled, spoken
from ttscli.voices import find_voice


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("*close* the door", "K L OW1 Z"),
        ("please *close* it", "K L OW1 Z"),
        ("we *close* at nine", "K L OW1 Z"),
        ("it is *close* to me", "K L OW1 S"),
        ("are you *close* to home", "K L OW1 S"),
        ("keep it *close*", "K L OW1 S"),
        ("a *close* friend", "K L OW1 S"),
        ("*use* the other one", "Y UW1 Z"),
        ("To *Use* This", "Y UW1 Z"),
        ("the *use* of force", "Y UW1 S"),
        ("*use* of force", "Y UW1 S"),
        ("in *use*", "Y UW1 S"),
        ("he *uses* it", "Y UW1 Z IH0 Z"),
        ("its many *uses*", "Y UW1 Z IH0 Z"),
        ("the *uses* of it", "Y UW1 S IH0 Z"),
        ("*read* the manual", "R IY1 D"),
        ("i will *read* it", "R IY1 D"),
        ("i *read* it yesterday", "R EH1 D"),
        ("has been *read*", "R EH1 D"),
        ("a *live* show", "L AY1 V"),
        ("they *live* here", "L IH1 V"),
        ("she *lives* here", "L IH1 V Z"),
        ("nine *lives*", "L AY1 V Z"),
        ("a world *record*", "R EH1 K ER0 D"),
        ("to *record* a song", "R IH0 K AO1 R D"),
        ("stop, then *record* it", "R IH0 K AO1 R D"),
        ("i *refuse*", "R IH0 F Y UW1 Z"),
        ("excuse me", "IH0 K S K Y UW1 Z"),
        ("no *excuse*", "IH0 K S K Y UW1 S"),
        ("*lead* the way", "L IY1 D"),
        ("a *wound*", "W UW1 N D"),
        ("i *object*", "AH0 B JH EH1 K T"),
        ("an *object*", "AA1 B JH EH0 K T"),
        ("they *separate* it", "S EH1 P ER0 EY1 T"),
        ("a *separate* room", "S EH1 P R AH0 T"),
    ],
)
def test_the_word_is_said_as_what_it_is(text: str, phones: str) -> None:
    path = find_voice("small").lexicon
    assert path is not None
    start = text.find("*") if "*" in text else 0
    plain = text.replace("*", "")
    word = re.match(r"\w+", plain[start:])
    assert word
    said = {span.start: span.spoken for span in Lexicon.open(path).spans(plain)}
    assert said[start] == f"{{{phones}}}"


@settings(deadline=None)
@given(st.text(), st.integers(0), st.integers(0))
def test_any_text_has_an_answer(text: str, start: int, length: int) -> None:
    start = min(start, len(text))
    assert part_of_speech(text, start, start + length) in ("", "(n)", "(v)")


def test_spans_replace_homographs_too() -> None:
    lexicon = Lexicon(b"close\tK L OW1 S\nclose(v)\tK L OW1 Z\nclosed\tK L OW1 Z D\n")
    text = "close it, it is close; closed"
    said = "{K L OW1 Z} it, it is {K L OW1 S}; {K L OW1 Z D}"
    assert spoken(filled(text, lexicon.spans(text))) == said
