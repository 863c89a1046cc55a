"""The teacher's speech as training data: audio, log-mels and, for each symbol, when it sounds.

A corpus is a folder of shards. A shard is `NNN.audio.npy` (16-bit samples of all its utterances,
22050 Hz), `NNN.mel.npy` (their log-mels, (F, M), float16) and `NNN.jsonl` (an utterance a line).
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly

from ttscli.core.configs import MelConfig
from ttscli.core.mel import MelSpectrogram
from ttscli.text.symbols import SYMBOL_TO_ID
from ttscli.training import teacher

SILENCE = 0.05  # seconds kept before the first and after the last phone
DITHER = 3e-4  # noise on the audio: without it, digital silence has no finite likelihood
_SHARD_UTTERANCES = 500
T = TypeVar("T")
Speak = Callable[[Sequence[Any], Path], list[teacher.Utterance]]


@dataclass(frozen=True)
class Unit:
    """A token of the text: its letters, its phones, and the text up to the next token."""

    text: str
    """The token's letters."""
    start: float
    """When it starts, seconds from the start of the utterance."""
    end: float
    """When it ends, seconds."""
    words: list[list[tuple[str, float]]]
    """Its words as (symbol, end in seconds) rows."""
    following: str
    """Punctuation and white space between this token and the next."""


@dataclass(frozen=True)
class Record:
    """Where an utterance stands in its shard."""

    text: str
    """What is said."""
    units: list[Unit]
    """How it is said, token by token."""
    leading: str
    """Punctuation before the first token."""
    audio_start: int
    """First sample in the shard's audio."""
    samples: int
    """Number of samples, a multiple of the hop length."""
    mel_start: int
    """First frame in the shard's mels."""
    frames: int
    """Number of mel frames, samples / hop length + 1."""


@dataclass(frozen=True)
class SymbolTimes:
    """An utterance as symbols over time."""

    ids: list[int]
    """Symbol ids (T,)."""
    boundaries: NDArray[np.float64]
    """When each symbol starts, and when the last one ends, seconds (T + 1,)."""


def to_record(
    utterance: teacher.Utterance, config: MelConfig, audio_start: int, mel_start: int
) -> tuple[Record, NDArray[np.int16]]:
    """An utterance trimmed, resampled to whole hops, with times counted from its new start."""
    tokens = utterance.tokens
    spans = teacher.spans(utterance.text, tokens)
    assert spans is not None
    rate = utterance.sample_rate
    first = max(0.0, tokens[0].start - SILENCE)
    cut = utterance.samples[int(first * rate) : int((tokens[-1].end + SILENCE) * rate)]
    common = math.gcd(config.sample_rate, rate)
    audio = resample_poly(cut / 32768, config.sample_rate // common, rate // common)
    fade = np.linspace(0, 1, config.sample_rate // 100)
    audio[: len(fade)] *= fade
    audio[-len(fade) :] *= fade[::-1]
    audio = audio[: len(audio) // config.hop_length * config.hop_length]
    stops = [start for start, _ in spans[1:]] + [len(utterance.text)]
    units = [
        Unit(
            text=token.text,
            start=round(token.start - first, 4),
            end=round(token.end - first, 4),
            words=[[(p.symbol, round(p.end - first, 4)) for p in word] for word in token.words],
            following=utterance.text[end:stop],
        )
        for token, (_, end), stop in zip(tokens, spans, stops, strict=True)
    ]
    samples = np.clip(np.round(audio * 32768), -32768, 32767).astype(np.int16)
    frames = len(samples) // config.hop_length + 1
    leading = utterance.text[: spans[0][0]]
    record = Record(utterance.text, units, leading, audio_start, len(samples), mel_start, frames)
    return record, samples


def write_shard(folder: Path, name: str, items: Sequence[Any], speak: Speak) -> float:
    """Write the speech of some texts or recordings as the shard `name`; returns its seconds.

    Args:
        folder: of the shards.
        name: a number, the seed of the dither.
        items: what is to be said, or was.
        speak: gives their utterances; a folder for its files comes with them.
    """
    scratch = folder / f"{name}.partial"
    scratch.mkdir(parents=True, exist_ok=True)
    config, analyse = MelConfig(), MelSpectrogram()
    chance = np.random.default_rng(int(name))
    records, audio, mels = [], [], []
    audio_start = mel_start = 0
    for utterance in speak(items, scratch):
        record, samples = to_record(utterance, config, audio_start, mel_start)
        dithered = samples / 32768 + chance.standard_normal(len(samples)) * DITHER
        mel = analyse(torch.from_numpy(dithered.astype(np.float32))[None])[0].T
        records.append(record)
        audio.append(samples)
        mels.append(mel.numpy().astype(np.float16))
        audio_start += record.samples
        mel_start += record.frames
    np.save(scratch / "audio.npy", np.concatenate([np.empty(0, np.int16), *audio]))
    np.save(scratch / "mel.npy", np.concatenate([np.empty((0, config.n_mels), np.float16), *mels]))
    lines = (json.dumps(asdict(record), separators=(",", ":")) for record in records)
    (scratch / "jsonl").write_text("\n".join(lines), "utf-8")
    for part in ("audio.npy", "mel.npy", "jsonl"):  # the last one makes the shard visible
        (scratch / part).replace(folder / f"{name}.{part}")
    scratch.rmdir()
    return audio_start / config.sample_rate


def shards_of(items: Sequence[T]) -> dict[str, list[T]]:
    """Texts or recordings cut into shards of even size, by name."""
    starts = range(0, len(items), _SHARD_UTTERANCES)
    return {f"{i:03d}": list(items[s : s + _SHARD_UTTERANCES]) for i, s in enumerate(starts)}


class Corpus:
    """The utterances of a folder's shards, mapped from disk."""

    def __init__(self, folder: Path, names: Sequence[str] | None = None) -> None:
        """Open the shards `names`, or all that are complete."""
        if names is None:
            names = sorted(file.name.split(".")[0] for file in folder.glob("*.jsonl"))
        self.names = list(names)
        self.records: list[Record] = []
        self._places: list[tuple[int, int, int]] = []
        self._audio: list[NDArray[np.int16]] = []
        self._mels: list[NDArray[np.float16]] = []
        for number, name in enumerate(self.names):
            self._audio.append(np.load(folder / f"{name}.audio.npy", mmap_mode="r"))
            self._mels.append(np.load(folder / f"{name}.mel.npy", mmap_mode="r"))
            for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines():
                record = _record(json.loads(line))
                self.records.append(record)
                self._places.append((number, record.audio_start, record.mel_start))

    def __len__(self) -> int:
        return len(self.records)

    def audio(self, index: int) -> NDArray[np.float32]:
        """Samples of an utterance (S,), within [-1, 1]."""
        shard, start, _ = self._places[index]
        piece = self._audio[shard][start : start + self.records[index].samples]
        audio: NDArray[np.float32] = piece.astype(np.float32) / np.float32(32768)
        return audio

    def mel(self, index: int) -> NDArray[np.float32]:
        """Log-mel of an utterance (F, M)."""
        return self.mel_of(self._mels, index)

    def mel_of(self, mels: Sequence[NDArray[np.float16]], index: int) -> NDArray[np.float32]:
        """An utterance's part (F, M) of other mels of the same shards."""
        shard, _, start = self._places[index]
        return mels[shard][start : start + self.records[index].frames].astype(np.float32)


def _restressed(symbol: str, chance: random.Random) -> str:
    """A phone as it is, or, one vowel in twenty, with its stress left out or called secondary."""
    if not symbol[-1].isdigit() or chance.random() > 0.05:
        return symbol
    return symbol[:-1] + ("2" if symbol[-1] == "1" and chance.random() < 0.7 else "")


def _record(fields: dict[str, object]) -> Record:
    units = [Unit(**unit) for unit in fields.pop("units")]  # type: ignore[attr-defined]  # JSON
    return Record(units=units, **fields)  # type: ignore[arg-type]  # written by write_shard


def to_sequence(record: Record, letters: float, chance: random.Random) -> SymbolTimes:
    """An utterance's symbols: each word as letters with probability `letters`, else as phones.

    Stress is now and then written in ways that the teacher does not use but people do: the second
    kind, or none.

    Words that the teacher made of one token are joined as the front end joins them: by a hyphen
    where there is one, by nothing at an apostrophe ("kennedy's"), by a space elsewhere.
    """
    ids: list[int] = []
    times = [record.units[0].start]

    def spread(text: str, end: float) -> None:
        """Append characters, evenly spaced from the last boundary to `end`."""
        start, known = times[-1], [c for c in text if c in SYMBOL_TO_ID]
        for i, character in enumerate(known):
            ids.append(SYMBOL_TO_ID[character])
            times.append(start + (end - start) * (i + 1) / len(known))

    spread(record.leading, times[-1])
    for i, unit in enumerate(record.units):
        if chance.random() < letters:
            spread(unit.text, unit.end)
        else:
            joint = "-" if "-" in unit.text else "" if "'" in unit.text else " "
            for number, word in enumerate(unit.words):
                if number:
                    spread(joint, times[-1])
                for symbol, end in word:
                    ids.append(SYMBOL_TO_ID["@" + _restressed(symbol, chance)])
                    times.append(end)
        last = i == len(record.units) - 1
        spread(unit.following, unit.end + SILENCE if last else record.units[i + 1].start)
    return SymbolTimes(ids, np.maximum.accumulate(np.array(times)))
