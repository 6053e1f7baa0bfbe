"""Where and when a system is deployed, and what is done about the risk: the source's tables."""

from collections.abc import Mapping
from typing import Any

from misgen.analysis.priors.source import Table, external_tables, source_tables
from misgen.analysis.priors.types import SHIFT_TYPES, Domain, Intervention, Period


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
_TARGETS = {
    "p_goal_fail_given_capability": "p_goal_fail",
    "p_harm_given_failure": "p_harm",
    "exposure": "exposure",
}
"""The other revision's word for what an intervention acts on -> ours."""
_OWN_TARGETS = {
    "anomaly_monitoring": "p_harm",
    "objective_probing": "p_goal_fail",
    "gradual_deployment": "p_harm",
}
"""Where no revision says what an intervention acts on: our reading."""


def interventions(external: bool) -> dict[str, Intervention]:
    """The printed interventions, and those of the other revision if asked for."""
    table = source_tables()["003.interventions"]
    found = {
        key: _intervention(table, key, row, "risk_reduction_fraction_range")
        for key, row in table.rows.items()
    }
    more = external_tables()["external.intervention_targets"]
    for key, row in more.body.items() if external else ():
        if key not in found:
            found[key] = _intervention(more, key, row, "reduction_fraction_range")
    return found


def _intervention(table: Table, key: str, row: Mapping[str, Any], field: str) -> Intervention:
    stated = external_tables()["external.intervention_targets"].body
    return Intervention(
        name=key,
        reduction=table.figure(row, field) if row[field] else None,
        target=_TARGETS[stated[key]["factor"]] if key in stated else _OWN_TARGETS[key],
        excludes=_MODIFIERS.get(key),
        printed=row.get("risk_reduction_printed", ""),
    )
