"""The types of a prior set: figures with their provenance, and what they describe.

`misgen.analysis.priors` fills them from the source's tables and is the module to import.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SHIFT_TYPES = ("superficial", "moderate", "significant", "extreme")
"""Types 1 to 4 of the source, by which the cells of the records are classified."""
FACTORS = ("p_capable", "p_goal_fail", "p_harm")
PRIOR_SETS = ("taxonomy", "meta_analysis", "external_revision")
Range = tuple[float, float]

_NORMAL = NormalDist()
_Z90 = 1.6448536269514722  # central 90 % of a normal: +- this many standard deviations


@dataclass(frozen=True)
class Figure:
    """One number, or a (low, high) range, with where it comes from.

    kind: "printed" in the source; "derived" from printed figures by arithmetic; "external", from
    other revisions of the source's pages; "ours", a choice of this project; "user", from a file.
    source: "000" to "003", or a name; lines: first and last of the rendering, (0, 0) if none.
    An open end of a range is inf. value is None where the source prints words only (see note).
    """

    value: float | Range | None
    unit: str
    kind: str
    source: str
    section: str
    lines: tuple[int, int]
    note: str = ""

    @property
    def number(self) -> float:
        if not isinstance(self.value, float):
            raise TypeError(f"a single number is needed here; got {self.value} ({self.section})")
        return self.value

    @property
    def range(self) -> Range:
        if not isinstance(self.value, tuple):
            raise TypeError(f"a (low, high) range is needed here; got {self.value}")
        return self.value

    def derived(self, value: float | Range, note: str) -> "Figure":
        """What follows from this figure and others beside it."""
        return replace(self, value=value, kind="derived", note=note)


def beta_parameters(mean: float, kappa: float) -> tuple[float, float]:
    """Beta(a, b) with this mean and equivalent sample size kappa = a + b."""
    if not (0 < mean < 1 and kappa > 0):
        raise ValueError(
            f"a Beta prior needs 0 < mean < 1 and kappa > 0; got {mean} and {kappa}: "
            "use a mean such as .01 or .99 for something nearly certain"
        )
    return mean * kappa, (1 - mean) * kappa


# ---------------------------------------------------------------------------------- shift types


@dataclass(frozen=True)
class ShiftPrior:
    """A type of distribution shift. p_capable x p_goal_fail x p_harm = p_harmful_gm.

    p_gm is the two-factor product; p_harm is what the printed product implies, unless the set
    prints harm itself. likelihood_range is the source's "likelihood" of the type. factor_ranges
    is empty unless the set prints (low, high) for the factors. kappa: of this type, None for the
    set's. own_betas: (a, b) of the factors to which a user's file gave a range or a kappa.
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
    scenarios: tuple[str, ...]
    severity: str
    trend: str
    timeline: str
    key_factors: str
    capability_risk_label: str
    goal_risk_label: str
    factor_ranges: Mapping[str, Figure] = field(default_factory=dict)
    kappa: float | None = None
    own_betas: Mapping[str, Range] = field(default_factory=dict)

    @property
    def capability_risk(self) -> float:
        """What the source's column heading names; the column holds p_capable."""
        return 1 - self.p_capable.number

    @property
    def product(self) -> float:
        """The mean of P(harmful goal misgeneralization) that the three factors give."""
        return self.p_gm.number * self.p_harm.number


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
class ScenarioPoint:
    """A point of the source's chart. Its type is assigned by name, never by coordinate."""

    name: str
    shift_type: str
    capability_risk: Figure
    goal_risk: Figure


# ---------------------------------------------------------------------------------- modifiers


@dataclass(frozen=True)
class Level:
    """A multiplier with its uncertainty: log-normal, or exactly 1 at the reference.

    kind: "reference" (exactly 1), "named" (a printed value, spread log_sd), "band" (central 90 % =
    a printed band), "unknown" (central 90 % = the modifier's whole range). median and log_sd
    describe all four; low and high are the central 90 %. bounds: what lies beyond is cut off, then
    `median` is that of the whole.
    """

    name: str
    kind: str
    median: float
    low: float
    high: float
    log_sd: float
    note: str = ""
    bounds: Range = (0.0, math.inf)

    def quantile(self, share: FloatArray) -> FloatArray:
        """The multipliers [n] below which these shares [n] of the distribution lie."""
        from scipy.special import ndtri  # here: the audit needs none

        if not self.log_sd:
            return np.full_like(share, self.median)
        low, high = self._ends()
        normal = ndtri(low + share * (high - low))
        found: FloatArray = self.median * np.exp(self.log_sd * normal)
        return found

    def within(self, bounds: Range) -> "Level":
        """The level without what lies beyond the bounds."""
        if not self.log_sd:
            return self
        cut = replace(self, bounds=bounds)
        first, last = cut._ends()
        low, high = (
            self.median * math.exp(self.log_sd * _NORMAL.inv_cdf(first + share * (last - first)))
            for share in (0.05, 0.95)
        )
        return replace(cut, low=low, high=high)

    def _ends(self) -> Range:
        """The shares of the whole below the bounds."""

        def below(end: float) -> float:
            if end in (0, math.inf):
                return float(end > 0)
            return math.erfc(-math.log(end / self.median) / (self.log_sd * math.sqrt(2))) / 2

        low, high = self.bounds
        return below(low), below(high)


def reference_level(note: str = "") -> Level:
    return Level("reference", "reference", 1.0, 1.0, 1.0, 0.0, note)


def named_level(name: str, median: float, log_sd: float, note: str = "") -> Level:
    spread = math.exp(_Z90 * log_sd)
    return Level(name, "named", median, median / spread, median * spread, log_sd, note)


def band_level(name: str, band: Range, kind: str = "band", note: str = "") -> Level:
    low, high = band
    log_sd = math.log(high / low) / (2 * _Z90)
    return Level(name, kind, math.sqrt(low * high), low, high, log_sd, note)


@dataclass(frozen=True)
class Modifier:
    """A multiplier of the risk, by level.

    reference: what "reference" stands for. knots: (score, multiplier) pairs, increasing in score,
    by which a number becomes a multiplier; empty where only names are known. rule: "linear"
    between knots, or "step" (the named level below the second knot and above the third, the
    reference between them). gaps: scores between printed bands.
    """

    name: str
    range: Figure
    levels: Mapping[str, Level]
    reference: str
    log_sd: float
    knots: tuple[tuple[float, float], ...] = ()
    rule: str = "linear"
    gaps: tuple[Range, ...] = ()

    def level(self, at: str | float | None = None) -> Level:
        """The level of a name or a score; None is the reference, "unknown" the whole range. A
        printed strength stays within the printed range.

        Spec takes its quality q, diversity the share d of training levels with the broken cue,
        both in 0..1. Raises ValueError for another name or score.
        """
        if at is None or at == self.reference:
            at = "reference"
        if isinstance(at, str):
            if at not in self.levels:
                raise ValueError(f"{self.name} has no level {at!r}; choose {self._choices()}")
            return self._within(self.levels[at])
        if not self.knots or not 0 <= at <= 1:
            raise ValueError(f"{self.name} has no level at {at!r}; choose {self._choices()}")
        return self._within(self._at_score(float(at)))

    def _within(self, level: Level) -> Level:
        """A user's strength may lie beyond the printed range: it is not cut."""
        low, high = self.range.range
        is_cut = level.kind == "named" and low <= level.median <= high
        return level.within((low, high)) if is_cut else level

    @property
    def note(self) -> str:
        """What a line through diversity's thresholds does to the reference arm; else empty."""
        if self.name != "diversity" or self.rule != "linear" or self.knots[1][1] == 1:
            return ""
        score, multiplier = self.knots[1]
        return (
            f"diversity_rule linear gives d = {score:g}, this testbed's reference arm, a "
            f"multiplier of {multiplier:g}: with this rule it is no reference"
        )

    def with_levels(self, levels: Mapping[str, Level]) -> "Modifier":
        """The modifier with other levels; diversity's knots follow them."""
        if self.name != "diversity":
            return replace(self, levels=levels)
        names = ("narrow", "narrow", "diverse", "diverse")
        medians = (levels[name].median for name in names)
        knots = zip((score for score, _ in self.knots), medians, strict=True)
        return replace(self, levels=levels, knots=tuple(knots))

    def _choices(self) -> str:
        numbers = " or a number in 0..1" if self.knots else ""
        return ", ".join(self.levels) + numbers

    def _at_score(self, score: float) -> Level:
        scores, values = zip(*self.knots, strict=True)
        if self.rule == "step":
            return self._at_step(score)
        median = float(np.interp(score, scores, values))
        if math.isclose(median, 1.0):
            return reference_level(f"{self.name} {score:g} is the reference")
        inside = [gap for gap in self.gaps if gap[0] < score < gap[1]]
        note = f"{score:g} lies between the printed bands: interpolated" if inside else self.note
        return named_level(f"{score:g}", median, self.log_sd, note)

    def _at_step(self, score: float) -> Level:
        """The named level of the step: below .1 narrow, above .3 diverse, else the reference."""
        low, high = self.knots[1][0], self.knots[2][0]
        names = ("narrow", "reference", "diverse")
        return self.levels[names[(score >= low) + (score > high)]]


# --------------------------------------------------------------- domains, time, interventions


@dataclass(frozen=True)
class Domain:
    name: str
    label: str
    shift_types: tuple[str, str]
    spec: float
    p_current: Figure
    p_2027: Figure
    concern: str = ""


@dataclass(frozen=True)
class Period:
    """excludes: the modifier that the driver repeats; apply one of the two."""

    name: str
    label: str
    multiplier: Range
    driver: str
    deployment: str = ""
    excludes: str | None = None


@dataclass(frozen=True)
class Intervention:
    """reduction: the fraction of the risk that is removed, None where the source prints words.

    target: the factor it acts on ("p_goal_fail", "p_harm" or "exposure"); target_kind says whose
    reading that is, the source prints none. excludes: the modifier that it duplicates.
    """

    name: str
    category: str
    reduction: Figure | None
    target: str
    target_kind: str
    excludes: str | None
    compute_multiplier: Range | None
    cost: str
    priority: str
    printed: str = ""


@dataclass(frozen=True)
class MetaRow:
    """A study, or the pool. n_cases is None: the source prints no count per study."""

    name: str
    cases: str
    n_cases: int | None
    p_capable: Figure
    p_goal_fail: Figure
    p_harm: Figure
    verified_in_cited_source: bool = False

    def factor(self, name: str) -> float:
        return float(getattr(self, name).number)


@dataclass(frozen=True)
class MetaAnalysis:
    """Documented failures, selected on the outcome: they estimate no failure rate."""

    rows: tuple[MetaRow, ...]
    pooled: MetaRow
    cases_at_least: Figure
    pool: str = "unweighted_mean"

    def unweighted_mean(self, factor: str) -> float:
        return float(np.mean([row.factor(factor) for row in self.rows]))


@dataclass(frozen=True)
class CaseStudy:
    """failure_class is ours: goal misgeneralization needs a correct reward."""

    name: str
    domain: str
    true_objective: str
    learned_proxy: str
    outcome: str
    credited_to: str
    failure_class: str


# --------------------------------------------------------------------------- mesa-optimization


@dataclass(frozen=True)
class MesaPeriod:
    """p_catastrophic is (0, .01) where the source prints "< 1 %"."""

    name: str
    label: str
    years: tuple[int, int]
    p_emergence: Figure
    p_misaligned: Figure
    p_catastrophic: Figure
    concern: str


@dataclass(frozen=True)
class CapabilityLevel:
    """relative_harm is printed; capability is its root by the printed exponent, derived."""

    name: str
    label: str
    relative_harm: Figure
    capability: Figure
    years: Range | None
    threshold: str


@dataclass(frozen=True)
class MisalignmentType:
    """prevalence and mitigation success are ranges; the four prevalences are no partition."""

    name: str
    prevalence: Figure
    mitigation_success: Figure
    detectability: str
    correction_difficulty: str
    catastrophic_potential: str
    detection: str
    mitigation: str
    priority: str


@dataclass(frozen=True)
class ComplexityThreshold:
    """threshold: exceeded when greater, None where words are printed; current: today's LLMs."""

    name: str
    threshold: Figure | None
    current: Figure | None
    printed: str


@dataclass(frozen=True)
class Regime:
    """A model's place in the plane of training compute and data diversity, both 0..1."""

    name: str
    compute: Figure
    diversity: Figure


@dataclass(frozen=True)
class MesaPriors:
    """The framework R = P(emergence) x P(misaligned | emergence) x S: an index, no probability."""

    p_emergence: Figure
    p_misaligned: Figure
    exponent_capability: Figure
    exponent_misalignment: Figure
    periods: Mapping[str, MesaPeriod]
    capability_levels: Mapping[str, CapabilityLevel]
    types: Mapping[str, MisalignmentType]
    thresholds: Mapping[str, ComplexityThreshold]
    regimes: Mapping[str, Regime]
    regime_labels: Mapping[str, str]
    awareness_levels: tuple[tuple[str, str], ...]
    evidence: Mapping[str, str]
    interval_kind: str = "judgement"


# ----------------------------------------------------------------------------------- the set


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
    meta_analysis: MetaAnalysis
    case_studies: tuple[CaseStudy, ...]
    scenarios: Mapping[str, ScenarioPoint]
    mesa: MesaPriors
    harm_note: Figure
    transport: Range = (0.5, 1.5)

    def with_kappa(self, kappa: float) -> "PriorSet":
        """The set with one kappa for all types, also for those with one of their own."""
        shifts = {name: replace(shift, kappa=None) for name, shift in self.shifts.items()}
        return replace(self, kappa=kappa, shifts=shifts)

    @property
    def fingerprint(self) -> str:
        """16 hex digits: equal for sets of equal figures, whatever their names and files.

        Figures count to 12 significant digits, under their names. Where a figure comes from, and
        words that steer no result, do not count.
        """
        content = json.dumps(_content(self), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


_STEERING = ("kind", "rule", "reference", "target", "excludes", "shift_types")
"""The fields whose words decide what is done with a figure."""
_DERIVED = ("bounds",)
"""Fields that follow from other figures."""


def _content(value: Any, steers: bool = False) -> Any:
    """What of a prior set counts towards its fingerprint, as JSON values."""
    if isinstance(value, Figure):
        return _content(value.value)
    if is_dataclass(value):
        return {
            f.name: _content(getattr(value, f.name), f.name in _STEERING)
            for f in fields(value)
            if f.name not in _DERIVED
        }
    if isinstance(value, Mapping):
        return {str(key): _content(member) for key, member in value.items()}
    if isinstance(value, tuple | list):
        return [_content(member, steers) for member in value]
    if isinstance(value, str):
        return value if steers else None
    # 12 digits: products of the same figures may differ in the last bits.
    return value if value is None or isinstance(value, bool) else f"{float(value):.12g}"
