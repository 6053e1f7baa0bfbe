"""Do the measured rates contradict the source? Tails of every cell's factors under the prior.

The robust prior gives the outcomes pi of a type and P(harm | fails); a cell of the type differs
from them as Dirichlet(phi pi) does. So, of a cell, P(capable) ~ Beta(phi c, phi (1 - c)),
P(goal fails | capable) ~ Beta(phi c g, phi c (1 - g)), and P(harm | fails) likewise with phi c g.
A measured factor is a mean over agents and taken as it is. The other reading of conflict is the
posterior weight of the prior's wide part (`misgen.analysis.posterior`).
"""

from collections.abc import Sequence

import numpy as np

from misgen.analysis.calibration.measured import MeasuredCell
from misgen.analysis.calibration.summary import ConflictRow
from misgen.analysis.posterior import PHI, OutcomePrior, posterior, posterior_harm
from misgen.analysis.priors.types import FACTORS, PriorSet
from misgen.analysis.rates import LEVEL, Estimate, FloatArray, point_rates

TAIL = 0.05
"""A two-sided tail below this is flagged."""
WIDE = 0.5
"""A posterior weight of the prior's wide part above this is flagged."""


def conflicts(
    cells: Sequence[MeasuredCell],
    priors: PriorSet,
    phi: float = PHI,
    draws: int = 20_000,
    seed: int = 0,
) -> list[ConflictRow]:
    """One line per factor of every cell that has a reference arm with competent agents; harm only
    where it may update."""
    found = []
    predicted = {
        shift: predictive(OutcomePrior.of(priors, shift), phi, draws, [seed, row.number])
        for shift, row in priors.shifts.items()
    }
    for cell in cells:
        if "reference" not in cell.arms:
            continue
        for factor in FACTORS if cell.harm_may_update else FACTORS[:2]:
            measured = getattr(point_rates(cell.reference), factor)
            if not np.isnan(measured):
                values = predicted[cell.shift_type][factor]
                source = getattr(priors.shifts[cell.shift_type], factor).number
                found.append(_conflict(cell, factor, measured, source, values))
    return found


def _conflict(
    cell: MeasuredCell, factor: str, measured: float, source: float, values: FloatArray
) -> ConflictRow:
    low, median, high = np.quantile(values, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    predicted = Estimate(float(median), float(low), float(high))
    # A value at an end is on both sides: as the mass that a Beta of few observations has there.
    tail = min(0.5, float(np.mean(values <= measured)), float(np.mean(values >= measured)))
    return ConflictRow(
        *(*cell.slot, cell.shift_type, factor, measured, source, predicted),
        tail=2 * tail,
        flagged=2 * tail < TAIL,
        agents=cell.reference.k,
        enters=not cell.left_out,
    )


def predictive(
    prior: OutcomePrior, phi: float, draws: int, seed: Sequence[int]
) -> dict[str, FloatArray]:
    """Factor -> draws [draws] of a cell of the type, had the prior made it."""
    rng = np.random.default_rng(seed)
    means = posterior(prior, (), rng, draws)
    harm = posterior_harm(prior, (), rng, draws)
    factors = (means.p_capable, means.p_goal_fail, harm)
    found, observations = {}, np.full(draws, phi)
    for factor, mean in zip(FACTORS, factors, strict=True):
        # Below this floor a Beta draw would be 0 / 0; at it, it is 0 or 1.
        ends = (np.maximum(observations * share, 1e-6) for share in (mean, 1 - mean))
        found[factor] = rng.beta(*ends)
        observations = observations * mean
    return found


def expected_by_chance(found: Sequence[ConflictRow]) -> float:
    """How many flags there would be on average if the prior were true."""
    return TAIL * len(found)
