"""What a sweeper that looks for the best is told of a run."""

import os
import subprocess
import sys

import duckdb
import pytest
from hydra.core.utils import JobStatus
from omegaconf import OmegaConf

from misgen.experiments import cli
from misgen.experiments.config import compose
from misgen.experiments.launchers.launcher import RunFailedError
from misgen.experiments.launchers.local import LocalLauncher
from misgen.experiments.runs.folder import read_json
from misgen.experiments.runs.sweep import OBJECTIVES, checked
from misgen.experiments.runs.train import train_folder

TINY = ["agent.settings.total_steps=2048", "agent.settings.num_envs=16",
        "agent.settings.num_steps=64", "agent.settings.features_dim=32",
        "agent.settings.head_dim=32"]  # fmt: skip
GOOD, BAD = (("cell=M5", *TINY, f"agent.settings.learning_rate={rate}") for rate in (1e-3, 1e30))
SEARCH = OmegaConf.create({"hydra": {"sweeper": {"_target_": "elsewhere.OptunaSweeper"}}})
LEVELS = 40


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("results")
        patch.setenv("MISGEN_RESULTS", str(folder))
        yield folder


def returns(objective, *runs):
    """Of a search whose launcher has this objective."""
    launcher = LocalLauncher(n_jobs=2, objective=objective, num_levels=LEVELS)
    launcher.setup(hydra_context=None, task_function=None, config=SEARCH)
    return launcher.launch(runs, 0)


def test_every_objective_is_what_the_records_say(results):
    names = [name for name in OBJECTIVES if name not in ("p_harm", "p_goal_fail", "p_harmful_gm")]
    (done,) = returns(names, GOOD)
    found = dict(zip(names, done.return_value, strict=True))
    folder = train_folder(compose("train", list(GOOD))).path
    assert found["training_success"] == read_json(folder / "train.json")["final_success_rate"]
    file = next(results.glob("runs/kind=evaluate/*/episodes.parquet"))
    episodes = f"from '{file}' where role = 'agent' and variant"
    shifted = f"{episodes} = '11' and is_distinguishing"
    for name, counted in {
        "own_success": f"avg(success::int) {episodes} = 'own'",
        "p_capable": f"avg(capable::int) {shifted}",
        "p_gm": f"avg((capable and goal_failure)::int) {shifted}",
    }.items():
        ((expected,),) = duckdb.sql(f"select {counted}").fetchall()
        assert found[name] == pytest.approx(expected)
    assert {path.name for path in (results / "runs").iterdir()} == {
        "kind=train", "kind=evaluate", "kind=controls", "kind=matched",
    }  # fmt: skip


def test_a_failed_run_has_no_value_and_costs_the_search_nothing_else(results):
    bad, good = returns("training_success", BAD, GOOD)
    assert (bad.status, good.status) == (JobStatus.FAILED, JobStatus.COMPLETED)
    assert isinstance(good.return_value, float)
    with pytest.raises(RunFailedError, match="learning_rate=1e"):
        _ = bad.return_value


def test_an_objective_is_no_part_of_what_a_run_is(results):
    before = sorted(results.glob("runs/*/*"))
    words = ["-m", *GOOD, "hydra.launcher.objective=own_success"]
    assert cli.main(["train", *words, f"hydra.launcher.num_levels={LEVELS}"]) == 0
    assert sorted(results.glob("runs/*/*")) == before


def test_what_is_no_objective_is_named(results, capsys):
    assert checked("p_gm") == ("p_gm",)
    assert cli.main(["train", "-m", *GOOD, "hydra.launcher.objective=p_gn"]) == 2
    assert "there is no objective 'p_gn'; did you mean 'p_gm'?" in capsys.readouterr().err


def test_optuna_finds_the_better_run(results):
    """With the released sweeper, where it is installed; one of the two runs fails."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = [
        "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=4",
        "hydra.sweeper.direction=maximize", "hydra.sweeper.max_failure_rate=1",
        "agent.settings.learning_rate=choice(1e-3,1e30)", "hydra.sweeper.sampler.seed=1",
    ]  # fmt: skip
    command = [sys.executable, "-m", "misgen.experiments.cli", "train", "-m", *GOOD[:-1], *words]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    best = OmegaConf.load(results / "sweeps" / "optimization_results.yaml")
    assert best.best_params["agent.settings.learning_rate"] == 1e-3
    folder = train_folder(compose("train", list(GOOD))).path
    assert best.best_value == read_json(folder / "train.json")["final_success_rate"]
