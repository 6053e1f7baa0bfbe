"""Levels of a platformer: a side view of ten rows between a ceiling (row 0) and the abyss (rows 11
and 12), as sections of growing difficulty. Scalar rules.
"""

from enum import IntEnum

import numpy as np

from misgen.envs.core.random import Stream, randint

HEIGHT = 13
BOTTOM = 10  # the lowest row of the world
WIDTH = 32  # columns of the arrays; a level may be shorter
MAX_MOVERS = 10
PERIOD = 8  # of the movers, in steps
MOVER_OFFSET = np.array([0, 1, 2, 3, 3, 2, 1, 0], np.int64)  # cells from home at each phase
MOVER_REACH = 3
JUMP_COLS = 4  # the widest pit that a jump clears
SAFE_COLS = 2  # plain ground at the start
END_COLS = 2  # and at the end
MAX_TUNNELS = 2
TUNNEL_COLS = 4
LEDGE_ROWS = 3  # one stands this much higher on the first column of a tunnel's mound: one jump
ROOF_ROWS = 6  # and this much on the others: another jump, without a run-up


class Tile(IntEnum):
    FREE = 0
    GROUND = 1
    PLATFORM = 2
    ICE = 3
    LAVA = 4


class Mover(IntEnum):
    """What moves: MOVER_OFFSET cells from its home, there and back."""

    ENEMY = 0  # walks to the right of its home
    SAW = 1  # rises above its home


class Section(IntEnum):
    """A stretch of a platform level; plain ground follows each."""

    STEP = 0  # the ground changes its height
    DIP = 1  # a hole that can be left by a jump
    SHELF = 2  # a platform above the ground that can be climbed from its right end only
    PIT = 3
    LAVA = 4
    SAW = 5
    ENEMY = 6


def platform_layout(i, level, rng, params):
    """Draw `tiles`, `length`, the movers and the tunnels of a level: sections of growing
    difficulty.

    `params` has length_min, length_max, pits, saws (weights of these hazards; lava and enemies
    weigh 2), ice_percent (share of the sections that are icy) and tunnels (how many at most; at
    least one is tried where it is not 0).
    """
    span = params.length_max - params.length_min + 1
    length = params.length_min + randint(i, rng, Stream.LAYOUT, span)
    level.length[i] = length
    clear_platforms(i, level, length)
    height = 1 + randint(i, rng, Stream.LAYOUT, 3)
    ground_run(i, level, 1, SAFE_COLS, height, Tile.GROUND)
    col, last = 1 + SAFE_COLS, length - 1 - END_COLS  # of the sections; `last` is not one of them
    difficulty = randint(i, rng, Stream.LAYOUT, 3)
    wanted = 1 + randint(i, rng, Stream.LAYOUT, params.tunnels) if params.tunnels > 0 else 0
    laid = 0
    due = tunnel_due(i, rng, col, last, laid, wanted)
    sections = 0
    while col < last:
        hardness = difficulty + sections // 2
        sections += 1
        icy = randint(i, rng, Stream.LAYOUT, 100) < params.ice_percent
        surface = Tile.ICE if icy else Tile.GROUND
        if due <= col <= last - TUNNEL_COLS:
            lay_tunnel(i, level, laid, col, height)
            col += TUNNEL_COLS
            laid += 1
            due = tunnel_due(i, rng, col, last, laid, wanted)
        else:
            col, height = next_section(i, level, rng, params, hardness, col, last, height, surface)
        plain = min(1 + randint(i, rng, Stream.LAYOUT, 2), last - col)
        ground_run(i, level, col, plain, height, surface)
        col += plain
    ground_run(i, level, col, length - 1 - col, height, Tile.GROUND)


def next_section(i, level, rng, params, hardness, col, last, height, surface):
    """Lay a section from column `col` on, if it ends before `last`; returns the column after it
    and the height of the ground there."""
    section = draw_section(i, rng, params, hardness)
    if section == Section.STEP or (section == Section.DIP and height == 1):
        section = Section.STEP
        height = 1 + (height + randint(i, rng, Stream.LAYOUT, 2)) % 3
    width = section_width(i, rng, section, hardness)
    if width <= last - col:
        lay_section(i, level, rng, section, col, width, height, surface)
        col += width
    return col, height


def tunnel_due(i, rng, col, last, laid, wanted):
    """The column from which on the next tunnel is laid: anywhere in the share of the columns that
    is left for each; WIDTH if there are enough."""
    if laid >= wanted:
        return WIDTH
    share = (last - col) // (wanted - laid)
    return col + randint(i, rng, Stream.LAYOUT, max(1, share - TUNNEL_COLS))


def lay_tunnel(i, level, k, col, height):
    """A passage one row high through a mound, over which one can climb as well."""
    stand = BOTTOM - height
    ground_run(i, level, col, TUNNEL_COLS, height, Tile.GROUND)
    level.tiles[i, stand + 1 - LEDGE_ROWS : stand, col] = Tile.GROUND
    level.tiles[i, stand + 1 - ROOF_ROWS : stand, col + 1 : col + TUNNEL_COLS] = Tile.GROUND
    level.tunnel_row[i, k] = stand
    level.tunnel_col[i, k] = col
    level.tunnel_cols[i, k] = TUNNEL_COLS


def clear_platforms(i, level, length):
    """Nothing between two walls; solid beyond them, deadly below."""
    level.tiles[i] = Tile.GROUND
    level.tiles[i, 1 : BOTTOM + 1, 1 : length - 1] = Tile.FREE
    level.tiles[i, BOTTOM + 1 :, 1 : length - 1] = Tile.LAVA
    level.num_movers[i] = 0
    level.mover_row[i] = 0
    level.mover_col[i] = 0
    level.mover_kind[i] = 0
    level.mover_phase[i] = 0
    level.tunnel_row[i] = 0
    level.tunnel_col[i] = 0
    level.tunnel_cols[i] = 0
    level.tunnel_marked[i] = 0
    level.tunnel_watched[i] = 0


def ground_run(i, level, col, width, height, surface):
    """`width` columns of ground, the topmost tile being `surface`."""
    top = BOTTOM + 1 - height
    level.tiles[i, top : BOTTOM + 1, col : col + width] = Tile.GROUND
    level.tiles[i, top, col : col + width] = surface


def draw_section(i, rng, params, hardness):
    """The harder, the more hazards."""
    if randint(i, rng, Stream.LAYOUT, 8) >= 3 + min(hardness, 2):
        draw = randint(i, rng, Stream.LAYOUT, 8)
        return Section.SHELF if draw >= Section.SHELF else draw
    draw = randint(i, rng, Stream.LAYOUT, params.pits + params.saws + 4)
    if draw < params.pits:
        return Section.PIT
    if draw < params.pits + params.saws:
        return Section.SAW
    return Section.LAVA if draw < params.pits + params.saws + 2 else Section.ENEMY


def section_width(i, rng, section, hardness):
    """Columns of a section. A jump clears four columns; a wider pit has a tile in its middle."""
    if section == Section.PIT or section == Section.LAVA:
        if section == Section.PIT and hardness >= 3 and randint(i, rng, Stream.LAYOUT, 2) == 0:
            return JUMP_COLS + 1
        return 1 + randint(i, rng, Stream.LAYOUT, min(JUMP_COLS, 1 + hardness))
    if section == Section.DIP:
        return 1 + randint(i, rng, Stream.LAYOUT, 2)
    if section == Section.SHELF:
        return 3 + randint(i, rng, Stream.LAYOUT, 4)
    if section == Section.ENEMY:
        return 1 + MOVER_REACH
    return 1


def lay_section(i, level, rng, section, col, width, height, surface):
    stand = BOTTOM - height  # the row of whoever stands on the ground
    if section == Section.PIT:
        if width > JUMP_COLS:
            level.tiles[i, stand + 1, col + width // 2] = Tile.PLATFORM
    elif section == Section.LAVA:
        ground_run(i, level, col, width, height, Tile.LAVA)
    elif section == Section.DIP:
        depth = min(1 + randint(i, rng, Stream.LAYOUT, 2), height - 1)
        ground_run(i, level, col, width, height - depth, surface)
    else:
        ground_run(i, level, col, width, height, surface)
        if section == Section.SHELF:
            # The raised left end stops whoever comes from the left: the way up is a way back.
            level.tiles[i, stand - 3, col] = Tile.PLATFORM
            level.tiles[i, stand - 2, col : col + width] = Tile.PLATFORM
        elif section == Section.SAW:
            add_mover(i, level, rng, Mover.SAW, stand, col)
        elif section == Section.ENEMY:
            add_mover(i, level, rng, Mover.ENEMY, stand, col)


def add_mover(i, level, rng, kind, row, col):
    k = int(level.num_movers[i])
    if k == MAX_MOVERS:
        return
    level.mover_row[i, k] = row
    level.mover_col[i, k] = col
    level.mover_kind[i, k] = kind
    level.mover_phase[i, k] = randint(i, rng, Stream.LAYOUT, PERIOD)
    level.num_movers[i] = k + 1
