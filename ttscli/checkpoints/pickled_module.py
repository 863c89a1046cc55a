"""Takes the tensors out of a pickled WaveGlow module without running anything in the file."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, TypeAlias

from ttscli.errors import VoiceError

if TYPE_CHECKING:
    from torch import Tensor

# A pickle is a program that may call whatever it can name. Two locks keep this one harmless: every
# opcode and every name is compared with a list before anything runs, and the names on the list
# stand for empty shells of ours. torch's own weights_only reader refuses modules in the container
# of 2019 whatever one allows it, so this reader knows both containers.

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
_OPCODES = (  # what torch.save writes
    "PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE "
    "BINSTRING SHORT_BINSTRING EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS "
    "EMPTY_DICT SETITEM SETITEMS BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL REDUCE NEWOBJ BUILD "
    "BINPERSID"
)
_MODULES = (
    "glow WaveGlow",
    "glow WN",
    "glow Invertible1x1Conv",
    "glow_old WaveGlow",
    "glow_old WN",
    "torch.nn.modules.container ModuleList",
    "torch.nn.modules.conv Conv1d",
    "torch.nn.modules.conv ConvTranspose1d",
    "torch.nn.utils.weight_norm WeightNorm",
    "torch.nn.backends.thnn _get_thnn_function_backend",  # every module of 2019 has one
)
_STORAGES = {
    "DoubleStorage": ("float64", 8),
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
}
_LARGEST_PICKLE = 64 << 20  # bytes; that of a full-size WaveGlow has a fifth of a megabyte


class _Dtype(NamedTuple):
    """What a storage class of the file stands for."""

    name: str
    itemsize: int


class _Storage(NamedTuple):
    """Numbers somewhere in the file."""

    key: str
    dtype: _Dtype
    numel: int

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


class _View(NamedTuple):
    """A tensor of the file: a view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Module:
    """A module of the file: its attributes, without its class."""


_Read: TypeAlias = Callable[[_Storage], bytes]


def read_module(path: Path) -> dict[str, Tensor]:
    """The state dict, under its own names, of the module in a file as NVIDIA/waveglow writes it."""
    with path.open("rb") as file:
        try:
            is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
            payload, read = _open_zip(file) if is_zip else _open_legacy(file)
            module = payload.get("model") if isinstance(payload, dict) else payload
            if not isinstance(module, _Module):
                raise VoiceError("it holds neither a state_dict nor a WaveGlow module")
            return _tensors(_state(module), read)
        except (VoiceError, OSError):
            raise
        except Exception as e:  # what a damaged pickle raises can be anything
            raise VoiceError("the file is damaged or cut short", todo="download it again") from e


def checked_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """The zip archive in a file, if its members are stored as they are and fit into the file."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as e:
        raise VoiceError("the file is damaged or cut short", todo="download it again") from e
    members = archive.infolist()
    if len({member.filename for member in members}) < len(members):
        raise VoiceError("refused: an archive with two parts of one name")
    if any(_leads_out(member.filename) for member in members):
        raise VoiceError("refused: its parts have names that lead out of it")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise VoiceError("refused: a compressed archive, which torch.save does not write")
    if sum(member.file_size for member in members) > file.seek(0, io.SEEK_END):
        raise VoiceError("refused: its parts claim to be larger than the file")
    return archive


def _leads_out(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or not parts[0] or ":" in parts[0]


def _open_zip(file: IO[bytes]) -> tuple[object, _Read]:
    """The container since 2020: an archive with the pickle and a file for each storage."""
    archive = checked_archive(file)
    names = archive.namelist()
    folder = next((n.removesuffix("data.pkl") for n in names if n.endswith("/data.pkl")), None)
    if folder is None:
        raise VoiceError("a zip archive, but not a checkpoint")
    if f"{folder}byteorder" in names:
        _check_little_endian(archive.read(f"{folder}byteorder") == b"little")
    payload, _ = _unpickle(io.BytesIO(archive.read(f"{folder}data.pkl")))

    def read(storage: _Storage) -> bytes:
        return archive.read(f"{folder}data/{storage.key}")

    return payload, read


def _open_legacy(file: IO[bytes]) -> tuple[object, _Read]:
    """The container until 2020: pickles in a row, then a count and numbers for each storage."""
    size = file.seek(0, io.SEEK_END)
    file.seek(len(LEGACY_MAGIC))
    _version, (system, _) = _unpickle(file), _unpickle(file)
    _check_little_endian(isinstance(system, dict) and system.get("little_endian") is True)
    payload, declared = _unpickle(file)
    keys, _ = _unpickle(file)
    positions: dict[str, int] = {}
    position = file.tell()
    for key in keys if isinstance(keys, list) else ():
        positions[key] = position
        position += 8 + declared[key].nbytes
    if position > size:
        raise ValueError("the storages go beyond the end")

    def read(storage: _Storage) -> bytes:
        file.seek(positions[storage.key])
        (numel,) = struct.unpack("<q", file.read(8))
        if numel != storage.numel:
            raise ValueError(f"storage {storage.key} has {numel} numbers")
        return file.read(storage.nbytes)

    return payload, read


def _check_little_endian(is_little: bool) -> None:
    if not is_little:
        raise VoiceError("it was written on a big-endian machine, which is not supported")


def _unpickle(file: IO[bytes]) -> tuple[object, dict[str, _Storage]]:
    """The next pickle of a file, once it is known to be harmless, and the storages it names."""
    names = _names()
    start = file.tell()
    _check_program(file, names)
    end = file.tell()
    file.seek(start)
    unpickler = _Unpickler(io.BytesIO(file.read(end - start)), names)
    return unpickler.load(), unpickler.storages


def _check_program(file: IO[bytes], names: Mapping[str, object]) -> None:
    """Read a pickle to its end without running it; refuse what weights do not need."""
    opcodes = frozenset(_OPCODES.split())
    memo_size = 0
    for opcode, argument, position in pickletools.genops(file):
        if opcode.name not in opcodes:
            raise VoiceError(f"refused: its pickle has the opcode {opcode.name}")
        if opcode.name == "GLOBAL" and argument not in names:
            name = ".".join(str(argument).split(" "))
            raise VoiceError(f"refused, and none of it run: it asks for {name[:80]!r}")
        if opcode.name in ("BINPUT", "LONG_BINPUT"):
            # Python's reader makes room for any index. Writers count from 0, in Python 2 from 1.
            if argument is None or argument > memo_size + 1:
                raise VoiceError("refused: its pickle skips memory")
            memo_size += 1
        if position is not None and position > _LARGEST_PICKLE:
            raise VoiceError("refused: its pickle is far larger than a WaveGlow's")


def _names() -> dict[str, object]:
    """What the names in a file stand for; made anew for each file, so that none can spoil them."""
    shell = type("Shell", (_Module,), {})

    def rebuild_tensor(
        storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
    ) -> _View:
        if not isinstance(storage, _Storage):
            raise TypeError("a tensor without a storage")
        return _View(storage, offset, shape, stride)

    def rebuild_parameter(tensor: object, *_: object) -> object:
        return tensor

    dtypes = {name: _Dtype(*dtype) for name, dtype in _STORAGES.items()}
    return {
        "collections OrderedDict": OrderedDict,
        "__builtin__ set": set,
        "torch._utils _rebuild_tensor_v2": rebuild_tensor,
        "torch._utils _rebuild_parameter": rebuild_parameter,
        **{f"torch {name}": dtype for name, dtype in dtypes.items()},
        **{f"torch.cuda {name}": dtype for name, dtype in dtypes.items()},
        **dict.fromkeys(_MODULES, shell),
    }


class _Unpickler(pickle.Unpickler):
    """Python's reader, with the names it may meet and torch's way to refer to storages."""

    def __init__(self, file: IO[bytes], names: Mapping[str, object]) -> None:
        super().__init__(file, fix_imports=False, encoding="latin1")
        self.names = names
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> object:
        return self.names[f"{module} {name}"]

    def persistent_load(self, reference: object) -> object:
        match reference:
            case ("module", shell, *_):  # with the source of its class, which nobody reads
                return shell
            case ("storage", _Dtype() as dtype, str(key), str(_), int(numel), *views):
                if numel >= 0 and views in ([], [None]):
                    return self.storages.setdefault(key, _Storage(key, dtype, numel))
        raise VoiceError("refused: its pickle refers to something that is not a storage")


def _state(module: _Module) -> dict[str, _View]:
    """The parameters and buffers of a module and of all modules in it."""
    state: dict[str, _View] = {}
    seen = set()
    todo: list[tuple[str, object]] = [("", module)]
    while todo:
        prefix, module_or_not = todo.pop()
        if not isinstance(module_or_not, _Module) or id(module_or_not) in seen:
            raise ValueError(f"{prefix} is not a module of its own")
        seen.add(id(module_or_not))
        attributes = vars(module_or_not)
        for tensors in (attributes["_parameters"], attributes["_buffers"]):
            state |= {f"{prefix}{name}": view for name, view in tensors.items() if view is not None}
        todo += [(f"{prefix}{name}.", child) for name, child in attributes["_modules"].items()]
    return state


def _tensors(state: Mapping[str, _View], read: _Read) -> dict[str, Tensor]:
    """Tensors of their own memory; each storage is read once, however many views it has."""
    import torch

    storages: dict[_Storage, Tensor] = {}
    tensors = {}
    for name, (storage, offset, shape, stride) in state.items():
        if storage not in storages:
            data = bytearray(read(storage))
            storages[storage] = torch.frombuffer(data, dtype=getattr(torch, storage.dtype.name))
        numbers = storages[storage]
        if numbers.numel() != storage.numel or math.prod(shape) > storage.numel:
            raise ValueError(f"{name} is larger than its storage")
        tensors[name] = numbers.as_strided(shape, stride, offset)
    return tensors
