"""Typed priors: the shift types, the modifiers' levels and the three named sets."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from misgen.analysis.priors import load_priors
from misgen.analysis.priors.levels import named_level
from misgen.analysis.priors.types import FACTORS, PRIOR_SETS, SHIFT_TYPES, beta_parameters


def test_shift_types_carry_printed_and_implied_factors() -> None:
    rows = {
        # type          capable goal  harmful  two-factor  implied harm
        "superficial": (0.85, 0.12, 0.036, 0.1020, 0.3529),
        "moderate": (0.65, 0.28, 0.100, 0.1820, 0.5495),
        "significant": (0.55, 0.55, 0.218, 0.3025, 0.7207),
        "extreme": (0.45, 0.75, 0.277, 0.3375, 0.8207),
    }
    shifts = load_priors().shifts
    assert tuple(shifts) == SHIFT_TYPES == tuple(rows)
    for number, (name, row) in enumerate(rows.items(), 1):
        shift = shifts[name]
        capable, goal, harmful, two, harm = row
        assert (shift.number, shift.label.lower()) == (number, name)
        assert shift.p_capable.number == capable and shift.p_goal_fail.number == goal
        assert shift.p_harmful_gm.number == harmful
        assert shift.p_gm.number == pytest.approx(two)
        assert shift.p_harm.number == pytest.approx(harm, abs=5e-5)
        kinds = [getattr(shift, f).kind for f in (*FACTORS, "p_gm", "p_harmful_gm")]
        assert kinds == ["printed", "printed", "derived", "derived", "printed"]
    assert [s.likelihood_range.range for s in shifts.values()] == [
        (0.01, 0.10),
        (0.03, 0.22),
        (0.10, 0.42),
        (0.13, 0.51),
    ]
    assert load_priors().harm_note.range == (0.5, 0.7)


def test_domains_periods_and_interventions() -> None:
    priors = load_priors()
    cars = priors.domains["autonomous_vehicles"]
    assert cars.shift_types == ("moderate", "significant") and cars.spec == 0.6
    assert (cars.p_current.range, cars.p_2027.range) == ((0.08, 0.22), (0.12, 0.25))
    assert {name: period.multiplier for name, period in priors.periods.items()} == {
        "2024-2025": (1.0, 1.0),
        "2026-2027": (1.5, 1.5),
        "2028-2030": (2.0, 3.0),
        "after-2030": (3.0, 5.0),
    }
    assert {
        name: (i.reduction.range if i.reduction else i.printed, i.target)
        for name, i in priors.interventions.items()
    } == {
        "diverse_adversarial_training": ((0.2, 0.4), "p_goal_fail"),
        "objective_specification_improvement": ((0.3, 0.5), "p_goal_fail"),
        "interpretability_verification": ((0.4, 0.7), "p_goal_fail"),
        "anomaly_monitoring": ("Early warning", "p_harm"),
        "objective_probing": ("Behavioral testing", "p_goal_fail"),
        "ai_control_protocols": ((0.6, 0.9), "p_harm"),
        "gradual_deployment": ("Variable", "p_harm"),
    }
    assert {i.name: i.excludes for i in priors.interventions.values() if i.excludes} == {
        "diverse_adversarial_training": "diversity",
        "objective_specification_improvement": "spec",
        "interpretability_verification": "method",
    }
    assert {p.name: p.excludes for p in priors.periods.values() if p.excludes} == {
        "2026-2027": "capability",
        "2028-2030": "capability",
        "after-2030": "capability",
    }
    assert priors.transport == (0.5, 1.5)


def test_mesa_framework() -> None:
    mesa = load_priors().mesa
    assert (mesa.p_emergence.range, mesa.p_misaligned.range) == ((0.1, 0.7), (0.5, 0.9))
    assert (mesa.exponent_capability.number, mesa.exponent_misalignment.number) == (2, 1.5)
    now = mesa.periods["current"]
    assert (now.p_emergence.range, now.p_misaligned.range) == ((0.1, 0.4), (0.5, 0.8))
    assert now.p_catastrophic.range == (0, 0.01) and "less than" in now.p_catastrophic.note
    assert mesa.capability["near_term"].range == pytest.approx((2, 10**0.5))
    assert mesa.capability["transformative"].range == pytest.approx((10, 1000**0.5))
    assert {figure.kind for figure in mesa.capability.values()} == {"derived"}


# ---------------------------------------------------------------------------------- modifiers


@pytest.mark.parametrize(
    "name, at, median",
    [
        ("capability", "below_human", 0.5),
        ("capability", "superhuman", 3.0),
        ("diversity", "diverse", 0.7),
        ("diversity", "narrow", 1.4),
        ("method", "interpretability_verified", 0.4),
        ("method", "behavioral_cloning", 1.5),
        ("spec", 1.0, 0.5),
        ("spec", 0.9, 0.6),
        ("spec", 0.8, 0.7),
        ("spec", 0.5, 1.0 + 0.2 / 3),
        ("spec", 0.2, 5 / 3),
        ("spec", 0, 2.0),
    ],
)
def test_a_named_level_is_around_its_printed_value_within_the_printed_range(
    name: str, at: str | float, median: float
) -> None:
    level = load_priors().modifiers[name].level(at)
    assert (level.kind, level.log_sd) == ("named", 0.2)
    assert level.median == pytest.approx(median)
    low, high = load_priors().modifiers[name].range.range
    assert level.bounds == (low, high)
    assert low < level.low < level.high < high
    assert math.log(level.high / level.low) < 2 * 1.644854 * 0.2
    shares = np.linspace(0.02, 0.98, 7)
    cut = stats.norm.cdf(np.log(np.array([low, high]) / median) / 0.2)
    expected = median * np.exp(0.2 * stats.norm.ppf(cut[0] + shares * (cut[1] - cut[0])))
    np.testing.assert_allclose(level.quantile(shares), expected, rtol=1e-9)


def test_a_users_strength_beyond_the_printed_range_is_not_cut() -> None:
    spec = load_priors().modifiers["spec"]
    other = spec.with_levels({**spec.levels, "low": named_level("low", 4.0, 0.2)}).level("low")
    assert other.bounds == (0.0, math.inf)
    assert math.log(other.high / other.low) == pytest.approx(2 * 1.644854 * 0.2, rel=1e-5)


def test_the_reference_is_exactly_one() -> None:
    modifiers = load_priors().modifiers
    names = {"spec": "neutral", "capability": "human", "diversity": "neutral", "method": "ppo"}
    for name, own in names.items():
        for at in (None, "reference", own):
            level = modifiers[name].level(at)
            assert (level.kind, level.median, level.low, level.high) == ("reference", 1, 1, 1)
            assert level.log_sd == 0
    assert modifiers["spec"].level(0.55).kind == "reference"


def test_a_band_and_the_unknown_level_are_central_90_percent() -> None:
    modifiers = load_priors().modifiers
    rng = np.random.default_rng(1)
    bands = {"high": (0.5, 0.7), "medium": (0.8, 1.2), "low": (1.5, 2.0)}
    cases = [(modifiers["spec"].level(name), name, band) for name, band in bands.items()]
    cases += [(m.level("unknown"), "unknown", m.range.range) for m in modifiers.values()]
    for level, name, (low, high) in cases:
        draws = level.median * np.exp(level.log_sd * rng.standard_normal(200_000))
        assert np.quantile(draws, [0.05, 0.95]) == pytest.approx([low, high], rel=0.01)
        assert (level.low, level.high) == (low, high) and level.name == name
        assert level.kind == ("unknown" if name == "unknown" else "band")
    assert modifiers["method"].level("unknown").note == "level: unknown"


def test_specification_is_interpolated_across_the_gaps_and_says_so() -> None:
    spec = load_priors().modifiers["spec"]
    assert spec.knots == (
        (0.0, 2.0),
        (0.3, 1.5),
        (0.4, 1.2),
        (0.7, 0.8),
        (0.8, 0.7),
        (1.0, 0.5),
    )
    assert spec.level(0.35).median == pytest.approx(1.35)
    assert spec.level(0.75).median == pytest.approx(0.75)
    for q, said in [(0.3, False), (0.35, True), (0.4, False), (0.75, True), (0.9, False)]:
        assert ("interpolated" in spec.level(q).note) == said


def test_the_endpoint_rule_moves_the_end_multipliers_to_the_table_s_qualities() -> None:
    table = load_priors(endpoint_rule="table").modifiers["spec"]
    expected = {1.0: 0.5, 0.9: 0.5, 0.8: 0.7, 0.5: 1.0667, 0.3: 1.5, 0.25: 1.75, 0.2: 2.0, 0: 2.0}
    for q, multiplier in expected.items():
        assert table.level(q).median == pytest.approx(multiplier, abs=1e-4)


def test_diversity_thresholds_step_or_line() -> None:
    step = load_priors().modifiers["diversity"]
    names = {0: "narrow", 0.099: "narrow", 0.1: "reference", 0.3: "reference", 0.301: "diverse"}
    assert {d: step.level(d).name for d in names} == names
    line = load_priors(diversity_rule="linear").modifiers["diversity"]
    expected = {0: 1.4, 0.1: 1.4, 0.2: 1.05, 0.25: 0.875, 0.3: 0.7, 1: 0.7}
    for d, multiplier in expected.items():
        assert line.level(d).median == pytest.approx(multiplier)


def test_a_line_through_the_thresholds_says_that_it_moves_the_reference_arm() -> None:
    assert load_priors().modifiers["diversity"].level(0.1).median == 1
    line = load_priors(diversity_rule="linear").modifiers["diversity"]
    assert line.level(0.1).note == line.note and "gives d = 0.1" in line.note
    assert "a multiplier of 1.4" in line.note
    doubled = line.with_levels({**line.levels, "narrow": replace(line.levels["narrow"], median=2)})
    assert "a multiplier of 2" in doubled.note
    # Where d = .1 is the reference there is nothing to say.
    flat = line.with_levels({**line.levels, "narrow": line.levels["reference"]})
    assert flat.level(0.1).kind == "reference" and flat.note == ""
    assert {m.note for m in load_priors().modifiers.values()} == {""}


@pytest.mark.parametrize("name", ["spec", "capability", "diversity", "method"])
@pytest.mark.parametrize("at", ["superb", 1.5, -0.1, math.nan])
def test_an_unknown_name_or_score_is_refused_with_the_choices(name: str, at: str | float) -> None:
    with pytest.raises(ValueError, match=f"{name} has no level .*; choose reference, .*unknown"):
        load_priors().modifiers[name].level(at)


def test_the_spread_of_a_named_level_is_an_option() -> None:
    assert load_priors(log_sd=0.4).modifiers["method"].level("behavioral_cloning").log_sd == 0.4
    exact = load_priors(log_sd=0).modifiers["spec"].level(0.8)
    assert exact.low == exact.high == pytest.approx(0.7)


# -------------------------------------------------------------------------------------- the sets


def test_beta_parameters_have_the_mean_and_the_sample_size() -> None:
    assert beta_parameters(0.3, 10) == pytest.approx((3, 7))
    for mean, kappa in [(0, 10), (1, 10), (0.5, 0), (1.2, 10), (math.nan, 10)]:
        with pytest.raises(ValueError, match="0 < mean < 1 and kappa > 0"):
            beta_parameters(mean, kappa)


def test_the_meta_analysis_set_pools_all_types_and_counts_little() -> None:
    priors = load_priors("meta_analysis")
    for shift in priors.shifts.values():
        assert [getattr(shift, f).number for f in FACTORS] == [0.87, 0.76, 0.45]
        assert shift.p_gm.number == pytest.approx(0.6612)
        assert shift.p_harmful_gm.number == pytest.approx(0.29754)
    assert priors.kappa == 2 and load_priors().kappa == 10
    assert load_priors("meta_analysis", kappa=10).kappa == 10


def test_the_external_revision_is_labelled_external() -> None:
    priors = load_priors("external_revision")
    central = [[0.85, 0.12, 0.35], [0.65, 0.28, 0.55], [0.55, 0.55, 0.72], [0.45, 0.75, 0.82]]
    for shift, row in zip(priors.shifts.values(), central, strict=True):
        assert [getattr(shift, f).number for f in FACTORS] == row
        assert {getattr(shift, f).kind for f in (*FACTORS, "p_harmful_gm")} == {"external"}
    assert priors.modifiers["capability"].level("superhuman").high == 3.0
    assert priors.modifiers["capability"].level("superhuman").low == 1.5
    assert priors.interventions["capability_aware_deployment"].target == "exposure"
    assert "external" not in {
        getattr(shift, f).kind for shift in load_priors().shifts.values() for f in FACTORS
    }


def test_an_unknown_set_or_bad_option_is_refused() -> None:
    with pytest.raises(ValueError, match="no prior set 'mine'; choose taxonomy, meta_analysis"):
        load_priors("mine")
    refused: list[tuple[dict[str, Any], str]] = [
        ({"kappa": 0}, "kappa is a number of observations and must be greater than 0; got 0"),
        ({"kappa": math.inf}, "kappa must be one number, .*; got inf"),
        ({"log_sd": -0.1}, r"log_sd must lie in \[0, 10\]; got -0.1"),
        ({"log_sd": math.nan}, "log_sd must be one number, .*; got nan"),
        ({"endpoint_rule": "ends"}, "endpoint_rule must be bands or table; got 'ends'"),
        ({"diversity_rule": "cubic"}, "diversity_rule must be step or linear; got 'cubic'"),
    ]
    for option, message in refused:
        with pytest.raises(ValueError, match=message):
            load_priors(**option)


@pytest.mark.parametrize("name", PRIOR_SETS)
def test_products_of_means_are_consistent_in_every_set(name: str) -> None:
    for shift in load_priors(name).shifts.values():
        p = [getattr(shift, factor).number for factor in FACTORS]
        assert math.prod(p[:2]) == pytest.approx(shift.p_gm.number)
        assert math.prod(p) == pytest.approx(shift.p_harmful_gm.number, abs=5e-4)


def test_a_figure_says_when_it_is_no_number_or_no_range() -> None:
    shift = load_priors().shifts["moderate"]
    with pytest.raises(TypeError, match="single number"):
        _ = shift.likelihood_range.number
    with pytest.raises(TypeError, match="range is needed"):
        _ = shift.p_capable.range


def test_every_figure_has_a_dotted_name() -> None:
    figures = load_priors().figures
    assert figures["shifts.moderate.p_goal_fail"] == 0.28
    assert figures["shifts.moderate.p_gm"] == pytest.approx(0.182)
    assert figures["modifiers.spec.range"] == (0.5, 2)
    assert figures["modifiers.diversity.levels.narrow"] == 1.4
    assert figures["modifiers.spec.levels.medium"] == (0.8, 1.2)
    assert figures["periods.2026-2027.multiplier"] == (1.5, 1.5)
    assert figures["interventions.anomaly_monitoring.reduction"] is None
    assert figures["interventions.anomaly_monitoring.target"] == "p_harm"
    assert figures["transport"] == (0.5, 1.5)
    assert figures["mesa.periods.current.p_emergence"] == (0.1, 0.4)


def test_named_sets_differ_and_do_not_depend_on_dict_order() -> None:
    sets = [load_priors(name) for name in PRIOR_SETS]
    assert len({priors.fingerprint for priors in sets}) == len(PRIOR_SETS)
    first = sets[0]
    turned = replace(
        first,
        shifts=dict(reversed(list(first.shifts.items()))),
        domains=dict(reversed(list(first.domains.items()))),
    )
    assert list(turned.shifts) != list(first.shifts) and turned.fingerprint == first.fingerprint
