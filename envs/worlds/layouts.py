"""Walls of grid levels: open rooms, mazes, four rooms. Scalar rules."""

from enum import IntEnum
from itertools import permutations

import numpy as np

from misgen.envs.core.random import Stream, randint
from misgen.envs.worlds.grid import COL_STEP, ROW_STEP

DIRECTIONS = np.array([*permutations(range(1, 5))])  # the four in every order


class Generator(IntEnum):
    """How the walls of a grid level are drawn."""

    SCATTERED = 0  # an open room with single walls at random squares
    MAZE = 1  # a perfect maze by depth-first search
    ROOMS = 2  # four rooms joined by one door in each dividing wall


def scattered_walls(i, wall, rng, size, num_walls):
    """An open room of `size` x `size` squares, border included, with `num_walls` inner walls (or as
    many as there are squares)."""
    wall[i, :size, :size] = 1
    wall[i, 1 : size - 1, 1 : size - 1] = 0
    inner = size - 2
    left = min(num_walls, inner * inner)
    while left > 0:
        square = randint(i, rng, Stream.LAYOUT, inner * inner)
        row, col = 1 + square // inner, 1 + square % inner
        if wall[i, row, col] == 0:
            wall[i, row, col] = 1
            left -= 1


def maze_walls(i, wall, rng, size, stack):
    """A perfect maze on the odd squares of a `size` x `size` grid; an even one has a thicker wall.

    `stack`: int16 [>= (size // 2) ** 2], scratch.
    """
    wall[i, :size, :size] = 1
    half = (size - 1) // 2
    width = wall.shape[2]
    row = 1 + 2 * randint(i, rng, Stream.LAYOUT, half)
    col = 1 + 2 * randint(i, rng, Stream.LAYOUT, half)
    wall[i, row, col] = 0
    stack[0] = row * width + col
    depth = 1
    while depth > 0:
        square = int(stack[depth - 1])
        row, col = square // width, square % width
        turn = randint(i, rng, Stream.LAYOUT, 24)
        for k in range(4):
            direction = DIRECTIONS[turn, k]
            to_row, to_col = row + 2 * ROW_STEP[direction], col + 2 * COL_STEP[direction]
            inside = 0 < to_row < size - 1 and 0 < to_col < size - 1
            if inside and wall[i, to_row, to_col] == 1:
                wall[i, row + ROW_STEP[direction], col + COL_STEP[direction]] = 0
                wall[i, to_row, to_col] = 0
                stack[depth] = to_row * width + to_col
                depth += 1
                break
        else:
            depth -= 1


def room_walls(i, wall, rng, size):
    """Four rooms divided by a cross of walls with one door in each arm."""
    scattered_walls(i, wall, rng, size, 0)
    middle = size // 2
    wall[i, middle, :size] = 1
    wall[i, :size, middle] = 1
    low, high = middle - 1, size - 2 - middle
    wall[i, middle, 1 + randint(i, rng, Stream.LAYOUT, low)] = 0
    wall[i, middle, middle + 1 + randint(i, rng, Stream.LAYOUT, high)] = 0
    wall[i, 1 + randint(i, rng, Stream.LAYOUT, low), middle] = 0
    wall[i, middle + 1 + randint(i, rng, Stream.LAYOUT, high), middle] = 0


def kruskal_walls(i, wall, rng, size, passages, root):
    """A perfect maze of rooms on the odd squares of a `size` x `size` grid (odd), walls beyond it:
    passages between rooms are opened in random order wherever they join what is not yet connected
    (Kruskal).

    `passages`: int16 [>= (size // 2) ** 2 * 2], `root`: int16 [>= (size // 2) ** 2], scratch.
    """
    half = size // 2
    wall[i] = 1
    wall[i, 1:size:2, 1:size:2] = 0
    for room in range(half * half):
        root[room] = room
    count = 2 * half * half  # passage 2 r leads from room r to the east, 2 r + 1 to the south
    for k in range(count):
        passages[k] = k
    for k in range(count - 1, -1, -1):
        pick = randint(i, rng, Stream.LAYOUT, k + 1)
        passage = int(passages[pick])
        passages[pick] = passages[k]
        open_passage(i, wall, half, passage, root)


def open_passage(i, wall, half, passage, root):
    """Join the two rooms of a passage unless there is a way between them, or only one room."""
    room, south = passage // 2, passage % 2
    if (south and room // half == half - 1) or (not south and room % half == half - 1):
        return
    here, there = root_of(root, room), root_of(root, room + (half if south else 1))
    if here != there:
        root[here] = there
        wall[i, 1 + 2 * (room // half) + south, 1 + 2 * (room % half) + 1 - south] = 0


def root_of(root, room):
    """The room that stands for all rooms connected with this one."""
    while root[room] != room:
        room = int(root[room])
    return room
