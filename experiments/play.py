"""`misgen play`: walk through a level in the terminal, or watch a policy do it."""

import argparse
import contextlib
import os
import select
import shutil
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from misgen.envs import render
from misgen.envs.adapters import make_distribution
from misgen.envs.batch import BatchEnv
from misgen.envs.families import FAMILIES, find_family
from misgen.envs.levels import Levels, drawn_levels, sample_levels
from misgen.envs.types import VARIANTS, Array, Cell, Family, LevelDistribution, Plane

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
    family = find_family(options.family.replace("-", "_"))
    cell = family.cell(options.cell or family.default_cell)
    if options.draw:
        print(quadruple(family, cell, options.seed))
        return 0
    has_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    policy = options.policy or ("human" if has_terminal else "planner")
    if policy == "human" and not has_terminal:
        raise ValueError("a person plays in a terminal, and this is none; use --policy planner")
    text = options.level.read_text() if options.level else None
    variant = None if options.variant == "train" else options.variant
    distribution = make_distribution(family, cell=cell.name, variant=variant)
    begin = session_maker(family, distribution, policy, text)
    if has_terminal:
        with _screen(sys.stdin.fileno(), sys.stdout):
            play(begin, options.seed, sys.stdin.fileno(), sys.stdout)
    else:
        watch(begin(options.seed), sys.stdout)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="misgen play", description=__doc__, epilog=f"Keys: {HELP}", allow_abbrev=False
    )
    parser.add_argument(
        "family", nargs="?", default="coinrun", help=f"{', '.join(FAMILIES)} (default: coinrun)"
    )
    parser.add_argument("--cell", help="name or code of a cell (default: the family's)")
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
        distribution = make_distribution(family, cell=cell.name, variant=variant)
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
    from misgen.envs.solve import solve

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
    cells = whole_level(env, 0)
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


def whole_level(env: BatchEnv, i: int) -> Array | None:
    """The level of slot i as it is now: [rows, cols], bit per plane.

    A copy of the agent is put down all over the level, and its views are laid side by side. None
    for a family whose state does not say where the agent is.
    """
    family, level = env.family, _slot(env.world.level, i)
    state = _slot(env.world.state, i)
    if not {"row", "cell"} & set(state._fields):
        return None
    board = _board(family, level)
    width = level[0].shape[2]
    origin = _origin(family, level)
    at = np.subtract(_place(state, width), origin)
    agent = 1 << [plane.name for plane in family.planes].index("agent")
    cells = np.zeros((len(board), len(board[0])), render.cell_type(family))
    for place in _viewpoints(cells.shape, family.view_shape):
        _put(state, width, np.add(place, origin))
        _lay(cells, family, level, state, place, agent)
    if (env.cells[i, 1:] & agent).any():
        cells[tuple(at)] |= agent
    return cells


def agent_place(env: BatchEnv, i: int) -> tuple[int, int]:
    """Row and column of slot i's agent in the drawing of its level."""
    level, state = _slot(env.world.level, i), _slot(env.world.state, i)
    row, col = np.subtract(_place(state, level[0].shape[2]), _origin(env.family, level))
    return int(row), int(col)


def _origin(family: Family, level: Any) -> Array:
    """Place of the drawing's upper left cell in the coordinates of the family's state."""
    start = family.empty_state(1)
    family.reset(0, level, start)
    board = enumerate(_board(family, level))
    drawn = next((row, line.index("A")) for row, line in board if "A" in line)
    return np.subtract(_place(start, level[0].shape[2]), drawn)


def _board(family: Family, level: Any) -> list[str]:
    """The drawing of a level without the lines about it; a board's lines begin with a wall."""
    return [line for line in family.draw(level, 0).splitlines() if line.startswith("#")]


def _slot(arrays: Any, i: int) -> Any:
    return type(arrays)(*(array[i : i + 1].copy() for array in arrays))


def _place(state: Any, width: int) -> tuple[int, int]:
    """Row and column of the agent; families keep them as `row, col` or as one `cell`."""
    if "row" in state._fields:
        return int(state.row[0]), int(state.col[0])
    return divmod(int(state.cell[0]), width)


def _put(state: Any, width: int, place: Array) -> None:
    if "row" in state._fields:
        state.row[0], state.col[0] = place
    else:
        state.cell[0] = place[0] * width + place[1]


def _viewpoints(shape: tuple[int, ...], view: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Places from which every cell of the level is seen."""
    reach = (view[0] - 2) // 2, (view[1] - 1) // 2
    spans = [range(r, n + r, 2 * r + 1) for n, r in zip(shape, reach, strict=True)]
    for row in spans[0]:
        for col in spans[1]:
            yield min(row, shape[0] - 1), min(col, shape[1] - 1)


def _lay(
    cells: Array, family: Family, level: Any, state: Any, place: tuple[int, int], agent: int
) -> None:
    """Copy what is seen from `place`, but not the agent itself, into `cells`."""
    view = np.zeros((1, *family.view_shape), render.cell_type(family))
    family.observe(0, level, state, view)
    ((row, col),) = np.argwhere(view[0] & agent)
    for (r, c), bits in np.ndenumerate(view[0, 1:]):
        to = place[0] + 1 + r - row, place[1] + c - col
        if 0 <= to[0] < cells.shape[0] and 0 <= to[1] < cells.shape[1]:
            cells[to] = bits & ~cells.dtype.type(agent)
