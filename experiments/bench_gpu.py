"""`misgen bench gpu`: trained steps and agents per hour of populations on a GPU, beside plain
Stable-Baselines3 there; where the time goes; memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from misgen.agents.device import Device, largest_population
from misgen.agents.population import Population
from misgen.agents.settings import PPOSettings
from misgen.analysis.text import aligned
from misgen.envs.families import find_cell
from misgen.experiments.bench_measure import (
    Task,
    circumstances,
    in_process,
    measure,
    parse_options,
    title,
)
from misgen.experiments.bench_train import CELLS, budget, sb3_steps, steps_table, training_env
from misgen.experiments.cli import Parser
from misgen.experiments.provenance import usable_cores
from misgen.experiments.run_folder import write_json
from misgen.experiments.train import check_gpu

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
    options = parse_options(parser, argv, 2.0, 3)
    check_gpu()
    report = bench_gpu(options.part, options.seconds, options.rounds)
    print(format_report(report), end="")
    if options.json:
        write_json(Path(options.json), report)
    return 0


def bench_gpu(part: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Everything measured in a part, as JSON data."""
    shown, numbers = PARTS[part]
    tasks: list[Task] = []
    populations: dict[str, Population] = {}
    for code, mode in shown:
        settings = settings_of(code)
        plain = sb3_steps(code, mode, settings, DEVICE.name)
        tasks.append(Task("SB3 PPO", code, mode, 1, in_process(plain, clock)))
        for number in fitting(code, mode, settings, numbers):
            envs = [training_env(code, mode, settings, seed) for seed in range(number)]
            same = [settings] * number
            population = Population(envs, same, range(number), DEVICE, usable_cores())
            tasks.append(Task("misgen PPO", code, mode, number, trained_steps(population)))
            populations[f"{code} K={number}"] = population
    results = measure(tasks, seconds, rounds)
    return {
        **circumstances(seconds, rounds),
        "part": part,
        "precision": "bfloat16" if DEVICE.is_bf16 else "float32",
        "results": [{**r, "budget_steps": budget(r["family"])} for r in results],
        "split": {name: time_split(one, seconds) for name, one in populations.items()},
    }


def settings_of(code: str) -> PPOSettings:
    """Those of a cell's family, without an end."""
    return PPOSettings(gamma=find_cell(code)[0].gamma, total_steps=10**9)


def fitting(code: str, mode: str, settings: PPOSettings, numbers: Sequence[int]) -> Iterator[int]:
    """The sizes of populations that have room, in what is free now."""
    from misgen.agents.networks import architecture_for

    architecture = architecture_for(settings, training_env(code, mode, settings, 0))
    largest = largest_population(architecture, settings, DEVICE)
    return (number for number in numbers if number <= largest)


def trained_steps(population: Population) -> Callable[[float], float]:
    def work() -> int:
        population.advance()
        return population.size * len(population.envs)

    return in_process(work, clock)


def clock() -> float:
    """Seconds, once the GPU has done what it was given."""
    if DEVICE.name == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def time_split(population: Population, seconds: float) -> dict[str, float]:
    """Shares of the time of a training, each part waited for; the share of a rollout in which the
    GPU waited for environments when nothing else waits for it; and memory."""
    population.advance()
    waiting = [_waiting(population) for _ in range(3)]
    spent = dict.fromkeys(("environments", "transfer", "rollout"), 0.0)

    def timed(owner: Any, method: str, share: str) -> None:
        inner = getattr(owner, method)

        def run(*args: Any) -> Any:
            start = clock()
            try:
                return inner(*args)
            finally:
                spent[share] += clock() - start

        setattr(owner, method, run)

    timed(population.collector, "each", "environments")
    timed(population.collector.memory, "send", "transfer")
    timed(population.collector, "collect", "rollout")
    start = clock()
    while (whole := clock() - start) < seconds:
        population.advance()
    shares = {name: part / whole for name, part in spent.items()}
    inside = shares["environments"] + shares["transfer"]
    return {
        "environments": shares["environments"],
        "transfer": shares["transfer"],
        "acting and the rest": shares["rollout"] - inside,
        "update": 1 - shares["rollout"],
        "GPU waits, of a rollout": sum(waiting) / len(waiting),
        "peak memory, GiB": peak_bytes() / 2**30,
    }


def _waiting(population: Population) -> float:
    population.advance()
    return population.collector.waiting_frac


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
    split = report["split"]
    names = [*next(iter(split.values()))]
    lines = [[name, *(f"{own[name]:.3g}" for own in split.values())] for name in names]
    heading = f"{gpu}, {report['precision']}; {title(report)}"
    return "\n\n".join([heading, steps, aligned(["share of the time", *split], lines)]) + "\n"
