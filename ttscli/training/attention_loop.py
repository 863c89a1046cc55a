"""Teacher forcing of Tacotron 2, several times as fast as the step loop, with equal results.

With the true frames known, the decoder LSTM does not feed the attention: only attention LSTM and
attention have to run step by step. Their loop keeps what its own backward pass needs, which
spares autograd thousands of small nodes; the rest runs over all steps at once.

Tensor letters: B batch, T symbols, D decoder steps, A attention LSTM, E memory, W attention width,
K kernel size of the location filters.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscli.core.tacotron2_layers import Decoder, LocationSensitiveAttention, Memory


def location_filter(attention: LocationSensitiveAttention) -> Tensor:
    """Location convolution and dense layer as one matrix over a window: (2·K, W)."""
    convolution, dense = attention.location_conv.weight, attention.location_dense.weight
    return torch.einsum("fck,wf->ckw", convolution, dense).reshape(-1, dense.shape[0])


class AttentionLoop(torch.autograd.Function):
    """Attention LSTM and location-sensitive attention over all steps.

    Inputs, in order: gates from the prenet and the biases (D, B, 4A); the matrix from hidden state
    and context to gates (4A, A + E); the query matrix (W, A); the location filter (2K, W); the
    score vector (W,); memory (B, T, E); its keys (B, T, W); 0 at text and a large negative number
    at padding (B, T).
    Outputs: hidden states (D, B, A), contexts (D, B, E), attention weights (D, B, T).
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        recurrent: Tensor,
        query: Tensor,
        location: Tensor,
        score: Tensor,
        memory: Tensor,
        keys: Tensor,
        penalty: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the steps, keeping gates, cells, windows and tanh outputs for the way back."""
        D, B, A = inputs.shape[0], inputs.shape[1], inputs.shape[2] // 4
        T, E, W, K = memory.shape[1], memory.shape[2], query.shape[0], location.shape[0] // 2
        states = inputs.new_zeros(D + 1, B, A + E)  # hidden state and context before each step
        cells = inputs.new_zeros(D + 1, B, A)
        gates, windows = torch.empty_like(inputs), inputs.new_empty(D, B, T, 2 * K)
        compared, weights = inputs.new_empty(D, B, T, W), inputs.new_empty(D, B, T)
        history = inputs.new_zeros(B, 2, T + K - 1)
        view = history.as_strided((B, T, 2, K), (history.stride(0), 1, history.stride(1), 1))
        recurrent_t, query_t, half = recurrent.t().contiguous(), query.t().contiguous(), K // 2
        for step in range(D):
            raw = torch.addmm(inputs[step], states[step], recurrent_t)
            gate = gates[step]
            torch.sigmoid(raw, out=gate)
            torch.tanh(raw[:, 2 * A : 3 * A], out=gate[:, 2 * A : 3 * A])
            i, f, g, o = gate.chunk(4, 1)
            torch.addcmul(f * cells[step], i, g, out=cells[step + 1])
            hidden = o * cells[step + 1].tanh()
            windows[step].view(B, T, 2, K).copy_(view)
            z = compared[step]
            torch.mm(windows[step].view(B * T, 2 * K), location, out=z.view(B * T, W))
            z.add_(keys).add_((hidden @ query_t)[:, None]).tanh_()
            energies = torch.mv(z.view(B * T, W), score).view(B, T) + penalty
            torch.softmax(energies, 1, out=weights[step])
            states[step + 1, :, :A] = hidden
            states[step + 1, :, A:] = torch.bmm(weights[step][:, None], memory)[:, 0]
            history[:, 0, half : half + T] = weights[step]
            history[:, 1, half : half + T] += weights[step]
        ctx.save_for_backward(recurrent, query, location, score, memory)
        ctx.kept = (states, cells, gates, windows, compared, weights)
        return states[1:, :, :A], states[1:, :, A:], weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Walk the steps back, accumulating; products with all steps are left for the end."""
        d_hiddens, d_contexts, d_weights = grads
        recurrent, query, location, score, memory = ctx.saved_tensors
        states, cells, gates, windows, compared, weights = ctx.kept
        ctx.kept = None
        D, B, T, W = compared.shape
        A, K = cells.shape[2], location.shape[0] // 2
        d_gates, d_queries = torch.empty_like(gates), compared.new_empty(D, B, W)
        d_memory_contexts = torch.empty_like(d_contexts)
        d_keys, d_location = torch.zeros_like(compared[0]), torch.zeros_like(location)
        d_score = torch.zeros_like(score)
        next_hidden, next_cell = torch.zeros_like(cells[0]), torch.zeros_like(cells[0])
        next_context = torch.zeros_like(d_contexts[0])
        next_last, next_sum = torch.zeros_like(weights[0]), torch.zeros_like(weights[0])
        # Each position's window gradient is added back to the positions it was taken from: laid out
        # with the window reversed, those are the diagonals of one strided view.
        reversed_t = location.view(2, K, W).flip(1).reshape(2 * K, W).t().contiguous()
        padded = compared.new_zeros(B, T + 2 * (K // 2), 2, K)
        inner = padded[:, K // 2 : K // 2 + T]
        diagonals = padded.as_strided((B, 2, T, K), (padded.stride(0), K, 2 * K, 2 * K + 1))
        for step in range(D - 1, -1, -1):
            d_context = torch.add(d_contexts[step], next_context, out=d_memory_contexts[step])
            d_weight = torch.bmm(memory, d_context[:, :, None])[:, :, 0]
            d_weight += d_weights[step] + next_last + next_sum
            weighted = weights[step] * d_weight
            d_energy = weighted - weights[step] * weighted.sum(1, keepdim=True)
            z = compared[step]
            d_score.addmv_(z.view(B * T, W).t(), d_energy.view(-1))
            d_z = (1 - z * z).mul_(score).mul_(d_energy[:, :, None])
            d_keys += d_z
            flat = d_z.view(B * T, W)
            d_location.addmm_(windows[step].view(B * T, 2 * K).t(), flat)
            inner.copy_((flat @ reversed_t).view(B, T, 2, K))
            d_history = diagonals.sum(3)
            next_last, next_sum = d_history[:, 0], next_sum + d_history[:, 1]
            torch.sum(d_z, 1, out=d_queries[step])
            d_hidden = torch.addmm(next_hidden, d_queries[step], query) + d_hiddens[step]
            i, f, g, o = gates[step].chunk(4, 1)
            tanh_cell = cells[step + 1].tanh()
            d_cell = d_hidden * o * (1 - tanh_cell * tanh_cell) + next_cell
            d_gate = d_gates[step]
            torch.mul(d_cell * g, i * (1 - i), out=d_gate[:, :A])
            torch.mul(d_cell * cells[step], f * (1 - f), out=d_gate[:, A : 2 * A])
            torch.mul(d_cell * i, 1 - g * g, out=d_gate[:, 2 * A : 3 * A])
            torch.mul(d_hidden * tanh_cell, o * (1 - o), out=d_gate[:, 3 * A :])
            next_cell = d_cell * f
            d_state = d_gate @ recurrent
            next_hidden, next_context = d_state[:, :A], d_state[:, A:]
        d_recurrent = d_gates.view(D * B, -1).t() @ states[:D].reshape(D * B, -1)
        d_query = d_queries.view(D * B, W).t() @ states[1:, :, :A].reshape(D * B, A)
        d_memory = torch.bmm(weights.permute(1, 2, 0), d_memory_contexts.transpose(0, 1))
        return d_gates, d_recurrent, d_query, d_location, d_score, d_memory, d_keys, None


def decode(
    decoder: Decoder, memory: Memory, prenet_output: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `Decoder.step` gives over all steps, the dropouts on its LSTMs apart.

    Args:
        decoder: whose weights are used.
        memory: of `Decoder.remember`.
        prenet_output: (D, B, P).

    Returns:
        frames (D, B, M · r), gate logits (D, B), attention weights (D, B, T), contexts (D, B, E).
    """
    rnn, attention = decoder.attention_rnn, decoder.attention
    P = prenet_output.shape[2]
    inputs = F.linear(prenet_output, rnn.weight_ih[:, :P], rnn.bias_ih + rnn.bias_hh)
    hidden, context, weights = AttentionLoop.apply(  # type: ignore[no-untyped-call]  # torch's own
        inputs,
        torch.cat([rnn.weight_hh, rnn.weight_ih[:, P:]], 1),
        attention.query.weight,
        location_filter(attention),
        attention.score.weight[0],
        memory.values,
        memory.keys,
        torch.zeros_like(memory.keys[:, :, 0]).masked_fill(~memory.mask, -1e9),
    )
    rnn = decoder.decoder_rnn
    zeros = hidden.new_zeros(1, hidden.shape[1], rnn.hidden_size)
    parameters = [rnn.weight_ih, rnn.weight_hh, rnn.bias_ih, rnn.bias_hh]
    states, _, _ = torch.lstm(
        torch.cat([hidden, context], 2), (zeros, zeros), parameters,
        True, 1, 0.0, decoder.training, False, False,
    )  # fmt: skip
    output = torch.cat([states, context], 2)
    return decoder.projection(output), decoder.gate(output)[:, :, 0], weights, context
