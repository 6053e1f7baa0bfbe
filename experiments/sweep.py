"""A sweep of `misgen train -m`: many overrides in, trained agents out."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from misgen.experiments.composition import composed_once
from misgen.experiments.config import TrainConfig
from misgen.experiments.jobs import run_jobs
from misgen.experiments.jobs_display import say
from misgen.experiments.kernels import compile_rules
from misgen.experiments.provenance import usable_cores
from misgen.experiments.run_folder import is_done, read_json, results_root
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


def launch(configs: Sequence[TrainConfig], n_jobs: int, dry_run: bool = False) -> list[float]:
    """Train those that are not there yet, `n_jobs` at a time (0 = one a core); the success of each
    in its last rollout, NaN where there is none.

    Raises:
        SystemExit: 1, runs have failed; the others are there.
    """
    unique = {train_folder(config).path: config for config in configs}
    missing = [config for path, config in unique.items() if not is_done(path)]
    say(f"sweep: {len(unique)} runs, {len(unique) - len(missing)} done before")
    if dry_run:
        _list(missing, n_jobs or usable_cores())
        return [float("nan")] * len(configs)
    remember("", dict(zip((path.name.removeprefix("run=") for path in unique),
                          arm_names([*unique.values()]), strict=True)))  # fmt: skip
    failed = []
    if missing:
        workers = n_jobs or usable_cores()
        compile_rules(sorted({(one.family, one.cell) for one in missing}), workers)
        results = run_jobs(train_jobs(missing), workers)
        failed = [result for result in results if result.status not in ("done", "skipped")]
    if failed:
        print(
            f"{len(failed)} of {len(unique)} runs failed (see above); the same command tries them "
            "again",
            file=sys.stderr,
        )
        raise SystemExit(1)
    say(f"sweep: all {len(unique)} runs are done, in {results_root()}")
    return [_success(config) for config in configs]


def _list(missing: Sequence[TrainConfig], workers: int) -> None:
    """What would be trained."""
    for config, name in [*zip(missing, run_names(missing), strict=True)][:SHOWN]:
        print(f"  {name}  {train_folder(config).path.name}")
    if len(missing) > SHOWN:
        print(f"  and {len(missing) - SHOWN} more")
    steps = sum(config.agent.settings.total_steps for config in missing)
    print(f"dry run: {len(missing)} runs, {steps:,} steps of PPO, {workers} at a time; nothing ran")


def _success(config: TrainConfig) -> float:
    found = read_json(train_folder(config).path / "train.json") or {}
    return float(found.get("final_success_rate", "nan"))
