"""What arms say about modifiers, as it is computed, printed and stored."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from misgen.analysis.intervals import Estimate
from misgen.analysis.json_fields import Integers, Interval, Number, Numbers

_NONE = Estimate(math.nan)


@dataclass(frozen=True)
class RiskRatio:
    """p_gm of an arm relative to its reference arm, in one cell or pooled over cells.

    ratio: of rates, hazards or odds by `link`, raw in a cell and the median of the pooled mean;
    with fewer than 3 agents in an arm without an interval, and with the reason. raw: of a cell the
    same, pooled the geometric mean; NaN where undefined. factors: likewise for p_capable,
    p_goal_fail, p_harm, on the scale of rates: raw they multiply to the ratio of p_harmful_gm.
    log_mean, log_sd: of the logarithm; NaN without an interval. spread: standard deviation of the
    logarithm between cells, new_cell: the ratio in a further one; pooled only.
    scope: "cell", "pooled" (over identified cells that inform their type) or "pooled, all cells".
    at_reference: the arm compared against is the reference arm itself (for capability: its
    checkpoints).
    """

    modifier: str
    level: str
    arm: str
    reference: str
    scope: str
    cells: tuple[tuple[str, str], ...]
    link: str
    ratio: Interval
    raw: Number
    factors: Mapping[str, Interval]
    log_mean: Number
    log_sd: Number
    k_agents: int
    k_reference: int
    levels: str
    spread: Interval = _NONE
    new_cell: Interval = _NONE
    tags: str = ""
    note: str = ""
    at_reference: bool = True


@dataclass(frozen=True)
class DoseResponse:
    """p_gm of all trained agents of one cell by dose, lowest first; every tuple is [doses].

    levels: distinguishing levels of an agent, fewest-most. dots: g_a of each agent. fit: never
    rising with the dose. half_effect_dose: interpolated between the two neighbouring doses that
    enclose it (`between`); between them the data know only that the rate falls, so its interval
    reaches from the lower neighbour to the upper one of the draws.
    """

    family: str
    cell: str
    dose: str
    doses: tuple[float, ...]
    agents: tuple[int, ...]
    levels: tuple[str, ...]
    rates: tuple[Interval, ...]
    dots: tuple[Numbers, ...]
    fit: tuple[Interval, ...]
    half_effect_dose: Interval
    between: tuple[Number, Number]


@dataclass(frozen=True)
class CapabilitySlope:
    """d ln p_gm / d ln competence over the checkpoints of a cell's agents; every array is [points].

    A slope of 1: twice the competence, twice the risk.
    """

    family: str
    cell: str
    arm: str
    slope: Interval
    agent_number: Integers
    competence: Numbers
    p_gm: Numbers


@dataclass(frozen=True)
class Multiplicativity:
    """Whether two modifiers multiply in one cell: RR(both) / (RR(first) x RR(second)).

    ratio_of_ratios: by link; the verdict is about "log". expected: p_gm if they multiplied;
    ceiling: 1 / max(1, expected), the largest ratio of ratios that probabilities allow. verdict:
    "holds" | "violated" | "undetermined" | "ceiling", the last where arithmetic alone keeps the
    ratio below .8. best_scale: the link of the smallest interaction. agents_needed: in each arm,
    at least, for an interval that fits inside .8-1.25. arms, agents: neither, first, second, both.
    """

    family: str
    cell: str
    pair: tuple[str, str]
    arms: tuple[str, ...]
    agents: tuple[int, ...]
    ratio_of_ratios: Mapping[str, Interval]
    expected: Number
    ceiling: Number
    verdict: str
    best_scale: str
    agents_needed: int
    tags: str
