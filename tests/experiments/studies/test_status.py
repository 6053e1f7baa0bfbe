"""`misgen study status`: what a results folder says of its runs."""

import json
import time

import pytest

from misgen.experiments import cli
from misgen.experiments.config import compose
from misgen.experiments.jobs.attempt import claim, run_once
from misgen.experiments.runs.folder import write_json
from misgen.experiments.runs.train import train_argument, train_folder
from misgen.experiments.studies.status import arm_of, runs_of, summary


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A sweep of five agents of one arm: done, failed, running, interrupted, not begun."""
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    words = ["cell=K3", "intervention.diversity=0.1"]
    configs = [compose("train", [*words, f"train_seed={seed}"]) for seed in range(5)]
    done, failed, running, begun, missing = map(train_folder, configs)
    run_once(done.path, done.config, lambda path: None)
    with pytest.raises(ValueError):
        run_once(failed.path, failed.config, fail)
    for folder in (running, begun):
        folder.path.mkdir(parents=True)
        write_json(folder.path / "config.json", dict(folder.config))
    write_json(running.path / "progress.json", {"done": 250, "total": 1000, "message": ""})
    arm = arm_of("train", train_argument(configs[0]))
    (tmp_path / "sweeps").mkdir()
    write_json(tmp_path / "sweeps" / "one.json", {"runs": {done.id: arm, missing.id: arm}})
    with claim(running.path):
        yield tmp_path


def fail(path):
    raise ValueError("the reason")


def test_every_state_is_counted(results):
    found = summary(runs_of(results))
    states = ("done", "running", "failed", "begun", "missing")
    assert found["states"] == {**dict.fromkeys(states, 1), "queued": 0}
    (arm,) = found["arms"]
    assert (arm["kind"], arm["arm"]) == ("train", "K3 d=0.1")
    (failed,) = found["failed"]
    assert failed["reason"] == "ValueError: the reason"


def test_a_running_one_has_a_share_and_time_left(results, monkeypatch):
    now = time.time()
    monkeypatch.setattr("misgen.experiments.studies.status.time.time", lambda: now + 100)
    (running,) = summary(runs_of(results))["running"]
    assert running["share"] == 0.25 and 295 <= running["seconds_left"] <= 310


def test_the_command(results, capsys):
    assert cli.main(["study", "status"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 110
    assert "train  K3 d=0.1  1     1        1       1      1        0.0" in text
    assert "running: train K3 d=0.1 " in text and ": 25%" in text
    assert "failed: train K3 d=0.1 " in text and "the reason" in text
    assert cli.main(["study", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["states"]["done"] == 1


def test_arms_in_words():
    member = {"cell": "C4", "subject": {"cell": "C2", "method": "cloning", "d": 0.1, "q": 1}}
    assert arm_of("matched", {"members": [member]}) == "C2 in C4 cloning d=0.1"
    control = {"cell": "C2", "subject": {"cell": "C2", "method": "control", "d": 0, "q": 1}}
    assert arm_of("controls", control) == "C2"
    assert arm_of("shift", {"cell": "K1"}) == "K1"


def test_studies_are_listed_with_their_questions(capsys):
    assert cli.main(["study", "list"]) == 0
    listed = capsys.readouterr().out.replace("\n  ", " ").splitlines()
    names = [line.partition(":")[0] for line in listed]
    assert names == [
        "cells", "demo", "diversity", "modifiers", "neither", "network", "num_levels",
        "specification",
        "training_steps",
    ]  # fmt: skip
    assert all(line.endswith("?") for line in listed)
    assert cli.main(["study", "list", "--json"]) == 0
    assert [*json.loads(capsys.readouterr().out)] == names


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    assert cli.main(["study", "status", "--results", str(tmp_path)]) == 2
    assert "has no runs; begin with" in capsys.readouterr().err
