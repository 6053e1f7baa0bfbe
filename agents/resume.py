"""Where a training is, on disk: a file from which it goes on, and whose loading runs no code."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_arrays
from torch import Tensor

from misgen.agents.checkpoint import write_whole
from misgen.agents.curve import CurveRow

if TYPE_CHECKING:
    from misgen.agents.population import Population

RESUME_S = 15.0  # between two writings: what a kill costs at most


def keep(population: Population, path: Path) -> None:
    """Write all that the rest of the training depends on, whole or not at all."""
    words = {
        "train_seeds": list(population.train_seeds),
        "steps": population.steps,
        "adam_steps": int(population.adam.taken),
        "rngs": [rng.bit_generator.state for rng in _rngs(population)],
        "updates": population.updates.tolist(),
        "curves": [[asdict(row) for row in curve] for curve in population.curves],
        "broken_episodes": [each.broken_episodes for each in population.collector.episodes],
        "failures": population.failures,
    }
    arrays = {name: value.detach().cpu().numpy() for name, value in _tensors(population).items()}
    arrays |= {
        f"env.{k}.{i}": array
        for k, env in enumerate(population.envs)
        for i, array in enumerate(env.get_state())
    }
    arrays |= {
        f"levels.{k}.{i}": array
        for k, levels in enumerate(population.levels)
        if levels is not None
        for i, array in enumerate(levels.get_state())
    }
    write_whole(path, save_arrays(arrays, {"training": json.dumps(words)}))


def restore(population: Population, path: Path) -> bool:
    """Put an untrained population where the file says it was; False if there is no such file, or
    none that can be read, or of other agents: the training then begins anew."""
    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            words = json.loads(file.metadata()["training"])
    except (OSError, SafetensorError):
        return False
    is_ours = words["train_seeds"] == list(population.train_seeds)
    tensors = {name: own for name, own in _tensors(population).items() if own.numel()}
    is_whole = len(words["rngs"]) == len(_rngs(population)) and {*tensors} <= {*arrays}
    if not is_ours or not is_whole:  # or of an older version
        return False
    for name, own in tensors.items():
        own.data.copy_(torch.from_numpy(arrays[name]))
    for k, env in enumerate(population.envs):
        count = len(env.get_state())
        env.set_state([arrays[f"env.{k}.{i}"] for i in range(count)])
    population.steps = words["steps"]
    population.adam.taken.fill_(words["adam_steps"])
    for k, levels in enumerate(population.levels):
        if levels is not None:
            count = len(levels.get_state())
            levels.set_state([arrays[f"levels.{k}.{i}"] for i in range(count)])
    population.updates[:] = words["updates"]
    for rng, state in zip(_rngs(population), words["rngs"], strict=True):
        rng.bit_generator.state = state
    population.curves = [[CurveRow(**row) for row in curve] for curve in words["curves"]]
    for each, broken in zip(population.collector.episodes, words["broken_episodes"], strict=True):
        each.broken_episodes = broken
    population.failures = {int(k): why for k, why in words["failures"].items()}
    return True


def _rngs(population: Population) -> list[Any]:
    """Of the agents, and of their interventions."""
    return [*population.rngs, *population.own_rngs]


def _tensors(population: Population) -> dict[str, Tensor]:
    """The parameters and what Adam remembers of them."""
    kinds = {
        "parameter": population.stack.parameters,
        "mean": population.adam.means,
        "square": population.adam.squares,
        "state": {"gru": population.collector.state},
    }
    return {
        f"{kind}.{name}": value for kind, values in kinds.items() for name, value in values.items()
    }
