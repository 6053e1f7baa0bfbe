"""What was measured of the modifiers, as plain text."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from misgen.analysis.modifiers.comparisons import setup_of
from misgen.analysis.modifiers.contrasts import LINKS
from misgen.analysis.modifiers.measure import ModifierReport
from misgen.analysis.modifiers.ratios import RiskRatio, join_notes
from misgen.analysis.priors.types import FACTORS
from misgen.analysis.rates import Estimate
from misgen.analysis.text import aligned

_MEANING = {"log": "of rates", "cloglog": "of hazards -ln(1 - p)", "logit": "of odds"}

_LEGEND = """\
Ratios of p_gm over all trained agents, competent or not; [central 90 % over agents]. ratio:
beta-binomial with the weak prior N(0, 1.5) on its logarithm, median; raw: of the means; bootstrap:
raw with the interval for arms paired by agent number. capable, goal fails, harm: the raw ratio of
each factor, paired bootstrap; in a cell they multiply to that of harmful goal misgeneralization.
pooled: random effects over cells; + : this cell is not identified (its d = 1 control fails too, or
a random policy is capable) and enters "all cells" alone."""


def format_modifiers(report: ModifierReport) -> str:
    """Plain text: the ratios and their notes, what varies between cells, slopes, dose-response,
    whether modifiers multiply, and what is not identified with its reason."""
    reference = setup_of(report.reference)
    title = (
        f"Modifiers at variant {report.variant}, ratios {_MEANING[report.link]}; "
        f"reference arm {reference.method} d={reference.d:g} q={reference.q:g}"
    )
    missing = [[name, reason] for name, reason in report.not_identified.items()]
    parts = [
        title,
        _ratio_table(report),
        _LEGEND,
        *_titled("Between cells", _spread_lines(report)),
        *_titled("d ln p_gm / d ln competence over checkpoints", _slope_lines(report)),
        *_titled("Dose-response: p_gm of all trained agents", _dose_lines(report)),
        *_titled("Do modifiers multiply", _pair_lines(report)),
        *_titled("Not identified", [["modifier", "reason"], *missing]),
    ]
    return "\n\n".join(parts) + "\n"


def times(estimate: Estimate) -> str:
    """A ratio to three digits with its interval: `.0374 [.012, .11]`, `48.2`, `-` for NaN."""
    if math.isnan(estimate.low):
        return _three(estimate.value)
    value = "" if math.isnan(estimate.value) else f"{_three(estimate.value)} "
    return f"{value}[{_three(estimate.low)}, {_three(estimate.high)}]"


def _three(value: float) -> str:
    if math.isnan(value):
        return "-"
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _titled(title: str, lines: Sequence[Sequence[str]]) -> list[str]:
    """A title over a table whose first line is the header; nothing for a table without lines."""
    return [f"{title}\n{aligned(lines[0], lines[1:])}"] if len(lines) > 1 else []


def _ratio_table(report: ModifierReport) -> str:
    header = (
        "modifier,level,arm,against,cell,agents x levels,ratio,raw,bootstrap,capable,goal fails,"
        "harm,tags,note"
    ).split(",")
    groups: dict[tuple[str, ...], list[RiskRatio]] = defaultdict(list)
    for one in report.ratios:  # pooled ones come first, each then above its cells
        groups[one.modifier, one.level, one.arm, one.reference].append(one)
    ratios = [one for group in groups.values() for one in group]
    notes = list(dict.fromkeys(filter(None, map(_reasons, ratios))))
    lines = []
    for one in ratios:
        mark = f"({notes.index(_reasons(one)) + 1})" if _reasons(one) else ""
        lines.append([
            one.modifier, one.level, one.arm, one.reference, _where(report, one),
            f"{one.k_agents}/{one.k_reference} x {one.levels}", times(one.ratio), _three(one.raw),
            times(one.bootstrap), *(times(one.factors[name]) for name in FACTORS), one.tags, mark,
        ])  # fmt: skip
    if not lines:
        return "No cell has two arms that differ in one modifier alone."
    return "\n\n".join([
        aligned(header, lines), "\n".join(f"({i}) {note}" for i, note in enumerate(notes, 1)),
    ]).rstrip()  # fmt: skip


def _reasons(one: RiskRatio) -> str:
    return join_notes(*dict.fromkeys([one.note, one.ratio.reason]))


def _where(report: ModifierReport, one: RiskRatio) -> str:
    if one.scope != "cell":
        return f"{one.scope}: {len(one.cells)}"
    return " ".join(one.cells[0]) + " +" * (not report.identified[one.cells[0]])


def _spread_lines(report: ModifierReport) -> list[list[str]]:
    return [
        "modifier,arm,against,scope,cells,sd of ln ratio,ratio in a further cell".split(","),
        *(
            [
                one.modifier, one.arm, one.reference, one.scope, str(len(one.cells)),
                times(one.spread), times(one.new_cell),
            ]
            for one in report.ratios
            if not math.isnan(one.spread.value)
        ),
    ]  # fmt: skip


def _slope_lines(report: ModifierReport) -> list[list[str]]:
    return [
        "cell,arm,agents,points,slope,note".split(","),
        *(
            [
                f"{one.family} {one.cell}", one.arm, str(len(np.unique(one.agent_number))),
                str(len(one.p_gm)), times(one.slope), one.slope.reason,
            ]
            for one in report.slopes
        ),
    ]  # fmt: skip


def _dose_lines(report: ModifierReport) -> list[list[str]]:
    lines = [
        "cell,dose,at,agents x levels,p_gm,monotone fit,half effect at,between,note".split(",")
    ]
    for one in report.dose_responses:
        half, (low, high) = one.half_effect_dose, one.between
        for i, dose in enumerate(one.doses):
            summary = [times(half), f"{low:g}-{high:g}", half.reason] if i == 0 else ["", "", ""]
            lines.append([
                f"{one.family} {one.cell}", one.dose, f"{dose:g}",
                f"{one.agents[i]} x {one.levels[i]}",
                times(one.rates[i]), times(one.fit[i]), *summary,
            ])  # fmt: skip
    return lines


def _pair_lines(report: ModifierReport) -> list[list[str]]:
    header = "cell,pair,arms,agents,expected p_gm,ceiling,verdict,log,cloglog,logit,".split(",")
    header[-1:] = ["smallest on", "agents needed", "tags"]
    return [
        header,
        *(
            [
                f"{one.family} {one.cell}", " x ".join(one.pair), " | ".join(one.arms),
                "/".join(map(str, one.agents)), _three(one.expected), _three(one.ceiling),
                one.verdict, *(times(one.ratio_of_ratios[link]) for link in LINKS),
                one.best_scale, str(one.agents_needed), one.tags,
            ]
            for one in report.multiplicativity
        ),
    ]  # fmt: skip
