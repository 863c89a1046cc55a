"""Every bad checkpoint is refused in one line, runs nothing and takes no memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import resource
import struct
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoint_files as make
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ttscli.checkpoints import load_tacotron2, load_waveglow, save_safetensors
from ttscli.checkpoints.arrays import read_tacotron2, read_waveglow
from ttscli.errors import VoiceError

pytestmark = [  # what torch thinks of the old files that are made here
    pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated"),
    pytest.mark.filterwarnings("ignore:Couldn't retrieve source code"),
]


def refusal(load: Callable[[Path], Any], path: Path) -> str:
    """The one line that a bad file gets."""
    with pytest.raises(VoiceError) as error:
        load(path)
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    assert len(line) < len(str(path)) + 200
    return line


# Villains


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def test_the_trap_works(marker: Path) -> None:
    pickle.loads(pickle.dumps(make.Calls(os.system, f"touch {marker}")))
    assert marker.exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "plant",
    [
        lambda evil, state: evil,
        lambda evil, state: {"model": evil},
        lambda evil, state: {"state_dict": state, "optimizer": {"state": [(evil,)]}},
        lambda evil, state: {"state_dict": {**state, "extra": evil}},
        lambda evil, state: {"state_dict": state, "config": evil},
        lambda evil, state: {evil: state},
    ],
)
@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, __import__])
def test_planted_calls_are_refused(
    tmp_path: Path, marker: Path, legacy: bool, plant: Any, function: Any
) -> None:
    code = f"touch {marker}" if function is os.system else f"open({str(marker)!r}, 'w')"
    payload = plant(make.Calls(function, code), {"embedding.weight": torch.ones(2, 2)})
    path = make.save(payload, tmp_path / "x", legacy)
    for load in (load_tacotron2, load_waveglow):
        assert "refused, and none of it run: it asks for" in refusal(load, path)
    assert not marker.exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("depth", ["attribute", "hook", "parameter"])
def test_a_call_within_a_module_is_refused(
    tmp_path: Path, marker: Path, legacy: bool, depth: str
) -> None:
    evil: Any = make.Calls(os.system, f"touch {marker}")
    with make.glow_classes() as glow:
        module: Any = make.glow_module(glow, make.waveglow())
        if depth == "attribute":
            module.WN[0].in_layers[1].note = evil
        elif depth == "hook":
            module.WN[0].start._forward_pre_hooks[99] = evil
        else:
            module.convinv[0].conv._parameters["weight"] = evil
        path = make.save({"model": module}, tmp_path / "x", legacy)
    assert "asks for 'posix.system'" in refusal(load_waveglow, path)
    assert not marker.exists()


def test_other_ways_to_call_are_refused(tmp_path: Path, marker: Path) -> None:
    evil = make.Calls(os.system, f"touch {marker}")
    old_style = f"(S'touch {marker}'\nios\nsystem\n.".encode()
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    for data in (
        *(pickle.dumps(evil, protocol) for protocol in range(6)),
        magic + pickle.dumps(evil, 2),
        magic + pickle.dumps(1001, 2) + pickle.dumps(evil, 2),
        b"\x80\x02" + old_style,
        magic + b"\x80\x02" + old_style,
        b"\x80\x02c__builtin__\nset\n(dR.",
    ):
        (tmp_path / "x").write_bytes(data)
        refusal(load_waveglow, tmp_path / "x")
        assert not marker.exists()


def test_a_file_cannot_spoil_the_reader(tmp_path: Path) -> None:
    """BUILD on a class sets its attributes; those of the next file's shells are new ones."""
    class_attributes = b"\x80\x02cglow\nWaveGlow\n(N}X\x0a\x00\x00\x00_buffers_ok"
    (tmp_path / "x").write_bytes(
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + class_attributes + b"K\x01stb."
    )
    refusal(load_waveglow, tmp_path / "x")
    with make.glow_classes() as glow:
        good = make.save(make.glow_module(glow, make.waveglow()), tmp_path / "good", legacy=True)
    assert load_waveglow(good).config == make.WAVEGLOW_CONFIG


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("numel", "shape", "stride"),
    [
        (2**40, (2**20, 2**20), (2**20, 1)),
        (2**28, (2**14, 2**14), (2**14, 1)),
        (4, (2**14, 2**14), (0, 0)),
        (4, (2**14, 2**14), (2**14, 1)),
        (2**62, (2**31, 2**31), (2**31, 1)),
    ],
)
def test_declared_sizes_are_not_believed(
    tmp_path: Path, legacy: bool, numel: int, shape: Any, stride: Any
) -> None:
    path = make.lying_file(tmp_path / "x", legacy, numel, shape, stride)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = refusal(load_tacotron2, path)
    assert "damaged" in line or "claims to be larger" in line
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_honest_file_by_hand_is_read(tmp_path: Path) -> None:
    """The files above are refused for their lies, not for how they were made."""
    for legacy in (False, True):
        path = make.lying_file(tmp_path / "x", legacy, 4, (2, 2), (2, 1))
        assert "convolutions.0.conv.weight is missing" in refusal(load_tacotron2, path)


def test_safetensors_that_lie(tmp_path: Path) -> None:
    huge = {"embedding.weight": {"dtype": "F32", "shape": [2**30, 2**30], "data_offsets": [0, 16]}}
    header = json.dumps(huge).encode()
    path = tmp_path / "x"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    assert "damaged" in refusal(load_tacotron2, path)
    path.write_bytes(struct.pack("<Q", 2**40) + header)
    assert "damaged" in refusal(load_tacotron2, path)


def test_zip_bombs_are_refused(tmp_path: Path) -> None:
    source = make.save({"state_dict": make.their_names(make.tacotron2())}, tmp_path / "source")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "x", "w", 8) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "compressed" in refusal(load_tacotron2, tmp_path / "x")


# Files that are no checkpoints, or no longer


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "web page"),
        (b"\xef\xbb\xbf\n  <html>", "web page"),
        (b'{"error": "not found"}', "not a checkpoint"),
        (b"hello", "not a checkpoint"),
        (b"RIFF" + bytes(100), "not a checkpoint"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
        (b"\x80", "not a checkpoint"),
        (pickle.dumps({"a": 1}, 2), "not a checkpoint"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{", "damaged"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    assert says in refusal(load_tacotron2, tmp_path / "x.pt")
    assert says in refusal(load_waveglow, tmp_path / "x.pt")


def test_files_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file" in refusal(load_tacotron2, tmp_path / "nothing.pt")
    assert "folder" in refusal(load_tacotron2, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(load_waveglow, tmp_path / "pipe")
    (tmp_path / "x").write_bytes(b"x")

    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # modes do not stop root
    assert "Permission denied" in refusal(load_tacotron2, tmp_path / "x")


@pytest.fixture(scope="module", params=["zip", "legacy", "module zip", "module legacy", "ours"])
def good_file(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "x"
    if request.param == "ours":
        save_safetensors(path, make.waveglow(), "waveglow")
        return path
    payload: Any = {"state_dict": make.their_names(make.waveglow())}
    with make.glow_classes() as glow:
        if "module" in request.param:
            payload = {"model": make.glow_module(glow, make.waveglow())}
        return make.save(payload, path, "legacy" in request.param)


def test_truncated_files(good_file: Path, tmp_path: Path) -> None:
    data = good_file.read_bytes()
    for cut in (1, 9, 60, len(data) // 3, len(data) // 2, len(data) - 900, len(data) - 1):
        (tmp_path / "x").write_bytes(data[:cut])
        refusal(load_waveglow, tmp_path / "x")


def test_flipped_bytes_load_or_are_refused(good_file: Path, tmp_path: Path) -> None:
    data = good_file.read_bytes()
    numbers = random.Random(0)
    for _ in range(60):
        damaged = bytearray(data)
        # Most near the ends, where structure is, and not numbers.
        place = min(int(numbers.expovariate(1 / 800)), len(data) - 1)
        place = numbers.choice([place, -1 - place, numbers.randrange(len(data))])
        damaged[place] ^= 1 << numbers.randrange(8)
        (tmp_path / "x").write_bytes(damaged)
        try:
            load_waveglow(tmp_path / "x")
        except VoiceError as e:
            assert "\n" not in str(e)


# Weights that are not those of the model


def spoil(name: str, change: Any) -> Callable[[dict[str, Any]], None]:
    def apply(state: dict[str, Any]) -> None:
        if change is None:
            del state[name]
        else:
            state[name] = change(state.get(name))

    return apply


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (spoil("decoder.gate_layer.linear_layer.bias", None), "decoder.gate.bias is missing"),
        (spoil("embedding.weight", None), "embedding.weight is missing"),
        (spoil("postnet.convolutions.1.0.conv.weight", None), "is missing"),
        (spoil("decoder.extra.weight", lambda _: torch.ones(1)), "decoder.extra.weight is unknown"),
        (spoil("a\n\x1b[31m", lambda _: torch.ones(1)), "the tensor a??[31m is unknown"),
        (spoil("x" * 10**6, lambda _: torch.ones(1)), "is unknown"),
        (spoil("embedding.weight", lambda t: t[:, :5]), "has the shape"),
        (spoil("embedding.weight", lambda t: t[0]), "has the shape"),
        (spoil("embedding.weight", lambda t: t[:0]), "has the shape"),
        (spoil("decoder.gate_layer.linear_layer.bias", lambda t: t / 0), "not finite"),
        (spoil("encoder.lstm.bias_ih_l0", lambda t: t * torch.nan), "not finite"),
        (spoil("embedding.weight", lambda t: t.double() * 1e300), "not finite"),
        (spoil("embedding.weight", lambda t: t.long()), "of the type torch.int64"),
        (spoil("embedding.weight", lambda t: t.to(torch.complex64)), "of the type"),
        (spoil("embedding.weight", lambda t: t.to_sparse()), "refused"),
        (spoil("embedding.weight", lambda t: t.to("meta")), "refused"),
        (spoil("embedding.weight", lambda t: [1.0]), "'embedding.weight', a list"),
        (spoil("module.embedding.weight", lambda t: torch.ones(2, 2)), "embedding.weight twice"),
    ],
)
def test_wrong_tensors(tmp_path: Path, change: Any, says: str) -> None:
    state = make.their_names(make.tacotron2())
    change(state)
    path = make.save({"state_dict": state}, tmp_path / "x")
    assert says in refusal(load_tacotron2, path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (spoil("WN.0.start.weight_v", None), "WN.0.start.weight_g"),
        (spoil("WN.0.start.weight_g", None), "couplings.0.start.weight"),
        (spoil("WN.0.start.weight_g", lambda t: t[:1]), "does not fit"),
        (spoil("WN.0.start.weight_v", lambda t: t * 0), "not finite"),
        (spoil("WN.1.cond_layers.0.bias", None), "parts of WN.1.cond_layer.bias"),
        (spoil("WN.1.cond_layers.1.weight_v", lambda t: t[:, :5]), "different shapes"),
        (spoil("convinv.2.conv.weight", lambda t: t[:5, :5]), "fit no model"),
        (spoil("convinv.0.conv.weight", lambda t: t[..., [0, 0]]), "has the shape"),
        (spoil("convinv.3.conv.weight", None), "invertible.3.weight is missing"),
    ],
)
def test_wrong_waveglow_tensors(tmp_path: Path, change: Any, says: str) -> None:
    state = make.with_weight_norm(make.their_names(make.waveglow()))
    change(state)
    path = make.save({"state_dict": state}, tmp_path / "x")
    assert says in refusal(load_waveglow, path)


def test_the_wrong_model(tmp_path: Path) -> None:
    theirs = make.save(make.their_names(make.waveglow()), tmp_path / "w")
    assert "this is a WaveGlow, not a Tacotron 2" in refusal(load_tacotron2, theirs)
    save_safetensors(tmp_path / "t", make.tacotron2(), "tacotron2")
    assert "this is a Tacotron 2, not a WaveGlow" in refusal(load_waveglow, tmp_path / "t")
    other = make.save(nn.Linear(2, 2).state_dict(), tmp_path / "o")
    assert "neither a Tacotron 2's nor a WaveGlow's" in refusal(load_waveglow, other)
    for payload, says in (([1], "holds a list"), ({"epoch": 3}, "'epoch', a int"), ({}, "neither")):
        assert says in refusal(load_waveglow, make.save(payload, tmp_path / "p"))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"n_symbols": 12}, "its config says n_symbols 12, its tensors 11"),
        ({"postnet_n_convolutions": 10**9}, "its config says postnet_n_convolutions 1000000000"),
        ({"gate_threshold": "half"}, "its config says gate_threshold 'half'"),
        ({"gate_threshold": float("nan")}, "its config says gate_threshold nan"),
        ({"gate_threshold": 10**99}, "its config says gate_threshold 10000"),
    ],
)
def test_a_config_that_lies(tmp_path: Path, config: dict[str, object], says: str) -> None:
    file = {"state_dict": make.their_names(make.tacotron2()), "config": config}
    assert says in refusal(load_tacotron2, make.save(file, tmp_path / "x"))


def test_metadata_that_lie(tmp_path: Path) -> None:
    tensors = make.waveglow().state_dict()
    good = {"format": "ttscli", "version": "1", "kind": "waveglow", "config": "{}"}
    for change, says in (
        ({"version": "2"}, "update ttscli"),
        ({"kind": "vocoder"}, "update ttscli"),
        ({"config": "{"}, "not JSON"),
        ({"config": "[]"}, "not a JSON object"),
        ({"config": '{"n_flows": 1000000000}'}, "its tensors 4"),
        ({"config": '{"hop_length": 257}'}, "fit no model"),
        ({"kind": "tacotron2"}, "this is a Tacotron 2"),
        ({"kind": "harmonic-waveglow"}, "is missing"),
    ):
        save_file(tensors, tmp_path / "x", good | change)
        assert says in refusal(load_waveglow, tmp_path / "x")


# More of what villains know


class Nested:
    """Calls within the arguments of a call, and a state that is one."""

    def __init__(self, evil: Any) -> None:
        self.evil = evil

    def __reduce__(self) -> Any:
        return OrderedDict, ([(1, self.evil)],), {"state": self.evil}, None, iter([(2, self.evil)])


@pytest.mark.parametrize("legacy", [False, True])
def test_nested_calls_are_refused(tmp_path: Path, marker: Path, legacy: bool) -> None:
    evil = make.Calls(os.system, f"touch {marker}")
    for payload in (
        Nested(evil),
        {"state_dict": OrderedDict(a=torch.ones(1)), "config": Nested(evil)},
        make.Calls(OrderedDict, [("a", Nested(evil))]),
        make.Calls(torch._utils._rebuild_tensor_v2, evil, 0, (1,), (1,), False, Nested(evil)),
        make.Calls(torch.load, str(tmp_path / "trap")),
        make.Calls(torch.hub.load, "someone/something", "model"),
        make.Calls(eval, "1"),
    ):
        path = make.save(payload, tmp_path / "x", legacy)
        line = refusal(load_waveglow, path)
        assert "refused, and none of it run: it asks for" in line
        assert not marker.exists()


def tar_of_torch(path: Path, evil: Any, first_name: str) -> Path:
    """The container before 2017: a tar with three pickles."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for name in (first_name, "storages", "tensors", "pickle", "../../slipped"):
            data = pickle.dumps(evil, 2)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_tar_containers_are_refused(tmp_path: Path, marker: Path) -> None:
    evil = make.Calls(os.system, f"touch {marker}")
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    for first_name in ("sys_info", "12345678{", os.fsdecode(magic), "PK\x03\x04"):
        path = tar_of_torch(tmp_path / "x", evil, first_name)
        for load in (load_tacotron2, load_waveglow, read_tacotron2, read_waveglow):
            refusal(load, path)
        assert not marker.exists()
        assert sorted(found.name for found in tmp_path.iterdir()) == ["x"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../../slipped", "lead out of it"),
        ("/tmp/slipped", "lead out of it"),
        ("x\\..\\..\\slipped", "lead out of it"),
        ("source/data.pkl", "two parts of one name"),
    ],
)
def test_archives_with_names_that_mislead(tmp_path: Path, name: str, says: str) -> None:
    source = make.save({"state_dict": make.their_names(make.tacotron2())}, tmp_path / "source")
    with zipfile.ZipFile(source, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(name, b"slipped")
    assert says in refusal(load_tacotron2, source)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["source"]


def safetensors_file(path: Path, header: object, data: bytes, pad: int = 0) -> Path:
    encoded = json.dumps(header).encode() + b" " * pad
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
    return path


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(0, 16, [4]), "b": entry(8, 24, [4])},
        {"a": entry(0, 16, [4]), "b": entry(0, 16, [4])},
        {"a": entry(0, 16, [4]), "b": entry(20, 24, [1])},
        {"a": entry(16, 0, [4])},
        {"a": entry(0, 24, [4])},
        {"a": entry(0, 24, [2**62, 4, 4])},
        {"a": entry(0, 24, [-6])},
        {"a": entry(-24, 0, [6])},
        {"a": entry(0, 2**63, [2**61])},
        {"a": entry(0, 28, [7])},
        {"a": entry(0, 24, [6], "F99")},
        {"a": {"dtype": "F32"}},
        {"a": 1},
        [],
    ],
)
def test_safetensors_whose_header_lies(tmp_path: Path, header: object) -> None:
    path = safetensors_file(tmp_path / "x", header, bytes(24))
    for load in (load_tacotron2, load_waveglow, read_tacotron2, read_waveglow):
        line = refusal(load, path)
        assert "damaged" in line or "not a checkpoint" in line


def test_gigantic_headers_take_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = tmp_path / "x"
    with path.open("wb") as file:  # a sparse file of 8 GB
        file.write(struct.pack("<Q", 8 << 30) + b'{"a":')
        file.truncate(8 << 30)
    for load in (load_waveglow, read_waveglow):
        assert "damaged" in refusal(load, path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize("config", ["[" * 10**5, '{"a":' * 10**5, "1" * 5000, "{" + '"' * 10**5])
def test_metadata_that_exhaust_a_parser(tmp_path: Path, config: str) -> None:
    metadata = {"format": "ttscli", "version": "1", "kind": "waveglow", "config": config}
    save_file(make.waveglow().state_dict(), tmp_path / "x", metadata)
    for load in (load_waveglow, read_waveglow):
        assert "not" in refusal(load, tmp_path / "x")


def test_a_value_that_is_endless_in_words(tmp_path: Path) -> None:
    """Sixty lists, each twice in the next: nothing in the file, 10^18 brackets on paper."""
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    state = make.their_names(make.tacotron2())
    for config in ({"n_symbols": value}, {"gate_threshold": value}, {"n_symbols": 10**600}):
        path = make.save({"state_dict": state, "config": config}, tmp_path / "x")
        assert "its config says" in refusal(load_tacotron2, path)


def test_deep_nesting(tmp_path: Path) -> None:
    deep = b"\x80\x02" + b"]" * 10**6 + b"a" * (10**6 - 1) + b"."
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    (tmp_path / "x").write_bytes(magic + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + deep)
    refusal(load_waveglow, tmp_path / "x")


@pytest.mark.parametrize(
    ("spoiled", "says"),
    [
        ([np.nan], "1 NaN of"),
        ([np.nan, np.nan, np.inf], "2 NaN and 1 infinite of"),
        ([-np.inf], "1 infinite of"),
    ],
)
@pytest.mark.parametrize("form", ["zip", "legacy", "ours"])
def test_weights_that_are_no_numbers_are_named(
    tmp_path: Path, form: str, spoiled: list[float], says: str
) -> None:
    model = make.tacotron2()
    with torch.no_grad():
        model.decoder.gate.weight[0, : len(spoiled)] = torch.tensor(spoiled)
    if form == "ours":
        save_safetensors(tmp_path / "x", model, "tacotron2")
    else:
        make.save({"state_dict": make.their_names(model)}, tmp_path / "x", form == "legacy")
    for load in (load_tacotron2, read_tacotron2):
        line = refusal(load, tmp_path / "x")
        assert "the tensor decoder.gate.weight has numbers that are not finite: " in line
        assert says in line


def test_large_but_finite_weights_are_taken(tmp_path: Path) -> None:
    """Their squares are not finite, which must not matter."""
    model = make.tacotron2()
    with torch.no_grad():
        model.decoder.gate.weight.fill_(3e38)
    save_safetensors(tmp_path / "x", model, "tacotron2")
    for load in (load_tacotron2, read_tacotron2):
        assert load(tmp_path / "x")
