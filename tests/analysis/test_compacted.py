"""The copy of many runs' episodes: it says what the runs say, whatever has become of either."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from misgen.analysis import compacted
from misgen.analysis.compacted import LEFT_OVER_S, compact, copies_of
from misgen.analysis.record_schema import COMPACT, SCHEMA
from misgen.analysis.records import query, read_records

Save = Callable[..., Path]
Block = Callable[..., dict[str, Any]]


@pytest.fixture
def results(save_run: Save, block: Block, tmp_path: Path) -> Path:
    """Three runs of agents 0 to 2."""
    for agent in range(3):
        save_run(block(["I", "P", "N-"], agent=agent), folder=f"runs/it's {agent}")
    return tmp_path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that were read from their own files."""
    runs: list[str] = []
    original = compacted.open_files

    def open_files(files: Sequence[Path]) -> Any:
        runs.extend(file.parent.name for file in files)
        return original(files)

    monkeypatch.setattr(compacted, "open_files", open_files)
    return runs


def rows(results: Path) -> Counter[tuple[Any, ...]]:
    order = ", ".join(f"{name}::varchar" for name in SCHEMA.names)
    return Counter(query(read_records(results), f"select {order} from records"))


def test_the_copy_says_what_the_runs_say(results: Path, opened: list[str]) -> None:
    before = rows(results)
    opened.clear()
    types = read_records(results).types
    file, runs = compact(results)
    assert (file.parent, runs) == (results / COMPACT, 3)
    opened.clear()
    assert rows(results) == before and not opened
    assert read_records(results).types == types
    assert [*pq.read_schema(file).names] == [*SCHEMA.names, "file"]
    assert compact(results) == (file, 3)  # there is nothing new


def test_what_has_changed_since_is_read_from_the_runs(
    results: Path, opened: list[str], save_run: Save, block: Block
) -> None:
    compact(results)
    save_run(block(["P"], agent=1), folder="runs/it's 1")  # evaluated again
    save_run(block(["P"], agent=3), folder="runs/new")
    (results / "runs/it's 2/done.json").unlink()  # begun again
    opened.clear()
    found = query(
        read_records(results), "select agent_number, count(*) from records group by 1 order by 1"
    )
    assert found == [(0, 3), (1, 1), (3, 1)]
    assert opened == ["it's 1", "new"]
    file, _ = compact(results)
    opened.clear()
    assert sum(rows(results).values()) == 5 and not opened
    assert [*(results / COMPACT).iterdir()] == [file]


def test_runs_may_move_with_their_copy(
    results: Path, opened: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = rows(results)
    compact(results)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "results"
    results.rename(elsewhere)
    opened.clear()
    assert rows(elsewhere) == before and not opened
    elsewhere.rename(results)


@pytest.mark.parametrize("damage", ["empty", "torn", "old", "not ours"])
def test_a_copy_that_cannot_be_read_is_ignored(
    damage: str, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(results)
    file, _ = compact(results)
    if damage == "empty":
        file.write_bytes(b"")
    elif damage == "torn":
        file.write_bytes(file.read_bytes()[:-9])
    elif damage == "old":
        monkeypatch.setattr(compacted, "SCHEMA_VERSION", 99)
    else:
        pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
    assert rows(results) == before


def test_a_copy_with_torn_data_is_named(results: Path) -> None:
    file, _ = compact(results)
    data = file.read_bytes()
    file.write_bytes(data[:4] + bytes(600) + data[604:])
    with pytest.raises(
        ValueError, match=r"compact/\w+\.parquet cannot be read .*delete it: `misgen"
    ):
        rows(results)


def test_bad_records_are_not_copied(results: Path, save_run: Save, block: Block) -> None:
    save_run(block(["I"], agent=0), folder="runs/twice")
    with pytest.raises(ValueError, match="a run id belongs to one folder"):
        compact(results)
    assert not copies_of(results)


def test_where_it_cannot_be_written_nothing_is_left(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(results)

    def full(*_: object) -> None:
        raise compacted.duckdb.IOException("IO Error: no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match=r"\w+\.parquet cannot be written \(IO Error: no space"):
        compact(results)
    assert not [*(results / COMPACT).iterdir()] and rows(results) == before


def test_who_reads_one_copy_does_not_see_the_next(
    results: Path, save_run: Save, block: Block
) -> None:
    """Records are read lazily: what was opened before does not hold a new run twice."""
    compact(results)
    save_run(block(["P"], agent=3), folder="runs/new")
    records = read_records(results)
    compact(results)
    with pytest.raises(ValueError, match=r"cannot be read .*try again"):
        query(records, "select count(*) from records")
    assert query(read_records(results), "select count(*) from records") == [(10,)]


def test_what_killed_writers_left_is_removed_once_it_is_old(results: Path) -> None:
    (results / COMPACT).mkdir()
    old, young = (results / COMPACT / f".tmp-{name}-x.parquet" for name in ("1", "2"))
    for left in (old, young):
        left.write_bytes(b"torn")
    os.utime(old, (time.time() - 2 * LEFT_OVER_S,) * 2)
    compact(results)
    assert young.exists() and not old.exists()


COMPACT_FOREVER = """
import os, sys
from pathlib import Path
from misgen.analysis.compacted import compact
file = next(Path(sys.argv[1]).rglob("episodes.parquet"))
for k in range(10**9):
    os.utime(file, ns=(k, k))  # so that there is something to do
    compact(Path(sys.argv[1]))
    print("compacted", flush=True)
"""


def test_killed_at_any_moment_no_episode_is_lost_or_doubled(results: Path) -> None:
    before = rows(results)
    for pause in (0.0, 0.02, 0.04):
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
        command = [sys.executable, "-c", COMPACT_FOREVER, str(results)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
            assert writer.stdout is not None and writer.stdout.readline()
            time.sleep(pause)
            writer.kill()
        assert rows(results) == before
