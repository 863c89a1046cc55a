"""Text to the symbols a voice reads: sentences, cleaners, lexicons, ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["prepare_input_sequence", "text_to_sequence"]


def text_to_sequence(text: str, cleaner_names: Sequence[str]) -> list[int]:
    """Turn text into symbol ids; ``{HH AH0 L OW1}`` in it is spoken as ARPAbet."""
    from ttscli.text.frontend import Frontend

    return Frontend(cleaner_names).encode(text).ids


def prepare_input_sequence(
    texts: Sequence[str], cleaner_names: Sequence[str] = ("english_cleaners",)
) -> tuple[Tensor, Tensor]:
    """Turn texts into a batch, in the order given: ids (B, T), padded with 0, and lengths (B,)."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    rows = [torch.tensor(text_to_sequence(text, cleaner_names), dtype=torch.long) for text in texts]
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    ids = pad_sequence(rows, batch_first=True) if rows else torch.zeros(0, 0, dtype=torch.long)
    return ids, lengths
