"""`misgen coverage`: by simulation, how often intervals and verdicts on few agents are right."""

import shlex
from pathlib import Path

from misgen.analysis.coverage import (
    Coverage,
    Flags,
    flags_of_equal_arms,
    format_coverage,
    format_flags,
    interval_coverage,
)
from misgen.experiments.cli import Parser
from misgen.experiments.provenance import provenance
from misgen.experiments.runs.folder import write_json


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for a wrong flag or file."""
    parser = Parser(prog="misgen coverage", description=__doc__)
    add = parser.add_argument
    add("--verdicts", action="store_true", help="only how often equal arms are told apart")
    add("--json", type=Path, metavar="FILE", help="write these numbers here as well")
    options = parser.parse_args(argv)
    rows: list[Flags] | list[Coverage]
    if options.verdicts:
        rows = flags = flags_of_equal_arms()
        text = format_flags(flags)
    else:
        rows = covered = interval_coverage()
        text = format_coverage(covered)
    print(text, end="")
    if options.json:
        made_by = {**provenance(), "command": shlex.join(["misgen", "coverage", *argv])}
        write_json(options.json, {**made_by, "rows": [row._asdict() for row in rows]})
    return 0
