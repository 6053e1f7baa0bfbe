"""The formula of the risk model, and how it is applied to draws.

    p_gm         = exposure x P(capable) x min(1, P(goal fails) x M_goal)
    p_harmful_gm = p_gm x min(1, P(harm | fails) x M_harm)

    M_goal = M_spec x M_capability x M_diversity x M_method x period x transport x training
    M_harm = oversight: interventions on the harm of a failure

Every symbol is a vector of joint Monte Carlo draws. Each multiplier acts on the factor that it
changes (target "factor"), so p_harmful_gm <= p_gm <= P(capable) in every draw. The source prints
p_harmful_gm alone, and multiplies the whole product (target "printed"):

    p_gm         = exposure x link( P(capable) x P(goal fails),                   M_goal          )
    p_harmful_gm = exposure x link( P(capable) x P(goal fails) x P(harm | fails), M_goal x M_harm )

which may exceed what its own factors allow. `link` then decides what becomes of a product above 1,
and with it what kind of ratio a multiplier is: clip, min(1, p m), risk ratios; hazard,
1 - (1 - p)^m, ratios of -ln(1 - p); odds, odds ratios. p_gm is ours. Which factor an intervention
acts on is a reading (audit B7.target); that the rest acts on goal failure is ours.
"""

import html
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from misgen.analysis.priors.types import FACTORS
from misgen.analysis.rates import FloatArray
from misgen.analysis.risk.draws import Draws, Summary, expect_rate

if TYPE_CHECKING:
    import pandas

TARGETS = ("factor", "printed")
APART = 0.2
"""The source's product is shown beside a rate from which it differs by more than this share."""


@dataclass(frozen=True)
class FactorDraws:
    """Joint draws of the three factors of a shift type [draws]; the products are exact."""

    p_capable: FloatArray
    p_goal_fail: FloatArray
    p_harm: FloatArray

    @property
    def p_gm(self) -> Draws:
        return Draws("p_gm", self.p_capable * self.p_goal_fail)

    @property
    def p_harmful_gm(self) -> Draws:
        return Draws("p_harmful_gm", self.p_capable * self.p_goal_fail * self.p_harm)


@dataclass(frozen=True)
class Input:
    """One number of a scenario: values [draws], or [1] where it is fixed; label: what it is.

    acts_on: "" for a factor itself, else what it multiplies: "p_goal_fail" (with it both rates),
    "p_harm" or "exposure". link: of a measured multiplier.
    """

    label: str
    values: FloatArray
    acts_on: str = ""
    link: str = ""


@dataclass(frozen=True)
class Scenario:
    """A question resolved: its shift types (their mean counts) and every input by name."""

    shifts: tuple[str, ...]
    inputs: Mapping[str, Input]
    overflow: str = "clip"
    target: str = "factor"
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Prediction:
    """Draws of both rates and what they come from.

    factors: with target "factor" they contain the multipliers, and exposure x their product is
    p_harmful_gm in every draw. With "printed" they are those of P_base, which M multiplies whole.
    multiplier: M_goal x M_harm. clipped_share: of draws in which a factor (with "printed": a
    product) exceeded 1; harmful_clipped_share: in which that of p_harmful_gm did.
    factor_inconsistent_share: of draws with p_gm > P(capable). Over several shift types rates are
    means, factors ratios of means, shares means; `by_shift` has each.
    """

    p_gm: Draws
    p_harmful_gm: Draws
    factors: FactorDraws
    multiplier: FloatArray
    exposure: FloatArray
    clipped_share: float
    harmful_clipped_share: float
    factor_inconsistent_share: float
    scenario: Scenario = field(repr=False)
    by_shift: Mapping[str, "Prediction"] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        expect_rate("p_gm", self.p_gm)
        expect_rate("p_harmful_gm", self.p_harmful_gm)

    @property
    def p_capable(self) -> FloatArray:
        return self.factors.p_capable

    @property
    def p_goal_fail(self) -> FloatArray:
        return self.factors.p_goal_fail

    @property
    def p_harm(self) -> FloatArray:
        return self.factors.p_harm

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """The draws of p_harmful_gm, the rate that the source prints."""
        return np.asarray(self.p_harmful_gm).astype(dtype or np.float64, copy=bool(copy))

    def summary(self) -> dict[str, dict[str, float]]:
        """Rate -> its mean, median, low and high (central 90 %); the factors as well."""
        rates = {"p_harmful_gm": self.p_harmful_gm, "p_gm": self.p_gm, **vars(self.factors)}
        return {name: asdict(Summary.of(values)) for name, values in rates.items()}

    def to_frame(self) -> "pandas.DataFrame":
        """A row per draw: both rates, the factors, the multiplier. Needs pandas."""
        import pandas

        rates = {"p_harmful_gm": self.p_harmful_gm.values, "p_gm": self.p_gm.values}
        fixed = {"multiplier": self.multiplier, "exposure": self.exposure}
        columns, size = {**rates, **vars(self.factors), **fixed}, len(self.p_gm.values)
        return pandas.DataFrame({name: np.broadcast_to(v, size) for name, v in columns.items()})

    def __repr__(self) -> str:
        rates = (self.p_harmful_gm, self.p_gm)
        said = ", ".join(f"{draws.rate} {Summary.of(draws).percent()} %" for draws in rates)
        return f"<Prediction {' and '.join(self.scenario.shifts)}: {said}>"

    def _repr_html_(self) -> str:
        """A notebook's table."""
        header = "".join(f"<th>{name}</th>" for name in ("rate", "mean", "median", "5 %", "95 %"))
        rows = "".join(
            f"<tr><td>{name}</td>{''.join(f'<td>{v:.4f}</td>' for v in values.values())}</tr>"
            for name, values in self.summary().items()
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.warnings)
        return f"<table><tr>{header}</tr>{rows}</table><ul>{notes}</ul>"

    @property
    def inputs(self) -> Mapping[str, Input]:
        return self.scenario.inputs

    @property
    def as_printed(self) -> "Prediction":
        """The source's product of the same draws."""
        return evaluate(replace(self.scenario, target="printed"))

    @property
    def warnings(self) -> tuple[str, ...]:
        found = list(self.scenario.warnings)
        if self.clipped_share > 0:
            found.append(
                f"clipped: {self.clipped_share:.2%} of the draws exceed 1 "
                f"({self.harmful_clipped_share:.2%} in p_harmful_gm)"
            )
        if self.factor_inconsistent_share > 0:
            found.append(
                f"inconsistent: p_gm > P(capable) in {self.factor_inconsistent_share:.2%} of the "
                'draws; with target "factor" it cannot be'
            )
        return tuple(found)


def _hazard(p: FloatArray, m: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):  # p = 1 stays 1
        return p if _is_one(m) else -np.expm1(m * np.log1p(-p))


def _odds(p: FloatArray, m: FloatArray) -> FloatArray:
    return p if _is_one(m) else m * p / (1 - p + m * p)


def _is_one(m: FloatArray) -> bool:
    return len(m) == 1 and m[0] == 1


OVERFLOWS: Mapping[str, tuple[str, Callable[[FloatArray, FloatArray], FloatArray]]] = {
    "clip": ("log", operator.mul),
    "hazard": ("cloglog", _hazard),
    "odds": ("logit", _odds),
}
"""Policy -> the link on which its multipliers are ratios; (p, m) -> product, clipped at 1 after."""


def evaluate(scenario: Scenario, values: Mapping[str, FloatArray] | None = None) -> Prediction:
    """The formula. values: all inputs by name, for draws other than the scenario's own."""
    drawn = values or {name: item.values for name, item in scenario.inputs.items()}

    def product(target: str) -> FloatArray:
        acting = (drawn[name] for name, item in scenario.inputs.items() if item.acts_on == target)
        return math.prod(acting, start=np.ones(1))

    multipliers = product("p_goal_fail"), product("p_harm"), product("exposure")
    parts = {
        shift: _of_type(
            FactorDraws(*(drawn[f"{shift}/{factor}"] for factor in FACTORS)), *multipliers, scenario
        )
        for shift in scenario.shifts
    }
    return _mean_over(parts) if len(parts) > 1 else parts[scenario.shifts[0]]


def _of_type(
    base: FactorDraws,
    m_goal: FloatArray,
    m_harm: FloatArray,
    exposure: FloatArray,
    scenario: Scenario,
) -> Prediction:
    """Each multiplier goes to the factor that it acts on or, as the source prints it, M to all."""
    if scenario.target == "factor":
        goal_fail, harm = base.p_goal_fail * m_goal, base.p_harm * m_harm
        factors = FactorDraws(base.p_capable, np.minimum(goal_fail, 1.0), np.minimum(harm, 1.0))
        gm, harmful = factors.p_gm.values, factors.p_harmful_gm.values
        is_clipped = is_harmful_clipped = (goal_fail > 1) | (harm > 1)
    else:
        _, multiply = OVERFLOWS[scenario.overflow]
        factors, base_gm = base, base.p_capable * base.p_goal_fail
        gm, harmful = multiply(base_gm, m_goal), multiply(base_gm * base.p_harm, m_goal * m_harm)
        is_clipped, is_harmful_clipped = gm > 1, harmful > 1
        gm, harmful = np.minimum(gm, 1.0), np.minimum(harmful, 1.0)
    return Prediction(
        p_gm=Draws("p_gm", gm * exposure),
        p_harmful_gm=Draws("p_harmful_gm", harmful * exposure),
        factors=factors,
        multiplier=m_goal * m_harm,
        exposure=exposure,
        clipped_share=float(is_clipped.mean()),
        harmful_clipped_share=float(is_harmful_clipped.mean()),
        factor_inconsistent_share=float((gm > factors.p_capable).mean()),
        scenario=scenario,
    )


def _mean_over(parts: Mapping[str, Prediction]) -> Prediction:
    """Every shift type weighs the same, in each draw."""
    each = list(parts.values())

    def mean(terms: Iterable[Any]) -> Any:
        return sum(terms) / len(each)

    capable = mean(part.p_capable for part in each)
    gm = mean(part.factors.p_gm.values for part in each)
    harmful = mean(part.factors.p_harmful_gm.values for part in each)
    return replace(
        each[0],
        p_gm=Draws("p_gm", mean(part.p_gm.values for part in each)),
        p_harmful_gm=Draws("p_harmful_gm", mean(part.p_harmful_gm.values for part in each)),
        factors=FactorDraws(capable, _ratio(gm, capable), _ratio(harmful, gm)),
        clipped_share=mean(part.clipped_share for part in each),
        harmful_clipped_share=mean(part.harmful_clipped_share for part in each),
        factor_inconsistent_share=mean(part.factor_inconsistent_share for part in each),
        by_shift=parts,
    )


def _ratio(over: FloatArray, under: FloatArray) -> FloatArray:
    """0 where both are 0."""
    return np.divide(over, under, out=np.zeros_like(over), where=under > 0)
