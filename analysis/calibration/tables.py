"""The tables of a calibration, each once: for the terminal, the CSV files and the page."""

from collections.abc import Callable, Sequence
from functools import partial
from textwrap import fill

from misgen.analysis.calibration.check_tables import conflicts, held_out, log_sds, sweep, wide
from misgen.analysis.calibration.factor_tables import attrition, condition, factors
from misgen.analysis.calibration.modifier_tables import (
    doses,
    multipliers,
    not_identified,
    pairs,
    ratios,
    slopes,
)
from misgen.analysis.calibration.summary import Summary
from misgen.analysis.tables import Table
from misgen.analysis.text import WIDTH

ANSWER = ("factors", "conflicts", "wide")
"""What `misgen calibrate` prints; everything is in calibration.txt."""


def tables_of(summary: Summary) -> dict[str, Table]:
    """Name of its CSV file -> table; those with nothing to say are left out."""
    makers: dict[str, Callable[[Summary], Table]] = {
        "factors": factors,
        "conflicts": conflicts,
        "wide": wide,
        "attrition": attrition,
        "condition": condition,
        "modifiers": multipliers,
        "not_identified": not_identified,
        "ratios": ratios,
        "slopes": slopes,
        "doses": doses,
        "pairs": pairs,
        "held_out": held_out,
        "kappa": partial(sweep, what="kappa"),
        "phi": partial(sweep, what="phi"),
        "log_sd": log_sds,
    }
    return {name: table for name, make in makers.items() if (table := make(summary)).rows}


def files_of(summary: Summary) -> dict[str, str]:
    """File name -> text: a CSV file a table, and all of it to read."""
    tables = tables_of(summary)
    text = "\n".join([*(table.as_text() for table in tables.values()), notes(summary)])
    return {f"{name}.csv": table.as_csv() for name, table in tables.items()} | {
        "calibration.txt": text
    }


def answer(summary: Summary) -> str:
    """The tables that say what was found, the warnings that change it, and how many others."""
    tables = tables_of(summary)
    shown = [tables[name].as_text() for name in ANSWER if name in tables]
    # A refusal and cells that are missing stand first among the warnings.
    first = bool(summary.refused) + bool(summary.inputs.missing_cells)
    moved = [one.text for one in summary.data_warnings.get("combine", ())]
    warned = [*summary.warnings[:first], *moved]
    others = len({*summary.warnings} - {*warned})
    warned.append(f"{others} warnings more, and every other table: calibration.txt")
    return "\n".join([*shown, *_filled("note: ", warned)])


def _filled(mark: str, lines: Sequence[str]) -> list[str]:
    return [fill(f"{mark}{line}", WIDTH, subsequent_indent="  ") for line in lines]


def notes(summary: Summary) -> str:
    """The settings, then what a reader must know."""
    s = summary.settings
    lines = [
        f"prior {s.prior}, kappa {s.kappa:g}, phi {s.phi:g}, power {s.power:g}, harm {s.harm}, "
        f"{s.draws} draws, seed {s.seed}"
    ]
    lines += [
        f"{cell.cell} enters no prediction: {cell.left_out}"
        for cell in summary.cells
        if cell.left_out
    ]
    lines += [
        f"{row.type} keeps its prior: {row.keeps_prior}"
        for row in summary.types
        if row.keeps_prior and not summary.refused
    ]
    lines += [*summary.warnings, *summary.limits]
    return "\n".join(["Notes", "", *_filled("- ", [*dict.fromkeys(lines)])]) + "\n"
