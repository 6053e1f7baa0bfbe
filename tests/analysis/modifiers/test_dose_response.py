"""Monotone fits, half effects and slopes from made-up agents."""

import math

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from misgen.analysis.modifiers.dose_response import (
    dose_response,
    falling,
    half_effect,
    log_slope,
)
from misgen.analysis.rates import AgentCounts

WHERE = ("coinrun", "C2")


def counts(*failures: int, numbers: list[int] | None = None) -> AgentCounts:
    """Agents with 200 levels each, capable on all."""
    k = len(failures)
    n, gc = np.full(k, 200.0), np.array(failures, dtype=np.float64)
    return AgentCounts(np.array(numbers or range(k)), n, n, gc, np.zeros(k))


def test_the_fit_is_isotonic_regression() -> None:
    rng = np.random.default_rng(0)
    rates, weights = rng.random((6, 20)), rng.integers(1, 9, 6).astype(np.float64)
    fit = falling(rates, weights)
    for column in range(20):
        oracle = isotonic_regression(rates[:, column], weights=weights, increasing=False)
        assert fit[:, column] == pytest.approx(oracle.x)


def test_half_effect_lies_on_the_line_between_doses() -> None:
    doses = np.array([0.0, 0.1, 0.3, 1.0])
    fit = np.array([[0.8, 0.8, 0.5], [0.6, 0.1, 0.5], [0.2, 0.0, 0.5], [0.0, 0.0, 0.5]])
    at, left, right = half_effect(doses, fit)
    assert at[:2] == pytest.approx([0.2, 0.1 * 0.4 / 0.7])
    assert math.isnan(at[2])  # nothing falls: there is no half
    assert left[:2].tolist() == [0.1, 0] and right[:2].tolist() == [0.3, 0.1]


def test_known_dose_response() -> None:
    """p_gm .8, .4, .02, 0 at d = 0, .1, .3, 1: half effect at .1."""
    arms = [
        (1.0, counts(0, 1, 0, 0)),
        (0.1, counts(70, 90, 80, 80)),
        (0.0, counts(160, 150, 170, 160)),
        (0.3, counts(4, 5, 3, 4, 4, numbers=[0, 1, 2, 3, 9])),
    ]
    found = dose_response(WHERE, "d", arms, replicates=2000)
    assert found.doses == (0, 0.1, 0.3, 1) and found.agents == (4, 4, 5, 4)
    assert [rate.value for rate in found.rates] == pytest.approx([0.8, 0.4, 0.02, 0.00125])
    assert [len(dots) for dots in found.dots] == [4, 4, 5, 4]
    assert [one.value for one in found.fit] == pytest.approx([0.8, 0.4, 0.02, 0.00125])
    assert all(one.low <= one.value <= one.high for one in found.fit[:3])
    half = found.half_effect_dose
    assert half.value == pytest.approx(0.1, abs=2e-3)
    # .4 is half of .8, give or take: a draw may cross it on either side of .1.
    assert (half.low, half.high) == (0, 0.3)


def test_between_doses_only_the_fall_is_known() -> None:
    """.8, .05, 0 in ten agents each: half effect anywhere between 0 and .1."""
    arms = [(d, counts(*[gm] * 10)) for d, gm in ((0.0, 160), (0.1, 10), (1.0, 0))]
    found = dose_response(WHERE, "d", arms)
    assert found.between == (0, 0.1)
    assert found.half_effect_dose.value == pytest.approx(0.1 * 0.4 / 0.75)
    assert (found.half_effect_dose.low, found.half_effect_dose.high) == (0, 0.1)


@pytest.mark.parametrize(
    ("arms", "reason"),
    [
        ([(0.0, counts(160, 170)), (0.1, counts(80, 60)), (1.0, counts(0, 0))], "2 agents"),
        ([(0.0, counts(160, 170, 150)), (1.0, counts(0, 0, 0))], "2 doses"),
        ([(d, counts(60, 60, 60)) for d in (0.0, 0.1, 1.0)], "does not fall"),
        ([(d, counts(60 - i, 180, 9)) for i, d in enumerate((0.0, 0.1, 1.0))], "no fall shown"),
    ],
)
def test_no_half_effect_without_what_it_takes(
    arms: list[tuple[float, AgentCounts]], reason: str
) -> None:
    half = dose_response(WHERE, "d", arms, replicates=500).half_effect_dose
    assert math.isnan(half.low) and reason in half.reason


def test_a_power_law_has_its_exponent_as_slope() -> None:
    agent = np.repeat(np.arange(4), 4)
    competence = np.tile([0.3, 0.5, 0.8, 1.0], 4)
    slope = log_slope(agent, competence, 0.4 * competence**1.5)
    assert slope.value == pytest.approx(1.5, abs=0.02)
    assert slope.high - slope.low < 0.01


def test_slopes_of_noisy_agents_are_held() -> None:
    rng, held = np.random.default_rng(1), 0
    for _ in range(100):
        level, exponent = np.exp(rng.normal(0, 0.4, (6, 1))), 1 + rng.normal(0, 0.3, (6, 1))
        competence = np.clip(rng.normal([0.4, 0.6, 0.85, 0.97], 0.05, (6, 4)), 0.1, 1.2)
        rate = rng.binomial(330, np.clip(0.2 * level * competence**exponent, 0, 1)) / 330
        slope = log_slope(np.repeat(np.arange(6), 4), competence.ravel(), rate.ravel())
        held += slope.low <= 1 <= slope.high
    assert 80 <= held <= 97


def test_slopes_that_the_data_do_not_have() -> None:
    two, three = np.repeat([0, 1], 2), np.repeat([0, 1, 2], 2)
    competence = np.tile([0.5, 1.0], 3)
    few = log_slope(two, competence[:4], 0.4 * competence[:4])
    assert few.value == pytest.approx(1, abs=0.05) and "2 agents" in few.reason
    assert "does not vary" in log_slope(three, competence, np.zeros(6)).reason
    # Clean until competent: a plain fit has no finite slope, the prior gives one.
    late = log_slope(three, competence, np.tile([0.0, 0.5], 3))
    assert 2 < late.value < 20 and math.isfinite(late.high)
