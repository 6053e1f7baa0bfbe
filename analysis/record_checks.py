"""What must hold of records before anything is counted.

A file is read through once: what its footer and its rows must be, and what other files may not
contradict (see `Seen`). The second is compared each time, the first is remembered
(`misgen.analysis.remembered`).
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.files import utf8
from misgen.analysis.priors.types import SHIFT_TYPES
from misgen.analysis.record_schema import (
    DECLARATIONS,
    PLAY,
    ROLES,
    SCHEMA,
    SCHEMA_VERSION,
    VARIANTS,
)
from misgen.analysis.relations import (
    MAKE_AGAIN,
    Records,
    connect,
    query,
    refuse_torn,
    torn_file_named,
)

ROW_RULES = {
    f"`variant` must be one of {VARIANTS}": f"coalesce(variant not in {VARIANTS}, true)",
    f"`role` must be one of {ROLES}": f"coalesce(role not in {ROLES}, true)",
    f"`shift_type` must be one of {SHIFT_TYPES}": f"shift_type not in {SHIFT_TYPES}",
    "goal failure is declared only where the cue is broken": "variant in ('00', '01') "
    "and (goal_failure is not null or is_distinguishing is not null)",
    "a distinguishing level needs `capable`, and `goal_failure` if capable": "is_distinguishing "
    "and (capable is null or capable and goal_failure is null)",
}
"""Rule -> SQL condition of the rows that break it; for whoever writes and reads records."""


class Seen(NamedTuple):
    """What rows of a file say in common, and whose they are."""

    family: str
    cell: str
    declared: Sequence[Any]  # as DECLARATIONS
    variant: str
    fingerprint: str
    runs: Sequence[str]


def check_files(files: Sequence[Path]) -> dict[Path, list[Seen]]:
    """Read files through. ValueError for one that is unreadable, incomplete or empty, of another
    schema version, or with columns of other types; for rows that break the contract; for an episode
    found twice."""
    if not files:
        return {}
    schemas = [_check_file(file) for file in files]
    source = open_files(files)
    _check_rows(source, _may_hold_nulls(schemas))
    seen = _seen(source, files)
    check_together(seen)
    _check_plays(source)
    return seen


def open_files(files: Sequence[Path]) -> duckdb.DuckDBPyRelation:
    """The columns of SCHEMA, and where a row is: `filename`, `file_row_number` (from 0)."""
    try:
        source = connect().read_parquet(
            [utf8(file) for file in files],
            filename=True,
            hive_partitioning=False,
            file_row_number=True,
        )
    except duckdb.Error:
        refuse_torn(files)
        raise
    return source.select(*SCHEMA.names, "filename", "file_row_number")


def footer(file: Path) -> pq.ParquetFile:
    try:
        found = pq.ParquetFile(utf8(file))
        found.schema_arrow.names  # noqa: B018 - decodes the names, which may be torn too
        return found
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"a record must be a whole Parquet file; {file} cannot be read ({error}); {MAKE_AGAIN}"
        ) from error


def _check_file(file: Path) -> pa.Schema:
    """What the file's footer tells: version, columns, types, number of rows."""
    found = footer(file)
    schema = found.schema_arrow
    _check_version(file, _version(file, schema))
    missing = [name for name in SCHEMA.names if name not in schema.names]
    if missing:
        raise ValueError(
            f"a record needs every column of its schema version; {file} lacks {missing}; "
            "write it with misgen.analysis.records.write_records"
        )
    _check_types(file, schema)
    if not found.metadata.num_rows:
        raise ValueError(f"a record has at least one episode; {file} has none; {MAKE_AGAIN}")
    return schema


def _check_version(file: Path, version: int) -> None:
    """A file that another program rewrote has version 0; its columns tell whether it is whole."""
    if version in (0, SCHEMA_VERSION):
        return
    is_older = version < SCHEMA_VERSION
    remedy = "run `misgen migrate --results FOLDER`" if is_older else "update misgen"
    raise ValueError(
        f"records of schema version {SCHEMA_VERSION} can be read; {file} has {version}; {remedy}"
    )


def _version(file: Path, schema: pa.Schema) -> int:
    text = (schema.metadata or {}).get(b"schema_version", b"0").decode(errors="replace")
    if not text.isdecimal():
        raise ValueError(
            f"`schema_version` in a record's metadata must be a whole number; {file} has {text!r}; "
            "write it with misgen.analysis.records.write_records"
        )
    return int(text)


def _check_types(file: Path, schema: pa.Schema) -> None:
    for name, kind in zip(schema.names, schema.types, strict=True):
        if name in SCHEMA.names and _plain(kind) != SCHEMA.field(name).type:
            raise ValueError(
                f"a record's columns have the types of analysis.records.SCHEMA; `{name}` in {file} "
                f"is {kind}, not {SCHEMA.field(name).type}; write it with "
                "misgen.analysis.records.write_records"
            )


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type without how Arrow keeps it in memory, which pandas and polars choose in their way."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_large_list(kind):
        return pa.list_(kind.value_type)
    return {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}.get(kind, kind)


def _may_hold_nulls(schemas: Sequence[pa.Schema]) -> list[str]:
    """Columns that may not be null, of which a file does not say so itself: a Parquet file cannot
    hold a null in a required column."""
    return [
        field.name
        for field in SCHEMA
        if not field.nullable and any(schema.field(field.name).nullable for schema in schemas)
    ]


def _check_rows(source: duckdb.DuckDBPyRelation, never_null: Sequence[str]) -> None:
    """What `write_records` ensures and something else may have changed since."""
    nulls = {f"column `{name}` may not be null": f"{name} is null" for name in never_null}
    further = {
        f"`schema_version` must be {SCHEMA_VERSION}": f"schema_version <> {SCHEMA_VERSION}",
        "d and q are within 0..1": "not coalesce(d between 0 and 1 and q between 0 and 1, false)",
    }
    _refuse_rows(source, nulls | ROW_RULES | further)


def _seen(source: duckdb.DuckDBPyRelation, files: Sequence[Path]) -> dict[Path, list[Seen]]:
    declared = ", ".join(DECLARATIONS)
    rows = query(
        source,
        f"""select filename, family, cell, {declared}, variant, eval_fingerprint,
                   list(distinct run_id)
            from records group by all""",
    )
    paths = {utf8(file): file for file in files}
    found: dict[Path, list[Seen]] = {file: [] for file in files}
    for name, family, cell, *values, variant, fingerprint, runs in rows:
        found[paths[name]].append(Seen(family, cell, values, variant, fingerprint, sorted(runs)))
    return found


def _check_plays(source: duckdb.DuckDBPyRelation) -> None:
    """An episode found twice would count twice, silently."""
    with torn_file_named(source):
        hashes = source.project(f"hash(filename, {PLAY}) as play").fetchnumpy()["play"]
    hashes.sort()
    # Equal episodes have equal hashes; to group millions of rows by the columns takes seconds.
    if (hashes[1:] == hashes[:-1]).any():
        order = "order by filename, file_row_number"
        numbered = f"select *, row_number() over (partition by filename, {PLAY} {order}) as play"
        rule = "every level is played exactly once by a run's policy at one checkpoint"
        _refuse_rows(source, {rule: "play > 1"}, f"({numbered} from records)")


def _refuse_rows(
    source: duckdb.DuckDBPyRelation, rules: Mapping[str, str], rows_of: str = "records"
) -> None:
    if broken := broken_rule(source, rules, rows_of, "filename, file_row_number", "order by all"):
        rule, rows, (file, number) = broken
        raise ValueError(
            f"{rule}; {file} breaks this in row {number} (from 0), the first of "
            f"{rows}; evaluate this run again, or copy its file again"
        )


def broken_rule(
    records: Records, rules: Mapping[str, str], rows_of: str, row: str, order: str = ""
) -> tuple[str, int, tuple[Any, ...]] | None:
    """The first rule, in the form of ROW_RULES, that rows break: how many, and the first of them by
    the columns `row`."""
    counts = ", ".join(f"count(*) filter ({where})" for where in rules.values())
    (result,) = query(records, f"select {counts} from {rows_of}")
    for (rule, where), rows in zip(rules.items(), result, strict=True):
        if rows:
            first = f"select {row} from {rows_of} where {where} {order} limit 1"
            return rule, rows, query(records, first)[0]
    return None


# --- What files may not contradict ---------------------------------------------------------------


def check_together(found: Mapping[Path, Sequence[Seen]]) -> None:
    """ValueError for a run id in two files, and see `check_comparable`."""
    files: dict[str, set[str]] = defaultdict(set)
    for file, said in found.items():
        for run in itertools.chain.from_iterable(seen.runs for seen in said):
            files[run].add(utf8(file))
    check_comparable(found)
    _check_run_ids(files)


def check_comparable(found: Mapping[Path, Sequence[Seen]]) -> None:
    """ValueError for cells that declare two things, and for runs that evaluated the same (family,
    cell, variant) on different blocks of levels."""
    declared: dict[tuple[str, str], list[Sequence[Any]]] = defaultdict(list)
    prints: dict[tuple[str, str, str], dict[str, tuple[str, str]]] = defaultdict(dict)
    for file in sorted(found):
        name = utf8(file)
        for seen in found[file]:
            declared[seen.family, seen.cell].append(seen.declared)
            first = (min(seen.runs), name)
            at = prints[seen.family, seen.cell, seen.variant]
            at[seen.fingerprint] = min(first, at.get(seen.fingerprint, first))
    check_declarations(declared)
    _check_fingerprints(prints)


def check_declarations(declared: Mapping[tuple[str, str], Sequence[Sequence[Any]]]) -> None:
    """Rows of a cell that declare two things would split it, silently."""
    for (family, cell), rows in sorted(declared.items()):
        for name, values in zip(DECLARATIONS, zip(*rows, strict=True), strict=True):
            if min(values) != max(values):
                raise ValueError(
                    f"all rows of a cell declare one `{name}`; those of {family} {cell} say "
                    f"{min(values)} and {max(values)}; evaluate the older runs again, or keep them "
                    "in separate folders"
                )


def _check_run_ids(files: Mapping[str, set[str]]) -> None:
    for run_id, names in sorted(files.items()):
        if len(names) > 1:
            raise ValueError(
                f"a run id belongs to one folder; {run_id} is in {min(names)} and {max(names)}; "
                "remove the copy (the folder of one of them), or name a results folder that holds "
                "only one"
            )


def _check_fingerprints(prints: Mapping[tuple[str, str, str], dict[str, tuple[str, str]]]) -> None:
    for (family, cell, variant), found in sorted(prints.items()):
        if len(found) > 1:
            (one, file), (other, other_file) = found[min(found)], found[max(found)]
            raise ValueError(
                f"runs are compared on the same evaluation; for {family} {cell}, variant "
                f"{variant}, run {one} has the fingerprint {min(found)} ({file}) and run {other} "
                f"has {max(found)} ({other_file}); "
                "evaluate one of them again, or keep them in separate results folders"
            )
