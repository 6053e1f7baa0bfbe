"""The risk model: from words (a shift type, a domain, modifier levels) to draws of both rates.

    model = RiskModel.from_prior()                     # the source's figures
    model = RiskModel.from_calibration("calibration/", "combine")
    prediction = model.predict("moderate", spec=0.9, interventions=["ai_control_protocols"])
    prediction.p_harmful_gm.interval()                 # central 90 %

The formula is in `misgen.analysis.risk.formula`. Uncertainty of the inputs:
    factors             the robust prior of `misgen.analysis.posterior` around the printed means,
                        worth kappa (10) observations
    modifier level      named: log-normal around the printed value, within the printed range;
                        printed band or "unknown": log-normal whose central 90 % is the band or
                        whole range; reference: 1
    period              likewise: log-normal around a number, over a range; the first: 1
    intervention        1 - reduction, the reduction uniform over its printed range
    transport           uniform, U(.5, 1.5), where data of toy agents enter a domain
Each input has its own named stream of the seed, so that one more input leaves the others as they
were. All levels of a modifier share their noise: two scenarios differ only by what differs.
"""

import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from misgen.analysis.posterior import OutcomePrior, assumed_harm, posterior
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.levels import Level, band_level, named_level
from misgen.analysis.priors.types import (
    FACTORS,
    PRIOR_SETS,
    SHIFT_TYPES,
    Domain,
    Intervention,
    Period,
    PriorSet,
)
from misgen.analysis.rates import FloatArray
from misgen.analysis.risk.draws import Draws, check_limit, expect_rate
from misgen.analysis.risk.formula import (
    OVERFLOWS,
    TARGETS,
    FactorDraws,
    Input,
    Prediction,
    Scenario,
    evaluate,
)
from misgen.analysis.words import data_of

if TYPE_CHECKING:
    from misgen.analysis.calibration.handoff import CalibrationFile
    from misgen.analysis.calibration.summary import ReferenceCondition

__all__ = [
    "Draws",
    "FactorDraws",
    "Input",
    "MeasuredMultiplier",
    "Parameters",
    "Prediction",
    "RiskModel",
    "Scenario",
    "check_limit",
    "evaluate",
    "expect_rate",
]

HARM_CHOICES = ("implied", "note_50_70", "measured")

T = TypeVar("T")
Noise = Callable[[np.random.Generator, int], FloatArray]


@dataclass(frozen=True)
class MeasuredMultiplier:
    """Draws [draws] of a multiplier, a ratio on the link "log", "cloglog" or "logit"."""

    values: FloatArray
    link: str = "log"


@dataclass(frozen=True)
class Parameters:
    """Factors by shift type, and multipliers by (modifier, level) in place of the printed ones.

    origin: where the factors come from, in words, by shift type. measured: the shift types whose
    factors contain data. factor_notes: said by predictions with such factors; notes: said by
    predictions with any data, each about a shift type, a modifier or, "", anything.
    """

    factors: Mapping[str, FactorDraws]
    origin: Mapping[str, str]
    multipliers: Mapping[tuple[str, str], MeasuredMultiplier] = field(default_factory=dict)
    measured: frozenset[str] = frozenset()
    factor_notes: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class RiskModel:
    """Draws of every parameter; `predict` puts them together.

    data: what the calibration's data do, one of `misgen.analysis.words.DATA`. toy_rates: whether
    they may enter a domain. warnings: what every prediction should say.
    """

    priors: PriorSet
    parameters: Parameters
    seed: int = 0
    warnings: tuple[str, ...] = ()
    data: str = "none"
    toy_rates: bool = False
    _noise: dict[str, FloatArray] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        columns = [
            values
            for factors in self.parameters.factors.values()
            for values in vars(factors).values()
        ] + [multiplier.values for multiplier in self.parameters.multipliers.values()]
        lengths = sorted({len(values) for values in columns})
        if len(lengths) != 1 or lengths[0] < 1:
            raise ValueError(f"all parameters have the same number of draws; got {lengths}")

    @property
    def draws(self) -> int:
        return len(next(iter(self.parameters.factors.values())).p_capable)

    @classmethod
    def from_prior(
        cls,
        priors: PriorSet | None = None,
        draws: int = 4000,
        seed: int = 0,
        harm: str = "implied",
    ) -> "RiskModel":
        """The source's figures alone. harm: as its products imply, or "note_50_70", U(.5, .7).

        Raises ValueError for harm "measured", fewer than one draw, or a negative seed.
        """
        _check_choice("harm", harm, HARM_CHOICES)
        if harm == "measured":
            raise ValueError(
                'harm "measured" needs measurements; the prior has none; '
                "give a calibration, or use implied or note_50_70"
            )
        check_draws(draws, seed)
        priors = priors or load_priors()
        factors = {name: _prior_factors(priors, name, draws, seed, harm) for name in priors.shifts}
        origin = {
            name: f"prior {priors.name}, kappa = {OutcomePrior.of(priors, name).kappa:g}"
            for name in factors
        }
        return cls(priors, Parameters(factors, origin), seed)

    @classmethod
    def from_calibration(
        cls,
        path: Path | str,
        data: str = "none",
        harm: str = "implied",
        *,
        toy_rates: bool = False,
        priors: PriorSet | None = None,
        draws: int | None = None,
        seed: int = 0,
    ) -> "RiskModel":
        """The folder that `misgen calibrate` wrote. By default no data enter a prediction.

        data: "none", "combine" or "only"; their former words side_by_side, update and replace are
        understood. toy_rates: let data of toy agents into a domain, with the transport factor;
        without it a domain is refused unless data is "none". priors: the set that the calibration
        used, needed where that is a user's file; of a named set kappa and log_sd are the
        calibration's. draws: None for the file's joint draws, else so many of them, drawn with
        replacement.
        Raises ValueError for refused data, another choice, other priors, toy rates or measured
        harm with data "none", or where the calibration was not asked for measured harm.
        """
        from misgen.analysis.calibration.handoff import read_calibration

        _check_choice("harm", harm, HARM_CHOICES)
        file, data = read_calibration(Path(path)), data_of(data)
        file.require(data)
        _refuse_without_data(data, harm, toy_rates)
        check_draws(file.num_draws if draws is None else draws, seed)
        priors = _priors_of(file, priors)
        rows = np.arange(file.num_draws)
        if draws is not None:
            rows = stream(seed, "rows of the calibration").integers(file.num_draws, size=draws)
        parameters = _calibrated(file, data, harm, rows, priors)
        return cls(priors, parameters, seed, data=data, toy_rates=toy_rates)

    def predict(
        self,
        shift: str | None = None,
        spec: str | float | None = None,
        capability: str | None = None,
        diversity: str | float | None = None,
        method: str | None = None,
        *,
        domain: str | None = None,
        period: str | None = None,
        interventions: str | Sequence[str] = (),
        overflow: str = "clip",
        target: str | None = None,
        transport: float | tuple[float, float] | None = None,
        exposure: float = 1.0,
    ) -> Prediction:
        """Both rates under a shift type, or in a domain (the mean over its two types).

        spec, capability, diversity, method: a level, a score or "unknown"; None is the reference
        (exactly 1), or a domain's own specification quality. transport: a factor, or (low, high)
        of a uniform; None is U(.5, 1.5) where data of toy agents enter a domain, else nothing.
        interventions: those that the source gives no number for count as no effect, and are named.
        exposure: share of situations that tell the goals apart. target: what multipliers multiply,
        "factor", or "printed" for the whole product (the default where `overflow` is not "clip").
        Raises ValueError for an unknown name, one lever pulled twice, or a measured multiplier
        whose link is not that of `overflow`.
        """
        if isinstance(interventions, str):
            interventions = (interventions,)
        place = None if domain is None else choose("a domain", domain, self.priors.domains)
        when = None if period is None else choose("a period", period, self.priors.periods)
        acts = [choose("an intervention", i, self.priors.interventions) for i in interventions]
        asked = {"spec": spec, "capability": capability, "diversity": diversity, "method": method}
        if place is not None and spec is None:
            asked["spec"] = place.spec
        levels = {name: self.priors.modifiers[name].level(at) for name, at in asked.items()}
        _refuse_twice(levels, when, acts)
        if place is not None and self.data != "none" and not self.toy_rates:
            raise ValueError(
                "rates of toy agents enter a domain only where that is asked for; got data "
                f"{self.data!r} and the domain {place.name!r}; give toy_rates=True (--toy-rates), "
                'or data "none"'
            )
        parameters = self.parameters
        shifts = _shifts(shift, place)
        inputs = {
            **_factor_inputs(parameters, shifts),
            **self._level_inputs(levels, parameters),
            **self._period_input(when),
            **self._intervention_inputs(acts),
        }
        has_data = any(s in parameters.measured for s in shifts) or _links(inputs) != set()
        inputs |= self._transport_input(transport, has_data and place is not None)
        inputs |= _exposure_input(exposure)
        target = target or ("factor" if overflow == "clip" else "printed")
        _check_policy(overflow, target, _links(inputs))
        notes = [
            *self.warnings,
            *_notes(levels, acts, place, shifts, inputs),
            *self._score_notes(levels, parameters),
            *self._data_notes(parameters, shifts, inputs, place),
        ]
        return evaluate(Scenario(shifts, inputs, overflow, target, tuple(notes)))

    def _level_inputs(self, levels: Mapping[str, Level], given: Parameters) -> dict[str, Input]:
        """Modifiers away from their reference; a measured level replaces a printed one."""
        inputs = {}
        for name, level in levels.items():
            measured = given.multipliers.get((name, level.name))
            if level.kind == "reference":
                continue
            if measured is not None:
                label = f"{level.name}: measured"
                inputs[name] = Input(label, measured.values, "p_goal_fail", measured.link)
            else:
                inputs[name] = Input(_level_label(level), self._drawn(name, level), "p_goal_fail")
        return inputs

    def _score_notes(self, levels: Mapping[str, Level], given: Parameters) -> list[str]:
        """Scores whose level has a measured multiplier. It stands for the arms measured in that
        band, a score for one point of the printed curve: the level is used by its name alone."""
        notes = []
        for name, level in levels.items():
            if level.kind != "named" or level.name in self.priors.modifiers[name].levels:
                continue
            for band in self.priors.modifiers[name].levels.values():
                is_inside = band.kind == "band" and band.low <= level.median <= band.high
                if is_inside and (name, band.name) in given.multipliers:
                    notes.append(
                        f"{name}: {level.name} is read off the source's curve, x "
                        f"{level.median:.3g}; the measured multiplier of its level {band.name!r} "
                        "is used where that level is given by name"
                    )
        return notes

    def _data_notes(
        self,
        given: Parameters,
        shifts: Sequence[str],
        inputs: Mapping[str, Input],
        domain: Domain | None,
    ) -> list[str]:
        """What a prediction with data must say, or that they stay out of this domain."""
        measured = {shift for shift in shifts if shift in given.measured}
        multipliers = {name for name, item in inputs.items() if item.link}
        if not measured | multipliers:
            return []
        notes = ["a posterior for the toy agents of this testbed, and for nothing else"]
        if domain is not None:
            notes = ["data of toy agents enter the domain: toy rates were asked for"]
        if measured:
            notes += given.factor_notes
        used = {"", *measured, *multipliers}
        return [*notes, *(text for about, text in given.notes if about in used)]

    def _period_input(self, period: Period | None) -> dict[str, Input]:
        """A range is the central 90 % of a log-normal; a single number is its median."""
        if period is None or period.multiplier == (1.0, 1.0):
            return {}
        low, high = period.multiplier
        if low < high:
            level = band_level(period.name, period.multiplier)
        else:
            level = named_level(period.name, low, self.priors.log_sd)
        values = self._drawn("period", level)
        return {"period": Input(_level_label(level), values, "p_goal_fail")}

    def _intervention_inputs(self, interventions: Sequence[Intervention]) -> dict[str, Input]:
        """1 - reduction, uniform over the printed range; exactly 1 where the source prints none."""
        inputs = {}
        for intervention in interventions:
            name = f"intervention/{intervention.name}"
            if intervention.reduction is None:
                label = f"no effect: the source prints no number, but {intervention.printed!r}"
                inputs[name] = Input(label, np.ones(1), intervention.target)
                continue
            low, high = intervention.reduction.range
            remaining = 1 - low - (high - low) * self._stream(name, np.random.Generator.random)
            label = f"takes U({low:g}, {high:g}) from {intervention.target}"
            inputs[name] = Input(label, remaining, intervention.target)
        return inputs

    def _transport_input(
        self, asked: float | tuple[float, float] | None, is_needed: bool
    ) -> dict[str, Input]:
        if asked is None and not is_needed:
            return {}
        both = self.priors.transport if asked is None else asked
        low, high = both if isinstance(both, tuple) else (both, both)
        if not 0 < low <= high < np.inf:
            raise ValueError(
                "transport is a factor above 0, or a range from low to high of such factors; got "
                f"{asked}; take .5 to 1.5 for the source's +-50 %"
            )
        if low == high:
            return {"transport": Input(f"set to {low:g}", np.array([low]), "p_goal_fail")}
        noise = self._stream("transport", np.random.Generator.random)
        label = f"U({low:g}, {high:g})"
        return {"transport": Input(label, low + (high - low) * noise, "p_goal_fail")}

    def _drawn(self, name: str, level: Level) -> FloatArray:
        return level.quantile(self._stream(name, np.random.Generator.random))

    def _stream(self, name: str, draw: Noise) -> FloatArray:
        """The noise of an input [draws], drawn once."""
        if name not in self._noise:
            self._noise[name] = draw(stream(self.seed, name), self.draws)
        return self._noise[name]


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator of one input: other names and other seeds are independent of it."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


# ----------------------------------------------------------------------------------- parameters


def _prior_factors(priors: PriorSet, shift: str, draws: int, seed: int, harm: str) -> FactorDraws:
    """The robust prior of the type's outcomes; harm as the product implies or the note says."""
    prior = OutcomePrior.of(priors, shift)
    drawn = posterior(prior, (), stream(seed, f"{shift}/outcomes"), draws)
    p_harm = assumed_harm(priors, shift, harm, draws, stream(seed, f"{shift}/p_harm"))
    return FactorDraws(drawn.p_capable, drawn.p_goal_fail, p_harm)


def _calibrated(
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
        origin[shift] = "prior"
        if data != "none":
            origin[shift] = f"prior: {row.keeps_prior}" if row.keeps_prior else data
            measured |= set() if row.keeps_prior else {shift}
    known = {
        (row.modifier, row.level)
        for row in file.summary.modifiers
        if getattr(row, data, None) is not None
    }
    link, _ = OVERFLOWS[file.summary.settings.overflow]
    multipliers = {
        key: MeasuredMultiplier(values[rows], link)
        for key, values in file.multipliers_of(data).items()
        if key in known
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


def _priors_of(file: "CalibrationFile", given: PriorSet | None) -> PriorSet:
    """The set that the calibration used: modifiers and domains must be of the factors' set."""
    settings = file.summary.settings
    used = settings.prior
    if used in PRIOR_SETS and (given is None or _is_named_set(given, used)):
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


def _is_named_set(given: PriorSet, name: str) -> bool:
    """Whether it is the named set as loaded, whatever its kappa and log_sd."""
    if given.name != name:
        return False
    loaded = load_priors(name, kappa=given.kappa, log_sd=given.log_sd)
    return given.fingerprint == loaded.fingerprint


# ----------------------------------------------------------------------------- words and refusals


def check_draws(draws: int, seed: int) -> None:
    """ValueError for fewer than one draw or a negative seed."""
    if draws < 1 or seed < 0:
        raise ValueError(
            f"draws are at least 1 and a seed at least 0; got {draws} and {seed}; "
            "leave them out for the defaults"
        )


def _check_choice(what: str, name: str, options: Iterable[str]) -> None:
    if name not in options:
        raise ValueError(f"{what} is one of {', '.join(options)}; got {name!r}; choose one")


def _refuse_without_data(data: str, harm: str, toy_rates: bool) -> None:
    """Without data nothing else may ask for them."""
    asked = {'harm "measured"': harm == "measured", "toy rates": toy_rates}
    for name, lets_data_in in asked.items():
        if data == "none" and lets_data_in:
            raise ValueError(
                f'{name} let data in and data "none" does not; got both; use data "combine" or '
                '"only"'
            )


def choose(what: str, name: str, options: Mapping[str, T]) -> T:
    """The option of a name, as we or the source write it: `ai_control_protocols`, "AI Control
    Protocols"."""
    meant = {_plain(text): key for key, option in options.items()
             for text in (key, getattr(option, "label", key))}  # fmt: skip
    key = meant.get(_plain(name), name)
    _check_choice(what, key, options)
    return options[key]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _shifts(shift: str | None, domain: Domain | None) -> tuple[str, ...]:
    """Types are named, or numbered as the source does: `4`, `type 4`."""
    if shift is not None:
        numbers = {str(number): name for number, name in enumerate(SHIFT_TYPES, 1)}
        name = _plain(str(shift)).removeprefix("type_")
        name = numbers.get(name, name)
        if name not in SHIFT_TYPES:
            _check_choice("a shift type", str(shift), SHIFT_TYPES)
        return (name,)
    if domain is None:
        raise ValueError(
            "a prediction needs a shift type or a domain; got neither; "
            f"choose from {', '.join(SHIFT_TYPES)}, or name a domain"
        )
    return domain.shift_types


def _refuse_twice(
    levels: Mapping[str, Level], period: Period | None, interventions: Sequence[Intervention]
) -> None:
    """One lever is applied once: as a modifier, as an intervention, or as a period's driver. An
    intervention may start from a level that raises the risk: that is what it changes."""
    names = [intervention.name for intervention in interventions]
    if len(set(names)) < len(names):
        raise ValueError(f"an intervention counts once; got {', '.join(names)}; name each once")
    sides: list[Intervention | Period] = [*interventions]
    if period is not None and period.multiplier != (1.0, 1.0):
        sides.append(period)
    for side in sides:
        level = levels[side.excludes] if side.excludes else None
        raises = level is not None and level.kind in ("named", "band") and level.median > 1
        starts_there = raises and isinstance(side, Intervention)
        if side.excludes and level and level.kind != "reference" and not starts_there:
            raise ValueError(
                f"{side.name} and the modifier {side.excludes} are one lever and apply once; got "
                f"{side.name} with {side.excludes} = {levels[side.excludes].name}; leave one out, "
                f"or set {side.excludes} to reference"
            )


def _check_policy(overflow: str, target: str, links: set[str]) -> None:
    """Measured multipliers fix the link; the factor target has a clip of its own."""
    _check_choice("overflow", overflow, OVERFLOWS)
    _check_choice("target", target, TARGETS)
    if target == "factor" and overflow != "clip":
        raise ValueError(
            f'target "factor" clips each factor; got overflow {overflow!r}; use overflow "clip", '
            'or target "printed"'
        )
    link, _ = OVERFLOWS[overflow]
    if links - {link}:
        fitting = [name for name, (known, _) in OVERFLOWS.items() if links == {known}]
        raise ValueError(
            f"a multiplier is applied on the link it was estimated on; got overflow {overflow!r} "
            f"({link}) with measured multipliers on {', '.join(sorted(links))}; "
            + (f"use overflow {fitting[0]!r}" if fitting else "use levels measured on one link")
        )


def _links(inputs: Mapping[str, Input]) -> set[str]:
    return {item.link for item in inputs.values() if item.link}


def _factor_inputs(parameters: Parameters, shifts: Sequence[str]) -> dict[str, Input]:
    return {
        f"{shift}/{factor}": Input(
            parameters.origin[shift], getattr(parameters.factors[shift], factor)
        )
        for shift in shifts
        for factor in FACTORS
    }


def _exposure_input(share: float) -> dict[str, Input]:
    if not 0 <= share <= 1:
        raise ValueError(f"exposure is the share of situations, within 0..1; got {share:g}")
    label = f"{share:g}, set by the caller"
    if share == 1:
        label = "1 by default: every situation tells the goals apart"
    return {"exposure": Input(label, np.array([float(share)]), "exposure")}


def _level_label(level: Level) -> str:
    if level.kind == "reference":
        return "reference: exactly 1"
    return f"{level.name}: x {level.median:.3g} [{level.low:.3g}, {level.high:.3g}]"


def _notes(
    levels: Mapping[str, Level],
    interventions: Sequence[Intervention],
    domain: Domain | None,
    shifts: Sequence[str],
    inputs: Mapping[str, Input],
) -> list[str]:
    """What a reader of the result must know about how the question was read."""
    notes = []
    for name, level in levels.items():
        if level.kind == "unknown":
            notes.append(
                f"{name}: level: unknown: the whole range {level.low:g}-{level.high:g} counts as "
                "uncertainty, which widens the result"
            )
        elif level.note and level.kind != "reference":
            notes.append(f"{name}: {level.note}")
    if len(interventions) > 1:
        notes.append("interventions are multiplied as if independent, which nobody has tested")
    if domain is not None and not set(shifts) <= set(domain.shift_types):
        notes.append(f"{shifts[0]} is not a shift type that the source names for {domain.label}")
    for each in interventions:
        if each.excludes and levels[each.excludes].kind != "reference":
            start = levels[each.excludes].name
            notes.append(f"{each.name} starts from {each.excludes} = {start}, which stays")
        if each.reduction is None:
            notes.append(f"{each.name}: {inputs[f'intervention/{each.name}'].label}")
    if "transport" in inputs:
        notes.append(f"transport: {inputs['transport'].label}, on both rates")
    return notes
