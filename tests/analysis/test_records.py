"""The record contract: what is written is read back, and what breaks the contract is named."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.records import (
    SCHEMA,
    atomic_write_bytes,
    event_names,
    query,
    read_records,
    write_records,
    write_slim,
)

Save = Callable[..., Path]
Block = Callable[..., dict[str, Any]]


def test_a_run_is_read_back_with_every_column(save_run: Save, block: Block, tmp_path: Path) -> None:
    file = save_run(block(["I", "P", "N-"]))
    records = read_records(tmp_path)
    assert records.columns == SCHEMA.names
    rows = records.select("level_seed, capable, goal_failure, is_distinguishing, noop_return, tags")
    assert rows.fetchall() == [
        (0, True, False, True, None, ""),
        (1, True, True, True, None, ""),
        (2, False, None, False, None, ""),
    ]
    assert event_names(file) == ("coin", "right_end")
    assert pq.read_schema(file).field("level_hash").type == "uint64"


def test_only_runs_with_done_json_are_read(save_run: Save, block: Block, tmp_path: Path) -> None:
    save_run(block(["I"], agent=0))
    save_run(block(["I"], agent=1), done=False)
    (tmp_path / "d0-a0" / ".tmp-1-episodes.parquet").write_bytes(b"torn")
    assert read_records(tmp_path).select("run_id").fetchall() == [("d0-a0",)]


def test_folder_names_never_become_columns(save_run: Save, block: Block, tmp_path: Path) -> None:
    save_run(block(["I"], d=0.5), folder="d=7/seed=[1]")
    assert read_records(tmp_path).select("d").fetchall() == [(0.5,)]


def test_a_torn_file_is_named(save_run: Save, block: Block, tmp_path: Path) -> None:
    save_run(block(["I"], agent=0))
    torn = save_run(block(["I"], agent=1))
    torn.write_bytes(torn.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"d0-a1/episodes\.parquet cannot be read.*run it again"):
        read_records(tmp_path)


def test_bad_results_folders(save_run: Save, block: Block, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere does not; run an experiment first"):
        read_records(tmp_path / "nowhere")
    file = save_run(block(["I"]), done=False)
    with pytest.raises(ValueError, match="is a file; name the folder"):
        read_records(file)
    with pytest.raises(ValueError, match="has none, and 1 unfinished"):
        read_records(tmp_path)


def test_missing_columns_and_newer_versions(save_run: Save, block: Block, tmp_path: Path) -> None:
    file = save_run(block(["I"]))
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["harm", "q"]), file)
    with pytest.raises(ValueError, match=r"episodes\.parquet lacks \['q', 'harm'\]"):
        read_records(tmp_path)
    pq.write_table(table.replace_schema_metadata({"schema_version": "99"}), file)
    with pytest.raises(ValueError, match=r"episodes\.parquet has 99; update misgen"):
        read_records(tmp_path)


def test_one_run_in_two_folders(save_run: Save, block: Block, tmp_path: Path) -> None:
    save_run(block(["I"]), folder="first")
    save_run(block(["I"]), folder="second")
    with pytest.raises(ValueError, match=r"d0-a0 is in .*first.* and .*second.*remove the copy"):
        read_records(tmp_path)


def test_two_evaluations_do_not_mix(save_run: Save, block: Block, tmp_path: Path) -> None:
    save_run(block(["I"], agent=0))
    save_run(block(["I"], agent=1, eval_fingerprint="other"))
    with pytest.raises(ValueError, match=r"variant 11, run d0-a0 has .*fingerprint-11.* run d0-a1"):
        read_records(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant": "12"}, "`variant` must be one of"),
        ({"role": "agnet"}, "`role` must be one of"),
        ({"variant": "00", "is_distinguishing": None}, "only where the cue is broken"),
        ({"capable": None}, "a distinguishing level needs `capable`"),
        ({"goal_failure": None}, "and `goal_failure` if capable"),
        ({"event_counts": np.ones((2, 3), np.int64)}, "needs 2 entries, one per event name"),
        ({"level_seed": [5, 5]}, "every level is played exactly once; 2 rows break this"),
        ({"level_seed": [5]}, "one common length"),
        ({"q": np.nan}, "column `q` may not be null; 2 values are"),
        ({"q": "high"}, "column `q` must be double"),
        ({"reward": 1.0}, r"unknown \['reward'\]"),
    ],
)
def test_wrong_rows_are_refused(
    changes: dict[str, Any], message: str, block: Block, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        write_records(tmp_path / "e.parquet", block(["I", "P"]) | changes, ("coin", "right_end"))
    assert not list(tmp_path.iterdir())


def test_a_missing_column_is_named(block: Block, tmp_path: Path) -> None:
    columns = block(["I"])
    del columns["harm"]
    with pytest.raises(ValueError, match=r"missing \['harm'\]"):
        write_records(tmp_path / "e.parquet", columns, ("coin", "right_end"))


def test_masked_entries_and_nan_are_null(block: Block, tmp_path: Path) -> None:
    death, back = np.ma.array([3, 0], mask=[False, True]), np.array([1, np.nan])
    columns = block(["I", "I"], tau_death=death, noop_return=back)
    write_records(tmp_path / "e.parquet", columns, ("coin", "right_end"))
    table = pq.read_table(tmp_path / "e.parquet")
    assert table["tau_death"].to_pylist() == [3, None]
    assert table["noop_return"].to_pylist() == [1, None]


def test_atomic_write_replaces_whole_files_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "done.json"
    atomic_write_bytes(path, b"old")
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    monkeypatch.setattr(os, "replace", _fail)
    with pytest.raises(OSError, match="disk full"):
        atomic_write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["done.json"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _fail(*_: Any) -> None:
    raise OSError("disk full")


def test_reading_and_rates_need_neither_torch_nor_numba_nor_matplotlib() -> None:
    code = """import sys, analysis.records, analysis.hierarchy.coverage
heavy = {"torch", "numba", "matplotlib", "gymnasium", "envs", "agents", "experiments"}
print(sorted(heavy & set(sys.modules)))"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_copies_beside_the_runs_are_not_read(save_run: Save, block: Block, tmp_path: Path) -> None:
    save_run(block(["I", "P"]), folder="runs/kind=evaluate/run=a")
    save_run(block(["I", "P"]), folder="cells/records/C2")
    assert query(read_records(tmp_path), "select count(*) from records") == [(2,)]
    assert query(read_records(tmp_path / "cells"), "select count(*) from records") == [(2,)]


def test_slim_records_keep_all_but_actions_and_late_counts(save_run, block, tmp_path):
    save_run(block(["I", "P", "N"], variant="10"), block(["H", "I", "I"], variant="11"))
    records, events = read_records(tmp_path), ("coin", "right_end")
    slim = [tmp_path / name / "episodes.parquet" for name in ("slim", "again")]
    write_slim(slim[0], records, events)
    write_slim(slim[1], records.order("level_seed desc, variant desc"), events)
    assert slim[0].read_bytes() == slim[1].read_bytes()
    left_out = {"actions": b"", "event_counts": []}
    expected = [{**row, **left_out} for row in records.to_arrow_table().to_pylist()]
    order = ("variant", "level_seed")
    assert pq.read_table(slim[0]).to_pylist() == sorted(
        expected, key=lambda row: tuple(row[name] for name in order)
    )
    assert event_names(slim[0]) == events


def test_mixed_schema_versions_name_the_files(save_run: Save, block: Block, tmp_path: Path) -> None:
    old, new = (save_run(block(["I"], agent=agent)) for agent in (0, 1))
    table = pq.read_table(old)
    i = table.column_names.index("schema_version")
    versions = pa.array([1] * len(table), pa.int32())
    table = table.set_column(i, table.schema.field(i), versions)
    pq.write_table(table.replace_schema_metadata({"schema_version": "1"}), old)
    with pytest.raises(ValueError, match=f"found 1 .{old}. and 2 .{new}.; evaluate the older"):
        read_records(tmp_path)


def test_a_row_that_was_changed_later_is_named(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    save_run(block(["I"], agent=0))
    changed = save_run(block(["I", "P", "P"], agent=1))
    table = pq.read_table(changed)
    i = table.column_names.index("goal_failure")
    unknown = pa.array([False, True, None])
    pq.write_table(table.set_column(i, table.schema.field(i), unknown), changed)
    with pytest.raises(ValueError, match=f"if capable; {changed} .* row 2 .from 0."):
        read_records(tmp_path)
