"""Voices from the network or from checkpoints at hand: fetched, checked, converted, listed."""

from __future__ import annotations

from ttscli.download.fetch import Fetch, Patience
from ttscli.download.install import Downloader
from ttscli.download.inventory import list_voices, verify

__all__ = ["Downloader", "Fetch", "Patience", "list_voices", "verify"]
