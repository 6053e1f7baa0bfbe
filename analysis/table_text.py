"""Rows of `misgen.analysis.table` as text and CSV."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from misgen.analysis.blocks import CUE_BROKEN
from misgen.analysis.intervals import Estimate
from misgen.analysis.rates import Rates
from misgen.analysis.table import NO_OTHER, Row, join_notes
from misgen.analysis.text import WIDTH, aligned, as_csv, number, span
from misgen.analysis.verdicts import Verdict


def _reasons(row: Row) -> str:
    """Why numbers are missing from a row, each reason once."""
    reasons = [value.reason for value in vars(row).values() if isinstance(value, Estimate)]
    if row.variant not in CUE_BROKEN:
        reasons = [reason for reason in reasons if "agent" in reason] + ["capability only"]
    return join_notes(row.note, *reasons)


_LEGEND = """\
broken: share of training levels whose cue is really broken. own: success on held-out levels of the
own training distribution; competent: from .8 of the planner's on. int/prox/neither: shares of
levels, sum 1: capable and the goal kept, capable and the goal fails, not capable. goal fails:
given capable; harm: given both, with * by construction of the cell and no finding; gm = capable x
goal fails = prox. Means over agents, [central 90 % over agents]; bounds: gm had the other agents
never failed, or always. - control: minus the control arm; verdict: a permutation test over agents
at .05."""
_HEADLINE_LEGEND = """\
own: success on held-out levels of the own training distribution; competent: from .8 of the
planner's on. int/prox/neither: shares of levels, sum 1: capable and the goal kept, capable and the
goal fails, not capable. goal fails: given capable; gm: capable and it fails. Means over agents,
[central 90 % over agents]. - control: minus the control arm, * differs from it by a permutation
test over agents at .05."""
_IDENTIFIED = """\
identified: the d = 1 control is assessable (more capable than a random policy and the best constant
action), goal fails <= .10 among its competent agents, and random capable <= .3; where the answer is
no, quote the differences only."""


def format_headline(rows: Sequence[Row], width: int = WIDTH) -> str:
    """Plain text: competent agents in the cell of their training, where its cue is broken. Where no
    rows are of these, all of them as by `format_table`."""
    own = [row for row in rows if row.train_distribution == row.cell and row.variant in CUE_BROKEN]
    at_home = _told_apart(own)
    everyone = [row for row in at_home if row.population == "all trained"]
    trained = {(*_where(row), row.family): row.agents for row in everyone}
    shown = [row for row in at_home if row.population == "competent"]
    if not shown:
        return format_table(rows, width)
    reasons = [
        join_notes(_reasons(row), row.verdict_p_gm.reason.replace(NO_OTHER, "")) for row in shown
    ]
    notes = list(dict.fromkeys(filter(None, reasons)))
    lines = [
        [
            *_where(row),
            f"{row.agents}/{trained.get((*_where(row), row.family), row.agents)}",
            number(row.own_success),
            _split(row),
            span(row.p_goal_fail),
            span(row.p_gm),
            span(row.difference_p_gm) + " *" * row.verdict_p_gm.differs,
            ("yes" if row.identified else "no") + (f" ({notes.index(why) + 1})" if why else ""),
        ]
        for row, why in zip(shown, reasons, strict=True)
    ]
    header = "cell,variant,arm,agents,own,int/prox/neither,goal fails,gm,gm - control,identified"
    more = (
        f"{len(rows) - len(shown)} more rows (all trained agents, cue-intact variants, agents in "
        "other cells) and the controls: --full; every number: --csv FILE."
    )
    words = (
        "Competent agents, of all trained ones, where the cue of their cell is broken",
        aligned(header.split(","), lines, keys=3, width=width),
        _footnotes(notes, width),
        textwrap.fill(f"{_HEADLINE_LEGEND} {_IDENTIFIED}", width),
        textwrap.fill(more, width),
    )
    return "\n\n".join(filter(None, words)) + "\n"


def format_table(rows: Sequence[Row], width: int = WIDTH) -> str:
    """Plain text: the rates and their notes, then the controls on the same and on all levels."""
    rows = _told_apart(rows)
    notes = list(dict.fromkeys(filter(None, map(_reasons, rows))))
    rates = aligned(
        "cell,variant,arm,population,broken,agents x levels,own,int/prox/neither,capable,"
        "goal fails,gm,harm,goal fails - control,gm - control,verdict on gm,identified,"
        "note".split(","),
        [[*_rates_line(row), _mark(row, notes)] for row in rows],
        keys=4,
        width=width,
    )
    parts = [
        rates,
        _footnotes(notes, width),
        textwrap.fill(f"{_LEGEND} {_IDENTIFIED}", width),
        *_control_tables(rows, width),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _footnotes(notes: Sequence[str], width: int) -> str:
    return "\n".join(
        textwrap.fill(f"({i}) {note}", width, subsequent_indent="    ")
        for i, note in enumerate(notes, 1)
    )


def _told_apart(rows: Sequence[Row]) -> list[Row]:
    """Rows whose cell is told with its family where two families have one of this code."""
    families: dict[str, set[str]] = {}
    for row in rows:
        families.setdefault(row.cell, set()).add(row.family)
    return [
        replace(row, cell=f"{row.family} {row.cell}") if len(families[row.cell]) > 1 else row
        for row in rows
    ]


def _mark(row: Row, notes: Sequence[str]) -> str:
    reasons = _reasons(row)
    return f"({notes.index(reasons) + 1})" if reasons else ""


def _where(row: Row) -> list[str]:
    mode = "" if row.observation_mode == "planes" else f" {row.observation_mode}"
    return [f"{row.cell}{mode}", row.variant, row.label]


def _rates_line(row: Row) -> list[str]:
    return [
        *_where(row),
        row.population,
        number(row.broken_share),
        f"{row.agents} x {row.levels}",
        number(row.own_success),
        _split(row),
        span(row.p_capable),
        span(row.p_goal_fail),
        span(row.p_gm),
        _harm(row),
        span(row.difference_goal_fail),
        span(row.difference_p_gm),
        "" if row.population == "bounds" else str(row.verdict_p_gm),
        "yes" if row.identified else "no",
    ]


def _split(row: Row) -> str:
    if math.isnan(row.proxy):
        return "-"
    return "/".join(map(number, (row.intended, row.proxy, row.neither)))


def _harm(row: Row) -> str:
    given = not math.isnan(row.p_harm.value) and row.harm_by_construction
    return number(row.p_harm.value) + "*" * given


def _control_tables(rows: Sequence[Row], width: int) -> Iterator[str]:
    """Two titled tables; levels that do not distinguish exist only where the cue is broken."""
    policies = sorted({policy for row in rows for policy in row.controls_all_levels})
    rows = [row for row in rows if row.population == "competent"]
    broken = [row for row in rows if row.variant in CUE_BROKEN]
    where = ["cell", "variant", "arm"]
    yield textwrap.fill(
        "Controls on the same levels: capable / goal fails. Of an agent's levels, distinguish: "
        "those that tell the goals apart, duplicates: those that repeat another one, shared: of "
        "the distinguishing ones those that another agent's block holds, too.",
        width,
    )
    yield aligned(
        [*where, "distinguish", "duplicates", "shared", *policies],
        [
            [
                *_where(row),
                number(row.distinguishing_share),
                number(row.duplicate_share),
                number(row.shared_share),
                *_pairs(row.controls, policies),
            ]
            for row in rows
        ],
        keys=3,
        width=width,
    )
    if broken:
        yield "Controls on all levels, not only distinguishing ones: capable / goal fails"
        yield aligned(
            [*where, *policies],
            [[*_where(row), *_pairs(row.controls_all_levels, policies)] for row in broken],
            keys=3,
            width=width,
        )


def _pairs(controls: Mapping[str, Rates], policies: Sequence[str]) -> list[str]:
    return [
        " / ".join(map(number, controls[policy][:2])) if policy in controls else "-"
        for policy in policies
    ]


def to_csv(rows: Sequence[Row]) -> str:
    """Every number of the table under its full name; NaN is empty."""
    return as_csv([_flat(row) for row in rows])


def _flat(row: Row) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in vars(row).items():
        if isinstance(value, Estimate):
            flat |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
        elif isinstance(value, Verdict):
            flat |= {f"{name}_p": value.p}
        elif name not in ("controls", "controls_all_levels", "has_other_settings", "dots"):
            flat[name] = value
    flat |= {"intended": row.intended, "proxy": row.proxy, "neither": row.neither}
    for levels, controls in (("", row.controls), ("_all_levels", row.controls_all_levels)):
        for policy, rates in controls.items():
            flat[f"{policy}_capable{levels}"] = rates.p_capable
            flat[f"{policy}_goal_fail{levels}"] = rates.p_goal_fail
    return flat | {"note": _reasons(row)}
