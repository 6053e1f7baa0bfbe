"""Stable-Baselines3's PPO, the reference: training with it, and agents as its models."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from misgen.agents.adam import EPS, LinearRate
from misgen.agents.checkpoint import load, write_whole
from misgen.agents.curve import (
    Checkpoint,
    Checkpoints,
    CurveRow,
    Episodes,
    Progress,
    Snapshot,
    Trained,
)
from misgen.agents.device import choose_device
from misgen.agents.networks import (
    FEATURES,
    Architecture,
    Network,
    Weights,
    architecture_for,
)
from misgen.agents.settings import PPOSettings
from misgen.agents.vec_env import BatchVecEnv
from misgen.envs.core.batch import BatchEnv
from misgen.envs.families import find_family

ALIASES = ("pi_features_extractor.", "vf_features_extractor.")  # SB3's other names of the shared


class _Extractor(BaseFeaturesExtractor):
    """Features as SB3 wants them."""

    name: str  # of the network

    def __init__(self, observation_space: spaces.Box, features_dim: int = 256) -> None:
        super().__init__(observation_space, features_dim)
        made = FEATURES[self.name](observation_space.shape, features_dim)
        for name, part in made.named_children():
            self.add_module(name, part)

    def forward(self, observations: Tensor) -> Tensor:
        for part in self.children():
            observations = part(observations)
        return observations


class FlatExtractor(_Extractor):
    name = "flat"


class ImpalaExtractor(_Extractor):
    name = "impala"


EXTRACTORS = {"flat": FlatExtractor, "impala": ImpalaExtractor}


def policy_kwargs(network: Network) -> dict[str, Any]:
    """Arguments of SB3's ActorCriticPolicy."""
    return {
        "features_extractor_class": EXTRACTORS[network.name],
        "features_extractor_kwargs": {"features_dim": network.features_dim},
        "net_arch": [network.head_dim] if network.head_dim else [],
        "activation_fn": nn.ReLU,
        "optimizer_kwargs": {"eps": EPS},
    }


def sb3_policy(architecture: Architecture, weights: Weights) -> ActorCriticPolicy:
    """An agent as an SB3 policy, whose `predict` takes observations with their channels first.

    Raises:
        ValueError: the agent remembers.
    """
    check_memoryless(architecture.network)
    high = 255 if architecture.is_picture else 1
    with torch.random.fork_rng(devices=[]):
        policy = ActorCriticPolicy(
            spaces.Box(0, high, architecture.input_shape, np.uint8),
            spaces.Discrete(architecture.num_actions),
            lambda _: 0.0,
            **policy_kwargs(architecture.network),
        )
    load_weights(policy, weights)
    return policy


def load_weights(policy: ActorCriticPolicy, weights: Weights) -> None:
    aliases = {
        key: weights["features_extractor." + key.split(".", 1)[1]]
        for key in policy.state_dict()
        if key.startswith(ALIASES)
    }
    policy.load_state_dict({**weights, **aliases})


def weights_of(policy: ActorCriticPolicy) -> Weights:
    """A copy of a policy's weights, on the CPU."""
    return {
        key: value.detach().cpu().clone()
        for key, value in policy.state_dict().items()
        if not key.startswith(ALIASES)
    }


def check_memoryless(sizes: PPOSettings | Network) -> None:
    """ValueError for a network that remembers, which Stable-Baselines3's PPO does not have."""
    if sizes.gru_dim:
        raise ValueError(
            "Stable-Baselines3's PPO knows no network that remembers, so gru_dim is 0; got "
            f"{sizes.gru_dim}; use agent=ppo, or RecurrentPPO of sb3-contrib on BatchVecEnv"
        )


def make_ppo(
    vec_env: BatchVecEnv, settings: PPOSettings, *, device: str = "auto", train_seed: int = 0
) -> PPO:
    """Stable-Baselines3's PPO, untrained. `train_seed` also names the stream of levels.

    Raises:
        ValueError: `vec_env` has another number of environments than the settings, or these name
            a GRU; see also `choose_device`.
    """
    check_memoryless(settings)
    if vec_env.num_envs != settings.num_envs:
        raise ValueError(
            f"the environment has as many slots as settings.num_envs; got {vec_env.num_envs} and "
            f"{settings.num_envs}; make it with num_envs={settings.num_envs}"
        )
    network = architecture_for(settings, vec_env.batch_env).network
    rate = settings.learning_rate
    return PPO(
        "MlpPolicy",
        vec_env,
        learning_rate=LinearRate(rate, rate * settings.final_learning_rate_frac),
        n_steps=settings.num_steps,
        batch_size=settings.batch_size,
        n_epochs=settings.num_epochs,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip_range,
        ent_coef=settings.ent_coef,
        vf_coef=settings.vf_coef,
        max_grad_norm=settings.max_grad_norm,
        policy_kwargs=policy_kwargs(network),
        device=choose_device(device, network),
        seed=train_seed,
    )


class Watch(BaseCallback):
    """Collects the learning curve; reports progress; takes checkpoints between rollouts, so that
    one has learned from every step it counts."""

    def __init__(
        self,
        env: BatchEnv,
        settings: PPOSettings,
        checkpoints: Checkpoints,
        on_progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self.total_steps = settings.whole_steps
        self.checkpoints, self.on_progress = checkpoints, on_progress
        self.episodes = Episodes(env)
        self.curve: list[CurveRow] = []

    def snapshot(self) -> Snapshot:
        return Snapshot(weights_of(self.model.policy), self.num_timesteps)  # type: ignore[arg-type]

    def _take_checkpoints(self) -> None:
        self.checkpoints.take(self.num_timesteps, self.snapshot)

    _on_rollout_start = _on_training_end = _take_checkpoints

    def _on_step(self) -> bool:
        self.episodes.add(np.flatnonzero(self.locals["dones"]))
        return True

    def _on_rollout_end(self) -> None:
        self.curve.append(self.episodes.row(self.num_timesteps))
        if self.on_progress is not None:
            self.on_progress(self.num_timesteps, self.total_steps, self.curve[-1])


def train_sb3_ppo(
    env: BatchEnv,
    settings: PPOSettings,
    *,
    train_seed: int,
    device: str = "auto",
    checkpoint_fracs: Sequence[float] = (),
    on_checkpoint: Checkpoint | None = None,
    on_progress: Progress | None = None,
) -> Trained:
    """`misgen.agents.ppo.train_ppo` by Stable-Baselines3, which cannot go on where it stopped."""
    checkpoints = Checkpoints(checkpoint_fracs, settings.total_steps, on_checkpoint)
    model = make_ppo(BatchVecEnv(env), settings, device=device, train_seed=train_seed)
    watch = Watch(env, settings, checkpoints, on_progress)
    model.learn(settings.total_steps, callback=watch, log_interval=None)  # type: ignore[arg-type]
    return Trained(watch.snapshot(), tuple(watch.curve))


def export_sb3(path: Path | str, zip_path: Path | str) -> None:
    """Write a checkpoint of PPO as a Stable-Baselines3 .zip.

    `PPO.load(zip_path)` reads it wherever misgen is installed (it names misgen.agents). Unlike
    a checkpoint, a .zip runs code when it is loaded: SB3 unpickles it.

    The file of a family of the user's own is executed, too.

    Raises:
        ValueError: see `load`; the agent was not trained with PPO.
    """
    loaded, meta = load(path)
    if meta.method not in ("ppo", "sb3_ppo"):
        raise ValueError(f"only an agent of PPO can be exported; {path} was made by {meta.method}")
    family, settings = find_family(meta.family), PPOSettings(**meta.settings)
    cell = family.cell(meta.cell).at_specification(meta.specification)
    env = BatchEnv(
        family,
        family.train_distribution(cell, meta.diversity),
        settings.num_envs,
        train_seed=0,
        observation_mode=meta.observation_mode,
    )
    model = make_ppo(BatchVecEnv(env), settings, device="cpu", train_seed=meta.train_seed)
    load_weights(model.policy, loaded.stack.weights())
    model.num_timesteps = meta.steps
    model.learning_rate = settings.learning_rate  # a number: the .zip does not name our schedule
    model._setup_lr_schedule()
    data = io.BytesIO()
    model.save(data)
    write_whole(Path(zip_path), data.getvalue())
