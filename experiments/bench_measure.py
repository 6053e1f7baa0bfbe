"""How speed is measured: tasks in turn, each by the CPU time of one core; and the circumstances."""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from misgen.experiments.cli import Parser
from misgen.experiments.provenance import machine_kind, versions

Work = Callable[[], int]  # does some work and says how much: steps, levels, plans


@dataclass(frozen=True)
class Task:
    """Something to measure: `rate(seconds)` = units of work per CPU-second of one core."""

    name: str
    family: str
    mode: str
    batch: int
    rate: Callable[[float], float]


def parse_options(
    parser: Parser, argv: list[str], seconds: float, rounds: int
) -> argparse.Namespace:
    """The options of a topic that measures tasks in rounds, with these defaults. ValueError for
    senseless numbers."""
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
    return options


def circumstances(seconds: float, rounds: int) -> dict[str, Any]:
    """When, where and how long was measured, as JSON data."""
    return {**here_and_now(), "seconds": seconds, "rounds": rounds}


def here_and_now() -> dict[str, Any]:
    """When and where, as JSON data."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_kind(),
        "load": list(os.getloadavg()),
        "versions": versions(),
    }


def title(report: dict[str, Any]) -> str:
    """The `circumstances` of a report, in a line."""
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
    spread = [{"median": statistics.median(r), "low": min(r), "high": max(r)} for r in rates]
    return [
        {"name": t.name, "family": t.family, "mode": t.mode, "batch": t.batch, **rate}
        for t, rate in zip(tasks, spread, strict=True)
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


def short_rate(rate: float) -> str:
    """Three digits: 12.3 M, 456 k, 78.9."""
    for size, unit in ((1e6, " M"), (1e3, " k"), (1, "")):
        if rate >= size:
            digits = 2 if rate < 10 * size else 1 if rate < 100 * size else 0
            return f"{rate / size:.{digits}f}{unit}"
    return f"{rate:.3g}"
