"""Ratios of arms: raw, with the interval of the printed rates, and pooled over cells.

One engine for all of them, the bootstrap over agents of `misgen.analysis.rates`: agents of one
number share a weight in all arms, and the interval is the envelope of the draws with and without
the pseudo-agent. Cells are pooled on the logarithm, by normal random effects. Simulated coverage of
both, beside that of a beta-binomial: `analysis/published/ratios.txt`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from misgen.analysis.intervals import LEVEL, MIN_AGENTS, Estimate, bootstrap_arms, estimate
from misgen.analysis.rates import AgentCounts, FloatArray, point_rates

SPREAD_SD = 1.0
"""Of the half-normal prior on the standard deviation of log ratios between cells."""

_SPREADS = (np.arange(24) + 0.5) / 8  # 0 to 3

LINKS: Mapping[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {
        "log": np.log,
        "cloglog": lambda p: np.log(-np.log1p(-p)),
        "logit": lambda p: np.log(p) - np.log1p(-p),
    }
)
"""Scales for rates: ratios of rates, of hazards -ln(1 - p), of odds."""


def check_link(link: str) -> None:
    """ValueError unless the link is known."""
    if link not in LINKS:
        raise ValueError(f"`link` must be one of {[*LINKS]}; got {link!r}; take 'log' for ratios")


class LogRatio(NamedTuple):
    """ratio: raw, NaN where there is nothing to divide by. log_mean: its logarithm; of a ratio that
    has none, the mean over the draws with the pseudo-agent; log_sd: their standard deviation. NaN
    where an arm has too few agents, or none that came to this rate."""

    ratio: Estimate
    log_mean: float = math.nan
    log_sd: float = math.nan


def log_ratio(
    arms: Sequence[AgentCounts],
    rate: str = "p_gm",
    link: str = "log",
    replicates: int = 4000,
    seed: int = 0,
) -> LogRatio:
    """The ratio of the first arm to the second in a rate of `Rates`; of four arms the ratio of
    ratios, (first / second) / (third / fourth)."""
    k = min(arm.k for arm in arms)
    points = np.array([getattr(point_rates(arm), rate) for arm in arms])
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = float(_contrast(LINKS[link](points)))
    raw = math.exp(logarithm) if logarithm < math.inf else math.nan
    if k < MIN_AGENTS or np.isnan(points).any():
        return LogRatio(estimate(raw, np.empty(0), k))
    with_pseudo, without = (_drawn(arms, rate, link, replicates, seed, p) for p in (True, False))
    mean = logarithm if math.isfinite(logarithm) else float(with_pseudo.mean())
    # An arm of zeros to divide by leaves the pseudo-agent alone to say how large the ratio may be.
    draws = [with_pseudo, without] if (without < math.inf).all() else [with_pseudo]
    ends = estimate(math.exp(mean), np.exp(draws), k)
    return LogRatio(ends._replace(value=raw), mean, float(with_pseudo.std()))


def _drawn(
    arms: Sequence[AgentCounts], rate: str, link: str, replicates: int, seed: int, pseudo: bool
) -> FloatArray:
    rates = np.array([getattr(r, rate) for r in bootstrap_arms(arms, replicates, seed, pseudo)])
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn: FloatArray = _contrast(LINKS[link](rates))
    return drawn


def _contrast(eta: FloatArray) -> Any:
    """Of arms [2 or 4, ...]."""
    return eta[0] - eta[1] if len(eta) == 2 else eta[0] - eta[1] - eta[2] + eta[3]


class Pooled(NamedTuple):
    """Several cells: the mean ratio, the standard deviation of log ratios between cells, the ratio
    in a further cell; mean and standard deviation of the logarithm of the first."""

    ratio: Estimate
    spread: Estimate
    new_cell: Estimate
    log_mean: float
    log_sd: float


def pool(cells: Sequence[LogRatio]) -> Pooled:
    """Random effects: the log ratio of a cell ~ N(mu, spread), measured with its log_sd; mu has a
    flat prior, spread ~ half N(0, 1).

    Raises ValueError without a cell.
    """
    if not cells:
        raise ValueError("pooling needs a cell with an interval; got none")
    y, sd = np.array([(one.log_mean, one.log_sd) for one in cells]).T
    variance = sd**2 + _SPREADS[:, None] ** 2
    precision = (1 / variance).sum(axis=1)
    mu = (y / variance).sum(axis=1) / precision
    log_weight = -((_SPREADS / SPREAD_SD) ** 2 + np.log(precision)) / 2
    log_weight -= (np.log(variance) + (y - mu[:, None]) ** 2 / variance).sum(axis=1) / 2
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean = float(weight @ mu)
    return Pooled(
        _of_mixture(weight, mu, precision**-0.5),
        _at_ends(np.cumsum(weight) - weight / 2, _SPREADS),
        _of_mixture(weight, mu, np.hypot(precision**-0.5, _SPREADS)),
        mean,
        math.sqrt(float(weight @ ((mu - mean) ** 2 + 1 / precision))),
    )


def _of_mixture(weight: FloatArray, mean: FloatArray, sd: FloatArray) -> Estimate:
    """Of the exponential of a mixture of normal distributions."""
    points = np.linspace((mean - 5 * sd).min(), (mean + 5 * sd).max(), 2001)
    return _at_ends(weight @ norm.cdf((points - mean[:, None]) / sd[:, None]), np.exp(points))


def _at_ends(below: FloatArray, points: FloatArray) -> Estimate:
    """Median and central 90 % of a distribution with so much below each point."""
    middle, low, high = np.interp([0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2], below, points)
    return Estimate(float(middle), float(low), float(high))
