"""Who acts: what each policy's logits say, and that actions are drawn from them."""

from dataclasses import dataclass

import numpy as np
import pytest
from tests.agents.tiny import (
    FAMILY,
    TINY,
    held_out_levels,
    make_env,
    make_vec_env,
    network_policy,
)

from misgen.agents.play import gumbel_noise
from misgen.agents.policy import (
    ConstantPolicy,
    PlannerPolicy,
    RandomPolicy,
    choose,
    noop_policy,
)
from misgen.agents.sb3_ppo import make_ppo, sb3_policy, weights_of

N, ACTIONS = 400, 5


def noise(n=N, step=0):
    return gumbel_noise(0, np.arange(n, dtype=np.uint64), step, ACTIONS)


@dataclass
class FixedPlans:
    """Stands for misgen.envs.solve.Plans."""

    mask: np.ndarray
    levels = held_out_levels(1)

    def action_mask(self, env, goal):
        assert goal == "proxy"
        return np.broadcast_to(self.mask, (env.num_envs, ACTIONS))


def test_gumbel_noise_samples_from_the_softmax():
    logits = np.log(np.array([0.5, 0.25, 0.15, 0.1, 1e-9]))
    draws = choose(np.broadcast_to(logits, (40_000, 5)), noise(40_000))
    shares = np.bincount(draws, minlength=5) / 40_000
    np.testing.assert_allclose(shares, [0.5, 0.25, 0.15, 0.1, 0.0], atol=0.01)


def test_random_is_uniform():
    policy, env = RandomPolicy(), make_env(N)
    actions, _, logits = policy.act(env.reset(), policy.start(env), noise())
    assert policy.name == "random" and (logits == 0).all()
    assert np.bincount(actions, minlength=5).min() > 50


def test_a_planner_takes_its_best_actions_equally_often():
    env = make_env(N)
    policy = PlannerPolicy(FixedPlans(np.array([0, 1, 0, 1, 0], bool)), "proxy")
    actions, _, logits = policy.act(env.reset(), policy.start(env), noise())
    assert policy.name == "planner_proxy"
    np.testing.assert_allclose(np.exp(logits[0]), [0, 0.5, 0, 0.5, 0])
    counts = np.bincount(actions, minlength=5)
    assert counts[[1, 3]].sum() == N and counts[[1, 3]].min() > 150


def test_a_noisy_planner_mixes_in_random_actions():
    env = make_env(N)
    policy = PlannerPolicy(FixedPlans(np.array([1, 0, 0, 0, 0], bool)), "proxy", epsilon=0.5)
    _, _, logits = policy.act(env.reset(), policy.start(env), noise())
    assert policy.name == "noisy_proxy"
    np.testing.assert_allclose(np.exp(logits[0]), [0.6, 0.1, 0.1, 0.1, 0.1], rtol=1e-6)


@pytest.mark.parametrize(("goal", "epsilon"), [("coin", 0.0), ("proxy", 1.5)])
def test_a_planner_needs_a_goal_and_a_probability(goal, epsilon):
    with pytest.raises(ValueError, match="got"):
        PlannerPolicy(FixedPlans(np.ones(5, bool)), goal, epsilon)


def test_constant_and_noop():
    env = make_env(3)
    for policy, action, name in (
        (ConstantPolicy(3), 3, "constant_3"),
        (noop_policy(FAMILY), FAMILY.noop, "noop"),
    ):
        actions, _, _ = policy.act(env.reset(), policy.start(env), noise(3))
        assert policy.name == name and (actions == action).all()
    with pytest.raises(ValueError, match="stay, up, left, down, right"):
        ConstantPolicy(5).start(env)


def seen(obs, mode):
    """As an SB3 policy without a VecTransposeImage takes it."""
    return obs if mode == "planes" else np.moveaxis(obs, -1, 1)


@pytest.mark.parametrize("mode", ["planes", "rgb1"])
def test_a_network_acts_as_sb3_predicts(trained, mode):
    env, weights = make_env(700, mode=mode), trained.weights
    if mode != "planes":
        weights = weights_of(make_ppo(make_vec_env(mode=mode), TINY).policy)
    policy = network_policy(weights, mode)
    model = sb3_policy(policy.stack.architecture, weights)
    obs = env.reset()
    actions, _, logits = policy.act(obs, policy.start(env), np.zeros((700, 5), np.float32))
    np.testing.assert_array_equal(actions, model.predict(seen(obs, mode), deterministic=True)[0])
    np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1.0, rtol=1e-5)
    assert logits.dtype == np.float32


def test_a_network_skips_slots_that_have_ended(trained, monkeypatch):
    policy, env = network_policy(trained.weights), make_env(6)
    obs = env.reset()
    state = policy.start(env)
    everywhere = policy.logits(obs)
    env.episode.done[[1, 4]] = True
    rows = []

    def outputs(obs, memory):
        rows.append(len(obs))
        return everywhere[:4], np.zeros(4, np.float32), memory

    monkeypatch.setattr(policy, "outputs", outputs)
    _, _, logits = policy.act(obs, state, noise(6))
    assert rows == [4] and (logits[[1, 4]] == 0).all()
    np.testing.assert_array_equal(logits[[0, 2, 3, 5]], everywhere[:4])


def test_no_rows_at_all(trained):
    policy = network_policy(trained.weights)
    assert policy.logits(np.zeros((0, 12, 12, 11), np.uint8)).shape == (0, 5)
