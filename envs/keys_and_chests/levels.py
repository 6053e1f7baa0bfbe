"""How levels of keys and chests are drawn, and what its cells have in common."""

import numpy as np

from misgen.envs.core.random import Stream, combine, mix, randint, randint_once
from misgen.envs.keys_and_chests.world import MAX_ITEMS, SIZE, Kind, Params
from misgen.envs.worlds.grid import (
    CORNER_SQUARES,
    NORTH_EAST,
    corner_square,
    flood,
    in_corner,
    random_square,
)
from misgen.envs.worlds.layouts import Generator, maze_walls, room_walls, scattered_walls

SMALL = Params(
    interior=6,
    generator=Generator.SCATTERED,
    walls_min=0,
    walls_max=4,
    rarer_min=1,
    rarer_max=2,
)
WALLED = {"walls_min": 6, "walls_max": 14}
LARGER = {"interior": 8, **WALLED}
TRAIN_HORIZON_STEPS = 50
PLACE_DRAWS = 100 * SIZE  # of a square, before the geometry is given up
ANYWHERE, NOT_IN_CORNERS, IN_NORTH_EAST = range(3)


def sample_geometry(i, level, scratch, rng, params):
    """Walls, and no items."""
    size = params.interior + 2
    level.size[i] = size
    level.disturbed[i] = params.disturbed
    level.wall[i] = 1
    if params.generator == Generator.MAZE:
        maze_walls(i, level.wall, rng, size, scratch.queue)
    elif params.generator == Generator.ROOMS:
        room_walls(i, level.wall, rng, size)
    else:
        span = params.walls_max - params.walls_min + 1
        num_walls = params.walls_min + randint(i, rng, Stream.LAYOUT, span)
        scattered_walls(i, level.wall, rng, size, num_walls)
    level.item_at[i] = 0
    scratch.stop[:] = 0
    return True


def draw_rarer(i, rng, params):
    """n, which belongs to the level seed."""
    span = params.rarer_max - params.rarer_min + 1
    return params.rarer_min + randint_once(i, rng, Stream.ITEMS, 0, span)


def scatter(i, level, scratch, rng, num_items, keys_block):
    """Place the `listed` items and the start on free squares, and list them. Returns whether there
    was room and every item can be reached without passing through a key (`keys_block` 1) or through
    a container (0)."""
    size = int(level.size[i])
    if num_items > MAX_ITEMS:
        return False
    for item in range(num_items):
        code = int(scratch.listed[item])
        square = free_square(i, level, rng, size, ANYWHERE)
        if square == 0:
            return False
        level.item_at[i, square] = code
        if (code & 3 == Kind.KEY) == (keys_block == 1):
            scratch.stop[square // SIZE, square % SIZE] = 1
    level.start[i] = free_square(i, level, rng, size, ANYWHERE)
    if level.start[i] == 0:
        return False
    number_items(i, level)
    flood_from_start(i, level, scratch)
    return all_seen(i, level, scratch)


def free_square(i, level, rng, size, where):
    """A uniformly drawn square without wall or item; 0 if there seems to be none. `where`:
    ANYWHERE, NOT_IN_CORNERS or IN_NORTH_EAST."""
    for _ in range(PLACE_DRAWS):
        if where == IN_NORTH_EAST:
            offset = randint(i, rng, Stream.ITEMS, CORNER_SQUARES)
            square = corner_square(NORTH_EAST, offset, size, SIZE)
        else:
            square = random_square(i, rng, Stream.ITEMS, size, SIZE)
        row, col = square // SIZE, square % SIZE
        if where == NOT_IN_CORNERS and in_corner(row, col, size):
            continue
        if level.wall[i, row, col] == 0 and level.item_at[i, square] == 0:
            return square
    return 0


def flood_from_start(i, level, scratch):
    start, size = int(level.start[i]), int(level.size[i])
    row, col = start // SIZE, start % SIZE
    flood(i, level.wall, scratch.stop, row, col, size, scratch.queue, scratch.seen)


def all_seen(i, level, scratch):
    """Whether all items were reached."""
    for item in range(int(level.num_items[i])):
        square = int(level.item_cell[i, item])
        if scratch.seen[square // SIZE, square % SIZE] == 0:
            return False
    return True


def number_items(i, level):
    """List the items of the board, given as codes, in the order of their squares; `item_at` becomes
    their number."""
    item = 0
    size = int(level.size[i])
    for row in range(1, size - 1):
        for square in range(row * SIZE + 1, row * SIZE + size - 1):
            code = int(level.item_at[i, square])
            if code != 0:
                list_item(i, level, item, square, code)
                item += 1
                level.item_at[i, square] = item
    level.num_items[i] = item
    for k in range(item, MAX_ITEMS):
        list_item(i, level, k, 0, 0)


def list_item(i, level, item, square, code):
    level.item_cell[i, item] = square
    level.item_kind[i, item] = code & 3
    level.item_look[i, item] = (code >> 2) & 3
    level.item_owned[i, item] = (code >> 4) & 1
    level.item_watched[i, item] = (code >> 5) & 1


# What makes two levels of a cell the same geometry. The order and the numbers decide which are
# held out, so a change of them is a change of results.


def hash_walls(i, level):
    """uint64 over the walls and the start."""
    size = int(level.size[i])
    value = mix(np.uint64(size * 1024 + int(level.start[i])))
    for row in range(1, size - 1):
        bits = 0
        for col in range(1, size - 1):
            bits = bits * 2 + int(level.wall[i, row, col])
        value = combine(value, bits)
    return value


def hash_items(i, level):
    """uint64 over walls, start, and the items' squares, kinds and owners."""
    value = hash_walls(i, level)
    for item in range(int(level.num_items[i])):
        what = int(level.item_kind[i, item]) + 4 * int(level.item_owned[i, item])
        value = combine(value, int(level.item_cell[i, item]) + SIZE * SIZE * what)
    return value
