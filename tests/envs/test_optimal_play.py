"""Planners that act in environments of any kind."""

import gymnasium as gym
import numpy as np
import pytest

from misgen.agents.vec_env import BatchVecEnv
from misgen.envs import Planner
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import sample_levels
from misgen.envs.core.plans import solve
from misgen.envs.core.types import NEVER
from misgen.envs.families import FAMILIES

MAZE = FAMILIES["maze"]


def test_it_acts_as_long_as_the_plan_says(world):
    """A single environment, with a drawn level after another one and then the stream; the length is
    that of `solve`, where ties do not matter."""
    family, cell = world
    env = gym.make(f"misgen.envs:{family.env_id}", cell=cell.code, observation_mode="planes")
    levels = sample_levels(family, family.train_distribution(cell), range(3))
    lengths = solve(levels).length[:, 0]
    planner = Planner("intended", seed=1)
    for i in range(3):
        env.reset(options={"level": levels.take(np.array([i]))})
        episode = env.unwrapped.batch_env.episode
        targets = [t if isinstance(t, tuple) else (t,) for t in cell.intended.targets]
        for _ in range(int(lengths[i] + 0.5)):
            action = planner.act(env)
            assert isinstance(action, int)
            env.step(action)
        if not cell.intended.sweep and cell.intended.targets:
            assert all(min(episode.first[0, list(t)]) != NEVER for t in targets)
    env.reset(seed=0)
    env.step(planner.act(env))


def returns(env, planner, steps: int, num_envs: int) -> float:
    total = 0.0
    for _ in range(steps):
        actions = planner.act(env)
        assert actions.shape == (num_envs,) and actions.dtype == np.int64
        total += float(env.step(actions)[1].sum())
    return total


def makers(family):
    distribution = family.train_distribution(family.cell(family.default_cell))
    named = f"misgen.envs:{family.env_id}"
    return {
        "batch": lambda: BatchEnv(family, distribution, 4, train_seed=0),
        "vector": lambda: gym.make_vec(named, num_envs=4),
        "next step": lambda: gym.make_vec(named, num_envs=4, autoreset_mode="NextStep"),
        "sync": lambda: gym.make_vec(named, num_envs=4, vectorization_mode="sync"),
        "sb3": lambda: BatchVecEnv(BatchEnv(family, distribution, 4, train_seed=0)),
    }


@pytest.mark.parametrize("kind", ["batch", "vector", "next step", "sync", "sb3"])
def test_it_goes_on_after_an_autoreset(family, kind):
    """It earns several times what random actions do."""
    env = makers(family)[kind]()
    env.reset() if kind in ("batch", "sb3") else env.reset(seed=0)
    steps = 2 * family.cell(family.default_cell).train_horizon_steps
    planned = returns(env, Planner("intended"), steps, 4)
    random = returns(env, Planner("intended", epsilon=1.0), steps, 4)
    assert planned > 2 * random and planned >= 8


def test_levels_that_were_not_solved_are_named(family):
    cell = family.cell(family.default_cell)
    distribution = family.train_distribution(cell)
    plans = solve(sample_levels(family, distribution, range(4)))
    env = BatchEnv(family, distribution, 4, train_seed=0)
    env.reset()
    with pytest.raises(ValueError, match=r"slot 0 plays a level .* Planner\(goal\).act\(env\)"):
        plans.action_mask(env, "intended")
    other = sample_levels(family, family.train_distribution(cell, 1.0), range(4))
    assert (other.seeds == plans.levels.seeds).all()
    with pytest.raises(ValueError, match="plays a level that is not among the solved"):
        plans.action_mask(BatchEnv.on(other), "intended")


def test_bad_input():
    env = gym.make(f"misgen.envs:{MAZE.env_id}")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="goal is intended or proxy; got 'cheese'"):
        Planner("cheese").act(env)
    with pytest.raises(ValueError, match=r"in \[0, 1\]; got 2"):
        Planner("proxy", epsilon=2)
    with pytest.raises(ValueError, match=r"acts in environments of misgen\.envs; got"):
        Planner("proxy").act(object())
