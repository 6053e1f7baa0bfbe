"""Networks that remember: a GRU (Cho et al. 2014) between the features and the heads.

A state belongs to one episode and is zero at its start. An agent learns from whole rollouts of some
environments: back through time as far as an episode, or else the rollout, goes.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from misgen.agents.networks import Weights, linear

INPUT, HIDDEN = "gru.input", "gru.hidden"  # its two layers; units of each: reset, update, new


class Recurrence(Protocol):
    """What was before the observations that a network is given."""

    def __call__(self, p: Weights, features: Tensor) -> Tensor:
        """What the GRU puts out, [k, n, units]. p: weights [k, ...]; features [k, n, units]."""


class Step:
    """One step of n episodes each; `state`, [k, n, units], is replaced by the one after it."""

    def __init__(self, state: Tensor) -> None:
        self.state = state

    def __call__(self, p: Weights, features: Tensor) -> Tensor:
        self.state = gru(linear(features, p, INPUT), p, self.state)
        return self.state


class Sequences:
    """Sequences of T steps each, one after the other: row s * T + t is step t of the s-th.

    Args:
        state: before each, float32 [k, sequences, units].
        goes_on: float32 [k, sequences * T]: 0 where an episode begins, else 1.
    """

    def __init__(self, state: Tensor, goes_on: Tensor) -> None:
        self.state, self.goes_on = state, goes_on

    def __call__(self, p: Weights, features: Tensor) -> Tensor:
        count = self.state.shape[1]
        gates = linear(features, p, INPUT).unflatten(1, (count, -1))
        # In bfloat16 once, not in every step.
        p = {**p, f"{HIDDEN}.weight": p[f"{HIDDEN}.weight"].to(gates.dtype)}
        kept = self.goes_on.unflatten(1, (count, -1)).unsqueeze(-1)
        state, outputs = self.state, []
        for seen, keep in zip(gates.unbind(2), kept.unbind(2), strict=True):
            state = gru(seen, p, state * keep)
            outputs.append(state)
        return torch.stack(outputs, dim=2).flatten(1, 2)


def gru(gates: Tensor, p: Weights, state: Tensor) -> Tensor:
    """The next state. gates: [k, n, 3 x units], of what is seen; state: [k, n, units]."""
    reset, update, new = gates.chunk(3, dim=-1)
    old_reset, old_update, old_new = linear(state, p, HIDDEN).chunk(3, dim=-1)
    update = torch.sigmoid(update + old_update)
    new = torch.tanh(new + torch.sigmoid(reset + old_reset) * old_new)
    return new + update * (state - new)
