"""`misgen train agent=cloning`: a clone is a trained agent like any other."""

import csv
import json

import pytest

from misgen.experiments.cli import main
from misgen.experiments.config import compose
from misgen.experiments.runs.subjects import find_agents

TINY = [
    "agent=cloning",
    "cell=K3",
    "intervention.diversity=1",
    "agent.cloning.num_states=500",
    "agent.cloning.num_envs=64",
    "agent.cloning.features_dim=16",
]


def test_a_clone_leaves_what_every_trained_agent_leaves(tmp_path, monkeypatch):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    assert main(["train", *TINY]) == 0
    (checkpoint,) = find_agents("")
    meta = json.loads(checkpoint.with_suffix(".json").read_text())
    assert (meta["method"], meta["steps"], meta["diversity"]) == ("cloning", 500, 1.0)
    assert meta["network"]["features_dim"] == meta["settings"]["features_dim"] == 16
    (row,) = csv.DictReader((checkpoint.parent / "curve.csv").read_text().splitlines())
    assert row["steps"] == "500" and 0 <= float(row["accuracy"]) <= 1
    seen = json.loads((checkpoint.parent / "train.json").read_text())
    assert seen["broken_draws"] == seen["episodes"] == int(row["episodes"])
    assert 0.35 < seen["d_distinguishing"] < 0.55


def test_each_method_has_settings_of_its_own():
    config = compose("train", [*TINY, "agent.settings.gamma=0.5"])
    assert config.agent.settings_of_method() is config.agent.cloning
    assert (config.agent.cloning.num_states, config.agent.settings.gamma) == (500, 0.5)
    ppo = compose("train", ["agent.settings.gamma=0.5"]).agent
    assert ppo.method == "ppo" and ppo.settings_of_method() is ppo.settings


@pytest.mark.parametrize(
    ("override", "remedy"),
    [
        ("agent.cloning.random_action_frac=2", "random_action_frac is in [0, 1]"),
        ("intervention.specification=0.5", "cloning learns from no reward"),
        ("agent.method=imitation", "agent.method is one of cloning, "),
    ],
)
def test_wrong_settings_are_refused(override, remedy, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "results"))
    assert main(["train", "agent=cloning", override]) == 2
    assert remedy in capfd.readouterr().err
