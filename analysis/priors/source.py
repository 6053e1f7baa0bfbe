"""The source's tables: reads the two YAML files beside this module.

A table is a block of the YAML with the document, section and lines that it was printed in. Every
number in a table becomes a `Figure`, in the unit that the table states for its field.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from misgen.analysis.priors.figure import Figure, Range


@dataclass(frozen=True)
class Table:
    """One printed table. units: by field. body: the rest of the YAML block."""

    name: str
    source: str
    section: str
    lines: tuple[int, int]
    used_as: str
    units: Mapping[str, str]
    body: Mapping[str, Any]
    kind: str = "printed"

    @property
    def rows(self) -> dict[str, Mapping[str, Any]]:
        return {row["id"]: row for row in self.body["rows"]}

    def figure(self, fields: Mapping[str, Any], field: str, note: str = "") -> Figure:
        """The figure in `field` of a row (or of `body`); ValueError if it has no stated unit."""
        if field not in self.units:
            raise ValueError(f"{self.name} has no unit for {field}; got {[*self.units]}; state it")
        value, unit = _value(fields[field]), self.units[field]
        return Figure(value, unit, self.kind, self.source, self.section, self.lines, note)

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Every number in the table, with its path: `000.headline.p_emergence_range`."""
        yield from self._walk(self.name, "", self.body)

    def _walk(self, path: str, field: str, node: Any) -> Iterator[tuple[str, Figure]]:
        if isinstance(node, Mapping):
            for key, value in node.items():
                name = "" if key == "rows" else f".{key}"
                yield from self._walk(path + name, str(key), value)
        elif _is_range(node) or _is_number(node):
            yield path, self.figure({field: node}, field)
        elif isinstance(node, list):
            for i, item in enumerate(node):
                row = item.get("id", i) if isinstance(item, Mapping) else i
                yield from self._walk(f"{path}.{row}", field, item)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_range(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return _is_number(value[0]) and (value[1] is None or _is_number(value[1]))


def _value(value: Any) -> float | Range:
    if isinstance(value, list):
        low, high = value
        return float(low), math.inf if high is None else float(high)
    return float(value)


@cache
def source_tables() -> dict[str, Table]:
    """Tables of the source by name: "003.shift_types", "000.capability_scaling", ..."""
    data = _load("source_figures.yaml")
    tables = {}
    for document in ("003", "000", "001_002"):
        block = data[f"source_{document}"]
        for key, body in block.items():
            if isinstance(body, dict):
                where = (block["source"], body["section"], tuple(body["lines"]))
                tables[f"{document}.{key}"] = _table(f"{document}.{key}", body, *where)
    return tables


@cache
def external_tables() -> dict[str, Table]:
    """Tables of other revisions of the source's pages, by name: "external.capability_levels"."""
    data = _load("source_figures_external.yaml")
    tables = {}
    for key, body in data.items():
        if key not in ("schema_version", "sources"):
            page = data["sources"][body["source"]]
            section = f"{page['repo']}@{page['commit'][:8]}: {key}"
            name = f"external.{key}"
            tables[name] = _table(name, body, "external_revision", section, (0, 0), "external")
    return tables


def _table(
    name: str,
    block: Mapping[str, Any],
    source: str,
    section: str,
    lines: tuple[int, int],
    kind: str = "printed",
) -> Table:
    about = ("source", "section", "lines", "used_as", "units")
    body = {key: value for key, value in block.items() if key not in about}
    used_as, units = block.get("used_as", ""), block.get("units", {})
    return Table(name, source, section, lines, used_as, units, body, kind)


def documents() -> dict[str, dict[str, str]]:
    """Title and sha256 of the source's documents, by id."""
    sources: dict[str, dict[str, str]] = _load("source_figures.yaml")["sources"]
    return sources


@cache
def _load(name: str) -> dict[str, Any]:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    return data
