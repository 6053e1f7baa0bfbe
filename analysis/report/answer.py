"""The answer page: three sentences, one figure, a panel to ask what if, and where the rest is."""

import re
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from misgen.analysis.calibration.checks import mean_scores
from misgen.analysis.calibration.handoff import DRAWS, CalibrationFile
from misgen.analysis.calibration.summarize import OWN_NOTE
from misgen.analysis.calibration.summary import SUMMARY, Summary, TypeSummary
from misgen.analysis.calibration.tables import tables_of
from misgen.analysis.priors.types import PriorSet
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
            ("What does the model say?", _says(now[0], models["none"].priors)),
            ("What could the agents test?", _tested(summary)),
            ("Do they agree?", _agree(summary) + _carried(now)),
        ],
        "period": period,
        "domains": domain_chart(pairs, [KINDS[name] for name in rows]),
        "has_posterior": not summary.refused,
        "rates": rates_table(summary),
        "why": _why(summary),
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
        text += " The source prints {} to {} %".format(*map(percent, row.printed))
        if row.is_apart:
            text += f"; its product of everything gives {format_product(row)} %"
            text += f", where its own P(capable) x P(harm | fails) is {percent(most)} %"
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
        how = "trained with the cue broken in a tenth of the levels (for the source neither narrow "
        how += "nor diverse training)"
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
    return _joined([str(row.number) for row in types], "and")


def _joined(words: Sequence[str], by: str) -> str:
    *some, last = words
    return f"{', '.join(some)} {by} {last}" if some else last


_READINGS = ("yes", "open", "no")
"""Do source and agents agree? By whether the posterior leaves the source's numbers where these are
worth half to twice the observations asked for: at none, at some, at all of these weights."""


def _lets_go(summary: Summary, row: TypeSummary) -> dict[float, bool]:
    """Observations that the source's numbers of a type are worth -> whether the posterior leaves
    them."""
    kappa = summary.settings.kappa
    weights = {kappa: row.wide_weight} | {
        one.value: one.wide_weight
        for one in summary.sweep
        if one.what == "kappa" and one.type == row.type and kappa / 2 <= one.value <= 2 * kappa
    }
    return {key: weights[key] > summary.conflicts.wide_flag for key in sorted(weights)}


def _reading(summary: Summary, row: TypeSummary) -> str:
    """One of _READINGS; "-" for a type that no cell tests."""
    lets_go = _lets_go(summary, row).values()
    return _READINGS[any(lets_go) + all(lets_go)] if row.cells else "-"


def _agree(summary: Summary) -> str:
    words = []
    for reading in reversed(_READINGS):
        rows = [row for row in summary.types if _reading(summary, row) == reading]
        if rows:
            how = "the agents do not contradict the source"
            if reading != "yes":
                how = f"{reading}, {_how(summary, rows)}"
            if reading == "open":
                how += ", but it depends on how firmly the source's numbers are held"
            words.append(f"Type {_listed(rows)}: {how}.")
    return " ".join(words or ["Nothing was measured that could be compared."])


def _how(summary: Summary, rows: Sequence[TypeSummary]) -> str:
    lower = [_measured_gm(summary, row) < row.source.rates["p_gm"] for row in rows]
    how = "less often than" if all(lower) else "unlike what" if any(lower) else "more often than"
    return f"the agents pursue the wrong goal {how} the source says"


def _measured_gm(summary: Summary, row: TypeSummary) -> float:
    """The mean over the cells that enter."""
    cells = [cell for cell in summary.cells if cell.name in row.cells]
    return mean(cell.arms["reference"].competent.rates["p_gm"].value for cell in cells)


def _why(summary: Summary) -> list[str]:
    """What the readings rest on: a line for each type that is not left uncontradicted, one for
    single factors, one for cells that were left out."""
    found = summary.conflicts
    if not found.tests:
        return []
    doubted = [row for row in summary.types if row.cells and any(_lets_go(summary, row).values())]
    flagged = ", ".join(f"{row.cell} {RATE_NAMES[row.factor]}" for row in found.rows if row.flagged)
    cells = len({(row.family, row.cell) for row in found.rows})
    return [
        *(_against(summary, row) for row in doubted),
        f"Of {found.tests} single factors of {_several(cells, 'cell')} {found.flagged} "
        f"{'is' if found.flagged == 1 else 'are'} in conflict"
        f"{f' ({flagged})' if flagged else ''}; chance alone would give "
        f"{found.expected_by_chance:.1f}.",
        *_forecast(summary),
    ]


def _against(summary: Summary, row: TypeSummary) -> str:
    lets_go = _lets_go(summary, row)
    gone, kept = ([f"{k:g}" for k, is_gone in lets_go.items() if is_gone == v] for v in (1, 0))
    where = f"are worth {_joined(gone, 'or')} observations"
    if kept:
        where += f", not {_joined(kept, 'or')}"
    source = row.prior["p_gm"]
    apart = min(
        (one for one in summary.conflicts.rows if one.enters and one.shift_type == row.type),
        key=lambda one: one.tail,
    )
    names = [cell.rpartition("/")[2] for cell in row.cells]
    return (
        f"Type {row.number}: in {_joined(names, 'and')}{' alone' * (len(names) == 1)} "
        f"{percent(_measured_gm(summary, row))} %, the source {percent(row.source.rates['p_gm'])} "
        f"[{percent(source.low)}, {percent(source.high)}]. Both together leave the source's "
        f"numbers where these {where}. Furthest apart: {apart.cell} {RATE_NAMES[apart.factor]} "
        f"{percent(apart.measured)} %, the source {percent(apart.source)}."
    )


def _forecast(summary: Summary) -> list[str]:
    rows = [row for row in summary.held_out.rows if row.left_out == "cell"]
    if not rows:
        return []
    names = {"model": "by both together", "source": "by the source", "pooled": "by one pooled rate"}
    scores = mean_scores(rows, "log_score")
    best, *others = sorted(scores, key=lambda who: scores[who])
    return [f"A cell left out is predicted best {names[best]}, then {names[others[0]]}."]


def _carried(now: Sequence[DomainRow]) -> str:
    if len(now) < 2:
        return ""
    before, after = (row.p_harmful_gm for row in now)
    return (
        f" Carried over to {now[0].domain.label}, an assumption that no data support, they would "
        f"move {percent(before.median)} % to {percent(after.median)} % "
        f"[{percent(after.low)}, {percent(after.high)}]."
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
            _reading(summary, row),
        ])  # fmt: skip
    header = ["shift type", "source", "agents, never broken", "agents, broken in .1", "both",
              "fits?"]  # fmt: skip
    note = (
        "Means in percent; [low, high]: central 90 %. Agents by cell, how often training broke the "
        "cue above them; both: the source with the agents of the column before. C1*: not read, see "
        "below. Modifiers as they are, in the first period: later ones multiply by the source's "
        "growth."
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
