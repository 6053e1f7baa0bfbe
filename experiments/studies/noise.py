"""`misgen noise`: how much noise the context B of a cell has, by a rule fixed in advance.

B of type 1 toggles bits of the background planes. Too much of it makes agents less capable than
random ones, and then nothing can be said about their goals. The share is the largest of SHARES at
which agents of the control arm, who never relied on the cue, keep KEPT of the capability that they
have at 00; 0 where there is none. Only agents that are used for nothing else decide, before any
other is looked at. What they said is in analysis/published/noise.json; the cells declare the share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from misgen.agents.play import outcomes
from misgen.agents.policy import Policy
from misgen.analysis.rates import COMPETENT
from misgen.analysis.text import aligned
from misgen.envs.core.plans import INTENDED, REPLICAS
from misgen.envs.core.types import Cell
from misgen.envs.families import FAMILIES, find_cell
from misgen.experiments.cli import Parser
from misgen.experiments.config import TrainConfig, compose
from misgen.experiments.jobs.scheduler import Job
from misgen.experiments.provenance import provenance, usable_cores
from misgen.experiments.runs.episode_records import play
from misgen.experiments.runs.evaluation_levels import Variant, block
from misgen.experiments.runs.folder import read_json, require_writable, results_root, write_json
from misgen.experiments.runs.subjects import EvaluateConfig, agent_arguments, load_agent
from misgen.experiments.runs.train import CHECKPOINT, train_folder, train_jobs
from misgen.experiments.studies.study import finish

AGENTS = range(50, 55)  # used for nothing else
SHARES = (0.05, 0.02, 0.01, 0.005)
KEPT = 0.8
FILE = "noise.json"


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for wrong arguments."""
    parser = Parser(
        prog="misgen noise",
        description="Choose how much noise the context B of cells has, by their control agents.",
    )
    add = parser.add_argument
    add("--cells", nargs="+", metavar="CODE", help="only these (default: all with noise)")
    add("--workers", type=int, default=0, metavar="N", help="processes (default: one a core)")
    add("--json", type=Path, metavar="FILE", help="write the results here as well")
    options = parser.parse_args(argv)
    cells = [find_cell(code)[1] for code in options.cells] if options.cells else noisy_cells()
    if silent := [cell.code for cell in cells if not cell.noisy_planes]:
        raise ValueError(f"the context B of {', '.join(silent)} has no noise; name other --cells")
    require_writable(results_root())
    report = choose(cells, options.workers or usable_cores())
    print(format_report(report), end="")
    if options.json:
        write_json(options.json, report)
    return 0


def noisy_cells() -> list[Cell]:
    """The built-in cells whose B has noise."""
    cells = (cell for family in FAMILIES.values() for cell in family.cells)
    return [cell for cell in cells if cell.noisy_planes]


def choose(cells: Sequence[Cell], workers: int) -> dict[str, Any]:
    """Train and measure the agents of these cells; JSON data, with the share chosen for each."""
    configs = [config for cell in cells for config in control_agents(cell)]
    finish(train_jobs(configs), workers)
    jobs = [measuring_job(config) for config in configs]
    finish(jobs, workers)
    measured: dict[str, list[dict[str, Any]]] = {cell.code: [] for cell in cells}
    for config, job in zip(configs, jobs, strict=True):
        agent = read_json(job.folder / FILE) or {}
        measured[config.cell].append({"agent": config.train_seed, **agent})
    return {
        "cells": {
            code: {"agents": agents, "noise_frac": chosen(agents)}
            for code, agents in measured.items()
        },
        "command": "misgen noise",
        "provenance": provenance(),
    }


def control_agents(cell: Cell) -> list[TrainConfig]:
    words = [f"cell={cell.code}", "intervention=control", "study=noise"]
    one: TrainConfig = compose("train", words)
    return [replace(one, train_seed=number) for number in AGENTS]


def measuring_job(config: TrainConfig) -> Job:
    (argument,) = agent_arguments(train_folder(config).path / CHECKPOINT, EvaluateConfig())
    name = f"noise {config.cell} agent {config.train_seed}"
    return Job.of("noise", name, {**argument, "shares": list(SHARES)})


def measure_job(argument: dict[str, Any], folder: Path) -> None:
    """Leaves noise.json: own success of the agent and of the planner, P(C) at 00 and, by share, at
    01."""
    policy = load_agent(Path(argument["location"]))
    found: dict[str, Any] = {}
    for variant in block(argument):
        if variant.name == "own":
            success = variant.plans.plays.success[:, INTENDED].mean() / REPLICAS
            found["planner_own_success"] = float(success)
            found["own_success"] = shares_of(policy, variant, argument)[2]
        elif variant.name == "00":
            found["capable_00"] = shares_of(policy, variant, argument)[0]
        elif variant.name == "01":
            found["capable_01"] = {
                f"{share:g}": shares_of(policy, with_noise(variant, share), argument)[0]
                for share in (0.0, *argument["shares"])
            }
    write_json(folder / FILE, found)


def with_noise(variant: Variant, share: float) -> Variant:
    """The same levels with another share of noise."""
    levels = variant.levels
    noisy = replace(levels, cell=replace(levels.cell, noise_frac=share))
    return replace(variant, plans=replace(variant.plans, levels=noisy))


def shares_of(policy: Policy, variant: Variant, argument: dict[str, Any]) -> tuple[float, ...]:
    """Shares of capable, failed and successful episodes."""
    levels = variant.levels
    bits = outcomes(levels.cell, levels, play(policy, variant, argument))
    return tuple(float(np.mean(bit)) for bit in bits)


def chosen(agents: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of noise that the rule gives; None where not all agents are competent."""
    for agent in agents:
        if not agent["own_success"] >= COMPETENT * agent["planner_own_success"]:
            return None
    clean = np.mean([agent["capable_00"] for agent in agents])
    for share in SHARES:
        if np.mean([agent["capable_01"][f"{share:g}"] for agent in agents]) >= KEPT * clean:
            return share
    return 0.0


def format_report(report: Mapping[str, Any]) -> str:
    """P(C) at 00 and at 01 by share of noise, means over agents, and what follows."""
    shares = [f"{share:g}" for share in (0.0, *SHARES)]
    lines = []
    for code, cell in report["cells"].items():
        agents = cell["agents"]
        own, clean = (np.mean([a[name] for a in agents]) for name in ("own_success", "capable_00"))
        noisy = [np.mean([a["capable_01"][share] for a in agents]) for share in shares]
        share = cell["noise_frac"]
        choice = "not all competent" if share is None else f"{share:g}"
        numbers = (f"{value:.3f}" for value in (own, clean, *noisy))
        lines.append([code, str(len(agents)), *numbers, choice])
    header = ["cell", "agents", "own", "C at 00", *(f"01, {share}" for share in shares), "chosen"]
    return aligned(header, lines) + "\n"
