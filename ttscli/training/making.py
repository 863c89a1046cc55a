"""The stages from speech to a voice's folder; each goes on where it was when it is run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ttscli.checkpoints import load_tacotron2, load_waveglow
from ttscli.core.configs import MelConfig
from ttscli.core.harmonic_waveglow import HarmonicWaveGlow
from ttscli.core.tacotron2 import Tacotron2
from ttscli.errors import InputError
from ttscli.training import corpus, lexicon, package, tacotron2, vocoder
from ttscli.training.sources import Source
from ttscli.voices import Voice

_VOCODER_SHARDS = 10  # three and a half hours: more does not help a vocoder this small

OnProgress = Callable[[str, int, int], None]
"""Is told a stage, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Order:
    """What voice to make."""

    source: Source
    """Of its speech."""
    out: Path
    """Its folder."""
    start: Voice | None = None
    """A voice whose weights it goes on from; None for random ones."""
    shards: int = 0
    """Shards of speech, 500 utterances each; 0 for all."""
    tacotron2: tacotron2.Recipe = field(default_factory=tacotron2.Recipe)
    """How Tacotron 2 is trained."""
    vocoder: vocoder.Recipe = field(default_factory=vocoder.Recipe)
    """How the vocoder is trained."""
    device: str = "cpu"
    """Where both are trained."""
    sigma: float = 0.85
    """Noise of the finished vocoder."""
    mel_gain: int = 2
    """Passes of the finished voice's mel-gain filter."""


def make_voice(order: Order, work: Path, on_progress: OnProgress) -> package.Facts:
    """Make the voice, with speech, states and logs in the folder `work`.

    Raises:
        InputError: `work` holds the speech of another source, or there is none to train on.
    """
    speech = work / "corpus"
    speech.mkdir(parents=True, exist_ok=True)
    _refuse_other_source(work, order.source)
    names, offered = _record(order, speech, on_progress)
    acoustic = _train_tacotron2(order, speech, _folder(work / "tacotron2"), on_progress)
    voiced = names[:_VOCODER_SHARDS]
    _prepare_vocoder(acoustic, speech, voiced, order.device, on_progress)
    flow = _train_vocoder(order, speech, _folder(work / "vocoder"), on_progress)
    table, said = work / "lexicon.tsv", corpus.Corpus(speech)
    known = order.source.pronunciations(said, work)
    lexicon.write(table, known)
    package.write_voice(order.out, acoustic.cpu(), flow.cpu(), table, order.sigma, order.mel_gain)
    return package.Facts(
        source=order.source.name,
        credit=order.source.credit,
        start=order.start.name if order.start else None,
        hours=sum(record.samples for record in said.records) / MelConfig().sample_rate / 3600,
        utterances=len(said),
        offered=offered,
        tacotron2_steps=order.tacotron2.steps,
        vocoder_steps=order.vocoder.steps,
        words=lexicon.count(known),
        parameters=tuple(sum(p.numel() for p in m.parameters()) for m in (acoustic, flow)),
    )


def _record(order: Order, speech: Path, on_progress: OnProgress) -> tuple[list[str], int]:
    """Make the shards that are missing; returns the names of all, and how much they are of."""
    planned = corpus.shards_of(order.source.items())
    names = list(planned)[: order.shards or None]
    missing = [name for name in names if not (speech / f"{name}.jsonl").exists()]
    done = len(names) - len(missing)
    on_progress("speech", done, len(names))
    with _pool() as pool:
        made = [
            pool.submit(corpus.write_shard, speech, name, planned[name], order.source.speak)
            for name in missing
        ]
        for count, shard in enumerate(made, done + 1):
            shard.result()
            on_progress("speech", count, len(names))
    if not len(corpus.Corpus(speech)):
        raise InputError("none of the speech could be aligned with its text", where=str(speech))
    return names, sum(len(planned[name]) for name in names)


def _train_tacotron2(
    order: Order, speech: Path, folder: Path, on_progress: OnProgress
) -> Tacotron2:
    recipe, start = order.tacotron2, None
    if order.start is not None:
        recipe, start = recipe.onwards(), load_tacotron2(order.start.tacotron2)
    return tacotron2.Trainer(
        speech,
        folder,
        recipe,
        order.device,
        lambda step: on_progress("Tacotron 2", step, recipe.steps),
        start,
    ).train()


def _prepare_vocoder(
    model: Tacotron2, speech: Path, names: Sequence[str], device: str, on_progress: OnProgress
) -> None:
    """Find the pitch of the shards for the vocoder, and predict their mels."""
    with _pool() as pool:
        missing = [name for name in names if not (speech / f"{name}.pitch.npz").exists()]
        done = len(names) - len(missing)
        on_progress("pitch", done, len(names))
        found = pool.map(vocoder.analyse_shard, [speech] * len(missing), missing)
        for count, _ in enumerate(found, done + 1):
            on_progress("pitch", count, len(names))
    for count, name in enumerate(names, 1):
        if not (speech / f"{name}.predicted.npy").exists():
            tacotron2.predict_shard(speech, name, model, device)
        on_progress("predicted mels", count, len(names))


def _train_vocoder(
    order: Order, speech: Path, folder: Path, on_progress: OnProgress
) -> HarmonicWaveGlow:
    recipe, start = order.vocoder, None
    if order.start is not None:
        recipe, start = recipe.onwards(), _harmonic(order.start)
    return vocoder.Trainer(
        speech,
        folder,
        recipe,
        order.device,
        lambda step: on_progress("vocoder", step, recipe.pitch_steps + recipe.steps),
        start,
    ).train()


def _harmonic(voice: Voice) -> HarmonicWaveGlow:
    """The voice's vocoder, which must be of the kind that is trained here."""
    model = load_waveglow(voice.waveglow)
    if not isinstance(model, HarmonicWaveGlow):
        raise InputError(f"the vocoder of {voice.name} is not of the built-in voice's kind")
    return model


def _refuse_other_source(work: Path, source: Source) -> None:
    """Remember what the work folder's speech is of; refuse another."""
    marker, fingerprint = work / "texts.sha256", source.fingerprint()
    if marker.exists() and marker.read_text() != fingerprint:
        todo = "name another folder with --work"
        raise InputError("it holds the speech of other texts", where=str(work), todo=todo)
    marker.write_text(fingerprint)


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,))


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
