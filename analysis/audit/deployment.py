"""Findings on interventions, domains and the timeline (document 003): B7 and B8."""

import math
from collections.abc import Iterable, Iterator

from misgen.analysis.audit.item import AuditItem, are_positive, numbers, percents, spans
from misgen.analysis.priors.source import source_tables
from misgen.analysis.priors.types import Domain, PriorSet, Range


def findings(priors: PriorSet) -> Iterator[AuditItem]:
    for check in (
        _intervention_levers,
        _intervention_table,
        _domain_table,
        _domain_growth,
        _timeline,
    ):
        yield from check(priors)


# ------------------------------------------------------------------------------ B7: interventions


def lever_reductions(p: PriorSet) -> dict[str, tuple[float, float]]:
    """Per intervention, the reduction of its modifier's step: worst to best, and 1 to best."""
    ranges = {
        key: p.modifiers[i.excludes].range.range
        for key, i in p.interventions.items()
        if i.excludes and i.reduction
    }
    return {key: (1 - low / high, 1 - low) for key, (low, high) in ranges.items()}


def stacked_reduction(reductions: Iterable[Range]) -> Range:
    """What independent reductions remove together."""
    pairs = list(reductions)
    return 1 - math.prod(1 - low for low, _ in pairs), 1 - math.prod(1 - high for _, high in pairs)


def _intervention_levers(p: PriorSet) -> Iterator[AuditItem]:
    levers = lever_reductions(p)
    printed = {key: i.reduction.range for key, i in p.interventions.items() if i.reduction}
    unknowns = source_tables()["003.critical_unknowns"].rows
    success = unknowns["interpretability_feasibility"]["multiplier_if_successful"]
    yield AuditItem(
        "B7.duplicates",
        "interventions repeat the modifiers",
        "; ".join(f"{key} {spans([printed[key]], 0)}" for key in levers),
        "their modifiers' steps, worst to best and neutral to best, remove "
        + "; ".join(percents(pair, 0) for pair in levers.values())
        + f": the same lever twice (interpretability if successful: {success:g}x, the "
        f"{100 * (1 - success):.0f} % step)",
        "mutually exclusive: an intervention applies its reduction or sets the modifier, not both",
        ("interventions", "modifiers"),
        True,
    )
    control = printed["ai_control_protocols"]
    prevention = [printed[key] for key in levers]
    yield AuditItem(
        "B7.stacked",
        "stacked interventions assume independence",
        "reductions one by one",
        f"prevention together {spans([stacked_reduction(prevention)])}, with AI control "
        f"{spans([stacked_reduction([*prevention, control])])}, if independent",
        "applied as independent and said so",
        ("interventions",),
        True,
    )


def _intervention_table(p: PriorSet) -> Iterator[AuditItem]:
    yield AuditItem(
        "B7.target",
        "what an intervention reduces is not stated",
        "'Risk Reduction'",
        "external: training acts on P(goal fails), AI control on P(harm)",
        "the target is a field: "
        + ", ".join(f"{i.name} {i.target} ({i.target_kind})" for i in p.interventions.values()),
        ("interventions",),
        True,
    )
    words = {i.name: i.printed for i in p.interventions.values() if i.reduction is None}
    yield AuditItem(
        "B7.cells",
        "table cells were lost in the rendering",
        "; ".join(f"{name}: '{text}'" for name, text in words.items()),
        f"{len(words)} of {len(p.interventions)} rows print no reduction; four rows lost their "
        "category, and the modifier table (lines 44-50) its symbols: cells moved left",
        "restored from the rows above; no reduction is made up",
        ("interventions",),
    )


# ------------------------------------------------------------------------- B8: domains, timeline


def domain_model(p: PriorSet, domain: Domain) -> Range:
    """Base x M_spec at the domain's first and last shift type."""
    spec = p.modifiers["spec"].level(domain.spec).median
    low, high = sorted(p.shifts[name].product for name in domain.shift_types)
    return low * spec, high * spec


def growth(domain: Domain) -> tuple[float, float, float]:
    """The 2027 projection over the current range, none of it 0: low end, high end, middles."""
    now, later = domain.p_current.range, domain.p_2027.range
    return later[0] / now[0], later[1] / now[1], sum(later) / sum(now)


def _domain_table(p: PriorSet) -> Iterator[AuditItem]:
    domains = list(p.domains.values())
    models = [domain_model(p, domain) for domain in domains]
    if not are_positive(models):
        return
    ratios = [
        (d.p_current.range[0] / low, d.p_current.range[1] / high)
        for d, (low, high) in zip(domains, models, strict=True)
    ]
    yield AuditItem(
        "B8.domains",
        "domain ranges do not follow from base x specification",
        "; ".join(f"{d.label} {spans([d.p_current.range], 0)}" for d in domains),
        f"base x M_spec gives {spans(models)}; printed / model "
        + ", ".join(f"{low:.2f} / {high:.2f}" for low, high in ratios),
        "printed, model and gap are shown side by side",
        ("domains",),
        True,
    )


def _domain_growth(p: PriorSet) -> Iterator[AuditItem]:
    domains = list(p.domains.values())
    if not are_positive(domain.p_current.range for domain in domains):
        return
    rates = [growth(domain) for domain in domains]
    factor = p.periods["2026-2027"].multiplier[0]
    if all(middle >= factor for _, _, middle in rates):
        return
    agents = p.domains["autonomous_agents"]
    times = [(low * factor, high * factor) for low, high in (agents.p_current.range,)]
    yield AuditItem(
        "B8.growth",
        "domain projections grow less than the timeline",
        f"2026-2027: {factor:g}x; {agents.label} in 2027 {spans([agents.p_2027.range], 0)}",
        "domains grow (low end / high end / middle) "
        + ", ".join(numbers(rate, 2) for rate in rates)
        + f"; {factor:g}x would give {agents.label} {spans(times)}",
        "the projections and the timeline are shown apart; neither corrects the other",
        ("domains", "timeline"),
        True,
    )


def _timeline(p: PriorSet) -> Iterator[AuditItem]:
    last, third = p.periods["after-2030"].multiplier[1], p.periods["2028-2030"].multiplier[1]
    bases = [p.shifts[name].product * last for name in ("significant", "extreme")]
    agents = p.domains["autonomous_agents"].p_current.range[1] * third
    if max(*bases, agents) > 1:
        yield AuditItem(
            "B8.overflow",
            "the timeline takes probabilities above 1",
            f"up to {last:g}x after 2030, {third:g}x in 2028-2030",
            f"types 3 and 4 x {last:g} = {percents(bases)}, autonomous agents x {third:g} = "
            f"{percents([agents])}",
            "the same overflow policy; '2-3x increase' is read as a factor",
            ("timeline", "domains"),
            True,
        )
    repeated = [period for period in p.periods.values() if period.excludes]
    yield AuditItem(
        "B8.drivers",
        "the timeline repeats the capability modifier",
        "; ".join(f"{period.name}: {period.driver}, {period.label}" for period in repeated),
        f"capability has its own multiplier, up to {p.modifiers['capability'].range.range[1]:g}x",
        "off by default; mutually exclusive with a capability level",
        ("timeline", "modifiers"),
        True,
    )
