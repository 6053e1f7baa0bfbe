"""The columns of draws.parquet: prior, posterior and measured rates, by the settings asked for."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from misgen.analysis.calibration.handoff import RATES, exact, rate_columns
from misgen.analysis.calibration.measured import ARMS, MeasuredCell, Q
from misgen.analysis.calibration.multipliers import Multiplier, condition
from misgen.analysis.calibration.summary import SweepRow
from misgen.analysis.intervals import LEVEL, MIN_AGENTS, Estimate, bootstrap
from misgen.analysis.posterior import (
    PHI,
    CellRates,
    OutcomePrior,
    Posterior,
    assumed_harm,
    posterior,
    posterior_harm,
    worth_of_a_cell,
)
from misgen.analysis.priors.types import FACTORS, PriorSet
from misgen.analysis.rates import FloatArray, Rates
from misgen.analysis.risk.formula import OVERFLOWS
from misgen.analysis.words import DATA

HARM = ("implied", "note_50_70", "measured")
KAPPAS = (2.0, 5.0, 10.0, 20.0, 50.0)
PHIS = (3.0, 5.0, 7.0, 10.0, 20.0)


@dataclass(frozen=True)
class Settings:
    """What was asked for. phi: how alike cells of a type are; power: of the data in `combine`, 0 to
    1. harm: P(harm | fails) as the printed products imply; "note_50_70", as a note of the source
    assumes; "measured", updated by the cells that may. overflow: what a prediction does with
    probabilities above 1, which fixes the link on which multipliers are measured, ratios of rates
    for "clip", of hazards or of odds. kappas, phis: what the posterior is swept over."""

    phi: float = PHI
    power: float = 1.0
    harm: str = "implied"
    overflow: str = "clip"
    draws: int = 4000
    seed: int = 0
    kappas: tuple[float, ...] = KAPPAS
    phis: tuple[float, ...] = PHIS

    def __post_init__(self) -> None:
        for name in ("kappas", "phis"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        if self.harm not in HARM:
            raise ValueError(f"harm is one of {', '.join(HARM)}; got {self.harm!r}; choose one")
        if self.overflow not in OVERFLOWS:
            known = ", ".join(OVERFLOWS)
            raise ValueError(f"overflow is one of {known}; got {self.overflow!r}; choose one")
        if not 0 <= self.power <= 1:
            raise ValueError(
                f"the power of the data is within 0 (ignored) and 1 (full); got {self.power:g}"
            )
        if self.draws < 100:
            raise ValueError(f"quantiles need at least 100 draws; got {self.draws}; try 4000")
        if self.seed < 0:
            raise ValueError(f"a seed is a number from 0 on; got {self.seed}")
        if not self.kappas or min(self.kappas) <= 0:
            raise ValueError(f"kappas are above 0; got {self.kappas}; try 2, 10 and 50")
        for phi in (self.phi, *self.phis):
            worth_of_a_cell(phi, self.power)


class TypeDraws(NamedTuple):
    """Of one shift type: rate -> draws, the products exact. Without a cell both are the same, and
    wide, the posterior weight of the prior's wide part, is NaN."""

    prior: Mapping[str, FloatArray]
    combine: Mapping[str, FloatArray]
    wide: float


# ---------------------------------------------------------------------------------- the posterior


def type_draws(
    priors: PriorSet, shift: str, entering: Sequence[MeasuredCell], settings: Settings
) -> TypeDraws:
    """Prior and posterior of one type, by the same random numbers."""
    here = [cell for cell in entering if cell.shift_type == shift]
    prior, strength = OutcomePrior.of(priors, shift), (settings.phi, settings.power)
    draws, stream = settings.draws, (settings.seed, priors.shifts[shift].number)
    before, after = (
        posterior(prior, cells, np.random.default_rng(stream), draws, *strength)
        for cells in ([], _cell_rates(here, settings))
    )
    harm = moved = _assumed_harm(priors, shift, settings.harm, settings)
    if harm_cells := harm_cells_of(here, settings):
        rng = np.random.default_rng((*stream, 2))
        moved = posterior_harm(prior, _cell_rates(harm_cells, settings), rng, draws, *strength)
    return TypeDraws(_rates(before, harm), _rates(after, moved), after.wide if here else math.nan)


def _cell_rates(cells: Sequence[MeasuredCell], settings: Settings) -> list[CellRates]:
    return [
        CellRates.of(cell.reference, settings.draws, _seed(settings, cell.name)) for cell in cells
    ]


def _assumed_harm(priors: PriorSet, shift: str, harm: str, settings: Settings) -> FloatArray:
    rng = np.random.default_rng([settings.seed, priors.shifts[shift].number, 2])
    return assumed_harm(priors, shift, harm, settings.draws, rng)


def _rates(drawn: Posterior, harm: FloatArray) -> dict[str, FloatArray]:
    factors = dict(zip(FACTORS, (drawn.p_capable, drawn.p_goal_fail, harm), strict=True))
    return dict(zip(RATES, rate_columns("", factors).values(), strict=True))


def estimates_of(drawn: Mapping[str, FloatArray], prefix: str = "") -> dict[str, Estimate]:
    """Rate -> mean and central 90 % of its draws."""
    columns = {name: drawn[f"{prefix}{name}"] for name in RATES}
    return {name: Estimate(float(v.mean()), *central(v)) for name, v in columns.items()}


def central(draws: FloatArray) -> tuple[float, float]:
    """The ends of the central 90 %."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def sweep(
    entering: Sequence[MeasuredCell], priors: PriorSet, settings: Settings
) -> Iterator[SweepRow]:
    """Every type at other values of kappa, then of phi; no posterior where no cell enters."""
    cases = [("kappa", kappa, priors.with_kappa(kappa), settings) for kappa in settings.kappas]
    cases += [("phi", phi, priors, replace(settings, phi=phi)) for phi in settings.phis]
    for what, value, swept, some in cases:
        for shift in priors.shifts:
            drawn = type_draws(swept, shift, entering, some)
            combine = estimates_of(drawn.combine) if entering else None
            yield SweepRow(what, value, shift, estimates_of(drawn.prior), combine, drawn.wide)


# -------------------------------------------------------------------------------------- the draws


def all_draws(
    cells: Sequence[MeasuredCell],
    priors: PriorSet,
    settings: Settings,
    types: Mapping[str, TypeDraws],
) -> tuple[dict[str, FloatArray], dict[str, dict[str, str]]]:
    """Every column but the modifiers', and the words for the conditions."""
    entering = [cell for cell in cells if not cell.left_out]
    columns: dict[str, FloatArray] = {}
    for shift, found in types.items():
        columns |= rate_columns(f"prior/{shift}", found.prior)
        if entering:
            columns |= rate_columns(f"combine/{shift}", found.combine)
            here = [cell for cell in entering if cell.shift_type == shift]
            measured = _only(here, found.prior, settings) if here else found.prior
            columns |= rate_columns(f"only/{shift}", measured)
        for assumption in HARM[:2]:
            harm = _assumed_harm(priors, shift, assumption, settings)
            columns[f"harm/{assumption}/{shift}"] = exact(harm)
    for arm, name in (("reference", "measured"), ("d0", "d0")):
        for cell in cells:
            if arm in cell.arms and cell.arms[arm].counts.k >= MIN_AGENTS:
                rates = _bootstrap(cell, arm, settings)._asdict()
                columns |= rate_columns(f"{name}/{cell.name}", rates)
    words = {}
    for arm, d in ARMS.items():
        multiplier, words[arm] = condition(priors, d, Q, settings.draws, settings.seed)
        columns[f"condition/{arm}"] = exact(multiplier)
    return columns, words


def modifier_columns(lines: Sequence[Multiplier], refused: str) -> dict[str, FloatArray]:
    return {
        f"{kind}/modifier/{line.modifier}/{line.level}": exact(line.draws[kind])
        for kind in (("prior",) if refused else ("prior", *DATA[1:]))
        for line in lines
    }


def _only(
    cells: Sequence[MeasuredCell], prior: Mapping[str, FloatArray], settings: Settings
) -> dict[str, FloatArray]:
    """The factors [draws] of "only" by the bootstrapped rates of a type's cells."""

    def drawn(cell: MeasuredCell) -> Rates:
        return _bootstrap(cell, "reference", settings)

    harm_cells = harm_cells_of(cells, settings)
    found = mean_rates(map(drawn, cells), map(drawn, harm_cells), prior["p_harm"])
    return found._asdict()


def mean_rates(cells: Iterable[Rates], harm_cells: Iterable[Rates], harm: Any) -> Rates:
    """The means over cells, each weighing the same, as floats or draws. harm: of cells whose harm
    is not read."""
    capable, gm = np.mean([(one.p_capable, one.p_gm) for one in cells], axis=0)
    if read := [*harm_cells]:
        harm = sum(one.p_harmful_gm for one in read) / sum(one.p_gm for one in read)
    with np.errstate(invalid="ignore", divide="ignore"):
        fails = np.true_divide(gm, capable)
    return Rates(capable, fails, harm, gm, gm * harm)


def harm_cells_of(cells: Sequence[MeasuredCell], settings: Settings) -> list[MeasuredCell]:
    """The cells whose measured harm was asked for, may enter, and is defined."""
    return [
        cell
        for cell in (cells if settings.harm == "measured" else ())
        if cell.harm_may_update
        and not np.isnan(cell.reference.hgc).any()
        and cell.reference.gc.sum() > 0
    ]


def _bootstrap(cell: MeasuredCell, arm: str, settings: Settings) -> Rates:
    """Draws of the competent agents' rates; independent between cells and arms."""
    stream = (cell.stream,) * (cell.stream > 0)
    seed = _seed(settings, f"{cell.family}/{cell.shift_type}/{arm}", stream)
    return bootstrap(cell.arms[arm].counts, settings.draws, seed)


def _seed(settings: Settings, name: str, stream: tuple[int, ...] = ()) -> int:
    sequence = np.random.SeedSequence([settings.seed, *name.encode()], spawn_key=stream)
    return int(sequence.generate_state(1)[0])
