"""Words that are said in two ways, in the built-in voice's lexicon."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscli.text.frontend import Frontend
from ttscli.text.homographs import part_of_speech
from ttscli.text.lexicon import Lexicon
from ttscli.text.spans import filled, spoken
from ttscli.voices import find_voice


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("*close* the door", "K L OW1 Z"),
        ("To *Use* This", "Y UW1 Z"),
        ("please *close* it", "K L OW1 Z"),
        ("we *close* at nine", "K L OW1 Z"),
        ("do not *close* the door", "K L OW1 Z"),
        ("i always *close* the door", "K L OW1 Z"),
        ("does he *close* it", "K L OW1 Z"),
        ("it is *close* to me", "K L OW1 S"),
        ("it is not *close* to me", "K L OW1 S"),
        ("are you *close* to home", "K L OW1 S"),
        ("hold you *close*", "K L OW1 S"),
        ("keep it *close*", "K L OW1 S"),
        ("a *close* friend", "K L OW1 S"),
        ("talked to *close* friends", "K L OW1 S"),
        ("stay *close*", "K L OW1 S"),
        ("let me *close* it", "K L OW1 Z"),
        ("*use* the other one", "Y UW1 Z"),
        ("does this *use* much memory", "Y UW1 Z"),
        ("the *use* of force", "Y UW1 S"),
        ("make *use* of it", "Y UW1 S"),
        ("helped her *use* it", "Y UW1 Z"),
        ("a common *use* case", "Y UW1 S"),
        ("its many *uses*", "Y UW1 S IH0 Z"),
        ("he *uses* it", "Y UW1 Z IH0 Z"),
        ("*read* the manual", "R IY1 D"),
        ("*read* more about it", "R IY1 D"),
        ("did you *read* the book", "R IY1 D"),
        ("how do i *read* this file", "R IY1 D"),
        ("could not *read* it", "R IY1 D"),
        ("i *read* it yesterday", "R EH1 D"),
        ("has been *read*", "R EH1 D"),
        ("let me *read* it", "R IY1 D"),
        ("heard her *read* it", "R IY1 D"),
        ("he *read* it", "R EH1 D"),
        ("a *live* show", "L AY1 V"),
        ("we are *live*", "L AY1 V"),
        ("*live* music tonight", "L AY1 V"),
        ("listen to *live* music", "L AY1 V"),
        ("they *live* here", "L IH1 V"),
        ("long *live* the king", "L IH1 V"),
        ("some *live* in cities", "L IH1 V"),
        ("i want to *live*", "L IH1 V"),
        ("she *lives* here", "L IH1 V Z"),
        ("john *lives* in paris", "L IH1 V Z"),
        ("nobody *lives* there", "L IH1 V Z"),
        ("nine *lives*", "L AY1 V Z"),
        ("their *lives* in danger", "L AY1 V Z"),
        ("a world *record*", "R EH1 K ER0 D"),
        ("to *record* a song", "R IH0 K AO1 R D"),
        ("can you *record* this", "R IH0 K AO1 R D"),
        ("according to *records*", "R EH1 K ER0 D Z"),
        ("did he *record* it", "R IH0 K AO1 R D"),
        ("i *refuse* to go", "R IH0 F Y UW1 Z"),
        ("he does not *object*", "AH0 B JH EH1 K T"),
        ("an *object*", "AA1 B JH EH0 K T"),
        ("in relation to *objects*", "AA1 B JH EH0 K T S"),
        ("moved to *tears*", "T IH1 R Z"),
        ("the project *tears* us apart", "T IH1 R Z"),
        ("does this *produce* the right result", "P R AH0 D UW1 S"),
        ("due to *imports*", "IH1 M P AO0 R T S"),
        ("thank you *project* team", "P R AA1 JH EH0 K T"),
        ("from house to *house*", "HH AW1 S"),
        ("we *separate* them", "S EH1 P ER0 EY1 T"),
        ("a *separate* room", "S EH1 P R AH0 T"),
        ("subject to *export* controls", "EH1 K S P AO0 R T"),
        ("a *graduate* student", "G R AE1 JH AH0 W AH0 T"),
        ("christmas *presents*", "P R EH1 Z AH0 N T S"),
        ("he *presents* it", "P R IH0 Z EH1 N T S"),
        ("wear and *tear*", "T EH1 R"),
        ("*use* of force", "Y UW1 S"),
        ("in *use*", "Y UW1 S"),
        ("the *uses* of it", "Y UW1 S IH0 Z"),
        ("i will *read* it", "R IY1 D"),
        ("stop, then *record* it", "R IH0 K AO1 R D"),
        ("i *refuse*", "R IH0 F Y UW1 Z"),
        ("*excuse* me", "IH0 K S K Y UW1 Z"),
        ("no *excuse*", "IH0 K S K Y UW1 S"),
        ("*lead* the way", "L IY1 D"),
        ("a *wound*", "W UW1 N D"),
        ("i *object*", "AH0 B JH EH1 K T"),
        ("they *separate* it", "S EH1 P ER0 EY1 T"),
    ],
)
def test_the_word_is_said_as_what_it_is(text: str, phones: str) -> None:
    path = find_voice("small").lexicon
    assert path is not None
    start = text.index("*")
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


@pytest.mark.parametrize(
    ("sentence", "phones"),
    [
        ("Please close the door.", "K L OW1 Z"),
        ("We stood close to it.", "K L OW1 S"),
        ("He lives there.", "L IH1 V Z"),
        ("Their lives, to record", "L AY1 V Z"),
        ("I want {T UW1} to record this.", "R IH0 K AO1 R D"),
    ],
)
def test_a_sentence_is_read_by_the_neighbours_of_its_words(sentence: str, phones: str) -> None:
    voice = find_voice("small")
    frontend = Frontend.open(voice.cleaners, voice.lexicon)
    assert f"{{{phones}}}" in frontend.encode(sentence).text
