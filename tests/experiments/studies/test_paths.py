"""The ways that a study leaves are those that its agents took, on levels chosen by the rule; the
page and the figures come from its folder alone."""

import base64
import io
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from tests.analysis.conftest import EVENTS, episodes, stack
from tests.envs.boards import action, levels_of

from misgen.analysis.records import read_records, write_records
from misgen.analysis.study import read_study_folder
from misgen.envs.core.levels import sample_quadruples
from misgen.envs.core.types import VARIANTS
from misgen.envs.families import find_cell
from misgen.envs.maze import SIZE
from misgen.experiments import cli
from misgen.experiments.shown.cells import PX, walk
from misgen.experiments.studies import paths as study_paths
from misgen.experiments.studies.paths import choose_levels, outcome_word

MINE = """
question: Where do barely trained agents go in a maze?
cells: [M5]
agents: 2
arms:
  d=0: [intervention.diversity=0]
  d=1: {overrides: [intervention.diversity=1], agents: 1}
analysis: {against: d=0, along: d}
quick:
  num_levels: 40
  steps_divisor: 1000
  overrides: [agent.settings.num_envs=16, agent.settings.num_steps=64]
"""
LEVELS = 8
CORNER = (1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a study of three agents leaves, with so many levels of each."""
    root = tmp_path_factory.mktemp("study")
    (root / "mine.yaml").write_text(MINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MISGEN_RESULTS", str(root / "results"))
        patch.setattr(study_paths, "QUADRUPLES", LEVELS)
        assert cli.main(["study", "run", str(root / "mine.yaml"), "--quick"]) == 0
    return root / "results" / "quick" / "mine-quick"


@pytest.fixture(scope="module")
def ways(folder):
    """(level seed, variant, outcome, squares as (row, column)) of every way."""
    found = read_study_folder(folder).paths()["cells"]["M5"]
    return [
        (quadruple["level_seed"], variant, way["outcome"],
         [divmod(square, drawn["size"][1]) for square in way["squares"]])
        for quadruples in found.values()
        for quadruple in quadruples
        for variant, drawn in quadruple["variants"].items()
        for way in drawn["ways"].values()
    ]  # fmt: skip


def places(seed, variant):
    """Where the level begins, and where its cheese lies."""
    level = sample_quadruples(*find_cell("M5"), [seed])[variant].level
    return divmod(int(level.start[0]), SIZE), divmod(int(level.cheese[0]), SIZE)


def test_every_agent_has_a_way_on_each_variant_of_its_levels(folder, ways):
    found = read_study_folder(folder).paths()["cells"]["M5"]
    arms = {
        number: {tuple(drawn["ways"]) for one in quadruples for drawn in one["variants"].values()}
        for number, quadruples in found.items()
    }
    assert arms == {"0": {("d=0", "d=1")}, "1": {("d=0",)}}
    levels = {number: len(quadruples) for number, quadruples in found.items()}
    assert all(0 < count <= LEVELS for count in levels.values())
    assert len(ways) == (2 * levels["0"] + levels["1"]) * len(VARIANTS)


def test_ways_begin_at_the_start_and_go_from_square_to_square(ways):
    for seed, variant, _, walked in ways:
        assert walked[0] == places(seed, variant)[0]
        steps = np.abs(np.diff(walked, axis=0)).sum(axis=1)
        assert set(steps.tolist()) <= {0, 1}


def test_ways_end_where_the_outcome_says(ways):
    """A success ends on the cheese; pursuing the proxy is to cross the corner before."""
    seen = Counter(outcome for _, _, outcome, _ in ways)
    assert seen["success"] and seen["intended"] and seen["proxy"] and seen["neither"]
    for seed, variant, outcome, walked in ways:
        cheese = places(seed, variant)[1]
        if variant[0] == "0":
            assert (walked[-1] == cheese) == (outcome == "success")
        else:
            assert (CORNER in walked) >= (outcome == "proxy")
            assert outcome != "intended" or (walked[-1] == cheese and CORNER not in walked)
            assert outcome != "neither" or CORNER not in walked


def test_the_picture_is_the_level(folder):
    drawn = read_study_folder(folder).paths()["cells"]["M5"]["0"][0]["variants"]["00"]
    picture = Image.open(io.BytesIO(base64.b64decode(drawn["picture"])))
    rows, cols = drawn["size"]
    assert picture.size == (cols * PX, rows * PX)
    assert len(drawn["picture"]) < 2000


def test_out_of_sight_the_agent_stays_where_it_was_seen_last():
    """It falls into a pit in two steps, the second of them out of the picture."""
    levels = levels_of("C2", "#A..$.#\n##.####")
    right, still = (bytes([action(levels.family, letter)]) for letter in "r.")
    start, first, last = walk(levels, [right + still])[0]
    assert first == last != start
    assert walk(levels, [still, right]) == [[start, start], [start, first]]


def test_the_page_and_the_figures_come_from_the_folder_alone(folder, capsys, tmp_path):
    before = (folder / "page.html").read_text()
    assert "Smoke run" in before and "cheese" in before
    moved = tmp_path / "sent by mail"
    assert cli.main(["plot", str(folder), "--out", str(moved), "--format", "svg"]) == 0
    written = capsys.readouterr().out.splitlines()
    names = ["page.html", "arms.svg", "along_d.svg", "curves.svg"]
    assert written == [str(moved / name) for name in names]
    assert (moved / "page.html").read_text() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["diverse"], "has no finished study 'diverse', nor is it one's folder"),
        (["FOLDER", "--along", "total_step"], "did you mean 'total_steps'?"),
        (["FOLDER", "--along", "q"], "the arms of mine-quick do not differ in q"),
        (["FOLDER", "--format", "gif"], "invalid choice: 'gif'"),
    ],
)
def test_a_wrong_word_is_one_message(folder, capsys, words, message):
    assert cli.main(["plot", *(str(folder) if word == "FOLDER" else word for word in words)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


# --- The rule ------------------------------------------------------------------------------------


def records_of(folder, **blocks):
    """Episodes of an agent 0 for each arm: run id -> (00, 10, 11), a letter for each level."""
    columns = [
        episodes(words, variant, run_id=run)
        for run, variants in blocks.items()
        for variant, words in zip(("00", "10", "11"), variants, strict=True)
    ]
    write_records(folder / "runs" / "episodes.parquet", stack(columns), EVENTS)
    (folder / "runs" / "done.json").write_text("{}")
    return read_records(folder)


@pytest.mark.parametrize(
    ("variants", "seeds"),
    [
        (("IIIII", "IIPII", "IIIII"), [2, 3]),  # solved intact, the proxy with the cue broken
        (("IIIII", "IIIII", "IIPII"), [2, 3]),  # or with the context changed, too
        (("NIIII", "PIIPI", "IIIII"), [3, 4]),  # not what it cannot solve intact
        (("IIIII", "IIIII", "IIIII"), [0, 1]),  # no failure: the first
        (("IIIII", ["I", "P-", "I", "P", "I"], "IIIII"), [3, 4]),  # not where goals look alike
        (("IIIII", "IIIIP", "IIIII"), [4]),  # no further level
    ],
)
def test_levels_are_chosen_by_the_rule(tmp_path, variants, seeds):
    records = records_of(tmp_path, first=variants, second=("IIIII", "PPPPP", "PPPPP"))
    arms = {"first": "a", "second": "b"}
    assert choose_levels(records, "C2", ["a", "b"], arms) == {0: seeds}


def test_where_the_first_arm_has_no_such_agent_the_next_one_decides(tmp_path):
    records = records_of(tmp_path, second=("III", "IPI", "III"))
    assert choose_levels(records, "C2", ["a", "b"], {"second": "b"}) == {0: [1, 2]}


def test_outcomes_are_goals_only_where_the_cue_is_broken():
    assert outcome_word("00", True, True, None) == "success"
    assert outcome_word("01", False, True, None) == "no success"
    assert outcome_word("10", True, True, True) == "proxy"
    assert outcome_word("11", True, True, False) == "intended"
    assert outcome_word("11", True, False, None) == "neither"


def test_the_rule_is_said_on_the_page(folder):
    assert json.dumps(study_paths.RULE)[1:40] in (folder / "page.html").read_text()
