"""Typed priors: every printed figure, the modifiers' levels, the three sets, a user's file."""

import itertools
import math
import random
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.stats import beta

from misgen.analysis.priors import figures, load_priors
from misgen.analysis.priors.source import documents, formulas
from misgen.analysis.priors.types import (
    FACTORS,
    PRIOR_SETS,
    SHIFT_TYPES,
    Figure,
    beta_parameters,
    named_level,
)

# Every number that the source prints. "[table] section | lines", then "unit: fields" and, below,
# "row values" ("-" where the table has no rows); a..b is a range, a.. an open one.
PRINTED = """
[003.headline] (summary) and Overview | 3-7
probability: p_harmful_misgeneralization_base_range overview_p_range p_capability_transfer_pooled
- .036..0.277 .01..0.5 .87
probability: p_goal_fail_given_capability_pooled
- .76
multiplier: spec_multiplier_range capability_multiplier_range alignment_multiplier_range
- .5..2 .5..3 .4..1.5
multiplier: risk_increase_multiplier_2028_2030_range
- 2..3
count: meta_analysis_cases_at_least
- 60
[003.risk_assessment] Risk Assessment | 8-15
probability: p_likelihood_range
type_1 .01..0.1
type_2 .03..0.22
type_3 .10..0.42
type_4 .13..0.51
calendar year: period_years
type_3 2025..2027
type_4 2026..2030
[003.modifiers_overview] Mathematical Formulation | 42-50
probability: p_range
p_base .036..0.277
multiplier: multiplier_range
m_spec .5..2
m_cap .5..3
m_div .7..1.4
m_align .4..1.5
[003.shift_quadrant] Type Classification Matrix | 53-55
coordinate in 0..1: axes.range
- 0..1
coordinate in 0..1: capability_risk_coordinate goal_risk_coordinate
simulation_to_real .25 .35
language_style .15 .20
cross_cultural_deploy .40 .45
weather_conditions .35 .40
cooperative_to_competitive .50 .75
short_to_long_term .55 .70
supervised_to_autonomous .60 .85
evaluation_to_deployment .45 .90
[003.shift_types] Detailed Risk Assessment by Shift Type | 56-63
probability: p_capability_transfer p_goal_fail_given_capability p_harmful_misgeneralization
type_1 .85 .12 .036
type_2 .65 .28 .100
type_3 .55 .55 .218
type_4 .45 .75 .277
probability: p_harm_given_failure_assumed_range
- .5..0.7
[003.meta_analysis] Meta-Analysis of Specification Gaming | 65-72
probability: p_capability_transfer p_goal_fail_given_capability p_harm_given_failure
langosco_2022 .95 .89 .60
krakovna_2020 .87 .73 .41
shah_2022 .78 .65 .35
pooled .87 .76 .45
count: n_cases_at_least
pooled 60
[003.modifying_factors] Key Modifying Factors | 81-87
quality in 0..1: low_risk.specification_quality high_risk.specification_quality
m_spec .9 .2
diversity score: low_risk.diversity_greater_than high_risk.diversity_less_than
m_div .3 .1
multiplier: multiplier_range
m_spec .5..2
m_cap .5..3
m_div .7..1.4
m_align .4..1.5
[003.specification_bands] Objective Specification Impact | 88-94
quality in 0..1: specification_quality_range
high .8..1
medium .4..0.7
low 0..0.3
multiplier: risk_multiplier_range
high .5..0.7
medium .8..1.2
low 1.5..2
quality in 0..1: undefined_gaps_specification_quality.0 undefined_gaps_specification_quality.1
- .3..0.4 .7..0.8
[003.application_domains] Application Domain Risk Profiles | 96-103
shift type: shift_types
game_ai 1..2
content_moderation 2..3
autonomous_vehicles 2..3
ai_assistants 2..3
autonomous_agents 3..4
quality in 0..1: specification_quality
game_ai .8
content_moderation .5
autonomous_vehicles .6
ai_assistants .3
autonomous_agents .3
probability: p_current_range p_2027_range
game_ai .03..0.12 .05..0.15
content_moderation .12..0.28 .20..0.35
autonomous_vehicles .08..0.22 .12..0.25
ai_assistants .18..0.35 .25..0.40
autonomous_agents .25..0.45 .40..0.60
[003.timeline_projections] Timeline Projections | 104-110
calendar year: period_years
y2024_2025 2024..2025
y2026_2027 2026..2027
y2028_2030 2028..2030
post_2030 2031..
multiplier: risk_multiplier_range
y2024_2025 1..1
y2026_2027 1.5..1.5
y2028_2030 2..3
post_2030 3..5
[003.interventions] Intervention Effectiveness Analysis | 112-121
fraction: risk_reduction_fraction_range
diverse_adversarial_training .2..0.4
objective_specification_improvement .3..0.5
interpretability_verification .4..0.7
ai_control_protocols .6..0.9
multiplier: compute_cost_multiplier_range
diverse_adversarial_training 2..5
[003.research_areas] Active Research Areas | 152-158
years: timeline_years
interpretability_for_goal_detection 2..4
robust_objective_learning 3..5
distribution_shift_robustness 1..3
formal_verification_methods 5..
[003.critical_unknowns] Critical Unknowns | 164-170
fraction: relative_uncertainty_fraction
llm_vs_rl_generalization .5
multiplier: multiplier_if_successful
interpretability_feasibility .4
years: timeline_years
llm_vs_rl_generalization 1..2
interpretability_feasibility 2..5
superhuman_capability_effects 2..4
[000.headline] (summary) and Overview | 3-7
probability: p_emergence_range p_misaligned_given_emergence_range
- .1..0.7 .5..0.9
exponent: severity_exponent_capability severity_exponent_misalignment
- 2 1.5
[000.risk_assessment_framework] Risk Assessment Framework | 8-15
calendar year: columns.current.period_years columns.near_term.period_years
- 2024..2024 2026..2028
calendar year: columns.medium_term.period_years
- 2028..2032
probability: current.p_range near_term.p_range medium_term.p_range
p_emergence .1..0.4 .3..0.7 .5..0.9
p_misaligned_given_emergence .5..0.8 .60..0.85 .7..0.9
probability: current.p_less_than near_term.p_range medium_term.p_range
p_catastrophic .01 .01..0.1 .05..0.3
[000.emergence_thresholds] Task Complexity Thresholds | 17-25
steps: threshold_greater_than_steps current_llm_steps_range
planning_horizon 10 5..15
states: threshold_greater_than_states
state_space_size 1e6
tokens: current_llm_tokens_approx
state_space_size 1e8
distribution shifts: threshold_greater_than_distribution_shifts
ood_generalization 2
[000.training_regime_quadrant] Training Regime Dependencies | 26-29
coordinate in 0..1: axes.range
- 0..1
coordinate in 0..1: compute_coordinate diversity_coordinate
gpt_3 .65 .60
gpt_4 .80 .75
claude_3 .75 .70
gemini .70 .65
future_frontier .95 .90
[000.probability_framework] Probability Framework | 30-36
probability: interval_level_claimed p_emergence_gpt4_class_range p_misaligned_given_emergence_range
- .9 .1..0.7 .5..0.9
[000.capability_scaling] Capability-Risk Scaling | 37-45
exponent: exponent_claimed
- 2
multiplier: relative_harm_multiplier_range
current 1..1
near_term 4..10
agi_approaching 25..100
transformative 100..1000
calendar year: period_years
near_term 2026..2026
agi_approaching 2028..2030
transformative 2031..
[000.misalignment_types] Severity Classification | 46-53
probability: p_prevalence_range
proxy_alignment .4..0.7
subgoal_alignment .2..0.4
pseudo_alignment .1..0.3
deceptive_alignment .01..0.2
[000.mitigation_success] Intervention Effectiveness by Type | 86-92
probability: p_success_range
proxy_alignment .6..0.8
subgoal_alignment .4..0.6
pseudo_alignment .2..0.4
deceptive_alignment .05..0.2
[000.critical_unknowns] Critical Unknowns | 131-137
factor: impact_factor_range
detection_feasibility 10..10
emergence_thresholds 3..10
years: timeline_years
detection_feasibility 2..5
emergence_thresholds 3..7
architecture_dependence 5..10
[000.decision_points] Critical Decision Points | 146-152
calendar year: period_years
y2025_2027 2025..2027
y2027_2030 2027..2030
from_2030 2030..
[001_002.headline] Quick Assessment / Risk Assessment | 4-25
probability: p_mesa_optimization_expert_range p_alignment_faking_range p_scheming_range
- .2..0.7 .12..0.78 .003..0.13
AUROC: probe_auroc_greater_than
- .99
years: concern_timeline_years
- 1..5
USD: safety_investment_usd_2024 industry_investment_usd_2024
- 100e6 152e9
ratio: disparity_ratio_printed
- 2500
[001_002.expert_probability] Probability of Mesa-Optimization in Advanced AI | 108-115
probability: p_range
high_concern .4..0.7
moderate_concern .2..0.4
low_concern .1..0.3
[001_002.alignment_faking] Alignment Faking Research (2024) | 88-94
probability: p_refuse_unmonitored_paid p_harmful_with_strategic_reasoning_monitored_free
- .97 .12
probability: p_alignment_faking_after_retraining
- .78
[001_002.research_2025] 2025 Research Advances | 97-105
probability: p_range
self_copying .003..0.1
probability: p_before p_after
deliberative_alignment_o4_mini .087 .003
deliberative_alignment_o3 .13 .004
emergent_misalignment_gpt4o 0 .2
evaluation_awareness .02 .206
factor: reduction_factor_printed
deliberative_alignment_o3 30
count: n_insecure_examples n_realignment_examples
emergent_misalignment_gpt4o 6000 120
[001_002.other] Key Uncertainties and Cruxes | 165-175
probability: p_manifold_deceptive_alignment_demo_by_2026
- .33
count: n_frontier_models_simulated
- 16
"""


def printed() -> Iterator[tuple[str, float | tuple[float, float], str, str, tuple[int, ...]]]:
    """(path, value, unit, section, lines) of each number in PRINTED."""
    table = section = unit = ""
    fields: list[str] = []
    lines: tuple[int, ...] = ()
    for line in PRINTED.strip().splitlines():
        if line.startswith("["):
            table, rest = line[1:].split("] ")
            section, _, at = rest.partition(" | ")
            lines = tuple(map(int, at.split("-")))
        elif ": " in line:
            unit, _, names = line.partition(": ")
            fields = names.split()
        else:
            row, *values = line.split()
            for field, value in zip(fields, values, strict=True):
                path = ".".join([table, *([] if row == "-" else [row]), field])
                yield path, number(value), unit, section, lines


def number(text: str) -> float | tuple[float, float]:
    low, dots, high = text.partition("..")
    if not dots:
        return float(low)
    return float(low), float(high) if high else math.inf


def test_every_printed_figure_comes_out_with_value_unit_and_section() -> None:
    found = {path: figure for path, figure in figures() if figure.kind == "printed"}
    expected = {path: rest for path, *rest in printed()}
    assert set(found) == set(expected)
    for path, (value, unit, section, lines) in expected.items():
        figure = found[path]
        assert figure.value == pytest.approx(value), path
        assert (figure.unit, figure.section, figure.lines) == (unit, section, lines), path
        assert figure.source == path[:3], path


def test_figures_name_their_document_and_their_kind() -> None:
    by_path = dict(figures())
    assert len(by_path) == len(list(figures()))
    assert {figure.kind for figure in by_path.values()} == {
        "printed",
        "external",
        "derived",
        "ours",
    }
    for path, figure in by_path.items():
        if figure.kind == "printed":
            assert figure.source in documents() and figure.lines[0] > 0, path
        assert figure.unit and figure.section and figure.value is not None, path
        if figure.unit == "probability":
            assert np.all((np.array(figure.value) >= 0) & (np.array(figure.value) <= 1)), path
    assert {len(document["sha256"]) for document in documents().values()} == {64}
    assert set(formulas()) == {
        "harmful_misgeneralization",
        "with_modifiers",
        "mesa_risk",
        "severity",
    }


# ------------------------------------------------------------------------------- the typed priors


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
        assert shift.product == pytest.approx(harmful)
        kinds = [getattr(shift, f).kind for f in (*FACTORS, "p_gm", "p_harmful_gm")]
        assert kinds == ["printed", "printed", "derived", "derived", "printed"]
    assert [s.severity for s in shifts.values()] == ["Low", "Medium", "High", "Critical"]
    assert [s.likelihood_range.range for s in shifts.values()] == [
        (0.01, 0.10),
        (0.03, 0.22),
        (0.10, 0.42),
        (0.13, 0.51),
    ]
    assert load_priors().harm_note.range == (0.5, 0.7)


def test_scenarios_belong_to_types_by_name() -> None:
    priors = load_priors()
    assert [shift.scenarios for shift in priors.shifts.values()] == [
        ("language_style", "simulation_to_real"),
        ("cross_cultural_deploy", "weather_conditions"),
        ("cooperative_to_competitive", "short_to_long_term"),
        ("supervised_to_autonomous", "evaluation_to_deployment"),
    ]
    point = priors.scenarios["evaluation_to_deployment"]
    assert (point.shift_type, point.capability_risk.number, point.goal_risk.number) == (
        "extreme",
        0.45,
        0.9,
    )


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
        name: (i.category, i.reduction.range if i.reduction else None, i.target, i.target_kind)
        for name, i in priors.interventions.items()
    } == {
        "diverse_adversarial_training": ("Prevention", (0.2, 0.4), "p_goal_fail", "external"),
        "objective_specification_improvement": (
            "Prevention",
            (0.3, 0.5),
            "p_goal_fail",
            "external",
        ),
        "interpretability_verification": ("Prevention", (0.4, 0.7), "p_goal_fail", "external"),
        "anomaly_monitoring": ("Detection", None, "p_harm", "ours"),
        "objective_probing": ("Detection", None, "p_goal_fail", "ours"),
        "ai_control_protocols": ("Response", (0.6, 0.9), "p_harm", "external"),
        "gradual_deployment": ("Response", None, "p_harm", "ours"),
    }
    assert priors.interventions["diverse_adversarial_training"].compute_multiplier == (2, 5)
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


def test_meta_analysis_and_case_studies() -> None:
    priors = load_priors()
    meta = priors.meta_analysis
    assert [[row.factor(f) for f in FACTORS] for row in (*meta.rows, meta.pooled)] == [
        [0.95, 0.89, 0.60],
        [0.87, 0.73, 0.41],
        [0.78, 0.65, 0.35],
        [0.87, 0.76, 0.45],
    ]
    assert all(row.n_cases is None for row in meta.rows) and meta.pool == "unweighted_mean"
    assert meta.unweighted_mean("p_goal_fail") == pytest.approx(2.27 / 3)
    assert [(case.name, case.failure_class) for case in priors.case_studies] == [
        ("coinrun_agent", "goal_misgeneralization"),
        ("boat_racing", "specification_gaming"),
        ("grasping_robot", "specification_gaming"),
        ("tetris_agent", "specification_gaming"),
    ]


def test_mesa_framework() -> None:
    mesa = load_priors().mesa
    assert (mesa.p_emergence.range, mesa.p_misaligned.range) == ((0.1, 0.7), (0.5, 0.9))
    assert (mesa.exponent_capability.number, mesa.exponent_misalignment.number) == (2, 1.5)
    now = mesa.periods["current"]
    assert (now.p_emergence.range, now.p_misaligned.range) == ((0.1, 0.4), (0.5, 0.8))
    assert now.p_catastrophic.range == (0, 0.01) and "less than" in now.p_catastrophic.note
    roots = {name: level.capability.range for name, level in mesa.capability_levels.items()}
    assert roots["near_term"] == pytest.approx((2, 10**0.5))
    assert roots["transformative"] == pytest.approx((10, 1000**0.5))
    assert mesa.capability_levels["transformative"].years == (2031, math.inf)
    deceptive = mesa.types["deceptive_alignment"]
    assert (deceptive.prevalence.range, deceptive.mitigation_success.range) == (
        (0.01, 0.2),
        (0.05, 0.2),
    )
    assert (deceptive.detectability, deceptive.priority) == ("Very Low", "Critical")
    horizon, words = mesa.thresholds["planning_horizon"], mesa.thresholds["strategy_adaptation"]
    assert horizon.threshold and horizon.threshold.number == 10
    assert horizon.current and horizon.current.range == (5, 15)
    assert words.threshold is None and words.printed.startswith("Dynamic strategy selection")
    assert mesa.regimes["future_frontier"].diversity.number == 0.9
    assert mesa.regime_labels["quadrant_1_top_right"] == "High Risk Zone"
    assert len(mesa.awareness_levels) == 5 and mesa.evidence["meta_learning"] == "Moderate"


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
        assert all(
            low < value < high
            for value, (low, high) in zip(
                row, (shift.factor_ranges[f].range for f in FACTORS), strict=True
            )
        )
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
        assert math.prod(p) == pytest.approx(shift.product)
        assert shift.product == pytest.approx(shift.p_harmful_gm.number, abs=5e-4)


# -------------------------------------------------------------------------------- a user's file


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def documented_example() -> str:
    """The prior file in the docstring of load_priors."""
    doc = (load_priors.__doc__ or "").splitlines()
    start = next(i for i, line in enumerate(doc) if line.strip().startswith("base:"))
    example = itertools.takewhile(lambda line: line.startswith(" " * 8), doc[start:])
    return "\n".join(line[8:] for line in example)


def test_the_documented_example_replaces_what_it_names(write: Callable[[str], Path]) -> None:
    priors = load_priors(file=write(documented_example()))
    assert (priors.kappa, priors.log_sd) == (20, 0.3)
    assert priors.modifiers["method"].level("behavioral_cloning").log_sd == 0.3
    assert priors.modifiers["diversity"].rule == "linear"
    moderate = priors.shifts["moderate"]
    assert [getattr(moderate, f).number for f in FACTORS] == [0.7, 0.3, 0.5]
    assert moderate.p_harmful_gm.number == pytest.approx(0.105)
    assert moderate.p_capable.kind == "user" and moderate.p_gm.kind == "derived"
    assert (moderate.p_capable.source, moderate.p_capable.lines) == ("mine.yaml", (7, 7))
    assert moderate.likelihood_range.range == (0, 0.3)
    capability = priors.modifiers["capability"]
    assert capability.level("unknown").high == 4 and capability.level("superhuman").median == 4
    assert capability.level("below_human").kind == "band"
    assert priors.modifiers["spec"].level(0.25).median == pytest.approx(1.5)
    assert priors.domains["game_ai"].spec == 0.9
    assert priors.periods["2026-2027"].multiplier == (1.2, 1.8)
    control = priors.interventions["ai_control_protocols"]
    assert control.reduction and control.reduction.range == (0.3, 0.6)
    assert (control.target, control.target_kind) == ("p_harm", "user")
    assert priors.transport == (0.3, 2)
    assert priors.mesa.exponent_capability.number == 1.5
    assert priors.mesa.periods["current"].p_emergence.range == (0.05, 0.2)
    extreme = priors.shifts["extreme"]
    assert extreme.kappa == 30 and moderate.kappa is None
    assert {*extreme.own_betas} == {"p_goal_fail", "p_harm"}
    # What it does not name stays.
    assert extreme.p_capable == load_priors().shifts["extreme"].p_capable
    assert priors.shifts["significant"] == load_priors().shifts["significant"]
    assert priors.name == "taxonomy with mine.yaml"


def test_factors_not_given_stay_and_the_products_follow(write: Callable[[str], Path]) -> None:
    shift = load_priors(file=write("shifts: {extreme: {p_goal_fail: 0.5}}")).shifts["extreme"]
    assert shift.p_harm == load_priors().shifts["extreme"].p_harm
    assert shift.p_gm.number == pytest.approx(0.45 * 0.5)
    assert shift.p_harmful_gm.number == pytest.approx(0.277 * 0.5 / 0.75)


def test_a_range_or_a_kappa_gives_a_factor_a_beta_of_its_own(write: Callable[[str], Path]) -> None:
    text = """
        shifts:
          extreme:
            kappa: 30
            p_capable: [0.3, 0.6]
            p_goal_fail: {value: 0.6, kappa: 20}
            p_harm: {kappa: 5}
        """
    shift = load_priors(file=write(textwrap.dedent(text))).shifts["extreme"]
    a, b = shift.own_betas["p_capable"]
    assert beta(a, b).ppf([0.05, 0.95]) == pytest.approx([0.3, 0.6], abs=1e-6)
    assert shift.p_capable.number == pytest.approx(a / (a + b)) and shift.p_capable.kind == "user"
    # Of 20 observations only the capable ones tell about the goal.
    size = 20 * shift.p_capable.number
    assert shift.own_betas["p_goal_fail"] == pytest.approx((0.6 * size, 0.4 * size))
    implied = load_priors().shifts["extreme"].p_harm.number
    assert shift.own_betas["p_harm"] == pytest.approx((5 * implied, 5 * (1 - implied)))
    assert shift.p_gm.number == pytest.approx(shift.p_capable.number * 0.6)
    plain = load_priors(file=write("shifts: {extreme: {p_capable: 0.5}}")).shifts["extreme"]
    assert plain.own_betas == {} and plain.kappa is None


@pytest.mark.parametrize(
    ("low", "high"), [(0.001, 0.999), (0.0001, 0.001), (0.98, 0.99), (0.4, 0.41)]
)
def test_every_range_inside_0_to_1_is_that_of_a_beta(
    low: float, high: float, write: Callable[[str], Path]
) -> None:
    path = write(f"shifts: {{extreme: {{p_harm: [{low}, {high}]}}}}")
    found = beta(*load_priors(file=path).shifts["extreme"].own_betas["p_harm"])
    assert found.cdf([low, high]) == pytest.approx([0.05, 0.95], abs=1e-4)


def test_one_kappa_for_all_types(write: Callable[[str], Path]) -> None:
    priors = load_priors(file=write("shifts: {extreme: {kappa: 30, p_harm: [0.2, 0.5]}}"))
    swept = priors.with_kappa(2)
    assert swept.kappa == 2 and swept.shifts["extreme"].kappa is None
    assert swept.shifts["extreme"].own_betas == priors.shifts["extreme"].own_betas


def test_levels_of_a_line_follow_the_file(write: Callable[[str], Path]) -> None:
    path = write("modifiers: {diversity: {levels: {narrow: 2}}}")
    line = load_priors(file=path, diversity_rule="linear").modifiers["diversity"]
    assert line.level(0.05).median == 2 and line.level(0.2).median == pytest.approx(1.35)
    assert load_priors(file=path).modifiers["diversity"].level(0.05).median == 2


def test_an_option_of_the_call_wins_over_the_file_s(write: Callable[[str], Path]) -> None:
    path = write("kappa: 5\nlog_sd: 0\nendpoint_rule: table\ndiversity_rule: linear")
    stated = load_priors(file=path)
    assert (stated.kappa, stated.log_sd) == (5, 0)
    assert stated.modifiers["spec"].level(0.9).median == pytest.approx(0.5)
    assert stated.modifiers["diversity"].level(0.1).median == 1.4
    asked = load_priors(
        file=path, kappa=30, log_sd=0.1, endpoint_rule="bands", diversity_rule="step"
    )
    assert (asked.kappa, asked.log_sd) == (30, 0.1)
    assert asked.modifiers == load_priors(log_sd=0.1).modifiers
    # What neither states is the base set's.
    assert load_priors(file=write("base: meta_analysis\nlog_sd: 0.4")).kappa == 2
    assert load_priors(file=write("kappa: 5")).log_sd == load_priors().log_sd == 0.2


def test_the_base_can_be_named_in_the_file_or_in_the_call(write: Callable[[str], Path]) -> None:
    path = write("base: meta_analysis\ntransport: [0.5, 2]")
    assert load_priors(file=path).name == "meta_analysis with mine.yaml"
    assert load_priors("meta_analysis", file=path).kappa == 2
    with pytest.raises(ValueError, match=r"line 1: base must be .* asked for, external_revision"):
        load_priors("external_revision", file=path)
    path = write("transport: [0.5, 2]")
    assert load_priors("external_revision", file=path).shifts["extreme"].p_harm.number == 0.82


@pytest.mark.parametrize(
    "text, message",
    [
        ("shifts:\n  moderate: {p_goal_fail: 1.3}", "line 2: shifts.moderate.p_goal_fail is a "),
        ("shifts:\n  moderate:\n    p_harm: -0.1", r"line 3: .*must lie in \[0, 1\]; got -0.1"),
        ("shifts:\n  moderate: {p_harm: 1}", "line 2: .*must lie inside 0..1, not at an end"),
        ("shifts:\n  moderate: {p_harm: .nan}", "line 2: .*one number"),
        ("shifts:\n  moderate: {p_harm: true}", "line 2: .*one number.*got True"),
        ("shifts:\n  moderate: {kappa: 0}", "line 2: .*number of observations.*got 0"),
        ("shifts:\n  moderate: {p_harm: [0, .3]}", "line 2: .*two different numbers inside 0..1"),
        ("shifts:\n  moderate: {p_harm: [.3, .3]}", "line 2: .*two different numbers inside 0..1"),
        ("shifts:\n  moderate: {p_harm: [.3, .2]}", "line 2: .*low <= high"),
        ("shifts:\n  moderate: {p_harm: {value: .3}}", "line 2: .*p_harm needs a `kappa`"),
        ("shifts:\n  moderate: {p_harm: {value: 1, kappa: 3}}", "line 2: .*inside 0..1, not at"),
        ("shifts:\n  moderate: {p_harm: {kappa: -1}}", "line 2: .*p_harm.kappa is a number"),
        ("shifts:\n  moderate: {p_harm: {mean: .3}}", "line 2: unknown key .*choose value, kappa"),
        ("shifts:\n  moderat: {p_harm: .3}", "line 2: unknown key shifts.moderat; choose super"),
        ("shifts:\n  moderate: {p_gm: .3}", "line 2: .*p_gm follows from the three factors"),
        ("domains:\n  game_ai: {p_2027: [0.2, 1.2]}", "line 2: .*probability and must lie in"),
        ("domains:\n  game_ai: {p_2027: [0.3, 0.2]}", "line 2: .*low <= high"),
        ("domains:\n  game_ai: {p_2027: 0.3}", "line 2: .*two numbers"),
        ("domains:\n  game_ai: {spec: 80}", "line 2: .*quality and must lie in"),
        ("modifiers:\n  spec: {range: [0, 2]}", "line 2: .*multiplier .*greater than 0"),
        ("modifiers:\n  method: {levels: {behavioral_cloning: -1}}", "line 2: .*greater than 0"),
        ("modifiers:\n  method: {levels: {reference: 2}}", "line 2: unknown key .*reference"),
        ("modifiers:\n  method: {knots: [[0, 1], [1, 2]]}", "unknown key modifiers.method.knots"),
        ("modifiers:\n  spec: {knots: [[0, 1], [1, -2]]}", "line 2: .*multipliers > 0"),
        ("modifiers:\n  spec: {knots: [[0.5, 1], [0.2, 2]]}", "line 2: .*increasing"),
        ("modifiers:\n  spec: {knots: 3}", "line 2: .*pairs"),
        ("periods:\n  2026-2027: {multiplier: [0, 1]}", "line 2: .*greater than 0"),
        ("transport: [.inf, 1]", "line 1: transport must be two numbers"),
        ("interventions:\n  objective_probing: {reduction: [0.2, 7]}", "fraction and must lie"),
        ("interventions:\n  objective_probing: {target: all}", "line 2: .*must be one of"),
        ("mesa:\n  exponent_capability: 0", "line 2: .*exponent .*greater than 0"),
        ("mesa: 3", "line 1: mesa needs entries below it"),
        ("name: me", "line 1: unknown key name; choose base, kappa, .* shifts, modifiers"),
        ("kappa: 0", "line 1: kappa is a number of observations and must be greater than 0; got 0"),
        ("kappa: [2, 50]", "line 1: kappa must be one number"),
        ("transport: [1, 2]\nlog_sd: 11", r"line 2: log_sd must lie in \[0, 10\]; got 11"),
        ("log_sd: true", "line 1: log_sd must be one number"),
        ("endpoint_rule: ends", "line 1: endpoint_rule must be bands or table; got 'ends'"),
        ("diversity_rule: {step: 1}", "line 1: diversity_rule must be step or linear; got entries"),
        ("base: mine", "line 1: base must be one of taxonomy"),
        ("shifts:\n  extreme: {p_harm: .2, p_harm: .3}", "line 2: .*given once; .* in line 2"),
        ("shifts: [1,\ntransport: {", "line 2: a prior file must be plain valid YAML"),
        ("transport: !mine [1, 2]", "line 1: a prior file must be plain valid YAML"),
        ("", "line 1: a prior file needs entries"),
        ("- 1", "line 1: a prior file needs entries"),
    ],
)
def test_a_mistake_is_one_error_with_file_and_line(
    text: str, message: str, write: Callable[[str], Path]
) -> None:
    path = write(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_priors(file=path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_an_unreadable_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none.yaml: a prior file must be readable"):
        load_priors(file=tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"base: \xe9")
    with pytest.raises(ValueError, match="must be UTF-8"):
        load_priors(file=tmp_path / "latin.yaml")
    (tmp_path / "nul.yaml").write_bytes(b"base: \x00")
    with pytest.raises(ValueError, match="must be plain valid YAML"):
        load_priors(file=tmp_path / "nul.yaml")


def test_an_intervention_without_a_printed_reduction_can_be_given_one(
    write: Callable[[str], Path],
) -> None:
    path = write("interventions: {anomaly_monitoring: {reduction: [0.1, 0.3]}}")
    reduction = load_priors(file=path).interventions["anomaly_monitoring"].reduction
    assert reduction == Figure(
        (0.1, 0.3),
        "fraction",
        "user",
        "mine.yaml",
        "interventions.anomaly_monitoring.reduction",
        (1, 1),
    )


def test_a_figure_says_when_it_is_no_number_or_no_range() -> None:
    shift = load_priors().shifts["moderate"]
    with pytest.raises(TypeError, match="single number"):
        _ = shift.likelihood_range.number
    with pytest.raises(TypeError, match="range is needed"):
        _ = shift.p_capable.range


# --------------------------------------------------------------------------------- the fingerprint


def test_equal_figures_have_one_fingerprint_whatever_their_file(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "elsewhere" / "b.yaml"
    second.parent.mkdir()
    lines = documented_example().replace("kappa: 20", "kappa: 20.0").splitlines()
    first.write_text(documented_example())
    # The blocks in another order, with other line numbers.
    starts = [i for i, line in enumerate(lines) if not line.startswith(" ")] + [len(lines)]
    blocks = ["\n".join(lines[a:b]) for a, b in itertools.pairwise(starts)]
    random.Random(0).shuffle(blocks)
    second.write_text("\n\n".join(blocks))
    one, other = load_priors(file=first), load_priors(file=second)
    assert one.name != other.name and one.fingerprint == other.fingerprint
    assert len(one.fingerprint) == 16 and int(one.fingerprint, 16) >= 0


def test_a_file_that_repeats_the_set_s_figures_keeps_its_fingerprint(
    write: Callable[[str], Path],
) -> None:
    text = "shifts: {moderate: {likelihood_range: [0.03, 0.22]}}\nkappa: 10\nlog_sd: 0.2"
    text += "\nmodifiers: {capability: {levels: {superhuman: 3}}}"
    text += "\ninterventions: {ai_control_protocols: {target: p_harm}}"
    path = write(text)
    assert load_priors(file=path).fingerprint == load_priors().fingerprint


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


@pytest.mark.parametrize(
    "text",
    [
        "kappa: 11",
        "log_sd: 0.21",
        "endpoint_rule: table",
        "diversity_rule: linear",
        "transport: [0.5, 1.6]",
        "shifts: {moderate: {p_harm: 0.551}}",
        "shifts: {moderate: {likelihood_range: [0.03, 0.2200001]}}",
        "modifiers: {method: {range: [0.4, 1.6]}}",
        "modifiers: {method: {levels: {behavioral_cloning: 1.51}}}",
        "modifiers: {spec: {knots: [[0, 2], [1, 0.5]]}}",
        "domains: {game_ai: {spec: 0.91}}",
        "domains: {game_ai: {p_2027: [0.05, 0.16]}}",
        "periods: {2026-2027: {multiplier: [1.5, 1.6]}}",
        "interventions: {ai_control_protocols: {reduction: [0.6, 0.91]}}",
        "interventions: {ai_control_protocols: {target: exposure}}",
        "interventions: {anomaly_monitoring: {reduction: [0, 0]}}",
        "mesa: {exponent_capability: 2.1}",
        "mesa: {p_emergence: [0.1, 0.71]}",
        "mesa: {periods: {current: {p_emergence: [0.1, 0.41]}}}",
    ],
)
def test_one_changed_figure_changes_the_fingerprint(
    text: str, write: Callable[[str], Path]
) -> None:
    assert load_priors(file=write(text)).fingerprint != load_priors().fingerprint
