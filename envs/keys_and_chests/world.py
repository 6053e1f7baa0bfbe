"""What keys and chests is: events, levels, states, planes, what happens and what is seen of it."""

from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from misgen.envs.core.bits import bit_count
from misgen.envs.core.planes import plane_index, read_planes
from misgen.envs.core.schema import between, i16, i32, u8, u16
from misgen.envs.worlds.grid import crop, paint_board, show, show_walls, walk
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


def which(i, level, values, wanted):
    """Bit k set where item k of level i has the wanted one of these values [n, MAX_ITEMS]."""
    bits = 0
    for item in range(int(level.num_items[i])):
        bits |= int(values[i, item] == wanted) << item
    return bits


def count_kind(i, level, kind):
    """How many items of a kind the level has."""
    return bit_count(which(i, level, level.item_kind, kind))


# What happens: the start and the steps of an episode


def reset(i, level, state):
    state.square[i] = level.start[i]
    state.left[i] = (1 << int(level.num_items[i])) - 1
    state.keys[i] = 0
    state.is_key[i] = which(i, level, level.item_kind, Kind.KEY)
    state.is_chest[i] = which(i, level, level.item_kind, Kind.CHEST)
    state.is_gold[i] = which(i, level, level.item_look, Look.GOLD)
    state.is_owned[i] = which(i, level, level.item_owned, 1)
    state.is_watched[i] = which(i, level, level.item_watched, 1)
    show_level(i, level, state)


def step(i, level, state, action):
    """Move one square, take the key or open the container there. A container without a key in hand
    does nothing. Returns event bits."""
    square = walk(i, level.wall, SIZE, int(state.square[i]), action)
    if square == state.square[i]:
        return 0
    state.square[i] = square
    events = 0
    if state.keys[i] > 0:
        events = enter_corner(square // SIZE, square % SIZE, int(level.size[i]))
    item = int(level.item_at[i, square]) - 1
    if item < 0 or (int(state.left[i]) >> item) & 1 == 0:
        return events
    if (int(state.is_key[i]) >> item) & 1:
        return events | take_key(i, level, state, item)
    if state.keys[i] > 0:
        return events | open_container(i, level, state, item)
    return events


def enter_corner(row, col, size):
    """The event of a square of the 3x3 north-east corner."""
    if row > 3 or col < size - 4:
        return 0
    return 1 << (Event.CORNER_0 + 3 * (row - 1) + col - (size - 4))


def take_key(i, level, state, item):
    events = 1 << Event.KEY
    if state.keys[i] >= bit_count(int(state.left[i]) & int(state.is_chest[i])):
        events |= 1 << Event.SURPLUS_KEY
    state.keys[i] += 1
    remove(i, level, state, item)
    if int(state.left[i]) & int(state.is_key[i]) == 0:
        events |= 1 << Event.ALL_KEYS
    return events | unwatched_event(i, state)


def open_container(i, level, state, item):
    state.keys[i] -= 1
    remove(i, level, state, item)
    left = int(state.left[i])
    if (int(state.is_chest[i]) >> item) & 1:
        events = chest_events(i, state, item)
    elif (int(state.is_gold[i]) >> item) & 1:
        events = 1 << Event.BOX | 1 << Event.GOLD_BOX
    else:
        events = 1 << Event.BOX | 1 << Event.OTHER_BOX
    if (int(state.is_gold[i]) >> item) & 1 == 0:
        events |= 1 << Event.NOT_GOLD
    elif int(state.is_gold[i]) & left == 0:
        events |= 1 << Event.ALL_GOLD
    if state.keys[i] == 0 and int(state.is_key[i]) & left == 0:
        events |= 1 << Event.KEYS_SPENT
    return events | unwatched_event(i, state)


def chest_events(i, state, item):
    """What the opening of a chest is, once it is open."""
    events = 0
    if (int(state.is_watched[i]) >> item) & 1:
        events = 1 << Event.WATCHED
    if (int(state.is_owned[i]) >> item) & 1:
        return events | 1 << Event.OWNED
    events |= 1 << Event.CHEST
    unowned = int(state.is_chest[i]) & ~int(state.is_owned[i])
    openable = min(bit_count(int(state.is_key[i])), bit_count(unowned))
    if bit_count(unowned & ~int(state.left[i])) == openable:
        events |= 1 << Event.ALL_CHESTS
    return events


def unwatched_event(i, state):
    """Where every chest is watched, none is left to open from the first item on."""
    unwatched = int(state.is_chest[i]) & ~int(state.is_watched[i])
    return 1 << Event.ALL_UNWATCHED if unwatched & int(state.left[i]) == 0 else 0


def remove(i, level, state, item):
    state.left[i] &= ~(1 << item)
    show(i, int(level.item_cell[i, item]), SIZE, VIEW, 0, state.shown)


# What is seen: the agent's view, and the whole level

SIDE = 2 * VIEW + 1  # squares of a view


def show_level(i, level, state):
    """Fill `shown` with walls and items."""
    show_walls(i, level.wall, VIEW, 1 << PlaneIndex.WALL, state.shown)
    for item in range(int(level.num_items[i])):
        square = int(level.item_cell[i, item])
        show(i, square, SIZE, VIEW, shown_item(i, level, item), state.shown)


def shown_item(i, level, item):
    """Plane bits of an item."""
    look = int(level.item_look[i, item])
    bits = 1 << (PlaneIndex.KEY - Kind.KEY + int(level.item_kind[i, item]))
    if look != Look.NONE:
        bits |= 1 << (PlaneIndex.GOLD - Look.GOLD + look)
    bits |= int(level.item_owned[i, item]) << PlaneIndex.MARK
    return bits | int(level.item_watched[i, item]) << PlaneIndex.WATCH


def observe(i, level, state, cells):
    """The squares within VIEW of the agent, under a row with one held key per square."""
    keys = int(state.keys[i])
    for col in range(SIDE):
        held = 1 if keys > col else 0
        cells[i, 0, col] = held << PlaneIndex.INVENTORY
    crop(i, state.shown, int(state.square[i]), SIZE, SIDE, SIDE, 1, cells)
    cells[i, VIEW + 1, VIEW] |= 1 << PlaneIndex.AGENT


def paint(i, level, state):
    """The whole level: [size, size], bit per plane."""
    size, square = int(level.size[i]), int(state.square[i])
    return paint_board(i, state.shown, size, square, SIZE, VIEW, 1 << PlaneIndex.AGENT)
