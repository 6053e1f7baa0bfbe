"""K networks of one architecture that are computed, and learn, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from misgen.agents.device import Device
from misgen.agents.networks import HEADS, OUTPUTS, Architecture, Weights, linear
from misgen.agents.recurrent import Recurrence, Step
from misgen.agents.sparse import Lit, add_lit
from misgen.envs.core.types import Array

CPU = Device(name="cpu")
FIRST = "features_extractor.layers.1"


class Rows(NamedTuple):
    """Observations of each of K agents, by the lit inputs of binary planes."""

    lit: Sequence[Lit]  # of every agent
    rows: Array  # int64 [K, n]


class Stack:
    """K networks. What one of them computes does not depend on the others.

    Args:
        weights: of each agent.
        device: where the networks are, and whether in bfloat16.

    Attributes:
        parameters: by name, float32 [K, ...]; they keep their gradients, which are added to. The
            first layer of a flat network is transposed, [K, inputs, units], and the hidden layers
            of policy and value are one, [K, 2 x units, features], so that few and large products
            are left.
    """

    def __init__(
        self,
        architecture: Architecture,
        weights: Sequence[Weights],
        device: Device = CPU,
    ) -> None:
        self.architecture, self.device = architecture, device
        self.convolutions = architecture.features()
        laid_out = [_laid_out(architecture, each) for each in weights]
        self.parameters = {
            name: torch.stack([each[name] for each in laid_out]).to(device.name).requires_grad_()
            for name in laid_out[0]
        }
        for value in self.parameters.values():
            value.grad = torch.zeros_like(value)

    def __len__(self) -> int:
        return len(self.parameters["action_net.bias"])

    def weights(self, k: int = 0) -> Weights:
        """A copy of agent k's, on the CPU."""
        own = {name: value[k].detach().cpu().clone() for name, value in self.parameters.items()}
        if f"{FIRST}.weight" in own:
            own[f"{FIRST}.weight"] = own[f"{FIRST}.weight"].T.contiguous()
        for part in ("weight", "bias"):
            if f"heads.{part}" in own:
                both = own.pop(f"heads.{part}").chunk(2)
                own |= {
                    f"{head}.{part}": half.clone() for head, half in zip(HEADS, both, strict=True)
                }
        return own

    def __call__(
        self,
        inputs: Rows | Tensor,
        agents: slice = slice(None),
        change: Callable[[Tensor], Tensor] | None = None,
        recall: Recurrence | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits [k, n, actions] and values [k, n], float32.

        inputs: what these agents see: lit inputs, or uint8 or float [k, n, *input_shape].
        change: what becomes of the features [k, n, features] before the heads are given them.
        recall: what a network that remembers saw before; None: nothing.
        """
        p = {name: value[agents] for name, value in self.parameters.items()}
        is_bf16 = self.device.is_bf16
        # A graph is captured without autocast's cache, which a replay would not fill.
        with torch.autocast(self.device.name, torch.bfloat16, enabled=is_bf16, cache_enabled=False):
            features = (
                self._lit(inputs, agents) if isinstance(inputs, Rows) else self._seen(inputs, p)
            )
            if gru_dim := self.architecture.network.gru_dim:
                recall = recall or Step(features.new_zeros((*features.shape[:2], gru_dim)))
                features = recall(p, features)
            if change is not None:
                features = change(features)
            hidden = [features, features]
            if self.architecture.network.head_dim:
                both = linear(features, p, "heads").relu()
                hidden = list(both.chunk(2, dim=-1))
        logits, values = (
            linear(each.float(), p, name) for name, each in zip(OUTPUTS, hidden, strict=True)
        )
        return logits, values.squeeze(-1)

    def _seen(self, inputs: Tensor, p: Weights) -> Tensor:
        """Features [k, n, features] of bytes or numbers."""
        is_exact = self.architecture.is_sparse  # 0 and 1
        seen = inputs.to(torch.bfloat16 if self.device.is_bf16 and is_exact else torch.float32)
        if self.architecture.is_picture:
            seen = seen / 255
        if self.architecture.network.name != "flat":
            return self._convolved(seen, p)
        bias = p[f"{FIRST}.bias"].unsqueeze(1)
        return torch.baddbmm(bias, seen.flatten(2), p[f"{FIRST}.weight"]).relu()

    def _lit(self, inputs: Rows, agents: slice) -> Tensor:
        """The same of lit inputs."""
        weight, bias = (self.parameters[f"{FIRST}.{part}"] for part in ("weight", "bias"))
        grad = weight.grad
        assert grad is not None  # see Attributes
        if len(inputs.lit) == len(self) == 1:  # without a copy
            one = bias.squeeze(0), weight[0], grad[0], inputs.lit[0], inputs.rows[0]
            return add_lit(*one).relu().unsqueeze(0)
        own = bias[agents].unbind(), weight[agents], grad[agents]
        parts = zip(*own, *inputs, strict=True)
        return torch.stack([add_lit(*each) for each in parts]).relu()

    def _convolved(self, seen: Tensor, p: Weights) -> Tensor:
        prefix = "features_extractor."
        own = {
            name.removeprefix(prefix): value for name, value in p.items() if name.startswith(prefix)
        }

        def convolved(weights: Any, x: Tensor) -> Any:
            return functional_call(self.convolutions, weights, (x,))

        if len(seen) == 1:  # vmap would group convolutions of one
            return convolved({name: v[0] for name, v in own.items()}, seen[0]).unsqueeze(0)
        return vmap(convolved)(own, seen)


def _laid_out(architecture: Architecture, weights: Weights) -> Weights:
    """One agent's weights as `Stack.parameters` keeps them."""
    own = dict(weights)
    if architecture.network.name == "flat":
        own[f"{FIRST}.weight"] = own[f"{FIRST}.weight"].T.contiguous()
    for part in ("weight", "bias"):
        if architecture.network.head_dim:
            own[f"heads.{part}"] = torch.cat([own.pop(f"{head}.{part}") for head in HEADS])
    return own
