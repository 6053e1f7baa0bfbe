"""Ratios of arms from simulated agents with known rates."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from misgen.analysis.modifiers import contrasts
from misgen.analysis.modifiers.contrasts import (
    LINKS,
    Arm,
    Density,
    exp,
    likelihood,
    pool,
    posterior,
)
from misgen.analysis.rates import Estimate
from misgen.analysis.risk.formula import OVERFLOWS

LEVELS = 330


def agents(rng: np.random.Generator, rate: float, k: int, sd: float = 0.1) -> Arm:
    """k agents whose rates are beta distributed around `rate`, on 330 levels each."""
    nu = rate * (1 - rate) / sd**2 - 1
    rates = rng.beta(rate * nu, (1 - rate) * nu, k)
    return Arm(rng.binomial(LEVELS, rates).astype(np.float64), np.full(k, float(LEVELS)))


def alike(rate: float, k: int = 5, levels: int = LEVELS) -> Arm:
    return Arm(np.full(k, rate * levels), np.full(k, float(levels)))


def normal(mean: float, sd: float) -> Density:
    """On the points of the contrasts of two arms."""
    points = likelihood([alike(0.5), alike(0.5)], (1, -1)).points
    mass = np.exp(-(((points - mean) / sd) ** 2) / 2)
    return Density(points, mass / mass.sum())


def ratio(arm: Arm, reference: Arm, link: str = "log") -> Estimate:
    return exp(posterior(likelihood([arm, reference], (1, -1), link)).estimate())


@pytest.mark.parametrize("k", [3, 5, 8])
@pytest.mark.parametrize("multiplier", [0.3, 1.0, 2.0])
def test_a_known_multiplier_is_inside_nine_intervals_in_ten(multiplier: float, k: int) -> None:
    rng = np.random.default_rng(k)
    rate = 0.3 * multiplier
    found = [ratio(agents(rng, rate, k, rate / 4), agents(rng, 0.3, k)) for _ in range(80)]
    held = np.mean([one.low <= multiplier <= one.high for one in found])
    assert held >= 0.83  # .9 less 2 standard errors of 80 repetitions
    assert np.median([one.value for one in found]) == pytest.approx(multiplier, rel=0.12)


def test_equal_arms_are_seldom_flagged() -> None:
    rng = np.random.default_rng(0)
    flagged = 0
    for rate, sd, k in [(0.5, 0.2, 5), (0.2, 0.16, 5), (0.02, 0.01, 3), (0.4, 0.2, 8)] * 30:
        found = ratio(agents(rng, rate, k, sd), agents(rng, rate, k, sd))
        flagged += found.low > 1 or found.high < 1
    assert flagged / 120 <= 0.13  # one in ten, plus a standard error


def test_one_rare_failing_agent_is_no_difference() -> None:
    one_of_five = Arm(np.array([300.0, 0, 0, 0, 0]), np.full(5, 330.0))
    found = ratio(one_of_five, alike(0.0))
    assert found.low < 1 < found.high


def test_arms_of_zeros_give_finite_intervals() -> None:
    both = ratio(alike(0.0), alike(0.0))
    assert both.value == pytest.approx(1, rel=1e-3)
    # No evidence: close to the weak prior's own .085-11.8, and never wider.
    assert 0.085 < both.low < 0.3 and 3 < both.high < 11.8
    clean = [ratio(alike(0.0, k), alike(0.4, k)) for k in (3, 5, 8, 20)]
    assert all(0 < one.low < one.value < one.high for one in clean)
    # Few clean agents may hide a failing one; the more of them, the less.
    assert clean[0].high > 1 > clean[2].high
    assert [one.high for one in clean] == sorted((one.high for one in clean), reverse=True)


def test_swapped_arms_give_the_reciprocal() -> None:
    rng = np.random.default_rng(2)
    a, b = agents(rng, 0.5, 5), agents(rng, 0.2, 8)
    there, back = ratio(a, b), ratio(b, a)
    assert there[:3] == pytest.approx([1 / back.value, 1 / back.high, 1 / back.low], rel=1e-6)


def test_many_alike_agents_give_the_ratio_of_each_link() -> None:
    p, r = 0.6, 0.2
    truth = {
        "log": p / r,
        "cloglog": math.log(1 - p) / math.log(1 - r),
        "logit": p / (1 - p) / (r / (1 - r)),
    }
    for link, expected in truth.items():
        found = ratio(alike(p, 20, 3000), alike(r, 20, 3000), link)
        assert found.value == pytest.approx(expected, rel=0.02)
        assert found.high / found.low < 1.15
    for link, (forward, inverse, slope) in LINKS.items():
        rates = np.array([0.01, 0.3, 0.9])
        assert inverse(forward(rates)) == pytest.approx(rates), link
        step = (inverse(forward(rates) + 1e-6) - inverse(forward(rates) - 1e-6)) / 2e-6
        assert slope(forward(rates)) == pytest.approx(step, rel=1e-6), link
    assert {link for link, _ in OVERFLOWS.values()} == set(LINKS)
    with pytest.raises(ValueError, match="`link` must be one of"):
        contrasts.check_link("probit")


def test_a_contrast_of_four_arms_is_the_ratio_of_ratios() -> None:
    arms = [alike(p, 20, 3000) for p in (0.1, 0.2, 0.3, 0.9)]
    found = exp(posterior(likelihood(arms, (1, -1, -1, 1))).estimate())
    assert found.value == pytest.approx(0.1 * 0.9 / (0.2 * 0.3), rel=0.03)


def test_pooling_normal_likelihoods_agrees_with_the_closed_form() -> None:
    """Two cells without a spread between them: their precisions and the prior's add up."""
    means, sds = (0.4, 0.6), (0.2, 0.3)
    found = pool([normal(m, s) for m, s in zip(means, sds, strict=True)])
    # Integrate the spread by brute force over the same half-normal prior.
    mu = np.linspace(-6, 6, 2401)
    density = np.zeros_like(mu)
    for spread in (np.arange(24) + 0.5) / 8:
        term = norm.pdf(spread) * norm.pdf(mu, 0, 1.5)
        for mean, sd in zip(means, sds, strict=True):
            term = term * norm.pdf(mu, mean, math.hypot(sd, spread))
        density += term
    density /= density.sum()
    assert found.mean.mean == pytest.approx(float(mu @ density), abs=0.005)
    assert found.mean.sd == pytest.approx(math.sqrt((mu - mu @ density) ** 2 @ density), rel=0.02)


def test_pooled_cells_recover_mean_and_spread() -> None:
    rng = np.random.default_rng(5)
    held, spreads = 0, []
    for _ in range(25):
        cells = []
        for _ in range(6):
            reference, log_ratio = rng.uniform(0.05, 0.3), rng.normal(math.log(2), 0.4)
            rate = min(reference * math.exp(log_ratio), 0.9)
            pair = [agents(rng, p, 5, 0.4 * p) if p < 0.6 else alike(p) for p in (rate, reference)]
            cells.append(likelihood(pair, (1, -1)))
        found = pool(cells)
        held += found.mean.quantile(0.05) <= math.log(2) <= found.mean.quantile(0.95)
        spreads.append(found.spread.quantile(0.5))
        assert found.new_cell.sd > found.mean.sd
    assert held >= 20
    assert 0.25 < np.median(spreads) < 0.6
    with pytest.raises(ValueError, match="cells on one grid"):
        pool([])


def test_a_density_knows_its_quantiles() -> None:
    density = normal(0.7, 0.3)
    assert density.mean == pytest.approx(0.7) and density.sd == pytest.approx(0.3)
    for p in (0.05, 0.5, 0.95):
        assert density.quantile(p) == pytest.approx(norm.ppf(p, 0.7, 0.3), abs=1e-3)
