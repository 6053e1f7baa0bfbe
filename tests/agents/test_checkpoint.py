"""Checkpoints: the same agent comes back, nothing else does, and nothing is executed."""

import json
import os
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from stable_baselines3 import PPO
from tests.agents.tiny import FAMILY, TINY, make_env

from misgen.agents import checkpoint
from misgen.agents.description import SCHEMA_VERSION
from misgen.agents.sb3_ppo import export_sb3, make_ppo, sb3_policy, weights_of
from misgen.agents.settings import PPOSettings
from misgen.agents.vec_env import BatchVecEnv
from misgen.envs.core.batch import BatchEnv
from misgen.envs.families import FAMILIES


@pytest.fixture
def saved(trained, tmp_path):
    meta = checkpoint.describe(make_env(diversity=0.5), TINY, train_seed=5, steps=1024)
    checkpoint.save(tmp_path / "agents" / "step_1024", trained.weights, meta)
    return tmp_path / "agents" / "step_1024"


def edit(path, **changes):
    file = path.with_name(path.name + ".json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_round_trip(saved, trained):
    policy, meta = checkpoint.load(saved, FAMILY)
    loaded = policy.stack.weights()
    assert loaded.keys() == trained.weights.keys()
    assert all(torch.equal(value, loaded[key]) for key, value in trained.weights.items())
    sb3 = sb3_policy(policy.stack.architecture, loaded)
    obs = make_env(50).reset()
    actions = policy.act(obs, None, np.zeros((50, 5), np.float32))[0]
    np.testing.assert_array_equal(actions, sb3.predict(obs, deterministic=True)[0])
    assert policy.name == "ppo"
    assert (meta.family, meta.cell, meta.diversity) == ("keys_and_chests", "K3", 0.5)
    assert (meta.train_seed, meta.steps, meta.observation_mode) == (5, 1024, "planes")
    assert PPOSettings(**meta.settings) == TINY and meta.schema_version == SCHEMA_VERSION == 2


def test_the_specification_is_described(saved):
    policy, meta = _again(saved)
    checkpoint.save(saved, policy, replace(meta, specification=0.3))
    assert checkpoint.load(saved)[1].specification == 0.3


@pytest.mark.parametrize("mode", ["rgb1", "rgb8"])
def test_pictures_come_back_channels_first(mode, tmp_path):
    env = make_env(mode=mode)
    model = make_ppo(BatchVecEnv(env), TINY, train_seed=1)
    meta = checkpoint.describe(env, TINY, train_seed=1, steps=0)
    checkpoint.save(tmp_path / "agent", weights_of(model.policy), meta)
    policy, _ = checkpoint.load(tmp_path / "agent.safetensors")
    obs = env.reset()
    actions = policy.act(obs, None, np.zeros((16, 5), np.float32))[0]
    np.testing.assert_array_equal(actions, model.predict(obs, deterministic=True)[0])


def test_nothing_but_the_two_files_is_left(saved):
    checkpoint.save(saved, *_again(saved))
    assert sorted(p.name for p in saved.parent.iterdir()) == [
        "step_1024.json",
        "step_1024.safetensors",
    ]


def _again(saved):
    policy, meta = checkpoint.load(saved)
    return policy.stack.weights(), meta


def test_loading_leaves_the_random_state_alone(saved):
    torch.manual_seed(0)
    checkpoint.load(saved)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))


def test_another_family_is_refused(saved, monkeypatch):
    with pytest.raises(
        ValueError, match="is of keys_and_chests, wanted coinrun; name a checkpoint"
    ):
        checkpoint.load(saved, FAMILIES["coinrun"])
    newer = replace(FAMILY, version=FAMILY.version + 1)
    monkeypatch.setitem(FAMILIES, FAMILY.name, newer)
    with pytest.raises(ValueError, match="train again"):
        checkpoint.load(saved, newer)


def test_a_family_of_ones_own_is_named_as_it_is_found_again():
    """Not by its name, which the registry does not know."""
    toy = replace(FAMILY, name="toy", module="toys")
    env = BatchEnv(toy, toy.train_distribution(toy.cell("K3")), 4, train_seed=0)
    assert checkpoint.describe(env, TINY, train_seed=0, steps=0).family == "toys:FAMILY"


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_missing_file_is_named(saved, suffix):
    file = saved.with_name(saved.name + suffix)
    file.unlink()
    with pytest.raises(ValueError, match=f"{file.name} must be readable.*copy"):
        checkpoint.load(saved)


@pytest.mark.parametrize("keep", [0, 4, 300, -1])
def test_a_truncated_file_is_refused(saved, keep):
    file = saved.with_name(saved.name + ".safetensors")
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"must be a whole safetensors file.*copy"):
        checkpoint.load(saved)


def test_a_torn_description_is_refused(saved):
    file = saved.with_name(saved.name + ".json")
    file.write_text(file.read_text()[:100])
    with pytest.raises(ValueError, match="whole JSON"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (0, "train this agent again"),
        (1, "train this agent again"),
        (3, "use the misgen that wrote it"),
        (None, "use the misgen that wrote it"),
        ("2", "use the misgen that wrote it"),
    ],
)
def test_another_schema_version_is_refused(saved, version, remedy):
    edit(saved, schema_version=version)
    with pytest.raises(ValueError, match=rf"schema version 2; .*\.json has .*; {remedy}"):
        checkpoint.load(saved)


def test_unknown_or_missing_entries_are_refused(saved):
    edit(saved, colour="blue")
    with pytest.raises(ValueError, match=r"missing \[\], unknown \['colour'\]"):
        checkpoint.load(saved)
    file = saved.with_name(saved.name + ".json")
    entries = json.loads(file.read_text())
    del entries["colour"], entries["specification"]
    file.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r"missing \['specification'\], unknown \[\]"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"name": "flat", "features_dim": 64, "head_dim": 128}},
        {"network": {"name": "flat", "features_dim": 256, "head_dim": 0}},
        {"num_actions": 6},
        {"observation_shape": [4, 12, 11]},
    ],
)
def test_weights_must_fit_their_description(saved, changes):
    edit(saved, **changes)
    with pytest.raises(ValueError, match="weights must fit the network"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"name": "os.system", "features_dim": 64, "head_dim": 128}},
        {"network": {"name": "flat", "lambda": 1}},
        {"network": None},
        {"observation_shape": ["a"]},
        {"observation_shape": None},
        {"observation_shape": [-1, 12, 11]},
        {"observation_shape": [5, 12.0, 11]},
        {"num_actions": "5"},
        {"num_actions": 0},
    ],
)
def test_a_senseless_description_is_refused(saved, changes):
    edit(saved, **changes)
    with pytest.raises(ValueError, match="does not describe an agent"):
        checkpoint.load(saved)


def test_another_agents_weights_are_refused(saved):
    file = saved.with_name(saved.name + ".safetensors")
    tensors = load_file(file)
    save_file({key: value + 1 for key, value in tensors.items()}, file)
    with pytest.raises(ValueError, match=r"the file that its \.json describes"):
        checkpoint.load(saved)


def test_a_killed_save_leaves_the_old_checkpoint(saved, monkeypatch):
    policy, meta = _again(saved)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        checkpoint.save(saved, policy, replace(meta, steps=9))
    assert checkpoint.load(saved)[1] == meta and len(list(saved.parent.iterdir())) == 2


def test_export_loads_in_sb3_and_acts_the_same(saved, trained, tmp_path):
    export_sb3(saved, tmp_path / "agent.zip")
    model = PPO.load(tmp_path / "agent.zip", device="cpu")
    env = make_env(100)
    obs = env.reset()
    np.testing.assert_array_equal(
        model.predict(obs, deterministic=True)[0],
        checkpoint.load(saved)[0].act(obs, None, np.zeros((100, 5), np.float32))[0],
    )
    assert model.num_timesteps == 1024 and model.learning_rate == TINY.learning_rate
    model.set_env(BatchVecEnv(make_env()))
    model.learn(512, reset_num_timesteps=False)
    assert list(tmp_path.glob(".tmp*")) == []


def test_only_ppo_is_exported(saved, tmp_path):
    policy, meta = _again(saved)
    checkpoint.save(saved, policy, replace(meta, method="cloning"))
    with pytest.raises(ValueError, match="made by cloning"):
        export_sb3(saved, tmp_path / "agent.zip")


def test_the_description_is_plain_json(saved):
    data = json.loads(saved.with_name(saved.name + ".json").read_text())
    assert {**data["settings"], "gru_dim": 0} == json.loads(json.dumps(asdict(TINY)))
