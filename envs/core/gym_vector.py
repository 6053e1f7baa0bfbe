"""The slots of a BatchEnv as one gymnasium vector environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.gym_env import (
    RENDER_MODES,
    check_render_mode,
    frame,
    make_distribution,
    observation_space,
)
from misgen.envs.core.levels import level_hash
from misgen.envs.core.types import Array
from misgen.envs.families import find_family


class BatchVectorEnv(VectorEnv[Array, Array, Array]):
    """The slots of a BatchEnv as a gymnasium vector environment with same-step autoreset.

    Slot i plays the levels keyed (seed, i, 0), (seed, i, 1), ...: `reset(seed=s)` takes one
    integer, and `reset()` goes on. `info` has `events` (dict of bool arrays; of the step, all false
    after a reset), `level_seed` and `level_hash` (uint64 arrays, of the level that the observation
    shows). Where episodes ended it also has `final_obs`, an object array with the last observation
    of each, and `final_info`, the same three for the episode that ended, with gymnasium's masks
    `_final_obs` and `_final_info`.

    Args:
        num_envs: number of slots.
        copy: False returns the observation buffer itself, which the next step overwrites.
        num_threads: upper bound; small batches use one.
        family, observation_mode, train_seed, render_mode, distribution: as SingleEnv.
    """

    metadata = {  # noqa: RUF012 (gymnasium's form)
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": RENDER_MODES,
        "render_fps": 8,
    }

    def __init__(
        self,
        family: str | Family,
        num_envs: int = 1,
        *,
        observation_mode: str | None = None,
        train_seed: int = 0,
        render_mode: str | None = None,
        copy: bool = True,
        num_threads: int = 1,
        **distribution: Any,
    ) -> None:
        self.family = family if isinstance(family, Family) else find_family(family)
        check_render_mode(render_mode)
        self.batch_env = env = BatchEnv(
            self.family,
            make_distribution(self.family, **distribution),
            num_envs,
            train_seed=train_seed,
            observation_mode=observation_mode,
            num_threads=num_threads,
        )
        self.num_envs, self.copy, self.render_mode = num_envs, copy, render_mode
        self.single_observation_space = observation_space(
            env.observation_mode, env.observation_shape
        )
        self.single_action_space = spaces.Discrete(len(self.family.actions))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._hashes = np.zeros(num_envs, np.uint64)
        self._seeds = np.zeros(num_envs, np.uint64)
        self._all = np.ones(num_envs, np.bool_)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start an episode in every slot.

        Raises:
            ValueError: `seed` is not one integer >= 0; there are options.
        """
        if options:
            raise ValueError(
                f"reset of a vector environment has no options; got {', '.join(options)}; "
                "BatchEnv.reset_to plays given levels"
            )
        if seed is not None:
            self.batch_env.restart(seed)
            super().reset(seed=seed)
        obs = self.batch_env.reset()
        self._name_levels(self._all)
        return self._own(obs), self._info(np.zeros(self.num_envs, np.uint32), self._all)

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One action per slot, int array [n]; ended slots are reset within the step."""
        obs, reward, terminated, truncated, events, final_obs = self.batch_env.step(actions)
        ended = terminated | truncated
        if not ended.any():
            info = self._info(events, self._all)
        else:
            final_info = self._info(events, ended)
            self._name_levels(ended)
            info = self._info(np.where(ended, np.uint32(0), events), self._all)
            finals = np.full(self.num_envs, None, object)
            for slot in np.flatnonzero(ended):
                finals[slot] = final_obs[slot].copy()
            info |= {"final_obs": finals, "_final_obs": ended.copy()}
            info |= {"final_info": final_info, "_final_info": ended}
        return self._own(obs), reward.copy(), terminated.copy(), truncated.copy(), info

    def _own(self, obs: Array) -> Array:
        return obs.copy() if self.copy else obs

    def _name_levels(self, slots: Array) -> None:
        """Note the seeds and hashes of the levels that these slots (bool [n]) have begun."""
        env = self.batch_env
        self._seeds[:] = env.episode.seed
        for slot in np.flatnonzero(slots):
            self._hashes[slot] = level_hash(env.world.level, int(slot))

    def _info(self, events: Array, mask: Array) -> dict[str, Any]:
        """The infos of the slots of the mask (bool [n])."""
        named: dict[str, Any] = {}
        mask = mask.copy()
        for e, event in enumerate(self.family.events):
            named[event.name.lower()] = (events >> np.uint32(e) & np.uint32(1) == 1) & mask
            named[f"_{event.name.lower()}"] = mask
        seeds, hashes = self._seeds.copy(), self._hashes.copy()
        info = {"events": named, "level_seed": seeds, "level_hash": hashes}
        return info | {f"_{name}": mask for name in info}

    def render(self) -> tuple[Any, ...]:
        """The present view of each slot."""
        slots = range(self.num_envs)
        return tuple(frame(self.batch_env, slot, self.render_mode) for slot in slots)
