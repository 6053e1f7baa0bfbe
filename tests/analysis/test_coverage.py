"""The simulated coverage of the intervals."""

import pytest

from analysis import coverage


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
