"""What is seen: planes or RGB from the cells of a family's view.

A family's `observe` sets bit p of `cells[i, row, col]` when plane p is visible there. Planes are
painted in their declared order, so a later plane hides an earlier one. Themes (palette, sprites)
are data.

A disturbed level (`Level.disturbed`) fills the planes that are textures. Shown as planes, each bit
of the cell's noisy planes is toggled with the cell's probability in each step; shown as a picture,
it has the unseen colours and each pixel is replaced with probability NOISE by a random colour. The
noise of a step is a function of (level seed, step).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from misgen.envs.core.bits import lowest_bit
from misgen.envs.core.compile import hole
from misgen.envs.core.family import Family
from misgen.envs.core.random import combine
from misgen.envs.core.types import Array, Cell

PLANES = ("planes", "window")
"""The modes of binary planes; in `window` all but the family's window is blank."""

TILE_PX = {"rgb1": 1, "rgb8": 8, "rgb64": 5}
PICTURE_PX = 64  # rgb64 is PICTURE_PX x PICTURE_PX: the leftmost tiles lose a column of pixels

NOISE = 0.05  # of pixels
NOISE_BITS = 2**16  # the noise that decides has so many values

NUM_PLANES = hole("NUM_PLANES")
TEXTURES = hole("TEXTURES")  # bits of the planes that are textures
CELL = hole("CELL")  # type of a cell's bits
WORD = hole("WORD")  # what a line of a tile is copied in: bytes, or uint64 where 8 divide a line
WORD_BYTES = hole("WORD_BYTES")
NUM_CELLS = hole("NUM_CELLS")
PX = hole("PX")
SPAN = hole("SPAN")  # words of one line of a tile
CROP = hole("CROP")  # words cut from the tiles at the left edge


class View(NamedTuple):
    """What n environments show, before it is drawn."""

    cells: Array  # [n, rows, cols], bit per visible plane; see cell_type
    flat: Array  # the same memory as [n, rows * cols]
    back: Array  # uint8 [n, rows, cols], scratch: 1 + the rearmost plane of a cell, 0 if none


class Theme(NamedTuple):
    """Pixels of every plane at the size of one mode; index 0 is an empty cell."""

    tiles: Array  # words [1 + planes, px, SPAN], the plane on the background
    opaque: Array  # words [1 + planes, px, SPAN], all bits set where the plane covers the rest
    noisy: np.int64 = np.int64(0)  # bits of the planes that noise toggles
    noise: np.uint64 = np.uint64(0)  # its probability, times NOISE_BITS


def cell_type(family: Family) -> Any:
    """The narrowest type that holds one bit per plane."""
    return np.uint16 if len(family.planes) <= 16 else np.uint32


def empty_view(n: int, family: Family) -> View:
    cells = np.zeros((n, *family.view_shape), cell_type(family))
    return View(cells, cells.reshape(n, -1), np.zeros((n, *family.view_shape), np.uint8))


def has_flag(i, level):
    """Whether level i is seen disturbed."""
    return level.disturbed[i] != 0


def never(i, level):
    """In a family that knows no disturbed levels."""
    return False


def draw_planes(i, view, theme, out):
    """out[i]: uint8 [planes, rows * cols], 1 where the plane is visible."""
    for plane in range(NUM_PLANES):
        for k in range(NUM_CELLS):
            out[i, plane, k] = np.uint8((view.flat[i, k] >> CELL(plane)) & CELL(1))


def disturb_planes(i, view, theme, key, out):
    """out[i] as `draw_planes` makes it, filled with texture and noise."""
    draw_planes(i, view, theme, out)
    for plane in range(NUM_PLANES):
        if (TEXTURES >> plane) & 1:
            out[i, plane] = 1
        if (theme.noisy >> plane) & 1:
            for k in range(NUM_CELLS):
                if is_noise(combine(key, plane * NUM_CELLS + k), theme.noise):
                    out[i, plane, k] ^= 1


def is_noise(bits, noise):
    return (bits & np.uint64(NOISE_BITS - 1)) < noise


def disturb_rgb(i, view, theme, key, out):
    """out[i] as `draw_rgb` makes it, in the theme's colours, filled with texture and noise."""
    for k in range(NUM_CELLS):
        view.flat[i, k] |= CELL(TEXTURES)
    draw_rgb(i, view, theme, out)
    for line in range(out.shape[1]):
        for word in range(out.shape[2]):
            for byte in range(WORD_BYTES):
                at = word * WORD_BYTES + byte
                bits = combine(combine(key, line), at // 3)
                if is_noise(bits, theme.noise):
                    shift = np.uint64(8 * byte)
                    colour = (bits >> np.uint64(16 + 8 * (at % 3))) & np.uint64(0xFF)
                    out[i, line, word] &= WORD(~(np.uint64(0xFF) << shift))
                    out[i, line, word] |= WORD(colour << shift)


def draw_rgb(i, view, theme, out):
    """out[i]: words [height, words of a line], tiles in memory order, then what lies on top."""
    rows, cols = view.cells.shape[1], view.cells.shape[2]
    for row in range(rows):
        stacked = 0
        for col in range(cols):
            bits = int(view.cells[i, row, col])
            stacked |= bits & (bits - 1)
            view.back[i, row, col] = lowest_bit(bits)
        for y in range(PX):
            draw_line(i, row, y, view, theme, out)
        if stacked:
            draw_stack(i, row, view, theme, out)
    out[i, rows * PX :] = 0


def draw_line(i, row, y, view, theme, out):
    """Line y of one row of tiles."""
    line = row * PX + y
    plane = int(view.back[i, row, 0])
    for k in range(SPAN - CROP):
        out[i, line, k] = theme.tiles[plane, y, CROP + k]
    for col in range(1, view.cells.shape[2]):
        plane = int(view.back[i, row, col])
        at = col * SPAN - CROP
        for k in range(SPAN):
            out[i, line, at + k] = theme.tiles[plane, y, k]


def draw_stack(i, row, view, theme, out):
    """Paint the second and later planes of one row of tiles."""
    for col in range(view.cells.shape[2]):
        bits = int(view.cells[i, row, col])
        bits &= bits - 1
        while bits:
            plane = lowest_bit(bits)
            bits &= bits - 1
            at = col * SPAN - CROP
            for y in range(PX):
                for k in range(CROP if col == 0 else 0, SPAN):
                    behind = out[i, row * PX + y, at + k] & ~theme.opaque[plane, y, k]
                    out[i, row * PX + y, at + k] = behind | theme.tiles[plane, y, k]


def _sprite_mask(sprite: str, px: int) -> Array:
    """bool [px, px]: the sprite (8 x 8 or empty = full) at a tile size."""
    if not sprite or px == 1:
        return np.ones((px, px), np.bool_)
    grid = np.array([[c == "#" for c in line] for line in sprite.split()])
    pick = (2 * np.arange(px) + 1) * 4 // px  # the middles: symmetric sprites stay symmetric
    return grid[np.ix_(pick, pick)]


def make_theme(family: Family, px: int, unseen: bool = False) -> Theme:
    """The family's own palette, or the unseen one, at `px` pixels a tile, on black."""
    n = len(family.planes) + 1
    tiles = np.zeros((n, px, px, 3), np.uint8)
    opaque = np.zeros((n, px, px, 3), np.uint8)
    for index, plane in enumerate(family.planes, start=1):
        mask = _sprite_mask(plane.sprite, px)
        colour = plane.unseen_colour if unseen else None
        tiles[index][mask] = plane.colour if colour is None else colour
        opaque[index][mask] = 255
    word = word_type(px)
    return Theme(tiles.reshape(n, px, -1).view(word), opaque.reshape(n, px, -1).view(word))


def picture(family: Family, cells: Array, px: int = 8, unseen: bool = False) -> Array:
    """Cells ([rows, cols], bit per plane) as uint8 [rows * px, cols * px, 3]; without noise."""
    theme = make_theme(family, px, unseen)
    tiles = theme.tiles.view(np.uint8).reshape(-1, px, px, 3)
    opaque = theme.opaque.view(np.uint8).reshape(-1, px, px, 3)
    rows, cols = cells.shape
    drawn = np.zeros((rows, cols, px, px, 3), np.uint8)
    for plane in range(1, len(tiles)):
        shown = (cells >> cells.dtype.type(plane - 1)) & 1 == 1
        drawn[shown] = np.where(opaque[plane] > 0, tiles[plane], drawn[shown])
    return drawn.transpose(0, 2, 1, 3, 4).reshape(rows * px, cols * px, 3)


def _plane_bits(flags: Iterable[bool]) -> int:
    """Bit p set where the p-th flag is."""
    return sum(1 << number for number, flag in enumerate(flags) if flag)


def word_type(px: int) -> type:
    """What a line of a tile is copied in."""
    return np.uint64 if px * 3 % 8 == 0 else np.uint8


GLYPHS = {"wall": "#", "ground": "#", "ice": "_", "lava": "~", "coin": "$", "agent": "A"}


def text(family: Family, cells: Array) -> str:
    """A view ([rows, cols], bit per plane) as text: the foremost plane of each cell by its sign
    among GLYPHS or its first letter, '.' where nothing is visible."""
    signs = [".", *(GLYPHS.get(plane.name, plane.name[0]) for plane in family.planes)]
    return "\n".join("".join(signs[int(bits).bit_length()] for bits in row) for row in cells)


def agent_squares(family: Family, cells: Array) -> list[list[int]]:
    """[row, column] of every agent in a view or a whole level ([rows, cols], bit per plane)."""
    agent = [plane.name for plane in family.planes].index("agent")
    return np.argwhere(cells >> agent & 1).tolist()


def visible_modes(family: Family, cell: Cell) -> tuple[str, ...]:
    """The observation modes in which everything that the cell's agents need can be seen."""
    least = cell.min_pixels_per_tile
    return tuple(mode for mode in family.modes if mode in PLANES or TILE_PX[mode] >= least)


class Renderer:
    """One observation mode of one family: shape, theme and the drawing rule for the kernels, and
    the window that is cut out of what they draw.

    Raises:
        ValueError: unknown mode, or one in which the cell's cue cannot be seen.
    """

    def __init__(self, family: Family, cell: Cell, mode: str | None = None) -> None:
        mode = family.default_mode if mode is None else mode
        if mode not in family.modes:
            raise ValueError(
                f"{family.name} has the observation modes {', '.join(family.modes)}; got {mode!r}"
            )
        if mode not in visible_modes(family, cell):
            raise ValueError(
                f"things that have to be told apart share a pixel in {mode!r}, so cell "
                f"{cell.code} needs at least {cell.min_pixels_per_tile} pixels a tile; "
                f"use observation_mode={' or '.join(visible_modes(family, cell))}"
            )
        self.mode = mode
        rows, cols = family.view_shape
        is_planes, px = mode in PLANES, TILE_PX.get(mode, 1)
        height, width = (PICTURE_PX,) * 2 if mode == "rgb64" else (rows * px, cols * px)
        self.shape = (len(family.planes), rows, cols) if is_planes else (height, width, 3)
        self.drawn = "planes" if is_planes else mode
        self.window: Array | None = None  # uint8 [rows, cols], 0 where it is blank
        if mode == "window":
            shown = np.isin(np.arange(rows * cols), family.window)
            self.window = shown.astype(np.uint8).reshape(rows, cols)
        self.word = word_type(px)
        size = np.dtype(self.word).itemsize
        noise = cell.noise_frac if is_planes else NOISE
        noisy = _plane_bits(plane.name in cell.noisy_planes for plane in family.planes)
        unseen = make_theme(family, px, unseen=True)
        self.themes = (
            make_theme(family, px),
            unseen._replace(noisy=np.int64(noisy), noise=np.uint64(int(noise * NOISE_BITS))),
        )
        self.holes: dict[str, Any] = {
            "draw_view": draw_planes if is_planes else draw_rgb,
            "disturb": disturb_planes if is_planes else disturb_rgb,
            "is_disturbed": has_flag if "disturbed" in family.level._fields else never,
            "TEXTURES": _plane_bits(plane.is_texture for plane in family.planes),
            "CELL": cell_type(family),
            "WORD": self.word,
            "WORD_BYTES": size,
            "NUM_PLANES": len(family.planes),
            "NUM_CELLS": rows * cols,
            "PX": px,
            "SPAN": px * 3 // size,
            "CROP": (cols * px - width) * 3 // size,
        }

    def as_kernel_sees(self, pictures: Array) -> Array:
        """A view of uint8 [n, *shape] in the words that the kernels write."""
        return pictures.reshape(len(pictures), self.shape[0], -1).view(self.word)
