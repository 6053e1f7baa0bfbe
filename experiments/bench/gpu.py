"""`misgen bench gpu`: trained steps and agents per hour of populations on a GPU, beside plain
Stable-Baselines3 there; where the time goes; memory."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from misgen.agents.device import Device, largest_population
from misgen.agents.population import Population
from misgen.agents.settings import PPOSettings
from misgen.envs.families import find_cell
from misgen.experiments.bench.command import Task, in_process, measure, measure_topic, title
from misgen.experiments.bench.train import (
    CELLS,
    advancing,
    named_table,
    sb3_steps,
    shares_of_time,
    steps_table,
    training_env,
)
from misgen.experiments.cli import Parser
from misgen.experiments.provenance import usable_cores
from misgen.experiments.runs.train import check_gpu

DEVICE = Device.of("cuda", is_bf16=True)
PARTS: dict[str, tuple[Sequence[tuple[str, str]], Sequence[int]]] = {
    "planes": ([(code, "planes") for code in CELLS], (1, 4, 16, 64, 256)),
    "pictures": ([("C2", "rgb64")], (1, 4, 16, 64)),
}
"""What is measured in one go, in minutes: cells and modes, and sizes of populations."""


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for wrong arguments and without a GPU."""
    parser = Parser(prog="misgen bench gpu", description=__doc__)
    text = "which networks: planes = flat, pictures = IMPALA on 64 x 64 x 3"
    parser.add_argument("part", choices=[*PARTS], help=text)
    return measure_topic(parser, argv, 2.0, 3, bench_gpu, format_report)


def bench_gpu(options: argparse.Namespace) -> dict[str, Any]:
    """Everything measured in a part, as JSON data."""
    check_gpu()
    shown, numbers = PARTS[options.part]
    tasks: list[Task] = []
    populations: dict[str, Population] = {}
    for code, mode in shown:
        settings = PPOSettings(gamma=find_cell(code)[0].gamma, total_steps=10**9)
        plain = sb3_steps(code, mode, settings, DEVICE.name)
        tasks.append(Task("SB3 PPO", code, mode, 1, in_process(plain, clock)))
        for number in fitting(code, mode, settings, numbers):
            envs = [training_env(code, mode, settings, seed) for seed in range(number)]
            same = [settings] * number
            population = Population(envs, same, range(number), DEVICE, usable_cores())
            work = in_process(advancing(population), clock)
            tasks.append(Task("misgen PPO", code, mode, number, work))
            populations[f"{code} K={number}"] = population
    results = measure(tasks, options.seconds, options.rounds)
    return {
        "part": options.part,
        "precision": "bfloat16" if DEVICE.is_bf16 else "float32",
        "results": [{**r, "budget_steps": find_cell(r["family"])[0].total_steps} for r in results],
        "split": {name: time_split(one, options.seconds) for name, one in populations.items()},
    }


def fitting(code: str, mode: str, settings: PPOSettings, numbers: Sequence[int]) -> Iterator[int]:
    """The sizes of populations that have room, in what is free now."""
    from misgen.agents.networks import architecture_for

    architecture = architecture_for(settings, training_env(code, mode, settings, 0))
    largest = largest_population(architecture, settings, DEVICE)
    return (number for number in numbers if number <= largest)


def clock() -> float:
    """Seconds, once the GPU has done what it was given."""
    if DEVICE.name == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def time_split(population: Population, seconds: float) -> dict[str, float]:
    """Shares of the time of a training, each part waited for; the share of a rollout in which the
    GPU waited for environments when nothing else waits for it; and memory."""
    population.advance()
    waiting = []
    for _ in range(3):
        population.advance()
        waiting.append(population.collector.waiting_frac)
    parts = {
        "environments": (population.collector, "each"),
        "transfer": (population.collector.memory, "send"),
        "rollout": (population.collector, "collect"),
    }
    shares = shares_of_time(population, parts, clock, seconds)
    inside = shares["environments"] + shares["transfer"]
    return {
        "environments": shares["environments"],
        "transfer": shares["transfer"],
        "acting and the rest": shares["rollout"] - inside,
        "update": 1 - shares["rollout"],
        "GPU waits, of a rollout": sum(waiting) / len(waiting),
        "peak memory, GiB": peak_bytes() / 2**30,
    }


def peak_bytes() -> int:
    """The most memory of the GPU that torch has used since the last call."""
    if DEVICE.name != "cuda":
        return 0
    most = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return int(most)


def format_report(report: dict[str, Any]) -> str:
    gpu = report["machine"]["gpu"]
    note = "agents/h: with the family's default budget, without evaluation"
    steps = steps_table(report["results"], "trained steps/s", note)
    split = named_table(report["split"], "share of the time")
    heading = f"{gpu}, {report['precision']}; {title(report)}"
    return "\n\n".join([heading, steps, split]) + "\n"
