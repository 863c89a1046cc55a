"""What an utterance's samples depend on, as one short key: equal keys, equal audio."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path

from ttscli import __version__
from ttscli.batch.jobs import Job, VoiceOptions
from ttscli.errors import VoiceError
from ttscli.files import sha256_of
from ttscli.resampling import check_sample_rate
from ttscli.tempo import check_speed
from ttscli.voices import Voice

_ASIDE = {"name", "description", "licence"}  # of a voice: what nobody hears


class Keys:
    """Keys of jobs; each voice's files are read once."""

    def __init__(self) -> None:
        self._files: dict[Path, str] = {}
        self._heads: dict[VoiceOptions, str] = {}

    def check(self, options: VoiceOptions) -> None:
        """Find and hash the voice of these options, or say what is wrong with them."""
        if options not in self._heads:
            self._heads[options] = self.head(options)

    def key(self, job: Job, ending: str) -> str:
        """The key of a job whose file has that ending."""
        head = self._heads[job.options]
        parts = (head, ending + Path(job.subtitles).suffix, job.seed, job.text)
        return _digest("\n".join(map(str, parts)).encode())

    def head(self, options: VoiceOptions) -> str:
        """What is the same for all jobs with these options."""
        from ttscli.synthesizer import check_pause, choose_voice

        voice = choose_voice(
            options.voice, tacotron2=options.tacotron2, waveglow=options.waveglow,
            vocoder=options.vocoder, sigma=options.sigma, denoise=options.denoise,
        )  # fmt: skip
        check_pause("paragraph_pause", options.paragraph_pause or 0)
        parts = {
            "version": __version__,
            "voice": self.content(voice),
            "vocoder": options.vocoder,
            "pause": check_pause("pause", options.pause),
            "paragraph_pause": options.paragraph_pause,
            "emoji": options.emoji,
            "speed": check_speed(options.speed),
            "sample_rate": check_sample_rate(options.sample_rate or voice.sample_rate),
            "precision": options.precision,
            "lexicon": self._file(Path(options.lexicon)) if options.lexicon else None,
        }
        return _digest(json.dumps(parts, sort_keys=True).encode())

    def content(self, voice: Voice) -> str:
        """All that can be heard of a voice."""
        parts = {}
        for field in fields(voice):
            if field.name not in _ASIDE:
                value = getattr(voice, field.name)
                parts[field.name] = self._file(value) if isinstance(value, Path) else value
        return _digest(json.dumps(parts, sort_keys=True).encode())

    def _file(self, path: Path) -> str:
        if path not in self._files:
            try:
                self._files[path] = sha256_of(path)
            except OSError as error:
                raise VoiceError(error.strerror or str(error), where=str(path)) from error
        return self._files[path]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
