"""What the page of a study shows along a number: p_gm along what its arms vary, success along the
steps of training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from misgen.analysis.along import DOSES, Along, arms_along
from misgen.analysis.compare import EQUAL_SUCCESS, ArmAt, Comparison
from misgen.analysis.compare_tables import doses_table, significant
from misgen.analysis.rates import FloatArray
from misgen.analysis.report.content import Chart, Exhibit
from misgen.analysis.report.study_charts import (
    AgentDots,
    Curves,
    DoseColumn,
    along_chart,
    curves_chart,
)
from misgen.analysis.text import dose_label


def agent_dots(arm: ArmAt) -> AgentDots:
    """p_gm of every trained agent, and of the arm."""
    return AgentDots(
        arm.arm, *arm.rates["p_gm"][:3], arm.trained.agent_number.tolist(), arm.trained.shares()[1]
    )


def along_of(found: Comparison, code: str) -> Exhibit:
    """p_gm along what the arms vary; of doses also the half effects."""
    if not found.along:
        return Exhibit(missing="The study names no number that its arms vary (analysis: along).")
    here = [arm for arm in found.arms if arm.cell == code]
    placed = arms_along(here, found.against, found.along)
    if not placed:
        return Exhibit(missing=f"The arms of {code} do not differ in a number {found.along}.")
    tables = [doses_table(found, code)] if found.along in DOSES else []
    return Exhibit([_along_chart(each) for each in placed], tables)


def _along_chart(one: Along) -> Chart:
    beside = "broken_share" if one.factor == "d" else ""
    shared = len({*one.values}) < len(one.values)
    columns = [
        DoseColumn(
            [
                value_label(value),
                *([f"{100 * arm.factor[beside]:.2g}"] if beside in arm.factor else []),
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
    second = "; below it broken share [%]" if beside and lines > 1 else ""
    names = [one.factor.replace("_", " ") + second]
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


# --- Learning curves ------------------------------------------------------------------------------


def curves_of_arms(found: Comparison, arms: Sequence[ArmAt]) -> Iterator[Chart]:
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
