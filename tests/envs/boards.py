"""Drawn boards: how a few lines become a level of a cell, and what happens on it."""

from typing import Any, NamedTuple

import numpy as np

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.levels import Levels, drawn_levels
from misgen.envs.core.plans import Plans
from misgen.envs.core.types import NEVER, Cell, Outcome
from misgen.envs.families import FAMILIES, find_cell

COINRUN, KEYS = FAMILIES["coinrun"], FAMILIES["keys_and_chests"]
LETTERS = {"coinrun": ".lrjLR"}  # of the actions, capitals: jumps to the side
GRID_LETTERS = ".uldr"
ROWS = 10  # of a board of coinrun; the others are square


def action(family: Family, letter: str) -> int:
    return LETTERS.get(family.name, GRID_LETTERS).index(letter)


def drawing(family: Family, lines: str) -> str:
    """A whole drawing from lines that whitespace separates: for coinrun the lowest ones, with
    nothing above, for the others the highest ones, with walls below."""
    rows = lines.split()
    if family is COINRUN:
        return "\n".join(["#" + "." * (len(rows[0]) - 2) + "#"] * (ROWS - len(rows)) + rows)
    return "\n".join(rows + ["#" * len(rows[0])] * (len(rows[0]) - len(rows)))


def levels_of(what: str | Cell, *boards: str) -> Levels:
    """Levels of a cell, which may be named by its code."""
    family, cell = find_cell(what if isinstance(what, str) else what.code)
    drawings = [drawing(family, lines) for lines in boards]
    return drawn_levels(family, cell if isinstance(what, str) else what, *drawings)


def place(state: Any, i: int = 0) -> tuple[int, int]:
    """(row, column) of the agent."""
    if "square" not in state._fields:
        return int(state.row[i]), int(state.col[i])
    side = state.shown.shape[1] - 10  # a view reaches 5 squares to each side
    return divmod(int(state.square[i]), side)


class Played(NamedTuple):
    """Entries of lists are those of each step, those after the end of the episode included."""

    events: list[str]  # names in their order, joined by '+'
    places: list[tuple[int, int]]
    rewards: list[float]
    bits: tuple[int, ...]  # capable, goal failure, success by step T
    total: float  # return by step T
    length: int  # steps until the episode ended, by itself or at T
    state: Any


def play(what: str | Cell, lines: str, actions: str, judged_at_steps: int = 100) -> Played:
    """Play these actions with the rules themselves, uncompiled."""
    levels = levels_of(what, lines)
    family, cell, level = levels.family, levels.cell, levels.level
    state = family.empty_state(1)
    family.reset(0, level, state)
    first, counts = np.full((1, len(family.events)), NEVER), np.zeros((1, len(family.events)), int)
    events, places, rewards, length = [], [], [], 0
    is_over = False
    for time, letter in enumerate(actions, start=1):
        bits = int(family.step(0, level, state, action(family, letter)))
        happened = [event for event in family.events if bits >> event & 1]
        events.append("+".join(event.name for event in happened))
        places.append(place(state))
        rewards.append(sum(cell.rewards.get(event, 0.0) for event in happened))
        if is_over or time > judged_at_steps:
            continue
        length = time
        for event in happened:
            first[0, event] = min(first[0, event], time)
            counts[0, event] += 1
        is_over = bool(set(happened) & set(cell.terminal))
    return Played(
        events=events,
        places=places,
        rewards=rewards,
        bits=bits_of(cell.outcome(0, level, first, counts)),
        total=round(sum(rewards[:length]), 3),
        length=length,
        state=state,
    )


def earned(cell: Cell, lines: str, actions: str) -> float:
    """What an environment pays for these actions at the specification of the cell."""
    levels = levels_of(cell, lines)
    distribution = levels.family.train_distribution(cell)
    env = BatchEnv(levels.family, distribution, 1, train_seed=0, interpreted=True)
    env.reset_to(levels)
    for letter in actions:
        env.step(np.array([action(levels.family, letter)]))
    return float(env.episode.total[0])


def bits_of(outcome: int) -> tuple[int, ...]:
    """Capable, goal failure, success: 0 or 1 each."""
    return tuple(int(outcome & bit != 0) for bit in Outcome)


# Planners


def play_plan(env: BatchEnv, plans: Plans, goal: str, seed: int = 0) -> None:
    """Play a planner to the end of all episodes, ties broken uniformly."""
    rng = np.random.default_rng(seed)
    while not env.episode.done.all():
        mask = plans.action_mask(env, goal)
        env.step((mask * rng.random(mask.shape)).argmax(axis=1))


def outcome_shares(levels: Levels, plans: Plans, goal: str, copies: int = 100) -> list[float]:
    """Mean of capable, goal failure and success over tie-broken play of 50 steps on one level."""
    env = BatchEnv.on(levels.take(np.zeros(copies, np.int64)), 50)
    play_plan(env, plans, goal)
    episode, rule = env.episode, levels.cell.outcome
    outcomes = [rule(i, env.world.level, episode.first, episode.counts) for i in range(copies)]
    return np.mean([bits_of(outcome) for outcome in outcomes], axis=0).tolist()


# What is seen


def seen(what: str | Cell, lines: str, actions: str = "", mode: str = "planes") -> list[np.ndarray]:
    """The observation at the start and after each action."""
    levels = levels_of(what, lines)
    env = BatchEnv.on(levels, observation_mode=mode)
    shown = [env.buffers.obs[0].copy()]
    for letter in actions:
        shown.append(env.step([action(levels.family, letter)]).obs[0].copy())
    return shown


def lit(family: Family, planes: np.ndarray, name: str) -> list[tuple[int, int]]:
    """(row, column) of the lit squares of a plane, in the view."""
    number = [plane.name for plane in family.planes].index(name)
    return list(map(tuple, np.argwhere(planes[number]).tolist()))


# Statistics


def is_share(share: float, expected: float, n: int) -> bool:
    """Whether a share of n draws is within 5 standard deviations of the expected one."""
    return bool(abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / n))
