"""What a change buys, and which input of a prediction matters: tornado and Sobol indices.

Both of these turn one input at a time through its own distribution, read off its draws. They take
inputs as independent; `largest_correlation` says how far joint draws of a posterior are from that.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from misgen.analysis.intervals import LEVEL
from misgen.analysis.rates import FloatArray
from misgen.analysis.risk.draws import Draws
from misgen.analysis.risk.formula import Input, Prediction, Scenario, evaluate
from misgen.analysis.words import PRODUCTS, product_of

ORDERS = ("swing", "log_span")
TAILS = ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)


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
    """Of both rates; ValueError for predictions of models with different numbers of draws."""
    for rate in PRODUCTS[::-1]:
        old, new = getattr(before, rate).values, getattr(after, rate).values
        if 1 not in (len(old), len(new)) and len(old) != len(new):
            raise ValueError(
                f"predictions are compared on common draws; got {len(old)} and {len(new)}"
            )
        low, high = np.quantile(new - old, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
        start, end, change = float(old.mean()), float(new.mean()), float((new - old).mean())
        lower = float(np.mean(new < old))
        ratio = end / start if start else math.nan
        yield RateDifference(rate, start, end, change, low, high, lower, ratio)


@dataclass(frozen=True)
class Swing:
    """A rate with one input at the ends of its central 90 %, all others at their medians.

    label: what the input is; middle: the rate at all medians; log_span: ln(input_high / input_low),
    which ignores clips; log_span_share: of the sum over inputs. Where input_low is 0 the span is
    infinite and the share NaN.
    """

    name: str
    label: str
    input_low: float
    input_high: float
    low: float
    middle: float
    high: float
    log_span: float
    log_span_share: float


@dataclass(frozen=True)
class SobolIndex:
    """Shares of a rate's variance: by this input alone, and with all its interactions.

    Beside each the half-width of its bootstrap 90 % interval.
    """

    name: str
    first: float
    first_half_width: float
    total: float
    total_half_width: float


def tornado(prediction: Prediction, of: str = "p_harmful_gm", by: str = "swing") -> list[Swing]:
    """A row per uncertain input, largest first.

    by: "swing" of the rate, or "log_span" of the input. Raises ValueError for another rate or
    order, or when nothing is uncertain.
    """
    if by not in ORDERS:
        raise ValueError(f"an order is one of {', '.join(ORDERS)}; got {by!r}; choose one")
    scenario = prediction.scenario
    ends = {name: np.quantile(item.values, TAILS) for name, item in _uncertain(scenario).items()}
    spans = {name: _log_span(low, high) for name, (low, _, high) in ends.items()}
    total = sum(span for span in spans.values() if math.isfinite(span))
    middles = {name: np.array([np.median(item.values)]) for name, item in scenario.inputs.items()}
    swings = []
    for name, (low, middle, high) in ends.items():
        at = {**middles, name: np.array([low, middle, high])}
        # One value where the input does not touch this rate.
        rate_low, rate_middle, rate_high = np.broadcast_to(_rate(scenario, at, of), 3)
        span = spans[name]
        swings.append(
            Swing(
                name=name,
                label=scenario.inputs[name].label,
                input_low=float(low),
                input_high=float(high),
                low=float(rate_low),
                middle=float(rate_middle),
                high=float(rate_high),
                log_span=span,
                log_span_share=span / total if math.isfinite(span) else math.nan,
            )
        )
    sizes = {"swing": lambda s: abs(s.high - s.low), "log_span": lambda s: s.log_span}
    return sorted(swings, key=sizes[by], reverse=True)


def sobol(
    prediction: Prediction, of: str = "p_harmful_gm", base: int = 1024, seed: int = 0
) -> list[SobolIndex]:
    """First-order and total indices, largest total first, from base x (inputs + 2) evaluations.

    Saltelli's design and estimators, by SALib. Raises ValueError unless base is a power of 2.
    """
    if base < 2 or base & (base - 1):
        raise ValueError(f"base is a power of 2; got {base}; try {1 << max(base, 2).bit_length()}")
    # Here, because SALib loads pandas and Matplotlib.
    from SALib.analyze import sobol as analyze
    from SALib.sample import sobol as sample

    scenario = prediction.scenario
    inputs = _uncertain(scenario)
    names = list(inputs)
    problem = {"num_vars": len(names), "names": names, "bounds": [[0.0, 1.0]] * len(names)}
    design = sample.sample(problem, base, calc_second_order=False, seed=seed + 1)
    at = {name: item.values[:1] for name, item in scenario.inputs.items()}
    for column, name in enumerate(names):
        at[name] = np.quantile(inputs[name].values, design[:, column])
    found = analyze.analyze(
        problem,
        _rate(scenario, at, of),
        calc_second_order=False,
        conf_level=LEVEL,
        seed=seed + 1,  # SALib takes 0 for no seed
    )
    columns = (found[key].tolist() for key in ("S1", "S1_conf", "ST", "ST_conf"))
    indices = [SobolIndex(*row) for row in zip(names, *columns, strict=True)]
    return sorted(indices, key=lambda index: index.total, reverse=True)


def largest_correlation(prediction: Prediction) -> float:
    """Largest absolute rank correlation between two uncertain inputs."""
    inputs = _uncertain(prediction.scenario).values()
    ranks = np.array([np.argsort(np.argsort(item.values)) for item in inputs])
    between = np.triu(np.atleast_2d(np.corrcoef(ranks)), 1)
    return float(np.abs(between).max())


def _uncertain(scenario: Scenario) -> dict[str, Input]:
    """The inputs that vary."""
    found = {name: item for name, item in scenario.inputs.items() if np.ptp(item.values) > 0}
    if not found:
        raise ValueError("a sensitivity needs an uncertain input; got draws that are all alike")
    return found


def _rate(scenario: Scenario, at: Mapping[str, FloatArray], of: str) -> FloatArray:
    found: Draws = getattr(evaluate(scenario, at), product_of(of))
    return found.values


def _log_span(low: float, high: float) -> float:
    return math.log(high / low) if low > 0 else math.inf
