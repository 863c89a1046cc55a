"""Spans: what is spoken for each slice of a text, so that it can be told and timed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

AS_WRITTEN = ""
DROPPED = "dropped"
SILENT = "silent"
LEXICON = "lexicon"
PHONES = "phones"


@dataclass(frozen=True)
class Span:
    """A slice of a text and what is spoken for it; the spans of a text follow without a gap."""

    start: int
    """Its first character."""
    end: int
    """The character behind its last."""
    spoken: str
    """What takes its place, with ``{ARPAbet}`` or without."""
    kind: str = AS_WRITTEN
    """What changed it; `DROPPED` for what cannot be spoken, `SILENT` for what need not be."""

    @property
    def rewritten(self) -> bool:
        """Whether other words took its place."""
        return self.kind not in (AS_WRITTEN, PHONES)

    def moved(self, by: int) -> Span:
        """The same in a text that begins so many characters earlier."""
        return replace(self, start=self.start + by, end=self.end + by)


class Spans(list[Span]):
    """Spans of a text from its start on, with spaces where a new word would touch another one."""

    def __init__(self) -> None:
        super().__init__()
        self._tail = Span(0, 0, "")  # the last that said something

    def add(self, span: Span) -> None:
        """Put a span behind the others."""
        tail = self._tail
        if span.spoken and (tail.rewritten or span.rewritten) and _touch(tail, span):
            if span.rewritten:
                span = replace(span, spoken=" " + span.spoken)
            else:
                self[-1] = replace(self[-1], spoken=self[-1].spoken + " ")
        self.append(span)
        if span.spoken:
            self._tail = span


def _touch(left: Span, right: Span) -> bool:
    before, after = left.spoken[-1:], right.spoken[0]
    return (
        (before.isalnum() or before in ",;:.!?)}%")
        and before != ""
        and (after.isalnum() or after == "{")
    )


def filled(text: str, changed: Iterable[Span]) -> Spans:
    """The spans of a whole text, of which those that are changed are given."""
    spans = Spans()
    done = 0
    for span in changed:
        if span.start > done:
            spans.add(Span(done, span.start, text[done : span.start]))
        spans.add(span)
        done = span.end
    if done < len(text):
        spans.add(Span(done, len(text), text[done:]))
    return spans


def spoken(spans: Sequence[Span]) -> str:
    """What all of them say."""
    return "".join(span.spoken for span in spans)
