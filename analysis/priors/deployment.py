"""Where and when a system is deployed, and what is done about the risk: the source's tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from misgen.analysis.priors.source import FACTOR_FIELDS, Table, external_tables, source_tables
from misgen.analysis.priors.types import SHIFT_TYPES, Domain, Intervention, Period


def domains() -> dict[str, Domain]:
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


def periods() -> dict[str, Period]:
    found = {}
    for row in source_tables()["003.timeline_projections"].rows.values():
        first, last = row["period_years"]
        low, high = row["risk_multiplier_range"]
        name = f"{first}-{last}" if last else f"after-{first - 1}"
        found[name] = Period(
            name=name,
            label=row["system_capabilities"],
            multiplier=(low, high),
            driver=row["key_driver"],
            deployment=row["deployment_context"],
            excludes="capability" if high > 1 else None,
        )
    return found


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


def interventions(external: bool) -> dict[str, Intervention]:
    """The printed interventions, and those of the other revision if asked for."""
    table = source_tables()["003.interventions"]
    found = {
        key: _intervention(table, key, row, "risk_reduction_fraction_range")
        for key, row in table.rows.items()
    }
    if external:
        more = external_tables()["external.intervention_targets"]
        for key, row in more.body.items():
            if key != "source" and key not in found:
                row = {"category": "Response", "cost_printed": "", "priority": "", **row}
                field = "reduction_fraction_range"
                found[key] = _intervention(more, key, row, field)
    return found


def _intervention(table: Table, key: str, row: Mapping[str, Any], field: str) -> Intervention:
    targets = external_tables()["external.intervention_targets"].body
    names = {external: ours for ours, external in FACTOR_FIELDS.items()}
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
