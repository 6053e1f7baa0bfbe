"""PLR and ACCEL: what is replayed, what is learned from, what is edited."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tests.agents.tiny import TINY, make_env

from misgen.agents.interventions import Played
from misgen.agents.interventions.accel import accel, edit_levels
from misgen.agents.interventions.plr import plr
from misgen.agents.population import Population
from misgen.agents.replay import Kind, Tally
from misgen.envs import Planner
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import Levels, cue_holds, differ, held_out, sample_levels
from misgen.envs.core.plans import discounted_values, solve
from misgen.envs.families import find_cell

ROUND = replace(TINY, num_steps=32, total_steps=10**6)  # K3's 50 steps: two rollouts a round
RNG = np.random.default_rng


def population(intervention, num_envs=16, **settings):
    env = make_env(num_envs, diversity=0.1)
    own = replace(ROUND, num_envs=num_envs, batch_size=256, **settings)
    return Population([env], [own], [5], interventions=[intervention])


# What is chosen and learned from


@pytest.mark.parametrize("make", [plr, accel])
def test_the_agent_learns_on_replayed_levels_only(make):
    learner = population(make(buffer_size=32))
    (replay,) = learner.levels
    kinds, played = [], []
    for _ in range(24):
        before, updates = learner.snapshot().weights, int(learner.updates[0])
        learner.advance()
        kind = Kind(int(replay.counters[1]))
        changed = any(
            (value != before[name]).any() for name, value in learner.snapshot().weights.items()
        )
        assert changed == (kind == Kind.REPLAYED) == (learner.updates[0] > updates)
        kinds.append(kind)
        played.append(learner.envs[0].episode.seed.copy())
        if kind == Kind.REPLAYED:
            assert np.isin(played[-1], replay.kept.seeds).all()
    assert kinds[::2] == kinds[1::2]  # a round is two rollouts, on one level a slot
    assert all((a == b).all() for a, b in zip(played[::2], played[1::2], strict=True))
    rounds = kinds[::2]
    assert {Kind.NEW, Kind.REPLAYED} <= {*rounds}
    after = {b for a, b in pairwise(rounds) if a == Kind.REPLAYED}
    assert (after == {Kind.EDITED}) == (make is accel)


def test_new_levels_are_those_of_the_stream():
    """With and without replay: the k-th level of a slot has the key (train_seed, slot, k)."""
    learner = population(plr(buffer_size=32))
    plain = make_env(16, diversity=0.1)
    plain.reset(5)
    for _ in range(3):
        learner.advance()
        learner.advance()
        if learner.levels[0].counters[1] == Kind.NEW:
            plain.reset()
            assert (learner.envs[0].episode.seed == plain.episode.seed).all()


def kept(scores, ages, **settings):
    """The choice of a replay that keeps levels of these scores, last played so many rounds ago."""
    asked = plr(buffer_size=16, **settings)
    replay = asked.levels(make_env(4), ROUND, RNG(0))
    n = len(scores)
    replay.counters[0], replay.counters[2] = n, 10 * replay.rollouts
    replay.score[:n], replay.last_played[:n] = scores, 10 - np.array(ages)
    return replay


def test_chances_are_by_rank_and_by_age():
    by_rank = kept([0.5, 2.0, 1.0], [1, 1, 2], staleness=0.0, temperature=1.0).chances()
    np.testing.assert_allclose(by_rank, np.array([2, 6, 3]) / 11)
    by_age = kept([0.5, 2.0, 1.0], [1, 1, 2], staleness=1.0).chances()
    np.testing.assert_allclose(by_age, [0.25, 0.25, 0.5])
    both = kept([0.5, 2.0, 1.0], [1, 1, 2], staleness=0.5, temperature=1.0).chances()
    np.testing.assert_allclose(both, (by_rank + by_age) / 2)
    np.testing.assert_allclose(kept([1.0, 0.0], [0, 0], staleness=1.0).chances(), [0.5, 0.5])


def test_slots_are_drawn_as_the_chances_say():
    """Each on its own, with 1,024 slots at once."""
    asked = plr(buffer_size=1024, staleness=0.0, temperature=1.0)
    replay = asked.levels(make_env(1024), replace(ROUND, num_envs=1024), RNG(0))
    replay.counters[:] = 10, Kind.REPLAYED, 0, 0, 0
    replay.score[:10], replay.choose = np.arange(10.0), lambda: Kind.REPLAYED
    given = sample_levels(replay.env.family, replay.env.distribution, np.arange(10))
    replay._put(np.arange(10), np.arange(10), given, np.arange(10.0), np.zeros(10))
    replay.begin()
    got = np.bincount(replay.places, minlength=10) / 1024
    np.testing.assert_allclose(got, replay.chances(), atol=0.05)


def test_slots_that_had_the_same_level_share_its_score():
    replay = kept([5.0, 6.0, 7.0], [3, 3, 3])
    replay._note(np.array([2, 0, 2, 2]), np.array([1.0, 9.0, 2.0, 6.0]), np.array([1.0, 2, 4, 3]))
    assert replay.score[:3].tolist() == [9.0, 6.0, 3.0]
    assert replay.best_return[[0, 2]].tolist() == [2.0, 4.0]
    assert (replay.last_played[:3] == [10, 7, 10]).all()


def test_a_level_is_kept_once():
    distribution = replace(make_env().distribution, num_levels=20)
    env = BatchEnv(make_env().family, distribution, 16, train_seed=5, observation_mode="planes")
    learner = Population([env], [ROUND], [5], interventions=[plr(buffer_size=64)])
    for _ in range(12):
        learner.advance()
    (replay,) = learner.levels
    hashes = replay.kept.take(np.arange(replay.count)).hashes()
    assert replay.count == len({*hashes.tolist()}) <= 20
    assert (replay.hashes[: replay.count] == hashes).all()


def test_a_training_that_ends_before_the_first_replay_is_refused():
    with pytest.raises(ValueError, match="after 2 rounds of 1,024 steps; got total_steps=2,048"):
        population(plr(buffer_size=64), total_steps=2048)
    population(plr(buffer_size=64), total_steps=2049)


def test_regret_is_refused_where_it_would_not_be_exact():
    family, cell = find_cell("K2")
    distribution = family.train_distribution(cell.at_specification(0.5))
    env = BatchEnv(family, distribution, 16, train_seed=5, observation_mode="planes")
    with pytest.raises(ValueError, match="K2's proxy is paid once"):
        Population([env], [ROUND], [5], interventions=[plr(buffer_size=64)])
    Population([env], [ROUND], [5], interventions=[plr(buffer_size=64, score="max_return")])


def test_a_full_buffer_keeps_the_better_levels():
    replay = kept(np.arange(16.0), np.ones(16), staleness=0.0)
    levels = sample_levels(replay.env.family, replay.env.distribution, np.arange(4) + 500)
    replay._keep(levels, np.array([0.5, 9.5, -1.0, 99.0]), np.zeros(4))
    assert sorted(replay.score) == sorted([*np.arange(2.0, 16.0), 9.5, 99.0])
    replay._keep(levels, np.array([50.0, 50.0, 50.0, 50.0]), np.zeros(4))
    assert (replay.score == 50).sum() == 2  # the other two are kept already
    where = int(np.flatnonzero(replay.score == 99.0)[0])
    assert replay.kept.seeds[where] == 503
    assert not differ(replay.kept.take([where]).level, levels.take([3]).level).any()


def test_a_buffer_has_room_for_a_rollout():
    with pytest.raises(ValueError, match="each of 16 environments; got buffer_size=15"):
        population(plr(buffer_size=15))


# Scores


def test_returns_of_a_round_by_hand():
    """Slot 0: episodes of rewards 0 1 and 1, then an open one; slot 1: an open one."""
    rewards = np.array([[0, 0], [1, 0], [1, 4], [5, 0]], np.float32)
    dones = np.array([[0, 0], [1, 0], [1, 0], [0, 0]], bool)
    tally = Tally.empty(2)
    values, advantages = (np.full((4, 2), row) for row in ([0.5, 1.0], [2.0, -1.0]))
    for part in (slice(0, 3), slice(3, 4)):  # two rollouts
        tally.add(Played(rewards[part], dones[part], values[part], advantages[part]), 0.5)
    assert tally.mean_return().tolist() == [0.75, 1.0]
    assert tally.highest_return().tolist() == [1.0, 1.0]
    assert (tally.values / tally.steps).tolist() == [0.5, 1.0]
    assert (tally.positive / tally.steps).tolist() == [2.0, 0.0]
    tally.clear()
    assert tally.mean_return().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("code", ["M5", "C2", "K3"])
def test_regret_is_the_planner_value_less_the_return_both_discounted(code):
    """Of levels on which nothing is earned it is the value; of the planner's own play it is 0,
    where ties do not change when rewards come (K3: on average)."""
    family, cell = find_cell(code)
    levels = sample_levels(family, family.train_distribution(cell, 0.5), np.arange(12))
    gamma, horizon = 0.97, family.train_distribution(cell).horizon_steps
    values = discounted_values(levels, gamma)[:, 0]
    regrets = []
    for seed in range(1 if code != "K3" else 40):
        env = BatchEnv(family, family.train_distribution(cell), 12, train_seed=0)
        env.reset_to(levels, repeats=True)
        planner, tally = Planner("intended", seed=seed), Tally.empty(12)
        assert (values - tally.mean_return() == values).all()
        is_open = np.ones(12, bool)
        for _ in range(horizon):
            out = env.step(planner.act(env))
            done = (out.terminated | out.truncated) & is_open
            earned = (out.reward * is_open)[None]
            tally.add(Played(earned, done[None], earned, earned), gamma)
            is_open &= ~done
        regrets.append(values - tally.mean_return())
    regret = np.mean(regrets, axis=0)
    np.testing.assert_allclose(regret, 0, atol=1e-6 if code != "K3" else 0.05)
    undiscounted = discounted_values(levels, 1.0)
    assert (undiscounted == solve(levels, 50).value).all()


def test_each_score_is_what_it_says():
    for score in ("regret", "max_return", "value_loss"):
        learner = population(plr(buffer_size=64, score=score))
        (replay,) = learner.levels
        learner.advance()
        values, positive = replay.tally.values.copy(), replay.tally.positive.copy()
        replay.tally.earned[:] = 0.25  # as if
        replay.tally.ended[:] = 0
        levels = learner.envs[0].levels()
        got = replay._scores(levels, replay.tally.highest_return())
        wanted = {
            "regret": discounted_values(levels, ROUND.gamma)[:, 0] - 0.25,
            "max_return": 0.25 - values / 32,
            "value_loss": positive / 32,
        }
        np.testing.assert_allclose(got, wanted[score])


# Edits


@pytest.mark.parametrize("code", ["M5", "C2", "K2", "K3"])
def test_edited_levels_are_legal_levels_of_the_training_split(code):
    family, cell = find_cell(code)
    distribution = family.train_distribution(cell, 0.1)
    levels = sample_levels(family, distribution, np.arange(24))
    edited = edit_levels(levels, RNG(0), distribution.horizon_steps, 3)
    assert differ(levels.level, edited.level).mean() > 0.7
    assert not held_out(edited).any()
    assert (edited.broken == ~cue_holds(edited)).all()
    assert len({*edited.seeds.tolist()}) == 24
    lengths = solve(edited, 50).length[:, :2]
    assert (lengths <= distribution.horizon_steps).all()
    for i in range(len(edited)):
        again = family.parse(family.draw(edited.level, i))
        assert not differ(again, edited.take([i]).level).any()


def test_the_split_of_drawn_levels_is_that_of_the_sampler():
    family, cell = find_cell("M5")
    for split, wanted in (("train", False), ("held_out", True)):
        distribution = replace(family.train_distribution(cell, 0.5), split=split)
        assert (held_out(sample_levels(family, distribution, np.arange(50))) == wanted).all()


def test_a_level_without_a_legal_edit_stays():
    """With a time limit of no step nothing is legal."""
    family, cell = find_cell("M5")
    levels = sample_levels(family, family.train_distribution(cell), np.arange(5))
    same = edit_levels(levels, RNG(0), 0, 3)
    assert isinstance(same, Levels)
    assert not differ(levels.level, same.level).any()


def test_edits_break_the_cue_of_an_agent_that_never_saw_it_broken():
    family, cell = find_cell("C2")
    levels = sample_levels(family, family.train_distribution(cell), np.arange(32))
    assert cue_holds(levels).all()
    edited = edit_levels(levels, RNG(1), 100, 8)
    assert 0 < edited.broken.sum() < 32
