"""How fast the risk model draws: every domain in every period, on one core."""

import time
from typing import Any

from analysis.priors import load_priors
from analysis.risk.model import RiskModel
from analysis.risk.table import domain_table

AIM_S = 2.0
"""CPU time for 10^6 joint draws of all domains and periods, both rates and their quantiles."""


def bench_risk(draws: int = 1_000_000, rounds: int = 3) -> dict[str, Any]:
    """Prints one line and returns the numbers; CPU seconds, the best of `rounds`.

    A round draws all inputs afresh. draws_per_s: joint draws of one prediction.
    """
    priors = load_priors()
    seconds, predictions = [], 0
    for seed in range(rounds):
        start = time.process_time()
        predictions = len(domain_table(RiskModel.from_prior(priors, draws, seed)))
        seconds.append(time.process_time() - start)
    best = min(seconds)
    print(
        f"risk: {draws:.0e} draws x {predictions} predictions in {best:.2f} CPU s "
        f"({predictions * draws / best / 1e6:.1f} M draws/s; aim {AIM_S:g} s at 1e+06)"
    )
    return {
        "draws": draws,
        "predictions": predictions,
        "cpu_s": seconds,
        "best_cpu_s": best,
        "draws_per_s": predictions * draws / best,
        "aim_s_at_1e6_draws": AIM_S,
    }
