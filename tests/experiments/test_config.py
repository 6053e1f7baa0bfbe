"""What can be asked for on the command line, and what wrong questions are answered."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from misgen.agents.settings import PPOSettings
from misgen.envs.families import FAMILIES
from misgen.experiments.cli import main
from misgen.experiments.config import (
    AgentConfig,
    TrainConfig,
    compose,
    from_dict,
)
from misgen.experiments.runs.folder import run_id
from misgen.experiments.runs.subjects import EvaluateConfig
from misgen.experiments.runs.train import train_argument

GROUPS = sorted(
    (path.parent.name, path.stem)
    for path in (Path(__file__).parents[2] / "configs").glob("*/*.yaml")
    if path.parent.name != "studies"  # not Hydra's
)


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.mark.parametrize(("group", "name"), GROUPS)
def test_every_yaml_composes(group, name):
    assert isinstance(compose("train", [f"{group}={name}"]), TrainConfig)


EVERY_CELL = [(family.name, cell.code) for family in FAMILIES.values() for cell in family.cells]


@pytest.mark.parametrize(("family", "code"), EVERY_CELL)
def test_a_code_says_the_cell_and_its_family(family, code):
    for overrides in ([f"cell={code}"], [f"cell={code.lower()}", f"family={family}"]):
        config = compose("train", overrides)
        assert (config.family, config.cell) == (family, code)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_alone_means_its_default_cell(family):
    config = compose("train", [f"family={family}"])
    assert (config.family, config.cell) == (family, FAMILIES[family].default_cell)


def test_nothing_said_means_coinruns_default_cell():
    assert (
        compose("train", [])
        == compose("train", ["cell=C2"])
        == compose("train", ["family=coinrun", "observation_mode=planes"])
    )


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_what_decides_the_learning_is_the_familys_unless_said(family):
    plain = compose("train", [f"family={family.name}"]).agent.settings
    assert (plain.total_steps, plain.gamma) == (family.total_steps, family.gamma)
    said = ["agent.settings.gamma=0.5", "agent=cloning", "intervention=control"]
    cell = family.cells[-1]  # the maze's last one declares its own steps
    asked = compose("train", [f"cell={cell.code}", *said]).agent.settings
    assert (asked.total_steps, asked.gamma) == (cell.total_steps or family.total_steps, 0.5)
    assert (cell.total_steps > 0) == (cell.code == "M6")


def test_the_label_of_a_study_is_no_group_of_files():
    """Though there are files of studies, one of this name too."""
    assert compose("train", ["study=cells"]) == replace(compose("train", []), study="cells")


def test_a_run_is_made_of_plain_values():
    """What its identity is a hash of: no word is left to be looked up."""
    argument = train_argument(compose("train", ["cell=k1"]))
    assert (argument["family"], argument["cell"]) == ("keys_and_chests", "K1")
    assert argument["agent"]["settings"]["gamma"] == FAMILIES["keys_and_chests"].gamma
    assert train_argument(compose("train", ["family=keys_and_chests", "cell=K1"])) == argument


def test_a_frozen_dataclass_can_be_overridden_at_every_depth():
    config = compose("train", ["agent.settings.gamma=0.5", "train_seed=4"])
    assert (config.agent.settings.gamma, config.train_seed) == (0.5, 4)


def test_config_survives_the_way_to_a_job_and_keeps_its_identity():
    config = TrainConfig(agent=AgentConfig(settings=PPOSettings(gamma=0.9)), train_seed=2)
    again = from_dict(TrainConfig, asdict(config))
    assert again == config
    assert run_id(asdict(again)) == run_id(asdict(config))


def test_a_wrong_reward_needs_a_cell_that_declares_one(monkeypatch, capfd):
    """C2 and K3 declare one; here a family whose cells do not."""
    family = FAMILIES["coinrun"]
    cells = tuple(replace(cell, proxy_rewards={}) for cell in family.cells)
    monkeypatch.setitem(FAMILIES, "coinrun", replace(family, cells=cells))
    assert main(["train", "family=coinrun", "intervention.specification=0.5"]) == 2
    error = capfd.readouterr().err
    assert "cell C2 declares no reward for its proxy" in error and "Traceback" not in error


def test_the_training_reward_is_mixed_and_the_cell_is_not(monkeypatch):
    family = FAMILIES["keys_and_chests"]
    chest, key = family.events.CHEST, family.events.KEY
    cell = replace(family.cell("K3"), rewards={chest: 1.0}, proxy_rewards={key: 1.0})
    monkeypatch.setitem(FAMILIES, family.name, replace(family, cells=(cell,)))
    overrides = ["family=keys_and_chests", "intervention.specification=0.8"]
    config = compose("train", overrides)
    assert config.distribution().cell.rewards == pytest.approx({chest: 0.8, key: 0.2})
    assert config.get_cell().rewards == {chest: 1.0}


def test_where_an_agent_is_trained_is_not_part_of_what_it_is():
    here = asdict(TrainConfig(device="cpu", num_threads=1))
    there = asdict(TrainConfig(device="auto", num_threads=8, study="other"))
    assert run_id(here) == run_id(there)


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        ("train family=pong", "the families are "),
        ("train family=key_and_chest", "the families are keys_and_chests, "),
        ("train agent=sb3_ppo agent.settings.gru_dim=8", "agent=ppo alone remembers"),
        ("train agent=cloning agent.settings.gru_dim=8", "agent=ppo alone remembers"),
        ("train intervention=repair agent.settings.gru_dim=8", "learns from steps in any order"),
        ("train family=nowhere:FAMILY", "nowhere:FAMILY cannot be imported"),
        ("train cell=K9", "the cells are K1, K2, K3, K4, C1"),
        ("train cell=moderate", "got 'moderate', which is the shift type of C2, K2"),
        ("train family=coinrun cell=moderate", "which is the shift type of C2"),
        (
            "train family=coinrun cell=K3",
            "got 'K3', a cell of keys_and_chests: give the cell alone",
        ),
        ("train observation_mode=rgb3", "has the observation modes"),
        # What 0.3.0 called them
        ("train family.name=coinrun", "family=NAME, or the cell alone, as cell=C2"),
        ("train family.cell=moderate", "a cell is named by its code, as cell=C2"),
        ("train -m +family.cell=moderate,extreme", "a cell is named by its code, as cell=C2"),
        ("train family.observation_mode=rgb1", "observation_mode=MODE"),
        ("train intervention.diversity=1.5", "a probability in [0, 1]"),
        ("train intervention.diversity=-0.1", "a probability in [0, 1]"),
        ("train intervention.specification=1.5", "the weight q in [0, 1]"),
        ("train intervention.diversty=1", "did you mean 'intervention.diversity'"),
        ("train +agent.settings.weight_decay=.1", "+ adds no setting that there is not; got"),
        ("train +experiment=mine", "--config-dir FOLDER finds a +GROUP=NAME of your own"),
        ("train -m cell=K3 --cfg job", "list with --dry-run"),
        ("train train_seed=abc", "could not be converted to Integer"),
        ("train train_seed=-1", "the number of the agent"),
        ("train agent.settings.batch_size=1000", "try batch_size="),
        ("train device=tpu", "device is one of cpu, "),
        ("evaluate", "train some with `misgen train`"),
        ("evaluate --agents /nowhere", "train some with `misgen train`"),
        ("evaluate --agents runs/kind=train/run=1", "no trained agent in runs/kind=train/run=1"),
        ("evaluate --policy os:nothing", "cannot be imported"),
        ("evaluate --policy nothing", "module:function"),
        ("evaluate --policy os:fspath --policy-family pong", "the families are"),
        ("evaluate --policy os:fspath --policy-cell moderate", "the shift type of C2, K2"),
        ("evaluate --levels -1", "--levels is at least 0; got -1"),
        ("evaluate --checkpoints some", "--checkpoints is final or all"),
        # Up to 0.3 evaluate took key=value
        ("evaluate num_workers=2", "got num_workers=2; write --workers 2"),
        ("evaluate +num_levels=20 cell=all", "got +num_levels=20; write --levels 20"),
        ("evaluate policy_d=0.1", "got policy_d=0.1; write --policy-d 0.1"),
    ],
)
def test_bad_input_gets_one_message_with_the_remedy_and_exit_code_2(command, remedy, capfd):
    assert main(command.split()) == 2
    output = capfd.readouterr()
    assert remedy in output.err
    assert "Traceback" not in output.err


def test_results_folder_that_is_a_file(tmp_path, monkeypatch, capfd):
    path = tmp_path / "file"
    path.write_text("mine")
    monkeypatch.setenv("MISGEN_RESULTS", str(path))
    assert main(["train", "agent.settings.total_steps=1"]) == 2
    assert "name another folder with --results or MISGEN_RESULTS" in capfd.readouterr().err
    assert path.read_text() == "mine"


def test_nothing_is_written_by_wrong_input(results, capfd, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["train", "device=cuda"]) == 2
    assert "needs a GPU that torch can use" in capfd.readouterr().err
    main(["train", "intervention.diversity=2"])
    main(["train", "family=pong"])
    assert not results.exists()


def test_evaluation_wants_one_kind_of_subject():
    with pytest.raises(ValueError, match="not both"):
        EvaluateConfig(policy="a:b", agents="c")
