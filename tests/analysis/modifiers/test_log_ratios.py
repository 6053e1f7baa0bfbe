"""Ratios of arms from simulated agents with known rates."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from misgen.analysis.intervals import Estimate, bootstrap_arms
from misgen.analysis.modifiers.log_ratios import LINKS, LogRatio, check_link, log_ratio, pool
from misgen.analysis.rates import AgentCounts
from misgen.analysis.risk.formula import OVERFLOWS

LEVELS = 330


def counts(failures: list[float], levels: int = LEVELS) -> AgentCounts:
    """Agents that are capable on all levels; half of the failures do harm."""
    k, gc = len(failures), np.array(failures, dtype=np.float64)
    n = np.full(k, float(levels))
    return AgentCounts(np.arange(k), n, n, gc, gc / 2)


def alike(rate: float, k: int = 5, levels: int = LEVELS) -> AgentCounts:
    return counts([rate * levels] * k, levels)


def agents(rng: np.random.Generator, rate: float, k: int, sd: float = 0.1) -> AgentCounts:
    """k agents whose rates are beta distributed around `rate`, on 330 levels each."""
    nu = rate * (1 - rate) / sd**2 - 1
    rates = rng.beta(rate * nu, (1 - rate) * nu, k)
    return counts(rng.binomial(LEVELS, rates).tolist())


def ratio(*arms: AgentCounts, link: str = "log") -> Estimate:
    return log_ratio(arms, "p_gm", link, 1000).ratio


def test_the_interval_is_the_envelope_with_and_without_the_pseudo_agent() -> None:
    pair = counts([30, 90, 60]), counts([100, 150, 120, 90])
    found = log_ratio(pair, replicates=1000, seed=3)
    ends = []
    for pseudo_agent in (True, False):
        first, second = (one.p_gm for one in bootstrap_arms(pair, 1000, 3, pseudo_agent))
        ends.append(np.quantile(first / second, [0.05, 0.95]))
    assert found.ratio.value == pytest.approx(60 / 115)
    low, high = np.transpose(ends)
    assert (found.ratio.low, found.ratio.high) == pytest.approx((low.min(), high.max()))
    assert found.log_mean == pytest.approx(math.log(60 / 115))
    first, second = (one.p_gm for one in bootstrap_arms(pair, 1000, 3))
    assert found.log_sd == pytest.approx(np.log(first / second).std())


@pytest.mark.parametrize("k", [3, 5, 8])
@pytest.mark.parametrize("multiplier", [0.3, 1.0, 2.0])
def test_a_known_multiplier_is_inside_nine_intervals_in_ten(multiplier: float, k: int) -> None:
    rng = np.random.default_rng(k)
    rate = 0.3 * multiplier
    found = [ratio(agents(rng, rate, k, rate / 4), agents(rng, 0.3, k)) for _ in range(80)]
    held = np.mean([one.low <= multiplier <= one.high for one in found])
    assert held >= 0.83  # .9 less 2 standard errors of 80 repetitions
    assert np.median([one.value for one in found]) == pytest.approx(multiplier, rel=0.12)


def test_one_rare_failing_agent_is_no_difference() -> None:
    found = ratio(counts([300, 0, 0, 0, 0]), counts([1, 0, 0, 0, 0]))
    assert found.low < 1 < found.high


def test_arms_of_zeros() -> None:
    """0 of something has an interval from 0 on, something of 0 one without a value; neither of
    them, and both arms of zeros neither, has an infinite end."""
    clean, failing = alike(0.0), alike(0.4)
    none, endless, unknown = (
        log_ratio(pair, replicates=1000)
        for pair in ((clean, failing), (failing, clean), (clean, clean))
    )
    assert none.ratio.value == none.ratio.low == 0 and 0.1 < none.ratio.high < 2
    assert math.isnan(endless.ratio.value) and 0.5 < endless.ratio.low < endless.ratio.high < 1e9
    assert math.isnan(unknown.ratio.value) and unknown.ratio.low < 0.1 and unknown.ratio.high > 10
    assert none.log_mean < -1 and endless.log_mean > 1
    assert unknown.log_mean == pytest.approx(0, abs=unknown.log_sd / 10)
    # Few clean agents may hide a failing one; the more of them, the less.
    highs = [ratio(alike(0.0, k), alike(0.4, k)).high for k in (3, 5, 8, 20)]
    assert highs == sorted(highs, reverse=True) and highs[0] > 3 * highs[3]


def test_swapped_arms_give_the_reciprocal() -> None:
    a, b = counts([160, 150, 190]), counts([40, 90, 60])
    there, back = log_ratio((a, b)), log_ratio((b, a))
    assert there.ratio.value == pytest.approx(1 / back.ratio.value)
    assert there.log_mean == pytest.approx(-back.log_mean)
    # The pseudo-agent's draws belong to the first and to the second arm, not to the agents.
    assert there.ratio[1:3] == pytest.approx([1 / back.ratio.high, 1 / back.ratio.low], rel=0.1)


def test_many_alike_agents_give_the_ratio_of_each_link() -> None:
    p, r = 0.6, 0.2
    truth = {
        "log": p / r,
        "cloglog": math.log(1 - p) / math.log(1 - r),
        "logit": p / (1 - p) / (r / (1 - r)),
    }
    for link, expected in truth.items():
        found = ratio(alike(p, 100), alike(r, 100), link=link)
        assert found.value == pytest.approx(expected)
        assert found.high / found.low < 1.15
    assert {link for link, _ in OVERFLOWS.values()} == set(LINKS)
    with pytest.raises(ValueError, match="`link` must be one of"):
        check_link("probit")


def test_factors_and_what_an_arm_never_came_to() -> None:
    arms = counts([90, 120, 60]), counts([30, 50, 40])
    assert log_ratio(arms, "p_harm").ratio.value == pytest.approx(1)
    assert log_ratio(arms, "p_capable").ratio.value == 1
    never = log_ratio((arms[0], alike(0.0)), "p_harm")
    assert math.isnan(never.ratio.low) and math.isnan(never.log_sd)
    assert "nothing to divide by" in never.ratio.reason
    few = log_ratio((arms[0], counts([30, 50])))
    assert few.ratio.value == pytest.approx(90 / 40) and "2 agents" in few.ratio.reason
    assert math.isnan(few.ratio.low) and math.isnan(few.log_mean)


def test_a_contrast_of_four_arms_is_the_ratio_of_ratios() -> None:
    found = ratio(*(alike(p, 100) for p in (0.1, 0.2, 0.3, 0.9)))
    assert found.value == pytest.approx(0.1 * 0.9 / (0.2 * 0.3))
    assert found.low < found.value < found.high < 1.3 * found.low


# --------------------------------------------------------------------------------- several cells


def cell(log_mean: float, log_sd: float) -> LogRatio:
    return LogRatio(Estimate(math.exp(log_mean)), log_mean, log_sd)


def test_pooling_agrees_with_brute_force() -> None:
    """Two cells: integrate mean and spread over a fine grid, spread by its half-normal prior."""
    means, sds = (0.4, 0.6), (0.2, 0.3)
    found = pool([cell(m, s) for m, s in zip(means, sds, strict=True)])
    mu = np.linspace(-12, 12, 4801)
    density, further = np.zeros_like(mu), np.zeros_like(mu)
    for spread in np.linspace(0, 4, 1001)[1:]:
        joint = norm.pdf(spread)
        for mean, sd in zip(means, sds, strict=True):
            joint = joint * norm.pdf(mu, mean, math.hypot(sd, spread))
        density += joint
        further += joint * (spread**2 + mu**2)
    further_sd = math.sqrt(further.sum() / density.sum() - (mu @ density / density.sum()) ** 2)
    density /= density.sum()
    assert found.log_mean == pytest.approx(float(mu @ density), abs=0.005)
    assert found.log_sd == pytest.approx(math.sqrt((mu - mu @ density) ** 2 @ density), rel=0.02)
    ends = np.exp(np.interp([0.5, 0.05, 0.95], np.cumsum(density), mu))
    assert found.ratio[:3] == pytest.approx(ends.tolist(), rel=0.03)
    width = math.log(found.new_cell.high / found.new_cell.low) / 2 / 1.645
    assert found.log_sd < width < 1.2 * further_sd


def test_one_cell_is_the_mean_of_others_but_for_the_spread() -> None:
    found = pool([cell(0.7, 0.3)])
    assert found.log_mean == pytest.approx(0.7)
    assert found.ratio.value == pytest.approx(math.exp(0.7), rel=1e-3)
    assert found.log_sd == pytest.approx(math.hypot(0.3, 1.0), rel=0.02)  # E spread^2 = 1
    with pytest.raises(ValueError, match="pooling needs a cell"):
        pool([])


def test_pooled_cells_recover_mean_and_spread() -> None:
    rng = np.random.default_rng(5)
    held, spreads = 0, []
    for _ in range(25):
        cells = []
        for _ in range(6):
            reference, log_mean = rng.uniform(0.05, 0.3), rng.normal(math.log(2), 0.4)
            rate = min(reference * math.exp(log_mean), 0.9)
            pair = [agents(rng, p, 5, 0.4 * p) if p < 0.6 else alike(p) for p in (rate, reference)]
            cells.append(log_ratio(pair, replicates=1000))
        found = pool(cells)
        held += found.ratio.low <= 2 <= found.ratio.high
        spreads.append(found.spread.value)
        assert found.new_cell.low < found.ratio.low < found.ratio.high < found.new_cell.high
    assert held >= 20
    assert 0.2 < np.median(spreads) < 0.6
