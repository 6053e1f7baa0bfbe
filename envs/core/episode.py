"""One episode of one environment, as rules: its start, its steps, its accounts and its end.

`run_kernel` is the loop over environments that BatchEnv compiles for a family.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from misgen.envs.core.compile import hole
from misgen.envs.core.family import Family
from misgen.envs.core.levels import Sampler, as_seed, draw_level, sampler_of
from misgen.envs.core.random import Rng, Stream, combine, empty_rng, mix
from misgen.envs.core.types import (
    NEVER,
    Array,
    Autoreset,
    LevelDistribution,
    StepResult,
    event_bits,
)

STEP, START_NEXT, START_SAME = range(3)  # commands to the kernel
family_reset = hole("family_reset")
family_step = hole("family_step")
family_observe = hole("family_observe")
draw_view = hole("draw_view")
disturb = hole("disturb")
is_disturbed = hole("is_disturbed")
NUM_ACTIONS = hole("NUM_ACTIONS")


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
    """Which level comes next: the k-th of slot i is keyed (train_seed[i], slot[i], k)."""

    train_seed: Array  # uint64 [n]
    slot: Array  # int64 [n]: i, or 0 where every slot has a seed of its own
    num_levels: np.int64  # of a finite set; 0 = unlimited
    autoreset: np.int64  # Autoreset


class World(NamedTuple):
    """Everything a kernel touches."""

    level: Any  # the family's Level
    state: Any  # the family's State
    rng: Rng
    episode: Episode
    finished: Episode  # of the last episode that ended in each slot
    source: Source
    sampler: Sampler
    params: Any  # the family's Params
    rewards: Array  # float64 [E]
    once: np.int64  # bit mask of events that are rewarded the first time only
    terminal: np.int64  # ... that end the episode


def empty_buffers(n: int, observation_shape: tuple[int, ...]) -> StepResult:
    """Where a step of n environments is written."""
    return StepResult(
        obs=np.zeros((n, *observation_shape), np.uint8),
        reward=np.zeros(n, np.float32),
        terminated=np.zeros(n, np.bool_),
        truncated=np.zeros(n, np.bool_),
        events=np.zeros(n, np.uint32),
        final_obs=np.zeros((n, *observation_shape), np.uint8),
    )


def check_buffers(buffers: StepResult, like: StepResult) -> None:
    """ValueError unless the kernels can write a step into them as into those of `like`."""
    for name, array, wanted in zip(like._fields, buffers, like, strict=True):
        same = array.dtype == wanted.dtype and array.shape == wanted.shape
        if not (same and array.flags.carray):
            raise ValueError(
                f"{name} is a writeable C-contiguous {wanted.dtype} array {list(wanted.shape)}; "
                f"got {array.dtype} {list(array.shape)}"
            )


def set_seed(source: Source, train_seed: int | Sequence[int]) -> None:
    """Name the streams: by one seed, or by one for each slot; see `BatchEnv.restart`."""
    if np.ndim(train_seed) == 0:
        source.train_seed[:] = as_seed(train_seed)
        source.slot[:] = np.arange(len(source.slot))
        return
    seeds = [as_seed(seed) for seed in train_seed]  # type: ignore[union-attr]
    if len(seeds) != len(source.slot):
        raise ValueError(f"a list has a seed for each of {len(source.slot)} slots; got {seeds}")
    source.train_seed[:] = seeds
    source.slot[:] = 0


def seed_of(source: Source) -> int | list[int]:
    """What `set_seed` was given."""
    seeds = [int(seed) for seed in source.train_seed]
    return seeds[0] if source.slot[-1] == len(seeds) - 1 else seeds


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


def new_world(
    family: Family, distribution: LevelDistribution, n: int, autoreset: Autoreset
) -> World:
    """n environments that were never reset."""
    cell, num_events = distribution.cell, len(family.events)
    return World(
        level=family.empty_level(n),
        state=family.empty_state(n),
        rng=empty_rng(n),
        episode=empty_episode(n, num_events),
        finished=empty_episode(n, num_events),
        source=Source(
            train_seed=np.zeros(n, np.uint64),
            slot=np.arange(n),
            num_levels=np.int64(distribution.num_levels),
            autoreset=np.int64(autoreset),
        ),
        sampler=sampler_of(family, distribution),
        params=distribution.params,
        rewards=cell.reward_weights(num_events),
        once=event_bits(cell.rewarded_once),
        terminal=event_bits(cell.terminal),
    )


def clear_events(i, first, counts):
    """No event has happened yet."""
    counts[i] = 0
    first[i] = NEVER


def count_events(i, events, step, first, counts):
    """Add the events (bits) of a step, numbered from 1."""
    for event in range(counts.shape[1]):
        if (events >> event) & 1:
            if counts[i, event] == 0:
                first[i, event] = step
            counts[i, event] += 1


def repeated(i, once, counts):
    """Those of the events `once` (bits) that have happened more than once by now."""
    again = np.int64(0)
    if once != 0:  # in few cells
        for event in range(counts.shape[1]):
            if (once >> event) & 1 and counts[i, event] > 1:
                again |= np.int64(1) << event
    return again


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


def next_level(i, world, scratch):
    """Draw environment i's next level; returns 0 if there is none to be had."""
    episode, source = world.episode, world.source
    episode.index[i] += 1
    key = mix(source.train_seed[i])
    seed = combine(combine(key, source.slot[i]), episode.index[i])
    if source.num_levels > 0:
        seed = combine(key, np.int64(seed % np.uint64(source.num_levels)))
    episode.seed[i] = seed
    return draw_level(
        i, world.level, scratch, world.rng, world.params, world.sampler, seed, episode.broken
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
    if is_disturbed(i, world.level):
        episode = world.episode
        key = combine(combine(mix(episode.seed[i]), Stream.DYNAMICS), episode.length[i])
        disturb(i, view, themes[1], key, pictures)
    else:
        draw_view(i, view, themes[0], pictures)


def take_step(i, world, action, out):
    """Step environment i and keep its accounts. Returns whether its episode ended."""
    episode = world.episode
    events, reward = family_step(i, world.level, world.state, action), 0.0
    episode.length[i] += 1
    if events != 0:  # not in most steps
        count_events(i, events, episode.length[i], episode.first, episode.counts)
        reward = reward_of(world.rewards, events & ~repeated(i, world.once, episode.counts))
        episode.total[i] += reward
    terminated = (events & world.terminal) != 0
    truncated = not terminated and episode.length[i] >= episode.horizon[i]
    out.reward[i] = reward
    out.events[i] = events
    out.terminated[i] = terminated
    out.truncated[i] = truncated
    if not (terminated or truncated):
        return False
    finish(i, world)
    episode.done[i] = not begins_at_once(world.source)
    return True


def begins_at_once(source):
    """Whether an episode begins in the step in which the one before has ended."""
    return source.autoreset == Autoreset.SAME_STEP or source.autoreset == Autoreset.SAME_LEVEL


def wait(i, out, begins):
    """A step of environment i whose episode has ended; `begins`: the next one begins in it."""
    out.reward[i] = 0.0
    out.events[i] = 0
    if begins:
        out.terminated[i] = False
        out.truncated[i] = False


def run_kernel(lo, hi, world, scratch, command, actions, view, themes, out):
    """Step or start environments lo..hi-1 and show them.

    One kernel for all commands, because compiling takes seconds. Returns the number of wrong
    actions (if there is any, nothing is stepped), or minus the number of environments for which no
    level could be drawn.
    """
    failed = 0
    at_once = begins_at_once(world.source)
    next_step = world.source.autoreset == Autoreset.NEXT_STEP
    wrong = count_wrong(lo, hi, world, actions) if command == STEP else 0
    if wrong > 0:
        return wrong
    for i in range(lo, hi):
        ended, begins = False, True
        if command == STEP and world.episode.done[i]:
            begins = next_step
            wait(i, out, begins)
            if not begins:
                continue
        elif command == STEP:
            ended = take_step(i, world, np.int64(actions[i]), out)
            begins = ended and at_once
        if ended:
            show(i, world, view, themes, out.final_obs)
        if begins:
            keeps = command == START_SAME or (
                command == STEP and world.source.autoreset == Autoreset.SAME_LEVEL
            )
            if not keeps and next_level(i, world, scratch) == 0:
                failed += 1
            begin(i, world)
        show(i, world, view, themes, out.obs)
    return -failed
