"""Do the measured rates contradict the source? Prior predictive tails of every cell's factors.

The predictive distribution is that of the hierarchical model before any data: mu ~ Beta(printed
mean, kappa), a family effect, a cell effect, agents around the cell's mean with log nu ~ N(log 5,
2), binomial episodes. A factor is drawn at the cell's actual agents and denominators: n_a levels
for P(capable), the agent's capable episodes for P(goal fails | capable), and so on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from misgen.analysis.calibration.measured import MeasuredCell
from misgen.analysis.priors.types import FACTORS, PriorSet, beta_parameters
from misgen.analysis.rates import LEVEL, AgentCounts, Estimate, FloatArray, point_rates

TAIL = 0.05
"""A two-sided tail below this is flagged."""
CONTRAST_SD, CELL_SD, LOG_NU = 1.0, 0.5, (np.log(5.0), 2.0)
"""As in `analysis.hierarchy.fit`: family effect +-contrast / 2, cell effect, agents' spread."""


@dataclass(frozen=True)
class Conflict:
    """One factor of one cell against its prior predictive distribution.

    source: the printed (for harm: implied) figure; chance: probability of a flag if the prior were
    true, below TAIL because counts are discrete.
    """

    cell: MeasuredCell
    factor: str
    measured: float
    source: float
    predictive: Estimate
    tail: float
    chance: float

    @property
    def flagged(self) -> bool:
        return self.tail < TAIL


def conflicts(
    cells: Sequence[MeasuredCell], priors: PriorSet, draws: int = 20_000, seed: int = 0
) -> list[Conflict]:
    """One line per factor of every cell that has a reference arm with competent agents; harm only
    where it may update."""
    found = []
    for i, cell in enumerate(cells):
        if "reference" not in cell.arms:
            continue
        for j, factor in enumerate(FACTORS if cell.harm_may_update else FACTORS[:2]):
            measured = getattr(point_rates(cell.reference), factor)
            if not np.isnan(measured):
                rng = np.random.default_rng([seed, i, j])
                found.append(_conflict(cell, factor, measured, priors, draws, rng))
    return found


def _conflict(
    cell: MeasuredCell,
    factor: str,
    measured: float,
    priors: PriorSet,
    draws: int,
    rng: np.random.Generator,
) -> Conflict:
    source = getattr(priors.shifts[cell.shift_type], factor).number
    values = np.sort(predictive(cell.reference, factor, source, priors.kappa, draws, rng))
    low, median, high = np.quantile(values, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    return Conflict(
        cell,
        factor,
        measured,
        source,
        Estimate(float(median), float(low), float(high)),
        float(_tails(values, np.array([measured]))[0]),
        float(np.mean(_tails(values, values) < TAIL)),
    )


def _tails(ordered: FloatArray, at: FloatArray) -> FloatArray:
    """Two-sided tail of each value under the empirical distribution of `ordered`."""
    # A mean over agents rounds differently by a last bit; equal counts must count as equal.
    below = np.searchsorted(ordered, at + 1e-9, side="right") / len(ordered)
    above = 1 - np.searchsorted(ordered, at - 1e-9, side="left") / len(ordered)
    tails: FloatArray = np.minimum(2 * np.minimum(below, above), 1.0)
    return tails


def predictive(
    counts: AgentCounts,
    factor: str,
    mean: float,
    kappa: float,
    draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Draws [draws] of the raw factor of these agents, had the prior made them.

    An agent without denominators (never capable) adds nothing to numerator or denominator.
    """
    chain = {"p_capable": counts.n, "p_goal_fail": counts.c, "p_harm": counts.gc}
    trials = chain[factor]
    theta = _cell_means(mean, kappa, draws, rng)
    nu = np.exp(rng.normal(*LOG_NU, draws))
    # A tiny nu means agents of two kinds; below this floor a Beta draw would be 0 / 0.
    a, b = (np.maximum(share * nu, 1e-4)[:, None] for share in (theta, 1 - theta))
    agents = rng.beta(a, b, (draws, counts.k))
    successes = rng.binomial(trials.astype(np.int64), agents)
    weights = 1 / counts.n
    predicted: FloatArray = (successes @ weights) / (trials @ weights)
    return predicted


def _cell_means(mean: float, kappa: float, draws: int, rng: np.random.Generator) -> FloatArray:
    """theta [draws] of a cell by the prior: logit mu +- contrast / 2 + cell effect."""
    mu = np.clip(rng.beta(*beta_parameters(mean, kappa), draws), 1e-9, 1 - 1e-9)
    effect = rng.normal(0, CONTRAST_SD, draws) / 2
    effect = effect + rng.normal(size=draws) * np.abs(rng.normal(0, CELL_SD, draws))
    theta: FloatArray = 1 / (1 + np.exp(-np.log(mu / (1 - mu)) - effect))
    return theta


def expected_by_chance(found: Sequence[Conflict]) -> float:
    """How many flags there would be on average if the prior were true."""
    return sum(one.chance for one in found)
