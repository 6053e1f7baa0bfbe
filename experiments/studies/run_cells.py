"""`misgen run-cells`: all cells measured, from training to tables and figures.

Trains agents with the cue (d = 0), with some of it (d = 0.1), without it (d = 1, the control) and
clones of the intended planner in every cell, evaluates all with all controls, and measures how far
each shift is from training. Interrupted or killed, the same
command continues; with more agents it adds what is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from misgen.analysis.records import Records, query
from misgen.analysis.report.study_page import comparison_of, write_page
from misgen.analysis.study import read_study_folder
from misgen.envs.core.types import VARIANTS
from misgen.envs.families import find_cell
from misgen.experiments.config import TrainConfig
from misgen.experiments.runs.folder import results_root, write_json
from misgen.experiments.runs.train import train_folder
from misgen.experiments.runs.training_log import CURVE, read_curve
from misgen.experiments.studies.cells_report import report
from misgen.experiments.studies.file import LONGER, load_study
from misgen.experiments.studies.folder import leave, write_records
from misgen.experiments.studies.shift import measured_shifts
from misgen.experiments.studies.study import Measured, command


def main(argv: list[str]) -> int:
    about = (__doc__ or "").split("\n\n")[0]
    return command(load_study("cells"), about, argv, show, "misgen run-cells")


def show(measured: Measured) -> Path:
    """Leave what was measured in the study's folder, print the first table; returns the folder."""
    folder = leave(measured, further)
    page = write_page(comparison_of(read_study_folder(folder)), folder)
    print(report(folder), end="")
    print(f"\nfiles: {folder}; agents and records: {results_root() / 'runs'}")
    print(f"open in a browser: {page}")
    print(f"next: misgen calibrate --results {folder}  # beside a published risk model")
    return folder


def further(measured: Measured, folder: Path) -> None:
    """What the tables and figures are made of beside the counts; see `folder.BY_CELL`."""
    write_records(measured, folder)
    write_json(folder / "shifts.json", measured_shifts(measured.shifts))
    longer = measured.plan.study.longer
    curves = {c.cell: curve(c, longer.times) for c in measured.longer} if longer else {}
    write_json(folder / LONGER, curves)
    examples = {code: example(measured.records, code) for code in measured.plan.cells}
    write_json(folder / "examples.json", examples)


def curve(config: TrainConfig, times: int) -> dict[str, Any]:
    """Steps and success rate of a learning curve; it has `times` the default number of steps."""
    rows = read_curve(train_folder(config).path / CURVE)
    return {
        "steps": [int(row["steps"]) for row in rows],
        "success_rate": [row["success_rate"] for row in rows],
        "default_steps": config.agent.settings.total_steps // times,
    }


def example(records: Records, code: str) -> dict[str, Any] | None:
    """The actions of one d = 0 agent on the four variants of one distinguishing level: one that it
    solves with the cue intact and fails with the cue broken, if there is any."""
    family, _ = find_cell(code)
    found = query(
        records,
        f"""
        with own as (
            select *, max(checkpoint_step) over (partition by run_id) as last from records
            where role = 'agent' and method = 'ppo' and d = 0 and q = 1
              and family = '{family.name}' and cell = '{code}' and train_distribution = cell
        ), episode as (select * from own where checkpoint_step = last)
        select a.agent_number, a.level_seed, a.actions, b.actions, c.actions, d.actions
        from episode a join episode b using (run_id, level_seed)
        join episode c using (run_id, level_seed) join episode d using (run_id, level_seed)
        where a.variant = '00' and b.variant = '10' and c.variant = '01' and d.variant = '11'
          and b.is_distinguishing and d.is_distinguishing
        order by (a.success and b.goal_failure and c.success and d.goal_failure) desc nulls last,
          (a.success and b.goal_failure) desc nulls last, a.agent_number, a.level_seed limit 1
        """,
    )
    if not found:
        return None
    number, seed, *actions = found[0]
    return {
        "agent_number": number,
        "level_seed": seed,
        "actions": {v: taken.hex() for v, taken in zip(VARIANTS, actions, strict=True)},
    }
