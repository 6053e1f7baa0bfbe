"""The tables of a calibration as text and CSV, made from its summary."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any

from misgen.analysis.rates import Rates
from misgen.analysis.text import aligned, number

Summary = Mapping[str, Any]
RATES = Rates._fields
NAMES = {
    "p_capable": "P(capable)",
    "p_goal_fail": "P(goal fails | capable)",
    "p_harm": "P(harm | goal fails)",
    "p_gm": "p_gm",
    "p_harmful_gm": "p_harmful_gm",
}


def tables(summary: Summary) -> dict[str, str]:
    """File name -> text: every table on its own, all of them, and the two that others compute
    with as CSV."""
    texts = {f"{name}.txt": text for name, text in _texts(summary).items()}
    return {
        **texts,
        "calibration.txt": format_calibration(summary),
        "factors.csv": _csv(list(_factor_records(summary))),
        "modifiers.csv": _csv(list(_modifier_records(summary))),
    }


def format_calibration(summary: Summary) -> str:
    """Everything, as printed to the terminal."""
    return "\n".join(_texts(summary).values())


def _texts(summary: Summary) -> dict[str, str]:
    return {
        "factors": _factors(summary),
        "attrition": _attrition(summary),
        "condition": _condition(summary),
        "modifiers": _modifiers(summary),
        "conflicts": _conflicts(summary),
        "kappa": _sweeps(summary),
        "held_out": _held_out(summary),
        "notes": _notes(summary),
    }


def _titled(title: str, header: str, lines: Sequence[Sequence[str]], legend: str = "") -> str:
    body = aligned(header.split(","), lines) if lines else "(nothing)"
    return "\n\n".join(filter(None, [title, body, legend])) + "\n"


def interval(found: Mapping[str, Any] | None) -> str:
    """`.250 [.100, .400]`, the value alone, or `-`."""
    if found is None or (found["value"] is None and found["low"] is None):
        return "-"
    value = "" if found["value"] is None else number(found["value"])
    if found["low"] is None:
        return value
    return f"{value} [{number(found['low'])}, {number(found['high'])}]".strip()


# --------------------------------------------------------------------- source, measured, posterior


def _factors(summary: Summary) -> str:
    lines = []
    for row in summary["types"]:
        cells = [cell for cell in summary["cells"] if cell["shift_type"] == row["type"]]
        for rate in RATES:
            measured = [_measured(cell, rate) for cell in cells] or ["-"]
            first = [f"{row['number']} {row['type']}" if rate == "p_capable" else "", NAMES[rate]]
            first += [number(row["source"][rate])]
            last = [interval(row[feed] and row[feed][rate]) for feed in ("update", "replace")]
            lines.append([*first, measured[0], *last])
            lines += [["", "", "", further, "", ""] for further in measured[1:]]
    legend = """\
source: as printed; P(harm | goal fails) implied by the printed product, p_gm its two factors.
measured: competent agents of the reference arm (d=0: of that arm, where there is no other) at
variant 11, agents x levels, mean over agents and central 90 % over agents; (cells in brackets)
enter neither update nor replace, see below; * harm by construction. update, replace: mean and
central 90 %; a type without a cell that may enter keeps its prior. p_harmful_gm is the source's
figure; p_gm is never compared with it."""
    legend += "\n\n" + fill(summary["estimand"], 100)
    if not summary["feeds"]["update"]["available"]:
        refused = f"No update, no replace: {summary['feeds']['update']['reason']}"
        legend += "\n" + fill(refused, 100)
    return _titled(
        "Source, measured, posterior",
        "type,rate,source,measured,update,replace",
        lines,
        legend,
    )


def _measured(cell: Summary, rate: str) -> str:
    name = f"({cell['cell']})" if cell["left_out"] else cell["cell"]
    shown = next((arm for arm in ("reference", "d0") if arm in cell["arms"]), None)
    if shown is None:
        return f"{name} neither d = 0.1 nor d = 0"
    name += " d=0:" * (shown == "d0")
    found = cell["arms"][shown]["competent"]
    star = "*" if rate == "p_harm" and cell["harm_by_construction"] else ""
    value = interval(found["rates"][rate])
    return f"{name} {value}{star}  {found['agents']} agents x {found['levels']} levels"


def _attrition(summary: Summary) -> str:
    lines = []
    for cell in summary["cells"]:
        for name, arm in cell["arms"].items():
            for population in ("competent", "all_trained"):
                found = arm[population]
                lines.append([
                    cell["cell"] if population == "competent" else "",
                    f"{name} d={arm['d']:g}" if population == "competent" else "",
                    population.replace("_", " "),
                    f"{found['agents']} x {found['levels']}",
                    number(_nan(arm["own_success"])) if population == "competent" else "",
                    *(interval(found["rates"][rate]) for rate in RATES),
                ])  # fmt: skip
            bounds = ["", "", "bounds", "", "", "", "", "", interval(arm["bounds"]), ""]
            lines.append(bounds)
    return _titled(
        "Attrition: the same arms over competent agents (the headline), all trained, and bounds",
        f"cell,arm,population,agents x levels,own,{','.join(RATES)}",
        lines,
        "own: success on the own training distribution. bounds: p_gm had the agents that are not\n"
        "competent never failed, or always. Fewer than 3 agents: no interval.",
    )


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def _condition(summary: Summary) -> str:
    lines = []
    for cell in summary["cells"]:
        for name in ("reference", "d0"):
            arm = cell["arms"].get(name)
            if arm is not None:
                rates, divided = arm["competent"]["rates"], arm["divided"]
                lines.append([
                    cell["cell"], arm["condition"], interval(divided["multiplier"]),
                    *(interval(each[rate]) for rate in ("p_gm", "p_harmful_gm")
                      for each in (rates, divided)),
                ])  # fmt: skip
    return _titled(
        "Measured under a condition, and divided by the source's multipliers for it",
        "cell,condition,source's multipliers,p_gm measured,p_gm divided,"
        "p_harmful_gm measured,p_harmful_gm divided",
        lines,
        "Two numbers with two meanings: never one for the other. Divided rates carry the\n"
        "multipliers' uncertainty and may exceed 1. The feeds read the measured ones.",
    )


# -------------------------------------------------------------------------------------- modifiers


def _modifiers(summary: Summary) -> str:
    lines = []
    for row in summary["modifiers"]:
        agents = " and ".join(map(str, row["agents"]))
        lines.append([
            row["modifier"], row["level"], interval(row["prior"]), interval(row["measured"]),
            interval(row["update"]), interval(row["replace"]),
            f"{row['arm']} against {row['reference']}" if row["arm"] else "",
            agents, row["scope"], row["note"],
        ])  # fmt: skip
    missing = [
        f"{n}: not identified: {why}" for n, why in summary["modifiers_not_identified"].items()
    ]
    return _titled(
        "Multipliers by level: the source's, the measured risk ratio, and both",
        "modifier,level,source,measured ratio,update,replace,arms,agents,over,note",
        lines,
        "\n".join([
            "Medians and central 90 %. The ratio compares arms over all trained agents; update and",
            "replace are on the source's scale. A level without data keeps its prior. A ratio",
            "without an interval, or over all cells (also those not identified), is only shown.",
            *missing,
        ]),
    )  # fmt: skip


# -------------------------------------------------------------------------------------- checks


def _conflicts(summary: Summary) -> str:
    found = summary["conflicts"]
    lines = [
        [
            row["cell"], NAMES[row["factor"]], str(row["agents"]), number(row["source"]),
            interval(row["predictive"]), number(row["measured"]), number(row["tail"]),
            "CONFLICT" if row["flagged"] else "",
        ]
        for row in found["rows"]
    ]  # fmt: skip
    flags = sum(row["flagged"] for row in found["rows"])
    return _wide(summary) + _titled(
        "Do the measured rates contradict the source?",
        "cell,factor,agents,source,predicted 90 %,measured,two-sided tail,flag",
        lines,
        f"{flags} of {found['tests']} flagged (tail below {number(found['tail'])}); chance alone "
        f"would flag {found['expected_by_chance']:.1f}.\npredicted: of a cell of the type by the "
        f"prior, at this kappa and phi = {summary['settings']['phi']:g}.",
    )


def _wide(summary: Summary) -> str:
    lines = [
        [
            f"{row['number']} {row['type']}", " ".join(row["cells"]),
            number(_nan(row["wide_weight"])), "CONFLICT" if row["wide_flagged"] else "",
        ]
        for row in summary["types"]
        if row["cells"]
    ]  # fmt: skip
    found = summary["conflicts"]
    if not lines:
        return ""
    legend = (
        f"The prior's wide part has weight {number(found['wide_prior_weight'])} before the data; "
        f"flagged above {number(found['wide_flag'])}."
    )
    header = "type,cells,weight of the wide prior,flag"
    return _titled("Does the posterior let go of the source?", header, lines, legend) + "\n"


def _sweeps(summary: Summary) -> str:
    settings = summary["settings"]
    return "\n".join([
        _swept(
            summary,
            "kappa",
            "How much the prior's weight matters",
            f"kappa: of how many observations the source speaks; used: {settings['kappa']:g}, or a "
            "type's own.",
        ),
        _swept(
            summary,
            "phi",
            "How much the weight of a cell matters",
            f"A cell counts as phi + 1 observations, times power; used: {settings['phi']:g}.",
        ),
        *filter(None, [_log_sd(summary)]),
    ])  # fmt: skip


def _swept(summary: Summary, what: str, title: str, legend: str) -> str:
    lines = [
        [
            f"{row['value']:g}", row["type"],
            *(interval(each and each[rate]) for rate in ("p_gm", "p_harmful_gm")
              for each in (row["prior"], row["update"])),
            "" if row["wide_weight"] is None else number(row["wide_weight"]),
        ]
        for row in summary["sweep"]
        if row["what"] == what
    ]  # fmt: skip
    header = "type,p_gm prior,p_gm update,p_harmful_gm prior,p_harmful_gm update,wide prior"
    return _titled(title, f"{what},{header}", lines, legend)


def _log_sd(summary: Summary) -> str:
    lines = [
        [f"{row['log_sd']:g}", row["modifier"], row["level"], *(interval(row[name]) for name in
         ("prior", "update"))]
        for row in summary["log_sd_sweep"]
    ]  # fmt: skip
    if not lines:
        return ""
    return _titled(
        "How much the spread of the source's multipliers matters",
        "log-sd,modifier,level,source,update",
        lines,
        f"The calibration itself uses log-sd = {summary['settings']['log_sd']:g}.",
    )


def _held_out(summary: Summary) -> str:
    found = summary["held_out"]
    lines = []
    for row in found["rows"]:
        scores = [row[name] for name in ("model", "source", "pooled")]
        lines.append([
            row["left_out"], row["cell"], str(row["agents"]), number(row["measured"]),
            *(number(score["forecast"]) for score in scores),
            *(f"{score['log_score']:.3f} / {score['brier']:.3f}" for score in scores),
        ])  # fmt: skip
    return _titled(
        "Held-out prediction of p_gm: log / Brier score, the lower the better",
        "left out,cell,agents,measured,model,source,pooled,"
        "model scores,source scores,pooled scores",
        lines,
        fill(found["verdict"], 100),
    )


def _notes(summary: Summary) -> str:
    left_out = [
        f"{cell['cell']} enters side_by_side only: {cell['left_out']}"
        for cell in summary["cells"]
        if cell["left_out"]
    ]
    keeps = [
        f"{row['type']} keeps its prior: {row['keeps_prior']}"
        for row in summary["types"]
        if row["keeps_prior"] and summary["feeds"]["update"]["available"]
    ]
    settings = summary["settings"]
    said = (
        f"prior {settings['prior']}, kappa {settings['kappa']:g}, phi {settings['phi']:g}, "
        f"power {settings['power']:g}, harm {settings['harm']}, {settings['draws']} draws, "
        f"seed {settings['seed']}"
    )
    lines = [said, *left_out, *keeps, *summary["warnings"], *summary["limits"]]
    wrapped = [fill(f"- {line}", 100, subsequent_indent="  ") for line in dict.fromkeys(lines)]
    return "\n".join(["Notes", "", *wrapped]) + "\n"


# ------------------------------------------------------------------------------------------- CSV


def _factor_records(summary: Summary) -> Iterator[dict[str, Any]]:
    for row in summary["types"]:
        for rate in RATES:
            record = dict.fromkeys(("type", "cell", "arm", "rate"), "")
            record |= {"type": row["type"], "rate": rate, "source": row["source"][rate]}
            for feed in ("prior", "update", "replace"):
                record |= _spread(feed, row[feed] and row[feed][rate])
            yield record
            for cell, name, arm in _measured_arms(summary):
                if cell["shift_type"] == row["type"]:
                    yield {
                        "type": row["type"],
                        "cell": cell["cell"],
                        "arm": name,
                        "rate": rate,
                        "source": row["source"][rate],
                        **_spread("measured", arm["competent"]["rates"][rate]),
                        "agents": arm["competent"]["agents"],
                        "levels": arm["competent"]["levels"],
                        "left_out": cell["left_out"],
                    }


def _measured_arms(summary: Summary) -> Iterator[tuple[Summary, str, Summary]]:
    for cell in summary["cells"]:
        for name in ("reference", "d0"):
            if name in cell["arms"]:
                yield cell, name, cell["arms"][name]


def _modifier_records(summary: Summary) -> Iterator[dict[str, Any]]:
    for row in summary["modifiers"]:
        record = {name: row[name] for name in ("modifier", "level", "arm", "reference", "scope")}
        for what in ("prior", "measured", "update", "replace"):
            record |= _spread(what, row[what])
        yield record | {"note": row["note"]}


def _spread(name: str, found: Mapping[str, Any] | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {name: found["value"], f"{name}_low": found["low"], f"{name}_high": found["high"]}


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for record in records for name in record))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()
