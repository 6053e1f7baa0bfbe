"""How agents were trained, beside the records of how they played: one row per evaluated agent.

`settings.parquet` in a results folder, or made from its training runs by `misgen.experiments`. What
a study varied beyond d, q and the method (the number of levels, the network, the steps, ...) is a
column there, and can be compared along like a column of the records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.counts import ARM_COLUMNS
from misgen.analysis.files import utf8
from misgen.analysis.records import Records, relation_of
from misgen.analysis.text import hint

FILE_NAME = "settings.parquet"
AGENT = ("run_id", "train_id", "setting", "weights_sha256", "seconds", "cpu_seconds", "episodes",
         "broken_draws")  # fmt: skip
SEEN = ("broken_share", "d_distinguishing", "broken_episodes")
"""Columns that are of an agent; all others are of its setting (see `records.SCHEMA`)."""


def read_settings(results: Path) -> pa.Table | None:
    """The file of a results folder; None where there is none."""
    file = results / FILE_NAME
    return pq.read_table(utf8(file)) if file.is_file() else None


def by_setting(
    records: Records, settings: pa.Table, by: str, within: str = ""
) -> duckdb.DuckDBPyRelation:
    """The records with the column `by` of their agents' settings, if it is one of them, of agents
    without such a setting as 0 or none; in `setting` what else tells two settings apart, so that
    arms that differ in `by` alone have one.

    within: a second column: its name and value are said in `setting`.

    Raises:
        ValueError: there is no such column.
    """
    columns = [name for name in settings.column_names if name not in (*AGENT, *SEEN)]
    for asked in filter(None, (by, within)):
        if asked not in (*columns, *ARM_COLUMNS):
            known = (*ARM_COLUMNS, *columns)
            raise ValueError(
                f"`by` is a column of the records or settings; got {asked!r}; {hint(asked, known)}"
            )
    rows, all_rows = {}, settings.select(["setting", *columns]).to_pylist()
    absent = "none" if any(isinstance(row.get(by), str) for row in all_rows) else 0
    for row in all_rows:
        others = repr([row[name] for name in columns if name not in (by, within)])
        rest = hashlib.sha256(others.encode()).hexdigest()[:16]
        if within in columns:
            rest = f"{within}={row[within]} {rest}"
        value = absent if by in columns and row[by] is None else row.get(by)
        rows[row["setting"]] = (row["setting"], value, rest)
    known_ones = ", ".join(f"({', '.join(map(_literal, row))})" for row in rows.values())
    added = f', s."{by}"' if by in columns else ""
    joined = relation_of(records).query(
        "records",
        f"select r.* replace (coalesce(s.rest, r.setting) as setting){added} from records r "
        f'left join (values {known_ones}) s(setting, "{by}", rest) on r.setting = s.setting',
    )
    assert joined is not None  # a select has a result
    return joined


def _literal(value: Any) -> str:
    """As SQL writes it."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "null" if value is None else str(value)


def rows_of(settings: pa.Table | None) -> list[dict[str, Any]]:
    """A row per evaluated agent; none without settings."""
    return [] if settings is None else settings.to_pylist()


def seen_of(rows: Iterable[Mapping[str, Any]], column: str) -> Mapping[str, float]:
    """Run id -> what training saw, one of SEEN; of the runs that have it."""
    return {row["run_id"]: row[column] for row in rows if row.get(column) is not None}


def same_agents(rows: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Groups of runs whose agents have equal weights: one agent, though it stands in several arms.
    So it is where a small set of levels holds no broken one, and without the cue in cells that
    differ in it alone (M1 to M5). None where weights are not told, as
    in settings that were published up to 0.3."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if "weights_sha256" in row:
            groups.setdefault(row["weights_sha256"], []).append(row["run_id"])
    return [runs for runs in groups.values() if len(runs) > 1]


def means(text: str, value: Any) -> bool:
    """Whether a user's word is a value of a column. Numbers are compared: 1 means 1.0."""
    try:
        return bool(float(text) == value)
    except ValueError:
        return text == str(value)
