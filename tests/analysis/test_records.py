"""The record contract: what is written is read back, and what breaks the contract is named."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.records import (
    SCHEMA,
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
    with pytest.raises(
        ValueError, match=r"d0-a0 is in .*first.* and .*second.*remove the copy .the folder"
    ):
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
        ({"shift_type": "moderat"}, "`shift_type` must be one of"),
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


def test_older_records_are_refused_with_the_command_that_rewrites_them(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    save_run(block(["I"], agent=0))
    file = save_run(block(["I"], agent=1))
    table = pq.read_table(file).drop_columns(["shift_type", "informs_type", "harm_informs"])
    pq.write_table(table.replace_schema_metadata({"schema_version": "2"}), file)
    message = refusal(tmp_path)
    assert (
        f"of schema version 3 can be read; {file} has 2; run `misgen migrate --results FOLDER`"
        in message
    )


def test_rows_of_another_version_are_refused_where_the_footer_says_nothing(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    file = save_run(block(["I"]))
    table = pq.read_table(file).replace_schema_metadata({})
    i = table.column_names.index("schema_version")
    old = table.set_column(i, table.schema.field(i), pa.array([2], pa.int32()))
    pq.write_table(old, file)
    assert f"`schema_version` must be 3; {file} breaks this in row 0" in refusal(tmp_path)


@pytest.mark.parametrize(
    "declared",
    [{"shift_type": "extreme"}, {"informs_type": False}, {"harm_by_construction": True}],
    ids=lambda declared: next(iter(declared)),
)
def test_a_cell_declares_one_thing(
    save_run: Save, block: Block, tmp_path: Path, declared: dict[str, Any]
) -> None:
    save_run(block(["I"], agent=0))
    save_run(block(["I"], agent=1, **declared))
    (name,) = declared
    assert f"all rows of a cell declare one `{name}`; those of coinrun C2" in refusal(tmp_path)
    with pytest.raises(ValueError, match=f"declare one `{name}`"):
        save_run(*(block(["I"], agent=a, **changes) for a, changes in enumerate(({}, declared))))


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


def with_column(file: Path, name: str, values: pa.Array) -> None:
    """Replace a column as another program would: of any type, and it may hold nulls."""
    table = pq.read_table(file)
    i = table.column_names.index(name)
    pq.write_table(table.set_column(i, name, values), file)


def refusal(results: Path) -> str:
    with pytest.raises(ValueError) as error:
        read_records(results)
    return str(error.value)


def test_rows_that_are_in_a_file_twice_are_refused(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    """Appended to themselves, they would double every count of levels."""
    save_run(block(["I", "P"], agent=0))
    file = save_run(block(["I", "P", "N"], agent=1))
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table, table.slice(1)]), file)
    message = refusal(tmp_path)
    assert "every level is played exactly once" in message
    assert f"{file} breaks this in row 3 (from 0), the first of 2" in message


def test_episodes_that_share_a_level_are_not_repeats(
    save_run: Save, block: Block, control_block: Block, tmp_path: Path
) -> None:
    save_run(
        block(["I", "P"]),
        block(["I", "P"], checkpoint_step=2000),
        block(["I", "P"], variant="10"),
        control_block("random", ["I", "P"]),
        control_block("noop", ["I", "P"]),
    )
    save_run(block(["I", "P"], run_id="again"))
    assert query(read_records(tmp_path), "select count(*) from records") == [(12,)]


@pytest.mark.parametrize(
    ("name", "kind"), [("d", "string"), ("capable", "int32"), ("capable", "string")]
)
def test_columns_of_another_type_are_refused(
    save_run: Save, block: Block, tmp_path: Path, name: str, kind: str
) -> None:
    file = save_run(block(["I"]))
    with_column(file, name, pq.read_table(file)[name].cast(kind))
    message = refusal(tmp_path)
    assert f"`{name}` in {file} is {kind}, not {SCHEMA.field(name).type}" in message


def test_text_as_pandas_and_polars_keep_it_is_text(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    file = save_run(block(["I"]))
    with_column(file, "policy", pq.read_table(file)["policy"].cast("large_string"))
    with_column(file, "cell", pq.read_table(file)["cell"].dictionary_encode())
    with_column(file, "actions", pq.read_table(file)["actions"].cast("large_binary"))
    assert read_records(tmp_path).select("policy, cell").fetchall() == [("ppo", "C2")]


def test_a_version_that_is_no_number_names_the_file(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    file = save_run(block(["I"]))
    pq.write_table(pq.read_table(file).replace_schema_metadata({"schema_version": "two"}), file)
    assert f"must be a whole number; {file} has 'two'" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["run_id", "eval_fingerprint", "episode_return"])
def test_a_null_where_none_may_be_names_file_and_row(
    save_run: Save, block: Block, tmp_path: Path, name: str
) -> None:
    save_run(block(["I"], agent=0))
    file = save_run(block(["I", "P", "N"], agent=1))
    kind = SCHEMA.field(name).type
    first = pq.read_table(file)[name][0].as_py()
    rule = f"column `{name}` may not be null; {file} breaks this in row"
    with_column(file, name, pa.array([first, None, None], kind))
    assert f"{rule} 1 (from 0), the first of 2" in refusal(tmp_path)
    with_column(file, name, pa.nulls(3, kind))
    assert f"{rule} 0 (from 0), the first of 3" in refusal(tmp_path)


def test_no_rows_are_refused(save_run: Save, block: Block, tmp_path: Path) -> None:
    save_run(block(["I"], agent=0))
    file = save_run(block(["I"], agent=1))
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    assert f"a record has at least one episode; {file} has none" in refusal(tmp_path)
    with pytest.raises(ValueError, match="at least one episode"):
        write_records(file, block([]), ("coin", "right_end"))


def torn_page(file: Path, name: str) -> None:
    """The footer stays whole; of the column's only page, header and data become 255s."""
    column = pq.read_metadata(file).row_group(0).column(SCHEMA.names.index(name))
    start = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(file.read_bytes())
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("folder", ["it's a run", "run"])
def test_a_torn_page_names_the_file(
    save_run: Save, block: Block, tmp_path: Path, folder: str
) -> None:
    """Some of DuckDB's own messages (`TProtocolException: Invalid data`) do not."""
    save_run(block(["I", "P"], agent=0))
    file = save_run(block(["I", "P"], agent=1), folder=folder)
    torn_page(file, "study")  # read only when it is asked for
    records = read_records(tmp_path)
    assert query(records, "select count(*) from records") == [(4,)]
    with pytest.raises(ValueError, match=r"must be whole; .* cannot be read .*run it again") as at:
        query(records.filter("d = 0"), "select study from records")
    assert str(file) in str(at.value)
    torn_page(file, "variant")  # read at once
    assert f"must be whole; {file} cannot be read" in refusal(tmp_path)


def test_a_wrong_query_is_not_taken_for_a_torn_file(
    save_run: Save, block: Block, tmp_path: Path
) -> None:
    save_run(block(["I"]))
    with pytest.raises(duckdb.BinderException, match="nonsense"):
        query(read_records(tmp_path), "select nonsense from records")


def test_two_evaluations_name_their_files(save_run: Save, block: Block, tmp_path: Path) -> None:
    one = save_run(block(["I"], agent=0))
    other = save_run(block(["I"], agent=1, eval_fingerprint="other"))
    message = refusal(tmp_path)
    assert f"({one})" in message and f"({other})" in message


@pytest.mark.parametrize("name", ["", "nowhere/x.json", "file/x.json"])
def test_a_place_for_no_file_is_named_as_it_was_given(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="make its folder, or name another file") as error:
        atomic_write_bytes(tmp_path / name, b"")
    assert f"{tmp_path / name} cannot be written" in str(error.value)
    assert ".tmp-" not in str(error.value)


def test_a_full_disk_is_no_wrong_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/.tmp-1")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/x'"):
        atomic_write_bytes(tmp_path / "x", b"")
