"""CUDA graphs: work that is recorded once, and begun by the processor with a single call."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

RECORDING = threading.Lock()
"""Held while work is recorded, which whatever waits for the whole device would put an end to."""


class Recorder:
    """Makes graphs of work on a device.

    They share the memory that they need for themselves: no two of them may run at once.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._pool = device, torch.cuda.graph_pool_handle()
        # A stream for all of them: cuBLAS would keep memory for each new one.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """What does the work again, over the same tensors: it is done once, and recorded.

        Where recording fails, with a `RuntimeWarning`, that is the work itself.
        """
        with RECORDING, torch.cuda.device(self._device), _no_collection():
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                work()  # libraries and kernels get ready, which cannot be recorded
            current.wait_stream(self._stream)
            try:
                graph = torch.cuda.CUDAGraph()
                # Others go on using the device meanwhile, which by default would be an error.
                with torch.cuda.graph(
                    graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
                ):
                    work()
            except RuntimeError as error:
                torch.cuda.set_stream(current)  # torch does not, where a recording cannot be ended
                warnings.warn(f"no CUDA graph: {error}", RuntimeWarning, stacklevel=2)
                return work
        replay: Callable[[], None] = graph.replay
        return replay


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection: an old graph that is thrown away would end what is being recorded."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
