"""The parameters of the risk model: the source's prior, or what a calibration says."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from misgen.analysis.posterior import OutcomePrior, assumed_harm, posterior
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import PRIOR_SETS, PriorSet
from misgen.analysis.risk.formula import OVERFLOWS, FactorDraws, Input

if TYPE_CHECKING:
    from misgen.analysis.calibration.handoff import CalibrationFile
    from misgen.analysis.calibration.summary import ReferenceCondition


@dataclass(frozen=True)
class Parameters:
    """Factors by shift type, and multipliers by (modifier, level) in place of the printed ones.

    origin: where the factors come from, in words, by shift type. measured: the shift types whose
    factors contain data. factor_notes: said by predictions with such factors; notes: said by
    predictions with any data, each about a shift type, a modifier or, "", anything.
    """

    factors: Mapping[str, FactorDraws]
    origin: Mapping[str, str]
    multipliers: Mapping[tuple[str, str], Input] = field(default_factory=dict)
    measured: frozenset[str] = frozenset()
    factor_notes: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator of one input: other names and other seeds are independent of it."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def check_draws(draws: int, seed: int) -> None:
    """ValueError for fewer than one draw or a negative seed."""
    if draws < 1 or seed < 0:
        raise ValueError(
            f"draws are at least 1 and a seed at least 0; got {draws} and {seed}; "
            "leave them out for the defaults"
        )


def prior_parameters(priors: PriorSet, draws: int, seed: int, harm: str) -> Parameters:
    """The robust prior of each type's outcomes; harm as the product implies or the note says."""
    factors, origin = {}, {}
    for shift in priors.shifts:
        prior = OutcomePrior.of(priors, shift)
        drawn = posterior(prior, (), stream(seed, f"{shift}/outcomes"), draws)
        p_harm = assumed_harm(priors, shift, harm, draws, stream(seed, f"{shift}/p_harm"))
        factors[shift] = FactorDraws(drawn.p_capable, drawn.p_goal_fail, p_harm)
        origin[shift] = f"prior {priors.name}, kappa = {prior.kappa:g}"
    return Parameters(factors, origin)


def calibrated_parameters(
    file: "CalibrationFile",
    data: str,
    harm: str,
    rows: npt.NDArray[np.int64],
    priors: PriorSet,
) -> Parameters:
    """What the data say, with P(harm | fails) by the assumption asked for and by no other."""
    factors, origin, measured = {}, {}, set()
    for row in file.summary.types:
        shift = row.type
        rates = file.rates_of(data, shift)
        p_harm = file.harm(harm, shift, data)
        factors[shift] = FactorDraws(rates.p_capable[rows], rates.p_goal_fail[rows], p_harm[rows])
        origin[shift] = "prior" if data == "none" else data
        if data != "none" and row.keeps_prior:
            origin[shift] = f"prior: {row.keeps_prior}"
        elif data != "none":
            measured.add(shift)
    known = {
        (row.modifier, row.level)
        for row in file.summary.modifiers
        if getattr(row, data, None) is not None
    }
    link, _ = OVERFLOWS[file.summary.settings.overflow]
    multipliers = {
        (modifier, level): Input(f"{level}: measured", values[rows], "p_goal_fail", link)
        for (modifier, level), values in file.multipliers_of(data).items()
        if (modifier, level) in known
    }
    return Parameters(
        factors,
        origin,
        multipliers,
        frozenset(measured),
        (_condition_note(file.summary.reference_condition, priors),),
        tuple((one.about, one.text) for one in file.summary.data_warnings.get(data, ())),
    )


def _condition_note(condition: "ReferenceCondition", priors: PriorSet) -> str:
    """Under which specification quality factors were measured, and that a level comes on top."""
    level = priors.modifiers["spec"].level(condition.q)
    return (
        f"factors measured at q = {condition.q:g}, d = {condition.d:g}, "
        f"{condition.method.upper()}, and used as measured; the source's multiplier for "
        f"q = {condition.q:g} is x {level.median:.2g} [{level.low:.2g}, {level.high:.2g}]: "
        "a specification level multiplies on top of it"
    )


def priors_of(file: "CalibrationFile", given: PriorSet | None) -> PriorSet:
    """The set that the calibration used: modifiers and domains must be of the factors' set."""
    settings = file.summary.settings
    used = settings.prior
    if used in PRIOR_SETS:
        if given is None or given == load_priors(used, kappa=given.kappa, log_sd=given.log_sd):
            given = load_priors(used, kappa=settings.kappa, log_sd=settings.log_sd)
    fingerprint = settings.prior_fingerprint
    if given is not None and given.fingerprint == fingerprint:
        return given
    got = "none" if given is None else f"{given.name!r} ({given.fingerprint})"
    raise ValueError(
        f"a calibrated model needs the prior of its calibration; {file.folder} used {used!r} with "
        f"figures of the fingerprint {fingerprint}, got {got}; give that set or file (--prior), or "
        "calibrate again"
    )
