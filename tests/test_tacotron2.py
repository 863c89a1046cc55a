"""Tacotron 2: parity with NVIDIA's, and batches that change nothing."""

from __future__ import annotations

import json
from pathlib import Path

import parity
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ttscli.checkpoints import load_tacotron2
from ttscli.core.configs import Tacotron2Config
from ttscli.core.tacotron2 import Tacotron2, Tacotron2Output
from ttscli.core.tacotron2_layers import length_mask
from ttscli.training.attention_loop import decode

TINY = Tacotron2Config(
    n_mel_channels=6,
    symbols_embedding_dim=16,
    encoder_embedding_dim=16,
    attention_rnn_dim=12,
    attention_dim=6,
    attention_location_n_filters=4,
    attention_location_kernel_size=7,
    n_frames_per_step=2,
    decoder_rnn_dim=14,
    prenet_dim=8,
    postnet_embedding_dim=8,
    p_attention_dropout=0.0,
    p_decoder_dropout=0.0,
)


@pytest.fixture(scope="module")
def theirs(reference: Path) -> Tacotron2:
    return load_tacotron2(reference / "tacotron2_deeplearningexamples.pt")


@pytest.fixture
def tiny() -> Tacotron2:
    torch.manual_seed(0)
    return Tacotron2(TINY).eval()


def nvidia_loss(output: Tacotron2Output, mels: Tensor, gates: Tensor, lengths: Tensor) -> Tensor:
    """Each row's loss (B,): squared error of both mels, cross entropy of the gate (section 2.2).

    Args:
        output: of `Tacotron2.forward`.
        mels: true log-mels (B, M, F).
        gates: 1 from the last frame on, 0 before (B, F).
        lengths: frames in each row (B,).
    """
    mask = length_mask(lengths, mels.shape[2]).to(mels)
    before = (output.mel_before - mels).square().mean(1)
    after = (output.mel - mels).square().mean(1)
    gate = F.binary_cross_entropy_with_logits(output.gate, gates, reduction="none")
    return ((before + after + gate) * mask).sum(1) / lengths


def as_batch(expected: parity.Expected) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [torch.from_numpy(expected[f"taco_ids_{i}"]) for i in range(3)]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return ids, torch.tensor([len(row) for row in rows])


@pytest.mark.parametrize("row", range(3))
def test_infer_equals_nvidia(row: int, theirs: Tacotron2, expected: parity.Expected) -> None:
    ids = torch.from_numpy(expected[f"taco_ids_{row}"])[None]
    lengths = torch.tensor([ids.shape[1]])
    output = theirs.infer(ids, lengths, prenet_dropout=False, max_steps=60)
    values = {
        "memory": theirs.encode(ids, lengths).detach(),
        "mel": output.mel_before,
        "mel_postnet": output.mel,
        "gate": output.gate[0],
        "alignment": output.alignments,
        "length": output.lengths,
    }
    for name, value in values.items():
        parity.check(f"taco_{name}_{row}", value, expected[f"taco_{name}_{row}"])


def test_a_batch_equals_nvidia_row_by_row(theirs: Tacotron2, expected: parity.Expected) -> None:
    ids, lengths = as_batch(expected)
    shuffled = torch.tensor([2, 0, 1])  # not in order of length
    output = theirs.infer(ids[shuffled], lengths[shuffled], prenet_dropout=False, max_steps=60)
    for place, row in enumerate(shuffled.tolist()):
        mel = expected[f"taco_mel_postnet_{row}"]
        frames = mel.shape[2]
        assert int(output.lengths[place]) == frames - 1
        assert parity.max_difference(output.mel[place, :, :frames], mel[0]) < 1e-4
        assert not output.mel[place, :, frames:].any()


@pytest.mark.parametrize("row", range(3))
def test_forward_equals_nvidia(row: int, theirs: Tacotron2, expected: parity.Expected) -> None:
    tensors = {
        name: torch.from_numpy(expected[f"forced_{name}"])
        for name in ("ids", "id_lengths", "target", "target_lengths", "gate_target")
    }
    target, lengths = tensors["target"], tensors["target_lengths"]
    with torch.no_grad():
        output = theirs(
            tensors["ids"], tensors["id_lengths"], target, lengths, prenet_dropout=False
        )
    frames, symbols = int(lengths[row]), int(tensors["id_lengths"][row])
    values = {
        "mel": output.mel_before[row : row + 1, :, :frames],
        "mel_postnet": output.mel[row : row + 1, :, :frames],
        "gate": output.gate[row : row + 1, :frames],
        "alignment": output.alignments[row : row + 1, :frames, :symbols],
        "loss": nvidia_loss(output, target, tensors["gate_target"], lengths)[row],
    }
    for name, value in values.items():
        parity.check(f"forced_{name}_{row}", value, expected[f"forced_{name}_{row}"])


def test_a_batch_row_is_its_text_alone_with_its_own_dropout(tiny: Tacotron2) -> None:
    texts = [
        torch.randint(148, (n,), generator=torch.Generator().manual_seed(n)) for n in (5, 9, 3)
    ]
    seeds = [torch.Generator().manual_seed(n) for n in range(3)]
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=77)
    lengths = torch.tensor([len(text) for text in texts])
    batch = tiny.infer(ids, lengths, generator=seeds, max_steps=70)
    for row, text in enumerate(texts):
        alone = tiny.infer(
            text[None], lengths[row : row + 1], generator=torch.Generator().manual_seed(row),
            max_steps=70,
        )  # fmt: skip
        frames = alone.mel.shape[2]
        assert torch.equal(batch.lengths[row], alone.lengths[0])
        assert (batch.mel[row, :, :frames] - alone.mel[0]).abs().max() < 1e-5
        weights = batch.alignments[row, :frames, : len(text)]
        assert (weights - alone.alignments[0]).abs().max() < 1e-5
        assert not batch.alignments[row, :, len(text) :].any()


def test_dropout_is_really_drawn_from_the_generator(tiny: Tacotron2) -> None:
    ids, lengths = torch.arange(6)[None], torch.tensor([6])
    mels = [
        tiny.infer(ids, lengths, generator=torch.Generator().manual_seed(seed), max_steps=5).mel
        for seed in (1, 1, 2)
    ]
    assert torch.equal(mels[0], mels[1])
    assert not torch.allclose(mels[0], mels[2])


def test_a_text_that_does_not_end_is_marked(tiny: Tacotron2) -> None:
    with torch.no_grad():
        tiny.decoder.gate.bias.fill_(-50.0)
    ids, lengths = torch.arange(6).repeat(2, 1), torch.tensor([6, 2])
    output = tiny.infer(ids, lengths)
    assert output.hit_limit.tolist() == [True, True]
    assert output.lengths.tolist() == [2 * tiny.step_limit(6), 2 * tiny.step_limit(2)]
    assert tiny.step_limit(200) > tiny.step_limit(20)


def test_a_text_that_ends_at_once_has_no_frames(tiny: Tacotron2) -> None:
    with torch.no_grad():
        tiny.decoder.gate.bias.fill_(50.0)
    output = tiny.infer(torch.arange(6)[None], torch.tensor([6]))
    assert output.lengths.tolist() == [0]
    assert output.hit_limit.tolist() == [False]
    assert output.mel.shape == (1, 6, 2)


def test_the_fast_attention_loop_equals_the_steps_and_their_gradients(tiny: Tacotron2) -> None:
    model = tiny.double()
    ids, lengths = torch.randint(148, (3, 9)), torch.tensor([9, 5, 7])
    prenet_output = torch.rand(6, 3, 8, dtype=torch.float64)

    def run(fast: bool) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        model.zero_grad()
        memory = model.decoder.remember(model.encode(ids, lengths), lengths)
        if fast:
            frames, gates, weights, _ = decode(model.decoder, memory, prenet_output)
        else:
            state, rows = model.decoder.initial_state(memory), []
            for step in range(6):
                frame, gate, state = model.decoder.step(prenet_output[step], state, memory)
                rows.append((frame, gate, state.history[:, 0]))
            frames, gates, weights = (torch.stack(column) for column in zip(*rows, strict=True))
        slope = torch.arange(weights.shape[2])
        (frames.square().sum() + gates.sin().sum() + (weights**3 * slope).sum()).backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        return [frames, gates, weights], gradients

    (slow_values, slow), (fast_values, fast) = run(False), run(True)
    for ours, theirs in zip(fast_values, slow_values, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert slow.keys() == fast.keys() and len(slow) > 30
    for name in slow:
        torch.testing.assert_close(fast[name], slow[name])


def test_published_sizes(reference: Path) -> None:
    layout = json.loads((reference / "full_size_layout.json").read_text())["tacotron2"]
    with torch.device("meta"):
        model = Tacotron2()
    assert sum(p.numel() for p in model.parameters()) == layout["parameters"]
