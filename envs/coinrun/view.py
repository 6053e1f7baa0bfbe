"""What is seen of CoinRun: the agent's view, and the whole level."""

import numpy as np

from misgen.envs.coinrun.world import MAX_DECOYS, VIEW, Look, PlaneIndex
from misgen.envs.worlds.platforms import BOTTOM, MAX_TUNNELS, MOVER_REACH, PERIOD, WIDTH, Mover
from misgen.envs.worlds.side_scroller import mover_square, standing_row

GUIDE_COLS = 3  # the guide is so far ahead of the farthest column reached

# Per Tile: free, ground, platform, ice, lava.
TILE_SHOWN = np.array(
    [0, 1 << PlaneIndex.GROUND, 1 << PlaneIndex.GROUND, 1 << PlaneIndex.ICE, 1 << PlaneIndex.LAVA],
    np.int64,
)


def show_level(i, level, state):
    """Fill `shown` with what stays where it is."""
    for col in range(WIDTH + 2 * VIEW):
        state.shown[i, 0, col] = 0  # the status row
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
    plane = PlaneIndex.ENEMY_RIGHT
    if level.mover_kind[i, k] == Mover.SAW:
        plane = PlaneIndex.SAW_RISING
    returns = (int(level.mover_phase[i, k]) + phase) % PERIOD > MOVER_REACH
    light(i, row, col, left, cols, 1 << (plane + 1 if returns else plane), cells)


def guide_square(i, level, state):
    """(row, column) of the guide: ahead of the agent, one row above whoever stands there, until it
    reaches the column in which it rests."""
    col = int(state.farthest[i]) + GUIDE_COLS
    if col >= level.rest_col[i]:
        return int(level.rest_row[i]), int(level.rest_col[i])
    return max(1, standing_row(i, level, col) - 1), col
