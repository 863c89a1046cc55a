"""Pictures of speech: the mel spectrogram with its words, and the attention that read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttscli.errors import UsageError
from ttscli.events import OnEvent, PictureCut, ignore
from ttscli.files import atomic_file

if TYPE_CHECKING:
    from ttscli.speech import Sentence, Speech

MOST_SENTENCES = 12
"""In a picture: more would be too small to see, or too large to open."""
ENDINGS = (".png", ".svg", ".pdf")

_INCHES_A_SECOND, _NARROWEST, _WIDEST = 1.9, 8.0, 30.0
_INK, _FAINT = "#1f2430", "#8a93a6"


class Picture:
    """Takes a speech piece by piece and keeps what is to be drawn."""

    def __init__(self) -> None:
        self._sentences: list[Sentence] = []
        self._samples = 0
        self.left_out = 0
        """Sentences that it has no room for."""
        self._rate = 0

    def write(self, speech: Speech) -> None:
        """Take a piece of the speech."""
        self._rate = speech.sample_rate
        for sentence in speech.sentences:
            if len(self._sentences) < MOST_SENTENCES:
                self._sentences.append(sentence.later(self._samples))
            else:
                self.left_out += 1
        self._samples += len(speech.samples)

    def draw(self) -> Any:
        """The picture, a figure of matplotlib: two panels a sentence, all to one scale."""
        from matplotlib.figure import Figure

        longest = max(s.samples for s in self._sentences) / self._rate
        width = min(_WIDEST, max(_NARROWEST, _INCHES_A_SECOND * longest + 1.5))
        figure = Figure(figsize=(width, 4.6 * len(self._sentences)), layout="constrained")
        panels = figure.subplots(2 * len(self._sentences), 1, squeeze=False)[:, 0]
        for index, sentence in enumerate(self._sentences):
            mel, attention = panels[2 * index : 2 * index + 2]
            _draw_mel(mel, sentence, self._rate)
            _draw_attention(attention, sentence, self._rate)
            for panel in (mel, attention):
                start = sentence.start / self._rate
                panel.set_xlim(start, start + longest)
        if self.left_out:
            note = f"and {self.left_out} more sentences"
            figure.supxlabel(note, color=_FAINT, fontsize=9, x=1, ha="right")
        return figure


@contextmanager
def open_picture(path: str, on_event: OnEvent = ignore) -> Iterator[Picture]:
    """A picture that is in its file when the block ends; `PictureCut` tells if it is not whole."""
    check_plot(path)
    picture = Picture()
    with atomic_file(path) as file:
        yield picture
        picture.draw().savefig(file, format=Path(path).suffix[1:].lower(), dpi=110)
    if picture.left_out:
        on_event(PictureCut(path, MOST_SENTENCES, MOST_SENTENCES + picture.left_out))


def check_plot(path: str) -> None:
    """Refuse what cannot be drawn."""
    if Path(path).suffix.lower() not in ENDINGS:
        raise UsageError("no picture is named so", where=path, todo=f"use {' '.join(ENDINGS)}")
    if find_spec("matplotlib") is None:
        todo = "install it: pip install 'ttscli[plot]'"
        raise UsageError("pictures need matplotlib", where="--plot", todo=todo)


def _draw_mel(panel: Any, sentence: Sentence, rate: int) -> None:
    assert sentence.view is not None
    extent = _extent(sentence, rate, len(sentence.view.mel))
    panel.imshow(
        sentence.view.mel, aspect="auto", origin="lower", extent=extent, cmap="magma", vmin=-10,
        vmax=1,
    )  # fmt: skip
    for word in sentence.words:
        panel.axvline(word.start_s, color="white", alpha=0.35, linewidth=0.7)
        panel.text(
            word.start_s, 1.02, _shown(word.text), transform=panel.get_xaxis_transform(),
            rotation=38, ha="left", va="bottom", fontsize=9, color=_INK,
        )  # fmt: skip
    _tidy(panel)
    panel.set_ylabel("mel bin", color=_FAINT)
    panel.tick_params(labelbottom=False)


def _draw_attention(panel: Any, sentence: Sentence, rate: int) -> None:
    view = sentence.view
    assert view is not None
    extent = _extent(sentence, rate, len(view.symbols))
    panel.imshow(
        view.alignment.T, aspect="auto", origin="lower", extent=extent, cmap="viridis", vmin=0,
        vmax=1, interpolation="nearest",
    )  # fmt: skip
    for word in sentence.words:
        panel.axvline(word.start_s, color="white", alpha=0.2, linewidth=0.7)
    if len(view.symbols) <= 30:  # more would touch each other
        names = [symbol.removeprefix("@").replace(" ", "␣") for symbol in view.symbols]
        panel.set_yticks([index + 0.5 for index in range(len(names))], names, fontsize=5.5)
    _tidy(panel)
    panel.set_ylabel("symbol", color=_FAINT)
    panel.set_xlabel("seconds", color=_FAINT)


def _extent(sentence: Sentence, rate: int, height: int) -> tuple[float, float, float, float]:
    start = sentence.start / rate
    return start, start + sentence.samples / rate, 0, height


def _tidy(panel: Any) -> None:
    panel.tick_params(colors=_FAINT, length=2)
    for spine in panel.spines.values():
        spine.set_visible(False)


def _shown(text: str) -> str:
    """A word that fits, and in which no dollar begins a formula."""
    short = text if len(text) <= 18 else f"{text[:17]}…"
    return short.replace("$", r"\$")
