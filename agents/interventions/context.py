"""Domain randomisation: some of the training levels already have the context of the shift, B.

Agents so trained have seen B: their variants 01 and 11 do not test a new context. Training has no
need of the room that the evaluated levels of C3, C4 and K4 keep for A, so its B goes without.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from misgen.agents.interventions import Intervention, Played
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.types import Array


def context(*, share: float = 0.5) -> Intervention:
    """share: of the environments, whose levels have context B.

    Raises:
        ValueError: a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is in (0, 1]; got {share}; try 0.5")
    return Intervention(levels=partial(Mixed, share))


class Mixed:
    """Sets the levels of the last slots once; see `interventions.LevelChooser`."""

    def __init__(self, share: float, env: BatchEnv, settings: Any, rng: Any) -> None:
        cell, first = env.distribution.cell, round((1 - share) * env.num_envs)
        if first == env.num_envs:
            raise ValueError(
                f"{share} of {env.num_envs} environments are none; make share or num_envs larger"
            )
        env.vary(first, cell.params._replace(**cell.shift_b.params))
        self.share = 1 - first / env.num_envs

    def begin(self) -> bool:
        return True

    def end(self, played: Played) -> None:
        """Nothing depends on it."""

    def seen(self) -> dict[str, Any]:
        about = "an estimate: finished episodes x broken_share of the usual context"
        return {"context_b_share": self.share, "broken_episodes_is": about}

    def get_state(self) -> list[Array]:
        return []

    def set_state(self, saved: list[Array]) -> None:
        """There is none."""
