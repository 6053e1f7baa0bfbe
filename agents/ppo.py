"""Proximal policy optimization (Schulman et al. 2017) for a population of K agents.

The agents have one architecture and one shape of rollouts, and are updated together; each has its
own environments, random numbers, learning rate, discount and entropy bonus, and learns what it
would learn alone. The arithmetic is Stable-Baselines3's, minibatch by minibatch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from misgen.agents.adam import Adam, LinearRate
from misgen.agents.curve import (
    Checkpoint,
    Checkpoints,
    CurveRow,
    Episodes,
    Progress,
    Snapshot,
    Trained,
)
from misgen.agents.memory import memory_for
from misgen.agents.networks import Architecture, Network, choose_network, initial_weights
from misgen.agents.resume import RESUME_S, keep, restore
from misgen.agents.settings import CloningSettings, PPOSettings
from misgen.agents.stacked import Stack
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.types import Array

OWN = ("total_steps", "learning_rate", "final_learning_rate_frac", "gamma", "ent_coef")
"""Settings in which the agents of a population may differ."""


@dataclass(frozen=True)
class Rollout:
    """What K agents did in T steps of N environments each; row t * N + n is step t in n."""

    actions: Tensor  # int64 [K, T * N]
    log_probs: Tensor  # float32 [K, T * N]: of the actions, when they were taken
    advantages: Tensor  # float32 [K, T * N]
    returns: Tensor  # float32 [K, T * N]: what the values should have been

    def take(self, rows: Tensor) -> Rollout:
        """The rows [K, m] of each agent."""
        return Rollout(*(getattr(self, f.name).gather(1, rows) for f in fields(self)))


def generalized_advantages(
    rewards: Array, values: Array, dones: Array, last_values: Array, gamma: Any, gae_lambda: float
) -> Array:
    """Schulman et al. 2016. All arrays [T, K, N] but last_values [K, N] and gamma [K, 1]; dones[t]:
    the episode ended in step t, so that step t + 1 belongs to another one."""
    advantages = np.zeros_like(values)
    later, following = np.zeros_like(last_values), last_values
    for t in reversed(range(len(rewards))):
        goes_on = 1 - dones[t].astype(np.float32)
        delta = rewards[t] + gamma * following * goes_on - values[t]
        later = delta + gamma * np.float32(gae_lambda) * goes_on * later
        advantages[t], following = later, values[t]
    return advantages


def ppo_loss(
    logits: Tensor, values: Tensor, batch: Rollout, settings: PPOSettings, ent_coef: Tensor
) -> Tensor:
    """The loss of each agent, float32 [K]: clipped policy gradient, value error, entropy bonus."""
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    ratio = (log_p.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1) - batch.log_probs).exp()
    std, mean = torch.std_mean(batch.advantages, dim=1, keepdim=True)
    advantages = (batch.advantages - mean) / (std + 1e-8)
    clipped = ratio.clamp(1 - settings.clip_range, 1 + settings.clip_range)
    policy_loss = -torch.minimum(advantages * ratio, advantages * clipped).mean(1)
    value_loss = (batch.returns - values).square().mean(1)
    entropy = -(log_p.exp() * log_p).sum(-1).mean(1)
    return policy_loss + settings.vf_coef * value_loss - ent_coef * entropy


def architecture_for(settings: PPOSettings | CloningSettings, env: BatchEnv) -> Architecture:
    """The network that these settings mean for what `env` shows."""
    seen = env.observation_mode, env.observation_shape
    features_dim, head_dim = settings.features_dim, settings.head_dim
    network = choose_network(settings.network, *seen, features_dim=features_dim, head_dim=head_dim)
    return Architecture.of(network, *seen, len(env.family.actions))


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


class Population:
    """K agents that learn side by side.

    Args:
        envs: `settings.num_envs` environments for each agent.
        settings: of each agent; they may differ in OWN only.
        train_seeds: each names an agent: its network, its levels and its random numbers.
        device: cpu or cuda.
        is_bf16: see `Stack`.

    Attributes:
        steps: of each agent's environments so far.
        curves: of each agent, a row per rollout.
        failures: agent -> why it does not learn any more. It does not disturb the others.

    Raises:
        ValueError: settings or environments that do not fit each other.
    """

    def __init__(
        self,
        envs: Sequence[BatchEnv],
        settings: Sequence[PPOSettings],
        train_seeds: Sequence[int],
        device: str = "cpu",
        is_bf16: bool = False,
    ) -> None:
        self.envs, self.settings, self.shared = envs, settings, settings[0]
        check_population(envs, settings)
        self.architecture = architecture_for(settings[0], envs[0])
        weights = [initial_weights(self.architecture, seed) for seed in train_seeds]
        self.stack = Stack(self.architecture, weights, device, is_bf16)
        self.adam = Adam(self.stack.parameters)
        self.rngs = [np.random.default_rng(seed) for seed in train_seeds]
        self.size = self.shared.num_envs * self.shared.num_steps
        self.memory = memory_for(self.architecture, len(envs), self.size, device)
        self.steps = 0
        self.episodes = [Episodes(env) for env in envs]
        self.curves: list[list[CurveRow]] = [[] for _ in envs]
        self.failures: dict[int, str] = {}
        self.gamma = np.array([[s.gamma] for s in settings], np.float32)
        self.ent_coef = torch.tensor([s.ent_coef for s in settings], device=device)
        for env, seed in zip(envs, train_seeds, strict=True):
            env.reset(seed)

    def is_learning(self, k: int) -> bool:
        """Whether agent k has steps left and has not failed."""
        return k not in self.failures and self.steps < self.settings[k].total_steps

    def snapshot(self, k: int = 0) -> Snapshot:
        """Agent k as it is now."""
        return Snapshot(self.stack.weights(k), self.steps)

    def advance(self) -> None:
        """One rollout of those that are learning, and the updates that use it."""
        learns = np.array([self.is_learning(k) for k in range(len(self.envs))])
        rollout = self._roll_out(learns)
        self.steps += self.size
        rates = [self._rate(k) for k in range(len(self.envs))]
        largest = torch.zeros(len(self.envs), device=self.stack.device)
        for _ in range(self.shared.num_epochs):
            order = np.stack([rng.permutation(self.size) for rng in self.rngs])
            for lo in range(0, self.size, self.shared.batch_size):
                rows = order[:, lo : lo + self.shared.batch_size]
                largest += self.update(rollout, rows, rates, learns)
        for k in np.flatnonzero(learns):
            self.curves[k].append(self.episodes[k].row(self.steps))
            if not torch.isfinite(largest[k]):
                self.failures[int(k)] = f"a gradient is not finite after {self.steps:,} steps"

    def update(self, rollout: Rollout, rows: Array, rates: Any, learns: Any) -> Tensor:
        """One minibatch: the rows [K, m] of each agent. Returns the norms of the gradients."""
        logits, values = self.stack(self.memory.inputs(rows))
        batch = rollout.take(torch.from_numpy(rows).to(self.stack.device))
        ppo_loss(logits, values, batch, self.shared, self.ent_coef).sum().backward()
        return self.adam.step(rates, self.shared.max_grad_norm, learns)

    def _rate(self, k: int) -> float:
        own = self.settings[k]
        rate = LinearRate(own.learning_rate, own.learning_rate * own.final_learning_rate_frac)
        return rate(1 - self.steps / own.total_steps)

    @torch.no_grad()
    def _roll_out(self, learns: Array) -> Rollout:
        """Act for `num_steps` steps; what is seen goes to the memory."""
        T, K, N = self.shared.num_steps, len(self.envs), self.shared.num_envs  # noqa: N806
        num_actions = self.architecture.num_actions
        draws = [rng.gumbel(size=(T, N, num_actions)).astype(np.float32) for rng in self.rngs]
        noise = torch.from_numpy(np.stack(draws, axis=1)).to(self.stack.device)
        actions = torch.zeros((T, K, N), dtype=torch.int64, device=self.stack.device)
        log_probs, values = (torch.zeros_like(actions, dtype=torch.float32) for _ in range(2))
        rewards, dones = np.zeros((T, K, N), np.float32), np.zeros((T, K, N), np.bool_)
        cut = _Cut(K)
        for t in range(T):
            logits, values[t] = self._see(t * N)
            actions[t] = (logits + noise[t]).argmax(-1)
            chosen = logits.gather(-1, actions[t].unsqueeze(-1)).squeeze(-1)
            log_probs[t] = chosen - logits.logsumexp(-1)
            for k, chosen_k in enumerate(actions[t].cpu().numpy()):
                if not learns[k]:
                    continue
                out = self.envs[k].step_checked(chosen_k)
                rewards[t, k], dones[t, k] = out.reward, out.terminated | out.truncated
                self.episodes[k].add(np.flatnonzero(dones[t, k]))
                cut.add(k, t, np.flatnonzero(out.truncated), out.final_obs)
        cut.bootstrap(self, rewards)
        last = self._values([env.buffers.obs for env in self.envs])
        seen = values.cpu().numpy()
        advantages = generalized_advantages(
            rewards, seen, dones, last, self.gamma, self.shared.gae_lambda
        )
        columns = (
            torch.from_numpy(a).to(self.stack.device) for a in (advantages, advantages + seen)
        )
        flat = (x.transpose(0, 1).flatten(1) for x in (actions, log_probs, *columns))
        return Rollout(*flat)

    def _see(self, at: int) -> tuple[Tensor, Tensor]:
        """Remember what the environments show, and what the networks make of it."""
        num_envs = self.shared.num_envs
        for k, env in enumerate(self.envs):
            self.memory.put(k, env.buffers.obs, at)
        rows = np.tile(np.arange(at, at + num_envs), (len(self.envs), 1))
        return self.stack(self.memory.inputs(rows))

    @torch.no_grad()
    def _values(self, obs: Sequence[Array]) -> Array:
        """The values, float32 [K, n], of equally many other observations of each agent."""
        memory = memory_for(self.architecture, len(obs), len(obs[0]), self.stack.device)
        for k, own in enumerate(obs):
            memory.put(k, np.ascontiguousarray(own), 0)
        rows = np.tile(np.arange(len(obs[0])), (len(obs), 1))
        values: Array = self.stack(memory.inputs(rows))[1].cpu().numpy()
        return values


class _Cut:
    """The episodes that the time limit ended: what would have followed is part of their return."""

    def __init__(self, num_agents: int) -> None:
        self.where: list[list[tuple[int, int]]] = [[] for _ in range(num_agents)]  # (t, slot)
        self.obs: list[list[Array]] = [[] for _ in range(num_agents)]

    def add(self, k: int, t: int, slots: Array, final_obs: Array) -> None:
        self.where[k] += [(t, int(slot)) for slot in slots]
        self.obs[k] += [final_obs[slot].copy() for slot in slots]

    def bootstrap(self, population: Population, rewards: Array) -> None:
        """Add the discounted value of the last observation to the last reward."""
        most = max(map(len, self.obs))
        if not most:
            return
        blank = np.zeros_like(population.envs[0].buffers.final_obs[0])
        padded = [np.stack([*own, *[blank] * (most - len(own))]) for own in self.obs]
        values = population._values(padded)
        for k, where in enumerate(self.where):
            for (t, slot), value in zip(where, values[k], strict=False):
                rewards[t, k, slot] += population.gamma[k, 0] * value


def check_population(envs: Sequence[BatchEnv], settings: Sequence[PPOSettings]) -> None:
    """ValueError unless the agents fit into one population."""
    for field in fields(PPOSettings):
        values = {getattr(each, field.name) for each in settings}
        if len(values) > 1 and field.name not in OWN:
            raise ValueError(
                f"agents of one population differ in {', '.join(OWN)} only; got {field.name} "
                f"{sorted(values)}; train them in populations of their own"
            )
    shapes = {(env.observation_shape, len(env.family.actions)) for env in envs}
    if len(shapes) > 1:
        raise ValueError(
            "agents of one population see and do the same; got (shape seen, number of actions) "
            f"{sorted(shapes)}; train them in populations of their own"
        )
    for env in envs:
        if env.num_envs != settings[0].num_envs:
            raise ValueError(
                f"an agent has settings.num_envs environments; got {env.num_envs} and "
                f"{settings[0].num_envs}; make them with num_envs={settings[0].num_envs}"
            )


def train_ppo(
    env: BatchEnv,
    settings: PPOSettings,
    *,
    train_seed: int,
    device: str = "auto",
    is_bf16: bool = False,
    resume: Path | None = None,
    checkpoint_fracs: Sequence[float] = (),
    on_checkpoint: Checkpoint | None = None,
    on_progress: Progress | None = None,
) -> Trained:
    """Train a new agent on the levels that `train_seed` names in the distribution of `env`.

    Args:
        env: `settings.num_envs` environments.
        device: auto, cpu or cuda; see `choose_device`.
        is_bf16: see `Stack`.
        resume: a file that is kept up to date, about every RESUME_S, while the agent learns, and
            removed at the end. Where it is there, training goes on from it: on the CPU to the same
            weights, bit by bit, as without an interruption.
        checkpoint_fracs: shares of `total_steps` in [0, 1] at which `on_checkpoint` is called,
            after the update that used the steps; 0 is the untrained agent.

    Raises:
        ValueError: a fraction outside [0, 1]; see also `choose_device` and `Population`.
        FloatingPointError: the gradient was not finite.
    """
    checkpoints = Checkpoints(checkpoint_fracs, settings.total_steps, on_checkpoint)
    device = choose_device(device, architecture_for(settings, env).network)
    population = Population([env], [settings], [train_seed], device, is_bf16)
    if resume is not None and restore(population, resume):
        checkpoints.skip(population.steps)
    checkpoints.take(population.steps, population.snapshot)
    saved = time.monotonic()
    while population.is_learning(0):
        population.advance()
        if 0 in population.failures:
            raise FloatingPointError(
                f"training cannot go on: {population.failures[0]}; lower learning_rate"
            )
        if on_progress is not None:
            on_progress(population.steps, settings.total_steps, population.curves[0][-1])
        checkpoints.take(population.steps, population.snapshot)
        if resume is not None and time.monotonic() - saved >= RESUME_S:
            keep(population, resume)
            saved = time.monotonic()
    if resume is not None:
        resume.unlink(missing_ok=True)
    return Trained(population.snapshot(), tuple(population.curves[0]))
