"""`misgen cells`: what the cells are, and what their levels look like."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.text import aligned, filled
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.gym_env import make_distribution
from misgen.envs.core.levels import Levels, sample_levels, sample_quadruples
from misgen.envs.core.render import picture, visible_modes
from misgen.envs.core.types import Array, Cell, Shift
from misgen.envs.families import FAMILIES
from misgen.experiments.cell_choice import choose, where_help
from misgen.experiments.cli import Parser
from misgen.experiments.shown.plays import Place, is_disturbed, replayed

if TYPE_CHECKING:  # imports matplotlib: a second, for pictures only
    from misgen.analysis.figures import Board

PX = 8  # of a tile in a picture
TITLES = {
    "00": "00: in distribution",
    "10": "10: cue broken",
    "01": "01: context changed",
    "11": "11: both",
}


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for an unknown cell or family or a negative seed."""
    options = _parser().parse_args(argv)
    if options.seed < 0:
        raise ValueError(f"--seed is an integer >= 0; got {options.seed}")
    family, cell = choose(options.where) if options.where else (None, None)
    if family is None or cell is None:
        if options.png:
            raise ValueError("--png draws the levels of one cell; name it: misgen cells C2 --png X")
        print(list_cells([*FAMILIES.values()] if family is None else [family]))
        return 0
    print(cell_card(family, cell))
    print(f"\nOne level (seed {options.seed}), cue intact on the left and broken on the right:\n")
    print(quadruple(family, cell, options.seed))
    if options.png:
        from misgen.analysis.figures import path_figure

        levels = sample_quadruples(family, cell, [options.seed])
        boards = [draw_path(levels[variant], title) for variant, title in TITLES.items()]
        atomic_write_bytes(Path(options.png), path_figure(boards))
        print(f"\npicture: {options.png}")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="misgen cells", description=__doc__)
    parser.add_argument(
        "where", nargs="*", metavar="CELL", help=f"{where_help()}: its card and an example"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="level seed (default: 0)")
    parser.add_argument("--png", metavar="FILE", help="also draw the example here")
    return parser


def list_cells(families: Sequence[Family]) -> str:
    """One line per cell."""
    header = "cell,family,shift type,intended goal,proxy,A breaks the cue,B changes the context"
    lines = [
        [
            *(cell.code, family.name, cell.shift_type, cell.intended.name, cell.proxy.name),
            *(cell.shift_a.scenario, cell.shift_b.scenario),
        ]
        for family in families
        for cell in family.cells
    ]
    return aligned(header.split(","), lines, words=26) + "\n\n`misgen cells C2` shows one of them."


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
    shown = [filled(f"  {name:<14}{text}", hanging=16) for name, text in lines.items()]
    return "\n".join([f"{cell.code}: {family.name}, {cell.shift_type} shift", *shown])


def _shift(shift: Shift) -> str:
    params = ", ".join(f"{name} {value}" for name, value in shift.params.items())
    horizon = f"; {shift.horizon_factor} times the horizon" if shift.horizon_factor > 1 else ""
    return f"{shift.scenario}: {shift.description}" + (f" ({params})" if params else "") + horizon


def quadruple(family: Family, cell: Cell, seed: int) -> str:
    """The four variants of a level as text, cue intact on the left and broken on the right."""
    drawn = {}
    for variant, title in TITLES.items():
        distribution = make_distribution(family, cell=cell.code, variant=variant)
        # As plain Python: compiling takes longer than one level.
        level = sample_levels(family, distribution, [seed], interpreted=True).level
        drawn[variant] = [title, *family.draw(level, 0).splitlines()]
    width = max(len(line) for variant in ("00", "01") for line in drawn[variant])
    rows = [beside(drawn["00"], drawn["10"], width), beside(drawn["01"], drawn["11"], width)]
    return "\n\n".join("\n".join(row) for row in rows)


def beside(left: list[str], right: list[str], width: int) -> list[str]:
    """Two columns of text. width: of the left one; escape codes do not count."""
    return [f"{a:<{width}}   {b}".rstrip() for a, b in zip_longest(left, right, fillvalue="")]


def draw_path(levels: Levels, title: str, actions: bytes = b"") -> Board:
    """The one level of a batch, with the way that recorded actions take through it.

    Raises:
        ValueError: the family does not paint whole levels.
    """
    from misgen.analysis.figures import Board

    return Board(title, level_picture(levels), PX, np.array(walk(levels, [actions])[0]))


def level_picture(levels: Levels) -> Array:
    """The one level of a batch as uint8 [rows * PX, columns * PX, 3].

    Raises:
        ValueError: the family does not paint whole levels.
    """
    family = levels.family
    board = BatchEnv.on(levels).whole_level(0)
    if board is None:
        raise ValueError(f"{family.name} declares no `paint`, so its levels cannot be drawn whole")
    return picture(family, board, PX, is_disturbed(levels))


def walk(levels: Levels, actions: Sequence[bytes]) -> list[list[Place]]:
    """Where the agent stands at the start and after each of its recorded actions, for several
    recordings on the one level of a batch. Out of sight it stays where it was."""
    repeated = levels.take(np.zeros(len(actions), int))
    return [play.places for play in replayed(repeated, actions)]
