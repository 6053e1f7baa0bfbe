"""Findings on the shift types and their ranges (document 003): B1, B2 and part of B3."""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np

from misgen.analysis.audit.item import AuditItem, are_positive, numbers, percents, spans
from misgen.analysis.audit.modifiers import share_below
from misgen.analysis.priors.source import FACTOR_FIELDS, external_tables, source_tables
from misgen.analysis.priors.types import (
    FACTORS,
    SHIFT_TYPES,
    PriorSet,
    Range,
    ScenarioPoint,
    ShiftPrior,
)


def findings(priors: PriorSet) -> Iterator[AuditItem]:
    for check in (_shift_table, _shift_chart, _type_ranges, _overview):
        yield from check(priors)


# ------------------------------------------------------------------------- B1, B2: shift types


def rounding_interval(shift: ShiftPrior) -> Range:
    """P(harm) that the printed product allows, being rounded to .1 %."""
    p_gm, printed = shift.p_gm.number, shift.p_harmful_gm.number
    return (printed - 0.0005) / p_gm, (printed + 0.0005) / p_gm


def _shift_table(p: PriorSet) -> Iterator[AuditItem]:
    shifts = list(p.shifts.values())
    harm = [shift.p_harm.number for shift in shifts]
    low, high = p.harm_note.range
    printed = [shift.p_harmful_gm.number for shift in shifts]
    two = [shift.p_gm.number for shift in shifts]
    if not are_positive(zip(two, printed, strict=True)):
        return
    if any(not low <= value <= high for value in harm):
        with_note = [[value * h for h in (low, (low + high) / 2, high)] for value in two]
        yield AuditItem(
            "B1.harm",
            "P(harm | goal fails) is not what the note says",
            f"P(harm) assumed at {spans([p.harm_note.range], 0)}",
            f"the printed products imply {numbers(harm)} (rounding allows "
            + ", ".join(f"{a:.3f}-{b:.3f}" for a, b in map(rounding_interval, shifts))
            + "); no constant harm gives the column: with 50, 60, 70 % it would be "
            + ", ".join(percents(row) for row in with_note),
            "the implied harm is the default; the note is an option (harm: note_50_70)",
            ("shift_types",),
            True,
        )
    if not np.allclose(two, printed):
        yield AuditItem(
            "B1.name",
            "the column P(Misgeneralization) includes harm",
            percents(printed),
            f"P(goal misgeneralization), without harm, is {percents(two, 2)}",
            "two quantities of different types, p_gm and p_harmful_gm; never compared",
            ("shift_types", "domains"),
            True,
        )
    rise = [values[3] / values[2] for values in (two, printed, harm)]
    goal = [shift.p_goal_fail.number for shift in shifts[2:]]
    if rise[2] > 1.01:
        yield AuditItem(
            "B1.plateau",
            "falling transfer hides growing goal failure",
            f"type 3 to 4 rises from {percents(printed[2:])}, goal failure from {percents(goal)}",
            f"two-factor risk rises by {rise[0]:.2f}x only, the printed one by {rise[1]:.2f}x, "
            f"of which harm gives {rise[2]:.2f}x",
            "tables show the factors, not the product alone",
            ("shift_types",),
        )


def quadrant_type(point: ScenarioPoint) -> str:
    """The type whose quadrant holds the point; "border" on a line."""
    x, y = point.capability_risk.number, point.goal_risk.number
    if 0.5 in (x, y):
        return "border"
    return {
        (True, True): "extreme",
        (False, True): "significant",
        (False, False): "superficial",
        (True, False): "moderate",
    }[x > 0.5, y > 0.5]


def chart_means(p: PriorSet) -> dict[str, tuple[float, float]]:
    """Mean (capability risk, goal risk) of each type's points."""
    return {
        name: (
            float(np.mean([p.scenarios[key].capability_risk.number for key in shift.scenarios])),
            float(np.mean([p.scenarios[key].goal_risk.number for key in shift.scenarios])),
        )
        for name, shift in p.shifts.items()
    }


def _shift_chart(p: PriorSet) -> Iterator[AuditItem]:
    shifts = p.shifts.values()
    transfer = [shift.p_capable.number for shift in shifts]
    yield AuditItem(
        "B2.label",
        "'Capability Risk' is the probability that capability transfers",
        f"Capability Risk {percents(transfer, 0)}, labelled "
        + " / ".join(shift.capability_risk_label for shift in shifts),
        f"a risk would be {percents((shift.capability_risk for shift in shifts), 0)}",
        "stored as p_capable; capability risk is 1 - p_capable",
        ("shift_types",),
    )
    places = {name: quadrant_type(point) for name, point in p.scenarios.items()}
    wrong = [name for name, place in places.items() if place not in ("border", _type(p, name))]
    border = [name for name, place in places.items() if place == "border"]
    empty = [name for name in p.shifts if name not in places.values()]
    yield AuditItem(
        "B2.quadrant",
        "the chart puts scenarios into quadrants of other types",
        f"{len(places)} points in four quadrants, one per type",
        f"{len(wrong)} of {len(places)} lie in another type's quadrant ({', '.join(wrong)}), "
        f"on a border: {', '.join(border)}, no point in: {', '.join(empty)}",
        "a scenario's type goes by its name, never by coordinate",
        ("shift_types",),
    )
    means = chart_means(p)
    gaps = [means[shift.name][1] - shift.p_goal_fail.number for shift in shifts]
    yield AuditItem(
        "B2.means",
        "the chart's goal risk exceeds the table's",
        f"goal failure {percents((shift.p_goal_fail.number for shift in shifts), 0)}",
        f"chart means are higher by {numbers(gaps)}; capability risk is "
        f"{means['significant'][0]:.3f} for type 3 and {means['extreme'][0]:.3f} for type 4",
        "the chart is shown only, never an input",
        ("shift_types",),
    )


def _type(p: PriorSet, scenario: str) -> str:
    return p.scenarios[scenario].shift_type


# ------------------------------------------------------------------------- B3: the types' ranges


@cache
def corner_products() -> dict[str, Range]:
    """Products of the low and of the high factor values of the other revision, by shift type."""
    factors = _external_factors()
    return {
        name: (math.prod(f[0] for f in rows), math.prod(f[2] for f in rows))
        for name, rows in factors.items()
    }


@cache
def triangular_intervals(draws: int = 100_000, seed: int = 0) -> dict[str, Range]:
    """Central 90 % of the product of independent triangular factors of the other revision."""
    rng = np.random.default_rng(seed)
    intervals = {}
    for name, rows in _external_factors().items():
        factors = [rng.triangular(low, mode, high, size=draws) for low, mode, high in rows]
        low, high = np.quantile(np.prod(factors, axis=0), [0.05, 0.95])
        intervals[name] = (float(low), float(high))
    return intervals


def _external_factors() -> dict[str, list[tuple[float, float, float]]]:
    """(low, central, high) of each factor of the other revision, by shift type."""
    body = external_tables()["external.shift_type_components"].body
    return {
        name: [body[f"type_{number}"][FACTOR_FIELDS[factor]] for factor in FACTORS]
        for number, name in enumerate(SHIFT_TYPES, 1)
    }


def _type_ranges(p: PriorSet) -> Iterator[AuditItem]:
    shifts = list(p.shifts.values())
    printed = [shift.likelihood_range.range for shift in shifts]
    base = [shift.product for shift in shifts]
    if not are_positive([(min(base), max(base))]):
        return
    relative = [(low / b, high / b) for (low, high), b in zip(printed, base, strict=True)]
    ranges = [modifier.range.range for modifier in p.modifiers.values()]
    inside = [share_below(ranges, high) - share_below(ranges, low) for low, high in relative]
    yield AuditItem(
        "B3.ranges",
        "a type's range is not its base times the modifiers",
        spans(printed, 0),
        "that is "
        + ", ".join(f"{low:.2f}-{high:.2f}x" for low, high in relative)
        + f" of the base; log-uniform modifier products fall inside in {percents(inside, 0)} of "
        f"draws. External: the ranges are products of all-low and all-high factors "
        f"({spans(corner_products().values())}), corners and no intervals: independent "
        f"triangular factors give {spans(triangular_intervals().values())} in 90 %",
        "read as uncertainty of the base at neutral modifiers; never multiplied into them",
        ("shift_types", "modifiers"),
        True,
    )
    geometric = [math.sqrt(low * high) for low, high in printed]
    arithmetic = [(low + high) / 2 for low, high in printed]
    yield AuditItem(
        "B3.scale",
        "the ranges are centred on a log scale",
        f"bases {percents(base)} in ranges {spans(printed, 0)}",
        f"geometric means {percents(geometric)}, arithmetic means {percents(arithmetic)}",
        "ranges are read on a log or logit scale",
        ("shift_types",),
    )


def _overview(p: PriorSet) -> Iterator[AuditItem]:
    spec_low, spec_high = p.modifiers["spec"].range.range
    first, last = p.shifts["superficial"].product, p.shifts["extreme"].product
    headline = source_tables()["003.headline"]
    low, high = headline.figure(headline.body, "overview_p_range").range
    best, worst = first * spec_low, last * spec_high
    if not are_positive([(best, first)]):
        return
    yield AuditItem(
        "B3.overview",
        "the Overview's 'roughly 1 %' is not a base with the best specification",
        f"roughly {100 * low:.0f} % to over {100 * high:.0f} %, over an order of magnitude",
        f"type 1 x {spec_low:g} = {100 * best:.1f} %, type 4 x {spec_high:g} = "
        f"{100 * worst:.1f} %: {worst / best:.1f}x with specification, {last / first:.1f}x for "
        "the base alone",
        "the end-to-end check uses the computed corners",
        ("shift_types", "modifiers"),
    )
