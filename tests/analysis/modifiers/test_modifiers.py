"""Modifiers from records of made-up agents with known rates."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from misgen.analysis.intervals import Estimate
from misgen.analysis.modifiers.comparisons import (
    LEVELS,
    capability_level,
    diversity_level,
    spec_level,
)
from misgen.analysis.modifiers.measure import ModifierReport, measure_modifiers
from misgen.analysis.modifiers.multiplicativity import agents_needed, verdict
from misgen.analysis.modifiers.results import RiskRatio
from misgen.analysis.rates import AgentCounts
from misgen.analysis.records import read_records

Columns = dict[str, Any]
Save = Callable[..., Path]
Block = Callable[..., Columns]
Write = Callable[..., Any]

LEVELS_EACH = 100


def words(intended: int = 0, proxy: int = 0, harmful: int = 0) -> list[str]:
    """Outcomes of 100 levels; whoever is none of the three is not capable."""
    neither = LEVELS_EACH - intended - proxy - harmful
    return ["I"] * intended + ["P"] * proxy + ["H"] * harmful + ["N"] * neither


@pytest.fixture(scope="module")
def write(save_run_under: Save, block: Block, control_block: Block, tmp_path_factory: Any) -> Write:
    """write(arms, ...) -> records. arms: (method, d, q) -> (intended, proxy, harmful) per agent.

    checkpoints: (d, step) -> (outcome, own return) per agent, of PPO agents with q = 1 whose last
    checkpoint (own return 1) is the arm of that d. changes: for every block.
    """

    def blocks(
        setup: tuple[str, float, float], agent: int, step: int, outcome: Any, own: float,
        changes: Columns,
    ) -> Iterator[Columns]:  # fmt: skip
        method, d, q = setup
        same = {
            "agent": agent, "d": d, "q": q, "method": method, "checkpoint_step": step,
            "run_id": f"{method}-d{d:g}-q{q:g}-a{agent}",
            "tags": "spec_gaming" if q < 1 else "", **changes,
        }  # fmt: skip
        yield block(words(*outcome), "11", **same)
        yield block(["I"] * 20, "own", **same | {"episode_return": own})
        if step == 1000:
            for policy, reward in (("planner_intended", 1.0), ("random", 0.2)):
                yield control_block(
                    policy, ["I"] * 20, variant="own", **same | {"episode_return": reward}
                )
            yield control_block("random", ["N"] * 90 + ["I"] * 10, variant="11", **same)

    def write(
        arms: Mapping[tuple[str, float, float], list[tuple[int, ...]]],
        checkpoints: Mapping[tuple[float, int], list[tuple[tuple[int, ...], float]]] | None = None,
        first_agent: Mapping[tuple[str, float, float], int] | None = None,
        **changes: Any,
    ) -> Any:
        root = tmp_path_factory.mktemp("study")
        found: list[Columns] = []
        for setup, outcomes in arms.items():
            for number, outcome in enumerate(outcomes, (first_agent or {}).get(setup, 0)):
                found += blocks(setup, number, 1000, outcome, 1.0, changes)
                for (d, step), earlier in (checkpoints or {}).items():
                    if setup == ("ppo", d, 1.0) and number < len(earlier):
                        found += blocks(setup, number, step, *earlier[number], changes)
        save_run_under(root, *found, folder="runs-of-all-agents")  # one file: fast to write
        return read_records(root)

    return write


D0, D10, D100 = ("ppo", 0.0, 1.0), ("ppo", 0.1, 1.0), ("ppo", 1.0, 1.0)
CLONES, GAMING = ("cloning", 0.0, 1.0), ("ppo", 0.0, 0.5)
CLEAN = [(99, 0), (100, 0), (98, 1), (100, 0)]


@pytest.fixture(scope="module")
def study(write: Write) -> Any:
    """p_gm .6 at d = 0, .2 at the reference, about 0 at d = 1; .6 of clones, .72 at q = .5."""
    return write(
        {
            D0: [(30, 40, 20), (30, 42, 20), (30, 38, 20), (30, 40, 20)],
            D10: [(70, 15, 5), (70, 17, 5), (70, 13, 5), (70, 15, 5)],
            D100: CLEAN,
            CLONES: [(30, 30, 30), (30, 32, 30), (30, 28, 30), (30, 30, 30)],
            GAMING: [(18, 42, 30), (18, 44, 30), (18, 40, 30), (18, 42, 30)],
        },
        # Competence (.52 - .2) / (1 - .2) = .4: half as capable, and p_gm .3 instead of .6.
        checkpoints={(0.0, 500): [((15, 20, 10), 0.52)] * 4},
    )


@pytest.fixture(scope="module")
def report(study: Any) -> ModifierReport:
    return measure_modifiers(study, replicates=1000)


def one(report: ModifierReport, arm: str, scope: str = "cell") -> RiskRatio:
    (found,) = [r for r in report.ratios if r.arm == arm and r.scope == scope]
    return found


@pytest.mark.parametrize(
    ("arm", "modifier", "level", "reference", "multiplier"),
    [
        ("d=0", "diversity", "narrow", "d=0.1", 3.0),
        ("d=0 q=0.5", "spec", "medium", "d=0", 1.2),
        ("cloning d=0", "method", "behavioral_cloning", "d=0", 1.0),
        ("d=0, competence < 0.8", "capability", "below_human", "d=0, competence 0.8-1.05", 0.5),
    ],
)
def test_known_multipliers_of_arms_that_differ_in_one_thing(
    report: ModifierReport, arm: str, modifier: str, level: str, reference: str, multiplier: float
) -> None:
    found = one(report, arm)
    assert (found.modifier, found.level, found.reference) == (modifier, level, reference)
    assert found.cells == (("coinrun", "C2"),)
    assert found.raw == pytest.approx(multiplier)
    assert found.ratio.low < multiplier < found.ratio.high
    assert found.ratio.value == found.raw
    assert found.log_mean == pytest.approx(math.log(multiplier))
    assert (found.k_agents, found.k_reference, found.levels) == (4, 4, "100")


def test_the_split_into_factors_multiplies(report: ModifierReport) -> None:
    narrow, low = one(report, "d=0"), one(report, "d=0, competence < 0.8")
    values = [narrow.factors[name].value for name in ("p_capable", "p_goal_fail", "p_harm")]
    assert values == pytest.approx([1, 3, (20 / 60) / (5 / 20)])
    # Half as capable, equally often with the wrong goal: capability does not touch the goal.
    assert low.factors["p_capable"].value == pytest.approx(0.5)
    assert low.factors["p_goal_fail"].value == pytest.approx(1)
    for found in report.ratios:
        if found.scope == "cell" and found.arm != "d=1":
            split = found.factors["p_capable"].value * found.factors["p_goal_fail"].value
            assert split == pytest.approx(found.raw)


def test_harm_by_construction_is_no_factor(write: Write) -> None:
    arms = {D0: [(30, 0, 60)] * 3, D10: [(70, 0, 20)] * 3}
    found = one(measure_modifiers(write(arms, harm_by_construction=True), replicates=200), "d=0")
    assert math.isnan(found.factors["p_harm"].value)
    assert found.factors["p_harm"].reason == "harm is by construction of the cell"


def test_comparisons_away_from_the_reference_say_so(report: ModifierReport) -> None:
    assert "at d=0" not in one(report, "d=0").note
    for arm in ("cloning d=0", "d=0 q=0.5"):
        assert "at d=0, not at the reference d=0.1" in one(report, arm).note
    assert (
        "player: intended planner, no random actions" in one(report, "d=0, competence < 0.8").note
    )


def test_arms_at_d_0_stand_for_no_level_but_diversitys(report: ModifierReport) -> None:
    """They are shown, pooled, with where they are; only at the reference d would they enter."""
    assert report.level("diversity", "narrow") == one(report, "d=0", "pooled")
    for arm in ("cloning d=0", "d=0 q=0.5", "d=0, competence < 0.8"):
        shown = one(report, arm, "pooled")
        assert not shown.at_reference and "d=0" in shown.note
        assert shown.ratio.low > 0 and report.level(shown.modifier, shown.level) is None
        reason = report.not_identified[f"{shown.modifier}/{shown.level}"]
        assert reason.startswith(f"measured against {shown.reference}, not against the reference")


def test_clones_at_the_reference_d_stand_for_their_level(write: Write) -> None:
    report = measure_modifiers(
        write(square(20, 30, 40, 60, k=3) | {D100: [(99, 0)] * 3}), replicates=200
    )
    found = report.level("method", "behavioral_cloning")
    assert found is not None and found.arm == "cloning d=0.1" and found.raw == pytest.approx(2)


def test_wrong_rewards_are_tagged(report: ModifierReport) -> None:
    tags = {r.arm: r.tags for r in report.ratios}
    assert tags["d=0 q=0.5"] == "spec_gaming"
    assert set(tags.values()) == {"", "spec_gaming"} and list(tags.values()).count("") == 4


def test_doses_of_one_cue_are_not_pooled(write: Write) -> None:
    """A cell that does not inform its type has its own ratio and enters only `all cells`."""
    arms = {D0: [(30, 60)] * 3, D10: [(70, 20)] * 3, D100: [(100, 0)] * 3}
    tables = [
        write(arms, cell=name, train_distribution=name, informs_type=name == "C2").to_arrow_table()
        for name in ("C1", "C2")
    ]
    report = measure_modifiers(_renamed(tables), replicates=200)
    assert report.identified == {("coinrun", "C1"): True, ("coinrun", "C2"): True}
    assert one(report, "d=0", "pooled").cells == (("coinrun", "C2"),)
    assert len(one(report, "d=0", "pooled, all cells").cells) == 2


def test_pooled_ratios_come_from_identified_cells(write: Write) -> None:
    arms = {D0: [(30, 60)] * 3, D10: [(70, 20)] * 3, D100: [(100, 0)] * 3}
    failing = {D0: [(10, 90)] * 3, D10: [(10, 90)] * 3, D100: [(50, 50)] * 3}
    tables = [
        write(cells, cell=name, train_distribution=name).to_arrow_table()
        for name, cells in (("C2", arms), ("C4", arms), ("C1", failing))
    ]
    report = measure_modifiers(_renamed(tables), replicates=200)
    assert report.identified == {
        ("coinrun", "C2"): True,
        ("coinrun", "C4"): True,
        ("coinrun", "C1"): False,
    }
    pooled, everything = one(report, "d=0", "pooled"), one(report, "d=0", "pooled, all cells")
    assert [len(r.cells) for r in (pooled, everything)] == [2, 3]
    assert pooled.ratio.low < 3 < pooled.ratio.high
    assert pooled.raw == pytest.approx(3) and everything.raw == pytest.approx(3 ** (2 / 3))
    assert pooled.k_agents == 6 and pooled.spread.low > 0
    assert pooled.new_cell.low < pooled.ratio.low and pooled.new_cell.high > pooled.ratio.high
    assert report.level("diversity", "narrow") == pooled
    assert report.level("spec", "low") is None
    # The split is capable 1, goal fails 3, and so are the pooled factors.
    assert pooled.factors["p_capable"].value == pytest.approx(1, rel=0.05)
    assert pooled.factors["p_goal_fail"].value == pytest.approx(3, rel=0.1)
    assert pooled.factors["p_goal_fail"].low < 3 < pooled.factors["p_goal_fail"].high


def _renamed(tables: list[Any]) -> Any:
    """The tables of several cells as one, with run ids that differ."""
    import pyarrow as pa

    def rename(table: Any, i: int) -> Any:
        column = pa.array([f"{i}-{run}" for run in table["run_id"].to_pylist()])
        return table.set_column(table.schema.get_field_index("run_id"), "run_id", column)

    return pa.concat_tables([rename(table, i) for i, table in enumerate(tables)])


def test_what_the_records_do_not_vary_has_a_reason_and_no_number(report: ModifierReport) -> None:
    assert set(report.not_identified) == {
        "diversity/extra_compute",
        *("spec/high", "spec/medium", "spec/low", "capability/below_human"),
        *("capability/superhuman", "capability/width", "method/behavioral_cloning"),
        "method/interpretability_verified",
        "deployment_response",
        "broken_episodes",
        "multiplicativity",
    }
    assert all(report.not_identified.values())
    measured = {(r.modifier, r.level) for r in report.ratios}
    for name in ("spec/high", "spec/low", "capability/superhuman"):
        assert tuple(name.split("/")) not in measured


def test_without_a_reference_arm_diversity_is_not_identified(write: Write) -> None:
    report = measure_modifiers(write({D0: [(30, 60)] * 3, D100: CLEAN[:3]}), replicates=200)
    assert report.ratios == []
    assert set(LEVELS) <= set(report.not_identified)
    assert report.not_identified["diversity"] == "no cell has the reference d and another one"


@pytest.mark.parametrize("k", [1, 2])
def test_one_or_two_agents_have_no_interval_and_the_reason(write: Write, k: int) -> None:
    arms = {D0: [(30, 60)] * k, D10: [(70, 20)] * 4, D100: CLEAN}
    report = measure_modifiers(write(arms), replicates=200)
    for found in (one(report, "d=0"), one(report, "d=0", "pooled")):
        assert found.ratio.value == pytest.approx(3)
        assert math.isnan(found.ratio.low) and math.isnan(found.log_sd)
        assert f"{k} agent" in found.ratio.reason
        assert all(math.isnan(factor.low) for factor in found.factors.values())
    assert f"{k} agent" in report.not_identified["diversity/narrow"]
    assert report.level("diversity", "narrow") is None
    assert report.level("diversity", "diverse") is not None


def test_agent_numbers_need_not_pair(write: Write) -> None:
    arms = {D0: [(30, 60)] * 3, D10: [(70, 20), (70, 21), (70, 19), (70, 20), (70, 20)]}
    report = measure_modifiers(write(arms, first_agent={D10: 2}), replicates=500)
    found = one(report, "d=0")
    assert (found.k_agents, found.k_reference) == (3, 5)
    assert found.ratio.low < 3 < found.ratio.high


def test_an_arm_of_zeros_has_a_finite_interval(write: Write) -> None:
    arms = {D0: [(30, 60)] * 4, D10: [(90, 0)] * 4, D100: [(90, 0)] * 4}
    report = measure_modifiers(write(arms), replicates=500)
    narrow, equal = one(report, "d=0"), one(report, "d=1")
    assert math.isnan(narrow.raw) and math.isnan(equal.raw)
    assert 1 < narrow.ratio.low < narrow.ratio.high < math.inf
    assert equal.ratio.low < 1 < equal.ratio.high
    assert "diversity/diverse" not in report.not_identified


def test_every_link_has_its_own_ratio(study: Any) -> None:
    p, r = 0.6, 0.2
    for link, expected in (
        ("log", p / r),
        ("cloglog", math.log(1 - p) / math.log(1 - r)),
        ("logit", p / (1 - p) / (r / (1 - r))),
    ):
        report = measure_modifiers(study, link=link, replicates=200)
        found = one(report, "d=0")
        assert (report.link, found.link) == (link, link)
        assert found.raw == pytest.approx(expected)
        assert found.ratio.low < expected < found.ratio.high


def test_equal_records_give_equal_reports(study: Any, report: ModifierReport) -> None:
    assert measure_modifiers(study, replicates=1000).ratios == report.ratios


def test_levels_of_the_source() -> None:
    assert [diversity_level(d) for d in (0, 0.05, 0.1, 0.3, 0.31, 1)] == [
        "narrow", "narrow", "reference", "reference", "diverse", "diverse",
    ]  # fmt: skip
    assert [spec_level(q) for q in (1, 0.9, 0.75, 0.55, 0.35, 0.2, 0)] == [
        "high", "high", "between bands", "medium", "between bands", "low", "low",
    ]  # fmt: skip
    assert [capability_level(c) for c in (-0.1, 0.79, 0.8, 1.05, 1.1, math.nan)] == [
        "below_human", "below_human", "reference", "reference", "superhuman", "",
    ]  # fmt: skip


# ----------------------------------------------------------------------------- doses and competence


def test_dose_response_over_d_and_over_broken_episodes(study: Any) -> None:
    seen = {
        f"ppo-d{d:g}-q1-a{agent}": 1000 * d * (1 + agent) for d in (0, 0.1, 1) for agent in range(4)
    }
    report = measure_modifiers(study, broken_episodes=seen, replicates=500)
    over_d, over_episodes = report.dose_responses
    assert (over_d.dose, over_d.doses) == ("d", (0, 0.1, 1))
    assert (over_episodes.dose, over_episodes.doses) == ("broken_episodes", (0, 250, 2500))
    assert [r.value for r in over_d.rates] == pytest.approx([0.6, 0.2, 0.0025])
    # Half-way from .6 to .0025 is .30125, on the line from (0, .6) to (.1, .2).
    assert over_d.half_effect_dose.value == pytest.approx(0.1 * (0.6 - 0.30125) / 0.4)
    assert over_episodes.half_effect_dose.value == pytest.approx(250 * (0.6 - 0.30125) / 0.4)
    assert over_d.between == (0, 0.1)
    assert "broken_episodes" not in report.not_identified
    del seen["ppo-d1-q1-a3"]
    partial = measure_modifiers(study, broken_episodes=seen, replicates=200)
    assert "some runs are missing" in partial.not_identified["broken_episodes"]
    assert len(partial.dose_responses) == 1


def test_the_slope_over_checkpoints(report: ModifierReport) -> None:
    (slope,) = report.slopes
    assert sorted(set(np.round(slope.competence, 6))) == [0.4, 1.0]
    assert sorted(set(slope.agent_number)) == [0, 1, 2, 3]
    # p_gm .3 at competence .4, .6 at 1.
    assert slope.slope.value == pytest.approx(math.log(2) / math.log(2.5), abs=0.02)


def test_competence_needs_own_levels(write: Write) -> None:
    records = write({D0: [(30, 60)] * 3}, {(0.0, 500): [((15, 30), 0.5)] * 3})
    shifted = records.filter("variant = '11'").to_arrow_table()
    report = measure_modifiers(shifted, replicates=200)
    assert report.slopes == []
    assert "competence" in report.not_identified["capability"]


# --------------------------------------------------------------------------------- multiplicativity


BOTH = ("cloning", 0.0, 1.0)


def square(base: int, first: int, second: int, both: int, k: int = 24) -> dict[Any, Any]:
    """d = .1 PPO, d = 0 PPO, d = .1 clones, d = 0 clones with these p_gm in percent."""
    arms = {D10: base, D0: first, ("cloning", 0.1, 1.0): second, BOTH: both}
    return {setup: [(90 - gm, gm)] * k for setup, gm in arms.items()}


@pytest.mark.parametrize(
    ("rates", "expected", "word", "scale"),
    [
        ((20, 30, 40, 60), 0.6, "holds", "log"),
        ((10, 30, 30, 20), 0.9, "violated", "log"),
        ((60, 72, 72, 70), 0.864, "undetermined", "log"),
        ((18, 45, 39, 78), 0.975, "undetermined", "cloglog"),  # hazards .2, .6, .5, 1.5
        ((20, 51, 51, 81), 1.3005, "ceiling", "logit"),  # odds 1/4, 1, 1, 4
    ],
)
def test_do_two_modifiers_multiply(
    write: Write, rates: tuple[int, int, int, int], expected: float, word: str, scale: str
) -> None:
    report = measure_modifiers(write(square(*rates)), replicates=200)
    (found,) = report.multiplicativity
    assert found.pair == ("diversity", "method")
    assert found.arms == ("d=0.1", "d=0", "cloning d=0.1", "cloning d=0")
    assert found.expected == pytest.approx(expected)
    assert found.ceiling == pytest.approx(1 / max(1, expected))
    assert found.verdict == word
    assert set(found.ratio_of_ratios) == {"log", "cloglog", "logit"}
    truth, interval = rates[3] / 100 / expected, found.ratio_of_ratios["log"]
    assert interval.low < truth < interval.high
    assert found.best_scale == scale
    assert "multiplicativity" not in report.not_identified


def test_too_few_agents_leave_it_undetermined(write: Write) -> None:
    (found,) = measure_modifiers(
        write(square(10, 20, 30, 60, k=2)), replicates=200
    ).multiplicativity
    assert found.verdict == "undetermined"
    assert found.ratio_of_ratios["log"].value == pytest.approx(1)
    assert "2 agents" in found.ratio_of_ratios["log"].reason


@pytest.mark.parametrize(
    ("low", "high", "ceiling", "expected"),
    [
        (0.81, 1.2, 1.0, "holds"),
        (0.7, 1.2, 1.0, "undetermined"),
        (0.5, 0.79, 1.0, "violated"),
        (1.26, 2.0, 1.0, "violated"),
        (0.5, 0.7, 0.74, "ceiling"),
        (math.nan, math.nan, 1.0, "undetermined"),
    ],
)
def test_verdicts(low: float, high: float, ceiling: float, expected: str) -> None:
    assert verdict(Estimate(1.0, low, high), ceiling) == expected


@pytest.mark.parametrize(("cv", "agents"), [(0.1, 3), (0.3, 20), (0.9, 177)])
def test_agents_needed(cv: float, agents: int) -> None:
    rates = 0.5 * (1 + cv * np.array([-1, 1]) / math.sqrt(2))
    n = np.full(2, 1000.0)
    arm = AgentCounts(np.arange(2), n, n, rates * n, np.zeros(2))
    assert agents_needed([arm, arm]) == agents


# ------------------------------------------------------------------------------------------ errors


def test_bad_input(write: Write, study: Any) -> None:
    with pytest.raises(ValueError, match="`variant` '10' or '11'; got '01'; take '11'"):
        measure_modifiers(study, variant="01")
    with pytest.raises(ValueError, match="`link` must be one of"):
        measure_modifiers(study, link="identity")
    arms = {D0: [(30, 60)] * 2}
    one, other = (write(arms, setting=setting).to_arrow_table() for setting in ("aa", "bb"))
    with pytest.raises(ValueError, match=r"within one setting; .*filter the records first"):
        measure_modifiers(_renamed([one, other]))
    with pytest.raises(ValueError, match=r"one run per agent number; .*agent 0 in the runs"):
        measure_modifiers(_renamed([one, one]))
