"""Any checkpoint format to a model, strictly and safely, and our own format back."""

from __future__ import annotations

from ttscli.checkpoints.models import load_tacotron2, load_waveglow
from ttscli.checkpoints.own_format import save_safetensors

__all__ = ["load_tacotron2", "load_waveglow", "save_safetensors"]
