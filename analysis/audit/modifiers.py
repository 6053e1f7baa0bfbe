"""Findings on the modifiers (document 003): part of B3, B5 and B6."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np

from misgen.analysis.audit.item import AuditItem, are_positive, numbers, percents, spans
from misgen.analysis.priors.source import external_tables, source_tables
from misgen.analysis.priors.types import Modifier, PriorSet, Range


def findings(priors: PriorSet) -> Iterator[AuditItem]:
    for check in (_modifier_products, _reference_levels, _specification, _diversity):
        yield from check(priors)


# ------------------------------------------------------------------------------- B3: the product

_NARROW = 1e-4  # of the widest side; the shares are printed to .001


def product_range(modifiers: Mapping[str, Modifier]) -> Range:
    ranges = [modifier.range.range for modifier in modifiers.values()]
    return math.prod(low for low, _ in ranges), math.prod(high for _, high in ranges)


def share_below(ranges: Sequence[Range], limit: float) -> float:
    """P(product <= limit) of independent log-uniform numbers: the volume of a cut box, exactly.

    limit >= 0. A range of one point is a constant factor.
    """
    if limit <= 0:
        return 0.0
    logs = [(math.log(low), math.log(high)) for low, high in ranges]
    widest = max(high - low for low, high in logs)
    # The sum below is over differences that cancel: a far narrower side would be lost in rounding,
    # and moves the share by less than its own share of the widest.
    sides = [(low, high) for low, high in logs if high - low > _NARROW * widest]
    points = [(low + high) / 2 for low, high in logs if high - low <= _NARROW * widest]
    widths = [high - low for low, high in sides]
    reach = math.log(limit) - sum(low for low, _ in sides) - sum(points)
    if reach < 0 or reach >= sum(widths):
        return float(reach >= 0)
    volume = 0.0
    for size in range(len(widths) + 1):
        for corner in combinations(widths, size):
            volume += (-1) ** size * max(reach - sum(corner), 0.0) ** len(widths)
    return volume / (math.factorial(len(widths)) * math.prod(widths))


def _modifier_products(p: PriorSet) -> Iterator[AuditItem]:
    low, high = product_range(p.modifiers)
    base = {shift.number: shift.product for shift in p.shifts.values()}
    ranges = [modifier.range.range for modifier in p.modifiers.values()]
    worst_type = max(base, key=lambda number: base[number])
    worst = base[worst_type]
    if worst * high > 1 and are_positive([(low, min(base.values()))]):
        above = {t: 1 - share_below(ranges, 1 / b) for t, b in base.items()}
        yield AuditItem(
            "B3.overflow",
            "base x modifiers exceeds 1",
            "modifiers " + " / ".join(f"{a:g}-{b:g}x" for a, b in ranges),
            f"their product is {low:.2g}-{high:.3g} (span {high / low:.0f}x), so P is "
            + spans([(b * low, b * high) for b in base.values()])
            + f"; P > 1 from a product of {numbers((1 / b for b in base.values()), 2)} on: "
            + percents(abs(share) for share in above.values())
            + " of log-uniform draws",
            "overflow: clip, with clipped_share printed (default); hazard gives at most "
            f"{100 * (1 - (1 - worst) ** high):.1f} % for type {worst_type}, odds "
            f"{100 * (o := worst / (1 - worst) * high) / (1 + o):.1f} %",
            ("modifiers", "shift_types"),
            True,
        )


def _reference_levels(p: PriorSet) -> Iterator[AuditItem]:
    ranges = [modifier.range.range for modifier in p.modifiers.values()]
    middles = [math.sqrt(low * high) for low, high in ranges]
    yield AuditItem(
        "B3.reference",
        "no neutral level is stated for capability and alignment method",
        "modifiers " + " / ".join(f"{low:g}-{high:g}x" for low, high in ranges),
        f"geometric middles {numbers(middles, 2)} (product {math.prod(middles):.2f}): 1 is not the "
        "middle. External: human-level capability has 1.0-1.5x",
        "reference levels are ours and named: "
        + ", ".join(f"{m.name} {m.reference}" for m in p.modifiers.values()),
        ("modifiers",),
        True,
    )


# ---------------------------------------------------------------- B5, B6: specification, diversity


def band_gaps() -> list[tuple[Range, Range]]:
    """Where no band is printed: (low, high) quality, and the multipliers at both ends."""
    rows = source_tables()["003.specification_bands"].rows.values()
    bands = sorted(
        (row["specification_quality_range"], row["risk_multiplier_range"]) for row in rows
    )
    return [
        ((below[1], above[0]), (multiplier[0], after[1]))
        for (below, multiplier), (above, after) in pairwise(bands)
        if below[1] < above[0]
    ]


def _specification(p: PriorSet) -> Iterator[AuditItem]:
    row = source_tables()["003.modifying_factors"].rows["m_spec"]
    scores = [row[side]["specification_quality"] for side in ("low_risk", "high_risk")]
    spec = p.modifiers["spec"]
    by_band = [spec.level(score).median for score in scores]
    if not np.allclose(by_band, spec.range.range):
        yield AuditItem(
            "B5.endpoints",
            "quality .9 and .2 have two multipliers",
            "; ".join(f"q = {q:g}: {m:g}x" for q, m in zip(scores, spec.range.range, strict=True)),
            f"the bands give {numbers(by_band, 2)}: the end multipliers belong to q = 1 and 0",
            "the bands count; endpoint_rule: table is the option",
            ("modifiers",),
            True,
        )
    gaps = band_gaps()
    yield AuditItem(
        "B5.gaps",
        "no multiplier between the quality bands",
        "quality bands and multipliers",
        "; ".join(
            f"q {low:g}-{high:g} undefined, the multiplier drops from {before:g} to {after:g}"
            for (low, high), (before, after) in gaps
        ),
        "interpolated, and the level says so",
        ("modifiers", "domains"),
        True,
    )
    formula = external_tables()["external.specification_formula"].body
    low, high = formula["multiplier_range"]
    yield AuditItem(
        "B5.formula",
        "another revision's formula cannot reach the printed range",
        f"{spec.range.range[0]:g}-{spec.range.range[1]:g}x",
        f"external: {formula['formula']} gives {low:g}-{high:g}x",
        "not used",
        ("modifiers",),
    )


_TRANSITION = 0.02
"""Share of levels with a randomised coin that public secondary sources name; not verified."""


def linear_crossing(p: PriorSet) -> float | None:
    """The d at which a multiplier falling linearly between the thresholds is 1; None if at none,
    or at all."""
    (_, _), (low, narrow), (high, diverse), _ = p.modifiers["diversity"].knots
    if narrow == diverse or (narrow - 1) * (diverse - 1) > 0:
        return None
    return low + (high - low) * (narrow - 1) / (narrow - diverse)


def _diversity(p: PriorSet) -> Iterator[AuditItem]:
    diversity = p.modifiers["diversity"]
    low, high = diversity.knots[1][0], diversity.knots[2][0]
    diverse, narrow = (diversity.levels[name].median for name in ("diverse", "narrow"))
    crossing = linear_crossing(p)
    external = external_tables()["external.diversity_definition"].body
    yield AuditItem(
        "B6.unit",
        "the diversity score has no unit",
        f"adversarially diverse > {high:g}, narrow < {low:g}",
        f"undefined in the source. External: {external['definition']}, acting on goal failure "
        f"alone ({external['high']['goal_failure_change_fraction']:+.0%}, "
        f"{external['low']['goal_failure_change_fraction']:+.0%}); with unlimited procedural "
        "levels that ratio is near 1, with a fixed level set it falls with the run's length",
        "d, the share of training levels with the cue broken; the ratio is not used",
        ("modifiers",),
        True,
    )
    yield AuditItem(
        "B6.middle",
        "no multiplier between the diversity thresholds",
        f"{narrow:g}x below {low:g}, {diverse:g}x above {high:g}",
        f"{low:g}-{high:g} has none; a straight line would "
        + ("not cross 1 at one d" if crossing is None else f"cross 1 at d = {crossing:.3f}"),
        diversity.note or "1 between the thresholds, ours (diversity_rule: step; option: linear)",
        ("modifiers",),
        True,
    )
    yield AuditItem(
        "B6.transition",
        "both thresholds may lie far above the transition",
        f"thresholds {low:g} and {high:g}",
        f"secondary sources (unverified) say that about {_TRANSITION:g} of randomised levels helps "
        f"greatly: {numbers((low / _TRANSITION, high / _TRANSITION), 0)} times less",
        "the sweep of d starts at .005",
        ("modifiers",),
    )
