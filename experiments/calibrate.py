"""`misgen calibrate`: from measured rates to the posterior of the risk model, with its report."""

import os
import shlex
from pathlib import Path

from misgen.analysis.calibration.calibrate import HARM, KAPPAS, calibrate
from misgen.analysis.calibration.measured import of_setting
from misgen.analysis.calibration.write import write_calibration
from misgen.analysis.priors.types import PRIOR_SETS
from misgen.analysis.records import read_records
from misgen.analysis.risk.formula import OVERFLOWS
from misgen.experiments.cli import Parser
from misgen.experiments.provenance import provenance
from misgen.experiments.risk_options import chosen_priors
from misgen.experiments.run_folder import (
    RESULTS_HELP,
    id_of,
    parse_flags,
    read_json,
    require_writable,
    results_root,
    run_folders,
)
from misgen.experiments.settings_table import settings_of


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for bad records, a bad prior file or a bad setting."""
    options = parse_flags(_parser(), argv)
    results = os.environ.get("MISGEN_RESULTS") or "results"  # as it was typed
    command = shlex.join(["misgen", "calibrate", "--results", results, *argv])
    made_by = {**provenance(), "command": os.fsencode(command).decode("utf-8", "replace")}
    priors = chosen_priors(options.prior, options.kappa)
    records = read_records(records_folder(results_root()))
    if options.setting:
        records = of_setting(records, options.setting, settings_of(results_root()))
    folder = require_writable(options.output, "--output")
    calibration = calibrate(
        records,
        priors,
        power=options.power,
        harm=options.harm,
        overflow=options.overflow,
        draws=options.draws,
        seed=options.seed,
        broken_episodes=broken_episodes(results_root()),
    )
    write_calibration(calibration, folder, made_by)
    print((folder / "calibration.txt").read_text(encoding="utf-8"), end="")
    print(f"\nfiles: {folder}")
    if options.report:
        from misgen.analysis.report.report import write_report

        print(f"page: {write_report(folder, priors)}")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="misgen calibrate",
        description=__doc__,
        epilog=f"{RESULTS_HELP}; or a published one with records/ in it",
    )
    add = parser.add_argument
    text = "only agents trained so, where a cell has agents of several kinds: total_steps=1000000"
    add("--setting", metavar="NAME=VALUE", help=text)
    text = "folder to write (default: calibration)"
    add("-o", "--output", type=Path, default=Path("calibration"), metavar="DIR", help=text)
    text = f"{', '.join(PRIOR_SETS)}, or a YAML file that replaces figures"
    add("--prior", default="taxonomy", metavar="NAME|FILE", help=text)
    text = (
        "equivalent sample size of every prior mean (default: the prior set's, 10); "
        f"{', '.join(f'{kappa:g}' for kappa in KAPPAS)} are compared in any case"
    )
    add("--kappa", type=float, metavar="K", help=text)
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
    add("--no-report", dest="report", action="store_false", help="write no HTML page")
    return parser


def records_folder(results: Path) -> Path:
    """`records` of a published folder; a folder of runs is its own."""
    is_published = (results / "records").is_dir() and not (results / "runs").is_dir()
    return results / "records" if is_published else results


BROKEN_EPISODES = "broken_episodes.json"
"""Of a published folder, which has no training runs."""


def broken_episodes(results: Path) -> dict[str, float] | None:
    """Run id of an evaluation -> training episodes in which the goals came apart, as each training
    run left them in train.json; None where the folder holds records alone."""
    if (published := read_json(results / BROKEN_EPISODES)) is not None:
        return published
    found = {}
    for folder in run_folders(results, "evaluate"):
        location = Path((read_json(folder / "config.json") or {}).get("location", ""))
        trained = read_json(results / "runs" / "kind=train" / location.parent.name / "train.json")
        if trained is not None:
            found[id_of(folder)] = float(trained["broken_episodes"])
    return found or None
