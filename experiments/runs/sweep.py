"""A sweep of `misgen train -m`: many overrides in, trained agents out; how long it will take, and
what a sweeper that looks for the best is told of its runs: `hydra.launcher.objective`.

How the last rollout went is known when the training ends. For any other objective the agent is
evaluated as `misgen evaluate` does it, with all controls; rates are those of its variant 11.
"""

from __future__ import annotations

import functools
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from misgen.analysis.blocks import blocks_of_run, counts_of_blocks, read_blocks
from misgen.analysis.rates import Rates, point_rates
from misgen.analysis.text import filled, hint
from misgen.experiments.config import TrainConfig, as_dict, composed_once
from misgen.experiments.jobs.display import say
from misgen.experiments.jobs.scheduler import JobResult, run_jobs
from misgen.experiments.jobs.start import Start
from misgen.experiments.kernels import compile_rules
from misgen.experiments.provenance import usable_cores
from misgen.experiments.runs.evaluation_jobs import evaluation_jobs
from misgen.experiments.runs.evaluation_levels import forget_plans
from misgen.experiments.runs.folder import (
    id_of,
    is_done,
    read_json,
    results_root,
    run_folders,
    run_id,
)
from misgen.experiments.runs.names import arm_names, run_names
from misgen.experiments.runs.subjects import (
    EvaluateConfig,
    agent_arguments,
    refuse_second_evaluation,
)
from misgen.experiments.runs.train import CHECKPOINT, train_folder, train_jobs
from misgen.experiments.studies.status import remember
from misgen.experiments.studies.study import records_of

if TYPE_CHECKING:
    from misgen.experiments.launchers.local import LocalConf

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


def launch(configs: Sequence[TrainConfig], way: Any, conf: Any) -> None:
    """Train those that are not there yet.

    Args:
        way: see `MisgenLauncher`.
        conf: the launcher's settings.

    Raises:
        ValueError: that way of training does not work here; nothing was started.
        SystemExit: 1, runs have failed; the others are there.
    """
    way.check(conf)
    unique = {train_folder(config).path: config for config in configs}
    missing = _missing(unique)
    say(f"sweep: {len(unique)} runs, {len(unique) - len(missing)} done before")
    if conf.dry_run:
        _list(missing)
        plan = way.plan(missing, conf) if missing else "nothing to do"
        learning = [one.agent.settings for one in missing if one.agent.method != "cloning"]
        steps = sum(settings.total_steps for settings in learning)
        said = f"dry run: {len(missing)} runs, {steps:,} steps of PPO, {plan}; nothing ran"
        print(filled(said, hanging=2))
        return
    runs = map(id_of, unique)
    remember("", dict(zip(runs, arm_names([*unique.values()]), strict=True)))
    results = way.train(missing, conf) if missing else []
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


def _list(missing: Sequence[TrainConfig]) -> None:
    for config, name in [*zip(missing, run_names(missing), strict=True)][:SHOWN]:
        print(f"  {name}  {train_folder(config).path.name}")
    if len(missing) > SHOWN:
        print(f"  and {len(missing) - SHOWN} more")


# --- On the cores of this machine ----------------------------------------------------------------


def check(conf: LocalConf) -> None:
    """It works everywhere."""


def plan(missing: Sequence[TrainConfig], conf: LocalConf) -> str:
    workers = conf.n_jobs or usable_cores()
    return f"{workers} at a time: {expected(missing, workers)}"


def train(missing: Sequence[TrainConfig], conf: LocalConf) -> list[JobResult]:
    return train_on_cores(missing, conf.n_jobs or usable_cores())


def train_on_cores(
    configs: Sequence[TrainConfig], workers: int, start: Start | None = None
) -> list[JobResult]:
    """So many at a time, each in a process of its own."""
    compile_rules(sorted({(one.family, one.cell) for one in configs}), workers)
    return run_jobs(train_jobs(configs), workers, start=start)


# --- How long it will take -----------------------------------------------------------------------

STEPS_PER_S = {"ppo": 22_000, "sb3_ppo": 6_800}
"""Of one core of an AMD EPYC, means over C2 and K3: analysis/published/bench/train.json."""


def expected(configs: Sequence[TrainConfig], workers: int) -> str:
    """How long they take, so many at a time, in words, and how that is known: finished ones of
    their kind took as long."""
    took = _seconds_of_kinds()
    seconds, assumed = [], set()
    for config in configs:
        kind = _kind(as_dict(config))
        method = config.agent.method
        if kind in took:
            seconds.append(statistics.median(took[kind]))
        elif method in STEPS_PER_S:
            seconds.append(config.agent.settings.total_steps / STEPS_PER_S[method])
            assumed.add(method)
        else:
            return f"time unknown: no training by {method} of this length has finished here"
    total = max(sum(seconds) / workers, *seconds, 0.0) if seconds else 0.0
    if not assumed:
        return f"about {in_words(total)}, as finished runs like these took"
    rates = ", ".join(f"{method} {STEPS_PER_S[method]:,}" for method in sorted(assumed))
    return (
        f"about {in_words(total)} at a default rate, measured elsewhere ({rates} steps/s a core); "
        "of some no like has finished here"
    )


def in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _seconds_of_kinds() -> Mapping[Any, Sequence[float]]:
    """What finished trainings of this results folder took, by kind."""
    found = defaultdict(list)
    for folder in run_folders(results_root(), "train"):
        done = read_json(folder / "done.json") if is_done(folder) else None
        config = read_json(folder / "config.json")
        if done and config:
            found[_kind(config)].append(float(done["seconds"]))
    return found


def _kind(config: Mapping[str, Any]) -> Any:
    """Trainings of one kind take about as long: one cell seen in one way, by one method, with one
    number of steps, or of states and epochs."""
    agent = config["agent"]
    of, names = (
        ("cloning", ("num_states", "num_epochs"))
        if agent["method"] == "cloning"
        else ("settings", ("total_steps",))
    )
    size = (*(agent[of][name] for name in names), agent["settings"].get("gru_dim", 0))
    return config["family"], config["cell"], config["observation_mode"], agent["method"], size


# --- What a sweeper that looks for the best is told ----------------------------------------------

TRAINING = "training_success"
OWN = "own_success"
RATES = Rates._fields
OBJECTIVES = (TRAINING, OWN, *RATES)
VARIANT = "11"


def checked(asked: Any) -> tuple[str, ...]:
    """The names of one objective or of several; ValueError for what is none."""
    names = (asked,) if isinstance(asked, str) else tuple(asked)
    for name in names:
        if name not in OBJECTIVES:
            raise ValueError(f"there is no objective {name!r}; {hint(name, OBJECTIVES)}")
    return names


def values_of(
    configs: Sequence[TrainConfig], names: Sequence[str], num_levels: int, workers: int
) -> list[tuple[float, ...]]:
    """The objectives of each run; NaN for one that failed or where nothing is to be divided by.

    num_levels: of an evaluation, 0 = the cell's. workers: 0 = one a core.

    Raises:
        ValueError: an agent was evaluated on other levels before.
        SystemExit: 1, an evaluation failed.
    """
    folders = [train_folder(config).path for config in configs]
    found: dict[Path, dict[str, float]] = {}
    done = [folder for folder in dict.fromkeys(folders) if is_done(folder)]
    if done and set(names) - {TRAINING}:
        found = _evaluated(done, num_levels, workers)
    values = []
    for folder in folders:
        trained = (read_json(folder / "train.json") or {}) if is_done(folder) else {}
        known = {TRAINING: trained.get("final_success_rate"), **found.get(folder, {})}
        numbers = (known.get(name) for name in names)
        values.append(tuple(math.nan if each is None else float(each) for each in numbers))
    return values


def _evaluated(
    folders: Sequence[Path], num_levels: int, workers: int
) -> dict[Path, dict[str, float]]:
    """What evaluations of these trainings say; those that are there are not repeated."""
    how = EvaluateConfig(num_levels=num_levels)
    arguments = {folder: agent_arguments(folder / CHECKPOINT, how) for folder in folders}
    everything = [one for each in arguments.values() for one in each]
    refuse_second_evaluation(everything)
    jobs = evaluation_jobs(everything)
    results = run_jobs(jobs, workers or usable_cores())
    forget_plans()
    if any(result.status not in ("done", "skipped") for result in results):
        raise SystemExit(1)
    blocks = read_blocks(records_of(jobs), "d")
    found = {}
    for folder, (argument,) in arguments.items():
        own = blocks_of_run(blocks, run_id(argument))
        rates = point_rates(counts_of_blocks([own[VARIANT]]))._asdict()
        found[folder] = {**rates, OWN: own["own"].solved / own["own"].episodes}
    return found
