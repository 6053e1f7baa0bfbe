"""Rates along a dose: a monotone fit, the dose at half effect, and a slope on logarithmic scales.

The dose is how much of the training broke the cue (d, or broken episodes seen) or how competent the
agents are. Functions take counts and arrays; reading records is the work of `measure`.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from misgen.analysis.intervals import (
    LEVEL,
    MIN_AGENTS,
    Estimate,
    bootstrap_arms,
    estimate,
    estimates,
)
from misgen.analysis.modifiers.results import DoseResponse
from misgen.analysis.rates import AgentCounts, FloatArray, IntArray

PRIOR_SD = 1.5
"""Of a slope on logarithmic scales, about 0."""
MIN_DOSES = 3
"""Two doses have a difference, and no half effect between them that the data could place."""


def dose_response(
    where: tuple[str, str],
    dose: str,
    arms: Sequence[tuple[float, AgentCounts]],
    replicates: int = 4000,
    seed: int = 0,
) -> DoseResponse:
    """where: (family, cell); arms: (dose, agents) in any order, doses differ."""
    arms = sorted(arms, key=lambda pair: pair[0])
    doses = np.array([one for one, _ in arms])
    counts = [agents for _, agents in arms]
    sizes = np.array([agents.k for agents in counts], dtype=np.float64)
    raw = falling(np.array([[agents.shares()[1].mean()] for agents in counts]), sizes)
    draws = np.array([drawn.p_gm for drawn in bootstrap_arms(counts, replicates, seed)])
    fits = falling(draws, sizes)
    (half,), *ends = half_effect(doses, raw)
    return DoseResponse(
        *where,
        dose,
        tuple(map(float, doses)),
        tuple(agents.k for agents in counts),
        tuple(agents.levels_each for agents in counts),
        tuple(estimates(agents, replicates, seed)["p_gm"] for agents in counts),
        tuple(tuple(agents.shares()[1].tolist()) for agents in counts),
        tuple(estimate(float(r[0]), f, a.k) for r, f, a in zip(raw, fits, counts, strict=True)),
        _half_estimate(doses, float(half), draws, fits, int(sizes.min())),
        (float(ends[0][0]), float(ends[1][0])),
    )


def falling(rates: FloatArray, weights: FloatArray) -> FloatArray:
    """The closest rates [doses, m] that never rise with the dose, by weighted least squares.

    Isotonic regression by its min-max formula, for all m columns at once.
    """
    sums = np.cumsum(np.vstack([np.zeros_like(rates[:1]), rates * weights[:, None]]), axis=0)
    totals = np.cumsum([0.0, *weights])

    def mean(first: int, end: int) -> FloatArray:
        return np.asarray((sums[end] - sums[first]) / (totals[end] - totals[first]))

    count = len(rates)
    return np.array(
        [
            np.min(
                [
                    np.max([mean(a, b) for b in range(i + 1, count + 1)], axis=0)
                    for a in range(i + 1)
                ],
                axis=0,
            )
            for i in range(count)
        ]
    )


def half_effect(doses: FloatArray, fit: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Where each column of a falling fit [doses, m] is half-way from its first to its last rate:
    the dose on the line between its neighbours, and these. All [m]; NaN where nothing falls."""
    half = (fit[0] + fit[-1]) / 2
    after = np.argmax(fit <= half, axis=0).clip(1)
    low, high = (np.take_along_axis(fit, (after - i)[None], axis=0)[0] for i in (0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (high - half) / (high - low)
    falls = fit[0] > fit[-1]
    left, right = (np.where(falls, doses[after - i], np.nan) for i in (1, 0))
    return left + share * (right - left), left, right


def _half_estimate(
    doses: FloatArray, half: float, draws: FloatArray, fits: FloatArray, k: int
) -> Estimate:
    """The dose at half effect, where there is an effect to be halved."""
    if len(doses) < MIN_DOSES:
        return Estimate(math.nan, reason=f"{len(doses)} doses: half effect needs {MIN_DOSES}")
    if math.isnan(half):
        return Estimate(math.nan, reason="the rate does not fall with the dose")
    if k < MIN_AGENTS:
        return estimate(half, np.empty(0), k)
    tail = (1 - LEVEL) / 2
    if np.quantile(draws[0] - draws[-1], tail) <= 0:
        return Estimate(math.nan, reason="no fall shown between the lowest and the highest dose")
    _, left, right = half_effect(doses, fits)
    low, high = np.nanquantile(left, tail), np.nanquantile(right, 1 - tail)
    return Estimate(half, float(low), float(high))


def log_slope(agent: IntArray, x: FloatArray, rate: FloatArray) -> Estimate:
    """Slope of ln E[rate] in ln x over all points [m], with agents as clusters.

    Quasi-Poisson with a weak prior on the slope, so that rates of 0 are no obstacle. The
    interval is a t interval from leaving out one agent at a time: few clusters make robust errors
    too small. Simulated, with 4 checkpoints and 3, 5 or 8 agents, it held
    the slope in .86-.91 of samples.
    """
    if len(np.unique(x)) < 2 or not rate.any():
        return Estimate(math.nan, reason="competence or p_gm does not vary")
    numbers = np.unique(agent)
    k = len(numbers)
    value = _quasi_poisson(np.log(x), rate)
    if k < MIN_AGENTS:
        return estimate(value, np.empty(0), k)
    left_out = np.array([_slope_without(agent != a, x, rate) for a in numbers])
    jackknife = math.sqrt((k - 1) / k * float(np.sum((left_out - left_out.mean()) ** 2)))
    half_width = float(stats.t.ppf((1 + LEVEL) / 2, k - 1)) * jackknife
    return Estimate(value, value - half_width, value + half_width)


def _slope_without(kept: np.typing.NDArray[np.bool_], x: FloatArray, rate: FloatArray) -> float:
    return _quasi_poisson(np.log(x[kept]), rate[kept]) if rate[kept].any() else 0.0


def _quasi_poisson(x: FloatArray, rate: FloatArray) -> float:
    """The slope in ln E[rate] = intercept + slope x, Var = phi E."""
    design = np.column_stack([np.ones_like(x), x - x.mean()])
    coefficients = np.array([math.log(rate.mean()), 0.0])
    phi = max(float(rate.var()) / float(rate.mean()), 1e-6)
    for _ in range(100):
        mean = np.exp(np.clip(design @ coefficients, -30, 5))
        prior = np.diag([0.0, 1 / PRIOR_SD**2])
        gradient = design.T @ (rate - mean) / phi - prior @ coefficients
        information = design.T @ (design * mean[:, None]) / phi + prior
        step = np.linalg.solve(information, gradient)
        coefficients = coefficients + np.clip(step, -1, 1)
        phi = max(float(np.sum((rate - mean) ** 2 / mean)) / max(len(x) - 2, 1), 1e-6)
        if np.abs(step).max() < 1e-9:
            break
    return float(coefficients[1])
