"""`misgen report FOLDER`: the tables and figures of `misgen run-cells` again, from its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from misgen.analysis.cells import (
    cell_lines,
    cell_panels,
    cells_markdown,
    format_cells,
    format_checkpoints,
    format_cross,
    format_shifts,
)
from misgen.analysis.compare_tables import format_comparison
from misgen.analysis.figures import Board, curve_figure, goal_failure_figure, path_figure
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.report.study_page import comparison_of
from misgen.analysis.settings import rows_of, seen_of
from misgen.analysis.study import read_study_folder
from misgen.analysis.table import rates_table
from misgen.analysis.table_text import to_csv
from misgen.envs.core.levels import sample_quadruples
from misgen.envs.core.types import VARIANTS
from misgen.envs.families import find_cell
from misgen.experiments.cli import Parser
from misgen.experiments.runs.folder import read_json
from misgen.experiments.shown.cells import draw_path
from misgen.experiments.studies.file import LONGER
from misgen.experiments.studies.shift import shift_rows


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError or FileNotFoundError for a folder of other things."""
    parser = Parser(prog="misgen report", description=__doc__)
    text = "what run-cells left, or a published copy of it"
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=text)
    print(report(parser.parse_args(argv).folder), end="")
    return 0


def report(folder: Path) -> str:
    """Make the tables and figures of a folder from the data in it; returns the first table."""
    study = read_study_folder(folder)
    played, shares = study.played, seen_of(rows_of(study.settings), "broken_share")
    rows = rates_table(played, broken_shares=shares)
    lines = cell_lines(rows)
    tables = {
        "cells": format_cells(lines),
        "shifts": format_shifts(shift_rows(played, _load(folder / "shifts.json"))),
        "cross": format_cross(rows),
        "checkpoints": format_checkpoints(rates_table(played, "checkpoint_step")),
        "compare": format_comparison(comparison_of(study)),
    }
    for name, text in tables.items():
        atomic_write_bytes(folder / f"{name}.txt", text.encode())
    atomic_write_bytes(folder / "cells.md", cells_markdown(lines).encode())
    atomic_write_bytes(folder / "rates.csv", to_csv(rows).encode())
    panels = cell_panels(lines, "11")
    if panels:
        atomic_write_bytes(folder / "cells.png", goal_failure_figure(panels))
    boards = contact_sheet(_load(folder / "examples.json"))
    if boards:
        atomic_write_bytes(folder / "contact_sheet.png", path_figure(boards, 4))
    curves = _load(folder / LONGER)
    if curves:
        atomic_write_bytes(folder / "curves.png", curve_figure(curves))
    return tables["cells"]


def _load(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if found is None:
        raise ValueError(
            f"a folder of results of `misgen run-cells` holds {path.name}; {path} is missing or "
            "damaged; run the command again"
        )
    return found


def contact_sheet(examples: dict[str, Any]) -> list[Board]:
    """Four boards a cell: the variants of one level with one agent's way through each."""
    boards = []
    for code, one in sorted(examples.items()):
        if one is None:
            continue
        quadruples = sample_quadruples(*find_cell(code), [one["level_seed"]])
        for variant in VARIANTS:
            actions = bytes.fromhex(one["actions"][variant])
            title = f"{code} {variant}, agent {one['agent_number']}"
            boards.append(draw_path(quadruples[variant], title, actions))
    return boards
