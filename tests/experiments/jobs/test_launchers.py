"""Ways to start the runs of a sweep, as far as they go without a cluster: who gets which agents,
what is in the queue already, what is refused."""

import json
import os
import stat

import pytest

from misgen.experiments import cli
from misgen.experiments.config import compose
from misgen.experiments.jobs import slurm as slurm_jobs
from misgen.experiments.jobs.scheduler import Job
from misgen.experiments.jobs.slurm import number_of_tasks, pack
from misgen.experiments.launchers.slurm import SlurmConf
from misgen.experiments.runs.train import train_folder
from misgen.experiments.studies.status import queued_runs, remember_submitted, submissions


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def no_slurm(monkeypatch, tmp_path):
    """A PATH without Slurm; what is put into this folder is found."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


@pytest.fixture
def extras_installed(monkeypatch):
    monkeypatch.setattr("misgen.experiments.launchers.launcher.find_spec", lambda name: object())


def command(folder, name, says):
    file = folder / name
    file.write_text(f"#!/bin/sh\n{says}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def jobs(tmp_path, *weights):
    return [Job(f"{k}", "a:b", {}, tmp_path / f"{k}", weight) for k, weight in enumerate(weights)]


def weights(packs):
    return [sorted(job.weight for job in each) for each in packs]


def test_packs_share_the_cost_and_the_costliest_comes_first(tmp_path):
    assert weights(pack(jobs(tmp_path, 1, 1, 8, 1, 3, 2), 2)) == [[8], [1, 1, 1, 2, 3]]
    assert weights(pack(jobs(tmp_path, 5, 4, 3, 3), 2)) == [[3, 5], [3, 4]]
    assert weights(pack(jobs(tmp_path, 0, 0, 0, 0), 2)) == [[0, 0], [0, 0]]
    assert weights(pack(jobs(tmp_path, 2, 1), 9)) == [[2], [1]]  # no empty task


def test_the_number_of_tasks_is_said_or_follows_from_their_size():
    assert number_of_tasks(33, SlurmConf()) == 3
    assert number_of_tasks(33, SlurmConf(tasks=5)) == 5


def test_what_is_in_the_queue_is_not_submitted_again(results, no_slurm, monkeypatch, capsys):
    configs = [compose("train", ["cell=K3", f"train_seed={seed}"]) for seed in range(4)]
    ids = [train_folder(config).id for config in configs]
    submitted = []

    def submit(new, conf):
        submitted.append([job.folder.name.removeprefix("run=") for job in new])
        return {f"{len(submitted)}_0": submitted[-1]}

    monkeypatch.setattr(slurm_jobs, "_submit", submit)
    command(no_slurm, "squeue", "exit 0")
    slurm_jobs.train(configs[:1], SlurmConf())
    command(no_slurm, "squeue", "echo 1_0; echo 77_3")  # 77: of another results folder
    slurm_jobs.train(configs, SlurmConf())
    assert submitted == [ids[:1], ids[1:]]
    assert "1 runs are in Slurm's queue already" in capsys.readouterr().err
    command(no_slurm, "squeue", "echo 2_0")  # the first has ended, undone: it may be tried again
    slurm_jobs.train(configs, SlurmConf())
    assert submitted[2:] == [ids[:1]]


def test_status_shows_what_is_queued(results, no_slurm, capsys):
    (results / "sweeps").mkdir(parents=True)
    arms = {"runs": {"a": "K3 d=0", "b": "K3 d=0"}}
    (results / "sweeps" / "one.json").write_text(json.dumps(arms))
    submissions(results).mkdir()
    remember_submitted(results, {"5_0": ["a"], "5_1": ["b"]})
    command(no_slurm, "squeue", "echo 5_1")
    assert cli.main(["study", "status", "--json"]) == 0
    states = json.loads(capsys.readouterr().out)["states"]
    assert states["queued"] == states["missing"] == 1


def test_a_slurm_that_does_not_answer_is_no_empty_queue(results, no_slurm, monkeypatch):
    monkeypatch.setattr(slurm_jobs, "_submit", lambda new, conf: pytest.fail("submitted"))
    submissions(results).mkdir(parents=True)
    remember_submitted(results, {"5_0": ["a"]})
    command(no_slurm, "squeue", "echo cannot contact >&2; exit 1")
    with pytest.raises(ValueError, match=r"does not answer \(cannot contact\)"):
        queued_runs(results)
    with pytest.raises(ValueError, match="does not answer"):
        slurm_jobs.train([compose("train", ["cell=K3"])], SlurmConf())


def refused(results, capsys, *words):
    assert cli.main(["train", "-m", "cell=K3", "train_seed=0,1", *words]) == 2
    assert not (results / "runs").exists() and not [*results.glob("sweeps/*.json")]
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_an_unknown_launcher_names_the_known_ones(results, capsys):
    said = refused(results, capsys, "launcher=slrum")
    assert "slrum" in said
    assert all(name in said for name in ("local", "population", "ray", "slurm"))


@pytest.mark.parametrize("launcher", ["slurm", "ray"])
def test_an_extra_that_is_not_installed_is_named(results, capsys, monkeypatch, launcher):
    monkeypatch.setattr("misgen.experiments.launchers.launcher.find_spec", lambda name: None)
    assert f"pip install '.[{launcher}]'" in refused(results, capsys, f"launcher={launcher}")


def test_slurm_is_refused_where_there_is_none(results, capsys, no_slurm, extras_installed):
    assert "sbatch and squeue cannot be found" in refused(results, capsys, "launcher=slurm")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:port"])
def test_a_ray_that_does_not_answer(results, capsys, extras_installed, address):
    said = refused(results, capsys, "launcher=ray", f"hydra.launcher.address={address}")
    assert f"no Ray cluster can be used at {address}" in said and "ray start --head" in said


@pytest.mark.parametrize("setting", ["tasks=-1", "timeout_min=0", "cpus_per_task=0"])
def test_settings_of_slurm_that_make_no_sense(results, capsys, extras_installed, setting):
    said = refused(results, capsys, "launcher=slurm", f"hydra.launcher.{setting}")
    assert setting in said and "at least 1" in said


def test_populations_need_a_gpu(results, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "trains on a GPU" in refused(results, capsys, "launcher=population")


def test_one_launcher_and_only_of_a_sweep(results, capsys):
    assert "one launcher" in refused(results, capsys, "launcher=local,ray")
    assert cli.main(["train", "cell=K3", "launcher=ray"]) == 2
    assert os.linesep not in capsys.readouterr().err.strip()


def test_the_launcher_is_no_part_of_what_a_run_is():
    local, ray = (compose("train", ["cell=K3", *more]) for more in ([], ["launcher=ray"]))
    assert train_folder(local).path == train_folder(ray).path
