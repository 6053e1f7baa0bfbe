"""Playing: one episode per level, the same alone and in a batch, replayed from its actions."""

import dataclasses

import numpy as np
import pytest
from tests.agents.tiny import FAMILY, K3, held_out_levels, network_policy

from misgen.agents.play import Episodes, gumbel_noise, outcomes, play_episodes, replay
from misgen.agents.policy import ConstantPolicy, PlannerPolicy, RandomPolicy
from misgen.envs.core.levels import Levels
from misgen.envs.core.plans import solve
from misgen.envs.core.types import NEVER

EVENT = FAMILY.events


def levels_of(*drawings):
    parts = [FAMILY.parse(text) for text in drawings]
    level = type(parts[0])(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    n = len(parts)
    return Levels(
        family=FAMILY,
        cell=K3,
        level=level,
        seeds=np.arange(n, dtype=np.uint64),
        broken=np.zeros(n, bool),
    )


def same(a: Episodes, b: Episodes):
    for field in dataclasses.fields(Episodes):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


def rows(episodes, index):
    columns = {f.name: getattr(episodes, f.name) for f in dataclasses.fields(Episodes)}
    columns["actions"] = tuple(columns["actions"][i] for i in index)
    return Episodes(**{k: v if k == "actions" else v[index] for k, v in columns.items()})


CORRIDOR = """
#######
#Akkcc#
#.....#
#.....#
#.....#
#.....#
#######"""


def test_a_corridor_walked_to_the_right():
    """Two keys, then two chests: all events of the episode and those up to step T."""
    levels = levels_of(CORRIDOR, CORRIDOR)
    episodes = play_episodes(
        ConstantPolicy(4), levels, horizon_steps=20, judged_at_steps=[3, 20], eval_seed=0
    )
    assert episodes.actions == (b"\x04" * 4,) * 2
    assert episodes.length.tolist() == [4, 4]
    assert episodes.terminated.all() and not episodes.truncated.any()
    assert episodes.episode_return.tolist() == [2.0, 2.0]
    counts = {event.name: episodes.counts[0, event] for event in EVENT}
    assert counts["CHEST"] == 2 and counts["KEY"] == 2 and counts["ALL_CHESTS"] == 1
    assert episodes.first[0, EVENT.ALL_CHESTS] == 4
    assert episodes.counts_judged[:, EVENT.CHEST].tolist() == [1, 2]
    assert episodes.first_judged[:, EVENT.ALL_CHESTS].tolist() == [NEVER, 4]
    _, _, success = outcomes(K3, levels, episodes)
    assert success.tolist() == [True, True]  # success is judged at the end, not at T


def test_the_time_limit_of_each_level():
    levels = levels_of(CORRIDOR, CORRIDOR, CORRIDOR)
    episodes = play_episodes(
        ConstantPolicy(0), levels, horizon_steps=[3, 7, 5], judged_at_steps=3, eval_seed=0
    )
    assert episodes.length.tolist() == [3, 7, 5] and episodes.truncated.all()
    assert not episodes.terminated.any()
    assert [len(a) for a in episodes.actions] == [3, 7, 5]
    assert not any(flags.any() for flags in outcomes(K3, levels, episodes))


@pytest.mark.parametrize("kind", ["random", "network", "planner"])
def test_an_episode_is_the_same_alone_and_in_any_batch(kind, trained):
    levels = held_out_levels(60)
    policy = {
        "random": RandomPolicy(),
        "network": network_policy(trained.weights),
        "planner": PlannerPolicy(solve(levels), "intended", epsilon=0.2),
    }[kind]
    horizon = 20 + np.arange(60) % 7

    def play(index, **kwargs):
        return play_episodes(
            policy,
            levels.take(index),
            horizon_steps=horizon[index],
            judged_at_steps=horizon[index] - 5,
            eval_seed=4,
            observation_mode="planes",
            **kwargs,
        )

    together = play(np.arange(60))
    same(together, play(np.arange(60), batch_size=7))
    backwards = np.arange(60)[::-1]
    same(rows(together, backwards), play(backwards))
    for i in (0, 31):
        same(rows(together, [i]), play(np.array([i])))


def test_another_eval_seed_gives_other_actions():
    levels = held_out_levels(20)
    limits = {"horizon_steps": 30, "judged_at_steps": 30}
    first = play_episodes(RandomPolicy(), levels, eval_seed=0, **limits)
    second = play_episodes(RandomPolicy(), levels, eval_seed=1, **limits)
    assert first.actions != second.actions
    same(first, play_episodes(RandomPolicy(), levels, eval_seed=0, **limits))


def test_a_replay_is_the_episode():
    levels = held_out_levels(200)
    limits = {"horizon_steps": 50 + np.arange(200) % 3, "judged_at_steps": 25}
    played = play_episodes(RandomPolicy(), levels, eval_seed=2, **limits)
    assert played.terminated.any() and played.truncated.any()
    same(played, replay(levels, played.actions, batch_size=64, **limits))


def test_a_recording_of_something_else_is_refused():
    levels = held_out_levels(3)
    limits = {"horizon_steps": 10, "judged_at_steps": 10}
    played = play_episodes(RandomPolicy(), levels, eval_seed=2, **limits)
    with pytest.raises(ValueError, match=r"level 1: 9 actions, episode of 10 steps"):
        actions = [played.actions[0], played.actions[1][:9], played.actions[2]]
        replay(levels, actions, **limits)
    with pytest.raises(ValueError, match="2 for 3 levels"):
        replay(levels, played.actions[:2], **limits)


@pytest.mark.parametrize(
    "wrong",
    [
        {"judged_at_steps": 11},
        {"judged_at_steps": 0},
        {"horizon_steps": 0},
        {"eval_seed": -1},
        {"batch_size": 0},
    ],
)
def test_limits_are_checked(wrong):
    right = {"horizon_steps": 10, "judged_at_steps": 10, "eval_seed": 0}
    with pytest.raises(ValueError, match=r"got|has judged_at_steps"):
        play_episodes(RandomPolicy(), held_out_levels(2), **{**right, **wrong})


def test_the_intended_planner_succeeds():
    levels = held_out_levels(100)
    policy = PlannerPolicy(solve(levels), "intended")
    episodes = play_episodes(policy, levels, horizon_steps=50, judged_at_steps=50, eval_seed=0)
    capable, goal_failure, success = outcomes(K3, levels, episodes)
    assert success.mean() >= 0.99 and capable.mean() >= 0.99 and goal_failure.mean() <= 0.1


def test_gumbel_noise_is_standard():
    noise = gumbel_noise(3, np.arange(50_000, dtype=np.uint64), 7, 4)
    assert noise.dtype == np.float32 and noise.shape == (50_000, 4)
    np.testing.assert_allclose(noise.mean(axis=0), np.euler_gamma, atol=0.02)
    np.testing.assert_allclose(noise.var(axis=0), np.pi**2 / 6, atol=0.05)
    assert np.abs(np.corrcoef(noise.T) - np.eye(4)).max() < 0.02


def test_gumbel_noise_depends_on_seed_level_step_and_action_alone():
    levels = np.array([5, 2**64 - 1, 17], np.uint64)
    noise = gumbel_noise(1, levels, 3, 5)
    np.testing.assert_array_equal(noise[1:2], gumbel_noise(1, levels[1:2], 3, 5))
    np.testing.assert_array_equal(noise[:, :2], gumbel_noise(1, levels, 3, 2))
    for other in (gumbel_noise(2, levels, 3, 5), gumbel_noise(1, levels, 4, 5)):
        assert (noise != other).all()
