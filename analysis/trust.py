"""How far the posterior of `misgen.analysis.posterior` can be trusted, shown on simulated agents.

Four worlds make studies of one shift type, each with a true p_gm, cells and agents; the posterior
of `calibrate` reads them. In the first the prior is right; in the second types differ far more than
it says; in the third all agents fail as rarely as those of this testbed; in the fourth the world is
the model that this one replaced, in which both factors of a cell vary independently. In all of them
agents of a cell differ, from nearly alike to two kinds. Beside it, how often the printed interval
holds a fixed truth (`misgen.analysis.coverage`).
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from misgen.analysis.coverage import format_coverage, interval_coverage
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.intervals import LEVEL
from misgen.analysis.posterior import PHI, CellRates, OutcomePrior, posterior
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import beta_parameters
from misgen.analysis.rates import AgentCounts, FloatArray
from misgen.analysis.text import aligned, number

CELLS, AGENTS, LEVELS = 2, 8, 330
"""Of a simulated study: cells of its type, agents of a cell, levels of an agent."""
DRAWS = 2000
LEAST = 0.85
"""Coverage of the 90 % interval that each world shall reach."""
LOG_NU = (math.log(5), 2.0)
"""Mean and standard deviation of log nu: agents of a cell are Beta(nu theta, nu (1 - theta))."""

Factors = tuple[float, float]
"""P(capable) and P(goal fails | capable)."""


class World(NamedTuple):
    """How a type and its cells come about. truth: of a type, given its prior; cells: given that."""

    name: str
    truth: Callable[[OutcomePrior, np.random.Generator], Factors]
    cells: Callable[[Factors, np.random.Generator], list[Factors]]


def from_prior(kappa: float) -> Callable[[OutcomePrior, np.random.Generator], Factors]:
    """Outcomes from the Dirichlet around the printed ones."""

    def truth(prior: OutcomePrior, rng: np.random.Generator) -> Factors:
        betas = prior.betas(kappa)
        return rng.beta(*betas["p_capable"]), rng.beta(*betas["p_goal_fail"])

    return truth


def independent_factors(prior: OutcomePrior, rng: np.random.Generator) -> Factors:
    """As the former model had them: each factor from a Beta of its own."""
    capable, fails = (
        rng.beta(*beta_parameters(prior.means[name], prior.kappa))
        for name in ("p_capable", "p_goal_fail")
    )
    return capable, fails


def dirichlet_cells(type_factors: Factors, rng: np.random.Generator) -> list[Factors]:
    """Outcomes of each cell from Dirichlet(PHI pi)."""
    capable, fails = type_factors
    return [(_beta(rng, capable, PHI), _beta(rng, fails, PHI * capable)) for _ in range(CELLS)]


def logit_cells(type_factors: Factors, rng: np.random.Generator) -> list[Factors]:
    """As the former model had them: on the logit scale a family's effect and a cell's."""
    columns = []
    for mean in type_factors:
        mean = min(max(mean, 1e-9), 1 - 1e-9)
        family = rng.normal() / 2 * np.array([-1, 1])
        cell = rng.normal(size=CELLS) * abs(rng.normal(0, 0.5))
        columns.append(1 / (1 + np.exp(-math.log(mean / (1 - mean)) - family - cell)))
    return list(zip(*(column.tolist() for column in columns), strict=True))


WORLDS = (
    World("prior right", from_prior(10.0), dirichlet_cells),
    World("prior too narrow", from_prior(2.0), dirichlet_cells),
    World("as in this testbed", lambda prior, rng: (0.85, 0.05 / 0.85), dirichlet_cells),
    World("the former model", independent_factors, logit_cells),
)


def _beta(rng: np.random.Generator, mean: Any, size: Any, shape: int | None = None) -> Any:
    """With a mean and a sample size so small that the one or the other parameter may vanish."""
    return rng.beta(np.maximum(mean * size, 1e-9), np.maximum((1 - mean) * size, 1e-9), shape)


def sample_agents(cell: Factors, rng: np.random.Generator) -> AgentCounts:
    """Counts of the agents of one cell."""
    columns = [np.full(AGENTS, LEVELS)]
    for mean in cell:
        theta = _beta(rng, mean, math.exp(rng.normal(*LOG_NU)), AGENTS)
        columns.append(rng.binomial(columns[-1], theta))
    return AgentCounts(
        np.arange(AGENTS), *(np.array([*columns, np.zeros(AGENTS)], dtype=np.float64))
    )


# ------------------------------------------------------------------------------------ the posterior


class Trusted(NamedTuple):
    """What became of the studies of one world. coverage: share whose central 90 % of p_gm held the
    truth; rmse: of the mean; width: median; outside: share whose mean lies outside of prior and
    data by more than three Monte Carlo errors; wide: mean weight of the prior's wide part."""

    world: str
    studies: int
    coverage: float
    below: float  # the share whose lower end lies above the truth
    above: float  # ... whose upper end lies below it
    rmse: float
    width: float
    outside: float
    wide: float

    @property
    def holds(self) -> bool:
        return self.coverage >= LEAST and self.outside == 0


def worlds(studies: int = 1200, seed: int = 0, of: Sequence[World] = WORLDS) -> list[Trusted]:
    """The posterior in each world; every shift type has a quarter of the studies."""
    priors = load_priors()
    types = [OutcomePrior.of(priors, shift) for shift in priors.shifts]
    rows = []
    for i, world in enumerate(of):
        rng = np.random.default_rng([seed, i])
        found = [_study(world, types[k % len(types)], rng) for k in range(studies)]
        rows.append(_trusted(world.name, np.array(found)))
    return rows


def _study(world: World, prior: OutcomePrior, rng: np.random.Generator) -> tuple[float, ...]:
    """Truth, low, high, mean, whether outside, wide weight."""
    truth = world.truth(prior, rng)
    counts = [sample_agents(cell, rng) for cell in world.cells(truth, rng)]
    cells = [CellRates.of(each, DRAWS, int(rng.integers(2**31))) for each in counts]
    found = posterior(prior, cells, rng, DRAWS)
    drawn = found.p_capable * found.p_goal_fail
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    source = prior.means["p_capable"] * prior.means["p_goal_fail"]
    data = np.mean([cell.raw.p_gm for cell in cells])
    away = max(min(source, data) - drawn.mean(), drawn.mean() - max(source, data))
    outside = away > 3 * drawn.std() / math.sqrt(DRAWS)
    return truth[0] * truth[1], low, high, drawn.mean(), outside, found.wide


def _trusted(name: str, found: FloatArray) -> Trusted:
    truth, low, high, mean, outside, wide = found.T
    below, above = np.mean(truth < low), np.mean(high < truth)
    rmse, width = np.sqrt(np.mean((mean - truth) ** 2)), np.median(high - low)
    numbers = (1 - below - above, below, above, rmse, width, outside.mean(), wide.mean())
    return Trusted(name, len(found), *map(float, numbers))


def format_worlds(rows: Sequence[Trusted]) -> str:
    """Aligned plain text."""
    header = (
        "world,studies,coverage of 90 %,truth below,above,rmse,median width,outside,wide prior,"
    )
    lines = [
        [row.world, str(row.studies), *map(number, row[2:]), "" if row.holds else "fails"]
        for row in rows
    ]
    return (
        f"{aligned(header.split(','), lines)}\n\n"
        f"p_gm of one shift type; {CELLS} cells x {AGENTS} agents x {LEVELS} levels a study, the "
        "four types in turn.\noutside: studies whose mean lies outside of prior and data. Aim: "
        f"coverage at least {number(LEAST)}, never\noutside. The interval is for the type, a "
        "population of cells, not for the cells at hand.\n"
    )


# ---------------------------------------------------------------------------------------- to a file


def write_trust(
    folder: Path,
    studies: int = 1200,
    seed: int = 0,
    *,
    simulations: int = 400,
    provenance: Mapping[str, Any] | None = None,
) -> list[Trusted]:
    """Run everything and write `trust.json` and `trust.txt` (replaced if there).

    studies: of each world; simulations: per population and number of agents, of the printed
    interval.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = worlds(studies, seed)
    coverage = interval_coverage(simulations=simulations, seed=seed)
    parts = {
        "The posterior in four simulated worlds": format_worlds(rows),
        "Coverage of the printed interval for fixed truths": format_coverage(coverage),
    }
    text = "\n".join(f"{title}\n\n{part}" for title, part in parts.items())
    content = {
        "provenance": dict(provenance or {}),
        "worlds": [row._asdict() for row in rows],
        "coverage": [row._asdict() for row in coverage],
    }
    atomic_write_bytes(folder / "trust.json", (json.dumps(content, indent=1) + "\n").encode())
    atomic_write_bytes(folder / "trust.txt", text.encode())
    return rows
