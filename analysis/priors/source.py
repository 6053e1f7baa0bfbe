"""The source's tables: reads the two YAML files beside this module.

A table is a block of the YAML with the document, section and lines that it was printed in. Every
number in a table becomes a `Figure`, in the unit that the table states for its field.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Range = tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """One number, or a (low, high) range, with where it comes from.

    kind: "printed" in the source; "derived" from printed figures by arithmetic; "external", from
    other revisions of the source's pages; "user", from a file. source: "000" to "003", or a name;
    lines: first and last of the rendering or the file, (0, 0) if none. An open end is inf.
    """

    value: float | Range
    unit: str
    kind: str
    source: str
    section: str
    lines: tuple[int, int]
    note: str = ""

    @property
    def number(self) -> float:
        if not isinstance(self.value, float):
            raise TypeError(f"a single number is needed here; got {self.value} ({self.section})")
        return self.value

    @property
    def range(self) -> Range:
        if not isinstance(self.value, tuple):
            raise TypeError(f"a (low, high) range is needed here; got {self.value}")
        return self.value

    def derived(self, value: float | Range, note: str) -> "Figure":
        """What follows from this figure and others beside it."""
        return replace(self, value=value, kind="derived", note=note)


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
        for path, field, value in self.entries():
            if not isinstance(value, str):
                yield path, self.figure({field: value}, field)

    def entries(self) -> Iterator[tuple[str, str, Any]]:
        """(path, field, value) of every number, range and text."""
        yield from _entries(self.name, "", self.body)


def _entries(path: str, field: str, node: Any) -> Iterator[tuple[str, str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key != "id":
                yield from _entries(path if key == "rows" else f"{path}.{key}", str(key), value)
    elif isinstance(node, list) and not _is_range(node):
        for i, item in enumerate(node):
            row = item.get("id", i) if isinstance(item, Mapping) else i
            yield from _entries(f"{path}.{row}", field, item)
    elif node is not None:
        yield path, field, node


def _is_range(values: list[Any]) -> bool:
    """Two numbers, of which the second may be open."""
    is_open = [isinstance(value, int | float) or value is None for value in values]
    return len(values) == 2 and all(is_open) and values[0] is not None


def _value(value: Any) -> float | Range:
    if isinstance(value, list):
        low, high = value
        return float(low), math.inf if high is None else float(high)
    return float(value)


@cache
def source_tables() -> dict[str, Table]:
    """Tables of the source by name: "003.shift_types", "000.capability_scaling", ..."""
    data = _load("source_figures.yaml")
    return {
        f"{document}.{key}": _table(
            block,
            name=f"{document}.{key}",
            source=data[f"source_{document}"]["source"],
            section=block["section"],
            lines=tuple(block["lines"]),
        )
        for document in ("003", "000", "001_002")
        for key, block in data[f"source_{document}"].items()
        if isinstance(block, dict)
    }


@cache
def external_tables() -> dict[str, Table]:
    """Tables of other revisions of the source's pages, by name: "external.capability_levels"."""
    data = _load("source_figures_external.yaml")
    pages = {key: f"{page['repo']}@{page['commit'][:8]}" for key, page in data["sources"].items()}
    return {
        f"external.{key}": _table(
            block,
            name=f"external.{key}",
            source="external_revision",
            section=f"{pages[block['source']]}: {key}",
            lines=(0, 0),
            kind="external",
        )
        for key, block in data.items()
        if key not in ("schema_version", "sources")
    }


def _table(block: Mapping[str, Any], **about: Any) -> Table:
    known = ("source", "section", "lines", "used_as", "units")
    body = {key: value for key, value in block.items() if key not in known}
    used_as, units = block.get("used_as", ""), block.get("units", {})
    return Table(used_as=used_as, units=units, body=body, **about)


def documents() -> dict[str, dict[str, str]]:
    """Title and sha256 of the source's documents, by id."""
    sources: dict[str, dict[str, str]] = _load("source_figures.yaml")["sources"]
    return sources


@cache
def _load(name: str) -> dict[str, Any]:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    return data
