"""How levels of CoinRun are drawn, and what its cells have in common."""

import numpy as np

from misgen.envs.coinrun.world import ANY_THING, MAX_DECOYS, Look, Params, ThingTouch, fill_touch
from misgen.envs.core.random import Stream, combine, mix
from misgen.envs.worlds.platforms import BOTTOM, MAX_TUNNELS, PERIOD, WIDTH, platform_layout
from misgen.envs.worlds.side_scroller import (
    draw_spot,
    explore,
    place_of,
    spots_between,
    standing_row,
)

FIRST_COIN_COL = 4  # a coin that is not at the end lies here or further right, as do all items
TRAINING = Params(length_min=9, length_max=25, pits=3, saws=2, ice_percent=0)
LONGER = {"length_min": 20, "length_max": 30}
TRAIN_HORIZON_STEPS = 100


def sample_geometry(i, level, scratch, rng, params):
    """The terrain, with a coin that lies nowhere. Usable if the ground of the last free column can
    be reached; fills `spots` for the things of a cell and its cue."""
    platform_layout(i, level, rng, params)
    level.start_col[i] = 1
    level.start_row[i] = standing_row(i, level, 1)
    level.coin_row[i] = 0  # nowhere; no decoys, no guide
    level.coin_col[i] = 0
    level.coin_look[i] = Look.YELLOW
    level.rest_row[i] = 0
    level.rest_col[i] = 0
    level.decoy_row[i] = 0
    level.decoy_col[i] = 0
    level.decoy_look[i] = Look.NONE
    level.disturbed[i] = params.disturbed
    fill_touch(i, level, 0, scratch.touch)
    explore(i, level, scratch, 0)
    end = int(level.length[i]) - 2
    return scratch.reached[place_of(standing_row(i, level, end), end, 0)] != 0


def put_coin(i, level, scratch, rng, first_col):
    """Put the coin on any standable square from this column on; returns whether there is one."""
    end = int(level.length[i]) - 2
    if spots_between(scratch, first_col, end) == 0:
        return False
    level.coin_row[i], level.coin_col[i] = draw_spot(i, scratch, rng, Stream.ITEMS, first_col, end)
    return True


def each_reachable_alone(i, level, scratch):
    """Whether the coin can be reached past all decoys and tunnels, and so each decoy. `reached` and
    `spots` are then those of an agent that stops at each of these."""
    wanted = np.int64(ThingTouch.COIN)
    for k in range(MAX_DECOYS):
        if level.decoy_row[i, k] > 0:
            wanted |= ThingTouch.DECOY << k
    fill_touch(i, level, 0, scratch.touch)
    return explore(i, level, scratch, ANY_THING) & wanted == wanted


# What makes two levels of a cell the same geometry. The order and the numbers decide which are
# held out, so a change of them is a change of results.


def hash_terrain(i, level):
    """uint64 over start, tiles and movers."""
    value = mix(np.uint64(int(level.start_row[i]) * WIDTH + int(level.start_col[i])))
    for col in range(1, int(level.length[i]) - 1):
        bits = 0
        for row in range(1, BOTTOM + 1):
            bits = bits * 8 + int(level.tiles[i, row, col])
        value = combine(value, bits)
    for k in range(int(level.num_movers[i])):
        home = int(level.mover_row[i, k]) * WIDTH + int(level.mover_col[i, k])
        look = int(level.mover_kind[i, k]) * PERIOD + int(level.mover_phase[i, k])
        value = combine(value, home * 2 * PERIOD + look)
    return value


def hash_things(i, level):
    """uint64 over the terrain, the places of the items and the marks of the tunnels."""
    value = hash_terrain(i, level)
    value = combine(value, int(level.coin_row[i]) * WIDTH + int(level.coin_col[i]))
    for k in range(MAX_DECOYS):
        value = combine(value, int(level.decoy_row[i, k]) * WIDTH + int(level.decoy_col[i, k]))
    for k in range(MAX_TUNNELS):
        value = combine(value, int(level.tunnel_col[i, k]) * 2 + int(level.tunnel_marked[i, k]))
    return value
