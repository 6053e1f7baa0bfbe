"""Many verdicts at once, and by simulation how often one flags arms that are equal."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from misgen.analysis.coverage import POPULATIONS, Population, sample_agents
from misgen.analysis.rates import (
    ALPHA,
    PARTS,
    FloatArray,
    enough_agents,
    is_extreme,
    share_of_splits,
    splits,
)
from misgen.analysis.text import aligned, number

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


# ------------------------------------------------------------------------------ verdicts on nothing


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
    return [*_flags(pairs, populations, sizes, np.random.default_rng(seed), levels)]


def _flags(
    pairs: int,
    populations: Sequence[Population],
    sizes: Sequence[tuple[int, int]],
    rng: np.random.Generator,
    levels: int,
) -> Iterator[Flags]:
    for population in populations:
        for k, others in sizes:
            drawn = [sample_agents(population, k + others, levels, rng) for _ in range(pairs)]
            shares = np.stack([counts.shares() for counts in drawn], axis=2)
            for rate in ("p_goal_fail", "p_gm"):
                flagged = float(differ(shares, k, rate).mean())
                yield Flags(population.name, k, others, rate, flagged, pairs)


def format_flags(rows: Sequence[Flags]) -> str:
    """Aligned plain text."""
    lines = [
        [r.population, f"{r.agents} / {r.against}", r.rate, number(r.flagged), str(r.pairs)]
        for r in rows
    ]
    header = "goal failure of the agents,agents,rate,flagged at .05,pairs of equal arms".split(",")
    return aligned(header, lines) + "\n"
