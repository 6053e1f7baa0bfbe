"""What `misgen risk` says: tables, notes, and the same numbers as JSON and CSV."""

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from misgen.analysis.audit import warn
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.priors.source import Table, documents, source_tables
from misgen.analysis.priors.types import MesaPriors, PriorSet
from misgen.analysis.risk.draws import Summary
from misgen.analysis.risk.formula import APART, Prediction
from misgen.analysis.risk.mesa import MesaIndex
from misgen.analysis.text import aligned, filled, hint

ENDS = ("median", "low", "high")
MESA_PARTS = {
    "p_emergence": "P(emergence)",
    "p_misaligned": "P(misaligned)",
    "severity": "severity",
    "index": "index",
    "times_first": "times the first",
}
"""Part of a period's record -> its column."""


def prediction_record(prediction: Prediction) -> dict[str, Any]:
    """A prediction as JSON data."""
    found = prediction.summary()
    rates = {name: found.pop(name) for name in ("p_harmful_gm", "p_gm")}
    return {
        "shift_types": list(prediction.scenario.shifts),
        "overflow": prediction.scenario.overflow,
        "target": prediction.scenario.target,
        **rates,
        "factors": found,
        "inputs": {
            name: {"what": item.label, "acts_on": item.acts_on, **asdict(Summary.of(item.values))}
            for name, item in prediction.inputs.items()
        },
        "clipped_share": prediction.clipped_share,
        "harmful_clipped_share": prediction.harmful_clipped_share,
        "factor_inconsistent_share": prediction.factor_inconsistent_share,
        "by_shift": {
            shift: {name: part.summary()[name] for name in ("p_harmful_gm", "p_gm")}
            for shift, part in prediction.by_shift.items()
        },
        "warnings": list(prediction.warnings),
    }


def format_prediction(prediction: Prediction) -> str:
    """Three small tables: the rates, by shift type, and the inputs."""
    record = prediction_record(prediction)

    def line(name: str, of: Mapping[str, Any]) -> list[str]:
        return [name, *(f"{of[key]:.4f}" for key in ("mean", "median", "low", "high"))]

    rates = [
        line("p_harmful_gm, three factors", record["p_harmful_gm"]),
        line("p_gm, two factors (ours)", record["p_gm"]),
        line("multiplier", asdict(Summary.of(prediction.multiplier))),
    ]
    for shift, part in record["by_shift"].items():
        rates += [line(f"{shift}: {name}", of) for name, of in part.items()]
    base = "base: "
    if prediction.scenario.target == "factor":
        base, product = "", prediction.as_printed.p_harmful_gm
        rate = prediction.p_harmful_gm.mean()  # 0 where the exposure is
        if abs(product.mean() - rate) > APART * rate:
            rates.append(line("as a product, as printed", asdict(Summary.of(product))))
    rates += [line(f"{base}{name}", of) for name, of in record["factors"].items()]
    inputs = [
        [*line(name, of), of["acts_on"] or "-", of["what"]] for name, of in record["inputs"].items()
    ]
    columns = ["mean", "median", "5 %", "95 %"]
    return (
        f"{', '.join(prediction.scenario.shifts)}\n\n"
        f"{aligned(['rate', *columns], rates)}\n\n"
        f"{aligned(['input', *columns, 'acts on', 'what'], inputs)}\n"
    )


def mesa_record(index: MesaIndex, first: MesaIndex, priors: MesaPriors) -> dict[str, Any]:
    """A period of the mesa index: what goes in, the index, and the source's catastrophic risk."""
    parts = (index.p_emergence, index.p_misaligned, index.severity, index.values)
    found = dict[str, float]()
    for name, draws in zip(MESA_PARTS, (*parts, index.relative_to(first)), strict=True):
        summary = Summary.of(draws)
        found |= {f"{name}_{end}": getattr(summary, end) for end in ENDS}
    period = priors.periods.get(index.period)
    low, high = (None, None) if period is None else period.p_catastrophic.range
    return {"period": index.period, **found, "catastrophic_low": low, "catastrophic_high": high}


def format_mesa(rows: Sequence[Mapping[str, Any]]) -> str:
    """The periods, and the source's types of misalignment, which enter nothing."""

    lines = []
    for row in rows:
        low, high = row["catastrophic_low"], row["catastrophic_high"]
        printed = "-" if low is None else f"{100 * low:g}-{100 * high:g} %"
        spreads = (
            "{:.3g} [{:.3g}, {:.3g}]".format(*(row[f"{part}_{end}"] for end in ENDS))
            for part in MESA_PARTS
        )
        lines.append([row["period"], *spreads, printed])
    kinds = source_tables()["000.misalignment_types"].rows
    mitigated = source_tables()["000.mitigation_success"].rows
    types = [
        [
            name,
            "{:.0%} to {:.0%}".format(*kind["p_prevalence_range"]),
            "{:.0%} to {:.0%}".format(*mitigated[name]["p_success_range"]),
            kind["detectability"],
        ]
        for name, kind in kinds.items()
    ]
    return (
        f"{aligned(['period', *MESA_PARTS.values(), 'catastrophic, printed'], lines)}\n\n"
        "Types of misalignment, as printed; they enter nothing\n\n"
        f"{aligned(['type', 'prevalence', 'mitigation succeeds', 'detectability'], types)}\n"
    )


def below_table(folder: Path, has_data: bool) -> str:
    """What stands below the table of a calibration: the toy agents' rates, and how to let data in.

    folder: the calibration. has_data: whether they were let in.
    """
    from misgen.analysis.calibration.factor_tables import condition
    from misgen.analysis.calibration.handoff import read_calibration

    summary = read_calibration(folder).summary
    note = ""
    if summary.refused:
        note = filled(f"note: no data may enter: {summary.refused}", hanging=2) + "\n"
    elif not has_data:
        note = (
            "note: data of toy agents enter no domain by default; --data combine --toy-rates\n"
            "  adds a column in which they do\n"
        )
    measured = condition(summary)
    if not measured.rows:
        return f"{note}note: no agents of the reference arm were measured\n"
    return f"{note}\n{measured.as_text().rstrip()}\n"


# ------------------------------------------------------------------------- the source's tables


def source_records(name: str) -> list[dict[str, str]]:
    """A row per table; of one table, a row per entry. ValueError if there is no such table."""
    if not name:
        return [
            {
                "table": table.name,
                "document": table.source,
                "lines": "{}-{}".format(*table.lines),
                "section": table.section,
                "used_as": table.used_as,
            }
            for table in source_tables().values()
        ]
    table = _source_table(name)
    figures = dict(table.figures())
    rows = []
    for path, _, text in sorted(table.entries(), key=lambda entry: entry[0]):
        figure = figures.get(path)
        if figure is not None:
            is_range = isinstance(figure.value, tuple)
            text = "{:g} to {:g}".format(*figure.range) if is_range else f"{figure.number:g}"
        unit = "" if figure is None else figure.unit
        rows.append({"entry": path.removeprefix(f"{table.name}."), "printed": text, "unit": unit})
    return rows


def format_source(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    header = [key.replace("_", " ") for key in rows[0]]
    text = aligned(header, [[*row.values()] for row in rows], words=40)
    if not name:
        return text
    table = _source_table(name)
    title = documents()[table.source]["title"]
    return (
        f"{table.section}: document {table.source} ({title}), lines {table.lines[0]}-"
        f"{table.lines[1]}\nused as: {table.used_as}\n\n{text}"
    )


def _source_table(name: str) -> Table:
    """By its name, or by the name without the document."""
    tables = source_tables()
    short = {each.partition(".")[2]: each for each in reversed(tables)}
    known = short | {each: each for each in tables}
    if name not in known:
        raise ValueError(f"the source has no table {name!r}; {hint(name, known)}")
    return tables[known[name]]


# ---------------------------------------------------------------------------- files and notes


def written(options: argparse.Namespace, data: Any) -> bool:
    """Write what --json and --csv ask for; whether one of them takes the place of the tables."""
    texts = {"json": json.dumps(data, indent=1) + "\n"}
    if "csv" in options:
        texts["csv"] = _csv(data)
    for name, text in texts.items():
        path = getattr(options, name)
        if path == "-":
            sys.stdout.write(text)
        elif path:
            atomic_write_bytes(Path(path), text.encode())
    return "-" in (options.json, getattr(options, "csv", None))


def finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: the log-span of an input that may be 0 becomes null."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def print_warnings(concerned: Iterable[tuple[PriorSet, str]]) -> None:
    """Name what does not add up in the figures that a result uses; `audit` says what it is.

    concerned: a set of figures and a topic of the audit, each.
    """
    found = [line for priors, topic in concerned for line in warn(topic, priors)]
    if found:
        text = (
            f"{len(found)} of the source's figures used here do not add up "
            f"({', '.join(line.split()[0] for line in found)}): misgen risk audit"
        )
        print(filled(text), file=sys.stderr)
