"""`misgen risk source`: the source's tables as they are printed, and what they are used as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from misgen.analysis.priors.source import Table, documents, source_tables
from misgen.analysis.text import aligned, hint


def source_records(name: str) -> list[dict[str, str]]:
    """A row per table; of one table, a row per entry.

    Raises:
        ValueError: there is no such table.
    """
    tables = source_tables()
    if not name:
        return [_about(table) for table in tables.values()]
    short = {each.partition(".")[2]: each for each in reversed(tables)}
    known = short | {each: each for each in tables}
    if name not in known:
        raise ValueError(f"the source has no table {name!r}; {hint(name, known)}")
    table = tables[known[name]]
    numbers = {path: (_text(figure.value), figure.unit) for path, figure in table.figures()}
    words = {path: (text, "") for path, text in _words(table.name, table.body)}
    entries = sorted((words | numbers).items())
    return [
        {"entry": path.removeprefix(f"{table.name}."), "printed": printed, "unit": unit}
        for path, (printed, unit) in entries
    ]


def format_source(name: str, rows: list[dict[str, str]]) -> str:
    header = [key.replace("_", " ") for key in rows[0]]
    text = aligned(header, [[*row.values()] for row in rows], words=40)
    if not name:
        return text
    (about,) = [row for row in source_records("") if row["table"].endswith(name)][:1]
    title = documents()[about["document"]]["title"]
    return (
        f"{about['section']}: document {about['document']} ({title}), lines {about['lines']}\n"
        f"used as: {about['used_as']}\n\n{text}"
    )


def _about(table: Table) -> dict[str, str]:
    return {
        "table": table.name,
        "document": table.source,
        "lines": "{}-{}".format(*table.lines),
        "section": table.section,
        "used_as": table.used_as,
    }


def _text(value: float | tuple[float, float] | None) -> str:
    if isinstance(value, tuple):
        return "{:g} to {:g}".format(*value)
    return "-" if value is None else f"{value:g}"


def _words(path: str, node: Any) -> Iterator[tuple[str, str]]:
    """What is printed in words."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key != "id":
                yield from _words(path if key == "rows" else f"{path}.{key}", value)
    elif isinstance(node, list):
        for k, item in enumerate(node):
            name = item.get("id", k) if isinstance(item, Mapping) else k
            yield from _words(f"{path}.{name}", item)
    elif isinstance(node, str):
        yield path, node
