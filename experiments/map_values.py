"""What an agent and the planners would do from each square of a level, right after a shortest way
there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from misgen.agents.policy import NetworkPolicy
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.planner import UNREACHABLE
from misgen.envs.core.plans import GOALS
from misgen.envs.core.pursuits import remember
from misgen.envs.core.types import Array
from misgen.experiments.level_states import LevelStates
from misgen.experiments.plays import Place

DONE = -1  # in place of a planner's next target


@dataclass(frozen=True)
class Standing:
    """The state in which the agent is first on each of S squares of a level.

    states: int64 [S]. actions: a shortest way to each.
    """

    of: LevelStates
    squares: list[Place]
    states: Array
    actions: list[list[int]]


@dataclass(frozen=True)
class SquareValues:
    """For each of S squares: a value and where the agent turns from it.

    value: float64 [S], NaN where there is none. step: float64 [S, 2], rows and columns by which the
    agent moves on the mean, in one step of its policy.
    """

    squares: list[Place]
    value: Array
    step: Array


def standing(of: LevelStates) -> Standing:
    """The first state of each square that is reached before the episode ends."""
    first: dict[Place, int] = {}
    for state in np.flatnonzero(of.is_played).tolist():
        place = of.places[state]
        if place is not None:
            first.setdefault(place, state)
    states = np.array([*first.values()])
    return Standing(of, [*first], states, [of.way(state) for state in states])


def planner_values(on: Standing, goal: str) -> SquareValues:
    """Minus the steps to the planner's next target, and its shortest ways. Where it
    completes its goal: 0, and no way."""
    solved, g = on.of.solved, GOALS.index(goal)
    numbers = np.array([_next_target(on, k, g) for k in range(len(on.states))])
    is_complete = numbers == DONE
    steps = solved.plan.distance[g, numbers, on.states].astype(float)
    steps[is_complete] = 0
    best = np.where(is_complete, 0, solved.plan.best[g, numbers, on.states])
    allowed = best[:, None] >> np.arange(solved.successor.shape[1]) & 1
    value = np.where(steps == UNREACHABLE, np.nan, -steps)
    return SquareValues(
        on.squares, value, _steps(on, allowed / np.maximum(allowed.sum(1), 1)[:, None])
    )


def _next_target(on: Standing, k: int, goal: int) -> int:
    """The first target of a goal that the way to square k did not reach; the last one where all
    were reached, or DONE if its last step did that."""
    pursuits, solved = on.of.solved.pursuits, on.of.solved
    memory, state, events = 0, 0, 0
    for action in on.actions[k]:
        events = int(solved.events[state, action])
        memory = remember(pursuits, goal, memory, events)
        state = solved.successor[state, action]
    targets = int(pursuits.num_targets[goal])
    missing = next((number for number in range(targets) if not memory >> number & 1), targets)
    is_here = events & int(pursuits.target[goal, targets - 1])
    return min(missing, targets - 1) if missing < targets or not is_here else DONE


def agent_values(on: Standing, policy: NetworkPolicy, observation_mode: str) -> SquareValues:
    """The agent's own estimate of the reward to come, which clones do not learn, and what its
    policy does."""
    logits, value = policy.outputs(_observations(on, observation_mode))
    estimate = np.full(len(value), np.nan) if policy.name == "cloning" else value.astype(float)
    return SquareValues(on.squares, estimate, _steps(on, np.exp(logits)))


def _observations(on: Standing, mode: str) -> Array:
    """What the agent sees in each of these states, after the way there."""
    levels = on.of.levels
    env = BatchEnv.on(
        levels.take(np.zeros(len(on.states), int)),
        max(map(len, on.actions)) + 1,
        observation_mode=mode,
    )
    seen = env.buffers.obs.copy()
    for step in range(max(map(len, on.actions))):
        env.step(np.array([way[step] if step < len(way) else 0 for way in on.actions]))
        there = [len(way) == step + 1 for way in on.actions]
        seen[there] = env.buffers.obs[there]
    return seen


def _steps(on: Standing, chances: Array) -> Array:
    """Rows and columns by which actions with these probabilities [S, actions] move the agent."""
    places = np.array([p or (-1, -1) for p in on.of.places])
    to = on.of.solved.successor[on.states]
    here = np.array(on.squares)[:, None]
    moved = np.where((to >= 0)[..., None] & (places[to] >= 0), places[to] - here, 0)
    mean: Array = (chances[..., None] * moved).sum(axis=1)
    return mean
