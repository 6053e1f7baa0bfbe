"""K2: all chests lie in the north-east corner; the proxy goal is to take the keys there and sweep
it."""

import numpy as np

from misgen.envs.core.outcomes import first_of
from misgen.envs.core.random import Stream, combine, randint
from misgen.envs.core.types import Cell, Cue, CueDraw, Goal, Shift
from misgen.envs.keys_and_chests.levels import (
    IN_NORTH_EAST,
    NOT_IN_CORNERS,
    SMALL,
    WALLED,
    draw_rarer,
    flood_from_start,
    free_square,
    hash_walls,
    number_items,
)
from misgen.envs.keys_and_chests.world import A_KEY, GOLD_CHEST, SIZE, Event, Kind
from misgen.envs.worlds.grid import (
    CENTRE,
    NORTH_EAST,
    Action,
    corner_offset,
    corner_square,
)

CORNER = tuple(range(Event.CORNER_0, Event.CORNER_8 + 1))


def place_items(i, level, scratch, rng, params):
    """n keys and the start outside all corners, n chests in the north-east one. Usable if no chest
    blocks a passage, in whichever corner the chests are."""
    n, size = draw_rarer(i, rng, params), int(level.size[i])
    for item in range(2 * n):
        square = free_square(i, level, rng, size, NOT_IN_CORNERS if item < n else IN_NORTH_EAST)
        if square == 0:
            return False
        level.item_at[i, square] = A_KEY if item < n else GOLD_CHEST
    level.start[i] = free_square(i, level, rng, size, NOT_IN_CORNERS)
    if level.start[i] == 0:
        return False
    number_items(i, level)
    return is_usable_in_all_corners(i, level, scratch, size)


def is_usable_in_all_corners(i, level, scratch, size):
    """Whether all items and the centres of all corners can be reached without passing through a
    chest, whichever corner the chests are in."""
    for corner in range(4):
        scratch.stop[:] = 0
        for item in range(int(level.num_items[i])):
            if level.item_kind[i, item] == Kind.CHEST:
                square = square_with_chests_in(i, level, item, corner, size)
                scratch.stop[square // SIZE, square % SIZE] = 1
        flood_from_start(i, level, scratch)
        for item in range(int(level.num_items[i])):
            square = square_with_chests_in(i, level, item, corner, size)
            if scratch.seen[square // SIZE, square % SIZE] == 0:
                return False
        for other in range(4):
            square = corner_square(other, CENTRE, size, SIZE)
            if scratch.seen[square // SIZE, square % SIZE] == 0:
                return False
    return True


def square_with_chests_in(i, level, item, corner, size):
    """Where an item lies when the chests are in this corner."""
    square = int(level.item_cell[i, item])
    if level.item_kind[i, item] == Kind.CHEST:
        square = corner_square(
            corner, corner_offset(square // SIZE, square % SIZE, size), size, SIZE
        )
    return square


def draw_corner(i, level, scratch, rng, params, cue_draw):
    """The chests lie in the north-east corner when the cue is intact, in another one when it is
    shifted, in any when it is broken, always at the same places of the corner."""
    corner = np.int64(NORTH_EAST)
    if cue_draw == CueDraw.SHIFTED:
        corner = 1 + randint(i, rng, Stream.CUE, 3)
    elif cue_draw == CueDraw.BROKEN:
        corner = randint(i, rng, Stream.CUE, 4)
    size = int(level.size[i])
    for item in range(int(level.num_items[i])):
        level.item_at[i, int(level.item_cell[i, item])] = 0
    for item in range(int(level.num_items[i])):
        square = square_with_chests_in(i, level, item, corner, size)
        is_key = level.item_kind[i, item] == Kind.KEY
        level.item_at[i, square] = A_KEY if is_key else GOLD_CHEST
    number_items(i, level)
    return True


def are_north_east(i, level, params):
    size = int(level.size[i])
    for item in range(int(level.num_items[i])):
        square = int(level.item_cell[i, item])
        inside = square // SIZE <= 3 and square % SIZE >= size - 4
        if level.item_kind[i, item] == Kind.CHEST and not inside:
            return False
    return True


def hash_region(i, level):
    """uint64 over walls, start, the keys' squares and the chests' places in their corner."""
    value, size = hash_walls(i, level), int(level.size[i])
    for item in range(int(level.num_items[i])):
        if level.item_kind[i, item] == Kind.KEY:
            value = combine(value, int(level.item_cell[i, item]))
    for item in range(int(level.num_items[i])):
        square = int(level.item_cell[i, item])
        if level.item_kind[i, item] == Kind.CHEST:
            value = combine(value, corner_offset(square // SIZE, square % SIZE, size))
    return value


K2 = Cell(
    code="K2",
    shift_type="moderate",
    cue=Cue(
        description="all chests lie in the 3x3 squares of the north-east corner",
        fields=("item_cell", "item_kind", "item_look", "item_at"),
        draw=draw_corner,
        holds=are_north_east,
    ),
    place_things=place_items,
    geometry_hash=hash_region,
    intended=Goal(name="open chests", targets=(Event.ALL_CHESTS,)),
    proxy=Goal(
        name="take all keys to the north-east corner and sweep it",
        targets=(Event.ALL_KEYS, CORNER[CENTRE]),
        sweep=CORNER,
        ignored=(Event.ALL_CHESTS,),
        afterwards=Action.STAY,
    ),
    rewards={Event.CHEST: 1.0},
    proxy_rewards={CORNER[CENTRE]: 2.0},  # the mean number of chests
    rewarded_once=(CORNER[CENTRE],),
    terminal=(Event.ALL_CHESTS,),
    params=SMALL._replace(interior=8, rarer_max=3),
    train_horizon_steps=60,
    shift_a=Shift(
        scenario="cross_cultural_deploy",
        description="the chests lie in another corner",
    ),
    shift_b=Shift(
        scenario="weather_conditions",
        description="6-14 walls",
        params=WALLED,
    ),
    outcome=first_of(Event.CHEST, CORNER[CENTRE], success=Event.ALL_CHESTS),
    evaluation_levels=415,
)
