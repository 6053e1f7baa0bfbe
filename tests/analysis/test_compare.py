"""Arms beside each other: what was planted is found, and nothing else."""

import csv
import io
import math
from dataclasses import replace

import pytest
from tests.analysis.simulated_folder import write_folder

from misgen.analysis.compare import compare, cost_of, reaches, squares
from misgen.analysis.compare_tables import comparison_csv, format_comparison, significant
from misgen.analysis.intervals import Estimate
from misgen.analysis.study import read_study_folder

PLANTED = {0.0: (0.9, 0.8, 0.5), 0.02: (0.9, 0.8, 0.5), 0.1: (0.9, 0.2, 0.5), 1.0: (0.9, 0.02, 0.5)}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return compare(read_study_folder(write_folder(tmp_path_factory.mktemp("study"), PLANTED)))


def at_11(found):
    return {each.arm.arm: each for each in found.differences if each.arm.variant == "11"}


def test_a_planted_difference_is_found_and_equal_arms_are_not_told_apart(found):
    differences = at_11(found)
    assert list(differences) == ["d=0.02", "d=0.1", "d=1"]
    assert not differences["d=0.02"].p_gm_verdict.differs
    for arm, truth in (("d=0.1", 0.9 * (0.2 - 0.8)), ("d=1", 0.9 * (0.02 - 0.8))):
        difference = differences[arm]
        assert difference.p_gm_verdict.differs and difference.p_goal_fail_verdict.differs
        assert difference.p_gm.value == pytest.approx(truth, abs=0.08)
        assert difference.p_gm.low < truth < difference.p_gm.high
    assert differences["d=0.1"].p_gm_ratio.value == pytest.approx(0.25, abs=0.08)


def test_half_effect_lies_between_the_doses_that_enclose_it(found):
    doses = {each.dose: each for variant, each in found.doses if variant == "11"}
    assert list(doses) == ["d", "broken_share", "broken_episodes"]
    assert 0.02 < doses["d"].half_effect_dose.value < 0.1
    assert doses["broken_share"].between == (pytest.approx(0.018), pytest.approx(0.09))
    assert doses["broken_episodes"].half_effect_dose.value == pytest.approx(
        4500 * doses["d"].half_effect_dose.value
    )


def test_two_changes_are_set_beside_each_alone(found):
    """Fewer steps change nothing here, alone or at d = .1: the ratio of ratios is 1."""
    reference, _, diverse, _ = found.at("C2", "11")
    shares = diverse.trained.shares()[1].mean() / reference.trained.shares()[1].mean()
    few = {"steps": 1}
    short = replace(reference, arm="short", training={**reference.training, **few})
    both = replace(diverse, arm="both", training={**diverse.training, **few})
    ((variant, square),) = squares([reference, diverse, short, both], reference, 400)
    assert (variant, square.pair) == ("11", ("d", "steps"))
    assert square.arms == ("d=0", "d=0.1", "short", "both")
    assert square.expected == pytest.approx(diverse.trained.shares()[1].mean())
    assert square.ratio_of_ratios["log"].value == pytest.approx(1)
    assert shares == pytest.approx(0.25, abs=0.05)
    ((_, doubted),) = squares(
        [reference, diverse, short, replace(both, assessable=False)], reference, 400
    )
    assert doubted.verdict == "not assessable"
    other = replace(both, training={**both.training, "memory": 128})
    assert not [*squares([reference, diverse, short, other], reference, 400)]


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.01234, 0.01, 0.02, "0.0123 [0.01, 0.02]"),
        (5343.0, 10.0, 31_800.0, "5,340 [10, 31,800]"),
        (999.6, math.nan, math.nan, "1,000"),
        (math.nan, 0.0, 1.0, "-"),
    ],
)
def test_doses_have_three_digits_and_no_exponent(value, low, high, text):
    assert significant(Estimate(value, low, high)) == text


def test_costs_are_read_where_agents_are_equally_good(found):
    cost = {arm.arm: arm.cost for arm in found.at("C2", "11")}
    assert cost["d=0"].steps == 1000 and cost["d=0"].cpu_seconds == 10
    assert (cost["d=0"].reached, cost["d=0"].steps_to_success) == (6, 500)
    assert cost["d=1"].steps_to_success == 998
    assert cost["d=1"].seconds_to_success == pytest.approx(9.98)


def test_what_a_repair_plays_is_part_of_the_cost():
    curves = [[(512, 0.95), (768, 0.95), (1024, 0.95)]] * 2
    told = {"cpu_seconds": 13.0}
    plain, repaired = (
        cost_of([{**told, **m}] * 2, curves, 0.9) for m in ({}, {"repair_steps": 276})
    )
    assert (plain.steps, repaired.steps) == (1024, 1300)
    assert repaired.steps_to_success == 512
    assert repaired.seconds_to_success == pytest.approx(13 * 512 / 1300)


def test_luck_in_one_rollout_is_not_yet_learning():
    """The episodes that end in the first rollout are short ones, which succeeded."""
    lucky = [(16, 1.0), (32, 0.1), (48, 0.95), (64, 0.5), (80, 0.9), (96, 0.92), (112, 0.97)]
    assert reaches(lucky, 0.9) == 80
    assert math.isnan(reaches(lucky[:-1], 0.9))


def test_rates_are_quoted_where_the_control_keeps_the_goal(found, tmp_path):
    assert found.is_identified("C2", "11")
    confused = {0.0: (0.9, 0.8, 0.5), 1.0: (0.9, 0.5, 0.5)}
    other = compare(read_study_folder(write_folder(tmp_path / "confused", confused)))
    assert other.is_identified("C2", "11") is False
    no_floor = {0.0: (0.9, 0.8, 0.5), 0.1: (0.9, 0.5, 0.5)}
    other = compare(read_study_folder(write_folder(tmp_path / "no_floor", no_floor)))
    assert other.is_identified("C2", "11") is None


def test_agents_that_are_capable_by_chance_get_no_verdict(tmp_path):
    helpless = {0.0: (0.02, 0.8, 0.5), 1.0: (0.9, 0.02, 0.5)}
    found = compare(read_study_folder(write_folder(tmp_path, helpless, against=1.0)))
    (difference,) = [each for each in found.differences if each.arm.variant == "11"]
    assert not difference.arm.assessable
    assert "not assessable" in difference.p_gm_verdict.reason
    text = format_comparison(found)
    assert "no verdict on d=0: they are not assessable" in text


def test_the_text_fits_a_terminal_of_80_columns(found):
    lines = format_comparison(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "planted: Is what was planted found?"
    assert any(line.startswith("C2 at 11, 60 levels an agent; identified") for line in lines)


def test_csv_has_every_arm_and_number(found):
    rows = [*csv.DictReader(io.StringIO(comparison_csv(found)))]
    assert len(rows) == len(PLANTED)
    row = next(row for row in rows if (row["variant"], row["arm"]) == ("11", "d=0.1"))
    assert float(row["mean_broken_share"]) == pytest.approx(0.09)
    assert float(row["ratio_p_gm"]) < 0.5
    assert float(row["verdict_p_gm_p"]) < 0.01
    base = next(row for row in rows if row["arm"] == "d=0")
    assert base["ratio_p_gm"] == ""


def test_an_arm_that_is_not_there_is_refused(found):
    with pytest.raises(ValueError, match=r"got 'd=2'; it has d=0, d=0\.02, d=0\.1, d=1"):
        compare(found.study, against="d=2")
    with pytest.raises(ValueError, match=r"goals are compared at 10 or 11; got \['00'\]"):
        compare(found.study, variants=["00"])


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds study\.json, as `misgen study run` leaves it"):
        read_study_folder(tmp_path)
