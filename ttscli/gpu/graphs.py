"""CUDA graphs: work that is recorded once, and begun by the processor with a single call."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch

from ttscli.devices import RECORDING
from ttscli.errors import SlowerWarning


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
        self._first: torch.cuda.CUDAGraph | None = None  # kept, so that the pool stays valid

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """What does the work again, over the same tensors: it is done once, and recorded.

        Where recording fails, with a `SlowerWarning`, that is the work itself.
        """
        with RECORDING, torch.cuda.device(self._device), _no_collection():
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            try:
                with torch.cuda.stream(self._stream):
                    work()  # libraries and kernels get ready, which cannot be recorded
            finally:
                current.wait_stream(self._stream)
            try:
                graph = self._recorded(work)
            except RuntimeError as error:
                warnings.warn(f"no CUDA graph: {error}", SlowerWarning, stacklevel=2)
                self._leave_pool()
                return work
        self._first = self._first or graph
        replay: Callable[[], None] = graph.replay
        return replay

    def _recorded(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        """What `torch.cuda.graph` makes, which would first wait for the device and empty caches."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self._stream):
            # Others go on using the device meanwhile, which by default would be an error.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
        return graph

    def _leave_pool(self) -> None:
        """Have the allocator know that nothing is recorded: torch forgets that after an error."""
        with suppress(Exception):
            torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), self._pool)
        self._pool, self._first = torch.cuda.graph_pool_handle(), None


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
