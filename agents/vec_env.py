"""A Stable-Baselines3 `VecEnv` over a `BatchEnv`."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.gym_env import SingleEnv, frame, observation_space
from misgen.envs.core.types import NEVER, Array

SHARED = (
    "render_mode",
    "action_space",
    "observation_space",
    "metadata",
    "family",
    "distribution",
    "observation_mode",
    "observation_shape",
    "train_seed",
    "autoreset",
)
"""What `get_attr` answers."""

RUNNING: dict[str, Any] = {}  # the info of every slot whose episode goes on; never written to


class BatchVecEnv(VecEnv):
    """The slots of a `BatchEnv` as SB3 environments.

    The info of a slot that ended holds `terminal_observation`, `TimeLimit.truncated`, `episode`
    (r: return, l: steps), `is_success` (every target of the cell's intended goal happened) and
    `broken` (its level took the broken draw); all others share one empty dict.
    `seed(train_seed)` restarts the level streams at the next `reset`. The slots are not objects of
    their own: what SB3 asks of a single environment is answered where the answer is the same for
    all slots, and refused elsewhere.
    """

    def __init__(self, batch_env: BatchEnv) -> None:
        self.batch_env = batch_env
        self._actions: Array | None = None
        self._targets = list(batch_env.distribution.cell.intended.targets)
        super().__init__(
            batch_env.num_envs,
            observation_space(batch_env.observation_mode, batch_env.observation_shape),
            spaces.Discrete(len(batch_env.family.actions)),
        )
        self.metadata = {**self.metadata, "render_fps": SingleEnv.metadata["render_fps"]}

    def reset(self) -> Array:
        obs = self.batch_env.reset(self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        return obs.copy()

    def step_async(self, actions: Array) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        if self._actions is None:
            raise ValueError("step_wait() steps what step_async(actions) was given; call it first")
        result = self.batch_env.step(self._actions)
        self._actions = None
        done = result.terminated | result.truncated
        infos = [RUNNING] * self.num_envs
        for slot in np.flatnonzero(done):
            infos[slot] = self._ending(int(slot), result.final_obs, result.truncated)
        # Copies: SB3 stores this observation after the next step, which reuses the buffers.
        return result.obs.copy(), result.reward.copy(), done, infos

    def _ending(self, slot: int, final_obs: Array, truncated: Array) -> dict[str, Any]:
        finished = self.batch_env.finished
        return {
            "terminal_observation": final_obs[slot].copy(),
            "TimeLimit.truncated": bool(truncated[slot]),
            "episode": {"r": float(finished.total[slot]), "l": int(finished.length[slot])},
            "is_success": bool((finished.first[slot, self._targets] != NEVER).all()),
            "broken": bool(finished.broken[slot]),
        }

    def close(self) -> None:
        pass

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """ValueError for any option: `BatchEnv.reset_to` plays given levels."""
        given = options if isinstance(options, list) else [options]
        if any(given):
            raise ValueError(
                f"reset of a batch has no options; got {options}; BatchEnv.reset_to(levels) plays "
                "given levels, and a LevelDistribution says what is drawn"
            )
        super().set_options(options)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """One of SHARED, once per slot.

        Raises:
            AttributeError: another one, which a slot does not have.
        """
        if attr_name not in SHARED:
            raise AttributeError(
                f"the slots of a batch share {', '.join(SHARED)}; got {attr_name!r}; what a slot "
                "has of its own is in the arrays of batch_env"
            )
        mine = {**vars(self), "render_mode": "rgb_array"}  # spaces, metadata
        value = mine[attr_name] if attr_name in mine else getattr(self.batch_env, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """AttributeError: a batch is made with its settings, and these are all slots'."""
        raise AttributeError(
            f"the settings of a batch are those it was made with; got {attr_name}={value!r}; make "
            "another BatchEnv"
        )

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """AttributeError: the methods of a batch step, reset and show all of its slots."""
        raise AttributeError(
            f"a slot of a batch has no methods; got {method_name!r}; call "
            f"batch_env.{method_name}(...), once for all slots"
        )

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """True for SB3's Monitor, whose `episode` info every ended slot has."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def get_images(self) -> list[Array]:
        """uint8 [rows * 8, cols * 8, 3] for each slot: its view, as `SingleEnv` renders it."""
        env = self.batch_env
        return [frame(env, slot, "rgb_array") for slot in range(self.num_envs)]
