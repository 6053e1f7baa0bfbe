"""Optimal play in any environment: its levels are solved as they come."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import Levels, differ
from misgen.envs.core.planner import Plan
from misgen.envs.core.plans import optimal_actions, solve
from misgen.envs.core.types import Array


class Planner:
    """Takes optimal actions towards a goal of the cell that is played, ties broken at random.

    Args:
        goal: "intended", "proxy" or, where the cell has it, "indifferent".
        seed: integer >= 0; names the random numbers of ties and of random actions.
        epsilon: probability of a uniformly random action.
    """

    def __init__(self, goal: str, *, seed: int = 0, epsilon: float = 0.0) -> None:
        if not 0.0 <= epsilon <= 1.0:
            raise ValueError(f"epsilon is a probability in [0, 1]; got {epsilon}")
        self.goal, self.epsilon = goal, epsilon
        self._rng = np.random.default_rng(seed)
        self._solved: WeakKeyDictionary[BatchEnv, _Solved] = WeakKeyDictionary()

    def act(self, env: Any) -> Any:
        """The next action, for the state in which the environment is.

        Args:
            env: a SingleEnv, BatchVectorEnv, BatchEnv or BatchVecEnv, or one of them in wrappers.

        Returns:
            An int for a single environment, else int64 [n].

        Raises:
            ValueError: another environment; the cell has no such goal; a level has too many states.
        """
        inner = getattr(env, "unwrapped", env)
        if isinstance(inner, SyncVectorEnv):
            return np.array([self.act(single) for single in inner.envs])
        batch = getattr(inner, "batch_env", inner)
        if not isinstance(batch, BatchEnv):
            raise ValueError(f"a planner acts in environments of misgen.envs; got {env!r}")
        allowed = self.optimal(batch)
        allowed |= self._rng.random((len(allowed), 1)) < self.epsilon
        actions = np.where(allowed, self._rng.random(allowed.shape), -1.0).argmax(axis=1)
        return int(actions[0]) if isinstance(inner, gymnasium.Env) else actions

    def optimal(self, env: BatchEnv) -> Array:
        """bool [n, actions]: the optimal actions in the present state of each slot; all where the
        goal cannot be reached."""
        solved = self._solved.get(env)
        if solved is None:
            solved = self._solved[env] = _Solved(env.levels())
        else:
            solved.update(env)
        return optimal_actions(
            env, self.goal, solved.keys, solved.ranges, solved.plan, solved.goals
        )


class _Solved:
    """The levels in the slots of an environment, solved."""

    def __init__(self, levels: Levels) -> None:
        self.levels = levels
        self._parts: list[Any] = [None] * len(levels)  # keys and plan of each
        self._solve(np.arange(len(levels)))

    def update(self, env: BatchEnv) -> None:
        """Solve the levels that are not what they were."""
        is_new = differ(env.world.level, self.levels.level)
        if is_new.any():
            self.levels = env.levels()
            self._solve(np.flatnonzero(is_new))

    def _solve(self, slots: Array) -> None:
        plans = solve(self.levels.take(slots))
        ends = np.cumsum(plans.num_states)
        for slot, end, size in zip(slots, ends, plans.num_states, strict=True):
            states = slice(end - size, end)
            self._parts[slot] = plans.keys[states], *(part[:, :, states] for part in plans.plan)
        keys, distance, best = zip(*self._parts, strict=True)
        ends = np.cumsum([len(part) for part in keys])
        self.ranges = np.stack([ends - [len(part) for part in keys], ends], axis=1)
        self.keys, self.goals = np.concatenate(keys), plans.pursuits
        self.plan = Plan(np.concatenate(distance, axis=2), np.concatenate(best, axis=2))
