"""`misgen train`: one agent per configuration; a finished one is not trained again."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misgen.agents.interventions import Intervention
from misgen.experiments.application import hydra_main
from misgen.experiments.config import TrainConfig, as_dict, from_dict
from misgen.experiments.jobs.attempt import run_once
from misgen.experiments.jobs.scheduler import Job
from misgen.experiments.kernels import load_kernels
from misgen.experiments.runs.folder import (
    RunFolder,
    read_json,
    require_writable,
    results_root,
    write_json,
)
from misgen.experiments.runs.names import run_name, run_names
from misgen.experiments.runs.training_log import (
    CURVE,
    Meter,
    Progress,
    TrainingLog,
    read_curve,
    seen_in_training,
    shares_of,
    write_curve,
)

if TYPE_CHECKING:  # imported when there is something to train
    from misgen.agents.curve import Snapshot, Trained
    from misgen.envs.core.batch import BatchEnv

CHECKPOINT = "checkpoint"
EARLIER_CHECKPOINTS = {1 / 8: "checkpoint_1of8", 1 / 4: "checkpoint_1of4", 1 / 2: "checkpoint_1of2"}
RESUME = "resume.safetensors"  # from which a killed training goes on

DRY_RUN = "--dry-run"


def main(argv: list[str]) -> int:
    """Exit code. With -m, --dry-run only says what would run."""
    if DRY_RUN in argv:
        if not {"-m", "--multirun"} & {*argv}:
            raise ValueError("--dry-run says what a sweep would run; add -m, or see --cfg job")
        argv = [*(word for word in argv if word != DRY_RUN), "hydra.launcher.dry_run=true"]
    is_sweep = bool({"-m", "--multirun"} & {*argv})
    for word in argv:
        if word.startswith("launcher=") and ("," in word or not is_sweep):
            raise ValueError(f"one launcher starts the runs of a sweep, -m; got {word}")
    if is_sweep:
        if {"-c", "--cfg"} & {*argv}:
            raise ValueError("--cfg shows one configuration; leave out -m, or list with --dry-run")
        require_writable(results_root())  # before Hydra writes there
    return hydra_main("train", TrainConfig, train_here, argv)


def train_argument(config: TrainConfig) -> dict[str, Any]:
    """What a training run is made of: its configuration and the version of the rules."""
    return {**as_dict(config), "family_version": config.get_family().version}


def train_folder(config: TrainConfig) -> RunFolder:
    """Where its agent is, or will be. One that kept all its checkpoints serves where the last one
    is asked for."""
    asked, everything = _folders(config, config.get_family().version, results_root())
    return everything if config.checkpoints == "all" or everything.is_done else asked


@functools.lru_cache(maxsize=4096)
def _folders(config: TrainConfig, version: int, root: Path) -> tuple[RunFolder, RunFolder]:
    """As asked for, and with all checkpoints. Kept, because studies ask many times; version: of the
    family, on which they depend."""
    argument = train_argument(config)
    everything = {**argument, "checkpoints": "all"}
    return RunFolder(root, "train", argument), RunFolder(root, "train", everything)


def is_repeated(run: Path) -> bool:
    """Whether the agent of this run is there once more, in one that kept all its checkpoints."""
    config = read_json(run / "config.json") or {}
    if config.get("checkpoints") != "final":
        return False
    return RunFolder(run.parents[2], "train", {**config, "checkpoints": "all"}).is_done


def train_here(config: TrainConfig) -> None:
    """Train in this process unless the same configuration has finished before."""
    if config.device == "cuda":
        check_gpu()
    require_writable(results_root())
    folder = train_folder(config)
    label = run_name(config)
    if folder.is_done:
        print(f"{label}: already trained, {folder.path}")
        return
    print(f"{label}: training{_rounded(config)}, {folder.path}", flush=True)
    try:
        run_once(folder.path, folder.config, lambda at: train_job(folder.config, at, Meter(label)))
    except KeyboardInterrupt:
        line = "\n" * sys.stderr.isatty()  # progress stands on the one before
        print(f"{line}{label}: interrupted; the same command goes on", file=sys.stderr)
        raise
    print(f"{label}: done, {folder.path}")


def check_gpu() -> None:
    """ValueError unless torch can use a GPU."""
    from misgen.agents.device import choose_device
    from misgen.agents.networks import Network

    choose_device("cuda", Network(name="impala"))


def _rounded(config: TrainConfig) -> str:
    """How long a training is where that is much longer than asked for."""
    if config.agent.method == "cloning":
        return ""
    own = config.agent.settings
    is_longer = own.whole_steps > 1.1 * own.total_steps
    said = f" ({own.whole_steps:,} steps: whole rollouts of {own.rollout_steps:,})"
    return said if is_longer else ""


def warm(argument: Mapping[str, Any]) -> None:
    """Import and load what training by `argument` needs."""
    import torch

    for name in ("checkpoint", "cloning", "ppo"):
        importlib.import_module(f"misgen.agents.{name}")
    torch.set_num_threads(1)
    if ":" not in argument["family"]:  # a user's own file is executed by its job
        load_kernels(argument["family"], argument["cell"], argument["observation_mode"])
        if not argument["intervention"]["num_levels"]:  # else each agent has a set of its own
            shares_of(from_dict(TrainConfig, argument))


def train_job(argument: Mapping[str, Any], folder: Path, on_progress: Progress = None) -> None:
    """Train the agent that `argument` (see `train_argument`) describes, into `folder`.

    Leaves checkpoint.safetensors and checkpoint.json, where all are kept the same of
    EARLIER_CHECKPOINTS, curve.csv and train.json.
    """
    import torch

    config: TrainConfig = from_dict(TrainConfig, argument)
    torch.set_num_threads(config.num_threads)
    env = training_env(config)
    how = device_and_precision(config, env)
    log = TrainingLog(folder, on_progress, config.tensorboard)
    training = changed_afterwards(config, env) or learner(config, how, folder / RESUME)(
        env,
        config.agent.settings_of_method(),
        train_seed=config.train_seed,
        device=how["device"],
        checkpoint_fracs=earlier_fracs(config),
        on_checkpoint=lambda agent, frac: save_agent(
            folder / EARLIER_CHECKPOINTS[frac], agent, env, config
        ),
        on_progress=log,
    )
    log.close()
    write_results(folder, config, env, how, training)


def write_results(
    folder: Path, config: TrainConfig, env: BatchEnv, how: Mapping[str, str], training: Trained
) -> None:
    """The trained agent, its curve, and what training saw.

    how: see `device_and_precision`.
    """
    save_agent(folder / CHECKPOINT, training.agent, env, config)
    write_curve(folder / CURVE, training.curve)
    seen = {**how, **seen_in_training(config, training.curve), **training.seen}
    seen["broken_episodes"] += training.seen.get("repair_broken_episodes", 0)
    write_json(folder / "train.json", {**seen, "updates": training.updates})


def base_of(config: TrainConfig) -> TrainConfig | None:
    """The agent that this one goes on from, where its intervention changes nothing before."""
    asked = config.get_intervention()
    if asked.after is None or asked != Intervention(after=asked.after):
        return None
    without = replace(config.intervention, name="", settings={})
    return replace(config, intervention=without)


def changed_afterwards(config: TrainConfig, env: BatchEnv) -> Trained | None:
    """The agent, where its intervention only changes one that has been trained, and that is there;
    else None."""
    from misgen.agents.checkpoint import load
    from misgen.agents.curve import CurveRow, Snapshot, Trained
    from misgen.agents.interventions import Training

    base = base_of(config)
    if base is None or config.checkpoints == "all" or not train_folder(base).is_done:
        return None
    folder, after = train_folder(base), config.get_intervention().after
    assert after is not None  # see `base_of`
    policy, meta = load(folder.path / CHECKPOINT)
    rows = read_curve(folder.path / CURVE)
    counts = ("steps", "episodes", "broken_episodes")  # a CSV has numbers only
    curve = tuple(
        CurveRow(**row | {name: int(row[name]) for name in counts})  # type: ignore[arg-type]
        for row in rows
    )
    updates = (read_json(folder.path / "train.json") or {}).get("updates", 0)
    trained = Trained(Snapshot(policy.stack.weights(), meta.steps), curve, updates)
    how = Training(env=env, settings=config.agent.settings, train_seed=config.train_seed)
    changed = after(trained, how)
    return replace(changed, seen={**changed.seen, "went_on_from": folder.id})


def train_jobs(configs: Iterable[TrainConfig]) -> list[Job]:
    """The first agents of all arms before the second ones: an interrupted study has something of
    everything. One that goes on from another one comes after it."""
    ordered = sorted(configs, key=lambda config: config.train_seed)
    folders = [train_folder(config) for config in ordered]
    names = [f"train {name}" for name in run_names(ordered)]
    name_of = dict(zip([folder.path for folder in folders], names, strict=True))
    jobs = []
    for config, folder, name in zip(ordered, folders, names, strict=True):
        base = base_of(config)
        before = name_of.get(train_folder(base).path) if base else None
        millions = config.agent.settings.total_steps / 1e6
        after = (before,) if before else ()
        jobs.append(Job.of("train", name, dict(folder.config), weight=millions, after=after))
    return jobs


def earlier_fracs(config: TrainConfig) -> tuple[float, ...]:
    """Shares of the training after which a checkpoint is kept, besides the last."""
    return tuple(EARLIER_CHECKPOINTS) if config.checkpoints == "all" else ()


def learner(config: TrainConfig, how: Mapping[str, str], resume: Path) -> Any:
    """The function that trains by the method of the configuration."""
    if config.agent.method == "cloning":
        from misgen.agents.cloning import train_cloning

        return train_cloning
    if config.agent.method == "sb3_ppo":
        from misgen.agents.sb3_ppo import train_sb3_ppo

        return train_sb3_ppo
    from misgen.agents.ppo import train_ppo

    is_bf16 = how["precision"] == "bfloat16"
    intervention = config.get_intervention()
    return partial(train_ppo, is_bf16=is_bf16, intervention=intervention, resume=resume)


def save_agent(path: Path, agent: Snapshot, env: BatchEnv, config: TrainConfig) -> None:
    """Write a checkpoint of an agent as it is now."""
    from misgen.agents.checkpoint import describe, save

    meta = describe(
        env,
        config.agent.settings_of_method(),
        train_seed=config.train_seed,
        steps=agent.steps,
        method=config.agent.method,
        specification=config.intervention.specification,
    )
    save(path, agent.weights, meta)


def training_env(config: TrainConfig) -> BatchEnv:
    """The environments that an agent learns in."""
    from misgen.envs.core.batch import BatchEnv

    return BatchEnv(
        config.get_family(),
        config.distribution(),
        config.agent.settings_of_method().num_envs,
        train_seed=config.train_seed,
        observation_mode=config.observation_mode,
        num_threads=config.num_threads,
    )


def device_and_precision(config: TrainConfig, env: BatchEnv) -> dict[str, str]:
    """Where the network is trained, and in what its hidden layers are computed there."""
    from misgen.agents.device import choose_device
    from misgen.agents.networks import architecture_for

    network = architecture_for(config.agent.settings_of_method(), env).network
    device = choose_device(config.device, network)
    has_bf16 = device == "cuda" and config.agent.method == "ppo" and config.precision != "float32"
    return {"device": device, "precision": "bfloat16" if has_bf16 else "float32"}
