"""Text to speech with Tacotron 2 and WaveGlow, from the command line and from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttscli.speech import Speech
    from ttscli.synthesizer import Synthesizer

__all__ = ["Speech", "Synthesizer", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the synthesizer only when it is asked for: importing ttscli is free."""
    if name in ("Speech", "Synthesizer"):
        from ttscli import synthesizer

        return getattr(synthesizer, name)
    raise AttributeError(f"module 'ttscli' has no attribute {name!r}")
