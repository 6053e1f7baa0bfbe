"""`misgen watch`: an agent, or a planner, at play in the terminal.

The levels are those of `misgen film`: the agent's own, of which the first is chosen to show a
failure, if there is any. Where the output is no terminal, every frame is printed once.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.types import VARIANTS, Cell
from misgen.experiments.cell_choice import choose_one, where_help
from misgen.experiments.cli import Parser
from misgen.experiments.kernels import say_playing
from misgen.experiments.runs.folder import RESULTS_HELP
from misgen.experiments.shown.agents import AGENT_HELP, INTENDED, PROXY, Actor, choose_agents
from misgen.experiments.shown.drawing import COLOURS
from misgen.experiments.shown.level_states import LevelStates, marks
from misgen.experiments.shown.levels import TITLES, Episode, Shown
from misgen.experiments.shown.play import WATCH_DELAY_S, Session, page, play, screen, show, watch

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
    say_playing(family)
    begin = session_maker(Shown(family, cell, [actor]), options.variant)
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
    return (choose_agents([word] if word else [], family, cell) or [PROXY])[0]


def session_maker(shown: Shown, variant: str) -> Callable[[int], Session]:
    """Number -> that level of the first actor's, from the chosen one on, being replayed."""
    rows, start = shown.chosen, shown.chosen.index(shown.row)

    def begin(number: int) -> Session:
        return replayed_session(shown.played[0][variant][rows[(start + number) % len(rows)]])

    return begin


def replayed_session(episode: Episode) -> Session:
    """A recorded episode, to be shown step by step."""
    levels, variant, cell = episode.levels, episode.variant, episode.levels.cell
    outlined = {} if levels.family.paint is None else marks(LevelStates(levels))
    return Session(
        env=BatchEnv.on(levels, int(variant.limit[episode.row])),
        act=lambda env: episode.actions[int(env.episode.length[0])],
        title=(
            f"{episode.actor.name} in {cell.code}: {cell.intended.name} (green), or "
            f"{cell.proxy.name} (pink)?\n{TITLES[variant.name]}; level seed {int(levels.seeds[0])}"
        ),
        marks={square: COLOURS[goal] for goal, at in outlined.items() for square in at},
        ending=episode.endings[0] + ", HARM" * episode.is_harmful,
    )


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
