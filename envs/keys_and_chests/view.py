"""What is seen of keys and chests: the agent's view, and the whole level."""

from misgen.envs.keys_and_chests.world import SIZE, VIEW, Kind, Look, PlaneIndex
from misgen.envs.worlds.grid import crop, paint_board, show, show_walls

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
