"""By simulation, with few agents: how often the printed interval holds a fixed truth, and how often
a verdict tells apart arms that are equal.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from misgen.analysis.intervals import estimates
from misgen.analysis.rates import AgentCounts, FloatArray
from misgen.analysis.text import aligned, number
from misgen.analysis.verdicts import (
    ALPHA,
    PARTS,
    enough_agents,
    is_extreme,
    share_of_splits,
    splits,
)

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


# --- Many verdicts at once -----------------------------------------------------------------------


FEW_SPLITS, SIGMAS = 4000, 5
"""So many random splits settle a verdict whose p lies so many standard errors from ALPHA."""
AT_ONCE = 200_000  # splits x tests: what fits a cache


def differ(shares: FloatArray, k: int, rate: str, seed: int = 0) -> npt.NDArray[np.bool_]:
    """Whether the first k agents and the others differ: `permutation_test(...).differs` of many
    pairs of arms [tests].

    shares: c_a, g_a and h_a of all agents of each pair [3, agents, tests]. Where FEW_SPLITS leave
    no doubt, the others are not looked at: one verdict in a million may be another.
    """
    parts = shares[PARTS[rate]]
    total, tests = parts.shape[1:]
    if not enough_agents(k, total - k):
        return np.zeros(tests, dtype=bool)
    groups = splits(total, k, seed)
    few = groups
    if len(groups) > FEW_SPLITS:
        few = groups[np.random.default_rng(seed).integers(0, len(groups), FEW_SPLITS)]
    p = _p(few, parts, k)
    if len(groups) > FEW_SPLITS:
        error = np.sqrt(ALPHA * (1 - ALPHA) / FEW_SPLITS)
        (unsure,) = np.nonzero(np.abs(p - ALPHA) < SIGMAS * error)
        p[unsure] = _p(groups, parts[:, :, unsure], k)
    return p <= ALPHA


def _p(groups: FloatArray, parts: FloatArray, k: int) -> FloatArray:
    """p of each test [tests]."""
    extreme = np.zeros(parts.shape[2], dtype=np.int64)
    step = max(1, AT_ONCE // max(1, parts.shape[2]))
    for start in range(0, len(groups), step):
        extreme += is_extreme(groups[start : start + step], parts, k).sum(axis=0)
    return share_of_splits(extreme, len(groups))


SIZES = ((5, 5), (8, 5), (10, 10))


class Flags(NamedTuple):
    """Share of simulated pairs of arms of one population that a verdict at .05 told apart."""

    population: str
    agents: int
    against: int
    rate: str
    flagged: float
    pairs: int


def flags_of_equal_arms(
    pairs: int = 2000,
    populations: Sequence[Population] = POPULATIONS,
    sizes: Sequence[tuple[int, int]] = SIZES,
    seed: int = 0,
    levels: int = 330,
) -> list[Flags]:
    """Both arms are drawn from the same population, so that every flag is a false one."""
    rng, rows = np.random.default_rng(seed), []
    for population, (k, others) in itertools.product(populations, sizes):
        drawn = [sample_agents(population, k + others, levels, rng) for _ in range(pairs)]
        shares = np.stack([counts.shares() for counts in drawn], axis=2)
        for rate in ("p_goal_fail", "p_gm"):
            flagged = float(differ(shares, k, rate).mean())
            rows.append(Flags(population.name, k, others, rate, flagged, pairs))
    return rows


def format_flags(rows: Sequence[Flags]) -> str:
    """Aligned plain text."""
    lines = [
        [r.population, f"{r.agents} / {r.against}", r.rate, number(r.flagged), str(r.pairs)]
        for r in rows
    ]
    header = "goal failure of the agents,agents,rate,flagged at .05,pairs of equal arms".split(",")
    return aligned(header, lines) + "\n"
