"""BatchEnv: n environments of one family stepped together into buffers that the caller may own.

An environment that ends is reset within the same step (gymnasium's SAME_STEP autoreset): its last
observation is in `final_obs`. The k-th level of slot i is keyed (train_seed, i, k), so neither the
batch size nor the number of threads changes what a slot sees.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from misgen.envs.compile import bind, hole, kernel
from misgen.envs.levels import SPLITS, Levels, as_seed, draw_level, no_level, rule_holes
from misgen.envs.random import Rng, Stream, bernoulli, combine, empty_rng, mix, seed_rng
from misgen.envs.render import Renderer, empty_view
from misgen.envs.types import NEVER, Array, Family, LevelDistribution, StepResult, event_bits

STEP, START_NEXT, START_SAME = range(3)  # commands to the kernel
MIN_CHUNK = 256  # environments a thread must have before another one is worth waking

family_reset = hole("family_reset")
family_step = hole("family_step")
family_observe = hole("family_observe")
draw_view = hole("draw_view")
disturb = hole("disturb")
NUM_ACTIONS = 0


class Episode(NamedTuple):
    """Counters of n episodes; E = number of the family's events."""

    seed: Array  # uint64 [n], level seed
    index: Any  # int64 [n], how many episodes the slot played before
    broken: Array  # bool [n], whether the level took the broken draw
    length: Array  # int32 [n], steps so far
    horizon: Array  # int32 [n], time limit in steps
    done: Array  # bool [n], ended and not reset
    total: Array  # float64 [n], undiscounted return so far
    counts: Array  # int32 [n, E], steps in which each event happened
    first: Array  # int32 [n, E], step of its first occurrence (from 1), NEVER if none


class Source(NamedTuple):
    """Where the next level comes from (scalars; see LevelDistribution)."""

    train_seed: np.uint64
    diversity: np.float64
    cue: np.int64
    split: np.int64
    num_levels: np.int64
    autoreset: np.int64


class World(NamedTuple):
    """Everything a kernel touches."""

    level: Any  # the family's Level
    state: Any  # the family's State
    rng: Rng
    episode: Episode
    finished: Episode  # of the last episode that ended in each slot
    source: Source
    params: Any  # the family's Params
    rewards: Array  # float64 [E]
    terminal: np.int64  # bit mask of events that end the episode


class Buffers(NamedTuple):
    """Where a step is written; any array may be the caller's, C-contiguous."""

    obs: Array  # uint8 [n, *observation_shape]
    final_obs: Array  # uint8 [n, *observation_shape]
    reward: Array  # float32 [n]
    terminated: Array  # bool [n]
    truncated: Array  # bool [n]
    events: Array  # uint32 [n]


def empty_episode(n: int, num_events: int) -> Episode:
    return Episode(
        seed=np.zeros(n, np.uint64),
        index=np.full(n, -1, np.int64),
        broken=np.zeros(n, np.bool_),
        length=np.zeros(n, np.int32),
        horizon=np.zeros(n, np.int32),
        done=np.zeros(n, np.bool_),
        total=np.zeros(n, np.float64),
        counts=np.zeros((n, num_events), np.int32),
        first=np.full((n, num_events), NEVER, np.int32),
    )


def clear_events(i, first, counts):
    """No event has happened yet."""
    for event in range(counts.shape[1]):
        counts[i, event] = 0
        first[i, event] = NEVER


def count_events(i, events, step, first, counts):
    """Add the events (bits) of a step, numbered from 1."""
    for event in range(counts.shape[1]):
        if (events >> event) & 1:
            if counts[i, event] == 0:
                first[i, event] = step
            counts[i, event] += 1


def reward_of(rewards, events):
    """The reward of a set of events (bits)."""
    reward = 0.0
    for event in range(rewards.shape[0]):
        if (events >> event) & 1:
            reward += rewards[event]
    return reward


def begin(i, world):
    """Put environment i at the start of its level."""
    episode = world.episode
    family_reset(i, world.level, world.state)
    episode.length[i] = 0
    episode.done[i] = False
    episode.total[i] = 0.0
    clear_events(i, episode.first, episode.counts)


def next_level(i, world):
    """Draw environment i's next level; returns 0 if there is none to be had."""
    episode, source = world.episode, world.source
    episode.index[i] += 1
    seed = combine(combine(mix(source.train_seed), i), episode.index[i])
    if source.num_levels > 0:
        seed = combine(mix(source.train_seed), np.int64(seed % np.uint64(source.num_levels)))
    seed_rng(i, world.rng, seed)
    broken = bernoulli(i, world.rng, Stream.BROKEN, source.diversity)
    cue_draw = 1 if broken else source.cue
    episode.seed[i] = seed
    episode.broken[i] = broken
    return draw_level(
        i, world.level, world.state, world.rng, world.params, seed, cue_draw, source.split
    )


def finish(i, world):
    """Keep the counters of the episode that ended."""
    episode, finished = world.episode, world.finished
    finished.seed[i] = episode.seed[i]
    finished.index[i] = episode.index[i]
    finished.broken[i] = episode.broken[i]
    finished.length[i] = episode.length[i]
    finished.horizon[i] = episode.horizon[i]
    finished.total[i] = episode.total[i]
    for event in range(episode.counts.shape[1]):
        finished.counts[i, event] = episode.counts[i, event]
        finished.first[i, event] = episode.first[i, event]


def advance(i, world, action):
    """One step of environment i and its accounts; returns (event bits, reward)."""
    episode = world.episode
    events = family_step(i, world.level, world.state, action)
    episode.length[i] += 1
    if events == 0:  # most steps
        return events, 0.0
    count_events(i, events, episode.length[i], episode.first, episode.counts)
    reward = reward_of(world.rewards, events)
    episode.total[i] += reward
    return events, reward


def count_wrong(lo, hi, world, actions):
    """How many running environments got an action that the family does not have."""
    wrong = 0
    for i in range(lo, hi):
        if not world.episode.done[i] and (actions[i] < 0 or actions[i] >= NUM_ACTIONS):
            wrong += 1
    return wrong


def show(i, world, view, themes, pictures):
    """Draw what environment i sees now."""
    family_observe(i, world.level, world.state, view.cells)
    if world.level.disturbed[i] == 0:
        draw_view(i, view, themes[0], pictures)
    else:
        episode = world.episode
        key = combine(combine(mix(episode.seed[i]), Stream.DYNAMICS), episode.length[i])
        disturb(i, view, themes[1], key, pictures)


def take_step(i, world, action, view, themes, out):
    """Step environment i. Returns whether its next level has to be started."""
    episode = world.episode
    events, reward = advance(i, world, action)
    terminated = (events & world.terminal) != 0
    truncated = not terminated and episode.length[i] >= episode.horizon[i]
    out.reward[i] = reward
    out.events[i] = events
    out.terminated[i] = terminated
    out.truncated[i] = truncated
    if not (terminated or truncated):
        return False
    finish(i, world)
    show(i, world, view, themes, out.final_obs)
    episode.done[i] = world.source.autoreset == 0
    return not episode.done[i]


def run_kernel(lo, hi, world, command, actions, view, themes, out):
    """Step or start environments lo..hi-1 and show them. Ended and not reset: nothing happens.

    One kernel for all commands, because drawing a level is most of what has to be compiled.
    Returns the number of wrong actions (if there is any, nothing is stepped), or minus the number
    of environments for which no level could be drawn.
    """
    failed = 0
    wrong = count_wrong(lo, hi, world, actions) if command == STEP else 0
    if wrong > 0:
        return wrong
    for i in range(lo, hi):
        starts = True
        if command == STEP:
            if world.episode.done[i]:
                out.reward[i] = 0.0
                out.events[i] = 0
                continue
            starts = take_step(i, world, np.int64(actions[i]), view, themes, out)
        if starts:
            if command != START_SAME and next_level(i, world) == 0:
                failed += 1
            begin(i, world)
        show(i, world, view, themes, out.obs)
    return -failed


class BatchEnv:
    """n environments of one family.

    Args:
        family, distribution: what is played. `distribution.horizon_steps` is the time limit.
        num_envs: n.
        train_seed: integer >= 0; names the stream of levels.
        observation_mode: one of `family.modes`.
        num_threads: upper bound; small batches use one.
        autoreset: start the next level in the step in which an episode ends; otherwise slots that
            ended stand still until `reset`.
        interpreted: run the rules as plain Python.

    Attributes:
        buffers: where `step` writes; assign `buffers._replace(obs=...)` to have it elsewhere.
        episode, finished: counters of the running and of the last finished episode of each slot.
    """

    def __init__(
        self,
        family: Family,
        distribution: LevelDistribution,
        num_envs: int,
        *,
        train_seed: int = 0,
        observation_mode: str | None = None,
        num_threads: int = 1,
        autoreset: bool = True,
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
        self.num_threads, self.autoreset = num_threads, autoreset
        self._pool = ThreadPoolExecutor(num_threads) if num_threads > 1 else None
        self._view = empty_view(num_envs, family)
        self._build_world(train_seed)
        self.buffers = self.empty_buffers()
        name = f"{family.name}_{self.observation_mode}"
        holes = {
            "family_reset": family.reset,
            "family_step": family.step,
            "family_observe": family.observe,
            "NUM_ACTIONS": len(family.actions),
            **rule_holes(family),
            **self.renderer.holes,
        }
        self._kernel = kernel(run_kernel, f"run_{name}", interpreted=interpreted, **holes)
        self._bound: Any = None
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
            observation_mode=observation_mode,
            interpreted=interpreted,
        )
        env.reset_to(levels, horizon_steps)
        return env

    def _build_world(self, train_seed: int) -> None:
        family, distribution, n = self.family, self.distribution, self.num_envs
        cell, num_events = distribution.cell, len(family.events)
        self.episode = empty_episode(n, num_events)
        self.finished = empty_episode(n, num_events)
        self.episode.horizon[:] = distribution.horizon_steps
        self.world = World(
            level=family.empty_level(n),
            state=family.empty_state(n),
            rng=empty_rng(n),
            episode=self.episode,
            finished=self.finished,
            source=Source(
                train_seed=as_seed(train_seed),
                diversity=np.float64(distribution.diversity),
                cue=np.int64(distribution.cue),
                split=np.int64(SPLITS[distribution.split]),
                num_levels=np.int64(distribution.num_levels),
                autoreset=np.int64(self.autoreset),
            ),
            params=distribution.params,
            rewards=cell.reward_weights(num_events),
            terminal=event_bits(cell.terminal),
        )

    @property
    def buffers(self) -> Buffers:
        return self._buffers

    @buffers.setter
    def buffers(self, buffers: Buffers) -> None:
        for name, dtype, shape in self._buffer_types():
            array = getattr(buffers, name)
            if array.dtype != dtype or array.shape != shape or not array.flags.carray:
                raise ValueError(
                    f"{name} is a writeable C-contiguous {np.dtype(dtype)} array {list(shape)}; "
                    f"got {array.dtype} {list(array.shape)}"
                )
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
        """[n, rows, cols]: what each slot shows now without noise, bit p = plane p is visible there
        (see `misgen.envs.render.cell_type`)."""
        cells: Array = self._view.cells
        return cells

    @property
    def bytes_per_env(self) -> int:
        """Memory of one environment: level, state, generator, counters, view and buffers."""
        arrays = [*self.world.level, *self.world.state, *self.world.rng, *self.episode]
        arrays += [*self.finished, self._view.cells, self._view.back, *self.buffers]
        return sum(a.nbytes for a in arrays) // self.num_envs

    def empty_buffers(self) -> Buffers:
        return Buffers(**{name: np.zeros(shape, d) for name, d, shape in self._buffer_types()})

    def _buffer_types(self) -> list[tuple[str, Any, tuple[int, ...]]]:
        n = self.num_envs
        pictures = (n, *self.observation_shape)
        return [
            ("obs", np.uint8, pictures),
            ("final_obs", np.uint8, pictures),
            ("reward", np.float32, (n,)),
            ("terminated", np.bool_, (n,)),
            ("truncated", np.bool_, (n,)),
            ("events", np.uint32, (n,)),
        ]

    def reset(self, train_seed: int | None = None) -> Array:
        """Start every slot on the next level of its stream; `train_seed` restarts the streams."""
        if train_seed is not None:
            self.restart(train_seed)
        self._set_autoreset(self.autoreset)
        self.episode.horizon[:] = self.distribution.horizon_steps
        return self._start(fresh=True)

    def restart(self, train_seed: int) -> None:
        """Let the streams begin anew at the next `reset`; what is being played goes on."""
        source = self.world.source._replace(train_seed=as_seed(train_seed))
        self.world = self.world._replace(source=source)
        self.episode.index[:] = -1

    def reset_to(self, levels: Levels, horizon_steps: Any = None) -> Array:
        """Start slot i on level i; nothing is reset when an episode ends.

        Args:
            levels: as many as slots, of this family and cell (which sets the rewards).
            horizon_steps: int or int array [n]; the distribution's if None.
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
        self._set_autoreset(False)
        return self._start(fresh=False)

    def step(self, actions: Array) -> StepResult:
        """Advance all slots by one action each (int array [n]); see StepResult.

        Raises:
            ValueError: not an array [n] of actions of the family. What was stepped is undefined.
        """
        actions = np.ascontiguousarray(actions, np.int64)
        if actions.shape != (self.num_envs,):
            raise ValueError(f"actions are an array [{self.num_envs}]; got {actions.shape}")
        wrong = self._run(STEP, actions)
        if wrong > 0:
            raise ValueError(
                f"actions are integers 0 to {len(self.family.actions) - 1} "
                f"({', '.join(self.family.actions)}); {wrong} are not, among "
                f"{sorted({*actions.tolist()})[:10]}"
            )
        out = self.buffers
        return StepResult(
            out.obs, out.reward, out.terminated, out.truncated, out.events, out.final_obs
        )

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
        """A copy of everything the future depends on, the present observation included."""
        source = self.world.source
        streams = np.array([source.train_seed, source.autoreset], np.uint64)
        return [streams, *(array.copy() for array in self._future())]

    def set_state(self, saved: list[Array]) -> None:
        """Continue from `get_state()` of an environment of the same family and size."""
        streams, *arrays = saved
        source = self.world.source._replace(train_seed=streams[0])
        self.world = self.world._replace(source=source)
        self._set_autoreset(bool(streams[1]))
        for own, given in zip(self._future(), arrays, strict=True):
            own[...] = given

    def _future(self) -> list[Array]:
        return [
            *self.world.level,
            *self.world.state,
            *self.world.rng,
            *self.episode,
            self.buffers.obs,
        ]

    def _set_autoreset(self, on: bool) -> None:
        source = self.world.source._replace(autoreset=np.int64(on))
        self.world = self.world._replace(source=source)

    def _start(self, fresh: bool) -> Array:
        for flags in (self.buffers.terminated, self.buffers.truncated):
            flags[:] = False
        self._run(START_NEXT if fresh else START_SAME, self._no_actions)
        return self.buffers.obs

    def _run(self, command: int, actions: Array) -> int:
        """Run the kernel on all slots; returns the sum of what its chunks return.

        Raises:
            ValueError: no level of the distribution could be drawn.
        """
        n = self.num_envs
        args: Any = (self.world, command, actions, self._view, self.renderer.themes, self._words)
        if self._bound is None:
            self._bound = bind(self._kernel, 0, n, *args)
        run = self._bound
        chunks = min(self.num_threads, n // MIN_CHUNK)
        if self._pool is None or chunks < 2:
            total = int(run(0, n, *args))
        else:
            edges = [n * k // chunks for k in range(chunks + 1)]
            jobs = [self._pool.submit(run, lo, hi, *args) for lo, hi in pairwise(edges)]
            total = sum(job.result() for job in jobs)
        if total < 0:
            raise ValueError(no_level(self.family, self.distribution))
        return total
