"""What a sweeper that looks for the best is told of a run: `hydra.launcher.objective`.

How the last rollout went is known when the training ends. For any other objective the agent is
evaluated as `misgen evaluate` does it, with all controls; rates are those of its variant 11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from misgen.analysis.blocks import counts_of_blocks, read_blocks
from misgen.analysis.rates import Rates, point_rates
from misgen.analysis.text import hint
from misgen.experiments.config import TrainConfig
from misgen.experiments.evaluation_jobs import evaluation_jobs
from misgen.experiments.jobs import run_jobs
from misgen.experiments.provenance import usable_cores
from misgen.experiments.run_folder import RunFolder, is_done, read_json, results_root
from misgen.experiments.solved_blocks import forget
from misgen.experiments.study import records_of
from misgen.experiments.subjects import (
    EvaluateConfig,
    agent_arguments,
    refuse_second_evaluation,
)
from misgen.experiments.train import CHECKPOINT, train_folder

TRAINING = "training_success"
OWN = "own_success"
RATES = Rates._fields
OBJECTIVES = (TRAINING, OWN, *RATES)
VARIANT = "11"


def checked(asked: Any) -> tuple[str, ...]:
    """The names of one objective or of several; ValueError for what is none."""
    names = (asked,) if isinstance(asked, str) else tuple(asked)
    for name in names:
        if name not in OBJECTIVES:
            raise ValueError(f"there is no objective {name!r}; {hint(name, OBJECTIVES)}")
    return names


def values_of(
    configs: Sequence[TrainConfig], names: Sequence[str], num_levels: int, workers: int
) -> list[tuple[float, ...]]:
    """The objectives of each run; NaN for one that failed or where nothing is to be divided by.

    num_levels: of an evaluation, 0 = the cell's. workers: 0 = one a core.

    Raises:
        ValueError: an agent was evaluated on other levels before.
        SystemExit: 1, an evaluation failed.
    """
    folders = [train_folder(config).path for config in configs]
    found: dict[Path, dict[str, float]] = {}
    done = [folder for folder in dict.fromkeys(folders) if is_done(folder)]
    if done and set(names) - {TRAINING}:
        found = _evaluated(done, num_levels, workers)
    values = []
    for folder in folders:
        trained = (read_json(folder / "train.json") or {}) if is_done(folder) else {}
        known = {TRAINING: trained.get("final_success_rate"), **found.get(folder, {})}
        values.append(tuple(_number(known.get(name)) for name in names))
    return values


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _evaluated(
    folders: Sequence[Path], num_levels: int, workers: int
) -> dict[Path, dict[str, float]]:
    """What evaluations of these trainings say; those that are there are not repeated."""
    how = EvaluateConfig(num_levels=num_levels)
    arguments = {folder: agent_arguments(folder / CHECKPOINT, how) for folder in folders}
    everything = [one for each in arguments.values() for one in each]
    refuse_second_evaluation(everything)
    jobs = evaluation_jobs(everything)
    results = run_jobs(jobs, workers or usable_cores())
    forget()
    if any(result.status not in ("done", "skipped") for result in results):
        raise SystemExit(1)
    blocks = read_blocks(records_of(jobs), "d")
    found = {}
    for folder, (argument,) in arguments.items():
        run = RunFolder(results_root(), "evaluate", argument).id
        own = {b.variant: b for b in blocks if b.role == "agent" and b.run_id == run}
        rates = point_rates(counts_of_blocks([own[VARIANT]]))._asdict()
        found[folder] = {**rates, OWN: own["own"].solved / own["own"].episodes}
    return found
