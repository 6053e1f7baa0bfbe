"""The goals of a cell as numbers, and a planner's memory of what it has reached."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from misgen.envs.core.types import Array, Cell, Goal, Target, event_bits, target_bits

ANY = -1  # in place of the action after a goal


class Pursuits(NamedTuple):
    """The goals of a cell as numbers; bits are of events.

    A planner's memory is which of its targets have happened: bit t = target t. The first
    `num_stages` targets are wanted in their order, the others nearest first.
    """

    num_stages: Array  # int64 [goals]
    num_targets: Array  # int64 [goals]
    own: Array  # int64 [goals]: the memory with which the goal is complete
    target: Array  # int64 [goals, targets]
    avoided: Array  # int64 [goals]: closed to it, or the episode would end
    afterwards: Array  # int64 [goals], action after the last target, or ANY
    terminal: np.int64  # events that end the episode
    rewards: Array  # float64 [events]


def all_targets(goal: Goal) -> tuple[Target, ...]:
    """In the order of a planner's memory: a goal has a sweep or further targets, not both."""
    return (*goal.targets, *goal.sweep, *goal.then)


def pursuits_of(cell: Cell, num_events: int) -> Pursuits:
    """The goals of a cell as the rules below read them."""
    goals = list(cell.goals.values())
    wanted = [all_targets(goal) for goal in goals]
    target = np.zeros((len(goals), max(map(len, wanted))), np.int64)
    for row, targets in zip(target, wanted, strict=True):
        row[: len(targets)] = [target_bits(each) for each in targets]
    ends = [set(cell.terminal) - set(goal.ignored) for goal in goals]
    return Pursuits(
        num_stages=np.array([len(goal.targets + goal.then) for goal in goals]),
        num_targets=np.array([len(targets) for targets in wanted]),
        own=np.array([(1 << len(goal.targets + goal.sweep)) - 1 for goal in goals]),
        target=target,
        avoided=np.array(
            [event_bits({*goal.closed, *end}) for goal, end in zip(goals, ends, strict=True)]
        ),
        afterwards=np.array([ANY if g.afterwards is None else g.afterwards for g in goals]),
        terminal=event_bits(cell.terminal),
        rewards=cell.reward_weights(num_events),
    )


def remember(pursuits, goal, memory, events):
    """The memory after these events."""
    for number in range(pursuits.num_targets[goal]):
        if events & pursuits.target[goal, number]:
            memory |= 1 << number
    return memory
