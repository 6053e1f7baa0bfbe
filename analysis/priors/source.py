"""The source's tables as figures: reads the two YAML files beside this module.

A table is a block of the YAML with the document, section and lines that it was printed in. Every
number in a table becomes a `Figure`; its unit follows from the field's name.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from misgen.analysis.priors.types import Figure, Range

FACTOR_FIELDS = {
    "p_capable": "p_capability_transfer",
    "p_goal_fail": "p_goal_fail_given_capability",
    "p_harm": "p_harm_given_failure",
}
"""The source's field of each factor."""
_UNITS = (  # the first part that occurs in a field's name decides
    ("_p_", "probability"),
    ("multiplier", "multiplier"),
    ("fraction", "fraction"),
    ("coordinate", "coordinate in 0..1"),
    ("specification_quality", "quality in 0..1"),
    ("auroc", "AUROC"),
    ("exponent", "exponent"),
    ("interval_level", "probability"),
    ("diversity_", "diversity score"),
    ("period_years", "calendar year"),
    ("investment_usd", "USD"),
    ("years", "years"),
    ("cases", "count"),
    ("ratio", "ratio"),
    ("factor", "factor"),
    ("shift_types", "shift type"),
    ("steps", "steps"),
    ("states", "states"),
    ("tokens", "tokens"),
    ("distribution_shifts", "distribution shifts"),
)
_PREFIX_UNITS = (("p_", "probability"), ("n_", "count"))
_EXTERNAL_UNITS = {
    "alpha": "exponent",
    "beta": "exponent",
    "greater_than": "diversity score",
    "less_than": "diversity score",
    "range": "coordinate in 0..1",
}


def unit_of(field: str) -> str:
    """The unit of a field, from its name; ValueError for a name that follows no rule."""
    for prefix, unit in _PREFIX_UNITS:
        if field.startswith(prefix):
            return unit
    for part, unit in _UNITS:
        if part in field:
            return unit
    if field in _EXTERNAL_UNITS:
        return _EXTERNAL_UNITS[field]
    raise ValueError(
        f"no unit is known for the field {field!r}: add it to misgen.analysis.priors.source"
    )


@dataclass(frozen=True)
class Table:
    """One printed table. `body` is the YAML block; `rows` by id, where the table has rows."""

    name: str
    source: str
    section: str
    lines: tuple[int, int]
    body: Mapping[str, Any]
    kind: str = "printed"

    @property
    def rows(self) -> dict[str, Mapping[str, Any]]:
        return {row["id"]: row for row in self.body["rows"]}

    def figure(self, fields: Mapping[str, Any], field: str, note: str = "") -> Figure:
        """The figure in `field` of a row (or of `body`)."""
        return self.make(fields[field], unit_of(field), note)

    def make(self, value: Any, unit: str, note: str = "") -> Figure:
        return Figure(_value(value), unit, self.kind, self.source, self.section, self.lines, note)

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Every number in the table, with its path."""
        yield from self._walk(self.name, "", self.body)

    def _walk(self, path: str, field: str, node: Any) -> Iterator[tuple[str, Figure]]:
        if isinstance(node, Mapping):
            for key, value in node.items():
                if key != "lines":
                    name = "" if key == "rows" else f".{key}"
                    yield from self._walk(path + name, str(key), value)
        elif _is_range(node) or _is_number(node):
            yield path, self.make(node, unit_of(field))
        elif isinstance(node, list) and len(node) == 3 and all(map(_is_number, node)):
            yield path, self.make(node[1], unit_of(field))
            yield f"{path}.range", self.make([node[0], node[2]], unit_of(field))
        elif isinstance(node, list):
            for i, item in enumerate(node):
                row = item.get("id", i) if isinstance(item, Mapping) else i
                yield from self._walk(f"{path}.{row}", field, item)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and _is_number(value[0])
        and (value[1] is None or _is_number(value[1]))
    )


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
    for block in ("source_003", "source_000", "source_001_002"):
        source = data[block]["source"]
        for key, body in data[block].items():
            if isinstance(body, dict):
                name = f"{block.removeprefix('source_')}.{key}"
                tables[name] = Table(name, source, body["section"], tuple(body["lines"]), body)
    return tables


@cache
def external_tables() -> dict[str, Table]:
    """Tables of other revisions of the source's pages, by name: "external.capability_levels"."""
    data = _load("source_figures_external.yaml")
    tables = {}
    for key, body in data.items():
        if key not in ("schema_version", "sources"):
            body = body if isinstance(body, dict) else {key: body}
            name = f"external.{key}"
            where = data["sources"][body.get("source", "gm_ancestor")]
            section = f"{where['repo']}@{where['commit'][:8]}: {key}"
            tables[name] = Table(name, "external_revision", section, (0, 0), body, "external")
    return tables


def documents() -> dict[str, dict[str, str]]:
    """Title and sha256 of the source's documents, by id."""
    sources: dict[str, dict[str, str]] = _load("source_figures.yaml")["sources"]
    return sources


def formulas() -> dict[str, dict[str, Any]]:
    """The formulas, reconstructed: the renderings lost them."""
    formulas = _load("source_figures.yaml")["formulas"]
    return {name: body for name, body in formulas.items() if name != "note"}


@cache
def _load(name: str) -> dict[str, Any]:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    return data
