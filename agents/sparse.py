"""The first layer of a network over binary planes.

Few of its inputs are lit (70-100 of 1,600-2,600), so it adds the weights of these instead of
multiplying all; found once per observation, the lit inputs serve every pass over a rollout. Sums
are float32, in an order that depends on the observation only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from misgen.envs.core.compile import bind, kernel
from misgen.envs.core.types import Array


def find_lit(obs, words, num_inputs, first, start, index):
    """Append the lit inputs of observations [n * num_inputs], uint8, to `index` from first on.

    words: the same bytes eight at a time, as far as they fill words. start [n + 1] gets where each
    observation begins, and the end.
    """
    row, row_end = 0, num_inputs
    start[0] = first
    for w in range(words.shape[0] + 1):  # the last are the bytes that fill no word
        if w < words.shape[0] and words[w] == 0:
            continue
        for p in range(8 * w, min(8 * w + 8, obs.shape[0])):
            if obs[p] != 0:
                while p >= row_end:
                    row += 1
                    row_end += num_inputs
                    start[row] = first
                index[first] = p - (row_end - num_inputs)
                first += 1
    while row + 1 < start.shape[0]:
        row += 1
        start[row] = first
    return first


def add_weights(rows, start, index, weight, bias, out):
    """out[r] = bias + the weights [inputs, units] of the lit inputs of observation rows[r]."""
    for r in range(rows.shape[0]):
        for unit in range(bias.shape[0]):
            out[r, unit] = bias[unit]
        k, end = start[rows[r]], start[rows[r] + 1]
        while k + 4 <= end:  # at once: `out` is read and written less often
            a, b, c, d = index[k], index[k + 1], index[k + 2], index[k + 3]
            for unit in range(bias.shape[0]):
                first, second = weight[a, unit] + weight[b, unit], weight[c, unit] + weight[d, unit]
                out[r, unit] += first + second
            k += 4
        for rest in range(k, end):
            for unit in range(bias.shape[0]):
                out[r, unit] += weight[index[rest], unit]


def add_gradients(rows, start, index, grad_out, grad):
    """grad [inputs, units] += what grad_out [r, units] says of the weights of lit inputs."""
    for r in range(rows.shape[0]):
        for k in range(start[rows[r]], start[rows[r] + 1]):
            j = index[k]
            for unit in range(grad.shape[1]):
                grad[j, unit] += grad_out[r, unit]


class Kernel:
    """A compiled loop, bound to the types of its first call."""

    def __init__(self, template: Any) -> None:
        self.template = template
        self.bound: Any = None

    def __call__(self, *args: Any) -> Any:
        if self.bound is None:
            self.bound = bind(kernel(self.template, self.template.__name__), *args)
        return self.bound(*args)


_find, _add, _add_gradients = map(Kernel, (find_lit, add_weights, add_gradients))


@dataclass(frozen=True)
class Lit:
    """Which inputs of n observations are lit: those of observation i are
    index[start[i]:start[i + 1]]."""

    start: Array  # int64 [n + 1]
    index: Array  # uint16: a network has at most 2^16 inputs

    @classmethod
    def room(cls, n: int, num_inputs: int) -> Lit:
        """For n observations, however many inputs are lit; memory is used where it is written."""
        return cls(np.zeros(n + 1, np.int64), np.empty(n * num_inputs, np.uint16))

    def put(self, obs: Array, at: int = 0) -> None:
        """Write the observations [m, *shape], uint8 C-contiguous, as numbers at, at + 1, ...; those
        before are written already."""
        flat = obs.reshape(-1)
        words = flat[: len(flat) // 8 * 8].view(np.uint64)
        start = self.start[at : at + len(obs) + 1]
        _find(flat, words, flat.size // len(obs), int(start[0]), start, self.index)


class _AddLit(torch.autograd.Function):
    """Its gradient for the weights, of which few rows are touched, goes where it is kept: a fresh
    matrix for every minibatch takes longer than the sums."""

    @staticmethod
    def forward(
        ctx: Any, bias: Tensor, weight: Tensor, grad: Tensor, lit: Lit, rows: Array
    ) -> Tensor:
        out = torch.empty(len(rows), len(bias))
        ctx.lit, ctx.rows, ctx.grad = lit, rows, grad
        arrays = (weight.numpy(), bias.detach().numpy(), out.numpy())
        _add(rows, lit.start, lit.index, *arrays)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        grad_out = grads[0].contiguous()
        lit: Lit = ctx.lit
        _add_gradients(ctx.rows, lit.start, lit.index, grad_out.numpy(), ctx.grad.numpy())
        return grad_out.sum(0), None, None, None, None


def add_lit(bias: Tensor, weight: Tensor, grad: Tensor, lit: Lit, rows: Array) -> Tensor:
    """float32 [m, units]: the layer's outputs for observations rows [m], int64, of `lit`.

    weight: [inputs, units], contiguous: the transpose of a linear layer's. grad: likewise; its
    gradient is added there when the result is differentiated.
    """
    return _AddLit.apply(bias, weight.detach(), grad, lit, rows)
