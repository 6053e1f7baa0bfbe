"""The tables of a calibration, each once: for the terminal, the CSV files and the page."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from textwrap import fill

from misgen.analysis.calibration.summary import ArmSummary, CellSummary, Population, Summary
from misgen.analysis.priors.types import FACTORS
from misgen.analysis.rates import Estimate
from misgen.analysis.tables import Table, Value
from misgen.analysis.text import WIDTH, dose_label, number
from misgen.analysis.words import DATA, MODIFIERS, PRODUCTS, RATE_NAMES, modifier_words

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


# ------------------------------------------------------------------- source, measured, posterior


def factors(summary: Summary) -> Table:
    rows: list[list[Value]] = []
    for row in summary.types:
        source = [row.source.rates[rate] for rate in RATE_NAMES]
        rows.append([row.title, "source", *source, None, "", ""])
        rows.append([row.title, "prior", *_in_order(row.prior), None, "", ""])
        for cell in summary.cells_of(row.type):
            rows += _measured(row.title, cell)
        for data, found in zip(DATA[1:], (row.combine, row.only), strict=True):
            if found is not None and not row.keeps_prior:
                rows.append([row.title, data, *_in_order(found), None, "",
                             f"reads {_codes(row.cells)}"])  # fmt: skip
    note = (
        "source: as printed; P(harm | fails) is implied by the printed product. Cells: competent "
        "agents of the reference arm (d = 0 where there is none) at variant "
        f"{summary.reference_condition.variant}, means over agents and central 90 %. combine, "
        "only: means and central 90 %; a type without a cell that may enter keeps its prior. "
        "p_harmful_gm is the source's figure; p_gm is never compared with it.\n" + summary.estimand
    )
    header = ["type", "what", *RATE_NAMES.values(), "agents", "levels", "remarks"]
    return Table("Source, measured, posterior", header, rows, note, keys=2)


def _in_order(rates: Mapping[str, Estimate]) -> list[Value]:
    return [rates[rate] for rate in RATE_NAMES]


def _codes(cells: Sequence[str]) -> str:
    return " ".join(name.rpartition("/")[2] for name in cells)


def _measured(title: str, cell: CellSummary) -> Iterator[list[Value]]:
    if cell.shown is None:
        return
    name, arm = cell.shown
    remarks = ["not read by combine"] * bool(cell.left_out)
    remarks += ["not identified"] * (not cell.identified)
    remarks += ["harm by construction"] * cell.harm_by_construction
    what = cell.cell + ", d=0" * (name == "d0")
    found = arm.competent
    yield [title, what, *_in_order(found.rates), found.agents, found.levels, "; ".join(remarks)]


def attrition(summary: Summary) -> Table:
    rows: list[list[Value]] = []
    for cell in summary.cells:
        for arm in sorted(cell.arms.values(), key=lambda arm: arm.d):
            name = f"d={arm.d:g}"
            rows.append([cell.cell, name, "competent", *_population(arm.competent, arm)])
            rows.append([cell.cell, name, "all trained", *_population(arm.all_trained)])
            rows.append([cell.cell, name, "bounds", None, "", None, *[None] * 3, arm.bounds, None,
                         ""])  # fmt: skip
    note = (
        "Competent agents (the headline) solve at least 0.8 times as many levels of their own "
        "training distribution (own) as the planner. bounds: p_gm had the others never failed, or "
        "always. Fewer than 3 agents: no interval."
    )
    header = ["cell", "arm", "agents of the arm", "agents", "levels", "own",
              *RATE_NAMES.values(), "note"]  # fmt: skip
    return Table("Who is counted", header, rows, note, keys=3)


def _population(found: Population, arm: ArmSummary | None = None) -> list[Value]:
    own = arm.own_success if arm else None
    return [found.agents, found.levels, own, *_in_order(found.rates), found.note]


def condition(summary: Summary) -> Table:
    arms = [arm for cell in summary.cells for arm in cell.arms.values()]
    levels = {arm.condition.removeprefix("measured at "): arm.divided.levels for arm in arms}
    resolved = " ".join(
        f"At {at} the source's levels are {', '.join(' '.join(pair) for pair in of.items())}."
        for at, of in levels.items()
    )
    rows: list[list[Value]] = [
        [
            cell.cell, arm.condition, arm.divided.multiplier,
            arm.competent.rates["p_gm"], arm.divided.p_gm,
            arm.competent.rates["p_harmful_gm"], arm.divided.p_harmful_gm,
        ]
        for cell in summary.cells
        for name, arm in cell.arms.items()
        if name in ("reference", "d0")
    ]  # fmt: skip
    header = ["cell", "condition", "source's multipliers", "p_gm measured", "p_gm divided",
              "p_harmful_gm measured", "p_harmful_gm divided"]  # fmt: skip
    note = (
        "Two numbers with two meanings: never one for the other. Divided rates carry the "
        f"multipliers' uncertainty and may exceed 1; data enter as the measured ones. {resolved}"
    )
    return Table("Measured, and divided by the source's multipliers", header, rows, note)


# -------------------------------------------------------------------------------------- modifiers


def multipliers(summary: Summary) -> Table:
    rows: list[list[Value]] = [
        [
            MODIFIERS[row.modifier], row.level.replace("_", " "), row.prior, row.measured,
            row.combine, row.only, f"{row.arm} against {row.reference}" if row.arm else "",
            " and ".join(map(str, row.agents)), row.scope, row.note,
        ]
        for row in summary.modifiers
    ]  # fmt: skip
    header = ["modifier", "level", "source", "measured", "combine", "only", "arms", "agents",
              "over", "note"]  # fmt: skip
    note = (
        "Medians and central 90 %. measured: the ratio of p_gm between arms, over all trained "
        "agents; combine and only are on the source's scale. A level without data keeps its "
        "prior. A ratio without an interval, or over all cells (also those not identified), is "
        "only shown."
    )
    return Table("Multipliers: source, measured, both", header, rows, note, keys=2)


def not_identified(summary: Summary) -> Table:
    rows = [
        [modifier_words(name), why] for name, why in summary.modifier_report.not_identified.items()
    ]
    note = "What is not identified keeps the source's prior."
    return Table("Modifiers that are not identified", ["what", "why"], rows, note)


def where(scope: str, cells: Sequence[tuple[str, str]]) -> str:
    """The cell's code, or how many cells were pooled: the identified ones, or all."""
    if scope == "cell":
        return " ".join(code for _, code in cells)
    every = "all " * (scope != "pooled")
    return f"{every}{len(cells)} cell{'s' * (len(cells) != 1)}"


_TAGS = {"spec_gaming": "trained on a reward that is not the intended one"}


def ratios(summary: Summary) -> Table:
    rows: list[list[Value]] = [
        [
            f"{MODIFIERS[one.modifier]}: {one.arm} against {one.reference}",
            where(one.scope, one.cells), one.ratio,
            *(one.factors.get(name) for name in FACTORS),
            f"{one.k_agents} / {one.k_reference}", one.levels,
            "; ".join(filter(None, [_TAGS.get(one.tags, one.tags), one.note, one.ratio.reason])),
        ]
        for one in summary.modifier_report.ratios
    ]  # fmt: skip
    header = ["arms", "where", "p_gm", "capable", "goal fails", "harm", "agents", "levels", "note"]
    note = (
        "Over all trained agents; pooled over the identified cells, or over all. p_gm and its "
        "factors: raw in a cell, where pooled the median of the mean of cells. agents: of the arm "
        "/ of its reference."
    )
    return Table("Risk ratios and their split into factors", header, rows, note, keys=2)


def slopes(summary: Summary) -> Table:
    rows: list[list[Value]] = [
        [
            one.cell, one.arm, one.slope, len(set(one.agent_number)), len(one.competence),
            one.slope.reason,
        ]
        for one in summary.modifier_report.slopes
    ]  # fmt: skip
    header = ["cell", "arm", "d ln p_gm / d ln competence", "agents", "checkpoints", "note"]
    note = "A slope of 1: twice the competence, twice the risk."
    return Table("Does risk rise with capability?", header, rows, note)


DOSES = {
    "d": "share of training levels with the broken draw, d",
    "broken_episodes": "training episodes that told the goals apart",
}


def doses(summary: Summary) -> Table:
    rows: list[list[Value]] = [
        [
            f"{one.cell}: {DOSES[one.dose]}", dose_label(dose), rate, fit, agents, levels,
            one.half_effect_dose, one.half_effect_dose.reason,
        ]
        for one in sorted(summary.modifier_report.dose_responses, key=lambda o: (o.cell, o.dose))
        for dose, rate, fit, agents, levels in zip(
            one.doses, one.rates, one.fit, one.agents, one.levels, strict=True
        )
    ]  # fmt: skip
    header = ["by", "dose", "p_gm", "monotone fit", "agents", "levels", "half effect", "note"]
    return Table(
        "Dose-responses of all trained agents", header, rows, keys=2,
        hidden=["half effect", "note"],
    )  # fmt: skip


LINKS = ("log", "cloglog", "logit")


def pairs(summary: Summary) -> Table:
    rows: list[list[Value]] = [
        [
            row.cell, " x ".join(row.pair), row.verdict,
            *(row.ratio_of_ratios.get(link) for link in LINKS),
            row.ceiling, row.best_scale, "/".join(map(str, row.agents)), row.agents_needed,
        ]
        for row in summary.modifier_report.multiplicativity
    ]  # fmt: skip
    header = ["cell", "pair", "verdict", "log (risk ratios)", "cloglog", "logit", "ceiling",
              "smallest on", "agents", "agents needed"]  # fmt: skip
    note = (
        "The ratio of ratios is 1 where two modifiers multiply: holds inside .8 to 1.25. ceiling: "
        "the largest ratio that probabilities allow."
    )
    return Table("Do two modifiers multiply?", header, rows, note)


# -------------------------------------------------------------------------------------- checks


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


def wide(summary: Summary) -> Table:
    found = summary.conflicts
    rows: list[list[Value]] = [
        [
            row.title, _codes(row.cells),
            found.wide_prior_weight, row.wide_weight, "conflict" if row.wide_flagged else "",
        ]
        for row in summary.types
        if row.cells
    ]  # fmt: skip
    note = (
        "Weight of the prior's wide part, worth 2 observations, which lets go of the source; "
        f"flagged above {number(found.wide_flag)}."
    )
    header = ["type", "cells", "before the data", "after", "flag"]
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
