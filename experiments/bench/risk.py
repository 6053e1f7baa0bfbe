"""`misgen bench risk`: how fast the risk model draws every domain in every period, on one core."""

import time
from pathlib import Path
from typing import Any

from misgen.analysis.priors import load_priors
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.risk.table import domain_rows
from misgen.experiments.bench.command import here_and_now
from misgen.experiments.cli import Parser
from misgen.experiments.runs.folder import write_json

AIM_S = 2.0
"""CPU time for 10^6 joint draws of all domains and periods, both rates and their quantiles."""


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for wrong arguments."""
    parser = Parser(prog="misgen bench risk", description=__doc__)
    add = parser.add_argument
    add("--json", metavar="FILE", help="write the results here as well")
    add("--draws", type=int, default=1_000_000, metavar="N", help="default: 1000000")
    add("--rounds", type=int, default=3, help="default: 3")
    options = parser.parse_args(argv)
    if options.draws < 1 or options.rounds < 1:
        raise ValueError(
            f"--draws and --rounds are at least 1; got {options.draws} and {options.rounds}"
        )
    report = bench_risk(options.draws, options.rounds)
    print(
        f"risk: {report['draws']:.0e} draws x {report['predictions']} predictions in "
        f"{report['best_cpu_s']:.2f} CPU s, the best of {options.rounds} rounds: "
        f"{report['draws_per_s'] / 1e6:.1f} M draws/s (aim: {AIM_S:g} s for 1e+06 draws)"
    )
    if options.json:
        write_json(Path(options.json), report)
    return 0


def bench_risk(draws: int, rounds: int) -> dict[str, Any]:
    """Everything measured, as JSON data. A round draws all inputs afresh.

    draws_per_s: joint draws of one prediction per CPU-second.
    """
    priors = load_priors()
    seconds, predictions = [], 0
    for seed in range(rounds):
        start = time.process_time()
        predictions = len(domain_rows(RiskModel.from_prior(priors, draws, seed)))
        seconds.append(time.process_time() - start)
    best = min(seconds)
    return {
        **here_and_now(),
        "draws": draws,
        "predictions": predictions,
        "cpu_s": seconds,
        "best_cpu_s": best,
        "draws_per_s": predictions * draws / best,
        "aim_s_at_1e6_draws": AIM_S,
    }
