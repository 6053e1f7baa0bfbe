"""Simulated coverage of both intervals: how often they hold a fixed truth with few agents."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from misgen.analysis.priors.types import FACTORS, SHIFT_TYPES
from misgen.analysis.rates import LEVEL, AgentCounts, FloatArray, Rates, estimates
from misgen.analysis.text import aligned, number

KS = (3, 5, 10, 30)
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


POPULATIONS = (
    Population("alike", (1.0,), (0.95,), (0.5,)),
    Population("alike, clean", (1.0,), (0.95,), (0.02,)),
    Population("two kinds", (0.5, 0.5), (0.95, 0.95), (0.95, 0.05)),
    Population("rare failing", (0.1, 0.9), (0.95, 0.95), (0.9, 0.0)),
    Population("all 0", (1.0,), (0.95,), (0.0,)),
    Population("all 1", (1.0,), (0.95,), (1.0,)),
    Population("rare, others .02", (0.1, 0.9), (0.95, 0.95), (0.9, 0.02)),
)


class Coverage(NamedTuple):
    """How often an interval held the population's true rate, and its median width.

    intervals: how many were simulated. fallback: share of them for which the hierarchical model
    gave way to the bootstrap.
    """

    population: str
    k: int
    rate: str
    truth: float
    coverage: float
    below: float  # the share whose lower end lies above the truth
    above: float  # ... whose upper end lies below it
    median_width: float
    interval: str = "printed"
    intervals: int = 0
    fallback: float = 0.0


def fixed_truth_coverage(
    ks: Sequence[int] = KS,
    populations: Sequence[Population] = POPULATIONS,
    simulations: int = 400,
    fits: int = 25,
    seed: int = 0,
    levels: int = 300,
) -> list[Coverage]:
    """Both intervals: `interval_coverage` and `hierarchical_coverage`."""
    printed = interval_coverage(ks, populations, simulations, seed=seed, levels=levels)
    return printed + hierarchical_coverage(ks, populations, fits, seed, levels)


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


def hierarchical_coverage(
    ks: Sequence[int] = KS,
    populations: Sequence[Population] = POPULATIONS,
    fits: int = 25,
    seed: int = 0,
    levels: int = 300,
) -> list[Coverage]:
    """The intervals of the cells in `fit`, fallbacks included; none for 0 fits.

    Each fit has a cell for each of 4 types x 2 families, all of one population, so 8 intervals; the
    prior means are the source's. Reported; no pass mark.
    """
    if not fits:
        return []
    from misgen.analysis.hierarchy.fit import CellCounts, fit  # here: it brings jax
    from misgen.analysis.priors import load_priors

    shifts = load_priors().shifts
    priors = {t: {f: getattr(shifts[t], f).number for f in FACTORS} for t in SHIFT_TYPES}
    slots = [(family, name) for family in ("one", "two") for name in SHIFT_TYPES]
    rng = np.random.default_rng(seed)
    rows = []
    for population in populations:
        for k in ks:
            draws: list[Rates] = []
            fallbacks = 0
            for i in range(fits):
                cells = [
                    CellCounts(*slot, slot[1], sample_agents(population, k, levels, rng))
                    for slot in slots
                ]
                done = fit(cells, priors, draws=1000, seed=i)
                draws += done.cells.values()
                fallbacks += len(cells) if done.refused else len(done.fallback)
            share = fallbacks / len(draws)
            for rate in RATES:
                drawn = np.array([getattr(one, rate) for one in draws])
                ends = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1).T
                one = _coverage(population, k, rate, ends)
                rows.append(one._replace(interval="hierarchical", fallback=share))
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
    return Coverage(population.name, k, rate, truth, held, below, above, width, intervals=len(ends))


_LEGEND = """\
truth below, above: shares of intervals that lie above the truth, and below it. No central interval
of a continuous distribution holds a truth of exactly 0 or 1: of the hierarchical one read the
width. It is narrow where the agents at hand are alike, also when others exist that are rare: agents
that never fail leave it open whether some do, agents that all fail at times do not. fallback: share
of cells for which the bootstrap stepped in."""


def format_coverage(rows: Sequence[Coverage]) -> str:
    """Aligned plain text."""
    lines = [
        [
            r.interval,
            r.population,
            str(r.k),
            r.rate,
            *map(number, (r.truth, r.coverage, r.below, r.above, r.median_width)),
            str(r.intervals),
            number(r.fallback),
        ]
        for r in rows
    ]
    header = (
        "interval,population,agents,rate,truth,coverage of 90 %,truth below,above,median width,"
        "intervals,fallback"
    )
    return aligned(header.split(","), lines) + f"\n\n{_LEGEND}\n"
