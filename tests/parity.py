"""The table of parity with NVIDIA's models: the largest difference per entry of expected.npz."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ttscli.core.configs import WaveGlowConfig
from ttscli.core.waveglow import WaveGlow

TOLERANCE = 1e-4

differences: dict[str, float] = {}


class Expected(dict[str, Any]):
    """The entries of expected.npz; remembers which were read."""

    def __init__(self, path: Path) -> None:
        super().__init__(np.load(path))
        self.unread = set(self)

    def __getitem__(self, entry: str) -> Any:
        self.unread.discard(entry)
        return super().__getitem__(entry)


def max_difference(ours: Any, theirs: Any) -> float:
    """Largest absolute difference between two arrays or tensors of one shape."""
    a, b = (np.asarray(x, dtype=np.float64) for x in (ours, theirs))
    assert a.shape == b.shape, f"shapes differ: {a.shape} and {b.shape}"
    return float(np.max(np.abs(a - b)))


def check(entry: str, ours: Any, theirs: Any, tolerance: float = TOLERANCE) -> None:
    """Note the difference in the table; fail with the whole table where it is too large."""
    differences[entry] = max_difference(ours, theirs)
    assert differences[entry] <= tolerance, f"{entry} differs by over {tolerance:g}:\n{table()}"


def table() -> str:
    """The differences noted so far, an entry a line."""
    width = max(map(len, differences), default=0)
    return "\n".join(f"{entry:{width}}  {value:.1e}" for entry, value in differences.items())


def nvidia_waveglow(reference: Path) -> WaveGlow:
    """The reference's small WaveGlow, read here apart from ttscli.checkpoints."""
    sizes = json.loads((reference / "config.json").read_text())["waveglow_config"]
    model = WaveGlow(WaveGlowConfig(**sizes.pop("WN_config"), **sizes))
    path = reference / "waveglow_nvidia_repo_state_dict.pt"
    theirs = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    ours = {}
    for key, tensor in theirs.items():
        name = key.replace("WN.", "couplings.").replace("cond_layer.", "conditioning.")
        if key.startswith("convinv."):
            ours[name.replace("convinv.", "invertible.").replace("conv.", "")] = tensor[..., 0]
        elif key.endswith("weight_v"):
            norm = tensor.norm(dim=(1, 2), keepdim=True)
            weight = tensor * theirs[key.replace("weight_v", "weight_g")] / norm
            ours[name.replace("weight_v", "weight")] = weight
        elif not key.endswith("weight_g"):
            ours[name] = tensor
    model.load_state_dict(ours)
    return model.eval()
