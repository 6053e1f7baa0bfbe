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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import FACTORS, Intervention, PriorSet
from misgen.analysis.rates import FloatArray
from misgen.analysis.risk.formula import Input, Prediction, Scenario, evaluate
from misgen.analysis.risk.parameters import (
    Parameters,
    calibrated_parameters,
    check_draws,
    prior_parameters,
    priors_of,
    stream,
)
from misgen.analysis.risk.question import (
    HARM_CHOICES,
    Question,
    check_choice,
    check_policy,
    resolve,
)
from misgen.analysis.words import data_of


@dataclass(frozen=True)
class RiskModel:
    """Draws of every parameter; `predict` puts them together.

    data: what the calibration's data do, one of `misgen.analysis.words.DATA`. toy_rates: whether
    they may enter a domain.
    """

    priors: PriorSet
    parameters: Parameters
    seed: int = 0
    data: str = "none"
    toy_rates: bool = False
    _drawn: dict[str, FloatArray] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = self.parameters
        columns = [values for one in given.factors.values() for values in vars(one).values()]
        columns += [multiplier.values for multiplier in given.multipliers.values()]
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
        return cls(priors, prior_parameters(priors, draws, seed, harm), seed)

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
        if data == "none" and (harm == "measured" or toy_rates):
            name = 'harm "measured"' if harm == "measured" else "toy rates"
            raise ValueError(
                f'{name} let data in and data "none" does not; got both; use data "combine" or '
                '"only"'
            )
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
        asked = {"spec": spec, "capability": capability, "diversity": diversity, "method": method}
        question = resolve(self.priors, shift, asked, domain, period, interventions)
        inputs = self._inputs(question, transport, exposure)
        target = target or ("factor" if overflow == "clip" else "printed")
        check_policy(overflow, target, inputs)
        notes = (
            *question.notes(inputs),
            *self._score_notes(question),
            *self._data_notes(question, inputs),
        )
        return evaluate(Scenario(question.shifts, inputs, overflow, target, notes))

    def _inputs(
        self,
        question: Question,
        transport: float | tuple[float, float] | None,
        exposure: float,
    ) -> dict[str, Input]:
        """By name: factors, modifiers away from their reference, what is done, and exposure."""
        given, domain, inputs = self.parameters, question.domain, dict[str, Input]()
        if domain is not None and self.data != "none" and not self.toy_rates:
            raise ValueError(
                "rates of toy agents enter a domain only where that is asked for; got data "
                f"{self.data!r} and the domain {domain.name!r}; give toy_rates=True (--toy-rates), "
                'or data "none"'
            )
        for shift in question.shifts:
            for factor in FACTORS:
                values = getattr(given.factors[shift], factor)
                inputs[f"{shift}/{factor}"] = Input(given.origin[shift], values)
        for name, level in question.levels.items():
            if (name, level.name) in given.multipliers:
                inputs[name] = given.multipliers[name, level.name]
            elif level.kind != "reference":
                values = level.quantile(self._noise(name))
                inputs[name] = Input(level.label, values, "p_goal_fail")
        for each in question.interventions:
            inputs[f"intervention/{each.name}"] = self._intervention(each)
        has_data = given.measured & {*question.shifts} or any(i.link for i in inputs.values())
        if transport is not None or (has_data and domain is not None):
            inputs["transport"] = self._transport(transport)
        inputs["exposure"] = _exposure(exposure)
        return inputs

    def _intervention(self, intervention: Intervention) -> Input:
        """1 - reduction, uniform over the printed range; exactly 1 where the source prints none."""
        target = intervention.target
        if intervention.reduction is None:
            label = f"no effect: the source prints no number, but {intervention.printed!r}"
            return Input(label, np.ones(1), target)
        low, high = intervention.reduction.range
        remaining = 1 - low - (high - low) * self._noise(f"intervention/{intervention.name}")
        return Input(f"takes U({low:g}, {high:g}) from {target}", remaining, target)

    def _transport(self, asked: float | tuple[float, float] | None) -> Input:
        both = self.priors.transport if asked is None else asked
        low, high = both if isinstance(both, tuple) else (both, both)
        if not 0 < low <= high < np.inf:
            raise ValueError(
                "transport is a factor above 0, or a range from low to high of such factors; got "
                f"{asked}; take .5 to 1.5 for the source's +-50 %"
            )
        if low == high:
            return Input(f"set to {low:g}", np.array([low]), "p_goal_fail")
        values = low + (high - low) * self._noise("transport")
        return Input(f"U({low:g}, {high:g})", values, "p_goal_fail")

    def _noise(self, name: str) -> FloatArray:
        """Uniform noise of an input [draws], drawn once."""
        if name not in self._drawn:
            self._drawn[name] = stream(self.seed, name).random(self.draws)
        return self._drawn[name]

    def _score_notes(self, question: Question) -> Iterator[str]:
        """Scores whose level has a measured multiplier. It stands for the arms measured in that
        band, a score for one point of the printed curve: the level is used by its name alone."""
        for name, modifier in self.priors.modifiers.items():
            level = question.levels[name]
            if level.kind != "named" or level.name in modifier.levels:
                continue
            for band in modifier.levels.values():
                is_inside = band.kind == "band" and band.low <= level.median <= band.high
                if is_inside and (name, band.name) in self.parameters.multipliers:
                    yield (
                        f"{name}: {level.name} is read off the source's curve, x "
                        f"{level.median:.3g}; the measured multiplier of its level {band.name!r} "
                        "is used where that level is given by name"
                    )

    def _data_notes(self, question: Question, inputs: Mapping[str, Input]) -> list[str]:
        """What a prediction with data must say, or that they stay out of this domain."""
        measured = self.parameters.measured & {*question.shifts}
        multipliers = {name for name, item in inputs.items() if item.link}
        if not measured | multipliers:
            return []
        notes = ["a posterior for the toy agents of this testbed, and for nothing else"]
        if question.domain is not None:
            notes = ["data of toy agents enter the domain: toy rates were asked for"]
        if measured:
            notes += self.parameters.factor_notes
        used = {"", *measured, *multipliers}
        return [*notes, *(text for about, text in self.parameters.notes if about in used)]


def _exposure(share: float) -> Input:
    if not 0 <= share <= 1:
        raise ValueError(f"exposure is the share of situations, within 0..1; got {share:g}")
    label = f"{share:g}, set by the caller"
    if share == 1:
        label = "1 by default: every situation tells the goals apart"
    return Input(label, np.array([float(share)]), "exposure")
