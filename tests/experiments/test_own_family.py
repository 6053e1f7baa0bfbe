"""A family in a file of the user's own goes the way of a built-in one, from training to rates."""

import json
import os
import sys

import pyarrow.parquet as pq
import pytest

from misgen.agents import checkpoint
from misgen.envs.families import find_family
from misgen.experiments.cli import main
from misgen.experiments.jobs import scheduler as jobs
from misgen.experiments.jobs import start as jobs_start
from misgen.experiments.runs import evaluate
from misgen.experiments.shown import levels as shown_levels

TOY = """
import dataclasses
from misgen.envs import maze

FAMILY = dataclasses.replace(maze.FAMILY, name="toy", title="Toy", gamma=0.9, module=__name__)
NAMELESS = dataclasses.replace(FAMILY, module="elsewhere")
"""
TINY = [
    "agent.settings.total_steps=4096",
    "agent.settings.num_envs=64",
    "agent.settings.features_dim=32",
    "agent.settings.head_dim=32",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the family's file, where commands are given."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "toy_family.py").write_text(TOY)
    bare = TOY.replace('"toy"', '"bare"').replace("gamma=0.9", "paint=None")
    (folder / "unpainted.py").write_text(bare)
    (folder / "taken.py").write_text(TOY.replace('"toy"', '"coinrun"'))
    return folder


@pytest.fixture(autouse=True)
def _here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("MISGEN_RESULTS", str(folder / "results"))


@pytest.fixture(scope="module")
def results(folder, jobs_here):
    """An agent of the toy's M5 and one of the built-in M5, evaluated by one command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        patch.setenv("MISGEN_RESULTS", str(folder / "results"))
        assert main(["train", "family=toy_family:FAMILY", *TINY]) == 0
        assert main(["train", "family=maze", *TINY]) == 0
        assert main(["evaluate", "--levels=20"]) == 0
    return folder / "results"


def metas(results):
    files = results.glob("runs/kind=train/run=*/checkpoint.json")
    return {meta["family"]: meta for meta in map(json.loads, map(type(results).read_text, files))}


def test_an_agent_remembers_where_its_family_is_declared(results):
    own, built_in = metas(results)["toy_family:FAMILY"], metas(results)["maze"]
    assert own["cell"] == built_in["cell"] == "M5"
    assert (own["settings"]["gamma"], built_in["settings"]["gamma"]) == (0.9, 0.99)
    for path in results.glob("runs/kind=train/run=*/checkpoint.json"):
        family = find_family(json.loads(path.read_text())["family"])
        assert checkpoint.load(path, family)[1].family_version == family.version


def test_records_of_two_families_with_one_code_are_kept_apart(results):
    """Agents, controls and noise-matched planners of both."""
    for kind in ("evaluate", "controls", "matched"):
        files = sorted(results.glob(f"runs/kind={kind}/run=*/episodes.parquet"))
        tables = [pq.read_table(file, columns=["family", "cell", "shift_type"]) for file in files]
        found = [set(zip(*table.to_pydict().values(), strict=True)) for table in tables]
        assert sorted(found, key=str) == [
            {("maze", "M5", "moderate")}, {("toy", "M5", "moderate")}
        ]  # fmt: skip


def test_its_rates_stand_beside_the_others(results, capfd):
    assert main(["rates", "--results", str(results)]) == 0
    table = capfd.readouterr().out
    assert "toy M5 " in table and "maze M5 " in table


def test_its_code_is_run_and_that_is_said_once(folder):
    """Asked in a process of its own: this one has said it."""
    import subprocess

    command = [sys.executable, "-m", "misgen.experiments.cli", "cells", "toy_family:FAMILY", "M1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("M1: toy, moderate shift")
    assert done.stderr.count("running the code of toy_family:FAMILY") == 1


def test_it_is_listed_and_played(capsys):
    assert main(["cells", "toy_family:FAMILY"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:8]] == [
        [f"M{k}", "toy"] for k in (1, 2, 3, 4, 5, 6)
    ]
    assert main(["play", "toy_family:FAMILY", "M2", "--policy", "random"]) == 0
    assert capsys.readouterr().out.startswith("toy M2, random")


@pytest.mark.slow
def test_its_agent_is_filmed(results, tmp_path, monkeypatch, capsys):
    """Where it paints its levels; where it does not, that is said, and it can still be watched."""
    monkeypatch.setattr(shown_levels, "QUADRUPLES", 12)
    film = tmp_path / "toy.gif"
    assert main(["film", "toy_family:FAMILY", "M5", "--out", str(film)]) == 0
    assert "agent 0: " in capsys.readouterr().out and film.read_bytes()[:3] == b"GIF"
    assert main(["film", "unpainted:FAMILY", "--out", str(tmp_path / "no.gif")]) == 2
    assert "bare has no `paint`, so it has none; write one" in capsys.readouterr().err
    assert main(["maps", "unpainted:FAMILY", "--out", str(tmp_path)]) == 2
    assert main(["watch", "unpainted:FAMILY"]) == 0
    assert "proxy planner in M5" in capsys.readouterr().out


def test_jobs_in_processes_of_their_own_find_both(folder, monkeypatch, capfd):
    """The family's file and the policy's, which stand where the command is given."""
    monkeypatch.setattr(evaluate, "run_jobs", jobs.run_jobs)
    monkeypatch.setenv("MISGEN_RESULTS", str(folder / "policy"))
    (folder / "still.py").write_text(
        "from misgen.agents.policy import ConstantPolicy\n"
        "def make():\n    return ConstantPolicy(0)\n"
    )
    command = "evaluate --policy still:make --policy-family toy_family:FAMILY"
    assert main([*command.split(), "--levels=4"]) == 0
    (file,) = (folder / "policy").glob("runs/kind=evaluate/run=*/episodes.parquet")
    table = pq.read_table(file, columns=["family", "cell"])
    assert set(zip(*table.to_pydict().values(), strict=True)) == {("toy", "M5")}
    server = jobs_start._clients[0].process.pid
    assert len(os.listdir(f"/proc/{server}/task")) == 1  # else its forks would miss threads


@pytest.mark.parametrize(
    ("family", "cell", "says"),
    [
        ("toy_family:FAMILY", "K9", "toy has the cells M1, M2, M3, M4, M5, M6; got 'K9'"),
        ("toy_family:OTHER", "", "toy_family:OTHER cannot be imported"),
        ("toy_family:TOY", "", "toy_family:TOY cannot be imported"),
        ("toy_family:NAMELESS", "", "FAMILY, with module=__name__; toy_family:NAMELESS declares"),
        ("json:loads", "", "must be a misgen.envs.Family"),
        ("taken:FAMILY", "", "'coinrun' is a built-in one's; give taken:FAMILY another name"),
    ],
)
def test_what_is_not_a_family_is_refused(family, cell, says, capfd):
    assert main(["train", f"family={family}", f"cell={cell}"]) == 2
    error = capfd.readouterr().err
    assert says in error and "Traceback" not in error
