"""The sections that put the calibration to use: domains and sensitivity."""

from collections.abc import Sequence
from dataclasses import replace

from misgen.analysis.calibration.handoff import CalibrationFile
from misgen.analysis.priors.types import SHIFT_TYPES, PriorSet
from misgen.analysis.report.content import (
    Chart,
    Exhibit,
    Table,
    bodies_of,
    percent,
    percent_scale,
    plain_table,
)
from misgen.analysis.report.figures import Bar, Group, Line, Scale, interval_chart, tornado_chart
from misgen.analysis.report.modifier_sections import MODIFIER_NAMES
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.risk.sensitivity import Swing, tornado
from misgen.analysis.risk.table import DomainRow, domain_table, format_product

TORNADO_DOMAIN = "autonomous_agents"
"""The domain with the highest printed risk."""
_MOST_BARS = 10


def prior_model(file: CalibrationFile, priors: PriorSet | None) -> RiskModel:
    """The source's prior alone, as the calibration drew it."""
    return RiskModel.from_calibration(file.folder, "side_by_side", _harm(file), priors=priors)


def calibrated_model(file: CalibrationFile, priors: PriorSet | None) -> RiskModel | None:
    """By the feed `update`, data carried to the domains; None where there is no update."""
    if not file.summary["feeds"]["update"]["available"]:
        return None
    return RiskModel.from_calibration(
        file.folder, "update", file.summary["settings"]["harm"], domains="calibrated", priors=priors
    )


def _harm(file: CalibrationFile) -> str:
    """The calibration's assumption; a prior has no measured harm."""
    asked = str(file.summary["settings"]["harm"])
    return "implied" if asked == "measured" else asked


# ------------------------------------------------------------------------------------------ domains


def domains(prior: RiskModel, calibrated: RiskModel | None) -> Exhibit:
    """The source's domains, in the two periods for which it prints a range."""
    rows = {"prior": domain_table(prior)}
    if calibrated is not None:
        rows["calibrated"] = domain_table(calibrated)
    pairs = list(zip(*rows.values(), strict=True))
    scale = percent_scale("p_harmful_gm [%]", _domain_top(pairs))
    periods = list(dict.fromkeys(pair[0].period.name for pair in pairs if pair[0].printed))
    charts = [
        _domain_chart(period, [pair for pair in pairs if pair[0].period.name == period], scale)
        for period in periods
    ]
    return Exhibit(charts, below=[_domain_table(pairs, list(rows))])


_KINDS = {"prior": "source", "calibrated": "posterior"}


def _domain_top(pairs: Sequence[Sequence[DomainRow]]) -> float:
    rows = [(row, row.printed) for pair in pairs for row in pair]
    return max(max(row.p_harmful_gm.high, ends[1]) for row, ends in rows if ends is not None)


def _domain_chart(period: str, pairs: Sequence[Sequence[DomainRow]], scale: Scale) -> Chart:
    groups, parts = [], []
    for pair in pairs:
        lines = []
        for name, row in zip(_KINDS, pair, strict=False):
            found = row.p_harmful_gm
            lines.append(Line(name, _KINDS[name], found.median, found.low, found.high))
        label, printed = pair[0].domain.label, pair[0].printed
        groups.append(Group(label, lines, printed_range=printed))
        if printed is not None:
            said = ", ".join(f"{line.label} {percent(line.value)}" for line in lines)
            parts.append(f"{label}: printed {percent(printed[0])} to {percent(printed[1])}, {said}")
    alt = f"p_harmful_gm in percent by domain, {period}. " + "; ".join(parts)
    svg = interval_chart(f"domains-{period}", groups, scale, alt)
    return Chart(period, svg, "Marks: medians with central 90 %.")


_SHARES = (
    "The last column: what the source's formula, all multipliers times all factors, makes of the "
    "{} draws, where it differs by more than a fifth. It may exceed what its own factors allow; "
    "above 1 in most draws it is no forecast."
)


def _domain_table(pairs: Sequence[Sequence[DomainRow]], names: Sequence[str]) -> Table:
    bodies: dict[str, list[list[str]]] = {}
    for pair in pairs:
        first = pair[0]
        printed = "-"
        if first.printed is not None:
            printed = f"{percent(first.printed[0])} to {percent(first.printed[1])}"
        cells = [row.p_harmful_gm.percent() for row in pair]
        cells += [row.p_gm.percent() for row in pair]
        cells += [format_product(pair[-1])]
        bodies.setdefault(first.domain.label, []).append([first.period.name, printed, *cells])
    header = ["Domain and period", "printed [%]"]
    header += [f"{rate} {name} [%]" for rate in ("p_harmful_gm", "p_gm") for name in names]
    header += ["as a product [%]"]
    title = "Domains and periods: median and central 90 %"
    return Table(title, header, bodies_of(bodies), _SHARES.format(names[-1]))


# -------------------------------------------------------------------------------------- sensitivity


def tornados(prior: RiskModel, calibrated: RiskModel | None) -> Exhibit:
    """One domain with capability, diversity and method unknown, by the prior and calibrated."""
    models = {"prior": prior} | ({} if calibrated is None else {"calibrated": calibrated})
    swings = {
        name: tornado(
            model.predict(
                domain=TORNADO_DOMAIN, capability="unknown", diversity="unknown", method="unknown"
            )
        )
        for name, model in models.items()
    }
    label = prior.priors.domains[TORNADO_DOMAIN].label
    charts = [_tornado_chart(name, label, found) for name, found in swings.items()]
    return Exhibit(charts, [_tornado_table(name, found) for name, found in swings.items()])


def _tornado_chart(name: str, domain: str, swings: Sequence[Swing]) -> Chart:
    scale = percent_scale("p_harmful_gm [%]", max(max(s.low, s.high) for s in swings))
    bars = [Bar(_input_name(s.name), s.low, s.high) for s in swings[:_MOST_BARS]]
    middle = swings[0].middle
    parts = [f"{bar.label} {percent(bar.low)} to {percent(bar.high)}" for bar in bars]
    alt = (
        f"How far p_harmful_gm in percent moves with each input, {domain}, {name}; all at their "
        f"medians: {percent(middle)}. " + "; ".join(parts)
    )
    scale = replace(scale, reference=middle)
    svg = tornado_chart(f"tornado-{name}", bars, scale, alt, _KINDS[name])
    caption = (
        "Capability, training diversity and alignment method unknown. All at their medians: "
        f"{percent(middle)} %."
    )
    return Chart(f"{domain}, {name}", svg, caption)


def _input_name(name: str) -> str:
    """`extreme/p_harm` as `type 4: harm`."""
    shift, _, factor = name.partition("/")
    if shift not in SHIFT_TYPES:
        return MODIFIER_NAMES.get(name, name)
    words = {"p_capable": "capable", "p_goal_fail": "goal fails", "p_harm": "harm"}
    return f"type {SHIFT_TYPES.index(shift) + 1}: {words[factor]}"


def _tornado_table(name: str, swings: Sequence[Swing]) -> Table:
    rows = [
        [
            _input_name(s.name),
            s.label,
            f"{s.input_low:.2f} to {s.input_high:.2f}",
            f"{percent(s.low)} to {percent(s.high)}",
            percent(s.log_span_share),
        ]
        for s in swings
    ]
    header = ["Input", "what it is", "from 5 % to 95 %", "p_harmful_gm [%]", "log span [%]"]
    note = "log span: share of the sum of ln(high / low) over the inputs."
    return plain_table(f"Inputs, {name}", header, rows, note)
