"""Records as DuckDB relations, and questions asked of them in SQL."""

import contextlib
import functools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa

from misgen.analysis.files import utf8
from misgen.analysis.record_schema import COMPACT, FILE_NAME, SCHEMA

Records: TypeAlias = pa.Table | duckdb.DuckDBPyRelation

MAKE_AGAIN = "delete the folder of this run and run it again, or copy its file again"
_COPY_AGAIN = "try again, and if it is still there, delete it: `misgen compact` makes another"


@functools.cache
def _database(process: int) -> duckdb.DuckDBPyConnection:
    """An empty database: making one takes longer than most queries. None outlives a fork."""
    return duckdb.connect()


def connect() -> duckdb.DuckDBPyConnection:
    """A connection of the caller's own."""
    return _database(os.getpid()).cursor()


def relation_of(records: Records) -> duckdb.DuckDBPyRelation:
    """Records as a lazy DuckDB relation."""
    return connect().from_arrow(records) if isinstance(records, pa.Table) else records


def query(records: Records, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a SQL query over the table `records`. Raises ValueError for a file of
    `read_records` whose data cannot be read: only now, because records are read lazily."""
    records = relation_of(records)
    with torn_file_named(records):
        cursor = connect()
        try:  # `DuckDBPyRelation.query` takes twice the time, and the memory
            cursor.execute(f"create temp view records as {records.sql_query()}")
        except duckdb.CatalogException:  # tables in memory are known to their relation alone
            relation = records.query("records", sql)
            return relation.fetchall() if relation else []
        return cursor.execute(sql).fetchall()


@contextlib.contextmanager
def torn_file_named(records: duckdb.DuckDBPyRelation) -> Iterator[None]:
    """Where DuckDB fails because a file is torn, a ValueError names the file: DuckDB does not
    always. Any other error passes."""
    try:
        yield
    except duckdb.Error:
        paths = re.findall(_PATH, records.sql_query())
        refuse_torn([Path(os.fsdecode(path.replace("''", "'").encode())) for path in paths])
        raise


_PATH = rf"'((?:[^']|'')*/(?:{re.escape(FILE_NAME)}|{COMPACT}/\w+\.parquet))'"


def refuse_torn(files: Sequence[Path]) -> None:
    """Reads every page of the files."""
    for file in files:
        try:
            source = connect().read_parquet(utf8(file), hive_partitioning=False)
            columns = ", ".join(name for name in SCHEMA.names if name in source.columns)
            source.aggregate(f"max(hash({columns}))").fetchall()
        except duckdb.Error as error:
            raise ValueError(
                f"the data of a record must be whole; {file} cannot be read "
                f"({str(error).splitlines()[0]}); "
                f"{MAKE_AGAIN if file.name == FILE_NAME else _COPY_AGAIN}"
            ) from error
