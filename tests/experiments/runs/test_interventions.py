"""Interventions by the commands: chosen, refused, trained, recorded."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from misgen.experiments.cli import main
from misgen.experiments.config import as_dict, compose, composed_once
from misgen.experiments.jobs.populations import pack
from misgen.experiments.runs.folder import run_id
from misgen.experiments.runs.names import arm_names, run_name
from misgen.experiments.runs.settings_table import settings_in
from misgen.experiments.runs.subjects import setting_of
from misgen.experiments.runs.train import train_argument, train_folder

pytestmark = pytest.mark.usefixtures("jobs_here")

ROOT = Path(__file__).parents[3]
TINY = [
    "cell=M5",
    "intervention.diversity=0.1",
    "agent.settings.total_steps=2048",
    "agent.settings.num_steps=16",
    "agent.settings.num_envs=64",
    "agent.settings.features_dim=32",
    "agent.settings.head_dim=32",
]


def both_ways(*words):
    one, other = compose("train", list(words)), composed_once(list(words), {})
    assert one == other
    return one


def record(config):
    return json.loads((train_folder(config).path / "train.json").read_text())


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_agent_without_hooks_is_the_one_it_was():
    """Those of the published study were trained before there were interventions with hooks."""
    config = both_ways("cell=C2", "intervention.diversity=0.1", "train_seed=100")
    assert as_dict(config)["intervention"] == {
        "diversity": 0.1, "specification": 1.0, "num_levels": 0,
    }  # fmt: skip
    assert "gru_dim" not in as_dict(config)["agent"]["settings"]
    remembers = both_ways("cell=C2", "intervention.diversity=0.1", "agent.settings.gru_dim=8")
    assert as_dict(remembers)["agent"]["settings"]["gru_dim"] == 8
    published = ROOT / "analysis/published/diversity/settings.parquet"
    assert train_folder(config).id in pq.read_table(published)["train_id"].to_pylist()


def test_a_setting_of_an_intervention_is_part_of_what_the_agent_is():
    plain = both_ways("cell=M5")
    found = [
        both_ways("cell=M5", "intervention=plr"),
        both_ways("cell=M5", "intervention=plr", "intervention.settings.score=value_loss"),
        both_ways("cell=M5", "intervention=accel"),
    ]
    assert found[1].intervention.settings == {"score": "value_loss"}
    everyone = [plain, *found]
    assert len({run_id(train_argument(config)) for config in everyone}) == 4
    assert len({setting_of(train_argument(config)) for config in everyone}) == 4
    assert arm_names(everyone) == [
        "M5 d=0", "M5 d=0 plr", "M5 d=0 plr score=value_loss", "M5 d=0 accel",
    ]  # fmt: skip
    assert run_name(found[0]) == "M5 d=0 plr agent 0"
    columns = dict(settings_in(as_dict(found[1])))
    assert columns["intervention"] == "plr" and columns["plr_score"] == "value_loss"
    assert "intervention" not in dict(settings_in(as_dict(plain)))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["intervention=plr", "intervention.settings.scor=1"], "has the settings score, .*'scor'"),
        (["intervention=plrr"], "intervention/plrr"),
        (["intervention.name=plrr"], "the interventions are plr, "),
        (["intervention.settings.score=regret"], "settings are those of an intervention"),
        (["intervention=nowhere:at_all"], "nowhere:at_all cannot be imported"),
        (["intervention=none,mine:blink"], "write intervention.name='',mine:blink"),
        (["intervention=plr", "intervention.settings.replay_prob=a"], "is a number; got 'a'"),
        (["intervention=plr", "agent=cloning"], "an intervention acts in agent=ppo"),
    ],
)
def test_what_makes_no_intervention_is_refused_before_anything_starts(words, said, results, capsys):
    with pytest.raises(ValueError, match=said):
        both_ways(*words)
    assert main(["train", *words]) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (results / "runs").exists()


def test_a_population_takes_no_hooks():
    with pytest.raises(ValueError, match="got plr; leave out launcher=population"):
        pack([both_ways("cell=M5", "intervention=plr")])


@pytest.mark.parametrize("name", ["plr", "accel", "augment", "regularise", "context"])
def test_each_trains_and_says_what_it_took(name, results):
    words = [*TINY, f"intervention={name}"]
    if name in ("plr", "accel"):
        more = ["agent.settings.total_steps=32768", "intervention.settings.buffer_size=64"]
        words = [*words, *more, "intervention.settings.replay_prob=0.9"]
    assert main(["train", *words]) == 0
    said = record(compose("train", words))
    assert said["updates"] > 0 and said["episodes"] > 0
    own = {
        "plr": "learned_episodes",
        "accel": "learned_episodes",
        "context": "context_b_share",
    }
    assert own.get(name, "episodes") in said


def test_repair_goes_on_from_the_agent_that_is_there(results, capsys):
    """The same whether the agent without repair was trained before, or is trained for it."""
    words = [*TINY, "intervention=repair", "intervention.settings.episodes=5"]
    repaired = compose("train", words)
    assert main(["train", *words]) == 0
    alone = [
        (train_folder(repaired).path / f"checkpoint.{ext}").read_bytes()
        for ext in ("safetensors", "json")
    ]
    first = record(repaired)
    assert first["repair_episodes"] == 5 and first["repair_steps"] > 0
    for path in sorted(train_folder(repaired).path.iterdir()):
        path.unlink()
    assert main(["train", *TINY]) == 0
    assert main(["train", *words]) == 0
    again = [
        (train_folder(repaired).path / f"checkpoint.{ext}").read_bytes()
        for ext in ("safetensors", "json")
    ]
    assert again == alone
    before = train_folder(compose("train", TINY))
    assert record(repaired) == {**first, "went_on_from": before.id}


def test_the_example_of_the_readme_is_an_intervention_of_your_own(results):
    (example,) = [
        block
        for block in re.findall(
            r"```python\n(.*?)```", (ROOT / "agents/README.md").read_text(), re.DOTALL
        )
        if "Intervention(" in block
    ]
    assert len(example.splitlines()) <= 20
    (results / "mine_blink.py").write_text(example)  # no other test imports it
    words = [
        *TINY,
        "intervention=mine_blink:blink",
        "intervention.diversity=0.1",
        "intervention.settings.share=0.5",
    ]
    assert main(["train", *words]) == 0
    assert run_name(compose("train", words)) == "M5 d=0.1 blink agent 0"
    assert record(compose("train", words))["updates"] > 0
