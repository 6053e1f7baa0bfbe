"""Plans: the planners of a batch of levels, solved together, and what follows from them.

A level *distinguishes* when its planners would be told apart: see `is_distinguishing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.compile import kernel
from misgen.envs.core.levels import Levels, differ
from misgen.envs.core.planner import (
    Plan,
    empty_places,
    mask_kernel,
    play_kernel,
    solve_kernel,
)
from misgen.envs.core.pursuits import Pursuits, pursuits_of
from misgen.envs.core.random import empty_rng, mix
from misgen.envs.core.search import MAX_NODES, empty_graph
from misgen.envs.core.types import NEVER, Array, event_bits

GOALS = ("intended", "proxy")  # every cell's; a third planner follows in some
INTENDED, PROXY = range(len(GOALS))  # their places in arrays [n, goals]
REPLICAS = 200  # tie-broken plays by which the outcome probabilities of a planner are estimated


class Plays(NamedTuple):
    """How many of REPLICAS plays of a planner on a level were capable, failed the intended goal
    while capable, and succeeded: int64 [n, goals, epsilons]."""

    capable: Array
    failed: Array
    success: Array

    def at(self, epsilon: int) -> Plays:
        """[n, goals], at the epsilon of this place."""
        return Plays(*(counts[:, :, epsilon] for counts in self))


@dataclass(frozen=True, kw_only=True)
class Plans:
    """The planners of n levels. Columns of [n, goals] arrays: intended, proxy and, in some cells,
    indifferent (the order of `Cell.goals`).

    Attributes:
        length: float64 [n, goals], expected steps until the planner's own goal is complete or the
            episode ends.
        value: float64 [n, goals], expected intended return, to the episode's end, without time
            limit (random actions after a goal is complete count as 0).
        num_states: int64 [n].
    """

    levels: Levels
    length: Array
    value: Array
    num_states: Array
    keys: Array  # uint64 [sum of num_states], ascending within a level
    plan: Plan  # of these states; without distances where no goal has a sweep
    pursuits: Pursuits
    plays: Plays  # at the epsilons of `solve_together`

    @cached_property
    def _position(self) -> dict[int, int]:
        """Level seed -> its place in the batch."""
        return {int(seed): k for k, seed in enumerate(self.levels.seeds)}

    def action_mask(self, env: BatchEnv, goal: str) -> Array:
        """Optimal actions in the present state of each slot, bool [num_envs, actions].

        All actions where the goal cannot be reached; the goal's `afterwards` once it is complete.
        The slots play levels of this batch, in any order.

        Raises:
            ValueError: a slot plays another level, or the cell has no such goal.
        """
        places = np.array([self._position.get(int(seed), -1) for seed in env.episode.seed])
        is_other = places < 0
        begins = np.flatnonzero(env.episode.length == 0)
        if len(begins):
            solved = (array[places[begins]] for array in self.levels.level)
            is_other[begins] |= differ((array[begins] for array in env.world.level), solved)
        if is_other.any():
            raise ValueError(
                f"slot {is_other.argmax()} plays a level that is not among the solved ones, as "
                "after an autoreset; play these with BatchEnv.on(levels), or let "
                "Planner(goal).act(env) solve levels as they come"
            )
        ends = np.cumsum(self.num_states)
        ranges = np.stack([ends - self.num_states, ends], axis=1)[places]
        return optimal_actions(env, goal, self.keys, ranges, self.plan, self.pursuits)


def optimal_actions(
    env: BatchEnv, goal: str, keys: Array, ranges: Array, plan: Plan, pursuits: Pursuits
) -> Array:
    """bool [num_envs, actions]; the states of slot i's level are those from ranges[i, 0] to
    ranges[i, 1] of `keys` and `plan`. ValueError if the cell has no such goal."""
    family, goals = env.family, env.distribution.cell.goals
    if goal not in goals:
        raise ValueError(f"a planner's goal is {' or '.join(goals)}; got {goal!r}")
    masks = np.zeros((env.num_envs, len(family.actions)), np.bool_)
    run = kernel(
        mask_kernel,
        f"mask_{family.name}",
        family_state_key=family.state_key,
        NUM_ACTIONS=len(family.actions),
    )
    world, g = env.world, list(goals).index(goal)
    run(keys, ranges, plan, pursuits, g, world.level, world.state, env.episode.counts, masks)
    return masks


def judged_horizon(lengths: Array) -> Array:
    """T of each level, int32 [n]: max(24, 4 x the longest of the intended and the proxy planner's
    lengths over the variants that share the geometry). `lengths`: float [n, ..., goals]."""
    longest = np.nanmax(lengths[..., : len(GOALS)].reshape(len(lengths), -1), axis=1)
    # Expected lengths are sums of probabilities: a whole number may come out a hair above itself.
    return np.maximum(24, np.ceil(4 * longest - 1e-6)).astype(np.int32)


def is_distinguishing(plays: Plays) -> Array:
    """bool [n]: both planners are capable with probability >= .98, the proxy planner fails the
    intended goal then with >= .98 and the intended planner with <= .02.

    `plays`: without random actions, [n, goals].
    """
    capable = plays.capable[:, : len(GOALS)] / REPLICAS
    failed = plays.failed / REPLICAS
    return (
        (capable >= 0.98).all(axis=1) & (failed[:, INTENDED] <= 0.02) & (failed[:, PROXY] >= 0.98)
    )


class Solved(NamedTuple):
    """All N states of one level, those with a shorter way from the start first, and the planners'
    ways from them. Goals are in the order of `Cell.goals`."""

    key: Array  # uint64 [N], see Family.restore
    successor: Array  # int32 [N, actions], state; -1 where the agent died
    events: Array  # uint32 [N, actions], bits of the transition
    plan: Plan
    pursuits: Pursuits


def solve_states(levels: Levels) -> Solved:
    """The states of the one level of a batch.

    Raises:
        ValueError: it has more than MAX_NODES states.
    """
    search = _Search(levels, ())
    search.plan(0)
    count, graph, plan = int(search.num_states[0]), search.graph, search.plan_of_level
    return Solved(
        key=graph.key[:count],
        successor=graph.successor[:count],
        events=graph.events[:count],
        plan=Plan(*(array[:, :, :count] for array in plan)),
        pursuits=search.pursuits,
    )


class _Search:
    """Plans one batch of levels, one level after the other."""

    def __init__(self, levels: Levels, epsilons: tuple[float, ...], gamma: float = 1.0) -> None:
        family, n = levels.family, len(levels)
        self.levels, self.epsilons, self.gamma = levels, epsilons, float(gamma)
        self.pursuits = pursuits_of(levels.cell, len(family.events))
        goals, targets = self.pursuits.target.shape
        self.graph = empty_graph(len(family.actions))
        shape = (goals, targets, MAX_NODES)
        self.plan_of_level = Plan(np.zeros(shape, np.int16), np.zeros(shape, np.uint8))
        self.places = (empty_places(), empty_places())
        self.rng = empty_rng(1)
        self.state = family.empty_state(n)
        self.length, self.value = np.zeros((n, goals)), np.zeros((n, goals))
        self.plays = Plays(*np.zeros((3, n, goals, len(epsilons)), np.int64))
        self.num_states = np.zeros(n, np.int64)
        self.keys: list[Array] = [np.zeros(0, np.uint64)]
        self.best: list[Array] = [np.zeros((goals, targets, 0), np.uint8)]
        self.distance: list[Array] = [np.zeros((goals, targets, 0), np.int16)]
        self.sweeps = any(goal.sweep for goal in levels.cell.goals.values())
        self.fatal = event_bits(family.fatal)
        self.kernel = kernel(
            solve_kernel,
            f"solve_{family.name}",
            family_reset=family.reset,
            family_step=family.step,
            family_state_key=family.state_key,
            family_restore=family.restore,
            NUM_ACTIONS=len(family.actions),
        )
        self.first = np.full((n, len(family.events)), NEVER, np.int32)
        self.counts = np.zeros_like(self.first)
        self.play_kernel = kernel(
            play_kernel,
            f"play_{family.name}_{levels.cell.code}",
            cell_outcome=levels.cell.outcome,
            NUM_ACTIONS=len(family.actions),
        )

    def plan(self, i: int) -> None:
        """Plan level i; its graph stays until the next one."""
        graph, plan = self.graph, self.plan_of_level
        count = self.kernel(
            i, self.levels.level, self.state, graph, plan, self.pursuits, self.places,
            self.fatal, self.gamma, self.length, self.value,
        )  # fmt: skip
        if count > MAX_NODES:
            raise ValueError(
                f"level {self.levels.seeds[i]} of {self.levels.family.name} has more than "
                f"{MAX_NODES} states; planners need a smaller level"
            )
        self.num_states[i] = count
        order = np.argsort(graph.key[:count])
        self.keys.append(graph.key[:count][order])
        self.best.append(plan.best[:, :, order])
        if self.sweeps:
            self.distance.append(plan.distance[:, :, order])

    def play(self, i: int, judged: int, seed: int) -> None:
        """Play both planners on level i, which was planned last."""
        with np.errstate(over="ignore"):  # uint64 arithmetic wraps on purpose
            key = mix(np.uint64(seed) ^ mix(self.levels.seeds[i]))
        for goal in range(self.length.shape[1]):
            for k, epsilon in enumerate(self.epsilons):
                played = self.play_kernel(
                    i, self.levels.level, self.graph, self.plan_of_level, self.pursuits, goal,
                    float(epsilon), judged, REPLICAS, key, self.rng, self.first, self.counts,
                )  # fmt: skip
                for counts, count in zip(self.plays, played, strict=True):
                    counts[i, goal, k] = count

    def plans(self) -> Plans:
        return Plans(
            levels=self.levels,
            length=self.length,
            value=self.value,
            num_states=self.num_states,
            keys=np.concatenate(self.keys),
            plan=Plan(np.concatenate(self.distance, axis=2), np.concatenate(self.best, axis=2)),
            pursuits=self.pursuits,
            plays=self.plays,
        )


def discounted_values(levels: Levels, gamma: float) -> Array:
    """float64 [n, goals]: `Plans.value` with rewards discounted by gamma a step; NaN where the goal
    cannot be reached.

    Raises:
        ValueError: a level has more than MAX_NODES states.
    """
    search = _Search(levels, (), gamma)
    for i in range(len(levels)):
        search.plan(i)
    return search.value


def solve(
    levels: Levels, judged_at_steps: Any = None, epsilons: tuple[float, ...] = (), seed: int = 0
) -> Plans:
    """Plan every goal on every level; see `solve_together`."""
    return solve_together([levels], judged_at_steps, epsilons, seed)[0][0]


def solve_together(
    batches: Sequence[Levels],
    judged_at_steps: Any = None,
    epsilons: tuple[float, ...] | list[tuple[float, ...]] = (0.0,),
    seed: int = 0,
) -> tuple[list[Plans], Array]:
    """Plan every goal on every level of batches that share their geometries.

    Args:
        batches: equally many levels of one cell each; level i of all has the same geometry.
        judged_at_steps: int or int [n], T; None: `judged_horizon` over the batches.
        epsilons: shares of random actions at which all planners are also played REPLICAS times
            for T steps; `plays` counts how often they were capable, failed
            the intended goal while capable, and succeeded. A list has those of each batch.

    Returns:
        The plans of each batch, and T, int32 [n].

    Raises:
        ValueError: a level has more than MAX_NODES states.
    """
    n = len(batches[0])
    shares = epsilons if isinstance(epsilons, list) else [epsilons] * len(batches)
    searches = [_Search(*pair) for pair in zip(batches, shares, strict=True)]
    judged = np.zeros(n, np.int32)
    if judged_at_steps is not None:
        judged[:] = judged_at_steps
    for i in range(n):
        for search in searches:
            search.plan(i)
        if judged_at_steps is None:
            judged[i] = judged_horizon(np.array([[search.length[i] for search in searches]]))[0]
        for search in searches:
            search.play(i, int(judged[i]), seed)
    return [search.plans() for search in searches], judged
