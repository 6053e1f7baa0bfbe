"""Published agents: stored in float16, measured as they are stored, loaded with their card."""

import json
import shutil

import numpy as np
import pytest

import misgen.agents
from misgen.agents.published import CARDS, FOLDER, PublishedAgent, load_agent, quadruple
from misgen.envs.core.batch import BatchEnv
from misgen.envs.families import find_cell
from misgen.experiments.cli import main
from misgen.experiments.studies.publish_agents import page_of

TINY = ["agent.settings.total_steps=32768", "agent.settings.num_steps=16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, jobs_here):
    """An agent at d = 0 and one at d = 0.1, trained as published ones are but for little else."""
    results, folder = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MISGEN_RESULTS", str(results))
        words = ["cell=M5", "train_seed=100", "intervention.diversity=0,0.1", *TINY]
        assert main(["train", "-m", *words]) == 0
        asked = ["--cells", "M5", "--d", "0", "0.1", "--levels", "40", "--train", *TINY]
        assert main(["publish-agents", str(folder), *asked]) == 0
        assert not (results / "runs" / "kind=evaluate").exists()
    return folder


@pytest.fixture
def agent(folder) -> PublishedAgent:
    return load_agent("M5", d=0.1, folder=folder)


def test_an_agent_is_loaded_with_its_card(folder, agent):
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "cards.json",
        "M5_d0_100.json", "M5_d0_100.safetensors", "M5_d0.1_100.json", "M5_d0.1_100.safetensors",
    }  # fmt: skip
    card = agent.card
    assert (card["cell"], card["d"], card["number"], card["licence"]) == ("M5", 0.1, 100, "MIT")
    assert card["weights_sha256"] == agent.meta.weights_sha256
    for variant in ("10", "11"):
        shares = [card[variant][word][0] for word in ("intended", "proxy", "neither")]
        assert sum(shares) == pytest.approx(1, abs=2e-4)
    value, low, high = card["own_success"]
    assert 0 <= low < value < high <= 1
    assert page_of({"M5_d0.1_100": card}) and "M5_d0.1_100" in (folder / "README.md").read_text()
    assert load_agent("m5", folder=folder).card["d"] == 0


def test_the_card_is_of_the_stored_weights(folder, agent):
    """Played again from the file, they come to the same shares."""
    from misgen.agents.play import outcomes, play_episodes
    from misgen.envs.core.levels import sample_quadruples
    from misgen.envs.core.plans import is_distinguishing, solve_together
    from misgen.experiments.runs.evaluation_levels import quadruple_seeds
    from misgen.experiments.runs.subjects import EvaluateConfig, agent_arguments

    argument = agent_arguments(folder / "M5_d0.1_100", EvaluateConfig(num_levels=40))[0]
    family, cell = find_cell("M5")
    levels = sample_quadruples(family, cell, quadruple_seeds(argument))
    plans, judged = solve_together([levels["00"], levels["10"]])
    tells = np.flatnonzero(is_distinguishing(plans[1].plays.at(0)))
    played = levels["10"].take(tells)
    episodes = play_episodes(
        agent.policy, played, horizon_steps=judged[tells], judged_at_steps=judged[tells],
        eval_seed=argument["eval_seed"], observation_mode="planes",
    )  # fmt: skip
    capable, failed, _ = outcomes(cell, played, episodes)
    card = agent.card["10"]
    assert card["levels"] == len(tells)
    assert card["proxy"][0] == pytest.approx((capable & failed).mean(), abs=1e-4)
    assert card["neither"][0] == pytest.approx((~capable).mean(), abs=1e-4)


def test_those_of_the_repository_can_be_loaded():
    cards = json.loads((FOLDER / CARDS).read_text())["agents"]
    assert {(card["cell"], card["d"]) for card in cards.values()} >= {
        (cell, d) for cell in ("C2", "K2", "K3", "M5") for d in (0, 0.1, 1)
    }
    for name, card in cards.items():
        agent = misgen.agents.load_agent(card["cell"], card["d"], card["number"])
        assert (agent.meta.cell, agent.meta.diversity) == (card["cell"], card["d"]), name
        assert agent.meta.family_version == find_cell(card["cell"])[0].version


def test_activations_are_what_the_outputs_are_made_of(agent):
    env = BatchEnv.on(quadruple("M5", 10**9)["10"])
    seen = agent.activations(env.buffers.obs)
    shapes = {name: array.shape for name, array in seen.items()}
    assert shapes == {
        "features": (1, 256), "policy": (1, 128), "value": (1, 128),
        "logits": (1, 5), "values": (1, 1),
    }  # fmt: skip
    weights = agent.policy.stack.weights()
    out = seen["policy"] @ weights["action_net.weight"].numpy().T
    np.testing.assert_allclose(out + weights["action_net.bias"].numpy(), seen["logits"], atol=1e-4)
    assert (seen["features"] >= 0).all() and seen["features"].any()


@pytest.mark.slow
def test_the_probe_of_the_page_finds_the_coin(capsys):
    """Its text, with a tenth of the levels; that of the page prints what the page says."""
    page = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    code = page[page.index("# probe.py") :].partition("```")[0]
    exec(code.replace("200", "20").replace("400", "40"), {})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [[d, v] for d in ("0", "0.1", "1") for v in ("10", "11")]
    assert all(0.8 < float(line[3]) <= 1 for line in lines)


def test_an_agent_plays_every_level_once(agent):
    levels = quadruple("M5", range(7, 12))["00"]
    assert np.array_equal(levels.seeds, range(7, 12))
    env = [*agent.play(levels)][-1]
    steps = env.episode.length
    assert env.episode.done.all() and (0 < steps).all() and (steps <= env.episode.horizon).all()
    again = [*agent.play(levels)][-1]
    assert np.array_equal(again.episode.length, steps)


def test_paired_levels_have_one_geometry_with_the_cue_intact_and_broken():
    levels = quadruple("M5", 7)
    assert [*levels] == ["00", "10", "01", "11"]
    assert (levels["00"].level.wall == levels["10"].level.wall).all()
    assert levels["00"].level.cheese != levels["10"].level.cheese


def test_what_is_not_published_is_refused_with_the_remedy(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no agent M5_d1_100; there are M5_d0.1_100, M5_d0_100"):
        load_agent("M5", d=1, folder=folder)
    with pytest.raises(ValueError, match="not in the wheel"):
        load_agent("M5", folder=tmp_path)
    copy = shutil.copytree(folder, tmp_path / "copy")
    for name in ("safetensors", "json"):
        shutil.copy(folder / f"M5_d0.1_100.{name}", copy / f"M5_d0_100.{name}")
    with pytest.raises(ValueError, match=r"is not the agent of its card; .*one commit|one commit"):
        load_agent("M5", folder=copy)
    (copy / "M5_d0_100.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="must be a whole safetensors file"):
        load_agent("M5", folder=copy)


def test_an_agent_that_is_not_trained_is_not_published(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    assert main(["publish-agents", str(tmp_path / "out"), "--cells", "K2", "--d", "0"]) == 2
    assert not (tmp_path / "out").exists()
    assert "misgen train cell=K2 intervention.diversity=0 train_seed=100" in capsys.readouterr().err
