"""Proximal policy optimization (Schulman et al. 2017): training new agents, one or many at a time.

What they learn from a rollout is in population.py, what a rollout is in rollout.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from misgen.agents.curve import (
    Checkpoint,
    Checkpoints,
    CurveRow,
    Progress,
    Snapshot,
    Trained,
)
from misgen.agents.device import Device, choose_device
from misgen.agents.interventions import NONE, Intervention, Training
from misgen.agents.networks import architecture_for
from misgen.agents.population import Population
from misgen.agents.resume import RESUME_S, keep, restore
from misgen.agents.settings import PPOSettings
from misgen.agents.stacked import CPU
from misgen.envs.core.batch import BatchEnv


def train_population(
    envs: Sequence[BatchEnv],
    settings: Sequence[PPOSettings],
    *,
    train_seeds: Sequence[int],
    device: Device = CPU,
    num_threads: int = 1,
    interventions: Sequence[Intervention] = (),
    resume: Path | None = None,
    checkpoint_fracs: Sequence[float] = (),
    on_checkpoint: Callable[[int, Snapshot, float], None] | None = None,
    on_progress: Callable[[int, int, int, CurveRow], None] | None = None,
) -> list[Trained | FloatingPointError]:
    """Train new agents side by side, each on the levels that its seed names in the distribution of
    its environments.

    Args:
        envs, settings, train_seeds, device, num_threads, interventions: see `Population`; what an
            intervention does after training is left to the caller.
        resume: a file that is kept up to date, about every RESUME_S, while the agents learn, and
            removed at the end, unless an intervention has more to do. Where it is there, training
            goes on from it: on the CPU to the same weights, bit by bit, as without an interruption.
        checkpoint_fracs: shares of `total_steps` in [0, 1] at which `on_checkpoint(agent, snapshot,
            share)` is called, after the update that used the steps; 0 is the untrained agent.
        on_progress: called with (agent, steps, of steps, newest row of its curve).

    Returns:
        Of each agent what it has become, or why it could not go on.

    Raises:
        ValueError: a fraction outside [0, 1]; see also `Population`.
    """
    population = Population(envs, settings, train_seeds, device, num_threads, interventions)
    agents = range(len(envs))
    calls = [partial(on_checkpoint, k) if on_checkpoint else None for k in agents]
    due = [
        Checkpoints(checkpoint_fracs, own.total_steps, call)
        for own, call in zip(settings, calls, strict=True)
    ]
    if resume is not None and restore(population, resume):
        for each in due:
            each.skip(population.steps)
    for k in agents:
        due[k].take(population.steps, partial(population.snapshot, k))
    saved = time.monotonic()
    while learning := [k for k in agents if population.is_learning(k)]:
        population.advance()
        for k in learning:
            if k in population.failures:
                continue
            if on_progress is not None:
                row = population.curves[k][-1]
                on_progress(k, population.steps, settings[k].whole_steps, row)
            due[k].take(population.steps, partial(population.snapshot, k))
        if resume is not None and time.monotonic() - saved >= RESUME_S:
            keep(population, resume)
            saved = time.monotonic()
    if resume is not None:
        if any(each.after for each in population.interventions):
            keep(population, resume)  # a kill in what comes after costs no training
        else:
            resume.unlink(missing_ok=True)
    return [population.outcome(k) for k in agents]


def train_ppo(
    env: BatchEnv,
    settings: PPOSettings,
    *,
    train_seed: int,
    device: str = "auto",
    is_bf16: bool = False,
    intervention: Intervention = NONE,
    resume: Path | None = None,
    checkpoint_fracs: Sequence[float] = (),
    on_checkpoint: Checkpoint | None = None,
    on_progress: Progress | None = None,
) -> Trained:
    """Train one new agent; see `train_population`.

    Args:
        env: `settings.num_envs` environments.
        device: auto, cpu or cuda; see `choose_device`.
        is_bf16: see `Device`.
        intervention: what is changed.

    Raises:
        ValueError: a fraction outside [0, 1]; see also `choose_device` and `Population`.
        FloatingPointError: the gradient was not finite.
    """
    name = choose_device(device, architecture_for(settings, env).network)
    (trained,) = train_population(
        [env],
        [settings],
        train_seeds=[train_seed],
        device=Device.of(name, is_bf16),
        num_threads=env.num_threads,
        interventions=[intervention],
        resume=resume,
        checkpoint_fracs=checkpoint_fracs,
        on_checkpoint=(lambda _, *what: on_checkpoint(*what)) if on_checkpoint else None,
        on_progress=(lambda _, *what: on_progress(*what)) if on_progress else None,
    )
    if isinstance(trained, FloatingPointError):
        raise trained
    if intervention.after is None:
        return trained
    how = Training(env=env, settings=settings, train_seed=train_seed)
    changed = intervention.after(trained, how)
    if resume is not None:
        resume.unlink(missing_ok=True)
    return changed
