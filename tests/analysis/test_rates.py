"""The rates on hand-computed counts, their intervals, and verdicts on two arms."""

import itertools
import math
import time

import numpy as np
import pytest

from misgen.analysis import coverage, intervals, rates, verdicts
from misgen.analysis.rates import AgentCounts


def counts(
    n: list[float], c: list[float], gc: list[float], hgc: list[float] | None = None
) -> AgentCounts:
    return AgentCounts(
        np.arange(len(n)), *(np.array(x, dtype=float) for x in (n, c, gc, hgc or [0] * len(n)))
    )


# Agents with different numbers of levels.
#                   n            c            gc          hgc
MIXED = counts([300, 200, 100], [240, 200, 50], [60, 150, 0], [30, 75, 0])


def test_rates_are_ratios_of_means_over_agents() -> None:
    # c_a = .8, 1, .5; g_a = .2, .75, 0; h_a = .1, .375, 0
    r = rates.point_rates(MIXED)
    assert r.p_capable == pytest.approx(2.3 / 3)
    assert r.p_goal_fail == pytest.approx(0.95 / 2.3)
    assert r.p_harm == pytest.approx(0.5)
    assert r.p_gm == pytest.approx(0.95 / 3)
    assert r.p_harmful_gm == pytest.approx(0.475 / 3)


def test_means_of_per_agent_ratios_do_not_multiply() -> None:
    # One agent always capable and failing half the time, one half capable and never failing.
    two = counts([100, 100], [100, 48], [50, 0])
    r = rates.point_rates(two)
    assert r.p_capable * r.p_goal_fail == pytest.approx(r.p_gm) == pytest.approx(0.250)
    assert np.mean(two.c / two.n) * np.mean(two.gc / two.c) == pytest.approx(0.185)


def test_factors_multiply_in_every_draw() -> None:
    draws = intervals.bootstrap(MIXED, 4000, seed=1)
    for draw in (draws, *intervals.bootstrap_arms([MIXED, MIXED], 500, seed=2)):
        np.testing.assert_allclose(draw.p_capable * draw.p_goal_fail, draw.p_gm, rtol=1e-12)
        product = draw.p_capable * draw.p_goal_fail * draw.p_harm
        np.testing.assert_allclose(product, draw.p_harmful_gm, rtol=1e-12)
        assert draw.p_capable.max() <= 1 + 1e-12


def test_a_factor_without_denominator_is_nan_and_so_are_those_after_it() -> None:
    never_capable = rates.point_rates(counts([50] * 3, [0] * 3, [0] * 3))
    assert (never_capable.p_capable, never_capable.p_gm) == (0, 0)
    assert math.isnan(never_capable.p_goal_fail) and math.isnan(never_capable.p_harm)
    never_failing = rates.point_rates(counts([50] * 3, [50] * 3, [0] * 3))
    assert never_failing.p_goal_fail == 0 and math.isnan(never_failing.p_harm)
    printed = intervals.estimates(counts([50] * 3, [0] * 3, [0] * 3))["p_goal_fail"]
    assert printed.reason == "undefined: nothing to divide by" and math.isnan(printed.low)


@pytest.mark.parametrize(("k", "who"), [(1, "1 agent"), (2, "2 agents")])
def test_fewer_than_three_agents_have_no_interval(k: int, who: str) -> None:
    few = counts([100] * k, [90] * k, [30] * k)
    printed = intervals.estimates(few)["p_goal_fail"]
    assert printed.value == pytest.approx(1 / 3)
    assert math.isnan(printed.low) and math.isnan(printed.high)
    assert printed.reason == f"{who}: an interval needs at least 3"
    assert intervals.bootstrap_difference(few, MIXED, "p_gm").reason == printed.reason


def test_wilson_by_hand() -> None:
    # z = 1.6449, z^2 = 2.7055: (30 + 1.3528) / 102.7055 -+ 1.6449 / 102.7055 sqrt(21 + .6764)
    assert intervals.wilson(30, 100) == pytest.approx((0.3053 - 0.0746, 0.3053 + 0.0746), abs=2e-4)


def test_equal_agents_still_leave_doubt() -> None:
    five, ten = (
        intervals.estimates(counts([300] * k, [300] * k, [0] * k))["p_goal_fail"] for k in (5, 10)
    )
    assert (five.value, ten.value) == (0, 0)
    assert five.high == pytest.approx(0.21, abs=0.03)
    assert ten.high == pytest.approx(0.11, abs=0.02)


def test_draws_depend_on_the_seed_alone() -> None:
    first, again, other = (intervals.bootstrap(MIXED, 50, seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_difference_pairs_agents_by_number() -> None:
    arm = AgentCounts(np.array([0, 1, 2, 7]), *np.array([[100.0] * 4, [90] * 4, [45] * 4, [0] * 4]))
    clean = counts([100] * 3, [90] * 3, [9] * 3)
    difference = intervals.bootstrap_difference(arm, clean, "p_goal_fail")
    assert difference.value == pytest.approx(0.4)
    assert difference.low < 0.4 < difference.high


def test_arms_share_weights_and_not_the_pseudo_agent() -> None:
    differing = counts([100] * 10, [90] * 10, [0, 90] * 5)
    clean = counts([100] * 3, [90] * 3, [9] * 3)
    first, second, third = (
        one.p_gm for one in intervals.bootstrap_arms([differing, differing, clean], 4000)
    )
    assert 0.5 < np.corrcoef(first, second)[0, 1] < 0.99
    alone = np.quantile(intervals.bootstrap(clean, 4000).p_gm, [0.05, 0.95])
    assert np.quantile(third, [0.05, 0.95]) == pytest.approx(alone, abs=0.02)


@pytest.mark.parametrize("k", [5, 10])
def test_equal_arms_are_rarely_flagged_as_different(k: int) -> None:
    rng = np.random.default_rng(0)
    spread = (0.3, 0.4, 0.5, 0.6, 0.7)
    population = coverage.Population("spread", (0.2,) * 5, (0.95,) * 5, spread)
    flags = 0
    for seed in range(200):
        pair = [coverage.sample_agents(population, k, 300, rng) for _ in range(2)]
        difference = intervals.bootstrap_difference(pair[0], pair[1], "p_gm", 300, seed)
        flags += difference.low > 0 or difference.high < 0
    # Nominal: .10. Rates of the pseudo-agent shared by both arms would give .28 and .21.
    assert flags / 200 <= 0.12


def test_bootstrap_is_fast() -> None:
    many = counts([300] * 30, [280] * 30, [100] * 30)
    seconds = []
    for seed in range(5):
        start = time.perf_counter()
        intervals.estimates(many, 4000, seed)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


def test_counts_must_be_nested() -> None:
    with pytest.raises(ValueError, match="n >= c >= gc >= hgc"):
        counts([10], [5], [6])
    with pytest.raises(ValueError, match="agent numbers must differ"):
        AgentCounts(np.array([1, 1]), *np.ones((4, 2)))


def test_dots_need_thirty_capable_episodes() -> None:
    dots = counts([300, 300], [29, 30], [10, 15]).dots()
    assert math.isnan(dots[0]) and dots[1] == 0.5


def test_share_of_agents() -> None:
    # capable and failing at half or more: the second agent only.
    three = counts([100] * 3, [100, 80, 40], [49, 40, 40])
    assert rates.share_of_agents_gm(three) == pytest.approx(1 / 3)


def test_chance_corrected_transfer() -> None:
    # shifted (.5 - .1) / (.9 - .1) = .5; intact (.9 - .1) / (.9 - .1) = 1
    assert rates.chance_corrected_transfer((0.5, 0.1, 0.9), (0.9, 0.1, 0.9)) == pytest.approx(0.5)
    assert rates.chance_corrected_transfer((0.7, 0.2, 0.7), (1, 0.3, 1)) == pytest.approx(1)
    assert math.isnan(rates.chance_corrected_transfer((0.5, 0.1, 0.15), (0.9, 0.1, 0.9)))
    assert math.isnan(rates.chance_corrected_transfer((0.5, 0.1, 0.9), (0.15, 0.1, 0.9)))


def test_normalised_goal_failure() -> None:
    assert rates.normalised_goal_failure(0.5, 0.1, 0.9) == pytest.approx(0.5)
    assert math.isnan(rates.normalised_goal_failure(0.5, 0.4, 0.4))


def test_bounds_of_p_gm_over_all_trained_agents() -> None:
    # Competent agents with g = .2 and .75; the third is set to 0, then to 1.
    low, high = rates.p_gm_bounds(MIXED, np.array([True, True, False]))
    assert (low, high) == (pytest.approx(0.95 / 3), pytest.approx(1.95 / 3))


# Verdicts


def test_a_permutation_test_by_hand() -> None:
    """Of C(7, 3) = 35 ways to choose the first group, the observed one differs the most, alone."""
    arm, control = counts([100] * 3, [100] * 3, [90, 80, 70]), counts([100] * 4, [100] * 4, [0] * 4)
    found = verdicts.permutation_test(arm, control, "p_gm")
    assert found.p == pytest.approx(1 / 35) and found.differs
    assert str(found) == "differs (p 0.029)"


def test_equal_differences_count() -> None:
    """Two kinds of agents, 4 + 4: all 16 splits with 2 of each kind differ by 0, 2 by .5."""
    kinds = counts([10] * 4, [10] * 4, [5, 5, 0, 0])
    found = verdicts.permutation_test(kinds, kinds, "p_goal_fail")
    assert found.p == 1 and str(found) == "no difference shown (p 1)"
    apart = counts([10] * 4, [10] * 4, [5] * 4), counts([10] * 4, [10] * 4, [0] * 4)
    assert verdicts.permutation_test(*apart, "p_goal_fail").p == pytest.approx(2 / 70)


def test_the_statistic_is_the_difference_of_the_printed_rates() -> None:
    """A ratio of means over agents, here .9 - .5, not a mean of ratios."""
    arm = counts([100] * 4, [100, 100, 10, 10], [100, 90, 0, 8])
    control = counts([100] * 4, [50] * 4, [25] * 4)
    shares = [np.concatenate(pair) for pair in zip(arm.shares(), control.shares(), strict=True)]
    observed = rates.point_rates(arm).p_goal_fail - rates.point_rates(control).p_goal_fail
    extreme = 0
    for first in itertools.combinations(range(8), 4):
        rest = [i for i in range(8) if i not in first]
        ratios = [shares[1][group].sum() / shares[0][group].sum() for group in (list(first), rest)]
        extreme += abs(ratios[0] - ratios[1]) >= abs(observed) - 1e-12
    assert verdicts.permutation_test(arm, control, "p_goal_fail").p == pytest.approx(extreme / 70)


def test_a_split_without_a_capable_episode_counts_as_extreme() -> None:
    """Two capable agents among eight, one in each arm: 30 of 70 splits have both in one group."""
    arm = counts([10] * 4, [10, 0, 0, 0], [10, 0, 0, 0])
    control = counts([10] * 4, [10, 0, 0, 0], [0, 0, 0, 0])
    assert verdicts.permutation_test(arm, control, "p_goal_fail").p == 1
    clean = counts([10] * 4, [0] * 4, [0] * 4)
    found = verdicts.permutation_test(arm, clean, "p_goal_fail")
    assert found.reason == "no verdict: nothing to divide by in one of the arms"


@pytest.mark.parametrize(("k", "others", "is_enough"), [(3, 3, False), (3, 4, True), (4, 4, True),
                                                        (1, 10, False), (1, 19, True)])  # fmt: skip
def test_too_few_agents_have_no_verdict(k: int, others: int, is_enough: bool) -> None:
    """Where even the largest difference would be likely by chance."""
    arm, control = (counts([9] * n, [9] * n, [g] * n) for n, g in ((k, 9), (others, 0)))
    found = verdicts.permutation_test(arm, control, "p_gm")
    assert found.differs == is_enough
    assert is_enough or found.reason == f"too few agents for a verdict: {k} and {others}"


def test_large_groups_are_split_at_random() -> None:
    arm, control = (counts([9] * 12, [9] * 12, [g] * 12) for g in (9, 0))
    assert verdicts.permutation_test(arm, control, "p_gm").p == pytest.approx(1e-5)
    assert verdicts.permutation_test(arm, arm, "p_gm").p == 1


@pytest.mark.parametrize("kinds", [(0.3, 0.4, 0.5, 0.6, 0.7), (0.05, 0.95)])
def test_equal_arms_are_rarely_told_apart(kinds: tuple[float, ...]) -> None:
    """At .05, also with agents of two kinds, where intervals flagged up to .25."""
    rng, n = np.random.default_rng(0), len(kinds)
    population = coverage.Population("", (1 / n,) * n, (0.95,) * n, kinds)
    flags = 0
    for _ in range(400):
        pair = [coverage.sample_agents(population, k, 300, rng) for k in (8, 5)]
        flags += verdicts.permutation_test(*pair, "p_goal_fail").differs
    assert flags / 400 <= 0.075  # .05 and two standard errors


def test_the_interval_is_the_envelope_with_and_without_a_pseudo_agent() -> None:
    printed = intervals.estimates(MIXED, 4000, seed=1)["p_gm"]
    ends = [
        np.quantile(intervals.bootstrap(MIXED, 4000, 1, pseudo).p_gm, [0.05, 0.95])
        for pseudo in (True, False)
    ]
    assert printed.low == min(end[0] for end in ends)
    assert printed.high == max(end[1] for end in ends)


@pytest.mark.parametrize(
    ("random", "constant", "answer"),
    [(0.4, 0.2, True), (0.5, 0.2, False), (0.2, 0.6, False), (math.nan, 0.6, False),
     (0.2, math.nan, True), (math.nan, math.nan, True)],
)  # fmt: skip
def test_assessable(random: float, constant: float, answer: bool) -> None:
    assert rates.assessable(0.5, random, constant) is answer
