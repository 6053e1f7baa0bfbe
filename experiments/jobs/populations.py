"""Agents that are trained side by side: which ones, and how each gets a run folder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misgen.experiments.config import TrainConfig, from_dict
from misgen.experiments.jobs.attempt import run_once
from misgen.experiments.jobs.child import report_progress
from misgen.experiments.jobs.scheduler import Job, JobResult, run_jobs
from misgen.experiments.runs.names import run_name
from misgen.experiments.runs.train import (
    EARLIER_CHECKPOINTS,
    RESUME,
    device_and_precision,
    earlier_fracs,
    save_agent,
    train_argument,
    train_folder,
    training_env,
    write_results,
)

if TYPE_CHECKING:
    from misgen.agents.curve import CurveRow, Snapshot, Trained
    from misgen.agents.device import Device
    from misgen.envs.core.batch import BatchEnv
    from misgen.experiments.launchers.population import PopulationConf


def check(conf: PopulationConf) -> None:
    """ValueError unless there is a GPU for populations."""
    import torch

    if not torch.cuda.is_available():
        raise ValueError(
            "launcher=population trains on a GPU, and torch can use none "
            "(torch.cuda.is_available() is False); leave it out to train on the cores, or install "
            "a torch built for this machine's driver"
        )


def plan(missing: Sequence[TrainConfig], conf: PopulationConf) -> str:
    return f"{len(_populations(missing))} populations, one after the other on the GPU"


def _populations(configs: Sequence[TrainConfig]) -> list[tuple[TrainConfig, ...]]:
    """These agents packed for the GPU; ValueError where one cannot be trained there."""
    if any(config.device == "cpu" for config in configs):
        raise ValueError(
            "launcher=population trains on a GPU; got device=cpu; leave one of them out"
        )
    return pack([replace(config, device="cuda") for config in configs])


def train(missing: Sequence[TrainConfig], conf: PopulationConf) -> list[JobResult]:
    """On the GPU, one population after the other."""
    jobs = [population_job(members) for members in _populations(missing)]
    named = [
        replace(job, name=f"population {k} of {len(jobs)}: {job.name}")
        for k, job in enumerate(jobs, start=1)
    ]
    return run_jobs(named, 1)


def pack(configs: Sequence[TrainConfig], free: int | None = None) -> list[tuple[TrainConfig, ...]]:
    """Populations of these agents, as large as there is room for; none has two shapes.

    Agents of one shape see and do the same with the same network, and differ in the settings of
    `agents.population.OWN`, in their cell, d, q, levels and number only. Those with as many steps
    come together: nobody waits long for another one.

    Args:
        free: bytes; by default what is free on the device now.

    Raises:
        ValueError: agents of another method than ppo; a shape of which there is no room for one.
    """
    shapes: dict[Any, list[TrainConfig]] = {}
    for config in configs:
        shapes.setdefault(_shape(config), []).append(config)
    populations = []
    for members in shapes.values():
        size = _room(members[0], free)
        members.sort(key=lambda config: -config.agent.settings.total_steps)
        number = -(-len(members) // size)
        edges = [len(members) * i // number for i in range(number + 1)]
        populations += [tuple(members[lo:hi]) for lo, hi in pairwise(edges)]
    return populations


def _shape(config: TrainConfig) -> Any:
    """What the agents of one population have in common."""
    from misgen.agents.networks import architecture_for
    from misgen.agents.population import OWN

    if config.agent.method != "ppo":
        raise ValueError(
            f"agents of agent.method=ppo are trained in populations; got {config.agent.method}; "
            "train it in a process of its own"
        )
    if config.intervention.name:
        raise ValueError(
            "an agent with an intervention is trained in a process of its own; got "
            f"{config.intervention.name}; leave out launcher=population"
        )
    settings = config.agent.settings
    alike = replace(settings, **{name: getattr(type(settings)(), name) for name in OWN})
    architecture = architecture_for(settings, training_env(config))
    how = config.device, config.precision, config.num_threads, config.checkpoints
    return architecture, alike, *how


def _room(config: TrainConfig, free: int | None) -> int:
    """How many agents like this one fit; ValueError if it is none."""
    from misgen.agents.device import largest_population, require_room
    from misgen.agents.networks import architecture_for

    env, settings = training_env(config), config.agent.settings
    seen = architecture_for(settings, env), settings, device_of(config)
    size = largest_population(*seen, free)
    if not size:
        require_room(1, *seen)
        raise ValueError(f"no agent of this shape fits into {free} bytes; free some memory")
    return size


def device_of(config: TrainConfig) -> Device:
    """Where and how the agents of this configuration are trained."""
    from misgen.agents.device import Device

    how = device_and_precision(config, training_env(config))
    return Device.of(how["device"], how["precision"] == "bfloat16")


def population_job(members: Sequence[TrainConfig]) -> Job:
    """The job that trains them."""
    names = [run_name(config) for config in members]
    argument = {
        "device": members[0].device,
        "members": [train_argument(config) for config in members],
    }
    name = f"train {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else "")
    weight = sum(config.agent.settings.total_steps for config in members) / 1e6
    return Job.of("population", name, argument, weight=weight)


def train_members(argument: Mapping[str, Any], folder: Path) -> None:
    """Train the agents that are not there yet; each gets what `train_job` leaves of one.

    Raises:
        ValueError: an agent could not go on. The others are there.
    """
    import torch

    from misgen.agents.ppo import train_population

    everyone = [from_dict(TrainConfig, member) for member in argument["members"]]
    members = [config for config in everyone if not train_folder(config).is_done]
    if not members:
        return
    torch.set_num_threads(members[0].num_threads)
    envs = [training_env(replace(config, num_threads=1)) for config in members]
    how = device_and_precision(members[0], envs[0])
    runs = [train_folder(config) for config in members]

    def save_earlier(k: int, agent: Snapshot, frac: float) -> None:
        save_agent(runs[k].path / EARLIER_CHECKPOINTS[frac], agent, envs[k], members[k])

    def report(k: int, steps: int, total: int, row: CurveRow) -> None:
        done = min(steps, total)
        report_progress(folder, done, total, f"success {row.success_rate:.2f}")

    outcomes = train_population(
        envs,
        [config.agent.settings for config in members],
        train_seeds=[config.train_seed for config in members],
        device=device_of(members[0]),
        num_threads=members[0].num_threads,
        resume=folder / RESUME,
        checkpoint_fracs=earlier_fracs(members[0]),
        on_checkpoint=save_earlier,
        on_progress=report,
    )
    failures = []
    for config, run, env, outcome in zip(members, runs, envs, outcomes, strict=True):
        try:
            run_once(run.path, run.config, partial(_leave, config, env, how, outcome))
        except FloatingPointError as error:
            failures.append(f"{run_name(config)}: {error}")
    if failures:
        raise ValueError(f"{len(failures)} of {len(members)} agents failed: {'; '.join(failures)}")


def _leave(
    config: TrainConfig,
    env: BatchEnv,
    how: Mapping[str, str],
    outcome: Trained | FloatingPointError,
    path: Path,
) -> None:
    """Write what an agent has become, or raise why it could not go on."""
    if isinstance(outcome, FloatingPointError):
        raise outcome
    write_results(path, config, env, how, outcome)
