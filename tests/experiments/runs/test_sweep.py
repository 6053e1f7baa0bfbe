"""`misgen train -m`: on our scheduler, checked before it starts, continued by the same command."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from misgen.experiments import cli
from misgen.experiments.config import compose
from misgen.experiments.jobs.attempt import run_once
from misgen.experiments.runs.folder import read_json, write_json
from misgen.experiments.runs.sweep import sweep_configs
from misgen.experiments.runs.train import train_folder

TINY = ["agent.settings.total_steps=1", "agent.settings.num_envs=8", "agent.settings.num_steps=8",
        "agent.settings.batch_size=32"]  # fmt: skip


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    return tmp_path


def train(*words):
    return cli.main(["train", *words])


def finished(results):
    return {p.parent.name: p.stat().st_mtime_ns for p in results.glob("runs/*/*/done.json")}


def test_a_sweep_trains_what_is_missing_and_says_so(results, capsys):
    """In processes of their own; a part of it first."""
    words = ["-m", "cell=K3", *TINY, "hydra.launcher.n_jobs=2"]
    assert train(*words, "train_seed=3") == 0
    first = finished(results)
    assert len(first) == 1
    assert train(*words, "train_seed=3,4", "intervention=none,control") == 0
    assert "4 runs, 1 done before" in capsys.readouterr().err
    now = finished(results)
    assert len(now) == 4 and first.items() <= now.items()
    records = [read_json(path) for path in (results / "sweeps").glob("*.json")]
    assert {f"run={run}" for record in records for run in record["runs"]} == set(now)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["intervention.diversity=0,2,1,3"], "4 of 8 configurations are refused, and nothing"),
        (["cell=K3,C9"], "4 of 4|2 of 4"),
        (["+foo=1"], "adds no setting"),
        (["agent.settings.batch_size=32,7"], "batch_size"),
        (["intervention=[none,control]"], "write -m intervention=none,control"),
        (["agent=pop"], "pop"),
    ],
)
def test_wrong_sweeps_are_refused_before_anything_starts(results, capsys, words, says):
    given = ["cell=K3"] if not words[0].startswith("cell") else []
    assert train("-m", *given, *TINY, "train_seed=0,1", *words) == 2
    assert re.search(says, capsys.readouterr().err)
    assert not (results / "runs").exists()


def test_all_reasons_are_named_at_once():
    with pytest.raises(ValueError) as refused:
        sweep_configs([["cell=K3", "intervention.diversity=2"], ["cell=K3", "train_seed=-1"], []])
    assert "diversity is a probability" in str(refused.value)
    assert "train_seed is an integer" in str(refused.value) and "2 of 3" in str(refused.value)


def test_a_dry_run_trains_nothing(results, capsys):
    assert train("-m", "cell=K3,C2", *TINY, "train_seed=range(9)", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "K3 d=0 agent 0" in said and "and 8 more" in said and "18 runs" in said
    assert not (results / "runs").exists()
    assert train("cell=K3", "--dry-run") == 2


def test_a_dry_run_says_what_it_would_cost(results, capsys):
    """By a default rate, by finished runs of the same kind, or not at all."""
    words = ["-m", "cell=M5", "agent.settings.total_steps=44_000_000", "hydra.launcher.n_jobs=2"]
    assert train(*words, "train_seed=range(9)", "--dry-run") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "about 2.5 hours at a default rate, measured elsewhere (ppo 22,000 steps/s" in said
    done = train_folder(compose("train", ["cell=M5", "agent.settings.total_steps=44_000_000"]))
    run_once(done.path, done.config, lambda folder: None)
    write_json(done.path / "done.json", {"seconds": 300})
    assert train(*words, "train_seed=range(9)", "--dry-run") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "about 20 minutes, as finished runs like these took" in said
    assert train("-m", "cell=M5", "agent=cloning", "--dry-run") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "time unknown: no training by cloning" in said


OWN_CONFIG = """
# @package _global_
intervention:
  diversity: 0.5
hydra:
  sweeper:
    params:
      train_seed: 3,4
"""


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_configs_of_ones_own_are_found_wherever_their_folder_is_named(
    results, tmp_path, capsys, place
):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "half.yaml").write_text(OWN_CONFIG)
    words = ["-m", "cell=K3", "+experiment=half"]
    words[place:place] = ["--config-dir", str(tmp_path)]
    assert train(*words, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "K3 d=0.5 agent 3" in said and "K3 d=0.5 agent 4" in said


def test_configurations_are_those_that_hydra_composes():
    """Faster: a choice of groups is composed once."""
    wanted = [
        ["cell=M6", "train_seed=3"],
        ["cell=C2", "intervention=control", "agent=cloning", "agent.cloning.batch_size=64"],
        ["family=keys_and_chests", "agent.settings.learning_rate=1e-3", "study=a-b"],
        ["cell=C2", "intervention=control", "intervention.diversity=0.1", "study='x y'"],
        ["cell=K3", "agent=sb3_ppo", "agent.settings.total_steps=2000000"],
    ]
    assert sweep_configs(wanted) == [compose("train", list(words)) for words in wanted]


def test_finished_runs_are_skipped_fast():
    """At most 20 ms of CPU each; a full composition takes five times as long."""
    sweep_configs([["cell=K3", "train_seed=0"]])
    started = time.process_time()
    sweep_configs([["cell=K3", f"train_seed={seed}"] for seed in range(50)])
    assert (time.process_time() - started) / 50 < 0.02


def test_a_failing_run_costs_itself_only(results, capsys):
    """One learning rate ends in no finite gradient; the exit code says that a run failed."""
    words = ["cell=K3", *TINY[1:], "agent.settings.total_steps=256"]
    assert train("-m", *words, "agent.settings.learning_rate=1e-3,1e30,1e-4") == 1
    assert len(finished(results)) == 2
    said = capsys.readouterr().err
    assert "lower learning_rate" in said and "1 of 3 runs failed" in said
    assert "K3 d=0 learning_rate=1e+30 agent 0" in said  # what tells it from the others


def test_read_only_results_are_one_message(tmp_path, capsys, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("MISGEN_RESULTS", str(file))
    assert train("-m", "cell=K3", *TINY, "train_seed=0,1") == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_hydras_own_launcher_stays(results):
    """Chosen by its name; runs one after the other in this process."""
    code = "import sys; from misgen.experiments.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", "-m", "hydra/launcher=basic", "cell=K3", *TINY, "train_seed=0,1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(finished(results)) == 2
    config = json.loads(next(results.glob("runs/*/*/config.json")).read_text())
    assert "launcher" not in json.dumps(config)
