"""The sections of checks: conflicts with the source, the fit, who was counted, held-out scores."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from misgen.analysis.audit import audit
from misgen.analysis.calibration.handoff import RATES, CalibrationFile
from misgen.analysis.calibration.table import NAMES
from misgen.analysis.report.content import (
    Body,
    Exhibit,
    Table,
    bodies_of,
    percent,
    percent_span,
    plain_table,
)
from misgen.analysis.report.measured_sections import (
    PRODUCTS,
    cell_name,
    cell_title,
    held_by_prior,
    spans,
    type_title,
)

Json = Mapping[str, Any]


def findings(file: CalibrationFile) -> list[tuple[str, str]]:
    """What the calibration comes to; nothing where no cell enters it."""
    if not file.summary["feeds"]["update"]["available"]:
        return []
    types = file.summary["types"]
    kept = [str(row["number"]) for row in types if row["keeps_prior"]]
    held = [str(row["number"]) for row in types if held_by_prior(file, row, "p_gm")]
    found = [("conflicts", conflict_summary(file))]
    if held:
        text = (
            "lies more than 10 points beyond the rates that went into it: the strength of the "
            "prior decides it."
        )
        found.append(("kappa", f"The posterior of type {' and '.join(held)} {text}"))
    if kept:
        found.append(("factors", f"No cell of type {' and '.join(kept)} may enter: prior kept."))
    left_out = [row for row in file.summary["held_out"]["rows"] if row["left_out"] == "cell"]
    if left_out:
        found.append(("held-out", _best_forecast(left_out)))
    return found


def _best_forecast(rows: Sequence[Json]) -> str:
    logs = {name: _mean([row[who]["log_score"] for row in rows]) for who, name in _RIVALS.items()}
    best, *others = sorted(logs, key=lambda name: logs[name])
    scores = ", ".join(f"{name} {logs[name]:.2f}" for name in others)
    return (
        f"A cell left out is predicted best by {best} (log score {logs[best]:.2f}; {scores}; "
        "lower is better). These cells are few."
    )


_RIVALS = {
    "model": "the calibrated model",
    "source": "the source's prior",
    "pooled": "one pooled rate",
}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def conflict_summary(file: CalibrationFile) -> str:
    conflicts = file.summary["conflicts"]
    if not conflicts["tests"]:
        return "No cell has agents of the reference arm to compare with the source."
    flagged = sum(row["flagged"] for row in conflicts["rows"])
    types = [row for row in file.summary["types"] if row["wide_flagged"]]
    let_go = ""
    if types:
        names = " and ".join(str(row["number"]) for row in types)
        let_go = f" The posterior of type {names} lets go of the source."
    return (
        f"{flagged} of {conflicts['tests']} measured factors conflict with the source's prior. "
        f"Chance alone would give {conflicts['expected_by_chance']:.1f} conflicts.{let_go}"
    )


def conflicts(file: CalibrationFile) -> Exhibit:
    """Factors of the reference arm beside what the source's prior predicts for a cell."""
    found = file.summary["conflicts"]
    bodies: dict[str, list[list[str]]] = {}
    for row in found["rows"]:
        title = cell_title(row)
        title += "" if row["enters"] else " (not read by the update)"
        bodies.setdefault(title, []).append(
            [
                NAMES[row["factor"]],
                percent(row["source"]),
                percent(row["measured"]),
                percent_span({**row["predictive"], "value": None}),
                f"{row['tail']:.3f}" if row["tail"] >= 0.001 else "<0.001",
                "conflict" if row["flagged"] else "",
                str(row["agents"]),
            ]
        )
    header = ["Factor", "source [%]", "measured [%]", "predicted [%]", "tail", "flag", "agents"]
    note = (
        "predicted: central 90 % of cells of the type under the source's prior. tail: two-sided "
        f"probability of a cell as far out; flagged below {found['tail']:g}."
    )
    table = Table("Prior predictive check", header, bodies_of(bodies), note)
    return Exhibit(tables=[table] * bool(bodies))


def fit_notes(file: CalibrationFile) -> list[str]:
    state = file.summary["feeds"]["update"]
    if not state["available"]:
        return [f"There is no posterior: {state['reason'].rstrip('.')}."]
    return [file.summary["estimand"]]


def fit(file: CalibrationFile) -> Exhibit:
    """How much of the prior is its wide part after the data, and every other warning."""
    found = file.summary["conflicts"]
    rows = [
        [
            type_title(row),
            ", ".join(map(cell_name, row["cells"])),
            percent(found["wide_prior_weight"]),
            percent(row["wide_weight"]),
            "conflict" if row["wide_flagged"] else "",
        ]
        for row in file.summary["types"]
        if row["cells"]
    ]
    header = ["Shift type", "cells", "before the data [%]", "after [%]", "flag"]
    note = (
        "The prior is robust: its wide part, worth 2 observations, lets go of the source. Flagged "
        f"where the data give it more than {percent(found['wide_flag'])} %."
    )
    tables = [Table("Weight of the prior's wide part", header, [Body("", rows)], note)] * bool(rows)
    listed = {item.line for item in audit()}
    others = [line for line in file.summary["warnings"] if line not in listed]
    tables += _numbered("Warnings of the calibration", others)
    return Exhibit(tables=tables)


def _numbered(title: str, lines: Sequence[str]) -> list[Table]:
    """One table, or none without a line."""
    rows = [[str(i), line] for i, line in enumerate(lines, 1)]
    return [plain_table(title, ["", "what"], rows)] * bool(rows)


def attrition(file: CalibrationFile) -> Exhibit:
    """Competent agents, all trained ones, and the bounds of p_gm, per cell and arm."""
    bodies = []
    for cell in file.summary["cells"]:
        rows = []
        for arm in sorted(cell["arms"].values(), key=lambda arm: float(arm["d"])):
            rows += [_attrition_row(arm, "competent"), _attrition_row(arm, "all_trained")]
            rows.append(["bounds", "", *["-"] * 3, percent_span(arm["bounds"]), "-", ""])
        bodies.append(Body(cell_title(cell), rows))
    if not bodies:
        return Exhibit(missing="No cell was measured in the arms that calibration reads.")
    header = ["Agents", "agents x levels", *(f"{NAMES[rate]} [%]" for rate in RATES), "note"]
    note = "bounds: p_gm if the agents that are not competent had never failed, or always."
    return Exhibit(tables=[Table("Who is counted", header, bodies, note)])


def _attrition_row(arm: Json, population: str) -> list[str]:
    row = arm[population]
    name = f"d = {arm['d']:g}: {population.replace('_', ' ')}"
    return [name, f"{row['agents']} x {row['levels']}", *spans(row["rates"]), row["note"]]


def held_out_summary(file: CalibrationFile) -> list[str]:
    """The verdict, a paragraph per sentence."""
    held_out = file.summary["held_out"]
    said = str(held_out["verdict"] or f"None: {held_out['reason'].rstrip('.')}.")
    return re.split(r"(?<=\.) (?=[A-Z])", said)


def held_out(file: CalibrationFile) -> Exhibit:
    rows = file.summary["held_out"]["rows"]
    bodies = [
        Body(
            f"one {left_out} left out",
            [_held_out_row(r) for r in rows if r["left_out"] == left_out],
        )
        for left_out in ("cell", "type", "family")
        if any(row["left_out"] == left_out for row in rows)
    ]
    header = ["Predicted", "p_gm [%]", "agents"]
    header += [f"{who}: {what}" for who in _FORECASTERS.values() for what in _SCORES]
    note = "Forecast of p_gm; log score -ln p [nats] and Brier score: the lower, the better."
    return Exhibit(tables=[Table("Held-out scores", header, bodies, note)] * bool(rows))


_FORECASTERS = {"model": "model", "source": "source's prior", "pooled": "pooled rate"}
_SCORES = ("forecast [%]", "log", "Brier")


def _held_out_row(row: Json) -> list[str]:
    cells = [cell_name(row["cell"]), percent(row["measured"]), str(row["agents"])]
    for who in _FORECASTERS:
        score = row[who]
        cells += [percent(score["forecast"]), f"{score['log_score']:.2f}", f"{score['brier']:.3f}"]
    return cells


def kappas(file: CalibrationFile) -> Exhibit:
    """Prior and posterior of both products as kappa varies, and as phi does."""
    return Exhibit(tables=[_sweep(file, "kappa", "Kappa sweep"), _sweep(file, "phi", "Phi sweep")])


def _sweep(file: CalibrationFile, what: str, title: str) -> Table:
    used = file.summary["settings"][what]
    bodies = []
    for row in file.summary["types"]:
        lines = [
            [f"{entry['value']:g}{' (used)' * (entry['value'] == used)}", *_swept_cells(entry)]
            for entry in file.summary["sweep"]
            if (entry["type"], entry["what"]) == (row["type"], what)
        ]
        bodies.append(Body(type_title(row), lines))
    header = [f"{rate} {kind} [%]" for rate in PRODUCTS for kind in ("prior", "posterior")]
    return Table(title, [what, *header, "wide prior [%]"], bodies)


def _swept_cells(entry: Json) -> list[str]:
    spans = [
        "-" if entry[kind] is None else percent_span(entry[kind][rate])
        for rate in PRODUCTS
        for kind in ("prior", "update")
    ]
    return [*spans, percent(entry["wide_weight"])]


def provenance(file: CalibrationFile) -> list[tuple[str, str]]:
    summary = file.summary
    found, inputs, settings = summary["provenance"], summary["inputs"], summary["settings"]
    families = ", ".join(f"{name} v{version}" for name, version in inputs["families"].items())
    return [
        ("command", found["command"] or "not recorded"),
        ("date", found["date_utc"]),
        ("commit", found["git_commit"] or "not recorded"),
        ("versions", ", ".join(f"{k} {v}" for k, v in found["versions"].items() if v)),
        ("schema version", str(summary["schema_version"])),
        ("records", f"{inputs['runs']} runs, {inputs['episodes']} episodes, {families}"),
        ("studies", ", ".join(inputs["studies"])),
        ("evaluations", ", ".join(f"{k} {v}" for k, v in inputs["fingerprints"].items())),
        ("reference", summary["reference_condition"]["text"]),
        ("settings", ", ".join(f"{name} {value}" for name, value in settings.items())),
    ]
