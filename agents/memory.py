"""The observations of a rollout, as networks read them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from misgen.agents.networks import Architecture
from misgen.agents.sparse import Lit
from misgen.agents.stacked import Rows, as_seen
from misgen.envs.core.types import Array


class Memory(Protocol):
    """Room for n observations of each of K agents."""

    def put(self, k: int, obs: Array, at: int) -> None:
        """Agent k's observations at, at + 1, ...; uint8, as its environments show them. In order:
        those before are written."""

    def inputs(self, rows: Array) -> Rows | Tensor:
        """What `Stack` takes for the observations rows [K, m], int64, of the agents."""


class LitMemory:
    """Keeps the numbers of the lit inputs."""

    def __init__(self, architecture: Architecture, num_agents: int, n: int) -> None:
        self.lit = [Lit.room(n, architecture.num_inputs) for _ in range(num_agents)]

    def put(self, k: int, obs: Array, at: int) -> None:
        self.lit[k].put(obs, at)

    def inputs(self, rows: Array) -> Rows:
        return Rows(self.lit, np.ascontiguousarray(rows))  # what the kernels were bound to


class DenseMemory:
    """Keeps bytes, where the networks are."""

    def __init__(self, architecture: Architecture, num_agents: int, n: int, device: str) -> None:
        self.architecture = architecture
        shape = (num_agents, n, *architecture.input_shape)
        self.seen = torch.zeros(shape, dtype=torch.uint8, device=device)
        self.agents = torch.arange(num_agents, device=device).unsqueeze(1)

    def put(self, k: int, obs: Array, at: int) -> None:
        self.seen[k, at : at + len(obs)] = as_seen(obs, self.architecture)

    def inputs(self, rows: Array) -> Tensor:
        return self.seen[self.agents, torch.from_numpy(rows).to(self.seen.device)]


def memory_for(architecture: Architecture, num_agents: int, n: int, device: str) -> Memory:
    """For binary planes of a flat network on the CPU the lit inputs, else bytes."""
    if architecture.is_sparse and device == "cpu":
        return LitMemory(architecture, num_agents, n)
    return DenseMemory(architecture, num_agents, n, device)
