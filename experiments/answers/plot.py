"""`misgen plot`: the page of a study, and its figures for papers."""

from __future__ import annotations

from pathlib import Path

from misgen.analysis.along import arms_along, require_number
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.report.study_page import comparison_of, write_page
from misgen.analysis.study_figures import FORMATS, study_figures
from misgen.experiments.answers.compare import find_study
from misgen.experiments.cli import Parser
from misgen.experiments.runs.folder import RESULTS_HELP, require_writable


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for an unknown study, or a factor along which its arms cannot
    be placed."""
    parser = Parser(prog="misgen plot", description=__doc__, epilog=RESULTS_HELP)
    add = parser.add_argument
    add("study", metavar="STUDY", help="its name, or the folder that `misgen study run` left")
    text = "a number that its arms vary: d, broken_share, total_steps, ... (default: its own)"
    add("--along", default="", metavar="FACTOR", help=text)
    add("--out", type=Path, metavar="FOLDER", help="write here (default: into the study's folder)")
    add("--format", choices=FORMATS, default="png", help="of the figures (default: png)")
    options = parser.parse_args(argv)
    study = find_study(options.study)
    if options.along:
        require_number(study, options.along)
    found = comparison_of(study, options.along)
    if options.along and not arms_along(found.arms, found.against, options.along):
        raise ValueError(
            f"the arms of {study.name} do not differ in {options.along}; name what they vary"
        )
    folder = require_writable(options.out or study.path)
    print(write_page(found, folder))
    for name, picture in study_figures(found, options.format).items():
        file = folder / f"{name}.{options.format}"
        atomic_write_bytes(file, picture)
        print(file)
    return 0
