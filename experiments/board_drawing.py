"""What is drawn over the picture of a level: outlined squares, ways, words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import matplotlib
from PIL import ImageDraw, ImageFont

from misgen.experiments.plays import Place

Colour = tuple[int, int, int]
BACK, INK, DIM, EDGE = (24, 24, 28), (240, 240, 240), (170, 170, 170), (90, 90, 96)
COLOURS = {"intended": (70, 255, 110), "proxy": (255, 80, 190), "cost": (255, 70, 60)}


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with Matplotlib."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def outline(
    draw: ImageDraw.ImageDraw,
    corner: Place,
    px: int,
    places: Collection[Place],
    goal: str,
    width: int = 2,
) -> None:
    """Outline squares in the colour of a goal or of costs, neighbours together; those of the proxy
    lie around the others. corner: x, y of a board whose squares have `px` pixels."""
    out = width // 2 + width * (goal == "proxy")
    for row, col in places:
        x, y = corner[0] + col * px, corner[1] + row * px
        low, high = (x - out, y - out), (x + px + out - 1, y + px + out - 1)
        sides = {
            (-1, 0): (*low, high[0], low[1] + width - 1),
            (1, 0): (low[0], high[1] - width + 1, *high),
            (0, -1): (*low, low[0] + width - 1, high[1]),
            (0, 1): (high[0] - width + 1, low[1], *high),
        }
        for (down, right), side in sides.items():
            if (row + down, col + right) not in places:
                draw.rectangle(side, fill=COLOURS[goal])


def trail(
    draw: ImageDraw.ImageDraw,
    corner: Place,
    px: int,
    places: Sequence[Place],
    colour: Colour,
    width: int = 2,
) -> None:
    """A way from square to square."""
    middles = [
        (corner[0] + col * px + px // 2, corner[1] + row * px + px // 2) for row, col in places
    ]
    for before, after in pairwise(middles):
        draw.line((before, after), fill=colour, width=width)
