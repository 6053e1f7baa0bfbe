"""The tables of a comparison: for the terminal, the page of its study, and as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from misgen.analysis.compare import EQUAL_SUCCESS, ArmAt, Comparison, Difference
from misgen.analysis.intervals import Estimate
from misgen.analysis.rates import count_range
from misgen.analysis.tables import Table, Value
from misgen.analysis.text import as_csv, filled, number, span
from misgen.analysis.verdicts import Verdict

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
    parts = [wrapped(f"{found.study.name}: {found.study.question}") + "\n"]
    if found.study.is_smoke_run:
        parts.append("SMOKE RUN: agents are barely trained, the numbers mean nothing.\n")
    tables = [
        table
        for place in found.places()
        for table in (
            arms_table(found, *place),
            replace(differences_table(found, *place), hidden=["in goal fails"]),  # for 80 columns
        )
    ]
    tables += [doses_table(found), squares_table(found), costs_table(found)]
    parts += [table.as_text() for table in tables if table.rows]
    return "\n".join([*parts, LEGEND]) + "\n"


QUOTED = {
    True: "identified: rates may be quoted by themselves",
    False: "not identified: quote the differences only",
    None: "no d = 1 arm, so not identified: quote the differences only",
}


def arms_table(found: Comparison, cell: str, variant: str) -> Table:
    arms = found.at(cell, variant)
    rows: list[list[Value]] = [
        [
            arm.arm, f"{arm.competent.k}/{arm.trained.k}", arm.own_success, _split(arm),
            arm.rates["p_goal_fail"] if arm.assessable else "not assessable", arm.rates["p_gm"],
        ]
        for arm in arms
    ]  # fmt: skip
    levels = count_range(n for arm in arms for n in arm.trained.n)
    quoted = QUOTED[found.is_identified(cell, variant)]
    title = f"{cell} at {variant}, {levels} levels an agent; {quoted}"
    header = ["arm", "comp.", "own", "int/prox/no", "goal fails", "gm"]
    return Table(title, header, rows)


def _split(arm: ArmAt) -> str:
    shares = dict(shares_of(arm))
    words = ("intended", "proxy", "neither")
    return "/".join(f"{shares[word]:.2f}".removeprefix("0") for word in words)


def shares_of(arm: ArmAt) -> list[tuple[str, float]]:
    """Of the levels that tell the goals apart: they sum to 1."""
    capable, gm = arm.rates["p_capable"].value, arm.rates["p_gm"].value
    return [("proxy", gm), ("intended", capable - gm), ("neither", 1 - capable)]


def differences_table(found: Comparison, cell: str, variant: str) -> Table:
    """Of every other arm to the one compared with; below it why there is no verdict."""
    here = [
        each for each in found.differences if (each.arm.cell, each.arm.variant) == (cell, variant)
    ]
    rows: list[list[Value]] = [
        [
            each.arm.arm, each.p_gm, each.p_gm_ratio, short(each.p_gm_verdict),
            short(each.p_goal_fail_verdict),
        ]
        for each in here
    ]  # fmt: skip
    reasons: dict[str, list[str]] = {}
    for each in here:
        if each.p_gm_verdict.reason:
            reasons.setdefault(each.p_gm_verdict.reason, []).append(each.arm.arm)
    notes = (f"no verdict on {', '.join(arms)}: {reason}" for reason, arms in reasons.items())
    header = ["arm", f"gm - {found.against}", "ratio", "difference in gm", "in goal fails"]
    title = f"{cell} at {variant}, against {found.against}"
    return Table(title, header, rows, "\n".join(notes))


def short(verdict: Verdict) -> str:
    """A verdict in a few words; `no verdict` where its reason stands below the table."""
    if verdict.reason:
        return "no verdict"
    return f"{'differs' if verdict.differs else 'not shown'} (p {verdict.p:.2g})"


def wrapped(text: str) -> str:
    return filled(text, hanging=2)


def doses_table(found: Comparison, cell: str = "") -> Table:
    """The doses at half effect, of all cells or of one."""
    doses = [(variant, each) for variant, each in found.doses if cell in ("", each.cell)]
    rows: list[list[Value]] = [
        [
            f"{each.cell} at {variant}", each.dose.replace("_", " "),
            f"{number(each.rates[0].value)} -> {number(each.rates[-1].value)}",
            significant(each.half_effect_dose),
        ]
        for variant, each in doses
    ]  # fmt: skip
    reasons = [each.half_effect_dose.reason for _, each in doses]
    note = "\n".join(dict.fromkeys(filter(None, reasons)))
    return Table("Half effects", ["", "along", "gm", "at"], rows, note)


def squares_table(found: Comparison, cell: str = "") -> Table:
    """Whether two changes multiply, in all cells or in one."""
    rows: list[list[Value]] = [
        [
            f"{each.cell} at {variant}", f"{each.arms[1]} x {each.arms[2]}", each.verdict,
            each.ratio_of_ratios["log"], each.ceiling, each.best_scale, each.agents_needed,
        ]
        for variant, each in found.squares
        if cell in ("", each.cell)
    ]  # fmt: skip
    note = (
        "ratio of ratios: what both do, over the product of what each does alone; 1 where they "
        "multiply, which holds inside .8 to 1.25. ceiling: the largest one that probabilities "
        "allow. smallest on: the scale of the least interaction. needed: agents an arm."
    )
    header = ["", "both", "verdict", "ratio of ratios", "ceiling", "smallest on", "needed"]
    return Table("Do two changes multiply?", header, rows, note)


def significant(estimate: Estimate) -> str:
    """Three significant digits, `0.0123 [0.01, 0.02]`, `5,340 [10, 10,000]`; `-` where there is
    none."""
    return "-" if math.isnan(estimate.value) else span(estimate, _three_digits)


def _three_digits(value: float) -> str:
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"


def costs_table(found: Comparison) -> Table:
    """Steps and CPU seconds of an agent, both to equal success, and how many times the seconds of
    the arm compared with these are."""
    cells = dict.fromkeys(arm.cell for arm in found.arms)
    rows = [row for cell in cells for row in _cost_rows(found, cell)]
    header = ["cell", "arm", "steps", "CPU s", f"to {EQUAL_SUCCESS:g} of planner", "CPU s to it",
              "times"]  # fmt: skip
    return Table("Cost of an agent, mean of each arm", header, rows, keys=2, forms={"times": ".2f"})


def _cost_rows(found: Comparison, cell: str) -> Iterator[list[Value]]:
    arms = {arm.arm: arm for arm in found.arms if arm.cell == cell}
    base = arms[found.against].cost.seconds_to_success if found.against in arms else math.nan
    for arm in arms.values():
        cost = arm.cost
        reached = "" if cost.reached == arm.trained.k else f" ({cost.reached} of {arm.trained.k})"
        times = cost.seconds_to_success / base
        yield [
            cell, arm.arm, _thousands(cost.steps), _whole(cost.cpu_seconds),
            _thousands(cost.steps_to_success) + reached, _whole(cost.seconds_to_success),
            "-" if math.isnan(times) else times,
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
