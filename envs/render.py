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
PX = 0
CROP = 0


class Theme(NamedTuple):
    """Pixels of every plane at the size of one mode; index 0 is an empty cell."""

    tiles: Array  # uint8 [1 + planes, px, px * 3], the plane on the background
    opaque: Array  # uint8 [1 + planes, px, px * 3], 1 where the plane covers what is behind


def draw_planes(i, cells, theme, out):
    """out[i]: uint8 [planes, rows, cols], 1 where the plane is visible."""
    rows, cols = cells.shape[1], cells.shape[2]
    for plane in range(NUM_PLANES):
        for row in range(rows):
            for col in range(cols):
                out[i, plane, row, col] = (cells[i, row, col] >> plane) & 1


def draw_rgb(i, cells, theme, out):
    """out[i]: uint8 [height, width * 3]; tiles in memory order, then what lies on top of them."""
    rows, cols = cells.shape[1], cells.shape[2]
    for row in range(rows):
        stacked = False
        for y in range(PX):
            line = row * PX + y
            at = 0
            for col in range(cols):
                bits = int(cells[i, row, col])
                plane = lowest_plane(bits)
                stacked = stacked or (bits & (bits - 1)) != 0
                start = CROP * 3 if col == 0 else 0
                if start == 0:
                    for k in range(PX * 3):
                        out[i, line, at + k] = theme.tiles[plane, y, k]
                else:
                    for k in range((PX - CROP) * 3):
                        out[i, line, at + k] = theme.tiles[plane, y, start + k]
                at += PX * 3 - start
        if stacked:
            draw_stack(i, row, cells, theme, out)
    for line in range(rows * PX, out.shape[1]):
        for k in range(out.shape[2]):
            out[i, line, k] = 0


def draw_stack(i, row, cells, theme, out):
    """Paint the second and later planes of one row of cells."""
    for col in range(cells.shape[2]):
        bits = int(cells[i, row, col])
        bits &= bits - 1
        while bits:
            plane = lowest_plane(bits)
            bits &= bits - 1
            start = CROP * 3 if col == 0 else 0
            at = col * PX * 3 - CROP * 3
            for y in range(PX):
                for k in range(start, PX * 3):
                    if theme.opaque[plane, y, k]:
                        out[i, row * PX + y, at + k] = theme.tiles[plane, y, k]


def lowest_plane(bits):
    """1 + index of the lowest set bit; 0 if none."""
    if bits == 0:
        return 0
    plane = 1
    while bits & 1 == 0:
        bits >>= 1
        plane += 1
    return plane


def _sprite_mask(sprite: str, px: int) -> Array:
    """bool [px, px]: the sprite (8 x 8 or empty = full) at a tile size."""
    if not sprite or px == 1:
        return np.ones((px, px), np.bool_)
    grid = np.array([[c == "#" for c in line] for line in sprite.split()])
    if grid.shape != (8, 8):
        raise ValueError(f"a sprite is 8 lines of 8 characters; got {grid.shape}")
    pick = np.arange(px) * 8 // px + (4 // px)
    return grid[np.ix_(pick, pick)]


def make_theme(family: Family, px: int) -> Theme:
    """The family's own palette at `px` pixels a tile, on black."""
    n = len(family.planes) + 1
    tiles = np.zeros((n, px, px, 3), np.uint8)
    opaque = np.zeros((n, px, px, 3), np.uint8)
    for index, plane in enumerate(family.planes, start=1):
        mask = _sprite_mask(plane.sprite, px)
        tiles[index][mask] = plane.colour
        opaque[index][mask] = 1
    return Theme(tiles.reshape(n, px, px * 3), opaque.reshape(n, px, px * 3))


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
        # The kernels see a picture's line as one row of bytes.
        height, width = self.shape[0], self.shape[-2]
        self.flat_shape = self.shape if mode == "planes" else (height, width * 3)
        self.theme = make_theme(family, px)
        self.holes: dict[str, Any] = {
            "draw_view": draw_planes if mode == "planes" else draw_rgb,
            "NUM_PLANES": len(family.planes),
            "PX": px,
            "CROP": crop,
        }

