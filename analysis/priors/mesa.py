"""The source's mesa-optimization framework (document 000) as typed priors."""

from dataclasses import replace

from misgen.analysis.priors.source import Figure, source_tables
from misgen.analysis.priors.types import MesaPeriod, MesaPriors


def mesa_priors() -> MesaPriors:
    table = source_tables()["000.headline"]
    exponent = table.figure(table.body, "severity_exponent_capability")
    return MesaPriors(
        p_emergence=table.figure(table.body, "p_emergence_range"),
        p_misaligned=table.figure(table.body, "p_misaligned_given_emergence_range"),
        exponent_capability=exponent,
        exponent_misalignment=table.figure(table.body, "severity_exponent_misalignment"),
        periods=_periods(),
        capability=_capability(exponent.number),
    )


def _periods() -> dict[str, MesaPeriod]:
    table = source_tables()["000.risk_assessment_framework"]
    rows = table.rows

    def figure(row: str, period: str) -> Figure:
        printed = rows[row][period]
        if "p_less_than" not in printed:
            return table.figure(printed, "p_range")
        below = table.figure(printed, "p_less_than", "printed: less than")
        return replace(below, value=(0.0, below.number))

    return {
        key: MesaPeriod(
            key,
            figure("p_emergence", key),
            figure("p_misaligned_given_emergence", key),
            figure("p_catastrophic", key),
        )
        for key in table.body["columns"]
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
