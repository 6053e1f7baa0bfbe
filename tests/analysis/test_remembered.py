"""Files of records that were checked before are not read again, unless they may have changed."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from misgen.analysis import remembered
from misgen.analysis.record_checks import Seen
from misgen.analysis.records import query, read_records
from misgen.analysis.remembered import checked, record_files

Save = Callable[..., Path]
Block = Callable[..., dict[str, Any]]


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(root))
    return remembered.cache_folder()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose files were read through, in order."""
    runs: list[str] = []

    def check(files: Sequence[Path]) -> dict[Path, list[Seen]]:
        runs.extend(file.parent.name for file in files)
        return original(files)

    original = remembered.check_files
    monkeypatch.setattr(remembered, "check_files", check)
    return runs


@pytest.fixture
def results(save_run: Save, block: Block, cache: Path, tmp_path: Path) -> Path:
    save_run(block(["I"]), folder="a")
    save_run(block(["P"], agent=1), folder="b")
    return tmp_path


def check(results: Path) -> dict[Path, list[Seen]]:
    return checked(results, record_files(results))


def test_files_are_read_once(results: Path, read: list[str]) -> None:
    first = check(results)
    assert read == ["a", "b"]
    assert check(results) == first and read == ["a", "b"]
    (seen,) = first[results / "a" / "episodes.parquet"]
    assert (seen.family, seen.cell, seen.variant, seen.runs) == ("coinrun", "C2", "11", ["d0-a0"])


def test_a_changed_and_a_new_file_are_read(
    results: Path, read: list[str], save_run: Save, block: Block
) -> None:
    check(results)
    save_run(block(["P", "P"], agent=1), folder="b")
    save_run(block(["I"], agent=2), folder="c")
    check(results)
    assert read[2:] == ["b", "c"]


def test_a_file_of_equal_size_is_read_where_its_time_differs(
    results: Path, read: list[str]
) -> None:
    check(results)
    file = results / "b" / "episodes.parquet"
    torn = bytes(byte ^ 1 for byte in file.read_bytes())
    before = file.stat()
    file.write_bytes(torn)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(ValueError, match=r"b/episodes\.parquet cannot be read"):
        check(results)
    assert read[2:] == ["b"]


def test_a_file_that_changes_while_it_is_read_is_read_again(
    results: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = remembered.check_files

    def check_slowly(files: Sequence[Path]) -> dict[Path, list[Seen]]:
        for file in files:
            os.utime(file, ns=(1, 1))
        return original(files)

    with monkeypatch.context() as patch:
        patch.setattr(remembered, "check_files", check_slowly)
        check(results)
    check(results)
    assert read == ["a", "b", "a", "b"]


def test_a_file_that_is_gone_is_forgotten(results: Path, cache: Path) -> None:
    check(results)
    (results / "b" / "done.json").unlink()
    check(results)
    (kept,) = cache.iterdir()
    assert [Path(name).parent.name for name in json.loads(kept.read_bytes())] == ["a"]


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"\xff", b'{"x": 1}'])
def test_a_damaged_cache_is_ignored_and_replaced(
    damaged: bytes, results: Path, read: list[str], cache: Path
) -> None:
    first = check(results)
    (kept,) = cache.iterdir()
    kept.write_bytes(damaged)
    assert check(results) == first and read == ["a", "b"] * 2
    assert check(results) == first and len(read) == 4


def test_entries_of_another_form_are_ignored(results: Path, read: list[str], cache: Path) -> None:
    first = check(results)
    (kept,) = cache.iterdir()
    entries = json.loads(kept.read_bytes())
    one, other = entries
    entries[one] = 7
    entries[other]["seen"] = [["coinrun"]]
    kept.write_text(json.dumps(entries))
    assert check(results) == first and read == ["a", "b"] * 2


def test_files_that_other_rules_checked_are_read(
    results: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(results)
    monkeypatch.setattr(remembered, "_rules", lambda: "others")
    check(results)
    assert read == ["a", "b"] * 2


@pytest.mark.parametrize("place", ["/proc/nowhere", "a file"])
def test_where_no_cache_can_be_kept_files_are_read_each_time(
    place: str, results: Path, read: list[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    if place == "a file":
        file = tmp_path_factory.mktemp("cache") / "file"
        file.write_bytes(b"")
        place = str(file)
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    assert check(results) == check(results)
    assert read == ["a", "b"] * 2


def test_nothing_is_written_into_the_results(results: Path, cache: Path) -> None:
    def listed() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in results.rglob("*")}

    before = listed()
    assert query(read_records(results), "select count(*) from records") == [(2,)]
    assert listed() == before and len([*cache.iterdir()]) == 1


def test_the_oldest_caches_are_removed(
    results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "KEPT", 2)
    cache.mkdir(parents=True)
    for age in range(3):
        file = cache / f"{age}.json"
        file.write_text("{}")
        os.utime(file, (age, age))
    check(results)
    assert len([*cache.iterdir()]) == 2 and (cache / "2.json").is_file()
