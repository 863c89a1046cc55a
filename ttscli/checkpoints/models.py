"""Builds the model that a checkpoint holds, or says in one line what is wrong with it."""

from __future__ import annotations

import dataclasses
import os
import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ttscli.checkpoints import formats
from ttscli.checkpoints.finite import check_finite
from ttscli.checkpoints.formats import Checkpoint
from ttscli.checkpoints.sizes import harmonic_waveglow_sizes, tacotron2_sizes, waveglow_sizes
from ttscli.errors import VoiceError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ttscli.core.harmonic_waveglow import HarmonicWaveGlow
    from ttscli.core.tacotron2 import Tacotron2
    from ttscli.core.waveglow import WaveGlow

_NAMES = {
    "tacotron2": "Tacotron 2",
    "waveglow": "WaveGlow",
    "harmonic-waveglow": "harmonic WaveGlow",
}
_LONGEST_COMPLAINT = 200
_LARGEST_SETTING = 2**31
_Config = TypeVar("_Config")
_Model = TypeVar("_Model", bound="nn.Module")


def load_tacotron2(path: str | os.PathLike[str]) -> Tacotron2:
    """The Tacotron 2 in a file of any known format, ready to speak: eval mode, float32, CPU.

    Raises:
        VoiceError: in one line, what is wrong with the file.
    """
    with named(path):
        checkpoint = formats.read(Path(path))
        check_kind(checkpoint.kind, "tacotron2")
        return _tacotron2(checkpoint)


def load_waveglow(path: str | os.PathLike[str]) -> WaveGlow | HarmonicWaveGlow:
    """The WaveGlow of either sort in a file of any known format: eval mode, float32, CPU.

    Raises:
        VoiceError: in one line, what is wrong with the file.
    """
    with named(path):
        checkpoint = formats.read(Path(path))
        if checkpoint.kind == "harmonic-waveglow":
            return _harmonic_waveglow(checkpoint)
        check_kind(checkpoint.kind, "waveglow")
        return _waveglow(checkpoint)


def load_model(path: str | os.PathLike[str]) -> tuple[str, Tacotron2 | WaveGlow | HarmonicWaveGlow]:
    """What kind of model is in a file of any known format, and the model, as above.

    Raises:
        VoiceError: in one line, what is wrong with the file.
    """
    with named(path):
        checkpoint = formats.read(Path(path))
        build: dict[str, Callable[[Checkpoint], Any]] = {
            "tacotron2": _tacotron2,
            "waveglow": _waveglow,
            "harmonic-waveglow": _harmonic_waveglow,
        }
        return checkpoint.kind, build[checkpoint.kind](checkpoint)


def _tacotron2(checkpoint: Checkpoint) -> Tacotron2:
    from ttscli.core.configs import Tacotron2Config
    from ttscli.core.tacotron2 import Tacotron2

    sizes = tacotron2_sizes(checkpoint.tensors)
    config = make_config(Tacotron2Config, checkpoint.config, sizes)
    return _build(Tacotron2, config, checkpoint.tensors)


def _waveglow(checkpoint: Checkpoint) -> WaveGlow:
    from ttscli.core.configs import WaveGlowConfig
    from ttscli.core.waveglow import WaveGlow

    config = make_config(WaveGlowConfig, checkpoint.config, waveglow_sizes(checkpoint.tensors))
    return _build(WaveGlow, config, checkpoint.tensors)


def _harmonic_waveglow(checkpoint: Checkpoint) -> HarmonicWaveGlow:
    from ttscli.core.configs import HarmonicWaveGlowConfig
    from ttscli.core.harmonic_waveglow import HarmonicWaveGlow

    sizes = harmonic_waveglow_sizes(checkpoint.tensors)
    config = make_config(HarmonicWaveGlowConfig, checkpoint.config, sizes)
    # On the CPU, because it computes buffers that are in no file.
    return _build(HarmonicWaveGlow, config, checkpoint.tensors, device="cpu")


@contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the file's name in front of every complaint."""
    try:
        yield
    except VoiceError as e:
        # Names in a file can be anything; what they are must not break the line or the terminal.
        what = "".join(c if c.isprintable() else "?" for c in e.what[:_LONGEST_COMPLAINT])
        raise VoiceError(what, where=os.fspath(path), todo=e.todo) from e
    except OSError as e:
        raise VoiceError(f"cannot be read: {e.strerror or e}", where=os.fspath(path)) from e


def check_kind(kind: str, wanted: str) -> None:
    """Refuse another model than the wanted one."""
    if kind != wanted:
        raise VoiceError(f"this is a {_NAMES[kind]}, not a {_NAMES[wanted]}")


def make_config(
    config_class: type[_Config], given: Mapping[str, object], sizes: Mapping[str, int]
) -> _Config:
    """A config from what the file says and what its tensors show, which must agree."""
    values: dict[str, Any] = dict(sizes)
    for field in dataclasses.fields(config_class):  # type: ignore[arg-type]  # a dataclass
        if field.name not in given:
            continue
        value = given[field.name]
        if field.name in sizes and value != sizes[field.name]:
            raise VoiceError(
                f"its config says {field.name} {_short(value)}, its tensors {sizes[field.name]}"
            )
        number = (int, float) if isinstance(field.default, float) else int
        if not (isinstance(value, number) and 0 <= value < _LARGEST_SETTING):
            raise VoiceError(f"its config says {field.name} {_short(value)}")
        values[field.name] = value
    try:
        return config_class(**values)
    except ValueError as e:
        raise VoiceError(f"its sizes fit no model: {e}") from e


def _short(value: object) -> str:
    """A value in few characters, however many lists within lists it would take to write it out."""
    return f"{reprlib.repr(value):.40}"


def _build(
    model_class: Callable[[_Config], _Model],
    config: _Config,
    tensors: dict[str, Tensor],
    device: str = "meta",
) -> _Model:
    """The model with these weights; on the meta device, without memory for any others."""
    import torch

    try:
        with torch.device(device), _without_random_numbers():
            model = model_class(config)
    except (RuntimeError, ValueError, ArithmeticError) as e:
        raise VoiceError("its sizes fit no model") from e
    expected = model.state_dict()
    check_names(expected, tensors)
    for name, like in expected.items():
        tensors[name] = _fitting(name, tensors[name], like)
    model.load_state_dict(tensors, strict=True, assign=True)
    assert not any(buffer.is_meta for buffer in model.buffers()), "a buffer that is not stored"
    return model.eval()


def _without_random_numbers() -> AbstractContextManager[Any]:
    """Leave new weights as they are: nobody will see them, and the global generator is not ours.

    It also saves 2 s: on the meta device `normal_` is a program of its own, with 800 modules.
    """
    from torch.overrides import TorchFunctionMode

    class WithoutRandomNumbers(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            if func.__name__ in ("normal_", "uniform_", "kaiming_uniform_", "xavier_uniform_"):
                return args[0] if args else kwargs["tensor"]
            return func(*args, **kwargs)

    return WithoutRandomNumbers()


def check_names(expected: Collection[str], tensors: Collection[str]) -> None:
    """Refuse tensors that are missing, and tensors that no such model has."""
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    for names, complaint in ((missing, "missing"), (unexpected, "unknown")):
        if names:
            more = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
            raise VoiceError(f"the tensor {names[0]:.80}{more} {complaint}")


def _fitting(name: str, tensor: Tensor, like: Tensor) -> Tensor:
    """The tensor in the type the model has, once its shape and numbers are known to be good."""
    if tensor.shape != like.shape:
        shapes = f"{tuple(tensor.shape)} instead of {tuple(like.shape)}"
        raise VoiceError(f"the tensor {name} has the shape {shapes}")
    if tensor.is_floating_point() != like.is_floating_point() or tensor.is_complex():
        raise VoiceError(f"the tensor {name} is of the type {tensor.dtype}")
    fitting = tensor.to(like.dtype).contiguous()
    check_finite(name, fitting.detach().numpy())
    return fitting
