"""The charts of a calibration: what its summary and draws look like."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from misgen.analysis.calibration.handoff import CalibrationFile
from misgen.analysis.calibration.modifier_tables import DOSES, where
from misgen.analysis.calibration.summary import ArmSummary, Summary, TypeSummary
from misgen.analysis.modifiers.results import DoseResponse, RiskRatio
from misgen.analysis.priors.types import SHIFT_TYPES, PriorSet
from misgen.analysis.rates import MIN_CAPABLE, FloatArray
from misgen.analysis.report.content import Chart, family_name
from misgen.analysis.report.figures import (
    Group,
    Line,
    Ridge,
    Scale,
    density_chart,
    dose_chart,
    interval_chart,
    tornado_chart,
)
from misgen.analysis.risk.sensitivity import Swing
from misgen.analysis.risk.table import DomainRow
from misgen.analysis.text import dose_label, percent, span
from misgen.analysis.words import MODIFIERS, PRODUCTS, RATE_NAMES

_BINS = 40
_MOST_BARS = 10
_WIDEST = (0.01, 100.0)
"""The axis of risk ratios; what lies beyond is in the table."""


def type_title(row: TypeSummary) -> str:
    return f"{row.number} {row.label.lower()}"


def _percent_scale(label: str, top: float) -> Scale:
    """From 0 to the next round number above the fraction `top`, at most 1."""
    for high, step in ((0.05, 0.01), (0.1, 0.02), (0.25, 0.05), (0.5, 0.1), (0.8, 0.2)):
        if top <= high:
            return Scale(label, high=high, step=step, percent=True)
    return Scale(label, percent=True)


# ------------------------------------------------------------------------------------- the answer


def domain_chart(pairs: Sequence[Sequence[DomainRow]], names: Sequence[str]) -> Chart:
    """Five domains in every period: the source's range, the prior and the prediction with data.

    pairs: of each domain and period a row per model; names: of the models' kinds."""
    groups: dict[str, list[Line]] = {}
    for pair in pairs:
        lines = groups.setdefault(pair[0].domain.label, [])
        for i, (kind, row) in enumerate(zip(names, pair, strict=True)):
            found, label = row.p_harmful_gm, row.period.name * (i == 0)
            lines.append(Line(label, kind, found.median, found.low, found.high, band=row.printed))
    tops = [max((row.p_harmful_gm.high, *(row.printed or ()))) for pair in pairs for row in pair]
    scale = _percent_scale("p_harmful_gm [%]", max(tops))
    alt = "p_harmful_gm in percent by domain and period. " + "; ".join(map(_domain_words, pairs))
    drawn = [Group(title, lines) for title, lines in groups.items()]
    caption = "Medians and central 90 %. Shaded: the range that the source prints, where it does."
    if any(row.clipped_share > 0.5 for pair in pairs for row in pair):
        caption += " Curves flatten where P(goal fails) has grown to 1."
    return Chart(
        "Five domains in four periods", interval_chart("domains", drawn, scale, alt), caption
    )


def _domain_words(pair: Sequence[DomainRow]) -> str:
    first = pair[0]
    found = ", ".join(percent(row.p_harmful_gm.median) for row in pair)
    printed = (
        "" if first.printed is None else ", printed {} to {}".format(*map(percent, first.printed))
    )
    return f"{first.domain.label} {first.period.name} {found}{printed}"


# ------------------------------------------------------------------------------------------ factors


def factor_charts(summary: Summary) -> list[Chart]:
    """A chart per factor and product, rows by shift type; none where nothing was measured."""
    if not any(cell.shown for cell in summary.cells):
        return []
    return [_factor_chart(summary, rate, words) for rate, words in RATE_NAMES.items()]


def _factor_chart(summary: Summary, rate: str, words: str) -> Chart:
    groups = [
        Group(type_title(row), [*_factor_lines(summary, row, rate)], row.source.rates[rate])
        for row in summary.types
    ]
    said = [
        f"{group.title}: "
        + ", ".join(f"{one.label} {one.note if math.isnan(one.value) else percent(one.value)}"
                    for one in group.lines)
        for group in groups
    ]  # fmt: skip
    alt = f"{words} in percent by shift type. " + "; ".join(said)
    scale = Scale(f"{words} [%]", percent=True)
    svg = interval_chart(f"factor-{rate.replace('_', '-')}", groups, scale, alt)
    return Chart(words, svg, _FACTOR_CAPTIONS[rate])


_FACTOR_CAPTIONS = {
    "p_capable": "An agent is capable where it coherently pursues one of the two goals.",
    "p_goal_fail": "Of the capable episodes, those that pursue the proxy.",
    "p_harm": "The source's value is what its products imply. In a testbed harm is a design "
    "choice: measured harm is shown, and moves the posterior only where that was asked for.",
    "p_gm": "P(goal misgeneralization), the product of the first two factors.",
    "p_harmful_gm": "The product of all three. The source prints this one.",
}


def _factor_lines(summary: Summary, row: TypeSummary, rate: str) -> Iterator[Line]:
    prior = row.prior[rate]
    yield Line("source", "source", row.source.rates[rate], prior.low, prior.high)
    for cell in summary.cells_of(row.type):
        if cell.shown is not None and cell.informs_type:
            name, arm = cell.shown
            label = cell.cell + f", d = {arm.d:g}" * (name == "d0")
            found, dots = arm.competent.rates[rate], _dots(arm, rate)
            yield Line(label, "measured", *found[:3], dots, "not defined", bool(cell.left_out))
    if row.combine is None or row.keeps_prior:
        note = "no posterior" if row.combine is None else "prior kept"
        yield Line("posterior", "posterior", math.nan, note=note)
    else:
        yield Line("posterior", "posterior", *row.combine[rate][:3])


def _dots(arm: ArmSummary, rate: str) -> FloatArray:
    """One value per agent [agents]; a share of fewer than 30 episodes is NaN."""
    if rate == "p_harm":
        gm, harmful = np.array(arm.agent_gm), np.array(arm.agent_harmful_gm)
        failed = gm * np.array(arm.agent_levels)
        return np.where(failed >= MIN_CAPABLE, harmful / np.where(failed > 0, gm, 1), np.nan)
    name = "goal_failure" if rate == "p_goal_fail" else rate.removeprefix("p_")
    return np.array(getattr(arm, f"agent_{name}"), dtype=np.float64)


# ------------------------------------------------------------------------------ prior and posterior


def posterior_charts(file: CalibrationFile) -> list[Chart]:
    """What the data do to the source's prior, for both products; none where refused."""
    return [] if file.summary.refused else [_posterior_chart(file, rate) for rate in PRODUCTS]


def _posterior_chart(file: CalibrationFile, rate: str) -> Chart:
    types = file.summary.types
    draws = [[file.column(f"{kind}/{row.type}/{rate}") for kind in ("prior", "combine")]
             for row in types]  # fmt: skip
    top = max(np.quantile(values, 0.99) for pair in draws for values in pair)
    scale = _percent_scale(f"{rate} [%]", float(top))
    edges = np.linspace(0, scale.high, _BINS + 1)
    ridges = []
    for row, pair in zip(types, draws, strict=True):
        counts = [np.histogram(values, edges)[0] for values in pair]  # without what lies beyond
        before, after = (np.asarray(one / max(one.max(), 1), dtype=np.float64) for one in counts)
        title = type_title(row) + ", prior kept" * bool(row.keeps_prior)
        filled = None if row.keeps_prior else after
        ridges.append(Ridge(title, edges, before, filled, row.source.rates[rate]))
    alt = f"Distributions of {rate} by shift type, prior and posterior. " + "; ".join(
        f"{type_title(row)}: prior {span(row.prior[rate], percent)}, "
        f"posterior {span((row.combine or row.prior)[rate], percent)}"
        for row in types
    )
    svg = density_chart(f"posterior-{rate.replace('_', '-')}", ridges, scale, alt)
    caption = "Outline: prior. Filled: posterior. Dashed: the source's number."
    return Chart(rate, svg, caption)


# ---------------------------------------------------------------------------------------- modifiers


def forest_charts(summary: Summary, priors: PriorSet) -> list[Chart]:
    """Measured risk ratios against the printed ranges; none where there is no ratio."""
    # The printed range of specification is divided by this to be against q = 1 too.
    spec = priors.modifiers["spec"].level(summary.reference_condition.q).median
    groups = []
    for name, modifier in priors.modifiers.items():
        lines = [
            Line(
                f"{one.arm}, {where(one.scope, one.cells)}",
                "measured",
                *np.clip(one.ratio[:3], *_WIDEST).tolist(),  # NaN stays
            )
            for one in _drawn(summary.modifier_report.ratios)
            if one.modifier == name and one.ratio.value > 0
        ]
        if lines:
            low, high = modifier.range.range
            unit = spec if name == "spec" else 1.0
            groups.append(Group(_TITLES[name], lines, printed_range=(low / unit, high / unit)))
    return [_forest(groups, spec)] if groups else []


_TITLES = {
    "spec": "specification quality, against q = 1",
    "capability": "capability, against the human band",
    "diversity": "training diversity, against d = 0.1",
    "method": "alignment method, against PPO",
}


def _drawn(ratios: Sequence[RiskRatio]) -> list[RiskRatio]:
    """Of each arm the ratio pooled over identified cells; without one, those of single cells."""
    pooled = [one for one in ratios if one.scope == "pooled"]
    arms = {(one.modifier, one.arm) for one in pooled}
    single = [one for one in ratios if one.scope == "cell"]
    found = pooled + [one for one in single if (one.modifier, one.arm) not in arms]
    return sorted(found, key=lambda one: one.arm)


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
    alt = "Risk ratios of p_gm. " + "; ".join(said)
    caption = "The line at 1 is what the title of each group names."
    if any(group.title == _TITLES["spec"] for group in groups):
        caption += (
            " The source's range of specification quality is divided by its multiplier for q = 1, "
            f"{spec:g}."
        )
    if np.nanmin(found) <= _WIDEST[0] or np.nanmax(found) >= _WIDEST[1]:
        caption += f" Cut at {_WIDEST[0]:g} and {_WIDEST[1]:g}."
    return Chart("Risk ratios of p_gm", interval_chart("forest", groups, scale, alt), caption)


def dose_charts(summary: Summary) -> list[Chart]:
    """One per cell, by d; by broken episodes where d was not varied."""
    best: dict[str, DoseResponse] = {}
    for one in sorted(summary.modifier_report.dose_responses, key=lambda one: one.dose != "d"):
        best.setdefault(one.cell, one)
    return [_dose_chart(best[cell]) for cell in sorted(best)]


def _dose_chart(one: DoseResponse) -> Chart:
    columns = [
        Line(dose_label(dose), "measured", *rate[:3], np.array(dots))
        for dose, rate, dots in zip(one.doses, one.rates, one.dots, strict=True)
    ]
    half = one.half_effect_dose
    place = float(np.interp(half.value, one.doses, range(len(columns))))  # NaN stays
    said = ", ".join(f"{c.label} {percent(c.value)}" for c in columns)
    alt = f"{one.cell}: p_gm in percent by {DOSES[one.dose]}. {said}"
    name = f"dose-{one.cell}-{one.dose}".replace("_", "-").replace(" ", "-")
    svg = dose_chart(name, columns, (DOSES[one.dose], "p_gm [%]"), alt, place)
    caption = f"No dose at half effect: {half.reason or 'not defined'}."
    if not math.isnan(half.value):
        ends = "" if math.isnan(half.low) else f" [{dose_label(half.low)}, {dose_label(half.high)}]"
        caption = f"Dashed: half effect at {dose_label(half.value)}{ends}."
    return Chart(f"{one.cell} {family_name(one.family)}", svg, caption)


# -------------------------------------------------------------------------------------- sensitivity


def tornado_of(name: str, kind: str, domain: str, swings: Sequence[Swing]) -> Chart:
    """How far p_harmful_gm moves with each input. kind: whose colour the bars have."""
    scale = _percent_scale("p_harmful_gm [%]", max(max(s.low, s.high) for s in swings))
    bars = [(input_name(s.name), s.low, s.high) for s in swings[:_MOST_BARS]]
    middle = swings[0].middle
    parts = [f"{label} {percent(low)} to {percent(high)}" for label, low, high in bars]
    alt = (
        f"How far p_harmful_gm in percent moves with each input, {domain}, {name}; all at their "
        f"medians: {percent(middle)}. " + "; ".join(parts)
    )
    scale = replace(scale, reference=middle)
    svg = tornado_chart(f"tornado-{name}", bars, scale, alt, kind)
    return Chart(f"{domain}, {name}", svg, f"All at their medians: {percent(middle)} %.")


def input_name(name: str) -> str:
    """`extreme/p_harm` as `type 4: harm`."""
    shift, _, factor = name.partition("/")
    if shift not in SHIFT_TYPES:
        return MODIFIERS.get(name, name)
    words = {"p_capable": "capable", "p_goal_fail": "goal fails", "p_harm": "harm"}
    return f"type {SHIFT_TYPES.index(shift) + 1}: {words[factor]}"
