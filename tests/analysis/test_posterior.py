"""The conjugate posterior against closed forms, and what it can never do."""

import math

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import beta, dirichlet, kstest

from misgen.analysis.posterior import (
    WIDE_KAPPA,
    WIDE_WEIGHT,
    CellRates,
    OutcomePrior,
    assumed_harm,
    mean_gm,
    posterior,
    posterior_harm,
)
from misgen.analysis.priors import load_priors
from misgen.analysis.rates import AgentCounts, Rates

DRAWS = 40_000
PRIOR = OutcomePrior({"p_capable": 0.6, "p_goal_fail": 0.5, "p_harm": 0.7}, 10.0)
P0 = np.array([0.4, 0.3, 0.3])


def cell(*agents: tuple[int, int, int], seed: int = 0, draws: int = DRAWS) -> CellRates:
    """Agents as (capable, goal failed, harmed) of 100 levels each."""
    columns = np.array([(100, *one) for one in agents], dtype=float).T
    return CellRates.of(AgentCounts(np.arange(len(agents)), *columns), draws, seed)


def alike(capable: int, failed: int, harmed: int = 0) -> CellRates:
    """A cell whose shares are known: five agents that do the same."""
    return cell(*[(capable, failed, harmed)] * 5)


def drawn(prior: OutcomePrior, *cells: CellRates, **strength: float) -> Rates:
    found = posterior(prior, cells, np.random.default_rng(0), DRAWS, **strength)
    harm = np.full(DRAWS, 0.5)
    gm = found.p_capable * found.p_goal_fail
    return Rates(found.p_capable, found.p_goal_fail, harm, gm, gm * harm)


def narrow(prior: OutcomePrior = PRIOR, kappa: float = WIDE_KAPPA) -> OutcomePrior:
    """With one part: its kappa is the wide one's."""
    return OutcomePrior(prior.means, kappa)


# ---------------------------------------------------------------------------------------- the prior


def test_the_outcomes_are_those_of_a_dirichlet() -> None:
    """Without parts: P(neither), P(intended) and P(proxy) have its Betas as their margins."""
    rates = drawn(narrow())
    proxy = rates.p_gm
    for values, share in (
        (1 - rates.p_capable, P0[0]),
        (rates.p_capable - proxy, P0[1]),
        (proxy, P0[2]),
    ):
        margin = beta(2 * share, 2 * (1 - share))
        assert kstest(values, margin.cdf).pvalue > 0.01
    covariance = dirichlet(2 * P0).cov()
    assert np.cov(rates.p_capable - proxy, proxy)[0, 1] == pytest.approx(
        covariance[1, 2], abs=0.003
    )


def test_the_prior_is_a_mixture_with_the_printed_means() -> None:
    rates = drawn(PRIOR)
    assert rates.p_capable.mean() == pytest.approx(0.6, abs=0.003)
    assert rates.p_goal_fail.mean() == pytest.approx(0.5, abs=0.003)
    assert rates.p_gm.mean() == pytest.approx(0.3, abs=0.003)
    parts = [(1 - WIDE_WEIGHT, beta(3, 7)), (WIDE_WEIGHT, beta(0.6, 1.4))]
    mixture = lambda x: sum(weight * part.cdf(x) for weight, part in parts)  # noqa: E731
    assert kstest(rates.p_gm, mixture).pvalue > 0.01


@pytest.mark.parametrize(
    ("shift", "low", "high"),
    [
        ("superficial", 0, 0.12),
        ("moderate", 0.005, 0.27),
        ("significant", 0.04, 0.46),
        ("extreme", 0.06, 0.55),
    ],
)
def test_the_printed_products_have_wide_intervals(shift: str, low: float, high: float) -> None:
    priors = load_priors()
    prior, rng = OutcomePrior.of(priors, shift), np.random.default_rng(1)
    found = posterior(prior, (), rng, DRAWS)
    harm = assumed_harm(priors, shift, "implied", DRAWS, rng)
    ends = np.quantile(found.p_capable * found.p_goal_fail * harm, [0.05, 0.95])
    assert ends == pytest.approx([low, high], abs=0.01)


# ------------------------------------------------------------------------------------ the posterior


def test_agents_that_are_alike_give_the_closed_form() -> None:
    """8 observations of (.2, .6, .2) on 2 of (.4, .3, .3): Beta(2.2, 7.8) for the proxy."""
    rates = drawn(narrow(), alike(80, 20))
    assert kstest(rates.p_gm, beta(0.6 + 1.6, 1.4 + 6.4).cdf).pvalue > 0.01
    assert kstest(rates.p_capable, beta(1.2 + 6.4, 0.8 + 1.6).cdf).pvalue > 0.01
    assert kstest(rates.p_goal_fail, beta(0.6 + 1.6, 0.6 + 4.8).cdf).pvalue > 0.01


def test_the_weight_of_the_wide_part_is_the_one_of_the_evidence() -> None:
    """The formula on the three outcomes, where the module has it on the two factors."""
    shares, observations = np.array([[0.2, 0.7, 0.1], [0.1, 0.88, 0.02]]), 8.0
    counts = observations * shares.sum(axis=0)

    def evidence(kappa: float) -> float:
        known = gammaln(kappa) - gammaln(kappa + counts.sum())
        return known + (gammaln(kappa * P0 + counts) - gammaln(kappa * P0)).sum()

    ratio = math.exp(evidence(WIDE_KAPPA) - evidence(10)) * WIDE_WEIGHT / (1 - WIDE_WEIGHT)
    cells = [alike(80, 10), alike(90, 2)]
    found = posterior(PRIOR, cells, np.random.default_rng(0), DRAWS)
    assert found.wide == pytest.approx(ratio / (1 + ratio))
    weights = np.array([1 - found.wide, found.wide])
    means = [(kappa * P0[2] + counts[2]) / (kappa + counts.sum()) for kappa in (10, WIDE_KAPPA)]
    raw = [one.raw for one in cells]
    assert mean_gm(PRIOR, raw) == pytest.approx(weights @ means)
    assert (found.p_capable * found.p_goal_fail).mean() == pytest.approx(weights @ means, abs=0.002)


def test_a_prior_that_is_contradicted_lets_go() -> None:
    agrees, contradicts = (
        posterior(PRIOR, [one, one, one], np.random.default_rng(0), DRAWS)
        for one in (alike(60, 30), alike(98, 1))
    )
    assert agrees.wide < WIDE_WEIGHT < 0.5 < contradicts.wide
    assert posterior(PRIOR, (), np.random.default_rng(0), DRAWS).wide == pytest.approx(WIDE_WEIGHT)


@pytest.mark.parametrize("power", [0.2, 1.0])
@pytest.mark.parametrize("phi", [3.0, 7.0, 20.0])
def test_means_lie_between_prior_and_data(phi: float, power: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        prior = OutcomePrior(dict(zip(PRIOR.means, rng.uniform(0.05, 0.95, 3), strict=True)))
        cells = []
        for _ in range(rng.integers(1, 4)):
            capable = rng.integers(1, 101, 4)
            failed = rng.binomial(capable, rng.random())
            cells.append(cell(*((int(c), int(g), 0) for c, g in zip(capable, failed, strict=True))))
        source = prior.means["p_capable"] * prior.means["p_goal_fail"]
        data = float(np.mean([one.raw.p_gm for one in cells]))
        found = mean_gm(prior, [one.raw for one in cells], phi, power)
        assert min(source, data) - 1e-12 <= found <= max(source, data) + 1e-12


def test_a_cell_counts_once_however_many_agents_and_a_second_cell_moves_further() -> None:
    one, more = cell(*[(80, 4, 0)] * 3), cell(*[(80, 4, 0)] * 30)
    first, second, both = (drawn(PRIOR, *cells).p_gm for cells in ([one], [more], [one, one]))
    assert first.mean() == pytest.approx(second.mean(), abs=0.003)
    assert first.std() == pytest.approx(second.std(), rel=0.03)
    assert both.mean() < first.mean() - 0.02 and both.std() < first.std()


def test_agents_that_differ_widen_the_posterior() -> None:
    """Half of them always fail: the cell's own share is uncertain."""
    mixed, same = cell(*[(100, 100, 0), (100, 0, 0)] * 2), alike(100, 50)
    wide, small = (drawn(PRIOR, one, phi=50.0).p_gm for one in (mixed, same))
    assert wide.mean() == pytest.approx(small.mean(), abs=0.02) and wide.std() > 1.2 * small.std()


def test_power_and_phi_say_what_a_cell_is_worth() -> None:
    data = alike(90, 9)
    half, other = drawn(PRIOR, data, power=0.5), drawn(PRIOR, data, phi=3.0)
    assert (half.p_gm == other.p_gm).all()  # .5 x (7 + 1) = 3 + 1
    assert (drawn(PRIOR, data, power=0.0).p_gm == drawn(PRIOR).p_gm).all()


def test_agents_that_are_never_capable_and_shares_of_0_and_1() -> None:
    for never in (alike(0, 0), alike(100, 100, 100), alike(100, 0)):
        rates = drawn(PRIOR, never, never)
        assert all(np.isfinite(values).all() for values in rates)
        assert 0 <= rates.p_gm.min() and rates.p_gm.max() <= 1


@pytest.mark.parametrize(
    ("strength", "rule"),
    [
        ({"phi": 0.0}, "phi, how alike cells of a type are, is above 0; got 0"),
        ({"phi": math.nan}, "phi, how alike cells"),
        ({"power": -1.0}, "the power of the data is 0 or more; got -1"),
    ],
)
def test_strengths_out_of_range(strength: dict[str, float], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        drawn(PRIOR, **strength)


def test_a_cell_without_agents_is_refused() -> None:
    nobody = AgentCounts(np.arange(0), *np.zeros((4, 0)))
    with pytest.raises(ValueError, match="reads cells with agents; got one without"):
        CellRates.of(nobody, 10, 0)


# --------------------------------------------------------------------------------------------- harm


def test_harm_moves_only_by_the_cells_that_are_given() -> None:
    rng = np.random.default_rng(0)
    assert posterior_harm(PRIOR, (), rng, DRAWS).mean() == pytest.approx(0.7, abs=0.005)
    moved = posterior_harm(PRIOR, [alike(80, 40, 10)], rng, DRAWS)
    assert kstest(moved, beta(7 + 8 * 0.1, 3 + 8 * 0.3).cdf).pvalue > 0.01


# --------------------------------------------------------------------------------- priors of a user


def test_a_factor_with_a_beta_of_its_own_follows_neither_part() -> None:
    own = OutcomePrior(PRIOR.means, 10.0, {"p_capable": (30.0, 10.0)})
    assert kstest(drawn(own).p_capable, beta(30, 10).cdf).pvalue > 0.01
    updated = drawn(own, alike(20, 5))
    assert kstest(updated.p_capable, beta(30 + 1.6, 10 + 6.4).cdf).pvalue > 0.01
    found = posterior(own, [alike(100, 1)] * 3, np.random.default_rng(0), DRAWS)
    assert found.wide > WIDE_WEIGHT  # goal failure alone speaks for it
    both = OutcomePrior(PRIOR.means, 10.0, {"p_capable": (3, 1), "p_goal_fail": (1, 3)})
    assert math.isnan(posterior(both, [alike(100, 1)], np.random.default_rng(0), DRAWS).wide)


def test_a_prior_of_fewer_observations_than_the_wide_part_is_no_mixture() -> None:
    weak = narrow(kappa=1.0)
    assert weak.parts[0] == weak.parts[1]
    found = posterior(weak, [alike(98, 1)], np.random.default_rng(0), DRAWS)
    assert found.wide == pytest.approx(WIDE_WEIGHT)
