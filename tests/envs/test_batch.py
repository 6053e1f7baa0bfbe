"""BatchEnv: the same bytes however it is run, its buffers, resets, counters and saved states."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from misgen.envs.core import render
from misgen.envs.core.batch import MIN_CHUNK, BatchEnv
from misgen.envs.core.gym_env import SingleEnv
from misgen.envs.core.gym_vector import BatchVectorEnv
from misgen.envs.core.levels import sample_levels
from misgen.envs.core.types import NEVER, Autoreset, LevelDistribution
from misgen.envs.families import FAMILIES

STEPS = 60
SLOTS = 1024
COLUMNS = ("obs", "reward", "terminated", "truncated", "events")


def actions_of(family, slots: int, steps: int = STEPS) -> np.ndarray:
    """int64 [steps, slots]; those of a slot do not depend on the number of slots."""
    table = np.random.default_rng(0).integers(0, len(family.actions), (steps, SLOTS))
    return np.ascontiguousarray(table[:, :slots])


def trajectories(
    family, distribution, slots: int, steps: int = STEPS, mode: str = "planes", **options
) -> list[bytes]:
    """What each slot sees in some steps, and its final state."""
    env = BatchEnv(family, distribution, slots, train_seed=9, observation_mode=mode, **options)
    seen = [[row.tobytes() for row in env.reset()]]
    for action in actions_of(family, slots, steps):
        result = env.step(action)._asdict()
        parts = [np.ascontiguousarray(result[name]) for name in COLUMNS]
        seen.append([b"".join(part[i].tobytes() for part in parts) for i in range(slots)])
    arrays = [*env.world.level, *env.world.rng, *env.episode, *env.finished]
    seen.append([b"".join(array[i].tobytes() for array in arrays) for i in range(slots)])
    return [b"".join(parts) for parts in zip(*seen, strict=True)]


def start(world, slots: int = 16, train_seed: int = 0, **options) -> BatchEnv:
    family, cell = world
    env = BatchEnv(
        family,
        family.train_distribution(cell, 0.5),
        slots,
        train_seed=train_seed,
        observation_mode="planes",
        **options,
    )
    env.reset()
    return env


# The same bytes


@pytest.mark.parametrize("threads", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_threads_change_nothing(world, threads):
    """Nor does the batch size: see check_streams of the contract."""
    family, cell = world
    assert SLOTS >= threads * MIN_CHUNK, "or the threads would not be used"
    distribution = family.train_distribution(cell, 0.5)
    whole = trajectories(family, distribution, SLOTS)
    assert trajectories(family, distribution, SLOTS, num_threads=threads) == whole
    assert len(set(whole)) == SLOTS


def test_interpreted_and_compiled_rules_agree(world):
    """Observations in all modes, rewards, ends, events, levels and counters; with new levels."""
    family, cell = world
    params = cell.variant_params("11")
    levels = LevelDistribution(cell=cell, params=params, diversity=0.5, horizon_steps=8)
    is_first = cell.code == family.default_cell
    for mode in render.visible_modes(family, cell) if is_first else ["planes"]:
        compiled = trajectories(family, levels, 2, 20, mode=mode)
        assert compiled == trajectories(family, levels, 2, 20, mode=mode, interpreted=True), mode


def test_single_vector_and_batch_views_agree(world):
    """Slot 0 of the batch, of the vector environment, and the single environment."""
    family, cell = world
    batch = start(world, 3)
    keywords = {"cell": cell.code, "diversity": 0.5, "observation_mode": "planes"}
    vector, single = BatchVectorEnv(family, 3, **keywords), SingleEnv(family, **keywords)
    obs, (seen, _) = vector.reset(seed=0)[0], single.reset(seed=0)
    assert np.array_equal(obs, batch.buffers.obs) and np.array_equal(obs[0], seen)
    for action in actions_of(family, 3, 150):
        expected = batch.step(action)
        obs, reward, terminated, truncated, info = vector.step(action)
        row = single.step(action[0])
        ended = expected.terminated | expected.truncated
        assert np.array_equal(obs, expected.obs) and np.array_equal(reward, expected.reward)
        assert np.array_equal(terminated, expected.terminated)
        assert np.array_equal(truncated, expected.truncated)
        assert row[1:4] == (reward[0], terminated[0], truncated[0])
        if ended[0]:
            assert np.array_equal(row[0], expected.final_obs[0])
            assert np.array_equal(info["final_obs"][0], expected.final_obs[0])
            assert np.array_equal(single.reset()[0], obs[0])
        else:
            assert np.array_equal(row[0], obs[0])


# Buffers


def test_the_caller_may_own_the_buffers(world):
    own, other = start(world), start(world)
    buffers = [own.empty_buffers() for _ in range(2)]
    for step, action in enumerate(actions_of(world[0], 16)):
        own.buffers = buffers[step % 2]
        result, expected = own.step(action), other.step(action)
        assert result.obs is buffers[step % 2].obs
        assert all(np.array_equal(a, b) for a, b in zip(result[:5], expected[:5], strict=True))


@pytest.mark.parametrize("change", ["dtype", "shape", "strided", "read-only", "unaligned"])
def test_buffers_that_a_kernel_could_not_write_are_refused(change):
    """A wrong array would be written past its end."""
    family = FAMILIES["keys_and_chests"]
    distribution = family.train_distribution(family.cells[0])
    env = BatchEnv(family, distribution, 4, train_seed=0, observation_mode="rgb8")
    obs = env.empty_buffers().obs
    if change == "dtype":
        buffers = env.buffers._replace(reward=np.zeros(4, np.float64))
    elif change == "shape":
        buffers = env.buffers._replace(obs=obs[:3])
    elif change == "strided":
        buffers = env.buffers._replace(obs=np.zeros((8, *obs.shape[1:]), np.uint8)[::2])
    elif change == "read-only":
        obs.setflags(write=False)
        buffers = env.buffers._replace(obs=obs)
    else:
        shifted = np.zeros(obs.size + 1, np.uint8)[1:].reshape(obs.shape)
        buffers = env.buffers._replace(obs=shifted)
    with pytest.raises(ValueError, match=r"writeable C-contiguous|multiple of 8 bytes"):
        env.buffers = buffers
    env.reset()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_actions_of_any_integer_type_are_taken(world, dtype):
    a, b = start(world), start(world)
    actions = actions_of(world[0], 16, 1)[0]
    assert np.array_equal(a.step(actions.astype(dtype)).obs, b.step(actions).obs)
    actions.setflags(write=False)
    a.step(actions)
    a.step(actions.tolist())


def test_actions_that_a_family_does_not_have_are_refused(world):
    env = start(world, 4)
    for wrong in ([0, 0, 0, len(world[0].actions)], [-1, 0, 0, 0]):
        with pytest.raises(ValueError, match=r"actions are integers 0 to .* 1 are not"):
            env.step(np.array(wrong))
        assert not env.episode.length.any(), "nothing was stepped"
    with pytest.raises(ValueError, match=r"are an integer array \[4\]; got int64 \[3\]"):
        env.step(np.zeros(3, np.int64))


# Ends of episodes


def test_an_ended_slot_is_reset_within_the_step(world):
    """`final_obs` is the last observation of the old episode, `obs` the first of the next."""
    family, cell = world
    distribution = replace(family.train_distribution(cell, 0.5), horizon_steps=10)
    env = BatchEnv(family, distribution, 32, train_seed=0, observation_mode="planes")
    still = BatchEnv(
        family, distribution, 32, train_seed=0, observation_mode="planes", autoreset=Autoreset.NEVER
    )
    assert np.array_equal(env.reset(), still.reset())
    ended = np.zeros(32, np.bool_)
    for action in actions_of(family, 32, 10):
        result, frozen = env.step(action), still.step(action)
        now = (result.terminated | result.truncated) & ~ended
        assert np.array_equal(result.final_obs[now], frozen.obs[now])
        fresh = BatchEnv(family, distribution, 32, train_seed=0, observation_mode="planes")
        first = fresh.reset_to(sample_levels(family, distribution, env.episode.seed))
        assert np.array_equal(result.obs[now], first[now])
        ended |= now
        assert (env.episode.length[now] == 0).all() and (env.episode.index[now] == 1).all()
    assert ended.all(), "the time limit is 10"


def test_terminated_and_truncated_exclude_each_other(world):
    family, cell = world
    distribution = replace(family.train_distribution(cell), horizon_steps=20)
    env = BatchEnv(family, distribution, 256, train_seed=0, observation_mode="planes")
    env.reset()
    terminal = sum(1 << event for event in cell.terminal)
    for action in actions_of(family, 256, 40):
        length = env.episode.length.copy()
        result = env.step(action)
        assert np.array_equal(result.terminated, result.events & terminal != 0)
        assert np.array_equal(result.truncated, (length == 19) & ~result.terminated)


def test_slots_that_ended_stand_still_after_reset_to(world):
    family, cell = world
    distribution = family.train_distribution(cell)
    env = BatchEnv(family, distribution, 8, train_seed=0, observation_mode="planes")
    limits = np.arange(1, 9)
    env.reset_to(sample_levels(family, distribution, np.arange(8)), limits)
    actions = np.full(8, family.noop)
    for _ in range(11):
        before = [array.copy() for array in (*env.world.state, *env.episode)]
        done = env.episode.done.copy()
        result = env.step(actions)
        assert np.array_equal(env.episode.done, env.episode.length >= limits)
        assert (result.reward[done] == 0).all() and (result.events[done] == 0).all()
        for old, new in zip(before, (*env.world.state, *env.episode), strict=True):
            assert np.array_equal(old[done], new[done])
        assert np.array_equal(result.truncated, env.episode.done), "the flags stay up"
    env.step(np.full(8, 99))  # the actions of slots that ended mean nothing


@pytest.mark.parametrize("given", ["the stream", "levels"])
def test_a_level_is_played_again_and_again(world, given):
    """Its episodes begin alike; after the next reset the stream goes on."""
    env = start(world)
    stream = start(world)
    if given == "levels":
        env.reset_to(start(world, train_seed=7).levels(), repeats=True)
    else:
        env.reset(repeats=True)
        stream.reset()
    seeds, first, ends = env.episode.seed.copy(), env.buffers.obs.copy(), np.zeros(16, int)
    for action in actions_of(env.family, 16, 150):
        result = env.step(action)
        ended = result.terminated | result.truncated
        assert (result.obs[ended] == first[ended]).all()
        ends += ended
    assert (ends > 0).all()
    assert (env.episode.seed == seeds).all()
    env.reset()
    stream.reset()
    assert (env.episode.seed == stream.episode.seed).all()


def test_some_slots_draw_their_levels_with_other_parameters(world):
    """As those of a batch with these parameters; copies, too."""
    family, cell = world
    other = cell.params._replace(**cell.shift_b.params)
    env = start(world)
    env.vary(12, other)
    changed = replace(env.distribution, params=other)
    wanted = BatchEnv(family, changed, 16, train_seed=0, observation_mode="planes")
    wanted.reset()
    wanted.reset()
    for one in (pickle.loads(pickle.dumps(env)), env):
        one.reset()
        for slots, like in ((slice(12), None), (slice(12, 16), wanted)):
            if like is None:
                like = start(world)
                like.reset()
            for own, given in zip(one.levels().level, like.levels().level, strict=True):
                assert (own[slots] == given[slots]).all()


def test_levels_of_another_cell_or_number_are_refused(world):
    family, cell = world
    distribution = family.train_distribution(cell)
    env = BatchEnv(family, distribution, 4, train_seed=0, observation_mode="planes")
    levels = sample_levels(family, distribution, np.arange(4))
    with pytest.raises(ValueError, match="needs 4 levels"):
        env.reset_to(levels.take(np.arange(3)))
    foreign = replace(levels, cell=replace(cell, code="X9"))
    with pytest.raises(ValueError, match=f"rewards by cell {cell.code} .* of cell X9"):
        env.reset_to(foreign)


# Counters


def test_the_counters_of_the_last_finished_episode(world):
    family, cell = world
    env = start(world, 64)
    expected: dict[int, tuple] = {}
    total, length = np.zeros(64), np.zeros(64, np.int64)
    counts = np.zeros_like(env.episode.counts)
    first = np.full_like(counts, NEVER)
    for action in actions_of(family, 64, 150):
        seeds = env.episode.seed.copy()
        result = env.step(action)
        happened = (result.events[:, None] >> np.arange(counts.shape[1])) & 1 == 1
        total += result.reward
        length += 1
        first = np.where(happened & (counts == 0), length[:, None], first)
        counts += happened
        for i in np.flatnonzero(result.terminated | result.truncated):
            expected[i] = (seeds[i], length[i], total[i], counts[i].copy(), first[i].copy())
            total[i], length[i], counts[i], first[i] = 0, 0, 0, NEVER
    assert len(expected) == 64
    finished = env.finished
    for i, (seed, steps, reward, count, when) in expected.items():
        assert (finished.seed[i], finished.length[i]) == (seed, steps)
        assert finished.total[i] == pytest.approx(reward)
        assert np.array_equal(finished.counts[i], count)
        assert np.array_equal(finished.first[i], when)
        assert finished.horizon[i] == cell.train_horizon_steps
    assert np.array_equal(env.episode.length, length)


# Saved states


@pytest.mark.parametrize("autoreset", Autoreset)
def test_a_saved_state_has_the_same_future(world, autoreset):
    """Whoever continues from it sees the same and counts the same, what ended before included."""
    family, _ = world
    env = start(world, autoreset=autoreset)
    for action in actions_of(family, 16):
        env.step(action)
    saved, shown = env.get_state(), env.buffers.obs.copy()
    past = [array.copy() for array in env.finished]
    future = actions_of(family, 16, 130)[STEPS:]

    def goes_on(twin: BatchEnv) -> list[np.ndarray]:
        seen = [np.copy(array) for action in future for array in twin.step(action)[:5]]
        return seen + [array.copy() for array in (*twin.episode, *twin.finished)]

    expected = goes_on(env)
    for twin in (env, start(world, train_seed=77)):
        twin.set_state(saved)
        assert np.array_equal(twin.buffers.obs, shown)
        assert all(map(np.array_equal, twin.finished, past))
        assert all(map(np.array_equal, goes_on(twin), expected))


def test_restarting_the_streams(world):
    env = start(world, 4)
    first = env.reset(5).copy()
    second = env.reset().copy()
    assert not np.array_equal(first, second)
    assert np.array_equal(env.reset(5), first) and np.array_equal(env.reset(), second)


def test_the_memory_of_an_environment_is_counted(world):
    assert 2_000 < start(world).bytes_per_env < 50_000
