"""Checkpoints: NAME.safetensors (weights) and NAME.json (what they are). Loading runs no code."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecTransposeImage
from torch import Tensor

from misgen.agents.description import REMEDY, Meta, read_entries
from misgen.agents.networks import Network
from misgen.agents.policy import NetworkPolicy
from misgen.agents.ppo import make_ppo, network_of
from misgen.agents.settings import CloningSettings, PPOSettings
from misgen.agents.vec_env import BatchVecEnv
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.gym_env import observation_space
from misgen.envs.families import find_family, reference

ALIASES = ("pi_features_extractor.", "vf_features_extractor.")  # SB3's other names of the shared


def describe(
    env: BatchEnv,
    settings: PPOSettings | CloningSettings,
    *,
    train_seed: int,
    steps: int,
    method: str = "ppo",
    specification: float = 1.0,
) -> Meta:
    """The description of an agent that was trained on the levels of `env`."""
    return Meta(
        family=reference(env.family),
        family_version=env.family.version,
        cell=env.distribution.cell.code,
        observation_mode=env.observation_mode,
        observation_shape=env.observation_shape,
        num_actions=len(env.family.actions),
        network=network_of(settings, BatchVecEnv(env)),
        method=method,
        settings=asdict(settings),
        train_seed=train_seed,
        steps=steps,
        diversity=env.distribution.diversity,
        specification=specification,
        misgen_version=importlib.metadata.version("misgen"),
    )


def save(path: Path | str, policy: ActorCriticPolicy, meta: Meta) -> None:
    """Write `path`.safetensors and then `path`.json, each whole or not at all."""
    names = {key: value for key, value in policy.state_dict().items() if not _is_alias(key)}
    weights = save_tensors({key: value.detach().cpu().contiguous() for key, value in names.items()})
    meta = replace(meta, weights_sha256=hashlib.sha256(weights).hexdigest())
    weights_path, meta_path = _files(path)
    weights_path.parent.mkdir(parents=True, exist_ok=True)
    _write(weights_path, weights)
    _write(meta_path, json.dumps(asdict(meta), indent=2).encode())


def load(
    path: Path | str, family: Family | None = None, *, device: str = "cpu"
) -> tuple[NetworkPolicy, Meta]:
    """The agent of a checkpoint.

    Args:
        path: with or without one of the two suffixes.
        family: whose agent it must be; None takes any.

    Raises:
        ValueError: a file is missing, damaged, of another schema version or of another family;
            weights that do not fit their description.
    """
    weights_path, meta_path = _files(path)
    meta = _read_meta(meta_path)
    if family is not None:
        _check_family(meta, family, meta_path)
    policy = build_policy(meta)
    tensors = _read_weights(weights_path, meta)
    _check_shapes(weights_path, tensors, policy.state_dict())
    aliases = {key: tensors[_shared(key)] for key in policy.state_dict() if _is_alias(key)}
    policy.load_state_dict({**tensors, **aliases})
    return NetworkPolicy(policy.to(device), name=meta.method), meta


def build_policy(meta: Meta, *, optimizer: bool = False) -> ActorCriticPolicy:
    """An untrained network of the described shape, with an optimizer if it is to be trained."""
    space: spaces.Space[Any] = observation_space(meta.observation_mode, meta.observation_shape)
    if is_image_space(space):
        space = VecTransposeImage.transpose_space(space)  # type: ignore[arg-type]
    settings = meta.network.policy_kwargs()
    if not optimizer:
        settings["optimizer_class"] = _no_optimizer
    with torch.random.fork_rng(devices=[]):
        return ActorCriticPolicy(
            space, spaces.Discrete(meta.num_actions), lambda _: 0.0, **settings
        )


def _no_optimizer(parameters: Any, **settings: Any) -> None:
    """In place of Adam, whose construction imports torch's compiler: 3 s that acting never uses."""


def export_sb3(path: Path | str, zip_path: Path | str) -> None:
    """Write a checkpoint of PPO as a Stable-Baselines3 .zip.

    `PPO.load(zip_path)` reads it wherever misgen is installed (it names misgen.agents). Unlike
    a checkpoint, a .zip runs code when it is loaded: SB3 unpickles it.

    The file of a family of the user's own is executed, too.

    Raises:
        ValueError: see `load`; the agent was not trained with PPO.
    """
    loaded, meta = load(path)
    if meta.method != "ppo":
        raise ValueError(f"only an agent of PPO can be exported; {path} was made by {meta.method}")
    family, settings = find_family(meta.family), PPOSettings(**meta.settings)
    cell = family.cell(meta.cell).at_specification(meta.specification)
    distribution = family.train_distribution(cell, meta.diversity)
    env = BatchEnv(
        family,
        distribution,
        settings.num_envs,
        train_seed=0,
        observation_mode=meta.observation_mode,
    )
    model = make_ppo(BatchVecEnv(env), settings, device="cpu", train_seed=meta.train_seed)
    model.policy.load_state_dict(loaded.network.state_dict())
    model.num_timesteps = meta.steps
    _plain_rate(model, settings)
    zip_path = Path(zip_path)
    temporary = zip_path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}.zip")
    try:
        model.save(temporary)
        os.replace(temporary, zip_path)
    finally:
        temporary.unlink(missing_ok=True)


def _plain_rate(model: PPO, settings: PPOSettings) -> None:
    """Replace the schedule by a number, so that the .zip does not name our class for it."""
    model.learning_rate = settings.learning_rate
    model._setup_lr_schedule()


def _is_alias(key: str) -> bool:
    return key.startswith(ALIASES)


def _shared(key: str) -> str:
    return "features_extractor." + key.split(".", 1)[1]


def _files(path: Path | str) -> tuple[Path, Path]:
    path = Path(path)
    if path.suffix in (".safetensors", ".json"):
        path = path.with_suffix("")
    return path.with_name(path.name + ".safetensors"), path.with_name(path.name + ".json")


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:  # a full disk; the temporary file's name says nothing
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _read_meta(path: Path) -> Meta:
    data = read_entries(path)
    try:
        network, shape = Network(**data["network"]), tuple(data["observation_shape"])
        return Meta(**{**data, "network": network, "observation_shape": shape})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} does not describe an agent ({error}); {REMEDY}") from None


def _check_family(meta: Meta, family: Family, path: Path) -> None:
    wanted = reference(family)
    if meta.family != wanted:
        raise ValueError(
            f"an agent acts in the family it was trained in; {path} is of {meta.family}, wanted "
            f"{wanted}; name a checkpoint of {wanted}"
        )
    if meta.family_version != family.version:
        raise ValueError(
            f"an agent acts under the rules it was trained with; {path} is of version "
            f"{meta.family_version} of {family.name}, installed is {family.version}; train again"
        )


def _read_weights(path: Path, meta: Meta) -> dict[str, Tensor]:
    remedy = "copy the checkpoint again, or train again"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} must be readable ({error.strerror}); {remedy}") from None
    try:
        tensors = load_tensors(data)
    except SafetensorError as error:
        raise ValueError(f"{path} must be a whole safetensors file ({error}); {remedy}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != meta.weights_sha256:
        raise ValueError(
            f"{path} must be the file that its .json describes; SHA-256 {found[:12]}..., described "
            f"{meta.weights_sha256[:12]}...; {remedy}"
        )
    return tensors


def _check_shapes(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    shapes = {key: tuple(value.shape) for key, value in found.items()}
    expected = {key: tuple(value.shape) for key, value in wanted.items() if not _is_alias(key)}
    for key in sorted(set(shapes) | set(expected)):
        if shapes.get(key) != expected.get(key):
            raise ValueError(
                f"weights must fit the network that the .json describes; {key} of {path} has the "
                f"shape {shapes.get(key)}, described {expected.get(key)}; restore the .json"
            )


__all__ = ["Meta", "build_policy", "describe", "export_sb3", "load", "save"]
