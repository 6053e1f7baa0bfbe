"""`misgen compare`: the arms of a study beside each other, with verdicts, doses and costs."""

from __future__ import annotations

import sys
from pathlib import Path

from misgen.analysis.blocks import CUE_BROKEN
from misgen.analysis.compare import compare
from misgen.analysis.compare_tables import comparison_csv, format_comparison
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.study import STUDY, StudyFolder, read_study_folder
from misgen.analysis.text import hint
from misgen.experiments.cli import Parser
from misgen.experiments.runs.folder import RESULTS_HELP, results_root
from misgen.experiments.studies.file import study_names


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for an unknown study, arm or variant."""
    parser = Parser(prog="misgen compare", description=__doc__, epilog=RESULTS_HELP)
    add = parser.add_argument
    add("study", metavar="STUDY", help="its name, or the folder that `misgen study run` left")
    add("--against", default="", metavar="ARM", help="the arm to compare with (default: its own)")
    text = "what the arms vary (default: its own); along d half effects are placed"
    add("--along", default="", metavar="SETTING", help=text)
    add("--variant", choices=CUE_BROKEN, help="only this one (default: both with a broken cue)")
    add("--csv", metavar="FILE", help="write every number here; - prints only them")
    options = parser.parse_args(argv)
    variants = (options.variant,) if options.variant else CUE_BROKEN[::-1]
    found = compare(find_study(options.study), options.against, options.along, variants)
    if options.csv == "-":
        sys.stdout.write(comparison_csv(found))
        return 0
    if options.csv:
        atomic_write_bytes(Path(options.csv), comparison_csv(found).encode())
    print(format_comparison(found), end="")
    return 0


def find_study(name: str) -> StudyFolder:
    """A study in the results folder by its name, or any by its folder.

    Raises:
        ValueError: there is none.
    """
    root = results_root()
    for folder in (root / name, Path(name)):
        if (folder / STUDY).is_file():
            return read_study_folder(folder)
    known = sorted(file.parent.name for file in root.glob(f"*/{STUDY}"))
    is_declared = name in study_names()
    instead = (
        f"run it: misgen study run {name}" if is_declared else hint(name, known or study_names())
    )
    raise ValueError(f"{root} has no finished study {name!r}, nor is it one's folder; {instead}")
