"""`misgen bench train`: trained steps and agents per hour of one core, beside plain
Stable-Baselines3 and a loop in the manner of CleanRL; where the time goes; memory."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from misgen.agents.networks import flat_features
from misgen.agents.population import Population
from misgen.agents.sb3_ppo import make_ppo
from misgen.agents.settings import PPOSettings
from misgen.agents.sparse import Lit, add_lit
from misgen.agents.vec_env import BatchVecEnv
from misgen.analysis.text import aligned
from misgen.envs.core.batch import BatchEnv
from misgen.envs.families import find_cell
from misgen.experiments.bench.command import (
    Task,
    Work,
    in_process,
    measure,
    measure_topic,
    spread,
    title,
)
from misgen.experiments.cli import Parser

CELLS = ("C2", "K3")
POPULATIONS = (1, 4, 16)
PICTURES: tuple[str, str, dict[str, Any]] = (
    "C2",
    "rgb64",
    {"num_envs": 8, "num_steps": 8, "batch_size": 64},
)
"""IMPALA on 64 x 64 x 3: a cell, a mode, and a rollout that takes seconds."""


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for wrong arguments."""
    parser = Parser(prog="misgen bench train", description=__doc__)
    text = "also IMPALA on 64 x 64 x 3 (minutes)"
    parser.add_argument("--pictures", action="store_true", help=text)
    return measure_topic(parser, argv, 2.0, 3, bench_train, format_report)


def bench_train(options: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, as JSON data."""
    torch.set_num_threads(1)
    seconds = options.seconds
    tasks = [task for code in CELLS for task in trainers(code, "planes", {}, POPULATIONS)]
    if options.pictures:
        tasks += trainers(*PICTURES, (1, 2))
    results = measure(tasks, seconds, options.rounds)
    return {
        "results": [{**r, "budget_steps": find_cell(r["family"])[0].total_steps} for r in results],
        "shares": {code: time_shares(code, seconds) for code in CELLS},
        "first_layer_us": {code: first_layer(code, seconds / 4) for code in CELLS},
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int:
    """The most memory that this process has had."""
    import resource  # POSIX

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def trainers(
    code: str, mode: str, changes: dict[str, Any], populations: Sequence[int]
) -> Iterator[Task]:
    """Trained steps of one cell, by trainer. Task.family is the cell, Task.batch K."""
    settings = replace(PPOSettings(gamma=find_cell(code)[0].gamma), **changes)
    yield Task("SB3 PPO", code, mode, 1, in_process(sb3_steps(code, mode, settings)))
    if mode == "planes":
        yield Task("CleanRL-style", code, mode, 1, in_process(cleanrl_steps(code, settings)))
    for number in populations:
        endless = [replace(settings, total_steps=10**9)] * number
        envs = [training_env(code, mode, settings, seed) for seed in range(number)]
        work = advancing(Population(envs, endless, range(number)))
        yield Task("misgen PPO", code, mode, number, in_process(work))


def training_env(code: str, mode: str, settings: PPOSettings, seed: int) -> BatchEnv:
    family, cell = find_cell(code)
    levels = family.train_distribution(cell)
    return BatchEnv(family, levels, settings.num_envs, train_seed=seed, observation_mode=mode)


def advancing(population: Population) -> Work:
    """A rollout and an update of all its agents."""

    def work() -> int:
        population.advance()
        return population.size * len(population.envs)

    return work


def sb3_steps(code: str, mode: str, settings: PPOSettings, device: str = "cpu") -> Work:
    """Of plain Stable-Baselines3."""
    model = make_ppo(BatchVecEnv(training_env(code, mode, settings, 0)), settings, device=device)
    size = settings.num_envs * settings.num_steps

    def work() -> int:
        model.learn(size, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]
        return size

    return work


# --- A peer --------------------------------------------------------------------------------------


def cleanrl_steps(code: str, settings: PPOSettings) -> Work:
    """Of a single-file PPO in the manner of CleanRL: dense float32 layers, autograd, Adam."""
    env = training_env(code, "planes", settings, 0)
    shape, actions = env.observation_shape, len(env.family.actions)
    torso = flat_features(shape, 256)
    actor = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, actions))
    critic = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 1))
    parameters = [p for net in (torso, actor, critic) for p in net.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate, eps=1e-5)
    num_steps, num_envs = settings.num_steps, settings.num_envs
    obs = torch.zeros(num_steps, num_envs, *shape)
    taken, log_probs, rewards, dones, values = torch.zeros(5, num_steps, num_envs)
    seen = torch.from_numpy(env.reset()).float()

    def policy(x: torch.Tensor) -> tuple[Any, torch.Tensor]:
        features = torso(x)
        return torch.distributions.Categorical(logits=actor(features)), critic(features)[:, 0]

    @torch.no_grad()
    def roll_out() -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal seen
        for t in range(num_steps):
            obs[t] = seen
            chances, values[t] = policy(seen)
            action = chances.sample()
            taken[t], log_probs[t] = action, chances.log_prob(action)
            out = env.step(action.numpy())
            rewards[t] = torch.from_numpy(out.reward)
            dones[t] = torch.from_numpy(out.terminated | out.truncated)
            seen = torch.from_numpy(out.obs).float()
        advantages, later = torch.zeros_like(values), torch.zeros(num_envs)
        following = policy(seen)[1]
        for t in reversed(range(num_steps)):
            delta = rewards[t] + settings.gamma * following * (1 - dones[t]) - values[t]
            later = delta + settings.gamma * settings.gae_lambda * (1 - dones[t]) * later
            advantages[t], following = later, values[t]
        return advantages.flatten(), (advantages + values).flatten()

    def update(rows: torch.Tensor, advantages: torch.Tensor, returns: torch.Tensor) -> None:
        chances, value = policy(obs.flatten(0, 1)[rows])
        ratio = (chances.log_prob(taken.flatten()[rows]) - log_probs.flatten()[rows]).exp()
        own = advantages[rows]
        own = (own - own.mean()) / (own.std() + 1e-8)
        clipped = ratio.clamp(1 - settings.clip_range, 1 + settings.clip_range)
        loss = -torch.min(own * ratio, own * clipped).mean()
        loss = loss + settings.vf_coef * (returns[rows] - value).square().mean()
        loss = loss - settings.ent_coef * chances.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
        optimizer.step()

    def work() -> int:
        targets = roll_out()
        for _ in range(settings.num_epochs):
            for rows in torch.randperm(num_steps * num_envs).split(settings.batch_size):
                update(rows, *targets)
        return num_steps * num_envs

    return work


# --- Where the time goes -------------------------------------------------------------------------


def time_shares(code: str, seconds: float) -> dict[str, float]:
    """Shares of the CPU time of one agent's training."""
    settings = PPOSettings(gamma=find_cell(code)[0].gamma, total_steps=10**9)
    population = Population([training_env(code, "planes", settings, 0)], [settings], [0])
    population.advance()
    parts = {
        "environment": (population.envs[0], "step_checked"),
        "lit inputs": (population.collector.memory, "put"),
        "update": (population, "update"),
    }
    shares = shares_of_time(population, parts, time.process_time, seconds)
    return {**shares, "acting and the rest": 1 - sum(shares.values())}


def shares_of_time(
    population: Population,
    parts: Mapping[str, tuple[Any, str]],
    clock: Callable[[], float],
    seconds: float,
) -> dict[str, float]:
    """Shares of a clock's time that go into methods (object and name, by part) of a training."""
    spent = dict.fromkeys(parts, 0.0)

    def time_calls(owner: Any, method: str, name: str) -> None:
        inner = getattr(owner, method)

        def run(*args: Any) -> Any:
            start = clock()
            try:
                return inner(*args)
            finally:
                spent[name] += clock() - start

        setattr(owner, method, run)

    for name, (owner, method) in parts.items():
        time_calls(owner, method, name)
    start = clock()
    while (whole := clock() - start) < seconds:
        population.advance()
    return {name: part / whole for name, part in spent.items()}


def first_layer(code: str, seconds: float) -> dict[str, float]:
    """Microseconds a sample of the first layer, forward and backward, batches of 1,024: multiplied,
    by torch's embedding_bag, and as it is done."""
    settings = PPOSettings(num_envs=1024, num_steps=1)
    env = training_env(code, "planes", settings, 0)
    obs = env.reset()
    inputs = obs[0].size
    dense = torch.from_numpy(obs.reshape(len(obs), -1)).float()
    weight = torch.randn(inputs, 256, requires_grad=True)
    bias, grad = torch.zeros(256, requires_grad=True), torch.zeros(inputs, 256)
    lit, rows, back = Lit.room(len(obs), inputs), np.arange(len(obs)), torch.ones(len(obs), 256)
    lit.put(obs)
    index = torch.from_numpy(lit.index[: lit.start[-1]].astype(np.int64))
    starts = torch.from_numpy(lit.start[:-1])

    def layers() -> dict[str, Callable[[], torch.Tensor]]:
        bag = partial(nn.functional.embedding_bag, index, weight, starts, mode="sum")
        return {
            "dense": lambda: torch.addmm(bias, dense, weight),
            "embedding_bag": bag,
            "lit inputs": lambda: add_lit(bias, weight, grad, lit, rows),
        }

    def once(layer: Callable[[], torch.Tensor]) -> int:
        layer().backward(back)
        return len(obs)

    return {name: 1e6 / in_process(partial(once, f))(seconds) for name, f in layers().items()}


# --- As text -------------------------------------------------------------------------------------


def format_report(report: dict[str, Any]) -> str:
    memory = f"peak memory of this process: {report['peak_bytes'] / 2**20:.0f} MiB"
    note = "agents/h: of one core, with the family's default budget, without evaluation"
    parts = [title(report), steps_table(report["results"], "trained steps/CPU s", note)]
    for key, what in (("shares", "share of the time"), ("first_layer_us", "us a sample")):
        parts.append(named_table(report[key], what))
    return "\n\n".join([*parts, memory]) + "\n"


def steps_table(results: Sequence[dict[str, Any]], what: str, note: str) -> str:
    """Rates by trainer, cell and size of the population, as text."""
    header = [what, "cell", "mode", "K", "median", "range", "x SB3", "agents/h"]
    plain = {(r["family"], r["mode"]): r["median"] for r in results if r["name"] == "SB3 PPO"}
    lines = []
    for r in results:
        ratio = r["median"] / plain[r["family"], r["mode"]]
        agents = 3600 * r["median"] / r["budget_steps"]
        title = [r["name"], r["family"], r["mode"], str(r["batch"])]
        lines.append([*title, *spread(r), f"{ratio:.2f}", f"{agents:.0f}"])
    return f"{aligned(header, lines)}\n{note}"


def named_table(values: dict[str, dict[str, float]], what: str) -> str:
    """A row for each name in the values of a column."""
    codes = [*values]
    names = [*values[codes[0]]]
    lines = [[name, *(f"{values[code][name]:.3g}" for code in codes)] for name in names]
    return aligned([what, *codes], lines)
