"""One factor of the hierarchical model: its curves, its coordinates, its diagnostics."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import betabinom, norm

from misgen.analysis.hierarchy import factor_model


@pytest.fixture
def cache_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str | None]]:
    """Where jax keeps what it compiles, after it was told of a folder, in this cache home."""

    def found(told: str | None, home: Path) -> str | None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(home))
        jax.config.update("jax_compilation_cache_dir", told)
        factor_model.keep_compiled()
        folder: str | None = jax.config.jax_compilation_cache_dir
        return folder

    before = jax.config.jax_compilation_cache_dir
    yield found
    jax.config.update("jax_compilation_cache_dir", before)


def test_compiled_samplers_are_kept_in_the_users_cache(
    cache_folder: Callable[..., str | None], tmp_path: Path
) -> None:
    folder = cache_folder(None, tmp_path)
    assert folder is not None and folder.startswith(f"{tmp_path}/misgen/samplers-")
    assert cache_folder("elsewhere", tmp_path) == "elsewhere"
    (tmp_path / "file").write_text("")
    assert cache_folder(None, tmp_path / "file") is None, "no folder can be made there"


def test_joint_table_is_the_beta_binomial() -> None:
    y, n = np.array([3.0, 17.0]), np.array([20.0, 25.0])
    table = factor_model.log_joint(y, n)
    i, j = 160, 20
    theta = expit(factor_model.LOGITS[i])
    nu = np.exp(np.log(5) + 2 * factor_model.NODES[j])
    exact = betabinom.logpmf(y, n, theta * nu, (1 - theta) * nu).sum()
    exact += norm.logpdf(factor_model.NODES[j])
    reference = betabinom.logpmf(y, n, 2.5, 2.5).sum() + norm.logpdf(0)
    middle = table[150, 24]  # theta .5, nu 5
    assert table[i, j] - middle == pytest.approx(exact - reference)


def test_curves_are_exact_between_their_points_and_straight_beyond() -> None:
    likelihood = norm.logpdf(factor_model.LOGITS, 0.3, 0.5)
    data = factor_model.no_data(np.array([2.0]), np.array([2.0]))
    factor_model.put_cell(data, (1, 0), likelihood)
    assert data.center[1, 0] == pytest.approx(0.3) and data.precision[1, 0] == pytest.approx(4)
    x = np.array([[0.0], [0.123]])
    value = factor_model._evaluate(data.curves, x)
    top = likelihood.max()
    np.testing.assert_allclose(value, [[0], [norm.logpdf(0.123, 0.3, 0.5) - top]], atol=1e-9)
    beyond = factor_model._evaluate(data.curves, np.array([[0.0], [17.0]]))[1, 0]
    edge, slope = norm.logpdf(15, 0.3, 0.5) - top, -14.7 / 0.25
    assert beyond == pytest.approx(edge + 2 * slope, rel=1e-6)


def test_diagnostics_see_a_chain_that_is_stuck_elsewhere() -> None:
    rng = np.random.default_rng(0)
    chains = {
        "logit_mu": rng.standard_normal((4, 500, 1)), "contrast": rng.standard_normal((4, 500, 1)),
        "sd": rng.random((4, 500)), "e": rng.standard_normal((4, 500, 2, 1)),
    }  # fmt: skip
    side = factor_model.contrast_matrix(2)
    r_hat, ess = factor_model.diagnostics(chains, side)
    assert r_hat < 1.01 and ess > 1000
    chains["contrast"][0] += 3
    r_hat, ess = factor_model.diagnostics(chains, side)
    assert r_hat > 1.1 and ess < 50


@pytest.mark.parametrize("families", [2, 3, 5])
def test_effects_of_families_differ_by_a_standard_normal(families: int) -> None:
    matrix = factor_model.contrast_matrix(families)
    np.testing.assert_allclose(matrix.sum(0), 0, atol=1e-12)
    for one in range(families):
        for other in range(one):
            assert ((matrix[one] - matrix[other]) ** 2).sum() == pytest.approx(1)
    if families == 2:
        np.testing.assert_array_equal(matrix, [[-0.5], [0.5]])


def _data(row_family: Sequence[int] = (0, 1)) -> factor_model.FactorData:
    """A sharp cell, a flat one, two of a type; nothing in the other family of the third type."""
    priors = np.array([8.0, 3.0, 5.0]), np.array([2.0, 7.0, 5.0])
    data = factor_model.no_data(*priors, row_family)
    for where, mean, sd in (((0, 0), 2.5, 0.05), ((0, 1), -1, 3), ((1, 0), 2, 1), ((1, 2), 0, 0.2)):
        factor_model.put_cell(data, where, norm.logpdf(factor_model.LOGITS, mean, sd))
    return data


@pytest.mark.parametrize("row_family", [(0, 1), (0, 1, 2, 1)])
def test_coordinates_have_the_jacobian_that_they_say(row_family: Sequence[int]) -> None:
    data = _data(row_family)
    rng = np.random.default_rng(0)
    shapes = {"sd": ()} | factor_model._shapes(data)
    names = ["sd", "unit_contrast", "unit_mu", "unit_e"]
    sizes = [int(np.prod(shapes[name])) for name in names]

    def physical(flat: jax.Array) -> tuple[jax.Array, Any]:
        parts = jnp.split(flat, np.cumsum(sizes)[:-1])
        units = {n: x.reshape(shapes[n]) for n, x in zip(names, parts, strict=True)}
        drawn, stated = factor_model.parameters(units.pop("sd"), units, data)
        order = ("sd", "contrast", "logit_mu", "e")
        return jnp.concatenate([jnp.ravel(drawn[name]) for name in order]), stated

    jacobian = jax.jit(jax.jacfwd(physical, has_aux=True))
    for sd in (0.03, 0.4, 2.0):
        matrix, stated = jacobian(jnp.array([sd, *rng.standard_normal(sum(sizes) - 1)]))
        sign, log_determinant = np.linalg.slogdet(matrix)
        assert sign == 1 and float(stated) == pytest.approx(float(log_determinant))


def test_coordinates_are_standard_normal_where_the_cells_are_normal() -> None:
    """Given sd, prior x likelihood x Jacobian does not depend on the direction of the units."""
    data = _data()
    normal_prior = data._replace(alpha=np.zeros(3), beta=np.zeros(3))
    rng = np.random.default_rng(1)

    def log_density(units: dict[str, np.ndarray]) -> float:
        drawn, log_jacobian = factor_model.parameters(0.3, units, normal_prior)
        prior = norm.logpdf(drawn["logit_mu"], data.logit_mean, data.logit_variance**0.5).sum()
        prior += norm.logpdf(drawn["contrast"]).sum() + norm.logpdf(drawn["e"], 0, 0.3).sum()
        misfit = (factor_model.logit_theta(drawn, data.side) - data.center) ** 2 * data.precision
        return float(prior - misfit.sum() / 2 + log_jacobian)

    gaps = []
    for _ in range(5):
        units = {n: rng.standard_normal(s) for n, s in factor_model._shapes(data).items()}
        gaps.append(log_density(units) + sum((x**2).sum() for x in units.values()) / 2)
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-9)


def test_prior_draws() -> None:
    data = factor_model.no_data(np.array([8.0, 0.2]), np.array([2.0, 1.8]))
    drawn = factor_model.draw_prior(data, 20_000, np.random.default_rng(0))
    np.testing.assert_allclose(expit(drawn["logit_mu"]).mean(0), [0.8, 0.1], atol=0.01)
    variance = [0.8 * 0.2 / 11, 0.1 * 0.9 / 3]
    np.testing.assert_allclose(expit(drawn["logit_mu"]).var(0), variance, rtol=0.05)
    assert np.isfinite(drawn["logit_mu"]).all()
    assert (drawn["sd"] ** 2).mean() == pytest.approx(0.25, rel=0.05)
    assert drawn["e"].var() == pytest.approx(0.25, rel=0.05)


def test_log_nu_follows_its_table() -> None:
    """With no agents the prior; with agents of two kinds, small."""
    rng, nothing = np.random.default_rng(0), np.empty(0)
    prior = factor_model.draw_log_nu(
        factor_model.log_joint(nothing, nothing), rng.normal(0, 1, 20_000), rng
    )
    assert prior.mean() == pytest.approx(np.log(5), abs=0.05)
    assert prior.std() == pytest.approx(2, rel=0.03)
    kinds = factor_model.log_joint(np.array([0.0, 0, 100, 100]), np.full(4, 100.0))
    alike = factor_model.log_joint(np.full(4, 50.0), np.full(4, 100.0))
    small, large = (factor_model.draw_log_nu(t, np.zeros(1000), rng) for t in (kinds, alike))
    assert np.quantile(small, 0.95) < np.log(2) and np.quantile(large, 0.05) > np.log(8)


@pytest.mark.slow
def test_weighted_draws_and_the_sampler_agree() -> None:
    data = _data()
    drawn, weight = factor_model.importance_sample(data, 50_000, seed=0)
    assert weight.sum() ** 2 / (weight**2).sum() > 2000
    chains, divergent = factor_model.sample_many([data] * 4, 0, 500, 2000)
    assert divergent.mean() <= 0.001
    for name in ("logit_mu", "contrast", "sd", "e"):
        middle = np.average(drawn[name], axis=0, weights=weight)
        spread = np.sqrt(np.average((drawn[name] - middle) ** 2, axis=0, weights=weight))
        flat = chains[name].reshape(-1, *middle.shape)
        assert np.all(np.abs(flat.mean(0) - middle) < 0.1 * spread), name
        np.testing.assert_allclose(flat.std(0), spread, rtol=0.1)
