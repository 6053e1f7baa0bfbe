"""The answer page: three sentences, one figure, a panel to ask what if, and where the rest is."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from misgen.analysis.calibration.checks import mean_scores
from misgen.analysis.calibration.handoff import DRAWS, CalibrationFile
from misgen.analysis.calibration.summarize import OWN_NOTE
from misgen.analysis.calibration.summary import SUMMARY, Summary, TypeSummary
from misgen.analysis.calibration.tables import tables_of
from misgen.analysis.report.charts import domain_chart, type_title
from misgen.analysis.report.lab import DOMAIN, KINDS
from misgen.analysis.report.what_if import panel
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.risk.table import DomainRow, domain_rows, format_product
from misgen.analysis.tables import Table, Value
from misgen.analysis.text import percent, span
from misgen.analysis.words import RATE_NAMES


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
            ("What does the model say?", _says(now[0])),
            ("What could the agents test?", _tested(summary)),
            ("Do they agree?", " ".join([*_agree(summary), *_forecast(summary), *_carried(now)])),
        ],
        "period": period,
        "domains": domain_chart(pairs, [KINDS[name] for name in rows]),
        "has_posterior": not summary.refused,
        "rates": rates_table(summary),
        "left_out": [f"{cell.cell}: {cell.left_out}" for cell in summary.cells if cell.left_out],
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


def _says(row: DomainRow) -> str:
    found = row.p_harmful_gm
    text = (
        f"For {row.domain.label} in {row.period.name} the source's factors and multipliers give "
        f"{percent(found.median)} % [{percent(found.low)}, {percent(found.high)}]: the probability "
        "of harmful goal misgeneralization in one situation that tells the goals apart."
    )
    if row.printed is not None:
        text += " The source prints {} to {} %".format(*map(percent, row.printed))
        if row.is_apart:
            text += f"; its product of everything gives {format_product(row)} %"
            text += ", which exceeds what its own factors allow"
        text += "."
    return text


def _tested(summary: Summary) -> str:
    tested = [row for row in summary.types if row.cells]
    if not tested:
        return f"Nothing yet: {summary.refused.rstrip('.')}."
    cells = [cell for cell in summary.cells if not cell.left_out]
    agents = sum(cell.arms["reference"].competent.agents for cell in cells)
    families = len({cell.family for cell in cells})
    is_own = any(one.text == OWN_NOTE for one in summary.data_warnings["combine"])
    how = "by counts of your own, not checked"
    if not is_own:
        how = "trained with the cue broken in a tenth of the levels, the source's neutral diversity"
    text = (
        f"Whether agents that stay capable pursue the wrong goal once the cue is broken: {agents} "
        f"of them in {_several(len(cells), 'cell')} of {_several(families, 'game')}, for shift "
        f"type {_listed(tested)}, {how}."
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
        text += f" The source's numbers stay for type {_listed(kept)}."
    return text + " Harm and deployed systems were not tested."


def _several(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number > 1)}"


def _listed(types: Sequence[TypeSummary]) -> str:
    *some, last = [str(row.number) for row in types]
    return f"{', '.join(some)} and {last}" if some else last


def _agree(summary: Summary) -> list[str]:
    found = summary.conflicts
    if not found.tests:
        return ["Nothing was measured that could be compared."]
    against = [row for row in summary.types if row.wide_flagged]
    beside = [row for row in summary.types if row.cells and not row.wide_flagged]
    words = []
    if against:
        lower = [_measured_gm(summary, row) < row.source.rates["p_gm"] for row in against]
        how = (
            "less often than" if all(lower) else "unlike what" if any(lower) else "more often than"
        )
        words.append(
            f"Not for type {_listed(against)}: the agents pursue the wrong goal {how} the source "
            "says, and outweigh it."
        )
    words += [
        f"Type {row.number} rests on one cell, {row.cells[0].rpartition('/')[2]}."
        for row in against
        if len(row.cells) == 1
    ]
    if beside:
        words.append(f"Type {_listed(beside)}: the agents do not contradict the source.")
    flagged = ", ".join(f"{row.cell} {RATE_NAMES[row.factor]}" for row in found.rows if row.flagged)
    words.append(
        f"Of single factors {found.flagged} of {found.tests} are in conflict"
        f"{f' ({flagged})' if flagged else ''}; chance alone would give "
        f"{found.expected_by_chance:.1f}."
    )
    return words


def _measured_gm(summary: Summary, row: TypeSummary) -> float:
    """The mean over the cells that enter."""
    cells = [cell for cell in summary.cells if cell.name in row.cells]
    found = [cell.arms["reference"].competent.rates["p_gm"].value for cell in cells]
    return sum(found) / len(found)


def _forecast(summary: Summary) -> list[str]:
    rows = [row for row in summary.held_out.rows if row.left_out == "cell"]
    if not rows:
        return []
    names = {"model": "by both together", "source": "by the source", "pooled": "by one pooled rate"}
    scores = mean_scores(rows, "log_score")
    best, *others = sorted(scores, key=lambda who: scores[who])
    return [f"A cell left out is predicted best {names[best]}, then {names[others[0]]}."]


def _carried(now: Sequence[DomainRow]) -> list[str]:
    if len(now) < 2:
        return []
    before, after = (row.p_harmful_gm for row in now)
    return [
        f"Carried over to {now[0].domain.label}, an assumption that no data support, they would "
        f"move {percent(before.median)} % to {percent(after.median)} % "
        f"[{percent(after.low)}, {percent(after.high)}]."
    ]


def rates_table(summary: Summary) -> Table:
    """P(goal misgeneralization) of every type [%]: source, agents of both arms, both together."""
    rows: list[list[Value]] = []
    for row in summary.types:
        both = "-" if row.combine is None else span(row.combine["p_gm"], percent)
        if row.combine is not None and row.keeps_prior:
            both = "source kept"
        rows.append([
            type_title(row), percent(row.source.rates["p_gm"]), _by_cell(summary, row, "d0"),
            _by_cell(summary, row, "reference"), both,
        ])  # fmt: skip
    header = ["shift type", "source", "agents, never broken", "agents, broken in .1", "both"]
    note = (
        "Means in percent; [low, high]: central 90 %. Agents by cell, how often training broke the "
        "cue above them; both: the source with the agents of the column before. C1*: not read, see "
        "below. Modifiers as they are, in the first period: later ones multiply by the source's "
        "growth."
    )
    return Table("P(goal misgeneralization), harm not counted", header, rows, note)


def _by_cell(summary: Summary, row: TypeSummary, arm: str) -> str:
    return (
        ", ".join(
            f"{cell.cell}{'*' * bool(cell.left_out)} "
            f"{percent(cell.arms[arm].competent.rates['p_gm'].value)}"
            for cell in summary.cells_of(row.type)
            if arm in cell.arms and cell.informs_type
        )
        or "-"
    )
