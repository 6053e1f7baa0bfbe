"""How much noise a cell's B has: the rule, and the runs that decided."""

import json
from importlib.resources import files

import pytest

from misgen.envs.families import find_cell
from misgen.experiments.studies import noise as noise_choice
from misgen.experiments.studies.noise import AGENTS, SHARES, chosen, noisy_cells


def agent(own=0.9, clean=0.8, **at):
    noisy = {f"{share:g}": at.get(f"p{share:g}".replace(".", "_"), 0.0) for share in SHARES}
    noisy["0"] = clean
    return {
        "own_success": own, "planner_own_success": 1.0, "capable_00": clean, "capable_01": noisy,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("agents", "share"),
    [
        ([agent(p0_05=0.65)], 0.05),  # .8 of .8 is .64
        ([agent(p0_05=0.63, p0_02=0.63, p0_01=0.7)], 0.01),
        ([agent(p0_05=0.5), agent(p0_05=0.8)], 0.05),  # the mean over agents
        ([agent()], 0.0),
        ([agent(p0_05=0.8), agent(own=0.79, p0_05=0.8)], None),  # not competent
    ],
)
def test_the_largest_share_that_leaves_four_fifths(agents, share):
    assert chosen(agents) == share


def test_a_cell_without_noise_is_refused():
    with pytest.raises(ValueError, match="the context B of K3 has no noise"):
        noise_choice.main(["--cells", "K3", "C1"])


def test_the_cells_have_the_noise_that_was_chosen():
    """The published runs, by the rule."""
    file = files("misgen.analysis") / "published/noise.json"
    asked = json.loads(file.read_text(encoding="utf-8"))["cells"]
    assert {"C1", "K1", "M6"} == set(asked)
    for code, found in asked.items():
        assert [agent["agent"] for agent in found["agents"]] == [*AGENTS]
        assert find_cell(code)[1].noise_frac == found["noise_frac"] == chosen(found["agents"])


def test_noise_touches_backgrounds_only():
    for cell in noisy_cells():
        assert "texture" in cell.noisy_planes
        assert not {"agent", "coin", "chest", "key", "line", "gem"} & {*cell.noisy_planes}


def test_agents_are_measured_at_every_share(tmp_path, monkeypatch, capsys):
    """From training to table, with agents that have learned nothing: no choice."""
    from misgen.experiments.runs import folder as run_folder

    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    monkeypatch.setattr(noise_choice, "AGENTS", AGENTS[:1])
    compose = noise_choice.compose
    tiny = {"total_steps": 64, "num_envs": 8, "num_steps": 8, "batch_size": 32}
    few = [f"agent.settings.{name}={value}" for name, value in tiny.items()]
    monkeypatch.setattr(noise_choice, "compose", lambda name, words: compose(name, [*words, *few]))
    config = noise_choice.EvaluateConfig
    monkeypatch.setattr(noise_choice, "EvaluateConfig", lambda: config(num_levels=6))
    file = tmp_path / "noise.json"
    assert noise_choice.main(["--cells", "K1", "--json", str(file)]) == 0
    (found,) = run_folder.read_json(file)["cells"]["K1"]["agents"]
    assert found["agent"] == 50 and {*found["capable_01"]} == {"0", "0.05", "0.02", "0.01", "0.005"}
    assert "not all competent" in capsys.readouterr().out
