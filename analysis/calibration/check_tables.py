"""How far a calibration can be trusted, as tables."""

import math

from misgen.analysis.calibration.factor_tables import listed
from misgen.analysis.calibration.summary import Summary, TypeSummary
from misgen.analysis.tables import Table, Value
from misgen.analysis.text import number
from misgen.analysis.words import PRODUCTS, RATE_NAMES, modifier_words


def conflicts(summary: Summary) -> Table:
    found = summary.conflicts
    rows: list[list[Value]] = [
        [
            row.cell if row.enters else f"({row.cell})", RATE_NAMES[row.factor], row.agents,
            row.source,
            row.predictive._replace(value=math.nan), row.measured, row.tail,
            "conflict" if row.flagged else "",
        ]
        for row in found.rows
    ]  # fmt: skip
    header = ["cell", "factor", "agents", "source", "predicted", "measured", "tail", "flag"]
    note = (
        f"{found.flagged} of {found.tests} flagged (two-sided tail below {found.tail:g}); chance "
        f"alone would flag {found.expected_by_chance:.1f}. predicted: central 90 % of a cell of "
        f"the type by the prior, at this kappa and phi = {summary.settings.phi:g}. (cell): not "
        "read by combine."
    )
    return Table("Do the measured rates contradict the source?", header, rows, note)


FITS = ("yes", "open", "no")
"""Whether the source fits the agents: the posterior lets go of it at none, at some, at all of the
weights from half to twice the one asked for."""


def wide_weights(summary: Summary, row: TypeSummary) -> dict[float, float]:
    """Of how many observations the source's numbers of a type speak -> the weight of the wide part,
    which lets go of them."""
    kappa = summary.settings.kappa
    weights = {
        one.value: one.wide_weight
        for one in summary.sweep
        if one.what == "kappa" and one.type == row.type and kappa / 2 <= one.value <= 2 * kappa
    }
    return dict(sorted((weights | {kappa: row.wide_weight}).items()))


def lets_go(summary: Summary, row: TypeSummary) -> list[bool]:
    """Whether the posterior lets go, at each of these weights."""
    return [one > summary.conflicts.wide_flag for one in wide_weights(summary, row).values()]


def fits(summary: Summary, row: TypeSummary) -> str:
    """One of FITS; "-" for a type that no cell tests."""
    gone = lets_go(summary, row)
    return FITS[any(gone) + all(gone)] if row.cells else "-"


def wide(summary: Summary) -> Table:
    found = summary.conflicts
    rows: list[list[Value]] = [
        [row.title, listed(row.cells), found.wide_prior_weight, row.wide_weight, fits(summary, row)]
        for row in summary.types
        if row.cells
    ]
    note = (
        "Weight of the prior's wide part, worth 2 observations, which lets go of the source above "
        f"{number(found.wide_flag)}. The source fits: no, if so at every kappa from half to twice "
        "the one used; open, if at some."
    )
    header = ["type", "cells", "before the data", "after", "fits?"]
    return Table("Does the posterior let go of the source?", header, rows, note)


_SWEPT = {
    "kappa": (
        "How much the prior's weight matters",
        "kappa: of how many observations the source speaks; used: {:g}, or a type's own.",
    ),
    "phi": (
        "How much the weight of a cell matters",
        "A cell counts as phi + 1 observations, times power; used: {:g}.",
    ),
}


def sweep(summary: Summary, what: str) -> Table:
    """what: "kappa" or "phi"."""
    rows: list[list[Value]] = [
        [
            kind.title, f"{row.value:g}",
            *(rates[rate] if rates else None
              for rate in PRODUCTS for rates in (row.prior, row.combine)),
            row.wide_weight,
        ]
        for kind in summary.types
        for row in summary.sweep
        if (row.type, row.what) == (kind.type, what)
    ]  # fmt: skip
    header = ["type", what, "p_gm prior", "p_gm combine", "p_harmful_gm prior",
              "p_harmful_gm combine", "wide prior"]  # fmt: skip
    title, note = _SWEPT[what]
    used = getattr(summary.settings, what)
    return Table(title, header, rows, note.format(used), keys=2)


def log_sds(summary: Summary) -> Table:
    rows: list[list[Value]] = [
        [f"{row.log_sd:g}", modifier_words(f"{row.modifier}/{row.level}"), row.prior, row.combine]
        for row in summary.log_sd_sweep
    ]
    note = f"The calibration itself uses log-sd = {summary.settings.log_sd:g}."
    title = "How much the spread of the source's multipliers matters"
    return Table(title, ["log-sd", "level", "source", "combine"], rows, note, keys=2)


_FORECASTERS = {"model": "model", "source": "source's prior", "pooled": "pooled rate"}


def held_out(summary: Summary) -> Table:
    found = summary.held_out
    rows: list[list[Value]] = [
        [row.left_out, row.cell, row.agents, row.measured,
         *(value for who in _FORECASTERS for value in vars(getattr(row, who)).values())]
        for row in found.rows
    ]  # fmt: skip
    header = ["left out", "cell", "agents", "measured"]
    header += [
        f"{who} {what}".rstrip() for who in _FORECASTERS.values() for what in ("", "log", "Brier")
    ]
    note = "log score -ln p [nats] and Brier score, the lower the better.\n" + found.verdict
    return Table("Held-out prediction of p_gm", header, rows, note, keys=2)
