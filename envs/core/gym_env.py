"""Gymnasium views of BatchEnv: one environment, and a native vector environment.

Both end episodes themselves (there is no TimeLimit wrapper) and hand out copies, so that an
observation kept by the caller is never overwritten. `info` names the events of the step and the
level by its seed and hash.
"""

from __future__ import annotations

import difflib
import inspect
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from misgen.envs.core import render
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.levels import drawn_levels, level_hash, variant_distribution
from misgen.envs.core.types import Array, Autoreset, LevelDistribution
from misgen.envs.families import find_family

RENDER_MODES = ["rgb_array", "ansi"]


def observation_space(mode: str, shape: tuple[int, ...]) -> spaces.Box:
    """Planes are 0 or 1, channels first; pictures are 0-255, channels last."""
    return spaces.Box(0, 1 if mode in render.PLANES else 255, shape, np.uint8)


def make_distribution(
    family: Family,
    *,
    cell: str | None = None,
    diversity: float = 0.0,
    variant: str | None = None,
    split: str | None = None,
    num_levels: int = 0,
    horizon_steps: int | None = None,
) -> LevelDistribution:
    """A level distribution by the names that gym.make takes.

    Args:
        cell: code; the family's default cell if None.
        diversity: d, the share of training levels whose cue is drawn independently of the goal.
        variant: one of the evaluation variants "00", "10", "01", "11" instead of training levels.
        split: "train", "held_out" or "any" geometries; by default those of training for training
            levels and held-out ones for a variant.
        num_levels: size of a finite level set; 0 = a new level every episode.
        horizon_steps: time limit; by default the training horizon, doubled where the variant's
            shift doubles it.

    Raises:
        ValueError: an unknown name or a value out of range; a variant together with `diversity`.
    """
    chosen = family.cell(cell or family.default_cell)
    if variant is None:
        base = replace(
            family.train_distribution(chosen, diversity),
            split=split or "train",  # type: ignore[arg-type]
            num_levels=num_levels,
        )
    elif diversity:
        raise ValueError(
            f"diversity belongs to training levels and variant {variant!r} to evaluation; "
            "give one of them"
        )
    else:
        base = replace(
            variant_distribution(chosen, variant, split or "held_out"),
            num_levels=num_levels,
            horizon_steps=chosen.horizon_factor(variant) * chosen.train_horizon_steps,
        )
    return base if horizon_steps is None else replace(base, horizon_steps=horizon_steps)


KEYWORDS = tuple(inspect.signature(make_distribution).parameters)[1:]


def played(
    made: type, family: str | Family, render_mode: str | None, distribution: Mapping[str, Any]
) -> tuple[Family, LevelDistribution]:
    """What an environment of the class `made` plays.

    Raises:
        ValueError: an unknown family or render mode; see also `make_distribution`.
    """
    own = [*inspect.signature(made).parameters][1:-1]  # not the family, not **distribution
    valid = [*own, *KEYWORDS]
    for word in distribution:
        if word not in KEYWORDS:
            nearest = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise ValueError(
                f"an environment is made with the keywords {', '.join(valid)}; got {word!r}{hint}"
            )
    family = family if isinstance(family, Family) else find_family(family)
    if render_mode not in (None, *RENDER_MODES):
        raise ValueError(f"a render_mode is None, {', '.join(RENDER_MODES)}; got {render_mode!r}")
    return family, make_distribution(family, **distribution)


def draw_seed() -> int:
    """A seed for those who name none."""
    return secrets.randbits(63)


def as_action(action: Any, num_actions: int) -> int:
    """One action, given as an integer or as an array of one; ValueError if it is none."""
    if type(action) in (int, np.int64) and 0 <= action < num_actions:
        return int(action)  # in a twentieth of the time
    given = np.asarray(action)
    if given.size != 1 or given.dtype.kind not in "iu" or not 0 <= given.item() < num_actions:
        raise ValueError(f"an action is an integer from 0 to {num_actions - 1}; got {action!r}")
    return int(given.item())


def _distribution(family: Family, value: Any) -> LevelDistribution:
    """The option "distribution": a LevelDistribution, or keywords of `make_distribution`."""
    if isinstance(value, LevelDistribution):
        return value
    if isinstance(value, Mapping):
        return make_distribution(family, **value)
    raise ValueError(
        "the option distribution is a LevelDistribution or a dict such as "
        f'{{"cell": "{family.default_cell}", "diversity": 0.5}}; got {value!r}'
    )


def frame(env: BatchEnv, slot: int, render_mode: str | None) -> Any:
    if render_mode is None:
        raise ValueError(
            "render needs a render_mode, chosen when the environment is made: "
            'gym.make(..., render_mode="rgb_array")'
        )
    draw = render.picture if render_mode == "rgb_array" else render.text
    return draw(env.family, env.cells[slot])


class SingleEnv(gymnasium.Env[Array, Any]):
    """One environment. `reset()` continues its stream of levels, `reset(seed=s)` restarts it at s.

    Options of `reset`: `level` (text as the family draws it, or Levels of length 1: play exactly
    this one) and `distribution` (a LevelDistribution or a dict of the keywords below: from now on).
    `info` of reset and step: `events` (dict of event name -> bool, of this step), `train_seed`,
    `level_seed` and `level_hash` (uint64). `render` shows the agent's view of the present state.
    A copy (`copy.deepcopy`, pickle) goes on as the original does.

    Args:
        family: a family or its name.
        observation_mode: one of the family's modes; its default if None.
        train_seed: integer >= 0, names the stream of levels until a `reset(seed=...)`; None: one
            is drawn. It can be read as an attribute.
        render_mode: "rgb_array" (uint8 [rows * 8, cols * 8, 3]) or "ansi".
        distribution: keywords of `make_distribution`: cell, diversity, variant, split, num_levels,
            horizon_steps.
    """

    metadata = {"render_modes": RENDER_MODES, "render_fps": 8}  # noqa: RUF012 (gymnasium's form)

    def __init__(
        self,
        family: str | Family,
        *,
        observation_mode: str | None = None,
        train_seed: int | None = None,
        render_mode: str | None = None,
        **distribution: Any,
    ) -> None:
        self.family, chosen = played(type(self), family, render_mode, distribution)
        self.render_mode = render_mode
        self._event_names = [event.name.lower() for event in self.family.events]
        self._infos: dict[int, dict[str, bool]] = {}
        self._action = np.zeros(1, np.int64)
        seed = draw_seed() if train_seed is None else train_seed
        self._build(chosen, observation_mode, seed)
        env = self.batch_env
        self.observation_space = observation_space(env.observation_mode, env.observation_shape)
        self.action_space = spaces.Discrete(len(self.family.actions))

    def _build(self, distribution: LevelDistribution, mode: str | None, train_seed: int) -> None:
        self.batch_env = BatchEnv(
            self.family,
            distribution,
            1,
            train_seed=train_seed,
            observation_mode=mode,
            autoreset=Autoreset.NEVER,
        )
        self._ended = True

    @property
    def train_seed(self) -> int:
        """What names the stream of levels."""
        return int(self.batch_env.world.source.train_seed[0])

    def _switch(self, distribution: LevelDistribution) -> None:
        """Continue the stream of levels with another sampler."""
        old = self.batch_env
        if distribution is old.distribution:
            return
        self._build(distribution, old.observation_mode, self.train_seed)
        self.batch_env.episode.index[:] = old.episode.index

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start an episode; see the class.

        Raises:
            ValueError: a negative seed, an unknown option, a drawing that is no legal level.
        """
        options = options or {}
        if unknown := sorted(options.keys() - {"level", "distribution"}):
            raise ValueError(f"the options of reset are level, distribution; got {unknown}")
        if options.get("distribution") is not None:
            self._switch(_distribution(self.family, options["distribution"]))
        if seed is not None:
            self.batch_env.restart(seed)
            super().reset(seed=seed)  # gymnasium's own generator, which nothing here draws from
        level = options.get("level")
        if isinstance(level, str):
            level = drawn_levels(self.family, self.batch_env.distribution.cell, level)
        obs = self.batch_env.reset() if level is None else self.batch_env.reset_to(level)
        self._ended = False
        self._level_seed = self.batch_env.episode.seed[0]
        self._level_hash = np.uint64(level_hash(self.batch_env.world.level, 0))
        self._named_seed = np.uint64(self.train_seed)
        return obs[0].copy(), self._info(0)

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One action.

        Raises:
            ValueError: no action of the family.
            ResetNeeded: the episode has ended.
        """
        if self._ended:
            raise ResetNeeded("the episode has ended, or none was started; call reset() first")
        self._action[0] = as_action(action, len(self.family.actions))
        out = self.batch_env.step_checked(self._action)
        is_terminated, is_truncated = bool(out.terminated[0]), bool(out.truncated[0])
        self._ended = is_terminated or is_truncated
        info = self._info(int(out.events[0]))
        return out.obs[0].copy(), float(out.reward[0]), is_terminated, is_truncated, info

    def _info(self, events: int) -> dict[str, Any]:
        named = self._infos.get(events)
        if named is None:
            named = {name: bool(events >> e & 1) for e, name in enumerate(self._event_names)}
            self._infos[events] = named
        return {
            "events": named.copy(),
            "train_seed": self._named_seed,
            "level_seed": self._level_seed,
            "level_hash": self._level_hash,
        }

    def render(self) -> Any:
        """The present view as a picture or as text, by `render_mode`."""
        return frame(self.batch_env, 0, self.render_mode)
