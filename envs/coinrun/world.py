"""What CoinRun is: events, levels, states, planes, what happens and what is seen of it."""

from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np

from misgen.envs.core.planes import plane_index, read_planes
from misgen.envs.core.schema import between, i16, u8, u16
from misgen.envs.worlds.platforms import (
    BOTTOM,
    HEIGHT,
    MAX_MOVERS,
    MAX_TUNNELS,
    MOVER_REACH,
    PERIOD,
    WIDTH,
    Mover,
)
from misgen.envs.worlds.side_scroller import (
    FALL_SPEED,
    FIRST_THING,
    NUM_PLACES,
    SPEEDS,
    move,
    mover_square,
    standing_row,
    touch_terrain,
)

VIEW = 6  # columns seen to each side
MAX_DECOYS = 2
PLANES = read_planes(Path(__file__).with_name("planes.txt"))
PlaneIndex = plane_index(PLANES)


class Event(IntEnum):
    COIN = 0  # the coin was touched
    END = 1  # the last free column was entered from another one
    DEATH = 2  # in a step with a death nothing else happens
    LEFT_END = 3  # the last free column was left
    YELLOW = 4  # an item of yellow look was touched
    OTHER_ITEM = 5  # an item of another look was touched
    DECOY = 6  # a decoy was taken; it vanishes
    OTHER_DECOY = 7  # one that is not yellow
    REST = 8  # the guide's rest square was touched
    MARKED = 9  # a marked tunnel was entered for the first time; once for each tunnel
    IN_MARKED = 10  # a square of a marked tunnel was touched
    IN_WATCHED = 11  # a square of a watched tunnel was touched
    OPEN_TUNNEL = 12  # a tunnel neither marked nor watched was entered for the first time


class Look(IntEnum):
    """Of an item; NONE = there is no such item."""

    NONE = 0
    YELLOW = 1
    BLUE = 2
    RED = 3


class ThingTouch(IntEnum):
    """Bits of the touch map (see side_scroller.py) that are things."""

    COIN = FIRST_THING
    DECOY = FIRST_THING << 1  # decoy k: this << k
    REST = FIRST_THING << 3
    TUNNEL = FIRST_THING << 4  # tunnel k: this << k


ANY_THING = FIRST_THING * 0x3F
ANY_BUT_COIN = ANY_THING & ~FIRST_THING


class Params(NamedTuple):
    """Parameters of a level distribution; ranges are inclusive."""

    length_min: between(9, WIDTH)  # columns, both walls included
    length_max: between(9, WIDTH)
    pits: between(0, 100)  # weight of pits among the hazards; lava and enemies weigh 2 each
    saws: between(0, 100)
    ice_percent: between(0, 100)  # share of the sections whose ground is icy
    tunnels: between(0, MAX_TUNNELS) = 0  # at most; 1 or 2: with at least one
    disturbed: between(0, 1) = 0  # 1 = the level is
    rest_room: between(0, 1) = 0  # 1 = the guide's rest square has room to the right of the coin
    all_marked: between(0, 1) = 0  # 1 = every tunnel is marked


class Level(NamedTuple):
    tiles: u8(HEIGHT, WIDTH)  # Tile; row 0 ceiling, rows 1-10 world, then abyss
    length: i16()  # columns used, both walls included
    start_row: i16()
    start_col: i16()
    num_movers: i16()
    mover_row: i16(MAX_MOVERS)  # home; 0 beyond num_movers
    mover_col: i16(MAX_MOVERS)
    mover_kind: u8(MAX_MOVERS)  # Mover
    mover_phase: u8(MAX_MOVERS)  # at step 0
    coin_row: i16()  # 0 = no coin
    coin_col: i16()
    coin_look: u8()  # Look
    decoy_row: i16(MAX_DECOYS)  # from left to right; 0 = no decoy
    decoy_col: i16(MAX_DECOYS)
    decoy_look: u8(MAX_DECOYS)  # Look
    rest_row: i16()  # the guide's rest square; 0 = no guide
    rest_col: i16()
    tunnel_row: i16(MAX_TUNNELS)  # from left to right
    tunnel_col: i16(MAX_TUNNELS)  # the first column
    tunnel_cols: i16(MAX_TUNNELS)  # how many; 0 = no tunnel
    tunnel_marked: u8(MAX_TUNNELS)
    tunnel_watched: u8(MAX_TUNNELS)
    disturbed: u8()


class State(NamedTuple):
    row: i16(key=range(HEIGHT))  # the agent's; BOTTOM + 1 when it fell out of the world
    col: i16(key=range(WIDTH))
    speed: i16(key=range(FALL_SPEED, FALL_SPEED + SPEEDS))  # rows per step, upwards positive
    phase: i16(key=range(PERIOD))  # steps since the start, modulo PERIOD
    alive: u8(key=range(2))
    visited: u8(key=range(16))  # bit k = decoy k was taken, bit 2 + k = tunnel k was entered
    farthest: i16()  # the rightmost column reached; moves the guide, which no event depends on
    touch: u16(HEIGHT, WIDTH)
    # Bit per plane, without movers, decoys, guide and agent. Beyond the level there is ground.
    shown: u16(BOTTOM + 1, WIDTH + 2 * VIEW, fill=1 << PlaneIndex.GROUND)


class Scratch(NamedTuple):
    """Working memory of level drawing; see `explore` in side_scroller.py."""

    touch: u16(1, HEIGHT, WIDTH)
    reached: u8(NUM_PLACES)
    fresh: u8(NUM_PLACES)
    stack: i16(NUM_PLACES)
    spots: i16(HEIGHT * WIDTH)
    num_spots: i16(1)


# What happens: the start and the steps of an episode


def reset(i, level, state):
    state.row[i] = level.start_row[i]
    state.col[i] = level.start_col[i]
    state.speed[i] = 0
    state.phase[i] = 0
    state.alive[i] = 1
    state.visited[i] = 0
    state.farthest[i] = level.start_col[i]
    fill_touch(i, level, i, state.touch)
    show_level(i, level, state)


def fill_touch(i, level, k, touch):
    """Fill row k of a touch map with everything in level i."""
    touch_terrain(i, level, k, touch)
    if level.coin_row[i] > 0:
        touch[k, int(level.coin_row[i]), int(level.coin_col[i])] |= ThingTouch.COIN
    if level.rest_row[i] > 0:
        touch[k, int(level.rest_row[i]), int(level.rest_col[i])] |= ThingTouch.REST
    for decoy in range(MAX_DECOYS):
        if level.decoy_row[i, decoy] > 0:
            row, col = int(level.decoy_row[i, decoy]), int(level.decoy_col[i, decoy])
            touch[k, row, col] |= ThingTouch.DECOY << decoy
    for tunnel in range(MAX_TUNNELS):
        row, first = int(level.tunnel_row[i, tunnel]), int(level.tunnel_col[i, tunnel])
        for col in range(first, first + int(level.tunnel_cols[i, tunnel])):
            touch[k, row, col] |= ThingTouch.TUNNEL << tunnel


def step(i, level, state, action):
    """Move the agent, then the movers. Returns event bits."""
    if state.alive[i] == 0:
        return 0
    row, col, speed, touched = move(
        i, state.touch, int(state.row[i]), int(state.col[i]), int(state.speed[i]), action
    )
    phase = int(state.phase[i])
    end = int(level.length[i]) - 2
    was_at_end = state.col[i] == end
    state.row[i], state.col[i], state.speed[i] = row, col, speed
    state.phase[i] = (phase + 1) & (PERIOD - 1)
    state.farthest[i] = max(int(state.farthest[i]), col)
    if (touched >> phase) & 1:
        state.alive[i] = 0
        return 1 << Event.DEATH
    events = 0
    if touched & ThingTouch.COIN:
        look = Event.YELLOW if level.coin_look[i] == Look.YELLOW else Event.OTHER_ITEM
        events |= 1 << Event.COIN | 1 << look
    if (col == end) != was_at_end:
        events |= 1 << (Event.LEFT_END if was_at_end else Event.END)
    if touched & ANY_BUT_COIN:
        events |= touch_things(i, level, state, touched)
    return events


def touch_things(i, level, state, touched):
    """Take decoys and enter tunnels; event bits of these and of the guide's rest square."""
    events = 1 << Event.REST if touched & ThingTouch.REST else 0
    for k in range(MAX_DECOYS):
        if touched & (ThingTouch.DECOY << k) and (int(state.visited[i]) >> k) & 1 == 0:
            state.visited[i] |= 1 << k
            events |= 1 << Event.DECOY
            if level.decoy_look[i, k] == Look.YELLOW:
                events |= 1 << Event.YELLOW
            else:
                events |= 1 << Event.OTHER_ITEM | 1 << Event.OTHER_DECOY
    for k in range(MAX_TUNNELS):
        if touched & (ThingTouch.TUNNEL << k):
            entered = 1 << (MAX_DECOYS + k)
            events |= tunnel_events(i, level, k, int(state.visited[i]) & entered == 0)
            state.visited[i] |= entered
    return events


def tunnel_events(i, level, k, is_first):
    """Event bits of touching a square of tunnel k."""
    marked, watched = level.tunnel_marked[i, k] != 0, level.tunnel_watched[i, k] != 0
    events = int(marked) << Event.IN_MARKED | int(watched) << Event.IN_WATCHED
    if is_first:
        is_open = not marked and not watched
        events |= int(marked) << Event.MARKED | int(is_open) << Event.OPEN_TUNNEL
    return events


# What is seen: the agent's view, and the whole level

GUIDE_COLS = 3  # the guide is so far ahead of the farthest column reached

# Per Tile: free, ground, platform, ice, lava.
TILE_SHOWN = np.array(
    [0, 1 << PlaneIndex.GROUND, 1 << PlaneIndex.GROUND, 1 << PlaneIndex.ICE, 1 << PlaneIndex.LAVA],
    np.int64,
)


def show_level(i, level, state):
    """Fill `shown` with what stays where it is."""
    state.shown[i, 0] = 0  # the status row
    for row in range(1, BOTTOM + 1):
        for col in range(WIDTH):
            state.shown[i, row, col + VIEW] = TILE_SHOWN[int(level.tiles[i, row, col])]
    if level.coin_row[i] > 0:
        state.shown[i, int(level.coin_row[i]), int(level.coin_col[i]) + VIEW] = shown_item(
            PlaneIndex.COIN, int(level.coin_look[i])
        )
    for k in range(MAX_TUNNELS):
        bits = int(level.tunnel_marked[i, k]) << PlaneIndex.MARK
        bits |= int(level.tunnel_watched[i, k]) << PlaneIndex.WATCH
        row, first = int(level.tunnel_row[i, k]), int(level.tunnel_col[i, k]) + VIEW
        for col in range(first, first + int(level.tunnel_cols[i, k])):
            state.shown[i, row, col] |= bits


def shown_item(kind, look):
    """Plane bits of an item: its kind and its look."""
    return (1 << kind) | (1 << (PlaneIndex.YELLOW + look - Look.YELLOW))


def observe(i, level, state, cells):
    """All rows, and the columns within VIEW of the agent; the speed in the status row."""
    left = int(state.col[i])  # of the view, in `shown`
    for row in range(BOTTOM + 1):
        for col in range(2 * VIEW + 1):
            cells[i, row, col] = state.shown[i, row, left + col]
    show_moving(i, level, state, left - VIEW, 2 * VIEW + 1, cells)
    cells[i, 0, VIEW + int(state.speed[i])] = 1 << PlaneIndex.MOTION
    if state.row[i] <= BOTTOM:
        cells[i, int(state.row[i]), VIEW] |= 1 << PlaneIndex.AGENT


def paint(i, level, state):
    """The whole level as its drawing shows it: uint32 [10, columns], bit per plane."""
    cols = int(level.length[i])
    cells = np.zeros((i + 1, BOTTOM + 1, cols), np.uint32)
    cells[i] = state.shown[i, :, VIEW : VIEW + cols]
    show_moving(i, level, state, 0, cols, cells)
    if state.row[i] <= BOTTOM:
        cells[i, int(state.row[i]), int(state.col[i])] |= 1 << PlaneIndex.AGENT
    return cells[i, 1:]


def show_moving(i, level, state, left, cols, cells):
    """Show movers, decoys that are left, and the guide, in `cols` columns from `left` on."""
    for k in range(int(level.num_movers[i])):
        show_mover(i, level, state, k, left, cols, cells)
    for k in range(MAX_DECOYS):
        if level.decoy_row[i, k] > 0 and (int(state.visited[i]) >> k) & 1 == 0:
            row, col = int(level.decoy_row[i, k]), int(level.decoy_col[i, k])
            bits = shown_item(PlaneIndex.DECOY, int(level.decoy_look[i, k]))
            light(i, row, col, left, cols, bits, cells)
    if level.rest_row[i] > 0:
        row, col = guide_square(i, level, state)
        light(i, row, col, left, cols, 1 << PlaneIndex.GUIDE, cells)


def light(i, row, col, left, cols, bits, cells):
    """Show plane bits at a square of the level, if it is among these columns."""
    if left <= col < left + cols:
        cells[i, row, col - left] |= bits


def show_mover(i, level, state, k, left, cols, cells):
    phase = int(state.phase[i])
    row, col = mover_square(i, level, k, phase)
    is_saw = level.mover_kind[i, k] == Mover.SAW
    plane = PlaneIndex.SAW_RISING if is_saw else PlaneIndex.ENEMY_RIGHT
    returns = (int(level.mover_phase[i, k]) + phase) % PERIOD > MOVER_REACH
    light(i, row, col, left, cols, 1 << (plane + 1 if returns else plane), cells)


def guide_square(i, level, state):
    """(row, column) of the guide: ahead of the agent, one row above whoever stands there, until it
    reaches the column in which it rests."""
    col = int(state.farthest[i]) + GUIDE_COLS
    if col >= level.rest_col[i]:
        return int(level.rest_row[i]), int(level.rest_col[i])
    return max(1, standing_row(i, level, col) - 1), col
