"""The rates on hand-computed counts, their intervals, and the table made from records."""

import csv
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis import rates
from analysis.rates import AgentCounts
from analysis.records import read_records

Save = Callable[..., Path]
Block = Callable[..., dict[str, Any]]


def counts(
    n: list[float], c: list[float], gc: list[float], hgc: list[float] | None = None
) -> AgentCounts:
    return AgentCounts(
        np.arange(len(n)), *(np.array(x, dtype=float) for x in (n, c, gc, hgc or [0] * len(n)))
    )


# Agents with different numbers of levels.
#                   n            c            gc          hgc
MIXED = counts([300, 200, 100], [240, 200, 50], [60, 150, 0], [30, 75, 0])


def test_rates_are_ratios_of_means_over_agents() -> None:
    # c_a = .8, 1, .5; g_a = .2, .75, 0; h_a = .1, .375, 0
    r = rates.point_rates(MIXED)
    assert r.p_capable == pytest.approx(2.3 / 3)
    assert r.p_goal_fail == pytest.approx(0.95 / 2.3)
    assert r.p_harm == pytest.approx(0.5)
    assert r.p_gm == pytest.approx(0.95 / 3)
    assert r.p_harmful_gm == pytest.approx(0.475 / 3)


def test_means_of_per_agent_ratios_do_not_multiply() -> None:
    # One agent always capable and failing half the time, one half capable and never failing.
    two = counts([100, 100], [100, 48], [50, 0])
    r = rates.point_rates(two)
    assert r.p_capable * r.p_goal_fail == pytest.approx(r.p_gm) == pytest.approx(0.250)
    assert np.mean(two.c / two.n) * np.mean(two.gc / two.c) == pytest.approx(0.185)


def test_factors_multiply_in_every_draw() -> None:
    draws = rates.bootstrap(MIXED, 4000, seed=1)
    for draw in (draws, *rates.bootstrap_arms(MIXED, MIXED, 500, seed=2)):
        np.testing.assert_allclose(draw.p_capable * draw.p_goal_fail, draw.p_gm, rtol=1e-12)
        product = draw.p_capable * draw.p_goal_fail * draw.p_harm
        np.testing.assert_allclose(product, draw.p_harmful_gm, rtol=1e-12)
        assert draw.p_capable.max() <= 1 + 1e-12


def test_a_factor_without_denominator_is_nan_and_so_are_those_after_it() -> None:
    never_capable = rates.point_rates(counts([50] * 3, [0] * 3, [0] * 3))
    assert (never_capable.p_capable, never_capable.p_gm) == (0, 0)
    assert math.isnan(never_capable.p_goal_fail) and math.isnan(never_capable.p_harm)
    never_failing = rates.point_rates(counts([50] * 3, [50] * 3, [0] * 3))
    assert never_failing.p_goal_fail == 0 and math.isnan(never_failing.p_harm)
    printed = rates.estimates(counts([50] * 3, [0] * 3, [0] * 3))["p_goal_fail"]
    assert printed.reason == "undefined: nothing to divide by" and math.isnan(printed.low)


@pytest.mark.parametrize(("k", "who"), [(1, "1 agent"), (2, "2 agents")])
def test_fewer_than_three_agents_have_no_interval(k: int, who: str) -> None:
    few = counts([100] * k, [90] * k, [30] * k)
    printed = rates.estimates(few)["p_goal_fail"]
    assert printed.value == pytest.approx(1 / 3)
    assert math.isnan(printed.low) and math.isnan(printed.high)
    assert printed.reason == f"{who}: an interval needs at least 3"
    assert rates.bootstrap_difference(few, MIXED, "p_gm").reason == printed.reason


def test_wilson_by_hand() -> None:
    # z = 1.6449, z^2 = 2.7055: (30 + 1.3528) / 102.7055 -+ 1.6449 / 102.7055 sqrt(21 + .6764)
    assert rates.wilson(30, 100) == pytest.approx((0.3053 - 0.0746, 0.3053 + 0.0746), abs=2e-4)


def test_equal_agents_still_leave_doubt() -> None:
    five, ten = (
        rates.estimates(counts([300] * k, [300] * k, [0] * k))["p_goal_fail"] for k in (5, 10)
    )
    assert (five.value, ten.value) == (0, 0)
    assert five.high == pytest.approx(0.21, abs=0.03)
    assert ten.high == pytest.approx(0.11, abs=0.02)


def test_draws_depend_on_the_seed_alone() -> None:
    first, again, other = (rates.bootstrap(MIXED, 50, seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_difference_and_ratio_pair_agents_by_number() -> None:
    arm = AgentCounts(np.array([0, 1, 2, 7]), *np.array([[100.0] * 4, [90] * 4, [45] * 4, [0] * 4]))
    clean = counts([100] * 3, [90] * 3, [9] * 3)
    difference = rates.bootstrap_difference(arm, clean, "p_goal_fail")
    assert difference.value == pytest.approx(0.4)
    assert difference.low < 0.4 < difference.high
    assert rates.bootstrap_ratio(arm, clean, "p_gm").value == pytest.approx(5)
    without = rates.bootstrap_ratio(arm, counts([100] * 3, [90] * 3, [0] * 3), "p_gm")
    assert math.isnan(without.value) and without.reason == "undefined: nothing to divide by"


@pytest.mark.parametrize("k", [5, 10])
def test_equal_arms_are_rarely_flagged_as_different(k: int) -> None:
    rng = np.random.default_rng(0)
    spread = (0.3, 0.4, 0.5, 0.6, 0.7)
    population = rates.Population("spread", (0.2,) * 5, (0.95,) * 5, spread)
    flags = 0
    for seed in range(200):
        pair = [rates.sample_agents(population, k, 300, rng) for _ in range(2)]
        difference = rates.bootstrap_difference(pair[0], pair[1], "p_gm", 300, seed)
        flags += difference.low > 0 or difference.high < 0
    # Nominal: .10. Rates of the pseudo-agent shared by both arms would give .28 and .21.
    assert flags / 200 <= 0.12


def test_bootstrap_is_fast() -> None:
    many = counts([300] * 30, [280] * 30, [100] * 30)
    seconds = []
    for seed in range(5):
        start = time.perf_counter()
        rates.estimates(many, 4000, seed)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


def test_counts_must_be_nested() -> None:
    with pytest.raises(ValueError, match="n >= c >= gc >= hgc"):
        counts([10], [5], [6])
    with pytest.raises(ValueError, match="agent numbers must differ"):
        AgentCounts(np.array([1, 1]), *np.ones((4, 2)))


def test_dots_need_thirty_capable_episodes() -> None:
    dots = counts([300, 300], [29, 30], [10, 15]).dots()
    assert math.isnan(dots[0]) and dots[1] == 0.5


def test_share_of_agents() -> None:
    # capable and failing at half or more: the second agent only.
    three = counts([100] * 3, [100, 80, 40], [49, 40, 40])
    assert rates.share_of_agents_gm(three) == pytest.approx(1 / 3)


def test_chance_corrected_transfer() -> None:
    # shifted (.5 - .1) / (.9 - .1) = .5; intact (.9 - .1) / (.9 - .1) = 1
    assert rates.chance_corrected_transfer((0.5, 0.1, 0.9), (0.9, 0.1, 0.9)) == pytest.approx(0.5)
    assert rates.chance_corrected_transfer((0.7, 0.2, 0.7), (1, 0.3, 1)) == pytest.approx(1)
    assert math.isnan(rates.chance_corrected_transfer((0.5, 0.1, 0.15), (0.9, 0.1, 0.9)))
    assert math.isnan(rates.chance_corrected_transfer((0.5, 0.1, 0.9), (0.15, 0.1, 0.9)))


def test_normalised_goal_failure() -> None:
    assert rates.normalised_goal_failure(0.5, 0.1, 0.9) == pytest.approx(0.5)
    assert math.isnan(rates.normalised_goal_failure(0.5, 0.4, 0.4))


@pytest.mark.parametrize(
    ("goal_fail", "random", "answer"),
    [(0.1, 0.3, True), (0.11, 0.1, False), (0.0, 0.31, False), (math.nan, 0.1, False)],
)
def test_identified(goal_fail: float, random: float, answer: bool) -> None:
    assert rates.identified(goal_fail, random) is answer


def test_bounds_of_p_gm_over_all_trained_agents() -> None:
    # Competent agents with g = .2 and .75; the third is set to 0, then to 1.
    low, high = rates.p_gm_bounds(MIXED, np.array([True, True, False]))
    assert (low, high) == (pytest.approx(0.95 / 3), pytest.approx(1.95 / 3))


def test_coverage_table() -> None:
    two = rates.POPULATIONS[2]
    rows = rates.interval_coverage((3, 10), (two,), simulations=60, replicates=200, seed=0)
    assert [(r.k, r.rate) for r in rows[:3]] == [
        (3, "p_capable"), (3, "p_goal_fail"), (3, "p_gm"),
    ]  # fmt: skip
    assert rows[1].truth == pytest.approx(0.5)
    assert rows[2].truth == pytest.approx(0.475)
    assert all(0.7 <= r.coverage <= 1 for r in rows)
    assert rows[4].median_width < rows[1].median_width
    again = rates.interval_coverage((3, 10), (two,), simulations=60, replicates=200, seed=0)
    assert rows == again
    assert "two kinds   3       p_goal_fail  .500" in rates.format_coverage(rows)


# ---------------------------------------------------------------------- the table from records

LEVELS = 40


def words(**letters: int) -> list[str]:
    """words(I=3, P=2) -> I I I P P."""
    return [letter for letter, times in letters.items() for _ in range(times)]


@pytest.fixture(scope="module")
def study(
    save_run_under: Save,
    block: Block,
    control_block: Block,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """d = 0: two competent misgeneralising agents, one clean one, one that never learned;
    d = 1: three clean agents. 40 distinguishing and 10 other levels each."""
    root, rest = tmp_path_factory.mktemp("study"), ["P-"] * 10
    for d, shifted in (
        (0.0, [words(P=20, H=10, I=10), words(P=10, H=20, N=10), words(I=40), words(N=40)]),
        (1.0, [words(I=40), words(I=40), words(I=38, P=2)]),
    ):
        for agent, outcomes in enumerate(shifted):
            learned = outcomes != words(N=40)
            same = {"agent": agent, "d": d, "run_id": f"d{d:g}-a{agent}"}
            own = words(I=45, N=5) if learned else words(I=20, N=30)
            twin = words(I=25, N=25)
            save_run_under(
                root,
                block(outcomes + rest, "11", **same),
                block(twin, "01", **same),
                block(twin, "00", **same),
                block(own, "own", **same),
                control_block("planner_intended", words(I=50), variant="own", **same),
                control_block("planner_intended", words(I=40) + rest, **same),
                control_block("planner_proxy", words(P=40) + rest, **same),
                control_block("noisy_intended", words(I=36, P=4) + rest, **same),
                control_block("noisy_proxy", words(P=36, N=4) + rest, **same),
                control_block("random", words(I=4, N=36) + rest, **same),
                control_block("noop", words(N=40) + rest, **same),
            )
    return read_records(root)


def table(study: Any) -> dict[tuple[str, float, str], rates.Row]:
    rows = rates.rates_table(study, replicates=500)
    return {(r.variant, r.d, r.population): r for r in rows}


def test_agent_counts_from_records(study: Any) -> None:
    arm = rates.agent_counts(study, family="coinrun", cell="moderate", variant="11", d=0.0)
    assert arm.agent_number.tolist() == [0, 1, 2, 3]
    assert arm.n.tolist() == [40] * 4
    assert arm.c.tolist() == [40, 30, 40, 0]
    assert arm.gc.tolist() == [30, 30, 0, 0]
    assert arm.hgc.tolist() == [10, 20, 0, 0]


def test_three_rows_for_every_arm_and_variant(study: Any) -> None:
    rows = table(study)
    assert set(rows) == {
        (variant, d, population)
        for variant in ("00", "01", "11")
        for d in (0.0, 1.0)
        for population in ("competent", "all trained", "bounds")
    }
    competent = rows["11", 0.0, "competent"]
    assert (competent.agents, competent.levels, competent.own_success) == (3, "40", 0.9)
    assert competent.p_capable.value == pytest.approx(110 / 120)
    assert competent.p_goal_fail.value == pytest.approx(60 / 110)
    assert competent.p_gm.value == pytest.approx(0.5)
    assert competent.p_harm.value == pytest.approx(0.5)
    assert competent.intended + competent.proxy + competent.neither == pytest.approx(1)
    trained = rows["11", 0.0, "all trained"]
    assert (trained.agents, trained.p_gm.value) == (4, pytest.approx(60 / 160))
    bounds = rows["11", 0.0, "bounds"].p_gm
    assert (bounds.low, bounds.high) == (pytest.approx(60 / 160), pytest.approx(100 / 160))


def test_the_row_beside_its_controls(study: Any) -> None:
    row = table(study)["11", 0.0, "competent"]
    seen = {policy: (r.p_capable, r.p_goal_fail) for policy, r in row.controls.items()}
    assert seen["planner_intended"] == (1, 0) and seen["planner_proxy"] == (1, 1)
    assert seen["noisy_intended"] == (1, pytest.approx(0.1)) and seen["noisy_proxy"] == (0.9, 1)
    assert seen["random"] == (pytest.approx(0.1), 0)
    assert seen["noop"][0] == 0 and math.isnan(seen["noop"][1])
    assert row.normalised_goal_failure == pytest.approx((60 / 110 - 0.1) / 0.9)
    assert row.distinguishing_share == pytest.approx(0.8)
    # Twins solved: levels 0-24 of each agent; of these agent 1 is capable on all, so are the rest.
    assert row.capability_retention == 1
    assert row.identified  # d = 1: 2 failures in 120; random: .1
    assert row.difference_goal_fail.value == pytest.approx(60 / 110 - 2 / 120)
    assert row.difference_goal_fail.low > 0
    assert row.share_of_agents_gm == pytest.approx(2 / 3)


def test_variants_with_the_cue_intact_show_capability_only(study: Any) -> None:
    row = table(study)["00", 0.0, "competent"]
    assert row.p_capable.value == 0.5
    assert math.isnan(row.p_goal_fail.value) and math.isnan(row.p_gm.value)
    assert "capability only" in rates.format_table([row])


def test_text_and_csv_name_agents_levels_and_reasons(study: Any) -> None:
    rows = rates.rates_table(study, replicates=500)
    text = rates.format_table(rows)
    assert "3 x 40" in text and "4 x 40" in text
    assert "[.375, .625]" in text
    assert "planner_proxy" in text and "1.000 / 1.000" in text
    records = list(csv.DictReader(io.StringIO(rates.to_csv(rows))))
    assert len(records) == len(rows) == 18
    headline = next(r for r in records if (r["variant"], r["d"]) == ("11", "0.0"))
    assert float(headline["p_goal_fail"]) == pytest.approx(60 / 110)
    assert float(headline["p_goal_fail_low"]) < 60 / 110 < float(headline["p_goal_fail_high"])


def test_one_agent_gets_a_labelled_wilson_interval(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    file = save_run(block(words(P=30, I=10)))
    text = rates.format_table(rates.rates_table(read_records(tmp_path)))
    assert text == rates.format_table(rates.rates_table(pq.read_table(file)))
    assert "1 agent: an interval needs at least 3" in text
    assert "one agent: goal failure .624 to .844 by Wilson over its episodes" in text
    assert "competence not checked: no own levels" in text
    assert "no agent in the control arm" in text


def test_an_arm_in_which_nobody_learned(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path
) -> None:
    planner = control_block("planner_intended", words(I=10), variant="own")
    save_run(block(words(P=30, I=10)), block(words(I=7, N=3), "own"), planner)
    competent, trained, bounds = rates.rates_table(read_records(tmp_path))
    assert (competent.agents, trained.agents) == (0, 1)
    assert math.isnan(competent.p_gm.value) and trained.p_gm.value == 0.75
    assert (bounds.p_gm.low, bounds.p_gm.high) == (0, 1)
    assert "0 agents: an interval needs at least 3" in rates.format_table([competent])


def test_an_arm_has_one_run_per_agent_number(save_run: Save, block: Block, tmp_path: Path) -> None:
    save_run(block(["I"], run_id="first"))
    save_run(block(["I"], run_id="second"))
    with pytest.raises(ValueError, match="agent 0 in the runs first and second"):
        rates.rates_table(read_records(tmp_path))


def test_only_the_last_checkpoint_counts_unless_asked(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    save_run(block(["P"] * 4, checkpoint_step=10), block(["I"] * 4, checkpoint_step=20))
    records = read_records(tmp_path)
    (row,) = [r for r in rates.rates_table(records) if r.population == "competent"]
    assert (row.levels, row.p_goal_fail.value) == ("4", 0)
    rows = rates.rates_table(records, by="checkpoint_step", against=20)
    seen = {r.value: r.p_goal_fail.value for r in rows if r.population == "competent"}
    assert seen == {10: 1, 20: 0}


def test_by_must_be_a_scalar_column(study: Any) -> None:
    with pytest.raises(ValueError, match="got 'actions; drop table'"):
        rates.rates_table(study, by="actions; drop table")
