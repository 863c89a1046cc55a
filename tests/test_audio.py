"""Audio files and streams: what is written, and what is left behind when writing fails."""

from __future__ import annotations

import errno
import io
import os
import resource
import shutil
import signal
import stat
import struct
import subprocess
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscli.audio import (
    CODECS,
    ENDINGS,
    Audio,
    Samples,
    SoundFileEncoder,
    WavEncoder,
    open_audio,
    signals_deferred,
    soft_limit,
)
from ttscli.errors import ClosedPipeError, OutputError, UsageError
from ttscli.events import Event, Limited, Resampled, Written
from ttscli.resampling import Resampler

RATE = 22050
Capture: TypeAlias = pytest.CaptureFixture[bytes]


def tone(seconds: float = 0.5, level: float = 0.5) -> Samples:
    """A sine of 440 Hz with a rising level."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (level * t / seconds * np.sin(2 * np.pi * 440 * t)).astype(np.float32)


def pieces(samples: Samples) -> list[Samples]:
    """The samples in pieces of odd sizes, one of them empty."""
    return np.split(samples, [1, 1, 1000, 7777])


def read_wav(data: bytes) -> tuple[Samples, int]:
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return (frames / 32767).astype(np.float32), file.getframerate()


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 8 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_wav_holds_every_sample(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    with open_audio(path, RATE) as output:
        for piece in pieces(tone()):
            output.write(piece)
    samples, rate = read_wav(path.read_bytes())
    assert rate == RATE
    np.testing.assert_allclose(samples, tone(), atol=0.5001 / 32767)
    assert path.read_bytes() == Audio(tone(), RATE).wav()


def test_a_wav_of_four_gibibytes_is_the_last(tmp_path: Path) -> None:
    """The hours before are a hole in the file."""
    import soundfile

    most = (0xFFFFFFFF - 44) // 2  # samples
    sound = np.linspace(-0.5, 0.5, 100, dtype=np.float32)
    with (tmp_path / "x.wav").open("x+b") as file:
        encoder = WavEncoder(file, 22050, seekable=True)
        encoder.write(sound)
        encoder._bytes = 2 * (most - 100)
        file.seek(44 + encoder._bytes)
        encoder.write(sound)
        with pytest.raises(OutputError, match=r"at most 4 GiB; use \.flac"):
            encoder.write(sound[:1])
        encoder._bytes = 2 * most
        encoder.finish()
    with soundfile.SoundFile(tmp_path / "x.wav") as written:
        assert written.frames == most
        written.seek(most - 100)
        np.testing.assert_allclose(written.read(), sound, atol=1e-4)


@pytest.mark.parametrize("ending", [*CODECS, ".FLAC"])
def test_formats_give_the_sound_back(tmp_path: Path, ending: str) -> None:
    import soundfile

    path = tmp_path / f"x{ending}"
    with open_audio(path, RATE) as output:
        for piece in pieces(tone()):
            output.write(piece)
    samples, rate = soundfile.read(path, dtype="float32")
    expected = tone()
    if ending == ".opus":
        assert rate == 24000
        expected = whole_resampled(expected, 24000)
    assert len(samples) == len(expected)
    assert np.corrcoef(samples, expected)[0, 1] > 0.99


@pytest.mark.parametrize(
    ("ending", "rate"),
    [(".wav", 8000), (".flac", 44100), (".ogg", 16000), (".opus", 16000), (".mp3", 48000),
     (".wav", 22051)],
)  # fmt: skip
def test_another_sample_rate(ending: str, rate: int, tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / f"x{ending}"
    events: list[Event] = []
    with open_audio(path, RATE, to_rate=rate, on_event=events.append) as output:
        for piece in pieces(tone()):
            output.write(piece)
    samples, found = soundfile.read(path, dtype="float32")
    expected = whole_resampled(tone(), rate)
    assert found == rate
    assert len(samples) == len(expected) == -(-len(tone()) * rate // RATE)
    assert np.corrcoef(samples, expected)[0, 1] > 0.99
    assert events == [Written(str(path), len(samples) / rate, len(samples), rate)]
    other = tmp_path / f"y{ending}"
    Audio(tone(), RATE).save(other, sample_rate=rate)
    again, _ = soundfile.read(other, dtype="float32")
    np.testing.assert_allclose(again, samples, atol=0.05)


@pytest.mark.parametrize(
    ("name", "rate", "why"),
    [
        ("x.wav", 3999, "from 4000 to 192000, not 3999"),
        ("x.wav", 192001, "from 4000 to 192000"),
        ("x.opus", 44100, r"\.opus files cannot have .* 44100; use one of 8000 12000"),
        ("x.mp3", 96000, r"\.mp3 files cannot have"),
    ],
)
def test_sample_rates_that_are_refused(name: str, rate: int, why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=why), open_audio(tmp_path / name, RATE, to_rate=rate):
        pass
    assert not list(tmp_path.iterdir())


def test_events(tmp_path: Path) -> None:
    events: list[Event] = []
    path = str(tmp_path / "x.opus")
    with open_audio(path, RATE, on_event=events.append) as output:
        output.write(tone(level=1.5))
    resampled, limited, written = events
    assert resampled == Resampled(path, RATE, 24000)
    assert isinstance(limited, Limited)
    assert 1.4 < limited.peak < 1.6
    assert 0 < limited.samples < 12000
    assert written == Written(path, 0.5, 12000, 24000)


def test_one_sample_too_many_is_counted(tmp_path: Path) -> None:
    events: list[Event] = []
    path = str(tmp_path / "x.wav")
    with open_audio(path, RATE, on_event=events.append) as output:
        output.write(np.array([0, 1, 0.99, -1.25], np.float32))
    assert events == [Limited(path, 1, 1.25), Written(path, 4 / RATE, 4, RATE)]


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1).map(sorted))
def test_limiter(values: list[float]) -> None:
    samples = np.array(values, np.float32)
    limited = soft_limit(samples)
    assert np.abs(limited).max() <= 1
    assert (np.diff(limited) >= 0).all(), "louder stays louder"
    quiet = np.abs(samples) <= 0.95
    np.testing.assert_array_equal(limited[quiet], samples[quiet])
    np.testing.assert_array_equal(soft_limit(-samples), -limited)


def whole_resampled(samples: Samples, to_rate: int) -> Samples:
    from scipy.signal import resample_poly

    divisor = np.gcd(RATE, to_rate)
    whole = resample_poly(samples, to_rate // divisor, RATE // divisor)
    return np.asarray(whole, np.float32)


@settings(deadline=None)  # the first example imports scipy
@given(
    st.lists(st.integers(0, 2000), max_size=6),
    st.sampled_from([24000, 48000, 16000, 8000, 44100, 11025]),
)
def test_resampled_pieces_are_the_whole(sizes: list[int], to_rate: int) -> None:
    signal = np.random.default_rng(0).standard_normal(sum(sizes)).astype(np.float32)
    resampler = Resampler(RATE, to_rate)
    parts = [resampler.write(piece) for piece in np.split(signal, np.cumsum(sizes))]
    joined = np.concatenate([*parts, resampler.finish()])
    expected = whole_resampled(signal, to_rate) if len(signal) else signal
    np.testing.assert_allclose(joined, expected, atol=1e-5)


def test_stream_is_readable_before_its_end(capfdbinary: Capture) -> None:
    with open_audio("-", RATE) as output:
        output.write(tone())
        data = capfdbinary.readouterr().out
        assert struct.unpack("<4sI", data[:8]) == (b"RIFF", 0x7FFFF024)
        assert struct.unpack("<4sI", data[36:44]) == (b"data", 0x7FFFF000)
        assert data[44:] == Audio(tone(), RATE).wav()[44:]
        output.write(tone())
    assert capfdbinary.readouterr().out == data[44:]


def test_raw(capfdbinary: Capture, tmp_path: Path) -> None:
    for target in ("-", tmp_path / "x.pcm"):
        with open_audio(target, RATE, raw=True) as output:
            output.write(tone())
    streamed = capfdbinary.readouterr().out
    assert streamed == (tmp_path / "x.pcm").read_bytes() == Audio(tone(), RATE).wav()[44:]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_what_was_there(
    tmp_path: Path, ending: str, error: type[BaseException]
) -> None:
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"before")
    with pytest.raises(error), open_audio(path, RATE) as output:
        output.write(tone())
        assert path.read_bytes() == b"before"
        raise error
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize("ending", ENDINGS)
def test_full_disk(
    tmp_path: Path, small_disk: None, ending: str, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * RATE).astype(np.float32)
    with (
        pytest.raises(OutputError, match=os.strerror(errno.EFBIG)),
        open_audio(tmp_path / f"x{ending}", RATE) as output,
    ):
        output.write(noise)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", ""), "soundfile prints errors that C swallows"


def test_full_tmpfs(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        with (
            pytest.raises(OutputError, match=r"No space left on device; free some space") as caught,
            open_audio(tmp_path / "x.wav", RATE) as output,
        ):
            output.write(tone(5))
        assert caught.value.exit_code == 7
        assert not list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_device_that_is_full() -> None:
    with (
        pytest.raises(OutputError, match=r"/dev/full: No space"),
        open_audio("/dev/full", RATE) as o,
    ):
        o.write(tone())
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_minutes_at_once(tmp_path: Path) -> None:
    import soundfile

    Audio(np.zeros(300 * RATE, np.float32), RATE).save(tmp_path / "x.ogg")
    assert soundfile.info(tmp_path / "x.ogg").frames == 300 * RATE


def test_error_inside_libsndfile_is_raised_as_it_was() -> None:
    class Interrupted(io.BytesIO):
        def write(self, data: object) -> int:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoder = SoundFileEncoder(Interrupted(), RATE, "OGG", "VORBIS")
        encoder.write(tone(5))
        encoder.finish()


def test_closed_pipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with pytest.raises(ClosedPipeError), open_audio(f"/dev/fd/{writer}", RATE) as output:
            output.write(tone())
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/where.wav", r"No such file or directory; make the folder first: mkdir -p .*/no"),
        ("file/x.wav", r"Not a directory; make the folder first"),
        ("folder.wav", r"Is a directory; name a file in it"),
        ("x" * 300 + ".wav", r"File name too long; choose a shorter name"),
    ],
)
def test_places_that_cannot_be_written(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.wav").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match=message), open_audio(tmp_path / name, RATE):
        pytest.fail("the error must come before the work")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path) -> None:
    protected = tmp_path / "x.wav"
    protected.write_text("")
    protected.chmod(0o444)
    with pytest.raises(OutputError, match="Permission denied"), open_audio(protected, RATE):
        pass
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="Permission denied"), open_audio(tmp_path / "y.wav", 1):
        pass


@pytest.mark.parametrize(
    ("target", "raw", "message"),
    [
        ("x.xyz", False, "unknown ending '.xyz'; use one of .wav"),
        ("x", False, "the name has no ending; use one of .wav"),
        ("", False, "the name has no ending"),
        ("x.wav", True, "raw samples have no header"),
        ("/dev/fd/1.mp3", False, ".mp3 cannot be streamed"),
    ],
)
def test_targets_that_make_no_sense(target: str, raw: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message), open_audio(target, RATE, raw=raw):
        pass


def test_new_file_has_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    Audio(tone(), RATE).save(tmp_path / "x.wav")
    assert (tmp_path / "x.wav").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "x.wav").symlink_to(tmp_path / "precious")
    Audio(tone(), RATE).save(tmp_path / "x.wav")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "x.wav").is_symlink()


@pytest.mark.parametrize("command", ["sox -t wav - -t raw -", "ffmpeg -v quiet -i - -f s16le -"])
def test_players_take_the_stream(capfdbinary: Capture, command: str) -> None:
    if not shutil.which(command.split(maxsplit=1)[0]):
        pytest.skip("not installed")
    with open_audio("-", RATE) as output:
        output.write(tone())
    streamed = capfdbinary.readouterr().out
    played = subprocess.run(command.split(), input=streamed, capture_output=True, check=True)
    assert played.stdout == Audio(tone(), RATE).wav()[44:]


def test_a_signal_waits_until_libsndfile_is_done() -> None:
    """What a handler raises in a callback from C is printed and forgotten."""

    class StopError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StopError

    before = signal.signal(signal.SIGTERM, stop)
    done = False
    try:
        with pytest.raises(StopError), signals_deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            done = True
        assert done
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)
