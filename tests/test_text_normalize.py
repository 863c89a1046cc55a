"""The normaliser: a table of cases, nothing lost without a word, any input in linear time."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscli.explain import explain, in_lines
from ttscli.text.frontend import Frontend
from ttscli.text.normalize import Normaliser
from ttscli.text.spans import AS_WRITTEN, DROPPED, SILENT, spoken
from ttscli.text.symbols import SYMBOLS, WRITTEN
from ttscli.voices import find_voice

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


def test_the_cleaners_add_nothing_to_a_table_of_nvidias() -> None:
    """What NVIDIA's cleaners expand is expanded before them, so that --explain can tell it."""
    for written in ("Mr. Drs. Smith", "Hon. Rev. Lee", "Maj. Gen. Lee", "12", "3.5", "$5", "4th"):
        words = spoken(NORMALISER.spans(written)).lower()
        assert FRONTEND.encode(written).text == words
        assert not any(character.isdigit() for character in words)


hostile = st.text() | st.text(
    st.sampled_from(
        "ab AI.,;:!?-–—'\"“’()[]{}0123456789$£€%°½²×/+=<>#@&*_~^|\\é北😀\u200d\u0301🇦🏽…"
    )
)


@settings(deadline=None, max_examples=300)
@given(hostile)
def test_spans_cover_the_text_and_hide_nothing(text: str) -> None:
    """Whatever is not spoken as it is written has a span that says what became of it."""
    spans = NORMALISER.spans(text)
    done = 0
    for span in spans:
        assert span.start == done < span.end
        done = span.end
        if span.kind == AS_WRITTEN:
            assert set(span.spoken) <= WRITTEN | {c for c in span.spoken if c.isspace()}
            assert len(span.spoken.rstrip(" ")) <= span.end - span.start
        elif span.kind in (DROPPED, SILENT):
            assert not span.spoken.strip()
    assert done == len(text)


@settings(deadline=None, max_examples=300)
@given(st.characters(exclude_categories=["Cc", "Cs"]))
def test_no_printable_character_vanishes_without_a_line(character: str) -> None:
    """The lines of --explain name every character that is not spoken as itself."""
    (only, *more) = (
        explain(f"ab {character} ba", find_voice("small")) if character.strip() else (None,)
    )
    if only is None or more or unicodedata.category(character)[0] == "Z":
        return
    shown = "\n".join(in_lines(only)).split("\n", 2)[2:]
    named = character in "".join(shown) or f"U+{ord(character):04X}" in "".join(shown)
    assert (
        named
        or character.lower() in only.spoken
        or character in "’‘ʼ‐‑"
        or (unicodedata.normalize("NFKC", character).lower() in only.spoken)
    )


@settings(deadline=None)
@given(hostile)
def test_words_know_where_they_are_from(text: str) -> None:
    encoded = Frontend.open(["english_cleaners"], lexicon=find_voice("small").lexicon).encode(text)
    last = 0
    for word in encoded.words:
        assert 0 <= word.start < word.end <= len(text)
        assert last <= word.first < word.last <= len(encoded.ids)
        last = word.last


def test_words_of_a_sentence() -> None:
    text = "  It cost $5, “Dr.” Who! {HH AH0 L OW1}"
    encoded = Frontend.open(["english_cleaners"]).encode(text)
    words = [text[word.start : word.end] for word in encoded.words]
    assert words == ["It", "cost", "$5", "$5,", "Dr.", "Who!", "{HH AH0 L OW1}"]
    said = ["".join(SYMBOLS[i] for i in encoded.ids[w.first : w.last]) for w in encoded.words]
    assert said == ["it", "cost", "five", "dollars,", "doctor", "who!", "@HH@AH0@L@OW1"]


@pytest.mark.parametrize(
    "unit",
    [
        *("12 ", "1,1,", "1", "$1,", "1/", "1-", "a.", "A.", "a@a.", "#a", "...", "?!", "½", "x²"),
        *("1 000 ", "/a", "a_", "\ud800", "😀", "🇦", "[pause", "{a", "v1.", "\\", "<", "a-1"),
        *("St. ", "I-", "b c ", '1" ', "1x", "10^", "http://a.", "May 5, ", "30s ", "km/"),
        *("–5 ", " –5", "–$", "(–5", "&a", "&amp;", "&#3", "a&lt;", "<a ", "<a b=c ", '<p a="'),
    ],
)
def test_much_of_anything_takes_linear_time(unit: str) -> None:
    """A quadratic rule would need hours here, so this test would not come back."""
    text = unit * (20_000 // len(unit))
    assert NORMALISER.spans(text)[-1].end == len(text)


def test_a_number_of_5000_digits() -> None:
    said = FRONTEND.encode("7" * 5000).text
    assert said.count("seven") == 5000


def test_words_with_apostrophes_are_left_alone() -> None:
    for text in ("John's dogs don't, the SMITHS' won't.", "it’s Lee’s", "'tis o'clock"):
        assert all(span.kind == AS_WRITTEN for span in NORMALISER.spans(text))


def test_emoji_names_are_off_by_default() -> None:
    assert spoken(NORMALISER.spans("hi 😀👍🏽🇩🇪")) == "hi "
    named = spoken(Normaliser(emoji=True).spans("hi 😀👍🏽🇩🇪"))
    assert named.split() == "hi grinning face thumbs up sign flag D E".split()


def test_the_users_words_come_before_the_rules(tmp_path: Path) -> None:
    (tmp_path / "mine.tsv").write_text("GPU\tgraphics card\nkm\tklicks\nDr.\tdoc\n%\tout of 100\n")
    frontend = Frontend.open(["english_cleaners"], user_lexicon=tmp_path / "mine.tsv")
    encoded = frontend.encode("Dr. Lee's GPU ran 5 km at 7% {K} 5 kg.")
    assert encoded.text == (
        "doc lee's graphics card ran five klicks at seven out of one hundred {K} five kilograms."
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello ", "hello."),
        ("Hello?!?!", "hello?"),
        ("Hi", "hi."),
        ("B", "b."),
        ("A", "ay."),
        ("HELLO THERE WORLD", "hello there world."),
        ("Yeeeeees", "yes."),
        ("Sweeeet", "sweet."),
        (" \n spaced   out ", "spaced out."),
        ("Stop!!!!!", "stop!"),
    ],
)
def test_input_guards(text: str, said: str) -> None:
    assert Frontend.open(["english_cleaners"]).encode(text).text == said


def test_plain_words_load_no_rules_for_figures() -> None:
    program = """
import sys
from ttscli.text.frontend import Frontend
assert Frontend.open(["english_cleaners"]).encode("hello there, world.").text
assert not {"ttscli.text.normalize.units", "inflect", "numpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
