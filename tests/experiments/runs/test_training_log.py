"""What can be seen of a training while it runs."""

from dataclasses import dataclass

import pytest

from misgen.experiments.cli import main
from misgen.experiments.runs import training_log
from misgen.experiments.runs.folder import read_json
from misgen.experiments.runs.subjects import find_agents, setting_of
from misgen.experiments.runs.training_log import CURVE, TrainingLog, read_curve, write_curve

SHORT = [
    "agent.settings.total_steps=2048",
    "agent.settings.num_envs=16",
    "agent.settings.num_steps=64",
    "agent.settings.features_dim=32",
    "agent.settings.head_dim=32",
]


@dataclass(frozen=True)
class Row:
    steps: int
    success_rate: float


def test_the_curve_grows_with_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(training_log, "CURVE_S", 0.0)
    log = TrainingLog(tmp_path)
    log(100, 300, Row(100, 0.1))
    assert read_curve(tmp_path / CURVE) == [{"steps": 100, "success_rate": 0.1}]
    log(200, 300, Row(200, 0.2))
    assert [row["steps"] for row in read_curve(tmp_path / CURVE)] == [100, 200]
    assert read_json(tmp_path / "progress.json")["done"] == 100  # at most once a second


def test_a_training_that_goes_on_continues_its_curve(tmp_path):
    """Killed at 300 steps, it resumed from 200: the row of 300 is made again."""
    write_curve(tmp_path / CURVE, [Row(100, 0.1), Row(200, 0.2), Row(300, 0.9)])
    TrainingLog(tmp_path)(300, 400, Row(300, 0.3))
    assert [row["success_rate"] for row in read_curve(tmp_path / CURVE)] == [0.1, 0.2, 0.3]


def test_one_checkpoint_is_kept_unless_all_are_asked_for(tmp_path, monkeypatch, capsys, jobs_here):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    assert main(["train", "cell=K3", *SHORT]) == 0
    (run,) = tmp_path.glob("runs/kind=train/run=*")
    assert {path.name for path in run.glob("checkpoint*")} == {
        "checkpoint.json", "checkpoint.safetensors",
    }  # fmt: skip
    assert len(read_curve(run / CURVE)) == 2
    assert main(["train", "cell=K3", *SHORT, "checkpoints=all"]) == 0
    (other,) = {*tmp_path.glob("runs/kind=train/run=*")} - {run}
    assert (other / "checkpoint_1of2.safetensors").is_file()
    same = "checkpoint.safetensors"
    assert (other / same).read_bytes() == (run / same).read_bytes()
    assert find_agents("") == [other / "checkpoint"]  # one agent, not two
    assert main(["train", "cell=K3", *SHORT]) == 0
    assert f"already trained, {other}" in capsys.readouterr().out
    trained = [read_json(each / "config.json") for each in (run, other)]
    assert setting_of(trained[0]) == setting_of(trained[1])  # compared as one way of training


def test_earlier_checkpoints_that_nobody_kept_cannot_be_played(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    assert main(["train", "cell=K3", *SHORT]) == 0
    assert main(["evaluate", "--checkpoints", "all"]) == 2
    assert "train with checkpoints=all" in capsys.readouterr().err


def test_tensorboard_gets_the_curve_and_changes_no_identity(tmp_path, monkeypatch, capsys):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    assert main(["train", "cell=K3", *SHORT, "tensorboard=true"]) == 0
    (run,) = tmp_path.glob("runs/kind=train/run=*")
    events = accumulator.EventAccumulator(str(run / training_log.TENSORBOARD)).Reload()
    shown = {event.step: event.value for event in events.Scalars("training/success_rate")}
    curve = {row["steps"]: row["success_rate"] for row in read_curve(run / CURVE)}
    assert shown == pytest.approx(curve)
    assert main(["train", "cell=K3", *SHORT]) == 0
    assert "already trained" in capsys.readouterr().out


def test_tensorboard_that_is_not_installed_is_said_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    monkeypatch.setattr(training_log.importlib.util, "find_spec", lambda name: None)
    assert main(["train", "cell=K3", "tensorboard=true"]) == 2
    assert "pip install '.[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
