"""A study is a file: what it may say, and which agents, jobs and evaluations it means."""

import functools
import json
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from misgen.analysis.compare import compare
from misgen.analysis.study import read_study_folder
from misgen.envs.families import FAMILIES, find_cell
from misgen.experiments import cli
from misgen.experiments.cell_choice import built_in_codes
from misgen.experiments.config import compose
from misgen.experiments.jobs.attempt import write_failed
from misgen.experiments.runs.folder import write_json
from misgen.experiments.runs.train import train_folder
from misgen.experiments.studies import study as study_module
from misgen.experiments.studies.file import LONGER, load_study, read_study, study_names
from misgen.experiments.studies.status import remember
from misgen.experiments.studies.study import (
    Plan,
    arm_configs,
    evaluation_arguments,
    longer_configs,
    train_configs,
    train_jobs,
    with_longer_curve,
)

CODES = built_in_codes()
CELLS, DEMO = load_study("cells"), load_study("demo")
SMALL = """
question: Does it work?
agents: 2
arms:
  plain: {overrides: [intervention.diversity=0]}
  control: {overrides: [intervention.diversity=1], agents: 1, cells: [K3]}
quick: {overrides: [], num_levels: 5}
"""


@functools.cache
def all_of(agents: int = 10):
    """Every agent of run-cells."""
    by_arm = train_configs(Plan(CELLS, CODES, agents))
    return [config for configs in by_arm.values() for config in configs]


@pytest.fixture
def read(tmp_path: Path):
    """read(old, new): the study of SMALL with this change."""

    def read(old="", new=""):
        (tmp_path / "small.yaml").write_text(SMALL.replace(old, new))
        return read_study(tmp_path / "small.yaml")

    return read


# --- Ours ----------------------------------------------------------------------------------------


def test_the_cells_have_the_agents_that_the_statistics_need():
    """10 at d = 0, .1 and 1 and 5 clones at d = .1 in every cell; in the corner mazes that M5
    stands for, at d = 0 and 1."""
    counted = Counter(
        (config.cell, config.agent.method, config.intervention.diversity) for config in all_of()
    )
    arms = [("ppo", 0.0), ("ppo", 1.0), ("ppo", 0.1), ("cloning", 0.1)]
    for code in CODES:
        expected = [10, 10, 0, 0] if code in ("M1", "M2", "M3", "M4") else [10, 10, 10, 5]
        assert [counted[code, *arm] for arm in arms] == expected
    assert sum(counted.values()) == 430


def test_few_agents_are_the_first_ones_of_the_whole_study():
    """So that more agents only add to what is there. Of two cells, which have every arm."""
    few, everyone = (
        train_jobs(chain(*train_configs(Plan(CELLS, ["C2", "K3"], n)).values())) for n in (2, 8)
    )
    assert len(few) == 2 * 2 * len(CELLS.arms)
    assert {job.folder for job in few} < {job.folder for job in everyone}
    seeds = [job.argument["train_seed"] for job in few]
    assert seeds == sorted(seeds) and seeds[0] == CELLS.first_agent


def test_the_demo_trains_two_arms_in_each_of_its_cells():
    configs = train_configs(Plan(DEMO, DEMO.cells, 5))
    found = [(c.cell, c.intervention.diversity, c.train_seed) for c in configs["d=1"]]
    assert found == [(code, 1.0, seed) for code in ("C2", "K3") for seed in range(100, 105)]
    budgets = {c.cell: c.agent.settings.total_steps for c in configs["d=0"]}
    assert budgets == {code: find_cell(code)[0].total_steps for code in DEMO.cells}
    quick = Plan(DEMO, DEMO.cells, 5, quick=True)
    assert [c.train_seed for c in arm_configs(quick, "d=0")] == [100, 100]
    assert quick.folder.name == "demo-quick"


def test_an_agent_is_what_misgen_train_would_make():
    overrides = ["cell=K3", "agent=cloning", "intervention.diversity=0.1"]
    said = compose("train", [*overrides, "study=cells", "train_seed=101"])
    assert arm_configs(Plan(CELLS, ["K3"], 2), "clones")[1] == said


def test_two_cells_of_one_shift_type_are_two_cells(monkeypatch):
    family, cell = find_cell("K3")
    twin = replace(family, cells=(*family.cells, replace(cell, code="K9")))
    monkeypatch.setitem(FAMILIES, family.name, twin)
    after = CODES.index("K4") + 1
    assert built_in_codes() == [*CODES[:after], "K9", *CODES[after:]]
    configs = arm_configs(Plan(CELLS, ["K3", "K9"], 2), "d=0")
    assert [config.cell for config in configs] == ["K3", "K3", "K9", "K9"]
    jobs = train_jobs(configs)
    assert len({job.name for job in jobs}) == len({job.folder for job in jobs}) == 4


def test_longer_training_differs_in_its_steps_only():
    controls = arm_configs(Plan(CELLS, ["K1", "K3"], 2), "d=1")
    (config,) = longer_configs(CELLS.longer, controls, ["K1"])
    settings = controls[0].agent.settings
    more = replace(settings, total_steps=4 * settings.total_steps)
    assert config == replace(controls[0], agent=replace(controls[0].agent, settings=more))


def test_of_a_longer_training_one_is_enough(tmp_path):
    """A study that grows in a published folder keeps the first."""
    plan = Plan(CELLS, ["K1", "K3"], 2)
    assert with_longer_curve(plan) == set()
    plan = replace(plan, published=tmp_path)
    assert with_longer_curve(plan) == set()
    write_json(tmp_path / LONGER, {"K1": {"steps": [1]}, "K3": None})
    assert with_longer_curve(plan) == {"K1"}


def test_what_is_evaluated_besides_every_agent_at_home(monkeypatch):
    monkeypatch.setattr(study_module, "agent_arguments", lambda path, asked: [(path, asked)])
    plan = Plan(CELLS, ["K3"], 5)
    configs = train_configs(plan)
    found = evaluation_arguments(plan, configs)
    folders = [train_folder(config).path for arm in configs.values() for config in arm]
    at_home = [path.parent for path, asked in found if not asked.cell]
    assert at_home == folders
    seldom = {train_folder(config).path for config in configs["d=0.1"]}
    assert {path.parent for path, asked in found if asked.checkpoints == "all"} == seldom
    elsewhere = Counter(path.parent for path, asked in found if asked.cell)
    first_ones = [train_folder(config).path for config in configs["d=0"][:3]]
    assert elsewhere == dict.fromkeys(first_ones, 3)


# --- A file --------------------------------------------------------------------------------------


def test_a_file_says_the_arms(read):
    study = read()
    assert (study.name, study.first_agent, study.longer) == ("small", 0, None)
    configs = train_configs(Plan(study, ["C2", "K3"], 2))
    assert [config.cell for config in configs["plain"]] == ["C2", "C2", "K3", "K3"]
    assert [(c.cell, c.train_seed) for c in configs["control"]] == [("K3", 0)]
    assert {config.study for config in configs["plain"]} == {"small"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("agents: 2", "agent: 2", "the study names no known key: 'agent'; did you mean 'agents'?"),
        ("overrides: [i", "override: [i", "key: 'override'; did you mean 'overrides'?"),
        ("agents: 2", "", "the study has no 'agents'; say it"),
        ("agents: 2", "agents: many", "'agents' is a whole number; got 'many'"),
        ("agents: 2", "agents: true", "'agents' is a whole number; got True"),
        ("agents: 2", "agents: 0", "at least one agent; got 2 and 0"),
        ("[K3]", "K3", "'cells' is a list; got 'K3'"),
        ("[K3]", "[moderate]", "the shift type of C2, K2"),
        ("arms:", "arms: {}\nshift:", "key: 'shift'; did you mean 'shifts'?"),
        ("agents: 2", "agents: 2\nlonger: {arm: contrl, times: 4, below: 1}", "mean 'control'"),
        ("agents: 2", "agents: 2\nevaluation: {checkpoints_of: [x]}", "choose from plain, control"),
        ("diversity=1", "diversity=1, cell=C2", "in 'control'; that is the study's 'cells'"),
        (SMALL, "- a list", "a study has keys"),
        ("[]", "[", "small.yaml: while parsing"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_that_names_the_file(read, old, new, message):
    with pytest.raises(ValueError) as error:
        read(old, new)
    assert message in str(error.value) and "small.yaml: " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("intervention.diversity=7", "a probability in [0, 1]; got 7"),
        ("intervention.diversty=1", "did you mean 'intervention.diversity'"),
        ("intervention.diversity=x", "'x' of type 'str' could not be converted to Float"),
    ],
)
def test_a_refused_override_names_its_arm(read, override, message):
    with pytest.raises(ValueError) as error:
        train_configs(Plan(read("intervention.diversity=1", override), ["K3"], 1))
    assert str(error.value).startswith("arm 'control' of the study small: ")
    assert message in str(error.value) and "\n" not in str(error.value)


# --- Running it ----------------------------------------------------------------------------------

OWN = """
question: Does a study of one's own run from another folder?
cells: [K3]
agents: 1
arms:
  d=0: [intervention.diversity=0]
  d=1: [intervention.diversity=1]
analysis: {against: d=1, along: d}
quick:
  num_levels: 8
  steps_divisor: 1000
  overrides: [agent.settings.num_envs=16, agent.settings.num_steps=64]
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The file of a study of one's own, outside the package, and results elsewhere."""
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "elsewhere" / "mine.yaml"
    file.parent.mkdir()
    file.write_text(OWN)
    return str(file)


def test_a_study_of_ones_own_runs_is_followed_and_is_compared(own, capsys, tmp_path):
    assert cli.main(["study", "run", own, "--quick"]) == 0
    said = capsys.readouterr().out
    assert "SMOKE RUN" in said and "K3 at 11" in said
    folder = tmp_path / "results" / "quick" / "mine-quick"
    left = {file.name for file in folder.iterdir()}
    assert {"study.json", "compare.txt", "compare.csv", "page.html"} <= left
    assert (folder / "compare.txt").read_text() in said
    made_by = json.loads((folder / "study.json").read_text())["provenance"]
    assert made_by["command"] == f"misgen study run {own} --quick"

    smoke = ["--results", "results/quick"]
    assert not (tmp_path / "results" / "runs").exists(), "its agents have the numbers of full ones"
    assert cli.main(["study", "status", "mine-quick", "--json", *smoke]) == 0
    arms = json.loads(capsys.readouterr().out)["arms"]
    trained = [(row["arm"], row["done"]) for row in arms if row["kind"] == "train"]
    assert trained == [("K3 d=0", 1), ("K3 d=1", 1)]

    assert cli.main(["compare", "mine-quick", "--against", "d=0", "--variant", "11", *smoke]) == 0
    assert "gm - d=0" in capsys.readouterr().out
    moved = folder.rename(tmp_path / "sent by mail")
    assert cli.main(["compare", str(moved), "--csv", "-"]) == 0
    assert capsys.readouterr().out.count("\n") == 1 + 2 * 2  # arms at two variants

    before = {
        file: file.stat().st_mtime_ns for file in (tmp_path / "results").glob("quick/runs/*/*/*")
    }
    assert before
    assert cli.main(["study", "run", own, "--quick"]) == 0
    assert before == {file: file.stat().st_mtime_ns for file in before}


def test_what_failed_is_tried_again_and_nothing_else(own, capsys, tmp_path):
    plan = Plan(load_study(own), ["K3"], 1, quick=True)
    zero, one = (train_folder(arm_configs(plan, name)[0]) for name in ("d=0", "d=1"))
    remember(plan.name, {zero.id: "K3 d=0", one.id: "K3 d=1"})
    zero.path.mkdir(parents=True)
    write_json(zero.path / "config.json", dict(zero.config))
    write_failed(zero.path, "RuntimeError: a cosmic ray", None)
    assert cli.main(["study", "status", "mine-quick"]) == 0
    assert "failed: train K3 d=0" in capsys.readouterr().out
    assert cli.main(["study", "retry", "mine-quick"]) == 0
    assert "1 of 1 runs that had failed are done" in capsys.readouterr().out
    assert zero.is_done and not one.path.exists()
    assert cli.main(["study", "retry"]) == 0
    assert "nothing has failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "diverse"], "there is no study 'diverse'; did you mean 'diversity'?"),
        (["run", "nowhere.yaml"], "there is no nowhere.yaml"),
        (["run"], "name a study: cells, demo, diversity"),
        (["run", "demo", "--cell", "C2"], "there is no --cell; did you mean '--cells'?"),
        (["status", "demo-quick"], "smoke runs are in a folder of their own: --results "),
        (["status", "demo"], "has no runs of a study 'demo'; begin with `misgen study run demo`"),
    ],
)
def test_a_wrong_word_is_one_message_and_nothing_starts(own, capsys, tmp_path, words, message):
    assert cli.main(["study", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_study_that_was_not_run_cannot_be_compared(own, capsys):
    assert cli.main(["compare", "diversity"]) == 2
    assert "run it: misgen study run diversity" in capsys.readouterr().err
    assert cli.main(["compare", "diversty"]) == 2
    assert "did you mean 'diversity'?" in capsys.readouterr().err


def test_two_arms_that_are_one_are_refused(read):
    with pytest.raises(ValueError, match="'plain' and 'control' of the study small are the same"):
        train_configs(Plan(read("intervention.diversity=1", "intervention.diversity=0"), ["K3"], 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", study_names())
def test_every_declared_study_runs_at_quick(name, tmp_path, monkeypatch):
    """In one of its cells, to the end."""
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    study = load_study(name)
    code = (study.quick.cells or study.cells or ("K3",))[0]
    assert cli.main(["study", "run", name, "--quick", "--cells", code, "--agents", "1"]) == 0
    folder = tmp_path / "quick" / f"{name}-quick"
    assert cli.main(["compare", str(folder)]) == 0
    arms = read_study_folder(folder).settings["arm"].to_pylist()
    assert {*arms} == {arm for arm in study.arms if code in (study.arms[arm].cells or [code])}


@pytest.mark.slow
def test_what_is_published_is_not_trained_again(own, monkeypatch, capsys, tmp_path):
    """Not even where none of its agents ever was."""
    words = ["study", "run", own, "--quick", "--publish", str(tmp_path / "published")]
    assert cli.main(words) == 0
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "elsewhere"))
    assert cli.main(words) == 0
    assert not [*(tmp_path / "elsewhere").glob("quick/runs/*/run=*")]
    text = Path(own).read_text()
    Path(own).write_text(text.replace("  num_levels: 8", "  num_levels: 8\n  agents: 2"))
    capsys.readouterr()
    assert cli.main([*words, "--agents", "2"]) == 0
    assert "counts 2 agents: these are not trained again" in capsys.readouterr().out
    assert len([*(tmp_path / "elsewhere").glob("quick/runs/kind=train/run=*/done.json")]) == 2
    found = compare(read_study_folder(tmp_path / "published"))
    assert [arm.trained.agent_number.tolist() for arm in found.at("K3", "11")] == 2 * [[0, 1]]
    assert cli.main(["rates", "--results", str(tmp_path / "published")]) == 0
    Path(own).write_text(text.replace("intervention.diversity=0]", "intervention.diversity=0.5]"))
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert "the arm 'd=0' is intervention.diversity=0 there, intervention.diversity=0.5" in error
    assert cli.main(["study", "run", "network", "--quick", *words[-2:]]) == 2
    assert "holds the study 'mine-quick', not 'network-quick'" in capsys.readouterr().err
