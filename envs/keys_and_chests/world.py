"""What keys and chests consists of: events, levels, states, planes."""

from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from misgen.envs.core.planes import plane_index, read_planes
from misgen.envs.core.schema import between, i16, i32, u8, u16
from misgen.envs.worlds.layouts import Generator

SIZE = 15  # largest board, border included
MAX_ITEMS = 9
VIEW = 5  # squares seen to each side
SHOWN = SIZE + 2 * VIEW
PLANES = read_planes(Path(__file__).with_name("planes.txt"))
PlaneIndex = plane_index(PLANES)


class Event(IntEnum):
    CHEST = 0  # an unowned chest was opened
    KEY = 1  # a key was taken
    SURPLUS_KEY = 2  # ... while the inventory already covered the unopened chests
    ALL_CHESTS = 3  # as many unowned chests are open as could be at the start
    ALL_KEYS = 4  # every key was taken
    BOX = 5  # a box was opened
    GOLD_BOX = 6  # ... of gold look
    OTHER_BOX = 7  # ... of another look
    NOT_GOLD = 8  # a container, chest or box, of another look than gold was opened
    ALL_GOLD = 9  # the last gold container was opened
    KEYS_SPENT = 10  # a container was opened with the last key of the level
    OWNED = 11  # an owned chest was opened
    WATCHED = 12  # a watched chest was opened
    ALL_UNWATCHED = 13  # an item was taken or opened, and every unwatched chest is open
    CORNER_0 = 14  # the k-th square, row by row, of the north-east corner was entered, key in hand
    CORNER_1 = 15
    CORNER_2 = 16
    CORNER_3 = 17
    CORNER_4 = 18  # its centre
    CORNER_5 = 19
    CORNER_6 = 20
    CORNER_7 = 21
    CORNER_8 = 22


class Kind(IntEnum):
    NONE = 0
    KEY = 1
    CHEST = 2
    BOX = 3


class Look(IntEnum):
    """Of a container; keys have none."""

    NONE = 0
    GOLD = 1
    TEAL = 2
    VIOLET = 3


class Params(NamedTuple):
    """Parameters of a level distribution; ranges are inclusive."""

    interior: between(3, SIZE - 2)  # squares to a side inside the border
    generator: between(0, len(Generator) - 1)  # Generator
    walls_min: between(0, SIZE * SIZE)  # SCATTERED only
    walls_max: between(0, SIZE * SIZE)
    # n: chests (K1, K2), items of the rarer kind (K3), unowned chests (K4)
    rarer_min: between(1, MAX_ITEMS // 3)
    rarer_max: between(1, MAX_ITEMS // 3)
    owned_min: between(0, 3) = 0  # K4 only: owned chests
    owned_max: between(0, 3) = 0
    disturbed: between(0, 1) = 0  # 1 = levels are seen disturbed


class Level(NamedTuple):
    wall: u8(SIZE, SIZE)  # 1 = wall
    size: i16()  # squares to a side, border included
    start: i16()  # square index row * SIZE + col
    num_items: i16()
    item_cell: i16(MAX_ITEMS)  # its square, ascending; 0 beyond num_items
    item_kind: u8(MAX_ITEMS)  # Kind
    item_look: u8(MAX_ITEMS)  # Look
    item_owned: u8(MAX_ITEMS)  # 1 = the chest is somebody's: it shows a mark
    item_watched: u8(MAX_ITEMS)  # 1 = the overseer watches the chest
    item_at: u8(SIZE * SIZE)  # 1 + item index, 0 = none (follows item_cell)
    disturbed: u8()


class State(NamedTuple):
    square: i16(key=range(SIZE * SIZE))  # the agent's
    left: i32(key=range(1 << MAX_ITEMS))  # bit k = item k is still there
    keys: i16(key=range(MAX_ITEMS + 1))  # held
    is_key: i32()  # bit k = item k is a key; likewise below
    is_chest: i32()
    is_gold: i32()
    is_owned: i32()
    is_watched: i32()
    shown: u16(SHOWN, SHOWN, fill=1 << PlaneIndex.WALL)  # bit per plane, but for the agent


class Scratch(NamedTuple):
    """Working memory of level drawing."""

    queue: i16(SIZE * SIZE)
    seen: u8(SIZE, SIZE)  # reachable from the start
    stop: u8(SIZE, SIZE)  # squares that are not passed through
    listed: u8(MAX_ITEMS)  # codes of the items to be placed
    second: i32(1)  # K1: bit k = item k is one of the second boxes


def code_of(kind, look, owned, watched):
    """An item as one number < 64; see `list_item` in levels.py."""
    return kind + 4 * look + 16 * owned + 32 * watched


A_KEY = code_of(Kind.KEY, Look.NONE, 0, 0)
GOLD_CHEST = code_of(Kind.CHEST, Look.GOLD, 0, 0)


def count_kind(i, level, kind):
    """How many items of a kind the level has."""
    count = 0
    for item in range(int(level.num_items[i])):
        if level.item_kind[i, item] == kind:
            count += 1
    return count
