"""What a checkpoint says it is: the entries of its NAME.json. Imports no torch, so that asking
costs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from misgen.agents.networks import Network

SCHEMA_VERSION = 2  # 1, until misgen 0.3.0, named cells by their shift type
REMEDY = "a checkpoint is NAME.safetensors and NAME.json; copy both, or train again"


@dataclass(frozen=True, kw_only=True)
class Meta:
    """What a checkpoint's weights are."""

    family: str  # what `find_family` finds it by
    family_version: int
    cell: str  # a code
    observation_mode: str
    observation_shape: tuple[int, ...]  # as the environment shows it
    num_actions: int
    network: Network
    method: str  # ppo, cloning, ...
    settings: Mapping[str, Any]  # of the method
    train_seed: int
    steps: int  # learned from: environment steps, or labelled states
    diversity: float
    specification: float  # q: weight of the intended reward
    misgen_version: str
    weights_sha256: str = ""  # filled in when the weights are saved
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        sizes = (*self.observation_shape, self.num_actions)
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(f"observation_shape and num_actions are positive; got {sizes}")


def files_of(path: Path | str) -> tuple[Path, Path]:
    """The weights and the description of a checkpoint, named with or without a suffix of either."""
    path = Path(path)
    name = path.name.removesuffix(".safetensors").removesuffix(".json")
    return path.with_name(f"{name}.safetensors"), path.with_name(f"{name}.json")


def read_entries(path: Path) -> dict[str, Any]:
    """The entries of a checkpoint's .json, exactly those of `Meta`, as plain data.

    Raises:
        ValueError: the file is missing or damaged, or of another schema version.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} must be readable ({error.strerror}); {REMEDY}") from None
    except ValueError as error:
        raise ValueError(f"{path} must be whole JSON ({error}); {REMEDY}") from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        is_older = isinstance(version, int) and version < SCHEMA_VERSION
        again = "train this agent again, and move the old one out of the results"
        raise ValueError(
            f"this version of misgen reads checkpoints of schema version {SCHEMA_VERSION}; {path} "
            f"has {version!r}; {again if is_older else 'use the misgen that wrote it'}"
        )
    names = {field.name for field in fields(Meta)}
    if set(data) != names:
        raise ValueError(
            f"{path} must have exactly the entries of a checkpoint; missing "
            f"{sorted(names - set(data))}, unknown {sorted(set(data) - names)}; {REMEDY}"
        )
    return data
