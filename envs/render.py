"""What is seen: planes or RGB from the cells of a family's view.

A family's `observe` sets bit p of `cells[i, row, col]` (uint16) when plane p is visible there.
Planes are painted in their declared order, so a later plane hides an earlier one. Themes (palette,
sprites) are data.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from envs.types import Array, Cell, Family

TILE_PX = {"rgb1": 1, "rgb8": 8, "rgb64": 5}
PICTURE_PX = 64  # rgb64 is PICTURE_PX x PICTURE_PX: the leftmost tiles lose a column of pixels

NUM_PLANES = 0  # holes: constants of a renderer
NUM_CELLS = 0
PX = 0
SPAN = 0  # words of one line of a tile: bytes, or uint64 where a line is a multiple of 8 bytes
CROP = 0  # words cut from the tiles at the left edge

# Position of the lowest set bit of a number < 2^32 (de Bruijn; Leiserson, Prokop & Randall 1998).
DE_BRUIJN = 0x077CB531
LOWEST = np.zeros(32, np.int64)
LOWEST[[((1 << bit) * DE_BRUIJN % 2**32) >> 27 for bit in range(32)]] = np.arange(32)


class View(NamedTuple):
    """What n environments show, before it is drawn."""

    cells: Array  # uint16 [n, rows, cols], bit per visible plane
    flat: Array  # the same memory as [n, rows * cols]
    back: Array  # uint8 [n, rows, cols], scratch: 1 + the rearmost plane of a cell, 0 if none


class Theme(NamedTuple):
    """Pixels of every plane at the size of one mode; index 0 is an empty cell."""

    tiles: Array  # words [1 + planes, px, SPAN], the plane on the background
    opaque: Array  # words [1 + planes, px, SPAN], all bits set where the plane covers the rest


def empty_view(n: int, shape: tuple[int, int]) -> View:
    cells = np.zeros((n, *shape), np.uint16)
    return View(cells, cells.reshape(n, -1), np.zeros((n, *shape), np.uint8))


def draw_planes(i, view, theme, out):
    """out[i]: uint8 [planes, rows * cols], 1 where the plane is visible."""
    for plane in range(NUM_PLANES):
        for k in range(NUM_CELLS):
            out[i, plane, k] = np.uint8((view.flat[i, k] >> np.uint16(plane)) & np.uint16(1))


def draw_rgb(i, view, theme, out):
    """out[i]: words [height, words of a line], tiles in memory order, then what lies on top."""
    rows, cols = view.cells.shape[1], view.cells.shape[2]
    for row in range(rows):
        stacked = 0
        for col in range(cols):
            bits = int(view.cells[i, row, col])
            stacked |= bits & (bits - 1)
            view.back[i, row, col] = rearmost(bits)
        for y in range(PX):
            draw_line(i, row, y, view, theme, out)
        if stacked:
            draw_stack(i, row, view, theme, out)
    for line in range(rows * PX, out.shape[1]):
        for k in range(out.shape[2]):
            out[i, line, k] = 0


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
            plane = rearmost(bits)
            bits &= bits - 1
            at = col * SPAN - CROP
            for y in range(PX):
                for k in range(CROP if col == 0 else 0, SPAN):
                    behind = out[i, row * PX + y, at + k] & ~theme.opaque[plane, y, k]
                    out[i, row * PX + y, at + k] = behind | theme.tiles[plane, y, k]


def rearmost(bits):
    """1 + the lowest set bit; 0 if none."""
    if bits == 0:
        return 0
    return 1 + LOWEST[(((bits & -bits) * DE_BRUIJN) & 0xFFFFFFFF) >> 27]


def _sprite_mask(sprite: str, px: int) -> Array:
    """bool [px, px]: the sprite (8 x 8 or empty = full) at a tile size."""
    if not sprite or px == 1:
        return np.ones((px, px), np.bool_)
    grid = np.array([[c == "#" for c in line] for line in sprite.split()])
    if grid.shape != (8, 8):
        raise ValueError(f"a sprite is 8 lines of 8 characters; got {grid.shape}")
    pick = (2 * np.arange(px) + 1) * 4 // px  # the middles: symmetric sprites stay symmetric
    return grid[np.ix_(pick, pick)]


def make_theme(family: Family, px: int) -> Theme:
    """The family's own palette at `px` pixels a tile, on black."""
    n = len(family.planes) + 1
    tiles = np.zeros((n, px, px, 3), np.uint8)
    opaque = np.zeros((n, px, px, 3), np.uint8)
    for index, plane in enumerate(family.planes, start=1):
        mask = _sprite_mask(plane.sprite, px)
        tiles[index][mask] = plane.colour
        opaque[index][mask] = 255
    word = word_type(px)
    return Theme(tiles.reshape(n, px, -1).view(word), opaque.reshape(n, px, -1).view(word))


def picture(family: Family, cells: Array, px: int = 8) -> Array:
    """Cells (uint16 [rows, cols], bit per plane) as uint8 [rows * px, cols * px, 3]."""
    theme = make_theme(family, px)
    tiles = theme.tiles.view(np.uint8).reshape(-1, px, px, 3)
    opaque = theme.opaque.view(np.uint8).reshape(-1, px, px, 3)
    rows, cols = cells.shape
    drawn = np.zeros((rows, cols, px, px, 3), np.uint8)
    for plane in range(1, len(tiles)):
        shown = (cells >> np.uint16(plane - 1)) & 1 == 1
        drawn[shown] = np.where(opaque[plane] > 0, tiles[plane], drawn[shown])
    return drawn.transpose(0, 2, 1, 3, 4).reshape(rows * px, cols * px, 3)


def word_type(px: int) -> type:
    """What a line of a tile is copied in."""
    return np.uint64 if px * 3 % 8 == 0 else np.uint8


GLYPHS = {"wall": "#", "ground": "#", "ice": "_", "lava": "~", "coin": "$", "agent": "A"}


def text(family: Family, cells: Array) -> str:
    """A view (uint16 [rows, cols]) as text: the foremost plane of each cell by its sign among
    GLYPHS or its first letter, '.' where nothing is visible."""
    signs = [".", *(GLYPHS.get(plane.name, plane.name[0]) for plane in family.planes)]
    return "\n".join("".join(signs[int(bits).bit_length()] for bits in row) for row in cells)


class Renderer:
    """One observation mode of one family: shape, theme and the drawing rule for the kernels.

    Raises:
        ValueError: unknown mode, or one in which the cell's cue cannot be seen.
    """

    def __init__(self, family: Family, cell: Cell, mode: str | None = None) -> None:
        mode = family.default_mode if mode is None else mode
        if mode not in family.modes:
            raise ValueError(
                f"{family.name} has the observation modes {', '.join(family.modes)}; got {mode!r}"
            )
        if mode != "planes" and TILE_PX[mode] < cell.min_pixels_per_tile:
            raise ValueError(
                f"kind and look of an object share a pixel in {mode!r}, so cell {cell.code} "
                f"needs at least {cell.min_pixels_per_tile} pixels a tile; "
                "use observation_mode=planes or rgb8"
            )
        self.mode = mode
        rows, cols = family.view_shape
        px = TILE_PX.get(mode, 1)
        crop = 0
        if mode == "planes":
            self.shape: tuple[int, ...] = (len(family.planes), rows, cols)
        elif mode == "rgb64":
            self.shape = (PICTURE_PX, PICTURE_PX, 3)
            crop = cols * px - PICTURE_PX
        else:
            self.shape = (rows * px, cols * px, 3)
        word = word_type(px)
        size = np.dtype(word).itemsize
        self.theme = make_theme(family, px)
        if mode == "planes":
            self.kernel_shape = (len(family.planes), rows * cols)
            self.kernel_dtype: type = np.uint8
        else:
            self.kernel_shape = (self.shape[0], self.shape[1] * 3 // size)
            self.kernel_dtype = word
        self.holes: dict[str, Any] = {
            "draw_view": draw_planes if mode == "planes" else draw_rgb,
            "NUM_PLANES": len(family.planes),
            "NUM_CELLS": rows * cols,
            "PX": px,
            "SPAN": px * 3 // size,
            "CROP": crop * 3 // size,
        }

    def as_kernel_sees(self, pictures: Array) -> Array:
        """A view of uint8 [n, *shape] in the words that the kernels write."""
        lines = pictures.reshape(len(pictures), self.kernel_shape[0], -1)
        return lines.view(self.kernel_dtype)
