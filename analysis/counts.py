"""Counts per agent and variant as a file: what rates need of records, small enough to be committed.

A folder of counts answers what the episodes that it was made of answer, wherever agents are the
replicates: `misgen.analysis.blocks.read_blocks` takes either. Folders of different agents can be
put together.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.blocks import COUNTED, LABELS, blocks_sql, is_counted
from misgen.analysis.files import atomic_write_bytes, utf8
from misgen.analysis.record_checks import Seen, check_comparable
from misgen.analysis.record_schema import DECLARATIONS
from misgen.analysis.records import Records, query, read_records, relation_of
from misgen.analysis.relations import connect

FILE_NAME = "counts.parquet"
ORIGIN = ("study", "family_version", "eval_fingerprint")
"""Further columns: which study, which rules, which levels."""
HASHES = "level_hashes"
"""Of the distinguishing levels of a block, in the rows of the intended planner; else null. Two
blocks that hold one level are told by it."""


_BLOCK = "policy = 'planner_intended' and variant in ('10', '11')"
_DISTINGUISH = f"{_BLOCK} and is_distinguishing"


def counts_of_records(records: Records) -> pa.Table:
    """A row per agent or control, checkpoint and variant: the labels of its arm (see
    `misgen.analysis.blocks.Arm`), the counts (see `Block`), ORIGIN and HASHES."""
    origin = ", ".join(f"max({name}) as {name}" for name in ORIGIN)
    hashes = f"list(distinct level_hash order by level_hash) filter ({_DISTINGUISH}) as {HASHES}"
    relation = relation_of(records)
    found = relation.query("records", blocks_sql("d", f"{origin}, {hashes}"))
    assert found is not None  # a select has a result
    return found.to_arrow_table().select([*LABELS, *COUNTED, *ORIGIN, HASHES])


def write_counts(folder: Path, counts: pa.Table) -> None:
    """Equal counts give equal bytes."""
    ordered = counts.sort_by([(name, "ascending") for name in (*LABELS, *COUNTED)])
    sink = pa.BufferOutputStream()
    pq.write_table(ordered, sink, compression="zstd", compression_level=19)
    atomic_write_bytes(folder / FILE_NAME, sink.getvalue().to_pybytes())


def read_counts(folder: Path) -> pa.Table | None:
    """The counts of a folder; None where it has none.

    Raises:
        ValueError: the file is torn, or of another version of misgen.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return None
    try:
        found = pq.read_table(utf8(file))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"counts must be a whole file; {file} cannot be read ({error})") from error
    wanted = [*LABELS, *COUNTED, *ORIGIN, HASHES]
    if missing := [name for name in wanted if name not in found.column_names]:
        raise ValueError(f"counts have the columns {', '.join(wanted)}; {file} lacks {missing}")
    return found.select(wanted)


def read_played(results: Path) -> duckdb.DuckDBPyRelation:
    """How agents played: the counts of a folder that holds some, else the episodes of its runs.

    Raises:
        ValueError: see `read_counts` and `read_records`.
    """
    counts = read_counts(results)
    return read_records(results) if counts is None else relation_of(counts)


def together(older: pa.Table, newer: pa.Table) -> pa.Table:
    """The counts of two folders. Of what both hold (an agent of an arm, a control of a block), the
    newer ones.

    Raises:
        ValueError: cells declare two things, or were evaluated on other levels.
    """
    check_comparable({Path("older"): _seen(older), Path("newer"): _seen(newer)})
    same = ", ".join(name for name in LABELS if name != "run_id")
    connection = connect()
    connection.register("older", older)
    connection.register("newer", newer)
    kept = f"select * from older anti join newer using ({same})"
    return connection.sql(f"{kept} union all by name select * from newer").to_arrow_table()


def _seen(counts: pa.Table) -> list[Seen]:
    columns = ", ".join(("family", "cell", *DECLARATIONS, "variant", "eval_fingerprint"))
    rows = query(counts, f"select {columns}, list(distinct run_id) from records group by all")
    return [Seen(row[0], row[1], row[2:-3], *row[-3:]) for row in rows]


def shared_levels(records: Records) -> dict[tuple[str, str, str], dict[int, float]]:
    """(family, cell, variant) -> agent number -> share of the distinguishing levels of its block
    that the block of another number holds, too; without the planner's episodes, nothing.

    records: episodes or counts.
    """
    hashes = (
        f"unnest({HASHES}) as level from records where {_BLOCK}"
        if is_counted(records)
        else f"level_hash as level from records where {_DISTINGUISH}"
    )
    found: dict[tuple[str, str, str], dict[int, float]] = defaultdict(dict)
    for family, cell, variant, number, share in query(
        records,
        f"""
        with held as (select distinct family, cell, variant, agent_number, {hashes}),
        counted as (
            select *, count(*) over (partition by family, cell, variant, level) as blocks from held
        )
        select family, cell, variant, agent_number, avg((blocks > 1)::int)
        from counted group by all order by all
        """,
    ):
        found[family, cell, variant][number] = share
    return dict(found)
