"""`misgen rates`: the rates of goal misgeneralization in a results folder."""

import shutil
import sys
from pathlib import Path
from typing import Any

from duckdb import ColumnExpression, ConstantExpression, DuckDBPyRelation

from misgen.analysis.blocks import check_column
from misgen.analysis.counts import ARM_COLUMNS, read_played
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.records import Records, query
from misgen.analysis.settings import by_setting, means, same_agents, seen_of
from misgen.analysis.table import rates_table
from misgen.analysis.table_text import format_headline, format_table, to_csv
from misgen.analysis.text import filled
from misgen.experiments.cli import Parser
from misgen.experiments.runs.folder import RESULTS_HELP, parse_flags, results_root
from misgen.experiments.runs.settings_table import settings_rows, table_of

DEFAULT_AGAINST = {"d": 1.0}
"""Columns whose control arm goes without saying; for these it may also be missing."""


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for a bad folder, column or value."""
    options = parse_flags(_parser(), argv)
    by, within = _factors(options.by)
    records, settings = records_along(options.study, by, within)
    twins = same_agents(settings)
    against = control_value(records, by, options.against)
    shares = seen_of(settings, "broken_share")
    rows = rates_table(records, by, against, broken_shares=shares)
    if twins:
        said = (
            f"warning: {len(twins)} agents stand in several arms or cells, bit by bit, because "
            f"these train on the same levels; the first: runs {' = '.join(twins[0])}"
        )
        print(filled(said, hanging=2), file=sys.stderr)
    if options.csv != "-":
        show = format_table if options.full else format_headline
        print(show(rows, shutil.get_terminal_size().columns), end="")
    if options.csv == "-":
        sys.stdout.write(to_csv(rows))
    elif options.csv:
        atomic_write_bytes(Path(options.csv), to_csv(rows).encode())
    return 0


def _factors(by: str) -> tuple[str, str]:
    """One column or two."""
    first, _, second = by.partition(",")
    if not first or "," in second or first == second:
        raise ValueError(f"--by takes a column or two, as num_levels,d; got {by!r}")
    return first, second


def records_along(
    study: str | None, by: str, within: str = ""
) -> tuple[DuckDBPyRelation, list[dict[str, Any]]]:
    """The records of the results folder, or of one study in it, with the columns to compare along;
    and the settings of their agents."""
    records, settings = read_played(results_root()), settings_rows(results_root())
    if study:
        records = of_study(records, study)
    if settings and not {by, within} <= {*ARM_COLUMNS, ""}:
        records = by_setting(records, table_of(settings), by, within)
    return records, settings


def _parser() -> Parser:
    parser = Parser(prog="misgen rates", description=__doc__, epilog=RESULTS_HELP)
    add = parser.add_argument
    text = (
        "what arms are compared along: d (the default), method, num_levels, features_dim, ...; "
        "of two, as num_levels,d, the first within each value of the second"
    )
    add("--by", default="d", metavar="COLUMN[,COLUMN]", help=text)
    add("--against", metavar="VALUE", help="its value in the control arm (default for d: 1)")
    add("--study", metavar="NAME", help="only the records of this study")
    text = "also all trained agents, cue-intact variants, agents in other cells, and the controls"
    add("--full", action="store_true", help=text)
    add("--csv", metavar="FILE", help="write every number here; - prints only them")
    return parser


def of_study(records: DuckDBPyRelation, name: str) -> DuckDBPyRelation:
    """The records of one study, and of the controls that studies share; ValueError where there is
    none."""
    sql = "select distinct study from records where study <> '' order by 1"
    found = [study for (study,) in query(records, sql)]
    if name not in found:
        raise ValueError(
            f"--study names a study of these records; got {name!r}; they have {', '.join(found)}"
        )
    return records.filter(ColumnExpression("study").isin(*map(ConstantExpression, (name, ""))))


def control_value(records: Records, by: str, text: str | None) -> Any:
    """The value of the column `by` that `text` means.

    Raises:
        ValueError: arms cannot be compared along the column, or no agent has this value.
    """
    check_column(by, records)
    if text is None and by in DEFAULT_AGAINST:
        return DEFAULT_AGAINST[by]
    found = query(records, f"select distinct \"{by}\" from records where role = 'agent' order by 1")
    values = [value for (value,) in found]
    for value in values:
        if text is not None and means(text, value):
            return value
    shown = ", ".join(map(str, values[:12])) + ", ..." * (len(values) > 12)
    raise ValueError(
        f"--against names a control arm by its value of {by!r}; got "
        f"{'none' if text is None else repr(text)}; these records have {shown}"
    )
