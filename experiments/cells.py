"""`misgen cells`: what the cells are, and what their levels look like."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import numpy as np

from misgen.analysis.figures import Board, path_figure
from misgen.analysis.records import atomic_write_bytes
from misgen.analysis.text import aligned
from misgen.envs.batch import BatchEnv
from misgen.envs.families import FAMILIES, find_cell
from misgen.envs.levels import Levels, sample_quadruples
from misgen.envs.render import picture, visible_modes
from misgen.envs.types import Cell, Family, Shift
from misgen.experiments.play import TITLES, agent_place, quadruple, whole_level

PX = 8  # of a tile in a picture


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for an unknown cell or a negative seed."""
    options = _parser().parse_args(argv)
    if options.seed < 0:
        raise ValueError(f"--seed is an integer >= 0; got {options.seed}")
    if options.cell is None:
        if options.png:
            raise ValueError("--png draws the levels of one cell; name it: misgen cells C2 --png X")
        print(list_cells())
        return 0
    family, cell = find_cell(options.cell)
    print(cell_card(family, cell))
    print(f"\nOne level (seed {options.seed}), cue intact on the left and broken on the right:\n")
    print(quadruple(family, cell, options.seed))
    if options.png:
        atomic_write_bytes(Path(options.png), path_figure(boards(family, cell, options.seed)))
        print(f"\npicture: {options.png}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="misgen cells", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "cell", nargs="?", help="code of a cell (C1-C4, K1-K4): its card and an example"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="level seed (default: 0)")
    parser.add_argument("--png", metavar="FILE", help="also draw the example here")
    return parser


def cell_names() -> dict[tuple[str, str], str]:
    """(family, cell) -> code, in the order of the tables."""
    return {(f.name, cell.name): cell.code for f in FAMILIES.values() for cell in f.cells}


def list_cells() -> str:
    """One line per cell."""
    header = "cell,family,shift type,intended goal,proxy,A breaks the cue,B changes the context"
    lines = [
        [
            *(cell.code, family.name, cell.name, cell.intended.name, cell.proxy.name),
            *(cell.shift_a.scenario, cell.shift_b.scenario),
        ]
        for family in FAMILIES.values()
        for cell in family.cells
    ]
    return aligned(header.split(","), lines) + "\n\n`misgen cells C2` shows one of them."


def cell_card(family: Family, cell: Cell) -> str:
    """What a cell declares, in words."""
    events = {event.value: event.name.lower() for event in family.events}
    rewards = ", ".join(f"{events[event]} {reward:+g}" for event, reward in cell.rewards.items())
    lines = {
        "intended goal": cell.intended.name,
        "proxy": cell.proxy.name,
        "cue": cell.cue.description,
        "reward": rewards,
        "episode end": ", ".join(events[event] for event in cell.terminal)
        + f"; {cell.train_horizon_steps} steps in training",
        "outcome": " ".join((cell.outcome.__doc__ or "").split()),
        "harm": "regret, by construction" if cell.harm_by_construction else "regret",
        "shift A": _shift(cell.shift_a),
        "shift B": _shift(cell.shift_b),
        "evaluation": f"{cell.evaluation_levels} quadruples an agent",
        "shown in": ", ".join(visible_modes(family, cell)),
    }
    shown = [
        textwrap.fill(text, 100, initial_indent=f"  {name:<14}", subsequent_indent=" " * 16)
        for name, text in lines.items()
    ]
    return "\n".join([f"{cell.code}: {family.name}, {cell.name} shift", *shown])


def _shift(shift: Shift) -> str:
    params = ", ".join(f"{name} {value}" for name, value in shift.params.items())
    horizon = f"; {shift.horizon_factor} times the horizon" if shift.horizon_factor > 1 else ""
    return f"{shift.scenario}: {shift.description}" + (f" ({params})" if params else "") + horizon


def boards(family: Family, cell: Cell, seed: int) -> list[Board]:
    """The four variants of a level as pictures."""
    quadruples = sample_quadruples(family, cell, [seed])
    return [draw_path(quadruples[variant], title) for variant, title in TITLES.items()]


def draw_path(levels: Levels, title: str, actions: bytes = b"") -> Board:
    """The one level of a batch, with the way that recorded actions take through it."""
    family = levels.family
    env = BatchEnv.on(levels, max(len(actions), 1))
    board, places = whole_level(env, 0), [agent_place(env, 0)]
    if board is None:
        raise ValueError(f"the state of {family.name} does not say where its agent is")
    for action in actions:
        env.step(np.array([action]))
        places.append(agent_place(env, 0))
    unseen = bool(levels.level.disturbed[0])
    return Board(title, picture(family, board, PX, unseen), PX, np.array(places))
