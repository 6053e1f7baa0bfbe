"""BatchEnv: n environments of one family stepped together into buffers that the caller may own.

An environment that ends is by default reset within the same step (gymnasium's SAME_STEP autoreset):
its last observation is in `final_obs`. The k-th level of slot i is keyed (train_seed, i, k), so
neither the batch size nor the number of threads changes what a slot sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from gymnasium.error import ResetNeeded

from misgen.envs.core.compile import bind, kernel
from misgen.envs.core.episode import (
    START_NEXT,
    START_SAME,
    STEP,
    World,
    check_buffers,
    empty_buffers,
    new_world,
    run_kernel,
    seed_of,
    set_seed,
)
from misgen.envs.core.family import Family
from misgen.envs.core.levels import Levels, no_level, rule_holes
from misgen.envs.core.render import Renderer, empty_view
from misgen.envs.core.types import Array, Autoreset, LevelDistribution, StepResult

MIN_CHUNK = 256  # environments a thread must have before another one is worth waking


class BatchEnv:
    """n environments of one family.

    Args:
        family, distribution: what is played. `distribution.horizon_steps` is the time limit.
        num_envs: n.
        train_seed: names the streams of levels: an integer >= 0, or one for each slot; see
            `restart`.
        observation_mode: one of `family.modes`.
        num_threads: upper bound; small batches use one.
        autoreset: when a slot whose episode ended goes on, see Autoreset.
        interpreted: run the rules as plain Python.

    A copy (`copy.deepcopy`, pickle) goes on as the original does; it has buffers of its own.

    Attributes:
        buffers: where `step` writes; assign `buffers._replace(obs=...)` to have it elsewhere, in
            any C-contiguous array.
        episode, finished: counters of the running and of the last finished episode of each slot.
    """

    def __init__(
        self,
        family: Family,
        distribution: LevelDistribution,
        num_envs: int,
        *,
        train_seed: int | Sequence[int],
        observation_mode: str | None = None,
        num_threads: int = 1,
        autoreset: Autoreset = Autoreset.SAME_STEP,
        interpreted: bool = False,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs is at least 1; got {num_envs}")
        if num_threads < 1:
            raise ValueError(f"num_threads is at least 1; got {num_threads}")
        family.check_params(distribution.params)
        if distribution.horizon_steps < 1:
            raise ValueError(f"horizon_steps is at least 1; got {distribution.horizon_steps}")
        self.family, self.distribution, self.num_envs = family, distribution, num_envs
        self.renderer = Renderer(family, distribution.cell, observation_mode)
        self.observation_mode = self.renderer.mode
        self.num_threads, self.autoreset = num_threads, Autoreset(autoreset)
        self.interpreted = interpreted
        self._pool = ThreadPoolExecutor(num_threads) if num_threads > 1 else None
        self._scratch = [family.empty_scratch() for _ in range(num_threads)]  # one a thread
        self._view = empty_view(num_envs, family)
        self.world = new_world(family, distribution, num_envs, self.autoreset)
        self._varied: tuple[int, Any] = num_envs, distribution.params  # see `vary`
        self.episode, self.finished = self.world.episode, self.world.finished
        self.restart(train_seed)
        self.buffers = self.empty_buffers()
        holes = {
            "family_reset": family.reset,
            "family_step": family.step,
            "family_observe": family.observe,
            "NUM_ACTIONS": len(family.actions),
            **rule_holes(family),
            **self.renderer.holes,
        }
        name = f"run_{family.name}_{self.renderer.drawn}"
        self._kernel = kernel(run_kernel, name, interpreted=interpreted, **holes)
        self._bound: Any = None
        self._is_reset = False
        self._no_actions = np.zeros(num_envs, np.int64)

    @classmethod
    def on(
        cls,
        levels: Levels,
        horizon_steps: Any = None,
        *,
        observation_mode: str | None = "planes",
        interpreted: bool = False,
    ) -> BatchEnv:
        """Every level in one slot, at its start, with nothing reset at an episode's end.

        `horizon_steps`: see `reset_to`; None = that of training.
        """
        env = cls(
            levels.family,
            levels.family.train_distribution(levels.cell),
            len(levels),
            train_seed=0,
            observation_mode=observation_mode,
            interpreted=interpreted,
        )
        env.reset_to(levels, horizon_steps)
        return env

    @property
    def buffers(self) -> StepResult:
        return self._buffers

    @buffers.setter
    def buffers(self, buffers: StepResult) -> None:
        check_buffers(buffers, self.empty_buffers())
        words = buffers._replace(
            obs=self.renderer.as_kernel_sees(buffers.obs),
            final_obs=self.renderer.as_kernel_sees(buffers.final_obs),
        )
        if not (words.obs.flags.aligned and words.final_obs.flags.aligned):
            raise ValueError("obs and final_obs begin at a multiple of 8 bytes; these do not")
        self._buffers, self._words = buffers, words

    @property
    def observation_shape(self) -> tuple[int, ...]:
        return self.renderer.shape

    @property
    def cells(self) -> Array:
        """[n, rows, cols]: what each slot shows now without noise or window, bit p = plane p is
        visible."""
        return self._view.cells

    def whole_level(self, i: int) -> Array | None:
        """[rows, cols]: the whole level of slot i as it is now, bit p = plane p is visible there;
        None if the family does not paint it."""
        with np.errstate(over="ignore"):
            paint = self.family.paint
            return None if paint is None else paint(i, self.world.level, self.world.state)

    @property
    def bytes_per_env(self) -> int:
        """Memory of one environment, without what does not grow with their number (scratch)."""
        arrays = [*self.world.level, *self.world.state, *self.world.rng, *self.episode]
        arrays += [*self.finished, self._view.cells, self._view.back, *self.buffers]
        return sum(a.nbytes for a in arrays) // self.num_envs

    def empty_buffers(self) -> StepResult:
        return empty_buffers(self.num_envs, self.observation_shape)

    def reset(self, train_seed: int | None = None, *, repeats: bool = False) -> Array:
        """Start every slot on the next level of its stream; `train_seed` restarts the streams.

        repeats: every slot plays this level again and again, until the next reset.
        """
        if train_seed is not None:
            self.restart(train_seed)
        self._set_autoreset(Autoreset.SAME_LEVEL if repeats else self.autoreset)
        self.episode.horizon[:] = self.distribution.horizon_steps
        return self._start(fresh=True)

    @property
    def train_seed(self) -> int | list[int]:
        """What names the streams of levels; see `restart`."""
        return seed_of(self.world.source)

    def restart(self, train_seed: int | Sequence[int]) -> None:
        """Let the streams begin anew at the next `reset`; what is being played goes on.

        Args:
            train_seed: an integer for all slots, whose streams differ; or one for each slot, which
                then plays what an environment of one slot plays with that seed.
        """
        set_seed(self.world.source, train_seed)
        self.episode.index[:] = -1

    def vary(self, first: int, params: NamedTuple) -> None:
        """Let the slots from `first` on draw their levels, from the next one on, with other
        parameters of the family.

        Raises:
            ValueError: parameters outside their ranges.
        """
        self.family.check_params(params)
        self._varied = first, params._make(map(int, params))

    def reset_to(
        self, levels: Levels, horizon_steps: Any = None, *, repeats: bool = False
    ) -> Array:
        """Start slot i on level i; nothing is reset when an episode ends.

        Args:
            levels: as many as slots, of this family and cell (which sets the rewards).
            horizon_steps: int or int array [n]; the distribution's if None.
            repeats: instead, level i is played again and again.
        """
        if len(levels) != self.num_envs or levels.family is not self.family:
            raise ValueError(
                f"reset_to needs {self.num_envs} levels of {self.family.name}; "
                f"got {len(levels)} of {levels.family.name}"
            )
        cell = self.distribution.cell
        if levels.cell.code != cell.code:
            raise ValueError(
                f"this environment rewards by cell {cell.code} and the levels are of cell "
                f"{levels.cell.code}; make it with a distribution of that cell"
            )
        for own, given in zip(self.world.level, levels.level, strict=True):
            own[...] = given
        self.episode.seed[:] = levels.seeds
        self.episode.broken[:] = levels.broken
        default = self.distribution.horizon_steps
        self.episode.horizon[:] = default if horizon_steps is None else horizon_steps
        self._set_autoreset(Autoreset.SAME_LEVEL if repeats else Autoreset.NEVER)
        return self._start(fresh=False)

    def step(self, actions: Array) -> StepResult:
        """Advance all slots by one action each (int array [n]); see StepResult.

        Raises:
            ValueError: not an array [n] of actions of the family. What was stepped is undefined.
            ResetNeeded: `reset` comes first.
        """
        if not self._is_reset:
            raise ResetNeeded("no episode was started; call reset() before step()")
        given = np.asarray(actions)
        if given.shape != (self.num_envs,) or given.dtype.kind not in "iu":
            raise ValueError(
                f"actions are an integer array [{self.num_envs}]; got {given.dtype} "
                f"{list(given.shape)}: {actions!r:.80}"
            )
        return self.step_checked(np.ascontiguousarray(given, np.int64))

    def step_checked(self, actions: Array) -> StepResult:
        """`step` after a reset, for a C-contiguous int64 array [n]; returns the buffers."""
        wrong = self._run(STEP, actions)
        if wrong > 0:
            raise ValueError(
                f"actions are integers 0 to {len(self.family.actions) - 1} "
                f"({', '.join(self.family.actions)}); {wrong} are not, among "
                f"{sorted({*actions.tolist()})[:10]}"
            )
        return self._buffers

    def levels(self) -> Levels:
        """A copy of the levels being played."""
        level = self.world.level
        return Levels(
            family=self.family,
            cell=self.distribution.cell,
            level=type(level)(*(a.copy() for a in level)),
            seeds=self.episode.seed.copy(),
            broken=self.episode.broken.copy(),
        )

    def get_state(self) -> list[Array]:
        """A copy of everything the future depends on, and of all that the last step wrote."""
        first, params = self._varied
        flags = np.array([self.world.source.autoreset, self._is_reset, first, *params], np.int64)
        return [flags, *(array.copy() for array in self._future())]

    def set_state(self, saved: list[Array]) -> None:
        """Continue from `get_state()` of an environment of the same family and size."""
        (autoreset, is_reset, first, *params), *arrays = saved
        self._set_autoreset(Autoreset(autoreset))
        self._is_reset = bool(is_reset)
        self._varied = int(first), self.distribution.params._make(map(int, params))
        for own, given in zip(self._future(), arrays, strict=True):
            own[...] = given

    def _future(self) -> list[Array]:
        world, out = self.world, self.buffers
        arrays = [*world.level, *world.state, *world.rng, *world.source[:2], *self.episode]
        return [*arrays, *self.finished, out.obs, out.final_obs, *out[1:5], self._view.cells]

    def __reduce__(self) -> tuple[Any, ...]:
        kept = ("observation_mode", "num_threads", "autoreset", "interpreted")
        make = partial(type(self), train_seed=0, **{name: getattr(self, name) for name in kept})
        return make, (self.family, self.distribution, self.num_envs), self.get_state()

    __setstate__ = set_state

    def _set_autoreset(self, when: Autoreset) -> None:
        source = self.world.source._replace(autoreset=np.int64(when))
        self.world = self.world._replace(source=source)

    def _start(self, fresh: bool) -> Array:
        self.buffers.terminated[:] = self.buffers.truncated[:] = False
        self._run(START_NEXT if fresh else START_SAME, self._no_actions)
        self._is_reset = True
        return self.buffers.obs

    def _run(self, command: int, actions: Array) -> int:
        """Run the kernel on all slots; returns the sum of what its chunks return.

        Raises:
            ValueError: no level of the distribution could be drawn.
        """
        n = self.num_envs
        args: Any = (command, actions, self._view, self.renderer.themes, self._words)
        if self._bound is None:
            self._bound = bind(self._kernel, 0, n, self.world, self._scratch[0], *args)
        first, params = self._varied
        total = self._run_chunks(0, first, self.world, args)
        if first < n:
            total += self._run_chunks(first, n, self.world._replace(params=params), args)
        if total < 0:
            raise ValueError(no_level(self.family, self.distribution))
        if self.renderer.window is not None:
            out = self._buffers
            out.obs[:] *= self.renderer.window
            out.final_obs[out.terminated | out.truncated] *= self.renderer.window
        return total

    def _run_chunks(self, lo: int, hi: int, world: World, args: Any) -> int:
        """The slots from lo on and before hi, in threads where that is worth it."""
        chunks = min(self.num_threads, (hi - lo) // MIN_CHUNK)
        if self._pool is None or chunks < 2:
            return int(self._bound(lo, hi, world, self._scratch[0], *args))
        edges = [lo + (hi - lo) * k // chunks for k in range(chunks + 1)]
        jobs = [
            self._pool.submit(self._bound, first, end, world, scratch, *args)
            for (first, end), scratch in zip(pairwise(edges), self._scratch, strict=False)
        ]
        return sum(job.result() for job in jobs)
