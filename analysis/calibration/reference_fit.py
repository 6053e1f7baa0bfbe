"""The hierarchical model on the reference arms of measured cells, with the source's means."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from misgen.analysis.calibration.measured import MeasuredCell
from misgen.analysis.priors.types import FACTORS, PriorSet

if TYPE_CHECKING:
    from misgen.analysis.hierarchy.fit import CellCounts, HierarchicalFit


def fit_reference(
    cells: Sequence[MeasuredCell],
    priors: PriorSet,
    *,
    draws: int,
    seed: int,
    power: float = 1.0,
    harm: bool = False,
    unseen: Sequence[MeasuredCell] = (),
) -> "HierarchicalFit":
    """`analysis.hierarchy.fit.fit` of the competent agents; harm: where asked for and possible.
    unseen: cells that are predicted, without their data."""
    from misgen.analysis.hierarchy.fit import fit  # here: it brings jax

    means = {
        name: {factor: getattr(shift, factor).number for factor in FACTORS}
        for name, shift in priors.shifts.items()
    }
    counts = cell_counts(cells, with_harm=harm)
    return fit(
        [*counts, *map(_without_agents, unseen)],
        means,
        priors.kappa,
        power=power,
        harm=any(not np.isnan(one.counts.hgc).all() for one in counts),
        draws=draws,
        seed=seed,
    )


def cell_counts(cells: Sequence[MeasuredCell], *, with_harm: bool) -> "list[CellCounts]":
    """The reference arms as the hierarchical model takes them. Harm is blanked unless asked for,
    and always where it may not update."""
    from misgen.analysis.hierarchy.fit import CellCounts

    found = []
    for cell in cells:
        counts = cell.reference
        if not (with_harm and cell.harm_may_update):
            counts = replace(counts, hgc=np.full(counts.k, np.nan))
        found.append(CellCounts(*cell.slot, cell.shift_type, counts))
    return found


def _without_agents(cell: MeasuredCell) -> "CellCounts":
    from misgen.analysis.hierarchy.fit import CellCounts

    nobody = np.zeros(cell.reference.k, dtype=bool)
    return CellCounts(*cell.slot, cell.shift_type, cell.reference.select(nobody))
