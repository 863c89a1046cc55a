"""Which engine speaks a batch, chosen once."""

from __future__ import annotations

from ttscli.batch.runner import Engine
from ttscli.devices import choose_device, choose_precision
from ttscli.errors import UsageError
from ttscli.events import OnEvent, ignore


def choose_engine(
    name: str,
    device: str,
    precision: str = "auto",
    *,
    workers: int = 0,
    batch_size: str = "auto",
    tries: int = 3,
    ray_address: str | None = None,
    on_event: OnEvent = ignore,
) -> Engine:
    """The engine of this name.

    Args:
        name: local or ray.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, fp32, fp16, bf16; refused where it cannot be.
        workers: processes or actors; 0 is one a processor, or a GPU.
        batch_size: sentences that are computed together, or auto.
        tries: for each utterance.
        ray_address: of a cluster; None starts Ray on this machine.
        on_event: takes what happens to workers.
    """
    size = _batch_size(batch_size)
    if name == "ray":
        from ttscli.batch.ray_engine import RayEngine

        return RayEngine(ray_address, device, workers, size, tries, on_event=on_event)
    if name != "local":
        raise UsageError(f"there is no engine {name!r}", todo="use local or ray")
    if ray_address is not None:
        raise UsageError("--ray-address is for --engine ray alone")
    from ttscli.batch.local import LocalEngine

    chosen = choose_device(device)
    if precision != "auto":  # which is never refused, and asks the GPU
        choose_precision(precision, chosen)
    return LocalEngine(chosen, workers, size, tries, on_event=on_event)


def _batch_size(text: str) -> int:
    """A number, or 0 for auto."""
    if text == "auto":
        return 0
    if not text.isdecimal() or int(text) < 1:
        what = f"the batch size {text!r} is neither auto nor a number of at least 1"
        raise UsageError(what, todo="use auto")
    return int(text)
