"""`misgen play`: walk through a level in the terminal, or watch a policy do it."""

import argparse
import contextlib
import os
import select
import shutil
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from misgen.envs.core import render
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.gym_env import make_distribution
from misgen.envs.core.levels import Levels, drawn_levels, sample_levels
from misgen.envs.core.planes import Plane
from misgen.envs.core.types import VARIANTS, Array, Cell, LevelDistribution
from misgen.experiments.cell_choice import choose, choose_cell, where_help

POLICIES = ("human", "planner", "proxy", "random")
TITLES = {
    "00": "00: in distribution",
    "10": "10: cue broken",
    "01": "01: context changed",
    "11": "11: both",
}
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


@dataclass(frozen=True)
class Session:
    """One level being played. act: the policy; None where a person plays."""

    env: BatchEnv
    act: Act | None
    title: str

    @property
    def is_over(self) -> bool:
        return bool(self.env.episode.done[0])


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError or FileNotFoundError for wrong arguments or files."""
    options = _parser().parse_args(argv)
    if options.seed < 0:
        raise ValueError(f"--seed is an integer >= 0; got {options.seed}")
    family, cell = asked_cell(options.where)
    if options.draw:
        print(quadruple(family, cell, options.seed))
        return 0
    has_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    policy = options.policy or ("human" if has_terminal else "planner")
    if policy == "human" and not has_terminal:
        raise ValueError("a person plays in a terminal, and this is none; use --policy planner")
    text = options.level.read_text() if options.level else None
    variant = None if options.variant == "train" else options.variant
    distribution = make_distribution(family, cell=cell.code, variant=variant)
    begin = session_maker(family, distribution, policy, text)
    if has_terminal:
        with _screen(sys.stdin.fileno(), sys.stdout):
            play(begin, options.seed, sys.stdin.fileno(), sys.stdout)
    else:
        watch(begin(options.seed), sys.stdout)
    return 0


def asked_cell(words: Sequence[str]) -> tuple[Family, Cell]:
    """The cell to play in: the one named, or the family's default."""
    family, cell = choose(words) if words else choose_cell()
    return family, cell or family.cell(family.default_cell)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="misgen play", description=__doc__, epilog=f"Keys: {HELP}", allow_abbrev=False
    )
    parser.add_argument("where", nargs="*", metavar="CELL", help=where_help())
    parser.add_argument(
        "--variant",
        default="11",
        choices=[*VARIANTS, "train"],
        help="1 in the first place: cue broken, in the second: context changed (default: 11)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="level seed (default: 0)")
    parser.add_argument("--level", type=Path, metavar="FILE", help="a drawn level (see --draw)")
    parser.add_argument(
        "--policy",
        help=f"{', '.join(POLICIES)} or a checkpoint (default: human, planner without a terminal)",
    )
    parser.add_argument("--draw", action="store_true", help="print the four variants of the level")
    return parser


# --- Levels --------------------------------------------------------------------------------------


def quadruple(family: Family, cell: Cell, seed: int) -> str:
    """The four variants of a level as text, cue intact on the left and broken on the right."""
    drawn = {}
    for variant, title in TITLES.items():
        distribution = make_distribution(family, cell=cell.code, variant=variant)
        level = make_levels(family, distribution, seed, None).level
        drawn[variant] = [title, *family.draw(level, 0).splitlines()]
    rows = [_beside(drawn["00"], drawn["10"]), _beside(drawn["01"], drawn["11"])]
    return "\n\n".join("\n".join(row) for row in rows)


def _beside(left: list[str], right: list[str], width: int | None = None) -> list[str]:
    """Two columns of text. width: of the left one, where escape codes hide it."""
    if width is None:
        width = max(map(len, left))
        left = [line.ljust(width) for line in left]
    pairs = zip_longest(left, right, fillvalue=None)
    return [f"{' ' * width if a is None else a}   {b or ''}".rstrip() for a, b in pairs]


def make_levels(
    family: Family, distribution: LevelDistribution, seed: int, text: str | None
) -> Levels:
    """One level: drawn, or sampled. Run as plain Python: compiling takes longer than one level."""
    if text is not None:
        return drawn_levels(family, distribution.cell, text)
    return sample_levels(family, distribution, [seed], interpreted=True)


# --- Policies ------------------------------------------------------------------------------------


def session_maker(
    family: Family, distribution: LevelDistribution, policy: str, text: str | None = None
) -> Callable[[int], Session]:
    """Level seed -> a session. text: a drawn level instead."""
    agent, mode = (None, "planes") if policy in POLICIES else _agent(policy, family)
    title = f"{family.name} {distribution.cell.code}, {policy}"

    def begin(seed: int) -> Session:
        levels = make_levels(family, distribution, seed, text)
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


def play(begin: Callable[[int], Session], seed: int, keyboard: int, out: TextIO) -> None:
    """Play level after level until `q`. keyboard: file descriptor of a terminal in cbreak mode."""
    session = begin(seed)
    while True:
        env = session.env
        tint = _cell_columns(env)
        text = f"{session.title}\n\n{show(session, tint)}\n\n{_legend(env.family, tint)}\n{HELP}\n"
        out.write("\x1b[H" + text.replace("\n", "\x1b[K\n") + "\x1b[J")
        out.flush()
        waits = session.act is None or session.is_over
        key = read_key(keyboard, None if waits else WATCH_DELAY_S)
        if key in (b"q", b""):
            return
        if key in (b"n", b"r"):
            seed += key == b"n"
            session = begin(seed)
        elif not session.is_over:
            action = session.act(env) if session.act else key_action(env.family, key)
            if action is not None:
                env.step(np.array([action]))


def key_action(family: Family, key: bytes | None) -> int | None:
    """The action that a key means; None for keys without meaning here."""
    found = [name for name in KEYS.get(key or b"", ()) if name in family.actions]
    return family.actions.index(found[0]) if found else None


def read_key(keyboard: int, timeout_s: float | None) -> bytes | None:
    """The bytes of the next key, b"" at the end of input, None if no key came in time."""
    ready, _, _ = select.select([keyboard], [], [], timeout_s)
    if not ready:
        return None
    key = os.read(keyboard, 1)
    while key.startswith(b"\x1b") and not key[2:].strip(b"0123456789;[O"):
        if not select.select([keyboard], [], [], 0.02)[0]:
            break
        key += os.read(keyboard, 1)
    return key


@contextlib.contextmanager
def _screen(keyboard: int, out: TextIO) -> Iterator[None]:
    """Single keys without echo on a screen of its own; Ctrl-C still interrupts."""
    saved = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        out.write("\x1b[?1049h\x1b[?25l\x1b[?7l")
        yield
    finally:
        out.write("\x1b[?7h\x1b[?25h\x1b[?1049l")
        out.flush()
        termios.tcsetattr(keyboard, termios.TCSADRAIN, saved)


# --- Drawing -------------------------------------------------------------------------------------


def show(session: Session, tint: int = 0) -> str:
    """The accounts of the episode, the whole level, and what the agent sees of it.

    tint: columns that a cell takes in colour; 0 = plain text.
    """
    env = session.env
    cells = env.whole_level(0)
    if cells is None:
        board = env.family.draw(env.world.level, 0).splitlines()
        width = len(board[0])
    else:
        board, width = paint(env.family, cells, tint).splitlines(), cells.shape[1] * (tint or 1)
    size = max(width, len("level"))
    left = ["level".ljust(size), *(line + " " * (size - width) for line in board)]
    right = ["agent's view", *frame(env, 0, tint).splitlines()]
    return "\n".join([_account(session), *_beside(left, right, size)])


def _cell_columns(env: BatchEnv) -> int:
    """2 columns a cell are nearly square; 1 where the terminal is too narrow for that."""
    cells = len(env.family.draw(env.world.level, 0).splitlines()[0]) + env.family.view_shape[1]
    return 2 if 2 * cells + 3 <= shutil.get_terminal_size().columns else 1


def _account(session: Session) -> str:
    env = session.env
    episode, names = env.episode, [event.name.lower() for event in env.family.events]
    counts = [f"{name} {n}" for name, n in zip(names, episode.counts[0], strict=True) if n]
    now = [name for event, name in enumerate(names) if int(env.buffers.events[0]) >> event & 1]
    end = "  OVER" if session.is_over else ""
    return (
        f"step {episode.length[0]}/{episode.horizon[0]}  return {episode.total[0]:g}  "
        f"now: {', '.join(now) or '-'}  so far: {', '.join(counts) or '-'}{end}"
    )


def frame(env: BatchEnv, i: int, tint: int = 0) -> str:
    """What the agent of slot i sees, status row included; tint: see `show`."""
    return paint(env.family, env.cells[i], tint)


def paint(family: Family, cells: Array, tint: int = 0) -> str:
    """Cells ([rows, cols], bit per plane) as text: the foremost plane of each."""
    if tint == 0:
        return render.text(family, cells)
    tiles = [_tinted(" " * tint, (0, 0, 0)), *(_tile(plane, tint) for plane in family.planes)]
    return "\n".join("".join(tiles[int(bits).bit_length()] for bits in row) for row in cells)


def _tile(plane: Plane, tint: int) -> str:
    return _tinted(_glyph(plane).ljust(tint), plane.colour) if tint else _glyph(plane)


def _glyph(plane: Plane) -> str:
    return render.GLYPHS.get(plane.name, plane.name[0])


def _tinted(text: str, rgb: tuple[int, int, int]) -> str:
    ink = 30 if sum(rgb) > 200 else 97  # black or white
    return f"\x1b[{ink};48;2;{rgb[0]};{rgb[1]};{rgb[2]}m{text}\x1b[0m"


def _legend(family: Family, tint: int) -> str:
    signs = [f"{_tile(plane, tint)} {plane.name}" for plane in family.planes]
    return "\n".join("  ".join(signs[k : k + 6]) for k in range(0, len(signs), 6))
