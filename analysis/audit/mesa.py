"""Findings on mesa-optimization (document 000), alone and against the others: B10 and B11."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from misgen.analysis.audit.item import AuditItem, are_positive, percents, spans, union
from misgen.analysis.priors.source import source_tables
from misgen.analysis.priors.types import MesaPriors, PriorSet, Range


def findings(priors: PriorSet) -> Iterator[AuditItem]:
    for check in (_headline, _implied, _severity, _prevalence, _periods):
        yield from check(priors.mesa)
    yield from _conflicts(priors)


# --------------------------------------------------------------------------------- B10: mesa


def _headline(mesa: MesaPriors) -> Iterator[AuditItem]:
    emergence = [period.p_emergence.range for period in mesa.periods.values()]
    misaligned = [period.p_misaligned.range for period in mesa.periods.values()]
    camps = source_tables()["001_002.expert_probability"].rows.values()
    span = union([tuple(camp["p_range"]) for camp in camps])
    context = source_tables()["001_002.headline"].body
    yield AuditItem(
        "B10.headline",
        "the headline ranges join periods",
        f"emergence {spans([mesa.p_emergence.range], 0)} for current systems, misaligned given "
        f"emergence {spans([mesa.p_misaligned.range], 0)}",
        f"the table prints {spans(emergence[:1], 0)} for current systems: the headline is its "
        f"union with the near term ({spans([union(emergence[:2])], 0)}); the second is the union "
        f"of all three periods ({spans([union(misaligned)], 0)}). 001 prints "
        f"{spans([tuple(context['p_mesa_optimization_expert_range'])], 0)}, its own camps span "
        f"{spans([span], 0)}",
        "the index takes a period's row, never the headline",
        ("mesa",),
        True,
    )
    framework = source_tables()["000.probability_framework"].body
    yield AuditItem(
        "B10.interval",
        "confidence intervals without data",
        f"{framework['interval_level_claimed']:.0%} confidence intervals",
        "no data are behind them; external: structured uncertainty, no statistical intervals",
        f"interval_kind: {mesa.interval_kind}",
        ("mesa",),
        True,
    )


def emergent_misalignment(mesa: MesaPriors) -> dict[str, Range]:
    """P(emergence) x P(misaligned | emergence), ends with ends, per period."""
    return {
        name: (
            period.p_emergence.range[0] * period.p_misaligned.range[0],
            period.p_emergence.range[1] * period.p_misaligned.range[1],
        )
        for name, period in mesa.periods.items()
    }


def implied_catastrophe(mesa: MesaPriors) -> dict[str, Range]:
    """P(catastrophe | misaligned optimizer) that the rows imply, ends with ends.

    Every end of emergence x misaligned must be above 0.
    """
    products = emergent_misalignment(mesa)
    return {
        name: (
            period.p_catastrophic.range[0] / products[name][0],
            period.p_catastrophic.range[1] / products[name][1],
        )
        for name, period in mesa.periods.items()
    }


def _implied(mesa: MesaPriors) -> Iterator[AuditItem]:
    products = emergent_misalignment(mesa)
    later = ("near_term", "medium_term")
    catastrophic = [mesa.periods[name].p_catastrophic.range for name in later]
    if not are_positive([*products.values(), *catastrophic]):
        return
    implied = implied_catastrophe(mesa)
    headline = mesa.p_emergence.range, mesa.p_misaligned.range
    whole = (headline[0][0] * headline[1][0], headline[0][1] * headline[1][1])
    near, medium = (implied[name] for name in later)
    harm = [
        mesa.capability_levels[key].relative_harm.range for key in ("near_term", "agi_approaching")
    ]
    most = mesa.periods["current"].p_catastrophic.range[1]
    today = [most / value for value in reversed(products["current"])]
    yield AuditItem(
        "B10.implied",
        "severity is no probability: the product is an index",
        f"P(catastrophic) {spans(p.p_catastrophic.range for p in mesa.periods.values())}",
        f"emergence x misaligned is {spans(products.values())} (headline {spans([whole], 0)}), "
        "which implies P(catastrophe | misaligned optimizer) below "
        f"{percents(today)} today (high / low end), {spans([near])}, {spans([medium])}: "
        f"{medium[1] / near[1]:.1f}-{medium[0] / near[0]:.1f}x from near to medium term, while "
        f"relative harm rises {harm[1][0] / harm[0][0]:.0f}-{harm[1][1] / harm[0][1]:.0f}x",
        "R_mesa has its own type; severity is never multiplied into a probability",
        ("mesa",),
        True,
    )


def _severity(mesa: MesaPriors) -> Iterator[AuditItem]:
    levels = list(mesa.capability_levels.values())
    roots = ", ".join(f"{low:.3g}-{high:.3g}" for low, high in (x.capability.range for x in levels))
    gaps = [
        f"{below.relative_harm.range[1]:g} to {above.relative_harm.range[0]:g}"
        for below, above in pairwise(levels)
        if 1 < below.relative_harm.range[1] < above.relative_harm.range[0]
    ]
    beta = mesa.exponent_misalignment.number
    powers = ", ".join(f"{m:g} -> {m**beta:.3f}" for m in (0.25, 0.5, 0.75))
    yield AuditItem(
        "B10.severity",
        "the severity scale has gaps, and two laws",
        f"S ~ C^{mesa.exponent_capability.number:g} x M^{beta:g}; harm "
        + ", ".join("{:g}-{:g}x".format(*level.relative_harm.range) for level in levels)
        + "; 'quadratic' (lines 7, 38) and 'grow exponentially' (line 152)",
        f"C = {roots}; harm skips {', '.join(gaps)}; M^{beta:g}: {powers}, but M is given for no "
        "misalignment type. Line 7 says risk is quadratic, line 36 severity; no data are cited",
        "exponents are parameters, fitted values stand beside them",
        ("mesa",),
        True,
    )


def normalised_prevalence(mesa: MesaPriors) -> dict[str, float]:
    """Middle prevalences over their sum: the option that reads the types as a partition."""
    middles = {name: sum(kind.prevalence.range) / 2 for name, kind in mesa.types.items()}
    return {name: middle / sum(middles.values()) for name, middle in middles.items()}


def mitigated_share(mesa: MesaPriors) -> float:
    """Expected share mitigated, with middle success rates and normalised prevalences."""
    shares = normalised_prevalence(mesa)
    return sum(
        shares[key] * sum(kind.mitigation_success.range) / 2 for key, kind in mesa.types.items()
    )


def _prevalence(mesa: MesaPriors) -> Iterator[AuditItem]:
    ranges = [kind.prevalence.range for kind in mesa.types.values()]
    low, high = sum(r[0] for r in ranges), sum(r[1] for r in ranges)
    yield AuditItem(
        "B10.prevalence",
        "the misalignment types are no partition",
        spans(ranges, 0),
        f"sums to {spans([(low, high)], 0)} (middles {percents([(low + high) / 2])}); normalised "
        f"{percents(normalised_prevalence(mesa).values())}, and "
        f"{percents([mitigated_share(mesa)])} of them are mitigated",
        "not exclusive by default; normalising is an option",
        ("mesa",),
        True,
    )


def shared_years(spans_of_years: Sequence[Range]) -> list[int]:
    """Years that end one period and begin the next."""
    ends = ((int(a[1]), int(b[0])) for a, b in pairwise(spans_of_years))
    return [end for end, start in ends if end >= start]


def _periods(mesa: MesaPriors) -> Iterator[AuditItem]:
    rows = source_tables()["000.decision_points"].rows.values()
    points = [(row["period_years"][0], row["period_years"][1] or np.inf) for row in rows]
    years = [period.years for period in mesa.periods.values()]
    agi = mesa.capability_levels["agi_approaching"].years or (0, 0)
    medium = mesa.periods["medium_term"].years
    states, steps = mesa.thresholds["state_space_size"], mesa.thresholds["planning_horizon"]
    if not (states.threshold and states.current and steps.threshold and steps.current):
        return
    low, high = steps.current.range
    yield AuditItem(
        "B10.periods",
        "periods overlap",
        ", ".join(f"{a}-{b}" for a, b in years),
        f"they share {shared_years(years)}, the decision points {shared_years(points)}; "
        f"medium term is {medium[0]}-{medium[1]}, AGI-approaching {agi[0]}-{agi[1]}",
        "periods go by name",
        ("mesa",),
    )
    yield AuditItem(
        "B10.thresholds",
        "today's models are not shown to be above the thresholds",
        f"more than {states.threshold.number:.0e} {states.threshold.unit}, more than "
        f"{steps.threshold.number:g} {steps.threshold.unit}",
        f"the value given for today is {states.current.number:.0e} {states.current.unit}, no count "
        f"of states; the horizon {low:g}-{high:g} lies on both sides",
        "shown per environment, compared with nothing else",
        ("mesa",),
    )


# --------------------------------------------------------------------- B11: between documents


def _conflicts(p: PriorSet) -> Iterator[AuditItem]:
    diversity, mesa = p.modifiers["diversity"], p.mesa
    pseudo, proxy = (
        mesa.types[name].prevalence.range for name in ("pseudo_alignment", "proxy_alignment")
    )
    yield AuditItem(
        "B11.diversity",
        "diversity has opposite signs in two documents",
        f"000: diverse data and much compute: '{mesa.regime_labels['quadrant_1_top_right']}'",
        f"003: diverse training multiplies the risk by {diversity.range.range[0]:g}",
        "two outcomes, emergence of an optimizer and goal failure; never one 'risk'",
        ("mesa", "modifiers"),
        True,
    )
    yield AuditItem(
        "B11.pseudo",
        "pseudo-alignment has two meanings",
        "000: one of " + ", ".join(mesa.types),
        "001 (line 35): the umbrella of all non-robust alignment, which cannot be rarer than one "
        f"of its kinds: 000 has {spans([pseudo], 0)} against {spans([proxy], 0)} of proxy; "
        "001's list has approximate, suboptimality and corrigibility instead of subgoal",
        "one taxonomy, 000's, with its names",
        ("mesa",),
    )
    yield AuditItem(
        "B11.evidence",
        "goal misgeneralization is no evidence of an optimizer inside",
        f"000: '{mesa.evidence['goal_misgeneralization']}' evidence for mesa-optimization",
        "001: 'mesa-optimization-like'; 000 itself notes that no mesa-optimizer is confirmed",
        "a measured rate never updates P(emergence)",
        ("mesa",),
        True,
    )
