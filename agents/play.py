"""Playing: exactly one episode per level, with random numbers that belong to the level."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from misgen.agents.policy import Policy
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import Levels
from misgen.envs.core.random import combine, mix
from misgen.envs.core.types import NEVER, Array, Cell, Outcome

Act = Callable[[Array, int], Array]  # (obs, steps done) -> actions [n]


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """One episode of each of n levels; E = number of the family's events."""

    length: Array  # int32 [n], steps
    terminated: Array  # bool [n]
    truncated: Array  # bool [n]
    episode_return: Array  # float64 [n], undiscounted, to the episode's end
    counts: Array  # int32 [n, E], steps in which each event happened
    first: Array  # int32 [n, E], step of its first occurrence (from 1), NEVER if none
    counts_judged: Array  # int32 [n, E], the same up to the judged step T
    first_judged: Array  # int32 [n, E]
    actions: tuple[bytes, ...]  # one byte per step

    def __len__(self) -> int:
        return len(self.length)


def gumbel_noise(eval_seed: int, level_hashes: Array, step: int, num_actions: int) -> Array:
    """float32 [n, num_actions]: standard Gumbel, a function of (seed, level, step, action)."""
    with np.errstate(over="ignore"):  # uint64 arithmetic wraps on purpose
        key = combine(combine(mix(np.uint64(eval_seed)), level_hashes), step)
        bits = combine(key[:, None], np.arange(num_actions, dtype=np.uint64))
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    noise: Array = -np.log(-np.log(uniform))
    return noise.astype(np.float32)


def play_episodes(
    policy: Policy,
    levels: Levels,
    *,
    horizon_steps: Any,
    judged_at_steps: Any,
    eval_seed: int,
    observation_mode: str | None = None,
    batch_size: int = 1024,
) -> Episodes:
    """Play every level once. An episode is the same whatever else is in its batch, up to the
    rounding of a network's forward pass.

    Args:
        horizon_steps: int or int array [n], the time limit of each level.
        judged_at_steps: int or int array [n], T <= limit.
        eval_seed: integer >= 0; names the random numbers of sampled actions.
        batch_size: levels played at a time.

    Raises:
        ValueError: a limit below 1, a T outside 1..limit, a negative seed.
    """
    horizon, judged = _limits(levels, horizon_steps, judged_at_steps)
    if eval_seed < 0 or batch_size < 1:
        raise ValueError(
            f"eval_seed is at least 0 and batch_size at least 1; got {eval_seed}, {batch_size}"
        )
    hashes = levels.hashes()

    def play(rows: Array) -> Episodes:
        env = BatchEnv.on(levels.take(rows), horizon[rows], observation_mode=observation_mode)
        act = _sampler(policy, env, hashes[rows], eval_seed)
        return _play(env, judged[rows], act)

    return _concatenate([play(rows) for rows in _batches(len(levels), batch_size)])


def replay(
    levels: Levels,
    actions: Sequence[bytes],
    *,
    horizon_steps: Any,
    judged_at_steps: Any,
    batch_size: int = 1024,
) -> Episodes:
    """The episodes that recorded actions make.

    Raises:
        ValueError: as `play_episodes`; a recording that is not exactly its episode's length.
    """
    if len(actions) != len(levels):
        raise ValueError(f"one recording per level; got {len(actions)} for {len(levels)} levels")
    horizon, judged = _limits(levels, horizon_steps, judged_at_steps)
    table = np.zeros((len(levels), max(map(len, actions), default=0) + 1), np.int64)
    for row, recorded in enumerate(actions):
        table[row, : len(recorded)] = np.frombuffer(recorded, np.uint8)

    def play(rows: Array) -> Episodes:
        env = BatchEnv.on(levels.take(rows), horizon[rows], observation_mode=None)
        last = table.shape[1] - 1
        return _play(env, judged[rows], lambda obs, step: table[rows, min(step, last)])

    episodes = _concatenate([play(rows) for rows in _batches(len(levels), batch_size)])
    wrong = np.flatnonzero(episodes.length != [len(recorded) for recorded in actions])
    if len(wrong):
        raise ValueError(
            f"a recording has one action per step of its episode; {len(wrong)} do not, the first "
            f"is level {wrong[0]}: {len(actions[wrong[0]])} actions, episode of "
            f"{episodes.length[wrong[0]]} steps; replay with the rules and limits of the recording"
        )
    return episodes


def outcomes(cell: Cell, levels: Levels, episodes: Episodes) -> tuple[Array, Array, Array]:
    """capable, goal_failure, success: bool [n], by the cell's rule. The first two are judged on
    what happened up to T, success on the whole episode."""
    judged = _outcome_bits(cell, levels, episodes.first_judged, episodes.counts_judged)
    ended = _outcome_bits(cell, levels, episodes.first, episodes.counts)
    return (
        (judged & Outcome.CAPABLE) != 0,
        (judged & Outcome.GOAL_FAILURE) != 0,
        (ended & Outcome.SUCCESS) != 0,
    )


def _outcome_bits(cell: Cell, levels: Levels, first: Array, counts: Array) -> Array:
    with np.errstate(over="ignore"):
        bits = [cell.outcome(i, levels.level, first, counts) for i in range(len(levels))]
    return np.array(bits, np.int64)


def _limits(levels: Levels, horizon_steps: Any, judged_at_steps: Any) -> tuple[Array, Array]:
    horizon = np.broadcast_to(np.asarray(horizon_steps, np.int64), len(levels))
    judged = np.broadcast_to(np.asarray(judged_at_steps, np.int64), len(levels))
    wrong = np.flatnonzero((judged < 1) | (judged > horizon))
    if len(wrong):
        raise ValueError(
            "an episode is judged at a step from 1 to its time limit; level "
            f"{wrong[0]} has judged_at_steps={judged[wrong[0]]}, horizon_steps={horizon[wrong[0]]}"
        )
    return horizon, judged


def _batches(n: int, batch_size: int) -> Iterator[Array]:
    """Index arrays that cover 0..n-1; one empty batch if n is 0."""
    for lo in range(0, max(n, 1), batch_size):
        yield np.arange(lo, min(lo + batch_size, n))


def _sampler(policy: Policy, env: BatchEnv, hashes: Array, eval_seed: int) -> Act:
    state = policy.start(env)
    num_actions = len(env.family.actions)

    def act(obs: Array, step: int) -> Array:
        nonlocal state
        playing = np.flatnonzero(~env.episode.done)
        noise = np.zeros((env.num_envs, num_actions), np.float32)
        noise[playing] = gumbel_noise(eval_seed, hashes[playing], step, num_actions)
        actions, state, _ = policy.act(obs, state, noise)
        return actions

    return act


def _play(env: BatchEnv, judged: Array, act: Act) -> Episodes:
    """Play a batch that was reset until its last episode ends."""
    episode = env.episode
    taken = np.zeros((int(episode.horizon.max()), env.num_envs), np.uint8)
    counts_judged = np.zeros_like(episode.counts)
    step = 0
    while not episode.done.all():
        taken[step] = actions = act(env.buffers.obs, step)
        env.step(actions)
        step += 1
        now = judged == step
        counts_judged[now] = episode.counts[now]
    counts_judged[judged > step] = episode.counts[judged > step]
    recorded = np.ascontiguousarray(taken.T)
    return Episodes(
        length=episode.length,
        terminated=env.buffers.terminated,
        truncated=env.buffers.truncated,
        episode_return=episode.total,
        counts=episode.counts,
        first=episode.first,
        counts_judged=counts_judged,
        first_judged=np.where(episode.first <= judged[:, None], episode.first, NEVER),
        actions=tuple(row[:n].tobytes() for row, n in zip(recorded, episode.length, strict=True)),
    )


def _concatenate(parts: list[Episodes]) -> Episodes:
    def joined(name: str) -> Any:
        columns = [getattr(part, name) for part in parts]
        return sum(columns, ()) if name == "actions" else np.concatenate(columns)

    return Episodes(**{field.name: joined(field.name) for field in fields(Episodes)})
