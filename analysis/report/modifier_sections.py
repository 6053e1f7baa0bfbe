"""The sections on modifiers: risk ratios beside the printed ranges, and dose-responses."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from misgen.analysis.calibration.handoff import CalibrationFile
from misgen.analysis.priors.types import PriorSet
from misgen.analysis.report.content import (
    Body,
    Chart,
    Exhibit,
    Table,
    bodies_of,
    ends,
    finite,
    footnotes,
    percent,
    percent_span,
    plain_table,
    ratio,
    ratio_span,
)
from misgen.analysis.report.figures import Dose, Group, Line, Scale, dose_chart, interval_chart
from misgen.analysis.report.measured_sections import family_name

Json = Mapping[str, Any]

_FACTORS = ("p_capable", "p_goal_fail", "p_harm")
_LINKS = ("log", "cloglog", "logit")
_WIDEST = (0.01, 100.0)
"""The axis of risk ratios; what lies beyond is in the table."""


def modifiers(file: CalibrationFile, priors: PriorSet) -> Exhibit:
    """Measured risk ratios against the printed ranges, and what each feed makes of them."""
    report = file.summary["modifier_report"]
    below = [_multiplier_table(file)]
    unknown = file.summary["modifiers_not_identified"]
    beside = [_unknown_table(unknown)] * bool(unknown)
    if report["ratios"]:
        below.append(_ratio_table(report["ratios"]))
    if report["slopes"]:
        below.append(_slope_table(report["slopes"]))
    if report["multiplicativity"]:
        below.append(_multiplicativity_table(report["multiplicativity"]))
    spec = _spec_at_reference(file, priors)
    groups = _forest_groups(report["ratios"], priors, spec)
    if not groups:
        missing = "There is no risk ratio to draw; the reasons stand under Not identified."
        return Exhibit((), beside, missing, below)
    return Exhibit([_forest(groups, spec)], beside, "", below)


def _unknown_table(reasons: Mapping[str, str]) -> Table:
    rows = [[_words(name), reason] for name, reason in reasons.items()]
    note = "What is not identified keeps the source's prior."
    return plain_table("Not identified", ["What", "why"], rows, note)


MODIFIER_NAMES = {
    "spec": "specification",
    "capability": "capability",
    "diversity": "training diversity",
    "method": "alignment method",
}


def _words(name: str) -> str:
    """`spec/high` as `specification: high`."""
    modifier, *level = name.replace("_", " ").split("/")
    return ": ".join([MODIFIER_NAMES.get(modifier, modifier), *level])


def _where(one: Json) -> str:
    """The cell's code, or how many cells were pooled: the identified ones, or all."""
    if one["scope"] == "cell":
        return " ".join(code for _, code in one["cells"])
    number = len(one["cells"])
    every = "all " * (one["scope"] != "pooled")
    return f"{every}{number} cell{'s' * (number != 1)}"


def _drawn(ratios: Sequence[Json]) -> list[Json]:
    """Of each arm the ratio pooled over identified cells; without one, those of single cells."""
    pooled = [one for one in ratios if one["scope"] == "pooled"]
    arms = {(one["modifier"], one["arm"]) for one in pooled}
    single = [one for one in ratios if one["scope"] == "cell"]
    found = pooled + [one for one in single if (one["modifier"], one["arm"]) not in arms]
    return sorted(found, key=lambda one: str(one["arm"]))


def _spec_at_reference(file: CalibrationFile, priors: PriorSet) -> float:
    """The source's multiplier of the quality that the ratios of specification are against."""
    return priors.modifiers["spec"].level(file.summary["reference_condition"]["q"]).median


def _forest_groups(ratios: Sequence[Json], priors: PriorSet, spec: float) -> list[Group]:
    """spec: by what the printed range of specification is divided, to be against q = 1 too."""
    groups = []
    for name, modifier in priors.modifiers.items():
        lines = [
            Line(f"{one['arm']}, {_where(one)}", "measured", *_inside(one["ratio"]))
            for one in _drawn(ratios)
            if one["modifier"] == name and not math.isnan(_inside(one["ratio"])[0])
        ]
        if lines:
            low, high = modifier.range.range
            unit = spec if name == "spec" else 1.0
            groups.append(Group(_TITLES[name], lines, printed_range=(low / unit, high / unit)))
    return groups


_TITLES = {
    "spec": "specification quality, against q = 1",
    "capability": "capability, against the human band",
    "diversity": "training diversity, against d = 0.1",
    "method": "alignment method, against PPO",
}


def _inside(interval: Json) -> tuple[float, float, float]:
    """(value, low, high) cut at the ends of the axis; NaN for a ratio that is 0 or undefined."""
    value, low, high = ends(interval)
    if not value > 0:
        return math.nan, math.nan, math.nan
    cut = np.clip([value, low, high], *_WIDEST)  # NaN stays
    return float(cut[0]), float(cut[1]), float(cut[2])


def _forest(groups: Sequence[Group], spec: float) -> Chart:
    lines = [line for group in groups for line in group.lines]
    found = [value for line in lines for value in (line.value, line.low, line.high)]
    found += [end for group in groups for end in group.printed_range or ()]
    low, high = np.nanmin(found) / 1.25, np.nanmax(found) * 1.25
    scale = Scale("risk ratio of p_gm", float(low), float(high), log=True, reference=1.0)
    said = [
        f"{group.title}: " + ", ".join(f"{line.label} {line.value:.2f}" for line in group.lines)
        for group in groups
    ]
    alt = "Risk ratios of p_gm, pooled over cells. " + "; ".join(said)
    caption = "The line at 1 is what the title of each group names."
    if any(group.title == _TITLES["spec"] for group in groups):
        caption += (
            " The source's range of specification quality is divided by its multiplier for q = 1, "
            f"{spec:g}."
        )
    if np.nanmin(found) <= _WIDEST[0] or np.nanmax(found) >= _WIDEST[1]:
        caption += f" Cut at {_WIDEST[0]:g} and {_WIDEST[1]:g}."
    return Chart("Risk ratios of p_gm", interval_chart("forest", groups, scale, alt), caption)


def _multiplier_table(file: CalibrationFile) -> Table:
    levels = file.summary["modifiers"]
    notes, meaning = footnotes([row["note"] for row in levels])
    bodies: dict[str, list[list[str]]] = {}
    for row, marks in zip(levels, notes, strict=True):
        feeds = [row["prior"], row["measured"], row["update"], row["replace"]]
        cells = ["-" if one is None else ratio_span(one) for one in feeds]
        line = [row["level"].replace("_", " "), *cells, _against(row["agents"]), marks]
        bodies.setdefault(MODIFIER_NAMES[row["modifier"]], []).append(line)
    header = ["Level", "source's prior", "measured ratio", "update", "replace", "agents", "notes"]
    note = (
        "agents: of the arm / of its reference. A level that the data do not vary keeps its prior. "
    ) + meaning
    return Table("Multipliers by feed", header, bodies_of(bodies), note)


def _against(agents: Sequence[int]) -> str:
    return " / ".join(map(str, agents))


def _ratio_table(ratios: Sequence[Json]) -> Table:
    said = [[_TAGS.get(one["tags"], one["tags"]), one["note"]] for one in ratios]
    notes, meaning = footnotes(["; ".join(filter(None, both)) for both in said])
    bodies: dict[str, list[list[str]]] = {}
    for one, marks in zip(ratios, notes, strict=True):
        title = f"{MODIFIER_NAMES[one['modifier']]}: {one['arm']} against {one['reference']}"
        bodies.setdefault(title, []).append([*_ratio_row(one), marks])
    header = ["Where", "p_gm", "p_gm, bootstrap", "capable", "goal fails", "harm"]
    header += ["agents x levels", "notes"]
    note = (
        "Over all trained agents. A number of cells: pooled over the identified ones, or over all. "
        "p_gm: posterior median; bootstrap: raw ratio, paired. The three factors: likewise raw in "
        f"a cell, posterior where pooled. agents: arm / reference. {meaning}"
    )
    reasons = sorted({one["ratio"]["reason"] for one in ratios} - {""})
    if reasons:
        note += f" Without an interval: {'; '.join(reasons)}."
    return Table("Risk ratios and their split into factors", header, bodies_of(bodies), note)


_TAGS = {"spec_gaming": "spec_gaming: trained on a reward that is not the intended one"}


def _ratio_row(one: Json) -> list[str]:
    factors = [
        ratio_span(one["factors"][name]) if name in one["factors"] else "-" for name in _FACTORS
    ]
    return [
        _where(one),
        ratio_span(one["ratio"]),
        ratio_span(one["bootstrap"]),
        *factors,
        f"{_against([one['k_agents'], one['k_reference']])} x {one['levels']}",
    ]


def _slope_table(slopes: Sequence[Json]) -> Table:
    rows = [
        [
            f"{one['cell']}, {one['arm']}",
            ratio_span(one["slope"]),
            str(len(set(one["agent_number"]))),
            str(len(one["competence"])),
            one["slope"]["reason"],
        ]
        for one in slopes
    ]
    header = ["Cell and arm", "d ln p_gm / d ln competence", "agents", "checkpoints", "note"]
    note = "A slope of 1: twice the competence, twice the risk."
    return plain_table("Does risk rise with capability?", header, rows, note)


def _multiplicativity_table(rows: Sequence[Json]) -> Table:
    lines = [
        [
            f"{row['cell']}: {' x '.join(row['pair'])}",
            row["verdict"],
            *(
                ratio_span(row["ratio_of_ratios"][link]) if link in row["ratio_of_ratios"] else "-"
                for link in _LINKS
            ),
            ratio(row["ceiling"]),
            row["best_scale"],
            _against(row["agents"]),
            str(row["agents_needed"]),
        ]
        for row in rows
    ]
    header = ["Pair", "verdict", "log (risk ratios)", "cloglog", "logit", "ceiling"]
    header += ["smallest on", "agents", "agents needed"]
    note = (
        "The ratio of ratios is 1 where two modifiers multiply: holds inside .8 to 1.25. ceiling: "
        "the largest ratio that probabilities allow."
    )
    return plain_table("Do two modifiers multiply?", header, lines, note)


# ------------------------------------------------------------------------------------ dose-response


_DOSES = {
    "d": "d, share of training levels with the broken draw",
    "broken_episodes": "training episodes that told the goals apart",
}
_BY = {"d": "by d", "broken_episodes": "by broken episodes seen"}


def doses(file: CalibrationFile) -> Exhibit:
    """A chart per cell and kind of dose, and the dose at half effect."""
    found = file.summary["modifier_report"]["dose_responses"]
    if not found:
        missing = "The records hold one value of d, so there is no dose-response."
        return Exhibit(missing=missing)
    found = sorted(found, key=lambda one: (one["cell"], str(one["dose"])))
    return Exhibit([_dose_chart(one) for one in found], [_dose_table(found)])


def _dose_chart(one: Json) -> Chart:
    code = one["cell"]
    labels = [dose_label(dose) for dose in one["doses"]]
    columns = [
        Dose(label, *ends(rate), np.array([finite(dot) for dot in dots]))
        for label, rate, dots in zip(labels, one["rates"], one["dots"], strict=True)
    ]
    half = finite(one["half_effect_dose"]["value"])
    place = float(np.interp(half, one["doses"], range(len(columns))))  # NaN stays
    said = ", ".join(f"{c.label} {percent(c.value)}" for c in columns)
    alt = f"{code}: p_gm in percent by {_DOSES[one['dose']]}. {said}"
    name = f"dose-{code}-{one['dose']}".replace("_", "-").replace(" ", "-")
    svg = dose_chart(name, columns, (_DOSES[one["dose"]], "p_gm [%]"), alt, place)
    title = f"{code} {family_name(one['family'])}"
    return Chart(title, svg, _half_effect(one["half_effect_dose"]))


def _half_effect(interval: Json) -> str:
    value, low, high = ends(interval)
    if math.isnan(value):
        return f"No dose at half effect: {interval['reason'] or 'not defined'}."
    span = "" if math.isnan(low) else f" [{dose_label(low)}, {dose_label(high)}]"
    return f"Dashed: half effect at {dose_label(value)}{span}."


def dose_label(dose: float) -> str:
    """`.005`, `1`, `340`, `12k`."""
    if dose >= 1000:
        return f"{dose / 1000:.3g}k"
    return f"{dose:.3g}".removeprefix("0") or "0"


def _dose_table(found: Sequence[Json]) -> Table:
    bodies = []
    for one in found:
        code = one["cell"]
        rows = [
            [dose_label(dose), percent_span(rate), percent_span(fit), f"{agents} x {levels}"]
            for dose, rate, fit, agents, levels in zip(
                *(one[name] for name in ("doses", "rates", "fit", "agents", "levels")), strict=True
            )
        ]
        bodies.append(Body(f"{code} {_BY[one['dose']]}", rows))
    header = ["Dose", "p_gm [%]", "monotone fit [%]", "agents x levels"]
    return Table("Dose-responses of all trained agents", header, bodies)
