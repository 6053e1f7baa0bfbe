"""The simulated coverage of the intervals."""

import pytest

from misgen.analysis import coverage


def test_coverage_table() -> None:
    two = coverage.POPULATIONS[4]
    rows = coverage.interval_coverage((3, 10), (two,), simulations=60, replicates=200, seed=0)
    assert [(r.k, r.rate) for r in rows[:3]] == [
        (3, "p_capable"), (3, "p_goal_fail"), (3, "p_gm"),
    ]  # fmt: skip
    assert rows[1].truth == pytest.approx(0.32)
    assert rows[2].truth == pytest.approx(0.304)
    assert all(0.7 <= r.coverage <= 1 for r in rows)
    assert rows[4].median_width < rows[1].median_width
    again = coverage.interval_coverage((3, 10), (two,), simulations=60, replicates=200, seed=0)
    assert rows == again
    text = coverage.format_coverage(rows)
    assert "two kinds, 3 in 10 fail  3       p_goal_fail  .320" in text


def test_truths() -> None:
    rare = coverage.POPULATIONS[5].truth()
    fails = 0.1 * 0.9 + 0.9 * 0.02
    assert rare == pytest.approx({"p_capable": 0.95, "p_goal_fail": fails, "p_gm": 0.95 * fails})
    means = [population.truth()["p_goal_fail"] for population in coverage.POPULATIONS[:4]]
    assert means == pytest.approx([0.5, 0.02, 0.8, 0.3], abs=0.001)


def test_the_printed_interval_holds_a_truth_of_exactly_0() -> None:
    """By its part without the pseudo-agent; a continuous distribution's would not."""
    never = coverage.Population("all 0", (1.0,), (0.95,), (0.0,))
    rows = coverage.interval_coverage((5,), (never,), 20, 200)
    capable, fails, gm = rows
    assert capable.coverage > 0.5 and fails.coverage == gm.coverage == 1


def test_misses_are_counted_on_each_side() -> None:
    rows = coverage.interval_coverage((3,), coverage.POPULATIONS, 60, 200)
    for row in rows:
        assert row.coverage + row.below + row.above == pytest.approx(1)
    clean = next(r for r in rows if r.truth < 0.03 and r.rate == "p_goal_fail")
    assert clean.below > clean.above == 0  # near 0 the lower end is what misses
