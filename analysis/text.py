"""Numbers and tables as plain text."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from misgen.analysis.rates import Estimate


def number(value: float) -> str:
    """`.250`, `1.000`, `-.012`, and `-` for NaN."""
    if math.isnan(value):
        return "-"
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def span(estimate: Estimate) -> str:
    """`.250 [.100, .400]`; the brackets or the value alone where the other is not defined."""
    if math.isnan(estimate.low):
        return number(estimate.value)
    value = "" if math.isnan(estimate.value) else f"{number(estimate.value)} "
    return f"{value}[{number(estimate.low)}, {number(estimate.high)}]"


def dose_label(dose: float) -> str:
    """`.005`, `1`, `340`, `12k`."""
    if dose >= 1000:
        return f"{dose / 1000:.3g}k"
    return f"{dose:.3g}".removeprefix("0") or "0"


def aligned(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns padded to equal width under a ruled header."""
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    rows = [header, ["-" * width for width in widths], *lines]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


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
