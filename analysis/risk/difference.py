"""What a change buys: two predictions of one model on common draws."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from misgen.analysis.rates import LEVEL
from misgen.analysis.risk.draws import Draws
from misgen.analysis.risk.formula import Prediction


@dataclass(frozen=True)
class RateDifference:
    """A rate before and after a change, draw by draw: means, and the change's central 90 %.

    share_lower: of draws in which it is lower after. ratio: of the means.
    """

    rate: str
    before: float
    after: float
    difference: float
    low: float
    high: float
    share_lower: float
    ratio: float


def differences(before: Prediction, after: Prediction) -> Iterator[RateDifference]:
    """Of both rates.

    Raises:
        ValueError: the predictions are of models with different numbers of draws.
    """
    for rate in ("p_harmful_gm", "p_gm"):
        yield _difference(rate, getattr(before, rate), getattr(after, rate))


def _difference(rate: str, before: Draws, after: Draws) -> RateDifference:
    sizes = [len(draws.values) for draws in (before, after)]
    if 1 not in sizes and len({*sizes}) > 1:
        raise ValueError(f"predictions are compared on common draws; got {sizes[0]} and {sizes[1]}")
    change = after.values - before.values
    low, high = np.quantile(change, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    means = before.mean(), after.mean()
    ratio = means[1] / means[0] if means[0] else np.nan
    lower = float(np.mean(change < 0))
    return RateDifference(rate, *means, float(change.mean()), low, high, lower, float(ratio))
