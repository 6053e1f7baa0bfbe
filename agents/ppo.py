"""PPO: Stable-Baselines3's, with the settings that learn here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from misgen.agents.networks import Bf16Policy, Network, choose_network
from misgen.agents.settings import CloningSettings, PPOSettings
from misgen.agents.vec_env import BatchVecEnv
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.types import NEVER


@dataclass(frozen=True)
class LinearRate:
    """A learning rate that falls linearly; called with the share of the training still to come."""

    start: float
    end: float

    def __call__(self, progress_remaining: float) -> float:
        return self.end + (self.start - self.end) * max(0.0, progress_remaining)


def choose_device(device: str, network: Network) -> str:
    """`cpu` or `cuda`; `auto` takes a GPU if there is one and the network convolves.

    Raises:
        ValueError: unknown device, or cuda without a GPU.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is auto, cpu or cuda; got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device=cuda needs a GPU that torch can use; torch.cuda.is_available() is False; "
            "use device=cpu, or install a torch built for this machine's driver"
        )
    if device == "auto":
        return "cuda" if network.name == "impala" and torch.cuda.is_available() else "cpu"
    return device


def network_of(settings: PPOSettings | CloningSettings, env: BatchVecEnv) -> Network:
    """The network that these settings mean for what `env` shows."""
    return choose_network(
        settings.network,
        env.observation_space,  # type: ignore[arg-type]
        features_dim=settings.features_dim,
        head_dim=settings.head_dim,
    )


def make_ppo(
    vec_env: BatchVecEnv,
    settings: PPOSettings,
    *,
    device: str = "auto",
    train_seed: int = 0,
    bf16: bool = False,
) -> PPO:
    """Stable-Baselines3's PPO, untrained. `train_seed` also names the stream of levels.

    Raises:
        ValueError: `vec_env` has another number of environments than the settings; see also
            `choose_device`.
    """
    if vec_env.num_envs != settings.num_envs:
        raise ValueError(
            f"the environment has as many slots as settings.num_envs; got {vec_env.num_envs} and "
            f"{settings.num_envs}; make it with num_envs={settings.num_envs}"
        )
    network, rate = network_of(settings, vec_env), settings.learning_rate
    return PPO(
        Bf16Policy if bf16 else "MlpPolicy",
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
        policy_kwargs=network.policy_kwargs(),
        device=choose_device(device, network),
        seed=train_seed,
    )


@dataclass(frozen=True, kw_only=True)
class CurveRow:
    """The episodes that ended during one rollout; means are NaN if there were none."""

    steps: int  # environment steps so far
    episodes: int
    mean_return: float
    success_rate: float  # share in which every target of the intended goal happened
    mean_length_steps: float
    broken_episodes: int  # since the start of training, on levels that took the broken draw


@dataclass(frozen=True, kw_only=True)
class Training:
    """A trained model and its learning curve, one row per rollout."""

    model: PPO
    curve: tuple[CurveRow, ...]


Checkpoint = Callable[[PPO, float], None]  # (model, fraction); model.num_timesteps: steps so far
Progress = Callable[[int, int, CurveRow], None]  # (steps, of steps, newest row)


class Watch(BaseCallback):
    """Collects the learning curve; reports progress; asks for checkpoints at given fractions."""

    def __init__(
        self,
        env: BatchEnv,
        total_steps: int,
        fractions: Sequence[float] = (),
        on_checkpoint: Checkpoint | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self.env, self.total_steps = env, total_steps
        self.due = sorted(fractions)
        self.on_checkpoint, self.on_progress = on_checkpoint, on_progress
        self.curve: list[CurveRow] = []
        self.broken_episodes = 0
        self.targets = list(env.distribution.cell.intended.targets)
        self.ended: list[tuple[Any, ...]] = []  # (return, success, steps) arrays of each step

    def _on_rollout_start(self) -> None:
        self._checkpoints()
        self.ended = []

    def _on_step(self) -> bool:
        slots = np.flatnonzero(self.locals["dones"])
        finished = self.env.finished
        success = (finished.first[slots][:, self.targets] != NEVER).all(axis=1)
        self.ended.append((finished.total[slots], success, finished.length[slots]))
        self.broken_episodes += int(finished.broken[slots].sum())
        return True

    def _on_rollout_end(self) -> None:
        total, success, length = (
            np.concatenate(column) for column in zip(*self.ended, strict=True)
        )
        row = CurveRow(
            steps=self.num_timesteps,
            episodes=len(total),
            mean_return=_mean(total),
            success_rate=_mean(success),
            mean_length_steps=_mean(length),
            broken_episodes=self.broken_episodes,
        )
        self.curve.append(row)
        if self.on_progress is not None:
            self.on_progress(row.steps, self.total_steps, row)

    def _on_training_end(self) -> None:
        self._checkpoints()

    def _checkpoints(self) -> None:
        """Between rollouts, so that a checkpoint has learned from every step it counts."""
        while self.due and self.model.num_timesteps >= self.due[0] * self.total_steps:
            fraction = self.due.pop(0)
            if self.on_checkpoint is not None:
                self.on_checkpoint(self.model, fraction)  # type: ignore[arg-type]


def _mean(values: Any) -> float:
    return float(values.mean()) if len(values) else math.nan


def check_fractions(checkpoint_fracs: Sequence[float]) -> None:
    """ValueError unless all are in [0, 1]."""
    outside = [frac for frac in checkpoint_fracs if not 0.0 <= frac <= 1.0]
    if outside:
        raise ValueError(f"checkpoint_fracs are shares in [0, 1] of the training; got {outside}")


def train_ppo(
    env: BatchEnv,
    settings: PPOSettings,
    *,
    train_seed: int,
    device: str = "auto",
    bf16: bool = False,
    checkpoint_fracs: Sequence[float] = (),
    on_checkpoint: Checkpoint | None = None,
    on_progress: Progress | None = None,
) -> Training:
    """Train a new agent on the levels that `train_seed` names in the distribution of `env`.

    Args:
        env: `settings.num_envs` environments.
        checkpoint_fracs: shares of `total_steps` in [0, 1] at which `on_checkpoint` is called,
            after the update that used the steps; 0 is the untrained agent.

    Raises:
        ValueError: a fraction outside [0, 1]; see also `make_ppo`.
    """
    check_fractions(checkpoint_fracs)
    model = make_ppo(BatchVecEnv(env), settings, device=device, train_seed=train_seed, bf16=bf16)
    watch = Watch(env, settings.total_steps, checkpoint_fracs, on_checkpoint, on_progress)
    model.learn(settings.total_steps, callback=watch, log_interval=None)  # type: ignore[arg-type]
    return Training(model=model, curve=tuple(watch.curve))
