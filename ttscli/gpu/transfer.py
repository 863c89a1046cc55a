"""What a device has computed, brought to the processor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Sent:
    """Tensors on their way to the CPU, behind the work that is still to make them."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._targets = [_begin(tensor) for tensor in tensors]
        self._arrivals = []
        for device in {tensor.device for tensor in tensors if tensor.is_cuda}:
            arrival = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's own
            arrival.record(torch.cuda.current_stream(device))
            self._arrivals.append(arrival)

    @property
    def arrived(self) -> bool:
        """Whether all are there."""
        return all(arrival.query() for arrival in self._arrivals)  # type: ignore[no-untyped-call]  # torch's own

    def wait(self) -> list[Tensor]:
        """The tensors, when all are there."""
        for arrival in self._arrivals:
            arrival.synchronize()
        if not self._arrivals:
            return self._targets
        return [target.clone() for target in self._targets]  # memory that cannot be paged is scarce


def _begin(tensor: Tensor) -> Tensor:
    if not tensor.is_cuda:
        return tensor.cpu()
    target = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return target.copy_(tensor, non_blocking=True)
