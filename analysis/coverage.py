"""Simulated coverage of the printed intervals: how often they hold the truth with few agents."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analysis.rates import LEVEL, AgentCounts, Rates, bootstrap
from analysis.table import aligned, number


class Population(NamedTuple):
    """Kinds of agents: the share of each, its P(capable) and its P(goal fails | capable)."""

    name: str
    share: tuple[float, ...]
    capable: tuple[float, ...]
    goal_fail: tuple[float, ...]


POPULATIONS = (
    Population("alike", (1.0,), (0.95,), (0.5,)),
    Population("alike, clean", (1.0,), (0.95,), (0.02,)),
    Population("two kinds", (0.5, 0.5), (0.95, 0.95), (0.95, 0.05)),
    Population("rare failing", (0.1, 0.9), (0.95, 0.95), (0.9, 0.0)),
)


class Coverage(NamedTuple):
    """How often the printed interval held the population's true rate, and its median width."""

    population: str
    k: int
    rate: str
    truth: float
    coverage: float
    median_width: float


def interval_coverage(
    ks: Sequence[int] = (3, 5, 10),
    populations: Sequence[Population] = POPULATIONS,
    simulations: int = 400,
    replicates: int = 1000,
    seed: int = 0,
    levels: int = 300,
) -> list[Coverage]:
    """Simulate k agents with `levels` levels each, again and again. Reported; no pass mark."""
    rng = np.random.default_rng(seed)
    rows = []
    for population in populations:
        _, share, kinds_capable, kinds_fail = map(np.array, population)
        capable, failing = share @ kinds_capable, share @ (kinds_capable * kinds_fail)
        truth = {"p_capable": capable, "p_goal_fail": failing / capable, "p_gm": failing}
        for k in ks:
            samples = [sample_agents(population, k, levels, rng) for _ in range(simulations)]
            draws = [bootstrap(counts, replicates, i) for i, counts in enumerate(samples)]
            rows += [_coverage(population.name, k, rate, truth[rate], draws) for rate in truth]
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


def _coverage(name: str, k: int, rate: str, truth: float, draws: Sequence[Rates]) -> Coverage:
    drawn = np.array([getattr(one, rate) for one in draws])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    held = float(np.mean((low <= truth) & (truth <= high)))
    return Coverage(name, k, rate, float(truth), held, float(np.median(high - low)))


def format_coverage(rows: Sequence[Coverage]) -> str:
    """Aligned plain text."""
    lines = [
        [r.population, str(r.k), r.rate, *map(number, (r.truth, r.coverage, r.median_width))]
        for r in rows
    ]
    header = ["population", "agents", "rate", "truth", "coverage of 90 %", "median width"]
    return aligned(header, lines) + "\n"
