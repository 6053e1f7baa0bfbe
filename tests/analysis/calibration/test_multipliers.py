"""Prior multipliers and measured ratios: the normal arithmetic on the log scale, by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from misgen.analysis.calibration.multipliers import Multiplier, condition, multipliers
from misgen.analysis.intervals import Estimate
from misgen.analysis.modifiers.comparisons import REFERENCE
from misgen.analysis.modifiers.measure import ModifierReport
from misgen.analysis.modifiers.results import RiskRatio
from misgen.analysis.priors import load_priors

DRAWS = 40_000


def ratio(modifier: str, level: str, value: float, log_sd: float) -> RiskRatio:
    spread = math.exp(1.645 * log_sd)
    estimate = Estimate(value, value / spread, value * spread)
    fields: dict[str, Any] = {
        "modifier": modifier,
        "level": level,
        "arm": "d=0",
        "reference": "d=0.1",
        "scope": "pooled",
        "cells": (("coinrun", "C2"),),
        "link": "log",
        "ratio": estimate,
        "raw": value,
        "factors": {},
        "log_mean": math.log(value),
        "log_sd": log_sd,
        "k_agents": 8,
        "k_reference": 8,
        "levels": "330",
    }
    return RiskRatio(**fields)


def lines(*ratios: RiskRatio, power: float = 1.0) -> dict[str, Multiplier]:
    report = ModifierReport("11", "log", REFERENCE, {}, ratios, (), (), (), {})
    found = multipliers(load_priors(), report, power, DRAWS, seed=0)
    return {f"{line.modifier}/{line.level}": line for line in found}


def log_moments(draws: np.ndarray[Any, Any]) -> tuple[float, float]:
    return float(np.log(draws).mean()), float(np.log(draws).std())


def test_update_is_the_precision_weighted_mean() -> None:
    """Prior ln 1.4 +- .2; data ln 3 +- .3."""
    found = lines(ratio("diversity", "narrow", 3.0, 0.3))["diversity/narrow"]
    data = 1 / 0.3**2
    mean = (math.log(1.4) / 0.2**2 + math.log(3.0) * data) / (1 / 0.2**2 + data)
    drawn, sd = log_moments(found.draws["combine"])
    assert drawn == pytest.approx(mean, abs=0.005)
    assert sd == pytest.approx((1 / 0.2**2 + data) ** -0.5, rel=0.02)


def test_replace_is_the_measurement_and_prior_stays() -> None:
    found = lines(ratio("diversity", "narrow", 3.0, 0.3))["diversity/narrow"]
    assert log_moments(found.draws["only"]) == pytest.approx((math.log(3), 0.3), abs=0.01)
    assert log_moments(found.draws["prior"]) == pytest.approx((math.log(1.4), 0.2), abs=0.01)


def test_less_power_moves_less() -> None:
    one = ratio("diversity", "narrow", 3.0, 0.3)
    values = [lines(one, power=p)["diversity/narrow"].draws["combine"] for p in (0, 0.3, 1)]
    medians = [float(np.median(v)) for v in values]
    assert medians[0] == pytest.approx(1.4, rel=0.01) and medians[0] < medians[1] < medians[2]
    assert lines(one, power=0)["diversity/narrow"].combine is None


def test_levels_without_data_keep_their_prior() -> None:
    found = lines(ratio("diversity", "narrow", 3.0, 0.3))
    for name, line in found.items():
        if name != "diversity/narrow":
            assert line.combine is None and line.only is None and line.measured is None
            assert (line.draws["only"] == line.draws["prior"]).all()
            np.testing.assert_allclose(line.draws["combine"], line.draws["prior"])


def test_specification_is_measured_against_q_1() -> None:
    """The source has .5 there, +- .2 on the log scale, and 1.74 +- .09 for `low`. A measured ratio
    of 1 pulls the two together; `replace` puts `low` where q = 1 is."""
    found = lines(ratio("spec", "low", 1.0, 0.05))
    high, low = found["spec/high"], found["spec/low"]
    level = load_priors().modifiers["spec"].levels["low"]
    gain = level.log_sd**2 / (level.log_sd**2 + 0.2**2 + 0.05**2)
    mean = math.log(level.median) - gain * (math.log(level.median) - math.log(0.5))
    assert log_moments(low.draws["combine"])[0] == pytest.approx(mean, abs=0.005)
    sd = math.hypot(0.2, 0.05)
    assert log_moments(low.draws["only"]) == pytest.approx((math.log(0.5), sd), abs=0.01)
    assert high.combine is None and high.only is None and "against spec 1" in low.note
    assert set(found) == set(lines()), "q = 1 is no level of its own"


def test_under_the_linear_rule_the_reference_arm_is_not_at_1() -> None:
    """There d = .1 has the multiplier 1.4, so a ratio against it multiplies that."""
    priors = load_priors(diversity_rule="linear")
    report = ModifierReport(
        "11", "log", REFERENCE, {}, (ratio("diversity", "diverse", 0.5, 0.1),), (), (), (), {}
    )
    found = {one.level: one for one in multipliers(priors, report, 1.0, DRAWS, seed=0)}
    assert np.median(found["diverse"].draws["only"]) == pytest.approx(0.7, rel=0.02)
    assert "against diversity 0.1" in found["diverse"].note


def test_a_ratio_away_from_the_reference_arm_is_shown_and_enters_nothing() -> None:
    away = replace(ratio("method", "behavioral_cloning", 3.0, 0.1), at_reference=False)
    found = lines(away)["method/behavioral_cloning"]
    assert found.measured == away and found.combine is None and found.only is None
    assert "enters nothing" in found.note
    assert (found.draws["only"] == found.draws["prior"]).all()


def test_a_ratio_that_says_nothing_changes_nothing() -> None:
    found = lines(ratio("diversity", "narrow", 1.0, 15.0))["diversity/narrow"]
    assert np.median(found.draws["combine"]) == pytest.approx(1.4, rel=0.01)


def test_the_condition_of_the_reference_arm() -> None:
    priors = load_priors()
    reference, words = condition(priors, 0.1, 1.0, DRAWS, seed=0)
    narrow, _ = condition(priors, 0.0, 1.0, DRAWS, seed=0)
    neutral, _ = condition(priors, 0.1, 0.55, DRAWS, seed=0)
    assert words["diversity"] == words["method"] == words["capability"] == "reference: exactly 1"
    # At the ends of their printed ranges, .5 and 1.4: |N(0, .2)| has mean .160 and deviation .121.
    assert log_moments(reference) == pytest.approx((math.log(0.5) + 0.160, 0.121), abs=0.01)
    assert log_moments(narrow / reference) == pytest.approx(
        (math.log(1.4) - 0.160, 0.121), abs=0.01
    )
    assert (neutral == 1).all()
