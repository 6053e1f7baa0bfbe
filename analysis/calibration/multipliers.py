"""The source's multipliers, updated or replaced by measured risk ratios.

On the log scale everything is normal. A priori ln M(level) ~ N(ln printed, log_sd) for each named
level, independently, and the reference level is exactly 0. A measured ratio compares two arms, so
that its likelihood is one of a difference, ln M(level) - ln M(where the reference arm is). That is
the source's reference level, 1, for method, and for diversity unless a user's rule moves it. Its
specification quality is q = 1, for which the source has a multiplier of its own (the neutral
quality, .55, is specification gaming and no reference arm). All columns stay on the source's scale.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from misgen.analysis.calibration.measured import ARMS, Q
from misgen.analysis.calibration.summary import SweptMultiplier
from misgen.analysis.intervals import LEVEL, Estimate
from misgen.analysis.modifiers.measure import ModifierReport
from misgen.analysis.modifiers.results import RiskRatio
from misgen.analysis.priors.levels import Modifier, named_level
from misgen.analysis.priors.types import PriorSet
from misgen.analysis.rates import FloatArray

SCORE_OF_REFERENCE_ARM = {"spec": Q, "diversity": ARMS["reference"]}
"""Modifier -> where the reference arm is on its scale."""


@dataclass(frozen=True)
class Multiplier:
    """One named level of one modifier.

    measured: the ratio that enters or, where none may, one that is only shown; None without any.
    combine, only: None where no data bear on the level. draws: kind -> multipliers [draws].
    """

    modifier: str
    level: str
    prior: Estimate
    measured: RiskRatio | None
    combine: Estimate | None
    only: Estimate | None
    note: str = ""
    draws: Mapping[str, FloatArray] = field(default_factory=dict, repr=False)


def multipliers(
    priors: PriorSet, report: ModifierReport, power: float, draws: int, seed: int
) -> list[Multiplier]:
    """Every named level of every modifier, with the data at a stated power (0: none)."""
    found = []
    for i, modifier in enumerate(priors.modifiers.values()):
        rng = np.random.default_rng([seed, i])
        levels = {name: report.level(modifier.name, name) for name in modifier.levels}
        ratios = {name: one for name, one in levels.items() if one is not None}
        lines = _of_modifier(modifier, ratios, power, draws, rng)
        found += [line if line.measured else _only_shown(report, line) for line in lines]
    return found


LOG_SDS = (0.1, 0.2, 0.3, 0.4)
"""Of a named level's prior; the source prints none."""


def swept_multipliers(
    priors: PriorSet, report: ModifierReport, power: float, draws: int = 4000, seed: int = 0
) -> Iterator[SweptMultiplier]:
    """The levels that data move, at each of `LOG_SDS`."""
    for log_sd in LOG_SDS:
        modifiers = {
            name: one.with_levels({
                key: named_level(key, level.median, log_sd) if level.kind == "named" else level
                for key, level in one.levels.items()
            })
            for name, one in priors.modifiers.items()
        }  # fmt: skip
        swept = replace(priors, modifiers=modifiers)
        for line in multipliers(swept, report, power, draws, seed):
            if line.combine is not None:
                yield SweptMultiplier(log_sd, line.modifier, line.level, line.prior, line.combine)


def _only_shown(report: ModifierReport, line: Multiplier) -> Multiplier:
    """With a ratio that enters nothing, if there is one: away from the reference arm, without an
    interval, or from cells that are not identified."""
    ratios = [
        one
        for one in report.ratios
        if (one.modifier, one.level) == (line.modifier, line.level) and one.scope != "cell"
    ]
    if not ratios:
        return line
    best = max(ratios, key=lambda one: (one.at_reference, one.scope == "pooled", len(one.cells)))
    return replace(line, measured=best, note="the ratio is shown and enters nothing")


def _of_modifier(
    modifier: Modifier,
    ratios: Mapping[str, RiskRatio],
    power: float,
    draws: int,
    rng: np.random.Generator,
) -> Iterator[Multiplier]:
    levels = [level for level in modifier.levels.values() if level.kind in ("named", "band")]
    named = [level.name for level in levels]
    base, note = None, ""
    at = modifier.level(SCORE_OF_REFERENCE_ARM.get(modifier.name))
    if at.kind != "reference":
        base = f"{modifier.name} of the reference arm"
        levels.append(replace(at, name=base))
        note = (
            f"measured against {modifier.name} {SCORE_OF_REFERENCE_ARM[modifier.name]:g}; on the "
            f"source's scale by its multiplier there, {at.median:.3g}"
        )
    names = [level.name for level in levels]
    ratios = {name: one for name, one in ratios.items() if name in names}
    mean = np.array([math.log(level.median) for level in levels])
    sd = np.array([level.log_sd for level in levels])
    noise = rng.standard_normal((len(levels), draws))
    prior = mean[:, None] + sd[:, None] * noise
    posterior = _update(mean, sd, names, base, ratios, power) @ np.vstack([noise, np.ones(draws)])
    replaced = prior.copy()
    for name, one in ratios.items():
        anchor = prior[names.index(base)] if base else 0.0
        spread = one.log_sd * rng.standard_normal(draws)
        replaced[names.index(name)] = anchor + one.log_mean + spread
    for i, name in enumerate(named):
        columns = {"prior": prior[i], "combine": posterior[i], "only": replaced[i]}
        drawn = {kind: np.exp(column) for kind, column in columns.items()}
        found = {kind: _interval(column) for kind, column in drawn.items()}
        has_data = name in ratios
        yield Multiplier(
            modifier.name,
            name,
            found["prior"],
            ratios.get(name),
            found["combine"] if has_data and power > 0 else None,
            found["only"] if has_data else None,
            note * has_data,
            drawn,
        )


def _update(
    mean: FloatArray,
    sd: FloatArray,
    names: Sequence[str],
    base: str | None,
    ratios: Mapping[str, RiskRatio],
    power: float,
) -> FloatArray:
    """Normal posterior of ln M as a matrix [levels, levels + 1]: Cholesky factor and mean, to be
    multiplied by standard normal noise and 1."""
    covariance, center = np.diag(sd**2), mean.copy()
    for name, one in ratios.items() if power > 0 else ():
        contrast = np.zeros(len(names))
        contrast[names.index(name)] = 1
        if base:
            contrast[names.index(base)] = -1
        variance = max(one.log_sd, 1e-6) ** 2 / power
        gain = covariance @ contrast / (contrast @ covariance @ contrast + variance)
        center = center + gain * (one.log_mean - contrast @ center)
        covariance = covariance - np.outer(gain, contrast @ covariance)
    return np.column_stack([np.linalg.cholesky(covariance + 1e-12 * np.eye(len(sd))), center])


def _interval(draws: FloatArray) -> Estimate:
    low, median, high = np.quantile(draws, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    return Estimate(float(median), float(low), float(high))


def condition(
    priors: PriorSet, d: float, q: float, draws: int, seed: int
) -> tuple[FloatArray, dict[str, str]]:
    """The source's multiplier [draws] for a training condition (PPO, default steps), with its
    uncertainty, and what each modifier resolved to."""
    total, words = np.ones(draws), {}
    for i, (name, at) in enumerate((("spec", q), ("diversity", d))):
        level = priors.modifiers[name].level(at)
        rng = np.random.default_rng([seed, 100 + i])
        total = total * level.quantile(rng.random(draws))
        words[name] = (
            "reference: exactly 1"
            if level.kind == "reference"
            else f"{level.name}: x {level.median:.3g} [{level.low:.3g}, {level.high:.3g}]"
        )
    return total, {**words, "capability": "reference: exactly 1", "method": "reference: exactly 1"}
