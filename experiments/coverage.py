"""`misgen coverage`: by simulation, how often the intervals hold the truth with 3 to 30 agents."""

import argparse

from misgen.analysis.hierarchy.coverage import format_coverage, interval_coverage


def main(argv: list[str]) -> int:
    """Exit code 0."""
    argparse.ArgumentParser(
        prog="misgen coverage", description=__doc__, allow_abbrev=False
    ).parse_args(argv)
    print(format_coverage(interval_coverage()), end="")
    return 0
