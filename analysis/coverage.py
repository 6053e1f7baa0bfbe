"""Simulated coverage of the printed interval: how often it holds a fixed truth with few agents."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from misgen.analysis.rates import AgentCounts, FloatArray, estimates
from misgen.analysis.text import aligned, number

KS = (3, 5, 8, 10, 30)
RATES = ("p_capable", "p_goal_fail", "p_gm")


class Population(NamedTuple):
    """Kinds of agents: the share of each, its P(capable) and its P(goal fails | capable)."""

    name: str
    share: tuple[float, ...]
    capable: tuple[float, ...]
    goal_fail: tuple[float, ...]

    def truth(self) -> dict[str, float]:
        """The population's rates."""
        share, kinds_capable, kinds_fail = map(np.array, self[1:])
        capable, failing = float(share @ kinds_capable), float(share @ (kinds_capable * kinds_fail))
        return dict(zip(RATES, (capable, failing / capable, failing), strict=True))


def spread(mean: float, sd: float, kinds: int = 200) -> tuple[float, ...]:
    """The rates of so many equally frequent kinds of agents, spread as a beta distribution."""
    sure = mean * (1 - mean) / sd**2 - 1
    quantiles = (np.arange(kinds) + 0.5) / kinds
    return tuple(beta.ppf(quantiles, mean * sure, (1 - mean) * sure).tolist())


def _spread_about(mean: float, sd: float) -> Population:
    name, kinds = f"mean {number(mean)}, sd {number(sd)}", spread(mean, sd)
    return Population(name, (1 / len(kinds),) * len(kinds), (0.95,) * len(kinds), kinds)


POPULATIONS = (
    _spread_about(0.5, 0.05),
    _spread_about(0.02, 0.014),
    _spread_about(0.8, 0.13),
    _spread_about(0.3, 0.2),
    Population("two kinds, 3 in 10 fail", (0.3, 0.7), (0.95, 0.95), (0.95, 0.05)),
    Population("rare, 1 in 10 fails", (0.1, 0.9), (0.95, 0.95), (0.9, 0.02)),
)
"""Agents are about alike at .5, .02 and .8, spread, of two kinds, or rarely fail."""


class Coverage(NamedTuple):
    """How often the interval held the population's true rate, and its median width."""

    population: str
    k: int
    rate: str
    truth: float
    coverage: float
    below: float  # the share whose lower end lies above the truth
    above: float  # ... whose upper end lies below it
    median_width: float
    intervals: int = 0


def interval_coverage(
    ks: Sequence[int] = KS,
    populations: Sequence[Population] = POPULATIONS,
    simulations: int = 400,
    replicates: int = 1000,
    seed: int = 0,
    levels: int = 300,
) -> list[Coverage]:
    """The printed interval of k agents with `levels` levels each. Reported; no pass mark."""
    rng = np.random.default_rng(seed)
    rows = []
    for population in populations:
        for k in ks:
            samples = [sample_agents(population, k, levels, rng) for _ in range(simulations)]
            found = [estimates(counts, replicates, i) for i, counts in enumerate(samples)]
            for rate in RATES:
                ends = np.array([one[rate][1:3] for one in found])
                rows.append(_coverage(population, k, rate, ends))
    return rows


def sample_agents(
    population: Population, k: int, levels: int, rng: np.random.Generator
) -> AgentCounts:
    """Counts of k agents drawn from a population, each on `levels` levels."""
    kind = rng.choice(len(population.share), size=k, p=population.share)
    capable = rng.binomial(levels, np.take(population.capable, kind))
    failed = rng.binomial(capable, np.take(population.goal_fail, kind))
    columns = [np.full(k, levels), capable, failed, np.zeros(k)]
    return AgentCounts(np.arange(k), *(column.astype(np.float64) for column in columns))


def _coverage(population: Population, k: int, rate: str, ends: FloatArray) -> Coverage:
    """Of intervals [n, 2]."""
    truth, (low, high) = population.truth()[rate], ends.T
    below, above = float(np.mean(truth < low)), float(np.mean(high < truth))
    width = float(np.median(high - low))
    held = 1 - below - above
    return Coverage(population.name, k, rate, truth, held, below, above, width, len(ends))


def format_coverage(rows: Sequence[Coverage]) -> str:
    """Aligned plain text."""
    lines = [
        [
            r.population,
            str(r.k),
            r.rate,
            *map(number, (r.truth, r.coverage, r.below, r.above, r.median_width)),
            str(r.intervals),
        ]
        for r in rows
    ]
    header = "population,agents,rate,truth,coverage,below,above,width,intervals"
    legend = (
        "Intervals of 90 %. population: P(goal fails | capable) of its agents. below, above:\n"
        "shares of the intervals beyond whose end the truth lies. width: the median."
    )
    return aligned(header.split(","), lines) + f"\n\n{legend}\n"
