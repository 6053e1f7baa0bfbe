"""Calibration: the source's prior and the measured cells -> joint draws for the risk model.

    calibration = calibrate(read_records(results), load_priors())
    write_calibration(calibration, folder)          # misgen.analysis.calibration.write

Data do one of three things. "none" moves nothing: the measured rates stand beside the source's.
"combine" is the posterior of each type's outcomes (`misgen.analysis.posterior`), data entering with
a stated power. "only" puts the measured rates in the prior's place. The last two read the reference
arm alone (`analysis.calibration.measured`); a type without a cell that may enter keeps its prior.
P(harm | fails) is a matter of design in a testbed and moves only when asked.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from misgen.analysis.calibration.checks import conflicts, held_out
from misgen.analysis.calibration.draws import (
    Settings,
    all_draws,
    harm_cells_of,
    mean_rates,
    modifier_columns,
    sweep,
    type_draws,
)
from misgen.analysis.calibration.measured import (
    VARIANT,
    MeasuredCell,
    measure_cells,
    refusal,
    trained_alike,
)
from misgen.analysis.calibration.multipliers import Multiplier, multipliers, swept_multipliers
from misgen.analysis.calibration.summary import ConflictRow, HeldOut, SweepRow, SweptMultiplier
from misgen.analysis.counts import counted
from misgen.analysis.modifiers.measure import ModifierReport, measure_modifiers
from misgen.analysis.priors.types import PriorSet
from misgen.analysis.rates import FloatArray, point_rates
from misgen.analysis.records import Records, query
from misgen.analysis.risk.formula import OVERFLOWS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """Everything measured and drawn. draws: the columns of draws.parquet, see `handoff`.

    refused: why there is no combine and no only, or empty. wide: shift type -> posterior weight
    of the prior's wide part, NaN for types without a cell. condition: arm -> what the source's
    multipliers for its training condition resolved to.
    """

    priors: PriorSet
    settings: Settings
    inputs: Mapping[str, Any]
    cells: tuple[MeasuredCell, ...]
    refused: str
    draws: Mapping[str, FloatArray]
    wide: Mapping[str, float]
    condition: Mapping[str, Mapping[str, str]]
    modifiers: tuple[Multiplier, ...]
    modifier_report: ModifierReport
    conflicts: tuple[ConflictRow, ...]
    sweep: tuple[SweepRow, ...]
    log_sd_sweep: tuple[SweptMultiplier, ...]
    held_out: HeldOut

    @property
    def entering(self) -> tuple[MeasuredCell, ...]:
        """The cells that combine and only read."""
        return tuple(cell for cell in self.cells if not cell.left_out)

    def cells_of(self, shift: str) -> tuple[MeasuredCell, ...]:
        return tuple(cell for cell in self.entering if cell.shift_type == shift)

    def harm_cells(self, shift: str) -> list[MeasuredCell]:
        """The cells whose measured harm moves the type's: asked for, allowed and defined."""
        return harm_cells_of(self.cells_of(shift), self.settings)

    def replaced_points(self, shift: str) -> dict[str, float]:
        """The raw rates of "only", from the means over the type's cells; harm as in its draws,
        whose prior has this mean where none was asked for."""
        harm = float(self.draws[f"prior/{shift}/p_harm"].mean())
        if self.settings.harm == "implied":
            harm = self.priors.shifts[shift].p_harm.number
        cells, harm_cells = (
            [point_rates(cell.reference) for cell in found]
            for found in (self.cells_of(shift), self.harm_cells(shift))
        )
        rates = mean_rates(cells, harm_cells, harm)._asdict()
        return {name: float(rate) for name, rate in rates.items()}


def calibrate(
    records: Records,
    priors: PriorSet,
    *,
    broken_episodes: Mapping[str, float] | None = None,
    named_cells: Collection[str] = (),
    **settings: Any,
) -> Calibration:
    """Measure the records and join them with the priors.

    records: episodes or counts. broken_episodes: run id -> training episodes in which the goals
    came apart, for the dose-response. named_cells: codes that the records' study names; what the
    records lack of them is said. settings: fields of `draws.Settings`.
    Raises ValueError for a setting out of range and for records that cannot be compared.
    """
    asked = Settings(**settings)
    phi, power, seed = asked.phi, asked.power, asked.seed
    records = counted(records)
    log.info("measuring the cells")
    cells = measure_cells(records)
    if not cells:
        raise ValueError(
            "calibration reads PPO agents with q = 1 at d = 0, 0.1 or 1, evaluated at variant 11; "
            "these records have none; run `misgen run-cells` or `misgen demo`"
        )
    entering = [cell for cell in cells if not cell.left_out]
    refused = refusal(cells)
    log.info("comparing arms")
    link = OVERFLOWS[asked.overflow][0]
    alike = trained_alike(records)
    report = measure_modifiers(alike, link=link, broken_episodes=broken_episodes, seed=seed)
    log.info("drawing prior and posterior, at other strengths as well")
    lines = multipliers(priors, report, power, asked.draws, seed)
    types = {name: type_draws(priors, name, entering, asked) for name in priors.shifts}
    columns, words = all_draws(cells, priors, asked, types)
    return Calibration(
        priors=priors,
        settings=asked,
        inputs=_inputs(records, named_cells),
        cells=tuple(cells),
        refused=refused,
        draws=columns | modifier_columns(lines, refused),
        wide={name: one.wide for name, one in types.items()},
        condition=words,
        modifiers=tuple(lines),
        modifier_report=report,
        conflicts=tuple(conflicts(cells, priors, phi, seed=seed)),
        sweep=tuple(sweep(entering, priors, asked)),
        log_sd_sweep=() if refused else tuple(swept_multipliers(priors, report, power)),
        held_out=held_out(entering, priors, phi=phi, power=power),
    )


def _inputs(records: Records, named_cells: Collection[str]) -> dict[str, Any]:
    """What was read, by which another run can be compared with this one."""
    ((episodes, runs, version),) = query(
        records,
        "select sum(episodes)::bigint, count(distinct run_id) filter (role = 'agent'), "
        "max(schema_version) from records",
    )
    families = query(records, "select family, max(family_version) from records group by all")
    studies = query(records, "select distinct study from records where study <> '' order by 1")
    blocks = query(
        records,
        f"select family || '/' || cell, min(eval_fingerprint) from records "
        f"where variant = '{VARIANT}' group by all order by all",
    )
    have = {cell for (cell,) in query(records, "select distinct cell from records")}
    return {
        "missing_cells": sorted({*named_cells} - have),
        "episodes": episodes,
        "runs": runs,
        "schema_version": version,
        "families": dict(sorted(families)),
        "studies": [study for (study,) in studies],
        "fingerprints": dict(blocks),
    }
