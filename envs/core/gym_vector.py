"""The slots of a BatchEnv as one gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.gym_env import (
    RENDER_MODES,
    draw_seed,
    frame,
    observation_space,
    played,
)
from misgen.envs.core.levels import level_hash
from misgen.envs.core.types import Array, Autoreset, LevelDistribution

AUTORESET = {
    AutoresetMode.SAME_STEP: Autoreset.SAME_STEP,
    AutoresetMode.NEXT_STEP: Autoreset.NEXT_STEP,
}


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    for known in AUTORESET:
        if mode in (known, known.value):
            return known
    values = " or ".join(repr(known.value) for known in AUTORESET)
    raise ValueError(f"an autoreset_mode is {values} (gymnasium.vector.AutoresetMode); got {mode}")


def _limited(distribution: LevelDistribution, max_episode_steps: int | None) -> LevelDistribution:
    """Gymnasium says -1 for no limit but the environment's own."""
    if max_episode_steps in (None, -1):
        return distribution
    steps = min(distribution.horizon_steps, max_episode_steps)
    return replace(distribution, horizon_steps=steps)


class BatchVectorEnv(VectorEnv[Array, Array, Array]):
    """The slots of a BatchEnv as a gymnasium vector environment.

    Slot i plays the levels keyed (seed, i, 0), (seed, i, 1), ... after `reset(seed=s)`, those of a
    SingleEnv reset with s_i after `reset(seed=[s_0, s_1, ...])`; `reset()` goes on. `info` has
    `events` (dict of bool arrays; of the step, all false after a reset), `train_seed`, `level_seed`
    and `level_hash` (uint64 arrays, of the level that the observation shows). In the mode SAME_STEP
    it also has, where episodes ended, `final_obs`, an object array with the last observation of
    each, and `final_info`, the same four for the episode that ended, with gymnasium's masks
    `_final_obs` and `_final_info`. A copy (`copy.deepcopy`, pickle) goes on as the original does.

    Args:
        num_envs: number of slots.
        autoreset_mode: SAME_STEP: a slot whose episode ended begins the next one in the same step.
            NEXT_STEP: in the step after, which ignores its action and has no reward; this is what
            gymnasium's stateful wrappers ask for.
        max_episode_steps: a shorter time limit than the distribution's, as `gym.make` takes it.
        copy: False returns the observation buffer itself, which the next step overwrites.
        num_threads: upper bound; small batches use one.
        family, observation_mode, train_seed, render_mode, distribution: as SingleEnv.
    """

    metadata = {  # noqa: RUF012 (gymnasium's form)
        "autoreset_mode": AutoresetMode.SAME_STEP,  # an instance has its own
        "render_modes": RENDER_MODES,
        "render_fps": 8,
    }

    def __init__(
        self,
        family: str | Family,
        num_envs: int = 1,
        *,
        observation_mode: str | None = None,
        train_seed: int | Sequence[int] | None = None,
        render_mode: str | None = None,
        copy: bool = True,
        num_threads: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
        **distribution: Any,
    ) -> None:
        self.family, chosen = played(type(self), family, render_mode, distribution)
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.batch_env = env = BatchEnv(
            self.family,
            _limited(chosen, max_episode_steps),
            num_envs,
            train_seed=draw_seed() if train_seed is None else train_seed,
            observation_mode=observation_mode,
            num_threads=num_threads,
            autoreset=AUTORESET[self.autoreset_mode],
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
            ValueError: `seed` is not an integer >= 0 or one for each slot; there are options.
        """
        if options:
            raise ValueError(
                f"reset of a vector environment has no options; got {', '.join(options)}; "
                "BatchEnv.reset_to plays given levels"
            )
        if seed is not None:
            self.batch_env.restart(seed)
            super().reset(seed=seed if np.ndim(seed) == 0 else seed[0])
        obs = self.batch_env.reset()
        self._name_levels(self._all)
        return self._own(obs), self._info(np.zeros(self.num_envs, np.uint32), self._all)

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One action per slot, int array [n]; see `autoreset_mode`.

        Raises:
            ValueError: not an integer array [n] of actions.
            ResetNeeded: no episode was started.
        """
        began = self.batch_env.episode.done.copy()  # by autoreset in the next step
        obs, reward, terminated, truncated, events, final_obs = self.batch_env.step(actions)
        ended = terminated | truncated
        if self.autoreset_mode is AutoresetMode.NEXT_STEP or not ended.any():
            self._name_levels(began)
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

    @property
    def train_seed(self) -> int | list[int]:
        """What names the streams of levels: one seed, or one for each slot."""
        return self.batch_env.train_seed

    def _own(self, obs: Array) -> Array:
        return obs.copy() if self.copy else obs

    def _name_levels(self, slots: Array) -> None:
        """Note the seeds and hashes of the levels that these slots (bool [n]) have begun."""
        if not slots.any():
            return
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
        info = {
            "events": named,
            "train_seed": np.where(mask, self.batch_env.world.source.train_seed, np.uint64(0)),
            "level_seed": np.where(mask, self._seeds, np.uint64(0)),
            "level_hash": np.where(mask, self._hashes, np.uint64(0)),
        }
        return info | {f"_{name}": mask for name in info}

    def render(self) -> tuple[Any, ...]:
        """The present view of each slot."""
        slots = range(self.num_envs)
        return tuple(frame(self.batch_env, slot, self.render_mode) for slot in slots)
