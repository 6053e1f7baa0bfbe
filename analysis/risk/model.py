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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from misgen.analysis.posterior import OutcomePrior
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.levels import Level, band_level, named_level
from misgen.analysis.priors.types import Domain, Intervention, Period, PriorSet
from misgen.analysis.rates import FloatArray
from misgen.analysis.risk.draws import Draws, check_limit, expect_rate
from misgen.analysis.risk.formula import FactorDraws, Input, Prediction, Scenario, evaluate
from misgen.analysis.risk.parameters import (
    MeasuredMultiplier,
    Parameters,
    calibrated_parameters,
    check_draws,
    prior_factors,
    priors_of,
    stream,
)
from misgen.analysis.risk.question import (
    HARM_CHOICES,
    check_choice,
    check_policy,
    choose,
    exposure_input,
    factor_inputs,
    level_label,
    links,
    question_notes,
    refuse_twice,
    refuse_without_data,
    shift_types,
)
from misgen.analysis.words import data_of

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

Noise = Callable[[np.random.Generator, int], FloatArray]


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
        check_choice("harm", harm, HARM_CHOICES)
        if harm == "measured":
            raise ValueError(
                'harm "measured" needs measurements; the prior has none; '
                "give a calibration, or use implied or note_50_70"
            )
        check_draws(draws, seed)
        priors = priors or load_priors()
        factors = {name: prior_factors(priors, name, draws, seed, harm) for name in priors.shifts}
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

        check_choice("harm", harm, HARM_CHOICES)
        file, data = read_calibration(Path(path)), data_of(data)
        file.require(data)
        refuse_without_data(data, harm, toy_rates)
        check_draws(file.num_draws if draws is None else draws, seed)
        priors = priors_of(file, priors)
        rows = np.arange(file.num_draws)
        if draws is not None:
            rows = stream(seed, "rows of the calibration").integers(file.num_draws, size=draws)
        parameters = calibrated_parameters(file, data, harm, rows, priors)
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
        refuse_twice(levels, when, acts)
        if place is not None and self.data != "none" and not self.toy_rates:
            raise ValueError(
                "rates of toy agents enter a domain only where that is asked for; got data "
                f"{self.data!r} and the domain {place.name!r}; give toy_rates=True (--toy-rates), "
                'or data "none"'
            )
        parameters = self.parameters
        shifts = shift_types(shift, place)
        inputs = {
            **factor_inputs(parameters, shifts),
            **self._level_inputs(levels, parameters),
            **self._period_input(when),
            **self._intervention_inputs(acts),
        }
        has_data = any(s in parameters.measured for s in shifts) or links(inputs) != set()
        inputs |= self._transport_input(transport, has_data and place is not None)
        inputs |= exposure_input(exposure)
        target = target or ("factor" if overflow == "clip" else "printed")
        check_policy(overflow, target, links(inputs))
        notes = [
            *self.warnings,
            *question_notes(levels, acts, place, shifts, inputs),
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
                inputs[name] = Input(level_label(level), self._drawn(name, level), "p_goal_fail")
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
        return {"period": Input(level_label(level), values, "p_goal_fail")}

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
