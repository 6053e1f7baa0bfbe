"""What the pages share: charts with their tables, and fractions in percent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from misgen.analysis.rates import Estimate
from misgen.analysis.report.figures import Scale
from misgen.analysis.tables import Table


@dataclass(frozen=True)
class Chart:
    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Exhibit:
    """Charts and the tables below them. missing: said where there is no chart."""

    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    missing: str = ""


def family_name(family: str) -> str:
    """`keys_and_chests` as `Keys and chests`."""
    return family.replace("_", " ").capitalize()


def percent(value: float) -> str:
    """`12.3`, or `-` for NaN; the unit stands beside it."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def percent_span(found: Estimate) -> str:
    """`12.3 [3.1, 25.0]`; the brackets or the value alone where the other is not defined."""
    brackets = "" if math.isnan(found.low) else f"[{percent(found.low)}, {percent(found.high)}]"
    if math.isnan(found.value):
        return brackets or "-"
    return f"{percent(found.value)} {brackets}".strip()


def percent_scale(label: str, top: float) -> Scale:
    """From 0 to the next round number above the fraction `top`, at most 1."""
    for high, step in ((0.05, 0.01), (0.1, 0.02), (0.25, 0.05), (0.5, 0.1), (0.8, 0.2)):
        if top <= high:
            return Scale(label, high=high, step=step, percent=True)
    return Scale(label, percent=True)
