"""The part of the contract about values: what planners earn, and that nothing earns more."""

from __future__ import annotations

from typing import Any

import numpy as np

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import Levels
from misgen.envs.core.plans import INTENDED, Plans
from misgen.envs.core.types import Array

PLAYS = 8  # of a planner on each level, to average its ties
PLAYED_LEVELS = 32


def require(holds: Any, message: str) -> None:
    """AssertionError with this message unless the condition, or all of an array, holds."""
    if not np.all(holds):
        raise AssertionError(message)


def check_values(levels: Levels, plans: Plans) -> None:
    """A planner's value is the mean return of its own play, and nothing earns more than the
    intended planner: regret is 0 for optimal play and never negative."""
    some = np.arange(min(len(levels), PLAYED_LEVELS))
    best = plans.value[some, INTENDED][:, None]
    rng = np.random.default_rng(0)
    for column, goal in enumerate(levels.cell.goals):
        returns = _planner_returns(levels.take(some), plans, goal, rng)
        error = returns.mean(axis=1) - plans.value[some, column]
        spread = 5 * returns.std() / np.sqrt(returns.size)
        require(
            abs(error.mean()) <= spread + 1e-6,
            f"the {goal} planner's value is {plans.value[some, column].mean():.3f} and its play "
            f"returns {returns.mean():.3f}",
        )
        require(returns <= best + 1e-6, f"{goal} play earns more than the intended planner")
        if goal == "intended":
            require(abs(error) < 1e-6, "optimal play has regret")
    for name, returns in _aimless_returns(levels.take(some), rng).items():
        require(returns <= best + 1e-6, f"{name} play earns more than the intended planner")


def _planner_returns(levels: Levels, plans: Plans, goal: str, rng: Any) -> Array:
    """Returns of PLAYS tie-broken plays of each level, float64 [n, PLAYS]."""
    horizon = 24 + 4 * int(np.ceil(plans.length.max()))
    env = BatchEnv.on(levels.take(np.repeat(np.arange(len(levels)), PLAYS)), horizon)
    while not env.episode.done.all():
        mask = plans.action_mask(env, goal)
        env.step((mask * rng.random(mask.shape)).argmax(axis=1))
    return env.episode.total.reshape(-1, PLAYS)


def _aimless_returns(levels: Levels, rng: Any) -> dict[str, Array]:
    """Returns of random play and of doing nothing, float64 [n, 1]."""
    family = levels.family
    played = {}
    for name in ("random", "no-op"):
        env = BatchEnv.on(levels, 100)
        for _ in range(100):
            actions = rng.integers(0, len(family.actions), len(levels))
            env.step(actions if name == "random" else np.full(len(levels), family.noop))
        played[name] = env.episode.total[:, None].copy()
    return played
