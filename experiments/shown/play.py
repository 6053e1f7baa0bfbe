"""`misgen play`: walk through a level in the terminal, or watch a policy do it."""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

import numpy as np

from misgen.envs.core import render
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.gym_env import make_distribution
from misgen.envs.core.levels import Levels, drawn_levels, sample_levels
from misgen.envs.core.planes import Plane
from misgen.envs.core.types import VARIANTS, Array, LevelDistribution
from misgen.experiments.cell_choice import choose_one, where_help
from misgen.experiments.cli import Parser
from misgen.experiments.shown.cells import beside, quadruple
from misgen.experiments.shown.keyboard import read_key, screen
from misgen.experiments.shown.plays import Place

POLICIES = ("human", "planner", "proxy", "random")
WATCH_DELAY_S = 0.15
HELP = """\
arrows or WASD: move; Shift with them: jump sideways; space: jump, or stay;
r: again; n: next level; q: quit"""

# Key -> actions, of which the first that the family has is meant.
DIRECTIONS = {"up": ("up", "jump"), "down": ("down",), "left": ("left",), "right": ("right",)}
KEYS: dict[bytes, tuple[str, ...]] = {b" ": ("jump", "stay"), b".": ("stay",)}
for _name, _arrow, _letter in zip(DIRECTIONS, b"ABDC", b"wsad", strict=True):
    KEYS |= {b"\x1b[%c" % _arrow: DIRECTIONS[_name], b"\x1bO%c" % _arrow: DIRECTIONS[_name]}
    KEYS |= {b"%c" % _letter: DIRECTIONS[_name]}
    _jump = (f"jump_{_name}", *DIRECTIONS[_name])
    KEYS |= {b"\x1b[1;2%c" % _arrow: _jump, b"%c" % (_letter - 32): _jump}

Act = Callable[[BatchEnv], int]
Colour = tuple[int, int, int]
Marks = Mapping[Place, Colour]


@dataclass(frozen=True)
class Session:
    """One level being played. act: the policy; None where a person plays. marks: squares and the
    colours behind them. ending: said when the episode is over."""

    env: BatchEnv
    act: Act | None
    title: str
    marks: Marks = field(default_factory=dict)
    ending: str = ""

    @property
    def is_over(self) -> bool:
        return bool(self.env.episode.done[0])


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError or FileNotFoundError for wrong arguments or files."""
    options = _parser().parse_args(argv)
    if options.seed < 0:
        raise ValueError(f"--seed is an integer >= 0; got {options.seed}")
    family, cell = choose_one(options.where)
    if options.draw:
        print(quadruple(family, cell, options.seed))
        return 0
    has_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    policy = options.policy or ("human" if has_terminal else "planner")
    if policy == "human" and not has_terminal:
        raise ValueError("a person plays in a terminal, and this is none; use --policy planner")
    text = options.level.read_text(encoding="utf-8") if options.level else None
    variant = None if options.variant == "train" else options.variant
    distribution = make_distribution(family, cell=cell.code, variant=variant)
    begin = session_maker(family, distribution, policy, text)
    if has_terminal:
        with screen(sys.stdin.fileno(), sys.stdout):
            play(begin, options.seed, sys.stdin.fileno(), sys.stdout)
    else:
        watch(begin(options.seed), sys.stdout)
    return 0


def _parser() -> Parser:
    parser = Parser(prog="misgen play", description=__doc__, epilog=f"Keys: {HELP}")
    add = parser.add_argument
    add("where", nargs="*", metavar="CELL", help=where_help())
    text = "1 in the first place: cue broken, in the second: context changed (default: 11)"
    add("--variant", default="11", choices=[*VARIANTS, "train"], help=text)
    add("--seed", type=int, default=0, metavar="N", help="level seed (default: 0)")
    add("--level", type=Path, metavar="FILE", help="a drawn level (see --draw)")
    text = f"{', '.join(POLICIES)} or a checkpoint (default: human, planner without a terminal)"
    add("--policy", help=text)
    add("--draw", action="store_true", help="print the four variants of the level")
    return parser


# --- Sessions ------------------------------------------------------------------------------------


def session_maker(
    family: Family, distribution: LevelDistribution, policy: str, text: str | None = None
) -> Callable[[int], Session]:
    """Level seed -> a session. text: a drawn level instead."""
    agent, mode = (None, "planes") if policy in POLICIES else _agent(policy, family)
    title = f"{family.name} {distribution.cell.code}, {policy}"

    def begin(seed: int) -> Session:
        # As plain Python: compiling takes longer than one level.
        if text is not None:
            levels = drawn_levels(family, distribution.cell, text)
        else:
            levels = sample_levels(family, distribution, [seed], interpreted=True)
        horizon = distribution.horizon_steps
        env = BatchEnv.on(levels, horizon, observation_mode=mode, interpreted=True)
        act = _agent_act(agent, env, seed) if agent else _simple_act(policy, levels, seed)
        return Session(env, act, f"{title}, {'drawn level' if text else f'level seed {seed}'}")

    return begin


def _simple_act(name: str, levels: Levels, seed: int) -> Act | None:
    rng = np.random.default_rng(seed)
    if name == "human":
        return None
    if name == "random":
        return lambda env: int(rng.integers(len(env.family.actions)))
    from misgen.envs.core.plans import solve

    print("planning; the first time compiles the rules, about 20 s", file=sys.stderr)
    plans, goal = solve(levels), "proxy" if name == "proxy" else "intended"
    return lambda env: int(rng.choice(np.flatnonzero(plans.action_mask(env, goal)[0])))


def _agent(path: str, family: Family) -> tuple[Any, str]:
    """The agent of a checkpoint and the observation mode that it needs."""
    if not any(Path(path + suffix).exists() for suffix in ("", ".json")):
        raise ValueError(
            f"a policy is {', '.join(POLICIES)} or the path of a checkpoint; got {path!r}"
        )
    from misgen.agents.checkpoint import load

    policy, meta = load(path, family)
    return policy, meta.observation_mode


def _agent_act(policy: Any, env: BatchEnv, seed: int) -> Act:
    rng, state = np.random.default_rng(seed), policy.start(env)

    def act(env: BatchEnv) -> int:
        nonlocal state
        noise = rng.gumbel(size=(1, len(env.family.actions))).astype(np.float32)
        actions, state, _ = policy.act(env.buffers.obs, state, noise)
        return int(actions[0])

    return act


# --- Playing -------------------------------------------------------------------------------------


def watch(session: Session, out: TextIO) -> None:
    """Print every frame of an episode as plain text."""
    assert session.act is not None
    out.write(f"{session.title}\n{_legend(session.env.family, 0)}\n\n{show(session)}\n")
    while not session.is_over:
        session.env.step(np.array([session.act(session.env)]))
        out.write(f"\n{show(session)}\n")


def play(
    begin: Callable[[int], Session],
    seed: int,
    keyboard: int,
    out: TextIO,
    delay_s: float = WATCH_DELAY_S,
    keys: str = HELP,
) -> None:
    """Play level after level until `q`. keyboard: file descriptor of a terminal in cbreak mode.
    delay_s: between the steps of a policy, which space stops. keys: what is said of the keys."""
    session, stopped = begin(seed), False
    while True:
        env = session.env
        text = page(session, _square_columns(env), keys)
        out.write("\x1b[H" + text.replace("\n", "\x1b[K\n") + "\x1b[J")
        out.flush()
        waits = session.act is None or session.is_over or stopped
        key = read_key(keyboard, None if waits else delay_s)
        if key in (b"q", b""):
            return
        if session.act is not None and key == b" ":
            stopped = not stopped
        elif key in (b"n", b"r"):
            seed += key == b"n"
            session, stopped = begin(seed), False
        elif not session.is_over:
            action = session.act(env) if session.act else key_action(env.family, key)
            if action is not None:
                env.step(np.array([action]))


def key_action(family: Family, key: bytes | None) -> int | None:
    """The action that a key means; None for keys without meaning here."""
    found = [name for name in KEYS.get(key or b"", ()) if name in family.actions]
    return family.actions.index(found[0]) if found else None


# --- Drawing -------------------------------------------------------------------------------------


def page(session: Session, tint: int, keys: str) -> str:
    """All that stands on the screen."""
    parts = [session.title, "", show(session, tint), "", _legend(session.env.family, tint), keys]
    return "\n".join(parts) + "\n"


def show(session: Session, tint: int = 0) -> str:
    """The accounts of the episode, the whole level, and what the agent sees of it.

    tint: columns that a square takes in colour; 0 = plain text.
    """
    env = session.env
    squares = env.whole_level(0)
    if squares is None:  # not painted: as it was at the beginning
        board = env.family.draw(env.world.level, 0).splitlines()
        width = max(map(len, board))
    else:
        board = paint(env.family, squares, tint, session.marks).splitlines()
        width = squares.shape[1] * (tint or 1)
    size = max(width, len("level"))
    left = ["level".ljust(size), *(line + " " * (size - width) for line in board)]
    right = ["agent's view", *paint(env.family, env.cells[0], tint).splitlines()]
    return "\n".join([_account(session), *beside(left, right, size)])


def _square_columns(env: BatchEnv) -> int:
    """2 columns a square are nearly square; 1 where the terminal is too narrow for that."""
    level = env.whole_level(0)
    squares = env.family.view_shape[1] + (0 if level is None else level.shape[1])
    return 2 if 2 * squares + 3 <= shutil.get_terminal_size().columns else 1


def _account(session: Session) -> str:
    env = session.env
    episode, names = env.episode, [event.name.lower() for event in env.family.events]
    counts = [f"{name} {n}" for name, n in zip(names, episode.counts[0], strict=True) if n]
    now = [name for event, name in enumerate(names) if int(env.buffers.events[0]) >> event & 1]
    end = f"  {session.ending or 'OVER'}" if session.is_over else ""
    return (
        f"step {episode.length[0]}/{episode.horizon[0]}  return {episode.total[0]:g}  "
        f"now: {', '.join(now) or '-'}  so far: {', '.join(counts) or '-'}{end}"
    )


def paint(family: Family, cells: Array, tint: int = 0, marks: Marks = MappingProxyType({})) -> str:
    """Squares ([rows, cols], bit per plane) as text: the foremost plane of each; see `show`. marks:
    squares that have another colour."""
    if tint == 0:
        return render.text(family, cells)
    signs = [" ", *map(_glyph, family.planes)]
    inks = [(0, 0, 0), *(plane.colour for plane in family.planes)]
    lines = [""] * len(cells)
    for row, col in np.ndindex(*cells.shape):
        plane = int(cells[row, col]).bit_length()
        lines[row] += _tinted(signs[plane].ljust(tint), marks.get((row, col), inks[plane]))
    return "\n".join(lines)


def _glyph(plane: Plane) -> str:
    return render.GLYPHS.get(plane.name, plane.name[0])


def _tinted(text: str, rgb: Colour) -> str:
    ink = 30 if sum(rgb) > 200 else 97  # black or white
    return f"\x1b[{ink};48;2;{rgb[0]};{rgb[1]};{rgb[2]}m{text}\x1b[0m"


def _legend(family: Family, tint: int) -> str:
    signs = []
    for plane in family.planes:
        glyph = _glyph(plane).ljust(tint)
        signs.append(f"{_tinted(glyph, plane.colour) if tint else glyph} {plane.name}")
    return "\n".join("  ".join(signs[k : k + 6]) for k in range(0, len(signs), 6))
