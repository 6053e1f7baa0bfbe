"""`misgen compact`: one file with the episodes of many runs, which opens faster than theirs.

It is a copy, in `compact` beside `runs`: every command reads from it what has not changed since,
and the rest from the runs, which stay as they are. Delete it at any time; give the command again
once there are many new runs.
"""

from misgen.analysis.compacted import compact
from misgen.experiments.cli import Parser
from misgen.experiments.runs.folder import (
    RESULTS_HELP,
    parse_flags,
    require_writable,
    results_root,
)


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for a folder without records, or that cannot be written to."""
    parse_flags(Parser(prog="misgen compact", description=__doc__, epilog=RESULTS_HELP), argv)
    results = results_root()
    if results.is_dir():  # where there is none, the records say so
        require_writable(results)
    file, runs = compact(results)
    size = file.stat().st_size / 2**20
    print(f"{file}: the episodes of {runs} runs, {size:.1f} MiB; the runs stay as they are")
    return 0
