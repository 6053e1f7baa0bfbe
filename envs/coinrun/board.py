"""How levels of CoinRun are written as text.

'#' ground, '=' platform, '_' ice, '~' lava, '.' free, 'A' start; coin '$' yellow, '%' blue, '&'
red; decoys '1', '2', '3' likewise; 'G' the guide's rest square, '@' the same on a yellow coin;
squares of a tunnel '-', 'M' marked, 'W' watched, 'X' both; 'a'-'h' enemy and 's'-'z' saw in phase
0-7, at the home to which they return.
"""

from collections.abc import Iterator
from typing import Any

from misgen.envs.coinrun.world import MAX_DECOYS, Level, Look, Scratch, ThingTouch, fill_touch
from misgen.envs.core.board import ONE_AGENT, START, Board, Limit, Thing
from misgen.envs.core.schema import empty_scratch
from misgen.envs.worlds.platforms import (
    BOTTOM,
    JUMP_COLS,
    MAX_MOVERS,
    MAX_TUNNELS,
    MOVER_REACH,
    PERIOD,
    WIDTH,
    Mover,
    Tile,
)
from misgen.envs.worlds.side_scroller import explore, mover_square

TERRAIN = {".": Tile.FREE, "#": Tile.GROUND, "=": Tile.PLATFORM, "_": Tile.ICE, "~": Tile.LAVA}
MOVERS = {Mover.ENEMY: "abcdefgh", Mover.SAW: "stuvwxyz"}  # one per phase
COINS = "$%&"  # yellow, blue, red
DECOYS = "123"  # the same
REST = "G"
REST_ON_COIN = "@"  # the coin is yellow
TUNNELS = "-MWX"  # neither, marked, watched, both


def draw_things(level: Level, i: int) -> Iterator[Thing]:
    for k in range(int(level.num_movers[i])):
        glyph = MOVERS[Mover(level.mover_kind[i, k])][level.mover_phase[i, k]]
        yield int(level.mover_row[i, k]), int(level.mover_col[i, k]), glyph
    for k in range(MAX_TUNNELS):
        glyph = TUNNELS[level.tunnel_marked[i, k] + 2 * level.tunnel_watched[i, k]]
        for col in range(int(level.tunnel_cols[i, k])):
            yield int(level.tunnel_row[i, k]), int(level.tunnel_col[i, k]) + col, glyph
    decoys = zip(level.decoy_row[i], level.decoy_col[i], level.decoy_look[i], strict=True)
    coin = int(level.coin_row[i]), int(level.coin_col[i])
    rest = int(level.rest_row[i]), int(level.rest_col[i])
    items = [(int(row), int(col), DECOYS[look - Look.YELLOW]) for row, col, look in decoys]
    items += [
        (*rest, REST),
        (*coin, REST_ON_COIN if rest == coin else COINS[level.coin_look[i] - Look.YELLOW]),
    ]
    yield from (item for item in items if item[0] > 0)  # row 0: there is none
    yield int(level.start_row[i]), int(level.start_col[i]), START


def begin(level: Level, rows: int, cols: int) -> None:
    """Ground around the board, the abyss below it."""
    level.tiles[:] = Tile.GROUND
    level.tiles[0, BOTTOM + 1 :, 1 : cols - 1] = Tile.LAVA
    level.length[0] = cols


def put(level: Level, glyph: str, row: int, col: int) -> None:
    """Put what this glyph stands for into the level; called from left to right."""
    if glyph == START:
        level.start_row[0], level.start_col[0] = row, col
    elif glyph in TUNNELS:
        put_tunnel_square(level, TUNNELS.index(glyph), row, col)
    elif glyph in DECOYS:
        k = int((level.decoy_row[0] > 0).sum())
        level.decoy_row[0, k], level.decoy_col[0, k] = row, col
        level.decoy_look[0, k] = Look.YELLOW + DECOYS.index(glyph)
    elif glyph in COINS + REST + REST_ON_COIN:
        if glyph != REST:
            level.coin_row[0], level.coin_col[0] = row, col
            level.coin_look[0] = Look.YELLOW + max(COINS.find(glyph), 0)
        if glyph not in COINS:
            level.rest_row[0], level.rest_col[0] = row, col
    else:
        put_mover(level, glyph, row, col)


def put_tunnel_square(level: Level, signs: int, row: int, col: int) -> None:
    """Add a square to the tunnel on its left that has the same signs, or begin one with it."""
    for k in range(MAX_TUNNELS):
        cols = level.tunnel_cols[0, k]
        look = level.tunnel_marked[0, k] + 2 * level.tunnel_watched[0, k]
        place = level.tunnel_row[0, k], level.tunnel_col[0, k] + cols
        if cols > 0 and (look, *place) == (signs, row, col):
            level.tunnel_cols[0, k] += 1
            return
    k = int((level.tunnel_cols[0] > 0).sum())
    if k == MAX_TUNNELS:
        raise ValueError(f"a board has {MAX_TUNNELS} tunnels at most; this one has more")
    level.tunnel_row[0, k], level.tunnel_col[0, k], level.tunnel_cols[0, k] = row, col, 1
    level.tunnel_marked[0, k], level.tunnel_watched[0, k] = signs & 1, signs >> 1


def put_mover(level: Level, glyph: str, row: int, col: int) -> None:
    kind = next(kind for kind, glyphs in MOVERS.items() if glyph in glyphs)
    k = int(level.num_movers[0])
    if k == MAX_MOVERS:
        raise ValueError(f"a board has at most {MAX_MOVERS} enemies and saws; this one has more")
    level.mover_row[0, k], level.mover_col[0, k] = row, col
    level.mover_kind[0, k] = kind
    level.mover_phase[0, k] = MOVERS[kind].index(glyph)
    level.num_movers[0] = k + 1


def check(level: Level) -> None:
    """ValueError unless every mover has room."""
    for k in range(int(level.num_movers[0])):
        path = [mover_square(0, level, k, phase) for phase in range(PERIOD)]
        if any(level.tiles[0, max(r, 0), min(c, WIDTH - 1)] != Tile.FREE for r, c in path):
            kind = Mover(level.mover_kind[0, k])
            raise ValueError(
                f"the {kind.name.lower()} {MOVERS[kind][level.mover_phase[0, k]]!r} at row "
                f"{level.mover_row[0, k]}, column {level.mover_col[0, k]} needs {MOVER_REACH} free "
                f"squares {'above' if kind == Mover.SAW else 'to the right of'} its home"
            )


def check_reach(level: Level) -> None:
    """ValueError unless the coin can be reached."""
    scratch: Any = empty_scratch(Scratch)
    fill_touch(0, level, 0, scratch.touch)
    if not explore(0, level, scratch, 0) & ThingTouch.COIN:
        raise ValueError(
            f"the coin must be reachable from A; the one at row {level.coin_row[0]}, column "
            f"{level.coin_col[0]} is not; a jump rises 3 rows and clears {JUMP_COLS} columns"
        )


BOARD = Board(
    terrain=TERRAIN,
    field="tiles",
    top=1,
    rows=(BOTTOM, BOTTOM),
    cols=(5, WIDTH),
    is_closed_above=False,
    things=START + COINS + REST + REST_ON_COIN + DECOYS + TUNNELS + "".join(MOVERS.values()),
    limits=(
        ONE_AGENT,
        Limit(glyphs=COINS + REST_ON_COIN, name="exactly one coin", least=1, most=1),
        Limit(glyphs=REST + REST_ON_COIN, name="one rest square at most", least=0, most=1),
        Limit(glyphs=DECOYS, name=f"{MAX_DECOYS} decoys at most", least=0, most=MAX_DECOYS),
    ),
    size_of=lambda level, i: (BOTTOM, int(level.length[i])),
    draw_things=draw_things,
    begin=begin,
    put=put,
    check=check,
    check_reach=check_reach,
)
