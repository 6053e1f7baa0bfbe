"""Numbers and tables as plain text."""

from __future__ import annotations

import csv
import difflib
import io
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from misgen.analysis.intervals import Estimate


WIDTH = 80
"""Of a terminal: a wider table continues below."""


def number(value: float) -> str:
    """`.250`, `1.000`, `-.012`, `61,761`, and `-` for NaN."""
    if math.isnan(value):
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def percent(value: float) -> str:
    """`12.3`, or `-` for NaN; the unit stands beside it."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def points(value: float) -> str:
    """A difference in percent, `+12.3`, or `-` for NaN."""
    return "-" if math.isnan(value) else f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def span(estimate: Estimate, form: Callable[[float], str] = number) -> str:
    """`.250 [.100, .400]`; the brackets or the value alone where the other is not defined."""
    if math.isnan(estimate.low):
        return form(estimate.value)
    value = "" if math.isnan(estimate.value) else f"{form(estimate.value)} "
    return f"{value}[{form(estimate.low)}, {form(estimate.high)}]"


def dose_label(dose: float) -> str:
    """`.005`, `1`, `340`, `12k`."""
    if dose >= 1000:
        return f"{dose / 1000:.3g}k"
    return f"{dose:.3g}".removeprefix("0") or "0"


def filled(text: str, hanging: int = 0) -> str:
    """A text in lines of WIDTH; hanging: indent of all but the first."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=" " * hanging, break_on_hyphens=False, break_long_words=False
    )


def aligned(
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    keys: int = 1,
    width: int = WIDTH,
    words: int | None = None,
) -> str:
    """Columns padded to equal width under a ruled header.

    A table wider than `width` continues below with its first `keys` columns, without rows that are
    empty but for these; of several keys a value is printed only where it changes. words: longest
    line of a cell; None: cells are not wrapped.
    """
    rows = [[_wrapped(cell, words) for cell in row] for row in (header, *lines)]
    widths = [max(map(_wide, column)) + 2 for column in zip(*rows, strict=True)]
    bands = [list[int]()]
    for i in range(keys, len(widths)):
        taken = sum(widths[:keys]) + sum(widths[k] for k in bands[-1])
        if bands[-1] and taken + widths[i] - 2 > width:
            bands.append([])
        bands[-1].append(i)
    parts = []
    for band in bands:
        full = [row for row in rows[1:] if len(bands) == 1 or any(row[i] != [""] for i in band)]
        if full or len(bands) == 1:
            columns = [*range(keys), *band]
            shown = [[row[i] for i in columns] for row in [rows[0], *_unrepeated(full, keys)]]
            parts.append("\n".join(_padded(shown)))
    return "\n\n".join(parts)


def _wrapped(cell: str, words: int | None) -> list[str]:
    return [cell] if words is None else textwrap.wrap(cell, words) or [""]


def _wide(cell: Sequence[str]) -> int:
    return max(map(len, cell))


def _unrepeated(rows: Sequence[list[list[str]]], keys: int) -> list[list[list[str]]]:
    """Rows whose keys but the last are empty as far as they equal those of the row before."""
    found, before = list[list[list[str]]](), [[""]] * keys
    for row in rows:
        same = next((i for i in range(keys - 1) if row[i] != before[i]), max(keys - 1, 0))
        found.append([[""]] * same + row[same:])
        before = row[:keys]
    return found


def _padded(rows: Sequence[Sequence[Sequence[str]]]) -> Iterator[str]:
    widths = [max(map(_wide, column)) for column in zip(*rows, strict=True)]
    for row in (rows[0], [["-" * width] for width in widths], *rows[1:]):
        for i in range(max(map(len, row))):
            cells = (cell[i] if i < len(cell) else "" for cell in row)
            yield "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each row under all their columns; what a row lacks, and NaN, is empty."""
    file = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(file, list(names), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if value != value else value for name, value in row.items()})
    return file.getvalue()


def hint(name: str, known: Iterable[str]) -> str:
    """What else could have been meant by a name."""
    known = [*known]
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"
