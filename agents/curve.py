"""The learning curve of an agent: what the episodes that ended during its rollouts came to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from misgen.agents.networks import Weights
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.types import NEVER, Array


@dataclass(frozen=True, kw_only=True)
class CurveRow:
    """The episodes that ended during one rollout; means are NaN if there were none."""

    steps: int  # environment steps so far
    episodes: int
    mean_return: float
    success_rate: float  # share in which every target of the intended goal happened
    mean_length_steps: float
    broken_episodes: int  # since the start of training, on levels that took the broken draw


class Episodes:
    """Those that ended since the last row of the curve."""

    def __init__(self, env: BatchEnv) -> None:
        self.env, self.broken_episodes = env, 0
        self.targets = list(env.distribution.cell.intended.targets)
        self.ended: list[tuple[Any, ...]] = []  # (return, success, steps) arrays of each step

    def add(self, slots: Array) -> None:
        """Those of these slots, after the step in which they ended."""
        finished = self.env.finished
        success = (finished.first[slots][:, self.targets] != NEVER).all(axis=1)
        self.ended.append((finished.total[slots], success, finished.length[slots]))
        self.broken_episodes += int(finished.broken[slots].sum())

    def row(self, steps: int) -> CurveRow:
        """The next row of the curve."""
        columns = [np.concatenate(column) for column in zip(*self.ended, strict=True)]
        total, success, length = columns or [np.zeros(0)] * 3
        self.ended = []
        return CurveRow(
            steps=steps,
            episodes=len(total),
            mean_return=_mean(total),
            success_rate=_mean(success),
            mean_length_steps=_mean(length),
            broken_episodes=self.broken_episodes,
        )


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else math.nan


@dataclass(frozen=True)
class Snapshot:
    """An agent as it is at some point of its training."""

    weights: Weights
    steps: int  # learned from: of environments, or labelled states


@dataclass(frozen=True)
class Trained:
    """A trained agent and its learning curve, one row per rollout or chunk of states."""

    agent: Snapshot
    curve: tuple[Any, ...]
    updates: int = 0  # of the weights, a minibatch each; 0 = not counted
    seen: Mapping[str, Any] = field(default_factory=dict)  # see interventions.LevelChooser.seen


Checkpoint = Callable[[Snapshot, float], None]  # (agent, fraction of the training)
Progress = Callable[[int, int, Any], None]  # (steps, of steps, newest row of the curve)


class Checkpoints:
    """Calls `on_checkpoint` at shares of a training, once for each.

    Raises:
        ValueError: a share outside [0, 1].
    """

    def __init__(
        self, fractions: Sequence[float], total_steps: int, on_checkpoint: Checkpoint | None
    ) -> None:
        outside = [frac for frac in fractions if not 0.0 <= frac <= 1.0]
        if outside:
            raise ValueError(
                f"checkpoint_fracs are shares in [0, 1] of the training; got {outside}"
            )
        self.due, self.total_steps = sorted(fractions), total_steps
        self.on_checkpoint = on_checkpoint

    def skip(self, steps: int) -> None:
        """Those up to here were taken before."""
        self.due = [fraction for fraction in self.due if steps < fraction * self.total_steps]

    def take(self, steps: int, snapshot: Callable[[], Snapshot]) -> None:
        """Those that are due after so many steps."""
        while self.due and steps >= self.due[0] * self.total_steps:
            fraction = self.due.pop(0)
            if self.on_checkpoint is not None:
                self.on_checkpoint(snapshot(), fraction)
