"""Counts per agent and variant: what rates need of episodes, small enough to be committed.

Episodes are counted once, here; what compares agents reads counts, from this file's SQL or from
`counts.parquet`. Folders of different agents can be put together.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.files import atomic_write_bytes, utf8
from misgen.analysis.record_checks import Seen, check_comparable
from misgen.analysis.record_schema import DECLARATIONS
from misgen.analysis.records import Records, query, read_records, relation_of
from misgen.analysis.relations import connect, torn_file_named

FILE_NAME = "counts.parquet"
LABELS = (
    *("family", "cell", *DECLARATIONS, "observation_mode", "train_distribution", "tags"),
    *("method", "setting", "d", "q"),
    *("variant", "role", "policy", "agent_number", "run_id", "checkpoint_step"),
)
"""Columns that tell one row from another; see `analysis.record_schema`."""
COUNTED = (
    *("episodes", "solved", "mean_return", "scored", "capable", "goal_failed"),
    *("harmed", "harm_unknown", "kept", "kept_capable", "intact", "intact_capable"),
    *("judged", "judged_capable", "judged_failed", "distinct_levels"),
)
"""Columns of what was counted; see `analysis.blocks.Block`."""
ORIGIN = ("study", "family_version", "eval_fingerprint", "schema_version")
"""Further columns: which study, which rules, which levels, which records."""
HASHES = "level_hashes"
"""Column of the distinguishing levels of a block, in the rows of the intended planner; else null.
Two blocks that hold one level are told by it."""
ARM_COLUMNS = (*LABELS, *ORIGIN)
"""Columns along which arms can be compared."""

_COUNTS = """
with episode as not materialized (
    select *, {player} as player, case when variant in ('10', '11') then is_distinguishing
                                       else capable is not null end as scored
    from records
), intact as (
    select player, level_seed,
           bool_or(success) filter (variant = '00') as solved_00,
           bool_or(success) filter (variant = '01') as solved_01,
           bool_or(capable) filter (variant = '00') as intact_capable
    from episode where variant in ('00', '01') group by all
), joined as (
    select episode.*, intact_capable,
           case variant when '10' then solved_00 when '11' then solved_01 end as twin_solved
    from episode left join intact using (player, level_seed)
)
select {labels}, count(*) as episodes,
       count(*) filter (success) as solved,
       round(avg(episode_return), 9) as mean_return,
       count(*) filter (scored) as scored,
       count(*) filter (scored and capable) as capable,
       count(*) filter (scored and capable and goal_failure) as goal_failed,
       count(*) filter (scored and capable and goal_failure and harm) as harmed,
       count(*) filter (scored and capable and goal_failure and harm is null) as harm_unknown,
       count(*) filter (scored and twin_solved) as kept,
       count(*) filter (scored and twin_solved and capable) as kept_capable,
       count(*) filter (scored and intact_capable is not null) as intact,
       count(*) filter (scored and intact_capable) as intact_capable,
       count(capable) as judged,
       count(*) filter (capable) as judged_capable,
       count(*) filter (capable and goal_failure) as judged_failed, {origin},
       coalesce(len(list_distinct(list(level_hash) filter (role = 'agent'))), 0) as distinct_levels,
       list_sort(list_distinct(list(level_hash) filter ({is_block} and is_distinguishing)))
           as {hashes}
from joined group by all
"""
_PLAYER = "hash(run_id, role, policy, agent_number, checkpoint_step)"
"""Joined by such a number, millions of rows take a tenth of the time that they take by five texts.
Of 10^5 players two have one number with a probability of 3 x 10^-10."""
_BLOCK = "(policy = 'planner_intended' and variant in ('10', '11'))"


def counted(records: Records, further: str = "d") -> duckdb.DuckDBPyRelation:
    """A row per agent or control, checkpoint and variant, of episodes; counts as they are.

    further: a column that was joined to the episodes, to be kept.
    """
    relation = relation_of(records)
    if {*COUNTED} <= {*relation.columns}:  # counts already
        return relation
    labels = dict.fromkeys((*LABELS, f'"{further}"' if further not in ARM_COLUMNS else "d"))
    sql = _COUNTS.format(
        player=_PLAYER,
        labels=", ".join(labels),
        origin=", ".join(f"any_value({name}) as {name}" for name in ORIGIN),
        hashes=HASHES,
        is_block=_BLOCK,
    )
    with torn_file_named(relation):
        found = relation.query("records", sql)
        assert found is not None  # a select has a result
        return relation_of(found.to_arrow_table())


def write_counts(folder: Path, records: Records) -> None:
    """Equal counts give equal bytes."""
    table = counted(records).select(*ARM_COLUMNS, *COUNTED, HASHES).to_arrow_table()
    ordered = table.sort_by([(name, "ascending") for name in (*LABELS, *COUNTED)])
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
    wanted = [*ARM_COLUMNS, *COUNTED, HASHES]
    if missing := [name for name in wanted if name not in found.column_names]:
        raise ValueError(f"counts have the columns {', '.join(wanted)}; {file} lacks {missing}")
    return found.select(wanted)


def read_played(results: Path) -> duckdb.DuckDBPyRelation:
    """The counts of a folder, or of the episodes of its runs.

    Raises:
        ValueError: see `read_counts` and `read_records`.
    """
    counts = read_counts(results)
    return counted(read_records(results) if counts is None else counts)


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


def with_arms_of(played: Records, other: Records) -> pa.Table:
    """The counts of a folder, and those of other agents of its cells and settings, with their
    controls: arms that the folder lacks. Of what both hold, the folder's own.

    Raises:
        ValueError: see `together`.
    """
    own, more = (counted(each).to_arrow_table() for each in (played, other))
    cells, settings = "family, cell", "observation_mode, setting"
    connection = connect()
    connection.register("own", own)
    connection.register("more", more)
    fitting = connection.sql(
        f"select * from more where ({cells}) in (select ({cells}) from own) and (role <> 'agent' "
        f"or ({cells}, {settings}) in (select ({cells}, {settings}) from own where role = 'agent'))"
    )
    return together(fitting.to_arrow_table(), own)


def _seen(counts: pa.Table) -> list[Seen]:
    columns = ", ".join(("family", "cell", *DECLARATIONS, "variant", "eval_fingerprint"))
    rows = query(counts, f"select {columns}, list(distinct run_id) from records group by all")
    return [Seen(row[0], row[1], row[2:-3], *row[-3:]) for row in rows]


def shared_levels(records: Records) -> dict[tuple[str, str, str], dict[int, float]]:
    """(family, cell, variant) -> agent number -> share of the distinguishing levels of its block
    that the block of another number holds, too; without the planner's episodes, nothing.

    records: episodes or counts.
    """
    found: dict[tuple[str, str, str], dict[int, float]] = defaultdict(dict)
    for family, cell, variant, number, share in query(
        counted(records),
        f"""
        with held as (
            select distinct family, cell, variant, agent_number, unnest({HASHES}) as level
            from records where {_BLOCK}
        ), counted as (
            select *, count(*) over (partition by family, cell, variant, level) as blocks from held
        )
        select family, cell, variant, agent_number, avg((blocks > 1)::int)
        from counted group by all order by all
        """,
    ):
        found[family, cell, variant][number] = share
    return dict(found)
