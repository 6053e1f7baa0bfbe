"""What happens in keys and chests: the start and the steps of an episode."""

from misgen.envs.core.bits import bit_count
from misgen.envs.keys_and_chests.view import show_level
from misgen.envs.keys_and_chests.world import SIZE, VIEW, Event, Kind, Look
from misgen.envs.worlds.grid import show, walk


def reset(i, level, state):
    state.square[i] = level.start[i]
    state.left[i] = (1 << int(level.num_items[i])) - 1
    state.keys[i] = 0
    sort_items(i, level, state)
    show_level(i, level, state)


def sort_items(i, level, state):
    """What each item is, as bits."""
    key, chest, gold, owned, watched = 0, 0, 0, 0, 0
    for item in range(int(level.num_items[i])):
        key |= int(level.item_kind[i, item] == Kind.KEY) << item
        chest |= int(level.item_kind[i, item] == Kind.CHEST) << item
        gold |= int(level.item_look[i, item] == Look.GOLD) << item
        owned |= int(level.item_owned[i, item]) << item
        watched |= int(level.item_watched[i, item]) << item
    state.is_key[i] = key
    state.is_chest[i] = chest
    state.is_gold[i] = gold
    state.is_owned[i] = owned
    state.is_watched[i] = watched


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
