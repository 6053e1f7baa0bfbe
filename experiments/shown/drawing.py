"""How pictures are drawn: what lies over a level, pages of them, and files of few colours."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Collection, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from misgen.experiments.shown.plays import Place

Colour = tuple[int, int, int]
BACK, INK, DIM, EDGE = (24, 24, 28), (240, 240, 240), (170, 170, 170), (90, 90, 96)
COLOURS = {"intended": (70, 255, 110), "proxy": (255, 80, 190), "cost": (255, 70, 60)}
MAX_COLOURS = 64  # of a file

WIDTH = 832  # of a page of a code host
MARGIN, GAP = 12, 10
INNER = WIDTH - 2 * MARGIN
HEADING, TITLE, TEXT, NOTE = 28, 23, 19, 16  # sizes of letters; lines are LEADING times as high
LEADING = 1.3


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with Matplotlib."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def framed(image: Image.Image, corner: Place, drawn: Image.Image) -> None:
    """Put a picture into another one, with a line around it. corner: x, y."""
    x, y = corner
    image.paste(drawn, corner)
    box = (x - 1, y - 1, x + drawn.width, y + drawn.height)
    ImageDraw.Draw(image).rectangle(box, outline=EDGE)


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
    x, y = corner
    middles = [(x + col * px + px // 2, y + row * px + px // 2) for row, col in places]
    for before, after in pairwise(middles):
        draw.line((before, after), fill=colour, width=width)


# --- Pages ----------------------------------------------------------------------------------------


class Tile(NamedTuple):
    """A picture and the word above it."""

    title: str
    picture: Image.Image
    colour: Colour = INK


def page(
    heading: str, words: Sequence[str], strips: Sequence[Image.Image], notes: str
) -> Image.Image:
    """words: paragraphs below the heading. strips: as `strip` makes them."""
    head = [_paragraph(heading, HEADING, INK), *(_paragraph(text, TEXT, INK) for text in words)]
    parts = [*head, *strips, _paragraph(notes, NOTE, DIM)]
    image, y = strip(2 * MARGIN + sum(part.height for part in parts)), MARGIN
    for part in parts:
        image.paste(part, (0, y))
        y += part.height
    return image


def strip(height: int) -> Image.Image:
    """An empty part of a page."""
    return Image.new("RGB", (WIDTH, height), BACK)


def row(title: str, tiles: Sequence[Tile] = (), colour: Colour = INK) -> Image.Image:
    """A strip of tiles side by side below a title."""
    highest = max((tile.picture.height for tile in tiles), default=0)
    pictures = (line_height(TEXT) + highest + 14) * bool(tiles)
    image = strip(line_height(TITLE) + pictures + 8)
    write(image, (MARGIN, 6), title, TITLE, colour, bold=True)
    x, y = MARGIN, 8 + line_height(TITLE)
    for tile in tiles:
        write(image, (x, y), tile.title, TEXT, tile.colour)
        framed(image, (x, y + line_height(TEXT)), tile.picture)
        x += tile.picture.width + GAP
    return image


def tile_width(count: int) -> int:
    """Pixels across of one of so many tiles in a row."""
    return (INNER - GAP * (count - 1)) // count


def write(
    image: Image.Image, corner: Place, text: str, size: int, ink: Colour, bold: bool = False
) -> None:
    ImageDraw.Draw(image).text(corner, text, fill=ink, font=font(size, bold))


@cache
def wrapped(text: str, size: int, width: int, bold: bool = False) -> list[str]:
    """Lines of a text that fit a width in pixels."""
    letters = font(size, bold)
    for chars in range(len(text), 8, -1):
        lines = textwrap.wrap(text, chars)
        if all(letters.getlength(line) <= width for line in lines):
            return lines
    return textwrap.wrap(text, 8)


def line_height(size: int) -> int:
    """Height of a line of letters."""
    return round(size * LEADING)


def _paragraph(text: str, size: int, ink: Colour) -> Image.Image:
    bold = size == HEADING
    lines = wrapped(text, size, INNER, bold)
    image = strip(len(lines) * line_height(size))
    for k, line in enumerate(lines):
        write(image, (MARGIN, k * line_height(size)), line, size, ink, bold)
    return image


# --- Files ----------------------------------------------------------------------------------------


def png(image: Image.Image, colours: int = MAX_COLOURS) -> bytes:
    out = io.BytesIO()
    image.quantize(colours, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def gif(frames: Sequence[Image.Image], shown_ms: Sequence[int]) -> bytes:
    """An endless animation in the colours of its last frame; shown_ms: of each frame."""
    palette = frames[-1].quantize(MAX_COLOURS, dither=Image.Dither.NONE)
    first, *others = (each.quantize(palette=palette, dither=Image.Dither.NONE) for each in frames)
    out = io.BytesIO()
    shown = [*shown_ms]
    first.save(
        out, "GIF", save_all=True, append_images=others, duration=shown, loop=0, optimize=True
    )
    return out.getvalue()
