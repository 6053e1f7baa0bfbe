"""The source's tables: every printed figure with its value, unit, section and lines."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from misgen.analysis.priors.source import documents, external_tables, source_tables

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
    found = {path: figure for table in source_tables().values() for path, figure in table.figures()}
    expected = {path: rest for path, *rest in printed()}
    assert set(found) == set(expected)
    for path, (value, unit, section, lines) in expected.items():
        figure = found[path]
        assert figure.value == pytest.approx(value), path
        assert (figure.unit, figure.section, figure.lines) == (unit, section, lines), path
        assert (figure.kind, figure.source) == ("printed", path[:3]), path
        assert figure.source in documents() and figure.lines[0] > 0, path


def test_every_figure_of_another_revision_has_a_stated_unit_and_its_commit() -> None:
    for table in external_tables().values():
        figures = dict(table.figures())
        assert figures and {figure.kind for figure in figures.values()} == {"external"}
        for path, figure in figures.items():
            assert figure.unit and "quantified-uncertainty/cairn@" in figure.section, path


def test_probabilities_lie_in_0_to_1() -> None:
    for table in (*source_tables().values(), *external_tables().values()):
        for path, figure in table.figures():
            if figure.unit == "probability":
                assert np.all((np.array(figure.value) >= 0) & (np.array(figure.value) <= 1)), path


def test_a_number_without_a_stated_unit_is_refused() -> None:
    table = replace(source_tables()["003.meta_analysis"], units={})
    with pytest.raises(ValueError, match="meta_analysis has no unit for p_capability_transfer"):
        list(table.figures())


def test_documents_are_named_by_their_hash() -> None:
    assert {len(document["sha256"]) for document in documents().values()} == {64}
