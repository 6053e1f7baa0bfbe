"""Proximal policy optimization (Schulman et al. 2017) for a population of K agents.

The agents have one architecture and one shape of rollouts, and are updated together; each has its
own environments, random numbers, learning rate, discount and entropy bonus, and learns what it
would learn alone. The arithmetic is Stable-Baselines3's, minibatch by minibatch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from misgen.agents.adam import Adam, LinearRate
from misgen.agents.curve import (
    CurveRow,
    Snapshot,
    Trained,
)
from misgen.agents.device import Device, capture, require_room
from misgen.agents.interventions import NONE, Intervention, LevelChooser, Minibatch
from misgen.agents.networks import Weights, architecture_for, initial_weights
from misgen.agents.rollout import Collector, Rollout
from misgen.agents.settings import PPOSettings
from misgen.agents.stacked import CPU, Stack
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.types import Array

OWN_STREAM = 1  # of the random numbers of an agent's intervention
OWN = ("total_steps", "learning_rate", "final_learning_rate_frac", "gamma", "ent_coef")
"""Settings in which the agents of a population may differ."""


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


class Population:
    """K agents that learn side by side.

    Args:
        envs: `settings.num_envs` environments for each agent.
        settings: of each agent; they may differ in OWN only.
        train_seeds: each names an agent: its network, its levels and its random numbers.
        device: where they are computed, and how.
        num_threads: in which the environments of different agents step.
        interventions: of each agent; in a population of several on observations only.
        weights: of each agent, to go on from; by default what the seeds name.

    Attributes:
        steps: of each agent's environments so far.
        updates: of each agent's weights so far, int64 [K].
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
        device: Device = CPU,
        num_threads: int = 1,
        interventions: Sequence[Intervention] = (),
        weights: Sequence[Weights] = (),
    ) -> None:
        self.envs, self.settings, self.shared = envs, settings, settings[0]
        self.train_seeds = train_seeds
        self.interventions = interventions or [NONE] * len(envs)
        check_population(envs, settings, self.interventions)
        self.architecture, self.device = architecture_for(settings[0], envs[0]), device
        require_room(len(envs), self.architecture, settings[0], device)
        new = weights or [initial_weights(self.architecture, seed) for seed in train_seeds]
        self.stack = Stack(self.architecture, new, device)
        self.adam = Adam(self.stack.parameters, on_cpu=not device.is_captured)
        self.rngs = [np.random.default_rng(seed) for seed in train_seeds]
        self.own_rngs = [np.random.default_rng([seed, OWN_STREAM]) for seed in train_seeds]
        self.size = self.shared.rollout_steps
        self.collector = Collector(
            envs, self.stack, settings, device, num_threads, self.interventions, self.own_rngs
        )
        self.steps, self.updates = 0, np.zeros(len(envs), np.int64)
        self.curves: list[list[CurveRow]] = [[] for _ in envs]
        self.failures: dict[int, str] = {}
        self.ent_coef = torch.tensor([s.ent_coef for s in settings], device=device.name)
        self.captured: _Captured | None = None
        self.levels: list[LevelChooser | None] = [
            each.levels(envs[k], settings[k], self.own_rngs[k]) if each.levels else None
            for k, each in enumerate(self.interventions)
        ]
        for env, seed in zip(envs, train_seeds, strict=True):
            env.reset(seed)

    def is_learning(self, k: int) -> bool:
        """Whether agent k has steps left and has not failed."""
        return k not in self.failures and self.steps < self.settings[k].total_steps

    def snapshot(self, k: int = 0) -> Snapshot:
        """Agent k as it is now."""
        learned = self.curves[k][-1].steps if self.curves[k] else 0
        return Snapshot(self.stack.weights(k), learned)

    def outcome(self, k: int) -> Trained | FloatingPointError:
        """What agent k has become."""
        if k in self.failures:
            return FloatingPointError(
                f"training cannot go on: {self.failures[k]}; lower learning_rate"
            )
        levels = self.levels[k]
        seen = levels.seen() if levels is not None else {}
        return Trained(self.snapshot(k), tuple(self.curves[k]), int(self.updates[k]), seen)

    def advance(self) -> None:
        """One rollout of those that are learning, and the updates that use it."""
        learns = np.array([self.is_learning(k) for k in range(len(self.envs))])
        updates = self._begin(learns)
        rollout = self.collector.collect(self.rngs, learns)
        self.steps += self.size
        largest = self._learn(rollout, updates)
        for k in np.flatnonzero(learns):
            levels = self.levels[k]
            if levels is not None:
                levels.end(self.collector.played[k])
            self.curves[k].append(self.collector.episodes[k].row(self.steps))
            if not torch.isfinite(largest[k]):
                self.failures[int(k)] = f"a gradient is not finite after {self.steps:,} steps"

    def _begin(self, learns: Array) -> Array:
        """Let interventions choose what is played; bool [K]: who learns from it."""
        updates = learns.copy()
        for k in np.flatnonzero(learns):
            levels = self.levels[k]
            if levels is not None:
                updates[k] = levels.begin()
        return updates

    def _learn(self, rollout: Rollout, learns: Array) -> Tensor:
        """The updates of a rollout; the largest norms of the gradients, float32 [K]."""
        largest = torch.zeros(len(self.envs), device=self.device.name)
        if not learns.any():
            return largest
        update = self._updater(rollout, learns)
        for _ in range(self.shared.num_epochs):
            rows = self.collector.memory.rows(self.collector.orders(self.rngs))
            for lo in range(0, self.size, self.shared.batch_size):
                largest += update(rows[:, lo : lo + self.shared.batch_size])
                self.updates += learns
        return largest

    def _updater(self, rollout: Rollout, learns: Array) -> Callable[[Any], Tensor]:
        """What does one minibatch after the other of a rollout."""
        rates = [self._rate(k) for k in range(len(self.envs))]
        is_varied = self.interventions[0].features or self.architecture.network.gru_dim
        if not self.device.is_captured or is_varied:
            return lambda rows: self.update(rollout, rows, rates, learns)
        if self.captured is None:
            self.captured = _Captured(self, rollout)
        self.captured.load(rollout, rates, learns)
        return self.captured

    def update(self, rollout: Rollout, rows: Any, rates: Any, learns: Any) -> Tensor:
        """One minibatch: the rows [K, m] of each agent. Returns the norms of the gradients."""
        features, changed = self.interventions[0].features, self.interventions[0].loss
        change = (lambda seen: features(seen, self.own_rngs[0])) if features else None
        seen, recall = self.collector.memory.inputs(rows), self.collector.recall(rows)
        logits, values = self.stack(seen, change=change, recall=recall)
        batch = rollout.take(torch.as_tensor(rows))
        loss = ppo_loss(logits, values, batch, self.shared, self.ent_coef)
        if changed is not None:
            loss = changed(loss, Minibatch(logits, values, batch, self.stack.parameters))
        loss.sum().backward()
        return self.adam.step(rates, self.shared.max_grad_norm, learns)

    def _rate(self, k: int) -> float:
        own = self.settings[k]
        rate = LinearRate(own.learning_rate, own.learning_rate * own.final_learning_rate_frac)
        return rate(1 - self.steps / own.total_steps)


class _Captured:
    """The update of a population, recorded for tensors of its own and replayed on them."""

    def __init__(self, population: Population, rollout: Rollout) -> None:
        num_agents, device = len(population.envs), population.device.name
        self.rollout = rollout
        self.rows = torch.zeros(
            (num_agents, population.shared.batch_size), dtype=torch.int64, device=device
        )
        self.rates = torch.zeros(num_agents, dtype=torch.float64, device=device)
        self.learns = torch.zeros(num_agents, dtype=torch.bool, device=device)  # while recording
        self.norms = torch.zeros(num_agents, device=device)
        before = population.adam.taken.clone()

        def work() -> None:
            own = self.rollout, self.rows, self.rates, self.learns
            self.norms.copy_(population.update(*own))

        self.replay = capture(work, device)
        population.adam.taken.copy_(before)

    def load(self, rollout: Rollout, rates: Any, learns: Any) -> None:
        """What all updates of one rollout have in common."""
        if rollout is not self.rollout:
            self.rollout.copy_(rollout)
        self.rates.copy_(torch.as_tensor(rates))
        self.learns.copy_(torch.as_tensor(learns))

    def __call__(self, rows: Tensor) -> Tensor:
        self.rows.copy_(rows)
        self.replay()
        return self.norms


def check_population(
    envs: Sequence[BatchEnv],
    settings: Sequence[PPOSettings],
    interventions: Sequence[Intervention],
) -> None:
    """ValueError unless the agents fit into one population."""
    if len(envs) > 1 and any(each.levels or each.features or each.loss for each in interventions):
        raise ValueError(
            "an intervention in levels, features or loss has updates of its own; got it in a "
            f"population of {len(envs)}; train such agents one at a time"
        )
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
