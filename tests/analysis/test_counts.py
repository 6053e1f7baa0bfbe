"""Counts as a file: they answer what the episodes answer, and parts add up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from misgen.analysis.counts import (
    FILE_NAME,
    counted,
    read_counts,
    read_played,
    shared_levels,
    together,
    write_counts,
)
from misgen.analysis.records import query, read_records
from misgen.analysis.table import rates_table
from misgen.analysis.table_text import to_csv

Save = Callable[..., Path]
Block = Callable[..., dict[str, Any]]


@pytest.fixture
def save(save_run_under: Save, block: Block, control_block: Block, tmp_path: Path) -> Any:
    """save(agent, d, word): an agent that does so on 20 levels, and the planner's block."""

    def save(agent: int, d: float, word: str, folder: str = "all", **changes: Any) -> None:
        same = {"agent": agent, "d": d, "run_id": f"d{d:g}-a{agent}", **changes}
        save_run_under(
            tmp_path / folder,
            *(block([word] * 20, variant, **same) for variant in ("10", "11")),
            *(block(["I"] * 18 + ["N"] * 2, variant, **same) for variant in ("00", "01", "own")),
            block(["N"] * 20, "11", **same, checkpoint_step=500),
            control_block("planner_intended", ["I"] * 20, variant="own", **same),
        )
        lone = {"agent": agent, **changes, "run_id": f"controls-{agent}", "method": "control"}
        if not (tmp_path / folder / lone["run_id"]).exists():
            controls = [
                control_block(policy, ["I"] * solved + ["N"] * (20 - solved), variant=v, **lone)
                for policy, solved in (("planner_intended", 20), ("random", 2))
                for v in ("00", "10", "01", "11")
            ]
            save_run_under(tmp_path / folder, *controls)

    return save


def study(save: Any, agents: range = range(4), folder: str = "all") -> None:
    for agent in agents:
        save(agent, 0.0, "P" if agent else "I", folder)
        save(agent, 1.0, "I", folder)


@pytest.mark.parametrize("by", ["d", "checkpoint_step", "method"])
def test_rates_of_counts_are_those_of_the_episodes(save: Any, tmp_path: Path, by: str) -> None:
    study(save)
    records = read_records(tmp_path / "all")
    against = 1.0 if by == "d" else "ppo"
    write_counts(tmp_path, records)
    expected = to_csv(rates_table(records, by, against))
    assert to_csv(rates_table(read_played(tmp_path), by, against)) == expected
    assert "0.75" in expected  # three of four agents pursue the proxy


def test_the_file_does_not_depend_on_the_order_of_the_episodes(save: Any, tmp_path: Path) -> None:
    study(save)
    records, made = read_records(tmp_path / "all"), []
    for order in ("run_id, level_seed", "level_seed desc, variant, run_id desc"):
        write_counts(tmp_path, records.order(order))
        made.append((tmp_path / FILE_NAME).read_bytes())
    assert made[0] == made[1]


def test_parts_of_a_study_are_together_the_whole(save: Any, tmp_path: Path) -> None:
    study(save)
    study(save, range(2), "first")
    study(save, range(1, 4), "second")  # agent 1 is in both
    whole, first, second = (
        counted(read_records(tmp_path / name)) for name in ("all", "first", "second")
    )
    files = []
    for counts in (whole, together(first, second)):
        write_counts(tmp_path, counts)
        files.append((tmp_path / FILE_NAME).read_bytes())
    assert files[0] == files[1]


def test_what_both_parts_hold_is_the_newer_ones(save: Any, tmp_path: Path) -> None:
    save(0, 0.0, "P", "older")
    save(0, 0.0, "I", "newer", run_id="again")
    older, newer = (counted(read_records(tmp_path / n)) for n in ("older", "newer"))
    sql = "select distinct run_id, goal_failed from records where role = 'agent' and scored > 0"
    where = " and variant = '11' and checkpoint_step = 1000"
    assert query(together(older, newer), sql + where) == [("again", 0)]


def test_parts_of_other_levels_are_refused(save: Any, tmp_path: Path) -> None:
    save(0, 0.0, "P", "older")
    save(1, 0.0, "P", "newer", eval_fingerprint="other")
    older, newer = (counted(read_records(tmp_path / n)) for n in ("older", "newer"))
    with pytest.raises(ValueError, match="compared on the same evaluation"):
        together(older, newer)


def test_levels_that_two_blocks_hold(
    save_run_under: Save, control_block: Block, tmp_path: Path
) -> None:
    for agent, hashes in enumerate(([1, 2, 3, 4, 9], [4, 5, 9], [6, 7, 9])):
        words = ["I"] * (len(hashes) - 1) + ["I-"]  # level 9 does not distinguish
        levels = {"level_hash": np.array(hashes, np.uint64), "run_id": f"run-{agent}"}
        same = {"variant": "11", "agent": agent, **levels}
        save_run_under(tmp_path, control_block("planner_intended", words, **same))
    records = read_records(tmp_path)
    expected = {("coinrun", "C2", "11"): {0: 1 / 4, 1: 1 / 2, 2: 0.0}}
    assert shared_levels(records) == expected
    assert shared_levels(counted(records)) == expected


def test_a_torn_or_foreign_file_is_named(tmp_path: Path) -> None:
    assert read_counts(tmp_path) is None
    (tmp_path / FILE_NAME).write_bytes(b"PAR1 torn")
    with pytest.raises(ValueError, match=r"counts\.parquet cannot be read"):
        read_counts(tmp_path)
    pq.write_table(pa.table({"n": [1]}), tmp_path / FILE_NAME)
    with pytest.raises(ValueError, match=r"counts\.parquet lacks"):
        read_counts(tmp_path)
