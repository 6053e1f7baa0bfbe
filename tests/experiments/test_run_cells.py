"""`misgen run-cells`: what it would run, and (slow) a whole smoke run."""

import functools
import json
from collections import Counter
from dataclasses import replace

import pytest

from misgen.analysis.records import query, read_records
from misgen.envs.families import FAMILIES, find_cell
from misgen.experiments import run_cells
from misgen.experiments.cell_choice import built_in_codes
from misgen.experiments.cli import main
from misgen.experiments.run_cells import ARMS, FIRST_AGENT, arm_configs, by_agent, longer_configs

CODES = built_in_codes()


@functools.cache
def all_configs(agents: int = 8):
    return [config for arm in ARMS for config in arm_configs(arm, CODES, agents, False)]


def test_the_study_has_the_agents_that_the_statistics_need():
    """8 at d = 0, 8 at d = .1, 5 at d = 1 and 5 clones in every cell; 5 in each further arm."""
    counted = Counter(
        (
            config.get_cell().code,
            config.agent.method,
            config.intervention.diversity,
            config.intervention.specification,
        )
        for config in all_configs()
    )
    for code in CODES:
        reference = [("ppo", 0.0), ("ppo", 0.1), ("ppo", 1.0), ("cloning", 0.0)]
        assert [counted[code, *arm, 1.0] for arm in reference] == [8, 8, 5, 5]
    for code in ("C2", "K3"):
        further = [(0.02, 1.0), (0.3, 1.0), (0.0, 0.5), (0.0, 0.0)]
        assert [counted[code, "ppo", *arm] for arm in further] == [5, 5, 5, 5]
    assert sum(counted.values()) == len(CODES) * 26 + 2 * 20


def test_few_agents_are_the_first_ones_of_the_whole_study():
    """So that more agents only add to what is there. Of two cells, which have every arm."""
    two = [config for arm in ARMS for config in arm_configs(arm, ["C2", "K3"], 2, False)]
    few, all_of_them = by_agent(two), {job.folder for job in by_agent(all_configs())}
    assert len(few) == 2 * 8 * 2 and {job.folder for job in few} < all_of_them
    seeds = [job.argument["train_seed"] for job in few]
    assert seeds == sorted(seeds) and seeds[0] == FIRST_AGENT


def test_two_cells_of_one_shift_type_are_two_cells(monkeypatch):
    family, cell = find_cell("K3")
    twin = replace(family, cells=(*family.cells, replace(cell, code="K9")))
    monkeypatch.setitem(FAMILIES, family.name, twin)
    assert built_in_codes() == [
        *CODES[: CODES.index("K4") + 1],
        "K9",
        *CODES[CODES.index("K4") + 1 :],
    ]
    configs = arm_configs(ARMS[0], ["K3", "K9"], 2, quick=False)
    assert [config.cell for config in configs] == ["K3", "K3", "K9", "K9"]
    jobs = by_agent(configs)
    assert len({job.name for job in jobs}) == len({job.folder for job in jobs}) == 4


def test_longer_training_differs_in_its_steps_only():
    (config,) = longer_configs(["K1"], quick=False)
    plain = arm_configs(ARMS[2], ["K1"], 1, False)[0]
    assert config.agent.settings.total_steps == 4 * plain.agent.settings.total_steps
    assert config.intervention == plain.intervention
    assert (config.family, config.cell) == (plain.family, plain.cell)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agents", "0"], "--agents is at least 1"),
        (["--cells", "C2", "X1"], "the cells are C1, K1"),
        (["--report", "nowhere"], "nowhere/records does not"),
    ],
)
def test_wrong_arguments(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    assert main(["run-cells", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_smoke_run_leaves_tables_and_figures_that_can_be_made_again(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "results"))
    published = tmp_path / "published"
    arguments = ["--quick", "--agents", "1", "--cells", "C1", "K3", "--publish", str(published)]
    assert run_cells.main(arguments) == 0
    made = {
        path.relative_to(published): path.read_bytes()
        for path in published.rglob("*")
        if path.is_file()
    }
    names = {path.as_posix() for path in made}
    tables = {f"{n}.txt" for n in ("cells", "shifts", "cross", "arms", "checkpoints")}
    assert {*tables, "rates.csv", "cells.png", "contact_sheet.png", "summary.json"} <= names
    records = read_records(published / "records")
    methods = query(records, "select distinct family, method from records where role = 'agent'")
    assert {method for _, method in methods} == {"ppo", "cloning"}
    (tags,) = query(records, "select distinct tags from records where q < 1")
    assert tags == ("spec_gaming",)
    assert query(records, "select count(*) from records where octet_length(actions) > 0") == [(0,)]
    capsys.readouterr()
    for path in made:
        if path.suffix in (".txt", ".csv", ".png"):
            (published / path).unlink()
    assert run_cells.main(["--report", str(published)]) == 0
    again = {path: (published / path).read_bytes() for path in made}
    assert again == made
    assert set(json.loads(made[next(p for p in made if p.name == "examples.json")])) == {"C1", "K3"}
    broken = json.loads(made[next(p for p in made if p.name == "broken_episodes.json")])
    runs = query(records, "select distinct run_id, d from records where role = 'agent'")
    assert broken.keys() == {run for run, _ in runs}
    assert {run for run, d in runs if d == 0} == {run for run, seen in broken.items() if seen == 0}
    trained = len(list((tmp_path / "results").glob("runs/kind=train/run=*/done.json")))
    assert run_cells.main(arguments) == 0, "a second run trains nothing"
    assert len(list((tmp_path / "results").glob("runs/kind=train/run=*/done.json"))) == trained
