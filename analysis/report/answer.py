"""The answer page: three sentences, one figure, a panel to ask what if, and where the rest is."""

import re
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from misgen.analysis.calibration.check_tables import fits
from misgen.analysis.calibration.handoff import DRAWS, CalibrationFile
from misgen.analysis.calibration.summary import SUMMARY, Summary, TypeSummary
from misgen.analysis.calibration.tables import tables_of
from misgen.analysis.priors.types import PriorSet
from misgen.analysis.report.agreement import agree, is_own, listed, several, why
from misgen.analysis.report.charts import domain_chart, type_title
from misgen.analysis.report.lab import DOMAIN, KINDS
from misgen.analysis.report.what_if import panel
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.risk.table import DomainRow, domain_rows, format_product
from misgen.analysis.tables import Table, Value
from misgen.analysis.text import percent, span


def answer_of(file: CalibrationFile, models: Mapping[str, RiskModel]) -> dict[str, Any]:
    """For the template. models: as `pages.models_of` makes them. period: the one that the
    calibration's date lies in. panel: for the script. files: (name, what it is) beside the page."""
    summary = file.summary
    rows = {name: domain_rows(model) for name, model in models.items() if name != "only"}
    pairs = list(zip(*rows.values(), strict=True))
    period = _period(summary.provenance.date_utc, [*models["none"].priors.periods])
    now = next(p for p in pairs if (p[0].domain.name, p[0].period.name) == (DOMAIN, period))
    return {
        "sentences": [
            ("What does the model say?", _says(now[0], models["none"].priors)),
            ("What could the agents test?", _tested(summary)),
            ("Do they agree?", agree(summary) + _carried(pairs, period)),
        ],
        "period": period,
        "domains": domain_chart(pairs, [KINDS[name] for name in rows]),
        "has_posterior": not summary.refused,
        "rates": rates_table(summary),
        "why": why(summary, models["none"].priors),
        "left_out": _left_out(summary),
        "panel": panel(models),
        "folder": file.folder.name,
        "files": [
            ("calibration.txt", "every table as text"),
            (SUMMARY, "every number, with settings and provenance"),
            (DRAWS, f"{file.num_draws} joint draws of every parameter"),
            *((f"{name}.csv", table.title) for name, table in tables_of(summary).items()),
        ],
    }


def _period(date: str, periods: Sequence[str]) -> str:
    """The period that a date lies in; the first where it says none."""
    year = int(date[:4]) if date[:4].isdigit() else 0
    for name in reversed(periods):
        if year >= int(re.findall(r"\d{4}", name)[0]) + name.startswith("after"):
            return name
    return periods[0]


def _says(row: DomainRow, priors: PriorSet) -> str:
    found, shifts = row.p_harmful_gm, [priors.shifts[name] for name in row.domain.shift_types]
    most = mean(shift.p_capable.number * shift.p_harm.number for shift in shifts)
    text = (
        f"For {row.domain.label} in {row.period.name} the source's factors and multipliers give "
        f"{percent(found.median)} % [{percent(found.low)}, {percent(found.high)}] (median and "
        "central 90 %): the probability of harmful goal misgeneralization in one situation that "
        "tells the goals apart."
    )
    if row.printed is not None:
        text += " The source prints {} to {} %.".format(*map(percent, row.printed))
        if row.is_apart:
            text += (
                f" Its product of everything, {format_product(row)} %, is cut here where P(goal "
            )
            text += (
                f"fails) would exceed 1: more than P(capable) x P(harm | fails), {percent(most)} "
            )
            text += "%, there cannot be."
    return text


def _tested(summary: Summary) -> str:
    tested = [row for row in summary.types if row.cells]
    if not tested:
        return f"Nothing yet: {summary.refused.rstrip('.')}."
    cells = [cell for cell in summary.cells if not cell.left_out]
    agents = sum(cell.arms["reference"].competent.agents for cell in cells)
    families = len({cell.family for cell in cells})
    how = "by counts of your own, not checked"
    if not is_own(summary):
        how = "trained with the cue broken in 10 % of the levels, which the source counts as "
        how += "neither narrow nor diverse"
    text = (
        f"Whether agents that stay capable pursue the wrong goal once the cue is broken: {agents} "
        f"competent ones in {several(len(cells), 'cell')} of {several(families, 'game')}, for "
        f"shift type {listed(tested)}, {how}."
    )
    unbroken = [
        cell.arms["d0"].competent.rates["p_gm"].value for cell in cells if "d0" in cell.arms
    ]
    if unbroken:
        text += (
            f" Where it was never broken they pursue it in {100 * min(unbroken):.0f} to "
            f"{100 * max(unbroken):.0f} % of the levels: that informs the modifier of training "
            "diversity alone."
        )
    kept = [row for row in summary.types if not row.cells]
    if kept:
        text += f" The source's numbers stay for type {listed(kept)}."
    return text + " Harm and deployed systems were not tested."


def _carried(pairs: Sequence[Sequence[DomainRow]], period: str) -> str:
    """In this period, and in the last one."""
    if len(pairs[0]) < 2:
        return ""
    of_domain = [pair for pair in pairs if pair[0].domain.name == DOMAIN]
    now = next(pair for pair in of_domain if pair[0].period.name == period)
    last, label = of_domain[-1], now[0].domain.label
    moved = [
        f"{percent(source.p_harmful_gm.median)} % to {both.p_harmful_gm.percent()}"
        for source, both in (now, last)
    ]
    return (
        f" Carried over to {label}, an assumption that no data support, they would move "
        f"{moved[0]}; {last[0].period.name.replace('-', ' ')}, {moved[1]}."
    )


def _left_out(summary: Summary) -> list[str]:
    """Why combine and only do not read some cells, each reason once."""
    cells: dict[str, list[str]] = {}
    for cell in summary.cells:
        if cell.left_out:
            cells.setdefault(cell.left_out, []).append(cell.cell)
    return [f"{', '.join(names)}: {reason}" for reason, names in cells.items()]


def rates_table(summary: Summary) -> Table:
    """P(goal misgeneralization) of every type [%]: source, agents of both arms, both together."""
    rows: list[list[Value]] = []
    for row in summary.types:
        both = "-" if row.combine is None else _unbroken(span(row.combine["p_gm"], percent))
        if row.combine is not None and row.keeps_prior:
            both = "source kept"
        rows.append([
            type_title(row),
            _unbroken(span(row.prior["p_gm"]._replace(value=row.source.rates["p_gm"]), percent)),
            _by_cell(summary, row, "d0"), _by_cell(summary, row, "reference"), both,
            fits(summary, row),
        ])  # fmt: skip
    header = ["shift type", "source", "agents, never broken", "agents, broken in 10 %", "both",
              "fits?"]  # fmt: skip
    note = (
        "Percent: the printed value, means of agents by cell, mean of both; [low, high]: central "
        "90 %. Agents: how often training broke the cue above them; both: the source with the "
        "agents of the column before. C1*: not read, see below. Modifiers as they are, in the "
        "first period: later ones multiply by the source's growth."
    )
    return Table("P(goal misgeneralization), harm not counted", header, rows, note)


def _unbroken(words: str) -> str:
    """`10.2 [.0, 31.3]` that breaks before its brackets only."""
    return words.replace(", ", ",\N{NO-BREAK SPACE}")


def _by_cell(summary: Summary, row: TypeSummary, arm: str) -> str:
    return (
        ", ".join(
            f"{cell.cell}{'*' * bool(cell.left_out)}\N{NO-BREAK SPACE}"
            f"{percent(cell.arms[arm].competent.rates['p_gm'].value)}"
            for cell in summary.cells_of(row.type)
            if arm in cell.arms and cell.informs_type
        )
        or "-"
    )
