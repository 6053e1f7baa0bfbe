"""`misgen bench envs`: steps, levels and plans per second of one core, and memory."""

import argparse
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from misgen.analysis.text import aligned
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.levels import Levels, sample_levels
from misgen.envs.core.plans import solve
from misgen.envs.families import FAMILIES
from misgen.experiments.bench.command import (
    Task,
    Work,
    in_process,
    measure,
    measure_topic,
    short_rate,
    spread,
    title,
)
from misgen.experiments.cli import Parser

ROUNDS = 5
BATCHES = (1, 32, 1024)
AMOUNT = {"rows": 64, "steps": 1000, "levels": 64, "plans": 4}
"""Work between two looks at the clock: rows of actions of a batch, steps of one environment, ..."""


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for wrong arguments."""
    parser = Parser(prog="misgen bench envs", description=__doc__)
    text = "compare with Procgen and MiniGrid (uv fetches them)"
    parser.add_argument("--peers", action="store_true", help=text)
    return measure_topic(parser, argv, 0.2, ROUNDS, bench_envs, format_report)


def bench_envs(options: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, as JSON data."""
    tasks = [task for family in FAMILIES.values() for task in family_tasks(family)]
    notes: list[str] = []
    peers = PEERS if options.peers else ()
    pairs = [task for peer in peers for pair in peer.pairs(notes) for task in pair]
    results = measure([*tasks, *pairs], options.seconds, options.rounds)
    compared = results[len(tasks) :]
    return {
        "results": results[: len(tasks)],
        "peers": [
            {"ours": ours, "peer": peer, "ratio": ours["median"] / peer["median"]}
            for ours, peer in zip(compared[::2], compared[1::2], strict=True)
        ],
        "notes": notes,
        "bytes_per_env": {
            family.name: {mode: batch_env(family, mode, 64).bytes_per_env for mode in family.modes}
            for family in FAMILIES.values()
        },
    }


def family_tasks(family: Family) -> Iterator[Task]:
    for mode in family.modes:
        for batch in BATCHES:
            rate = in_process(batch_steps(family, mode, batch))
            yield Task("BatchEnv", family.name, mode, batch, rate)
    for mode in family.modes:
        yield Task("gymnasium.Env", family.name, mode, 1, in_process(single_steps(family, mode)))
    yield Task("levels", family.name, "", 1, in_process(fresh_levels(family, AMOUNT["levels"])))
    plans = fresh_levels(family, AMOUNT["plans"], solve)  # both planners
    yield Task("plans", family.name, "", 1, in_process(plans))


def batch_env(family: Family, mode: str, batch: int) -> BatchEnv:
    distribution = family.train_distribution(family.cell(family.default_cell))
    return BatchEnv(family, distribution, batch, train_seed=0, observation_mode=mode)


def batch_steps(family: Family, mode: str, batch: int) -> Work:
    """Random actions; an environment that ends goes on in a fresh level."""
    env = batch_env(family, mode, batch)
    rng = np.random.default_rng(0)
    actions = rng.integers(len(family.actions), size=(AMOUNT["rows"], batch))
    env.reset()

    def work() -> int:
        for row in actions:
            env.step(row)
        return actions.size

    return work


def single_steps(family: Family, mode: str) -> Work:
    env = gymnasium.make(
        f"misgen.envs:{family.env_id}", observation_mode=mode, disable_env_checker=True
    )
    actions = np.random.default_rng(0).integers(len(family.actions), size=AMOUNT["steps"]).tolist()
    env.reset(seed=0)

    def work() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    return work


def fresh_levels(family: Family, n: int, use: Callable[[Levels], Any] = len) -> Work:
    """`use` of n training levels, others each time."""
    distribution = family.train_distribution(family.cell(family.default_cell))
    seeds = itertools.count(step=n)

    def work() -> int:
        use(sample_levels(family, distribution, next(seeds) + np.arange(n)))
        return n

    return work


# --- Peers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """Another project, run in an environment of its own beside ours.

    lines: (what `peers.py` runs, our family, our mode, batch).
    """

    name: str
    packages: tuple[str, ...]
    lines: tuple[tuple[str, str, str, int], ...]

    def pairs(self, notes: list[str]) -> list[tuple[Task, Task]]:
        """(ours, the peer's) to be measured in turn; a note and nothing if it cannot be run."""
        try:
            return [self._pair(*line) for line in self.lines]
        except (OSError, RuntimeError) as error:
            notes.append(f"{self.name} was not measured: {error}")
            return []

    def _pair(self, what: str, name: str, mode: str, batch: int) -> tuple[Task, Task]:
        run = partial(_run_peer, self.packages, what, batch)
        version, _ = run(0.01)
        steps = single_steps if batch == 1 else partial(batch_steps, batch=batch)
        ours = Task("ours", name, mode, batch, in_process(steps(FAMILIES[name], mode)))
        return ours, Task(f"{self.name} {version}", what, "", batch, lambda s: run(s)[1])


COINRUNS = tuple(("coinrun", "coinrun", "rgb64", batch) for batch in (64, 1024))
DOORKEYS = tuple(
    (what, "keys_and_chests", mode, 1)
    for what, mode in (("doorkey", "planes"), ("doorkey-rgb", "rgb8"))
)
PEERS = (
    Peer("Procgen", ("procgen-mirror", "numpy<2"), COINRUNS),
    Peer("MiniGrid", ("minigrid",), DOORKEYS),
)


def _run_peer(packages: Sequence[str], what: str, batch: int, seconds: float) -> tuple[str, float]:
    """Version and rate of a peer; RuntimeError with its last words if it fails."""
    command = [*_peer_python(packages), what, str(batch), str(seconds)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["it ended without a word"]
        raise RuntimeError(next((line for line in words if line.startswith("error:")), words[-1]))
    version, rate = done.stdout.split()
    return version, float(rate)


def _peer_python(packages: Sequence[str]) -> list[str]:
    """The command that runs `peers.py` where a peer's packages are."""
    uv = shutil.which("uv")
    if uv is None:
        raise RuntimeError("uv, which fetches it, is not on the PATH")
    command = [uv, "run", "--quiet", "--isolated", "--no-project", "--python", "3.11"]
    for package in packages:
        command += ["--with", package]
    # -P: this folder's module names must not hide those of the peer's packages.
    script = Path(__file__).with_name("peers.py")
    return [*command, "python", "-P", "-W", "ignore", str(script)]


# --- As text -------------------------------------------------------------------------------------


def format_report(report: dict[str, Any]) -> str:
    parts = [
        title(report),
        _steps_table([r for r in report["results"] if r["mode"]]),
        _unit_table(report),
    ]
    if report["peers"]:
        parts.append(_peers_table(report["peers"]))
    return "\n\n".join([*parts, *report["notes"]]) + "\n"


def _steps_table(results: Sequence[dict[str, Any]]) -> str:
    header = ["steps per CPU-second of one core", "mode", "batch", "median", "range"]
    lines = []
    for r in results:
        lines.append([f"{r['name']} {r['family']}", r["mode"], str(r["batch"]), *spread(r)])
    return aligned(header, lines)


def _unit_table(report: dict[str, Any]) -> str:
    header = ["family", "us per level", "ms for both plans", "bytes per environment"]
    found = {(r["name"], r["family"]): r["median"] for r in report["results"]}
    lines = []
    for name, sizes in report["bytes_per_env"].items():
        memory = ", ".join(f"{mode} {size}" for mode, size in sizes.items())
        us, ms = 1e6 / found["levels", name], 1e3 / found["plans", name]
        lines.append([name, f"{us:.3g}", f"{ms:.3g}", memory])
    return aligned(header, lines)


def _peers_table(pairs: Sequence[dict[str, Any]]) -> str:
    header = ["ours", "mode", "batch", "steps/s", "peer", "steps/s", "ours / peer"]
    lines = []
    for pair in pairs:
        ours, peer = pair["ours"], pair["peer"]
        left = [ours["family"], ours["mode"], str(ours["batch"]), short_rate(ours["median"])]
        title = f"{peer['name']} {peer['family']}"
        lines.append([*left, title, short_rate(peer["median"]), f"{pair['ratio']:.3g}"])
    return aligned(header, lines)
