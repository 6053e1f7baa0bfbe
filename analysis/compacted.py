"""One file with the episodes of many runs, which opens faster than theirs.

It is a copy beside the runs, `compact/ID.parquet`, whose files stay and say what is true: of each
row it holds the file that it was copied from, of each of these files the size and time of change.
What has changed since, or is gone, is not read from the copy, and nothing is lost where the copy is
torn, old or deleted. A copy never changes (ID is of what it holds), so whoever reads one while
another is made does not mix the two.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.files import atomic_write, utf8
from misgen.analysis.record_checks import check_together, open_files
from misgen.analysis.record_schema import COMPACT, SCHEMA, SCHEMA_VERSION
from misgen.analysis.relations import connect, torn_file_named
from misgen.analysis.remembered import checked, mark, record_files

LEFT_OVER_S = 3600.0  # a file that nobody has written to for so long was left by a killed writer


def compact(results: Path) -> tuple[Path, int]:
    """Copy the episodes of all finished runs of a folder into one file, whole or not at all, and
    remove earlier copies; returns the file and the number of runs.

    Raises:
        ValueError: the records are not as they must be (see `read_records`), or no file can be
            written there.
    """
    files = record_files(results)
    marks = {_name(results, file): mark(file) for file in files}  # before they are read
    check_together(checked(results, files))
    about = json.dumps(marks, sort_keys=True)
    name = hashlib.sha256(f"{SCHEMA_VERSION} {about}".encode()).hexdigest()[:16]
    path = results / COMPACT / f"{name}.parquet"
    if not _copied(path):
        path.parent.mkdir(exist_ok=True)
        _copy(results, files, about, path)
    for other in copies_of(results):
        if other != path:
            other.unlink(missing_ok=True)
    for left in path.parent.glob(".tmp-*"):
        if time.time() - left.stat().st_mtime > LEFT_OVER_S:
            left.unlink(missing_ok=True)
    return path, len(files)


def _copy(results: Path, files: Sequence[Path], about: str, path: Path) -> None:
    rows, start = open_files(files), len(utf8(results / "x"))
    select = f"select {', '.join(SCHEMA.names)}, substr(filename, {start}) as file"
    metadata = f"{{schema_version: '{SCHEMA_VERSION}', files: {_literal(about)}}}"
    options = f"format parquet, compression zstd, use_tmp_file false, kv_metadata {metadata}"

    def write(temporary: Path) -> None:
        target = _literal(utf8(temporary))
        # In half the memory: rows may stand in another order.
        database = duckdb.connect(config={"preserve_insertion_order": False})
        database.execute(f"copy ({select} from ({rows.sql_query()})) to {target} ({options})")

    try:
        with torn_file_named(rows):
            atomic_write(path, write)
    except duckdb.IOException as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} cannot be written ({reason}); make room on its disk") from error


def open_records(results: Path, files: Sequence[Path]) -> duckdb.DuckDBPyRelation:
    """The episodes of these checked files, from the copy where it has them as they are."""
    copies = {path: _copied(path) for path in copies_of(results)}
    marks = {_name(results, file): mark(file) for file in files} if copies else {}
    same = {path: _same(copied, marks) for path, copied in copies.items()}
    best = max(same, key=lambda path: len(same[path]), default=None)
    if best is None or not same[best]:
        return open_files(files).select(*SCHEMA.names)
    source = connect().read_parquet(utf8(best), hive_partitioning=False)
    if changed := copies[best].keys() - same[best]:
        source = source.filter(f"file not in ({', '.join(map(_literal, sorted(changed)))})")
    parts = [source]
    if others := [file for file in files if _name(results, file) not in same[best]]:
        parts.append(open_files(others))
    queries = (part.select(*SCHEMA.names).sql_query() for part in parts)
    return connect().sql(" union all ".join(f"(from ({each}))" for each in queries))


def copies_of(results: Path) -> list[Path]:
    """One; two for a moment, or where `compact` was killed."""
    return sorted((results / COMPACT).glob("[!.]*.parquet"))


def _same(copied: Mapping[str, Any], marks: Mapping[str, list[int]]) -> set[str]:
    return {name for name in copied.keys() & marks.keys() if copied[name] == marks[name]}


def _name(results: Path, file: Path) -> str:
    return utf8(file.relative_to(results))


def _copied(path: Path) -> dict[str, Any]:
    """File -> its mark when it was copied; {} without a copy that can be read."""
    try:
        about = pq.read_metadata(utf8(path)).metadata or {}
        files = json.loads(about[b"files"])
        is_current = int(about[b"schema_version"]) == SCHEMA_VERSION
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return {}
    return files if is_current else {}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
