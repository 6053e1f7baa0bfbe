"""`misgen film`: which level, what is on a frame, and the file that comes out."""

import io
import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tests.agents.tiny import TINY, make_env

from misgen.agents import checkpoint
from misgen.agents.networks import initial_weights
from misgen.envs.core.levels import drawn_levels
from misgen.envs.families import find_cell
from misgen.experiments.cli import main
from misgen.experiments.shown import levels as shown_levels
from misgen.experiments.shown.agents import choose_agents
from misgen.experiments.shown.drawing import COLOURS
from misgen.experiments.shown.film import EVERY_STEP, MORE_FRAMES, direct, encoded, frame_steps
from misgen.experiments.shown.film_panels import frame, length
from misgen.experiments.shown.level_states import LevelStates, hitting, marks
from misgen.experiments.shown.plays import replayed, settled_at

CORNER = """
#########
#.......#
#.#####.#
#A#...#$#
#.#.###.#
#.#.....#
#.#####.#
#.......#
#########"""
RUN = "\n".join(["#..........#"] * 7 + ["#....$.....#", "#A...##....#", "############"])


pytestmark = pytest.mark.usefixtures("few_levels")


@pytest.fixture(scope="module")
def script():
    """The planners of M5."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shown_levels, "QUADRUPLES", 12)
        return direct(*find_cell("M5"), [])[0]


def test_four_panels_of_two_planners(script):
    assert [panel.title[:2] for panel in script.panels] == ["00", "10", "01", "11"]
    names = {tuple(lane.actor.names[1] for lane in panel.lanes) for panel in script.panels}
    assert names == {("intended planner", "proxy planner")}


def test_what_is_said_at_the_end(script):
    """Intact, both planners succeed; broken, each reaches its own goal."""
    said = [[lane.endings[-1] for lane in panel.lanes] for panel in script.panels]
    assert said == [["SUCCESS", "SUCCESS"], ["INTENDED GOAL", "PROXY"]] * 2
    assert [lane.is_harmful for lane in script.panels[1].lanes] == [False, True]


def test_the_goals_are_marked_where_they_are(script):
    """The corner is the proxy; with the cue intact the cheese lies there."""
    assert [panel.marks["proxy"] for panel in script.panels] == [[(1, 1)]] * 4
    assert [panel.marks["intended"] == [(1, 1)] for panel in script.panels] == [True, False] * 2


def test_the_panels_of_the_broken_cue_have_other_pictures(script):
    intact, broken = (np.array(frame(script, 0))[:, half] for half in (np.s_[:416], np.s_[416:]))
    assert not np.array_equal(intact, broken)


def test_the_legend_has_the_colours_and_the_agent(script):
    """Both goals and the agent are named above the panels."""
    head = np.array(frame(script, 0))[40:150]
    agent = next(plane.colour for plane in script.family.planes if plane.name == "agent")
    for colour in (COLOURS["intended"], COLOURS["proxy"], agent):
        assert (head == colour).all(axis=2).sum() > 30, colour


def test_the_endings_appear_with_the_last_frame(script):
    def pink(step):
        return (np.array(frame(script, step)) == COLOURS["proxy"]).all(axis=2).sum()

    assert pink(length(script)) > pink(0) + 3000


def test_a_gif_has_a_frame_for_each_step(script):
    data = encoded(script, ".gif")
    with Image.open(io.BytesIO(data)) as film:
        assert (film.format, film.width) == ("GIF", 832)
        assert film.n_frames == length(script) + 1
        film.seek(film.n_frames - 1)
        assert film.info["duration"] == 5000
    assert len(data) < 300_000


def test_long_episodes_go_faster_after_a_while():
    assert frame_steps(3) == [0, 1, 2, 3]
    steps = frame_steps(400)
    assert steps[:EVERY_STEP] == [*range(EVERY_STEP)] and steps[-1] == 400
    assert len(steps) <= EVERY_STEP + MORE_FRAMES + 1 and steps == sorted(set(steps))


@pytest.mark.parametrize("steps", [0, 1, 47, 48, 49, 71, 72, 73])
def test_every_film_ends_with_its_last_step(steps):
    found = frame_steps(steps)
    assert found[0] == 0 and found[-1] == steps and found == sorted(set(found))


def test_a_thing_is_where_every_way_to_it_passes():
    """Also where it is taken in mid-jump: the steps to (3, 3) and beyond all pass (3, 3)."""
    steps = [((3, 2), (3, 3)), ((4, 2), (2, 3)), ((3, 4), (3, 3)), ((3, 3), (2, 3))]
    assert hitting(steps) == [(3, 3)]
    assert sorted(hitting([((0, 0), (0, 1)), ((5, 5), (5, 6))])) == [(0, 1), (5, 6)]


def test_marks_of_drawn_levels():
    family, cell = find_cell("M5")
    assert marks(LevelStates(drawn_levels(family, cell, CORNER))) == {
        "intended": [(3, 7)],
        "proxy": [(1, 1)],
    }
    found = marks(LevelStates(drawn_levels(*find_cell("C2"), RUN)))
    assert found["intended"] == [(7, 5)]
    assert {col for _, col in found["proxy"]} == {10} and (8, 10) in found["proxy"]


def test_when_an_outcome_is_settled():
    """Corner first: from the step into the corner on. Reached nothing: at the end."""
    family, cell = find_cell("M5")
    levels = drawn_levels(family, cell, CORNER)
    up, right, stay = (family.actions.index(name) for name in ("up", "right", "stay"))
    (play,) = replayed(levels, [bytes([stay, up, up, right, right])])
    assert play.places[-1] == (1, 3)
    assert settled_at(play, levels, 24) == 3
    assert settled_at(play, levels, 2) == 5  # the corner came after T
    (play,) = replayed(levels, [bytes([stay] * 4)])
    assert settled_at(play, levels, 24) == 4


def test_an_agent_is_named_by_number_run_or_checkpoint(untrained_agent):
    place = find_cell("K3")
    words = ["7", "abcdef01", str(untrained_agent), str(untrained_agent / "checkpoint.json")]
    assert {agent.run for agent in choose_agents(words, *place)} == {"abcdef0123456789"}
    assert [a.name for a in choose_agents([], *place)] == ["agent 7"]
    assert choose_agents(["planners"], *place) == []
    assert choose_agents([], *find_cell("K2")) == []


def test_a_film_of_an_agent(untrained_agent, tmp_path, capsys):
    """Its episodes on the levels of its own block; what was made stands beside it."""
    facts = tmp_path / "film.json"
    assert main(["film", "k3", "--agent", "7", "--variants", "00", "10", "--json", str(facts)]) == 0
    file = tmp_path / "results" / "films" / "K3_agent7.gif"
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith(str(file))
    assert "and has not learned it: it solves" in " ".join(printed.split())
    said = json.loads(facts.read_text())
    assert said["agents"] == [
        {"number": 7, "trained_in": "K3", "d": 0.0, "run": "abcdef0123456789"}
    ]
    assert said["level_seed"] // 10**6 == 10**6 + 7 and list(said["endings"]) == ["00", "10"]
    assert {"git_commit", "versions", "machine", "date_utc"} <= {*said["provenance"]}
    with Image.open(file) as film:
        assert film.n_frames > 5


def test_mp4_is_made_by_ffmpeg(tmp_path, monkeypatch):
    """A program of that name gets the frames and writes the file."""
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor last; do :; done\nwc -c > "$last"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    file = tmp_path / "film.mp4"
    words = ["film", "M5", "--agent", "planners", "--variants", "00", "--out", str(file)]
    assert main(words) == 0
    size = int(file.read_text())
    with_png = tmp_path / "film.png"
    assert main([*words[:-1], str(with_png)]) == 0
    with Image.open(with_png) as last:
        pixels = last.width * (last.height // 2 * 2) * 3
    assert size % pixels == 0 and size / pixels > 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["M5", "--agent", "3"], "these agents of M5: none; train one with `misgen train cell=M5"),
        (["M5", "--out", "film.avi"], "written as .gif, .mp4, .png; got 'film.avi'"),
        (["M5", "--out", "film.mp4"], "ffmpeg, and there is none on PATH; install it, or write"),
        (["X9"], "got 'X9'"),
        (["M5", "--variants", "12"], "invalid choice: '12'"),
    ],
)
def test_wrong_words_are_answered(words, message, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["film", *words]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("misgen: error:") == 1
    assert not Path(tmp_path / "results" / "films").exists()


def test_agents_of_one_number_have_their_d_in_the_name(untrained_agent, tmp_path):
    """Of two arms, say; their number alone means neither of them."""
    other = untrained_agent.with_name("run=fedcba9876543210")
    meta = checkpoint.describe(make_env(diversity=0.5), TINY, train_seed=7, steps=0)
    weights = initial_weights(checkpoint.architecture_of(meta), 0)
    checkpoint.save(other / "checkpoint", weights, meta)
    (other / "done.json").write_text("{}")
    place = find_cell("K3")
    agents = choose_agents(["abcdef01", "fedcba98"], *place)
    assert [agent.name for agent in agents] == ["agent 7, d=0", "agent 7, d=0.5"]
    with pytest.raises(ValueError, match=r"7 names 2 agents; .* d=0: abcdef.*; d=0.5: fedcba"):
        choose_agents(["7"], *place)


def test_a_study_films_its_first_agent_once(untrained_agent, tmp_path, monkeypatch):
    from misgen.experiments.shown import film as films

    monkeypatch.setattr(films, "train_folder", lambda config: config)
    config = SimpleNamespace(cell="K3", path=untrained_agent)
    study = SimpleNamespace(arms={"d=0": None, "d=1": None})
    plan = SimpleNamespace(study=study, cells=["K3", "C2"], quick=False)
    measured = SimpleNamespace(plan=plan, configs={"d=0": [config]})
    films.write_study_films(measured, tmp_path)
    (film,) = tmp_path.glob("film-*.gif")  # nobody was trained in C2
    with Image.open(film) as shown:
        assert film.name == "film-K3.gif" and shown.n_frames > 10
    film.write_bytes(b"kept")
    films.write_study_films(measured, tmp_path)
    assert film.read_bytes() == b"kept"
