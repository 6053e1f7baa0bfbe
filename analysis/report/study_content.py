"""What the page of a study shows: its comparison, ready to print."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from misgen.analysis.compare import ArmAt, Comparison, Difference
from misgen.analysis.compare_tables import QUOTED, arms_table, differences_table, shares_of, short
from misgen.analysis.rates import Estimate
from misgen.analysis.report.content import Chart, Exhibit, family_name, percent_span
from misgen.analysis.report.study_charts import shares_chart
from misgen.analysis.report.study_trends import agent_dots, along_of, curves_of_arms
from misgen.analysis.tables import Table

VARIANTS = {
    "00": "in distribution",
    "10": "cue broken",
    "01": "context changed",
    "11": "cue broken, context changed",
}
ABOUT = ("intended goal", "proxy", "cue", "1x breaks the cue", "x1 changes the context")
"""What of a cell's declaration is said first."""


@dataclass(frozen=True)
class ArmRow:
    """One arm beside the others: texts around its chart; the verdict in words."""

    arm: str
    about: str
    svg: str
    p_gm: str
    difference: str
    verdict: str


@dataclass(frozen=True)
class Place:
    """The arms of a cell at a variant. reasons: why there is no verdict or interval."""

    variant: str
    title: str
    note: str
    rows: Sequence[ArmRow]
    numbers: Sequence[Table]
    reasons: Sequence[str]


@dataclass(frozen=True)
class Cell:
    """about: what the cell declares, by name. film: of its first agent, a GIF in base64, or ""."""

    code: str
    title: str
    about: Sequence[tuple[str, str]]
    places: Sequence[Place]
    along: Exhibit
    curves: Sequence[Chart]
    film: str


def cell_of(found: Comparison, code: str) -> Cell:
    variants = [variant for cell, variant in found.places() if cell == code]
    arms = found.at(code, variants[0])
    return Cell(
        code,
        f"{code} {family_name(arms[0].family)}",
        [*_about(found, code)],
        [_place(found, code, variant) for variant in variants],
        along_of(found, code),
        [*curves_of_arms(found, arms)],
        base64.b64encode(found.study.film(code)).decode(),
    )


def _about(found: Comparison, code: str) -> Iterator[tuple[str, str]]:
    said = found.study.cells.get(code, {})
    for name in dict.fromkeys([*(n for n in ABOUT if n in said), *sorted(said)]):
        yield name, said[name]


# --- Arms side by side ---------------------------------------------------------------------------


def _place(found: Comparison, code: str, variant: str) -> Place:
    arms = found.at(code, variant)
    differences = {
        each.arm.arm: each
        for each in found.differences
        if (each.arm.cell, each.arm.variant) == (code, variant)
    }
    levels = ", ".join(sorted({arm.trained.levels_each for arm in arms}))
    return Place(
        variant,
        f"{code} at {variant}: {VARIANTS[variant]}",
        f"{levels} levels an agent that tell the goals apart; "
        f"{QUOTED[found.is_identified(code, variant)]}.",
        [_row(found, arm, differences.get(arm.arm)) for arm in arms],
        [arms_table(found, code, variant), differences_table(found, code, variant)],
        [*_reasons(arms, differences)],
    )


def _row(found: Comparison, arm: ArmAt, difference: Difference | None) -> ArmRow:
    about = f"{arm.competent.k} of {arm.trained.k} learned"
    verdict = _verdict(found, arm, difference)
    if not arm.assessable:
        about += "; not assessable"
    return ArmRow(
        arm.arm,
        about,
        shares_chart(shares_of(arm), agent_dots(arm)),
        percent_span(arm.rates["p_gm"]),
        _signed(difference.p_gm) if difference else "",
        verdict,
    )


def _verdict(found: Comparison, arm: ArmAt, difference: Difference | None) -> str:
    if difference is not None:
        return short(difference.p_gm_verdict)
    return "compared with" if arm.arm == found.against else "not compared"


def _reasons(arms: Sequence[ArmAt], differences: Mapping[str, Difference]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for name, each in differences.items():
        if each.p_gm_verdict.reason:
            reasons.setdefault(f"No verdict: {each.p_gm_verdict.reason}", []).append(name)
    for arm in arms:
        if arm.rates["p_gm"].reason:
            reasons.setdefault(f"No interval: {arm.rates['p_gm'].reason}", []).append(arm.arm)
    for reason, names in reasons.items():
        yield f"{reason} ({'all arms' if len(names) == len(arms) > 1 else ', '.join(names)})."


def _signed(estimate: Estimate) -> str:
    """A difference in points: `-12.3 [-20.1, -4.2]`."""
    value, low, high = (
        "-" if math.isnan(x) else f"{100 * x:+.1f}".replace("-", "\N{MINUS SIGN}")
        for x in estimate[:3]
    )
    return value if math.isnan(estimate.low) else f"{value} [{low}, {high}]"
