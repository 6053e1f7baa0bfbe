"""A sweep of `misgen train -m`: many overrides in, trained agents out."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from omegaconf import DictConfig

from misgen.experiments.composition import composed_once
from misgen.experiments.config import TrainConfig
from misgen.experiments.jobs import JobResult, run_jobs
from misgen.experiments.jobs_display import say
from misgen.experiments.jobs_start import Start
from misgen.experiments.kernels import compile_rules
from misgen.experiments.run_folder import id_of, is_done, results_root
from misgen.experiments.status import remember
from misgen.experiments.study import train_jobs
from misgen.experiments.train import arm_names, run_names, train_folder

SHOWN = 10  # runs that are listed one by one


def sweep_configs(overrides: Sequence[Sequence[str]]) -> list[TrainConfig]:
    """The configuration of every run. A sweeper that checks and a launcher that runs ask for the
    same ones: they are made once.

    Raises:
        ValueError: names all that are refused.
    """
    return _sweep_configs(tuple(map(tuple, overrides)))


@functools.lru_cache(1)
def _sweep_configs(overrides: tuple[tuple[str, ...], ...]) -> list[TrainConfig]:
    bases: dict[tuple[str, ...], DictConfig] = {}
    configs: list[TrainConfig] = []
    wrong: dict[str, list[str]] = {}
    for words in overrides:
        try:
            configs.append(composed_once(list(words), bases))
        except ValueError as error:
            wrong.setdefault(str(error), []).append(" ".join(words))
    if wrong:
        reasons = (f"\n  {why} ({len(runs)}, as {runs[0]})" for why, runs in wrong.items())
        raise ValueError(
            f"{len(overrides) - len(configs)} of {len(overrides)} configurations are refused, and "
            f"nothing was started:{''.join(reasons)}"
        )
    return configs


class Way(Protocol):
    """How the runs of a sweep are trained: on this machine, on a cluster."""

    def check(self) -> None:
        """ValueError where it does not work here."""

    def plan(self, missing: Sequence[TrainConfig]) -> str:
        """In words, for a dry run."""

    def train(self, missing: Sequence[TrainConfig]) -> Sequence[JobResult]:
        """Train these; what became of those that have ended."""


def launch(configs: Sequence[TrainConfig], way: Way, dry_run: bool = False) -> None:
    """Train those that are not there yet.

    Raises:
        ValueError: that way of training does not work here; nothing was started.
        SystemExit: 1, runs have failed; the others are there.
    """
    way.check()
    unique = {train_folder(config).path: config for config in configs}
    missing = _missing(unique)
    say(f"sweep: {len(unique)} runs, {len(unique) - len(missing)} done before")
    if dry_run:
        _list(missing, way)
        return
    runs = map(id_of, unique)
    remember("", dict(zip(runs, arm_names([*unique.values()]), strict=True)))
    results = way.train(missing) if missing else []
    failed = [result for result in results if result.status not in ("done", "skipped")]
    if failed:
        print(
            f"{len(_missing(unique))} of {len(unique)} runs failed (see above); the same command "
            "tries them again",
            file=sys.stderr,
        )
        raise SystemExit(1)
    if not _missing(unique):
        say(f"sweep: all {len(unique)} runs are done, in {results_root()}")


def _missing(runs: Mapping[Path, TrainConfig]) -> list[TrainConfig]:
    return [config for folder, config in runs.items() if not is_done(folder)]


def train_on_cores(
    configs: Sequence[TrainConfig], workers: int, start: Start | None = None
) -> list[JobResult]:
    """So many at a time, each in a process of its own."""
    compile_rules(sorted({(one.family, one.cell) for one in configs}), workers)
    return run_jobs(train_jobs(configs), workers, start=start)


def _list(missing: Sequence[TrainConfig], way: Way) -> None:
    """What would be trained."""
    for config, name in [*zip(missing, run_names(missing), strict=True)][:SHOWN]:
        print(f"  {name}  {train_folder(config).path.name}")
    if len(missing) > SHOWN:
        print(f"  and {len(missing) - SHOWN} more")
    learning = [one.agent.settings for one in missing if one.agent.method != "cloning"]
    steps = sum(settings.total_steps for settings in learning)
    plan = way.plan(missing) if missing else "nothing to do"
    print(f"dry run: {len(missing)} runs, {steps:,} steps of PPO, {plan}; nothing ran")
