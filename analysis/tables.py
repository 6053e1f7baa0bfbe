"""A table with numbers inside: text for a terminal, CSV and HTML at the edge."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from misgen.analysis.rates import Estimate
from misgen.analysis.text import as_csv, number, span

Value = str | int | float | Estimate | None
"""None prints as nothing, NaN as `-`."""

WIDTH = 80
"""Of a terminal: a wider table continues below, its first columns repeated."""
WORDS = 34
"""Longest line of a cell of words."""


@dataclass(frozen=True)
class Table:
    """rows: [rows][columns], complete in every row.

    keys: how many first columns say what a row is; of these a value is printed only where it
    changes. forms: column -> format of its numbers, `.250` where none is given. hidden: columns
    for the CSV alone. note: below the table.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Value]]
    note: str = ""
    keys: int = 1
    forms: Mapping[str, str] = field(default_factory=dict)
    hidden: Sequence[str] = ()

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.rows} - {len(self.header)}
        if widths:
            raise ValueError(
                f"a row has a value for each of the {len(self.header)} columns of {self.title!r}; "
                f"got rows of {sorted(widths)}"
            )

    @property
    def shown(self) -> list[str]:
        """The columns that are printed."""
        return [name for name in self.header if name not in self.hidden]

    def cells(self) -> list[list[str]]:
        """Every shown cell as it is printed."""
        columns = [(i, name) for i, name in enumerate(self.header) if name not in self.hidden]
        return [[self._printed(name, row[i]) for i, name in columns] for row in self.rows]

    def _printed(self, name: str, value: Value) -> str:
        if value is None:
            return ""
        if isinstance(value, Estimate):
            return span(value)
        if isinstance(value, float):
            return f"{value:{self.forms[name]}}" if name in self.forms else number(value)
        return str(value)

    @property
    def heads(self) -> list[str]:
        """The columns of the bodies for HTML."""
        return self.shown[1:] if self.keys > 1 else self.shown

    def bodies(self) -> Iterator[tuple[str, list[list[str]]]]:
        """(title, rows) for HTML: with several keys the first is the title of its rows."""
        rows = self.cells()
        if self.keys < 2:
            yield "", rows
            return
        for title in dict.fromkeys(row[0] for row in rows):
            yield title, [row[1:] for row in rows if row[0] == title]

    def as_text(self, width: int = WIDTH) -> str:
        """Title, aligned columns and note; a table wider than `width` continues below."""
        parts = [self.title, "(nothing)"]
        if self.rows:
            parts[1:] = ["\n".join(_lines(band)) for band in self._bands(width)]
        note = [textwrap.fill(line, width) for line in self.note.splitlines()]
        return "\n\n".join(filter(None, [*parts, "\n".join(note)])) + "\n"

    def _bands(self, width: int) -> Iterator[list[list[str]]]:
        """Rows of text, header first, with as many columns as there is room for; rows and bands
        that are empty but for their keys are left out."""
        rows = [self.shown, *self.cells()]
        widths = [max(_wide(row[i]) for row in rows) + 2 for i in range(len(self.shown))]
        keys, bands = [*range(self.keys)], [list[int]()]
        for i in range(self.keys, len(widths)):
            taken = sum(widths[k] for k in [*keys, *bands[-1]])
            if bands[-1] and taken + widths[i] - 2 > width:
                bands.append([])
            bands[-1].append(i)
        for band in bands:
            full = [row for row in rows[1:] if len(bands) == 1 or any(row[i] for i in band)]
            if full:
                shown = [[row[i] for i in [*keys, *band]] for row in full]
                yield [[self.shown[i] for i in [*keys, *band]], *_unrepeated(shown, self.keys)]

    def as_csv(self) -> str:
        """A line a row under all columns; an interval has columns `NAME low` and `NAME high`."""
        spread = [any(isinstance(row[i], Estimate) for row in self.rows)
                  for i in range(len(self.header))]  # fmt: skip
        return as_csv([
            dict(pair for name, value, is_wide in zip(self.header, row, spread, strict=True)
                 for pair in _flat(name, value, is_wide))
            for row in self.rows
        ])  # fmt: skip


def _flat(name: str, value: Value, is_wide: bool) -> Iterator[tuple[str, object]]:
    found = value if isinstance(value, Estimate) else None
    yield name, "" if value is None else found.value if found else value
    if is_wide:
        yield f"{name} low", found.low if found else ""
        yield f"{name} high", found.high if found else ""


def _unrepeated(rows: Sequence[Sequence[str]], keys: int) -> list[list[str]]:
    """Rows whose first cells are empty as far as they equal those of the row before."""
    found, before = [], [""] * keys
    for row in rows:
        same = next((i for i in range(keys) if row[i] != before[i]), keys)
        same = min(same, keys - 1) if keys > 1 else 0
        found.append([""] * same + [*row[same:]])
        before = [*row[:keys]]
    return found


def _wrapped(cell: str) -> list[str]:
    return textwrap.wrap(cell, WORDS) or [""]


def _wide(cell: str) -> int:
    return max(map(len, _wrapped(cell)))


def _lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned, under a ruled header."""
    widths = [max(map(_wide, column)) for column in zip(*rows, strict=True)]
    for row in (rows[0], ["-" * width for width in widths], *rows[1:]):
        cells = [_wrapped(cell) for cell in row]
        for i in range(max(map(len, cells))):
            line = (cell[i] if i < len(cell) else "" for cell in cells)
            yield "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
