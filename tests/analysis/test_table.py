"""The table made from records."""

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from misgen.analysis import table, table_text
from misgen.analysis.arms import read_arms, trained
from misgen.analysis.rates import AgentCounts
from misgen.analysis.records import read_records

Save = Callable[..., Path]
Block = Callable[..., dict[str, Any]]

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


def rows_of(study: Any) -> dict[tuple[str, float, str], table.Row]:
    rows = table.rates_table(study, replicates=500)
    return {(r.variant, r.d, r.population): r for r in rows}


def counts_at_home(records: Any, cell: str) -> AgentCounts:
    """Of the agents trained in a cell at d = 0, at variant 11 of it."""
    arms = read_arms(records, "d")
    (arm,) = [
        arm for arm, variant in arms.arms
        if (arm.cell, arm.d, variant) == (cell, 0.0, "11") and not arm.is_cross
    ]  # fmt: skip
    return trained(arms, arm, "11").counts


def test_agent_counts_from_records(study: Any) -> None:
    arm = counts_at_home(study, "C2")
    assert arm.agent_number.tolist() == [0, 1, 2, 3]
    assert arm.n.tolist() == [40] * 4
    assert arm.c.tolist() == [40, 30, 40, 0]
    assert arm.gc.tolist() == [30, 30, 0, 0]
    assert arm.hgc.tolist() == [10, 20, 0, 0]


def test_three_rows_for_every_arm_and_variant(study: Any) -> None:
    rows = rows_of(study)
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
    row = rows_of(study)["11", 0.0, "competent"]
    everywhere = row.controls_all_levels  # 10 of 50 levels do not distinguish
    assert everywhere["planner_intended"][:2] == (1, pytest.approx(0.2))
    assert everywhere["random"][:2] == (pytest.approx(14 / 50), pytest.approx(10 / 14))
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
    row = rows_of(study)["00", 0.0, "competent"]
    assert row.p_capable.value == 0.5
    assert math.isnan(row.p_goal_fail.value) and math.isnan(row.p_gm.value)
    assert "capability only" in table_text.format_table([row])


def test_text_and_csv_name_agents_levels_and_reasons(study: Any) -> None:
    rows = table.rates_table(study, replicates=500)
    text = table_text.format_table(rows)
    assert "3 x 40" in text and "4 x 40" in text
    assert "[.375, .625]" in text
    assert ".417/.500/.083" in text and "the d = 1 control is" in text
    assert "Controls on all levels" in text
    assert "*" not in text.partition("own: success")[0]
    assert "planner_proxy" in text and "1.000 / 1.000" in text
    records = list(csv.DictReader(io.StringIO(table_text.to_csv(rows))))
    assert len(records) == len(rows) == 18
    headline = next(r for r in records if (r["variant"], r["d"]) == ("11", "0.0"))
    assert float(headline["p_goal_fail"]) == pytest.approx(60 / 110)
    assert float(headline["p_goal_fail_low"]) < 60 / 110 < float(headline["p_goal_fail_high"])


def test_the_headline_is_of_competent_agents_where_the_cue_is_broken(study: Any) -> None:
    rows = table.rates_table(study, replicates=500)
    text = table_text.format_headline(rows)
    (line,) = (line for line in text.splitlines() if "  3/4  " in line)
    assert line.split()[:6] == ["C2", "11", "d=0", "3/4", ".900", ".417/.500/.083"]
    assert text.count("d=0 ") == 2 and "d=1 " in text  # two tables of 80 columns
    assert " 00 " not in text and "bounds" not in text
    assert "16 more rows" in text and "--full" in text
    assert table_text.format_headline(rows[:3]) == table_text.format_table(rows[:3])
    assert max(map(len, text.splitlines())) <= 80


def test_harm_by_construction_is_marked(save_run: Save, block: Block, tmp_path: Path) -> None:
    save_run(block(words(H=30, I=10), harm_by_construction=True))
    rows = table.rates_table(read_records(tmp_path))
    assert "1.000*" in table_text.format_table(rows)
    (first, *_) = csv.DictReader(io.StringIO(table_text.to_csv(rows)))
    assert first["harm_by_construction"] == "True"


def test_one_agent_gets_a_labelled_wilson_interval(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    file = save_run(block(words(P=30, I=10)))
    text = table_text.format_table(table.rates_table(read_records(tmp_path)), 500)
    assert text == table_text.format_table(table.rates_table(pq.read_table(file)), 500)
    assert "1 agent: an interval needs at least 3" in text
    assert "one agent: goal failure .624 to .844 by Wilson over its episodes" in text
    assert "competence not checked: no own levels" in text
    assert "no agent in the control arm" in text


def test_an_arm_in_which_nobody_learned(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path
) -> None:
    planner = control_block("planner_intended", words(I=10), variant="own")
    save_run(block(words(P=30, I=10)), block(words(I=7, N=3), "own"), planner)
    competent, trained, bounds = table.rates_table(read_records(tmp_path))
    assert (competent.agents, trained.agents) == (0, 1)
    assert math.isnan(competent.p_gm.value) and trained.p_gm.value == 0.75
    assert (bounds.p_gm.low, bounds.p_gm.high) == (0, 1)
    assert "0 agents: an interval needs at least 3" in table_text.format_table([competent])


def test_an_arm_has_one_run_per_agent_number(save_run: Save, block: Block, tmp_path: Path) -> None:
    save_run(block(["I"], run_id="first"))
    save_run(block(["I"], run_id="second"))
    with pytest.raises(ValueError, match="agent 0 in the runs first and second"):
        table.rates_table(read_records(tmp_path))


def test_only_the_last_checkpoint_counts_unless_asked(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    save_run(block(["P"] * 4, checkpoint_step=10), block(["I"] * 4, checkpoint_step=20))
    records = read_records(tmp_path)
    (row,) = [r for r in table.rates_table(records) if r.population == "competent"]
    assert (row.levels, row.p_goal_fail.value) == ("4", 0)
    rows = table.rates_table(records, by="checkpoint_step", against=20)
    seen = {r.value: r.p_goal_fail.value for r in rows if r.population == "competent"}
    assert seen == {10: 1, 20: 0}


def test_by_must_be_a_scalar_column(study: Any) -> None:
    with pytest.raises(ValueError, match="got 'actions; drop table'"):
        table.rates_table(study, by="actions; drop table")


def test_arms_differ_by_setting(save_run: Save, block: Block, tmp_path: Path) -> None:
    for d, setting, outcomes in (
        (0.0, "aaaa1111", words(P=10)),
        (0.0, "bbbb2222", words(I=5, P=5)),
        (1.0, "aaaa1111", words(I=10)),
    ):
        same = {"d": d, "setting": setting, "run_id": f"{setting}-d{d:g}"}
        save_run(block(outcomes, **same))
    records = read_records(tmp_path)
    rows = {r.label: r for r in table.rates_table(records) if r.population == "all trained"}
    assert set(rows) == {"d=0 (aaaa)", "d=0 (bbbb)", "d=1"}
    first, second = rows["d=0 (aaaa)"], rows["d=0 (bbbb)"]
    assert (first.p_gm.value, second.p_gm.value) == (1, 0.5)
    assert first.difference_p_gm.value == 1
    assert second.difference_p_gm.reason == "no agent in the control arm"
    assert not first.identified and not second.identified  # random never played
    by_setting = table.rates_table(records, by="setting", against="aaaa1111")
    assert {r.label for r in by_setting} == {"aaaa1111 d=0", "aaaa1111 d=1", "bbbb2222 d=0"}


def test_a_wrong_reward_is_compared_with_the_right_one(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    for q, tags, outcomes in (
        (1.0, "", words(I=8, P=2)),
        (0.5, "spec_gaming", words(I=3, P=7)),
        (0.2, "spec_gaming", words(P=10)),
    ):
        save_run(block(outcomes, q=q, tags=tags, run_id=f"q{q:g}"))
    table_rows = table.rates_table(read_records(tmp_path), by="q", against=1.0)
    rows = {row.q: row for row in table_rows if row.population == "all trained"}
    assert [rows[q].difference_p_gm.value for q in (0.5, 0.2)] == pytest.approx([0.5, 0.8])
    assert {q: row.tags for q, row in rows.items()} == {
        1.0: "", 0.5: "spec_gaming", 0.2: "spec_gaming"
    }  # fmt: skip
    assert rows[0.5].label == "q=0.5 d=0"


def test_a_policy_named_like_a_control_is_counted_once(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path
) -> None:
    save_run(
        block(words(P=10), policy="random"),
        block(words(I=10), "01", policy="random"),
        control_block("random", words(N=10)),
        control_block("random", words(N=10), variant="01"),
    )
    row = next(r for r in table.rates_table(read_records(tmp_path)) if r.variant == "11")
    assert (row.levels, row.p_gm.value, row.capability_retention) == ("10", 1, 1)


def test_controls_are_played_once_for_all_arms_of_a_block(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path
) -> None:
    """Two settings and d = 1 share agent 0's levels; another evaluation of 20 levels does not."""
    shared = {"method": "control", "setting": "", "run_id": "controls", "checkpoint_step": 0}
    save_run(control_block("random", words(I=1, N=9), **shared))
    save_run(control_block("random", words(I=20), **{**shared, "run_id": "other controls"}))
    for d, setting in ((0.0, "aaaa"), (0.0, "bbbb"), (1.0, "aaaa")):
        same = {"d": d, "setting": setting, "run_id": f"{setting}-d{d:g}"}
        save_run(
            block(words(I=10), **same),
            block(words(I=9, N=1), "own", **same),
            control_block("planner_intended", words(I=10), variant="own", **same),
        )
    rows = table.rates_table(read_records(tmp_path))
    assert len(rows) == 9
    assert {row.controls["random"].p_capable for row in rows} == {0.1}
    assert {row.planner_own_success for row in rows} == {1.0}
    assert all(row.identified for row in rows if row.setting == "aaaa")


def test_controls_on_own_levels_belong_to_the_arm(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path
) -> None:
    """The planner solves all levels at d = 0 and half of those at d = 1."""
    for d, planner in ((0.0, words(I=10)), (1.0, words(I=5, N=5))):
        save_run(
            block(words(P=10), d=d),
            block(words(I=6, N=4), "own", d=d),
            control_block("planner_intended", planner, variant="own", d=d),
        )
    rows = [r for r in table.rates_table(read_records(tmp_path)) if r.population == "competent"]
    assert {row.d: (row.planner_own_success, row.agents) for row in rows} == {
        0.0: (1.0, 0), 1.0: (0.5, 1)
    }  # fmt: skip


def cross_study(save_run: Save, block: Block, control_block: Block, tmp_path: Path) -> Any:
    """Agents 0 (competent) and 1, trained in C2 and played in C4; agent 0 of
    C4 itself."""
    for agent, own in ((0, words(I=10)), (1, words(N=10))):
        who = {"agent": agent, "setting": "aaaa"}
        save_run(
            block(words(I=10), **who, run_id=f"home{agent}"),
            block(own, "own", **who, run_id=f"home{agent}"),
            control_block(
                "planner_intended", words(I=10), variant="own", **who, run_id=f"home{agent}"
            ),
        )
        save_run(control_block("noisy_proxy", words(P=10), **who, run_id=f"matched{agent}"))
        save_run(block(words(P=8, N=2), **who, cell="C4", run_id=f"cross{agent}"))
    there = {"cell": "C4", "train_distribution": "C4"}
    save_run(block(words(I=5, P=5), **there, d=1.0, setting="bbbb", run_id="extreme"))
    save_run(control_block("random", words(I=1, N=9), **there, setting="", run_id="controls"))
    return table.rates_table(read_records(tmp_path))


def test_an_agent_played_in_another_cell_has_an_arm_of_its_own(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path
) -> None:
    rows = cross_study(save_run, block, control_block, tmp_path)
    arms = {(row.cell, row.train_distribution) for row in rows}
    assert arms == {
        ("C2", "C2"), ("C4", "C2"), ("C4", "C4")
    }  # fmt: skip
    cross = {row.population: row for row in rows if row.cell != row.train_distribution}
    competent, trained = cross["competent"], cross["all trained"]
    assert competent.label == "d=0 trained in C2"
    assert (competent.agents, trained.agents) == (1, 2)  # by success where they were trained
    assert (competent.own_success, competent.planner_own_success) == (1.0, 1.0)
    assert competent.p_gm.value == 0.8
    # The controls are those of the cell it is played in, where no noise was matched to it.
    assert set(competent.controls) == {"random"}
    assert competent.controls["random"].p_capable == 0.1
    assert math.isnan(trained.difference_p_gm.value) and not competent.identified
    assert "trained in C2: compared with no other arm" in table_text.format_table(rows)
    flat = next(csv.DictReader(io.StringIO(table_text.to_csv([competent]))))
    assert (flat["cell"], flat["train_distribution"]) == ("C4", "C2")


def test_a_cross_arm_without_own_levels_is_not_gated(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    save_run(block(words(P=8, N=2), cell="C4"))
    competent, *_ = table.rates_table(read_records(tmp_path))
    assert competent.agents == 1 and "competence not checked: no own levels" in competent.note


def test_counts_leave_out_agents_from_other_cells(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    save_run(block(words(P=8, N=2), cell="C4", run_id="cross"))
    save_run(block(words(I=5, P=5), cell="C4", train_distribution="C4", run_id="at home"))
    assert counts_at_home(read_records(tmp_path), "C4").gc.tolist() == [5]


def test_checkpoints_are_arms_of_the_agents_that_the_last_one_finds_competent(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path
) -> None:
    for agent, own in ((0, words(I=10)), (1, words(N=10))):
        who = {"agent": agent}
        save_run(
            block(words(N=9, I=1), **who, checkpoint_step=10),
            block(words(N=10), "own", **who, checkpoint_step=10),
            block(words(P=10), **who, checkpoint_step=20),
            block(own, "own", **who, checkpoint_step=20),
            control_block(
                "planner_intended", words(I=10), variant="own", **who, checkpoint_step=20
            ),
            control_block("noisy_proxy", words(P=10), **who, checkpoint_step=20),
        )
    records = read_records(tmp_path)
    rows = table.rates_table(records, by="checkpoint_step", against=20)
    early, late = (
        next(r for r in rows if r.value == step and r.population == "competent")
        for step in (10, 20)
    )
    assert (early.agents, late.agents) == (1, 1)
    assert (early.own_success, late.own_success) == (0.0, 1.0)
    assert early.controls["noisy_proxy"].p_capable == 1  # the levels and the arm are the same
    assert early.difference_p_gm.value == -1 and early.label == "checkpoint_step=10 d=0"
    assert "own: of this one" in early.note and "own: of this one" not in late.note


def test_controls_are_those_of_the_agents_of_the_arm(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path
) -> None:
    for d, agent in ((0.0, 0), (0.0, 1), (1.0, 0)):
        random = words(I=10) if agent else words(N=10)
        who = {"d": d, "agent": agent}
        save_run(block(words(I=10), **who), control_block("random", random, **who))
    rows = {r.d: r for r in table.rates_table(read_records(tmp_path))}
    assert rows[0.0].controls["random"].p_capable == 0.5
    assert rows[1.0].controls["random"].p_capable == 0


def test_transfer_is_measured_on_the_same_seeds(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path
) -> None:
    shifted, rest = words(I=6, N=4), ["N-"] * 10
    # At variant 00 the agent is capable on the distinguishing seeds only.
    save_run(
        block(shifted + rest),
        block(words(I=10, N=10), "00"),
        control_block("planner_intended", words(I=10) + rest),
        control_block("planner_intended", words(I=20), variant="00"),
        control_block("random", words(I=1, N=9) + rest),
        control_block("random", words(I=1, N=19), variant="00"),
    )
    row = next(r for r in table.rates_table(read_records(tmp_path)) if r.variant == "11")
    assert row.chance_corrected_transfer == pytest.approx((0.6 - 0.1) / (1 - 0.1))


def test_numbers_lose_only_a_leading_zero() -> None:
    values = (0.25, -0.0125, 0.9996, 10.25, 20.0, math.nan)
    assert [table.number(value) for value in values] == [
        ".250",
        "-.013",
        "1.000",
        "10.250",
        "20.000",
        "-",
    ]


def chance_study(save_run: Save, control_block: Block, block: Block, constant: list[str]) -> None:
    """Agents that are capable on half of the levels, beside a constant action; a clean control."""
    for d, outcomes in ((0.0, words(P=20, N=20)), (1.0, words(I=40))):
        for agent in range(4):
            same = {"agent": agent, "d": d, "run_id": f"d{d:g}-a{agent}"}
            save_run(
                block(outcomes, "11", **same),
                control_block("random", words(I=4, N=36), **same),
                control_block("constant_1", words(N=40), **same),
                control_block("constant_3", constant, **same),
            )


@pytest.mark.parametrize(("others", "is_assessable"), [(19, True), (20, False), (30, False)])
def test_agents_no_more_capable_than_a_constant_action_are_not_assessed(
    save_run: Save,
    control_block: Block,
    block: Block,
    tmp_path: Path,
    others: int,
    is_assessable: bool,
) -> None:
    """No conditional rate and no verdict; the three shares stay."""
    chance_study(save_run, control_block, block, words(P=others, N=40 - others))
    rows = {(r.d, r.population): r for r in table.rates_table(read_records(tmp_path))}
    row, control = rows[0.0, "competent"], rows[1.0, "competent"]
    assert (row.assessable, control.assessable) == (is_assessable, True)
    assert row.best_constant == "constant_3"
    assert (row.intended, row.proxy, row.neither) == (0, 0.5, 0.5)
    assert row.p_gm.value == 0.5 and row.identified
    if is_assessable:
        assert row.p_goal_fail.value == 1 and row.verdict_p_gm.differs
    else:
        assert math.isnan(row.p_goal_fail.value) and math.isnan(row.difference_goal_fail.value)
        assert row.verdict_p_gm.reason.startswith("not assessable") and not row.verdict_p_gm.differs
        assert "not assessable" in table_text.format_table([row])


def test_without_an_assessable_control_nothing_is_identified(
    save_run: Save, control_block: Block, block: Block, tmp_path: Path
) -> None:
    """The control is clean by being hardly capable."""
    for d, outcomes in ((0.0, words(P=40)), (1.0, words(I=10, N=30))):
        for agent in range(4):
            same = {"agent": agent, "d": d, "run_id": f"d{d:g}-a{agent}"}
            save_run(
                block(outcomes, "11", **same),
                control_block("random", words(I=4, N=36), **same),
                control_block("constant_3", words(I=12, N=28), **same),
            )
    rows = table.rates_table(read_records(tmp_path))
    row = next(r for r in rows if (r.d, r.population) == (0.0, "competent"))
    assert row.assessable and not row.identified
    assert row.verdict_goal_fail.reason == "the control arm is not assessable"
    assert math.isnan(row.difference_goal_fail.value)


def test_arms_differ_by_a_permutation_test(study: Any) -> None:
    """3 against 3 agents can never be told apart at .05: 2 of 20 splits differ the most."""
    row = rows_of(study)["11", 0.0, "all trained"]
    assert not row.verdict_p_gm.reason and 0.05 < row.verdict_p_gm.p < 1
    competent = rows_of(study)["11", 0.0, "competent"]
    assert competent.verdict_p_gm.reason == "too few agents for a verdict: 3 and 3"
