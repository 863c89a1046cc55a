"""Audio files and streams: written as the samples come, put in place only when complete."""

from __future__ import annotations

import errno
import io
import os
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ttscli.errors import OutputError, UsageError
from ttscli.events import Limited, OnEvent, Resampled, Written, ignore
from ttscli.files import atomic_file, is_stream, open_stream, output_errors
from ttscli.resampling import Resampler, check_sample_rate, opus_rate

Samples: TypeAlias = npt.NDArray[np.float32]

CODECS = {
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
ENDINGS = (".wav", *CODECS)

_KNEE = 0.95  # magnitudes up to this one pass the limiter unchanged
_BLOCK = 1 << 14  # samples: libsndfile's Vorbis overflows the stack on minutes at once
_WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_WAV_LARGEST = 0xFFFFFFFF - _WAV_HEADER.size
_WAV_UNKNOWN = 0x7FFFF000  # data size that sox gives when it cannot know: all players read on


@dataclass(frozen=True)
class Audio:
    """One channel of sound."""

    samples: Samples
    """(S,) float32; full scale is 1."""
    sample_rate: int
    """Samples per second."""

    @property
    def duration(self) -> float:
        """Length, seconds."""
        return len(self.samples) / self.sample_rate

    def save(
        self, path: str | Path, on_event: OnEvent = ignore, *, sample_rate: int | None = None
    ) -> None:
        """Write a file; its ending names the format: .wav .flac .ogg .opus .mp3.

        Args:
            path: the file.
            on_event: takes `Resampled`, `Limited` and `Written`.
            sample_rate: of the file; None is the audio's.
        """
        opened = open_audio(path, self.sample_rate, to_rate=sample_rate, on_event=on_event)
        with opened as output:
            output.write(self.samples)

    def wav(self) -> bytes:
        """The bytes of a 16-bit WAV file."""
        file = io.BytesIO()
        encoder = WavEncoder(file, self.sample_rate, seekable=True)
        encoder.write(soft_limit(self.samples))
        encoder.finish()
        return file.getvalue()


def soft_limit(samples: Samples) -> Samples:
    """Samples within full scale; those beyond it are bent back smoothly, not cut off flat."""
    magnitude = np.abs(samples)
    if not (magnitude > _KNEE).any():
        return samples
    room = 1 - _KNEE
    bent = _KNEE + room * np.tanh((magnitude - _KNEE) / room)
    return np.where(magnitude > _KNEE, np.copysign(bent, samples), samples).astype(np.float32)


def pcm16(samples: Samples) -> bytes:
    """Samples (S,) within full scale as signed 16-bit little-endian numbers."""
    return np.rint(samples * 32767).astype("<i2").tobytes()


class Encoder:
    """Turns samples into the bytes of one format; this one into bare 16-bit numbers."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def write(self, samples: Samples) -> None:
        """Encode (S,) samples within full scale."""
        self.file.write(pcm16(samples))

    def finish(self) -> None:
        """Write what belongs at the end."""

    def abandon(self) -> None:
        """Let go of everything without touching the file again."""


class WavEncoder(Encoder):
    """16-bit WAV; where the file can seek, its header gets the true sizes at the end."""

    def __init__(self, file: IO[bytes], sample_rate: int, *, seekable: bool) -> None:
        super().__init__(file)
        self.sample_rate, self.seekable = sample_rate, seekable
        self._bytes = -1  # the header is not written either

    def write(self, samples: Samples) -> None:
        """Encode (S,) samples within full scale."""
        self._begin()
        self._bytes += 2 * len(samples)
        if self.seekable and self._bytes > _WAV_LARGEST:
            raise OutputError("a WAV file holds at most 4 GiB", todo="use .flac for so long a text")
        super().write(samples)

    def finish(self) -> None:
        """Put the true sizes into the header."""
        self._begin()
        if self.seekable:
            self.file.seek(0)
            self.file.write(self._header(self._bytes))

    def _begin(self) -> None:
        if self._bytes < 0:
            self._bytes = 0
            self.file.write(self._header(_WAV_UNKNOWN))

    def _header(self, size: int) -> bytes:
        rate, width = self.sample_rate, 2
        return _WAV_HEADER.pack(
            b"RIFF", size + _WAV_HEADER.size - 8, b"WAVE",
            b"fmt ", 16, 1, 1, rate, rate * width, width, 8 * width, b"data", size,
        )  # fmt: skip


class _ErrorKeepingFile:
    """A file whose errors are kept: soundfile calls it from C, where exceptions are lost."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: BaseException | None = None
        self.closed = False

    def write(self, data: bytes) -> int:
        return self._try(self._file.write, data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._try(self._file.seek, offset, whence)

    def tell(self) -> int:
        return self._try(self._file.tell)

    def _try(self, call: Any, *arguments: Any) -> int:
        if self.error is not None or self.closed:
            return 0
        try:
            return int(call(*arguments))
        except BaseException as error:  # Ctrl-C too would be lost on its way through C
            self.error = error
            return 0


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Let signals wait: what their handlers raise would be lost in a callback from C."""
    if threading.current_thread() is not threading.main_thread():  # others never see signals
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
        handler = signal.getsignal(number)
        if callable(handler):
            handlers[number] = handler
            signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in came:
            handlers[number](number, frame)


class SoundFileEncoder(Encoder):
    """FLAC, Ogg Vorbis, Opus or MP3 by libsndfile."""

    def __init__(self, file: IO[bytes], sample_rate: int, container: str, codec: str) -> None:
        import soundfile

        super().__init__(file)
        self._failure: type[Exception] = soundfile.LibsndfileError
        self._file = _ErrorKeepingFile(file)
        with self._honest():
            self._out = soundfile.SoundFile(
                self._file, "w", sample_rate, channels=1, format=container, subtype=codec
            )

    def write(self, samples: Samples) -> None:
        """Encode (S,) samples within full scale."""
        with self._honest():
            for start in range(0, len(samples), _BLOCK):
                self._out.write(samples[start : start + _BLOCK])

    def finish(self) -> None:
        """Write the last packets and the header's final values."""
        with self._honest():
            self._out.close()

    def abandon(self) -> None:
        """Free libsndfile's memory without another byte."""
        self._file.closed = True
        with suppress(self._failure):
            self._out.close()

    @contextmanager
    def _honest(self) -> Iterator[None]:
        """Raise what the file raised, whether libsndfile noticed it or not."""
        try:
            with signals_deferred():
                yield
        except (self._failure, AssertionError) as error:  # it asserts that all was written
            raise self._file.error or OSError(errno.EIO, str(error)) from error
        if self._file.error is not None:
            raise self._file.error


class AudioWriter:
    """Takes speech piece by piece, limits it to full scale and counts what needed that."""

    def __init__(
        self, path: str, file: IO[bytes], encoder: Encoder, sample_rate: int, on_event: OnEvent
    ) -> None:
        self.path, self.sample_rate = path, sample_rate
        self.resampler: Resampler | None = None
        self._file, self._encoder, self._on_event = file, encoder, on_event
        self._samples, self._beyond, self._peak = 0, 0, 0.0

    def write(self, samples: Samples) -> None:
        """Append (S,) samples; they are out of the program's hands when this returns."""
        with output_errors(self.path):
            self._encode(self.resampler.write(samples) if self.resampler else samples)
            self._file.flush()

    def finish(self) -> None:
        """Write what belongs at the end."""
        with output_errors(self.path):
            if self.resampler:
                self._encode(self.resampler.finish())
            self._encoder.finish()
            self._file.flush()

    def report(self) -> None:
        """Say what was written."""
        if self._beyond:
            self._on_event(Limited(self.path, self._beyond, self._peak))
        duration = self._samples / self.sample_rate
        self._on_event(Written(self.path, duration, self._samples, self.sample_rate))

    def _encode(self, samples: Samples) -> None:
        magnitude = np.abs(samples)
        self._beyond += int(np.count_nonzero(magnitude > 1))
        self._peak = max(self._peak, float(magnitude.max(initial=0)))
        self._samples += len(samples)
        self._encoder.write(soft_limit(samples))


@contextmanager
def open_audio(
    target: str | Path,
    sample_rate: int,
    *,
    raw: bool = False,
    to_rate: int | None = None,
    on_event: OnEvent = ignore,
) -> Iterator[AudioWriter]:
    """Open an output; it is complete when the block ends, and not there if the block fails.

    Args:
        target: a file, whose ending names the format; or a device, a pipe, or "-" for standard
            output, which take WAV as it comes.
        sample_rate: of the samples to come.
        raw: write bare 16-bit little-endian samples instead.
        to_rate: of the output, if it is to be another one.
        on_event: takes `Resampled`, `Limited` and `Written`.
    """
    path = str(target)
    ending = Path(path).suffix.lower()
    stream = is_stream(path)
    if raw and ending in ENDINGS:
        raise UsageError("raw samples have no header", where=path, todo="name it .raw or .pcm")
    if not raw and not stream and ending not in ENDINGS:
        if path and (Path(path).is_dir() or path.endswith(("/", os.sep))):
            raise UsageError("it is a folder", where=path, todo="name a file in it: speech.wav")
        what = f"unknown ending '{ending}'" if ending else "the name has no ending"
        raise UsageError(what, where=path, todo=f"use one of {' '.join(ENDINGS)}")
    if to_rate is not None:
        check_sample_rate(to_rate, "" if stream else ending)
    if not raw and stream and ending in CODECS:
        raise UsageError(f"{ending} cannot be streamed", where=path, todo="stream WAV or --raw")
    with open_stream(path) if stream else atomic_file(path) as file:
        form = "raw" if raw else ending
        rates = sample_rate, to_rate
        with _encoding(file, path, form, rates, not stream, on_event) as writer:
            yield writer
    writer.report()


@contextmanager
def stream_audio(
    file: IO[bytes], name: str, sample_rate: int, *, raw: bool = False
) -> Iterator[AudioWriter]:
    """Write WAV, or bare samples, into something that is open already."""
    form = "raw" if raw else ""
    with _encoding(file, name, form, (sample_rate, None), False, ignore) as writer:
        yield writer


@contextmanager
def encode_audio(
    name: str,
    sample_rate: int,
    file: io.BytesIO,
    to_rate: int | None = None,
    on_event: OnEvent = ignore,
) -> Iterator[AudioWriter]:
    """Encode into memory the very bytes that `open_audio` would write into a file of this name."""
    ending = Path(name).suffix.lower()
    if to_rate is not None:
        check_sample_rate(to_rate, ending)
    with _encoding(file, name, ending, (sample_rate, to_rate), True, on_event) as writer:
        yield writer
    writer.report()


@contextmanager
def _encoding(
    file: IO[bytes],
    path: str,
    form: str,
    rates: tuple[int, int | None],
    seekable: bool,
    on_event: OnEvent,
) -> Iterator[AudioWriter]:
    """A writer into an open file in a format: raw, or what an ending means.

    Args:
        rates: of the samples to come, and of the output if that is asked for.
    """
    sample_rate, to_rate = rates
    rate = to_rate or (opus_rate(sample_rate) if form == ".opus" else sample_rate)
    if form == "raw":
        encoder = Encoder(file)
    elif form in CODECS:
        with output_errors(path):
            encoder = SoundFileEncoder(file, rate, *CODECS[form])
    else:
        encoder = WavEncoder(file, rate, seekable=seekable)
    writer = AudioWriter(path, file, encoder, rate, on_event)
    if rate != sample_rate:
        writer.resampler = Resampler(sample_rate, rate)
        if to_rate is None:
            on_event(Resampled(path, sample_rate, rate))
    try:
        yield writer
        writer.finish()
    except BaseException:
        encoder.abandon()
        raise
