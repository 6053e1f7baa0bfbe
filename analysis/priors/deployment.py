"""Where and when a system is deployed, what is done about the risk, and the source's
mesa-optimization framework (document 000)."""

from dataclasses import replace

from misgen.analysis.priors.source import Figure, external_tables, source_tables
from misgen.analysis.priors.types import (
    FACTOR_FIELDS,
    SHIFT_TYPES,
    Domain,
    Intervention,
    MesaPeriod,
    MesaPriors,
    Period,
)


def domains() -> dict[str, Domain]:
    table = source_tables()["003.application_domains"]
    found = {}
    for key, row in table.rows.items():
        first, second = row["shift_types"]
        found[key] = Domain(
            name=key,
            label=row["domain"],
            shift_types=(SHIFT_TYPES[first - 1], SHIFT_TYPES[second - 1]),
            spec=row["specification_quality"],
            p_current=table.figure(row, "p_current_range"),
            p_2027=table.figure(row, "p_2027_range"),
        )
    return found


def periods() -> dict[str, Period]:
    found = {}
    for row in source_tables()["003.timeline_projections"].rows.values():
        first, last = row["period_years"]
        low, high = row["risk_multiplier_range"]
        name = f"{first}-{last}" if last else f"after-{first - 1}"
        excludes = "capability" if high > 1 else None
        found[name] = Period(name, row["system_capabilities"], (low, high), excludes)
    return found


_MODIFIERS = {
    "diverse_adversarial_training": "diversity",
    "objective_specification_improvement": "spec",
    "interpretability_verification": "method",
}
"""Intervention -> the modifier whose lever it repeats."""
_OWN_TARGETS = {
    "anomaly_monitoring": "p_harm",
    "objective_probing": "p_goal_fail",
    "gradual_deployment": "p_harm",
}
"""Where no revision says what an intervention acts on: our reading."""


def interventions(external: bool) -> dict[str, Intervention]:
    """The printed interventions, and those of the other revision if asked for."""
    table, more = (
        source_tables()["003.interventions"],
        external_tables()["external.intervention_targets"],
    )
    rows = {key: (table, row, "risk_reduction_fraction_range") for key, row in table.rows.items()}
    for key, row in more.body.items() if external else ():
        rows.setdefault(key, (more, row, "reduction_fraction_range"))
    factors = {field: name for name, field in FACTOR_FIELDS.items()}
    targets = {key: factors.get(row["factor"], row["factor"]) for key, row in more.body.items()}
    return {
        key: Intervention(
            name=key,
            reduction=of.figure(row, field) if row[field] else None,
            target=(_OWN_TARGETS | targets)[key],
            excludes=_MODIFIERS.get(key),
            printed=row.get("risk_reduction_printed", ""),
        )
        for key, (of, row, field) in rows.items()
    }


# -------------------------------------------------------------------------- mesa-optimization


def mesa_priors() -> MesaPriors:
    table = source_tables()["000.headline"]
    exponent = table.figure(table.body, "severity_exponent_capability")
    return MesaPriors(
        p_emergence=table.figure(table.body, "p_emergence_range"),
        p_misaligned=table.figure(table.body, "p_misaligned_given_emergence_range"),
        exponent_capability=exponent,
        exponent_misalignment=table.figure(table.body, "severity_exponent_misalignment"),
        periods=_mesa_periods(),
        capability=_capability(exponent.number),
    )


def _mesa_periods() -> dict[str, MesaPeriod]:
    table = source_tables()["000.risk_assessment_framework"]

    def figure(row: str, period: str) -> Figure:
        printed = table.rows[row][period]
        if "p_less_than" not in printed:
            return table.figure(printed, "p_range")
        below = table.figure(printed, "p_less_than", "printed: less than")
        return replace(below, value=(0.0, below.number))

    rows = ("p_emergence", "p_misaligned_given_emergence", "p_catastrophic")
    return {
        key: MesaPeriod(key, *(figure(row, key) for row in rows)) for key in table.body["columns"]
    }


def _capability(exponent: float) -> dict[str, Figure]:
    """The relative harm of each capability level, to the power 1 / exponent."""
    table = source_tables()["000.capability_scaling"]
    found = {}
    for key, row in table.rows.items():
        harm = table.figure(row, "relative_harm_multiplier_range")
        low, high = (value ** (1 / exponent) for value in harm.range)
        root = harm.derived((low, high), "root of the relative harm")
        found[key] = replace(root, unit="capability, current = 1")
    return found
