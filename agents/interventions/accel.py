"""ACCEL: prioritised replay whose levels are also edited (Parker-Holder et al. 2022).

After each replay the levels just played are edited, square by square, and the results are played
without an update and kept by their scores. An edit exchanges two squares inside the walls, or makes
one free square a wall or the other way round. What comes out is a legal level: it can be drawn and
read, both goals can be reached within the time limit, and its geometry is not held out.

The paper begins with simple levels; this begins with those of the training distribution. Edits
break the cue of C2, K2 and M5 by themselves, whatever the score, more with every generation:
compare with `score=random`, and see `broken_share` of what was learned from.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from misgen.agents.interventions import Intervention
from misgen.agents.replay import Replay, ReplaySettings
from misgen.envs.core.levels import Levels, cue_holds, held_out, joined
from misgen.envs.core.plans import GOALS, solve
from misgen.envs.core.types import Array

ATTEMPTS = 8  # at a legal level, before the level stays as it is


def accel(
    *,
    num_edits: int = 3,
    score: str = "regret",
    replay_prob: float = 0.5,
    buffer_size: int = 1024,
    temperature: float = 1.0,
    staleness: float = 0.3,
) -> Intervention:
    """See ReplaySettings; num_edits: of a level, one after the other.

    Raises:
        ValueError: no edits; see also ReplaySettings.
    """
    if num_edits < 1:
        raise ValueError(f"num_edits is at least 1; got {num_edits}; plr edits nothing")
    asked = ReplaySettings(score, replay_prob, buffer_size, temperature, staleness)
    edit = partial(edit_levels, num_edits=num_edits)
    return Intervention(levels=partial(Replay, asked, edit=edit))


def edit_levels(levels: Levels, rng: Any, horizon_steps: int, num_edits: int) -> Levels:
    """Each level after so many edits; one of which no legal edit was found stays as it is.

    Args:
        rng: from which edits are drawn.
        horizon_steps: within which both goals can be reached.

    Returns:
        As many levels, with seeds of their own; `broken` says whether the cue is.
    """
    arrays = [array.copy() for array in levels.level]
    rows = np.arange(len(levels))
    for _ in range(ATTEMPTS):
        tried = [(row, _edited(levels, row, num_edits, rng)) for row in map(int, rows)]
        drawn = [(row, level) for row, level in tried if level is not None]
        if drawn:
            legal = _legal(levels, [level for _, level in drawn], horizon_steps)
            for (row, level), is_legal in zip(drawn, legal, strict=True):
                if is_legal:
                    for own, given in zip(arrays, level, strict=True):
                        own[row] = given[0]
                    rows = rows[rows != row]
        if not len(rows):
            break
    seeds = rng.integers(2**63, size=len(levels), dtype=np.uint64)
    edited = replace(levels, level=type(levels.level)(*arrays), seeds=seeds)
    return replace(edited, broken=~cue_holds(edited))


def _edited(levels: Levels, row: int, num_edits: int, rng: Any) -> Any:
    """One level, edited; None where that is no drawing of a level."""
    family = levels.family
    board = [list(line) for line in family.draw(levels.level, row).splitlines()]
    free, wall, *_ = family.board.terrain
    for _ in range(num_edits):
        lines = rng.integers(1, len(board) - 1, 2)
        columns = rng.integers(1, len(board[0]) - 1, 2)
        (a, b), (c, d) = zip(lines, columns, strict=True)
        if rng.random() < 0.5 and board[a][b] in (free, wall):
            board[a][b] = wall if board[a][b] == free else free
        else:
            board[a][b], board[c][d] = board[c][d], board[a][b]
    try:
        return family.board.read("\n".join(map("".join, board)), family.empty_level(1))
    except ValueError:
        return None


def _legal(levels: Levels, drawn: list[Any], horizon_steps: int) -> Array:
    """bool [n]: which of n drawn levels, each a Level of one, training may show."""
    batch = joined(levels.family, levels.cell, drawn)
    lengths = solve(batch, horizon_steps).length[:, : len(GOALS)]
    with np.errstate(invalid="ignore"):  # NaN: not to be reached
        legal: Array = ~held_out(batch) & (lengths <= horizon_steps).all(axis=1)
    return legal
