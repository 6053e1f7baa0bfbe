"""Each finding is recomputed here from the printed figures, then looked up in the audit."""

import math
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from misgen.analysis import audit as audit_module
from misgen.analysis.audit import TOPICS, AuditItem, audit, format_audit, warn, warnings_of
from misgen.analysis.audit.evidence import accuracy_of
from misgen.analysis.audit.modifiers import share_below
from misgen.analysis.priors import figures, load_priors

F: dict[str, Any] = {path: figure.value for path, figure in figures()}
ITEMS = {item.id: item for item in audit()}
TYPES = ("type_1", "type_2", "type_3", "type_4")
MODIFIERS = ("m_spec", "m_cap", "m_div", "m_align")


def column(table: str, rows: tuple[str, ...], field: str) -> Any:
    """A printed column as an array: [rows] or, for ranges, [rows, 2]."""
    return np.array([F[f"{table}.{row}.{field}"] for row in rows])


CAPABLE = column("003.shift_types", TYPES, "p_capability_transfer")
GOAL = column("003.shift_types", TYPES, "p_goal_fail_given_capability")
HARMFUL = column("003.shift_types", TYPES, "p_harmful_misgeneralization")
LIKELIHOOD = column("003.risk_assessment", TYPES, "p_likelihood_range")
RANGES = column("003.modifying_factors", MODIFIERS, "multiplier_range")
STUDIES = ("langosco_2022", "krakovna_2020", "shah_2022")
META = np.array(
    [
        column("003.meta_analysis", (*STUDIES, "pooled"), field)
        for field in (
            "p_capability_transfer",
            "p_goal_fail_given_capability",
            "p_harm_given_failure",
        )
    ]
).T


def says(id: str, *texts: str) -> None:
    """The item exists and its derived text has each number."""
    for text in texts:
        assert text in ITEMS[id].derived, (id, text, ITEMS[id].derived)


def per_cent(values: Any, digits: int = 1) -> str:
    return " / ".join(f"{100 * value + 1e-9:.{digits}f}" for value in values)


# ------------------------------------------------------------------------- B1, B2: shift types


def test_b1_implied_harm_is_not_50_to_70_percent() -> None:
    implied = HARMFUL / (CAPABLE * GOAL)
    assert implied == pytest.approx([0.353, 0.549, 0.721, 0.821], abs=5e-4)
    low, high = F["003.shift_types.p_harm_given_failure_assumed_range"]
    assert [low <= value <= high for value in implied] == [False, True, False, False]
    assert (HARMFUL - 0.0005) / (CAPABLE * GOAL) == pytest.approx(
        [0.348, 0.547, 0.719, 0.819], abs=5e-4
    )
    for harm in np.linspace(0, 1, 101):  # no constant reproduces the column
        assert np.abs(CAPABLE * GOAL * harm - HARMFUL).max() > 0.0005
    says("B1.harm", "0.353 / 0.549 / 0.721 / 0.821", "0.348-0.358", "0.819-0.822")
    says("B1.harm", *(per_cent(two * np.array([0.5, 0.6, 0.7])) for two in CAPABLE * GOAL))


def test_b1_the_printed_column_includes_harm() -> None:
    assert CAPABLE * GOAL == pytest.approx([0.102, 0.182, 0.3025, 0.3375])
    assert np.all(CAPABLE * GOAL > 1.2 * HARMFUL)
    says("B1.name", "10.20 / 18.20 / 30.25 / 33.75 %")


def test_b1_two_factor_risk_hardly_rises_from_type_3_to_4() -> None:
    two = CAPABLE * GOAL
    assert two[3] / two[2] == pytest.approx(1.116, abs=1e-3)
    assert HARMFUL[3] / HARMFUL[2] == pytest.approx(1.271, abs=1e-3)
    assert GOAL[3] / GOAL[2] == pytest.approx(1.364, abs=1e-3)
    says("B1.plateau", "1.12x", "1.27x")


def test_b2_capability_risk_is_a_probability_of_transfer() -> None:
    says("B2.label", per_cent(1 - CAPABLE, 0))
    assert np.all(np.diff(CAPABLE) < 0)  # a "risk" that falls from Low to Very High
    assert "Low / Medium / High / Very High" in ITEMS["B2.label"].printed


def test_b2_half_of_the_chart_s_points_lie_in_another_type_s_quadrant() -> None:
    x = {key: F[f"003.shift_quadrant.{key}.capability_risk_coordinate"] for key in SCENARIOS}
    y = {key: F[f"003.shift_quadrant.{key}.goal_risk_coordinate"] for key in SCENARIOS}
    quadrant = {(1, 1): 4, (0, 1): 3, (0, 0): 1, (1, 0): 2}
    inside = {key: quadrant[x[key] > 0.5, y[key] > 0.5] for key in SCENARIOS if x[key] != 0.5}
    wrong = [key for key, number in inside.items() if number != SCENARIOS[key]]
    assert wrong == [
        "cross_cultural_deploy",
        "weather_conditions",
        "short_to_long_term",
        "evaluation_to_deployment",
    ]
    assert set(SCENARIOS) - set(inside) == {"cooperative_to_competitive"}
    assert 2 not in inside.values()
    says("B2.quadrant", "4 of 8", *wrong, "on a border: cooperative_to_competitive", "moderate")


SCENARIOS = {
    "language_style": 1,
    "simulation_to_real": 1,
    "cross_cultural_deploy": 2,
    "weather_conditions": 2,
    "cooperative_to_competitive": 3,
    "short_to_long_term": 3,
    "supervised_to_autonomous": 4,
    "evaluation_to_deployment": 4,
}


def test_b2_chart_means_differ_from_the_table() -> None:
    def means(axis: str) -> Any:
        keys = [[key for key, number in SCENARIOS.items() if number == t] for t in (1, 2, 3, 4)]
        return np.array(
            [np.mean([F[f"003.shift_quadrant.{key}.{axis}"] for key in pair]) for pair in keys]
        )

    assert means("capability_risk_coordinate") == pytest.approx([0.2, 0.375, 0.525, 0.525])
    higher = means("goal_risk_coordinate") - GOAL
    assert higher == pytest.approx([0.155, 0.145, 0.175, 0.125])
    says("B2.means", "0.155 / 0.145 / 0.175 / 0.125", "0.525 for type 3 and 0.525 for type 4")


# ----------------------------------------------------------------------- B3: modifiers, ranges


def test_b3_base_times_modifiers_exceeds_1() -> None:
    low, high = np.prod(RANGES, axis=0)
    assert (low, high, high / low) == pytest.approx((0.07, 12.6, 180))
    assert HARMFUL * high == pytest.approx([0.4536, 1.26, 2.7468, 3.4902])
    assert 1 / HARMFUL == pytest.approx([27.8, 10, 4.59, 3.61], abs=0.03)
    rng = np.random.default_rng(0)
    product = np.exp(rng.uniform(*np.log(RANGES).T[:, :, None], (4, 400_000)).sum(axis=0))
    above = [np.mean(product * base > 1) for base in HARMFUL]
    assert above == pytest.approx([0, 0, 0.019, 0.043], abs=1.5e-3)
    says("B3.overflow", "0.07-12.6 (span 180x)", "45.4", "126.0", "274.7", "349.0")
    says("B3.overflow", "0.0 / 0.0 / 1.9 / 4.3 % of log-uniform draws")
    hazard, odds = 1 - (1 - HARMFUL[3]) ** high, HARMFUL[3] / (1 - HARMFUL[3]) * high
    assert (hazard, odds / (1 + odds)) == pytest.approx((0.983, 0.828), abs=5e-4)
    assert "98.3 %" in ITEMS["B3.overflow"].treatment and "82.8 %" in ITEMS["B3.overflow"].treatment


def test_the_share_of_log_uniform_products_agrees_with_simulation() -> None:
    ranges = [(0.5, 2.0), (1.0, 4.0), (0.9, 1.1)]
    rng = np.random.default_rng(3)
    product = np.exp(sum(rng.uniform(math.log(a), math.log(b), 400_000) for a, b in ranges))
    for limit in (0.3, 0.6, 1.5, 3.0, 9.0):
        assert share_below(ranges, limit) == pytest.approx(np.mean(product <= limit), abs=3e-3)


def test_the_share_at_the_ends_of_what_is_legal() -> None:
    assert share_below([(0.5, 2.0)], 0) == 0  # a likelihood may start at 0
    assert share_below([(0.5, 2.0), (1.0, 1.0)], 1) == pytest.approx(0.5)
    assert share_below([(0.5, 2.0), (2.0, 2.0)], 2) == pytest.approx(0.5)
    assert [share_below([(1.0, 1.0)] * 4, limit) for limit in (0.9, 1.1)] == [0, 1]
    # Sides far narrower than the others make no noise: the share moves smoothly into theirs.
    wide = share_below([(0.5, 2.0)], 0.8)
    for width in (1e-15, 1e-9, 1e-5, 1e-3):
        thin = [(1.0, 1 + width)] * 3
        assert share_below([(0.5, 2.0), *thin], 0.8) == pytest.approx(wide, abs=2 * width + 1e-4)
    assert share_below([(1.0, 1 + 1e-9)] * 4, 1 + 2e-9) == pytest.approx(0.5, abs=1e-3)


def test_b3_type_ranges_are_not_base_times_modifiers() -> None:
    relative = LIKELIHOOD / HARMFUL[:, None]
    assert relative.round(2).tolist() == [[0.28, 2.78], [0.3, 2.2], [0.46, 1.93], [0.47, 1.84]]
    rng = np.random.default_rng(1)
    product = np.exp(rng.uniform(*np.log(RANGES).T[:, :, None], (4, 200_000)).sum(axis=0))
    inside = [np.mean((product > low) & (product < high)) for low, high in relative]
    assert inside == pytest.approx([0.85, 0.78, 0.62, 0.60], abs=6e-3)
    says("B3.ranges", "0.28-2.78x, 0.30-2.20x, 0.46-1.93x, 0.47-1.84x", "85 / 78 / 62 / 60 %")


def test_b3_external_ranges_are_corner_products() -> None:
    fields = ("p_capability_transfer", "p_goal_fail_given_capability", "p_harm_given_failure")
    corners = np.array(
        [
            np.prod([F[f"external.shift_type_components.{t}.{f}.range"] for f in fields], axis=0)
            for t in TYPES
        ]
    )
    printed = column("external.shift_type_components", TYPES, "p_harmful.range")
    assert corners == pytest.approx(printed, abs=6e-4)
    # and they round to the source's ranges, but for two that it rounds outwards
    assert np.abs(corners - LIKELIHOOD).max() < 0.006
    says("B3.ranges", "0.7-9.5 / 3.0-22.4", "12.6-51.3 %", "1.9-5.6 / 6.3-14.0")


def test_b3_the_overview_s_one_percent_is_no_corner() -> None:
    assert HARMFUL[0] * RANGES[0, 0] == pytest.approx(0.018)
    assert F["003.headline.overview_p_range"][0] == 0.01
    assert HARMFUL[3] * RANGES[0, 1] == pytest.approx(0.554)
    assert HARMFUL[3] / HARMFUL[0] == pytest.approx(7.69, abs=0.01)  # no order of magnitude
    says("B3.overview", "= 1.8 %", "= 55.4 %", "30.8x with specification", "7.7x")


def test_b3_ranges_are_centred_on_a_log_scale() -> None:
    geometric, arithmetic = np.sqrt(LIKELIHOOD.prod(axis=1)), LIKELIHOOD.mean(axis=1)
    assert geometric == pytest.approx([0.032, 0.081, 0.205, 0.257], abs=5e-4)
    assert np.all(np.abs(geometric - HARMFUL) < np.abs(arithmetic - HARMFUL))
    says("B3.scale", "3.2 / 8.1 / 20.5 / 25.7 %", "5.5 / 12.5 / 26.0 / 32.0 %")


def test_b3_one_is_not_the_middle_of_the_modifiers() -> None:
    middles = np.sqrt(RANGES.prod(axis=1))
    assert middles == pytest.approx([1.0, 1.22, 0.99, 0.77], abs=6e-3)
    says("B3.reference", "1.00 / 1.22 / 0.99 / 0.77 (product 0.94)")


# ------------------------------------------------------------------------------ B4: meta-analysis


def test_b4_pooled_rates_are_rounded_unweighted_means() -> None:
    means = META[:3].mean(axis=0)
    assert means.round(2) == pytest.approx(META[3]) and means != pytest.approx(META[3])
    says("B4.pooled", "86.67 / 75.67 / 45.33 %")


def test_b4_the_meta_analysis_exceeds_every_type() -> None:
    harmful, two = META.prod(axis=1), META[:, :2].prod(axis=1)
    assert harmful == pytest.approx([0.507, 0.260, 0.177, 0.298], abs=5e-4)
    assert two == pytest.approx([0.8455, 0.635, 0.507, 0.661], abs=5e-4)
    assert harmful[3] > HARMFUL.max() and two[3] > (CAPABLE * GOAL).max()
    says("B4.conflict", "50.7 / 26.0 / 17.7 %", "29.8 %", "66.1 %", "mean of products 31.5 %")


def test_b4_the_formula_lowers_the_classic_coinrun_cell() -> None:
    predicted = CAPABLE[1] * GOAL[1] * RANGES[0, 0] * RANGES[2, 1]  # q = 1, narrow
    assert predicted == pytest.approx(0.1274)
    assert META[0, :2].prod() / predicted == pytest.approx(6.64, abs=0.01)
    says("B4.coinrun", "0.70 x base = 12.7 %", "6.6x apart")


def test_b4_divided_shares_change_the_krakovna_row_and_the_pool() -> None:
    shares = [
        F[f"external.meta_analysis_marginals.{field}"]
        for field in ("p_capability_generalized", "p_goal_misgeneralized", "p_safety_failure")
    ]
    assert [shares[0], *shares[1:]] == META[1].tolist()  # the same three numbers
    goal, harm = shares[1] / shares[0], shares[2] / shares[1]
    assert (goal, harm) == pytest.approx((0.84, 0.56), abs=5e-3)
    pooled = np.mean([META[0], [shares[0], goal, harm], META[2]], axis=0)
    assert pooled == pytest.approx([0.87, 0.79, 0.50], abs=5e-3)
    says("B4.conditional", "84 / 56 %", "79 / 50 %")


def test_b4_cases_selected_on_failure_say_nothing_about_its_rate() -> None:
    # No number of cases without failure is printed, and the total of those with it is a bound.
    counts = [path for path in F if path.startswith("003.meta_analysis") and "cases" in path]
    assert counts == ["003.meta_analysis.pooled.n_cases_at_least"]
    assert F[counts[0]] == 60
    # What selection does: each study's rate of goal misgeneralization is above every type's. For
    # the pool to come from type 2, a failure must be about 9 times as likely to be documented.
    two, types = META[:, :2].prod(axis=1), CAPABLE * GOAL
    assert two.min() > types.max()
    favour = two[3] / (1 - two[3]) / (types / (1 - types))
    assert favour == pytest.approx([17.2, 8.8, 4.5, 3.8], abs=0.05)
    assert load_priors("meta_analysis").kappa == 2 < load_priors().kappa
    assert "kappa 2" in ITEMS["B4.selection"].treatment and ITEMS["B4.selection"].is_warning
    assert "60+" in ITEMS["B4.selection"].printed
    says("B4.selection", "cannot estimate how often")


def test_b4_gaming_and_harm_are_flagged() -> None:
    cases = [case.failure_class for case in load_priors().case_studies]
    assert (cases.count("specification_gaming"), len(cases)) == (3, 4)
    says("B4.gaming", "3 of 4")
    assert "60 % for CoinRun" in ITEMS["B4.harm"].printed and META[0, 2] == 0.6


# --------------------------------------------------------------- B5, B6: specification, diversity

BANDS = ("low", "medium", "high")


def test_b5_two_multipliers_for_the_same_quality() -> None:
    quality = column("003.specification_bands", BANDS, "specification_quality_range")
    multiplier = column("003.specification_bands", BANDS, "risk_multiplier_range")
    knots, values = quality.ravel(), multiplier[:, ::-1].ravel()
    q = [F[f"003.modifying_factors.m_spec.{side}.specification_quality"] for side in SIDES]
    by_band = np.interp(q, knots, values)
    assert by_band == pytest.approx([0.60, 1.67], abs=5e-3)
    assert by_band != pytest.approx(RANGES[0], abs=0.05)
    says("B5.endpoints", "0.60 / 1.67")
    gaps = [(knots[i], knots[i + 1]) for i in (1, 3)]
    assert gaps == [(0.3, 0.4), (0.7, 0.8)]
    assert gaps == [
        F[f"003.specification_bands.undefined_gaps_specification_quality.{i}"] for i in (0, 1)
    ]
    assert values.tolist() == [2.0, 1.5, 1.2, 0.8, 0.7, 0.5]
    says("B5.gaps", "q 0.3-0.4 undefined", "from 1.5 to 1.2", "q 0.7-0.8", "from 0.8 to 0.7")


SIDES = ("low_risk", "high_risk")


def test_b5_the_external_formula_cannot_reach_half() -> None:
    reach = [1 + (1 - q) for q in (1.0, 0.0)]
    assert tuple(reach) == F["external.specification_formula.multiplier_range"]
    assert min(reach) > RANGES[0, 0]
    says("B5.formula", "1-2x")


def test_b6_diversity_has_no_unit_and_no_middle() -> None:
    low = F["003.modifying_factors.m_div.high_risk.diversity_less_than"]
    high = F["003.modifying_factors.m_div.low_risk.diversity_greater_than"]
    diverse, narrow = RANGES[2]
    crossing = low + (high - low) * (narrow - 1) / (narrow - diverse)
    assert crossing == pytest.approx(0.214, abs=5e-4)
    line = load_priors(diversity_rule="linear").modifiers["diversity"]
    assert line.level(crossing).median == pytest.approx(1)
    says("B6.middle", "0.1-0.3 has none", "d = 0.214")
    changes = [
        F[f"external.diversity_definition.{side}.goal_failure_change_fraction"]
        for side in ("high", "low")
    ]
    assert [1 + change for change in changes] == pytest.approx([diverse, narrow])
    says("B6.unit", "undefined in the source", "unique scenarios", "-30%", "+40%")


def test_b6_the_thresholds_lie_far_above_the_transition_that_others_report() -> None:
    low = F["003.modifying_factors.m_div.high_risk.diversity_less_than"]
    high = F["003.modifying_factors.m_div.low_risk.diversity_greater_than"]
    reported = 0.02  # not a figure of the source: secondary sources, not verified, as it says
    assert (low / reported, high / reported) == pytest.approx((5, 15))
    # At that share the source still counts training as narrow, with the highest multiplier.
    assert load_priors().modifiers["diversity"].level(reported).median == RANGES[2, 1]
    says("B6.transition", "unverified", "about 0.02", "5 / 15 times less")
    assert "0.1 and 0.3" in ITEMS["B6.transition"].printed


# -------------------------------------------------------------- B7: interventions, B8: deployment

PREVENTION = (
    "diverse_adversarial_training",
    "objective_specification_improvement",
    "interpretability_verification",
)
REDUCTION = "risk_reduction_fraction_range"


def test_b7_interventions_repeat_the_modifiers() -> None:
    levers = RANGES[[2, 0, 3]]  # diversity, specification, alignment method
    worst_to_best, neutral_to_best = 1 - levers[:, 0] / levers[:, 1], 1 - levers[:, 0]
    assert worst_to_best == pytest.approx([0.50, 0.75, 0.733], abs=5e-4)
    assert neutral_to_best == pytest.approx([0.3, 0.5, 0.6])
    printed = column("003.interventions", PREVENTION, REDUCTION)
    # the neutral step lies in each printed range, the whole step beyond it
    assert np.all((printed[:, 0] <= neutral_to_best) & (neutral_to_best <= printed[:, 1] + 1e-9))
    assert np.all(worst_to_best > printed[:, 1])
    success = F["003.critical_unknowns.interpretability_feasibility.multiplier_if_successful"]
    assert 1 - success == pytest.approx(neutral_to_best[2])
    says("B7.duplicates", "50 / 30 %; 75 / 50 %; 73 / 60 %", "0.4x, the 60 % step")


def test_b7_stacked_reductions() -> None:
    printed = column("003.interventions", (*PREVENTION, "ai_control_protocols"), REDUCTION)
    assert 1 - np.prod(1 - printed[:3], axis=0) == pytest.approx([0.664, 0.91])
    assert 1 - np.prod(1 - printed, axis=0) == pytest.approx([0.8656, 0.991])
    says("B7.stacked", "66.4-91.0 %", "86.6-99.1 %")


def test_b7_targets_and_reductions_are_missing() -> None:
    priors = load_priors()
    assert not [path for path in F if path.startswith("003.interventions") and "target" in path]
    says("B7.target", "training acts on P(goal fails), AI control on P(harm)")
    without = [name for name, i in priors.interventions.items() if i.reduction is None]
    assert without == ["anomaly_monitoring", "objective_probing", "gradual_deployment"]
    assert [f"003.interventions.{name}.{REDUCTION}" in F for name in without] == [False] * 3
    says("B7.cells", "3 of 7 rows print no reduction")
    assert "'Behavioral testing'" in ITEMS["B7.cells"].printed


DOMAINS = (
    "game_ai",
    "content_moderation",
    "autonomous_vehicles",
    "ai_assistants",
    "autonomous_agents",
)
CURRENT = column("003.application_domains", DOMAINS, "p_current_range")
LATER = column("003.application_domains", DOMAINS, "p_2027_range")


def test_b8_domain_ranges_do_not_follow_from_the_model() -> None:
    q = column("003.application_domains", DOMAINS, "specification_quality")
    spec = np.interp(q, [0, 0.3, 0.4, 0.7, 0.8, 1], [2, 1.5, 1.2, 0.8, 0.7, 0.5])
    types = column("003.application_domains", DOMAINS, "shift_types").astype(int)
    model = HARMFUL[types - 1] * spec[:, None]
    assert model[0] == pytest.approx([0.0252, 0.07])
    ratio = CURRENT / model
    assert ratio.round(2).tolist() == [
        [1.19, 1.71],
        [1.12, 1.20],
        [0.86, 1.08],
        [1.20, 1.07],
        [0.76, 1.08],
    ]
    says("B8.domains", "1.19 / 1.71, 1.12 / 1.20, 0.86 / 1.08, 1.20 / 1.07, 0.76 / 1.08")


def test_b8_projections_grow_less_than_the_timeline() -> None:
    factor = F["003.timeline_projections.y2026_2027.risk_multiplier_range"][0]
    ends, middle = LATER / CURRENT, LATER.sum(axis=1) / CURRENT.sum(axis=1)
    assert middle == pytest.approx([1.33, 1.38, 1.23, 1.23, 1.43], abs=6e-3)
    assert np.all(middle < factor) and np.all(ends[:, 1] < ends[:, 0])
    assert np.sum(ends[:, 0] >= factor - 1e-9) == 4
    assert CURRENT[4] * factor == pytest.approx([0.375, 0.675])
    says("B8.growth", "1.67 / 1.25 / 1.33", "1.60 / 1.33 / 1.43", "37.5-67.5 %")


def test_b8_the_timeline_overflows_and_repeats_capability() -> None:
    last = F["003.timeline_projections.post_2030.risk_multiplier_range"][1]
    third = F["003.timeline_projections.y2028_2030.risk_multiplier_range"][1]
    assert HARMFUL[2:] * last == pytest.approx([1.09, 1.385])
    assert CURRENT[4, 1] * third == pytest.approx(1.35)
    says("B8.overflow", "109.0 / 138.5 %", "135.0 %")
    assert last > RANGES[1, 1]
    assert "Capability scaling" in ITEMS["B8.drivers"].printed
    says("B8.drivers", "up to 3x")


# ------------------------------------------------------------------- B9, B10: citations, mesa


CITATIONS = {  # id: (document, what it cites, what its list of references describes)
    "B9.shared_link": ("003", "Langosco et al. (2022) and Shah et al. (2022)", "one link"),
    "B9.krakovna": ("003", "Krakovna et al. (2020)", "topological insulators"),
    "B9.pan": ("003", "Pan et al. (2022)", "TabMWP"),
    "B9.murphy": ("003", "Murphy (2013)", "a lecture"),
    "B9.grasping": ("003", "grasping robot", "Dactyl"),
    "B9.meng": ("003", "Meng et al. (2023)", "2022"),
    "B9.real": ("000", "Real et al. (2019)", "AdaBound"),
    "B9.cotra": ("000", "Cotra (2022)", "Christiano, 2021"),
    "B9.perez": ("000", "Perez et al.", "sycophancy"),
}


# Words are all there is: a reference is wrong by what it describes, and the package has the
# source's numbers, not its text. So each pair is held against what was read in the source.
@pytest.mark.parametrize("id", CITATIONS)
def test_b9_a_citation_is_listed_with_what_its_reference_describes(id: str) -> None:
    document, cited, described = CITATIONS[id]
    assert ITEMS[id].printed.startswith(document) and cited in ITEMS[id].printed
    says(id, described)
    assert described not in ITEMS[id].printed and not ITEMS[id].is_warning
    assert ITEMS[id].treatment == "not relied on"


def test_b9_no_row_of_the_meta_analysis_can_be_traced() -> None:
    assert {id for id in ITEMS if id.startswith("B9.")} == {*CITATIONS, "B9.rows"}
    rows = load_priors().meta_analysis.rows
    assert not any(row.verified_in_cited_source for row in rows)
    assert all(row.name in ITEMS["B9.rows"].printed for row in rows)
    # Langosco shares the link of Shah, and Krakovna has a third paper's: two of three are wrong.
    assert [row.name.partition("_")[0] for row in rows] == ["langosco", "krakovna", "shah"]
    says("B9.shared_link", "one link, Shah's paper")
    says("B9.rows", "two of the three link to a wrong paper")
    # Nor do the figures say how many cases they are shares of.
    assert [row.n_cases for row in rows] == [None] * 3
    assert "unverified_in_cited_source" in ITEMS["B9.rows"].treatment


PERIODS = ("current", "near_term", "medium_term")
EMERGENCE = column("000.risk_assessment_framework.p_emergence", PERIODS, "p_range")
MISALIGNED = column(
    "000.risk_assessment_framework.p_misaligned_given_emergence", PERIODS, "p_range"
)


def test_b10_headlines_join_periods() -> None:
    assert F["000.headline.p_emergence_range"] == (EMERGENCE[0, 0], EMERGENCE[1, 1])
    assert F["000.probability_framework.p_emergence_gpt4_class_range"] != tuple(EMERGENCE[0])
    assert F["000.headline.p_misaligned_given_emergence_range"] == (
        MISALIGNED.min(),
        MISALIGNED.max(),
    )
    camps = column("001_002.expert_probability", CAMPS, "p_range")
    assert (camps.min(), camps.max()) == (0.1, 0.7)
    assert F["001_002.headline.p_mesa_optimization_expert_range"] == (0.2, 0.7)
    says("B10.headline", "10-40 %", "20-70", "10-70 %")
    assert F["000.probability_framework.interval_level_claimed"] == 0.9
    assert "90%" in ITEMS["B10.interval"].printed and load_priors().mesa.interval_kind in (
        ITEMS["B10.interval"].treatment
    )


CAMPS = ("high_concern", "moderate_concern", "low_concern")


def test_b10_severity_is_no_probability() -> None:
    product = EMERGENCE * MISALIGNED
    assert product == pytest.approx(np.array([[0.05, 0.32], [0.18, 0.595], [0.35, 0.81]]))
    headline = np.multiply(
        F["000.headline.p_emergence_range"], F["000.headline.p_misaligned_given_emergence_range"]
    )
    assert headline == pytest.approx([0.05, 0.63])
    table = "000.risk_assessment_framework.p_catastrophic"
    below = F[f"{table}.current.p_less_than"]
    assert below / product[0] == pytest.approx([0.2, 0.03125])
    implied = column(table, PERIODS[1:], "p_range") / product[1:]
    assert implied == pytest.approx(np.array([[0.0556, 0.168], [0.143, 0.370]]), abs=6e-4)
    rise = implied[1] / implied[0]
    assert rise == pytest.approx([2.57, 2.20], abs=5e-3)
    harm = column("000.capability_scaling", LEVELS, "relative_harm_multiplier_range")
    assert harm[2] / harm[1] == pytest.approx([6.25, 10])  # severity rises faster than P can
    says("B10.implied", "5.0-32.0 / 18.0-59.5 / 35.0-81.0 %", "5-63 %", "3.1 / 20.0 %")
    says("B10.implied", "5.6-16.8 %", "14.3-37.0 %", "2.2-2.6x", "6-10x")


LEVELS = ("current", "near_term", "agi_approaching", "transformative")


def test_b10_severity_levels_have_a_gap() -> None:
    harm = column("000.capability_scaling", LEVELS, "relative_harm_multiplier_range")
    alpha = F["000.headline.severity_exponent_capability"]
    assert alpha == F["000.capability_scaling.exponent_claimed"]
    assert harm ** (1 / alpha) == pytest.approx(
        np.array([[1, 1], [2, 3.162], [5, 10], [10, 31.62]]), abs=5e-3
    )
    assert harm[1, 1] < harm[2, 0] and harm[2, 1] == harm[3, 0]
    beta = F["000.headline.severity_exponent_misalignment"]
    assert np.power([0.25, 0.5, 0.75], beta) == pytest.approx([0.125, 0.354, 0.650], abs=5e-4)
    says("B10.severity", "2-3.16, 5-10, 10-31.6", "skips 10 to 25", "0.5 -> 0.354")
    assert "grow exponentially" in ITEMS["B10.severity"].printed


KINDS = ("proxy_alignment", "subgoal_alignment", "pseudo_alignment", "deceptive_alignment")


def test_b10_prevalences_are_no_partition() -> None:
    prevalence = column("000.misalignment_types", KINDS, "p_prevalence_range")
    assert prevalence.sum(axis=0) == pytest.approx([0.71, 1.6])
    middle = prevalence.mean(axis=1)
    assert middle.sum() == pytest.approx(1.155)
    share = middle / middle.sum()
    assert share == pytest.approx([0.476, 0.260, 0.173, 0.091], abs=5e-4)
    success = column("000.mitigation_success", KINDS, "p_success_range").mean(axis=1)
    assert share @ success == pytest.approx(0.527, abs=5e-4)
    says("B10.prevalence", "71-160 %", "115.5 %", "47.6 / 26.0 / 17.3 / 9.1 %", "52.7 %")


def test_b10_periods_overlap_and_thresholds_prove_nothing() -> None:
    years = [F[f"000.risk_assessment_framework.columns.{p}.period_years"] for p in PERIODS]
    assert years[1][1] == years[2][0] == 2028
    points = [
        F[f"000.decision_points.{p}.period_years"]
        for p in ("y2025_2027", "y2027_2030", "from_2030")
    ]
    assert [a[1] == b[0] for a, b in pairwise(points)] == [True, True]
    assert years[2] != F["000.capability_scaling.agi_approaching.period_years"]
    says("B10.periods", "share [2028]", "[2027, 2030]", "2028-2032, AGI-approaching 2028-2030")
    steps = F["000.emergence_thresholds.planning_horizon.threshold_greater_than_steps"]
    low, high = F["000.emergence_thresholds.planning_horizon.current_llm_steps_range"]
    assert low < steps < high
    says("B10.thresholds", "tokens, no count of states", "5-15 lies on both sides")


# ------------------------------------------------------- B11, B12: between documents, context


def test_b11_documents_contradict_each_other() -> None:
    models = ("gpt_3", "gpt_4", "claude_3", "gemini", "future_frontier")
    place = np.array(
        [
            column("000.training_regime_quadrant", models, f"{axis}_coordinate")
            for axis in ("compute", "diversity")
        ]
    )
    assert np.all(place > 0.5)  # diverse and much compute: 000 calls it the high-risk zone
    assert RANGES[2, 0] < 1  # 003: diverse training lowers the risk
    assert "'High Risk Zone'" in ITEMS["B11.diversity"].printed
    says("B11.diversity", "by 0.7")
    mesa = load_priors().mesa
    assert mesa.evidence["goal_misgeneralization"] == "Strong"
    says("B11.evidence", "no mesa-optimizer is confirmed")


def test_b11_pseudo_alignment_is_rarer_than_a_kind_of_it() -> None:
    # 001 makes it the umbrella, 000 a sibling of proxy alignment. An umbrella holds all of its
    # kinds, so its prevalence is at least the largest of theirs; by 000's figures it cannot be.
    prevalence = dict(
        zip(KINDS, column("000.misalignment_types", KINDS, "p_prevalence_range"), strict=True)
    )
    assert prevalence["pseudo_alignment"].max() < prevalence["proxy_alignment"].min()
    says("B11.pseudo", "umbrella", "10-30 % against 40-70 % of proxy")
    assert all(kind in ITEMS["B11.pseudo"].printed for kind in KINDS)


def test_b12_an_auroc_of_99_percent_is_no_accuracy_of_99_percent() -> None:
    auroc = F["001_002.headline.probe_auroc_greater_than"]
    # Two normal scores of equal spread, that far apart: simulate the AUROC and the accuracy.
    distance = math.sqrt(2) * NormalDist().inv_cdf(auroc)
    rng = np.random.default_rng(0)
    no, yes = rng.normal(0, 1, 200_000), rng.normal(distance, 1, 200_000)
    assert np.mean(yes > no) == pytest.approx(auroc, abs=1e-3)
    right = (np.mean(no < distance / 2) + np.mean(yes > distance / 2)) / 2
    assert right == pytest.approx(0.95, abs=2e-3) and right < auroc
    assert accuracy_of(auroc) == pytest.approx(right, abs=2e-3)
    assert accuracy_of(0.5) == pytest.approx(0.5)  # scores that tell nothing
    says("B12.auroc", "accuracy", "99 % is an accuracy of 95 %")


def test_b12_the_time_frames_do_not_meet() -> None:
    first, last = F["001_002.headline.concern_timeline_years"]
    edited, frame = 2026, 2035  # metadata of 002, which the package has in words only
    assert (edited + first, edited + last) == (2027, 2031) and edited + last < frame
    says("B12.dates", "1-5 years", "end in 2031")
    assert "2035" in ITEMS["B12.dates"].printed
    # The two dates of one paper are words of the text, 11 months apart.
    assert "February 2025 Nature" in ITEMS["B12.dates"].printed
    says("B12.dates", "Nature in January 2026")


def test_b12_context_figures() -> None:
    safety = F["001_002.headline.safety_investment_usd_2024"]
    industry = F["001_002.headline.industry_investment_usd_2024"]
    ratio = F["001_002.headline.disparity_ratio_printed"]
    assert (industry / safety, ratio) == (1520, 2500)
    assert (industry / ratio, safety * ratio) == (60.8e6, 250e9)
    says("B12.ratio", "1,520x", "$60.8M", "$250B")
    drop = {
        name: F[f"001_002.research_2025.{name}.p_before"]
        / F[f"001_002.research_2025.{name}.p_after"]
        for name in ("deliberative_alignment_o4_mini", "deliberative_alignment_o3")
    }
    assert list(drop.values()) == pytest.approx([29, 32.5])
    assert 0.0865 / 0.0035 == pytest.approx(24.7, abs=0.05)
    assert 0.135 / 0.0035 == pytest.approx(38.6, abs=0.05)
    says("B12.reduction", "29.0 / 32.5x", "25-39x", "10.3x")
    assert 0.206 / 0.02 == pytest.approx(10.3)


def test_b12_ranges_join_conditions() -> None:
    low, high = F["001_002.headline.p_alignment_faking_range"]
    faking = "001_002.alignment_faking"
    assert low == F[f"{faking}.p_harmful_with_strategic_reasoning_monitored_free"]
    assert high == F[f"{faking}.p_alignment_faking_after_retraining"]
    low, high = F["001_002.headline.p_scheming_range"]
    assert low == F["001_002.research_2025.deliberative_alignment_o4_mini.p_after"]
    assert high == F["001_002.research_2025.deliberative_alignment_o3.p_before"]
    assert (low, high) != F["001_002.research_2025.self_copying.p_range"]
    says("B12.ranges", "12 % is before retraining, 78 % after", "0.3-10.0 %")


# -------------------------------------------------------------------------------- the audit itself


def test_every_section_is_there_in_order_under_unique_ids() -> None:
    ids = [item.id for item in audit()]
    assert len(ids) == len(set(ids)) == 57
    sections = [int(id[1:].split(".")[0]) for id in ids]
    assert sections == sorted(sections) and set(sections) == set(range(1, 13))
    for item in audit():
        assert item.where and set(item.where) <= set(TOPICS), item.id
        assert item.title and item.printed and item.derived and item.treatment, item.id
    assert {topic for item in audit() for topic in item.where} == set(TOPICS)


def test_every_finding_is_tested_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    named = {item.id for item in audit() if f'"{item.id}"' in text}
    assert {item.id for item in audit()} == named


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "_given", set())


def test_a_warning_is_given_once_and_only_warnings_are(fresh: None) -> None:
    first = warn("shift_types")
    expected = [i for i in audit() if i.is_warning and "shift_types" in i.where]
    assert [line.split()[0] for line in first] == [item.id for item in expected]
    assert warn("shift_types") == []
    # An item of two topics is not repeated under the other.
    shared = {item.id for item in expected if "modifiers" in item.where}
    assert shared and not shared & {line.split()[0] for line in warn("modifiers")}
    assert warnings_of("shift_types") == first
    assert all("\n" not in line for line in first)


def test_strict_makes_a_warning_an_error(fresh: None) -> None:
    warn("timeline")
    with pytest.raises(ValueError, match=r"strict allows no audit warning; got\nB8.growth"):
        warn("timeline", strict=True)
    assert warn("shift_types", strict=False)


def test_an_unknown_topic_is_refused() -> None:
    with pytest.raises(ValueError, match="no audit topic 'weather'; choose shift_types"):
        warn("weather")


def test_a_finding_goes_when_the_figures_no_longer_show_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    shifts = "\n".join(f"  {name}: {{p_harm: 0.6}}" for name in load_priors().shifts)
    path.write_text(f"shifts:\n{shifts}\n")
    ids = {item.id for item in audit(load_priors(file=path))}
    assert set(ITEMS) - ids == {"B1.harm", "B1.plateau"}
    table = {item.id for item in audit(load_priors(endpoint_rule="table"))}
    assert set(ITEMS) - table == {"B5.endpoints"}


@pytest.mark.parametrize("name", ["meta_analysis", "external_revision"])
def test_other_sets_can_be_audited(name: str) -> None:
    assert {item.id for item in audit(load_priors(name))} <= set(ITEMS)


def test_printed_values_are_never_corrected() -> None:
    shifts = load_priors().shifts.values()
    audit(load_priors())
    assert [shift.p_harmful_gm.number for shift in shifts] == HARMFUL.tolist()


def test_the_text_shows_every_item_in_100_columns() -> None:
    text = format_audit(audit())
    for item in audit():
        assert f"\n{item.id}{'*' * item.is_warning}  {item.title}" in text
    body = [line for line in text.splitlines() if line.startswith("  ")]
    assert max(map(len, body)) <= 100
    one = AuditItem("B0.x", "title", "a", "b " * 80, "c", ("mesa",), True)
    assert format_audit([one]).splitlines()[2:5] == [
        "B0.x*  title  (mesa)",
        "  printed  a",
        "  follows  " + ("b " * 45).strip(),
    ]
