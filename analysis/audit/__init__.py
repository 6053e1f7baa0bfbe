"""What does not add up in the source, computed from its printed figures.

Printed values stay the defaults of every prior set. Where another printed figure, or arithmetic,
says something else, an item here says so: what is printed, what follows, and what this project
does about it. `warn(topic)` gives the lines that concern a result, each once per process.
"""

from collections.abc import Sequence
from functools import cache
from textwrap import wrap

from misgen.analysis.audit import deployment as audit_deployment
from misgen.analysis.audit import evidence as audit_evidence
from misgen.analysis.audit import mesa as audit_mesa
from misgen.analysis.audit import modifiers as audit_modifiers
from misgen.analysis.audit import shifts as audit_shifts
from misgen.analysis.audit.item import AuditItem
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import PriorSet

__all__ = ["TOPICS", "AuditItem", "audit", "format_audit", "warn", "warnings_of"]

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


def audit(priors: PriorSet | None = None) -> list[AuditItem]:
    """Every finding, B1 to B12, computed from the figures of a set (default: the taxonomy).

    A finding that the set's figures no longer show is left out.
    """
    return _of_taxonomy() if priors is None else _findings(priors)


@cache
def _of_taxonomy() -> list[AuditItem]:
    return _findings(load_priors())


def _findings(priors: PriorSet) -> list[AuditItem]:
    parts = (audit_shifts, audit_modifiers, audit_evidence, audit_deployment, audit_mesa)
    items = [item for part in parts for item in part.findings(priors)]
    return sorted(items, key=lambda item: int(item.id[1:].split(".")[0]))


_given: set[str] = set()


def warn(topic: str, priors: PriorSet | None = None, *, strict: bool = False) -> list[str]:
    """The one-line warnings of a topic that this process has not been given yet.

    With `strict`, a warning is an error: ValueError with all lines of the topic.
    """
    lines = warnings_of(topic, priors)
    if strict and lines:
        raise ValueError("strict allows no audit warning; got\n" + "\n".join(lines))
    new = [line for line in lines if line not in _given]
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
        head = f"{item.id}{'*' * item.is_warning}  {item.title}  ({', '.join(item.where)})"
        rows = (("printed", item.printed), ("follows", item.derived), ("here", item.treatment))
        lines = [line for name, text in rows for line in _row(name, text)]
        blocks.append("\n".join([head, *lines]))
    return "\n\n".join(blocks) + "\n"


def _row(name: str, text: str) -> list[str]:
    return wrap(text, 100, initial_indent=f"  {name:<9}", subsequent_indent=" " * 11)
