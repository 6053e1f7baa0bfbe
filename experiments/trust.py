"""`misgen trust FOLDER`: how far the posterior over agents can be trusted, from simulated data."""

import shlex
from pathlib import Path

from misgen.experiments.cli import Parser
from misgen.experiments.provenance import provenance
from misgen.experiments.run_folder import require_writable

MIN_SETS = 20


def main(argv: list[str]) -> int:
    """Exit code 1 where simulation-based calibration finds the sampler wrong. Raises ValueError
    for too few sets."""
    options = _parser().parse_args(argv)
    if options.sets < MIN_SETS:
        raise ValueError(
            f"ranks fill 20 bins, so --sets is at least {MIN_SETS}; got {options.sets}; try 200"
        )
    from misgen.analysis.hierarchy.trust import write_trust  # a second to import

    folder = require_writable(options.folder, "misgen trust FOLDER")
    made_by = {**provenance(), "command": shlex.join(["misgen", "trust", *argv])}
    result = write_trust(folder, options.sets, options.seed, provenance=made_by)
    print((folder / "trust.txt").read_text(encoding="utf-8"), end="")
    return 1 if result.failures else 0


def _parser() -> Parser:
    parser = Parser(prog="misgen trust", description=__doc__)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="where the tables and numbers are written")
    add("--sets", type=int, default=200, metavar="N", help="simulated data sets (default: 200)")
    add("--seed", type=int, default=0, metavar="S", help="of all random numbers (default: 0)")
    return parser
