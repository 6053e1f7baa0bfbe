"""The hierarchical model: known answers, fallbacks, and what it says when it must not be used."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import beta, betabinom

from misgen.analysis.hierarchy import factor_model
from misgen.analysis.hierarchy import fit as hierarchy
from misgen.analysis.hierarchy.fit import CellCounts
from misgen.analysis.priors.types import SHIFT_TYPES
from misgen.analysis.rates import AgentCounts, bootstrap

fit = partial(hierarchy.fit, draws=2000)  # a sampler is compiled for every number
pytestmark = pytest.mark.usefixtures("remembered_chains")

PRIORS = {
    name: {"p_capable": capable, "p_goal_fail": fails, "p_harm": harm}
    for name, capable, fails, harm in zip(
        SHIFT_TYPES, (0.85, 0.65, 0.55, 0.45), (0.12, 0.28, 0.55, 0.75), (0.35, 0.55, 0.72, 0.82),
        strict=True,
    )
}  # fmt: skip


def cell(
    slot: str, n: int, c: Sequence[float], gc: Sequence[float], hgc: Sequence[float] | None = None
) -> CellCounts:
    """`slot` is "family cell", of the type that the cell is called after, as "moderate" and
    "moderate-2"; one number per agent."""
    family, name = slot.split()
    harmed = np.full(len(c), np.nan) if hgc is None else hgc
    columns = [np.array(x, dtype=np.float64) for x in ([n] * len(c), c, gc, harmed)]
    return CellCounts(family, name, name.split("-")[0], AgentCounts(np.arange(len(c)), *columns))


def eight_cells(agents: int = 8, seed: int = 0) -> list[CellCounts]:
    """Capable in 95 %, the goal fails by 30 +- 15 %, half of the failures harm."""
    rng = np.random.default_rng(seed)
    cells = []
    for family in ("coinrun", "keys"):
        for name in SHIFT_TYPES:
            c = rng.binomial(300, 0.95, agents)
            gc = rng.binomial(c, rng.beta(3, 7, agents))
            cells.append(cell(f"{family} {name}", 300, c, gc, rng.binomial(gc, 0.5)))
    return cells


@pytest.fixture(scope="module")
def fitted() -> hierarchy.HierarchicalFit:
    return fit(eight_cells(), PRIORS, harm=True, seed=1)


def test_all_cells_converge(fitted: hierarchy.HierarchicalFit) -> None:
    assert fitted.refused == ""
    assert fitted.r_hat_max < 1.01 and fitted.ess_min > 400 and fitted.divergent_share <= 0.001
    assert len(fitted.cells) == 8 and fitted.cells["keys", "extreme"].p_gm.shape == (2000,)
    found = fitted.estimates("coinrun", "moderate")
    assert found["p_capable"].value == pytest.approx(0.95, abs=0.02)
    assert found["p_goal_fail"].low < 0.3 < found["p_goal_fail"].high


def test_the_factors_multiply_in_every_draw(fitted: hierarchy.HierarchicalFit) -> None:
    for rates in (*fitted.cells.values(), *fitted.mu.values()):
        np.testing.assert_array_equal(rates.p_capable * rates.p_goal_fail, rates.p_gm)
        np.testing.assert_array_equal(rates.p_gm * rates.p_harm, rates.p_harmful_gm)
        assert np.all((rates.p_harmful_gm > 0) & (rates.p_harmful_gm < 1))


def test_harm_counts_only_where_asked_for(fitted: hierarchy.HierarchicalFit) -> None:
    without = fit(eight_cells(), PRIORS, seed=1)
    assert without.p_harm is None and fitted.p_harm is not None
    assert all(np.isnan(rates.p_harm).all() for rates in without.cells.values())
    prior = beta(3.5, 6.5)
    for q in (0.1, 0.5, 0.9):  # the prior, untouched by harm in half of the failures
        drawn = np.quantile(without.mu["superficial"].p_harm, q)
        assert drawn == pytest.approx(prior.ppf(q), abs=0.03)
    np.testing.assert_array_equal(without.mu["extreme"].p_gm, fitted.mu["extreme"].p_gm)


def test_posterior_equals_weighted_prior_draws() -> None:
    """Known answer: prior draws weighted by the exact likelihood, log nu and all, no grid."""
    seen = {"one moderate": [3, 9, 14], "two moderate": [8, 12, 18], "two extreme": [2, 0, 5]}
    cells = [cell(slot, 20, c, [0, 0, 0]) for slot, c in seen.items()]
    result = fit(cells, PRIORS, kappa=5, seed=2).p_capable
    rng, draws = np.random.default_rng(3), 400_000
    mean = np.array([PRIORS[name]["p_capable"] for name in ("moderate", "extreme")])
    mu = rng.beta(5 * mean, 5 * (1 - mean), (draws, 2))
    contrast, sd = rng.normal(0, 1, draws), np.abs(rng.normal(0, 0.5, draws))
    e, log_nu = rng.normal(0, 1, (3, draws)) * sd, rng.normal(np.log(5), 2, (3, draws))
    log_weight = np.zeros(draws)
    theta = []
    for i, (slot, c) in enumerate(seen.items()):
        side = -0.5 if slot.startswith("one") else 0.5
        theta.append(expit(logit(mu[:, int("extreme" in slot)]) + side * contrast + e[i]))
        alpha, other = theta[i] * np.exp(log_nu[i]), (1 - theta[i]) * np.exp(log_nu[i])
        log_weight += sum(betabinom.logpmf(y, 20, alpha, other) for y in c)
    weight = np.exp(log_weight - log_weight.max())
    assert weight.sum() ** 2 / (weight**2).sum() > 4000  # or the comparison would show nothing
    pairs = {
        "mu moderate": (result.mu["moderate"], mu[:, 0]),
        "mu extreme": (result.mu["extreme"], mu[:, 1]),
        "theta 1": (result.theta["one", "moderate"], theta[0]),
        "theta 3": (result.theta["two", "extreme"], theta[2]),
        "effect of one": (result.effects["one"], -contrast / 2),
        "sd": (result.sd, sd),
        "log nu 1": (result.log_nu["one", "moderate"], log_nu[0]),
        "log nu 3": (result.log_nu["two", "extreme"], log_nu[2]),
    }
    for name, (drawn, prior) in pairs.items():
        middle = np.average(prior, weights=weight)
        spread = np.sqrt(np.average((prior - middle) ** 2, weights=weight))
        assert drawn.mean() == pytest.approx(middle, abs=0.08 * spread), name
        assert drawn.std() == pytest.approx(spread, rel=0.08), name


def test_types_without_a_cell_keep_their_prior() -> None:
    result = fit([c for c in eight_cells() if c.cell == "moderate"], PRIORS, seed=1)
    for q in (0.05, 0.5, 0.95):
        drawn = np.quantile(result.p_goal_fail.mu["significant"], q)
        assert drawn == pytest.approx(beta(5.5, 4.5).ppf(q), abs=0.02)
    assert np.std(result.p_goal_fail.mu["moderate"]) < 0.8 * beta(2.8, 7.2).std()


def test_no_power_gives_the_prior() -> None:
    result = fit(eight_cells(), PRIORS, power=0, seed=1)
    for q in (0.05, 0.5, 0.95):
        drawn = np.quantile(result.p_goal_fail.mu["moderate"], q)
        assert drawn == pytest.approx(beta(2.8, 7.2).ppf(q), abs=0.02)


def test_half_the_power_is_half_the_data() -> None:
    full = fit(eight_cells(), PRIORS, seed=1).p_capable.theta["keys", "extreme"]
    half = fit(eight_cells(), PRIORS, power=0.1, seed=1).p_capable.theta["keys", "extreme"]
    assert half.std() > 1.5 * full.std()


def test_one_family_leaves_the_contrast_alone() -> None:
    result = fit([c for c in eight_cells() if c.family == "keys"], PRIORS, seed=1)
    assert result.refused == ""
    # What all types of one family have in common may be the family's: the priors alone tell.
    assert 0.2 < result.p_goal_fail.effects["keys"].std() < 0.53
    unknown = cell("coinrun extreme", 300, [], [])
    named = fit([*(c for c in eight_cells() if c.family == "keys"), unknown], PRIORS, seed=1)
    unseen = named.p_goal_fail.predicted[unknown.slot]
    assert unseen.std() > 2 * named.p_goal_fail.theta["keys", "extreme"].std()


@pytest.mark.slow  # a sampler of its own is compiled
def test_three_families_and_two_cells_of_a_type_in_one_posterior() -> None:
    """The goal fails in 70 % of the maze, else in 30 %: what maze has in common is its effect."""
    rng = np.random.default_rng(5)
    rates = {"coinrun": 0.3, "keys": 0.3, "maze": 0.7}
    cells = [
        cell(
            f"{family} {name}", 300, [285] * 6, rng.binomial(285, rng.beta(20 * p, 20 - 20 * p, 6))
        )
        for family, p in rates.items()
        for name in [*SHIFT_TYPES, *["moderate-2"] * (family == "maze")]
    ]
    result = fit(cells, PRIORS, seed=1)
    assert result.refused == "" and set(result.cells) == {one.slot for one in cells}
    for one in cells:
        found = result.estimates(*one.slot)["p_goal_fail"]
        assert found.value == pytest.approx(rates[one.family], abs=0.12)
    effects = result.p_goal_fail.effects
    np.testing.assert_allclose(sum(effects.values()), 0, atol=1e-12)
    assert effects["maze"].mean() > 0.5 > 0 > max(effects[n].mean() for n in ("coinrun", "keys"))


def test_seeds_decide_the_draws_and_one_compilation_serves_every_data_set(
    fitted: hierarchy.HierarchicalFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hierarchy, "sample_many", factor_model.sample_many)  # nothing remembered
    again = fit(eight_cells(), PRIORS, seed=1)
    compiled = factor_model.sample._cache_size()
    other = fit(eight_cells(), PRIORS, seed=2)
    one = fitted.cells["keys", "extreme"].p_gm
    np.testing.assert_array_equal(one, again.cells["keys", "extreme"].p_gm)
    assert not np.array_equal(one, other.cells["keys", "extreme"].p_gm)
    fit(eight_cells(agents=5)[:3], PRIORS, kappa=2, power=0.5, seed=9)
    assert factor_model.sample._cache_size() == compiled > 0


# ----------------------------------------------------------------------------- fallback and refusal


def related() -> CellCounts:
    """Agents that are capable where their goal fails: .9 and .9, or .3 and .1."""
    return cell("coinrun moderate", 300, [270, 90] * 4, [243, 9] * 4, [100, 4] * 4)


def test_agents_whose_factors_are_related_fall_back() -> None:
    kept = [c for c in eight_cells() if c.slot != ("coinrun", "moderate")]
    result = fit([*kept, related()], PRIORS, harm=True, seed=4)
    slot = ("coinrun", "moderate")
    assert result.refused == "" and list(result.fallback) == [slot]
    assert "bootstrap draws instead" in result.fallback[slot]
    check = result.checks[slot]
    assert check.correlation == pytest.approx(1)
    assert check.direct_p_gm == pytest.approx(0.42, abs=0.06)  # the mean of g_a; the product: .30
    assert check.direct_p_gm - check.product_p_gm > 0.05
    drawn = bootstrap(related().counts, 2000, 4)
    np.testing.assert_array_equal(result.cells[slot].p_gm, drawn.p_gm)
    rates = result.cells[slot]
    product = rates.p_capable * rates.p_goal_fail * rates.p_harm
    np.testing.assert_allclose(product, rates.p_harmful_gm, rtol=1e-12)
    # It still informs its type, by the spread of its bootstrap draws.
    without = fit(kept, PRIORS, harm=True, seed=4)
    assert result.p_capable.mu["moderate"].mean() < without.p_capable.mu["moderate"].mean() - 0.02
    assert slot not in result.p_capable.log_nu


def test_a_refused_fit_gives_way_to_the_bootstrap(
    monkeypatch: pytest.MonkeyPatch, fitted: hierarchy.HierarchicalFit
) -> None:
    monkeypatch.setattr(hierarchy, "MIN_ESS", 10**9)
    result = fit(eight_cells(), PRIORS, harm=True, seed=1)
    assert "effective sample size" in result.refused
    assert "bootstrap draws instead" in result.refused
    effective = int(result.refused.split("(")[-1].split()[0].replace(",", ""))
    assert 2000 < effective < hierarchy.IMPORTANCE_DRAWS
    drawn = bootstrap(eight_cells()[0].counts, 2000, 1)
    np.testing.assert_array_equal(result.cells["coinrun", "superficial"].p_gm, drawn.p_gm)
    for name, rates in result.mu.items():
        np.testing.assert_array_equal(rates.p_gm * rates.p_harm, rates.p_harmful_gm)
        assert rates.p_gm.mean() == pytest.approx(fitted.mu[name].p_gm.mean(), abs=0.06)
    # Resampled theta follow the bootstrap's logit-normal.
    theta = logit(result.p_goal_fail.theta["coinrun", "superficial"])
    assert theta.mean() == pytest.approx(logit(drawn.p_goal_fail).mean(), abs=0.3)


@pytest.mark.parametrize(
    ("r_hat", "ess", "divergent", "says"),
    [
        (1.02, 5000, 0, "R-hat 1.020 > 1.01"),
        (1.0, 399, 0, "effective sample size 399 < 400"),
        (1.0, 5000, 0.002, "0.20% divergent > 0.1%"),
        (1.009, 401, 0.001, ""),
    ],
)
def test_what_refuses_a_fit(r_hat: float, ess: float, divergent: float, says: str) -> None:
    nothing = np.zeros(1)
    one = hierarchy.FactorPosterior({}, {}, {}, {}, nothing, {}, r_hat, ess, divergent)
    assert one.refused == says


# -------------------------------------------------------------------------------- little or nothing


def test_rare_failing_agents_are_flagged() -> None:
    clean = cell("keys moderate", 300, [285] * 5, [6, 5, 7, 6, 6])
    result = fit([clean], PRIORS, seed=0)
    assert any(
        flag.startswith("keys moderate p_gm: the hierarchical interval") and "rare" in flag
        for flag in result.flags
    )


@pytest.mark.parametrize("agents", [1, 2])
def test_too_few_agents_get_no_interval(agents: int) -> None:
    result = fit([cell("keys moderate", 300, [285] * agents, [30] * agents)], PRIORS, seed=0)
    found = result.estimates("keys", "moderate")["p_gm"]
    assert np.isnan(found.low) and "needs at least 3" in found.reason
    assert result.flags == [f"keys moderate: {found.reason}"]


@pytest.mark.parametrize(
    ("c", "gc", "hgc"),
    [([0] * 4, [0] * 4, [0] * 4), ([300] * 4, [300] * 4, [300] * 4), ([300] * 4, [0] * 4, [0] * 4)],
    ids=["never capable", "all 1", "never fails"],
)
def test_extremes(c: list[int], gc: list[int], hgc: list[int]) -> None:
    result = fit([cell("keys moderate", 300, c, gc, hgc)], PRIORS, harm=True, seed=0)
    rates = result.cells["keys", "moderate"]
    assert result.refused == "" and np.isfinite(rates).all()
    found = result.estimates("keys", "moderate")
    if not any(c):
        assert found["p_goal_fail"].reason == "undefined: nothing to divide by"
        assert found["p_capable"].value < PRIORS["moderate"]["p_capable"] / 2
    else:
        # Four agents that agree move the prior's .65 and .28, and leave room for another kind.
        assert found["p_capable"].value > 0.75
        fails = found["p_goal_fail"].value
        assert 0.55 < fails < 0.95 if any(gc) else 0.02 < fails < 0.2
        assert found["p_goal_fail"].high - found["p_goal_fail"].low > 0.1


def test_undefined_goal_failure_leaves_capability() -> None:
    result = fit([cell("keys moderate", 300, [285] * 4, [np.nan] * 4)], PRIORS, seed=0)
    rates = result.cells["keys", "moderate"]
    assert np.isfinite(rates.p_capable).all() and np.isnan(rates.p_gm).all()
    assert result.estimates("keys", "moderate")["p_capable"].low > 0.5


def test_no_agents() -> None:
    result = fit([cell("keys moderate", 300, [], [])], PRIORS, seed=0)
    assert result.cells == {} and result.flags == ["keys moderate: no agent, predicted from others"]


def test_errors_say_what_to_do() -> None:
    one = cell("keys moderate", 300, [285] * 4, [30] * 4)
    with pytest.raises(ValueError, match="each cell is given once"):
        fit([one, one], PRIORS)
    with pytest.raises(ValueError, match=r"needs a prior; got \['moderate'\]"):
        fit([one], {"extreme": PRIORS["extreme"]})
    with pytest.raises(ValueError, match="kappa is above 0; got 0"):
        fit([one], PRIORS, kappa=0)
