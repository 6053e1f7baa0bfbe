"""Simulation-based calibration and recovery, and that they notice what is broken."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.special import expit

from misgen.analysis.hierarchy import factor_model, trust
from misgen.analysis.hierarchy.coverage import POPULATIONS, hierarchical_coverage


def result(ranks: np.ndarray[Any, Any], parameters: int = 24) -> trust.SbcResult:
    names = tuple(f"p{i}" for i in range(parameters))
    return trust.SbcResult(names, ranks, 0, 5, 300, 0.0, 0.1)


def test_bounds_are_those_of_24_parameters() -> None:
    thousand, some = (result(np.zeros((n, 24), dtype=np.int64)) for n in (1000, 200))
    assert thousand.coverage_bounds == pytest.approx((0.865, 0.932))
    assert some.coverage_bounds == pytest.approx((0.82, 0.965))


def test_ranks_that_are_not_uniform_fail() -> None:
    ranks = np.random.default_rng(0).integers(0, 100, (400, 3))
    assert result(ranks, 3).failures == []
    ranks[:, 1] = np.random.default_rng(1).integers(20, 80, 400)  # posterior too wide
    ranks[:, 2] = ranks[:, 2] // 2  # truth too low
    failures = "; ".join(result(ranks, 3).failures)
    assert "p1: coverage 1.000 outside" in failures and "p2: chi-square" in failures
    assert "p0" not in failures
    assert "fails" in trust.format_sbc(result(ranks, 3))


def test_coverage_counts_the_central_ranks() -> None:
    ranks = np.arange(100)[:, None]
    assert result(ranks, 1).coverage == pytest.approx(0.9)
    assert result(ranks, 1).p_values == pytest.approx(1)


def test_simulated_agents_have_the_means_they_were_given() -> None:
    types = 4
    truth = {
        "logit_mu": np.array([-1.0, 0.0, 1.0, 2.0]), "contrast": np.array([1.0]),
        "e": np.zeros((2, types)), "log_nu": np.full((2, types), np.log(5)),
    }  # fmt: skip
    counts = trust.simulate_counts(np.random.default_rng(0), [truth, truth], 4000, 100)
    assert counts.shape == (3, 2, types, 4000)
    expected = expit(truth["logit_mu"] + np.array([[-0.5], [0.5]]))
    np.testing.assert_allclose(counts[1].mean(-1) / 100, expected, atol=0.02)
    np.testing.assert_allclose(counts[2].mean(-1) / counts[1].mean(-1), expected, atol=0.03)
    # Agents of concentration 5 differ by more than their episodes.
    spread = np.sqrt(expected * (1 - expected) * (1 / 6 + 1 / 100))
    np.testing.assert_allclose((counts[1] / 100).std(-1), spread, rtol=0.08)


def wrong_prior(rng: Any, means: Any, kappa: float, agents: int, levels: int) -> trust.Simulated:
    """Types far more different than the prior that is fitted."""
    return trust.simulate_set(rng, means, 2.0, agents, levels)


@pytest.mark.slow
def test_few_sets_pass_and_a_wrong_prior_does_not() -> None:
    right = trust.simulation_based_calibration(32, seed=0)
    assert right.ranks.shape == (32, 24) and len(set(right.parameters)) == 24
    assert right.failures == [] and right.divergent_share <= 0.001
    assert 0.86 < right.coverage.mean() < 0.94
    wrong = trust.simulation_based_calibration(32, seed=0, simulate=wrong_prior)
    failing = {failure.split(":")[0] for failure in wrong.failures}
    assert {"p_goal_fail mu superficial", "p_capable mu extreme"} <= failing


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_simulation_based_calibration() -> None:
    found = trust.simulation_based_calibration(200, seed=1)
    assert found.failures == [], trust.format_sbc(found)
    assert found.divergent_share <= 0.001


@pytest.mark.slow
def test_data_counted_twice_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    once = factor_model._evaluate
    monkeypatch.setattr(factor_model, "_evaluate", lambda curves, x: 2 * once(curves, x))
    jax.clear_caches()
    found = trust.simulation_based_calibration(96, seed=0)
    jax.clear_caches()
    assert any("theta" in failure for failure in found.failures)


@pytest.mark.slow
def test_recovery() -> None:
    rows = trust.recovery(seed=0)
    theta = [row for row in rows if "/" in row.parameter]
    assert len(theta) == 24
    assert sum(row.held for row in theta) >= 18  # of 21.6 expected
    assert max(abs(row.mean - row.truth) for row in theta) < 0.1
    assert all(row.held for row in rows if row.parameter.endswith("contrast"))
    assert sum(row.held for row in rows if " mu " in row.parameter) >= 9
    text = trust.format_recovery(rows)
    assert f"of {len(rows)} known values" in text and "p_harm two/extreme" in text


@pytest.mark.slow
def test_hierarchical_intervals_miss_rare_failing_agents() -> None:
    populations = (POPULATIONS[0], POPULATIONS[6])
    rows = hierarchical_coverage((5,), populations, fits=4, seed=0)
    alike, rare = (row for row in rows if row.rate == "p_gm")
    assert alike.intervals == rare.intervals == 32
    assert alike.coverage > 0.7 and rare.coverage < 0.6
    assert alike.interval == "hierarchical"


@pytest.mark.slow
def test_everything_is_written(tmp_path: Path) -> None:
    done = trust.write_trust(
        tmp_path / "t", 16, 5, simulations=2, fits=0, provenance={"command": "x"}
    )
    content = json.loads((tmp_path / "t" / "trust.json").read_text())
    assert content["provenance"] == {"command": "x"}
    assert np.array(content["sbc"]["ranks"]).shape == (16, 24)
    assert len(content["coverage"]) == 7 * 4 * 3
    text = (tmp_path / "t" / "trust.txt").read_text()
    assert trust.format_sbc(done) in text
    assert "Recovery of known factors" in text and "two kinds" in text
