"""The observations of a rollout, as networks read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from misgen.agents.device import Device, to_host
from misgen.agents.networks import Architecture
from misgen.agents.recurrent import Step
from misgen.agents.sparse import Lit
from misgen.agents.stacked import Rows, Stack
from misgen.envs.core.types import Array

ALL = slice(None)


class Memory(Protocol):
    """Room for n observations of each of K agents, which come m at a time."""

    def put(self, k: int, obs: Array, at: int) -> None:
        """Agent k's observations at, ..., at + m - 1; uint8, as its environments show them. In
        order: those before are written. Of different agents in different threads, if need be."""

    def send(self, agents: slice, at: int) -> None:
        """Bring what was put to where the networks are; the host goes on meanwhile, and puts what
        comes next when the networks have seen this."""

    def rows(self, numbers: Array) -> Any:
        """Numbers of observations, int64, as `inputs` takes them: where the networks are."""

    def inputs(self, rows: Any, agents: slice = ALL) -> Rows | Tensor:
        """What `Stack` takes for the observations rows [k, m] of these agents."""


class LitMemory:
    """Keeps the numbers of the lit inputs, on the CPU."""

    def __init__(self, architecture: Architecture, num_agents: int, n: int) -> None:
        self.lit = [Lit.room(n, architecture.num_inputs) for _ in range(num_agents)]

    def put(self, k: int, obs: Array, at: int) -> None:
        self.lit[k].put(obs, at)

    def send(self, agents: slice, at: int) -> None:
        """They are there."""

    def rows(self, numbers: Array) -> Array:
        return numbers

    def inputs(self, rows: Array, agents: slice = ALL) -> Rows:
        return Rows(self.lit[agents], np.ascontiguousarray(rows))  # what the kernels were bound to


class DenseMemory:
    """Keeps bytes, where the networks are: of binary planes a bit an input, if asked."""

    def __init__(
        self, architecture: Architecture, num_agents: int, n: int, m: int, device: Device
    ) -> None:
        self.architecture = architecture
        self.has_bits = device.has_bits and architecture.is_sparse
        one = (-(-architecture.num_inputs // 8),) if self.has_bits else architecture.input_shape
        self.seen = torch.zeros((num_agents, n, *one), dtype=torch.uint8, device=device.name)
        self.newest = to_host((num_agents, m, *one), torch.uint8, device.name)
        self.agents = torch.arange(num_agents, device=device.name).unsqueeze(1)
        self.shifts = torch.tensor(range(7, -1, -1), dtype=torch.uint8, device=device.name)

    def put(self, k: int, obs: Array, at: int) -> None:
        if self.has_bits:
            self.newest[k] = torch.from_numpy(np.packbits(obs.reshape(len(obs), -1), axis=1))
        else:
            rows = torch.from_numpy(obs)  # of pictures with their channels last
            self.newest[k] = rows.permute(0, 3, 1, 2) if self.architecture.is_picture else rows

    def send(self, agents: slice, at: int) -> None:
        there = self.seen[agents, at : at + self.newest.shape[1]]
        there.copy_(self.newest[agents], non_blocking=True)

    def rows(self, numbers: Array) -> Tensor:
        return torch.from_numpy(numbers).to(self.seen.device)

    def inputs(self, rows: Tensor, agents: slice = ALL) -> Tensor:
        seen = self.seen[self.agents[agents], rows]
        if not self.has_bits:
            return seen
        bits = (seen.unsqueeze(-1) >> self.shifts) & 1
        flat = bits.flatten(-2)[..., : self.architecture.num_inputs]
        return flat.unflatten(-1, self.architecture.input_shape)


def memory_for(
    architecture: Architecture, num_agents: int, n: int, m: int, device: Device
) -> Memory:
    """For binary planes of a flat network on the CPU the lit inputs, else bytes."""
    if architecture.is_sparse and device.name == "cpu" and not device.has_bits:
        return LitMemory(architecture, num_agents, n)
    return DenseMemory(architecture, num_agents, n, m, device)


def remember(architecture: Architecture, obs: Sequence[Array], device: Device) -> Memory:
    """A memory of equally many observations of each agent, all of which are there."""
    memory = memory_for(architecture, len(obs), len(obs[0]), len(obs[0]), device)
    for k, own in enumerate(obs):
        memory.put(k, np.ascontiguousarray(own), 0)
    memory.send(ALL, 0)
    return memory


@torch.no_grad()
def computed(stack: Stack, obs: Sequence[Array], state: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [K, n, actions], values [K, n] and the next state, of equally many observations of
    each agent. state: what is remembered before, float32 [K, n, units]."""
    memory = remember(stack.architecture, obs, stack.device)
    rows = memory.rows(np.tile(np.arange(len(obs[0])), (len(obs), 1)))
    recall = Step(torch.as_tensor(state).to(stack.device.name))
    return *stack(memory.inputs(rows), recall=recall), recall.state
