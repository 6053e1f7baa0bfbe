"""`misgen maps`: what an agent is after, as three pictures.

values: over one level, the agent's own estimate of the reward to come and where its policy turns,
beside the ways of the planners of both goals. visits: where it goes on many levels. failures: some
levels of each kind of failure. Without an agent, values and visits of the planners.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from misgen.agents.policy import NetworkPolicy
from misgen.analysis.files import atomic_write_bytes
from misgen.envs.core.render import picture
from misgen.envs.core.types import VARIANTS, Array
from misgen.experiments.cell_choice import choose_one, where_help
from misgen.experiments.cli import Parser
from misgen.experiments.kernels import say_playing
from misgen.experiments.runs.folder import RESULTS_HELP, require_writable
from misgen.experiments.shown.agents import AGENT_HELP, INTENDED, PROXY, Actor, choose_agents
from misgen.experiments.shown.drawing import (
    COLOURS,
    INK,
    Tile,
    outline,
    page,
    png,
    row,
    tile_width,
    trail,
)
from misgen.experiments.shown.film import default_file, write_facts
from misgen.experiments.shown.film_panels import TALL
from misgen.experiments.shown.level_states import LevelStates, agent_values, marks, planner_values
from misgen.experiments.shown.levels import LEVEL_RULE, TITLES, Episode, Shown
from misgen.experiments.shown.plays import Place, no_pictures, replayed

VALUES, VISITS = "viridis", "inferno"  # colours, of Matplotlib
MORE, LESS = np.array([255, 150, 30]), np.array([70, 130, 255])
ARROW_SHORTEST = 0.15  # squares; below it a policy does not move
EXAMPLES = 4  # of a kind of failure; one less of wide boards


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for wrong arguments, or a cell without pictures."""
    options = _parser().parse_args(argv)
    family, cell = choose_one(options.where)
    if family.paint is None:
        raise ValueError(no_pictures(family))
    agents = choose_agents([options.agent] if options.agent else [], family, cell)
    kinds = options.only or [name for name in MAPS if agents or name != "failures"]
    if "failures" in kinds and not agents:
        raise ValueError(
            f"planners have no failures to show, and no agent of {cell.code} is trained; name one "
            "with --agent, or leave failures out"
        )
    say_playing(family)
    shown = Shown(family, cell, [*agents, INTENDED, PROXY])
    first = default_file(cell, agents, ".png")
    folder = require_writable(options.out or first.parent, "--out")
    for kind in kinds:
        file = folder / f"{first.stem}_{kind}.png"
        atomic_write_bytes(file, png(MAPS[kind](shown, options.variants), 256))
        print(file)
    if options.json:
        write_facts(options.json, shown.facts, ["misgen", "maps", *argv])
    return 0


def _parser() -> Parser:
    parser = Parser(prog="misgen maps", description=__doc__, epilog=f"{LEVEL_RULE} {RESULTS_HELP}")
    add = parser.add_argument
    add("where", nargs="*", metavar="CELL", help=where_help())
    add("--agent", default="", metavar="AGENT", help=AGENT_HELP)
    text = "those that are shown (default: 00 10)"
    variants = ("00", "10")
    add("--variants", nargs="+", choices=VARIANTS, default=variants, metavar="VARIANT", help=text)
    add("--only", nargs="+", choices=[*MAPS], metavar="MAP", help=f"of {', '.join(MAPS)}")
    add("--json", type=Path, metavar="FILE", help="what they show and how they were made")
    text = "write here (default: films of the results)"
    add("--out", type=Path, metavar="FOLDER", help=text)
    return parser


def values(shown: Shown, variants: Sequence[str]) -> Image.Image:
    """The value map of the agent and of both planners, in each variant."""
    width, rows = tile_width(len(shown.actors)), []
    for variant in variants:
        states = LevelStates(shown.level(variant))
        maps = (value_map(states, *_values_of(actor, states), width) for actor in shown.actors)
        rows.append(_row(shown, TITLES[variant], maps))
    said = (
        "Bright: near its goal (planners: fewer steps; agent: more reward to come, by its own "
        "estimate). Arrows: where it goes from there. Green outline: intended goal; pink: proxy."
    )
    notes = f"Level seed {shown.seed}: {shown.rule}."
    return page(shown.heading, [shown.training, said], rows, notes)


def _values_of(actor: Actor, states: LevelStates) -> tuple[Array, Array]:
    if isinstance(actor.policy, NetworkPolicy):
        return agent_values(states, actor.policy, actor.observation_mode)
    return planner_values(states, actor.goal)


def _row(shown: Shown, title: str, pictures: Iterable[Image.Image]) -> Image.Image:
    """A picture of each actor."""
    pairs = zip(shown.actors, pictures, strict=True)
    return row(title, [Tile(actor.name, drawn, actor.colour) for actor, drawn in pairs])


def visits(shown: Shown, variants: Sequence[str]) -> Image.Image:
    """The share of levels on which each square is visited, and how it changes."""
    shares = {
        variant: [_shares([played[variant][at] for at in shown.chosen]) for played in shown.played]
        for variant in variants
    }
    most = max(float(each.max()) for found in shares.values() for each in found)
    heats = {
        TITLES[variant]: [colours(each, 0, most, VISITS) for each in found]
        for variant, found in shares.items()
    }
    said = (
        f"Where it goes on the {len(shown.chosen)} levels that tell the goals apart. "
        f"Black: nowhere; brightest: on {most:.0%} of them. Levels of other sizes are stretched to "
        "one."
    )
    if len(variants) == 2:
        changes = [after - before for before, after in zip(*shares.values(), strict=True)]
        most = max(float(np.abs(each).max()) for each in changes)
        title = f"{variants[1]} compared with {variants[0]}"
        heats[title] = [change_colours(each, most) for each in changes]
        said += f" Below, orange: more often, blue: less often, by up to {most:.0%}."
    width = tile_width(len(shown.actors))
    rows = [
        _row(shown, title, (squares_picture(rgb, width) for rgb in found))
        for title, found in heats.items()
    ]
    return page(shown.heading, [shown.training, said], rows, "")


def _shares(episodes: Sequence[Episode]) -> Array:
    levels = episodes[0].variant.levels.take(np.array([episode.row for episode in episodes]))
    plays = replayed(levels, [episode.actions for episode in episodes])
    sizes = [play.boards[0].shape for play in plays]
    ways = [play.places for play in plays]
    return visit_shares(ways, sizes, (max(r for r, _ in sizes), max(c for _, c in sizes)))


def failures(shown: Shown, variants: Sequence[str]) -> Image.Image:
    """The first levels of each kind of failure of the agent, where the goals are told apart."""
    rows: list[Image.Image] = []
    for variant in variants:
        episodes = shown.played[0][variant]
        kinds = {at: episodes[at].kind for at in shown.chosen if episodes[at].is_failure}
        rows.append(row(f"{TITLES[variant]}: {len(kinds)} of {len(shown.chosen)} levels fail"))
        for kind, members in by_kind(kinds).items():
            ink = COLOURS["proxy" if kind.startswith("proxy") else "cost"]
            tiles = _examples([episodes[at] for at in members[:EXAMPLES]])
            rows.append(row(f"{kind}: {len(members)}", tiles, ink))
    said = "White: its way. Green outline: intended goal; pink: proxy; red: costs reward."
    notes = (
        "The first levels of each kind, in the order of its block. Harm: at least half of the "
        "attainable reward is lost."
    )
    return page(shown.heading, [shown.training, said], rows, notes)


def _examples(episodes: Sequence[Episode]) -> list[Tile]:
    shapes = [episode.play.boards[0].shape for episode in episodes]
    count = EXAMPLES - any(cols / rows >= TALL for rows, cols in shapes)
    return [
        Tile(
            f"seed ...{int(episode.levels.seeds[0]) % 10**6}",
            way_picture(episode, tile_width(count)),
        )
        for episode in episodes[:count]
    ]


MAPS: dict[str, Callable[[Shown, Sequence[str]], Image.Image]] = {
    "values": values,
    "visits": visits,
    "failures": failures,
}


# --- Pictures -------------------------------------------------------------------------------------


def colours(values: Array, low: float, high: float, name: str = VALUES) -> Array:
    """uint8 [..., 3] on one of Matplotlib's scales."""
    share = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    rgb: Array = (matplotlib.colormaps[name](share)[..., :3] * 255).astype(np.uint8)
    return rgb


def change_colours(change: Array, most: float) -> Array:
    """uint8 [..., 3]: black where nothing changes, brighter towards +-most."""
    share = np.clip(change / max(most, 1e-9), -1, 1)[..., None]
    rgb: Array = (np.maximum(share, 0) * MORE + np.maximum(-share, 0) * LESS).astype(np.uint8)
    return rgb


def value_map(states: LevelStates, value: Array, step: Array, width: int) -> Image.Image:
    """The level, dark to bright by value, with an arrow where the policy moves to; see
    `level_states`."""
    px = width // states.board.shape[1]
    board = picture(states.levels.family, states.board, px)
    squares, known = [*states.squares], ~np.isnan(value)
    if known.any():
        tints = colours(value, np.nanmin(value), np.nanmax(value))
        for k in np.flatnonzero(known):
            row, col = (edge * px for edge in squares[k])
            inside = board[row : row + px, col : col + px]
            inside[(inside == 0).all(axis=2)] = tints[k]
    image = Image.fromarray(board)
    draw = ImageDraw.Draw(image)
    for square, move in zip(squares, step, strict=True):
        _arrow(draw, square, move, px)
    _outline_goals(draw, states, px)
    return image


def _outline_goals(draw: ImageDraw.ImageDraw, states: LevelStates, px: int) -> None:
    for goal, places in marks(states).items():
        outline(draw, (0, 0), px, places, goal, max(2, px // 8))


def _arrow(draw: ImageDraw.ImageDraw, square: Place, step: Array, px: int) -> None:
    """From the middle of a square; as long as the mean step, at most 0.8 of a square."""
    size = float(np.hypot(*step))
    if size < ARROW_SHORTEST:
        return
    down, right = step / size * min(size, 1.0) * 0.4 * px
    y, x = (edge * px + px / 2 for edge in square)
    head = (x + right, y + down)
    draw.line((x - right, y - down, *head), fill=INK, width=max(1, px // 12))
    side = max(2.0, px * 0.16)
    unit = np.array([right, down]) / np.hypot(right, down)
    across = np.array([-unit[1], unit[0]])
    corners = [np.array(head) - side * (1.4 * unit - sign * across) for sign in (1, -1)]
    draw.polygon([head, *(tuple(corner) for corner in corners)], fill=INK)


def visit_shares(ways: Sequence[Sequence[Place]], sizes: Sequence[Place], size: Place) -> Array:
    """float64 [rows, cols]: the share of episodes that visit each square. Levels of other sizes
    are stretched to `size`."""
    counts = np.zeros(size)
    for way, own in zip(ways, sizes, strict=True):
        seen = np.zeros(own, np.bool_)
        seen[tuple(np.transpose(way))] = True
        rows, cols = (np.arange(big) * small // big for big, small in zip(size, own, strict=True))
        counts += seen[np.ix_(rows, cols)]
    shares: Array = counts / max(len(ways), 1)
    return shares


def squares_picture(rgb: Array, width: int) -> Image.Image:
    """Squares in these colours, uint8 [rows, cols, 3]."""
    px = width // rgb.shape[1]
    return Image.fromarray(np.kron(rgb, np.ones((px, px, 1), np.uint8)))


def way_picture(episode: Episode, width: int) -> Image.Image:
    """The end of an episode, with the way there."""
    board, levels = episode.play.boards[-1], episode.levels
    px = width // board.shape[1]
    image = Image.fromarray(picture(levels.family, board, px))
    draw = ImageDraw.Draw(image)
    trail(draw, (0, 0), px, episode.play.places, INK, max(2, px // 6))
    _outline_goals(draw, LevelStates(levels), px)
    return image


def by_kind(kinds: Mapping[int, str]) -> dict[str, list[int]]:
    """Kind -> the levels of that kind, the most frequent kind first."""
    found = defaultdict(list)
    for level, kind in kinds.items():
        found[kind].append(level)
    return dict(sorted(found.items(), key=lambda each: (-len(each[1]), each[0])))
