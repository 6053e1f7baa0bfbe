"""Do the source and the agents agree: the answer page's words, and what they rest on."""

from collections.abc import Sequence
from statistics import mean

from misgen.analysis.calibration.check_tables import FITS, fits, lets_go, wide_weights
from misgen.analysis.calibration.checks import mean_scores
from misgen.analysis.calibration.summarize import OWN_NOTE
from misgen.analysis.calibration.summary import ArmSummary, Summary, TypeSummary
from misgen.analysis.posterior import OutcomePrior, mean_gm
from misgen.analysis.priors.types import PriorSet
from misgen.analysis.rates import Rates
from misgen.analysis.text import number, percent
from misgen.analysis.words import RATE_NAMES


def agree(summary: Summary) -> str:
    words = []
    for reading in reversed(FITS):
        rows = [row for row in summary.types if fits(summary, row) == reading]
        if rows:
            how = "the agents do not contradict the source"
            if reading != "yes":
                how = f"{reading}, {_how(summary, rows)}"
            if reading == "open":
                how += ", but it depends on how firmly the source's numbers are held"
            words.append(f"Type {listed(rows)}: {how}.")
    return " ".join(words or ["Nothing was measured that could be compared."])


def _how(summary: Summary, rows: Sequence[TypeSummary]) -> str:
    lower = [_measured_gm(summary, row) < row.source.rates["p_gm"] for row in rows]
    how = "less often than" if all(lower) else "unlike what" if any(lower) else "more often than"
    return f"the agents pursue the wrong goal {how} the source says"


def _measured_gm(summary: Summary, row: TypeSummary) -> float:
    """The mean over the cells that enter."""
    cells = [cell for cell in summary.cells if cell.name in row.cells]
    return mean(cell.arms["reference"].competent.rates["p_gm"].value for cell in cells)


def why(summary: Summary, priors: PriorSet) -> list[str]:
    """What the readings rest on: the types that do not simply fit, single factors, what is not
    read, how agents were trained, and cells that were left out."""
    found = summary.conflicts
    if not found.tests:
        return []
    doubted = [row for row in summary.types if row.cells and any(lets_go(summary, row))]
    flagged = ", ".join(f"{row.cell} {RATE_NAMES[row.factor]}" for row in found.rows if row.flagged)
    cells = len({(row.family, row.cell) for row in found.rows})
    return [
        *(_against(summary, row) for row in doubted),
        f"Of {found.tests} single factors of {several(cells, 'cell')} {found.flagged} "
        f"{'is' if found.flagged == 1 else 'are'} in conflict"
        f"{f' ({flagged})' if flagged else ''}; chance alone would give "
        f"{found.expected_by_chance:.1f}. A reading is of a type's factors together.",
        *_unread(summary, priors),
        *_specification(summary),
        *_forecast(summary),
    ]


def _against(summary: Summary, row: TypeSummary) -> str:
    source, weights = row.prior["p_gm"], wide_weights(summary, row)
    apart = min(
        (one for one in summary.conflicts.rows if one.enters and one.shift_type == row.type),
        key=lambda one: one.tail,
    )
    names = [cell.rpartition("/")[2] for cell in row.cells]
    return (
        f"Type {row.number}: in {joined(names, 'and')}{' alone' * (len(names) == 1)} "
        f"{percent(_measured_gm(summary, row))} %, the source {percent(row.source.rates['p_gm'])} "
        f"[{percent(source.low)}, {percent(source.high)}]. Where the source's numbers are worth "
        f"{joined([f'{kappa:g}' for kappa in weights], 'and')} observations, a vague prior takes "
        f"over with weight {joined([*map(number, weights.values())], 'and')}. Furthest apart: "
        f"{apart.cell} {RATE_NAMES[apart.factor]} {percent(apart.measured)} %, the source "
        f"{percent(apart.source)}."
    )


def _unread(summary: Summary, priors: PriorSet) -> list[str]:
    """What both together would say with the cells that are not read although agents of the
    reference arm are there."""
    settings = summary.settings
    lines = []
    for row in summary.types:
        cells = [one for one in summary.cells_of(row.type) if one.informs_type]
        cells = [one for one in cells if "reference" in one.arms]
        unread = [one.cell for one in cells if one.left_out]
        if row.combine is not None and unread:
            rates = [Rates(**_raw(one.arms["reference"])) for one in cells]
            both = mean_gm(OutcomePrior.of(priors, row.type), rates, settings.phi, settings.power)
            lines.append(
                f"With {joined(unread, 'and')}, not read, both would say {percent(both)} % for "
                f"type {row.number} instead of {percent(row.combine['p_gm'].value)}."
            )
    return lines


def _raw(arm: ArmSummary) -> dict[str, float]:
    return {name: rate.value for name, rate in arm.competent.rates.items()}


def _specification(summary: Summary) -> list[str]:
    """What the source would multiply by for how the agents were trained."""
    cells = [cell for cell in summary.cells if not cell.left_out]
    if not cells or is_own(summary):
        return []
    by = cells[0].arms["reference"].divided.multiplier
    return [
        f"Agents were rewarded for the intended goal alone (q = "
        f"{summary.reference_condition.q:g}), for which the source multiplies by {by.value:.2f} "
        f"[{by.low:.2f}, {by.high:.2f}]: that is not divided out of their rates (condition.csv)."
    ]


def _forecast(summary: Summary) -> list[str]:
    rows = [row for row in summary.held_out.rows if row.left_out == "cell"]
    if not rows:
        return []
    names = {"model": "by both together", "source": "by the source", "pooled": "by one pooled rate"}
    scores = mean_scores(rows, "log_score")
    best, *others = sorted(scores, key=lambda who: scores[who])
    return [f"A cell left out is predicted best {names[best]}, then {names[others[0]]}."]


def is_own(summary: Summary) -> bool:
    return any(one.text == OWN_NOTE for one in summary.data_warnings["combine"])


def several(many: int, noun: str) -> str:
    return f"{many} {noun}{'s' * (many > 1)}"


def listed(types: Sequence[TypeSummary]) -> str:
    return joined([str(row.number) for row in types], "and")


def joined(words: Sequence[str], by: str) -> str:
    *some, last = words
    return f"{', '.join(some)} {by} {last}" if some else last
