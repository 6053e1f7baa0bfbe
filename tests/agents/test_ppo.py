"""Training one agent: the same seed twice, the learning curve, checkpoints, devices; the same with
Stable-Baselines3."""

import dataclasses

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from tests.agents.tiny import TINY, make_env, make_vec_env

from misgen.agents.adam import LinearRate
from misgen.agents.device import choose_device
from misgen.agents.networks import Network
from misgen.agents.population import Population
from misgen.agents.ppo import train_ppo
from misgen.agents.sb3_ppo import make_ppo, policy_kwargs, train_sb3_ppo, weights_of
from misgen.agents.settings import PPOSettings

TRAINERS = pytest.mark.parametrize("train", [train_ppo, train_sb3_ppo])


def equal(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def test_the_same_seed_gives_the_same_weights(trained):
    again = train_ppo(make_env(diversity=0.5), TINY, train_seed=5).agent
    other = train_ppo(make_env(diversity=0.5), TINY, train_seed=6).agent
    assert equal(trained.weights, again.weights)
    assert not equal(trained.weights, other.weights)


def test_it_is_sb3s_ppo_with_sb3s_own_policy():
    """The same weights as PPO spelled out by hand."""
    ours = train_sb3_ppo(make_env(), TINY, train_seed=1).agent
    theirs = PPO(
        "MlpPolicy",
        make_vec_env(),
        learning_rate=LinearRate(2e-3, 1e-4),
        n_steps=32,
        batch_size=256,
        n_epochs=2,
        gamma=0.97,
        ent_coef=0.01,
        policy_kwargs=policy_kwargs(Network(name="flat")),
        seed=1,
        device="cpu",
    ).learn(1024)
    assert equal(ours.weights, weights_of(theirs.policy))


def test_impala_trains():
    settings = dataclasses.replace(
        TINY, total_steps=32, num_envs=2, num_steps=16, batch_size=32, num_epochs=1
    )
    weights = train_ppo(make_env(2, mode="rgb8"), settings, train_seed=0).agent.weights
    assert "features_extractor.stages.0.0.weight" in weights


@TRAINERS
def test_the_curve_counts_every_episode_once(train):
    settings = dataclasses.replace(TINY, total_steps=3900)  # whole rollouts: 4096
    seen = []
    training = train(
        make_env(diversity=0.5),
        settings,
        train_seed=0,
        on_progress=lambda steps, total, row: seen.append((steps, total, row)),
    )
    curve = training.curve
    assert [row.steps for row in curve] == list(range(512, 4097, 512))
    assert seen == [(row.steps, 4096, row) for row in curve]
    assert np.isnan(curve[0].mean_return) == (curve[0].episodes == 0)
    busy = [row for row in curve if row.episodes]
    assert all(0 <= row.success_rate <= 1 and row.mean_length_steps <= 50 for row in busy)
    steps = sum(row.episodes * row.mean_length_steps for row in busy)
    assert 4096 - 16 * 50 < steps <= 4096
    broken = [row.broken_episodes for row in curve]
    assert broken == sorted(broken) and 0 < broken[-1] < sum(row.episodes for row in curve)


@TRAINERS
def test_checkpoints_are_taken_after_the_update_that_used_the_steps(train):
    taken = {}

    def keep(agent, fraction):
        taken[fraction] = agent

    trained = train(
        make_env(),
        dataclasses.replace(TINY, total_steps=2048),
        train_seed=3,
        checkpoint_fracs=(1.0, 0.0, 0.4, 0.5),
        on_checkpoint=keep,
    ).agent
    assert {f: t.steps for f, t in taken.items()} == {0.0: 0, 0.4: 1024, 0.5: 1024, 1.0: 2048}
    assert equal(taken[1.0].weights, trained.weights)
    assert not equal(taken[0.5].weights, trained.weights)
    assert not equal(taken[0.5].weights, taken[0.0].weights)
    with pytest.raises(ValueError, match="shares"):
        train(make_env(), TINY, train_seed=3, checkpoint_fracs=(1.5,))


def test_the_learning_rate_falls_linearly_to_5_percent(monkeypatch):
    """By rollout, as SB3's."""
    rate = LinearRate(2e-3, 1e-4)
    assert [rate(p) for p in (1.0, 0.5, 0.0, -0.1)] == pytest.approx([2e-3, 1.05e-3, 1e-4, 1e-4])
    rates, update = [], Population.update
    monkeypatch.setattr(
        Population, "update", lambda self, *args: rates.append(args[2][0]) or update(self, *args)
    )
    train_ppo(make_env(), TINY, train_seed=0)
    assert rates == pytest.approx([rate(0.5)] * 4 + [rate(0.0)] * 4)
    model = make_ppo(make_vec_env(), TINY).learn(1024)
    assert model.policy.optimizer.param_groups[0]["lr"] == pytest.approx(rates[-1])


def test_batch_size_must_divide_the_rollout():
    with pytest.raises(ValueError, match=r"got 64 \* 3 and 50; try batch_size=48"):
        PPOSettings(num_envs=64, num_steps=3, batch_size=50)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("total_steps", 0),
        ("num_envs", -1),
        ("gamma", 1.01),
        ("gae_lambda", -0.1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("ent_coef", -0.01),
        ("network", "vit"),
        ("features_dim", 0),
    ],
)
def test_settings_outside_their_range_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        PPOSettings(**{name: value})


def test_the_environment_must_have_the_settings_slots():
    with pytest.raises(ValueError, match="num_envs=16"):
        make_ppo(make_vec_env(8), TINY)


def test_devices(monkeypatch):
    flat, impala = Network(name="flat"), Network(name="impala")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", impala) == "cpu"
    with pytest.raises(ValueError, match="use device=cpu"):
        choose_device("cuda", flat)
    with pytest.raises(ValueError, match="got 'tpu'"):
        choose_device("tpu", flat)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto", impala) == "cuda"
    assert choose_device("auto", flat) == "cpu"
    assert choose_device("cuda", flat) == "cuda"
