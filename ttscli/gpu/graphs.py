"""CUDA graphs: work that is recorded once, and begun by the processor with a single call."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

_ONE_AT_A_TIME = threading.Lock()


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
        """What does the work again, over the same tensors. To do so it is done twice."""
        with _ONE_AT_A_TIME, torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                work()  # libraries and kernels get ready, which cannot be recorded
            torch.cuda.current_stream().wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads go on using the device meanwhile, which by default would be an error.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
            ):
                work()
        replay: Callable[[], None] = graph.replay
        return replay
