"""All states of a level and where the agent is in each: what is on which square, and how to get
there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from misgen.envs.core.levels import Levels
from misgen.envs.core.plans import GOALS, Solved, solve_states
from misgen.envs.core.types import Array, Goal
from misgen.experiments.cells import agent_place
from misgen.experiments.plays import Place, no_pictures

Arrival = tuple[Place, Place]  # where the agent was before a step and where it is after


@dataclass(frozen=True)
class LevelStates:
    """The states of one level. places: of the agent in each; None where it is out of sight.
    size: rows and columns of the level."""

    levels: Levels
    solved: Solved
    places: list[Place | None]
    size: Place

    @cached_property
    def origin(self) -> tuple[Array, Array]:
        """int64 [N]: the state before each and the action that leads there, on a shortest way from
        the start; -1 for the start."""
        flat = self.solved.successor.ravel()
        reached, first = np.unique(flat, return_index=True)
        before, action = (np.full(len(self.places), -1) for _ in range(2))
        known = reached > 0
        before[reached[known]], action[reached[known]] = np.divmod(
            first[known], self.solved.successor.shape[1]
        )
        return before, action

    def way(self, state: int) -> list[int]:
        """The actions of a shortest way from the start to a state."""
        before, action = self.origin
        taken = []
        while before[state] >= 0:
            taken.append(int(action[state]))
            state = before[state]
        return taken[::-1]

    @cached_property
    def is_played(self) -> Array:
        """bool [N]: which states there are before an episode ends."""
        goes_on = self.solved.events & np.uint32(self.solved.pursuits.terminal) == 0
        onward = np.where(goes_on, self.solved.successor, -1)
        played = np.zeros(len(self.places), np.bool_)
        frontier = np.zeros(1, np.int64)
        while len(frontier):
            played[frontier] = True
            reached = np.unique(onward[frontier])
            frontier = reached[(reached >= 0) & ~played[reached]]
        return played

    def arrivals(self, event: int) -> list[Arrival]:
        """The steps of episodes in which an event happens."""
        happens = self.solved.events >> np.uint32(event) & 1 == 1
        found, places = np.argwhere(happens & self.is_played[:, None]), self.places
        steps = ((places[node], self.solved.successor[node, a]) for node, a in found.tolist())
        return [
            (before, after)
            for before, to in steps
            if to >= 0 and before is not None and (after := places[to]) is not None
        ]

    def squares_of(self, event: int) -> list[Place]:
        """The squares of an event: where it is for who stays there, all of those; else few ones
        such that each step in which it happens passes one, so that a coin that is taken in
        mid-jump is where it lies."""
        arrivals = self.arrivals(event)
        if any(before == after for before, after in arrivals):
            inside = {after for _, after in arrivals}
            within = (step for step in arrivals if step[0] in inside)
            return sorted(inside.union(*(_between(*step) for step in within)))
        return hitting(arrivals)


def level_states(levels: Levels) -> LevelStates:
    """The states of the one level of a batch.

    Raises:
        ValueError: the family does not paint whole levels; the level has too many states.
    """
    family = levels.family
    if family.paint is None:
        raise ValueError(no_pictures(family))
    solved, state = solve_states(levels), family.empty_state(1)
    places: list[Place | None] = []
    with np.errstate(over="ignore"):
        family.reset(0, levels.level, state)
        size = family.paint(0, levels.level, state).shape
        for key in solved.key:
            family.restore(0, levels.level, state, key)
            places.append(agent_place(family, family.paint(0, levels.level, state)))
    return LevelStates(levels, solved, places, size)


def hitting(arrivals: Iterable[Arrival]) -> list[Place]:
    """Few squares such that each step passes one; where several do, the one that is entered."""
    left = Counter(arrivals)
    chosen: list[Place] = []
    while left:
        covered: dict[Place, list[int]] = defaultdict(lambda: [0, 0])
        for step, times in left.items():
            for square in _between(*step):
                covered[square][0] += times
                covered[square][1] += times * (square == step[1])
        best = max(covered, key=lambda square: (*covered[square], square))
        chosen.append(best)
        left = Counter({step: n for step, n in left.items() if best not in _between(*step)})
    return chosen


def _between(before: Place, after: Place) -> set[Place]:
    """The squares of the smallest rectangle with both."""
    rows, cols = (sorted(pair) for pair in zip(before, after, strict=True))
    return {
        (row, col) for row in range(rows[0], rows[1] + 1) for col in range(cols[0], cols[1] + 1)
    }


def marks(states: LevelStates) -> dict[str, list[Place]]:
    """The squares of both goals of a level, and those that cost reward."""
    cell = states.levels.cell
    costs = tuple(event for event, reward in cell.rewards.items() if reward < 0)
    wanted = {name: _last_events(cell.goals[name]) for name in GOALS} | {"cost": costs}
    return {
        name: sorted({square for event in events for square in states.squares_of(event)})
        for name, events in wanted.items()
        if events
    }


def _last_events(goal: Goal) -> tuple[int, ...]:
    """The events with which a goal is complete."""
    last = goal.targets[-1]
    return (*(last if isinstance(last, tuple) else (last,)), *goal.sweep)
