"""Whether two modifiers multiply: the ratio of ratios of four arms of one cell, on three scales."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

import numpy as np

from misgen.analysis.modifiers import contrasts
from misgen.analysis.modifiers.cells import Cell, Setup
from misgen.analysis.modifiers.contrasts import LINKS
from misgen.analysis.rates import MIN_AGENTS, AgentCounts, Estimate, estimate, point_rates
from misgen.analysis.records import tags_of

HOLDS = (0.8, 1.25)
"""A ratio of ratios inside these says that two modifiers multiply."""


@dataclass(frozen=True)
class Multiplicativity:
    """Whether two modifiers multiply in one cell: RR(both) / (RR(first) x RR(second)).

    ratio_of_ratios: by link; the verdict is about "log". expected: p_gm if they multiplied;
    ceiling: 1 / max(1, expected), the largest ratio of ratios that probabilities allow. verdict:
    "holds" | "violated" | "undetermined" | "ceiling", the last where arithmetic alone keeps the
    ratio below .8. best_scale: the link of the smallest interaction. agents_needed: in each arm,
    for an interval that fits inside .8-1.25. arms, agents: neither, first, second, both.
    """

    family: str
    cell: str
    pair: tuple[str, str]
    arms: tuple[str, ...]
    agents: tuple[int, ...]
    ratio_of_ratios: Mapping[str, Estimate]
    expected: float
    ceiling: float
    verdict: str
    best_scale: str
    agents_needed: int
    tags: str


_AXES = MappingProxyType({"diversity": "d", "spec": "q", "method": "method"})


def multiplicativity(cell: Cell, reference: Setup) -> list[Multiplicativity]:
    """Every pair of modifiers of which the cell has all four arms: one at the reference in both,
    one away from it in each, one in both."""
    present = sorted(cell.arms)
    found = []
    for pair in combinations(_AXES, 2):
        one, other = (_AXES[name] for name in pair)
        for base in present:
            if getattr(base, one) != getattr(reference, one):
                continue
            if getattr(base, other) != getattr(reference, other):
                continue
            for first in _differing(present, base, one):
                for second in _differing(present, base, other):
                    both = first._replace(**{other: getattr(second, other)})
                    if both in present:
                        found.append(_of_square(cell, pair, (base, first, second, both)))
    return found


def _differing(present: Sequence[Setup], base: Setup, axis: str) -> list[Setup]:
    """Arms that differ from one in this alone."""
    return [
        setup
        for setup in present
        if setup != base and setup._replace(**{axis: getattr(base, axis)}) == base
    ]


def _of_square(
    cell: Cell, pair: tuple[str, str], square: tuple[Setup, Setup, Setup, Setup]
) -> Multiplicativity:
    arms = [cell.arms[setup] for setup in square]
    base, first, second = (point_rates(arm).p_gm for arm in arms[:3])
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = float(np.true_divide(first * second, base))
    ceiling = 1 / max(1.0, expected)
    ratios = {link: _interaction(arms, link) for link in LINKS}
    sizes = {link: abs(math.log(r.value)) for link, r in ratios.items() if r.value > 0}
    return Multiplicativity(
        *cell.where,
        pair,
        tuple(setup.label for setup in square),
        tuple(arm.k for arm in arms),
        ratios,
        expected,
        ceiling,
        verdict(ratios["log"], ceiling),
        min(sizes, key=lambda link: sizes[link], default=""),
        agents_needed(arms),
        tags_of(square[3].q),
    )


def _interaction(arms: Sequence[AgentCounts], link: str) -> Estimate:
    """The ratio of ratios on one link: posterior median and interval, raw below 3 agents."""
    k = min(arm.k for arm in arms)
    if k >= MIN_AGENTS:
        signs = (1, -1, -1, 1)
        counts = [contrasts.Arm(arm.gc, arm.n) for arm in arms]
        density = contrasts.likelihood(counts, signs, link)
        return contrasts.exp(contrasts.posterior(density).estimate())
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = LINKS[link].forward(np.array([point_rates(arm).p_gm for arm in arms]))
        raw = float(np.exp(eta[0] - eta[1] - eta[2] + eta[3]))
    return estimate(raw if math.isfinite(raw) else math.nan, np.empty(0), k)


def verdict(ratio_of_ratios: Estimate, ceiling: float) -> str:
    """In one word; see `Multiplicativity`."""
    low, high = HOLDS
    if ceiling < low:
        return "ceiling"
    if low <= ratio_of_ratios.low and ratio_of_ratios.high <= high:
        return "holds"
    outside = ratio_of_ratios.high < low or ratio_of_ratios.low > high
    return "violated" if outside else "undetermined"


def agents_needed(arms: Sequence[AgentCounts]) -> int:
    """218 CV^2 in each arm, CV of the agents' rates, its square averaged over the arms.

    From the normal interval of a log ratio of four means, 2 x 1.645 CV / sqrt(k) = ln 1.25.
    0 where no arm has two agents and a rate above 0.
    """
    rates = [arm.shares()[1] for arm in arms]
    squares = [float(r.var(ddof=1) / r.mean() ** 2) for r in rates if len(r) > 1 and r.any()]
    return math.ceil(round(218 * float(np.mean(squares)), 6)) if squares else 0
