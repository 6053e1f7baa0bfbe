"""A Stable-Baselines3 `VecEnv` over a `BatchEnv`."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.gym_env import observation_space
from misgen.envs.core.types import NEVER, Array

RUNNING: dict[str, Any] = {}  # the info of every slot whose episode goes on; never written to


class BatchVecEnv(VecEnv):
    """The slots of a `BatchEnv` as SB3 environments.

    The info of a slot that ended holds `terminal_observation`, `TimeLimit.truncated`, `episode`
    (r: return, l: steps), `is_success` (every target of the cell's intended goal happened) and
    `broken` (its level took the broken draw); all others share one empty dict.
    `seed(train_seed)` restarts the level streams at the next `reset`.
    """

    def __init__(self, batch_env: BatchEnv) -> None:
        self.batch_env = batch_env
        self._actions = np.zeros(batch_env.num_envs, np.int64)
        self._targets = list(batch_env.distribution.cell.intended.targets)
        super().__init__(
            batch_env.num_envs,
            observation_space(batch_env.observation_mode, batch_env.observation_shape),
            spaces.Discrete(len(batch_env.family.actions)),
        )

    def reset(self) -> Array:
        obs = self.batch_env.reset(self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        return obs.copy()

    def step_async(self, actions: Array) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        result = self.batch_env.step(self._actions)
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

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The slots are not separate objects: an attribute of the batch, once per slot."""
        owner = self if attr_name == "render_mode" else self.batch_env
        value = "rgb_array" if owner is self else getattr(owner, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the batch, for all slots at once."""
        if indices is not None:
            raise ValueError(
                f"the slots of a batch share their attributes; got indices {indices}; leave it out"
            )
        setattr(self.batch_env, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the batch once; its result is repeated for every slot."""
        result = getattr(self.batch_env, method_name)(*args, **kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """True for SB3's Monitor, whose `episode` info every ended slot has."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def get_images(self) -> list[Array]:
        """uint8 [rows, cols, 3] for each slot; planes are painted in their order."""
        obs = self.batch_env.buffers.obs
        if self.batch_env.observation_mode != "planes":
            return list(obs.copy())
        pictures = np.zeros((self.num_envs, *obs.shape[2:], 3), np.uint8)
        for index, plane in enumerate(self.batch_env.family.planes):
            pictures[obs[:, index] == 1] = plane.colour
        return list(pictures)
