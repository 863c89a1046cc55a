"""Kernels of which one gets ready while the one before it ends (programmatic dependent launch).

This module can be imported only where there is Triton.
"""

from __future__ import annotations

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

_FIRST = (9, 0)  # compute capability of GPUs that can


def chained(tensor: Tensor) -> dict[str, bool]:
    """Options of a kernel that works where a tensor is, for Triton and for `await_previous`."""
    return _options(tensor.device) if tensor.is_cuda else {"CHAINED": False}


@cache
def _options(device: torch.device) -> dict[str, bool]:
    able = torch.cuda.get_device_capability(device) >= _FIRST
    return {"CHAINED": True, "launch_pdl": True} if able else {"CHAINED": False}


@triton.jit
def await_previous(CHAINED: tl.constexpr):
    """Wait for the kernel before this one, then let the one behind it get ready.

    A chained kernel must do so before it reads what the one before it writes, and before it writes
    at all. What the one before that has written is there from the start.
    """
    if CHAINED:
        gdc_wait()
        gdc_launch_dependents()
