"""The source's figures as typed priors: three named sets, and a user's own file.

    priors = load_priors()                    # "taxonomy": the source's table of shift types
    priors.shifts["moderate"].p_goal_fail     # Figure: .28, printed in 003, lines 56 to 63
    priors.modifiers["spec"].level(0.8)       # Level: a multiplier with its uncertainty

Printed values are the defaults; what follows from them by arithmetic stands beside them, and
`analysis.audit` lists where the two disagree. Figures of other revisions are labelled "external",
choices of this project "ours".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.mesa_priors import mesa_priors
from analysis.prior_types import (
    FACTORS,
    MODIFIERS,
    SHIFT_TYPES,
    CapabilityLevel,
    CaseStudy,
    ComplexityThreshold,
    Domain,
    Figure,
    Intervention,
    Level,
    MesaPeriod,
    MesaPriors,
    MetaAnalysis,
    MetaRow,
    MisalignmentType,
    Modifier,
    Period,
    PriorSet,
    Regime,
    ScenarioPoint,
    ShiftPrior,
    band_level,
    beta_parameters,
    named_level,
    reference_level,
)
from analysis.source_tables import Table, documents, external_tables, formulas, source_tables

__all__ = [
    "FACTORS",
    "MODIFIERS",
    "PRIOR_SETS",
    "SHIFT_TYPES",
    "CapabilityLevel",
    "CaseStudy",
    "ComplexityThreshold",
    "Domain",
    "Figure",
    "Intervention",
    "Level",
    "MesaPeriod",
    "MesaPriors",
    "MetaAnalysis",
    "MetaRow",
    "MisalignmentType",
    "Modifier",
    "Period",
    "PriorSet",
    "Regime",
    "ScenarioPoint",
    "ShiftPrior",
    "beta_parameters",
    "documents",
    "figures",
    "formulas",
    "load_priors",
]

PRIOR_SETS = ("taxonomy", "meta_analysis", "external_revision")
_KAPPA = {"taxonomy": 10.0, "meta_analysis": 2.0, "external_revision": 10.0}
_FIELDS = {
    "p_capable": "p_capability_transfer",
    "p_goal_fail": "p_goal_fail_given_capability",
    "p_harm": "p_harm_given_failure",
}


def load_priors(
    name: str = "taxonomy",
    *,
    kappa: float | None = None,
    log_sd: float = 0.2,
    endpoint_rule: str = "bands",
    diversity_rule: str = "step",
    file: Path | None = None,
) -> PriorSet:
    """A prior set by name."""
    if name not in PRIOR_SETS:
        raise ValueError(f"no prior set {name!r}; choose {', '.join(PRIOR_SETS)}")
    kappa = _KAPPA[name] if kappa is None else kappa
    if not (kappa > 0 and log_sd >= 0):
        raise ValueError(f"kappa must be > 0 and log_sd >= 0; got {kappa} and {log_sd}")
    spec = _spec(log_sd, endpoint_rule)
    modifiers = (spec, _capability(log_sd, name), _diversity(log_sd, diversity_rule))
    priors = PriorSet(
        name=name,
        kappa=kappa,
        log_sd=log_sd,
        shifts=_shifts(name),
        modifiers={m.name: m for m in (*modifiers, _method(log_sd))},
        domains=_domains(),
        periods=_periods(),
        interventions=_interventions(name),
        meta_analysis=_meta_analysis(),
        case_studies=_case_studies(),
        scenarios=_scenarios(),
        mesa=mesa_priors(),
        spec_knots=spec.knots,
        harm_note=_harm_note(),
    )
    return priors


def figures() -> Iterator[tuple[str, Figure]]:
    """Every figure under a dotted path: printed, external, then derived and ours."""
    for table in (*source_tables().values(), *external_tables().values()):
        yield from table.figures()
    priors = load_priors()
    for shift in priors.shifts.values():
        yield f"derived.shift_types.{shift.name}.p_gm", shift.p_gm
        yield f"derived.shift_types.{shift.name}.p_harm", shift.p_harm
    for level in priors.mesa.capability_levels.values():
        yield f"derived.capability_levels.{level.name}.capability", level.capability
    yield from _OURS.items()


def _ours(value: float | tuple[float, float], unit: str, note: str) -> Figure:
    return Figure(value, unit, "ours", "misgen", "choice of this project", (0, 0), note)


_OURS = {
    "ours.kappa": _ours(10.0, "equivalent agents", "of every Beta of a factor; swept 2 to 50"),
    "ours.log_sd": _ours(0.2, "log multiplier", "of a named modifier level; swept .1 to .4"),
    "ours.spec_neutral": _ours(
        0.55, "quality in 0..1", "where the multiplier, interpolated in the medium band, is 1"
    ),
    "ours.diversity_neutral": _ours(
        1.0, "multiplier", "between the printed thresholds .1 and .3, where none is printed"
    ),
    "ours.capability_reference": _ours(1.0, "multiplier", "human level; none is printed"),
    "ours.method_reference": _ours(1.0, "multiplier", "plain PPO; none is printed"),
    "ours.transport": _ours(
        (0.5, 1.5), "factor", "uniform; reads the printed +-50 % (003, lines 164 to 170) as limits"
    ),
}

# ------------------------------------------------------------------------------- shift types

_SCENARIO_TYPES = {  # by the source's shift table; weather and short-to-long are our reading
    "language_style": "superficial",
    "simulation_to_real": "superficial",
    "cross_cultural_deploy": "moderate",
    "weather_conditions": "moderate",
    "cooperative_to_competitive": "significant",
    "short_to_long_term": "significant",
    "supervised_to_autonomous": "extreme",
    "evaluation_to_deployment": "extreme",
}


def _shifts(name: str) -> dict[str, ShiftPrior]:
    shifts = {shift: _printed_shift(i, shift) for i, shift in enumerate(SHIFT_TYPES, 1)}
    if name == "meta_analysis":
        pooled = _meta_analysis().pooled
        return {key: _pooled_shift(shift, pooled) for key, shift in shifts.items()}
    if name == "external_revision":
        return {key: _external_shift(shift) for key, shift in shifts.items()}
    return shifts


def _printed_shift(number: int, name: str) -> ShiftPrior:
    table = source_tables()["003.shift_types"]
    assessment = source_tables()["003.risk_assessment"]
    row, labels = table.rows[f"type_{number}"], assessment.rows[f"type_{number}"]
    p_capable, p_goal_fail = (
        table.figure(row, _FIELDS[factor]) for factor in ("p_capable", "p_goal_fail")
    )
    harmful = table.figure(row, "p_harmful_misgeneralization", "printed as P(Misgeneralization)")
    p_gm = _derived(harmful, p_capable.number * p_goal_fail.number, "p_capable x p_goal_fail")
    harm = _derived(harmful, harmful.number / p_gm.number, "implied by the printed product")
    return ShiftPrior(
        name=name,
        number=number,
        label=row["label"],
        p_capable=p_capable,
        p_goal_fail=p_goal_fail,
        p_harm=harm,
        p_harmful_gm=harmful,
        p_gm=p_gm,
        likelihood_range=assessment.figure(labels, "p_likelihood_range"),
        scenarios=tuple(key for key, kind in _SCENARIO_TYPES.items() if kind == name),
        severity=labels["severity"],
        trend=labels["trend"],
        timeline=labels["timeline"],
        key_factors=row["key_factors"],
        capability_risk_label=row["capability_risk_label"],
        goal_risk_label=row["goal_risk_label"],
    )


def _derived(like: Figure, value: float, note: str) -> Figure:
    return replace(like, value=value, kind="derived", note=note)


def with_factors(shift: ShiftPrior, factors: Mapping[str, Figure]) -> ShiftPrior:
    """The shift with other factors; both products follow from them."""
    p = {name: factors.get(name, getattr(shift, name)) for name in FACTORS}
    p_gm = p["p_capable"].number * p["p_goal_fail"].number
    like = next(iter(factors.values()))
    return replace(
        shift,
        **p,
        p_gm=_derived(like, p_gm, "p_capable x p_goal_fail"),
        p_harmful_gm=_derived(like, p_gm * p["p_harm"].number, "product of the three factors"),
    )


def _pooled_shift(shift: ShiftPrior, pooled: MetaRow) -> ShiftPrior:
    """The meta-analysis tells no shift types apart: all four get the pooled factors."""
    return with_factors(shift, {name: getattr(pooled, name) for name in FACTORS})


def _external_shift(shift: ShiftPrior) -> ShiftPrior:
    """Central values of the other revision, which prints harm itself and (low, high) factors."""
    table = external_tables()["external.shift_type_components"]
    row = table.body[f"type_{shift.number}"]
    unit = "probability"
    central = {name: table.make(row[_FIELDS[name]][1], unit) for name in FACTORS}
    ranges = {name: table.make(row[_FIELDS[name]][::2], unit) for name in FACTORS}
    harmful = row["p_harmful"]
    return replace(
        with_factors(shift, central),
        p_harmful_gm=table.make(harmful[1], unit, "printed product, rounded"),
        likelihood_range=table.make(harmful[::2], unit, "products of low and of high factors"),
        factor_ranges=ranges,
    )


def _harm_note() -> Figure:
    table = source_tables()["003.shift_types"]
    return table.figure(table.body, "p_harm_given_failure_assumed_range", "a note of the table")


def _scenarios() -> dict[str, ScenarioPoint]:
    table = source_tables()["003.shift_quadrant"]
    return {
        key: ScenarioPoint(
            key,
            _SCENARIO_TYPES[key],
            table.figure(row, "capability_risk_coordinate"),
            table.figure(row, "goal_risk_coordinate"),
        )
        for key, row in table.rows.items()
    }


# ---------------------------------------------------------------------------------- modifiers


def _modifier_range(row: str) -> tuple[Mapping[str, Any], Figure]:
    table = source_tables()["003.modifying_factors"]
    fields = table.rows[row]
    return fields, table.figure(fields, "multiplier_range")


def _spec(log_sd: float, endpoint_rule: str) -> Modifier:
    """Knots at the edges of the printed bands, straight between them and across the gaps.

    endpoint_rule "bands": the end multipliers belong to q = 1 and 0. "table": to the q = .9 and
    .2 that the factor table prints beside them, and to all q beyond.
    """
    if endpoint_rule not in ("bands", "table"):
        raise ValueError(f"endpoint_rule must be bands or table; got {endpoint_rule!r}")
    fields, whole = _modifier_range("m_spec")
    table = source_tables()["003.specification_bands"]
    bands = {key: row["risk_multiplier_range"] for key, row in table.rows.items()}
    knots = []
    for key, row in table.rows.items():
        low, high = row["specification_quality_range"]
        knots += [(low, bands[key][1]), (high, bands[key][0])]
    if endpoint_rule == "table":
        inner = [knot for knot in knots if 0 < knot[0] < 1]
        best, worst = whole.range
        good = fields["low_risk"]["specification_quality"]
        bad = fields["high_risk"]["specification_quality"]
        knots = [*inner, (0.0, worst), (bad, worst), (good, best), (1.0, best)]
    levels = {key: band_level(key, tuple(band)) for key, band in bands.items()}
    gaps = table.body["undefined_gaps_specification_quality"]
    return Modifier(
        name="spec",
        range=whole,
        levels=_levels(levels, whole),
        reference="neutral",
        log_sd=log_sd,
        knots=tuple(sorted(knots)),
        gaps=tuple((low, high) for low, high in gaps),
    )


def _levels(levels: Mapping[str, Level], whole: Figure) -> dict[str, Level]:
    unknown = band_level("unknown", whole.range, "unknown", "level: unknown")
    return {"reference": reference_level(), **levels, "unknown": unknown}


def _named(whole: Figure, low: str, high: str, log_sd: float) -> dict[str, Level]:
    """The low-risk label has the low end of the printed range, the high-risk label the high."""
    ends = zip((low, high), whole.range, strict=True)
    return _levels({key: named_level(key, value, log_sd) for key, value in ends}, whole)


def _capability(log_sd: float, set_name: str) -> Modifier:
    _, whole = _modifier_range("m_cap")
    levels = _named(whole, "below_human", "superhuman", log_sd)
    if set_name == "external_revision":
        table = external_tables()["external.capability_levels"]
        for key in ("below_human", "superhuman"):
            levels[key] = band_level(key, tuple(table.body[key]["multiplier_range"]))
    return Modifier("capability", whole, levels, "human", log_sd)


def _diversity(log_sd: float, rule: str) -> Modifier:
    """Step: 1.4 below .1, 1.0 up to .3, .7 above. Linear: 1.4 to .7 between the thresholds."""
    fields, whole = _modifier_range("m_div")
    low = fields["high_risk"]["diversity_less_than"]
    high = fields["low_risk"]["diversity_greater_than"]
    diverse, narrow = whole.range
    knots = {
        "step": ((0.0, narrow), (low, 1.0), (high, diverse)),
        "linear": ((0.0, narrow), (low, narrow), (high, diverse), (1.0, diverse)),
    }
    if rule not in knots:
        raise ValueError(f"diversity_rule must be step or linear; got {rule!r}")
    levels = _named(whole, "diverse", "narrow", log_sd)
    return Modifier("diversity", whole, levels, "neutral", log_sd, knots[rule], rule)


def _method(log_sd: float) -> Modifier:
    _, whole = _modifier_range("m_align")
    levels = _named(whole, "interpretability_verified", "behavioral_cloning", log_sd)
    return Modifier("method", whole, levels, "ppo", log_sd)


# --------------------------------------------------------------- domains, time, interventions


def _domains() -> dict[str, Domain]:
    table = source_tables()["003.application_domains"]
    return {
        key: Domain(
            name=key,
            label=row["domain"],
            shift_types=_type_pair(row["shift_types"]),
            spec=row["specification_quality"],
            p_current=table.figure(row, "p_current_range"),
            p_2027=table.figure(row, "p_2027_range"),
            concern=row["key_concerns"],
        )
        for key, row in table.rows.items()
    }


def _type_pair(numbers: Sequence[int]) -> tuple[str, str]:
    first, second = numbers
    return SHIFT_TYPES[first - 1], SHIFT_TYPES[second - 1]


def _periods() -> dict[str, Period]:
    periods = {}
    for row in source_tables()["003.timeline_projections"].rows.values():
        first, last = row["period_years"]
        low, high = row["risk_multiplier_range"]
        name = f"{first}-{last}" if last else f"after-{first - 1}"
        periods[name] = Period(
            name=name,
            label=row["system_capabilities"],
            multiplier=(low, high),
            driver=row["key_driver"],
            deployment=row["deployment_context"],
            excludes="capability" if high > 1 else None,
        )
    return periods


_INTERVENTIONS = {  # name: (the modifier whose lever it repeats, target where no revision says)
    "diverse_adversarial_training": ("diversity", ""),
    "objective_specification_improvement": ("spec", ""),
    "interpretability_verification": ("method", ""),
    "anomaly_monitoring": (None, "p_harm"),
    "objective_probing": (None, "p_goal_fail"),
    "ai_control_protocols": (None, ""),
    "gradual_deployment": (None, "p_harm"),
    "capability_aware_deployment": (None, ""),
    "human_oversight_maintenance": (None, ""),
}


def _interventions(set_name: str) -> dict[str, Intervention]:
    table = source_tables()["003.interventions"]
    interventions = {
        key: _intervention(table, key, row, "risk_reduction_fraction_range")
        for key, row in table.rows.items()
    }
    if set_name == "external_revision":
        external = external_tables()["external.intervention_targets"]
        for key, row in external.body.items():
            if key != "source" and key not in interventions:
                row = {"category": "Response", "cost_printed": "", "priority": "", **row}
                field = "reduction_fraction_range"
                interventions[key] = _intervention(external, key, row, field)
    return interventions


def _intervention(table: Table, key: str, row: Mapping[str, Any], field: str) -> Intervention:
    targets = external_tables()["external.intervention_targets"].body
    names = {external: ours for ours, external in _FIELDS.items()}
    excludes, ours = _INTERVENTIONS[key]
    target = targets[key]["factor"] if key in targets else ours
    compute = row.get("compute_cost_multiplier_range")
    return Intervention(
        name=key,
        category=row["category"],
        reduction=table.figure(row, field) if row[field] else None,
        target=names.get(target, target),
        target_kind="external" if key in targets else "ours",
        excludes=excludes,
        compute_multiplier=tuple(compute) if compute else None,
        cost=row["cost_printed"],
        priority=row["priority"],
        printed=row.get("risk_reduction_printed", ""),
    )


# ------------------------------------------------------------------------------ meta-analysis


def _meta_analysis() -> MetaAnalysis:
    table = source_tables()["003.meta_analysis"]
    pooled = table.body["pooled"]
    return MetaAnalysis(
        rows=tuple(_meta_row(table, key, row) for key, row in table.rows.items()),
        pooled=_meta_row(table, "pooled", pooled),
        cases_at_least=table.figure(pooled, "n_cases_at_least"),
    )


def _meta_row(table: Table, key: str, row: Mapping[str, Any]) -> MetaRow:
    p_capable, p_goal_fail, p_harm = (table.figure(row, field) for field in _FIELDS.values())
    return MetaRow(
        name=key,
        cases=row.get("cases_described", ""),
        n_cases=row.get("n_cases"),
        p_capable=p_capable,
        p_goal_fail=p_goal_fail,
        p_harm=p_harm,
    )


def _case_studies() -> tuple[CaseStudy, ...]:
    return tuple(
        CaseStudy(
            name=row["id"],
            domain=row["domain"],
            true_objective=row["true_objective"],
            learned_proxy=row["learned_proxy"],
            outcome=row["outcome"],
            credited_to=row["source_printed"],
            failure_class="goal_misgeneralization"
            if row["id"] == "coinrun_agent"
            else "specification_gaming",
        )
        for row in source_tables()["003.case_studies"].body["rows"]
    )
