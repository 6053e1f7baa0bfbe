"""`misgen calibrate`: from measured rates to the posterior of the risk model, with its report."""

import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from misgen.analysis.calibration.calibrate import calibrate
from misgen.analysis.calibration.draws import HARM, KAPPAS, PHIS
from misgen.analysis.calibration.handoff import read_calibration
from misgen.analysis.calibration.measured import of_setting
from misgen.analysis.calibration.tables import answer
from misgen.analysis.calibration.write import write_calibration
from misgen.analysis.counts import read_played, with_arms_of
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.own_counts import TEMPLATE, read_own_counts
from misgen.analysis.posterior import PHI
from misgen.analysis.priors.types import PRIOR_SETS
from misgen.analysis.records import Records
from misgen.analysis.risk.formula import OVERFLOWS
from misgen.analysis.settings import rows_of, seen_of
from misgen.analysis.study import STUDY, read_study_folder
from misgen.experiments.answers.risk_options import chosen_priors
from misgen.experiments.cli import Parser
from misgen.experiments.provenance import provenance
from misgen.experiments.runs.folder import RESULTS_HELP, parse_flags, require_writable, results_root
from misgen.experiments.runs.settings_table import settings_rows, table_of

CALIBRATED = ("phi", "power", "harm", "overflow", "draws", "seed")


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for bad records, a bad prior file or a bad setting."""
    options = parse_flags(_parser(), argv)
    results = os.environ.get("MISGEN_RESULTS") or "results"  # as it was typed
    command = shlex.join(["misgen", "calibrate", "--results", results, *argv])
    made_by = {**provenance(), "command": os.fsencode(command).decode("utf-8", "replace")}
    priors = chosen_priors(options.prior, options.kappa)
    if options.counts_template:
        atomic_write_bytes(options.counts_template, TEMPLATE.encode())
        print(f"an example of counts: {options.counts_template}")
        return 0
    if options.counts and options.others:
        raise ValueError("--with adds agents to those of a results folder; leave out --counts")
    root, named_cells = results_root(), set[str]()
    records: Records
    if options.counts:
        records, settings = read_own_counts(options.counts), None
    else:
        records, settings = _read(root, options.others)
        if (root / STUDY).is_file():
            named_cells = {*read_study_folder(root).cells}
    if options.setting:
        records = of_setting(records, options.setting, settings)
    folder = require_writable(options.output, "--output")
    if sys.stderr.isatty() and not options.quiet:
        # It says what it does.
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s ..."))
        log = logging.getLogger("misgen.analysis")
        log.handlers = [handler]
        log.setLevel(logging.INFO)
    calibration = calibrate(
        records,
        priors,
        **{name: getattr(options, name) for name in CALIBRATED},
        broken_episodes=seen_of(rows_of(settings), "broken_episodes"),
        named_cells=named_cells,
    )
    write_calibration(calibration, folder, made_by)
    print(f"{answer(read_calibration(folder).summary)}\n\nfiles: {folder}")
    if options.report:
        from misgen.analysis.report.pages import write_report

        print(f"page: {write_report(folder, priors)}")
    return 0


def _read(root: Path, others: Sequence[Path]) -> tuple[Records, pa.Table | None]:
    """The counts of a folder with the arms that it lacks of other ones, and their settings."""
    records: Records = read_played(root)
    rows = settings_rows(root)
    for folder in others:
        records = with_arms_of(records, read_played(folder))
        known = {row["run_id"] for row in rows}
        rows += [row for row in settings_rows(folder) if row["run_id"] not in known]
    return records, table_of(rows)


def _parser() -> Parser:
    parser = Parser(
        prog="misgen calibrate",
        description=__doc__,
        epilog=f"{RESULTS_HELP}; or a published one",
    )
    add = parser.add_argument
    text = (
        "agents of your own instead of a results folder: a CSV file with family, shift_type, cell, "
        "agent, levels, capable, failed and perhaps harm"
    )
    add("--counts", type=Path, metavar="FILE", help=text)
    add("--counts-template", type=Path, metavar="FILE", help="write an example of such a file")
    text = "only agents trained so, where a cell has agents of several kinds: total_steps=1000000"
    add("--setting", metavar="NAME=VALUE", help=text)
    text = (
        "also the agents there that were trained in these cells and settings, as clones or at "
        "other d and q"
    )
    add("--with", dest="others", nargs="+", type=Path, default=[], metavar="FOLDER", help=text)
    text = "folder to write (default: calibration)"
    add("-o", "--output", type=Path, default=Path("calibration"), metavar="DIR", help=text)
    text = f"{', '.join(PRIOR_SETS)}, or a YAML file that replaces figures"
    add("--prior", default="taxonomy", metavar="NAME|FILE", help=text)
    text = (
        "of how many observations the printed factors speak (default: the prior set's, 10); "
        f"{', '.join(f'{kappa:g}' for kappa in KAPPAS)} are compared in any case"
    )
    add("--kappa", type=float, metavar="K", help=text)
    text = (
        f"a cell counts as phi + 1 observations (default: {PHI:g}); "
        f"{', '.join(f'{phi:g}' for phi in PHIS)} are compared in any case"
    )
    add("--phi", type=float, default=PHI, metavar="PHI", help=text)
    text = "of the data in the feed `update`, 0 to 1 (default: 1)"
    add("--power", type=float, default=1.0, metavar="P", help=text)
    text = (
        "P(harm | goal fails): implied by the source's products, its note's 50-70 %%, or "
        "updated by measured harm (from the cells that declare it)"
    )
    add("--harm", choices=HARM, default="implied", help=text)
    text = (
        "measure multipliers for predictions with this overflow: as ratios of rates (clip), "
        "of hazards or of odds (default: clip)"
    )
    add("--overflow", choices=list(OVERFLOWS), default="clip", help=text)
    add("--draws", type=int, default=4000, metavar="N", help="joint draws (default: 4000)")
    add("--seed", type=int, default=0, metavar="S", help="of all random numbers (default: 0)")
    add("--quiet", action="store_true", help="do not say what it is doing")
    add("--no-report", dest="report", action="store_false", help="write no HTML page")
    return parser
