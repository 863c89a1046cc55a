"""The front end: the order of its steps, and that nothing disappears unreported."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscli.text import text_to_sequence
from ttscli.text.frontend import DroppedText, Encoded, Frontend
from ttscli.text.lexicon import Lexicon, UserLexicon

FRONTEND = Frontend()
VOICE = Lexicon(b"doctor\tD AA1 K T ER0\nhello\tHH AH0 L OW1\nworld\tW ER1 L D\n")
WORDS = UserLexicon({"Dr.": "doctor", "world": "{W AH1 N}", "%": "percent"})

# What a reader does not expect to hear: brackets, quotes, joiners, accents.
SILENT = {"Zs", "Zl", "Zp", "Ps", "Pe", "Pi", "Pf", "Cf", "Mn"}


def dropped(encoded: Encoded) -> dict[str, int]:
    return {item.text: item.count for item in encoded.dropped}


def test_order_of_the_steps() -> None:
    encoded = Frontend(lexicons=[VOICE, WORDS]).encode("Hello {HH AW1} World, dr. Who: 5%!")
    assert encoded.text == ("{HH AH0 L OW1} {HH AW1} {W AH1 N}, {D AA1 K T ER0} who: five percent!")
    assert encoded.ids == text_to_sequence(encoded.text, [])
    assert encoded.dropped == ()


def test_what_is_dropped_is_reported() -> None:
    encoded = FRONTEND.encode("100% @home 🙂🙂 a_b {HH ☃ XX} $ {K} \0 ½ “ok” [x] <y> *z*")
    assert list(dropped(encoded)) == [*"%@🙂_$\ufffd½<>*", "☃", "XX"]
    assert [item for item in encoded.dropped if item.count > 1] == [
        DroppedText("🙂", 2),
        DroppedText("*", 2),
    ]
    assert encoded.text == "one hundred home ab {HH}  {K} onetwo ok x y z"


@pytest.mark.parametrize(
    "text",
    ["$5 £5 €5 5th", "“Quoted”, 'so' (in) [brackets] }{", "cafe\u0301 ﬁne\u200d", " \t\u3000"],
)
def test_what_is_spoken_or_silent_by_nature_needs_no_report(text: str) -> None:
    assert not FRONTEND.encode(text).dropped


@pytest.mark.parametrize(
    "text", ["", " ", "...", "?!", '"', "🙂", "{}", "{XX}", "()", "\0\ud800", "%", "\u0301", "_"]
)
def test_text_without_a_sound(text: str) -> None:
    for frontend in (FRONTEND, Frontend(final_stop=True)):
        assert not frontend.encode(text).speakable


@pytest.mark.parametrize("text", ["a", "1", "{K}", "$5", "北京", "Ж", "!?a"])
def test_text_with_a_sound(text: str) -> None:
    assert FRONTEND.encode(text).speakable


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("hello", "hello."),
        ("hello ", "hello."),
        ("hello {K}", "hello {K}."),
        ("(hello)", "(hello)."),
        ("hello.", "hello."),
        ('He said: "hello!"', "he said: hello!"),
        ("  (hello?) ", "(hello?)"),
        ("and then,", "and then,"),
        ("", ""),
    ],
)
def test_final_stop(text: str, spoken: str) -> None:
    assert Frontend(final_stop=True).encode(text).text == spoken


@settings(deadline=None)
@given(st.text() | st.text(st.sampled_from("ab{} AH0K1$%£.'🙂\ud800\0")))
def test_any_text_gives_ids(text: str) -> None:
    encoded = Frontend(lexicons=[VOICE, WORDS], final_stop=True).encode(text)
    assert all(0 < index < 148 for index in encoded.ids)
    assert encoded.ids == text_to_sequence(encoded.text, [])
    assert all(item.count > 0 for item in encoded.dropped)


@settings(deadline=None)
@given(st.characters())
def test_no_character_disappears_unreported(character: str) -> None:
    encoded = FRONTEND.encode(f"ab{character}ba")
    if (
        encoded.text == "abba"
        and not character.isspace()
        and unicodedata.category(character) not in SILENT
    ):
        reported = dropped(encoded)
        assert reported.keys() & {character, "\ufffd"} or character in "\"'`"


@settings(deadline=None)
@given(st.text())
def test_every_lost_character_of_a_text_is_reported(text: str) -> None:
    """A character that is dropped alone is dropped, and counted, in company."""
    reported = dropped(FRONTEND.encode(text.replace("{", "").replace("}", "")))
    for character in set(text) - set("{}$£€"):
        if character in dropped(FRONTEND.encode(character)):
            assert reported[character] == text.count(character)


def test_lexicons_behind_each_other_leave_what_is_settled() -> None:
    front = Frontend((), [Lexicon(b"cat\tK AE1 T\n"), Lexicon(b"dog\tD AO1 G\nk\tK EY1\n")])
    assert front.encode("cat-dog (k").text == "{K AE1 T}-{D AO1 G} ({K EY1}"


def test_a_users_word_ends_within_its_slice() -> None:
    words = UserLexicon({"cat": "dog"})
    assert words.spans("cat's", 0, 3) == []
    assert [span.end for span in words.spans("cat's")] == [5]
