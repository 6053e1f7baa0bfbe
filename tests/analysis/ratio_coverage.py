"""How often intervals of ratios hold a known truth: `python tests/analysis/ratio_coverage.py FILE`

Pairs of arms are drawn from populations whose ratio of p_gm is known, once with equal means, once
with a half and a fifth, and sets of five cells whose ratios spread about a known mean. In
`analysis/published/ratios.txt` stands beside the bootstrap what misgen had before, a beta-binomial
on a grid, of the same arms: `git log -- analysis/modifiers/contrasts.py`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from misgen.analysis.coverage import Population, sample_agents, spread
from misgen.analysis.modifiers.log_ratios import log_ratio, pool
from misgen.analysis.rates import AgentCounts, FloatArray
from misgen.analysis.text import aligned, number

SIZES = ((5, 5), (8, 5), (10, 10))
LEVELS, CAPABLE, REPLICATES = 330, 0.95, 1000
RATIOS = (1.0, 0.5, 0.2)
Pair = tuple[AgentCounts, AgentCounts]
Ends = tuple[float, float]


# ---------------------------------------------------------------------------------------- the arms


def alike(p_gm: float) -> Population:
    return Population(f"alike at {number(p_gm)}", (1.0,), (CAPABLE,), (p_gm / CAPABLE,))


def differing(p_gm: float, sd: float) -> Population:
    kinds = spread(p_gm / CAPABLE, sd / CAPABLE)
    equal, capable = (1 / len(kinds),) * len(kinds), (CAPABLE,) * len(kinds)
    return Population(f"mean {number(p_gm)}, sd {number(sd)}", equal, capable, kinds)


def two_kinds(failing: float) -> Population:
    """So many of the agents fail nearly always, the others hardly ever."""
    name = f"two kinds, {number(failing)} fail"
    return Population(name, (failing, 1 - failing), (CAPABLE, CAPABLE), (0.95, 0.02))


ARMS: Sequence[Callable[[float], Population]] = (
    lambda ratio: alike(0.4 * ratio),
    lambda ratio: alike(0.02 * ratio),
    lambda ratio: alike(0.002 * ratio),
    lambda ratio: differing(0.3 * ratio, 0.15 * ratio),
    lambda ratio: differing(0.1 * ratio, 0.1 * ratio),
    lambda ratio: differing(0.93 * ratio, 0.015),
    lambda ratio: two_kinds(0.3 * ratio),
)
"""Of agents that fail so many times as often as those of the reference arm, whose ratio is 1."""


def pairs() -> Iterator[tuple[Population, Population]]:
    """(arm, reference); the last one's arms have no failures half of the time."""
    for arm in ARMS:
        for ratio in RATIOS:
            yield arm(ratio), arm(1.0)
    yield alike(0.0005), differing(0.3, 0.15)


# ------------------------------------------------------------------------------------- the engines


def bootstrap(arm: AgentCounts, reference: AgentCounts) -> Ends:
    found = log_ratio([arm, reference], replicates=REPLICATES).ratio
    return found.low, found.high


def bootstrap_pooled(cells: Sequence[Pair]) -> Ends:
    found = pool([log_ratio(pair, replicates=REPLICATES) for pair in cells]).ratio
    return found.low, found.high


ENGINES = {"bootstrap": bootstrap}
POOLED = {"bootstrap": bootstrap_pooled}


# ------------------------------------------------------------------------------------- simulations


class Held(NamedTuple):
    """How often intervals held a truth; widths on the logarithm."""

    coverage: float
    below: float  # the share whose lower end lies above the truth
    above: float  # ... whose upper end lies below it
    median_width: float


def held(ends: FloatArray, truth: float) -> Held:
    """Of intervals [n, 2]."""
    low, high = ends.T
    below, above = float(np.mean(truth < low)), float(np.mean(high < truth))
    with np.errstate(divide="ignore"):
        width = float(np.median(np.log(high) - np.log(low)))
    return Held(1 - below - above, below, above, width)


def of_pairs(simulations: int, rng: np.random.Generator) -> Iterator[list[str]]:
    for arm, reference in pairs():
        truth = arm.truth()["p_gm"] / reference.truth()["p_gm"]
        for k, others in SIZES:
            drawn = [
                (sample_agents(arm, k, LEVELS, rng), sample_agents(reference, others, LEVELS, rng))
                for _ in range(simulations)
            ]
            found = [
                held(np.array([engine(*pair) for pair in drawn]), truth)
                for engine in ENGINES.values()
            ]
            yield [arm.name, reference.name, f"{truth:.3g}", f"{k} / {others}", *_words(found)]


REFERENCES = ((0.11, 1.0), (0.10, 0.15), (0.01, 0.5), (0.0125, 0.5), (0.08, 0.3))
"""p_gm and coefficient of variation of five reference arms, as different as the published ones."""
BETWEEN_CELLS = 0.5


def of_cells(simulations: int, rng: np.random.Generator) -> Iterator[list[str]]:
    for ratio in (1.0, 5.0, 0.2):
        for k, others in ((8, 8), (5, 8)):
            drawn = [_cells(ratio, k, others, rng) for _ in range(simulations)]
            found = [
                held(np.array([engine(cells) for cells in drawn]), ratio)
                for engine in POOLED.values()
            ]
            yield [f"{ratio:g}", f"{k} / {others}", *_words(found)]


def _cells(ratio: float, k: int, others: int, rng: np.random.Generator) -> list[Pair]:
    """Log ratios ~ N(ln ratio, BETWEEN_CELLS); the coefficient of variation of an arm that fails
    more often is smaller."""
    cells = []
    for p_gm, cv in REFERENCES:
        own = min(0.85, p_gm * math.exp(rng.normal(math.log(ratio), BETWEEN_CELLS)))
        sd = min(own * cv * min(1.0, (p_gm / own) ** 0.5), 0.45 * math.sqrt(own * (1 - own)))
        arm = sample_agents(differing(own, sd), k, LEVELS, rng)
        cells.append((arm, sample_agents(differing(p_gm, p_gm * cv), others, LEVELS, rng)))
    return cells


def _words(found: Sequence[Held]) -> list[str]:
    return [number(value) for one in found for value in one]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the table, replaced if there")
    parser.add_argument("--simulations", type=int, default=400)
    options = parser.parse_args()
    numbers = [f"{name}: {column}" for name in ENGINES for column in ("held", "below", "above",
               "width")]  # fmt: skip
    one = [*of_pairs(options.simulations, np.random.default_rng(0))]
    several = [*of_cells(options.simulations, np.random.default_rng(1))]
    text = [
        f"90 % intervals of ratios of p_gm, {options.simulations} simulated pairs a line, {LEVELS} "
        "levels an agent. held: the truth;\nbelow, above: the truth lies below, above the interval;"
        " width: median, on the logarithm.",
        "Two arms",
        aligned(["arm", "reference", "ratio", "agents", *numbers], one, keys=4, width=100),
        "The mean of five cells, whose log ratios differ by a standard deviation of "
        f"{number(BETWEEN_CELLS)}",
        aligned(["ratio", "agents", *numbers], several, keys=2, width=100),
    ]
    options.file.write_text("\n\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
