"""What CoinRun consists of: events, levels, states, planes."""

from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from misgen.envs.core.planes import plane_index, read_planes
from misgen.envs.core.schema import between, i16, u8, u16
from misgen.envs.worlds.platforms import (
    BOTTOM,
    HEIGHT,
    MAX_MOVERS,
    MAX_TUNNELS,
    PERIOD,
    WIDTH,
)
from misgen.envs.worlds.side_scroller import FALL_SPEED, FIRST_THING, NUM_PLACES, SPEEDS

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
