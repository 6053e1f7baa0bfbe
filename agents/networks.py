"""Networks as SB3 feature extractors, and their arithmetic."""

from __future__ import annotations

import json
import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

SMALL_PX = 32  # smallest side from which a picture is worth convolutions
MIN_BF16_SPEEDUP = 1.1


@dataclass(frozen=True, kw_only=True)
class Network:
    """A shared feature extractor, then one hidden layer each for the policy and for the value.

    Raises:
        ValueError: unknown name, or a size below one unit.
    """

    name: Literal["flat", "impala"]
    features_dim: int = 256  # units of the extractor's last layer
    head_dim: int = 128  # units of each hidden layer; 0 = none

    def __post_init__(self) -> None:
        if self.name not in EXTRACTORS:
            raise ValueError(f"a network is one of {', '.join(EXTRACTORS)}; got {self.name!r}")
        if self.features_dim < 1 or self.head_dim < 0:
            raise ValueError(
                "features_dim is at least 1 and head_dim at least 0 units; "
                f"got {self.features_dim} and {self.head_dim}; try 256 and 128"
            )

    def policy_kwargs(self) -> dict[str, Any]:
        """Arguments of SB3's ActorCriticPolicy."""
        return {
            "features_extractor_class": EXTRACTORS[self.name],
            "features_extractor_kwargs": {"features_dim": self.features_dim},
            "net_arch": [self.head_dim] if self.head_dim else [],
            "activation_fn": nn.ReLU,
            "optimizer_kwargs": {"eps": 1e-5, "fused": True},  # SB3's eps; fused: 2.4 x faster
        }


def choose_network(
    name: str, space: spaces.Box, *, features_dim: int = 256, head_dim: int = 128
) -> Network:
    """The network of this name; `auto`: `impala` for pictures of 32 px and more, else `flat`."""
    if name == "auto":
        is_picture = int(space.high.flat[0]) == 255
        sides = sorted(space.shape)[1:]  # without the channels
        name = "impala" if is_picture and min(sides) >= SMALL_PX else "flat"
    return Network(name=name, features_dim=features_dim, head_dim=head_dim)  # type: ignore[arg-type]


class FlatFeatures(BaseFeaturesExtractor):
    """Flatten -> Linear -> ReLU, for planes and 1-px pictures."""

    def __init__(self, observation_space: spaces.Box, features_dim: int = 256) -> None:
        super().__init__(observation_space, features_dim)
        inputs = int(torch.Size(observation_space.shape).numel())
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(inputs, features_dim), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        features: Tensor = self.layers(observations)
        return features


class ImpalaFeatures(BaseFeaturesExtractor):
    """The 16-32-32 residual network of IMPALA (Espeholt et al. 2018), for pictures."""

    def __init__(self, observation_space: spaces.Box, features_dim: int = 256) -> None:
        super().__init__(observation_space, features_dim)
        channels = observation_space.shape[0]
        stages: list[nn.Module] = []
        for width in (16, 32, 32):
            stages.append(_stage(channels, width))
            channels = width
        self.stages = nn.Sequential(*stages, nn.ReLU(), nn.Flatten())
        with torch.no_grad():
            inputs = self.stages(torch.zeros(1, *observation_space.shape)).shape[1]
        self.last = nn.Sequential(nn.Linear(inputs, features_dim), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        features: Tensor = self.last(self.stages(observations))
        return features


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
        outputs: Tensor = inputs + self.layers(inputs)
        return outputs


EXTRACTORS: dict[str, type[BaseFeaturesExtractor]] = {
    "flat": FlatFeatures,
    "impala": ImpalaFeatures,
}


class Bf16Policy(ActorCriticPolicy):
    """SB3's policy that trains with its torso in bfloat16.

    Parameters, heads and losses are float32, and so is `get_distribution` altogether: what is
    evaluated does not depend on the machine that trained it.
    """

    def _latents(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(obs.device.type, torch.bfloat16):
            latent_pi, latent_vf = self.mlp_extractor(self.extract_features(obs))
        return latent_pi.float(), latent_vf.float()

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        latent_pi, latent_vf = self._latents(obs)
        distribution = self._get_action_dist_from_latent(latent_pi)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, self.value_net(latent_vf), distribution.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        latent_pi, latent_vf = self._latents(obs)
        distribution = self._get_action_dist_from_latent(latent_pi)
        return self.value_net(latent_vf), distribution.log_prob(actions), distribution.entropy()

    def predict_values(self, obs: Any) -> Tensor:
        values: Tensor = self.value_net(self._latents(obs)[1])
        return values


def autocast_bf16() -> bool:
    """Whether training in bfloat16 pays on this CPU: it has the instructions, and they help.

    The measured speed-up is kept in the user's cache folder, per CPU model and torch version.
    """
    cpu = _cpu_info()
    if not {"avx512_bf16", "amx_bf16"} & set(cpu.get("flags", "").split()):
        return False
    model = "/".join(cpu.get(key, "?") for key in ("model name", "cpu family", "model"))
    return _remembered_speedup(f"{model}, torch {torch.__version__}") > MIN_BF16_SPEEDUP


def _cpu_info() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo; empty elsewhere than on Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _remembered_speedup(key: str) -> float:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(root) / "misgen" / "bf16_speedup.json"
    known: dict[str, float] = {}
    with suppress(OSError, ValueError):
        known = json.loads(path.read_text(encoding="utf-8"))
    if key not in known:
        known[key] = bf16_speedup()
        with suppress(OSError):  # a cache that cannot be written is only slower
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}-{platform.node()}-{os.getpid()}")
            temporary.write_text(json.dumps(known), encoding="utf-8")
            os.replace(temporary, path)
    return known[key]


def bf16_speedup() -> float:
    """Time of a training step of a small network in float32 over that in bfloat16, one thread.

    Takes about a third of a second. The best of several turns each, so that other load on the
    machine matters little.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            net = nn.Sequential(nn.Linear(660, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU())
            data = torch.rand(1024, 660)
        turns = [(_step_s(net, data, False), _step_s(net, data, True)) for _ in range(12)]
    finally:
        torch.set_num_threads(threads)
    return min(plain for plain, _ in turns[2:]) / min(cast for _, cast in turns[2:])


def _step_s(net: nn.Module, data: Tensor, bf16: bool) -> float:
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = net(data).float().square().mean()
    loss.backward()
    return time.perf_counter() - start
