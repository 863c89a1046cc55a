"""What `synth --explain` prints: what is spoken, changed and left out, and no audio."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_cli import Run, files, run

from ttscli.console import wrapped
from ttscli.explain import Change, explain, in_lines
from ttscli.voices import find_voice

__all__ = ["run"]  # the fixture

LONG = "Dr. Smith paid $1.5 million on the 14th of May 1999, at 3:30 p.m., for a very old umbrella."
TEXT = "It cost $5 — “really”?!?! [pause 0.5] Café ☃☃ at 10%"


def test_for_people(run: Run) -> None:
    result = run("synth", "--explain", TEXT)
    assert (result.code, result.err, files()) == (0, "", [])
    assert result.out.decode().splitlines() == [
        "   1  It cost $5 — “really”?!?!",
        "   →  it cost five dollars, really?",
        "      money: $5 → five dollars",
        "      dash:  —  → ,",
        "      repeated marks: ?!?! → ?",
        "      silent: “ ”",
        "      pause of 0.5 s",
        "   2  Café ☃☃ at 10%",
        "   →  cafe at ten percent.",
        "      letters: Café → Cafe",
        "      unit: 10% → ten percent",
        "      dropped: ☃ ×2",
    ]


def test_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines break at words, and go on behind where they began."""
    whole = list(in_lines(next(explain(LONG, find_voice("small")))))
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    for line in whole:
        first, *others = parts = wrapped(line, indent=6)
        assert all(len(part) <= 40 for part in parts)
        assert " ".join(map(str.strip, parts)) == line.strip()
        assert line.startswith(first)
        assert all(part.startswith("      ") for part in others)
    assert any(len(line) > 80 for line in whole)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: False))
    assert [wrapped(line, indent=6) for line in whole] == [[line] for line in whole]


def test_for_programs(run: Run) -> None:
    result = run("synth", "--explain", "--json", TEXT)
    assert (result.code, result.err, files()) == (0, "", [])
    first, second = map(json.loads, result.out.splitlines())
    assert first["event"] == "sentence_explained"
    assert (first["spoken"], first["pause_s"]) == ("it cost five dollars, really?", None)
    assert (second["start"], second["pause_s"]) == (TEXT.index("Café"), 0.5)
    for sentence in (first, second):
        for change in sentence["changes"]:
            start = change["start"]
            assert TEXT[start : start + len(change["written"])] == change["written"]


def test_how_the_voice_says_it(run: Run) -> None:
    out = run("synth", "-v", "small", "--explain", "--verbose", "Close the door, Zq.").out.decode()
    assert "      phones: {K L OW1 Z} {DH AH0} {D AO1 R}, zq." in out.splitlines()
    (line,) = run("synth", "-v", "small", "--explain", "--json", "Close the door.").out.splitlines()
    assert json.loads(line)["phones"] == "{K L OW1 Z} {DH AH0} {D AO1 R}."


def test_another_tacotron2_has_no_lexicon(run: Run) -> None:
    way = ("synth", "-v", "small", "--explain", "--verbose", "Close the door.")
    assert "phones:" not in run(*way, "--tacotron2", "other.pt").out.decode()


def test_options_count(run: Run) -> None:
    Path("mine.tsv").write_text("Café\tcoffee house\n")
    out = run("synth", "--explain", "--emoji", "--lexicon", "mine.tsv", "Café 😀").out.decode()
    assert "coffee house grinning face." in out
    assert "lexicon: Café → coffee house" in out


def test_markup_of_web_pages_is_told(run: Run) -> None:
    out = run("synth", "--explain", "It&#39;s <b>bold</b><br>here").out.decode()
    assert "→  it's bold here." in out
    assert "entity: It&#39;s → It's" in out
    assert "silent: <b> </b>" in out
    assert "markup: <br> →" in out


def test_text_with_nothing_to_say(run: Run) -> None:
    out = run("synth", "--explain", "😀 {XX}").out.decode()
    assert "→  (nothing to say)" in out
    assert "dropped: 😀 XX" in out


def test_what_a_terminal_must_not_see(run: Run) -> None:
    out = run("synth", "--explain", "-f", "-", stdin=b"a\x1b[31m\xe2\x80\xaeb").out.decode()
    assert "\x1b" not in out and "\u202e" not in out


def test_phones_that_are_no_phones() -> None:
    (sentence,) = explain("Say {AA1 XX}.", find_voice("small"))
    assert Change(0, "XX", "", "dropped") in sentence.changes
