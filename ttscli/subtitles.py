"""Subtitles: sentences and their words with times, as SRT, WebVTT or JSON, written as they come."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ttscli.errors import UsageError
from ttscli.files import atomic_file, output_errors

if TYPE_CHECKING:
    from ttscli.speech import Sentence, Speech
    from ttscli.timings import Word

LINE_WIDTH, MOST_LINES = 42, 2  # what television takes to be readable
LONGEST_S, SHORTEST_S = 7, 1
_CLAUSE_ENDS = (",", ";", ":", ".", "!", "?", "—", "–", "…")
_CLAUSE_WORTH = 24  # characters that a cut may be off the middle to be at the end of a clause


@dataclass(frozen=True)
class Cue:
    """Text that is shown at once."""

    words: tuple[Word, ...]
    """What is said while it is shown."""
    texts: tuple[str, ...]
    """Each word with all that stands between it and the next one."""
    end: int
    """The sample at which it goes; it comes with its first word."""

    @property
    def start(self) -> int:
        """The sample at which it comes."""
        return self.words[0].start

    def lines(self) -> list[list[int]]:
        """Indices of its words, line by line, the lines about equally long."""
        return _lines(self.texts)


class SubtitleWriter:
    """Takes a speech piece by piece; subclasses turn it into a format.

    Args:
        file: takes the bytes.
        from_rate: samples per second of the speech.
        to_rate: samples per second of the audio that the subtitles belong to.
    """

    def __init__(self, file: BinaryIO, from_rate: int, to_rate: int) -> None:
        self._file, self._from_rate, self.sample_rate = file, from_rate, to_rate
        self._samples = 0
        self._begin()

    def write(self, speech: Speech) -> None:
        """Append a piece of the speech."""
        for sentence in speech.sentences:
            self._sentence(self._in_file(sentence.later(self._samples)))
        self._samples += len(speech.samples)

    def finish(self) -> None:
        """Write what belongs at the end."""
        self._end(self._place(self._samples))

    def _in_file(self, sentence: Sentence) -> Sentence:
        """A sentence in samples of the audio file."""
        start = self._place(sentence.start)
        words = tuple(
            replace(
                word,
                start=self._place(word.start),
                end=self._place(word.end),
                sample_rate=self.sample_rate,
            )
            for word in sentence.words
        )
        samples = self._place(sentence.start + sentence.samples) - start
        return replace(sentence, start=start, samples=samples, words=words)

    def _place(self, sample: int) -> int:
        """Where in the file a sample of the speech is, rounded as resampling rounds lengths."""
        return -(-sample * self.sample_rate // self._from_rate)

    def _put(self, text: str) -> None:
        self._file.write(text.encode())

    def _begin(self) -> None:
        """Write what belongs at the start."""

    def _sentence(self, sentence: Sentence) -> None:
        """Write a sentence, whose times are those of the file."""
        raise NotImplementedError

    def _end(self, samples: int) -> None:
        """Write what belongs at the end of so many samples."""


class JsonWriter(SubtitleWriter):
    """One object with all sentences, a line each, and their words."""

    def _begin(self) -> None:
        self._separator = "\n"
        self._put(f'{{"sample_rate": {self.sample_rate}, "sentences": [')

    def _sentence(self, sentence: Sentence) -> None:
        times = self._times(sentence.start, sentence.start + sentence.samples)
        words = [{"text": w.text, **self._times(w.start, w.end)} for w in sentence.words]
        line = json.dumps({"text": sentence.text, **times, "words": words}, ensure_ascii=False)
        self._put(self._separator + line)
        self._separator = ",\n"

    def _end(self, samples: int) -> None:
        duration = round(samples / self.sample_rate, 6)
        self._put(f'\n], "samples": {samples}, "duration_s": {duration}}}\n')

    def _times(self, start: int, end: int) -> dict[str, float]:
        seconds = (round(sample / self.sample_rate, 6) for sample in (start, end))
        return {"start": start, "end": end, **dict(zip(("start_s", "end_s"), seconds, strict=True))}


class CueWriter(SubtitleWriter):
    """Cues; one is held back until it is known how long it may stay."""

    _point = ","
    """Between seconds and milliseconds."""

    def _begin(self) -> None:
        self._waiting: Cue | None = None
        self._count = 0

    def _sentence(self, sentence: Sentence) -> None:
        for cue in cues_of(sentence, self.sample_rate):
            self._flush(cue.start)
            self._waiting = cue

    def _end(self, samples: int) -> None:
        self._flush(samples)

    def _flush(self, until: int) -> None:
        """Write the cue that waits; what is short stays for a second, unless another comes."""
        if self._waiting is None:
            return
        cue, self._waiting = self._waiting, None
        wanted = max(cue.end, cue.start + SHORTEST_S * self.sample_rate)
        end = max(cue.end, min(wanted, until))
        self._count += 1
        self._put(
            f"{self._head()}{self._time(cue.start)} --> {self._time(end)}\n{self._text(cue)}\n\n"
        )

    def _time(self, sample: int) -> str:
        ms = (2000 * sample + self.sample_rate) // (2 * self.sample_rate)
        hours, minutes, seconds = ms // 3_600_000, ms // 60_000 % 60, ms // 1000 % 60
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}{self._point}{ms % 1000:03d}"

    def _head(self) -> str:
        raise NotImplementedError

    def _text(self, cue: Cue) -> str:
        raise NotImplementedError


class SrtWriter(CueWriter):
    """SubRip: numbered cues."""

    def _head(self) -> str:
        return f"{self._count}\n"

    def _text(self, cue: Cue) -> str:
        lines = (" ".join(cue.texts[i] for i in line) for line in cue.lines())
        return "\n".join(lines).replace("-->", "→")  # which would begin another cue


class VttWriter(CueWriter):
    """WebVTT: cues with the time of each word in them."""

    _point = "."

    def _begin(self) -> None:
        super()._begin()
        self._put("WEBVTT\n\n")

    def _head(self) -> str:
        return ""

    def _text(self, cue: Cue) -> str:
        return "\n".join(" ".join(self._word(cue, i) for i in line) for line in cue.lines())

    def _word(self, cue: Cue, index: int) -> str:
        text = cue.texts[index]
        for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(character, name)
        start = cue.words[index].start
        # Times inside of a cue must rise, and be later than that of the cue.
        return f"<{self._time(start)}>{text}" if index and start > cue.start else text


WRITERS: dict[str, Callable[[BinaryIO, int, int], SubtitleWriter]] = {
    ".srt": SrtWriter,
    ".vtt": VttWriter,
    ".json": JsonWriter,
}


def check_subtitles(path: str) -> str:
    """The ending of a file for subtitles, if it is one that is known."""
    ending = Path(path).suffix.lower()
    if ending not in WRITERS:
        what = f"subtitles have no format {ending!r}" if ending else "the name has no ending"
        raise UsageError(what, where=path, todo=f"use one of {' '.join(WRITERS)}")
    return ending


@contextmanager
def open_subtitles(path: str, from_rate: int, to_rate: int) -> Iterator[SubtitleWriter]:
    """Open a file for subtitles; it is complete when the block ends, and else not there.

    Args:
        path: its ending names the format: .srt .vtt .json.
        from_rate: samples per second of the speech to come.
        to_rate: samples per second of the audio file.
    """
    make = WRITERS[check_subtitles(path)]
    with atomic_file(path) as file, output_errors(path):
        writer = make(file, from_rate, to_rate)
        yield writer
        writer.finish()


def cues_of(sentence: Sentence, sample_rate: int) -> list[Cue]:
    """A sentence in pieces that are read at a glance, cut at clauses rather than anywhere."""
    words = sentence.words
    if not words:
        return []
    starts = [0, *(word.place for word in words[1:]), len(sentence.text)]
    texts = tuple(" ".join(sentence.text[start:end].split()) for start, end in pairwise(starts))
    whole = Cue(words, texts, words[-1].end)
    return list(_divided(whole, sample_rate))


def _divided(cue: Cue, sample_rate: int) -> Iterator[Cue]:
    """The cue, or if it is too much at once, its halves."""
    fits = len(cue.lines()) <= MOST_LINES and cue.end - cue.start <= LONGEST_S * sample_rate
    if fits or len(cue.words) == 1:
        yield cue
        return
    cut = _cut(cue.texts)
    for words, texts in (
        (cue.words[:cut], cue.texts[:cut]),
        (cue.words[cut:], cue.texts[cut:]),
    ):
        yield from _divided(Cue(words, texts, words[-1].end), sample_rate)


def _cut(texts: Sequence[str]) -> int:
    """Before which of the words to cut: near the middle, better behind a clause."""
    total, done, costs = sum(map(len, texts)), 0, {}
    for index, text in enumerate(texts[:-1], start=1):
        done += len(text)
        clause = re.sub(r"""["'”’)\]»]+\Z""", "", text).endswith(_CLAUSE_ENDS)
        costs[index] = abs(2 * done - total) / 2 + (0 if clause else _CLAUSE_WORTH)
    return min(costs, key=lambda index: costs[index])


def _lines(texts: Sequence[str]) -> list[list[int]]:
    """Indices of words in lines of at most the width, and no longer than they need be."""
    joined = " ".join(texts)
    count = len(textwrap.wrap(joined, LINE_WIDTH))
    width = -(-len(joined) // max(1, count))
    while len(lines := _filled(texts, width)) > count and width < LINE_WIDTH:
        width += 1
    return lines


def _filled(texts: Sequence[str], width: int) -> list[list[int]]:
    lines: list[list[int]] = []
    left = -1
    for index, text in enumerate(texts):
        if len(text) > left or not lines:
            lines.append([])
            left = width
        lines[-1].append(index)
        left -= len(text) + 1
    return lines
