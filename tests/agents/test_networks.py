"""Shapes and first weights of the networks."""

import pytest
import torch

from misgen.agents.networks import (
    Architecture,
    Network,
    choose_network,
    flat_features,
    impala_features,
    initial_weights,
    shapes_of,
)
from misgen.agents.sb3_ppo import sb3_policy, weights_of


@pytest.mark.parametrize(
    ("mode", "shape", "name"),
    [
        ("planes", (40, 64, 64), "flat"),
        ("rgb1", (12, 11, 3), "flat"),
        ("rgb8", (96, 88, 3), "impala"),
        ("rgb64", (64, 64, 3), "impala"),
    ],
)
def test_auto_convolves_pictures_of_32_px_and_more(mode, shape, name):
    assert choose_network("auto", mode, shape).name == name


def test_a_named_network_is_taken_as_it_is():
    network = choose_network("flat", "rgb64", (64, 64, 3), features_dim=32, head_dim=0)
    assert network == Network(name="flat", features_dim=32, head_dim=0)


@pytest.mark.parametrize(
    "wrong",
    [{"name": "vit"}, {"name": "flat", "features_dim": 0}, {"name": "flat", "head_dim": -1}],
)
def test_impossible_networks_are_refused(wrong):
    with pytest.raises(ValueError, match="got"):
        Network(**wrong)


def test_flat_features():
    features = flat_features((5, 12, 11), 256)
    assert features(torch.zeros(7, 5, 12, 11)).shape == (7, 256)
    assert sum(p.numel() for p in features.parameters()) == (660 + 1) * 256


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 96, 88)])
def test_impala_features(shape):
    features = impala_features(shape, 256)
    assert features(torch.rand(2, *shape)).shape == (2, 256)
    convolutions = [m for m in features.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [16] * 5 + [32] * 10


@pytest.mark.parametrize("name", ["flat", "impala"])
def test_weights_start_as_those_of_sb3(name):
    """Orthogonal, with its gains; names and shapes are its own."""
    network = Network(name=name, features_dim=64, head_dim=32)
    architecture = Architecture.of(network, "rgb1", (12, 11, 3), 5)
    weights = initial_weights(architecture, 0)
    policy = sb3_policy(architecture, weights)  # loads them
    assert {key: tuple(w.shape) for key, w in weights.items()} == shapes_of(architecture)
    ours = {key: value.norm() for key, value in weights.items()}
    policy.features_extractor.apply(lambda m: policy.init_weights(m, gain=2**0.5))
    theirs = weights_of(policy)
    for key, value in ours.items():
        if key.startswith("features_extractor"):
            torch.testing.assert_close(value, theirs[key].norm(), atol=1e-4, rtol=1e-4)
    assert ours["action_net.weight"] == pytest.approx(0.01 * 5**0.5, rel=1e-4)
    assert ours["value_net.weight"] == pytest.approx(1, rel=1e-4)
    assert ours["mlp_extractor.policy_net.0.weight"] == pytest.approx(64**0.5, rel=1e-4)
    assert not torch.equal(
        weights["action_net.weight"], initial_weights(architecture, 1)["action_net.weight"]
    )
