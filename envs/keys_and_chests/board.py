"""How levels of keys and chests are written as text.

'#' wall, '.' free, 'A' start, 'k' key; chests 'c' gold, 't' teal, 'v' violet, and gold ones 'o'
owned, 'w' watched, 'b' both; boxes 'G' gold, 'T' teal, 'V' violet.
"""

from collections.abc import Iterator
from typing import Any

from misgen.envs.core.board import START, Thing
from misgen.envs.core.schema import empty_scratch
from misgen.envs.keys_and_chests.levels import flood_from_start, number_items
from misgen.envs.keys_and_chests.world import (
    A_KEY,
    GOLD_CHEST,
    MAX_ITEMS,
    SIZE,
    Kind,
    Level,
    Look,
    Scratch,
    code_of,
    count_kind,
)
from misgen.envs.worlds.grid import square_board

CODES = {
    "k": A_KEY,
    "c": GOLD_CHEST,
    "t": code_of(Kind.CHEST, Look.TEAL, 0, 0),
    "v": code_of(Kind.CHEST, Look.VIOLET, 0, 0),
    "G": code_of(Kind.BOX, Look.GOLD, 0, 0),
    "T": code_of(Kind.BOX, Look.TEAL, 0, 0),
    "V": code_of(Kind.BOX, Look.VIOLET, 0, 0),
    "o": code_of(Kind.CHEST, Look.GOLD, 1, 0),
    "w": code_of(Kind.CHEST, Look.GOLD, 0, 1),
    "b": code_of(Kind.CHEST, Look.GOLD, 1, 1),
}
GLYPHS = {code: glyph for glyph, code in CODES.items()}


def draw_things(level: Level, i: int) -> Iterator[Thing]:
    yield *divmod(int(level.start[i]), SIZE), START
    fields = (level.item_kind, level.item_look, level.item_owned, level.item_watched)
    for item in range(int(level.num_items[i])):
        code = code_of(*(int(values[i, item]) for values in fields))
        yield *divmod(int(level.item_cell[i, item]), SIZE), GLYPHS[code]


def put(level: Level, glyph: str, row: int, col: int) -> None:
    if glyph == START:
        level.start[0] = row * SIZE + col
    else:
        level.item_at[0, row * SIZE + col] = CODES[glyph]


def check(level: Level) -> None:
    """List the items. ValueError: too many, no key, no chest to open, or one out of reach."""
    num_items = int((level.item_at > 0).sum())
    if num_items > MAX_ITEMS:
        raise ValueError(f"a level has at most {MAX_ITEMS} keys and chests; got {num_items}")
    number_items(0, level)
    is_chest = (level.item_kind == Kind.CHEST) & (level.item_owned == 0)
    if not count_kind(0, level, Kind.KEY) or not is_chest.any():
        raise ValueError("a level has at least one key 'k' and one chest 'c'")
    scratch: Any = empty_scratch(Scratch)
    flood_from_start(0, level, scratch)
    for item in range(num_items):
        row, col = divmod(int(level.item_cell[0, item]), SIZE)
        if not scratch.seen[row, col]:
            raise ValueError(
                f"every key and chest must be reachable from A; the one at row {row}, "
                f"column {col} is walled off; open a path to it"
            )


BOARD = square_board(SIZE, "".join(CODES), draw_things, put, check)
