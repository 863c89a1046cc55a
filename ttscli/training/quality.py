"""Measures a voice beside its teacher: errors of an offline listener, attention, pitch and sound.

The listener is pocketsphinx, a weak one: read its error rates as ratios to the teacher's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly

from ttscli.attention import check
from ttscli.audio import Audio
from ttscli.core.configs import MelConfig
from ttscli.core.mel import GriffinLim, MelSpectrogram
from ttscli.engines import CpuEngine
from ttscli.errors import UsageError
from ttscli.readings import Reading, Spoken
from ttscli.synthesizer import Synthesizer
from ttscli.text.cleaners import english_cleaners
from ttscli.text.sentences import split_text
from ttscli.training import teacher
from ttscli.training.corpus import DITHER, to_record
from ttscli.training.prosody import Nearness, compare

Floats = NDArray[np.float32]
Row = tuple[str, ...]

_LISTENER_RATE = 16000


@dataclass(frozen=True)
class Score:
    """How well the listener understood one way of speaking."""

    name: str
    """Which way."""
    word_errors: float
    """Word error rate over all sentences."""
    character_errors: float
    """Character error rate over all sentences."""
    seconds: float
    """Length of the audio."""
    clipped: int
    """Samples at full scale."""


@dataclass(frozen=True)
class Said:
    """A sentence as the voice says it."""

    text: str
    """What was to be said."""
    pieces: list[Spoken]
    """Its pieces: audio, mel and attention."""
    problems: list[str]
    """What went wrong in the attention, empty if nothing did."""


def say(voice: Synthesizer, text: str, seed: int = 0) -> Said:
    """Let the voice read a text."""
    readings = [
        Reading(
            voice.frontend.encode(piece.text, "." if piece.whole else ",").ids,
            np.random.SeedSequence(seed, spawn_key=(i,)),
        )
        for i, piece in enumerate(split_text(text, read=voice.frontend.spans))
    ]
    pieces = list(voice.engine.speak(readings))
    found = [
        check(reading.ids, piece.alignment, piece.finished, len(piece.samples) / voice.sample_rate)
        for reading, piece in zip(readings, pieces, strict=True)
    ]
    return Said(text, pieces, [problem for attention in found for problem in attention.problems])


def joined(pieces: Iterable[Floats]) -> Floats:
    """Audio of one piece after the other, a fifth of a second apart."""
    pause = np.zeros(MelConfig().sample_rate // 5, np.float32)
    return np.concatenate([part for piece in pieces for part in (piece, pause)][:-1])


def teacher_audio(texts: Sequence[str], folder: Path) -> list[Floats]:
    """What the teacher says to each text, as it stands in the corpus: trimmed and resampled."""
    config, program = MelConfig(), teacher.build(folder)
    spoken = teacher.speak(program, [english_cleaners(text) for text in texts], folder)
    if len(spoken) != len(texts):
        raise ValueError(f"the teacher's words are known for {len(spoken)} of {len(texts)} texts")
    audio = (to_record(utterance, config, 0, 0)[1] for utterance in spoken)
    return [samples.astype(np.float32) / np.float32(32768) for samples in audio]


def mels_of(audio: Iterable[Floats]) -> list[Floats]:
    """Log-mels (M, F) of dithered audio, as the vocoder was trained on them."""
    analyse, chance = MelSpectrogram(), np.random.default_rng(0)
    dithered = (x + chance.standard_normal(len(x)).astype(np.float32) * DITHER for x in audio)
    return [analyse(torch.from_numpy(x)[None])[0].numpy() for x in dithered]


def transcribe(audio: Floats) -> str:
    """What the listener understands of audio at 22050 Hz."""
    heard = resample_poly(audio, _LISTENER_RATE, MelConfig().sample_rate)
    silence = np.zeros(int(0.3 * _LISTENER_RATE))
    heard = np.concatenate([silence, heard, silence])
    heard = heard + np.random.default_rng(0).standard_normal(len(heard)) * 1e-4
    loud = heard / max(1e-6, float(np.abs(heard).max())) * 0.7
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw((loud * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""


@lru_cache(maxsize=1)
def _decoder() -> Any:
    from pocketsphinx import Decoder

    return Decoder(samprate=_LISTENER_RATE, loglevel="FATAL")


def plain_words(text: str) -> str:
    """Words as the listener writes them: lower case, no punctuation."""
    return " ".join(re.sub(r"[^a-z']", " ", english_cleaners(text)).split()) or "silence"


def score(name: str, texts: Sequence[str], audio: Sequence[Floats], listeners: int) -> Score:
    """Let listeners transcribe the audio of each text, and count their errors."""
    import jiwer

    with ProcessPoolExecutor(listeners) as pool:
        heard = [plain_words(text) for text in pool.map(transcribe, audio)]
    wanted = [plain_words(text) for text in texts]
    samples = np.concatenate(list(audio))
    return Score(
        name,
        float(jiwer.wer(wanted, heard)),
        float(jiwer.cer(wanted, heard)),
        len(samples) / MelConfig().sample_rate,
        int((np.abs(samples) >= 1).sum()),
    )


class Report(NamedTuple):
    """All that is measured of a voice."""

    scores: list[Score]
    """Of each way of speaking, the teacher's first."""
    nearness: dict[str, Nearness]
    """Pitch, timing and sound beside the teacher's, by way of speaking."""
    spoken: list[Said]
    """The sentences as the voice says them with the first noise."""


def measure(
    voice: Synthesizer, texts: Sequence[str], folder: Path, listeners: int = 2, noises: int = 3
) -> Report:
    """The scores of teacher, teacher's mels and voice, each with both vocoders.

    Args:
        voice: with its trained vocoder.
        texts: sentences that were not trained on.
        folder: for the teacher's files.
        listeners: processes that transcribe.
        noises: how often a way that has noise in it speaks each text; errors are over all.
    """
    engine = voice.engine
    if not isinstance(engine, CpuEngine):
        raise UsageError("voices are measured on the CPU")
    griffin_lim = GriffinLim()

    def by_griffin_lim(mel: Floats) -> Floats:
        audio: Floats = griffin_lim(torch.from_numpy(mel.copy())[None])[0].numpy()
        return audio

    said = teacher_audio(texts, folder)
    copied = mels_of(said)
    spoken = [say(voice, text, seed) for seed in range(noises) for text in texts]
    ways: dict[str, list[Floats]] = {
        "teacher": said,
        "teacher's mel → Griffin-Lim": [by_griffin_lim(mel) for mel in copied],
        "teacher's mel → WaveGlow": [
            engine.vocoder(mel, np.random.default_rng(seed))
            for seed in range(noises)
            for mel in copied
        ],
        "Tacotron 2 → Griffin-Lim": [
            joined(by_griffin_lim(piece.mel) for piece in s.pieces) for s in spoken
        ],
        "Tacotron 2 → WaveGlow": [joined(p.samples for p in s.pieces) for s in spoken],
    }
    count = len(texts)
    scores = [
        score(name, list(texts) * (len(audio) // count), audio, listeners)
        for name, audio in ways.items()
    ]
    nearness = {
        name: compare(audio[:count], said, mels_of(audio[:count]), copied)
        for name, audio in ways.items()
        if name.endswith("WaveGlow")
    }
    return Report(scores, nearness, spoken[:count])


def tables(report: Report) -> list[list[Row]]:
    """The report as rows of words, headings first: understanding, then nearness."""
    teachers = max(report.scores[0].word_errors, 1e-9)
    heard: list[Row] = [("", "WER", "CER", "WER ÷ teacher's", "minutes", "clipped samples")]
    for row in report.scores:
        errors = (row.word_errors, row.character_errors)
        ratio = f"{row.word_errors / teachers:.2f}"
        shown = [f"{error:.3f}" for error in errors]
        heard.append((row.name, *shown, ratio, f"{row.seconds / 60:.1f}", str(row.clipped)))
    near: list[Row] = [
        ("", "length", "F0 RMSE", "F0 bias", "voicing error", "third octaves", "silence")
    ]
    for name, found in report.nearness.items():
        pitch = (f"{found.f0_error:.1%}", f"{found.f0_bias:+.1%}", f"{found.voicing_error:.1%}")
        sound = (f"{found.spectrum_error:.1f} dB", f"{found.silence:.0f} dB")
        near.append((name, f"{found.duration - 1:+.1%}", *pitch, *sound))
    return [heard, near]


def markdown(rows: Sequence[Row]) -> str:
    """A table in Markdown."""
    lines = [" | ".join(row) for row in rows]
    lines.insert(1, "|".join("---" for _ in rows[0]))
    return "\n".join(f"| {line} |" for line in lines)


def picture(said: Said, path: Path) -> None:
    """Draw the attention, the mel and the spectrogram of the first piece, one above the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1)
    piece = said.pieces[0]
    top.imshow(piece.alignment.T, aspect="auto", origin="lower")
    top.set(title=said.text[:100], ylabel="symbol")
    middle.imshow(piece.mel, aspect="auto", origin="lower", vmin=-9, vmax=1)
    middle.set(ylabel="mel bin")
    bottom.specgram(
        piece.samples + 1e-7, NFFT=1024, Fs=MelConfig().sample_rate, noverlap=768, vmin=-150
    )
    bottom.set(xlabel="time (s)", ylabel="Hz")
    figure.savefig(path, dpi=80)


def save_audio(path: Path, audio: Floats) -> None:
    """Write audio to listen to."""
    Audio(audio, MelConfig().sample_rate).save(path)
