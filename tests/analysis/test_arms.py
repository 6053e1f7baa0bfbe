"""Whether rates may be quoted: one rule for tables, comparisons, modifiers and calibration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from misgen.analysis.arms import doubts, read_arms
from misgen.analysis.calibration.measured import measure_cells
from misgen.analysis.modifiers.cells import read_cells
from misgen.analysis.records import read_records
from misgen.analysis.table import rates_table

Save = Callable[..., Path]
Block = Callable[..., dict[str, Any]]

LEVELS = 20


@pytest.mark.parametrize(
    ("capable", "failed", "random", "reasons"),
    [
        (20, 2, 6, []),
        (20, 3, 6, ["goal failure 0.15 of the control exceeds 0.1"]),
        (20, 0, 7, ["a random policy is capable on 0.35 > 0.3"]),
        (20, 0, None, ["no random policy was evaluated"]),
        (6, 0, 6, ["the d = 1 control arm is no more capable than chance"]),
        (0, 0, None, [
            "no competent agent, or no capable episode, in the d = 1 control arm",
            "no random policy was evaluated",
        ]),
        (None, 0, 6, ["no d = 1 control arm"]),
    ],
)  # fmt: skip
def test_one_rule_says_whether_a_cell_is_identified(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path,
    capable: int | None, failed: int, random: int | None, reasons: list[str],
) -> None:  # fmt: skip
    """The d = 1 agents are capable and fail on so many of 20 levels, random is capable on so
    many."""
    for d in (0.1, 1.0):
        hits = LEVELS if d < 1 else capable
        if hits is None:
            continue
        for agent in range(3):
            same = {"agent": agent, "d": d, "run_id": f"d{d:g}-a{agent}"}
            wrong = failed if d == 1 else 0
            outcomes = ["P"] * wrong + ["I"] * (hits - wrong) + ["N"] * (LEVELS - hits)
            blocks = [block(outcomes, "11", **same)]
            if random is not None:
                chance = ["I"] * random + ["N"] * (LEVELS - random)
                blocks.append(control_block("random", chance, **same))
            save_run(*blocks)
    records = read_records(tmp_path)
    arms = read_arms(records, "d")
    reference = next(arm for arm, _ in arms.arms if arm.d == 0.1)
    assert doubts(arms, reference.at("d", 1.0, "d"), "11") == reasons
    rows = rates_table(records, replicates=100)
    assert {row.identified for row in rows} == {not reasons}
    assert [cell.identified for cell in read_cells(records, "11")] == [not reasons]
    (cell,) = measure_cells(records)
    assert [r for r in cell.reasons if "identified" in r] == [
        f"not identified: {reason}" for reason in reasons
    ]
