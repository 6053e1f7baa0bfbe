"""A way through a level, step by step, as pictures need it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.levels import Levels
from misgen.envs.core.types import NEVER, Array, Cell, Goal, Outcome, event_bits, target_bits
from misgen.experiments.cells import agent_place

Place = tuple[int, int]  # row, column of a whole level


@dataclass(frozen=True)
class Play:
    """A way through a level, from its start on."""

    boards: list[Array] = field(default_factory=list)  # before each step and after the last
    places: list[Place] = field(default_factory=list)  # of the agent
    earned: list[float] = field(default_factory=list)  # return so far
    events: list[int] = field(default_factory=list)  # bits: of the steps before; 0 at the start

    def note(self, env: BatchEnv, events: int) -> None:
        """Add the present of the one slot of an environment.

        Raises:
            ValueError: its family does not paint whole levels.
        """
        board = env.whole_level(0)
        if board is None:
            raise ValueError(no_pictures(env.family))
        self.boards.append(board)
        self.places.append(agent_place(env.family, board) or self.places[-1])
        self.earned.append(float(env.episode.total[0]))
        self.events.append(events)

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


def replayed(levels: Levels, actions: bytes) -> Play:
    """What recorded actions do on the one level of a batch."""
    env, play = BatchEnv.on(levels, len(actions) + 1), Play()
    play.note(env, 0)
    for action in actions:
        play.note(env, int(env.step(np.array([action])).events[0]))
    return play


def settled_at(play: Play, levels: Levels, judged_steps: int) -> int:
    """The step from which on the outcome of an episode on the one level of a batch was what it was
    at its end; its last step, if it reached nothing. The rule sees events up to T."""
    bits = [_outcome(play, levels, min(step, judged_steps)) for step in range(len(play.events))]
    ended = [_outcome(play, levels, step) & Outcome.SUCCESS for step in range(len(play.events))]
    outcomes = [a | b for a, b in zip(bits, ended, strict=True)]
    if not outcomes[-1] & (Outcome.CAPABLE | Outcome.SUCCESS):
        return len(outcomes) - 1
    return 1 + max((k for k, each in enumerate(outcomes) if each != outcomes[-1]), default=-1)


def _outcome(play: Play, levels: Levels, steps: int) -> int:
    """Bits of Outcome by what happened up to a step."""
    num_events = len(levels.family.events)
    happened = np.array(play.events[: steps + 1])[:, None] >> np.arange(num_events) & 1
    counts = happened.sum(axis=0, dtype=np.int32)[None]
    first = np.where(counts > 0, happened.argmax(axis=0), NEVER)
    return int(levels.cell.outcome(0, levels.level, first, counts))


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
