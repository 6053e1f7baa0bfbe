"""`misgen demo`: agents that stay capable under a shift and pursue the wrong goal, in minutes.

Trains a few agents in two cells, with the spurious cue (d = 0) and without it
(d = 1, the control arm), evaluates all of them with all controls, and says what was seen.
Interrupted or killed, the same command continues; finished, it only shows the result again.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from duckdb import DuckDBPyRelation

from misgen.analysis.figures import Board, goal_failure_figure, goal_failure_panels, path_figure
from misgen.analysis.rates import Estimate
from misgen.analysis.records import Records, atomic_write_bytes, query, read_records
from misgen.analysis.table import Row, rates_table, to_csv
from misgen.envs.core.levels import sample_quadruples
from misgen.envs.families import find_cell, find_family
from misgen.experiments.cells import draw_path
from misgen.experiments.config import EvaluateConfig, TrainConfig, compose
from misgen.experiments.evaluate import agent_arguments, evaluation_jobs
from misgen.experiments.jobs import Job, JobResult, run_jobs
from misgen.experiments.run_folder import (
    provenance,
    require_writable,
    results_root,
    usable_cores,
    write_json,
)
from misgen.experiments.train import CHECKPOINT, run_name, train_folder

DEMO_CELLS = ("C2", "K3")
ARMS = (0.0, 1.0)
FIRST_AGENT = 10  # settings were tried out on agents 0 and 1
QUICK_STEPS = 32_768
QUICK_LEVELS = 60


def main(argv: list[str]) -> int:
    options = _parser().parse_args(argv)
    if options.agents < 1 or options.workers < 0:
        raise ValueError(f"--agents is at least 1 and --workers at least 0; got {argv}")
    started = time.monotonic()
    require_writable(results_root())
    configs = demo_configs(options.agents, options.quick)
    workers = options.workers or usable_cores()
    prepare(configs, options.quick, workers)
    print(f"1 of 2: training {len(configs)} agents, {workers} at a time", flush=True)
    require_done(run_jobs(train_jobs(configs), workers))
    print("2 of 2: evaluating them on levels of their own, with all controls", flush=True)
    jobs = demo_evaluations(configs, options.quick)
    require_done(run_jobs(jobs, workers))
    folder = report(jobs, options.quick, time.monotonic() - started)
    if options.publish:
        shutil.copytree(folder, options.publish, dirs_exist_ok=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="misgen demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run: one minute, no result")
    parser.add_argument("--agents", type=int, default=3, help="agents in each arm (default 3)")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one a core)")
    parser.add_argument(
        "--publish", type=Path, metavar="FOLDER", help="copy the table, figures and summary here"
    )
    return parser


def demo_configs(agents: int, quick: bool) -> list[TrainConfig]:
    """One training configuration per agent, as `misgen train` would compose it."""
    configs = []
    study = "demo-quick" if quick else "demo"
    for code in DEMO_CELLS:
        for d in ARMS:
            overrides = [f"cell={code}", f"intervention.diversity={d}", f"study={study}"]
            if quick:
                overrides.append(f"agent.settings.total_steps={QUICK_STEPS}")
            config: TrainConfig = compose("train", overrides)
            seeds = range(FIRST_AGENT, FIRST_AGENT + (1 if quick else agents))
            configs += [replace(config, train_seed=seed) for seed in seeds]
    return configs


def train_jobs(configs: Sequence[TrainConfig]) -> list[Job]:
    jobs = []
    for config in configs:
        folder = train_folder(config)
        jobs.append(
            Job(
                name=f"train {run_name(config)}",
                target="misgen.experiments.train:train_job",
                argument=dict(folder.config),
                folder=folder.path,
                weight=config.agent.settings.total_steps / 1e6,
            )
        )
    return jobs


def demo_evaluations(configs: Sequence[TrainConfig], quick: bool) -> list[Job]:
    settings = EvaluateConfig(num_levels=QUICK_LEVELS if quick else 0)
    checkpoints = [train_folder(config).path / CHECKPOINT for config in configs]
    return evaluation_jobs(
        [found for path in checkpoints for found in agent_arguments(path, settings)]
    )


def prepare(configs: Sequence[TrainConfig], quick: bool, workers: int) -> None:
    """Say what kind of run this is, and compile the rules if there is something to train."""
    if quick:
        print("SMOKE RUN (--quick): agents are barely trained, the numbers mean nothing.")
    if not all(train_folder(config).is_done for config in configs):
        compile_rules(sorted({config.family for config in configs}), workers)


def compile_rules(families: Sequence[str], workers: int) -> None:
    """Compile the rules of these families once, before many processes would do the same."""
    started = time.monotonic()
    print("compiling the rules (once per version) ...", flush=True)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        list(pool.map(compile_family, families))
    print(f"compiled in {time.monotonic() - started:.0f} s", flush=True)


def compile_family(name: str) -> None:
    """Call every kernel that training and evaluation use."""
    from misgen.envs.core.batch import BatchEnv
    from misgen.envs.core.levels import sample_levels
    from misgen.envs.core.plans import solve

    family = find_family(name)
    distribution = family.train_distribution(family.cell(family.default_cell))
    levels = sample_levels(family, distribution, range(2))
    env = BatchEnv.on(levels)
    env.step(np.array([family.noop] * 2))
    solve(levels, distribution.horizon_steps, (0.0,)).action_mask(env, "intended")


def require_done(results: Sequence[JobResult]) -> None:
    """Exit code 1, and how to go on, if a job failed."""
    if any(result.status not in ("done", "skipped") for result in results):
        print("some jobs failed (see above); the same command tries them again", file=sys.stderr)
        raise SystemExit(1)


# --- What was seen -------------------------------------------------------------------------------


def report(jobs: Sequence[Job], quick: bool, seconds: float) -> Path:
    """Print the table and write the demo's files, whose folder is returned; everything comes from
    the records."""
    records = records_of(jobs)
    rows = rates_table(records)
    folder = require_writable(results_root() / ("demo-quick" if quick else "demo"))
    table = demo_table(rows)
    words = in_words(rows)
    atomic_write_bytes(folder / "table.txt", f"{table}\n\n{words}\n".encode())
    atomic_write_bytes(folder / "rates.csv", to_csv(rows).encode())
    atomic_write_bytes(folder / "goal_failure.png", goal_failure_figure(goal_failure_panels(rows)))
    write_json(folder / "summary.json", summary(rows, quick, jobs))
    boards = example_paths(records)
    if boards:
        atomic_write_bytes(folder / "paths.png", path_figure(boards))
    print(f"\n{table}\n\n{words}\n")
    print(f"files: {folder}; agents and records: {results_root() / 'runs'}; {seconds:.0f} s")
    print(f"next: misgen calibrate {results_root()}  # beside a published risk model")
    return folder


def records_of(jobs: Sequence[Job]) -> DuckDBPyRelation:
    """The episodes that these evaluations recorded."""
    ids = ", ".join(f"'{job.folder.name.removeprefix('run=')}'" for job in jobs)
    return read_records(results_root()).filter(f"run_id in ({ids})")


def demo_table(rows: Sequence[Row]) -> str:
    """A block of lines for each cell and shifted variant."""
    lines = []
    for row, control in pairs(rows):
        cell = find_family(row.family).cell(row.cell)
        shift = f"{cell.shift_a.scenario}" + (
            f" + {cell.shift_b.scenario}" if row.variant == "11" else ""
        )
        lines += [
            f"{cell.code} {row.family}, {cell.shift_type} shift, variant {row.variant} ({shift})",
            f"  agents x distinguishing levels   d=0: {row.agents} x {row.levels}, "
            f"d=1: {control.agents} x {control.levels} ({row.population} agents; "
            f"{row.distinguishing_share:.0%} of levels distinguish)",
            f"  own-distribution success         d=0 {row.own_success:.3f}, "
            f"d=1 {control.own_success:.3f} (planner {row.planner_own_success:.3f})",
            f"  capable (p_capable)              d=0 {_span(row.p_capable)}, "
            f"d=1 {_span(control.p_capable)}",
            f"  goal failure given capable       d=0 {_span(row.p_goal_fail)}, "
            f"d=1 {_span(control.p_goal_fail)}",
            f"  attributable to the cue          {_span(row.difference_goal_fail)}",
            f"  intended / proxy / neither       d=0 {_split(row)}, d=1 {_split(control)}",
            f"  harm given goal failure          d=0 {_span(row.p_harm)}"
            + (" (by construction)" if row.harm_by_construction else ""),
            "  controls, capable / goal failure " + _controls(row),
            *attrition(rows, row),
            "",
        ]
    return "\n".join(lines).rstrip()


def attrition(rows: Sequence[Row], row: Row) -> list[str]:
    """The other two rows of science: all trained agents, and bounds for those left out."""
    trained = [_find(rows, row, d, "all trained") for d in ARMS]
    kept = [_find(rows, row, d, "competent").agents for d in ARMS]
    parts = [
        f"d={d:g} {count} of {one.agents} trained agents competent, p_gm of all {_span(one.p_gm)}"
        for d, one, count in zip(ARMS, trained, kept, strict=True)
    ]
    bounds = _find(rows, row, 0.0, "bounds").p_gm
    return [
        f"  attrition                        {'; '.join(parts)}",
        f"  all trained agents, difference   p_gm {_span(trained[0].difference_p_gm)}, "
        f"bounds at d=0 {bounds.low:.3f} to {bounds.high:.3f}",
    ]


def pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """(d = 0, d = 1) rows of the competent agents; of all trained ones where an arm has none."""
    found = []
    for row in rows:
        if row.value == ARMS[0] and row.variant in ("10", "11") and row.population == "competent":
            control = _find(rows, row, ARMS[1], "competent")
            population = "competent" if row.agents and control.agents else "all trained"
            found.append(tuple(_find(rows, row, d, population) for d in ARMS))
    return found  # type: ignore[return-value]


def _find(rows: Sequence[Row], like: Row, value: float, population: str) -> Row:
    same = ("family", "cell", "variant", "observation_mode")
    return next(
        row
        for row in rows
        if row.value == value
        and row.population == population
        and all(getattr(row, name) == getattr(like, name) for name in same)
    )


def _span(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "not defined"
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f} [no interval]"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _split(row: Row) -> str:
    return f"{row.intended:.3f} / {row.proxy:.3f} / {row.neither:.3f}"


def _controls(row: Row) -> str:
    shown = ("planner_intended", "planner_proxy", "noisy_intended", "noisy_proxy", "random", "noop")
    parts = []
    for policy in shown:
        if policy in row.controls:
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


def example_paths(records: Records) -> list[Board]:
    """For each cell: the first level that an agent of the d = 0 arm solves with the cue intact and
    fails with the cue broken, in both variants."""
    boards = []
    for code in DEMO_CELLS:
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


def summary(rows: Sequence[Row], quick: bool, jobs: Sequence[Job]) -> dict[str, Any]:
    """The demo's numbers as data; NaN becomes null."""
    return {
        "smoke_run": quick,
        "rows": [_plain(_row(row)) for row in rows],
        "runs": [job.folder.name for job in jobs],
        "provenance": provenance(),
    }


def _row(row: Row) -> dict[str, Any]:
    data = {key: value for key, value in vars(row).items() if key not in ("controls", "dots")}
    data["controls"] = {name: rates._asdict() for name, rates in row.controls.items()}
    data["dots"] = row.dots.tolist()
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
