"""`misgen trust FOLDER`: how far posterior and intervals can be trusted, from simulated agents."""

import shlex
from pathlib import Path

from misgen.analysis.trust import write_trust
from misgen.experiments.cli import Parser
from misgen.experiments.provenance import provenance
from misgen.experiments.runs.folder import require_writable

MIN_STUDIES = 100


def main(argv: list[str]) -> int:
    """Exit code 1 where the posterior misses its aims in one of the worlds. Raises ValueError for
    too few studies."""
    options = _parser().parse_args(argv)
    if options.studies < MIN_STUDIES:
        raise ValueError(
            f"a coverage needs at least {MIN_STUDIES} --studies; got {options.studies}; try 1200"
        )
    folder = require_writable(options.folder, "misgen trust FOLDER")
    made_by = {**provenance(), "command": shlex.join(["misgen", "trust", *argv])}
    rows = write_trust(folder, options.studies, options.seed, provenance=made_by)
    print((folder / "trust.txt").read_text(encoding="utf-8"), end="")
    return 0 if all(row.holds for row in rows) else 1


def _parser() -> Parser:
    parser = Parser(prog="misgen trust", description=__doc__)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="where the tables and numbers are written")
    text = "simulated studies of each world (default: 1200)"
    add("--studies", type=int, default=1200, metavar="N", help=text)
    add("--seed", type=int, default=0, metavar="S", help="of all random numbers (default: 0)")
    return parser
