"""Episode records: one row per episode, one Parquet file per run.

The reader owns the contract: `SCHEMA` is what `experiments` writes and all of `analysis` reads.
A run is a folder with `episodes.parquet` and, written last, `done.json`; without the second file
the run is unfinished and is not read.
"""

import contextlib
import functools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.files import atomic_write_bytes, files_under, utf8
from misgen.analysis.priors.types import SHIFT_TYPES

Records: TypeAlias = pa.Table | duckdb.DuckDBPyRelation
Columns: TypeAlias = Mapping[str, Any]

SCHEMA_VERSION = 3
"""Rises when columns change; older records are rewritten by `misgen migrate`."""

FILE_NAME = "episodes.parquet"
VARIANTS = ("00", "10", "01", "11", "own")
"""Cue broken (first digit), context changed (second); `own` = held-out training distribution."""
ROLES = ("agent", "control")
DECLARATIONS = ("shift_type", "informs_type", "harm_informs", "harm_by_construction")
"""What the cell of a row declares: equal in all rows of one (family, cell)."""
_PLAY = "run_id, role, policy, variant, checkpoint_step, agent_number, level_seed"
"""The columns that tell one episode from another."""


def tags_of(q: float) -> str:
    """The tags of an agent trained with specification quality q: below 1 its reward was wrong, and
    what it then does is specification gaming, another failure than misgeneralization."""
    return "spec_gaming" if q < 1 else ""


def _columns(kind: pa.DataType, names: str) -> Iterator[pa.Field]:
    """Fields of one type; a name that ends with `?` may be null."""
    for name in names.split():
        yield pa.field(name.rstrip("?"), kind, nullable=name.endswith("?"))


SCHEMA = pa.schema(
    [
        *_columns(pa.string(), "run_id study family"),
        *_columns(pa.int32(), "family_version"),
        # Codes of cells. cell: where the episode was played; train_distribution: the cell of the
        # training levels.
        *_columns(pa.string(), "cell train_distribution"),
        # What the cell that was played declares: its shift type, and whether its rates, and the
        # harm of its failures, enter those of the type.
        *_columns(pa.string(), "shift_type"),
        *_columns(pa.bool_(), "informs_type harm_informs harm_by_construction"),
        *_columns(pa.string(), "variant observation_mode"),
        *_columns(pa.int32(), "agent_number"),
        # policy: ppo, planner_intended, noisy_proxy, random, noop, constant_3, ...
        # A control on variants 00, 10, 01, 11 depends on the block of levels alone: it has method
        # "control", setting and study "", d 0, q 1. Controls that depend on an arm (noise-matched
        # planners; whoever plays variant own, whose levels depend on d) have the labels of the
        # agent that they accompany.
        # setting: hash of the training configuration without train_seed, study, method, d and q.
        *_columns(pa.string(), "role policy method setting"),
        *_columns(pa.float64(), "d q"),
        *_columns(pa.int64(), "train_seed checkpoint_step eval_seed level_seed"),
        *_columns(pa.uint64(), "level_hash"),
        *_columns(pa.bool_(), "is_distinguishing?"),
        *_columns(pa.float64(), "p_capable_intended? p_capable_proxy?"),
        *_columns(pa.float64(), "p_goal_failure_intended? p_goal_failure_proxy?"),
        *_columns(pa.int32(), "judged_at_steps time_limit_steps episode_length"),
        *_columns(pa.bool_(), "terminated truncated"),
        *_columns(pa.float64(), "episode_return planner_return? noop_return?"),
        # First times, counted from 1; null: never.
        *_columns(pa.int32(), "tau_intended? tau_proxy? tau_other? tau_death?"),
        # One count per event of the family, in the order of `event_names`.
        *_columns(pa.list_(pa.int32()), "event_counts_at_judged event_counts"),
        *_columns(pa.bool_(), "success? capable? goal_failure? harm?"),
        *_columns(pa.binary(), "actions"),
        *_columns(pa.string(), "eval_fingerprint"),
        *_columns(pa.string(), "tags"),  # see tags_of
        *_columns(pa.int32(), "schema_version"),
    ]
)


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
    with _torn_file_named(records):
        sorted_records = records.query(
            "records", f"select * replace ({left_out}) from records order by {order}"
        )
        assert sorted_records is not None  # a select has a result
        table = sorted_records.to_arrow_table()
    write_table(path, table.cast(SCHEMA), event_names, 19)


def event_names(path: Path) -> tuple[str, ...]:
    """The events that a record file's count columns stand for, in order."""
    return tuple(json.loads(_footer(path).schema_arrow.metadata[b"event_names"]))


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
    """Rules over rows. Each SQL condition selects rows that may not exist."""
    goal = "goal_failure is not null or is_distinguishing is not null"
    scored = "is_distinguishing and (capable is null or capable and goal_failure is null)"
    counts = "(len(event_counts), len(event_counts_at_judged))"
    rules = {
        f"`variant` must be one of {VARIANTS}": f"variant not in {VARIANTS}",
        f"`role` must be one of {ROLES}": f"role not in {ROLES}",
        f"`shift_type` must be one of {SHIFT_TYPES}": f"shift_type not in {SHIFT_TYPES}",
        "goal failure is declared only where the cue is broken": f"variant in ('00', '01') "
        f"and ({goal})",
        "a distinguishing level needs `capable`, and `goal_failure` if capable": scored,
        f"an event count row needs {num_events} entries, one per event name": f"{counts} <> "
        f"({num_events}, {num_events})",
        "every level is played exactly once": "plays > 1",
    }
    numbered = f"select *, count(*) over (partition by {_PLAY}) as plays from records"
    _check_declarations(table)
    found = ", ".join(f"count(*) filter ({where})" for where in rules.values())
    (result,) = query(table, f"select {found} from ({numbered})")
    for (rule, where), rows in zip(rules.items(), result, strict=True):
        if rows:
            row = "run_id, policy, variant, level_seed"
            first = query(table, f"select {row} from ({numbered}) where {where} limit 1")[0]
            raise ValueError(
                f"{rule}; {rows} rows break this, the first is (run, policy, variant, level seed) "
                f"{first}; correct the evaluation that made them"
            )


def read_records(results: Path) -> duckdb.DuckDBPyRelation:
    """All episodes of the finished runs under `results`, or under its folder `runs` if there is
    one, as one lazy DuckDB relation.

    Raises ValueError for a missing or empty folder; an unreadable, incomplete or empty file, one of
    another schema version, or with columns of other types; rows that break the contract; cells that
    declare two things; an episode found twice; a run id in two files; and for runs that evaluated
    the same (family, cell, variant) on different blocks of levels.
    """
    files = _finished(results)
    schemas = [_check_file(file) for file in files]
    source = _open(files)
    _check_read_rows(source, _may_hold_nulls(schemas))
    _check_declarations(source)
    _check_run_ids(source)
    _check_plays(source)
    _check_fingerprints(source)
    return source.select(*SCHEMA.names)


def _open(files: Sequence[Path]) -> duckdb.DuckDBPyRelation:
    """The columns of SCHEMA, and where a row is: `filename`, `file_row_number` (from 0)."""
    try:
        source = _connect().read_parquet(
            [utf8(file) for file in files],
            union_by_name=True,
            filename=True,
            hive_partitioning=False,
            file_row_number=True,
        )
    except duckdb.Error:
        _refuse_torn(files)
        raise
    return source.select(*SCHEMA.names, "filename", "file_row_number")


@functools.cache
def _database(process: int) -> duckdb.DuckDBPyConnection:
    """An empty database: making one takes longer than most queries. None outlives a fork."""
    return duckdb.connect()


def _connect() -> duckdb.DuckDBPyConnection:
    """A connection of the caller's own."""
    return _database(os.getpid()).cursor()


def relation_of(records: Records) -> duckdb.DuckDBPyRelation:
    """Records as a lazy DuckDB relation."""
    return _connect().from_arrow(records) if isinstance(records, pa.Table) else records


def query(records: Records, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a SQL query over the table `records`. Raises ValueError for a file of
    `read_records` whose data cannot be read: only now, because records are read lazily."""
    records = relation_of(records)
    with _torn_file_named(records):
        relation = records.query("records", sql)
        return relation.fetchall() if relation else []


@contextlib.contextmanager
def _torn_file_named(records: duckdb.DuckDBPyRelation) -> Iterator[None]:
    """Where DuckDB fails because a file is torn, a ValueError names the file: DuckDB does not
    always. Any other error passes."""
    try:
        yield
    except duckdb.Error:
        paths = re.findall(rf"'((?:[^']|'')*{re.escape(FILE_NAME)})'", records.sql_query())
        _refuse_torn([Path(os.fsdecode(path.replace("''", "'").encode())) for path in paths])
        raise


def _refuse_torn(files: Sequence[Path]) -> None:
    """Reads every page of the files."""
    for file in files:
        try:
            source = _connect().read_parquet(utf8(file), hive_partitioning=False)
            columns = ", ".join(name for name in SCHEMA.names if name in source.columns)
            source.aggregate(f"max(hash({columns}))").fetchall()
        except duckdb.Error as error:
            raise ValueError(
                f"the data of a record must be whole; {file} cannot be read "
                f"({str(error).splitlines()[0]}); {_MAKE_AGAIN}"
            ) from error


def _finished(results: Path) -> list[Path]:
    if not results.exists():
        raise ValueError(
            f"the results folder must exist; {results} does not; run an experiment first, "
            "or name another folder"
        )
    if not results.is_dir():
        raise ValueError(
            f"results must be a folder; {results} is a file; name the folder that holds the runs"
        )
    runs = results / "runs"  # beside it, a study may have gathered copies to be published
    files = files_under(runs if runs.is_dir() else results)
    found = sorted(file for file in files if file.name == FILE_NAME)
    finished = [file for file in found if (file.parent / "done.json").is_file()]
    if not finished:
        raise ValueError(
            f"a finished run is a folder with {FILE_NAME} and done.json; {results} has none, and "
            f"{len(found)} unfinished; start the experiment again to resume it"
        )
    return finished


_MAKE_AGAIN = "delete the folder of this run and run it again, or copy its file again"


def _footer(file: Path) -> pq.ParquetFile:
    try:
        footer = pq.ParquetFile(utf8(file))
        footer.schema_arrow.names  # noqa: B018 - decodes the names, which may be torn too
        return footer
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"a record must be a whole Parquet file; {file} cannot be read ({error}); {_MAKE_AGAIN}"
        ) from error


def _check_file(file: Path) -> pa.Schema:
    """What the file's footer tells: version, columns, types, number of rows."""
    footer = _footer(file)
    schema = footer.schema_arrow
    _check_version(file, _version(file, schema))
    missing = [name for name in SCHEMA.names if name not in schema.names]
    if missing:
        raise ValueError(
            f"a record needs every column of its schema version; {file} lacks {missing}; "
            "write it with misgen.analysis.records.write_records"
        )
    _check_types(file, schema)
    if not footer.metadata.num_rows:
        raise ValueError(f"a record has at least one episode; {file} has none; {_MAKE_AGAIN}")
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


def _check_read_rows(source: duckdb.DuckDBPyRelation, never_null: Sequence[str]) -> None:
    """What `write_records` ensures and something else may have changed since."""
    goal = "goal_failure is not null or is_distinguishing is not null"
    scored = "is_distinguishing and (capable is null or capable and goal_failure is null)"
    rules = {f"column `{name}` may not be null": f"{name} is null" for name in never_null} | {
        f"`variant` must be one of {VARIANTS}": f"coalesce(variant not in {VARIANTS}, true)",
        f"`role` must be one of {ROLES}": f"coalesce(role not in {ROLES}, true)",
        f"`shift_type` must be one of {SHIFT_TYPES}": f"shift_type not in {SHIFT_TYPES}",
        f"`schema_version` must be {SCHEMA_VERSION}": f"schema_version <> {SCHEMA_VERSION}",
        "d and q are within 0..1": "not coalesce(d between 0 and 1 and q between 0 and 1, false)",
        "goal failure is declared only where the cue is broken": f"variant in ('00', '01') "
        f"and ({goal})",
        "a distinguishing level needs `capable`, and `goal_failure` if capable": scored,
    }
    _refuse_rows(source, rules)


def _check_plays(source: duckdb.DuckDBPyRelation) -> None:
    """An episode found twice would count twice, silently."""
    with _torn_file_named(source):
        hashes = source.project(f"hash({_PLAY}) as play").fetchnumpy()["play"]
    hashes.sort()
    # Equal episodes have equal hashes; to group millions of rows by the columns takes seconds.
    if (hashes[1:] == hashes[:-1]).any():
        order = "order by filename, file_row_number"
        numbered = f"select *, row_number() over (partition by {_PLAY} {order}) as play"
        rule = "every level is played exactly once by a run's policy at one checkpoint"
        _refuse_rows(source, {rule: "play > 1"}, f"({numbered} from records)")


def _refuse_rows(
    source: duckdb.DuckDBPyRelation, rules: Mapping[str, str], rows_of: str = "records"
) -> None:
    """rules: rule -> SQL condition that selects rows that may not exist."""
    found = ", ".join(
        f"count(*) filter ({where}), "
        f"min(struct_pack(file := filename, row := file_row_number)) filter ({where})"
        for where in rules.values()
    )
    (result,) = query(source, f"select {found} from {rows_of}")
    for rule, rows, first in zip(rules, result[::2], result[1::2], strict=True):
        if rows:
            raise ValueError(
                f"{rule}; {first['file']} breaks this in row {first['row']} (from 0), the first of "
                f"{rows}; evaluate this run again, or copy its file again"
            )


def _check_declarations(records: Records) -> None:
    """Rows of a cell that declare two things would split it, silently."""
    for family, cell, *values in query(records, _DECLARED):
        for name, (low, high) in zip(DECLARATIONS, values, strict=True):
            if low != high:
                raise ValueError(
                    f"all rows of a cell declare one `{name}`; those of {family} {cell} say {low} "
                    f"and {high}; evaluate the older runs again, or keep them in separate folders"
                )


_DECLARED = "select family, cell, {} from records group by all order by all".format(
    ", ".join(f"(min({name}), max({name}))" for name in DECLARATIONS)
)


def _check_run_ids(source: duckdb.DuckDBPyRelation) -> None:
    sql = """select run_id, min(filename), max(filename) from records
             group by run_id having min(filename) <> max(filename) order by run_id"""
    for run_id, first, second in query(source, sql):
        raise ValueError(
            f"a run id belongs to one folder; {run_id} is in {first} and {second}; remove the copy "
            "(the folder of one of them), or name a results folder that holds only one"
        )


def _check_fingerprints(source: duckdb.DuckDBPyRelation) -> None:
    sql = """with seen as (
                 select family, cell, variant, eval_fingerprint as fingerprint, filename, run_id
                 from records
             )
             select family, cell, variant,
                    arg_min((run_id, filename), fingerprint), min(fingerprint),
                    arg_max((run_id, filename), fingerprint), max(fingerprint)
             from seen group by family, cell, variant
             having min(fingerprint) <> max(fingerprint) order by family, cell, variant"""
    for family, cell, variant, one, print_of_one, other, print_of_other in query(source, sql):
        raise ValueError(
            f"runs are compared on the same evaluation; for {family} {cell}, variant {variant}, "
            f"run {one[0]} has the fingerprint {print_of_one} ({one[1]}) and run {other[0]} has "
            f"{print_of_other} ({other[1]}); "
            "evaluate one of them again, or keep them in separate results folders"
        )
