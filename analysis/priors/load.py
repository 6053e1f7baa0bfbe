"""The three named prior sets, built from the source's tables."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from misgen.analysis.priors.deployment import domains, interventions, periods
from misgen.analysis.priors.mesa import mesa_priors
from misgen.analysis.priors.source import (
    FACTOR_FIELDS,
    Table,
    external_tables,
    source_tables,
)
from misgen.analysis.priors.types import (
    FACTORS,
    PRIOR_SETS,
    SHIFT_TYPES,
    CaseStudy,
    Figure,
    Level,
    MetaAnalysis,
    MetaRow,
    Modifier,
    PriorSet,
    ScenarioPoint,
    ShiftPrior,
    band_level,
    named_level,
    reference_level,
    with_factors,
)
from misgen.analysis.priors.user_file import (
    base_of,
    broken_rule,
    read_prior_file,
    settings_of,
    with_user_figures,
)

_KAPPA = {"taxonomy": 10.0, "meta_analysis": 2.0, "external_revision": 10.0}


def load_priors(
    name: str = "taxonomy",
    *,
    kappa: float | None = None,
    log_sd: float | None = None,
    endpoint_rule: str | None = None,
    diversity_rule: str | None = None,
    file: Path | None = None,
) -> PriorSet:
    """A prior set by name, with the figures of a user's file in place if one is given.

    "taxonomy": the source's shift types. "meta_analysis": its pooled factors for every type, with
    kappa 2, because they are shares of cases selected for their outcome. "external_revision":
    another revision of the source's pages, labelled; optional, never mixed in by itself.

    kappa: equivalent sample size of a type's factors, 10 unless given. log_sd: spread of a named
    modifier level, .2 unless given. endpoint_rule "bands" (default): specification quality 1 and 0
    have the end multipliers; "table": .9 and .2 have them. diversity_rule "step" (default): 1.4,
    1.0, .7 below, between and above the thresholds; "linear": falling from 1.4 to .7 between them.
    By "linear" d = .1 has 1.4: the reference arm of this testbed, trained at d = .1, is then no
    reference, and levels given by d say so.

    `file` is YAML and states only what differs, with the names of `PriorSet` and of the options
    above; an option given here wins over the file's:

        base: taxonomy               # the set to change; this one if left out
        kappa: 20
        log_sd: 0.3
        endpoint_rule: table         # or bands
        diversity_rule: linear       # or step
        shifts:
          moderate: {p_capable: 0.7, p_goal_fail: 0.3, p_harm: 0.5, likelihood_range: [0, 0.3]}
          extreme: {kappa: 30, p_goal_fail: [0.4, 0.9], p_harm: {value: 0.8, kappa: 5}}
        modifiers:
          capability: {range: [0.5, 4], levels: {superhuman: 4, below_human: [0.4, 0.8]}}
          spec: {knots: [[0, 2], [0.5, 1], [1, 0.5]]}
        domains: {game_ai: {spec: 0.9, p_current: [0.02, 0.1], p_2027: [0.03, 0.12]}}
        periods: {2026-2027: {multiplier: [1.2, 1.8]}}
        interventions: {ai_control_protocols: {reduction: [0.3, 0.6], target: p_harm}}
        transport: [0.3, 2]
        mesa: {exponent_capability: 1.5, periods: {current: {p_emergence: [0.05, 0.2]}}}

    A level is one multiplier (its median) or [low, high] (its central 90 %). A factor is its mean;
    with [low, high], or a kappa of its own, it has a Beta of its own, which no other figure of the
    type moves. A type's own kappa counts also where another is given for all. Factors not given
    stay as they are, p_harm as the base set implies it; the products follow. Replaced figures have
    the kind "user" and the file's line.

    Raises ValueError for an unknown name or option, and for a file with invalid YAML, an unknown
    key, a probability outside [0, 1] or a multiplier <= 0: file and line, rule, value.
    """
    user = read_prior_file(file) if file is not None else None
    name = base_of(user, name) if user else name
    if name not in PRIOR_SETS:
        raise ValueError(f"no prior set {name!r}; choose {', '.join(PRIOR_SETS)}")
    given = {
        "kappa": kappa,
        "log_sd": log_sd,
        "endpoint_rule": endpoint_rule,
        "diversity_rule": diversity_rule,
    }
    given = {key: value for key, value in given.items() if value is not None}
    for key, value in given.items():
        if rule := broken_rule(key, value):
            raise ValueError(f"{key} {rule}; got {value!r}")
    settings = {"kappa": _KAPPA[name], **_SETTINGS, **(settings_of(user) if user else {}), **given}
    priors = _prior_set(name, **settings)
    return with_user_figures(priors, user) if user else priors


_SETTINGS: dict[str, Any] = {"log_sd": 0.2, "endpoint_rule": "bands", "diversity_rule": "step"}


def _prior_set(
    name: str, kappa: float, log_sd: float, endpoint_rule: str, diversity_rule: str
) -> PriorSet:
    modifiers = (
        _spec(log_sd, endpoint_rule),
        _capability(log_sd, name),
        _diversity(log_sd, diversity_rule),
        _method(log_sd),
    )
    return PriorSet(
        name=name,
        kappa=kappa,
        log_sd=log_sd,
        shifts=_shifts(name),
        modifiers={modifier.name: modifier for modifier in modifiers},
        domains=domains(),
        periods=periods(),
        interventions=interventions(name == "external_revision"),
        meta_analysis=_meta_analysis(),
        case_studies=_case_studies(),
        scenarios=_scenarios(),
        mesa=mesa_priors(),
        harm_note=_harm_note(),
    )


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
    "ours.kappa": _ours(10.0, "observations", "of a type's outcomes; swept 2 to 50"),
    "ours.log_sd": _ours(0.2, "log multiplier", "of a named modifier level; swept .1 to .4"),
    "ours.spec_neutral": _ours(
        0.55, "quality in 0..1", "where the multiplier, interpolated in the medium band, is 1"
    ),
    "ours.diversity_neutral": _ours(
        1.0,
        "multiplier",
        "between the printed thresholds .1 and .3, where none is printed; diversity_rule linear "
        "puts a line there instead, by which d = .1, the reference arm, has 1.4",
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
        table.figure(row, FACTOR_FIELDS[factor]) for factor in ("p_capable", "p_goal_fail")
    )
    harmful = table.figure(row, "p_harmful_misgeneralization", "printed as P(Misgeneralization)")
    p_gm = harmful.derived(p_capable.number * p_goal_fail.number, "p_capable x p_goal_fail")
    harm = harmful.derived(harmful.number / p_gm.number, "implied by the printed product")
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


def _pooled_shift(shift: ShiftPrior, pooled: MetaRow) -> ShiftPrior:
    """The meta-analysis tells no shift types apart: all four get the pooled factors."""
    return with_factors(shift, {name: getattr(pooled, name) for name in FACTORS})


def _external_shift(shift: ShiftPrior) -> ShiftPrior:
    """Central values of the other revision, which prints harm itself and (low, high) factors."""
    table = external_tables()["external.shift_type_components"]
    row = table.body[f"type_{shift.number}"]
    unit = "probability"
    central = {name: table.make(row[FACTOR_FIELDS[name]][1], unit) for name in FACTORS}
    ranges = {name: table.make(row[FACTOR_FIELDS[name]][::2], unit) for name in FACTORS}
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
    levels = _named(whole, "diverse", "narrow", log_sd)
    knots = ((0.0, narrow), (low, narrow), (high, diverse), (1.0, diverse))
    return Modifier("diversity", whole, levels, "neutral", log_sd, knots, rule)


def _method(log_sd: float) -> Modifier:
    _, whole = _modifier_range("m_align")
    levels = _named(whole, "interpretability_verified", "behavioral_cloning", log_sd)
    return Modifier("method", whole, levels, "ppo", log_sd)


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
    p_capable, p_goal_fail, p_harm = (table.figure(row, field) for field in FACTOR_FIELDS.values())
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
