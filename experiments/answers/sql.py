"""`misgen sql`: one question to the runs, agents and episodes of a results folder, in SQL.

Without a question it says which views and columns there are.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.text import WIDTH, aligned, filled, hint
from misgen.experiments.cli import Parser
from misgen.experiments.runs.folder import RESULTS_HELP, results_root
from misgen.experiments.views import VIEWS, connect

SHOWN = 100  # rows of the table
_SHORTEST = 8  # to which a text is cut
_AT_ONCE = 10_000
_EXAMPLES = """for example:
  misgen sql "select state, kind, count(*) from runs group by all"
  misgen sql "select cell, avg(goal_failed_11/scored_11) from agents group by 1"
  misgen sql --csv agents.csv "from agents"
"""


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for a wrong query, or records that cannot be read."""
    options = _parser().parse_args(argv)
    if len(options.query) > 1:
        raise ValueError(
            "a question is one word to the shell, so it stands in quotes; got several; write "
            f'misgen sql "{" ".join(options.query)}"'
        )
    if not options.query:
        print(_described(), end="")
        return 0
    answer = _ask(results_root(), options.query[0])
    if options.csv == "-":
        sys.stdout.writelines(_csv(answer))
    elif options.csv:
        atomic_write_bytes(Path(options.csv), "".join(_csv(answer)).encode())
        print(f"written: {options.csv}", file=sys.stderr)
    else:
        print(_table(answer))
    return 0


def _parser() -> Parser:
    parser = Parser(prog="misgen sql", description=__doc__, epilog=RESULTS_HELP)
    parser.add_argument(
        "query", nargs="*", help='as "select kind, count(*) from runs group by all"'
    )
    text = f"write every row here; - prints them (default: a table of the first {SHOWN})"
    parser.add_argument("--csv", metavar="FILE", help=text)
    return parser


def _described() -> str:
    """The views and their columns, in words."""
    lines = []
    for name, view in VIEWS.items():
        lines.append(filled(f"{name}: {view.row}", hanging=2))
        for columns, words in view.columns.items():
            lines.append(filled(f"  {columns.replace(' ', ', ')}: {words}", hanging=6))
        lines.append("")
    return "\n".join([*lines, _EXAMPLES])


# --- The answer ----------------------------------------------------------------------------------


def _ask(results: Path, query: str) -> duckdb.DuckDBPyConnection:
    """ValueError for what is no question, or a wrong one."""
    words = {word.lower() for word in re.findall(r"\w+", query)}
    try:
        statements = duckdb.extract_statements(query)
        if [each.type for each in statements] not in _QUESTIONS or "copy" in words:
            raise ValueError(
                f"a question is one SELECT (or FROM, PIVOT, DESCRIBE, SUMMARIZE); got {query!r}; "
                "nothing is written here: --csv FILE keeps an answer"
            )
        return connect(results, VIEWS.keys() & words).execute(query)
    except duckdb.Error as error:
        raise ValueError(_reason(error)) from error


# MULTI: a PIVOT whose columns are found first; COPY of one is MULTI, too.
_QUESTIONS = ([duckdb.StatementType.SELECT], [duckdb.StatementType.MULTI])


def _reason(error: duckdb.Error) -> str:
    """DuckDB's first line, and the names that it found near."""
    first, *others = [line.strip() for line in str(error).splitlines() if line.strip()]
    if table := re.search(r"Table with name (\w+) does not exist", first):
        return f"{first} {hint(table[1], VIEWS)}"
    near = (line for line in others if line.startswith(("Candidate bindings", "Did you mean")))
    return "; ".join([first, *near, "`misgen sql` alone lists all columns"])


def _rows(answer: duckdb.DuckDBPyConnection, at_once: int) -> list[tuple[Any, ...]]:
    """The next ones; ValueError where they cannot be computed."""
    try:
        return answer.fetchmany(at_once)
    except duckdb.Error as error:
        raise ValueError(_reason(error)) from error


def _csv(answer: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """In parts. What is null or NaN is empty, bytes are hexadecimal."""
    rows: Sequence[Sequence[Any]] = [_names(answer)]
    while rows:
        part = io.StringIO()
        csv.writer(part, lineterminator="\n").writerows([*map(_csv_cell, row)] for row in rows)
        yield part.getvalue()
        rows = _rows(answer, _AT_ONCE)


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return "" if value != value else value


def _table(answer: duckdb.DuckDBPyConnection) -> str:
    rows = _rows(answer, SHOWN + 1)
    lines = [[*map(_cell, row)] for row in rows[:SHOWN]]
    more = f"\nthe first {SHOWN} rows; --csv FILE keeps all" if len(rows) > SHOWN else ""
    return aligned(_names(answer), _fitted(_names(answer), lines)) + more


def _names(answer: duckdb.DuckDBPyConnection) -> list[str]:
    return [name for name, *_ in answer.description or ()]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
    return str(value)


def _fitted(names: Sequence[str], lines: list[list[str]]) -> list[list[str]]:
    """The longest texts cut, where the table then fits the terminal."""
    least = [*map(len, names)]
    widths = [max(map(len, column)) for column in zip(names, *lines, strict=True)]
    room = shutil.get_terminal_size((WIDTH, 24)).columns - 2 * (len(names) - 1)
    for cut in range(max(widths), _SHORTEST - 1, -1):
        kept = [min(own, max(cut, name)) for own, name in zip(widths, least, strict=True)]
        if sum(kept) <= room:
            return [[*map(_cut, line, kept)] for line in lines]
    return lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
