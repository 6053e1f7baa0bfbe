"""Pictures in labelled rows, below a heading and above notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from misgen.experiments.board_drawing import BACK, DIM, EDGE, INK, Colour, font
from misgen.experiments.film_panels import (
    HEADING,
    MARGIN,
    NOTE,
    TEXT,
    TITLE,
    WIDTH,
    line_height,
    wrapped,
)
from misgen.experiments.picture_files import png

GAP = 10
INNER = WIDTH - 2 * MARGIN


@dataclass(frozen=True)
class Tile:
    """A picture and the word above it."""

    title: str
    picture: Image.Image
    colour: Colour = INK


@dataclass(frozen=True)
class Row:
    """Tiles side by side below a title. A row without tiles is text in the colour of the row."""

    title: str
    tiles: Sequence[Tile]
    colour: Colour = INK


def tile_width(count: int) -> int:
    """Pixels across of one of so many tiles in a row."""
    return (INNER - GAP * (count - 1)) // count


def grid(heading: str, words: Sequence[str], rows: Sequence[Row], notes: str) -> bytes:
    """PNG. words: paragraphs below the heading."""
    lines = [(text, HEADING, INK) for text in wrapped(heading, HEADING, INNER, bold=True)]
    lines += [(line, TEXT, INK) for text in words for line in wrapped(text, TEXT, INNER)]
    small = wrapped(notes, NOTE, INNER)
    height = 2 * MARGIN + sum(line_height(size) for _, size, _ in lines)
    height += sum(map(_row_height, rows)) + len(small) * line_height(NOTE)
    image = Image.new("RGB", (WIDTH, height), BACK)
    draw, y = ImageDraw.Draw(image), MARGIN
    for text, size, ink in lines:
        draw.text((MARGIN, y), text, fill=ink, font=font(size, size == HEADING))
        y += line_height(size)
    for row in rows:
        _row(image, draw, row, y)
        y += _row_height(row)
    for text in small:
        draw.text((MARGIN, y), text, fill=DIM, font=font(NOTE))
        y += line_height(NOTE)
    return png(image, 256)


def _row_height(row: Row) -> int:
    pictures = max((tile.picture.height for tile in row.tiles), default=0)
    return line_height(TITLE) + (line_height(TEXT) + pictures + 14) * bool(row.tiles) + 8


def _row(image: Image.Image, draw: ImageDraw.ImageDraw, row: Row, y: int) -> None:
    draw.text((MARGIN, y + 6), row.title, fill=row.colour, font=font(TITLE, True))
    y += 8 + line_height(TITLE)
    x = MARGIN
    for tile in row.tiles:
        draw.text((x, y), tile.title, fill=tile.colour, font=font(TEXT))
        at = (x, y + line_height(TEXT))
        image.paste(tile.picture, at)
        box = (at[0] - 1, at[1] - 1, at[0] + tile.picture.width, at[1] + tile.picture.height)
        draw.rectangle(box, outline=EDGE)
        x += tile.picture.width + GAP
