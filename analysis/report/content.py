"""What the page shows, ready to print: text for the tables, SVG for the charts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from misgen.analysis.audit import AuditItem
from misgen.analysis.report.figures import Scale


@dataclass(frozen=True)
class Body:
    """Rows of text under a title ("" for none); the first cell of a row is its header.

    Further lines of a cell are printed smaller.
    """

    title: str
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    title: str
    header: Sequence[str]
    bodies: Sequence[Body]
    note: str = ""


def plain_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], note: str = ""
) -> Table:
    """A table without groups of rows."""
    return Table(title, header, [Body("", rows)], note)


def bodies_of(rows: Mapping[str, Sequence[Sequence[str]]]) -> list[Body]:
    """A body per title."""
    return [Body(title, some) for title, some in rows.items()]


def footnotes(notes: Sequence[str]) -> tuple[list[str], str]:
    """The notes of rows, their parts joined by "; ", as numbers: `(1) (2)`; and what these mean."""
    parts = [[part for part in note.split("; ") if part] for note in notes]
    known = list(dict.fromkeys(part for row in parts for part in row))
    numbers = {part: f"({i})" for i, part in enumerate(known, 1)}
    meaning = " ".join(f"{number} {part}." for part, number in numbers.items())
    return [" ".join(numbers[part] for part in row) for row in parts], meaning


@dataclass(frozen=True)
class Chart:
    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Exhibit:
    """Charts with the tables beside and below them. missing: said where there is no chart."""

    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    missing: str = ""
    below: Sequence[Table] = ()


@dataclass(frozen=True)
class Page:
    """Everything on the page.

    status: what a reader must know before any number. findings: (id of a section, what it comes
    to in a sentence). has_posterior: whether the data moved the source's prior.
    """

    status: Sequence[str]
    findings: Sequence[tuple[str, str]]
    has_posterior: bool
    headline: Table
    factors: Exhibit
    posteriors: Exhibit
    modifiers: Exhibit
    doses: Exhibit
    domains: Exhibit
    tornado: Exhibit
    conflict_summary: str
    conflicts: Exhibit
    fit_notes: Sequence[str]
    fit: Exhibit
    attrition: Exhibit
    held_out_summary: Sequence[str]
    held_out: Exhibit
    kappas: Exhibit
    audit: Sequence[AuditItem]
    provenance: Sequence[tuple[str, str]]


# --------------------------------------------------------------------------------- numbers as words

Interval = Mapping[str, Any]
"""`value`, `low`, `high` (None where not defined) and `reason`, as in summary.json."""


def finite(value: float | None) -> float:
    """NaN for the null of JSON."""
    return math.nan if value is None else float(value)


def ends(interval: Interval) -> tuple[float, float, float]:
    """(value, low, high), NaN where not defined."""
    return finite(interval["value"]), finite(interval["low"]), finite(interval["high"])


def percent(value: float | None) -> str:
    """`12.3`, or `-` for null and NaN; the unit stands in the header."""
    value = finite(value)
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def percent_span(interval: Interval) -> str:
    """`12.3 [3.1, 25.0]`; the brackets or the value alone where the other is not defined."""
    return _span(interval, percent)


def ratio(value: float | None) -> str:
    value = finite(value)
    return "-" if math.isnan(value) else f"{value:.2f}"


def ratio_span(interval: Interval) -> str:
    """`1.20 [0.80, 1.90]`."""
    return _span(interval, ratio)


def _span(interval: Interval, form: Any) -> str:
    value, low, high = ends(interval)
    brackets = "" if math.isnan(low) else f"[{form(low)}, {form(high)}]"
    if math.isnan(value):
        return brackets or "-"
    return f"{form(value)} {brackets}".strip()


def percent_scale(label: str, top: float) -> Scale:
    """From 0 to the next round number above the fraction `top`, at most 1."""
    for high, step in ((0.05, 0.01), (0.1, 0.02), (0.25, 0.05), (0.5, 0.1), (0.8, 0.2)):
        if top <= high:
            return Scale(label, high=high, step=step, percent=True)
    return Scale(label, percent=True)
