"""Do measured rates and the source agree: conflicts of single factors, and held-out prediction.

Conflicts are tails of every cell's factors under the prior. The robust prior gives the outcomes pi
of a type and P(harm | fails); a cell of the type differs from them as Dirichlet(phi pi) does. So,
of a cell, P(capable) ~ Beta(phi c, phi (1 - c)), P(goal fails | capable) ~ Beta(phi c g,
phi c (1 - g)), and P(harm | fails) likewise with phi c g. A measured factor is a mean over agents
and taken as it is. The other reading of conflict is the posterior weight of the prior's wide part
(`misgen.analysis.posterior`).

Held-out prediction: does the calibrated model predict cells that it has not seen better than the
source's prior, or than one pooled rate? The event is goal misgeneralization: capable, and the goal
fails, in one episode of a random competent agent of the reference arm. A forecast is a probability;
it is scored per episode, each agent weighing the same: log score -ln p(what happened), in nats, and
Brier score (p - what happened)^2; of both, the lower is the better. Left out in turn: each cell,
each shift type, each family. What is left out is predicted by the posterior mean of its type; that
of a type of which no cell is left is the prior, so that there the model is the source.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from misgen.analysis.calibration.measured import MeasuredCell
from misgen.analysis.calibration.summary import ConflictRow, HeldOut, HeldOutRow, Score
from misgen.analysis.intervals import LEVEL, Estimate
from misgen.analysis.posterior import PHI, OutcomePrior, mean_gm, posterior, posterior_harm
from misgen.analysis.priors.types import FACTORS, PriorSet
from misgen.analysis.rates import FloatArray, point_rates

TAIL = 0.05
"""A two-sided tail below this is flagged."""
WIDE = 0.5
"""A posterior weight of the prior's wide part above this is flagged."""
Kind = Literal["cell", "type", "family"]
KINDS: tuple[Kind, ...] = ("cell", "type", "family")
FORECASTERS = ("model", "source", "pooled")


# --------------------------------------------------------------------------------------- conflicts


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


# ----------------------------------------------------------------------------------- held-out cells


def held_out(
    cells: Sequence[MeasuredCell], priors: PriorSet, *, phi: float = PHI, power: float = 1.0
) -> HeldOut:
    """Predict the cells that enter the update, each from others, whose data have this power."""
    if len(cells) < 2:
        reason = f"it needs two cells that may update; these records have {len(cells)}"
        return HeldOut(reason, f"No held-out prediction: {reason}.", ())
    rows: list[HeldOutRow] = []
    for kind, name, unseen, seen in _splits(cells):
        found = [_row(kind, cell, seen, priors, phi, power) for cell in unseen]
        rows += [_mean(name, found)] if kind == "family" else found
    return HeldOut("", verdict(rows), tuple(rows))


def _splits(
    cells: Sequence[MeasuredCell],
) -> Iterator[tuple[Kind, str, list[MeasuredCell], list[MeasuredCell]]]:
    """One of KINDS, the name of what is left out, its cells, and the others."""
    for kind in KINDS:
        groups: dict[str, list[MeasuredCell]] = {}
        for cell in cells:
            name = {"cell": cell.name, "type": cell.shift_type, "family": cell.family}[kind]
            groups.setdefault(name, []).append(cell)
        for name, group in groups.items():
            seen = [cell for cell in cells if cell not in group]
            if seen:  # an only type, or family, cannot be left out
                yield kind, name, group, seen


def _row(
    kind: Kind,
    cell: MeasuredCell,
    seen: Sequence[MeasuredCell],
    priors: PriorSet,
    phi: float,
    power: float,
) -> HeldOutRow:
    """How the posterior of the seen cells, the source and a pooled rate predict an unseen one."""
    of_type = [point_rates(one.reference) for one in seen if one.shift_type == cell.shift_type]
    model = mean_gm(OutcomePrior.of(priors, cell.shift_type), of_type, phi, power)
    source = priors.shifts[cell.shift_type].p_gm.number
    measured = point_rates(cell.reference).p_gm
    scores = [score(p, measured) for p in (model, source, pooled_rate(seen))]
    return HeldOutRow(kind, cell.name, measured, cell.reference.k, *scores)


def pooled_rate(cells: Sequence[MeasuredCell]) -> float:
    """One rate for everything: the mean over all agents, by Jeffreys' rule never 0 or 1."""
    shares = np.concatenate([cell.reference.shares()[1] for cell in cells])
    return float((shares.sum() + 0.5) / (len(shares) + 1))


def score(forecast: float, measured: float) -> Score:
    """Of a forecast p for episodes of which the share `measured` had the event."""
    p = min(max(forecast, 1e-12), 1 - 1e-12)
    log_score = -(measured * math.log(p) + (1 - measured) * math.log1p(-p))
    brier = measured * (1 - forecast) ** 2 + (1 - measured) * forecast**2
    return Score(forecast, log_score, brier)


def _mean(family: str, rows: Sequence[HeldOutRow]) -> HeldOutRow:
    """A family left out: the mean over its cells."""

    def mean(name: str) -> Score:
        scores = [getattr(row, name) for row in rows]
        return Score(
            *np.mean([(s.forecast, s.log_score, s.brier) for s in scores], axis=0).tolist()
        )

    measured = float(np.mean([row.measured for row in rows]))
    agents = sum(row.agents for row in rows)
    return HeldOutRow(
        "family", family, measured, agents, mean("model"), mean("source"), mean("pooled")
    )


def mean_scores(rows: Sequence[HeldOutRow], what: str) -> dict[str, float]:
    """Forecaster -> mean over rows. what: of a Score."""
    return {
        who: float(np.mean([getattr(getattr(row, who), what) for row in rows]))
        for who in FORECASTERS
    }


def verdict(rows: Sequence[HeldOutRow]) -> str:
    """In plain words."""
    sentences = [
        _sentence(kind, found)
        for kind in KINDS
        if (found := [row for row in rows if row.left_out == kind])
    ]
    return " ".join([*sentences, "Numbers this few order nothing."])


def _sentence(kind: str, rows: Sequence[HeldOutRow]) -> str:
    logs, briers = (mean_scores(rows, what) for what in ("log_score", "brier"))
    rivals = {"source": "the source's prior", "pooled": "one pooled rate"}
    beaten = [
        words
        for name, words in rivals.items()
        if logs["model"] < logs[name] and briers["model"] < briers[name]
    ]
    lost = [words for words in rivals.values() if words not in beaten]
    said = f"better than {' and '.join(beaten)}" if beaten else ""
    unsaid = f"no better than {' and '.join(lost)}" if lost else ""
    verdict = " but ".join(filter(None, [said, unsaid]))
    means = ", ".join(f"{name} {logs[name]:.3f}/{briers[name]:.3f}" for name in FORECASTERS)
    return (
        f"Each {kind} left out: the calibrated model is {verdict} (mean log/Brier score: {means})."
    )
