"""Voices: from a name or a folder to checked files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ttscli import voices
from ttscli.errors import VoiceError
from ttscli.voices import Voice, find_voice, list_voices


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, and no built-in voice but `first`."""
    monkeypatch.setattr(voices, "_BUILT_IN", (tmp_path / "none", tmp_path / "built-in"))
    monkeypatch.setenv("TTSCLI_HOME", str(tmp_path / "home"))
    make_voice(tmp_path / "built-in" / "first")
    return tmp_path / "home"


def make_voice(folder: Path, **fields: object) -> Path:
    folder.mkdir(parents=True)
    for name in ("t.safetensors", "w.safetensors", "lexicon.tsv", "bias.safetensors"):
        (folder / name).write_bytes(b"content")
    manifest = {"tacotron2": "t.safetensors", "waveglow": "w.safetensors", **fields}
    (folder / "voice.json").write_text(
        json.dumps({k: v for k, v in manifest.items() if v is not None}), encoding="utf-8"
    )
    return folder


def test_defaults(home: Path) -> None:
    folder = make_voice(home / "voices" / "second")
    assert find_voice("second") == Voice(
        name="second",
        tacotron2=folder / "t.safetensors",
        waveglow=folder / "w.safetensors",
        sample_rate=22050,
        cleaners=("english_cleaners",),
        denoise=0.0,
    )


def test_every_field(home: Path) -> None:
    fields = {
        "name": "Zoë",
        "description": "A voice",
        "licence": "MIT",
        "sample_rate": 16000,
        "cleaners": [],
        "final_stop": True,
        "sigma": 1,
        "denoise": 0.01,
        "mel_gain": 2,
    }
    files = {"lexicon": "lexicon.tsv", "denoiser": "bias.safetensors"}
    folder = make_voice(home / "voices" / "x", **fields, **files)
    voice = find_voice(folder)
    assert voice.cleaners == ()
    for name, value in fields.items():
        assert name == "cleaners" or getattr(voice, name) == value
    for name, file in files.items():
        assert getattr(voice, name) == folder / file


def test_a_name_is_a_built_in_voice_then_a_downloaded_one_then_a_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        make_voice(home / "voices" / name, description="downloaded")
    for name in ("first", "second", "third"):
        make_voice(tmp_path / name, description="local")
    found = [find_voice(name).description for name in ("first", "second", "third", "./first")]
    assert found == ["", "downloaded", "local", "local"]
    assert list_voices() == ["first", "second"]


@pytest.mark.parametrize("name", ["x", "", ".", "..", "../x", "/nowhere", "a\nb"])
def test_unknown(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VoiceError, match="there are: first") as caught:
        find_voice(name)
    assert caught.value.exit_code == 6


def test_messages_name_the_voice(home: Path, tmp_path: Path) -> None:
    with pytest.raises(VoiceError) as caught:
        find_voice("nobody")
    assert str(caught.value) == "unknown voice 'nobody'; there are: first"
    with pytest.raises(VoiceError, match=r": this folder has no voice\.json; there are: first"):
        find_voice(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"waveglow": None}, "missing field 'waveglow'"),
        ({"sigm": 1}, "unknown field 'sigm'"),
        ({"sigma": "1"}, "sigma: '1' is not a number from 0 to 10"),
        ({"sigma": -1}, "sigma: -1 is not a number"),
        ({"denoise": float("nan")}, "denoise: nan is not a number"),
        ({"denoise": True}, "denoise: True is not a number"),
        ({"mel_gain": 0.5}, "mel_gain: 0.5 is not a whole number from 0 to 10"),
        ({"mel_gain": True}, "mel_gain: True is not a whole number"),
        ({"mel_gain": 11}, "mel_gain: 11 is not a whole number"),
        ({"sample_rate": 22050.0}, "sample_rate: 22050.0 is not a sample rate"),
        ({"sample_rate": 0}, "sample_rate: 0 is not"),
        ({"name": 7}, "name: 7 is not a text"),
        ({"cleaners": "english_cleaners"}, "cleaners: 'english_cleaners' is not a list"),
        ({"final_stop": 1}, "final_stop: 1 is neither true nor false"),
        ({"tacotron2": "../t"}, "tacotron2: '../t' is not the name of a file beside it"),
        ({"tacotron2": "/etc/passwd"}, "tacotron2: '/etc/passwd' is not the name"),
        ({"tacotron2": ".."}, "tacotron2: the file '..' is missing beside it"),
        ({"lexicon": "no"}, "lexicon: the file 'no' is missing beside it"),
        ({"lexicon": "empty"}, "lexicon: the file 'empty' beside it is empty"),
    ],
)
def test_wrong_fields(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    folder = make_voice(tmp_path / "x", **fields)
    (folder / "empty").touch()
    with pytest.raises(VoiceError) as caught:
        find_voice(folder)
    assert str(caught.value).startswith(f"{folder / 'voice.json'}: {message}")


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"[" * 100000])
def test_wrong_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "voice.json").write_bytes(content)
    with pytest.raises(VoiceError, match="this is not a JSON object"):
        find_voice(tmp_path)
