"""`misgen watch`: an agent, or a planner, at play in the terminal.

The levels are those of `misgen film`: the agent's own, of which the first is chosen to show a
failure, if there is any. Where the output is no terminal, every frame is printed once.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

import numpy as np

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.types import VARIANTS, Cell
from misgen.experiments.board_drawing import COLOURS
from misgen.experiments.cell_choice import choose_one, where_help
from misgen.experiments.cli import Parser
from misgen.experiments.film import TITLES, endings_of
from misgen.experiments.level_states import level_states, marks
from misgen.experiments.play import (
    WATCH_DELAY_S,
    Act,
    Session,
    page,
    play,
    screen,
    show,
    watch,
)
from misgen.experiments.run_folder import RESULTS_HELP
from misgen.experiments.shown_agents import (
    AGENT_HELP,
    INTENDED,
    PROXY,
    Actor,
    choose_agents,
)
from misgen.experiments.shown_levels import Block, Played

ACTORS = {"intended": INTENDED, "proxy": PROXY}
KEYS = "space: stop, go on; n: next level; r: again; q: quit; any other key: next step at once"
SPARE_LINES = 1  # below a frame, for the cursor


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for wrong arguments, or a terminal that is too small."""
    options = _parser().parse_args(argv)
    if not 0 <= options.delay <= 60:
        raise ValueError(f"--delay is in seconds, from 0 to 60; got {options.delay:g}")
    family, cell = choose_one(options.where)
    actor = _actor(options.agent, family, cell)
    print("playing the block of levels; the first time compiles the rules", file=sys.stderr)
    begin = session_maker(Block(family, cell, actor.number), actor, options.variant)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        watch(begin(0), sys.stdout)
        return 0
    require_room(begin(0))
    with screen(sys.stdin.fileno(), sys.stdout):
        play(begin, 0, sys.stdin.fileno(), sys.stdout, options.delay, KEYS)
    return 0


def _parser() -> Parser:
    parser = Parser(prog="misgen watch", description=__doc__, epilog=f"{KEYS}. {RESULTS_HELP}")
    add = parser.add_argument
    add("where", nargs="*", metavar="CELL", help=where_help())
    add("--agent", default="", metavar="AGENT", help=f"{AGENT_HELP}; or {', '.join(ACTORS)}")
    text = "1 in the first place: cue broken, in the second: context changed (default: 10)"
    add("--variant", default="10", choices=VARIANTS, help=text)
    text = f"seconds between steps (default: {WATCH_DELAY_S:g})"
    add("--delay", type=float, default=WATCH_DELAY_S, metavar="S", help=text)
    return parser


def _actor(word: str, family: Family, cell: Cell) -> Actor:
    if word in ACTORS:
        return ACTORS[word]
    agents = choose_agents([word] if word else [], family, cell)
    return agents[0] if agents else PROXY


def session_maker(block: Block, actor: Actor, variant: str) -> Callable[[int], Session]:
    """Number -> that level of the block, from the chosen one on, being replayed."""
    played = block.played(actor)
    first, _ = block.show(played if actor.is_agent else None)
    rows = block.chosen.tolist()
    start = rows.index(first)

    def begin(number: int) -> Session:
        return replayed_session(played[variant], rows[(start + number) % len(rows)])

    return begin


def replayed_session(played: Played, row: int) -> Session:
    """A recorded episode, to be shown step by step."""
    levels = played.variant.levels.take(np.array([row]))
    cell, actions = levels.cell, played.episodes.actions[row]
    ending = played.endings[row]
    outlined = {} if levels.family.paint is None else marks(level_states(levels))
    return Session(
        env=BatchEnv.on(levels, int(played.variant.limit[row])),
        act=_replay(actions),
        title=(
            f"{played.actor.name} in {cell.code}: {cell.intended.name} (green), or "
            f"{cell.proxy.name} (pink)?\n{TITLES[played.variant.name]}; level seed "
            f"{int(levels.seeds[0])}"
        ),
        marks={square: COLOURS[goal] for goal, at in outlined.items() for square in at},
        ending=endings_of(ending, cell)[0] + ", HARM" * ending.is_harmful,
    )


def _replay(actions: bytes) -> Act:
    return lambda env: actions[int(env.episode.length[0])]


def require_room(session: Session) -> None:
    """ValueError where a level does not fit the terminal."""
    board = show(session).splitlines()[1:]  # other lines are cut where they are too long
    need = max(map(len, board)), page(session, 0, KEYS).count("\n") + SPARE_LINES
    have = shutil.get_terminal_size()
    if have.columns < need[0] or have.lines < need[1]:
        raise ValueError(
            f"this level needs a terminal of {need[0]} columns and {need[1]} lines; this one has "
            f"{have.columns} and {have.lines}; enlarge it, or make a film: misgen film "
            f"{session.env.distribution.cell.code}"
        )
