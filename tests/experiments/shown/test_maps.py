"""`misgen maps`: values, visits and failures are those of the levels."""

import numpy as np
import pytest
from PIL import Image
from tests.agents.tiny import TINY, make_env, network_policy
from tests.experiments.shown.test_film import CORNER

from misgen.agents.networks import architecture_for, initial_weights
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import drawn_levels
from misgen.envs.families import find_cell
from misgen.experiments.cli import main
from misgen.experiments.shown.level_states import LevelStates, agent_values, planner_values
from misgen.experiments.shown.maps import by_kind, change_colours, visit_shares

pytestmark = pytest.mark.usefixtures("few_levels")


@pytest.fixture(scope="module")
def on():
    """The drawn maze: the cheese in the east, the agent near the corner."""
    return LevelStates(drawn_levels(*find_cell("M5"), CORNER))


def test_every_square_that_is_walked_on_has_a_state(on):
    """But for the cheese, which ends the episode."""
    lines = enumerate(CORNER.split())
    floor = {(row, col) for row, line in lines for col, sign in enumerate(line) if sign in ".A"}
    assert {*on.squares} == floor
    assert on.way(on.squares[3, 1]) == [] and len(on.way(on.squares[1, 1])) == 2


@pytest.mark.parametrize(
    ("goal", "square", "steps", "turn"),
    [
        ("intended", (3, 1), 10, (-1, 0)),
        ("intended", (1, 7), 2, (1, 0)),
        ("proxy", (3, 1), 2, (-1, 0)),
        ("proxy", (1, 7), 6, (0, -1)),
        ("proxy", (1, 1), 0, (0, 0)),
    ],
)
def test_planners_know_the_steps_and_the_turn(on, goal, square, steps, turn):
    value, step = planner_values(on, goal)
    k = [*on.squares].index(square)
    assert value[k] == -steps
    assert step[k].tolist() == list(turn)


def test_an_agent_is_asked_what_it_sees_on_each_square():
    """The value of the start is that of the first observation."""
    family, cell = find_cell("K3")
    board = "########\n#A.k...#\n#......#\n#.c.c..#\n" + "#......#\n" * 3 + "########"
    on = LevelStates(drawn_levels(family, cell, board))
    policy = network_policy(initial_weights(architecture_for(TINY, make_env()), 0))
    value, step = agent_values(on, policy, "planes")
    logits, first, _ = policy.outputs(BatchEnv.on(on.levels).buffers.obs)
    start = [*on.squares].index((1, 1))
    assert value[start] == pytest.approx(first[0], abs=1e-5)
    chances = dict(zip(family.actions, np.exp(logits[0]), strict=True))
    turn = [chances["down"], chances["right"]]  # the other ways are walls
    assert step[start] == pytest.approx(turn, abs=1e-5)
    assert len(set(value.round(6))) > 10


def test_visits_are_shares_of_episodes_and_small_levels_are_stretched():
    ways = [[(0, 0), (0, 1), (0, 0)], [(1, 0)]]
    shares = visit_shares(ways, [(2, 2), (2, 1)], (2, 2))
    assert shares.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert visit_shares(ways[:1], [(2, 2)], (2, 2)).tolist() == [[1, 1], [0, 0]]


def test_more_is_orange_and_less_is_blue():
    less, same, more = change_colours(np.array([-1.0, 0.0, 1.0]), 1.0).astype(int)
    assert less[2] > less[0] and more[0] > more[2] and not same.any()


def test_the_most_frequent_failure_comes_first():
    assert by_kind({3: "proxy", 1: "neither: died", 5: "proxy"}) == {
        "proxy": [3, 5],
        "neither: died": [1],
    }


def test_three_pictures_of_an_agent(untrained_agent, tmp_path, capsys):
    assert main(["maps", "K3", "--out", str(tmp_path / "maps")]) == 0
    files = capsys.readouterr().out.split()
    names = [f"K3_agent7_{kind}.png" for kind in ("values", "visits", "failures")]
    assert files == [str(tmp_path / "maps" / name) for name in names]
    for file in files:
        with Image.open(file) as picture:
            assert picture.width == 832 and picture.height > 300


def test_planners_have_no_failures(tmp_path, capsys):
    assert main(["maps", "M5", "--out", str(tmp_path)]) == 0
    files = capsys.readouterr().out.split()
    assert [file.rpartition("_")[2] for file in files] == ["values.png", "visits.png"]
    assert main(["maps", "M5", "--only", "failures"]) == 2
    assert "no agent of M5 is trained" in capsys.readouterr().err
