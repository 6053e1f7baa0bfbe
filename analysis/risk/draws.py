"""Draws of a rate of goal misgeneralization, which say which rate they are.

The source prints P(harmful goal misgeneralization), three factors; what a testbed measures first is
P(goal misgeneralization), two. To compare one with the other's figures is the easiest mistake.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from misgen.analysis.intervals import LEVEL
from misgen.analysis.rates import FloatArray
from misgen.analysis.words import product_of

_MEANING = {
    "p_gm": "two factors, the source's 10.2 to 33.8 %",
    "p_harmful_gm": "three factors, the source's 3.6 to 27.7 %",
}


@dataclass(frozen=True)
class Draws:
    """Draws [draws] of "p_gm" (capable, and the goal fails) or of "p_harmful_gm" (and it harms).

    Raises ValueError for values that are no vector within 0..1.
    """

    rate: str
    values: FloatArray

    def __post_init__(self) -> None:
        values = self.values
        if values.ndim != 1 or not (len(values) and values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"draws of a rate are a vector within 0..1; got {values}")

    def mean(self) -> float:
        return float(self.values.mean())

    def median(self) -> float:
        return float(np.median(self.values))

    def quantile(self, q: float) -> float:
        return float(np.quantile(self.values, q))

    def interval(self) -> tuple[float, float]:
        """(low, high): central 90 %."""
        found = Summary.of(self.values)
        return found.low, found.high

    def exceeds(self, p: float) -> float:
        """Share of the draws above p."""
        return float(np.mean(self.values > p))

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """For NumPy's functions: np.median(draws)."""
        return np.array(self.values, dtype=dtype, copy=copy)


@dataclass(frozen=True)
class Summary:
    """Mean, median and central 90 % of draws."""

    mean: float
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: npt.ArrayLike) -> "Summary":
        values = np.asarray(draws, dtype=np.float64)
        ordered = np.sort(values)  # once; np.quantile takes twice as long
        place = np.array([(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2]) * (len(ordered) - 1)
        below, above = ordered[np.floor(place).astype(int)], ordered[np.ceil(place).astype(int)]
        low, median, high = (below + place % 1 * (above - below)).tolist()
        return cls(float(values.mean()), median, low, high)

    def percent(self) -> str:
        """`11.2 [2.3, 25.0]`: median and central 90 % [%]."""
        return f"{self.median:.1%} [{self.low:.1%}, {self.high:.1%}]".replace("%", "")


def expect_rate(rate: str, draws: Draws) -> None:
    """TypeError unless these are draws of this rate."""
    if draws.rate != rate:
        raise TypeError(
            f"{rate} ({_MEANING[rate]}) belongs here and the other rate never stands for it; got "
            f"{draws.rate}; pass the {rate} of the prediction"
        )


VERDICTS = ("not above", "above", "too close to call")
CLOSE = 3.0  # Monte Carlo errors


@dataclass(frozen=True)
class LimitCheck:
    """A rate's mean, or a quantile, beside a limit.

    error: Monte Carlo standard error, of a quantile in shares of draws. share_above: of the draws
    above the limit, P(rate > limit). verdict: one of VERDICTS; too close where fewer than CLOSE
    errors lie between.
    """

    limit: float
    value: float
    error: float
    share_above: float
    verdict: str


def check_limit(
    draws: Draws, limit: float, *, of: str = "p_harmful_gm", quantile: float | None = None
) -> LimitCheck:
    """Whether the mean of the rate `of`, "p_harmful_gm" or "p_gm", or a quantile is above `limit`.

    Raises TypeError for draws of the other rate, ValueError for a limit or quantile beyond 0..1.
    """
    expect_rate(product_of(of), draws)
    for name, value in (("limit", limit), ("quantile", quantile)):
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"a {name} is within 0..1; got {value:g}; 5 % is .05")
    above, number = draws.exceeds(limit), len(draws.values)
    if quantile is None:
        value, error = draws.mean(), float(draws.values.std()) / math.sqrt(number)
        excess = value - limit
    else:
        value, error = draws.quantile(quantile), math.sqrt(above * (1 - above) / number)
        excess = above - (1 - quantile)
    verdict = VERDICTS[2] if abs(excess) < CLOSE * error else VERDICTS[int(excess > 0)]
    return LimitCheck(limit, value, error, above, verdict)
