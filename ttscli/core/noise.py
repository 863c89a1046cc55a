"""Random numbers for batches: a stream for each row, so that a batch gives what singles give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Generator, Tensor

MAX_SEED = 2**63 - 1
Generators: TypeAlias = Generator | Sequence[Generator] | None


def row_generators(generator: Generators, batch: int) -> list[Generator]:
    """One generator for each of `batch` rows.

    Args:
        generator: one for each row (taken as they are); or a single one, which serves a single row
            itself and seeds the rows of a larger batch; or None, which is seed 0 for every row.
        batch: number of rows.
    """
    if generator is None:
        return [Generator().manual_seed(0) for _ in range(batch)]
    if isinstance(generator, Generator):
        if batch == 1:
            return [generator]
        device = generator.device
        seeds = torch.randint(MAX_SEED, (batch,), generator=generator, device=device).tolist()
        return [Generator(device).manual_seed(seed) for seed in seeds]
    if len(generator) != batch:
        raise ValueError(f"{len(generator)} generators were given for {batch} rows")
    return list(generator)


def draw_normal(
    generators: Sequence[Generator],
    channels: int,
    lengths: Sequence[int],
    like: Tensor,
    size: int | None = None,
) -> Tensor:
    """Standard normal noise (B, channels, size), zero after each row's length.

    The draws are float32 and made where the generator lives: a CPU generator gives every device
    and precision the same noise.

    Args:
        generators: one for each row.
        channels: channels of each row.
        lengths: how far to draw in each row; only that much is taken from its generator.
        like: the result has its type and device.
        size: length of the result, by default that of the longest row.
    """
    noise = like.new_zeros(len(generators), channels, max(lengths) if size is None else size)
    for row, generator, length in zip(noise, generators, lengths, strict=True):
        row[:, :length] = torch.randn(
            channels,
            length,
            generator=generator,
            device=generator.device,
            dtype=torch.float32,
        )
    return noise
