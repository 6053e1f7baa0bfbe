"""What the page of a study shows: its comparison, ready to print."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from misgen.analysis.along import DOSES, Along, arms_along
from misgen.analysis.compare import EQUAL_SUCCESS, ArmAt, Comparison, Difference
from misgen.analysis.compare_table import short, significant
from misgen.analysis.rates import Estimate, FloatArray
from misgen.analysis.report.content import (
    Chart,
    Exhibit,
    Table,
    percent,
    percent_span,
    plain_table,
    ratio_span,
)
from misgen.analysis.report.measured_sections import family_name
from misgen.analysis.report.modifier_sections import dose_label
from misgen.analysis.report.study_charts import (
    AgentDots,
    Curves,
    DoseColumn,
    along_chart,
    curves_chart,
    shares_chart,
)

VARIANTS = {
    "00": "in distribution",
    "10": "cue broken",
    "01": "context changed",
    "11": "cue broken, context changed",
}
ABOUT = ("intended goal", "proxy", "cue")
"""What of a cell's declaration is said first."""
IDENTIFIED = {
    True: "identified: rates may be quoted by themselves",
    False: "not identified: quote the differences only",
    None: "no d = 1 arm, so not identified: quote the differences only",
}


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
    numbers: Table
    reasons: Sequence[str]


@dataclass(frozen=True)
class Cell:
    """about: what the cell declares, by name."""

    code: str
    title: str
    about: Sequence[tuple[str, str]]
    places: Sequence[Place]
    along: Exhibit
    curves: Sequence[Chart]


def cell_of(found: Comparison, code: str) -> Cell:
    variants = [variant for cell, variant in found.places() if cell == code]
    arms = found.at(code, variants[0])
    return Cell(
        code,
        f"{code} {family_name(arms[0].family)}",
        [*_about(found, code)],
        [_place(found, code, variant) for variant in variants],
        _along(found, code),
        [*_curves(found, arms)],
    )


def _about(found: Comparison, code: str) -> Iterator[tuple[str, str]]:
    said = found.study.cells.get(code, {})
    for name in dict.fromkeys([*(n for n in ABOUT if n in said), *sorted(said)]):
        yield name, said[name]


# --------------------------------------------------------------------------------- arms side by side


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
        f"{IDENTIFIED[found.is_identified(code, variant)]}.",
        [_row(found, arm, differences.get(arm.arm)) for arm in arms],
        _numbers(found, arms, differences),
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
        percent_span(_json(arm.rates["p_gm"])),
        _signed(difference.p_gm) if difference else "",
        verdict,
    )


def _verdict(found: Comparison, arm: ArmAt, difference: Difference | None) -> str:
    if difference is not None:
        return short(difference.p_gm_verdict)
    return "compared with" if arm.arm == found.against else "not compared"


def shares_of(arm: ArmAt) -> list[tuple[str, float]]:
    """Of the levels that tell the goals apart: they sum to 1."""
    capable, gm = arm.rates["p_capable"].value, arm.rates["p_gm"].value
    return [("proxy", gm), ("intended", capable - gm), ("neither", 1 - capable)]


def agent_dots(arm: ArmAt) -> AgentDots:
    """p_gm of every trained agent, and of the arm."""
    return AgentDots(
        arm.arm, *arm.rates["p_gm"][:3], arm.trained.agent_number.tolist(), arm.trained.shares()[1]
    )


def _numbers(
    found: Comparison, arms: Sequence[ArmAt], differences: Mapping[str, Difference]
) -> Table:
    rows = []
    for arm in arms:
        other = differences.get(arm.arm)
        rows.append([
            arm.arm,
            f"{arm.competent.k} / {arm.trained.k}",
            percent(arm.own_success),
            *(percent(share) for _, share in shares_of(arm)),
            percent_span(_json(arm.rates["p_goal_fail"])) if arm.assessable else "not assessable",
            percent_span(_json(arm.rates["p_gm"])),
            _signed(other.p_gm) if other else "-",
            ratio_span(_json(other.p_gm_ratio)) if other else "-",
            short(other.p_gm_verdict) if other else "-",
            short(other.p_goal_fail_verdict) if other else "-",
        ])  # fmt: skip
    header = [
        "arm", "learned", "own", "proxy", "intended", "neither", "goal fails", "p_gm",
        f"p_gm - {found.against}", "ratio", "p_gm", "goal fails",
    ]  # fmt: skip
    return plain_table(
        "All numbers: in percent, differences in points; last two columns: verdicts", header, rows
    )


def _reasons(arms: Sequence[ArmAt], differences: Mapping[str, Difference]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for name, each in differences.items():
        if each.p_gm_verdict.reason:
            reasons.setdefault(f"No verdict: {each.p_gm_verdict.reason}", []).append(name)
    for arm in arms:
        if arm.rates["p_gm"].reason:
            reasons.setdefault(f"No interval: {arm.rates['p_gm'].reason}", []).append(arm.arm)
    for reason, names in reasons.items():
        yield f"{reason} ({', '.join(names)})."


def _json(estimate: Estimate) -> Mapping[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _signed(estimate: Estimate) -> str:
    """A difference in points: `-12.3 [-20.1, -4.2]`."""
    value, low, high = (
        "-" if math.isnan(x) else f"{100 * x:+.1f}".replace("-", "\N{MINUS SIGN}")
        for x in estimate[:3]
    )
    return value if math.isnan(estimate.low) else f"{value} [{low}, {high}]"


# --------------------------------------------------------------------------------------- along a dose


def _along(found: Comparison, code: str) -> Exhibit:
    """p_gm along what the arms vary; of doses also the half effects."""
    if not found.along:
        return Exhibit(missing="The study names no number that its arms vary (analysis: along).")
    here = [arm for arm in found.arms if arm.cell == code]
    placed = arms_along(here, found.against, found.along)
    if not placed:
        return Exhibit(missing=f"The arms of {code} do not differ in a number {found.along}.")
    tables = [_half_table(code, found)] if found.along in DOSES else []
    return Exhibit([_along_chart(each) for each in placed], tables)


def _along_chart(one: Along) -> Chart:
    beside = "broken_share" if one.factor == "d" else ""
    shared = len({*one.values}) < len(one.values)
    columns = [
        DoseColumn(
            [
                value_label(value),
                *([dose_label(arm.factor[beside])] if beside and beside in arm.factor else []),
                *([arm.arm] if shared else []),
            ],
            agent_dots(arm),
        )
        for value, arm in zip(one.values, one.arms, strict=True)
    ]
    lines = min(len(column.labels) for column in columns)
    columns = [DoseColumn(column.labels[:lines], column.dots) for column in columns]
    columns += [
        DoseColumn([arm.arm, *[""] * (lines - 1)], agent_dots(arm), is_apart=True)
        for arm in one.apart
    ]
    names = [one.factor + (f"; below it {beside.replace('_', ' ')}" if lines > 1 and beside else "")]
    alt = f"{one.cell} at {one.variant}: p_gm of each agent in percent along {one.factor}"
    half = half_places(one)
    title = f"p_gm [%] along {one.factor.replace('_', ' ')}, {one.cell} at {one.variant}"
    return Chart(title, along_chart(columns, names, alt, half), _half_words(one))


def value_label(value: float) -> str:
    """`.005`, `12k`, `unlimited`."""
    return "unlimited" if math.isinf(value) else dose_label(value)


def half_places(one: Along) -> tuple[float, float, float]:
    """The half effect and its interval as positions among the columns; NaN stays."""
    if one.dose is None:
        return math.nan, math.nan, math.nan
    spot = np.interp(one.dose.half_effect_dose[:3], one.values, range(len(one.values)))
    value, low, high = (float(place) for place in spot)
    return value, low, high


def _half_words(one: Along) -> str:
    apart = ", ".join(arm.arm for arm in one.apart)
    words = f" Apart, as they differ in more: {apart}." if apart else ""
    if one.dose is None:
        return words.strip()
    half = one.dose.half_effect_dose
    if math.isnan(half.value):
        return f"No half effect: {half.reason}.{words}"
    return f"Dashed and shaded: half effect at {significant(half)}.{words}"


def _half_table(code: str, found: Comparison) -> Table:
    rows = [
        [
            each.dose.replace("_", " "),
            variant,
            f"{percent(each.rates[0].value)} to {percent(each.rates[-1].value)}",
            significant(each.half_effect_dose)
            if not math.isnan(each.half_effect_dose.value)
            else each.half_effect_dose.reason,
        ]
        for variant, each in found.doses
        if each.cell == code
    ]
    return plain_table(f"Half effects in {code}", ["along", "at", "p_gm [%]", "half effect"], rows)


# -------------------------------------------------------------------------------------------- curves


def _curves(found: Comparison, arms: Sequence[ArmAt]) -> Iterator[Chart]:
    recorded = found.study.curves()
    curves = [curves_of(arm, recorded) for arm in arms]
    most = max((steps[-1] for each in curves for _, steps, _ in each.agents), default=0)
    for arm, each in zip(arms, curves, strict=True):
        if each.agents:
            alt = f"Learning curves of {arm.arm} in {arm.cell}: success in training [%] by steps"
            target = EQUAL_SUCCESS * arm.planner_own_success
            yield Chart(arm.arm, curves_chart(each, most, target, alt))


def curves_of(arm: ArmAt, recorded: Mapping[str, Sequence[tuple[int, float]]]) -> Curves:
    """Of the agents that have one; the mean at the steps that all have."""
    agents = []
    for number, run in zip(arm.trained.agent_number.tolist(), arm.run_ids, strict=True):
        if recorded.get(run):
            steps, rates = np.array(recorded[run], dtype=float).T
            agents.append((number, steps, rates))
    return Curves(arm.arm, agents, mean_curve([(steps, rates) for _, steps, rates in agents]))


def mean_curve(curves: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """(steps, mean) of learning curves, where all have a value."""
    if not curves:
        return np.empty(0), np.empty(0)
    known = [{*steps[rates == rates].tolist()} for steps, rates in curves]
    common = np.array(sorted(set.intersection(*known)))
    rows = [rates[np.searchsorted(steps, common)] for steps, rates in curves]
    return common, np.mean(rows, axis=0)
