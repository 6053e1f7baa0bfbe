"""Maps as pictures: values and ways over a level, visits over many levels, failures by kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from misgen.envs.core.levels import Levels
from misgen.envs.core.render import picture
from misgen.envs.core.types import Array
from misgen.experiments.board_drawing import INK, outline, trail
from misgen.experiments.level_states import LevelStates, level_states, marks
from misgen.experiments.map_values import SquareValues
from misgen.experiments.plays import Place, Play

VALUES, VISITS = "viridis", "inferno"  # colours, of Matplotlib
MORE, LESS = np.array([255, 150, 30]), np.array([70, 130, 255])
ARROW_SHORTEST = 0.15  # squares; below it a policy does not move


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


def value_map(states: LevelStates, shown: SquareValues, width: int) -> Image.Image:
    """The level, dark to bright by value, with an arrow where the policy moves to."""
    levels, family = states.levels, states.levels.family
    px = width // states.size[1]
    state = family.empty_state(1)
    with np.errstate(over="ignore"):
        family.reset(0, levels.level, state)
        assert family.paint is not None
        board = picture(family, family.paint(0, levels.level, state), px)
    known = ~np.isnan(shown.value)
    if known.any():
        tints = colours(shown.value, np.nanmin(shown.value), np.nanmax(shown.value))
        for k in np.flatnonzero(known):
            row, col = (edge * px for edge in shown.squares[k])
            inside = board[row : row + px, col : col + px]
            inside[(inside == 0).all(axis=2)] = tints[k]
    image = Image.fromarray(board)
    draw = ImageDraw.Draw(image)
    for square, step in zip(shown.squares, shown.step, strict=True):
        _arrow(draw, square, step, px)
    for goal, places in marks(states).items():
        outline(draw, (0, 0), px, places, goal, max(2, px // 8))
    return image


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
        for place in way:
            seen[place] = True
        rows, cols = (np.arange(big) * small // big for big, small in zip(size, own, strict=True))
        counts += seen[np.ix_(rows, cols)]
    shares: Array = counts / max(len(ways), 1)
    return shares


def squares_picture(rgb: Array, width: int) -> Image.Image:
    """Squares in these colours, uint8 [rows, cols, 3]."""
    px = width // rgb.shape[1]
    return Image.fromarray(np.kron(rgb, np.ones((px, px, 1), np.uint8)))


def way_picture(levels: Levels, play: Play, width: int) -> Image.Image:
    """The end of a play on the one level of a batch, with the way there."""
    px = width // play.boards[0].shape[1]
    image = Image.fromarray(picture(levels.family, play.boards[-1], px))
    draw = ImageDraw.Draw(image)
    trail(draw, (0, 0), px, play.places, INK, max(2, px // 6))
    for goal, places in marks(level_states(levels)).items():
        outline(draw, (0, 0), px, places, goal, max(2, px // 8))
    return image


def by_kind(kinds: Mapping[int, str]) -> dict[str, list[int]]:
    """Kind -> the levels of that kind, the most frequent kind first."""
    found = defaultdict(list)
    for level, kind in kinds.items():
        found[kind].append(level)
    return dict(sorted(found.items(), key=lambda each: (-len(each[1]), each[0])))
