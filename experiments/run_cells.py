"""`misgen run-cells`: all cells measured, from training to tables and figures.

Trains agents with the cue (d = 0), with some of it (d = 0.1), without it (d = 1, the control) and
clones of the intended planner in every cell, a few further arms in two of them, evaluates all with
all controls, and measures how far each shift is from training. Interrupted or killed, the same
command continues; with more agents it adds what is missing.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from misgen.analysis.cells import (
    CellLine,
    cell_lines,
    cell_panels,
    format_arms,
    format_cells,
    format_checkpoints,
    format_cross,
    format_shifts,
)
from misgen.analysis.figures import Board, curve_figure, goal_failure_figure, path_figure
from misgen.analysis.records import (
    FILE_NAME,
    Records,
    atomic_write_bytes,
    query,
    read_records,
    write_slim,
)
from misgen.analysis.table import rates_table, to_csv
from misgen.envs.core.levels import sample_quadruples
from misgen.envs.core.types import VARIANTS
from misgen.envs.families import find_cell
from misgen.experiments.calibrate import BROKEN_EPISODES, broken_episodes
from misgen.experiments.cell_choice import built_in_codes, choose_cell
from misgen.experiments.cells import draw_path
from misgen.experiments.config import EvaluateConfig, TrainConfig, compose
from misgen.experiments.demo import (
    QUICK_LEVELS,
    QUICK_STEPS,
    prepare,
    records_of,
    require_done,
    train_jobs,
)
from misgen.experiments.evaluate import agent_arguments, evaluation_jobs
from misgen.experiments.jobs import Job, run_jobs
from misgen.experiments.run_folder import (
    provenance,
    read_json,
    require_writable,
    results_root,
    usable_cores,
    write_json,
)
from misgen.experiments.shift import job_of, shift_rows
from misgen.experiments.train import CHECKPOINT, train_folder

STUDY = "cells"
FIRST_AGENT = 10  # settings were tried out on agents 0 and 1
LONGER = 4  # times the default steps, where the control arm has not learned its task
LEARNED = 0.9  # of the planner's success
CROSS_AGENTS = 3  # of each cell that play the other cells of their family


@dataclass(frozen=True)
class Arm:
    """Agents that differ in their number only."""

    name: str
    agents: int
    overrides: tuple[str, ...]
    cells: tuple[str, ...] = ()  # codes; all if empty


ARMS = (
    Arm("d=0", 8, ("intervention.diversity=0",)),
    Arm("d=0.1", 8, ("intervention.diversity=0.1",)),
    Arm("d=1", 5, ("intervention.diversity=1",)),
    Arm("clones", 5, ("agent=cloning", "intervention.diversity=0")),
    Arm("d=0.02", 5, ("intervention.diversity=0.02",), ("C2", "K3")),
    Arm("d=0.3", 5, ("intervention.diversity=0.3",), ("C2", "K3")),
    Arm("q=0.5", 5, ("intervention.specification=0.5",), ("C2", "K3")),
    Arm("q=0", 5, ("intervention.specification=0",), ("C2", "K3")),
)


def main(argv: list[str]) -> int:
    """Exit code 0; 1 if a job failed. Raises ValueError for wrong arguments."""
    options = _parser().parse_args(argv)
    if options.report:
        print(report(options.report), end="")
        return 0
    if options.agents < 1 or options.workers < 0:
        raise ValueError(f"--agents is at least 1 and --workers at least 0; got {argv}")
    codes = [choose_cell(cell=code)[1].code for code in options.cells or built_in_codes()]
    require_writable(results_root())
    workers = options.workers or usable_cores()
    folder = run(codes, options.agents, options.quick, workers)
    print(report(folder), end="")
    print(f"\nfiles: {folder}; agents and records: {results_root() / 'runs'}")
    print(f"next: misgen calibrate {folder}  # beside a published risk model")
    if options.publish:
        shutil.copytree(folder, options.publish, dirs_exist_ok=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="misgen run-cells", description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False
    )
    parser.add_argument("--cells", nargs="+", metavar="CODE", help="only these (default: all)")
    parser.add_argument(
        "--agents", type=int, default=max(arm.agents for arm in ARMS), metavar="N",
        help="at most this many agents in each arm (default: all; 2 is a quick first look)",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one a core)")
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run: barely trained, the numbers mean nothing"
    )
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="copy the results here")
    parser.add_argument(
        "--report", type=Path, metavar="FOLDER", help="only make the tables and figures of a "
        "published folder again, from the records in it",
    )  # fmt: skip
    return parser


# --- Running -------------------------------------------------------------------------------------


def run(codes: Sequence[str], agents: int, quick: bool, workers: int) -> Path:
    """Train, evaluate and measure what is not there yet; returns the folder of the results."""
    configs = [config for arm in ARMS for config in arm_configs(arm, codes, agents, quick)]
    prepare(configs, quick, workers)
    print(f"1 of 4: training {len(configs)} agents, {workers} at a time", flush=True)
    require_done(run_jobs(by_agent(configs), workers))
    print("2 of 4: evaluating them, with all controls, and some in the other cells", flush=True)
    evaluations = evaluation_jobs(arguments(configs, quick))
    require_done(run_jobs(evaluations, workers))
    print("3 of 4: how far the shifts are from training", flush=True)
    shifts = [job_of(*find_cell(code)) for code in codes]
    require_done(run_jobs(shifts, workers))
    records = records_of(evaluations)
    unlearned = sorted({line.cell for line in lines_of(records) if not has_learned(line)})
    print(f"4 of 4: longer training of controls below the planner: {unlearned or 'none'}")
    longer = longer_configs(unlearned, quick)
    require_done(run_jobs(train_jobs(longer), workers))
    return collect(records, codes, shifts, longer, quick)


def arm_configs(arm: Arm, codes: Sequence[str], agents: int, quick: bool) -> list[TrainConfig]:
    """The agents of an arm, as `misgen train` would compose them."""
    configs = []
    for code in [code for code in codes if not arm.cells or code in arm.cells]:
        config = compose_cell(code, *arm.overrides, quick=quick)
        seeds = range(FIRST_AGENT, FIRST_AGENT + min(agents, arm.agents))
        configs += [replace(config, train_seed=seed) for seed in seeds]
    return configs


def compose_cell(code: str, *overrides: str, quick: bool) -> TrainConfig:
    few = [f"agent.settings.total_steps={QUICK_STEPS}", "agent.cloning.num_states=4096"]
    config: TrainConfig = compose(
        "train",
        [
            f"cell={code}",
            f"study={STUDY}-quick" if quick else f"study={STUDY}",
            *(few if quick else []),
            *overrides,
        ],
    )
    return config


def by_agent(configs: Sequence[TrainConfig]) -> list[Job]:
    """Training jobs, the first agents of all arms before the second ones: an interrupted study has
    something of everything."""
    return train_jobs(sorted(configs, key=lambda config: config.train_seed))


def arguments(configs: Sequence[TrainConfig], quick: bool) -> list[dict[str, Any]]:
    """What is evaluated: all agents in their own cell, those of d = 0 also at their earlier
    checkpoints, and the first of these in the other cells of their family."""
    found = []
    num_levels = QUICK_LEVELS if quick else 0
    for config in configs:
        path = train_folder(config).path / CHECKPOINT
        plain = config.agent.method == "ppo" and config.intervention.specification == 1
        reference = plain and config.intervention.diversity == 0
        checkpoints = "all" if reference else "final"
        found += agent_arguments(
            path, EvaluateConfig(num_levels=num_levels, checkpoints=checkpoints)
        )
        if reference and config.train_seed < FIRST_AGENT + CROSS_AGENTS:
            for cell in config.get_family().cells:
                if cell.code != config.cell:
                    elsewhere = EvaluateConfig(num_levels=num_levels, cell=cell.code)
                    found += agent_arguments(path, elsewhere)
    return found


def longer_configs(codes: Sequence[str], quick: bool) -> list[TrainConfig]:
    """One control agent of each cell with LONGER times the steps."""
    configs = []
    for code in codes:
        config = compose_cell(code, "intervention.diversity=1", quick=quick)
        settings = replace(
            config.agent.settings, total_steps=LONGER * config.agent.settings.total_steps
        )
        agent = replace(config.agent, settings=settings)
        configs.append(replace(config, agent=agent, train_seed=FIRST_AGENT))
    return configs


def has_learned(line: CellLine) -> bool:
    """Whether the control arm comes near the planner on its own distribution."""
    control = line.arms.get("d=1")
    return control is None or control.own_success >= LEARNED * control.planner_own_success


# --- What was measured, as files -----------------------------------------------------------------


def lines_of(records: Records) -> list[CellLine]:
    return cell_lines(rates_table(records))


def collect(
    records: Records,
    codes: Sequence[str],
    shifts: Sequence[Job],
    longer: Sequence[TrainConfig],
    quick: bool,
) -> Path:
    """Everything that the tables and figures are made of, small enough to be committed."""
    folder = require_writable(results_root() / (f"{STUDY}-quick" if quick else STUDY))
    published: list[str] = []
    for code in codes:
        family, _ = find_cell(code)
        here = records.filter(f"family = '{family.name}' and cell = '{code}'")
        names = [event.name.lower() for event in family.events]
        write_slim(require_writable(folder / "records" / code) / FILE_NAME, here, names)
        write_json(folder / "records" / code / "done.json", {"from": "misgen run-cells"})
        published += [run for (run,) in query(here, _AGENT_RUNS)]
    rows = [
        {name: None if value != value else value for name, value in row.items()}
        for row in shift_rows(records, shifts)
    ]
    write_json(folder / "shifts.json", {"rows": rows})
    write_json(folder / "curves.json", {config.cell: curve(config) for config in longer})
    write_json(folder / "examples.json", {code: example(records, code) for code in codes})
    seen = broken_episodes(results_root()) or {}
    write_json(folder / BROKEN_EPISODES, {run: seen[run] for run in sorted({*published} & {*seen})})
    write_json(folder / "summary.json", {"smoke_run": quick, "provenance": provenance()})
    return folder


_AGENT_RUNS = "select distinct run_id from records where role = 'agent'"


def curve(config: TrainConfig) -> dict[str, Any]:
    """Steps and success rate of a learning curve, and the default number of steps."""
    rows = (train_folder(config).path / "curve.csv").read_text().splitlines()
    names, *lines = (line.split(",") for line in rows)
    columns = {name: [line[k] for line in lines] for k, name in enumerate(names)}
    return {
        "steps": [int(value) for value in columns["steps"]],
        "success_rate": [float(value) for value in columns["success_rate"]],
        "default_steps": config.agent.settings.total_steps // LONGER,
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


# --- Tables and figures --------------------------------------------------------------------------


def report(folder: Path) -> str:
    """Make the tables and figures of a folder from the data in it; returns the first table."""
    records = read_records(folder / "records")
    rows = rates_table(records)
    lines = cell_lines(rows)
    tables = {
        "cells": format_cells(lines),
        "shifts": format_shifts(_load(folder / "shifts.json")["rows"]),
        "cross": format_cross(rows),
        "arms": format_arms(rows),
        "checkpoints": format_checkpoints(rates_table(records, "checkpoint_step")),
    }
    for name, text in tables.items():
        atomic_write_bytes(folder / f"{name}.txt", text.encode())
    atomic_write_bytes(folder / "rates.csv", to_csv(rows).encode())
    panels = cell_panels(lines, "11")
    if panels:
        atomic_write_bytes(folder / "cells.png", goal_failure_figure(panels))
    boards = contact_sheet(_load(folder / "examples.json"))
    if boards:
        atomic_write_bytes(folder / "contact_sheet.png", path_figure(boards, 4))
    curves = _load(folder / "curves.json")
    if curves:
        atomic_write_bytes(folder / "curves.png", curve_figure(curves))
    return tables["cells"]


def _load(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if found is None:
        raise ValueError(
            f"a folder of results of `misgen run-cells` holds {path.name}; {path} is missing or "
            "damaged; run the command again"
        )
    return found


def contact_sheet(examples: dict[str, Any]) -> list[Board]:
    """Four boards a cell: the variants of one level with one agent's way through each."""
    boards = []
    for code, one in sorted(examples.items()):
        if one is None:
            continue
        quadruples = sample_quadruples(*find_cell(code), [one["level_seed"]])
        for variant in VARIANTS:
            actions = bytes.fromhex(one["actions"][variant])
            title = f"{code} {variant}, agent {one['agent_number']}"
            boards.append(draw_path(quadruples[variant], title, actions))
    return boards
