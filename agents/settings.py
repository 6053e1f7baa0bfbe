"""What decides what an agent learns, as data. Imports no torch, so that asking costs nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

RULES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    (
        "total_steps num_states num_envs num_steps batch_size num_epochs features_dim",
        "is at least 1",
        lambda value: value >= 1,
    ),
    ("head_dim gru_dim", "is at least 0", lambda value: value >= 0),
    (
        "gamma gae_lambda final_learning_rate_frac random_action_frac",
        "is in [0, 1]",
        lambda value: 0 <= value <= 1,
    ),
    (
        "learning_rate clip_range max_grad_norm",
        "is positive and finite",
        lambda value: 0 < value < math.inf,
    ),
    ("ent_coef vf_coef", "is at least 0 and finite", lambda value: 0 <= value < math.inf),
    (
        "network",
        "is auto, flat or impala",
        lambda value: value in ("auto", "flat", "impala"),
    ),
)


def _check_ranges(settings: Any) -> None:
    """ValueError for a field outside the range that RULES gives it."""
    defaults = {field.name: field.default for field in fields(settings)}
    for names, rule, holds in RULES:
        for name in set(names.split()) & set(defaults):
            value = getattr(settings, name)
            if not holds(value):
                raise ValueError(f"{name} {rule}; got {value!r}; try {defaults[name]}")


@dataclass(frozen=True, kw_only=True)
class PPOSettings:
    """Everything that decides what PPO learns, but for the seed.

    Raises:
        ValueError: a value outside its range, or sizes that do not fit each other.
    """

    total_steps: int = 1_000_000  # environment steps, rounded up to whole rollouts
    num_envs: int = 256
    num_steps: int = 64  # steps of each environment in a rollout
    batch_size: int = 1024  # steps
    num_epochs: int = 3  # passes over a rollout
    learning_rate: float = 2e-3  # of Adam, at the start
    final_learning_rate_frac: float = 0.05  # reached linearly at the last update
    gamma: float = 0.99  # discount per step
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    ent_coef: float = 0.01
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    network: str = "auto"  # flat, impala or auto (by the observation)
    features_dim: int = 256  # units, see Network
    head_dim: int = 128  # units, see Network
    gru_dim: int = 0  # units, see Network

    def __post_init__(self) -> None:
        _check_ranges(self)
        rollout = self.rollout_steps
        unit = self.num_steps if self.gru_dim else 1  # what remembers learns from whole rollouts
        if rollout % self.batch_size or self.batch_size % unit:
            smaller = range(min(rollout, self.batch_size) // unit * unit, 0, -unit)
            best = next((size for size in smaller if rollout % size == 0), unit)
            also = ", and that of `num_steps` (gru_dim)" if self.gru_dim else ""
            raise ValueError(
                f"`num_envs * num_steps` must be a multiple of `batch_size`{also}; "
                f"got {self.num_envs} * {self.num_steps} and {self.batch_size}; "
                f"try batch_size={best}"
            )

    @property
    def rollout_steps(self) -> int:
        """Environment steps of a rollout."""
        return self.num_envs * self.num_steps

    @property
    def whole_steps(self) -> int:
        """Environment steps of the training: `total_steps`, rounded up to whole rollouts."""
        return -(-self.total_steps // self.rollout_steps) * self.rollout_steps


@dataclass(frozen=True, kw_only=True)
class CloningSettings:
    """Everything that decides what behaviour cloning learns, but for the seed.

    Raises:
        ValueError: a value outside its range.
    """

    num_states: int = 200_000  # labelled states learned from
    num_envs: int = 512  # levels planned and played at a time
    batch_size: int = 512  # labelled states
    num_epochs: int = 5  # passes over the labelled states
    learning_rate: float = 2e-3  # of Adam, at the start
    final_learning_rate_frac: float = 0.05  # reached linearly at the last update
    random_action_frac: float = 0.1  # share of the executed actions that are uniformly random
    network: str = "auto"  # flat, impala or auto (by the observation)
    features_dim: int = 256  # units, see Network
    head_dim: int = 128  # units, see Network

    def __post_init__(self) -> None:
        _check_ranges(self)


def settings_as_data(settings: PPOSettings | CloningSettings) -> dict[str, Any]:
    """As plain data; without a GRU as before there were any, so that agents of either time are of
    one setting."""
    return {name: value for name, value in asdict(settings).items() if name != "gru_dim" or value}
