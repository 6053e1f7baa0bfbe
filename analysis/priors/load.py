"""The three named prior sets, built from the source's tables."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from misgen.analysis.priors.deployment import domains, interventions, mesa_priors, periods
from misgen.analysis.priors.levels import REFERENCE, Level, Modifier, band_level, named_level
from misgen.analysis.priors.source import Figure, Table, external_tables, source_tables
from misgen.analysis.priors.types import (
    FACTOR_FIELDS,
    PRIOR_SETS,
    SHIFT_TYPES,
    PriorSet,
    ShiftPrior,
    with_factors,
)
from misgen.analysis.priors.user_file import (
    SETTINGS,
    Entry,
    read_prior_file,
    setting,
    with_user_figures,
)

_KAPPA = {"taxonomy": 10.0, "meta_analysis": 2.0, "external_revision": 10.0}
_DEFAULTS: dict[str, Any] = {"log_sd": 0.2, "endpoint_rule": "bands", "diversity_rule": "step"}


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

    file: YAML as in analysis/README.md, "Own priors"; an option given here wins over the file's.
    Raises ValueError for an unknown name or option, and for a file with invalid YAML, an unknown
    key, a probability outside [0, 1] or a multiplier <= 0: file and line, rule, value.
    """
    user = read_prior_file(file) if file is not None else None
    name = _base_of(user, name) if user else name
    if name not in PRIOR_SETS:
        raise ValueError(f"no prior set {name!r}; choose {', '.join(PRIOR_SETS)}")
    options = {
        "kappa": kappa,
        "log_sd": log_sd,
        "endpoint_rule": endpoint_rule,
        "diversity_rule": diversity_rule,
    }
    given = {
        key: setting(key, Entry(Path(), key, 0, value))
        for key, value in options.items()
        if value is not None
    }
    stated = user.value.items() if user else ()
    own = {key: setting(key, entry) for key, entry in stated if key in SETTINGS}
    priors = _prior_set(name, **{"kappa": _KAPPA[name], **_DEFAULTS, **own, **given})
    return with_user_figures(priors, user) if user else priors


def _base_of(file: Entry, default: str) -> str:
    """The prior set that the file says it changes."""
    base = file.value.get("base")
    if base is None:
        return default
    if base.value not in PRIOR_SETS:
        base.fail(f"must be one of {', '.join(PRIOR_SETS)}")
    if default not in ("taxonomy", base.value):
        base.fail(f"must be the prior set that was asked for, {default}, or be left out")
    return str(base.value)


def _prior_set(
    name: str, kappa: float, log_sd: float, endpoint_rule: str, diversity_rule: str
) -> PriorSet:
    types = source_tables()["003.shift_types"]
    modifiers = {
        "spec": _spec(log_sd, endpoint_rule),
        **{key: _named(key, log_sd) for key in ("capability", "diversity", "method")},
    }
    modifiers["diversity"] = _with_thresholds(modifiers["diversity"], diversity_rule)
    if name == "external_revision":
        modifiers["capability"] = _with_external_levels(modifiers["capability"])
    return PriorSet(
        name=name,
        kappa=kappa,
        log_sd=log_sd,
        shifts={key: _shift(name, number, key) for number, key in enumerate(SHIFT_TYPES, 1)},
        modifiers=modifiers,
        domains=domains(),
        periods=periods(),
        interventions=interventions(name == "external_revision"),
        mesa=mesa_priors(),
        harm_note=types.figure(types.body, "p_harm_given_failure_assumed_range", "a note"),
    )


# ------------------------------------------------------------------------------- shift types


def _shift(set_name: str, number: int, name: str) -> ShiftPrior:
    shift = _printed_shift(number, name)
    if set_name == "meta_analysis":  # it tells no types apart: all four get the pooled factors
        table = source_tables()["003.meta_analysis"]
        return with_factors(shift, _factors(table, table.body["pooled"]))
    if set_name == "external_revision":  # its central values; it prints harm itself
        table = external_tables()["external.shift_type_components"]
        row = table.body[f"type_{number}"]
        return replace(
            with_factors(shift, _factors(table, row)),
            p_harmful_gm=table.figure(row, "p_harmful", "printed product, rounded"),
            likelihood_range=table.figure(
                row, "p_harmful_range", "products of low and high factors"
            ),
        )
    return shift


def _factors(table: Table, row: Mapping[str, Any]) -> dict[str, Figure]:
    return {name: table.figure(row, field) for name, field in FACTOR_FIELDS.items()}


def _printed_shift(number: int, name: str) -> ShiftPrior:
    table = source_tables()["003.shift_types"]
    assessment = source_tables()["003.risk_assessment"]
    row = table.rows[f"type_{number}"]
    p_capable = table.figure(row, FACTOR_FIELDS["p_capable"])
    p_goal_fail = table.figure(row, FACTOR_FIELDS["p_goal_fail"])
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
        likelihood_range=assessment.figure(assessment.rows[f"type_{number}"], "p_likelihood_range"),
    )


# ---------------------------------------------------------------------------------- modifiers

_NAMED = {
    "capability": ("m_cap", "below_human", "superhuman", "human"),
    "diversity": ("m_div", "diverse", "narrow", "neutral"),
    "method": ("m_align", "interpretability_verified", "behavioral_cloning", "ppo"),
}
"""Modifier -> its row; the low-risk label, which has the low end of the printed range; the
high-risk one, which has the high end; what is neither."""


def _named(name: str, log_sd: float) -> Modifier:
    row, *labels, reference = _NAMED[name]
    _, whole = _modifier_range(row)
    ends = zip(labels, whole.range, strict=True)
    levels = {label: named_level(label, end, log_sd) for label, end in ends}
    return Modifier(name, whole, _levels(levels, whole), reference, log_sd)


def _modifier_range(row: str) -> tuple[Mapping[str, Any], Figure]:
    table = source_tables()["003.modifying_factors"]
    fields = table.rows[row]
    return fields, table.figure(fields, "multiplier_range")


def _levels(levels: Mapping[str, Level], whole: Figure) -> dict[str, Level]:
    unknown = band_level("unknown", whole.range, "unknown", "level: unknown")
    return {"reference": REFERENCE, **levels, "unknown": unknown}


def _with_external_levels(capability: Modifier) -> Modifier:
    levels = external_tables()["external.capability_levels"].body
    bands = {
        key: band_level(key, tuple(levels[key]["multiplier_range"]))
        for key in ("below_human", "superhuman")
    }
    return capability.with_levels({**capability.levels, **bands})


def _with_thresholds(diversity: Modifier, rule: str) -> Modifier:
    """Step: 1.4 below .1, 1.0 up to .3, .7 above. Linear: 1.4 to .7 between the thresholds."""
    fields, whole = _modifier_range("m_div")
    low = fields["high_risk"]["diversity_less_than"]
    high = fields["low_risk"]["diversity_greater_than"]
    diverse, narrow = whole.range
    knots = ((0.0, narrow), (low, narrow), (high, diverse), (1.0, diverse))
    return replace(diversity, knots=knots, rule=rule)


def _spec(log_sd: float, endpoint_rule: str) -> Modifier:
    """Knots at the edges of the printed bands, straight between them and across the gaps.

    endpoint_rule "bands": the end multipliers belong to q = 1 and 0. "table": to the q = .9 and
    .2 that the factor table prints beside them, and to all q beyond.
    """
    fields, whole = _modifier_range("m_spec")
    table = source_tables()["003.specification_bands"]
    bands, knots = {}, []
    for key, row in table.rows.items():
        least, most = bands[key] = row["risk_multiplier_range"]
        low, high = row["specification_quality_range"]
        knots += [(low, most), (high, least)]
    if endpoint_rule == "table":
        inner = [knot for knot in knots if 0 < knot[0] < 1]
        best, worst = whole.range
        good = fields["low_risk"]["specification_quality"]
        bad = fields["high_risk"]["specification_quality"]
        knots = [*inner, (0.0, worst), (bad, worst), (good, best), (1.0, best)]
    return Modifier(
        name="spec",
        range=whole,
        levels=_levels({key: band_level(key, tuple(band)) for key, band in bands.items()}, whole),
        reference="neutral",
        log_sd=log_sd,
        knots=tuple(sorted(knots)),
        gaps=tuple((low, high) for low, high in table.body["undefined_gaps_specification_quality"]),
    )
