"""From a server, or files at hand, to a voice in its folder; everything else is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bad_server as bad
import checkpoint_files as make
import numpy as np
import pytest
import torch

from ttscli import Synthesizer, cli, files
from ttscli.checkpoints import load_tacotron2, load_waveglow
from ttscli.download import Downloader, Patience
from ttscli.voices import find_voice

ROOT = Path(__file__).resolve().parents[1]
QUICK = Patience(connect_s=5, stall_s=1, attempts=3, first_wait_s=0.01, longest_idle_s=1)


@dataclass(frozen=True)
class Place:
    """A user's folder with a registry of one voice, and a server that has its files."""

    home: Path
    server: bad.Server
    files: dict[str, bytes]

    @property
    def voice(self) -> Path:
        return self.home / "voices" / "tiny"

    def offer(self, **fields: Any) -> None:
        """Write the registry; `fields` go to the WaveGlow."""
        table = "[tiny]\ndescription = 'Tiny'\nlicence = 'MIT'\nsigma = 0.1\n"
        for role in ("tacotron2", "waveglow"):
            table += f"[tiny.{role}]\nurl = '{self.server.url}/{role}.pt'\n"
        table += "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
        (self.home / "voices.toml").write_text(table)

    def leftovers(self) -> list[str]:
        partial = self.home / "voices" / ".partial"
        return sorted(path.name for path in partial.iterdir() if path.name != "lock")


@dataclass(frozen=True)
class Result:
    """What a run of the command left."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture(scope="session")
def checkpoints(tiny_voice: Path) -> dict[str, bytes]:
    """The tiny voice as NVIDIA's programs would have saved it."""
    made = {}
    folder = tiny_voice.parent
    for role, load in (("tacotron2", load_tacotron2), ("waveglow", load_waveglow)):
        state = make.their_names(load(tiny_voice / f"{role}.safetensors"))
        path = make.save({"state_dict": state}, folder / f"{role}.pt")
        made[f"/{role}.pt"] = path.read_bytes()
    return made


@pytest.fixture
def place(
    tmp_path: Path, checkpoints: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("TTSCLI_HOME", str(home))
    for name in ("TTSCLI_MIRROR", "TTSCLI_OFFLINE", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with bad.running() as server:
        server.files |= checkpoints
        place = Place(home, server, checkpoints)
        place.offer()
        yield place


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setattr("ttscli.download.Downloader", partial(Downloader, patience=QUICK))

    def run(*arguments: str | Path) -> Result:
        capfd.readouterr()
        code = cli.main(["download", *map(str, arguments)])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def assert_refused(result: Result, code: int, *parts: str) -> None:
    """One line, and no voice."""
    assert result.code == code, result.err
    assert result.out == ""
    last = result.err.splitlines()[-1]
    assert last.startswith("ttscli: ")
    assert "bug" not in last
    for part in parts:
        assert part in last


# Downloads


def test_a_voice_is_downloaded_and_speaks(place: Place, run: Run, tiny_voice: Path) -> None:
    result = run("tiny")
    assert (result.code, result.out) == (0, f"{place.voice}\n")
    for role in ("tacotron2", "waveglow"):
        sha256 = hashlib.sha256(place.files[f"/{role}.pt"]).hexdigest()
        assert f"tiny/{role}: " in result.err
        assert f"sha256 {sha256[:12]}: none is published; recorded" in result.err
    assert 'tiny is ready; try: ttscli synth -v tiny "Hello world."' in result.err
    assert sorted(path.name for path in place.voice.iterdir()) == [
        "origin.json", "tacotron2.safetensors", "voice.json", "waveglow.safetensors",
    ]  # fmt: skip
    assert place.leftovers() == []
    voice = find_voice("tiny")
    assert (voice.sigma, voice.description, voice.licence) == (0.1, "Tiny", "MIT")
    ours, theirs = Synthesizer.from_voice("tiny"), Synthesizer.from_voice(tiny_voice)
    np.testing.assert_array_equal(ours("Hello world.").samples, theirs("Hello world.").samples)


def test_a_voice_that_is_here_is_not_fetched_again(place: Place, run: Run) -> None:
    run("tiny")
    asked = len(place.server.asked)
    result = run("tiny")
    assert (result.code, result.out) == (0, f"{place.voice}\n")
    assert "tiny is here already" in result.err
    assert len(place.server.asked) == asked
    (place.voice / "waveglow.safetensors").write_bytes(b"short")
    assert run("tiny").code == 0
    assert len(place.server.asked) == asked + 2, "one that is damaged is"
    again = run("tiny", "--force")
    assert "the same as at the first download" in again.err
    assert len(place.server.asked) == asked + 4


def test_the_built_in_voice_needs_no_download(place: Place, run: Run) -> None:
    result = run("small", "--offline")
    assert result.code == 0
    assert "small is here already" in result.err


def test_published_checksums_are_compared(place: Place, run: Run) -> None:
    data = place.files["/waveglow.pt"]
    place.offer(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    result = run("tiny")
    assert result.code == 0
    assert "tiny/tacotron2: " in result.err
    assert "as published" in result.err
    place.offer(sha256="0" * 64)
    refused = run("tiny", "--force")
    assert_refused(refused, 6, "it is not the published file: its sha256 begins", "--mirror")
    assert place.leftovers() and all("tacotron2" in name for name in place.leftovers())
    assert find_voice("tiny"), "the voice that was here is untouched"
    assert run("--verify", "tiny").code == 0


def test_a_file_that_changed_since_the_first_download_is_refused(place: Place, run: Run) -> None:
    assert run("tiny").code == 0
    shutil.rmtree(place.voice)
    place.server.files["/waveglow.pt"] += b"x"
    refused = run("tiny")
    known = place.home / "voices" / "known_files.json"
    assert_refused(refused, 6, "it is not the file of the first download", str(known))
    assert not place.voice.exists()
    known.unlink()
    place.server.files |= place.files
    assert run("tiny").code == 0
    known.write_text("[")
    assert_refused(run("tiny", "--force"), 6, str(known), "mend or remove it")


def test_pieces_of_two_files_are_fetched_once_more(place: Place, run: Run) -> None:
    """A server that gives no mark of a content: only the checksum tells that it changed."""
    data = place.files["/waveglow.pt"]
    place.offer(sha256=hashlib.sha256(data).hexdigest())
    place.server.etags = False
    place.server.files["/waveglow.pt"] = bytes(len(data))
    place.server.plan = [
        bad.good, bad.drops_after(5000), bad.becomes("/waveglow.pt", data),
    ]  # fmt: skip
    result = run("tiny")
    assert result.code == 0, result.err
    assert "in its pieces it is not the published file" in result.err
    assert [request.start for request in place.server.asked] == [None, None, 5000, None]


REFUSED = {
    "truncated": (lambda data: data[:-2000], "damaged or cut short"),
    "a lie about the length": (lambda data: data, "damaged or cut short"),
    "a page": (lambda data: b"<html>Log in</html>", "a web page instead of the file"),
    "an error": (lambda data: b'{"error": "quota exceeded"}', "not a checkpoint"),
    "nothing": (lambda data: b"", "the file is empty"),
    "the other model": (None, "this is a tacotron2, not a waveglow"),
}


@pytest.mark.parametrize(("change", "says"), REFUSED.values(), ids=REFUSED)
def test_wrong_content_never_becomes_a_voice(
    place: Place, run: Run, change: Any, says: str
) -> None:
    data = place.files["/waveglow.pt"]
    place.server.files["/waveglow.pt"] = change(data) if change else place.files["/tacotron2.pt"]
    if says == "damaged or cut short":
        place.server.plan = [bad.good, bad.claims_length(len(data) - 2000)]
    assert_refused(run("tiny"), 6, f"{place.server.url}/waveglow.pt: ", says)
    assert not place.voice.exists()
    assert not any("waveglow" in name for name in place.leftovers())
    place.server.files |= place.files
    assert run("tiny").code == 0, "and does not stand in the way of the right one"
    assert [request.path for request in place.server.asked].count("/tacotron2.pt") == 1


def test_planted_calls_do_not_run(place: Place, run: Run, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    evil = make.Calls(os.system, f"touch {marker}")
    path = make.save({"state_dict": {"x": evil}}, tmp_path / "evil.pt")
    place.server.files["/waveglow.pt"] = path.read_bytes()
    assert_refused(run("tiny"), 6, "refused, and none of it run: it asks for 'posix.system'")
    assert not marker.exists()
    assert not place.voice.exists()


def test_the_published_layout_is_checked(place: Place, run: Run) -> None:
    place.offer(sizes={})
    text = (place.home / "voices.toml").read_text().replace("sizes = {}", "sizes = {n_layers = 8}")
    (place.home / "voices.toml").write_text(text)
    says = "it is not the published model: the tensor upsample.weight has the shape"
    assert_refused(run("tiny"), 6, says, "(80, 80, 256) instead of (80, 80, 1024)")
    text = text.replace(
        "n_layers = 8",
        "n_flows = 2, n_early_every = 1, n_layers = 1, n_channels = 4, upsample_kernel_size = 256",
    )
    (place.home / "voices.toml").write_text(text)
    assert run("tiny").code == 0


@pytest.mark.parametrize(
    ("plan", "code", "says"),
    [
        ([bad.status(404)], 6, "404 Not Found"),
        ([bad.status(503, "0")] * 3, 5, "503 Service Unavailable, 3 times in a row"),
        ([bad.drops_after(3000), *[bad.drops_all] * 3], 5, "goes on after 3000 bytes"),
    ],
)
def test_servers_that_do_not_deliver(
    place: Place, run: Run, plan: list[bad.Behaviour], code: int, says: str
) -> None:
    place.server.plan = list(plan)
    assert_refused(run("tiny"), code, f"{place.server.url}/tacotron2.pt: ", says)
    assert run("tiny").code == 0


# Mirrors, offline, space


def test_mirrors(place: Place, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, data in place.files.items():
        place.server.files[f"/else{name}"] = place.server.files.pop(name)
        (folder / name[1:]).write_bytes(data)
    assert_refused(run("tiny"), 6, "404", "--mirror")
    assert run("tiny", "--mirror", f"{place.server.url}/else/").code == 0
    shutil.rmtree(place.voice)
    asked = len(place.server.asked)
    result = run("tiny", "--mirror", folder, "--offline")
    assert result.code == 0, result.err
    assert "the same as at the first download" in result.err, "a mirror has the same files"
    assert len(place.server.asked) == asked
    assert sorted(path.name for path in folder.iterdir()) == ["tacotron2.pt", "waveglow.pt"]
    monkeypatch.setenv("TTSCLI_MIRROR", str(tmp_path / "nowhere"))
    missing = tmp_path / "nowhere" / "tacotron2.pt"
    assert_refused(run("tiny", "--force"), 6, f"{missing}: the mirror has no such file")
    assert_refused(run("tiny", "--force", "--mirror", "ftp://x/y"), 2, "a folder or a http url")


def test_offline(place: Place, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(run("tiny", "--offline"), 6, "tiny/tacotron2 is not here, and --offline")
    monkeypatch.setenv("TTSCLI_OFFLINE", "1")
    assert_refused(run("tiny"), 6, "--offline")
    assert place.server.asked == []
    monkeypatch.setenv("TTSCLI_OFFLINE", "0")
    assert run("tiny").code == 0
    assert run("tiny", "--offline").code == 0
    assert run("--verify", "--offline").code == 0


def test_no_space_is_found_out_before(
    place: Place, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.offer(about=10**9)
    usage = files.shutil.disk_usage(place.home)._replace(free=1_900_000_000)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage)
    assert_refused(run("tiny"), 7, "2000 MB are needed, 1900 MB are free; free some space")
    assert place.server.asked == []


def test_folders_that_are_not_ours(place: Place, run: Run) -> None:
    assert_refused(run("tiny", "--dir", "/proc/x"), 7, "/proc/x")
    blocked = place.home / "file"
    blocked.touch()
    assert_refused(run("tiny", "--dir", blocked), 7, str(blocked))


def test_another_folder(place: Place, run: Run, tmp_path: Path) -> None:
    result = run("tiny", "--dir", tmp_path / "my voices")
    assert result.out == f"{tmp_path}/my voices/tiny\n"
    assert f"ttscli synth -v '{tmp_path}/my voices/tiny'" in result.err
    assert find_voice(tmp_path / "my voices" / "tiny").sigma == 0.1


def test_checkpoints_can_be_kept(place: Place, run: Run) -> None:
    assert run("tiny", "--keep").code == 0
    assert (place.voice / "waveglow.pt").read_bytes() == place.files["/waveglow.pt"]
    assert place.leftovers() == []
    assert run("--verify", "tiny").code == 0
    (place.voice / "waveglow.pt").write_bytes(b"x")
    assert_refused(run("--verify", "tiny"), 6, "waveglow.pt: it has 1 byte instead of")


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (("a/tacotron2.safetensors", "a/waveglow.safetensors"),
         ("tacotron2-tacotron2.safetensors", "waveglow-waveglow.safetensors")),
        (("a/model.pt", "b/model.pt"), ("model.pt", "waveglow-model.pt")),
    ],
)  # fmt: skip
def test_kept_checkpoints_replace_no_file_of_the_voice(
    place: Place,
    run: Run,
    tmp_path: Path,
    tiny_voice: Path,
    names: tuple[str, ...],
    kept: tuple[str, ...],
) -> None:
    given = [tmp_path / name for name in names]
    for path, role in zip(given, ("tacotron2", "waveglow"), strict=True):
        path.parent.mkdir(exist_ok=True)
        ours = (tiny_voice / f"{role}.safetensors").read_bytes()
        path.write_bytes(ours if path.stem == role else place.files[f"/{role}.pt"])
    assert run("mine", "--from", *map(str, given), "--keep").code == 0
    assert run("--verify", "mine").code == 0
    for path, name in zip(given, kept, strict=True):
        assert (place.home / "voices" / "mine" / name).read_bytes() == path.read_bytes()


# Checkpoints at hand


@pytest.mark.parametrize("form", ["zip", "legacy", "half", "safetensors", "ours"])
def test_import(place: Place, run: Run, tmp_path: Path, tiny_voice: Path, form: str) -> None:
    given = []
    for name, role in (("one", "waveglow"), ("two.bin", "tacotron2")):
        path = tmp_path / name
        source = tiny_voice / f"{role}.safetensors"
        model = (load_tacotron2 if role == "tacotron2" else load_waveglow)(source)
        state = make.their_names(model)
        if form == "ours":
            shutil.copy(source, path)
        elif form == "safetensors":
            from safetensors.torch import save_file

            save_file({key: value.contiguous() for key, value in state.items()}, path)
        else:
            if form == "half":
                state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
            make.save({"state_dict": state}, path, form == "legacy")
        given.append(path)
    result = run("mine", "--from", *given)
    assert result.code == 0, result.err
    assert result.out == f"{place.home}/voices/mine\n"
    assert "mine/one: " in result.err
    assert "not compared, for none is known" in result.err
    for role, load in (("tacotron2", load_tacotron2), ("waveglow", load_waveglow)):
        expected = load(given[0 if role == "waveglow" else 1]).state_dict()
        found = load(place.home / "voices" / "mine" / f"{role}.safetensors").state_dict()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)
    assert all(path.exists() for path in given)
    assert run("--verify", "mine").code == 0


def test_import_as_a_voice_on_offer(place: Place, run: Run, tmp_path: Path) -> None:
    given = []
    for name, data in place.files.items():
        given.append(tmp_path / f"by hand {name[1:3]}")
        given[-1].write_bytes(data)
    data = place.files["/waveglow.pt"]
    place.offer(sha256=hashlib.sha256(data).hexdigest())
    result = run("tiny", "--from", given[1], "--from", given[0])
    assert result.code == 0, result.err
    assert find_voice("tiny").sigma == 0.1, "with the settings of the registry"
    assert place.server.asked == []
    assert not (place.home / "voices" / "known_files.json").exists()
    place.offer(sha256="0" * 64)
    refused = run("tiny", "--force", "--from", *given)
    assert_refused(refused, 6, str(given[1]), "not the published file", "under another name")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--from", "t"], 2, "needs one name"),
        (["a", "b", "--from", "t"], 2, "needs one name"),
        (["mine", "--from"], 2, "--from"),
        (["mine", "--from", "t"], 6, "there is no checkpoint of a waveglow"),
        (["mine", "--from", "t", "t"], 6, "there are two checkpoints of a tacotron2"),
        (["--from", "t", "w", "-q", "mine", "--from", "x"], 6, "x: there is no such file"),
        (["mine", "--from", "t", "."], 6, "this is a folder"),
        (["mine", "--from", "t", "page"], 6, "page: this is a web page, not a checkpoint"),
        (["../x", "--from", "t", "w"], 6, "cannot be the name of a voice"),
        (["x/y", "--from", "t", "w"], 6, "cannot be the name of a voice"),
        (["", "--from", "t", "w"], 6, "cannot be the name of a voice"),
        (["small", "--from", "t", "w"], 2, "is a built-in voice"),
        (["there", "--from", "t", "w"], 2, "there is a voice 'there'"),
        (["x", "--list"], 2, "takes no names"),
        (["--list", "--verify"], 2, "exclude one another"),
        ([], 2, "no voice named"),
        (["nobody"], 6, "there is no voice 'nobody' to download; there are: ljspeech"),
        (["../x"], 6, "there is no voice"),
    ],
)
def test_wrong_calls(
    place: Place, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str],
    code: int, says: str,
) -> None:  # fmt: skip
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    Path("t").write_bytes(place.files["/tacotron2.pt"])
    Path("w").write_bytes(place.files["/waveglow.pt"])
    Path("page").write_text("<html>")
    there = place.home / "voices" / "there"
    there.mkdir(parents=True)
    (there / "voice.json").write_text("{}")
    assert_refused(run(*words), code, says)
    assert sorted(path.name for path in there.parent.iterdir() if path.name[0] != ".") == ["there"]


def test_a_refused_import_leaves_the_voice_as_it_was(
    place: Place, run: Run, tmp_path: Path
) -> None:
    for name, data in place.files.items():
        (tmp_path / name[1:]).write_bytes(data)
    given = [tmp_path / "tacotron2.pt", tmp_path / "waveglow.pt"]
    assert run("mine", "--from", *given).code == 0
    before = {path: path.read_bytes() for path in (place.home / "voices" / "mine").iterdir()}
    given[1].write_bytes(b"PK\x03\x04")
    assert_refused(run("mine", "--force", "--from", *given), 6, "damaged")
    assert {path: path.read_bytes() for path in before} == before
    assert place.leftovers() == []


# What is here


def test_list(place: Place, run: Run) -> None:
    def states() -> dict[str, tuple[str, int]]:
        lines = [json.loads(line) for line in run("--list", "--json").out.splitlines()]
        assert {line["event"] for line in lines} == {"voice_listed"}
        return {line["voice"]: (line["state"], line["size"]) for line in lines}

    before = states()
    assert list(before) == ["small", "ljspeech", "ljspeech-fp16", "ljspeech-256", "tiny"]
    assert before["small"][0] == "built in"
    assert before["ljspeech-256"] == ("not here", 789_000_000)
    assert before["tiny"] == ("not here", 0)
    place.server.plan = [bad.drops_after(1000), *[bad.drops_all] * 3]
    run("tiny")
    assert states()["tiny"][0] == "partly here"
    run("tiny")
    size = sum(path.stat().st_size for path in place.voice.iterdir())
    assert states()["tiny"] == ("here", size)
    table = run("--list")
    assert table.code == 0
    assert table.err == ""
    line = next(line for line in table.out.splitlines() if line.startswith("tiny "))
    assert line.split() == ["tiny", "here", f"{size / 1e6:.1f}", "MB", "MIT", "Tiny"]
    (place.voice / "voice.json").write_text("{")
    assert states()["tiny"][0] == "damaged"


def test_verify(place: Place, run: Run) -> None:
    assert run("tiny").code == 0
    result = run("--verify")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "small: whole, by recorded checksums\ntiny: whole, by recorded checksums\n"
    )
    weights = place.voice / "waveglow.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    broken = run("--verify", "tiny")
    assert_refused(broken, 6, f"{weights}: its content has changed", "ttscli download tiny --force")
    weights.unlink()
    assert_refused(run("--verify", "tiny"), 6, f"{weights}: it is missing")
    events = [json.loads(line) for line in run("--verify", "--json").out.splitlines()]
    assert [event["voice"] for event in events] == ["small", "tiny"]
    assert len(events[1]["problems"]) == 2
    assert " and 1 more problem; " in run("--verify", "tiny").err
    assert run("tiny", "--force").code == 0
    assert run("--verify", "tiny").code == 0
    assert_refused(run("--verify", "ljspeech"), 6, "it is not here", "ttscli download ljspeech")
    assert_refused(run("--verify", "nobody"), 6, "nobody: it is not here")


def test_verify_reads_what_has_no_checksums(place: Place, run: Run) -> None:
    assert run("tiny").code == 0
    (place.voice / "origin.json").unlink()
    assert "by the model's layout" in run("--verify", "tiny").out
    weights = place.voice / "waveglow.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4:] = np.float32(np.nan).tobytes()
    weights.write_bytes(data)
    assert_refused(run("--verify", "tiny"), 6, "numbers that are not finite")


def test_verify_reads_the_files_beside_the_models(place: Place, run: Run) -> None:
    assert run("tiny").code == 0
    manifest, table = place.voice / "voice.json", place.voice / "lexicon.tsv"
    fields = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(fields | {"lexicon": "lexicon.tsv"}))
    for content, says in (
        (b"", f"{manifest}: lexicon: the file 'lexicon.tsv' beside it is empty"),
        (b"a\tAH0\nno phones\n", f"{table}:2: this line is not a word"),
        (b"b\tB IY1\na\tAH0\n", f"{table}:2: its words are not sorted"),
    ):
        table.write_bytes(content)
        assert_refused(run("--verify", "tiny"), 6, says)
    table.write_bytes(b"a\tAH0\nb\tB IY1\n")
    assert run("--verify", "tiny").code == 0
    manifest.write_text(json.dumps(fields | {"denoiser": "lexicon.tsv"}))
    assert_refused(run("--verify", "tiny"), 6, f"{table}: no bias spectrum can be read here")


def test_speaking_with_a_voice_that_is_not_here_names_the_command(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["synth", "-v", "ljspeech", "Hello."]) == 6
    line = "ttscli: the voice 'ljspeech' is not downloaded; run: ttscli download ljspeech\n"
    assert capfd.readouterr().err == line


def test_json(place: Place, run: Run) -> None:
    place.server.plan = [bad.drops_after(3000)]
    result = run("tiny", "--json")
    assert (result.code, result.err) == (0, "")
    events = [json.loads(line) for line in result.out.splitlines()]
    names = [event["event"] for event in events if event["event"] != "download_progress"]
    assert names == [
        "download_started", "download_interrupted", "download_started", "file_checked",
        "download_started", "file_checked", "file_converting", "file_converting", "voice_ready",
    ]  # fmt: skip
    assert events[-1]["path"] == str(place.voice)
    progress = [event for event in events if event["event"] == "download_progress"]
    assert {"file", "done", "total", "bytes_per_s", "left_s"} < progress[0].keys()
    assert run("tiny", "--force", "-q") == Result(0, "", "")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("x", "this is not TOML"),
        ("x = 1", "[x]: it is not a table"),
        ("[x]", "it has no table [x.tacotron2]"),
        ("[x]\n[x.tacotron2]\n[x.waveglow]", "its url is not one of http or https"),
        ("[x]\ntacotron2.url='file:///etc/x'\nwaveglow.url='x'", "its url is not one of http"),
        ("[x]\ntacotron2.url='http://x/..'\nwaveglow.url='x'", "the name of a file"),
        ("[x]\ntacotron2={url='http://x/y', md5='1'}\nwaveglow={}", "unknown field 'md5'"),
        ("[x]\ntacotron2={url='http://x/y', sha256='1'}\nwaveglow={}", "64 hexadecimal digits"),
        ("[x]\ntacotron2={url='http://x/y', size=-1}\nwaveglow={}", "not a number of bytes"),
        ("[x]\ntacotron2={url='http://x/y', sizes={a='1'}}\nwaveglow={}", "a table of numbers"),
        ("[x]\nsigm=1\ntacotron2.url='http://x/y'\nwaveglow.url='http://x/z'", "field 'sigm'"),
        ("[x]\nlexicon='l'\ntacotron2.url='http://x/y'\nwaveglow.url='http://x/z'", "'lexicon'"),
        ("[x]\nsigma='1'\ntacotron2.url='http://x/y'\nwaveglow.url='http://x/z'", "sigma: '1'"),
    ],
)
def test_wrong_registries(place: Place, run: Run, table: str, says: str) -> None:
    (place.home / "voices.toml").write_text(table)
    assert_refused(run("x"), 6, says)


def test_a_wrong_entry_concerns_no_other_voice(
    place: Place, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    table = place.home / "voices.toml"
    wrong = "[wrong]\ntacotron2.url='file:///etc/x'\nwaveglow.url='http://x/y'\n['../x']\n"
    table.write_text(table.read_text() + wrong)
    assert run("tiny").code == 0
    assert run("--verify").code == 0
    assert_refused(run("nobody"), 6, "there is no voice 'nobody'", "ljspeech-256, tiny")
    says = f"{table}: [wrong]: tacotron2: its url is not one of http or https"
    assert_refused(run("wrong"), 6, says)
    assert_refused(run("wrong", "--from", "x", "y"), 6, says)
    listed = [json.loads(line) for line in run("--list", "--json").out.splitlines()]
    states = {line["voice"]: (line["state"], line["description"]) for line in listed}
    assert states["tiny"] == ("here", "Tiny")
    assert states["wrong"] == ("wrong entry", says)
    assert states["../x"][0] == "wrong entry"
    assert says in run("--list").out
    for voice, line in (("wrong", says), ("nobody", "unknown voice 'nobody'")):
        capfd.readouterr()
        assert cli.main(["synth", "-v", voice, "Hello."]) == 6
        assert capfd.readouterr().err.startswith(f"ttscli: {line}")


# Processes of their own


def start(*arguments: str) -> subprocess.Popen[str]:
    code = "import signal, runpy; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "runpy.run_module('ttscli', run_name='__main__')"
    return subprocess.Popen(
        [sys.executable, "-c", code, "download", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_two_processes_share_a_download(place: Place) -> None:
    place.server.plan = [bad.stalls_after(3000, 1.5)]
    place.server.plan += [bad.good] * 2
    processes = [start("tiny"), start("tiny")]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert {out for out, _ in results} == {f"{place.voice}\n"}
    assert sum("another run downloads into it; waiting" in err for _, err in results) == 1
    assert sum("is here already" in err for _, err in results) == 1
    assert [request.path for request in place.server.asked].count("/waveglow.pt") == 1


def test_killed_and_continued(place: Place) -> None:
    size = len(place.files["/tacotron2.pt"])
    stops = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}
    for step, (number, code) in enumerate(stops.items(), start=1):
        reached = size * step // 5
        place.server.plan = [bad.stalls_after(reached, 5)]
        process = start("tiny")

        def has_come(reached: int = reached) -> bool:
            parts = (place.home / "voices" / ".partial").glob("tacotron2*.part")
            return sum(part.stat().st_size for part in parts) == reached

        wait_for(has_come)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert err.endswith("ttscli: stopped\n" if code > 0 else "")
        assert not place.voice.exists()
    last = start("tiny")
    out, err = last.communicate(timeout=60)
    assert (last.returncode, out) == (0, f"{place.voice}\n"), err
    starts = [request.start for request in place.server.asked[:4]]
    assert starts == [None, *(size * step // 5 for step in (1, 2, 3))]
    assert place.leftovers() == []


def test_killed_while_converting(place: Place) -> None:
    process = start("tiny", "--json")
    assert process.stdout is not None
    while "file_converting" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)
    assert not place.voice.exists()
    asked = len(place.server.asked)
    out, err = start("tiny", "--offline").communicate(timeout=60)
    assert out == f"{place.voice}\n", err
    assert len(place.server.asked) == asked, "what was whole is not fetched again"
    assert place.leftovers() == []


def test_a_run_that_hangs_does_not_hang_others(place: Place, run: Run) -> None:
    import filelock

    lock = place.home / "voices" / ".partial" / "lock"
    lock.parent.mkdir(parents=True)
    with filelock.FileLock(lock):
        assert_refused(run("tiny"), 8, "another run holds it and has done nothing", "end that run")
    assert run("tiny").code == 0


def test_a_closed_pipe_ends_quietly(place: Place) -> None:
    process = start("--list")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) in (0, 141)
    with contextlib.suppress(OSError):
        process.stderr.close()
