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

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from misgen.agents.description import REMEDY, Meta, files_of, read_entries
from misgen.agents.device import Device
from misgen.agents.networks import Architecture, Network, Weights, architecture_for, shapes_of
from misgen.agents.policy import NetworkPolicy
from misgen.agents.settings import CloningSettings, PPOSettings, settings_as_data
from misgen.agents.stacked import Stack
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.families import reference


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
        network=architecture_for(settings, env).network,
        method=method,
        settings=settings_as_data(settings),
        train_seed=train_seed,
        steps=steps,
        diversity=env.distribution.diversity,
        specification=specification,
        misgen_version=importlib.metadata.version("misgen"),
    )


def save(path: Path | str, weights: Weights, meta: Meta) -> None:
    """Write `path`.safetensors and then `path`.json, each whole or not at all."""
    data = save_tensors(weights)
    meta = replace(meta, weights_sha256=hashlib.sha256(data).hexdigest())
    weights_path, meta_path = files_of(path)
    weights_path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(weights_path, data)
    write_whole(meta_path, json.dumps(asdict(meta), indent=2).encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
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
    weights_path, meta_path = files_of(path)
    meta = _read_meta(meta_path)
    if family is not None:
        _check_family(meta, family, meta_path)
    weights, architecture = _read_weights(weights_path, meta), architecture_of(meta)
    _check_shapes(weights_path, weights, shapes_of(architecture))
    return NetworkPolicy(Stack(architecture, [weights], Device.of(device)), name=meta.method), meta


def architecture_of(meta: Meta) -> Architecture:
    """The network that a description means."""
    shape = tuple(meta.observation_shape)
    return Architecture.of(meta.network, meta.observation_mode, shape, meta.num_actions)


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
    return {name: value.float() for name, value in tensors.items()}  # published in float16


def _check_shapes(
    path: Path, found: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]
) -> None:
    shapes = {key: tuple(value.shape) for key, value in found.items()}
    for key in sorted(set(shapes) | set(expected)):
        if shapes.get(key) != expected.get(key):
            raise ValueError(
                f"weights must fit the network that the .json describes; {key} of {path} has the "
                f"shape {shapes.get(key)}, described {expected.get(key)}; restore the .json"
            )
