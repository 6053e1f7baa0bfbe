"""Repair: a trained agent goes on learning on a few episodes of d = 1, whose cue is independent of
the goal; now and then it is intact by chance. On the CPU, in one thread.

How many of them it takes is a dose; what it costs is the success in distribution that is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from misgen.agents.interventions import Intervention, Training

if TYPE_CHECKING:
    from misgen.agents.curve import Trained
    from misgen.agents.population import Population
    from misgen.envs.core.levels import Levels

MAX_AT_ONCE = 256  # episodes collected before they are learned from
STREAM = 2**32  # names, with the number of the agent, the levels of its repair


@dataclass(frozen=True, kw_only=True)
class Dose:
    """How an agent is repaired; see `repair`."""

    episodes: int
    learning_rate: float
    num_epochs: int


def repair(
    *, episodes: int = 1000, learning_rate: float = 5e-4, num_epochs: int = 3
) -> Intervention:
    """The agent goes on as PPO learns.

    Args:
        episodes: on levels of d = 1, each played once to its end.
        learning_rate: of Adam, which begins anew.
        num_epochs: passes over the episodes that are learned from together.

    Raises:
        ValueError: a value outside its range.
    """
    if episodes < 1 or num_epochs < 1 or not learning_rate > 0:
        raise ValueError(
            "episodes and num_epochs are at least 1 and learning_rate is positive; got "
            f"{episodes}, {num_epochs} and {learning_rate}; for a dose of 0 leave repair out"
        )
    dose = Dose(episodes=episodes, learning_rate=learning_rate, num_epochs=num_epochs)
    return Intervention(after=partial(repaired, dose))


def repaired(dose: Dose, trained: Trained, training: Training) -> Trained:
    """The agent after its dose.

    Raises:
        ValueError: it remembers: repair learns from steps in any order.
        FloatingPointError: its weights are not finite any more.
    """
    if training.settings.gru_dim:
        raise ValueError(
            f"repair is of agents without memory; got gru_dim={training.settings.gru_dim}"
        )
    from misgen.agents.population import Population
    from misgen.envs.core.batch import BatchEnv
    from misgen.envs.core.levels import cue_holds, sample_levels

    old, n = training.env, min(dose.episodes, MAX_AT_ONCE)
    distribution = replace(old.distribution, diversity=1.0, num_levels=0)
    seeds = np.random.default_rng([training.train_seed, STREAM]).integers(2**62, size=dose.episodes)
    levels = sample_levels(old.family, distribution, seeds)
    own = replace(training.settings, num_envs=n, num_steps=distribution.horizon_steps, batch_size=n)
    mode, seed = old.observation_mode, training.train_seed
    env = BatchEnv(old.family, distribution, n, train_seed=seed, observation_mode=mode)
    population = Population([env], [own], [seed], weights=[trained.agent.weights])
    steps = updates = 0
    for lo in range(0, dose.episodes, n):
        rows = np.arange(lo, min(lo + n, dose.episodes))
        learned, took = learn_from(
            population, levels.take(rows), dose, training.settings.batch_size
        )
        steps, updates = steps + learned, updates + took
    weights = population.snapshot().weights
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise FloatingPointError("repair cannot go on: weights are not finite; lower learning_rate")
    return replace(
        trained,
        agent=replace(trained.agent, weights=weights, steps=trained.agent.steps + steps),
        updates=trained.updates + updates,
        seen={
            **trained.seen,
            "repair_episodes": dose.episodes,
            "repair_broken_episodes": int((~cue_holds(levels)).sum()),
            "repair_steps": steps,
        },
    )


def learn_from(
    population: Population, levels: Levels, dose: Dose, batch_size: int
) -> tuple[int, int]:
    """Let the only agent of a population play one episode of each level, at most as many as it has
    environments, and learn from these as PPO does.

    Returns:
        Steps of the episodes, and updates.
    """
    env, learns = population.envs[0], np.array([True])
    slots = np.arange(env.num_envs)
    env.reset_to(levels.take(np.minimum(slots, len(levels) - 1)))
    rollout = population.collector.collect(population.rngs, learns)
    dones = population.collector.played[0].dones
    goes_on = (np.cumsum(dones, axis=0) - dones == 0) & (slots < len(levels))
    rows = np.flatnonzero(goes_on)  # t * n + slot, as in Rollout
    updates = 0
    for _ in range(dose.num_epochs):
        order = population.rngs[0].permutation(rows)
        for batch in np.array_split(order, max(1, len(rows) // batch_size)):
            if len(batch) > 1:  # advantages are normalised
                population.update(rollout, batch[None], [dose.learning_rate], learns)
                updates += 1
    return len(rows), updates
