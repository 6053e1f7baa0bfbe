"""What does not add up in the source: the findings of audit.yaml.

Printed values stay the defaults of every prior set. Where another printed figure, or arithmetic,
says something else, a finding says so: what is printed, what follows, and what this project does
about it. tests/analysis/test_audit_findings.py computes every number of every finding from the
printed figures. `warn(topic)` gives the lines that concern a result, each once per process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import yaml

from misgen.analysis.priors import PriorSet, load_priors
from misgen.analysis.priors.types import twelve_digits
from misgen.analysis.text import filled

TOPICS = (
    "shift_types",
    "modifiers",
    "domains",
    "timeline",
    "interventions",
    "meta_analysis",
    "mesa",
    "citations",
    "context",
)


@dataclass(frozen=True)
class AuditItem:
    """One finding. id: "B1.harm". printed: what the source says. derived: what follows.

    treatment: what this project does. where: the topics of results that it concerns; a result
    carries it as a warning only if is_warning, the others are listed by `misgen risk audit`.
    """

    id: str
    title: str
    printed: str
    derived: str
    treatment: str
    where: tuple[str, ...]
    is_warning: bool = False

    @property
    def line(self) -> str:
        return f"{self.id} {self.title}: printed {self.printed}; {self.derived}"


def audit(priors: PriorSet | None = None) -> list[AuditItem]:
    """Every finding, B1 to B12, but for those that rest on a figure that the set replaces."""
    replaced = _replaced(priors) if priors is not None else set()
    return [
        item
        for item, rests_on in findings().items()
        if not any(fnmatchcase(name, figure) for figure in rests_on for name in replaced)
    ]


@cache
def findings() -> dict[AuditItem, tuple[str, ...]]:
    """The findings of audit.yaml, each with the figures that it rests on."""
    entries = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    rests_on = [tuple(entry.pop("rests_on", ())) for entry in entries]
    items = [AuditItem(**{**entry, "where": tuple(entry["where"])}) for entry in entries]
    return dict(zip(items, rests_on, strict=True))


def _replaced(priors: PriorSet) -> set[str]:
    """The figures of the source that have another value in this set."""
    own, printed = priors.figures, load_priors().figures
    return {
        name
        for name, value in printed.items()
        if twelve_digits(own.get(name)) != twelve_digits(value)
    }


_given: set[str] = set()


def warn(topic: str, priors: PriorSet | None = None) -> list[str]:
    """The one-line warnings of a topic that this process has not been given yet."""
    new = [line for line in warnings_of(topic, priors) if line not in _given]
    _given.update(new)
    return new


def warnings_of(topic: str, priors: PriorSet | None = None) -> list[str]:
    """All one-line warnings of a topic, however often they were given."""
    if topic not in TOPICS:
        raise ValueError(f"no audit topic {topic!r}; choose {', '.join(TOPICS)}")
    return [item.line for item in audit(priors) if item.is_warning and topic in item.where]


def format_audit(items: Sequence[AuditItem]) -> str:
    """Plain text: a heading per finding, marked * if results carry it, and three lines below."""
    blocks = ["* = given as a warning beside the results that it concerns"]
    for item in items:
        title = f"{item.id}{'*' * item.is_warning}  {item.title}  ({', '.join(item.where)})"
        lines = [filled(title, hanging=2)]
        rows = (("printed", item.printed), ("follows", item.derived), ("here", item.treatment))
        lines += [filled(f"  {name:<9}{text}", hanging=11) for name, text in rows if text]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"
