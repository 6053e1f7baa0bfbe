"""The jobs of an evaluation.

Each agent is one job for each cell that it plays, normally its own. One job for each block of
levels plays the controls that depend on nothing else; afterwards one job an arm plays the
noise-matched planners, whose noise needs the arm's mean success.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.agents.description import files_of
from misgen.agents.policy import (
    ConstantPolicy,
    PlannerPolicy,
    Policy,
    RandomPolicy,
    noop_policy,
    own_policy,
)
from misgen.analysis.files import utf8
from misgen.analysis.records import FILE_NAME
from misgen.envs.core.plans import GOALS, INTENDED, REPLICAS, solve
from misgen.envs.core.types import VARIANTS, Array
from misgen.experiments.cell_choice import cell_label
from misgen.experiments.jobs.child import report_progress
from misgen.experiments.jobs.scheduler import Job
from misgen.experiments.kernels import load_kernels
from misgen.experiments.runs.episode_records import Player, play_all, write
from misgen.experiments.runs.evaluation_levels import block, own_levels, quadruples
from misgen.experiments.runs.folder import (
    RunFolder,
    is_done,
    read_json,
    remove_run,
    results_root,
    run_folders,
    write_json,
)
from misgen.experiments.runs.subjects import arm_of, cell_of, family_of, is_at_home, load_agent


def evaluation_jobs(arguments: Sequence[dict[str, Any]]) -> list[Job]:
    """One job for each subject and cell, one for the controls of each block of levels in the
    subjects' own cells, and one for each arm's noise-matched planners.

    Jobs of one block stand together, its controls before the agents of the block before it: they
    are likely to have solved the levels (evaluation_levels.py) when the agents play them.
    """
    blocks: dict[str, Job] = {}
    playing, arms = defaultdict(list), defaultdict(list)
    for argument in sorted(arguments, key=lambda each: each["subject"]["agent_number"]):
        number = argument["subject"]["agent_number"]
        name = f"evaluate {_label(argument)} agent {number}"
        cell = cell_label(family_of(argument), cell_of(argument))
        block = f"controls {cell}{_mode(argument)} block {number}"
        if is_at_home(argument):
            playing[block].append(Job.of("evaluate", name, argument))
            arms[arm_of(argument)].append(playing[block][-1])
            blocks[block] = Job.of("controls", block, controls_argument(argument))
        else:
            name += f" in {argument['cell']}"
            playing[block].append(Job.of("evaluate", name, argument))
    jobs: list[Job] = []
    for block, next_one in zip(playing, [*[*playing][1:], ""], strict=True):
        ahead = (blocks.pop(name, None) for name in (block, next_one))
        jobs += [*filter(None, ahead), *playing[block]]
    for members in arms.values():
        argument = {"members": [job.argument for job in members], "kind": "matched"}
        name = f"match noise {_label(members[0].argument)}"
        after = tuple(member.name for member in members)
        jobs.append(Job.of("matched", name, argument, after=after))
    return jobs


def controls_argument(argument: Mapping[str, Any]) -> dict[str, Any]:
    """The job argument of the controls on the levels that a subject plays: nothing of it depends
    on how the subject was made, so arms share it."""
    number = argument["subject"]["agent_number"]
    nobody = {"method": "control", "d": 0.0, "q": 1.0, "train_seed": number, "steps": 0}
    return {
        **argument,
        "subject": {**argument["subject"], **nobody, "identity": ""},
        "setting": "",
        "study": "",
        "checkpoints": [],
        "location": "",
    }


def _label(argument: dict[str, Any]) -> str:
    subject = argument["subject"]
    family = family_of(argument)
    cell = cell_label(family, family.cell(subject["cell"]))
    q = "" if subject["q"] == 1 else f" q={subject['q']:g}"
    arm = f"{cell} {subject['method']} d={subject['d']:g}{q}{_mode(argument)}"
    return f"{arm} ({argument['setting'][:4]})"


def _mode(argument: dict[str, Any]) -> str:
    mode = argument["subject"]["observation_mode"]
    return "" if mode == "planes" else f" {mode}"


def warm(argument: Mapping[str, Any]) -> None:
    """Import and load what evaluating by `argument` needs."""
    importlib.import_module("misgen.agents.checkpoint")
    pa.array([0])  # imports pandas, where it is installed
    subject = argument["subject"]
    if ":" not in subject["family"]:  # a user's own file is executed by its job
        load_kernels(subject["family"], argument["cell"], subject["observation_mode"])


def evaluate_job(argument: dict[str, Any], folder: Path) -> None:
    """Play the subject on its block; leaves episodes.parquet.

    Two controls accompany it on its own distribution, whose levels depend on its d.
    """
    agents = load_agents(argument)
    parts: list[dict[str, Any]] = []
    total = len(VARIANTS) + is_at_home(argument)
    for number, variant in enumerate(block(argument)):
        players = [*agents]
        if variant.name == "own":
            players += [Player(PlannerPolicy(variant.plans, "intended")), Player(RandomPolicy())]
        parts += play_all(players, variant, argument, folder)
        report_progress(folder, number + 1, total, f"variant {variant.name}")
    write(parts, family_of(argument), folder)
    final_only = RunFolder(results_root(), "evaluate", {**argument, "checkpoints": []}).path
    if final_only != folder:
        remove_run(final_only)  # all of it is in this run, too


def controls_job(argument: dict[str, Any], folder: Path) -> None:
    """Play planners, random, no-op and constant policies on a block; leaves episodes.parquet."""
    parts: list[dict[str, Any]] = []
    for number, variant in enumerate(quadruples(argument)):
        family, cell = variant.levels.family, variant.levels.cell
        planners = [PlannerPolicy(variant.plans, goal) for goal in cell.goals]
        constant = [ConstantPolicy(a) for a in range(len(family.actions)) if a != family.noop]
        policies: list[Policy] = [*planners, RandomPolicy(), noop_policy(family), *constant]
        parts += play_all([Player(policy) for policy in policies], variant, argument, folder)
        report_progress(folder, number + 1, len(VARIANTS), f"variant {variant.name}")
    write(parts, family_of(argument), folder)


def load_agents(argument: dict[str, Any]) -> list[Player]:
    """The subject, and its earlier checkpoints if they are wanted."""
    location, family = argument["location"], family_of(argument)
    is_own = ":" in location and not files_of(location)[1].is_file()
    policy = own_policy(location) if is_own else load_agent(Path(location), family)
    agents = [Player(policy, "agent")]
    for earlier in argument["checkpoints"]:
        policy = load_agent(Path(location).with_name(earlier["name"]), family)
        agents.append(Player(policy, "agent", steps=earlier["steps"]))
    return agents


# --- Planners as unskilled as the agents of an arm -----------------------------------------------

EPSILONS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)


def matched_job(argument: dict[str, Any], folder: Path) -> None:
    """Planners with the share of random actions that gives the intended one the arm's success on
    its own levels; leaves matched.json and episodes.parquet."""
    members = argument["members"]
    target = float(np.mean([own_success(member) for member in members]))
    success = np.mean([own_curve(member) for member in members], axis=0)
    epsilon = fit_epsilon(success, target)
    fit = {
        "target_success": target,
        "epsilon": epsilon,
        "epsilons": list(EPSILONS),
        "planner_success": success.tolist(),
    }
    write_json(folder / "matched.json", fit)
    parts: list[dict[str, Any]] = []
    for number, member in enumerate(members):
        for variant in block(member):
            players = [
                Player(PlannerPolicy(variant.plans, goal, epsilon), name=f"noisy_{goal}")
                for goal in GOALS
            ]
            parts += play_all(players, variant, member, folder)
        report_progress(folder, number + 1, len(members))
    write(parts, family_of(members[0]), folder)
    _remove_superseded(folder, members)


def own_success(argument: dict[str, Any]) -> float:
    """The subject's success on held-out levels of its own training distribution."""
    path = RunFolder(results_root(), "evaluate", argument).path / FILE_NAME
    wanted = {"variant": "own", "role": "agent", "checkpoint_step": argument["subject"]["steps"]}
    table = pq.read_table(utf8(path), columns=[*wanted, "success"])
    return float(
        np.mean([row["success"] for row in table.to_pylist() if wanted.items() <= row.items()])
    )


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
