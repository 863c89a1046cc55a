"""Kernels of which one gets ready while the one before it ends (programmatic dependent launch)."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

_FIRST = (9, 0)  # compute capability of GPUs that can


def chained(tensor: Tensor) -> dict[str, bool]:
    """Options of a kernel that works where a tensor is: for Triton, and for the kernel itself.

    A chained kernel must wait before it reads what the kernel before it wrote, and before it writes
    at all; when all of its programs have waited, the next may begin.
    """
    return _options(tensor.device) if tensor.is_cuda else {"CHAINED": False}


@cache
def _options(device: torch.device) -> dict[str, bool]:
    able = torch.cuda.get_device_capability(device) >= _FIRST
    return {"CHAINED": True, "launch_pdl": True} if able else {"CHAINED": False}
