"""A comparison as plain text for a terminal of 80 columns, and as CSV."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from misgen.analysis.compare import EQUAL_SUCCESS, ArmAt, Comparison, Difference
from misgen.analysis.modifiers.dose_response import DoseResponse
from misgen.analysis.rates import Estimate, Verdict
from misgen.analysis.text import aligned, as_csv, number, span

WIDTH = 80
LEGEND = """\
own: success on held-out levels of the own training distribution, mean of all
agents; comp.: agents with at least .8 of the planner's. int/prox/no: shares of
the levels that tell the goals apart: capable and the goal kept, capable and the
goal fails (= gm), not capable. goal fails: given capable, competent agents
only. gm and its differences: all trained agents. [central 90 % over agents];
differs: by a permutation test over agents at .05. ratio: of gm. identified:
goal fails in at most .10 of the d = 1 arm's capable episodes, and a random
policy is capable on at most .3; if not, quote the differences only."""


def format_comparison(found: Comparison) -> str:
    """By cell and variant: rates, differences, then doses and costs, then what the words mean."""
    parts = [wrapped(f"{found.study.name}: {found.study.question}")]
    if found.study.is_smoke_run:
        parts.append("SMOKE RUN: agents are barely trained, the numbers mean nothing.")
    for cell, variant in found.places():
        parts += [_rates(found, cell, variant), _differences(found, cell, variant)]
    parts += [_doses(found.doses), _costs(found), LEGEND]
    return "\n\n".join(filter(None, parts)) + "\n"


def _rates(found: Comparison, cell: str, variant: str) -> str:
    arms = found.at(cell, variant)
    lines = [
        [
            arm.arm,
            f"{arm.competent.k}/{arm.trained.k}",
            number(arm.own_success),
            _split(arm),
            span(arm.rates["p_goal_fail"]) if arm.assessable else "not assessable",
            span(arm.rates["p_gm"]),
        ]
        for arm in arms
    ]
    header = ["arm", "comp.", "own", "int/prox/no", "goal fails", "gm"]
    levels = sorted({arm.trained.levels_each for arm in arms})
    words = {True: "identified", False: "not identified", None: "no d = 1 arm: not identified"}
    quoted = words[found.is_identified(cell, variant)]
    title = f"{cell} at {variant}, {', '.join(levels)} levels an agent; {quoted}"
    return f"{title}\n{aligned(header, lines)}"


def _split(arm: ArmAt) -> str:
    capable, gm = arm.rates["p_capable"].value, arm.rates["p_gm"].value
    shares = (capable - gm, gm, 1 - capable)
    return "/".join(f"{share:.2f}".removeprefix("0") for share in shares)


def _differences(found: Comparison, cell: str, variant: str) -> str:
    here = [
        each for each in found.differences if (each.arm.cell, each.arm.variant) == (cell, variant)
    ]
    if not here:
        return ""
    lines = [
        [each.arm.arm, span(each.p_gm), span(each.p_gm_ratio), short(each.p_gm_verdict)]
        for each in here
    ]
    header = ["arm", f"gm - {found.against}", "ratio", "difference in gm"]
    reasons: dict[str, list[str]] = {}
    for each in here:
        if each.p_gm_verdict.reason:
            reasons.setdefault(each.p_gm_verdict.reason, []).append(each.arm.arm)
    notes = (f"no verdict on {', '.join(arms)}: {reason}" for reason, arms in reasons.items())
    return "\n".join([aligned(header, lines), *map(wrapped, notes)])


def short(verdict: Verdict) -> str:
    """A verdict in a few words; `no verdict` where its reason stands below the table."""
    if verdict.reason:
        return "no verdict"
    return f"{'differs' if verdict.differs else 'not shown'} (p {verdict.p:.2g})"


def wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ")


def _doses(doses: Sequence[tuple[str, DoseResponse]]) -> str:
    lines = [
        [
            f"{each.cell} at {variant}",
            each.dose,
            f"{number(each.rates[0].value)} -> {number(each.rates[-1].value)}",
            significant(each.half_effect_dose),
        ]
        for variant, each in doses
    ]
    if not lines:
        return ""
    reasons = [each.half_effect_dose.reason for _, each in doses]
    table = aligned(["half effect", "along", "gm", "at"], lines)
    return "\n".join([table, *dict.fromkeys(filter(None, reasons))])


def significant(estimate: Estimate) -> str:
    """Three significant digits, `.0123 [.01, .02]`; `-` where there is none."""
    if math.isnan(estimate.value):
        return "-"
    if math.isnan(estimate.low):
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"


def _costs(found: Comparison) -> str:
    cells = dict.fromkeys(arm.cell for arm in found.arms)
    lines = [line for cell in cells for line in cost_lines(found, cell)]
    header = ["cell", "arm", "steps", "CPU s", f"to {EQUAL_SUCCESS:g} of planner", "CPU s", "times"]
    return f"Cost of an agent\n{aligned(header, lines)}"


def cost_lines(found: Comparison, cell: str) -> Iterator[list[str]]:
    """A line per arm: cell, arm, steps, CPU seconds, both to equal success, and how many times the
    reference arm's seconds these are."""
    arms = {arm.arm: arm for arm in found.arms if arm.cell == cell}
    base = arms[found.against].cost.seconds_to_success if found.against in arms else math.nan
    for arm in arms.values():
        cost = arm.cost
        reached = "" if cost.reached == arm.trained.k else f" ({cost.reached} of {arm.trained.k})"
        yield [
            cell,
            arm.arm,
            _thousands(cost.steps),
            _whole(cost.cpu_seconds),
            _thousands(cost.steps_to_success) + reached,
            _whole(cost.seconds_to_success),
            "-" if math.isnan(cost.seconds_to_success / base) else
            f"{cost.seconds_to_success / base:.2f}",
        ]  # fmt: skip


def _whole(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


def _thousands(value: float) -> str:
    return "-" if math.isnan(value) else f"{value / 1000:,.0f} k"


def comparison_csv(found: Comparison) -> str:
    """A line per arm, cell and variant with every number; NaN is empty."""
    differences = {(each.arm.cell, each.arm.variant, each.arm.arm): each
                   for each in found.differences}  # fmt: skip
    return as_csv([
        _csv_row(arm, differences.get((arm.cell, arm.variant, arm.arm))) for arm in found.arms
    ])  # fmt: skip


def _csv_row(arm: ArmAt, difference: Difference | None) -> dict[str, object]:
    row: dict[str, object] = {
        "cell": arm.cell, "variant": arm.variant, "arm": arm.arm, "agents": arm.trained.k,
        "competent": arm.competent.k, "levels": arm.trained.levels_each,
        "own_success": arm.own_success, "planner_own_success": arm.planner_own_success,
        "assessable": arm.assessable,
    }  # fmt: skip
    for name, estimate in arm.rates.items():
        row |= _ends(name, estimate)
    row |= {f"cost_{name}": value for name, value in vars(arm.cost).items()}
    row |= {f"mean_{name}": value for name, value in arm.factor.items()}
    if difference is not None:
        for name in ("p_gm", "p_gm_ratio", "p_goal_fail"):
            row |= _ends(f"difference_{name}".replace("difference_p_gm_ratio", "ratio_p_gm"),
                         getattr(difference, name))  # fmt: skip
        row["verdict_p_gm_p"] = difference.p_gm_verdict.p
        row["verdict_p_goal_fail_p"] = difference.p_goal_fail_verdict.p
    return row


def _ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
