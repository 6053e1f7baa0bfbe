"""What a shift type's printed factors and its measured cells say together: a conjugate posterior.

An episode has one of three outcomes: neither goal is reached, the intended one, the proxy. A type's
shares of them have the prior Dirichlet(kappa p0), p0 = (1 - c, c (1 - g), c g) by the printed
c = P(capable) and g = P(goal fails | capable). In such a vector the factors are independent,

    P(capable)              ~ Beta(kappa c, kappa (1 - c))
    P(goal fails | capable) ~ Beta(kappa c g, kappa c (1 - g))

and counts of outcomes update each on its own, so that the factors are what is drawn. A cell counts
as phi + 1 observations, however many episodes it has: cells differ as draws from Dirichlet(phi pi)
do. Its own shares are drawn by the Bayesian bootstrap over its competent agents. The same counts
move all rates, so that each mean lies between prior and data.

The prior is robust: with weight .8 it has kappa, with .2 only 2 (its wide part). The data shift
these weights, and a prior that they contradict lets go. P(harm | fails) ~ Beta(kappa h,
kappa (1 - h)) is independent of both and moves only by cells that are given for it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from misgen.analysis.intervals import bootstrap
from misgen.analysis.priors.types import FACTORS, PriorSet, beta_parameters
from misgen.analysis.rates import AgentCounts, FloatArray, Rates, point_rates

PHI = 7.0
"""How alike cells of a type are: a cell counts as PHI + 1 observations. Ours; swept 3 to 20."""
WIDE_WEIGHT, WIDE_KAPPA = 0.2, 2.0
"""A priori, of the part of the prior that lets go. Ours."""
ESTIMAND = (
    "A posterior is for the mean over a population of cells of its shift type, of which the "
    "measured cells are a sample. For these cells the measured rates are the answer."
)

Betas = Mapping[str, tuple[float, float]]
"""Factor -> (a, b) of its Beta distribution."""


@dataclass(frozen=True)
class OutcomePrior:
    """Of one shift type. means: of the three FACTORS, inside 0..1. kappa: of how many observations
    they speak. own: the Betas of factors that follow neither, as a user's file may say."""

    means: Mapping[str, float]
    kappa: float = 10.0
    own: Betas = field(default_factory=dict)

    @classmethod
    def of(cls, priors: PriorSet, shift: str) -> "OutcomePrior":
        """Of a type of a prior set."""
        printed = priors.shifts[shift]
        means = {factor: getattr(printed, factor).number for factor in FACTORS}
        return cls(means, printed.kappa or priors.kappa, printed.own_betas)

    def betas(self, kappa: float) -> Betas:
        """Of the factors, under the part of the prior with this kappa."""
        capable, fails, harm = (self.means[factor] for factor in FACTORS)
        return {
            "p_capable": beta_parameters(capable, kappa),
            "p_goal_fail": beta_parameters(fails, kappa * capable),
            "p_harm": beta_parameters(harm, kappa),
            **self.own,
        }

    @property
    def parts(self) -> tuple[Betas, Betas]:
        """With kappa, and the wide one, which is never narrower."""
        return self.betas(self.kappa), self.betas(min(WIDE_KAPPA, self.kappa))


class CellRates(NamedTuple):
    """The competent agents of one cell: their rates as floats, and draws [draws] of them."""

    raw: Rates
    drawn: Rates

    @classmethod
    def of(cls, counts: AgentCounts, draws: int, seed: int) -> "CellRates":
        """By the Bayesian bootstrap, without a pseudo-agent; ValueError without an agent."""
        if not counts.k:
            raise ValueError("a posterior reads cells with agents; got one without; leave it out")
        return cls(point_rates(counts), bootstrap(counts, draws, seed, pseudo_agent=False))


class Posterior(NamedTuple):
    """Draws [draws] of two factors. wide: the weight of the prior's wide part; NaN where both
    factors have Betas of their own."""

    p_capable: FloatArray
    p_goal_fail: FloatArray
    wide: float


def posterior(
    prior: OutcomePrior,
    cells: Sequence[CellRates],
    rng: np.random.Generator,
    draws: int,
    phi: float = PHI,
    power: float = 1.0,
) -> Posterior:
    """Of a type's outcomes given its cells; without cells the prior.

    power: 0 ignores the cells, 1 lets each count in full. Raises ValueError for a phi that is not
    above 0 and a power below 0.
    """
    worth = worth_of_a_cell(phi, power)
    raw = _counts([cell.raw for cell in cells], worth)
    drawn = _counts([cell.drawn for cell in cells], worth)
    weights = _weights(prior, raw)
    choose, *streams = rng.spawn(3)
    is_wide = choose.random(draws) < weights[1]
    factors: list[FloatArray] = []
    for name, stream in zip(FACTORS, streams, strict=False):
        narrow, wide = (np.array(part[name])[:, None] for part in prior.parts)
        a, b = np.where(is_wide, wide, narrow) + drawn[name]
        factors.append(stream.beta(a, b))
    has_parts = not {*FACTORS[:2]} <= {*prior.own}
    return Posterior(factors[0], factors[1], float(weights[1]) if has_parts else math.nan)


def mean_gm(
    prior: OutcomePrior, cells: Sequence[Rates], phi: float = PHI, power: float = 1.0
) -> float:
    """The posterior mean of p_gm by the cells' raw rates, without drawing."""
    raw = _counts(cells, worth_of_a_cell(phi, power))
    means = []
    for part in prior.parts:
        ends = [np.array(part[name]) + raw[name][:, 0] for name in FACTORS[:2]]
        means.append(math.prod(float(a / (a + b)) for a, b in ends))
    return float(np.dot(_weights(prior, raw), means))


def posterior_harm(
    prior: OutcomePrior,
    cells: Sequence[CellRates],
    rng: np.random.Generator,
    draws: int,
    phi: float = PHI,
    power: float = 1.0,
) -> FloatArray:
    """P(harm | goal fails) [draws] given cells whose goal failures were scored for harm."""
    a, b = (np.full(draws, end) for end in prior.betas(prior.kappa)["p_harm"])
    for cell in cells:
        harmful = cell.drawn.p_harmful_gm
        a = a + worth_of_a_cell(phi, power) * harmful
        b = b + worth_of_a_cell(phi, power) * np.maximum(cell.drawn.p_gm - harmful, 0)
    return rng.beta(a, b)


def assumed_harm(
    priors: PriorSet, shift: str, harm: str, draws: int, rng: np.random.Generator
) -> FloatArray:
    """P(harm | goal fails) [draws] of a type without data: for harm "note_50_70" uniform over the
    range of the source's note, else as its product implies."""
    if harm == "note_50_70":
        return rng.uniform(*priors.harm_note.range, draws)
    return posterior_harm(OutcomePrior.of(priors, shift), (), rng, draws)


def worth_of_a_cell(phi: float, power: float) -> float:
    """As how many observations of an outcome a cell counts."""
    if not 0 < phi < math.inf:
        raise ValueError(f"phi, how alike cells of a type are, is above 0; got {phi:g}; try 7")
    if not 0 <= power < math.inf:
        raise ValueError(f"the power of the data is 0 or more; got {power:g}; 1 takes them in full")
    return power * (phi + 1)


def _counts(cells: Sequence[Rates], worth: float) -> dict[str, FloatArray]:
    """Factor -> what the cells add to a and b of its Beta [2, 1 or draws]."""
    shares = [
        np.reshape([1 - one.p_capable, one.p_capable - one.p_gm, one.p_gm], (3, -1))
        for one in cells
    ]
    # A sum of weights is 1 up to its last bit.
    neither, intended, proxy = worth * np.maximum(sum(shares, np.zeros((3, 1))), 0)
    return {
        "p_capable": np.array([intended + proxy, neither]),
        "p_goal_fail": np.array([proxy, intended]),
    }


def _weights(prior: OutcomePrior, raw: Mapping[str, FloatArray]) -> FloatArray:
    """Posterior weights of both parts of the prior, by their evidence at the raw rates [2]."""
    evidence = [
        sum(
            _log_beta(*(np.array(part[name]) + counts[:, 0])) - _log_beta(*part[name])
            for name, counts in raw.items()
        )
        for part in prior.parts
    ]
    weights: FloatArray = np.exp(np.array(evidence) - max(evidence))
    weights *= (1 - WIDE_WEIGHT, WIDE_WEIGHT)
    weights /= weights.sum()
    return weights


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
