"""What the page of a study shows of a cell: its arms side by side, p_gm along what they vary,
success along the steps of training; ready to print."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from misgen.analysis.along import DOSES, Along, arms_along
from misgen.analysis.compare import EQUAL_SUCCESS, ArmAt, Comparison, Difference
from misgen.analysis.compare_tables import (
    QUOTED,
    arms_table,
    differences_table,
    doses_table,
    shares_of,
    short,
    significant,
    squares_table,
)
from misgen.analysis.rates import FloatArray
from misgen.analysis.report.content import Chart, Exhibit, family_name
from misgen.analysis.report.study_charts import (
    AgentDots,
    Curves,
    DoseColumn,
    along_chart,
    curves_chart,
    shares_chart,
)
from misgen.analysis.text import dose_label, percent, points, span

VARIANTS = {
    "00": "in distribution",
    "10": "cue broken",
    "01": "context changed",
    "11": "cue broken, context changed",
}
ABOUT = ("intended goal", "proxy", "cue", "1x breaks the cue", "x1 changes the context")
"""What of a cell's declaration is said first."""


def cell_of(found: Comparison, code: str) -> dict[str, Any]:
    """For the template. film: of the cell's first agent, a GIF in base64, or ""."""
    variants = [variant for cell, variant in found.places() if cell == code]
    arms, said = found.at(code, variants[0]), found.study.cells.get(code, {})
    return {
        "code": code,
        "title": f"{code} {family_name(arms[0].family)}",
        "about": [(n, said[n]) for n in dict.fromkeys([*ABOUT, *sorted(said)]) if n in said],
        "places": [_place(found, code, variant) for variant in variants],
        "along": along_of(found, code),
        "squares": squares_table(found, code),
        "curves": [*curves_of_arms(found, arms)],
        "film": base64.b64encode(found.study.film(code)).decode(),
    }


# --- Arms side by side ---------------------------------------------------------------------------


def _place(found: Comparison, code: str, variant: str) -> dict[str, Any]:
    """The arms of a cell at a variant. reasons: why there is no verdict or interval."""
    arms = found.at(code, variant)
    differences = {
        each.arm.arm: each
        for each in found.differences
        if (each.arm.cell, each.arm.variant) == (code, variant)
    }
    levels = ", ".join(sorted({arm.trained.levels_each for arm in arms}))
    return {
        "variant": variant,
        "title": f"{code} at {variant}: {VARIANTS[variant]}",
        "note": f"{levels} levels an agent that tell the goals apart; "
        f"{QUOTED[found.is_identified(code, variant)]}.",
        "rows": [_row(found, arm, differences.get(arm.arm)) for arm in arms],
        "numbers": [arms_table(found, code, variant), differences_table(found, code, variant)],
        "reasons": [*_reasons(arms, differences)],
    }


def _row(found: Comparison, arm: ArmAt, difference: Difference | None) -> dict[str, str]:
    """One arm beside the others: texts around its chart; the verdict in words."""
    verdict = "compared with" if arm.arm == found.against else "not compared"
    return {
        "arm": arm.arm,
        "about": f"{arm.competent.k} of {arm.trained.k} learned"
        + "; not assessable" * (not arm.assessable),
        "svg": shares_chart(shares_of(arm), agent_dots(arm)),
        "p_gm": span(arm.rates["p_gm"], percent),
        "difference": span(difference.p_gm, points) if difference else "",
        "verdict": short(difference.p_gm_verdict) if difference else verdict,
    }


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


def agent_dots(arm: ArmAt) -> AgentDots:
    """p_gm of every trained agent, and of the arm."""
    return AgentDots(
        arm.arm, *arm.rates["p_gm"][:3], arm.trained.agent_number.tolist(), arm.trained.shares()[1]
    )


# --- Along what arms vary ------------------------------------------------------------------------


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
    labels = [
        [
            value_label(value),
            *([f"{100 * arm.factor[beside]:.2g}"] if beside in arm.factor else []),
            *([arm.arm] if shared else []),
        ]
        for value, arm in zip(one.values, one.arms, strict=True)
    ]
    lines = min(map(len, labels))
    columns = [
        DoseColumn(texts[:lines], agent_dots(arm))
        for texts, arm in zip(labels, one.arms, strict=True)
    ]
    columns += [
        DoseColumn([arm.arm, *[""] * (lines - 1)], agent_dots(arm), is_apart=True)
        for arm in one.apart
    ]
    factor = one.factor.replace("_", " ")
    names = [factor + "; below it broken share [%]" * (bool(beside) and lines > 1)]
    alt = f"{one.cell} at {one.variant}: p_gm of each agent in percent along {one.factor}"
    title = f"p_gm [%] along {factor}, {one.cell} at {one.variant}"
    return Chart(title, along_chart(columns, names, alt, half_places(one)), _half_words(one))


def value_label(value: float) -> str:
    """`.005`, `12k`, `unlimited`."""
    return "unlimited" if math.isinf(value) else dose_label(value)


def half_places(one: Along) -> tuple[float, float, float]:
    """The half effect and its interval as positions among the columns; NaN stays."""
    if one.dose is None:
        return math.nan, math.nan, math.nan
    spot = np.interp(one.dose.half_effect_dose[:3], one.values, range(len(one.values)))
    value, low, high = spot.tolist()
    return value, low, high


def _half_words(one: Along) -> str:
    apart = ", ".join(arm.arm for arm in one.apart)
    words = [f"Apart, as they differ in more: {apart}."] if apart else []
    if one.dose is not None:
        half = one.dose.half_effect_dose
        drawn = f"Dashed and shaded: half effect at {significant(half)}."
        words.insert(0, f"No half effect: {half.reason}." if math.isnan(half.value) else drawn)
    return " ".join(words)


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
