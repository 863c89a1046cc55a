"""What will be spoken for a text, what was changed for that, and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ttscli.voices import Voice

if TYPE_CHECKING:
    from ttscli.text.frontend import Frontend


@dataclass(frozen=True)
class Change:
    """A slice of a sentence that is not spoken as it is written."""

    start: int
    """Its first character in the text."""
    written: str
    """What is written."""
    spoken: str
    """What is spoken instead."""
    kind: str
    """The rule; `dropped` for what cannot be spoken, `silent` for what nobody expects to hear."""


@dataclass(frozen=True)
class Explained:
    """A sentence, and what becomes of it."""

    index: int
    """Its place among the sentences, from 0."""
    start: int
    """Its first character in the text."""
    text: str
    """As it was given."""
    spoken: str
    """As it is spoken, before the voice's lexicon is looked up."""
    phones: str | None
    """The same with the phones of that lexicon, if they were asked for and there is one."""
    gap: str
    """What lies before it: clause, sentence, item or paragraph."""
    pause_s: float | None
    """Seconds of silence before it that the text asks for."""
    changes: tuple[Change, ...]
    """In the order of the text."""


def explain(
    text: str,
    voice: Voice,
    lexicon: str | Path | None = None,
    *,
    emoji: bool = False,
    phones: bool = False,
) -> Iterator[Explained]:
    """Read a text as a voice would, sentence by sentence, without speaking.

    Args:
        text: any text.
        voice: whose reading.
        lexicon: a user's.
        emoji: say the names of emoji.
        phones: tell those of the voice's own lexicon too.
    """
    from ttscli.text.frontend import Frontend
    from ttscli.text.sentences import split_text

    # First without the voice's own lexicon: people read letters more easily than phones.
    frontend, pronouncing = (
        Frontend.open(voice.cleaners, own, lexicon, final_stop=voice.final_stop, emoji=emoji)
        for own in (None, voice.lexicon)
    )
    with_phones = phones and voice.lexicon is not None
    for index, piece in enumerate(split_text(text, read=frontend.spans)):
        stop = "." if piece.whole else ","
        encoded = frontend.encode(piece.text, stop)
        changes = tuple(_changes(frontend, piece.text, piece.start))
        reported = Counter(change.written for change in changes if change.kind == "dropped")
        late = (
            Change(piece.start, item.text, "", "dropped")
            for item in encoded.dropped
            for _ in range(item.count - reported[item.text])
        )
        spoken = encoded.text.strip() if encoded.speakable else ""
        said = pronouncing.encode(piece.text, stop).text.strip() if with_phones else None
        yield Explained(
            index=index,
            start=piece.start,
            text=piece.text,
            spoken=spoken,
            phones=said,
            gap=piece.gap.value,
            pause_s=piece.pause,
            changes=(*changes, *late),
        )


def _changes(frontend: Frontend, sentence: str, offset: int) -> Iterator[Change]:
    for span in frontend.spans(sentence):
        if span.rewritten:
            written = sentence[span.start : span.end]
            yield Change(offset + span.start, written, span.spoken.strip(), span.kind)


def in_lines(sentence: Explained) -> Iterator[str]:
    """An explanation for people to read."""
    if sentence.pause_s is not None:
        yield f"      pause of {sentence.pause_s:g} s"
    yield f"{sentence.index + 1:>4}  {sentence.text}"
    yield f"   \N{RIGHTWARDS ARROW}  {sentence.spoken or '(nothing to say)'}"
    if sentence.spoken and sentence.phones:
        yield f"      phones: {sentence.phones}"
    left_out: dict[str, Counter[str]] = {"dropped": Counter(), "silent": Counter()}
    for change in sentence.changes:
        if change.kind in left_out:
            left_out[change.kind][change.written] += 1
        else:
            yield f"      {change.kind}: {change.written} \N{RIGHTWARDS ARROW} {change.spoken}"
    for kind, counted in left_out.items():
        if counted:
            names = (
                f"{_shown(c)} \N{MULTIPLICATION SIGN}{n}" if n > 1 else _shown(c)
                for c, n in counted.items()
            )
            yield f"      {kind}: {' '.join(names)}"


def _shown(written: str) -> str:
    """A sign as it is, or by its number where it cannot be seen."""
    visible = written.isprintable() and not written.isspace()
    return written if visible else " ".join(f"U+{ord(c):04X}" for c in written)
