"""Planners as unskilled as the agents of an arm: with the share of random actions that gives the
intended one the arm's success on its own levels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from misgen.agents.policy import PlannerPolicy
from misgen.analysis.files import utf8
from misgen.analysis.records import FILE_NAME
from misgen.envs.core.plans import GOALS, INTENDED, REPLICAS, solve
from misgen.envs.core.types import Array
from misgen.experiments.episode_records import Player, play_all, write
from misgen.experiments.evaluation_levels import block, own_levels
from misgen.experiments.jobs_child import report_progress
from misgen.experiments.run_folder import (
    RunFolder,
    is_done,
    read_json,
    remove_run,
    results_root,
    run_folders,
    write_json,
)
from misgen.experiments.subjects import arm_of, family_of

EPSILONS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)


def matched_job(argument: dict[str, Any], folder: Path) -> None:
    """Planners whose noise gives the intended one the arm's own-distribution success."""
    members = argument["members"]
    goal = float(np.mean([own_success(member) for member in members]))
    curves = [own_curve(member) for member in members]
    success = np.mean(curves, axis=0)
    epsilon = fit_epsilon(success, goal)
    fit = {
        "target_success": goal,
        "epsilon": epsilon,
        "epsilons": list(EPSILONS),
        "planner_success": success.tolist(),
    }
    write_json(folder / "matched.json", fit)
    parts: list[dict[str, Any]] = []
    for number, member in enumerate(members):
        for variant in block(member):
            planners = {goal: PlannerPolicy(variant.plans, goal, epsilon) for goal in GOALS}
            players = [Player(planner, name=f"noisy_{goal}") for goal, planner in planners.items()]
            parts += play_all(players, variant, member, folder)
        report_progress(folder, number + 1, len(members))
    write(parts, family_of(members[0]), folder)
    _remove_superseded(folder, members)


def own_success(argument: dict[str, Any]) -> float:
    """The subject's success on held-out levels of its own training distribution."""
    import pyarrow.parquet as pq

    path = RunFolder(results_root(), "evaluate", argument).path / FILE_NAME
    table = pq.read_table(utf8(path), columns=["variant", "role", "checkpoint_step", "success"])
    wanted = ("own", "agent", argument["subject"]["steps"])
    own = [success for *row, success in zip(*table.to_pydict().values(), strict=True)
           if tuple(row) == wanted]  # fmt: skip
    return float(np.mean(own))


def own_curve(argument: dict[str, Any]) -> Array:
    """Success of the noisy intended planner on the subject's own levels, float64 [EPSILONS]."""
    levels, horizon = own_levels(argument)
    plans = solve(levels, horizon, EPSILONS, argument["eval_seed"])
    curve: Array = plans.plays.success[:, INTENDED].mean(axis=0) / REPLICAS
    return curve


def fit_epsilon(success: Array, goal: float) -> float:
    """The smallest share of random actions at which the success curve over EPSILONS has fallen to
    `goal`; a planner that hardly notices the noise is not given more than that takes."""
    falling = np.minimum.accumulate(success)
    if goal >= falling[0]:
        return 0.0
    if goal < falling[-1]:
        return EPSILONS[-1]
    after = int(np.argmax(falling <= goal))  # the first point at or below the goal
    share = (falling[after - 1] - goal) / (falling[after - 1] - falling[after])
    return float(EPSILONS[after - 1] + share * (EPSILONS[after] - EPSILONS[after - 1]))


def _remove_superseded(folder: Path, members: Sequence[dict[str, Any]]) -> None:
    """Finished matches of the same arm with no other agents: these make them obsolete."""
    for other in run_folders(results_root(), "matched"):
        config = read_json(other / "config.json") if other != folder and is_done(other) else None
        if config is None or arm_of(config["members"][0]) != arm_of(members[0]):
            continue
        numbers = {member["subject"]["identity"] for member in config["members"]}
        if numbers <= {member["subject"]["identity"] for member in members}:
            remove_run(other)
