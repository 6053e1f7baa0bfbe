"""`misgen coverage`: by simulation, how often the intervals hold the truth with 3 to 30 agents."""

from misgen.analysis.hierarchy.coverage import format_coverage, interval_coverage
from misgen.experiments.cli import Parser


def main(argv: list[str]) -> int:
    """Exit code 0."""
    Parser(prog="misgen coverage", description=__doc__).parse_args(argv)
    print(format_coverage(interval_coverage()), end="")
    return 0
