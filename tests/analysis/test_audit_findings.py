"""Every number of every finding, computed here from the printed figures.

A fact reads the figures that its finding rests on and gives the numbers of the finding's text, in
their order. What else the finding claims is asserted on the way.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import combinations, pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from misgen.analysis.audit import AuditItem, audit, findings
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.source import external_tables, source_tables
from misgen.analysis.priors.types import SHIFT_TYPES

ITEMS = {item.id: item for item in audit()}
TABLES = {name: table.body for name, table in source_tables().items()}


class Figures:
    """The figures by name, `*` for many of them; keeps the names that were asked for."""

    values = load_priors().figures | {
        path: figure.value
        for table in (*source_tables().values(), *external_tables().values())
        for path, figure in table.figures()
    }

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, name: str) -> Any:
        """One value, or an array with a row per figure that the pattern matches."""
        self.asked.append(name)
        found = [value for path, value in self.values.items() if fnmatchcase(path, name)]
        assert found, f"no figure {name}"
        return np.array(found) if "*" in name else found[0]


CLAIMS = Figures()
"""For what a finding claims without stating a number: it does not rest on the figure's value."""
Fact = Callable[[Figures], Iterable[Any]]
FACTS: dict[str, Fact] = {}


def fact(id: str) -> Callable[[Fact], Fact]:
    def keep(function: Fact) -> Fact:
        FACTS[id] = function
        return function

    return keep


def per_cent(values: Any, digits: int = 1) -> list[str]:
    # .8455 is stored as .84549...: without the nudge it would print as 84.5.
    return [f"{100 * value + 1e-9:.{digits}f}" for value in np.ravel(values)]


def plain(values: Any, spec: str = "g") -> list[str]:
    return [f"{value:{spec}}" for value in np.ravel(values)]


def flat(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, list):
            yield from flat(value)
        else:
            yield str(value)


def numbers_of(item: AuditItem) -> list[str]:
    text = " ".join((item.title, item.printed, item.derived, item.treatment))
    found = re.findall(r"\d[\d,]*(?:\.\d+)?(?:e\+\d+)?|\.\d+", text)
    return [number.rstrip(",") for number in found]


@pytest.mark.parametrize("id", ITEMS)
def test_a_finding_states_the_numbers_that_follow_from_its_figures(id: str) -> None:
    figures = Figures()
    assert numbers_of(ITEMS[id]) == list(flat(FACTS[id](figures)))
    assert findings()[ITEMS[id]] == tuple(dict.fromkeys(figures.asked))


def test_every_finding_has_a_fact() -> None:
    assert {*ITEMS} == {*FACTS}


# ------------------------------------------------------------------------- B1, B2: shift types


def two_factors(f: Figures) -> Any:
    return f("shifts.*.p_capable") * f("shifts.*.p_goal_fail")


def base(f: Figures) -> Any:
    """What the modifiers multiply: the printed column, as the product of its three factors."""
    product = two_factors(f) * f("shifts.*.p_harm")
    assert product == pytest.approx(f("003.shift_types.*.p_harmful_misgeneralization"))
    return product


@fact("B1.harm")
def _(f: Figures) -> Iterable[Any]:
    low, high = f("harm_note")
    two, printed = two_factors(f), f("003.shift_types.*.p_harmful_misgeneralization")
    implied = printed / two
    assert implied == pytest.approx(f("shifts.*.p_harm"))
    assert [low <= value <= high for value in implied] == [False, True, False, False]
    for harm in np.linspace(0, 1, 101):  # no constant reproduces the column
        assert np.abs(two * harm - printed).max() > 0.0005
    note = [low, (low + high) / 2, high]
    rounding = np.column_stack([(printed - 0.0005) / two, (printed + 0.0005) / two])
    return [
        *[per_cent((low, high), 0), plain(implied, ".3f"), plain(rounding, ".3f")],
        *[per_cent(note, 0), per_cent(np.outer(two, note)), per_cent((low, high), 0)],
    ]


@fact("B1.name")
def _(f: Figures) -> Iterable[Any]:
    two, printed = two_factors(f), f("shifts.*.p_harmful_gm")
    assert np.all(two > 1.2 * printed)
    return [per_cent(printed), per_cent(two, 2)]


@fact("B1.plateau")
def _(f: Figures) -> Iterable[Any]:
    two, printed, goal = two_factors(f), f("shifts.*.p_harmful_gm"), f("shifts.*.p_goal_fail")
    rises = [values[3] / values[2] for values in (two, printed, printed / two)]
    assert rises[0] < rises[1] < goal[3] / goal[2]
    return [3, 4, per_cent(printed[2:]), per_cent(goal[2:]), plain(rises, ".2f")]


@fact("B2.label")
def _(f: Figures) -> Iterable[Any]:
    capable = f("shifts.*.p_capable")
    assert np.all(np.diff(capable) < 0)  # a "risk" that falls from Low to Very High
    labels = [row["capability_risk_label"] for row in TABLES["003.shift_types"]["rows"]]
    assert " / ".join(labels) in ITEMS["B2.label"].printed
    return [per_cent(capable, 0), per_cent(1 - capable, 0), 1]


SCENARIOS = {  # by the source's shift table; weather and short-to-long are our reading
    "simulation_to_real": "superficial",
    "language_style": "superficial",
    "cross_cultural_deploy": "moderate",
    "weather_conditions": "moderate",
    "cooperative_to_competitive": "significant",
    "short_to_long_term": "significant",
    "supervised_to_autonomous": "extreme",
    "evaluation_to_deployment": "extreme",
}
QUADRANTS = {(1, 1): "extreme", (0, 1): "significant", (0, 0): "superficial", (1, 0): "moderate"}


def chart(f: Figures) -> tuple[Any, Any]:
    """(capability risk, goal risk) of the scenarios."""
    x = f("003.shift_quadrant.*.capability_risk_coordinate")
    return x, f("003.shift_quadrant.*.goal_risk_coordinate")


@fact("B2.quadrant")
def _(f: Figures) -> Iterable[Any]:
    places = dict(zip(SCENARIOS, zip(*chart(f), strict=True), strict=True))
    border = [name for name, place in places.items() if 0.5 in place]
    inside = {
        name: QUADRANTS[x > 0.5, y > 0.5] for name, (x, y) in places.items() if name not in border
    }
    wrong = [name for name, shift in inside.items() if shift != SCENARIOS[name]]
    empty = sorted({*SHIFT_TYPES} - {*inside.values()})
    derived = ITEMS["B2.quadrant"].derived
    assert f"({', '.join(wrong)}), on a border: {', '.join(border)}" in derived
    assert derived.endswith(f"no point in: {', '.join(empty)}")
    return [len(places), len(wrong), len(places)]


@fact("B2.means")
def _(f: Figures) -> Iterable[Any]:
    capability, goal = (
        np.array([np.mean([at for at, name in zip(axis, SCENARIOS.values(), strict=True)
                           if name == shift]) for shift in SHIFT_TYPES])
        for axis in chart(f)
    )  # fmt: skip
    printed = f("shifts.*.p_goal_fail")
    last = plain(capability[2:], ".3f")
    return [per_cent(printed, 0), plain(goal - printed, ".3f"), last[0], 3, last[1], 4]


# ----------------------------------------------------------------------- B3: modifiers, ranges

FIELDS = ("p_capability_transfer", "p_goal_fail_given_capability", "p_harm_given_failure")


def share_below(ranges: Any, limit: float) -> float:
    """P(product <= limit) of independent log-uniform numbers: the volume of a cut box, exactly."""
    low, high = np.log(ranges).T
    widths, reach = high - low, math.log(limit) - low.sum()
    corners = [sum(sides) for k in range(5) for sides in combinations(widths, k)]
    signs = [(-1) ** k for k in range(5) for _ in combinations(widths, k)]
    cut = sum(s * max(reach - c, 0) ** 4 for s, c in zip(signs, corners, strict=True))
    return float(cut / (math.factorial(4) * widths.prod()))


def test_the_share_of_log_uniform_products_agrees_with_simulation() -> None:
    ranges = np.array([(0.5, 2.0), (1.0, 4.0), (0.9, 1.1), (0.4, 1.5)])
    rng = np.random.default_rng(3)
    product = np.exp(rng.uniform(*np.log(ranges).T[:, :, None], (4, 400_000)).sum(axis=0))
    for limit in (0.3, 0.6, 1.5, 3.0, 9.0):
        assert share_below(ranges, limit) == pytest.approx(np.mean(product <= limit), abs=3e-3)


@fact("B3.ranges")
def _(f: Figures) -> Iterable[Any]:
    printed, ranges = f("shifts.*.likelihood_range"), f("modifiers.*.range")
    relative = printed / base(f)[:, None]
    inside = [share_below(ranges, high) - share_below(ranges, low) for low, high in relative]
    table = "external.shift_type_components.*"
    central = np.stack([f(f"{table}.{field}") for field in FIELDS], axis=1)
    ends = np.stack([f(f"{table}.{field}_range") for field in FIELDS], axis=1)
    corners = ends.prod(axis=1)
    # They round to the printed ranges, but for two that the source rounds outwards.
    assert np.abs(corners - printed).max() < 0.006
    rng = np.random.default_rng(0)
    draws = [
        [rng.triangular(low, mode, high, 100_000) for (low, high), mode in zip(*type, strict=True)]
        for type in zip(ends, central, strict=True)
    ]
    intervals = np.quantile(np.prod(draws, axis=1), [0.05, 0.95], axis=1).T
    return [
        *[per_cent(printed, 0), plain(relative, ".2f"), per_cent(inside, 0)],
        *[per_cent(corners), per_cent(intervals), 90],
    ]


@fact("B3.scale")
def _(f: Figures) -> Iterable[Any]:
    bases, ranges = base(f), f("shifts.*.likelihood_range")
    geometric, arithmetic = np.sqrt(ranges.prod(axis=1)), ranges.mean(axis=1)
    assert np.all(np.abs(geometric - bases) < np.abs(arithmetic - bases))
    return [per_cent(bases), per_cent(ranges, 0), per_cent(geometric), per_cent(arithmetic)]


@fact("B3.overview")
def _(f: Figures) -> Iterable[Any]:
    low, high = f("003.headline.overview_p_range")
    bases, (best, worst) = base(f), f("modifiers.spec.range")
    ends = bases[0] * best, bases[3] * worst
    whole, alone = ends[1] / ends[0], bases[3] / bases[0]
    assert whole > 10 > alone  # "over an order of magnitude"
    return [
        *[per_cent(low, 0), per_cent((low, high), 0)],
        *[1, plain(best), per_cent(ends[0]), 4, plain(worst), per_cent(ends[1])],
        plain((whole, alone), ".1f"),
    ]


@fact("B3.overflow")
def _(f: Figures) -> Iterable[Any]:
    ranges, bases = f("modifiers.*.range"), base(f)
    low, high = ranges.prod(axis=0)
    above = [abs(1 - share_below(ranges, min(1 / b, high))) for b in bases]
    hazard, odds = 1 - (1 - bases[3]) ** high, bases[3] / (1 - bases[3]) * high
    assert bases[3] == bases.max()
    return [
        *[1, plain(ranges), plain(low, ".2g"), plain(high, ".3g"), plain(high / low, ".0f")],
        *[per_cent(np.outer(bases, (low, high))), 1, plain(1 / bases, ".2f"), per_cent(above)],
        *[per_cent(hazard), 4, per_cent(odds / (1 + odds))],
    ]


@fact("B3.reference")
def _(f: Figures) -> Iterable[Any]:
    ranges = f("modifiers.*.range")
    human = f("external.capability_levels.human_level.multiplier_range")
    middles = np.sqrt(ranges.prod(axis=1))
    names = (f"{each} {f(f'modifiers.{each}.reference')}" for each in load_priors().modifiers)
    assert ITEMS["B3.reference"].treatment.endswith(", ".join(names))
    product = plain(middles.prod(), ".2f")
    return [plain(ranges), plain(middles, ".2f"), product, 1, plain(human, ".1f")]


# ------------------------------------------------------------------------------ B4: meta-analysis


def meta_rows(f: Figures) -> Any:
    """The factors [langosco, krakovna, shah, pooled; factor]."""
    return np.stack([f(f"003.meta_analysis.*.{field}") for field in FIELDS], axis=1)


@fact("B4.pooled")
def _(f: Figures) -> Iterable[Any]:
    rows, cases = meta_rows(f), f("003.meta_analysis.pooled.n_cases_at_least")
    means = rows[:3].mean(axis=0)
    assert means.round(2) == pytest.approx(rows[3]) and means != pytest.approx(rows[3])
    assert not [path for path in f.values if fnmatchcase(path, "003.meta_analysis.*_20*.n_*")]
    return [per_cent(rows[3], 0), plain(cases), per_cent(means, 2)]


@fact("B4.conflict")
def _(f: Figures) -> Iterable[Any]:
    printed, two_of_types, rows = f("shifts.*.p_harmful_gm"), two_factors(f), meta_rows(f)
    harmful, two = rows.prod(axis=1), rows[:, :2].prod(axis=1)
    assert harmful[3] > printed.max() and two[3] > two_of_types.max()
    return [
        *[per_cent((printed.max(), two_of_types.max())), per_cent(harmful[:3]), per_cent(two[:3])],
        *[per_cent(harmful[3]), per_cent(harmful[:3].mean()), per_cent(two[3])],
    ]


@fact("B4.coinrun")
def _(f: Figures) -> Iterable[Any]:
    row = math.prod(f(f"003.meta_analysis.langosco_2022.{field}") for field in FIELDS[:2])
    spec, narrow = dict(f("modifiers.spec.knots"))[1.0], f("modifiers.diversity.levels.narrow")
    printed = f("shifts.moderate.p_capable") * f("shifts.moderate.p_goal_fail")
    predicted = printed * spec * narrow
    assert predicted < printed
    return [
        *[per_cent(row), 1, plain((spec, narrow)), plain(spec * narrow, ".2f")],
        *[per_cent(predicted), plain(row / predicted, ".1f")],
    ]


@fact("B4.selection")
def _(f: Figures) -> Iterable[Any]:
    two, types = meta_rows(CLAIMS)[:, :2].prod(axis=1), two_factors(CLAIMS)
    # Each study's rate is above every type's. For the pool to come from type 2, a failure must be
    # about 9 times as likely to be documented.
    assert two.min() > types.max()
    favour = two[3] / (1 - two[3]) / (types / (1 - types))
    assert favour == pytest.approx([17.2, 8.8, 4.5, 3.8], abs=0.05)
    kappa = load_priors("meta_analysis").kappa
    return [plain(f("003.meta_analysis.pooled.n_cases_at_least")), plain(kappa)]


@fact("B4.conditional")
def _(f: Figures) -> Iterable[Any]:
    rows, table = meta_rows(f), "external.meta_analysis_marginals"
    capable, fails, harms = (
        f(f"{table}.{name}")
        for name in ("p_capability_generalized", "p_goal_misgeneralized", "p_safety_failure")
    )
    assert [capable, fails, harms] == rows[1].tolist()  # the same three numbers
    divided = np.array([fails / capable, harms / fails])
    pooled = np.mean([rows[0, 1:], divided, rows[2, 1:]], axis=0)
    cases = f(f"{table}.n_cases")
    return [per_cent(rows[1, 1:], 0), plain(cases), per_cent(divided, 0), per_cent(pooled, 0)]


@fact("B4.gaming")
def _(f: Figures) -> Iterable[Any]:
    cases = [row["id"] for row in TABLES["003.case_studies"]["rows"]]
    gaming = [case for case in cases if case != "coinrun_agent"]
    assert f"({', '.join(gaming)})" in ITEMS["B4.gaming"].derived
    return ["003", 206, len(gaming), len(cases), 66]


@fact("B4.harm")
def _(f: Figures) -> Iterable[Any]:
    return [per_cent(f("003.meta_analysis.langosco_2022.p_harm_given_failure"), 0)]


# --------------------------------------------------------------- B5, B6: specification, diversity


@fact("B5.endpoints")
def _(f: Figures) -> Iterable[Any]:
    row = "003.modifying_factors.m_spec"
    q = f(f"{row}.low_risk.specification_quality"), f(f"{row}.high_risk.specification_quality")
    ends, knots = f("modifiers.spec.range"), f("modifiers.spec.knots")
    by_band = np.interp(q, *zip(*knots, strict=True))
    assert by_band != pytest.approx(ends, abs=0.05)
    assert knots[0] == (0, ends[1]) and knots[-1] == (1, ends[0])
    both = [(plain(quality), plain(end)) for quality, end in zip(q, ends, strict=True)]
    return [".9", ".2", *map(list, both), plain(by_band, ".2f"), 1, 0]


@fact("B5.gaps")
def _(f: Figures) -> Iterable[Any]:
    quality = f("003.specification_bands.*.specification_quality_range")[::-1]
    multiplier = f("003.specification_bands.*.risk_multiplier_range")[::-1]
    gaps = [(below[1], above[0]) for below, above in pairwise(quality)]
    drops = [(below[0], above[1]) for below, above in pairwise(multiplier)]
    stated = f("003.specification_bands.undefined_gaps_*")
    assert np.all(stated == gaps)
    return [[plain(gap), plain(drop)] for gap, drop in zip(gaps, drops, strict=True)]


@fact("B5.formula")
def _(f: Figures) -> Iterable[Any]:
    printed, reach = f("modifiers.spec.range"), f("external.specification_formula.multiplier_range")
    assert reach == tuple(1 + (1 - q) for q in (1.0, 0.0)) and min(reach) > min(printed)
    return [plain(printed), 1, 1, plain(reach)]


def thresholds(f: Figures) -> tuple[float, float]:
    """The diversity below which training is narrow, and above which it is diverse."""
    row = "003.modifying_factors.m_div"
    return f(f"{row}.high_risk.diversity_less_than"), f(f"{row}.low_risk.diversity_greater_than")


@fact("B6.unit")
def _(f: Figures) -> Iterable[Any]:
    low, high = thresholds(f)
    changes = f("external.diversity_definition.*.goal_failure_change_fraction")
    assert 1 + changes == pytest.approx(CLAIMS("modifiers.diversity.range"))
    return [plain((high, low)), per_cent(np.abs(changes), 0), 1]


@fact("B6.middle")
def _(f: Figures) -> Iterable[Any]:
    low, high = thresholds(f)
    narrow, diverse = (f(f"modifiers.diversity.levels.{name}") for name in ("narrow", "diverse"))
    crossing = low + (high - low) * (narrow - 1) / (narrow - diverse)
    line = load_priors(diversity_rule="linear").modifiers["diversity"]
    assert line.level(crossing).median == pytest.approx(1)
    assert f("modifiers.diversity.rule") == "step"  # by which 1 stands between the thresholds
    pairs = plain((narrow, low, diverse, high))
    return [pairs, plain((low, high)), 1, plain(crossing, ".3f"), 1]


@fact("B6.transition")
def _(f: Figures) -> Iterable[Any]:
    low, high = thresholds(f)
    reported = 0.02  # not a figure of the source: secondary sources, not verified, as it says
    assert load_priors().modifiers["diversity"].level(reported).name == "narrow"
    times = plain((low / reported, high / reported), ".0f")
    return [plain((low, high)), plain(reported), times, ".005"]


# -------------------------------------------------------------- B7: interventions, B8: deployment

PREVENTION = {
    "diverse_adversarial_training": "diversity",
    "objective_specification_improvement": "spec",
    "interpretability_verification": "method",
}


def reductions(f: Figures, *names: str) -> Any:
    return np.array([f(f"interventions.{name}.reduction") for name in names])


@fact("B7.duplicates")
def _(f: Figures) -> Iterable[Any]:
    printed = reductions(f, *PREVENTION)
    low, high = np.array([f(f"modifiers.{name}.range") for name in PREVENTION.values()]).T
    steps = np.column_stack([1 - low / high, 1 - low])  # worst to best, neutral to best
    # The neutral step lies in each printed range, the whole step beyond it.
    assert np.all((printed[:, 0] <= steps[:, 1]) & (steps[:, 1] <= printed[:, 1] + 1e-9))
    assert np.all(steps[:, 0] > printed[:, 1])
    success = f("003.critical_unknowns.interpretability_feasibility.multiplier_if_successful")
    assert 1 - success == pytest.approx(steps[2, 1])
    return [per_cent(printed, 0), per_cent(steps, 0), plain(success), per_cent(1 - success, 0)]


@fact("B7.stacked")
def _(f: Figures) -> Iterable[Any]:
    left = 1 - reductions(f, *PREVENTION, "ai_control_protocols")
    return [per_cent(1 - left[:3].prod(axis=0)), per_cent(1 - left.prod(axis=0))]


@fact("B7.target")
def _(f: Figures) -> Iterable[Any]:
    assert not [path for path in f.values if fnmatchcase(path, "003.interventions.*target*")]
    external = external_tables()["external.intervention_targets"].body
    for name in load_priors().interventions:
        kind = "external" if name in external else "ours"
        stated = f"{name} {f(f'interventions.{name}.target')} ({kind})"
        assert stated in ITEMS["B7.target"].treatment
    return []


@fact("B7.cells")
def _(f: Figures) -> Iterable[Any]:
    rows = TABLES["003.interventions"]["rows"]
    words = [row for row in rows if row["risk_reduction_fraction_range"] is None]
    printed = (f"{row['id']}: '{row['risk_reduction_printed']}'" for row in words)
    assert ITEMS["B7.cells"].printed == "; ".join(printed)
    return [len(words), len(rows), 44, 50]


@fact("B8.domains")
def _(f: Figures) -> Iterable[Any]:
    scores, values = zip(*f("modifiers.spec.knots"), strict=True)
    spec = np.interp(f("domains.*.spec"), scores, values)
    of_type = dict(zip(SHIFT_TYPES, base(f), strict=True))
    bases = np.array([[of_type[name] for name in pair] for pair in f("domains.*.shift_types")])
    model, printed = bases * spec[:, None], f("domains.*.p_current")
    return [per_cent(printed, 0), per_cent(model), plain(printed / model, ".2f")]


@fact("B8.growth")
def _(f: Figures) -> Iterable[Any]:
    now, later = f("domains.*.p_current"), f("domains.*.p_2027")
    factor = f("periods.2026-2027.multiplier")[0]
    ends, middle = later / now, later.sum(axis=1) / now.sum(axis=1)
    assert np.all(middle < factor) and np.all(ends[:, 1] < ends[:, 0])
    agents = later[4]
    return [
        *[2026, 2027, plain(factor), 2027, per_cent(agents, 0)],
        *[plain(np.column_stack([ends, middle]), ".2f"), plain(factor), per_cent(now[4] * factor)],
    ]


@fact("B8.overflow")
def _(f: Figures) -> Iterable[Any]:
    last, third = f("periods.after-2030.multiplier")[1], f("periods.2028-2030.multiplier")[1]
    types = base(f)[2:] * last
    agents = f("domains.autonomous_agents.p_current")[1] * third
    assert types.min() > 1 and agents > 1
    return [
        *[1, plain(last), 2030, plain(third), 2028, 2030],
        *[3, 4, plain(last), per_cent(types), plain(third), per_cent(agents), 2, 3],
    ]


@fact("B8.drivers")
def _(f: Figures) -> Iterable[Any]:
    high = f("modifiers.capability.range")[1]
    assert CLAIMS("periods.*.multiplier").max() > high
    rows = TABLES["003.timeline_projections"]["rows"][1:]
    names = ("2026-2027", "2028-2030", "after-2030")
    drivers = (
        f"{name}: {row['key_driver']}, {row['system_capabilities']}"
        for name, row in zip(names, rows, strict=True)
    )
    assert ITEMS["B8.drivers"].printed == "; ".join(drivers)
    return [2026, 2027, 2028, 2030, 2030, plain(high)]


# ------------------------------------------------------------------- B9, B10: citations, mesa

CITATIONS: dict[str, list[Any]] = {  # the years that they name: the package has no text of them
    "B9.shared_link": ["003", 2022, 2022],
    "B9.krakovna": ["003", 2020],
    "B9.pan": ["003", 2022],
    "B9.murphy": ["003", 2013],
    "B9.grasping": ["003"],
    "B9.meng": ["003", 2023, 2022],
    "B9.real": ["000", 2019],
    "B9.cotra": ["000", 2022, 2021],
    "B9.perez": ["000"],
}
for _id, _years in CITATIONS.items():
    FACTS[_id] = lambda f, years=_years: years


@pytest.mark.parametrize("id", CITATIONS)
def test_a_citation_is_listed_with_what_its_reference_describes(id: str) -> None:
    assert ITEMS[id].derived.startswith("the reference describes: ")
    assert ITEMS[id].treatment == "not relied on" and not ITEMS[id].is_warning


@fact("B9.rows")
def _(f: Figures) -> Iterable[Any]:
    rows = TABLES["003.meta_analysis"]["rows"]
    assert ITEMS["B9.rows"].printed == ", ".join(row["id"] for row in rows)
    assert [row["n_cases"] for row in rows] == [None] * 3  # nor of how many cases they are shares
    return [2022, 2020, 2022]


def span(ranges: Any) -> tuple[float, float]:
    return ranges.min(), ranges.max()


@fact("B10.headline")
def _(f: Figures) -> Iterable[Any]:
    headline = f("mesa.p_emergence"), f("mesa.p_misaligned")
    emergence, misaligned = f("mesa.periods.*.p_emergence"), f("mesa.periods.*.p_misaligned")
    experts = f("001_002.headline.p_mesa_optimization_expert_range")
    camps = span(f("001_002.expert_probability.*.p_range"))
    unions = span(emergence[:2]), span(misaligned)
    assert unions == headline and tuple(emergence[0]) != headline[0] and camps != experts
    return [
        *[per_cent(headline, 0), per_cent(emergence[0], 0), per_cent(unions, 0)],
        *["001", per_cent(experts, 0), per_cent(camps, 0)],
    ]


@fact("B10.interval")
def _(f: Figures) -> Iterable[Any]:
    return [per_cent(f("000.probability_framework.interval_level_claimed"), 0)]


@fact("B10.implied")
def _(f: Figures) -> Iterable[Any]:
    catastrophic = f("mesa.periods.*.p_catastrophic")
    product = f("mesa.periods.*.p_emergence") * f("mesa.periods.*.p_misaligned")
    whole = np.multiply(f("mesa.p_emergence"), f("mesa.p_misaligned"))
    today = catastrophic[0, 1] / product[0][::-1]
    implied = catastrophic[1:] / product[1:]
    rise = implied[1] / implied[0]
    near, agi = (
        np.array(f(f"000.capability_scaling.{level}.relative_harm_multiplier_range"))
        for level in ("near_term", "agi_approaching")
    )
    assert np.all(agi / near > rise)  # severity rises faster than its probability can
    return [
        *[per_cent(catastrophic), per_cent(product), per_cent(whole, 0), per_cent(today)],
        *[per_cent(implied), plain(rise[::-1], ".1f"), plain(agi / near, ".0f")],
    ]


@fact("B10.severity")
def _(f: Figures) -> Iterable[Any]:
    alpha, beta = f("mesa.exponent_capability"), f("mesa.exponent_misalignment")
    assert CLAIMS("000.capability_scaling.exponent_claimed") == alpha
    harm = f("000.capability_scaling.*.relative_harm_multiplier_range")
    skipped = [(below[1], above[0]) for below, above in pairwise(harm[1:]) if below[1] < above[0]]
    degrees = np.array([0.25, 0.5, 0.75])
    powers = [[plain(m), plain(m**beta, ".3f")] for m in degrees]
    return [
        *[plain((alpha, beta)), plain(harm), 7, 38, 152, plain(harm ** (1 / alpha), ".3g")],
        *[plain(skipped), plain(beta), powers, 7, 36],
    ]


@fact("B10.prevalence")
def _(f: Figures) -> Iterable[Any]:
    prevalence = f("000.misalignment_types.*.p_prevalence_range")
    middle, total = prevalence.mean(axis=1), prevalence.sum(axis=0)
    share = middle / middle.sum()
    mitigated = share @ f("000.mitigation_success.*.p_success_range").mean(axis=1)
    assert total[1] > 1 > total[0]
    return [
        *[per_cent(prevalence, 0), per_cent(total, 0), per_cent(middle.sum())],
        *[per_cent(share), per_cent(mitigated)],
    ]


@fact("B10.periods")
def _(f: Figures) -> Iterable[Any]:
    years = f("000.risk_assessment_framework.columns.*.period_years")
    points = f("000.decision_points.*.period_years")
    agi = f("000.capability_scaling.agi_approaching.period_years")
    shared = [[a[1] for a, b in pairwise(periods) if a[1] == b[0]] for periods in (years, points)]
    assert tuple(years[2]) != agi
    return [plain(years), plain(shared[0]), plain(shared[1]), plain(years[2]), plain(agi)]


@fact("B10.thresholds")
def _(f: Figures) -> Iterable[Any]:
    states, tokens = (
        f(f"000.emergence_thresholds.state_space_size.{field}")
        for field in ("threshold_greater_than_states", "current_llm_tokens_approx")
    )
    steps, (low, high) = (
        f(f"000.emergence_thresholds.planning_horizon.{field}")
        for field in ("threshold_greater_than_steps", "current_llm_steps_range")
    )
    assert low < steps < high
    return [plain(states, ".0e"), plain(steps), plain(tokens, ".0e"), plain((low, high))]


# ------------------------------------------------------- B11, B12: between documents, context


@fact("B11.diversity")
def _(f: Figures) -> Iterable[Any]:
    low = f("modifiers.diversity.range")[0]
    # Diverse data and much compute: every model stands in the quadrant that 000 calls so.
    assert np.all(CLAIMS("000.training_regime_quadrant.*_coordinate") > 0.5) and low < 1
    label = TABLES["000.training_regime_quadrant"]["quadrant_labels"]["quadrant_1_top_right"]
    assert f"'{label}'" in ITEMS["B11.diversity"].printed
    return ["000", "003", plain(low)]


@fact("B11.pseudo")
def _(f: Figures) -> Iterable[Any]:
    pseudo, proxy = (
        f(f"000.misalignment_types.{kind}_alignment.p_prevalence_range")
        for kind in ("pseudo", "proxy")
    )
    # An umbrella holds all of its kinds; by 000's figures it would be rarer than one of them.
    assert pseudo[1] < proxy[0]
    kinds = [row["id"] for row in TABLES["000.misalignment_types"]["rows"]]
    assert ITEMS["B11.pseudo"].printed.endswith(", ".join(kinds))
    return ["000", "001", 35, "000", per_cent((pseudo, proxy), 0), "001", "000"]


@fact("B11.evidence")
def _(f: Figures) -> Iterable[Any]:
    strength = TABLES["000.evidence_strength"]["rows"][0]
    assert strength["id"] == "goal_misgeneralization"
    assert f"'{strength['strength']}'" in ITEMS["B11.evidence"].printed
    return ["000", "001", "000"]


@fact("B12.ratio")
def _(f: Figures) -> Iterable[Any]:
    safety = f("001_002.headline.safety_investment_usd_2024")
    industry = f("001_002.headline.industry_investment_usd_2024")
    ratio = f("001_002.headline.disparity_ratio_printed")
    stated = plain(ratio, ",.0f")
    return [
        *[plain(safety / 1e6, ".0f"), plain(industry / 1e9, ".0f"), stated],
        *[plain(industry / safety, ",.0f"), stated],
        *[plain(industry / ratio / 1e6, ".1f"), plain(safety * ratio / 1e9, ".0f")],
    ]


@fact("B12.reduction")
def _(f: Figures) -> Iterable[Any]:
    printed = f("001_002.research_2025.deliberative_alignment_o3.reduction_factor_printed")
    before = f("001_002.research_2025.deliberative_*.p_before")
    after = f("001_002.research_2025.deliberative_*.p_after")
    half = np.array([0.0005, 0.005])  # .087 is rounded to .1 %, .13 to 1 %
    low, high = (before - half) / (after + 0.0005), (before + half) / (after - 0.0005)
    assert low.min() < printed < high.max()
    aware = [f(f"001_002.research_2025.evaluation_awareness.p_{at}") for at in ("after", "before")]
    return [
        *[plain(printed), plain(before / after, ".1f"), plain((low.min(), high.max()), ".0f")],
        plain(aware[0] / aware[1], ".1f"),
    ]


@fact("B12.ranges")
def _(f: Figures) -> Iterable[Any]:
    faking = f("001_002.headline.p_alignment_faking_range")
    scheming = f("001_002.headline.p_scheming_range")
    prompted = f("001_002.alignment_faking.p_harmful_with_strategic_reasoning_monitored_free")
    retrained = f("001_002.alignment_faking.p_alignment_faking_after_retraining")
    mitigated = f("001_002.research_2025.deliberative_alignment_o4_mini.p_after")
    before = f("001_002.research_2025.deliberative_alignment_o3.p_before")
    assert faking == (prompted, retrained) and scheming == (mitigated, before)
    return [
        *[per_cent(faking, 0), per_cent(scheming), per_cent(faking, 0), per_cent(scheming)],
        per_cent(f("001_002.research_2025.self_copying.p_range")),
    ]


@fact("B12.auroc")
def _(f: Figures) -> Iterable[Any]:
    auroc = f("001_002.headline.probe_auroc_greater_than")
    # Two normal scores of equal spread: AUROC = Phi(distance / sqrt 2). Simulated, then exactly.
    distance = math.sqrt(2) * NormalDist().inv_cdf(auroc)
    rng = np.random.default_rng(0)
    no, yes = rng.normal(0, 1, 200_000), rng.normal(distance, 1, 200_000)
    assert np.mean(yes > no) == pytest.approx(auroc, abs=1e-3)
    accuracy = NormalDist().cdf(distance / 2)
    right = (np.mean(no < distance / 2) + np.mean(yes > distance / 2)) / 2
    assert accuracy == pytest.approx(right, abs=2e-3)
    stated = per_cent(auroc, 0)
    return [stated, stated, 186, stated, 170, stated, per_cent(accuracy, 0)]


@fact("B12.dates")
def _(f: Figures) -> Iterable[Any]:
    first, last = f("001_002.headline.concern_timeline_years")
    edited, frame = 2026, 2035  # metadata of 002, which the package has in words only
    assert edited + last < frame
    return [
        *[2025, "001", 105, frame, "002", 2026, 192],
        *[plain((first, last)), "001", plain(edited + last), edited, "002"],
    ]
