"""Lexicons: look-up by bisection, possessives, a user's words and their errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscli.errors import InputError, VoiceError
from ttscli.text.frontend import Frontend
from ttscli.text.lexicon import Lexicon, UserLexicon
from ttscli.text.spans import spoken


def applied(lexicon: Lexicon | UserLexicon, text: str) -> str:
    """A text with the words of a lexicon replaced."""
    frontend = Frontend((), [lexicon])
    return spoken(frontend.spans(text)) if lexicon.on_raw_text else frontend.encode(text).text


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def lexicon(tmp_path: Path) -> Lexicon:
    words = {
        "cat": "K AE1 T",
        "don't": "D OW1 N T",
        "dog": "D AO1 G",
        "it's": "IH1 T S",
        "judge": "JH AH1 JH",
        "naïve": "N AY0 IY1 V",
    }
    lines = "".join(f"{word}\t{words[word]}\n" for word in sorted(words))
    return Lexicon.open(written(tmp_path / "lexicon.tsv", lines))


def test_words_and_possessives(lexicon: Lexicon) -> None:
    assert lexicon.lookup("Cat") == "K AE1 T"
    assert lexicon.lookup("cat's") == "K AE1 T S"
    assert lexicon.lookup("dog’s") == "D AO1 G Z"
    assert lexicon.lookup("judge's") == "JH AH1 JH IH0 Z"
    assert lexicon.lookup("it's") == "IH1 T S"
    assert lexicon.lookup("NAÏVE") == "N AY0 IY1 V"
    for unknown in ("", "a", "ca", "cats", "zebra", "'s", "zebra's", "\ud800"):
        assert lexicon.lookup(unknown) is None


def test_known_words_outside_braces_are_replaced(lexicon: Lexicon) -> None:
    text = "the dog, cat-like, {D AO1 G} don't concatenate 'cat' dog"
    assert applied(lexicon, text) == (
        "the {D AO1 G}, {K AE1 T}-like, {D AO1 G} {D OW1 N T} concatenate '{K AE1 T}' {D AO1 G}"
    )


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(categories=["Ll"])), st.just("AA1 B"), max_size=40))
def test_bisection_finds_every_word_and_no_other(words: dict[str, str]) -> None:
    words = {word.lower(): f"{phones} {word.upper()}" for word, phones in words.items() if word}
    for end in ("\n", ""):
        lines = "\n".join(f"{word}\t{words[word]}" for word in sorted(words)) + end
        lexicon = Lexicon(lines.encode())
        for word, phones in words.items():
            assert lexicon.lookup(word) == phones
            for other in (word + "a", word[:-1], "a" + word):
                assert lexicon.lookup(other) == words.get(other)


def test_a_voice_without_its_lexicon(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, written(tmp_path / "empty", "")):
        with pytest.raises(VoiceError, match="cannot read the voice's lexicon"):
            Lexicon.open(path)


@pytest.fixture
def words(tmp_path: Path) -> UserLexicon:
    lines = [
        "\ufeff# words of my own",
        "",
        "GIF\t{JH IH1 F}",
        "gif\t{G IH1 F}",
        "nginx\tengine x",
        "New York\tthe Big Apple",
        "new\tn e w",
        "C++\tsee plus plus",
        "%\tpercent",
        "#\tnumber",
        "don't\tdo not",
        "o'clock\t{ah0 k l aa1 k}",
    ]
    return UserLexicon.open(written(tmp_path / "my.tsv", "\r\n".join(lines)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a GIF, gifs, Gif!", "a {G IH1 F}, gifs, {G IH1 F}!"),
        ("the gif's nginx's", "the {G IH1 F S} engine x's"),
        ("new york's, New Yorker, NEW", "the Big Apple's, n e w Yorker, n e w"),
        ("C++11 c++", "see plus plus 11 see plus plus"),
        ("10% of #5", "10 percent of number 5"),
        ("%%#1", "percent percent number 1"),
        ("DON’T don", "do not don"),
        ("it's five o'clock-ish", "it's five {ah0 k l aa1 k}-ish"),
        ("{gif} nginx2 xnginx", "{gif} nginx2 xnginx"),
    ],
)
def test_the_users_words(words: UserLexicon, text: str, said: str) -> None:
    assert applied(words, text) == said


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("word", "expected a word, one tab"),
        ("a\tb\tc", "expected a word, one tab"),
        ("\tword", "is not a word"),
        ("word\t ", "nothing is to be spoken for 'word'"),
        ("word\t{AA1 XX}", "'XX' is not an ARPAbet symbol"),
        ("word\t{}", "'' is not an ARPAbet symbol"),
        (b"w\xff\tword", "this line is not UTF-8"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, line: str | bytes, error: str) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    path = written(tmp_path / "my.tsv", b"good\twell\n\n" + raw + b"\n")
    with pytest.raises(InputError) as caught:
        UserLexicon.open(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert error in str(caught.value)


def test_a_user_lexicon_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.tsv: cannot read the lexicon"):
        UserLexicon.open(tmp_path / "missing.tsv")


def test_entries_from_python_are_checked_too() -> None:
    assert applied(UserLexicon({"TTS": "speech"}), "tts") == "speech"
    with pytest.raises(InputError, match="not an ARPAbet symbol"):
        UserLexicon({"word": "{}"})


@settings(deadline=None)
@given(st.text())
def test_lexicons_take_any_text(text: str) -> None:
    assert applied(UserLexicon({"a": "{EY1}", "%": "percent"}), text) is not None
    assert applied(Lexicon(b"a\tEY1\n"), text) is not None
