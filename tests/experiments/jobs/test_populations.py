"""Agents that are trained side by side have run folders like those trained alone."""

from dataclasses import replace

import pytest

from misgen.agents.settings import PPOSettings
from misgen.experiments.config import AgentConfig, InterventionConfig, TrainConfig
from misgen.experiments.jobs.populations import pack, population_job, train_members
from misgen.experiments.jobs.scheduler import run_jobs
from misgen.experiments.runs.folder import read_json
from misgen.experiments.runs.train import train_folder, train_job

TINY = PPOSettings(total_steps=128, num_envs=8, num_steps=8, batch_size=32, features_dim=16)


def config(seed=0, cell="C2", d=0.0, method="ppo", **settings):
    agent = AgentConfig(method=method, settings=replace(TINY, **settings))
    return TrainConfig(
        cell=cell, agent=agent, train_seed=seed, intervention=InterventionConfig(diversity=d)
    )


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))


def test_agents_of_one_shape_come_together():
    """Whatever their cell of the family, d, rate, number and length; not of another network or
    family."""
    alike = [config(0), config(1, d=1.0), config(2, "C3", learning_rate=1e-3)]
    longer, wider = config(3, total_steps=256), config(4, features_dim=24)
    found = pack([*alike, wider, longer, config(5, "K3")])
    assert [len(population) for population in found] == [4, 1, 1]
    assert found[0] == (longer, *alike) and found[1] == (wider,)


def test_populations_are_as_large_as_there_is_room_for(monkeypatch):
    """Seven where three fit: 2, 2 and 3."""
    from misgen.agents.device import agent_bytes
    from misgen.agents.networks import architecture_for
    from misgen.experiments.jobs.populations import device_of
    from misgen.experiments.runs.train import training_env

    one = config()
    architecture = architecture_for(TINY, training_env(one))
    free = int(3.5 * agent_bytes(architecture, TINY, device_of(one)))
    assert [len(p) for p in pack([config(k) for k in range(7)], free)] == [2, 2, 3]
    with pytest.raises(ValueError, match="no agent of this shape fits into 1000 bytes"):
        pack([one], 1000)
    monkeypatch.setattr("misgen.agents.device.free_bytes", lambda _: 1000)
    with pytest.raises(ValueError, match=r"1 agents need .* use a smaller network"):
        pack([one])


def test_a_method_without_populations_is_refused():
    with pytest.raises(ValueError, match="got cloning; train it in a process of its own"):
        pack([config(method="cloning")])


def test_members_leave_what_they_leave_alone():
    """Files, hashes of what is written, curves; a member that is there is not trained again."""
    members = [config(0), config(1, total_steps=64), config(2, d=1.0)]
    done = train_folder(members[0])
    from misgen.experiments.jobs.attempt import run_once

    run_once(done.path, done.config, lambda path: train_job(done.config, path))
    before = (done.path / "done.json").stat().st_mtime_ns
    (result,) = run_jobs([population_job(members)], 1, progress=False)
    assert result.status == "done", result.log_tail
    assert (done.path / "done.json").stat().st_mtime_ns == before
    expected = set(read_json(done.path / "done.json")["sha256"])
    for member in members:
        run = train_folder(member)
        assert run.is_done and set(read_json(run.path / "done.json")["sha256"]) == expected
    assert len((train_folder(members[1]).path / "curve.csv").read_text().splitlines()) == 2
    assert [r.status for r in run_jobs([population_job(members)], 1, progress=False)] == ["skipped"]


def test_a_member_that_fails_says_so_and_the_others_are_there(tmp_path):
    bad, good = config(0, learning_rate=1e30), config(1)
    with pytest.raises(ValueError, match=r"1 of 2 agents failed: C2 d=0 agent 0: training cannot"):
        train_members(population_job([bad, good]).argument, tmp_path / "population")
    assert train_folder(good).is_done and not train_folder(bad).is_done
    assert "lower learning_rate" in read_json(train_folder(bad).path / "failed.json")["error"]
