"""Boards of square cells seen from above: walking, floods, corners, views, drawings.

A square of an H x W board is also its index row * W + col. Scalar rules, but for `square_board`.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from functools import partial
from typing import Any

import numpy as np

from misgen.envs.core.board import ONE_AGENT, START, Board, Limit, Thing
from misgen.envs.core.random import randint

ROW_STEP = np.array([0, -1, 0, 1, 0], np.int64)  # per Action
COL_STEP = np.array([0, 0, -1, 0, 1], np.int64)


class Action(IntEnum):
    STAY = 0
    UP = 1
    LEFT = 2
    DOWN = 3
    RIGHT = 4


def walk(i, wall, width, square, action):
    """The square that a step leads to on a board of `width` columns: the same one against a
    wall."""
    row, col = square // width + ROW_STEP[action], square % width + COL_STEP[action]
    if wall[i, row, col] == 1:
        return square
    return row * width + col


def random_square(i, rng, stream, size, width):
    """A square inside the border of a board of `size` squares a side, uniformly drawn."""
    inner = size - 2
    draw = randint(i, rng, stream, inner * inner)
    return (1 + draw // inner) * width + 1 + draw % inner


def free_neighbours(i, wall, width, square):
    """How many of the four squares beside an inner one are free; 1 of a free one: a dead end."""
    count = 0
    for direction in range(1, len(ROW_STEP)):
        row = square // width + ROW_STEP[direction]
        count += wall[i, row, square % width + COL_STEP[direction]] == 0
    return count


# The 3x3 corners of a board of `size` squares a side, border included. They count north-east,
# north-west, south-east, south-west; offsets in a corner count row by row.
CORNER_SQUARES = 9
CENTRE = 4  # its offset
NORTH_EAST = 0


def in_corner(row, col, size):
    """Whether an inner square belongs to a corner."""
    return (row <= 3 or row >= size - 4) and (col <= 3 or col >= size - 4)


def corner_square(corner, offset, size, width):
    """The square, on a board of `width` columns, of an offset of a corner."""
    row = 1 + offset // 3 + (size - 5) * (corner // 2)
    col = 1 + offset % 3 + (size - 5) * (1 - corner % 2)
    return row * width + col


def corner_offset(row, col, size):
    """The offset of a square of a corner, whichever it is: the inverse of `corner_square` where
    the corners do not overlap (size >= 8)."""
    row = row - 1 if row <= 3 else row - (size - 4)
    col = col - 1 if col <= 3 else col - (size - 4)
    return 3 * row + col


def flood(i, wall, stop, row, col, size, queue, seen):
    """Squares reachable from (row, col) without entering a wall or leaving a `stop` square.

    Args:
        wall: uint8 [n, H, W], 1 = wall; the used part [0, size) has a border of walls.
        stop: uint8 [H, W], 1 = may be entered, not left; the start is left even so.
        queue: int16 [>= H * W], scratch.
        seen: uint8 [H, W], becomes 1 on reached squares and 0 elsewhere in the used part.
    """
    seen[:size, :size] = 0
    queue[0] = row * 128 + col
    seen[row, col] = 1
    head, tail = 0, 1
    while head < tail:
        row, col = int(queue[head]) >> 7, int(queue[head]) & 127
        head += 1
        if stop[row, col] and head > 1:
            continue
        for direction in range(1, 5):
            to_row, to_col = row + ROW_STEP[direction], col + COL_STEP[direction]
            if wall[i, to_row, to_col] == 0 and seen[to_row, to_col] == 0:
                seen[to_row, to_col] = 1
                queue[tail] = to_row * 128 + to_col
                tail += 1


# Views: `shown` holds the board with a margin of `view` squares, so that a view is a part of it.


def show_walls(i, wall, view, bits, shown):
    """Show `bits` where there is a wall and nothing elsewhere; the margin does not change."""
    for row in range(wall.shape[1]):
        for col in range(wall.shape[2]):
            shown[i, row + view, col + view] = int(wall[i, row, col]) * bits


def show(i, square, width, view, bits, shown):
    """Show `bits` on a square, whatever was shown there before; square 0: there is none. `width`:
    columns of the board."""
    if square > 0:
        shown[i, square // width + view, square % width + view] = bits


def crop(i, shown, square, width, rows, cols, first_row, cells):
    """Copy the part of `shown` in the middle of which this square is: `rows` x `cols` squares, from
    row `first_row` of the cells on."""
    top, left = square // width, square % width
    for row in range(rows):
        for col in range(cols):
            cells[i, first_row + row, col] = shown[i, top + row, left + col]


def paint_board(i, shown, size, square, width, view, agent):
    """The whole board as cells [size, size], with the bits `agent` on its square."""
    cells = shown[i, view : view + size, view : view + size].copy()
    cells[square // width, square % width] |= agent
    return cells


# Drawings


def square_board(
    max_size: int,
    things: str,
    draw_things: Callable[[Any, int], Iterable[Thing]],
    put: Callable[[Any, str, int, int], None],
    check: Callable[[Any], None],
    *limits: Limit,
) -> Board:
    """The drawings of a family whose Level has `wall` [n, max_size, max_size] and `size`; see Board
    for the rest. `things`: glyphs beside the walls '#' and the agent's start 'A'."""

    def begin(level: Any, rows: int, cols: int) -> None:
        level.wall[:] = 1
        level.size[0] = rows

    return Board(
        terrain={".": 0, "#": 1},
        field="wall",
        rows=(3, max_size),
        cols=(3, max_size),
        is_square=True,
        things=START + things,
        limits=(ONE_AGENT, *limits),
        size_of=lambda level, i: (int(level.size[i]), int(level.size[i])),
        draw_things=draw_things,
        begin=begin,
        put=put,
        check=check,
    )


def board_of_squares(max_size: int, glyphs: Mapping[str, Mapping[str, int | None]]) -> Board:
    """The same where a field of the Level holds the square of each thing (0: there is none), all of
    which must be reachable.

    `glyphs`: glyph -> the fields that it means; None is in place of the square, as in
    {"A": {"start": None}, "y": {"line": None, "line_look": Look.YELLOW}}.
    """
    square_of = {  # glyph -> the field of its square
        glyph: next(name for name, value in fields.items() if value is None)
        for glyph, fields in glyphs.items()
    }
    names = [name for name in dict.fromkeys(square_of.values()) if name != "start"]

    def draw_things(level: Any, i: int) -> Iterable[Thing]:
        for glyph, fields in reversed([*glyphs.items()]):
            values = {name: int(getattr(level, name)[i]) for name in fields}
            square = values[square_of[glyph]]
            if square > 0 and all(fields[name] in (None, values[name]) for name in fields):
                yield *divmod(square, max_size), glyph

    def put(level: Any, glyph: str, row: int, col: int) -> None:
        for name, value in glyphs[glyph].items():
            getattr(level, name)[0] = row * max_size + col if value is None else value

    def limit(name: str) -> Limit:
        drawn = "".join(glyph for glyph, field in square_of.items() if field == name)
        return Limit(glyphs=drawn, name=f"one {name} at most", least=0, most=1)

    return square_board(
        max_size,
        "".join(glyphs).replace(START, ""),
        draw_things,
        put,
        partial(_check_reachable, names, max_size),
        *map(limit, names),
    )


def _check_reachable(names: list[str], width: int, level: Any) -> None:
    """ValueError unless there is something beside the start, and all of it can be reached."""
    stop, seen = np.zeros((2, width, width), np.uint8)
    queue = np.zeros(width * width, np.int16)
    row, col = divmod(int(level.start[0]), width)
    flood(0, level.wall, stop, row, col, int(level.size[0]), queue, seen)
    squares = {name: int(getattr(level, name)[0]) for name in names}
    if not any(squares.values()):
        raise ValueError(f"a board has something to reach, of {', '.join(squares)}; this has none")
    for name, square in squares.items():
        row, col = divmod(square, width)
        if square > 0 and not seen[row, col]:
            raise ValueError(
                f"the {name} must be reachable from A; the one at row {row}, column {col} is "
                "walled off; open a path to it"
            )
