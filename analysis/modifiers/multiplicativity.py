"""Whether two modifiers multiply: the ratio of ratios of four arms of one cell, on three scales."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from types import MappingProxyType

import numpy as np

from misgen.analysis.intervals import Estimate
from misgen.analysis.modifiers.cells import Cell, Setup
from misgen.analysis.modifiers.log_ratios import LINKS, log_ratio
from misgen.analysis.modifiers.results import Multiplicativity
from misgen.analysis.rates import AgentCounts, point_rates
from misgen.analysis.records import tags_of

HOLDS = (0.8, 1.25)
"""A ratio of ratios inside these says that two modifiers multiply."""


_AXES = MappingProxyType({"diversity": "d", "spec": "q", "method": "method"})


def multiplicativity(
    cell: Cell, reference: Setup, draws: tuple[int, int]
) -> list[Multiplicativity]:
    """Every pair of modifiers of which the cell has all four arms: one at the reference in both,
    one away from it in each, one in both. draws: replicates and seed."""
    found = []
    for pair in combinations(_AXES, 2):
        axes = [_AXES[name] for name in pair]
        for base, both in permutations(sorted(cell.arms), 2):
            apart = [axis for axis in Setup._fields if getattr(base, axis) != getattr(both, axis)]
            first, second = (base._replace(**{axis: getattr(both, axis)}) for axis in axes)
            at_reference = all(getattr(base, axis) == getattr(reference, axis) for axis in axes)
            if {*apart} == {*axes} and at_reference and {first, second} <= {*cell.arms}:
                arms = {setup.label: cell.arms[setup] for setup in (base, first, second, both)}
                found.append(of_square(cell.where, pair, arms, draws, tags_of(both.q)))
    return found


def of_square(
    where: tuple[str, str],
    pair: tuple[str, str],
    square: Mapping[str, AgentCounts],
    draws: tuple[int, int],
    tags: str = "",
) -> Multiplicativity:
    """Of four arms of a cell by name: neither, the first, the second, both. where: (family, cell);
    draws: replicates and seed."""
    arms = [*square.values()]
    base, first, second = (point_rates(arm).p_gm for arm in arms[:3])
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = float(np.true_divide(first * second, base))
    ceiling = 1 / max(1.0, expected)
    ratios = {link: log_ratio(arms, "p_gm", link, *draws).ratio for link in LINKS}
    sizes = {link: abs(math.log(r.value)) for link, r in ratios.items() if r.value > 0}
    return Multiplicativity(
        *where,
        pair,
        tuple(square),
        tuple(arm.k for arm in arms),
        ratios,
        expected,
        ceiling,
        verdict(ratios["log"], ceiling),
        min(sizes, key=lambda link: sizes[link], default=""),
        agents_needed(arms),
        tags,
    )


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

    From the normal interval of a log ratio of four means, 2 x 1.645 CV / sqrt(k) = ln 1.25. The
    pseudo-agent asks for more of agents that are all alike: about 20 at rates of .2 to .6.
    0 where no arm has two agents and a rate above 0.
    """
    rates = [arm.shares()[1] for arm in arms]
    squares = [float(r.var(ddof=1) / r.mean() ** 2) for r in rates if len(r) > 1 and r.any()]
    return math.ceil(round(218 * float(np.mean(squares)), 6)) if squares else 0
