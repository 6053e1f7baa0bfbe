"""Behaviour cloning: a network learns the intended planner's actions, on the levels that PPO would
train on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from misgen.agents.adam import Adam, LinearRate
from misgen.agents.curve import Checkpoint, Checkpoints, Progress, Snapshot, Trained
from misgen.agents.device import Device, choose_device
from misgen.agents.memory import Memory, remember
from misgen.agents.networks import architecture_for, initial_weights
from misgen.agents.play import outcomes, play_episodes
from misgen.agents.policy import NetworkPolicy
from misgen.agents.settings import CloningSettings
from misgen.agents.stacked import Stack
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.plans import Plans, solve
from misgen.envs.core.types import Array, Autoreset

CHUNK_STATES = 25_000  # labelled states held in memory; every pass is over one chunk
CURVE_LEVELS = 256  # played for each row of the learning curve, or as many as there are slots


@dataclass(frozen=True, kw_only=True)
class CloneRow:
    """What was learned from one chunk of labelled states.

    Loss and accuracy are of the first pass over the chunk: of states not learned from before.
    """

    steps: int  # labelled states so far
    episodes: int  # demonstrated for this chunk
    loss: float  # cross-entropy to the uniform distribution over optimal actions, nats
    accuracy: float  # probability of an optimal action
    success_rate: float  # of sampled play on the next levels of the stream, after the last pass
    broken_episodes: int  # since the start of training, on levels that took the broken draw


def demonstrate(
    env: BatchEnv, plans: Plans, rng: np.random.Generator, random_action_frac: float
) -> tuple[Array, Array]:
    """Let the intended planner play every slot from the present state to the episode's end.

    A share of the executed actions is uniformly random, so that states off its path are visited.
    States in which no action is better than another are left out: mostly those from which the goal
    cannot be reached any more.

    Returns:
        Observations [m, *observation_shape] and optimal actions, bool [m, actions], of the visited
        states.
    """
    seen, labels = [env.buffers.obs[:0]], [np.zeros((0, len(env.family.actions)), np.bool_)]
    while not env.episode.done.all():
        optimal = plans.action_mask(env, "intended")
        taught = ~env.episode.done & ~optimal.all(axis=1)
        seen.append(env.buffers.obs[taught])
        labels.append(optimal[taught])
        is_random = rng.random(len(optimal)) < random_action_frac
        allowed = optimal | is_random[:, None]
        env.step(np.where(allowed, rng.random(allowed.shape), -1.0).argmax(axis=1))
    return np.concatenate(seen), np.concatenate(labels)


class Lessons:
    """Labelled states from the stream of levels that `train_seed` names in `env`.

    Attributes:
        levels: the next ones of the stream, one per slot of `env`, not demonstrated yet.
        episodes, broken_episodes: demonstrated so far, and those on levels with a broken draw.
    """

    def __init__(self, env: BatchEnv, random_action_frac: float, train_seed: int) -> None:
        self.env, self.random_action_frac = env, random_action_frac
        self.rng = np.random.default_rng(train_seed)
        self.episodes = self.broken_episodes = 0
        env.autoreset = Autoreset.NEVER  # a level is planned before it is played
        env.restart(train_seed)
        self._next_levels()

    def _next_levels(self) -> None:
        self.env.reset()
        self.levels = self.env.levels()

    def _demonstrate(self) -> tuple[Array, Array]:
        _, unique = np.unique(self.levels.seeds, return_index=True)  # a finite set repeats levels
        plans = solve(self.levels.take(unique))
        labelled = demonstrate(self.env, plans, self.rng, self.random_action_frac)
        self.episodes += len(self.levels)
        self.broken_episodes += int(self.levels.broken.sum())
        self._next_levels()
        return labelled

    def draw(self, num_states: int) -> tuple[Array, Array]:
        """Observations and optimal actions of so many visited states."""
        parts: list[tuple[Array, Array]] = []
        missing = num_states
        while missing > 0:
            obs, optimal = self._demonstrate()
            kept = self.rng.permutation(len(obs))[:missing]  # not the first ones: steps differ
            parts.append((obs[kept], optimal[kept]))
            missing -= len(kept)
        return np.concatenate([obs for obs, _ in parts]), np.concatenate([o for _, o in parts])


def cross_entropy(log_p: torch.Tensor, optimal: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy to the uniform distribution over each row's optimal actions, nats."""
    target = optimal / optimal.sum(dim=1, keepdim=True)
    return -(target * log_p).sum(dim=1).mean()


class Learner:
    """A network, its optimiser and its falling learning rate.

    Attributes:
        chunks: numbers of labelled states that are learned from one after the other.
    """

    def __init__(self, stack: Stack, settings: CloningSettings, train_seed: int) -> None:
        self.stack, self.settings = stack, settings
        self.adam = Adam(stack.parameters)
        self.order = torch.Generator().manual_seed(train_seed)
        start = settings.learning_rate
        self.rate = LinearRate(start, start * settings.final_learning_rate_frac)
        self.updates = self.num_states = 0  # so far
        starts = range(0, settings.num_states, CHUNK_STATES)
        self.chunks = [min(CHUNK_STATES, settings.num_states - done) for done in starts]
        batches = sum(-(-size // settings.batch_size) for size in self.chunks)
        self.total_updates = settings.num_epochs * batches

    def snapshot(self) -> Snapshot:
        """The network as it is now."""
        return Snapshot(self.stack.weights(), self.num_states)

    def learn(self, obs: Array, optimal: Array) -> tuple[float, float]:
        """All passes over one chunk; returns loss and accuracy of the first."""
        memory = remember(self.stack.architecture, [obs], self.stack.device)
        labels = torch.from_numpy(optimal).to(self.stack.device.name)
        self.num_states += len(obs)
        passes = [self._pass(memory, labels) for _ in range(self.settings.num_epochs)]
        return passes[0]

    def _pass(self, memory: Memory, labels: torch.Tensor) -> tuple[float, float]:
        sums = torch.zeros(2)
        order = torch.randperm(len(labels), generator=self.order)
        for rows in order.split(self.settings.batch_size):
            inputs = memory.inputs(memory.rows(rows.numpy()[None]))
            sums += len(rows) * self._update(inputs, labels[rows.to(labels.device)])
        loss, accuracy = (sums / len(labels)).tolist()
        return loss, accuracy

    def _update(self, inputs: Any, optimal: torch.Tensor) -> torch.Tensor:
        """One step of Adam; loss and accuracy before it, float32 [2]."""
        log_p = self.stack(inputs)[0][0].log_softmax(-1)
        loss = cross_entropy(log_p, optimal)
        loss.backward()
        rate = self.rate(1 - self.updates / self.total_updates)
        self.adam.step([rate], math.inf, [True])
        self.updates += 1
        accuracy = (log_p.detach().exp() * optimal).sum(dim=1).mean()
        return torch.stack([loss.detach(), accuracy]).cpu()


def success_rate(stack: Stack, lessons: Lessons, train_seed: int) -> float:
    """Share of the next levels on which sampled play completes the intended goal."""
    levels = lessons.levels.take(np.arange(min(CURVE_LEVELS, len(lessons.levels))))
    horizon = lessons.env.distribution.horizon_steps
    episodes = play_episodes(
        NetworkPolicy(stack, "cloning"),
        levels,
        horizon_steps=horizon,
        judged_at_steps=horizon,
        eval_seed=train_seed,
        observation_mode=lessons.env.observation_mode,
    )
    return float(outcomes(levels.cell, levels, episodes)[2].mean())


def learn_chunk(learner: Learner, lessons: Lessons, size: int, train_seed: int) -> CloneRow:
    """Learn from the next labelled states of the stream, and see how the network does then."""
    episodes = lessons.episodes
    loss, accuracy = learner.learn(*lessons.draw(size))
    return CloneRow(
        steps=learner.num_states,
        episodes=lessons.episodes - episodes,
        loss=loss,
        accuracy=accuracy,
        success_rate=success_rate(learner.stack, lessons, train_seed),
        broken_episodes=lessons.broken_episodes,
    )


def train_cloning(
    env: BatchEnv,
    settings: CloningSettings,
    *,
    train_seed: int,
    device: str = "auto",
    checkpoint_fracs: Sequence[float] = (),
    on_checkpoint: Checkpoint | None = None,
    on_progress: Progress | None = None,
) -> Trained:
    """Train a new agent on demonstrations on the levels that `train_seed` names in the
    distribution of `env`.

    Args:
        env: `settings.num_envs` environments; they will not reset themselves any more.
        device: auto, cpu or cuda; see `misgen.agents.device.choose_device`.
        checkpoint_fracs: shares of `num_states` in [0, 1]; `on_checkpoint` is called after the
            first chunk by which so much was learned, for 0 before all.

    Raises:
        ValueError: a fraction outside [0, 1]; see also `choose_device`.
    """
    checkpoints = Checkpoints(checkpoint_fracs, settings.num_states, on_checkpoint)
    architecture = architecture_for(settings, env)
    where = Device.of(choose_device(device, architecture.network))
    lessons = Lessons(env, settings.random_action_frac, train_seed)
    stack = Stack(architecture, [initial_weights(architecture, train_seed)], where)
    learner, curve = Learner(stack, settings, train_seed), []
    checkpoints.take(0, learner.snapshot)
    for size in learner.chunks:
        curve.append(learn_chunk(learner, lessons, size, train_seed))
        checkpoints.take(learner.num_states, learner.snapshot)
        if on_progress is not None:
            on_progress(learner.num_states, settings.num_states, curve[-1])
    return Trained(learner.snapshot(), tuple(curve))
