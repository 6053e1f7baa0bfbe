"""Shapes of the networks and the gate of bfloat16."""

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from misgen.agents import networks
from misgen.agents.networks import Bf16Policy, FlatFeatures, ImpalaFeatures, Network, choose_network


def picture(*shape):
    return spaces.Box(0, 255, shape, np.uint8)


PLANES = spaces.Box(0, 1, (5, 12, 11), np.uint8)


@pytest.mark.parametrize(
    ("space", "name"),
    [
        (PLANES, "flat"),
        (picture(12, 11, 3), "flat"),
        (picture(96, 88, 3), "impala"),
        (picture(3, 64, 64), "impala"),
    ],
)
def test_auto_convolves_pictures_of_32_px_and_more(space, name):
    assert choose_network("auto", space).name == name


def test_a_named_network_is_taken_as_it_is():
    network = choose_network("flat", picture(64, 64, 3), features_dim=32, head_dim=0)
    assert network == Network(name="flat", features_dim=32, head_dim=0)


@pytest.mark.parametrize(
    "wrong",
    [{"name": "vit"}, {"name": "flat", "features_dim": 0}, {"name": "flat", "head_dim": -1}],
)
def test_impossible_networks_are_refused(wrong):
    with pytest.raises(ValueError, match="got"):
        Network(**wrong)


def test_flat_features():
    features = FlatFeatures(PLANES, 256)
    assert features(torch.zeros(7, 5, 12, 11)).shape == (7, 256)
    assert sum(p.numel() for p in features.parameters()) == (660 + 1) * 256


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 96, 88)])
def test_impala_features(shape):
    features = ImpalaFeatures(picture(*shape), 256)
    assert features(torch.rand(2, *shape)).shape == (2, 256)
    convolutions = [m for m in features.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [16] * 5 + [32] * 10


def make_policies():
    kwargs = Network(name="flat", features_dim=64, head_dim=32).policy_kwargs()
    plain = ActorCriticPolicy(PLANES, spaces.Discrete(5), lambda _: 1e-3, **kwargs)
    cast = Bf16Policy(PLANES, spaces.Discrete(5), lambda _: 1e-3, **kwargs)
    cast.load_state_dict(plain.state_dict())
    return plain, cast


def test_bf16_is_near_float32_and_hands_out_float32():
    plain, cast = make_policies()
    obs = torch.randint(0, 2, (64, *PLANES.shape), dtype=torch.uint8)
    actions = torch.randint(0, 5, (64,))
    for exact, rounded in zip(
        plain.evaluate_actions(obs, actions), cast.evaluate_actions(obs, actions), strict=True
    ):
        assert rounded.dtype == torch.float32
        torch.testing.assert_close(exact, rounded, atol=0.1, rtol=0.1)
    assert not torch.equal(plain.predict_values(obs), cast.predict_values(obs))
    actions, values, log_prob = cast(obs)
    assert actions.shape == (64,) and values.shape == (64, 1) and log_prob.shape == (64,)
    cast.evaluate_actions(obs, actions)[1].mean().backward()
    assert all(p.dtype == torch.float32 for p in cast.parameters())


def test_what_is_evaluated_is_float32_throughout():
    plain, cast = make_policies()
    obs = torch.randint(0, 2, (64, *PLANES.shape), dtype=torch.uint8)
    exact = plain.get_distribution(obs).distribution.logits
    assert torch.equal(exact, cast.get_distribution(obs).distribution.logits)


def test_the_bf16_speedup_is_measured_once_per_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cpu = {"model name": "A", "cpu family": "1", "model": "2", "flags": "avx512f avx512_bf16"}
    monkeypatch.setattr(networks, "_cpu_info", lambda: cpu)
    measured = []
    monkeypatch.setattr(networks, "bf16_speedup", lambda: measured.append(1) or 1.5)
    assert networks.autocast_bf16() and networks.autocast_bf16()
    assert len(measured) == 1
    cache = tmp_path / "misgen" / "bf16_speedup.json"
    assert json.loads(cache.read_text()) == {f"A/1/2, torch {torch.__version__}": 1.5}
    cache.write_text("torn {")
    assert networks.autocast_bf16() and len(measured) == 2


def test_no_bf16_without_the_instructions_or_the_speedup(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(networks, "bf16_speedup", lambda: 1.05)
    monkeypatch.setattr(networks, "_cpu_info", lambda: {"flags": "avx512_bf16"})
    assert not networks.autocast_bf16()
    monkeypatch.setattr(networks, "_cpu_info", lambda: {})
    monkeypatch.setattr(networks, "bf16_speedup", lambda: 9.9)
    assert not networks.autocast_bf16()


def test_the_measurement_leaves_no_trace():
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    assert networks.bf16_speedup() > 0
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
