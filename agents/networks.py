"""Networks: a shared feature extractor, then one hidden layer each for the policy and the value."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor, nn

from misgen.agents.settings import CloningSettings, PPOSettings
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.render import PLANES

SMALL_PX = 32  # smallest side from which a picture is worth convolutions
WIDTHS = (16, 32, 32)  # channels of the stages of `impala`


@dataclass(frozen=True, kw_only=True)
class Network:
    """The sizes of a network.

    Raises:
        ValueError: unknown name, or a size below one unit.
    """

    name: Literal["flat", "impala"]
    features_dim: int = 256  # units of the extractor's last layer
    head_dim: int = 128  # units of each hidden layer; 0 = none
    gru_dim: int = 0  # units of a GRU between extractor and heads; 0 = none: nothing is remembered

    def __post_init__(self) -> None:
        if self.name not in FEATURES:
            raise ValueError(f"a network is one of {', '.join(FEATURES)}; got {self.name!r}")
        if self.features_dim < 1 or self.head_dim < 0 or self.gru_dim < 0:
            raise ValueError(
                "features_dim is at least 1, head_dim and gru_dim at least 0 units; got "
                f"{self.features_dim}, {self.head_dim} and {self.gru_dim}; try 256, 128 and 0"
            )


def choose_network(name: str, mode: str, shape: tuple[int, ...], **sizes: int) -> Network:
    """The network of this name; `auto`: `impala` for pictures of 32 px and more, else `flat`.

    mode, shape: what the environment shows, and how: planes, or pictures with their channels last.
    sizes: see `Network`.
    """
    if name == "auto":
        is_large = mode not in PLANES and min(shape[:2]) >= SMALL_PX
        name = "impala" if is_large else "flat"
    return Network(name=name, **sizes)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What decides the shapes of all weights."""

    network: Network
    input_shape: tuple[int, ...]  # channels first
    is_picture: bool  # 0-255, which the network sees as 0-1
    num_actions: int

    @classmethod
    def of(
        cls, network: Network, mode: str, shape: tuple[int, ...], num_actions: int
    ) -> Architecture:
        """For what an environment shows; see `choose_network`."""
        is_picture = mode not in PLANES
        return cls(
            network=network,
            input_shape=(shape[-1], *shape[:-1]) if is_picture else shape,
            is_picture=is_picture,
            num_actions=num_actions,
        )

    @property
    def num_inputs(self) -> int:
        return math.prod(self.input_shape)

    @property
    def is_sparse(self) -> bool:
        """Whether the first layer reads binary planes, of which few are lit."""
        return self.network.name == "flat" and not self.is_picture

    def features(self) -> nn.Module:
        """The feature extractor without its weights, with the names that SB3 knows them by."""
        with torch.device("meta"):
            return FEATURES[self.network.name](self.input_shape, self.network.features_dim)


def architecture_for(settings: PPOSettings | CloningSettings, env: BatchEnv) -> Architecture:
    """The network that these settings mean for what `env` shows."""
    seen = env.observation_mode, env.observation_shape
    names = {"features_dim", "head_dim", "gru_dim"} & {field.name for field in fields(settings)}
    sizes = {name: getattr(settings, name) for name in names}
    network = choose_network(settings.network, *seen, **sizes)
    return Architecture.of(network, *seen, len(env.family.actions))


def flat_features(input_shape: tuple[int, ...], features_dim: int) -> nn.Sequential:
    """Flatten -> Linear -> ReLU, for planes and 1-px pictures."""
    linear = nn.Linear(math.prod(input_shape), features_dim)
    layers = nn.Sequential(nn.Flatten(), linear, nn.ReLU())
    return nn.Sequential(OrderedDict(layers=layers))


def impala_features(input_shape: tuple[int, ...], features_dim: int) -> nn.Sequential:
    """The 16-32-32 residual network of IMPALA (Espeholt et al. 2018), for pictures."""
    channels, *size = input_shape
    stages: list[nn.Module] = []
    for width in WIDTHS:
        stages.append(_stage(channels, width))
        channels, size = width, pooled(size)
    last = nn.Sequential(nn.Linear(channels * math.prod(size), features_dim), nn.ReLU())
    first = nn.Sequential(*stages, nn.ReLU(), nn.Flatten())
    return nn.Sequential(OrderedDict(stages=first, last=last))


FEATURES = {"flat": flat_features, "impala": impala_features}
"""By the name of the network."""


def pooled(size: Sequence[int]) -> list[int]:
    """Height and width of a picture behind the pooling of a stage."""
    return [(pixels + 1) // 2 for pixels in size]


def _stage(channels: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.MaxPool2d(3, stride=2, padding=1),
        Residual(width),
        Residual(width),
    )


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.layers(inputs)


Weights = dict[str, Tensor]
"""The weights of one agent, float32, by the names that they have in SB3's ActorCriticPolicy."""

HEADS = ("mlp_extractor.policy_net.0", "mlp_extractor.value_net.0")
OUTPUTS = ("action_net", "value_net")


def initial_weights(architecture: Architecture, seed: int) -> Weights:
    """Orthogonal matrices with SB3's gains, and no biases."""
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    for name, shape, gain in _layers(architecture):
        weight = torch.empty(shape)
        weights[f"{name}.weight"] = nn.init.orthogonal_(weight, gain, generator=generator)
        weights[f"{name}.bias"] = torch.zeros(shape[0])
    return weights


def _layers(architecture: Architecture) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """Name, shape of the weight and gain of every layer."""
    network = architecture.network
    for name, weight in architecture.features().state_dict().items():
        if name.endswith(".weight"):
            layer = f"features_extractor.{name.removesuffix('.weight')}"
            yield layer, tuple(weight.shape), math.sqrt(2)
    last = network.features_dim
    if network.gru_dim:
        yield "gru.input", (3 * network.gru_dim, last), 1
        last = network.gru_dim
        yield "gru.hidden", (3 * last, last), 1
    if network.head_dim:
        for head in HEADS:
            yield head, (network.head_dim, last), math.sqrt(2)
        last = network.head_dim
    for output, units, gain in zip(OUTPUTS, (architecture.num_actions, 1), (0.01, 1), strict=True):
        yield output, (units, last), gain


def linear(inputs: Tensor, p: Weights, layer: str) -> Tensor:
    """A layer of K agents, of weights [K, units, inputs] and [K, units]: [K, n, inputs] ->
    [K, n, units]."""
    bias = p[f"{layer}.bias"].unsqueeze(1)
    return torch.baddbmm(bias, inputs, p[f"{layer}.weight"].transpose(1, 2))


def shapes_of(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The shapes of an agent's weights."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape, _ in _layers(architecture):
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes
