"""The simulated coverage of the intervals."""

import pytest

from misgen.analysis.hierarchy import coverage


def test_coverage_table() -> None:
    two = coverage.POPULATIONS[2]
    rows = coverage.interval_coverage((3, 10), (two,), simulations=60, replicates=200, seed=0)
    assert [(r.k, r.rate) for r in rows[:3]] == [
        (3, "p_capable"), (3, "p_goal_fail"), (3, "p_gm"),
    ]  # fmt: skip
    assert rows[1].truth == pytest.approx(0.5)
    assert rows[2].truth == pytest.approx(0.475)
    assert all(0.7 <= r.coverage <= 1 for r in rows)
    assert rows[4].median_width < rows[1].median_width
    again = coverage.interval_coverage((3, 10), (two,), simulations=60, replicates=200, seed=0)
    assert rows == again
    assert "two kinds   3       p_goal_fail  .500" in coverage.format_coverage(rows)


def test_truths() -> None:
    rare = coverage.POPULATIONS[3].truth()
    assert rare == pytest.approx({"p_capable": 0.95, "p_goal_fail": 0.09, "p_gm": 0.0855})
    assert [p.truth()["p_goal_fail"] for p in coverage.POPULATIONS[4:6]] == [0, 1]


def test_the_printed_interval_holds_a_truth_of_exactly_0() -> None:
    """By its part without the pseudo-agent; a continuous distribution's would not."""
    rows = coverage.interval_coverage((5,), coverage.POPULATIONS[4:5], 20, 200)
    capable, fails, gm = rows
    assert capable.coverage > 0.5 and fails.coverage == gm.coverage == 1


def test_misses_are_counted_on_each_side() -> None:
    rows = coverage.interval_coverage((3,), coverage.POPULATIONS, 60, 200)
    for row in rows:
        assert row.coverage + row.below + row.above == pytest.approx(1)
    clean = next(r for r in rows if r.population == "alike, clean" and r.rate == "p_goal_fail")
    assert clean.below > clean.above == 0  # near 0 the lower end is what misses


def test_fits_of_the_hierarchical_model_may_be_left_out() -> None:
    rows = coverage.fixed_truth_coverage((3,), coverage.POPULATIONS[:1], simulations=5, fits=0)
    assert [(r.interval, r.intervals) for r in rows] == [("printed", 5)] * 3
