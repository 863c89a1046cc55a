"""The denoiser (`core.denoiser`) over many rows of audio at once.

Letters: S samples of a row, N the Fourier transform's length, H the hop, Q = N / H frames that
overlap, L frames. Rows are mirrored at their ends one by one and then lie one behind the other, so
that their frames are those of a single long row; those that begin in one and end in the next are
dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscli.core.denoiser import Denoiser as CoreDenoiser


class Denoiser:
    """Subtracts a vocoder's bias spectrum; each row comes out as it would alone.

    Args:
        core: for one row.
    """

    def __init__(self, core: CoreDenoiser) -> None:
        if core.n_fft % core.hop_length:
            raise ValueError(f"hop_length must divide {core.n_fft}, not {core.hop_length}")
        self.core = core

    def __call__(self, rows: Sequence[Tensor], strength: float) -> list[Tensor]:
        """The rows (S,) less `strength` times the bias, in float32."""
        if strength == 0:
            return [row.float() for row in rows]
        half = self.core.n_fft // 2
        # What is shorter than its mirror image needs core's care for that.
        long = [i for i, row in enumerate(rows) if len(row) > half]
        done = {i: self.core(row[None], strength)[0] for i, row in enumerate(rows) if i not in long}
        if long:
            together = self._together([rows[i].float() for i in long], strength)
            done.update(zip(long, together, strict=True))
        return [done[i] for i in range(len(rows))]

    def _together(self, rows: Sequence[Tensor], strength: float) -> list[Tensor]:
        n_fft, hop, window = self.core.n_fft, self.core.hop_length, self.core.window
        half = n_fft // 2
        pieces, valid = [], []
        for row in rows:
            mirrored = F.pad(row[None], (half, half), mode="reflect")[0]
            pieces.append(F.pad(mirrored, (0, -len(mirrored) % hop)))
            frames = torch.zeros(len(pieces[-1]) // hop, device=row.device)
            frames[: 1 + len(row) // hop] = 1
            valid.append(frames)
        inside = torch.cat(valid)[: 1 - n_fft // hop, None]
        frames = torch.cat(pieces).unfold(0, n_fft, hop) * window
        changed = torch.fft.irfft(self._subtracted(torch.fft.rfft(frames), strength), n_fft)
        # A product would let what is no number in one row into the next.
        audio = _overlapped((changed * window).masked_fill(inside == 0, 0), hop)
        audio /= _overlapped(window.square() * inside, hop).clamp(min=1e-11)
        starts = torch.tensor([0, *map(len, pieces)]).cumsum(0).tolist()
        return [
            audio[start + half : start + half + len(row)]
            for start, row in zip(starts, rows, strict=False)
        ]

    def _subtracted(self, spectrum: Tensor, strength: float) -> Tensor:
        magnitude = spectrum.abs()
        kept = (magnitude - strength * self.core.bias_spectrum.float()).clamp(min=0)
        return spectrum * torch.where(magnitude > 0, kept / magnitude, 0)


def _overlapped(frames: Tensor, hop: int) -> Tensor:
    """The sum (L * H + N - H,) of frames (L, N) that lie a hop apart."""
    blocks = frames.view(len(frames), -1, hop)
    count, overlapping, _ = blocks.shape
    total = frames.new_zeros(count + overlapping - 1, hop)
    for i in range(overlapping):
        total[i : i + count] += blocks[:, i]
    return total.flatten()
