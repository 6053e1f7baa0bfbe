"""The answer page: three sentences, one figure, a panel to ask what if, and where the rest is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from misgen.analysis.calibration.handoff import DRAWS, CalibrationFile
from misgen.analysis.calibration.summary import SUMMARY, Summary, TypeSummary
from misgen.analysis.calibration.tables import tables_of
from misgen.analysis.report.charts import domain_chart, type_title
from misgen.analysis.report.content import Chart, percent, percent_span
from misgen.analysis.report.lab import KINDS, TORNADO_DOMAIN
from misgen.analysis.report.what_if import panel
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.risk.table import DomainRow, domain_rows, format_product
from misgen.analysis.tables import Table, Value

DOMAIN = TORNADO_DOMAIN


@dataclass(frozen=True)
class AnswerPage:
    """sentences: (question, answer). shown: the data of the figure, by kind of mark. panel: for
    the script. files: (name, what it is) beside the page."""

    sentences: Sequence[tuple[str, str]]
    domains: Chart
    has_posterior: bool
    rates: Table
    panel: Mapping[str, Any]
    folder: str
    files: Sequence[tuple[str, str]]


def answer_of(file: CalibrationFile, models: Mapping[str, RiskModel]) -> AnswerPage:
    """Everything on the page. models: as `pages.models_of` makes them."""
    summary = file.summary
    rows = {name: domain_rows(model) for name, model in models.items() if name != "only"}
    pairs = list(zip(*rows.values(), strict=True))
    now = next(pair for pair in pairs if pair[0].domain.name == DOMAIN)
    return AnswerPage(
        sentences=[
            ("What does the model say?", _says(now[0])),
            ("What could the agents test?", _tested(summary)),
            ("Do they agree?", " ".join([*_agree(summary), *_carried(now)])),
        ],
        domains=domain_chart(pairs, [KINDS[name] for name in rows]),
        has_posterior=not summary.refused,
        rates=rates_table(summary),
        panel=panel(models),
        folder=file.folder.name,
        files=[
            ("calibration.txt", "every table as text"),
            (SUMMARY, "every number, with settings and provenance"),
            (DRAWS, f"{file.num_draws} joint draws of every parameter"),
            *((f"{name}.csv", table.title) for name, table in tables_of(summary).items()),
        ],
    )


def _says(row: DomainRow) -> str:
    found = row.p_harmful_gm
    text = (
        f"For {row.domain.label} in {row.period.name} the source's factors and multipliers give a "
        f"probability of harmful goal misgeneralization of {percent(found.median)} % "
        f"[{percent(found.low)}, {percent(found.high)}], in a situation that tells the goals apart."
    )
    if row.printed is not None:
        text += " The source prints {} to {} %".format(*map(percent, row.printed))
        if row.is_apart:
            text += (
                f"; its formula multiplies everything, {format_product(row)} %, which exceeds what "
                "its own factors allow"
            )
        text += "."
    return text


def _tested(summary: Summary) -> str:
    tested = [row for row in summary.types if row.cells]
    if not tested:
        return f"Nothing yet: {summary.refused.rstrip('.')}."
    cells = [cell for cell in summary.cells if not cell.left_out]
    agents = sum(cell.arms["reference"].competent.agents for cell in cells)
    families = len({cell.family for cell in cells})
    text = (
        f"{agents} trained agents in {len(cells)} cells of {families} famil"
        f"{'ies' if families > 1 else 'y'} of games: whether they stay capable and pursue the "
        f"wrong goal once the cue is broken, for shift type {_listed(tested)}."
    )
    kept = [row for row in summary.types if not row.cells]
    if kept:
        text += f" Type {_listed(kept)} keeps the source's numbers: no cell of it may enter."
    return text + " Not harm, not deployed systems."


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
        words.append(f"Not for type {_listed(against)}: {_direction(summary, against)}.")
    if beside:
        words.append(f"Type {_listed(beside)}: the agents do not contradict the source.")
    words.append(
        f"{found.flagged} of {found.tests} measured factors conflict with it; chance alone would "
        f"give {found.expected_by_chance:.1f}."
    )
    return words


def _direction(summary: Summary, types: Sequence[TypeSummary]) -> str:
    lower = [_measured_gm(summary, row) < row.source.rates["p_gm"] for row in types]
    words = "less often than" if all(lower) else "unlike what" if any(lower) else "more often than"
    return f"the agents pursue the wrong goal {words} the source says"


def _measured_gm(summary: Summary, row: TypeSummary) -> float:
    """The mean over the cells that enter."""
    cells = [cell for cell in summary.cells if cell.name in row.cells]
    found = [cell.arms["reference"].competent.rates["p_gm"].value for cell in cells]
    return sum(found) / len(found)


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
    """P(goal misgeneralization) of every type: source, agents, both."""
    rows: list[list[Value]] = []
    for row in summary.types:
        cells = [cell for cell in summary.cells_of(row.type) if cell.shown and cell.informs_type]
        measured = [
            f"{'(' * bool(cell.left_out)}{cell.cell} "
            f"{percent(cell.shown[1].competent.rates['p_gm'].value)}{')' * bool(cell.left_out)}"
            for cell in cells
            if cell.shown
        ]
        both = "prior kept" if row.keeps_prior else percent_span((row.combine or row.prior)["p_gm"])
        rows.append([
            type_title(row), percent(row.source.rates["p_gm"]), ", ".join(measured) or "-",
            both if row.combine else "-",
        ])  # fmt: skip
    header = ["shift type", "source", "agents", "both"]
    note = (
        "In percent; brackets: central 90 %. agents: competent ones of the reference arm, by cell; "
        "in brackets: not read by combine."
    )
    return Table("P(goal misgeneralization), harm not counted", header, rows, note)
