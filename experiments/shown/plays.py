"""Ways through levels, step by step, as pictures need them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.levels import Levels
from misgen.envs.core.render import agent_squares
from misgen.envs.core.types import NEVER, Array, Cell, Goal, Outcome, event_bits, target_bits

Place = tuple[int, int]  # row, column of a whole level


@dataclass(frozen=True)
class Play:
    """A way through a level, from its start on."""

    boards: list[Array] = field(default_factory=list)  # before each step and after the last
    places: list[Place] = field(default_factory=list)  # of the agent; out of sight: where it was
    earned: list[float] = field(default_factory=list)  # return so far
    events: list[int] = field(default_factory=list)  # bits: of the steps before; 0 at the start

    def note(self, env: BatchEnv, i: int = 0) -> None:
        """Add the present of slot i of an environment.

        Raises:
            ValueError: its family does not paint whole levels.
        """
        board = env.whole_level(i)
        if board is None:
            raise ValueError(no_pictures(env.family))
        self.places.append(agent_place(env.family, board) or (self.places or [(0, 0)])[-1])
        self.earned.append(float(env.episode.total[i]))
        self.events.append(int(env.buffers.events[i]) if self.boards else 0)
        self.boards.append(board)

    def first(self, steps: int) -> Play:
        return Play(
            self.boards[:steps], self.places[:steps], self.earned[:steps], self.events[:steps]
        )


def no_pictures(family: Family) -> str:
    """What is said of a family that does not paint."""
    return (
        f"a picture shows whole levels; {family.name} has no `paint`, so it has none; write one, "
        "as in envs/coinrun/world.py"
    )


def agent_place(family: Family, board: Array) -> Place | None:
    """Row and column of the agent in a whole level; None where it is not to be seen."""
    found = agent_squares(family, board)
    return (found[0][0], found[0][1]) if found else None


def is_disturbed(levels: Levels) -> bool:
    """Whether the one level of a batch is seen in the unseen colours."""
    return "disturbed" in levels.level._fields and bool(levels.level.disturbed[0])


def replayed(levels: Levels, actions: Sequence[bytes]) -> list[Play]:
    """What recorded actions do, one recording a level."""
    env = BatchEnv.on(levels, [len(taken) + 1 for taken in actions])
    plays = [Play() for _ in actions]
    for step in range(max(map(len, actions), default=0) + 1):
        if step:
            env.step(np.array([taken[step - 1] if step <= len(taken) else 0 for taken in actions]))
        for i, taken in enumerate(actions):
            if step <= len(taken):
                plays[i].note(env, i)
    return plays


def settled_at(play: Play, levels: Levels, judged_steps: int) -> int:
    """The step from which on the outcome of an episode on the one level of a batch was what it was
    at its end; its last step, if it reached nothing. The rule sees events up to T."""
    steps, cell = np.arange(len(play.events)), levels.cell
    happened = np.array(play.events)[:, None] >> np.arange(len(levels.family.events)) & 1
    counts = happened.cumsum(axis=0, dtype=np.int32)
    first = np.where(counts > 0, happened.argmax(axis=0), NEVER)
    level = levels.take(np.zeros(len(steps), int)).level
    bits = np.array([cell.outcome(step, level, first, counts) for step in steps.tolist()])
    outcomes = bits[np.minimum(steps, judged_steps)] | bits & Outcome.SUCCESS
    if not outcomes[-1] & (Outcome.CAPABLE | Outcome.SUCCESS):
        return len(steps) - 1
    return int(np.flatnonzero(np.append(True, outcomes != outcomes[-1]))[-1])


def is_complete(goal: Goal, play: Play) -> bool:
    """Whether all that the goal wants has happened."""
    happened = np.bitwise_or.reduce(play.events)
    return all(happened & target_bits(target) for target in (*goal.targets, *goal.sweep))


def marked_places(play: Play, goal: Goal, cell: Cell) -> list[Place]:
    """Where the planner was when its goal was complete, when the same kind of thing happened before
    (one chest of several), and where something cost reward."""
    wanted = target_bits(goal.targets[-1]) | event_bits(goal.sweep)
    costs = event_bits(event for event, reward in cell.rewards.items() if reward < 0)
    kinds = np.bitwise_or.reduce([events for events in play.events if events & wanted] or [0])
    steps = zip(play.places, play.events, strict=True)
    return list(dict.fromkeys(place for place, events in steps if events & (kinds | costs)))
