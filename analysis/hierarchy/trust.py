"""How far the posterior of `analysis.hierarchy.fit` can be trusted, shown on simulated agents.

Simulation-based calibration (Talts et al. 2018): parameters are drawn from the prior, agents from
the parameters, and the rank of a true value among posterior draws must be uniform. It proves the
sampler, not the model. Beside it: the recovery of known factors, and how often either interval
holds the truth in populations that the model did not choose (`misgen.analysis.hierarchy.coverage`).
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import binom, chisquare

from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.hierarchy.coverage import fixed_truth_coverage, format_coverage
from misgen.analysis.hierarchy.factor_model import (
    LOG_NU,
    FactorData,
    Positions,
    contrast_matrix,
    draw_log_nu,
    draw_prior,
    log_joint,
    logit_theta,
    marginal,
    no_data,
    put_cell,
    sample_many,
)
from misgen.analysis.hierarchy.fit import WARMUP, CellCounts, fit
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import FACTORS, SHIFT_TYPES
from misgen.analysis.rates import LEVEL, AgentCounts, FloatArray, IntArray
from misgen.analysis.text import aligned, number

__all__ = [
    "fixed_truth_coverage",
    "format_coverage",
    "format_recovery",
    "format_sbc",
    "recovery",
    "simulation_based_calibration",
    "write_trust",
]

DRAWS, THIN = 99, 5
"""Posterior draws per data set, and steps of the sampler between two of them."""
OVERALL = 0.01
"""Probability that a right sampler fails at all, of the coverages and of the chi-squares."""
SETS_AT_ONCE = 16
FAMILIES = ("one", "two")
SIDE = contrast_matrix(len(FAMILIES))
"""In all simulated data sets a row is a family."""


def source_means() -> FloatArray:
    """The source's means [factors, types]."""
    shifts = load_priors().shifts
    return np.array([[getattr(shifts[t], f).number for t in SHIFT_TYPES] for f in FACTORS])


# ----------------------------------------------------------------------------- simulated data sets


class Simulated(NamedTuple):
    """A data set. truth: per factor logit_mu [types], contrast [1], sd, e and log_nu [2, types].

    counts [1 + factors, 2, types, agents]: levels, and successes of each factor in turn.
    """

    truth: list[Positions]
    counts: FloatArray


def simulate_set(
    rng: np.random.Generator,
    means: FloatArray,
    kappa: float = 10.0,
    agents: int = 5,
    levels: int = 300,
) -> Simulated:
    """Parameters from the prior, agents from the parameters."""
    truth = []
    for mean in means:
        prior = draw_prior(no_data(kappa * mean, kappa * (1 - mean)), 1, rng)
        log_nu = rng.normal(*LOG_NU, (2, len(mean)))
        truth.append({name: value[0] for name, value in prior.items()} | {"log_nu": log_nu})
    return Simulated(truth, simulate_counts(rng, truth, agents, levels))


def simulate_counts(
    rng: np.random.Generator, truth: list[Positions], agents: int, levels: int
) -> FloatArray:
    """Counts [1 + factors, 2, types, agents] of agents with known parameters."""
    chain = [np.full((*truth[0]["e"].shape, agents), levels)]
    for factor in truth:
        nu, logits = np.exp(factor["log_nu"]), logit_theta(factor, SIDE)
        alpha, beta = (np.maximum(nu * expit(sign * logits), 1e-12)[..., None] for sign in (1, -1))
        chain.append(rng.binomial(chain[-1], rng.beta(alpha, beta, chain[0].shape)))
    return np.array(chain, dtype=np.float64)


# -------------------------------------------------------------------- simulation-based calibration


@dataclass(frozen=True)
class SbcResult:
    """Ranks [sets, parameters] of the truth among `DRAWS` posterior draws: 0 to `DRAWS`.

    Cells of a type differ in nothing but their data, so of each factor's cells one is looked at.
    """

    parameters: tuple[str, ...]
    ranks: IntArray
    seed: int
    agents: int
    levels: int
    divergent_share: float
    cpu_s_per_set: float

    @property
    def num_sets(self) -> int:
        return len(self.ranks)

    @property
    def coverage(self) -> FloatArray:
        """Share of sets [parameters] in which the central 90 % held the truth."""
        tail = round((1 - LEVEL) / 2 * (DRAWS + 1))
        held = (self.ranks >= tail) & (self.ranks <= DRAWS - tail)
        return np.asarray(held.mean(axis=0))

    @property
    def coverage_bounds(self) -> tuple[float, float]:
        """Bonferroni over the parameters; .865 and .932 for 24 of them and 1,000 sets."""
        tail = OVERALL / len(self.parameters) / 2
        low, high = binom.ppf([tail, 1 - tail], self.num_sets, LEVEL) / self.num_sets
        return float(low), float(high)

    @property
    def p_values(self) -> FloatArray:
        """Chi-square [parameters] of the ranks against the uniform distribution, in 20 bins."""
        bins = self.ranks * 20 // (DRAWS + 1)
        counts = [np.bincount(column, minlength=20) for column in bins.T]
        return np.array([chisquare(count).pvalue for count in counts])

    @property
    def failures(self) -> list[str]:
        """The parameters whose ranks are not uniform, and by which test."""
        (low, high), least = self.coverage_bounds, OVERALL / len(self.parameters)
        found = []
        for name, held, p in zip(self.parameters, self.coverage, self.p_values, strict=True):
            if not low <= held <= high:
                found.append(f"{name}: coverage {held:.3f} outside {low:.3f} to {high:.3f}")
            if p <= least:
                found.append(f"{name}: chi-square p {p:.2g} at most {least:.2g}")
        return found


def simulation_based_calibration(
    num_sets: int = 1000,
    seed: int = 0,
    *,
    agents: int = 5,
    levels: int = 300,
    kappa: float = 10.0,
    simulate: Callable[..., Simulated] = simulate_set,
) -> SbcResult:
    """Fit `num_sets` data sets of 4 types x 2 families, drawn from the prior that is fitted.

    simulate: another simulator shows what a wrong prior would look like.
    """
    start = time.process_time()
    rng = np.random.default_rng(seed)
    means = source_means()
    ranks: list[IntArray] = []
    divergent = []
    while len(ranks) < num_sets:
        sets = [simulate(rng, means, kappa, agents, levels) for _ in range(SETS_AT_ONCE)]
        found, share = _ranks(sets, means, kappa, rng)
        ranks += found
        divergent.append(share)
    names = [f"mu {name}" for name in SHIFT_TYPES] + ["contrast", "sd", "theta", "log nu"]
    return SbcResult(
        tuple(f"{factor} {name}" for factor in FACTORS for name in names),
        np.array(ranks[:num_sets]),
        seed,
        agents,
        levels,
        float(np.mean(divergent)),
        (time.process_time() - start) / len(ranks),
    )


def _ranks(
    sets: list[Simulated], means: FloatArray, kappa: float, rng: np.random.Generator
) -> tuple[list[IntArray], float]:
    """Ranks [parameters] of each set, all factors of all sets in one call; share of divergences."""
    data, joints = [], []
    for one in sets:
        for i, mean in enumerate(means):
            entered, joint = _enter(one.counts[i : i + 2], kappa * mean, kappa * (1 - mean))
            data.append(entered)
            joints.append(joint)
    draws, divergent = sample_many(data, int(rng.integers(2**31)), WARMUP, DRAWS, THIN)
    ranks = []
    for j, (one, i) in enumerate((one, i) for one in sets for i in range(len(means))):
        drawn = {name: value[j] for name, value in draws.items()}
        log_nu = draw_log_nu(joints[j], logit_theta(drawn, SIDE)[:, 0, 0], rng)
        truth = _watched(one.truth[i], one.truth[i]["log_nu"][0, 0])
        ranks.append((_watched(drawn, log_nu) < truth).sum(axis=0))
    per_set = np.array(ranks).reshape(len(sets), -1)
    return list(per_set), float(np.mean(divergent))


def _enter(
    counts: FloatArray, alpha: FloatArray, beta: FloatArray
) -> tuple[FactorData, FloatArray]:
    """One factor of all cells from trials and successes [2, 2, types, agents]; the first cell's
    joint table of theta and nu."""
    data = no_data(alpha, beta)
    first = None
    for where in np.ndindex(counts.shape[1:3]):
        trials, successes = (column[where] for column in counts)
        joint = log_joint(successes[trials > 0], trials[trials > 0])
        put_cell(data, where, marginal(joint))
        first = joint if first is None else first
    assert first is not None
    return data, first


def _watched(draws: Mapping[str, FloatArray], log_nu: Any) -> FloatArray:
    """[..., 8]: the types' means, contrast, sd, theta and log nu of the first cell."""
    logits = logit_theta(draws, SIDE)[..., 0, 0]
    rest = np.stack([draws["contrast"][..., 0], draws["sd"], logits, log_nu], axis=-1)
    return np.concatenate([draws["logit_mu"], rest], axis=-1)


def format_sbc(result: SbcResult) -> str:
    """Aligned plain text with the bounds and the verdict."""
    low, high = result.coverage_bounds
    least = OVERALL / len(result.parameters)
    lines = [
        [name, number(held), f"{p:.4f}", "" if ok else "fails"]
        for name, held, p in zip(result.parameters, result.coverage, result.p_values, strict=True)
        for ok in [low <= held <= high and p > least]
    ]
    table = aligned(["parameter", "coverage of 90 %", "chi-square p", ""], lines)
    verdict = "; ".join(result.failures) or "uniform within the bounds"
    return (
        f"{table}\n\n{result.num_sets} simulated data sets of 4 types x 2 families, "
        f"{result.agents} agents x {result.levels} levels; {DRAWS} draws each, one in {THIN};\n"
        f"{result.divergent_share:.3%} divergent; {result.cpu_s_per_set:.2f} CPU s per set. "
        f"Bounds: coverage {low:.3f} to {high:.3f}, p > {least:.5f}\n"
        f"(Bonferroni over {len(result.parameters)} parameters, {OVERALL:g} overall). "
        f"Verdict: {verdict}.\nUniform ranks prove the sampler, not the model.\n"
    )


# ----------------------------------------------------------------------------------------- recovery


class Recovered(NamedTuple):
    """A known value, its posterior mean and central 90 %."""

    parameter: str
    truth: float
    mean: float
    low: float
    high: float

    @property
    def held(self) -> bool:
        return self.low <= self.truth <= self.high


KNOWN = {
    "p_capable": (0.95, 0.85, 0.75, 0.6),
    "p_goal_fail": (0.05, 0.3, 0.5, 0.8),
    "p_harm": (0.4, 0.5, 0.6, 0.7),
}
"""Means of the four types from which `recovery` makes its agents: not the printed ones."""


def recovery(
    seed: int = 0, agents: int = 30, levels: int = 300, contrast: float = 0.8, nu: float = 8.0
) -> list[Recovered]:
    """Fit agents of known factors: a family contrast, beta-binomial agents, all three factors."""
    shape = (2, len(SHIFT_TYPES))
    truth = [
        {
            "logit_mu": logit(np.array(KNOWN[factor])),
            "contrast": np.array([contrast]),
            "e": np.zeros(shape),
            "log_nu": np.full(shape, math.log(nu)),
        }
        for factor in FACTORS
    ]
    counts = simulate_counts(np.random.default_rng(seed), truth, agents, levels)
    cells = [
        CellCounts(family, name, name, AgentCounts(np.arange(agents), *counts[:, f, t]))
        for f, family in enumerate(FAMILIES)
        for t, name in enumerate(SHIFT_TYPES)
    ]
    priors = {
        name: dict(zip(FACTORS, column, strict=True))
        for name, column in zip(SHIFT_TYPES, source_means().T, strict=True)
    }
    result = fit(cells, priors, harm=True, seed=seed)
    rows = []
    for factor, known in zip(FACTORS, truth, strict=True):
        posterior = getattr(result, factor)
        theta = expit(logit_theta(known, SIDE))
        rows += [
            _recovered(f"{factor} {family}/{name}", theta[f, t], posterior.theta[family, name])
            for f, family in enumerate(FAMILIES)
            for t, name in enumerate(SHIFT_TYPES)
        ]
        effects = posterior.effects
        rows.append(_recovered(f"{factor} contrast", contrast, effects["two"] - effects["one"]))
        rows += [
            _recovered(f"{factor} mu {name}", mean, posterior.mu[name])
            for name, mean in zip(SHIFT_TYPES, KNOWN[factor], strict=True)
        ]
    return rows


def _recovered(parameter: str, truth: float, draws: FloatArray) -> Recovered:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Recovered(parameter, float(truth), float(draws.mean()), float(low), float(high))


def format_recovery(rows: list[Recovered]) -> str:
    """Aligned plain text."""
    lines = [[row.parameter, *map(number, row[1:]), "yes" if row.held else "no"] for row in rows]
    held = sum(row.held for row in rows)
    table = aligned(["parameter", "truth", "posterior mean", "5 %", "95 %", "held"], lines)
    return f"{table}\n\n{held} of {len(rows)} known values lie within the central 90 %.\n"


# ---------------------------------------------------------------------------------------- to a file


def write_trust(
    folder: Path,
    num_sets: int = 1000,
    seed: int = 0,
    *,
    simulations: int = 400,
    fits: int = 25,
    provenance: Mapping[str, Any] | None = None,
) -> SbcResult:
    """Run everything and write `trust.json` and `trust.txt` (replaced if there).

    simulations: per population and number of agents, of the bootstrap interval; fits: likewise of
    the hierarchical one, eight cells each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sbc = simulation_based_calibration(num_sets, seed)
    known = recovery(seed)
    coverage = fixed_truth_coverage(simulations=simulations, fits=fits, seed=seed)
    parts = {
        "Simulation-based calibration": format_sbc(sbc),
        "Recovery of known factors": format_recovery(known),
        "Coverage of both intervals for fixed truths": format_coverage(coverage),
    }
    text = "\n".join(f"{title}\n\n{part}" for title, part in parts.items())
    content = {
        "provenance": dict(provenance or {}),
        "sbc": asdict(sbc)
        | {
            "ranks": sbc.ranks.tolist(),
            "coverage": sbc.coverage.tolist(),
            "coverage_bounds": sbc.coverage_bounds,
            "p_values": sbc.p_values.tolist(),
            "failures": sbc.failures,
        },
        "recovery": [row._asdict() for row in known],
        "coverage": [row._asdict() for row in coverage],
    }
    atomic_write_bytes(folder / "trust.json", (json.dumps(content, indent=1) + "\n").encode())
    atomic_write_bytes(folder / "trust.txt", text.encode())
    return sbc
