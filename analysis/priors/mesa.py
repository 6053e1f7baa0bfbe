"""The source's mesa-optimization framework (document 000) as typed priors."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from misgen.analysis.priors.source import source_tables
from misgen.analysis.priors.types import (
    CapabilityLevel,
    ComplexityThreshold,
    Figure,
    MesaPeriod,
    MesaPriors,
    MisalignmentType,
    Regime,
)


def mesa_priors() -> MesaPriors:
    tables = source_tables()
    headline, regimes = tables["000.headline"], tables["000.training_regime_quadrant"]
    awareness = tables["000.awareness_levels"].body
    steps = zip(awareness["levels_in_order"], awareness["deception_risk_in_order"], strict=True)
    exponent = headline.figure(headline.body, "severity_exponent_capability")
    return MesaPriors(
        p_emergence=headline.figure(headline.body, "p_emergence_range"),
        p_misaligned=headline.figure(headline.body, "p_misaligned_given_emergence_range"),
        exponent_capability=exponent,
        exponent_misalignment=headline.figure(headline.body, "severity_exponent_misalignment"),
        periods=_mesa_periods(),
        capability_levels=_capability_levels(exponent),
        types=_misalignment_types(),
        thresholds=_complexity_thresholds(),
        regimes={
            key: Regime(
                key,
                regimes.figure(row, "compute_coordinate"),
                regimes.figure(row, "diversity_coordinate"),
            )
            for key, row in regimes.rows.items()
        },
        regime_labels=regimes.body["quadrant_labels"],
        awareness_levels=tuple(steps),
        evidence={
            key: row["strength"] for key, row in tables["000.evidence_strength"].rows.items()
        },
    )


def _mesa_periods() -> dict[str, MesaPeriod]:
    table = source_tables()["000.risk_assessment_framework"]
    rows = table.rows
    periods = {}
    for key, column in table.body["columns"].items():
        catastrophic = rows["p_catastrophic"][key]
        below = catastrophic.get("p_less_than")
        periods[key] = MesaPeriod(
            name=key,
            label=column["label"],
            years=tuple(column["period_years"]),
            p_emergence=table.figure(rows["p_emergence"][key], "p_range"),
            p_misaligned=table.figure(rows["p_misaligned_given_emergence"][key], "p_range"),
            p_catastrophic=table.make([0, below], "probability", "printed: less than")
            if below
            else table.figure(catastrophic, "p_range"),
            concern=rows["primary_concern"][key]["label"],
        )
    return periods


def _capability_levels(exponent: Figure) -> dict[str, CapabilityLevel]:
    table = source_tables()["000.capability_scaling"]
    levels = {}
    for key, row in table.rows.items():
        harm = table.figure(row, "relative_harm_multiplier_range")
        root = [value ** (1 / exponent.number) for value in harm.range]
        years = row.get("period_years")
        levels[key] = CapabilityLevel(
            name=key,
            label=row["label"],
            relative_harm=harm,
            capability=replace(
                table.make(root, "capability, current = 1", "root of the relative harm"),
                kind="derived",
            ),
            years=(years[0], math.inf if years[1] is None else years[1]) if years else None,
            threshold=row["key_threshold"],
        )
    return levels


def _misalignment_types() -> dict[str, MisalignmentType]:
    prevalence = source_tables()["000.misalignment_types"]
    success = source_tables()["000.mitigation_success"]
    types = {}
    for key, row in prevalence.rows.items():
        response = success.rows[key]
        types[key] = MisalignmentType(
            name=key,
            prevalence=prevalence.figure(row, "p_prevalence_range"),
            mitigation_success=success.figure(response, "p_success_range"),
            detectability=row["detectability"],
            correction_difficulty=row["correction_difficulty"],
            catastrophic_potential=row["catastrophic_potential"],
            detection=response["detection"],
            mitigation=response["mitigation"],
            priority=response["priority"],
        )
    return types


def _complexity_thresholds() -> dict[str, ComplexityThreshold]:
    table = source_tables()["000.emergence_thresholds"]

    def numeric(row: Mapping[str, Any], start: str) -> Figure | None:
        fields = [f for f in row if f.startswith(start) and not f.endswith("printed")]
        return table.figure(row, fields[0]) if fields else None

    return {
        key: ComplexityThreshold(
            key,
            numeric(row, "threshold_"),
            numeric(row, "current_"),
            "; ".join(str(row[f]) for f in row if f.endswith("printed")),
        )
        for key, row in table.rows.items()
    }
