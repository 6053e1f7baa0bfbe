"""Running and jumping in a platform level (see platforms.py), and what can be reached that way.

A map of `touch` bits says what each square does to who is there: `touch` is uint16 [n, HEIGHT,
WIDTH], of which the rules here use row k. Bits 0-7: deadly in a step that begins in this phase of
the movers; the bits from FIRST_THING on are the family's. Scalar rules.
"""

from enum import IntEnum

import numpy as np

from misgen.envs.core.random import randint
from misgen.envs.worlds.platforms import HEIGHT, MOVER_OFFSET, PERIOD, WIDTH, Mover, Tile

JUMP_SPEED = 2  # rows per step: a jump rises 2 rows, then 1, and falls 1, then 2
FALL_SPEED = -2
SPEEDS = 4  # values of the vertical speed after a step: -2, -1, 0, 1
NUM_PLACES = HEIGHT * WIDTH * SPEEDS
ALL_PHASES = 0xFF
FIRST_THING = 0x400


class Action(IntEnum):
    STAY = 0
    LEFT = 1
    RIGHT = 2
    JUMP = 3
    JUMP_LEFT = 4
    JUMP_RIGHT = 5


NUM_ACTIONS = len(Action)
FIRST_JUMP = int(Action.JUMP)
SIDE = np.array([0, -1, 1, 0, -1, 1], np.int64)  # columns per action


class Touch(IntEnum):
    DEADLY = ALL_PHASES  # in every phase
    SOLID = 0x100
    ICE = 0x200


# Members of enums are slow where rules run uncompiled.
DEADLY, SOLID, ICE = int(Touch.DEADLY), int(Touch.SOLID), int(Touch.ICE)

# Per Tile: free, ground, platform, ice, lava.
TILE_TOUCH = np.array(
    [0, Touch.SOLID, Touch.SOLID, Touch.SOLID | Touch.ICE, Touch.DEADLY], np.int64
)


def touch_terrain(i, level, k, touch):
    """Fill row k of `touch` with the tiles and movers of level i. A mover covers the squares where
    a step finds and leaves it: nobody can swap places with it."""
    for row in range(HEIGHT):
        for col in range(WIDTH):
            touch[k, row, col] = TILE_TOUCH[int(level.tiles[i, row, col])]
    for mover in range(int(level.num_movers[i])):
        for phase in range(PERIOD):
            for later in range(2):
                row, col = mover_square(i, level, mover, phase + later)
                touch[k, row, col] |= 1 << phase


def mover_square(i, level, mover, phase):
    """(row, column) of a mover in a phase of the level."""
    offset = MOVER_OFFSET[(int(level.mover_phase[i, mover]) + phase) % PERIOD]
    row, col = int(level.mover_row[i, mover]), int(level.mover_col[i, mover])
    if level.mover_kind[i, mover] == Mover.SAW:
        return row - offset, col
    return row, col + offset


def touch_at(k, touch, row, col):
    return np.int64(touch[k, row, col])


def standing_row(i, level, col):
    """The row above the highest tile of a column."""
    row = 0
    while level.tiles[i, row + 1, col] == Tile.FREE:
        row += 1
    return row


# Movement


def move(k, touch, row, col, speed, action):
    """Where an action takes the agent: sideways, then up or down, one column and up to two rows.

    Returns (row, col, speed, touch bits of the squares entered or stayed in). It leaves the ground
    if it stood there before it moved, so a jump starts from the edge of a pit.
    """
    jumps = action >= FIRST_JUMP and touch_at(k, touch, row + 1, col) & SOLID != 0
    side = SIDE[action]
    touched = 0
    if side != 0 and touch_at(k, touch, row, col + side) & SOLID == 0:
        col += side
        touched = touch_at(k, touch, row, col)
        on_ice = touch_at(k, touch, row + 1, col) & ICE != 0 and not jumps and speed <= 0
        if on_ice and touch_at(k, touch, row, col + side) & SOLID == 0:
            col += side
            touched |= touch_at(k, touch, row, col)
    speed = JUMP_SPEED if jumps else speed
    if speed > 0:
        row, speed, passed = rise(k, touch, row, col, speed)
    else:
        row, speed, passed = fall(k, touch, row, col, speed)
    return row, col, speed, touched | passed | touch_at(k, touch, row, col)


def rise(k, touch, row, col, speed):
    """Go up `speed` rows or to a ceiling, which stops the jump."""
    touched = 0
    for _ in range(speed):
        if touch_at(k, touch, row - 1, col) & SOLID:
            return row, 0, touched
        row -= 1
        touched |= touch_at(k, touch, row, col)
    return row, speed - 1, touched


def fall(k, touch, row, col, speed):
    """Stand, or go down ever faster until something holds the agent or kills it in any phase."""
    speed = max(speed - 1, FALL_SPEED)
    touched = 0
    for _ in range(-speed):
        here = touch_at(k, touch, row, col) & DEADLY
        if touch_at(k, touch, row + 1, col) & SOLID or here == DEADLY:
            break
        row += 1
        touched |= touch_at(k, touch, row, col)
    if touch_at(k, touch, row + 1, col) & SOLID:
        speed = 0
    return row, speed, touched


# What can be reached. `scratch` has touch [1, HEIGHT, WIDTH], reached and fresh uint8 [NUM_PLACES],
# stack int16 [NUM_PLACES], spots int16 [HEIGHT * WIDTH] and num_spots.


def place_of(row, col, speed):
    return (row * WIDTH + col) * SPEEDS + speed - FALL_SPEED


def explore(i, level, scratch, closed):
    """Fill `reached` (bit p: can be there in phase p) for all places (row, column, speed) that can
    be reached alive, and `spots`, the standable squares row * WIDTH + col. Returns the bits of all
    that can be touched.

    A path ends where it touches one of `closed` (bits); two of them in one step are neither.
    A path does not depend on the phase, so all phases of a place are followed at once.
    """
    scratch.reached[:] = 0
    scratch.fresh[:] = 0
    scratch.num_spots[0] = 0
    start = place_of(int(level.start_row[i]), int(level.start_col[i]), 0)
    top, touchable = arrive(scratch, start, 1, 0), 0
    while top > 0:
        top -= 1
        place = int(scratch.stack[top])
        phases = np.int64(scratch.fresh[place])
        scratch.fresh[place] = 0
        row, col = place // SPEEDS // WIDTH, place // SPEEDS % WIDTH
        stands = touch_at(0, scratch.touch, row + 1, col) & SOLID
        for action in range(NUM_ACTIONS if stands else FIRST_JUMP):  # none in the air
            to_row, to_col, speed, touched = move(
                0, scratch.touch, row, col, place % SPEEDS + FALL_SPEED, action
            )
            alive = phases & ~touched
            ends = touched & closed
            if alive and ends & (ends - 1) == 0:
                touchable |= touched
            if alive and ends == 0:
                alive = ((alive << 1) | (alive >> 7)) & ALL_PHASES
                top = arrive(scratch, place_of(to_row, to_col, speed), alive, top)
    return touchable


def arrive(scratch, place, phases, top):
    """Note that a place can be reached in these phases; returns the new height of the stack."""
    before = np.int64(scratch.reached[place])
    new = phases & ~before
    if new == 0:
        return top
    square = place // SPEEDS
    if place % SPEEDS == -FALL_SPEED:
        here = touch_at(0, scratch.touch, square // WIDTH, square % WIDTH) & DEADLY
        below = touch_at(0, scratch.touch, square // WIDTH + 1, square % WIDTH)
        if below & SOLID and here == 0:
            new = ALL_PHASES & ~before  # it is safe to wait here for any phase
            if before == 0:
                scratch.spots[int(scratch.num_spots[0])] = square
                scratch.num_spots[0] += 1
    scratch.reached[place] = before | new
    if scratch.fresh[place] == 0:
        scratch.stack[top] = place
        top += 1
    scratch.fresh[place] |= new
    return top


def spots_between(scratch, first_col, last_col):
    """Number of standable squares in these columns."""
    count = 0
    for k in range(int(scratch.num_spots[0])):
        if first_col <= int(scratch.spots[k]) % WIDTH <= last_col:
            count += 1
    return count


def draw_spot(i, scratch, rng, stream, first_col, last_col):
    """(row, column) of one of the standable squares in these columns; there must be one."""
    while True:
        square = int(scratch.spots[randint(i, rng, stream, int(scratch.num_spots[0]))])
        if first_col <= square % WIDTH <= last_col:
            return square // WIDTH, square % WIDTH
