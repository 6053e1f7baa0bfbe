"""What changes the risk, as tables."""

from collections.abc import Sequence

from misgen.analysis.calibration.summary import Summary
from misgen.analysis.priors.types import FACTORS
from misgen.analysis.tables import Table, Value
from misgen.analysis.text import dose_label
from misgen.analysis.words import MODIFIERS, modifier_words


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
        "Medians and central 90 %. source: around the printed value, which combine starts from; a "
        "prediction without data cuts it at the printed range. measured: the ratio of p_gm between "
        "arms, over all trained agents; combine and only are on the source's scale. A level "
        "without data keeps its prior. A ratio without an interval, or over all cells (also those "
        "not identified), is only shown."
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
