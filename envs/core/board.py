"""Levels as text: a table of glyphs draws them and reads them back, with every error about it.

A drawing is a line `disturbed` where the level is, then the rows of the board, a glyph a square.
Terrain glyphs are values of one array of the Level; all other glyphs are things, which a family
keeps where it likes: it yields those of a level and puts them into one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

HEADER = "disturbed"
START = "A"

Thing = tuple[int, int, str]  # row, column, glyph


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How often some glyphs may occur on a board."""

    glyphs: str
    name: str  # "one coin"
    least: int
    most: int


ONE_AGENT = Limit(glyphs=START, name="exactly one agent", least=1, most=1)


@dataclass(frozen=True, kw_only=True)
class Board:
    """How the levels of a family are drawn. Rows and columns are those of the terrain's array."""

    terrain: Mapping[str, int]  # glyph -> value in the array; the first one lies under things
    field: str  # the terrain's array in the Level, [n, rows, cols]
    top: int = 0  # the array's first row that is drawn
    rows: tuple[int, int]  # of a board: at least, at most
    cols: tuple[int, int]
    is_square: bool = False
    is_closed_above: bool = True  # '#' along the first and the last row, too
    things: str  # glyphs of things, the agent's start among them
    limits: tuple[Limit, ...] = (ONE_AGENT,)
    size_of: Callable[[Any, int], tuple[int, int]]  # (level, i) -> rows, columns of its board
    draw_things: Callable[[Any, int], Iterable[Thing]]  # of level i, a later one on top
    # (level of one, rows, columns): set what the size of the board decides.
    begin: Callable[[Any, int, int], None]
    put: Callable[[Any, str, int, int], None]  # (level of one, glyph, row, column), left to right
    check: Callable[[Any], None]  # ValueError unless the level of one can be played
    check_reach: Callable[[Any], None] | None = None  # ... the part of it that searches, if slow

    def draw(self, level: Any, i: int) -> str:
        """Level i as text."""
        rows, cols = self.size_of(level, i)
        glyphs = {value: glyph for glyph, value in self.terrain.items()}
        values = getattr(level, self.field)[i, self.top : self.top + rows, :cols]
        board = [[glyphs[int(value)] for value in row] for row in values]
        for row, col, glyph in self.draw_things(level, i):
            board[row - self.top][col] = glyph
        header = [HEADER] if "disturbed" in level._fields and level.disturbed[i] else []
        return "\n".join([*header, *map("".join, board)])

    def parse(self, text: str, level: Any) -> Any:
        """Fill `level` (of one, empty) from a drawing, and return it.

        Raises:
            ValueError: the drawing is no legal level.
        """
        level = self.read(text, level)
        if self.check_reach is not None:
            self.check_reach(level)
        return level

    def read(self, text: str, level: Any) -> Any:
        """The same without `check_reach`, for those who plan the level anyway."""
        header, _, below = text.strip().partition("\n")
        is_disturbed = header.strip() == HEADER and "disturbed" in level._fields
        lines = [line.strip() for line in (below if is_disturbed else text).strip().splitlines()]
        self._check_lines(lines)
        if is_disturbed:
            level.disturbed[0] = 1
        self.begin(level, len(lines), len(lines[0]))
        squares = [
            (row, col, glyph)
            for row, line in enumerate(lines, self.top)
            for col, glyph in enumerate(line)
        ]
        below_things = next(iter(self.terrain.values()))
        for row, col, glyph in squares:
            getattr(level, self.field)[0, row, col] = self.terrain.get(glyph, below_things)
        for row, col, glyph in sorted(squares, key=lambda square: (square[1], square[0])):
            if glyph in self.things:
                self.put(level, glyph, row, col)
        self.check(level)
        return level

    def _check_lines(self, lines: list[str]) -> None:
        widths = sorted({len(line) for line in lines})
        fits = (
            len(widths) == 1
            and self.rows[0] <= len(lines) <= self.rows[1]
            and self.cols[0] <= widths[0] <= self.cols[1]
            and not (self.is_square and widths[0] != len(lines))
        )
        if not fits:
            raise ValueError(
                f"a board is {self._shape()}; got {len(lines)} lines of {widths} squares"
            )
        glyphs, drawn = "".join(self.terrain) + self.things, "".join(lines)
        if unknown := sorted(set(drawn) - set(glyphs)):
            raise ValueError(f"the glyphs of a board are {glyphs!r}; got {''.join(unknown)!r}")
        edge = "".join(line[0] + line[-1] for line in lines)
        if self.is_closed_above:
            edge += lines[0] + lines[-1]
        if set(edge) != {"#"}:
            sides = "on all four sides" if self.is_closed_above else "at both ends of every line"
            raise ValueError(f"a board is closed by walls '#' {sides}; this one has gaps")
        for limit in self.limits:
            count = sum(map(drawn.count, limit.glyphs))
            if not limit.least <= count <= limit.most:
                signs = " or ".join(limit.glyphs)
                raise ValueError(f"a board has {limit.name}, drawn {signs}; got {count}")

    def _shape(self) -> str:
        low, high = self.cols
        if self.is_square:
            return f"a square of {low} to {high} squares a side"
        rows = f"{self.rows[0]}" if self.rows[0] == self.rows[1] else "{} to {}".format(*self.rows)
        return f"{rows} lines of {low} to {high} squares, all of one length"
