"""Held-out prediction: does the calibrated model predict cells that it has not seen better than the
source's prior, or than one pooled rate?

The event is goal misgeneralization: capable, and the goal fails, in one episode of a random
competent agent of the reference arm. A forecast is a probability; it is scored per episode, each
agent weighing the same: log score -ln p(what happened), in nats, and Brier score
(p - what happened)^2; of both, the lower is the better. Left out in turn: each cell, each shift
type, each family. What is left out is predicted by family and type mean with the cell's deviation;
the mean of an unseen type is its prior.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from misgen.analysis.calibration.measured import MeasuredCell
from misgen.analysis.calibration.reference_fit import fit_reference
from misgen.analysis.priors.types import PriorSet
from misgen.analysis.rates import point_rates

if TYPE_CHECKING:
    from misgen.analysis.hierarchy.fit import HierarchicalFit

DRAWS = 1000
KINDS = ("cell", "type", "family")


@dataclass(frozen=True)
class Score:
    """A forecast of p_gm and how it did."""

    forecast: float
    log_score: float
    brier: float


@dataclass(frozen=True)
class HeldOutRow:
    """left_out: one of KINDS. cell: `family/code`; with "family" the family, whose numbers are
    means over its cells. measured: p_gm of the competent agents."""

    left_out: str
    cell: str
    measured: float
    agents: int
    model: Score
    source: Score
    pooled: Score


@dataclass(frozen=True)
class HeldOut:
    """reason: why there are no rows, or empty. refused: by the sampler, so that the bootstrap's
    posterior stands in: what was left out."""

    rows: tuple[HeldOutRow, ...]
    reason: str = ""
    refused: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """In plain words."""
        if not self.rows:
            return f"No held-out prediction: {self.reason}."
        sentences = [
            _sentence(kind, rows)
            for kind in KINDS
            if (rows := [row for row in self.rows if row.left_out == kind])
        ]
        if self.refused:
            names = ", ".join(self.refused)
            sentences.append(
                f"The sampler is refused, and gives way to the bootstrap, for {names}."
            )
        return " ".join([*sentences, "Numbers this few order nothing."])


def held_out(
    cells: Sequence[MeasuredCell], priors: PriorSet, *, power: float = 1.0, seed: int = 0
) -> HeldOut:
    """Predict the cells that enter the update, each from others, whose data have this power."""
    if len(cells) < 2:
        return HeldOut((), f"it needs two cells that may update; these records have {len(cells)}")
    rows: list[HeldOutRow] = []
    refused = []
    fits: dict[tuple[str, ...], HierarchicalFit] = {}  # the only cell of a type is left out once
    for kind, name, unseen, seen in _splits(cells):
        left_out = tuple(cell.name for cell in unseen)
        if left_out not in fits:
            fits[left_out] = fit_reference(
                seen, priors, draws=DRAWS, seed=seed, power=power, unseen=unseen
            )
        found = _rows(kind, unseen, seen, priors, fits[left_out])
        rows += [_mean(name, found)] if kind == "family" else found
        refused += [f"{kind} {name}"] if fits[left_out].refused else []
    return HeldOut(tuple(rows), refused=tuple(refused))


def _splits(
    cells: Sequence[MeasuredCell],
) -> Iterator[tuple[str, str, list[MeasuredCell], list[MeasuredCell]]]:
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


def _rows(
    kind: str,
    unseen: Sequence[MeasuredCell],
    seen: Sequence[MeasuredCell],
    priors: PriorSet,
    fit: "HierarchicalFit",
) -> list[HeldOutRow]:
    """How the fit of the seen cells, the source and a pooled rate predict the unseen ones."""
    pooled = pooled_rate(seen)
    rows = []
    for cell in unseen:
        capable, fails = (one.predicted[cell.slot] for one in (fit.p_capable, fit.p_goal_fail))
        model = np.mean(capable * fails)
        source = priors.shifts[cell.shift_type].p_gm.number
        measured = point_rates(cell.reference).p_gm
        scores = [score(float(p), measured) for p in (model, source, pooled)]
        rows.append(HeldOutRow(kind, cell.name, measured, cell.reference.k, *scores))
    return rows


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


def _sentence(kind: str, rows: Sequence[HeldOutRow]) -> str:
    names = ("model", "source", "pooled")
    logs, briers = (
        {
            name: float(np.mean([getattr(getattr(row, name), what) for row in rows]))
            for name in names
        }
        for what in ("log_score", "brier")
    )
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
    means = ", ".join(f"{name} {logs[name]:.3f}/{briers[name]:.3f}" for name in names)
    return (
        f"Each {kind} left out: the calibrated model is {verdict} (mean log/Brier score: {means})."
    )
