"""A table with numbers inside: text for a terminal, CSV and HTML at the edge."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from misgen.analysis.intervals import Estimate
from misgen.analysis.text import WIDTH, aligned, as_csv, number, span

Value = str | int | float | Estimate | None
"""None prints as nothing, NaN as `-`."""

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
        table = aligned(self.shown, self.cells(), keys=self.keys, width=width, words=WORDS)
        note = [textwrap.fill(line, width) for line in self.note.splitlines()]
        parts = [textwrap.fill(self.title, width)]
        parts += [table if self.rows else "(nothing)", "\n".join(note)]
        return "\n\n".join(filter(None, parts)) + "\n"

    def as_csv(self) -> str:
        """A line a row under all columns; an interval has columns `NAME low` and `NAME high`."""
        wide = [i for i, column in enumerate(zip(*self.rows, strict=True))
                if any(isinstance(value, Estimate) for value in column)]  # fmt: skip
        lines = []
        for row in self.rows:
            line: dict[str, object] = {}
            for i, (name, value) in enumerate(zip(self.header, row, strict=True)):
                found = value if isinstance(value, Estimate) else None
                line[name] = "" if value is None else found.value if found else value
                if i in wide:
                    line[f"{name} low"], line[f"{name} high"] = found[1:3] if found else ("", "")
            lines.append(line)
        return as_csv(lines)
