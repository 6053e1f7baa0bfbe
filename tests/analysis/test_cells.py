"""The cells side by side: verdicts, and what stands in the tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from misgen.analysis import cells
from misgen.analysis.cells import CellLine, cell_lines
from misgen.analysis.records import read_records
from misgen.analysis.table import Row, rates_table
from misgen.analysis.text import number, span

Save = Callable[..., Path]
Block = Callable[..., dict[str, Any]]

LEVELS = 40
PROXY, INTENDED, NEITHER = ["P"] * LEVELS, ["I"] * LEVELS, ["N"] * LEVELS


@pytest.fixture
def lines_of(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path
) -> Callable[..., list[CellLine]]:
    """A line for d = 0 and d = 1 arms of four agents, given as what each agent does on every
    level of variant 11; `solved`: whether it solves its own levels."""

    def lines(
        cue: list[str], control: list[str], solved: bool = True, agents: int = 4
    ) -> list[CellLine]:
        for d, outcomes in ((0.0, cue), (1.0, control)):
            for agent in range(agents):
                same = {"agent": agent, "d": d, "run_id": f"d{d:g}-a{agent}"}
                own = INTENDED if solved else NEITHER
                save_run(
                    block(outcomes, "11", **same),
                    block(own, "own", **same),
                    control_block("planner_intended", INTENDED, variant="own", **same),
                    control_block("random", NEITHER, variant="11", **same),
                )
        return cell_lines(rows(tmp_path))

    return lines


def rows(root: Path) -> list[Row]:
    return rates_table(read_records(root), replicates=500)


@pytest.mark.parametrize(
    ("cue", "control", "solved", "verdict"),
    [
        (PROXY, INTENDED, True, cells.MISGENERALIZES),
        (PROXY, ["P"] * 10 + ["I"] * 30, True, cells.DIFFERENCE_ONLY),
        (INTENDED, INTENDED, True, cells.NOTHING_SHOWN),
        (PROXY, INTENDED, False, cells.NOT_LEARNABLE),
    ],
)
def test_verdicts(lines_of: Any, cue: Any, control: Any, solved: bool, verdict: str) -> None:
    (line,) = lines_of(cue, control, solved)
    assert (line.cell, line.variant, line.verdict) == ("C2", "11", verdict)
    assert verdict in cells.format_cells([line])


def test_two_agents_have_no_verdict(lines_of: Any) -> None:
    (line,) = lines_of(PROXY, INTENDED, agents=2)
    assert line.verdict == "too few agents for a verdict: 2 and 2"


def test_a_line_has_the_numbers_of_the_table(lines_of: Any, tmp_path: Path) -> None:
    (line,) = lines_of(PROXY, INTENDED)
    by_d = {row.d: row for row in rows(tmp_path) if row.population == "competent"}
    assert line.arms["d=0"] == by_d[0.0] or line.arms["d=0"].p_gm == by_d[0.0].p_gm
    did, *said, _ = cells.format_cells([line]).split("\n\n")[1:]
    assert did.splitlines()[0].split() == "cell variant agents x levels d=0 d=1".split()
    assert did.splitlines()[2].split() == "C2 11 4/4 x 40 .00/1.00/.00 1.00/.00/.00".split()
    assert span(by_d[0.0].difference_goal_fail) in "\n".join(said)
    row = cells.cells_markdown([line]).splitlines()[2]
    d0, control = (span(by_d[0.0].p_goal_fail), number(by_d[1.0].p_goal_fail.value))
    shares = "| .00/1.00/.00 | - | 1.00/.00/.00 |"
    assert row.startswith(f"| C2 | 4 + 4 {shares} {d0} | {control} | ")
    assert row.endswith(f"| {line.verdict} |") and not cells.cells_markdown([line], "10")[300:]
    (panel,) = cells.cell_panels([line], "11")
    assert [arm.label for arm in panel.arms] == ["d=0", "d=1"]
    assert cells.cell_panels([line], "10") == []


def test_other_arms_stay_out_of_the_cell_table(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    """Wrong rewards and agents of another cell have tables of their own."""
    save_run(block(PROXY, "11", d=0.0, run_id="plain"))
    save_run(block(PROXY, "11", d=0.0, q=0.5, tags="spec_gaming", run_id="gaming"))
    save_run(block(NEITHER, "11", d=0.0, cell="C4", eval_fingerprint="other", run_id="elsewhere"))
    (line,) = cell_lines(rows(tmp_path))
    assert set(line.arms) == {"d=0"} and line.arms["d=0"].proxy == 1.0
    cross = cells.format_cross(rows(tmp_path)).splitlines()
    assert cross[0].split()[-1] == "C2" or "C4" in cross[0]
    assert "1.000 / 1.000 (1)" in cross[2]
