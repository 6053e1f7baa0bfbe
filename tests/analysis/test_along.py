"""Arms along a number: which are on the curve, and where its values end."""

import math
import shutil
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.analysis.simulated_folder import write_folder

from misgen.analysis.along import arms_along, dose_responses, require_number
from misgen.analysis.compare import compare
from misgen.analysis.study import read_study_folder
from misgen.analysis.study_figures import study_figures

PLANTED = {0.0: (0.9, 0.8, 0.5), 0.1: (0.9, 0.2, 0.5), 1.0: (0.9, 0.02, 0.5)}
SIGNATURES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Arm d=0.1 trained on 100 levels, the others on any number, by a named optimizer."""
    folder = write_folder(tmp_path_factory.mktemp("study"), PLANTED, agents=3, levels=40)
    rows = pq.read_table(folder / "settings.parquet").to_pylist()
    for row in rows:
        row |= {"num_levels": 100 if row["arm"] == "d=0.1" else 0, "optimizer": "adam"}
    pq.write_table(pa.Table.from_pylist(rows), folder / "settings.parquet")
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return compare(read_study_folder(folder))


def test_along_what_breaks_the_cue_all_arms_are_on_the_curve(found):
    (one,) = arms_along(found.arms, "d=0", "broken_episodes")
    assert one.values == (0, 450, 4500) and one.apart == ()
    assert one.dose is not None and one.dose.doses == one.values


def test_along_a_setting_arms_of_another_d_stand_apart(found):
    assert arms_along(found.arms, "d=0", "num_levels") == []  # at one d it has one value
    assert arms_along(found.arms, "d=0", "total_steps") == []
    (one,) = arms_along(
        [arm for arm in found.arms if arm.arm != "d=1"] + [same_d(found)], "d=0", "num_levels"
    )
    assert [arm.arm for arm in one.arms] == ["few", "d=0"]
    assert one.values == (100, math.inf)  # 0 means no limit
    assert [arm.arm for arm in one.apart] == ["d=0.1"] and one.dose is None


def same_d(found):
    """The arm d=0.1 as if at d = 0."""
    arm = found.at("C2", "11")[1]
    return replace(arm, arm="few", factor={**arm.factor, "d": 0.0})


def test_arms_that_see_remember_or_are_trained_otherwise_stand_apart(found):
    """But along that in which they differ."""
    reference, other = found.at("C2", "11")[:2]
    mode, gru_dim, name = reference.kind
    assert (mode, gru_dim, name) == ("planes", 0, "")
    kinds = {"": ("window", 0, ""), "gru_dim": (mode, 128, ""), "plr_size": (mode, 0, "plr")}
    for factor, kind in kinds.items():
        changed = replace(other, kind=kind, factor={**other.factor, factor: 7.0})
        assert arms_along([reference, changed], "d=0", "d") == []
        if factor:
            start = replace(reference, factor={**reference.factor, factor: 0.0})
            same = replace(changed, factor={**changed.factor, "d": 0.0})
            (one,) = arms_along([start, same], "d=0", factor)
            assert one.values == (0, 7)


def test_half_effect_of_a_repair_lies_on_the_arms_of_one_d_and_length(folder, tmp_path):
    """Arms of .8, .2 and .02, as if repaired on 0, 100 and 1,000 episodes; half of .9 (.8 - .02)
    below .9 * .8 is at .9 * .41, between the first two."""
    rows = pq.read_table(folder / "settings.parquet").to_pylist()
    episodes = {"d=0": None, "d=0.1": 100, "d=1": 1000}
    for row in rows:
        dose = episodes[row["arm"]]
        row |= {"repair_episodes": dose, "intervention": "repair" if dose else None}
    copy = shutil.copytree(folder, tmp_path / "repaired")
    pq.write_table(pa.Table.from_pylist(rows), copy / "settings.parquet")
    arms = [
        replace(arm, factor={**arm.factor, "d": 0.0})
        for arm in compare(read_study_folder(copy)).at("C2", "11")
    ]
    short = replace(arms[0], arm="short", factor={**arms[0].factor, "total_steps": 1.0})
    (one,) = arms_along([*arms, short], "d=0", "repair_episodes")
    assert one.values == (0, 100, 1000) and [arm.arm for arm in one.apart] == ["short"]
    assert one.dose is not None
    assert one.dose.half_effect_dose.value == pytest.approx(100 * (0.8 - 0.41) / 0.6, abs=12)
    ((variant, dose),) = dose_responses([*arms, short], "d=0", "repair_episodes")
    assert (variant, dose.dose) == ("11", "repair_episodes")


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        ("broken_shar", "got 'broken_shar'; did you mean 'broken_share'?"),
        ("optimizer", "arms are placed along a number; optimizer is adam; choose from d, q, "),
        ("weights_sha256", "choose from d, q, "),
    ],
)
def test_a_factor_that_is_no_number_is_refused(found, factor, message):
    with pytest.raises(ValueError) as error:
        require_number(found.study, factor)
    assert message in str(error.value)


@pytest.mark.parametrize("kind", SIGNATURES)
def test_figures_for_papers_are_what_they_are_called_and_the_same_again(found, kind):
    figures = study_figures(found, kind)
    assert [*figures] == ["arms", "along_d", "curves"]
    assert {picture[: len(SIGNATURES[kind])] for picture in figures.values()} == {SIGNATURES[kind]}
    assert study_figures(found, kind) == figures


def test_a_figure_has_a_dot_for_each_agent(found):
    """Matplotlib draws a mark by reference: 3 arms of 3 agents, 3 means."""
    svg = study_figures(found, "svg")["arms"].decode()
    assert svg.count("#c2570c; fill-opacity: 0.6") == 3 * 3
