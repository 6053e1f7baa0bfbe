"""`misgen calibrate`: from measured rates to the posterior of the risk model, with its report."""

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from misgen.analysis.calibration.calibrate import HARM, KAPPAS, calibrate
from misgen.analysis.calibration.write import write_calibration
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import PRIOR_SETS, PriorSet
from misgen.analysis.records import read_records
from misgen.analysis.risk.formula import OVERFLOWS
from misgen.experiments.run_folder import provenance, read_json, require_writable, results_root


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for bad records, a bad prior file or a bad setting."""
    options = _parser().parse_args(argv)
    made_by = {**provenance(), "command": shlex.join(["misgen", "calibrate", *argv])}
    if options.trust is not None:
        return _trust(options.trust, options.sets, options.seed, made_by)
    priors = chosen_priors(options.prior, options.kappa)
    results = options.results or results_root()
    records = read_records(records_folder(results))
    folder = require_writable(options.output)
    calibration = calibrate(
        records,
        priors,
        power=options.power,
        harm=options.harm,
        overflow=options.overflow,
        draws=options.draws,
        seed=options.seed,
        broken_episodes=broken_episodes(results),
    )
    write_calibration(calibration, folder, made_by)
    print((folder / "calibration.txt").read_text(), end="")
    print(f"\nfiles: {folder}")
    if options.report:
        from misgen.analysis.report.report import write_report

        print(f"page: {write_report(folder, priors)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="misgen calibrate", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add(
        "results",
        nargs="?",
        type=Path,
        metavar="RESULTS",
        help="folder of runs, or a published one with records/ in it (default: $MISGEN_RESULTS or "
        "results)",
    )
    add(
        "-o",
        "--output",
        type=Path,
        default=Path("calibration"),
        metavar="DIR",
        help="folder to write (default: calibration)",
    )
    add(
        "--prior",
        default="taxonomy",
        metavar="NAME|FILE",
        help=f"{', '.join(PRIOR_SETS)}, or a YAML file that replaces figures",
    )
    add(
        "--kappa",
        type=float,
        metavar="K",
        help="equivalent sample size of every prior mean (default: the prior set's, 10); "
        f"{', '.join(f'{kappa:g}' for kappa in KAPPAS)} are compared in any case",
    )
    add(
        "--power",
        type=float,
        default=1.0,
        metavar="P",
        help="of the data in the feed `update`, 0 to 1 (default: 1)",
    )
    add(
        "--harm",
        choices=HARM,
        default="implied",
        help="P(harm | goal fails): implied by the source's products, its note's 50-70 %%, or "
        "updated by measured harm (from the cells that declare it)",
    )
    add(
        "--overflow",
        choices=list(OVERFLOWS),
        default="clip",
        help="measure multipliers for predictions with this overflow: as ratios of rates (clip), "
        "of hazards or of odds (default: clip)",
    )
    add("--draws", type=int, default=4000, metavar="N", help="joint draws (default: 4000)")
    add("--seed", type=int, default=0, metavar="S", help="of all random numbers (default: 0)")
    add("--no-report", dest="report", action="store_false", help="write no HTML page")
    add(
        "--trust",
        type=Path,
        metavar="DIR",
        help="instead: simulate data sets, and write there how far the posterior can be trusted",
    )
    add(
        "--sets",
        type=int,
        default=200,
        metavar="N",
        help="simulated data sets of --trust (default: 200)",
    )
    return parser


def chosen_priors(name: str, kappa: float | None) -> PriorSet:
    """A named prior set, or a user's file."""
    if name in PRIOR_SETS:
        return load_priors(name, kappa=kappa)
    if Path(name).is_file():
        return load_priors(kappa=kappa, file=Path(name))
    raise ValueError(
        f"--prior names one of {', '.join(PRIOR_SETS)} or a YAML file; got {name!r}, which is "
        "neither; check the path"
    )


def records_folder(results: Path) -> Path:
    """`records` of a published folder; a folder of runs is its own."""
    is_published = (results / "records").is_dir() and not (results / "runs").is_dir()
    return results / "records" if is_published else results


MIN_SETS = 20
BROKEN_EPISODES = "broken_episodes.json"
"""Of a published folder, which has no training runs."""


def broken_episodes(results: Path) -> dict[str, float] | None:
    """Run id of an evaluation -> training episodes in which the goals came apart, as each training
    run left them in train.json; None where the folder holds records alone."""
    if (published := read_json(results / BROKEN_EPISODES)) is not None:
        return published
    found = {}
    for path in sorted((results / "runs" / "kind=evaluate").glob("run=*/config.json")):
        location = Path((read_json(path) or {}).get("location", ""))
        trained = read_json(results / "runs" / "kind=train" / location.parent.name / "train.json")
        if trained is not None:
            found[path.parent.name.removeprefix("run=")] = float(trained["broken_episodes"])
    return found or None


def _trust(folder: Path, num_sets: int, seed: int, made_by: Mapping[str, Any]) -> int:
    """Exit code 1 where simulation-based calibration finds the sampler wrong."""
    from misgen.analysis.hierarchy.trust import write_trust

    if num_sets < MIN_SETS:
        raise ValueError(
            f"ranks fill 20 bins, so --sets is at least {MIN_SETS}; got {num_sets}; try 200"
        )
    result = write_trust(require_writable(folder), num_sets, seed, provenance=made_by)
    print((folder / "trust.txt").read_text(), end="")
    return 1 if result.failures else 0
