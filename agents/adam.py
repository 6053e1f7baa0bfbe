"""Adam (Kingma and Ba 2015) for K agents at once, with clipped gradients and a rate of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from misgen.agents.sparse import Kernel

BETA1, BETA2, EPS = 0.9, 0.999, 1e-5  # eps: SB3's


@dataclass(frozen=True)
class LinearRate:
    """A learning rate that falls linearly; called with the share of the training still to come."""

    start: float
    end: float

    def __call__(self, progress_remaining: float) -> float:
        return self.end + (self.start - self.end) * max(0.0, progress_remaining)


def move(weight, grad, mean, square, scale, rate, keep1, keep2, root2, eps):
    """One step of Adam for weights [n], all float32.

    scale: what clipping leaves of the gradient; rate: the learning rate over the correction of the
    mean; root2: the correction of the root."""
    one = scale / scale
    for i in range(weight.shape[0]):
        g = scale * grad[i]
        mean[i] = keep1 * mean[i] + (one - keep1) * g
        square[i] = keep2 * square[i] + (one - keep2) * g * g
        weight[i] -= rate * mean[i] / (np.sqrt(square[i]) / root2 + eps)


_move = Kernel(move)


class Adam:
    """Steps the parameters [K, ...] of a population; agents do not depend on each other.

    Args:
        on_cpu: False: by a GPU's operations, even on the CPU.

    Attributes:
        taken: steps so far, float64 [], where the parameters are.
        means, squares: of the gradients, by the names of the parameters.
    """

    def __init__(self, parameters: Mapping[str, Tensor], on_cpu: bool = True) -> None:
        there = next(iter(parameters.values())).device
        self.parameters, self.on_cpu = parameters, on_cpu and there.type == "cpu"
        self.taken = torch.zeros((), dtype=torch.float64, device=there)
        self.means = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.squares = {name: torch.zeros_like(value) for name, value in parameters.items()}

    def step(self, rates: Any, max_norm: float, learns: Any) -> Tensor:
        """Follow the gradients, which are 0 then.

        Args:
            rates: learning rate of each agent, float [K].
            max_norm: to which an agent's gradient is clipped; inf leaves it.
            learns: bool [K]: the weights of the others stay.

        Returns:
            The norms of the gradients before, float32 [K].
        """
        self.taken += 1
        grads: Any = {name: value.grad for name, value in self.parameters.items()}
        own = [torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in grads.values()]
        norms = torch.linalg.vector_norm(torch.stack(own), dim=0)
        scales = (max_norm / (norms + 1e-6)).clamp(max=1.0)
        move_all = self._move_here if self.on_cpu else self._move_there
        for name, grad in grads.items():
            parts = (self.parameters[name].detach(), grad, self.means[name], self.squares[name])
            move_all(parts, scales, rates, learns)
            grad.zero_()
        return norms

    def _move_here(self, parts: Any, scales: Tensor, rates: Any, learns: Any) -> None:
        """On the CPU: one loop over the weights of each agent."""
        steps = int(self.taken)
        first, second = 1 - BETA1**steps, math.sqrt(1 - BETA2**steps)
        for k in np.flatnonzero(learns):
            own = [part[k].view(-1).numpy() for part in parts]
            numbers = (float(scales[k]), rates[k] / first, BETA1, BETA2, second, EPS)
            _move(*own, *map(np.float32, numbers))

    def _move_there(self, parts: Any, scales: Tensor, rates: Any, learns: Any) -> None:
        """On a GPU: all agents together, and nothing that the host would have to wait for."""
        weight, grad, mean, square = parts
        first, second = 1 - BETA1**self.taken, (1 - BETA2**self.taken).sqrt().float()
        shape = (-1, *[1] * (weight.dim() - 1))
        rate = torch.as_tensor(rates, dtype=torch.float64, device=weight.device) / first
        on = torch.as_tensor(learns, device=weight.device).view(shape)
        grad = grad * scales.view(shape)
        mean.copy_(torch.where(on, BETA1 * mean + (1 - BETA1) * grad, mean))
        square.copy_(torch.where(on, BETA2 * square + (1 - BETA2) * grad**2, square))
        moved = weight - rate.float().view(shape) * mean / (square.sqrt() / second + EPS)
        weight.copy_(torch.where(on, moved, weight))
