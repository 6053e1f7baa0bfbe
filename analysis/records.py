"""Episode records: one row per episode, one Parquet file per run.

What is written here is read here: see `misgen.analysis.record_schema` for the columns.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.compacted import open_records
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.record_checks import (
    ROW_RULES,
    broken_rule,
    check_declarations,
    check_together,
    footer,
)
from misgen.analysis.record_schema import (
    DECLARATIONS,
    FILE_NAME,
    PLAY,
    ROLES,
    SCHEMA,
    SCHEMA_VERSION,
    VARIANTS,
    tags_of,
)
from misgen.analysis.relations import Records, query, relation_of, torn_file_named
from misgen.analysis.remembered import checked, record_files

__all__ = [
    "DECLARATIONS",
    "FILE_NAME",
    "ROLES",
    "SCHEMA",
    "SCHEMA_VERSION",
    "VARIANTS",
    "Columns",
    "Records",
    "event_names",
    "query",
    "read_records",
    "relation_of",
    "tags_of",
    "write_records",
    "write_slim",
    "write_table",
]

Columns: TypeAlias = Mapping[str, Any]


def read_records(results: Path) -> duckdb.DuckDBPyRelation:
    """All episodes of the finished runs under `results`, or under its folder `runs` if there is
    one, as one lazy DuckDB relation. Files that have not changed since they were read are not
    checked again.

    Raises ValueError for a missing or empty folder; an unreadable, incomplete or empty file, one of
    another schema version, or with columns of other types; rows that break the contract; cells that
    declare two things; an episode found twice; a run id in two files; and for runs that evaluated
    the same (family, cell, variant) on different blocks of levels.
    """
    files = record_files(results)
    check_together(checked(results, files))
    return open_records(results, files)


def write_records(
    path: Path, columns: Columns | Sequence[Columns], event_names: Sequence[str]
) -> None:
    """Write one run's episodes.

    columns: name -> array-like of length E, or one scalar for all E rows; `None`, NaN and masked
    entries are null; event counts [E, events], actions E x bytes. `schema_version` is added and
    `tags` defaults to "". Several such: their rows one after the other. event_names: the family's
    events, kept in the file's metadata.
    Raises ValueError when the rows break the contract.
    """
    parts = [columns] if isinstance(columns, Mapping) else columns
    always = {"schema_version": SCHEMA_VERSION}
    arrays = [_arrays({"tags": "", **part, **always}) for part in parts]
    table = pa.concat_tables(pa.table(each, schema=SCHEMA) for each in arrays).combine_chunks()
    _check_rows(table, len(event_names))
    write_table(path, table, event_names)


def write_table(
    path: Path, table: pa.Table, event_names: Sequence[str], compression_level: int | None = None
) -> None:
    """One file of rows that fit SCHEMA, whole or not at all."""
    if not len(table):
        raise ValueError(f"a record has at least one episode; {path} would have none; leave it out")
    metadata = {"schema_version": str(SCHEMA_VERSION), "event_names": json.dumps([*event_names])}
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        sink,
        compression="zstd",
        compression_level=compression_level,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, sink.getvalue().to_pybytes())


def write_slim(path: Path, records: Records, event_names: Sequence[str]) -> None:
    """Write the records of many runs as one small file: without actions and without event counts
    after T, sorted so that what the policies of a level have in common is stored once. Equal
    records give equal bytes.

    event_names: see `write_records`.
    """
    order = "variant, agent_number, level_seed, role, method, d, q, policy, checkpoint_step, run_id"
    records = relation_of(records)
    left_out = "''::blob as actions, []::integer[] as event_counts"
    with torn_file_named(records):
        sorted_records = records.query(
            "records", f"select * replace ({left_out}) from records order by {order}"
        )
        assert sorted_records is not None  # a select has a result
        table = sorted_records.to_arrow_table()
    write_table(path, table.cast(SCHEMA), event_names, 19)


def event_names(path: Path) -> tuple[str, ...]:
    """The events that a record file's count columns stand for, in order."""
    return tuple(json.loads(footer(path).schema_arrow.metadata[b"event_names"]))


def _arrays(columns: Mapping[str, Any]) -> dict[str, pa.Array]:
    missing, unknown = set(SCHEMA.names) - set(columns), set(columns) - set(SCHEMA.names)
    if missing or unknown:
        raise ValueError(
            f"a record has exactly the columns of misgen.analysis.records.SCHEMA; "
            f"missing {sorted(missing)}, unknown {sorted(unknown)}; add or drop them"
        )
    scalar = {name for name, value in columns.items() if np.isscalar(value) or value is None}
    lengths = {name: len(columns[name]) for name in columns if name not in scalar}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"columns must have one common length; got {lengths}")
    rows = next(iter(lengths.values()))
    return {
        name: _array([value] * rows if name in scalar else value, SCHEMA.field(name))
        for name, value in columns.items()
    }


def _array(values: Any, field: pa.Field) -> pa.Array:
    if getattr(values, "ndim", 1) == 2:
        values = list(values)
    try:
        array = pa.array(values, type=field.type, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"column `{field.name}` must be {field.type}; {error}") from error
    if array.null_count and not field.nullable:
        raise ValueError(f"column `{field.name}` may not be null; {array.null_count} values are")
    return array


def _check_rows(table: pa.Table, num_events: int) -> None:
    declared: dict[tuple[str, str], list[Any]] = defaultdict(list)
    declarations = f"select distinct family, cell, {', '.join(DECLARATIONS)} from records"
    for family, cell, *values in query(table, declarations):
        declared[family, cell].append(values)
    check_declarations(declared)
    counts = "(len(event_counts), len(event_counts_at_judged))"
    rules = ROW_RULES | {
        f"an event count row needs {num_events} entries, one per event name": f"{counts} <> "
        f"({num_events}, {num_events})",
        "every level is played exactly once": "plays > 1",
    }
    numbered = f"(select *, count(*) over (partition by {PLAY}) as plays from records)"
    if broken := broken_rule(table, rules, numbered, "run_id, policy, variant, level_seed"):
        rule, rows, first = broken
        raise ValueError(
            f"{rule}; {rows} rows break this, the first is (run, policy, variant, level seed) "
            f"{first}; correct the evaluation that made them"
        )
