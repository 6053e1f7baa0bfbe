"""Level layouts: mazes (keys and chests) and platforms (platformer). Scalar rules."""

from enum import IntEnum

from envs.grid import COL_STEP, ROW_STEP
from envs.random import Stream, randint


class Generator(IntEnum):
    """How the walls of a grid level are drawn."""

    SCATTERED = 0  # an open room with single walls at random cells
    MAZE = 1  # a perfect maze by depth-first search (odd sizes only)
    ROOMS = 2  # four rooms joined by one door in each dividing wall


def scattered_walls(i, wall, rng, size, num_walls):
    """An open room of `size` x `size` cells, border included, with `num_walls` inner walls."""
    for row in range(size):
        for col in range(size):
            border = row == 0 or col == 0 or row == size - 1 or col == size - 1
            wall[i, row, col] = 1 if border else 0
    inner = size - 2
    for _ in range(num_walls):
        cell = randint(i, rng, Stream.LAYOUT, inner * inner)
        wall[i, 1 + cell // inner, 1 + cell % inner] = 1


def maze_walls(i, wall, rng, size, stack):
    """A perfect maze on the odd cells of a `size` x `size` grid, `size` odd.

    `stack`: int16 [n, >= (size // 2) ** 2], scratch.
    """
    for row in range(size):
        for col in range(size):
            wall[i, row, col] = 1
    half = size // 2
    width = wall.shape[2]
    row = 1 + 2 * randint(i, rng, Stream.LAYOUT, half)
    col = 1 + 2 * randint(i, rng, Stream.LAYOUT, half)
    wall[i, row, col] = 0
    stack[i, 0] = row * width + col
    depth = 1
    while depth > 0:
        cell = int(stack[i, depth - 1])
        row, col = cell // width, cell % width
        turn = randint(i, rng, Stream.LAYOUT, 24)
        moved = False
        for k in range(4):
            direction = nth_direction(turn, k)
            to_row, to_col = row + 2 * ROW_STEP[direction], col + 2 * COL_STEP[direction]
            inside = 0 < to_row < size - 1 and 0 < to_col < size - 1
            if inside and wall[i, to_row, to_col] == 1:
                wall[i, row + ROW_STEP[direction], col + COL_STEP[direction]] = 0
                wall[i, to_row, to_col] = 0
                stack[i, depth] = to_row * width + to_col
                depth += 1
                moved = True
                break
        if not moved:
            depth -= 1


def nth_direction(permutation, k):
    """The k-th of the four directions 1..4 in permutation number 0..23."""
    left = 0b1111
    index = permutation
    radix = 6
    for position in range(k + 1):
        choice = index // radix
        index %= radix
        if position < 2:
            radix //= 3 - position
        direction = 0
        while True:
            if (left >> direction) & 1:
                if choice == 0:
                    break
                choice -= 1
            direction += 1
        left &= ~(1 << direction)
        if position == k:
            return direction + 1
    return 1


def room_walls(i, wall, rng, size):
    """Four rooms divided by a cross of walls with one door in each arm."""
    scattered_walls(i, wall, rng, size, 0)
    middle = size // 2
    for k in range(1, size - 1):
        wall[i, middle, k] = 1
        wall[i, k, middle] = 1
    low, high = middle - 1, size - 2 - middle
    wall[i, middle, 1 + randint(i, rng, Stream.LAYOUT, low)] = 0
    wall[i, middle, middle + 1 + randint(i, rng, Stream.LAYOUT, high)] = 0
    wall[i, 1 + randint(i, rng, Stream.LAYOUT, low), middle] = 0
    wall[i, middle + 1 + randint(i, rng, Stream.LAYOUT, high), middle] = 0
