"""From a study to what it measured: training configs, evaluations and jobs, made and run.

What is finished is not done again, so the same command continues, and with more agents it adds
what is missing.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyRelation
from omegaconf import DictConfig

from misgen.analysis.records import read_records
from misgen.analysis.study import STUDY, read_study_folder
from misgen.analysis.table import rates_table
from misgen.envs.families import find_cell
from misgen.experiments.cell_choice import built_in_codes
from misgen.experiments.cli import Parser, results_in
from misgen.experiments.config import TrainConfig, composed_once
from misgen.experiments.jobs.scheduler import Job, run_jobs
from misgen.experiments.jobs.start import import_early
from misgen.experiments.kernels import compile_rules
from misgen.experiments.provenance import usable_cores
from misgen.experiments.runs.evaluation_jobs import evaluation_jobs
from misgen.experiments.runs.evaluation_levels import forget_plans
from misgen.experiments.runs.folder import QUICK, read_json, require_writable, results_root
from misgen.experiments.runs.subjects import EvaluateConfig, agent_arguments
from misgen.experiments.runs.train import CHECKPOINT, train_folder, train_jobs
from misgen.experiments.studies.file import LONGER, Longer, Study
from misgen.experiments.studies.shift import job_of
from misgen.experiments.studies.status import remember


@dataclass(frozen=True)
class Plan:
    """A study as it is asked for. agents: in each arm. published: a folder of the same study, whose
    agents are not trained again. command: that asks for it."""

    study: Study
    cells: Sequence[str]
    agents: int
    quick: bool = False
    published: Path | None = None
    command: str = ""

    @property
    def name(self) -> str:
        return f"{self.study.name}-quick" if self.quick else self.study.name

    @property
    def folder(self) -> Path:
        """Where its tables and figures go."""
        return results_root() / self.name


def train_configs(plan: Plan) -> dict[str, list[TrainConfig]]:
    """The agents of every arm, as `misgen train` would compose them.

    Raises:
        ValueError: a setting is refused, or two arms are one.
    """
    bases: dict[tuple[str, ...], DictConfig] = {}
    configs = {name: arm_configs(plan, name, bases) for name in plan.study.arms}
    seen: dict[Path, str] = {}
    for name, members in configs.items():
        for config in members:
            other = seen.setdefault(train_folder(config).path, name)
            if other != name:
                raise ValueError(
                    f"arms differ in how agents are trained; {other!r} and {name!r} of the study "
                    f"{plan.study.name} are the same in {config.cell}; change one of them"
                )
    return configs


def arm_configs(
    plan: Plan, name: str, bases: dict[tuple[str, ...], DictConfig] | None = None
) -> list[TrainConfig]:
    """The agents of one arm; ValueError names it where an override is refused.

    bases: see `composed_once`.
    """
    study, arm = plan.study, plan.study.arms[name]
    limits = (plan.agents, arm.agents, study.quick.agents if plan.quick else None)
    number = min(limit for limit in limits if limit is not None)
    seeds = range(study.first_agent, study.first_agent + number)
    few = study.quick.overrides if plan.quick else ()
    kept = ("checkpoints=all",) if name in study.evaluation.checkpoints_of else ()
    only = {code.upper() for code in arm.cells} or {*plan.cells}
    configs: list[TrainConfig] = []
    for code in [code for code in plan.cells if code in only]:
        try:
            words = [f"cell={code}", f"study={plan.name}", *few, *kept, *arm.overrides]
            one = composed_once(words, {} if bases is None else bases)
            if plan.quick:
                one = with_steps(one, lambda steps: steps // study.quick.steps_divisor)
            configs += [replace(one, train_seed=seed) for seed in seeds]
        except ValueError as error:
            raise ValueError(f"arm {name!r} of the study {study.name}: {error}") from error
    return configs


def evaluation_arguments(
    plan: Plan, configs: Mapping[str, Sequence[TrainConfig]]
) -> list[dict[str, Any]]:
    """What is evaluated: trained agents by arm in, job arguments out."""
    asked = plan.study.evaluation
    plain = EvaluateConfig(num_levels=plan.study.quick.num_levels if plan.quick else 0)
    first_ones = range(plan.study.first_agent, plan.study.first_agent + asked.cross_play_agents)
    found = []
    for arm, members in configs.items():
        at_home = replace(plain, checkpoints="all" if arm in asked.checkpoints_of else "final")
        for config in members:
            path = train_folder(config).path / CHECKPOINT
            found += agent_arguments(path, at_home)
            if arm in asked.cross_play_of and config.train_seed in first_ones:
                for cell in config.get_family().cells:
                    if cell.code != config.cell:
                        found += agent_arguments(path, replace(plain, cell=cell.code))
    return found


# --- Running it ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What is there when a study has run. shifts: jobs of `misgen.experiments.studies.shift`."""

    plan: Plan
    configs: Mapping[str, Sequence[TrainConfig]]  # the agents of each arm
    evaluations: Sequence[Job]
    shifts: Sequence[Job]
    longer: Sequence[TrainConfig]
    seconds: float

    @cached_property
    def records(self) -> DuckDBPyRelation:
        """The episodes of the evaluations."""
        return records_of(self.evaluations)


def command(
    study: Study,
    about: str,
    argv: list[str],
    report: Callable[[Measured], Path],
    prog: str,
) -> int:
    """Run a study as the command `prog`; `report` prints what was seen and returns its folder.

    Returns exit code 0. Raises ValueError for wrong arguments, SystemExit(1) if a job failed.
    """
    options = _parser(study, prog, about).parse_args(argv)
    if options.agents < 1 or options.workers < 0:
        raise ValueError(f"--agents is at least 1 and --workers at least 0; got {argv}")
    few = study.quick.cells if options.quick else ()
    asked = options.cells or few or study.cells or built_in_codes()
    cells = [*dict.fromkeys(find_cell(code)[1].code for code in asked)]
    asked_by = " ".join([prog, *map(shlex.quote, argv)])
    plan = Plan(study, cells, options.agents, options.quick, options.publish, asked_by)
    with results_in(str(results_root() / QUICK) if plan.quick else None):
        require_writable(results_root())
        import_early("misgen.agents.checkpoint", "misgen.agents.cloning")
        report(run(plan, options.workers or usable_cores()))
    return 0


def _parser(study: Study, prog: str, about: str) -> Parser:
    parser = Parser(prog=prog, description=f"{about} {study.question}")
    add = parser.add_argument
    cells = ", ".join(study.cells) or "all"
    add("--cells", nargs="+", metavar="CODE", help=f"only these (default: {cells})")
    limit = "; some arms have fewer" if any(arm.agents for arm in study.arms.values()) else ""
    text = f"in each arm (default: {study.agents}{limit})"
    add("--agents", type=int, default=study.agents, metavar="N", help=text)
    add("--workers", type=int, default=0, metavar="N", help="processes (default: one a core)")
    text = f"a smoke run in {QUICK}/ of the results: barely trained, the numbers mean nothing"
    add("--quick", action="store_true", help=text)
    text = "a folder for the results; of agents that it counts, none is trained again"
    add("--publish", type=Path, metavar="FOLDER", help=text)
    return parser


def run(plan: Plan, workers: int) -> Measured:
    """Train, evaluate and measure what is not there yet. SystemExit(1) if a job failed."""
    started = time.monotonic()
    study, known = plan.study, published_runs(plan)
    configs = {
        arm: [config for config in members if train_folder(config).id not in known]
        for arm, members in train_configs(plan).items()
    }
    everyone = [config for members in configs.values() for config in members]
    remember(
        plan.name,
        {
            train_folder(config).id: f"{config.cell} {arm}"
            for arm, members in configs.items()
            for config in members
        },
    )
    if known:
        print(f"{plan.published} counts {len(known)} agents: these are not trained again")
    if not everyone:
        return Measured(plan, configs, (), (), (), 0.0)
    if plan.quick:
        print("SMOKE RUN (--quick): agents are barely trained, the numbers mean nothing.")
    if not all(train_folder(config).is_done for config in everyone):
        compile_rules(sorted({(each.family, each.cell) for each in everyone}), workers)
    steps = 2 + study.shifts + (study.longer is not None)
    print(f"1 of {steps}: training {len(everyone)} agents, {workers} at a time", flush=True)
    finish(train_jobs(everyone), workers)
    print(f"2 of {steps}: evaluating them on levels of their own, with all controls", flush=True)
    evaluations = evaluation_jobs(evaluation_arguments(plan, configs))
    finish(evaluations, workers)
    forget_plans()
    shifts = [job_of(*find_cell(code)) for code in plan.cells] if study.shifts else []
    if shifts:
        print(f"3 of {steps}: how far the shifts are from training", flush=True)
        finish(shifts, workers)
    longer = []
    if study.longer:
        controls = configs[study.longer.arm]
        codes = unlearned(records_of(evaluations), controls, study.longer.below)
        codes = [code for code in codes if code not in with_longer_curve(plan)]
        print(f"{steps} of {steps}: longer training in: {', '.join(codes) or 'no cell'}")
        longer = longer_configs(study.longer, controls, codes)
        finish(train_jobs(longer), workers)
    return Measured(plan, configs, evaluations, shifts, longer, time.monotonic() - started)


def published_runs(plan: Plan) -> set[str]:
    """Ids of the training runs whose agents a published folder counts.

    Raises:
        ValueError: it holds another study, or its arms are others.
    """
    folder = plan.published
    if folder is None or not (folder / STUDY).is_file():
        return set()
    found = read_study_folder(folder)
    if found.name != plan.name:
        raise ValueError(
            f"--publish names a folder of this study, or a new one; {folder} holds the study "
            f"{found.name!r}, not {plan.name!r}"
        )
    for name, arm in plan.study.arms.items():
        before = [*found.overrides.get(name, arm.overrides)]
        if before != [*arm.overrides]:
            raise ValueError(
                f"parts of a study have the same arms; as to {folder}, the arm {name!r} is "
                f"{' '.join(before)} there, {' '.join(arm.overrides)} here; publish them apart"
            )
    return {*found.settings["train_id"].to_pylist()}


def finish(jobs: Sequence[Job], workers: int) -> None:
    """Run jobs; SystemExit(1), and how to go on, if one failed."""
    results = run_jobs(jobs, workers)
    if any(result.status not in ("done", "skipped") for result in results):
        print("some jobs failed (see above); the same command tries them again", file=sys.stderr)
        raise SystemExit(1)


def records_of(jobs: Sequence[Job]) -> DuckDBPyRelation:
    """The episodes that these evaluations recorded."""
    ids = ", ".join(f"'{job.run_id}'" for job in jobs)
    return read_records(results_root()).filter(f"run_id in ({ids})")


def longer_configs(
    longer: Longer, controls: Sequence[TrainConfig], codes: Iterable[str]
) -> list[TrainConfig]:
    """The first agent of an arm in each of these cells, with more steps."""
    first = {config.cell: config for config in reversed(controls)}
    return [with_steps(first[code], lambda steps: longer.times * steps) for code in codes]


def with_longer_curve(plan: Plan) -> set[str]:
    """Codes of the cells of which the published folder has such an agent: it stays the first."""
    there = read_json(plan.published / LONGER) if plan.published else None
    return {code for code, curve in (there or {}).items() if curve}


def with_steps(config: TrainConfig, change: Callable[[int], int]) -> TrainConfig:
    """The same with another number of PPO's steps, made from its own."""
    settings = config.agent.settings
    changed = replace(settings, total_steps=change(settings.total_steps))
    return replace(config, agent=replace(config.agent, settings=changed))


def unlearned(
    records: DuckDBPyRelation, controls: Sequence[TrainConfig], below: float
) -> list[str]:
    """Codes of the cells where the competent agents of an arm stay below this share of the
    planner's success on their own distribution, or where there are none."""
    arms = {
        (c.cell, c.agent.method, c.intervention.diversity, c.intervention.specification)
        for c in controls
    }
    rows = [row for row in rates_table(records) if (row.cell, row.method, row.d, row.q) in arms]
    return sorted(
        {
            row.cell
            for row in rows
            if row.train_distribution == row.cell
            and row.population == "competent"
            and not row.own_success >= below * row.planner_own_success
        }
    )
