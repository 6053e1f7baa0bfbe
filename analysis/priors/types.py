"""The types of a prior set: what the risk model starts from.

`misgen.analysis.priors` fills them from the source's tables and is the module to import.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np

from misgen.analysis.priors.levels import REFERENCE, Level, Modifier, band_level, named_level
from misgen.analysis.priors.source import Figure, Range

SHIFT_TYPES = ("superficial", "moderate", "significant", "extreme")
"""Types 1 to 4 of the source, by which the cells of the records are classified."""
FACTOR_FIELDS = {
    "p_capable": "p_capability_transfer",
    "p_goal_fail": "p_goal_fail_given_capability",
    "p_harm": "p_harm_given_failure",
}
"""The source's field of each factor."""
FACTORS = tuple(FACTOR_FIELDS)
PRIOR_SETS = ("taxonomy", "meta_analysis", "external_revision")


def beta_parameters(mean: float, kappa: float) -> tuple[float, float]:
    """Beta(a, b) with this mean and equivalent sample size kappa = a + b."""
    if not (0 < mean < 1 and kappa > 0):
        raise ValueError(
            f"a Beta prior needs 0 < mean < 1 and kappa > 0; got {mean} and {kappa}: "
            "use a mean such as .01 or .99 for something nearly certain"
        )
    return mean * kappa, (1 - mean) * kappa


def beta_of_range(low: float, high: float) -> Range | None:
    """(a, b) of the Beta whose central 90 % is a range inside 0..1; None if there is none."""
    from scipy.optimize import root  # here: most prior files have no range
    from scipy.special import betaincinv

    def missed(logs: Any) -> Any:
        ends = betaincinv(*np.exp(logs), [0.05, 0.95])
        return np.log(ends / (1 - ends)) - np.log([low / (1 - low), high / (1 - high)])

    mean = (low + high) / 2
    size = mean * (1 - mean) / ((high - low) / 3.29) ** 2
    found = root(missed, np.log([mean * size, (1 - mean) * size]))
    if not found.success or np.abs(missed(found.x)).max() > 1e-6:
        return None
    a, b = np.exp(found.x).tolist()
    return a, b


@dataclass(frozen=True)
class ShiftPrior:
    """A type of distribution shift. p_capable x p_goal_fail x p_harm = p_harmful_gm.

    p_gm is the two-factor product; p_harm is what the printed product implies, unless the set
    prints harm itself. likelihood_range is the source's "likelihood" of the type. kappa: of this
    type, None for the set's. own_betas: (a, b) of the factors to which a user's file gave a range
    or a kappa.
    """

    name: str
    number: int
    label: str
    p_capable: Figure
    p_goal_fail: Figure
    p_harm: Figure
    p_harmful_gm: Figure
    p_gm: Figure
    likelihood_range: Figure
    kappa: float | None = None
    own_betas: Mapping[str, Range] = field(default_factory=dict)


def with_factors(shift: ShiftPrior, factors: Mapping[str, Figure]) -> ShiftPrior:
    """The shift with other factors; both products follow from them."""
    p = {name: factors.get(name, getattr(shift, name)) for name in FACTORS}
    p_gm = p["p_capable"].number * p["p_goal_fail"].number
    like = next(iter(factors.values()))
    return replace(
        shift,
        **p,
        p_gm=like.derived(p_gm, "p_capable x p_goal_fail"),
        p_harmful_gm=like.derived(p_gm * p["p_harm"].number, "product of the three factors"),
    )


@dataclass(frozen=True)
class Domain:
    """Where a system is deployed. spec: its specification quality, 0..1. p_current and p_2027: the
    printed ranges of P(harmful goal misgeneralization)."""

    name: str
    label: str
    shift_types: tuple[str, str]
    spec: float
    p_current: Figure
    p_2027: Figure


@dataclass(frozen=True)
class Period:
    """excludes: the modifier that the driver repeats; apply one of the two."""

    name: str
    label: str
    multiplier: Range
    excludes: str | None = None

    def level(self, log_sd: float) -> Level:
        """A range is the central 90 % of a log-normal; a single number is its median."""
        low, high = self.multiplier
        if low == high == 1:
            return REFERENCE
        return (
            band_level(self.name, (low, high))
            if low < high
            else named_level(self.name, low, log_sd)
        )


@dataclass(frozen=True)
class Intervention:
    """reduction: the fraction of the risk that is removed, None where the source prints words.

    target: what it acts on ("p_goal_fail", "p_harm" or "exposure"), a reading: the source prints
    none. excludes: the modifier that it duplicates. printed: the words.
    """

    name: str
    reduction: Figure | None
    target: str
    excludes: str | None
    printed: str = ""


@dataclass(frozen=True)
class MesaPeriod:
    """p_catastrophic is (0, .01) where the source prints "< 1 %"."""

    name: str
    p_emergence: Figure
    p_misaligned: Figure
    p_catastrophic: Figure


@dataclass(frozen=True)
class MesaPriors:
    """The framework R = P(emergence) x P(misaligned | emergence) x S: an index, no probability.

    p_emergence and p_misaligned are the headline's; the index takes a period's. capability: by
    level, relative to current systems: the root of the printed relative harm, derived.
    """

    p_emergence: Figure
    p_misaligned: Figure
    exponent_capability: Figure
    exponent_misalignment: Figure
    periods: Mapping[str, MesaPeriod]
    capability: Mapping[str, Figure]


@dataclass(frozen=True)
class PriorSet:
    """Everything the risk model starts from. kappa: equivalent sample size of a type's factors
    (`misgen.analysis.posterior`); log_sd: spread of a named modifier level; transport: U(low, high)
    from toy agents to another domain; harm_note: P(harm) as a note of the source assumes it, beside
    the implied one.
    """

    name: str
    kappa: float
    log_sd: float
    shifts: Mapping[str, ShiftPrior]
    modifiers: Mapping[str, Modifier]
    domains: Mapping[str, Domain]
    periods: Mapping[str, Period]
    interventions: Mapping[str, Intervention]
    mesa: MesaPriors
    harm_note: Figure
    transport: Range = (0.5, 1.5)

    def with_kappa(self, kappa: float) -> "PriorSet":
        """The set with one kappa for all types, also for those with one of their own."""
        shifts = {name: replace(shift, kappa=None) for name, shift in self.shifts.items()}
        return replace(self, kappa=kappa, shifts=shifts)

    @property
    def figures(self) -> dict[str, Any]:
        """Every value that steers a result, under the dotted name by which a user's file replaces
        it: `shifts.moderate.p_goal_fail`, `transport`. None where there is no number."""
        return dict(_leaves("", self))

    @property
    def fingerprint(self) -> str:
        """16 hex digits: equal for sets of equal figures, whatever their names and files."""
        figures = {name: twelve_digits(value) for name, value in self.figures.items()}
        content = json.dumps(figures, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


_WORDS = ("name", "label", "printed")
"""Fields that steer no result."""


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Level):
        value = value.stated
    if isinstance(value, Figure):
        value = value.value
    if is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in fields(value) if f.name not in _WORDS}
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves(f"{name}.{key}".lstrip("."), below)
    else:
        yield name, value


def twelve_digits(value: Any) -> Any:
    """A leaf of `figures`; products of the same figures may differ in the last bits."""
    if isinstance(value, tuple):
        return [twelve_digits(part) for part in value]
    return value if value is None or isinstance(value, str) else f"{float(value):.12g}"
