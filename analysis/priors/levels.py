"""Multipliers of the risk: a modifier's levels, each with its uncertainty."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from misgen.analysis.priors.source import Figure, Range

FloatArray = npt.NDArray[np.float64]

_NORMAL = NormalDist()
_Z90 = 1.6448536269514722  # central 90 % of a normal: +- this many standard deviations


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

    @property
    def stated(self) -> float | Range:
        """As a prior file states it: its median, or (low, high) of a band."""
        return (self.low, self.high) if self.kind in ("band", "unknown") else self.median

    @property
    def label(self) -> str:
        return f"{self.name}: x {self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"

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


REFERENCE = Level("reference", "reference", 1.0, 1.0, 1.0, 0.0)


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
        found = self.levels.get(at) if isinstance(at, str) else self._at_score(at)
        if found is None:
            choices = ", ".join(self.levels) + " or a number in 0..1" * bool(self.knots)
            asked = repr(at) if isinstance(at, str) else f"at {at!r}"
            raise ValueError(f"{self.name} has no level {asked}; choose {choices}")
        # A user's strength may lie beyond the printed range: it is not cut.
        low, high = self.range.range
        is_cut = found.kind == "named" and low <= found.median <= high
        return found.within((low, high)) if is_cut else found

    def _at_score(self, score: float) -> Level | None:
        if not self.knots or not 0 <= score <= 1:
            return None
        scores, values = zip(*self.knots, strict=True)
        if self.rule == "step":
            above = "diverse" if score > scores[2] else "reference"
            return self.levels["narrow" if score < scores[1] else above]
        median = float(np.interp(score, scores, values))
        if math.isclose(median, 1.0):
            return REFERENCE
        is_between = any(low < score < high for low, high in self.gaps)
        note = (
            f"{score:g} lies between the printed bands: interpolated" if is_between else self.note
        )
        return named_level(f"{score:g}", median, self.log_sd, note)

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
