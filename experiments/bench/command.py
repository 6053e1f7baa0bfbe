"""`misgen bench TOPIC`: measure speed on this machine, in tasks that take turns."""

import argparse
import importlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from misgen.analysis.text import hint
from misgen.experiments.cli import Parser
from misgen.experiments.provenance import machine_kind, utc_now, versions
from misgen.experiments.runs.folder import write_json

TOPICS = {
    "envs": "steps per second of one core, level generation, planning, memory",
    "train": "trained steps and agents per hour, beside Stable-Baselines3",
    "gpu": "the same of populations of agents on a GPU",
    "risk": "draws per second of the risk model, all domains and periods",
}
"""Topic -> what is measured, by `main(arguments)` of `misgen.experiments.bench.TOPIC`."""


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for an unknown topic or wrong arguments."""
    if not argv or argv[0] in ("-h", "--help"):
        lines = [f"  {name:<8}{what}" for name, what in TOPICS.items()]
        print("\n".join(["misgen bench TOPIC", *lines, "`misgen bench TOPIC --help` explains it."]))
        return 0
    topic, *arguments = argv
    if topic not in TOPICS:
        raise ValueError(f"bench has no topic {topic!r}; {hint(topic, TOPICS)}")
    return int(importlib.import_module(f"misgen.experiments.bench.{topic}").main(arguments))


# --- Tasks in turn -------------------------------------------------------------------------------

Work = Callable[[], int]  # does some work and says how much: steps, levels, plans


@dataclass(frozen=True)
class Task:
    """Something to measure: `rate(seconds)` = units of work per CPU-second of one core."""

    name: str
    family: str
    mode: str
    batch: int
    rate: Callable[[float], float]


def measure_topic(
    parser: Parser,
    argv: list[str],
    seconds: float,
    rounds: int,
    bench: Callable[[argparse.Namespace], dict[str, Any]],
    as_text: Callable[[dict[str, Any]], str],
) -> int:
    """Show what a topic measures in rounds: JSON data by its options, of which these are defaults.

    Returns exit code 0. Raises ValueError for wrong arguments.
    """
    add = parser.add_argument
    add("--json", metavar="FILE", help="write the results here as well")
    text = f"CPU time per round and line (default: {seconds:g})"
    add("--seconds", type=float, default=seconds, help=text)
    add("--rounds", type=int, default=rounds, help=f"default: {rounds}")
    options = parser.parse_args(argv)
    if options.seconds <= 0 or options.rounds < 1:
        raise ValueError(
            "--seconds is above 0 and --rounds at least 1; "
            f"got {options.seconds:g} and {options.rounds}"
        )
    found = bench(options)
    report = {**here_and_now(), "seconds": options.seconds, "rounds": options.rounds, **found}
    print(as_text(report), end="")
    if options.json:
        write_json(Path(options.json), report)
    return 0


def here_and_now() -> dict[str, Any]:
    """When and where, as JSON data."""
    return {
        "date": utc_now(),
        "machine": machine_kind(),
        "load": list(os.getloadavg()),
        "versions": versions(),
    }


def title(report: dict[str, Any]) -> str:
    """When, where and how long was measured, in a line."""
    machine = report["machine"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, load {report['load'][0]:.1f}; "
        f"{report['date']}; median [range] of {report['rounds']} rounds"
    )


def measure(tasks: Sequence[Task], seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Units (steps, levels, plans) per CPU-second of one core, median and range over rounds: all
    tasks in turn, `rounds` times, so that a slow minute of the machine hits them all."""
    rates: list[list[float]] = [[] for _ in tasks]
    for number in range(rounds):
        for task, own in zip(tasks, rates, strict=True):
            own.append(task.rate(seconds))
            _progress(f"round {number + 1}/{rounds}  {task.name} {task.family} {task.mode}")
    _progress("")
    return [
        {
            **{"name": t.name, "family": t.family, "mode": t.mode, "batch": t.batch},
            **{"median": statistics.median(own), "low": min(own), "high": max(own)},
        }
        for t, own in zip(tasks, rates, strict=True)
    ]


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)


def in_process(
    work: Work, clock: Callable[[], float] = time.process_time
) -> Callable[[float], float]:
    """The rate of some work in this process, by a clock, once it is warm."""
    work()

    def rate(seconds: float) -> float:
        work()
        done, start = 0, clock()
        while (spent := clock() - start) < seconds:
            done += work()
        return done / spent

    return rate


def spread(result: dict[str, Any]) -> list[str]:
    """Median and range of a result of `measure`, as text."""
    return [
        short_rate(result["median"]),
        f"[{short_rate(result['low'])}, {short_rate(result['high'])}]",
    ]


def short_rate(rate: float) -> str:
    """Three digits: 12.3 M, 456 k, 78.9."""
    for size, unit in ((1e6, " M"), (1e3, " k"), (1, "")):
        if rate >= size:
            digits = 2 if rate < 10 * size else 1 if rate < 100 * size else 0
            return f"{rate / size:.{digits}f}{unit}"
    return f"{rate:.3g}"
