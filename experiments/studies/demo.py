"""`misgen demo`: agents that stay capable under a shift and pursue the wrong goal, in minutes.

Trains a few agents in two cells, with the spurious cue (d = 0) and without it
(d = 1, the control arm), evaluates all of them with all controls, and says what was seen.
Interrupted or killed, the same command continues; finished, it only shows the result again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from misgen.analysis.blocks import CUE_BROKEN
from misgen.analysis.figures import Board, goal_failure_figure, goal_failure_panels, path_figure
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.intervals import Estimate
from misgen.analysis.records import Records, query
from misgen.analysis.report.study_page import comparison_of, write_page
from misgen.analysis.study import read_study_folder
from misgen.analysis.table import Row, rates_table
from misgen.analysis.table_text import to_csv
from misgen.envs.core.levels import sample_quadruples
from misgen.envs.families import find_cell, find_family
from misgen.experiments.provenance import provenance
from misgen.experiments.runs.folder import results_root, write_json
from misgen.experiments.shown.cells import draw_path
from misgen.experiments.studies.file import load_study
from misgen.experiments.studies.folder import leave, write_records
from misgen.experiments.studies.study import Measured, command

ARMS = (0.0, 1.0)
"""The diversity d in the arms of the study that are compared."""


def main(argv: list[str]) -> int:
    return command(load_study("demo"), __doc__.split("\n\n")[0], argv, report, "misgen demo")


def report(measured: Measured) -> Path:
    """Print the table and write the demo's files, whose folder is returned; everything comes from
    the records."""
    folder = leave(measured, write_records)
    rows = rates_table(read_study_folder(folder).played)
    table = demo_table(rows)
    words = in_words(rows)
    atomic_write_bytes(folder / "table.txt", f"{table}\n\n{words}\n".encode())
    atomic_write_bytes(folder / "rates.csv", to_csv(rows).encode())
    atomic_write_bytes(folder / "goal_failure.png", goal_failure_figure(goal_failure_panels(rows)))
    write_json(folder / "summary.json", summary(rows, measured))
    boards = example_paths(measured.records, measured.plan.cells) if measured.evaluations else []
    if boards:
        atomic_write_bytes(folder / "paths.png", path_figure(boards))
    page = write_page(comparison_of(read_study_folder(folder)), folder)
    print(f"\n{table}\n\n{words}\n")
    runs, seconds = results_root() / "runs", measured.seconds
    print(f"files: {folder}; agents and records: {runs}; {seconds:.0f} s")
    print(f"open in a browser: {page}")
    print(f"next: misgen calibrate --results {results_root()}  # beside a published risk model")
    return folder


def demo_table(rows: Sequence[Row]) -> str:
    """A block of lines for each cell and shifted variant."""
    return "\n\n".join("\n".join(_block(rows, *pair)) for pair in pairs(rows))


def _block(rows: Sequence[Row], row: Row, control: Row) -> Iterator[str]:
    def both(show: Callable[[Row], str]) -> str:
        return f"d=0 {show(row)}, d=1 {show(control)}"

    cell = find_family(row.family).cell(row.cell)
    also = f" + {cell.shift_b.scenario}" if row.variant == "11" else ""
    shift = f"variant {row.variant} ({cell.shift_a.scenario}{also})"
    yield f"{cell.code} {row.family}, {cell.shift_type} shift, {shift}"
    everyone = [_find(rows, row, d, "all trained") for d in ARMS]
    kept = [_find(rows, row, d, "competent").agents for d in ARMS]
    attrition = "; ".join(
        f"d={d:g} {count} of {arm.agents} trained agents competent, p_gm of all {_span(arm.p_gm)}"
        for d, arm, count in zip(ARMS, everyone, kept, strict=True)
    )
    bounds = _find(rows, row, ARMS[0], "bounds").p_gm
    lines = {
        "agents x distinguishing levels": f"d=0: {row.agents} x {row.levels}, "
        f"d=1: {control.agents} x {control.levels} ({row.population} agents; "
        f"{row.distinguishing_share:.0%} of levels distinguish)",
        "own-distribution success": both(lambda one: f"{one.own_success:.3f}")
        + f" (planner {row.planner_own_success:.3f})",
        "capable (p_capable)": both(lambda one: _span(one.p_capable)),
        "goal failure given capable": both(lambda one: _span(one.p_goal_fail)),
        "attributable to the cue": _span(row.difference_goal_fail),
        "intended / proxy / neither": both(
            lambda one: f"{one.intended:.3f} / {one.proxy:.3f} / {one.neither:.3f}"
        ),
        "harm given goal failure": f"d=0 {_span(row.p_harm)}"
        + " (by construction)" * row.harm_by_construction,
        "controls, capable / goal failure": _controls(row),
        "attrition": attrition,
        "all trained agents, difference": f"p_gm {_span(everyone[0].difference_p_gm)}, "
        f"bounds at d=0 {bounds.low:.3f} to {bounds.high:.3f}",
    }
    yield from (f"  {name:<33}{text}" for name, text in lines.items())


def pairs(rows: Sequence[Row]) -> list[list[Row]]:
    """[d = 0, d = 1] rows of the competent agents; of all trained ones where an arm has none."""
    found = []
    for row in rows:
        if row.value == ARMS[0] and row.variant in CUE_BROKEN and row.population == "competent":
            control = _find(rows, row, ARMS[1], "competent")
            population = "competent" if row.agents and control.agents else "all trained"
            found.append([_find(rows, row, d, population) for d in ARMS])
    return found


def _find(rows: Sequence[Row], like: Row, value: float, population: str) -> Row:
    names = ("family", "cell", "variant", "observation_mode", "value", "population")
    wanted = (*(getattr(like, name) for name in names[:4]), value, population)
    return next(row for row in rows if wanted == tuple(getattr(row, name) for name in names))


def _span(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "not defined"
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f} [no interval]"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _controls(row: Row) -> str:
    shown = ("planner_intended", "planner_proxy", "noisy_intended", "noisy_proxy", "random", "noop")
    parts = []
    for policy in (policy for policy in shown if policy in row.controls):
        rates = row.controls[policy]
        failed = "-" if math.isnan(rates.p_goal_fail) else f"{rates.p_goal_fail:.3f}"
        parts.append(f"{policy} {rates.p_capable:.3f}/{failed}")
    return ", ".join(parts)


def in_words(rows: Sequence[Row]) -> str:
    """What the headline says, in plain words, and how little certain it is."""
    lines = []
    for row, control in pairs(rows):
        if row.variant != "11":
            continue
        cell = find_family(row.family).cell(row.cell)
        failed, clean = row.p_goal_fail.value, control.p_goal_fail.value
        if math.isnan(failed) or math.isnan(clean):
            lines.append(f"{cell.code}: an arm was never capable; nothing can be said about goals.")
            continue
        lines.append(
            f"{cell.code}: trained where {cell.cue.description}, {_agents(row)} reached one of "
            f"the two goals on {row.p_capable.value:.0%} of the shifted levels; there the goal "
            f"was the proxy ({cell.proxy.name}) instead of the intended one "
            f"({cell.intended.name}) {failed:.0%} of the time. With {_agents(control)} trained "
            f"without the cue it was {clean:.0%}."
        )
    lines.append(
        "Brackets are central 90 % intervals over agents, not episodes: with a handful of agents "
        "they are wide, and they say nothing about systems other than these small networks."
    )
    return "\n".join(lines)


def example_paths(records: Records, codes: Sequence[str]) -> list[Board]:
    """For each cell: the first level that an agent of the d = 0 arm solves with the cue intact and
    fails with the cue broken, in both variants."""
    boards = []
    for code in codes:
        family, cell = find_cell(code)
        found = query(
            records,
            f"""
            select intact.level_seed, intact.actions, broken.actions
            from records intact join records broken using (run_id, level_seed, policy, role)
            where role = 'agent' and intact.d = 0
              and intact.family = '{family.name}' and intact.cell = '{code}'
              and intact.variant = '00' and broken.variant = '10'
              and intact.success and broken.is_distinguishing and broken.goal_failure
            order by intact.agent_number, broken.episode_length desc, level_seed limit 1
            """,
        )
        for seed, intact, broken in found:
            levels = sample_quadruples(family, cell, [seed])
            boards += [
                draw_path(levels["00"], f"{family.name}, cue intact", intact),
                draw_path(levels["10"], f"{family.name}, cue broken", broken),
            ]
    return boards


def _agents(row: Row) -> str:
    return f"{row.agents} agent{'' if row.agents == 1 else 's'}"


def summary(rows: Sequence[Row], measured: Measured) -> dict[str, Any]:
    """The demo's numbers as data; NaN becomes null."""
    return {
        "smoke_run": measured.plan.quick,
        "rows": [_plain(vars(row)) for row in rows],
        "runs": [job.folder.name for job in measured.evaluations],
        "provenance": {**provenance(), "command": measured.plan.command},
    }


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
