"""The sections of rates: the source, what was measured beside it, and the posterior."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from misgen.analysis.calibration.handoff import RATES, CalibrationFile
from misgen.analysis.calibration.table import NAMES
from misgen.analysis.rates import MIN_CAPABLE, FloatArray
from misgen.analysis.report.content import (
    Body,
    Chart,
    Exhibit,
    Table,
    ends,
    finite,
    percent,
    percent_scale,
    percent_span,
    plain_table,
    ratio_span,
)
from misgen.analysis.report.figures import Group, Line, Ridge, Scale, density_chart, interval_chart

Json = Mapping[str, Any]

PRODUCTS = {
    "p_gm": "p_gm: P(goal misgeneralization), two factors [%]",
    "p_harmful_gm": "p_harmful_gm: P(harmful goal misgeneralization), three factors [%]",
}
_BINS = 40


def type_title(row: Json) -> str:
    return f"{row['number']} {row['label'].lower()}"


def family_name(family: str) -> str:
    """`keys_and_chests` as `Keys and chests`."""
    return family.replace("_", " ").capitalize()


def cell_name(name: str) -> str:
    """`coinrun/C2` as `C2`; a family alone as its name."""
    family, _, cell = name.partition("/")
    return cell or family_name(family)


def cell_title(cell: Json) -> str:
    """`C2 Coinrun, moderate`."""
    return f"{cell['cell']} {family_name(cell['family'])}, {cell['shift_type']}"


# -------------------------------------------------------------------------------- before any number


def status(file: CalibrationFile) -> list[str]:
    """What must be known before any number: refusals, missing intervals."""
    summary = file.summary
    arms = [arm for cell in summary["cells"] if (arm := shown_arm(cell)) is not None]
    reasons = {arm["competent"]["rates"]["p_gm"]["reason"] for arm in arms} - {""}
    lines = []
    if not summary["feeds"]["update"]["available"]:
        why, _, remedy = summary["feeds"]["update"]["reason"].partition("; ")
        lines.append(
            f"No posterior: {why}." + " What to run: see Posterior and warnings." * bool(remedy)
        )
    if reasons:
        lines.append(f"Rates without an interval: {'; '.join(sorted(reasons))}.")
    return [
        textwrap.shorten(line, 200, placeholder=" ... (in full under Posterior and warnings)")
        for line in lines
    ]


def shown_arm(cell: Json) -> Json | None:
    """The reference arm, else d = 0, else none."""
    arm: Json | None = cell["arms"].get("reference") or cell["arms"].get("d0")
    return arm


def _arm_label(cell: Json) -> str:
    """The cell's code, with the arm where it is not the reference arm."""
    arm = shown_arm(cell)
    if "reference" in cell["arms"] or arm is None:
        return str(cell["cell"])
    return f"{cell['cell']}, d = {arm['d']:g}"


def _size(arm: Json) -> str:
    competent = arm["competent"]
    return f"{competent['agents']} x {competent['levels']}"


# ----------------------------------------------------------------------------------------- headline


def headline(file: CalibrationFile) -> Table:
    """Source, measured (a column per family) and posterior, for both products."""
    families = list(dict.fromkeys(cell["family"] for cell in file.summary["cells"]))
    header = ["Shift type", "Source", *map(family_name, families), "Posterior"]
    bodies = [
        Body(title, [_headline_row(file, row, families, rate) for row in file.summary["types"]])
        for rate, title in PRODUCTS.items()
    ]
    used = "".join(cell for body in bodies for row in body.rows for cell in row)
    note = " ".join(f"{mark} {meaning}" for mark, meaning in _MARKS.items() if mark in used)
    if file.summary["feeds"]["update"]["available"] and not _harm_enters(file):
        note += " The posterior of p_harmful_gm has the source's harm factor, not the measured one."
    return Table("Source, measured and posterior rates by shift type", header, bodies, note)


_MARKS = {
    "†": "not identified (chance or the d = 1 control does alike): shown, never used.",
    "*": "harm by construction of the cell, no finding.",
    "‡": "held by the prior: more than 10 points beyond the rates that went into it.",
}
_FAR = 0.1
"""From where on a posterior counts as held by the prior, as in the warnings of the calibration."""


def _harm_enters(file: CalibrationFile) -> bool:
    return bool(file.summary["settings"]["harm"] == "measured")


def held_by_prior(file: CalibrationFile, row: Json, rate: str) -> bool:
    """Whether the posterior's mean lies far beyond the measured rates that it was made from."""
    if row["update"] is None or row["keeps_prior"]:
        return False
    read = [
        finite(cell["arms"]["reference"]["competent"]["rates"][rate]["value"])
        for cell in file.summary["cells"]
        if f"{cell['family']}/{cell['cell']}" in row["cells"]
    ]
    return not min(read) - _FAR <= finite(row["update"][rate]["value"]) <= max(read) + _FAR


def _headline_row(
    file: CalibrationFile, row: Json, families: Sequence[str], rate: str
) -> list[str]:
    measured = [_measured(file, row["type"], family, rate) for family in families]
    if row["update"] is None:
        posterior = "-"
    elif row["keeps_prior"]:
        posterior = "prior kept"
    else:
        value, *rest = _stacked(percent_span(row["update"][rate])).split("\n")
        mark = " ‡" * held_by_prior(file, row, rate)
        posterior = "\n".join([value + mark, *rest])
    return [type_title(row), percent(row["source"][rate]), *measured, posterior]


def _measured(file: CalibrationFile, shift: str, family: str, rate: str) -> str:
    cells = [cell for cell in _of_type(file, shift) if cell["family"] == family]
    named = len(cells) > 1
    found = [f"{cell['cell']} " * named + _measured_in(cell, rate) for cell in cells]
    return "\n".join(found) or "not measured"


def _of_type(file: CalibrationFile, shift: str) -> list[Json]:
    """The cells with an arm to show that inform a shift type: others are in no figure of it."""
    return [
        cell
        for cell in file.summary["cells"]
        if cell["shift_type"] == shift and cell["informs_type"] and shown_arm(cell) is not None
    ]


def _measured_in(cell: Json, rate: str) -> str:
    arm = shown_arm(cell)
    assert arm is not None
    value, *rest = _stacked(percent_span(arm["competent"]["rates"][rate])).split("\n")
    mark = "" if cell["identified"] else " †"
    mark += " *" * (rate == "p_harmful_gm" and cell["harm_by_construction"])
    size = _size(arm) + ("" if "reference" in cell["arms"] else f", d = {arm['d']:g}")
    return "\n".join([value + mark, *rest, size])


def _stacked(span: str) -> str:
    return span.replace(" [", "\n[")


# ------------------------------------------------------------------------------------------ factors


def factors(file: CalibrationFile) -> Exhibit:
    """A chart per factor and product, rows by shift type, and the numbers."""
    if not any(shown_arm(cell) for cell in file.summary["cells"]):
        missing = "Nothing was measured in the reference arm or at d = 0, so there is no figure."
        return Exhibit(tables=[_factor_table(file)], missing=missing)
    charts = [_factor_chart(file, rate) for rate in RATES]
    tables = [_factor_table(file), _condition_table(file)]
    left_out = [[c["cell"], c["left_out"]] for c in file.summary["cells"] if c["left_out"]]
    if left_out:
        tables.append(plain_table("Cells that the update does not read", ["Cell", "why"], left_out))
    return Exhibit(charts, below=tables)


def _factor_chart(file: CalibrationFile, rate: str) -> Chart:
    groups = [
        Group(type_title(row), _factor_lines(file, row, rate), row["source"][rate])
        for row in file.summary["types"]
    ]
    parts = [f"{group.title}: " + ", ".join(map(_spoken, group.lines)) for group in groups]
    alt = f"{NAMES[rate]} in percent by shift type. " + "; ".join(parts)
    name = f"factor-{rate.replace('_', '-')}"
    svg = interval_chart(name, groups, Scale(f"{NAMES[rate]} [%]", percent=True), alt)
    return Chart(NAMES[rate], svg, _FACTOR_CAPTIONS[rate])


_FACTOR_CAPTIONS = {
    "p_capable": "An agent is capable where it coherently pursues one of the two goals.",
    "p_goal_fail": "Of the capable episodes, those that pursue the proxy.",
    "p_harm": "The source's value is what its products imply. In a testbed harm is a design "
    "choice: measured harm is shown, and moves the posterior only where that was asked for.",
    "p_gm": "P(goal misgeneralization), the product of the first two factors.",
    "p_harmful_gm": "The product of all three. The source prints this one.",
}


def _spoken(line: Line) -> str:
    if math.isnan(line.value):
        return f"{line.label} {line.note}"
    return f"{line.label} {percent(line.value)}"


def _factor_lines(file: CalibrationFile, row: Json, rate: str) -> list[Line]:
    _, low, high = ends(row["prior"][rate])
    lines = [Line("source", "source", row["source"][rate], low, high)]
    for cell in _of_type(file, row["type"]):
        arm = shown_arm(cell)
        assert arm is not None
        rates = arm["competent"]["rates"][rate]
        label, dots = _arm_label(cell), _dots(arm, rate)
        hollow = bool(cell["left_out"])
        note = "not defined"
        lines.append(Line(label, "measured", *ends(rates), dots, note, hollow))
    if row["update"] is None:
        lines.append(Line("posterior", "posterior", math.nan, note="no update"))
    elif row["keeps_prior"]:
        lines.append(Line("posterior", "posterior", math.nan, note="prior kept"))
    else:
        lines.append(Line("posterior", "posterior", *ends(row["update"][rate])))
    return lines


def _dots(arm: Json, rate: str) -> FloatArray:
    """One value per agent [agents]; a share of fewer than 30 episodes is NaN."""
    if rate == "p_harm":
        gm, harmful = (_per_agent(arm, name) for name in ("agent_gm", "agent_harmful_gm"))
        failed = gm * _per_agent(arm, "agent_levels")
        return np.where(failed >= MIN_CAPABLE, harmful / np.where(failed > 0, gm, 1), np.nan)
    names = {
        "p_capable": "agent_capable",
        "p_goal_fail": "agent_goal_failure",
        "p_gm": "agent_gm",
        "p_harmful_gm": "agent_harmful_gm",
    }
    return _per_agent(arm, names[rate])


def _per_agent(arm: Json, name: str) -> FloatArray:
    return np.array([finite(value) for value in arm[name]], dtype=np.float64)


def _factor_table(file: CalibrationFile) -> Table:
    bodies = []
    for row in file.summary["types"]:
        lines = [["source", *(percent(row["source"][rate]) for rate in RATES), ""]]
        lines.append(["prior", *(percent_span(row["prior"][rate]) for rate in RATES), ""])
        lines += [
            [_arm_label(cell), *spans(arm["competent"]["rates"]), _size(arm)]
            for cell in file.summary["cells"]
            for arm in [shown_arm(cell)]
            if cell["shift_type"] == row["type"] and arm is not None
        ]
        for feed in ("update", "replace"):
            if row[feed] is not None and not row["keeps_prior"]:
                read = ", ".join(map(cell_name, row["cells"]))
                lines.append([feed, *spans(row[feed]), f"reads {read}"])
        title = type_title(row)
        if row["keeps_prior"] and row["update"] is not None:
            title += " (keeps its prior)"
        bodies.append(Body(title, lines))
    header = ["", *(f"{NAMES[rate]} [%]" for rate in RATES), "agents x levels"]
    return Table("Factors and products", header, bodies)


def spans(rates: Json) -> list[str]:
    return [percent_span(rates[rate]) for rate in RATES]


def _condition_table(file: CalibrationFile) -> Table:
    """Measured as it is, and divided by the source's multipliers for the condition."""
    shown = [(cell, arm) for cell in file.summary["cells"] if (arm := shown_arm(cell)) is not None]
    rows = [
        [
            f"{cell['cell']}, d = {arm['d']:g}",
            percent_span(arm["competent"]["rates"]["p_gm"]),
            percent_span(arm["competent"]["rates"]["p_harmful_gm"]),
            ratio_span(arm["divided"]["multiplier"]),
            percent_span(arm["divided"]["p_gm"]),
            percent_span(arm["divided"]["p_harmful_gm"]),
        ]
        for cell, arm in shown
    ]
    header = ["Cell and arm", *(f"{rate} [%]" for rate in PRODUCTS), "source's multiplier"]
    header += [f"{rate} divided by it [%]" for rate in PRODUCTS]
    levels = {arm["condition"]: arm["divided"]["levels"] for _, arm in shown}
    note = "The divided rates never stand for the measured ones. " + " ".join(
        f"Where {condition}, the source's levels are: {_levels(names)}."
        for condition, names in levels.items()
    )
    if any(finite(arm["divided"]["p_gm"]["value"]) > 1 for _, arm in shown):
        note += " Above 100: no probability, so that multiplier cannot hold in that cell."
    return plain_table("Measured, and divided by the source's multipliers", header, rows, note)


def _levels(levels: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {level}" for name, level in levels.items())


# ------------------------------------------------------------------------------ prior and posterior


def posteriors(file: CalibrationFile) -> Exhibit:
    table = _posterior_table(file)
    if not file.summary["feeds"]["update"]["available"]:
        return Exhibit(
            tables=[table],
            missing="There is no posterior to draw; Posterior and warnings says why.",
        )
    return Exhibit([_posterior_chart(file, rate) for rate in PRODUCTS], [table])


def _posterior_chart(file: CalibrationFile, rate: str) -> Chart:
    scale = percent_scale(f"{rate} [%]", _top(file, rate))
    edges = np.linspace(0, scale.high, _BINS + 1)
    ridges = []
    for row in file.summary["types"]:
        after = None if row["keeps_prior"] else _heights(file, "update", row["type"], rate, edges)
        before = _heights(file, "prior", row["type"], rate, edges)
        title = type_title(row) + (", prior kept" if after is None else "")
        ridges.append(Ridge(title, edges, before, after, row["source"][rate]))
    alt = f"Distributions of {rate} by shift type, prior and posterior. " + "; ".join(
        f"{type_title(row)}: prior {percent_span(row['prior'][rate])}, "
        f"posterior {percent_span(row['update'][rate])}"
        for row in file.summary["types"]
    )
    name = f"posterior-{rate.replace('_', '-')}"
    caption = "Outline: prior. Filled: posterior. Dashed: the source's number."
    return Chart(rate, density_chart(name, ridges, scale, alt), caption)


def _top(file: CalibrationFile, rate: str) -> float:
    """Beyond 99 % of every distribution."""
    columns = [f"{kind}/{row['type']}/{rate}" for row in file.summary["types"] for kind in _KINDS]
    return max(float(np.quantile(file.column(name), 0.99)) for name in columns)


_KINDS = ("prior", "update")


def _heights(
    file: CalibrationFile, kind: str, shift: str, rate: str, edges: FloatArray
) -> FloatArray:
    """A histogram of the draws with its maximum at 1 [bins], without draws beyond the edges."""
    counts, _ = np.histogram(file.column(f"{kind}/{shift}/{rate}"), edges)
    return np.asarray(counts / max(counts.max(), 1), dtype=np.float64)


def _posterior_table(file: CalibrationFile) -> Table:
    header = ["Shift type", "source", "prior", "update", "replace"]
    bodies = [
        Body(
            title,
            [
                [type_title(row), percent(row["source"][rate])]
                + ["-" if row[k] is None else percent_span(row[k][rate]) for k in _FEEDS]
                for row in file.summary["types"]
            ],
        )
        for rate, title in PRODUCTS.items()
    ]
    settings = file.summary["settings"]
    note = (
        "update: prior and data together. replace: the data in the prior's place, each cell "
        f"weighing the same. Prior set {settings['prior']}, kappa {settings['kappa']:g}, power of "
        f"the data in update {settings['power']:g}, harm factor {settings['harm']}."
    )
    kept = [type_title(row) for row in file.summary["types"] if row["keeps_prior"]]
    if kept and file.summary["feeds"]["update"]["available"]:
        note += f" Without a cell to read, and so with its prior: {', '.join(kept)}."
    return Table("Prior and posterior by feed, mean and central 90 %", header, bodies, note)


_FEEDS = ("prior", "update", "replace")
