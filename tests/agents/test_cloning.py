"""Behaviour cloning: which states are labelled with what, the level stream, what is learned."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.agents.tiny import FAMILY, K3, make_env

from misgen.agents import checkpoint, cloning
from misgen.agents.cloning import Lessons, cross_entropy, demonstrate, train_cloning
from misgen.agents.settings import CloningSettings
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import drawn_levels
from misgen.envs.core.plans import solve

TINY = CloningSettings(
    num_states=1000, num_envs=64, batch_size=100, num_epochs=2, features_dim=32, head_dim=32
)
UP, DOWN, RIGHT = (FAMILY.actions.index(name) for name in ("up", "down", "right"))

CORRIDOR = """
#####
#Akc#
#####
#####
#####
"""
DIAGONAL = """
#####
#A..#
#..k#
#..c#
#####
"""


def labels(drawing, random_action_frac=0.0, seed=0):
    """The sets of optimal actions in the states that one demonstration visits."""
    levels = drawn_levels(FAMILY, K3, drawing.strip())
    rng = np.random.default_rng(seed)
    obs, optimal = demonstrate(BatchEnv.on(levels), solve(levels), rng, random_action_frac)
    assert obs.shape == (len(optimal), *BatchEnv.on(levels).observation_shape)
    return [set(np.flatnonzero(row).tolist()) for row in optimal]


def test_every_state_of_a_demonstration_is_labelled_with_what_is_optimal():
    assert labels(CORRIDOR) == [{RIGHT}, {RIGHT}]  # key, chest, end


def test_all_optimal_actions_are_labels():
    for seed in range(4):  # by whichever way it goes
        first, *_, last = labels(DIAGONAL, seed=seed)
        assert first == {DOWN, RIGHT} and last == {DOWN}


def test_random_actions_show_states_off_the_path_with_the_planners_labels():
    visited = [row for seed in range(5) for row in labels(DIAGONAL, 0.5, seed)]
    assert len(visited) > 5 * 4
    assert {UP} in visited or {UP, RIGHT} in visited  # below the key: nothing optimal leads there


def test_the_executed_actions_are_random_as_often_as_asked():
    levels = drawn_levels(FAMILY, K3, *[CORRIDOR.strip()] * 400)
    levels = replace(levels, seeds=np.zeros(400, np.uint64))
    obs, _ = demonstrate(BatchEnv.on(levels), solve(levels.take(np.arange(1))),
                         np.random.default_rng(0), 0.3)  # fmt: skip
    # Two steps to the right, each of which succeeds with .7 + .3 / 5 (and some go back once).
    assert len(obs) / 400 == pytest.approx(2 / 0.76, abs=0.25)


def test_states_in_which_no_action_is_better_are_left_out():
    levels = drawn_levels(FAMILY, K3, CORRIDOR.strip(), CORRIDOR.strip())

    class FirstIsLost:
        def action_mask(self, env, goal):
            mask = solve(levels).action_mask(env, goal)
            mask[0] = True
            return mask

    obs, optimal = demonstrate(BatchEnv.on(levels, 5), FirstIsLost(), np.random.default_rng(0), 0.0)
    assert np.flatnonzero(optimal[0]).tolist() == [RIGHT] and len(obs) == 2


def test_the_loss_is_the_cross_entropy_to_uniform_over_ties():
    log_p = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]).log()
    optimal = torch.tensor([[True, True, False], [False, False, True]])
    expected = (-(math.log(0.5) + math.log(0.25)) / 2 - math.log(0.25)) / 2
    assert cross_entropy(log_p, optimal).item() == pytest.approx(expected)


def test_the_levels_are_those_that_ppo_would_train_on():
    env = make_env(8, diversity=0.5, seed=3)
    lessons = Lessons(make_env(8, diversity=0.5), 0.1, train_seed=3)
    for _ in range(2):
        env.reset()
        assert lessons.levels.hashes().tolist() == env.levels().hashes().tolist()
        broken = lessons.broken_episodes + int(lessons.levels.broken.sum())
        lessons.draw(1)
        assert lessons.broken_episodes == broken
    assert lessons.episodes == 16


def test_a_finite_set_of_levels_is_honoured():
    distribution = FAMILY.train_distribution(K3, 0.0, num_levels=3)
    lessons = Lessons(
        BatchEnv(FAMILY, distribution, 64, train_seed=0, observation_mode="planes"), 0.1, 0
    )
    first = set(lessons.levels.seeds.tolist())
    lessons.draw(1)
    assert len(first) == 3 and set(lessons.levels.seeds.tolist()) == first


def weights(result):
    return result.agent.weights


def equal(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def test_the_same_seed_gives_the_same_weights():
    first, again, other = (train_cloning(make_env(64), TINY, train_seed=seed) for seed in (5, 5, 6))
    assert equal(weights(first), weights(again)) and first.curve == again.curve
    assert not equal(weights(first), weights(other))


def test_the_curve_has_a_row_for_each_chunk(monkeypatch):
    monkeypatch.setattr(cloning, "CHUNK_STATES", 400)
    seen = []
    result = train_cloning(
        make_env(64, diversity=1.0), TINY, train_seed=0, on_progress=lambda *news: seen.append(news)
    )
    assert [row.steps for row in result.curve] == [
        400,
        800,
        1000,
    ] and result.agent.steps == 1000
    assert seen == [(row.steps, 1000, row) for row in result.curve]
    assert all(row.episodes > 0 and row.episodes % 64 == 0 for row in result.curve)
    broken = sum(row.episodes for row in result.curve)  # at d = 1 every level is a broken draw
    assert result.curve[-1].broken_episodes == broken
    assert all(0 <= row.accuracy <= 1 and 0 <= row.success_rate <= 1 for row in result.curve)


def test_checkpoints_are_taken_when_so_much_was_learned(monkeypatch):
    monkeypatch.setattr(cloning, "CHUNK_STATES", 250)
    taken = {}

    def keep(clone, fraction):
        taken[fraction] = (clone.steps, clone.weights)

    fractions = (1.0, 0.0, 0.3, 0.5)
    result = train_cloning(
        make_env(64), TINY, train_seed=3, checkpoint_fracs=fractions, on_checkpoint=keep
    )
    assert {f: steps for f, (steps, _) in taken.items()} == {0.0: 0, 0.3: 500, 0.5: 500, 1.0: 1000}
    assert equal(taken[1.0][1], weights(result)) and not equal(taken[0.0][1], taken[0.5][1])
    with pytest.raises(ValueError, match="shares"):
        train_cloning(make_env(64), TINY, train_seed=3, checkpoint_fracs=(1.5,))


def test_the_learning_rate_falls_linearly_to_its_end(monkeypatch):
    rates = []
    step = cloning.Adam.step
    monkeypatch.setattr(
        cloning.Adam, "step", lambda self, *args: rates.append(args[0][0]) or step(self, *args)
    )
    train_cloning(make_env(64), TINY, train_seed=0)
    assert rates == pytest.approx([2e-3 * (0.05 + 0.95 * left / 20) for left in range(20, 0, -1)])


def test_it_learns_what_is_optimal():
    settings = replace(TINY, num_states=16_000, num_epochs=6, features_dim=128, head_dim=64)
    untrained = train_cloning(make_env(64), TINY, train_seed=1).curve[0]
    trained = train_cloning(make_env(64), settings, train_seed=1).curve[-1]
    assert untrained.accuracy < 0.4 and untrained.success_rate < 0.6
    assert trained.success_rate > 0.7 and trained.loss < untrained.loss


@pytest.mark.parametrize("mode", ["planes", "rgb1"])
def test_a_clone_comes_back_from_its_checkpoint(mode, tmp_path):
    env = make_env(16, mode=mode, diversity=0.5)
    settings = replace(TINY, num_states=200, num_envs=16)
    result = train_cloning(env, settings, train_seed=2)
    assert all(value.dtype == torch.float32 for value in weights(result).values())
    meta = checkpoint.describe(
        env, settings, train_seed=2, steps=result.agent.steps, method="cloning"
    )
    checkpoint.save(tmp_path / "agent", result.agent.weights, meta)
    policy, again = checkpoint.load(tmp_path / "agent", FAMILY)
    assert equal(weights(result), policy.stack.weights())
    assert policy.name == "cloning" and CloningSettings(**again.settings) == settings
    assert (again.steps, again.diversity) == (200, 0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_states", 0),
        ("num_envs", 0),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("random_action_frac", 1.1),
        ("final_learning_rate_frac", -0.1),
        ("network", "vit"),
        ("head_dim", -1),
    ],
)
def test_settings_outside_their_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}.*try"):
        CloningSettings(**{name: value})
