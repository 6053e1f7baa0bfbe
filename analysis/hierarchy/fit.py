"""The hierarchical model of the rates: agents within cells, cells within shift types and families.

Per cell, a chain of beta-binomials over its agents a (BB: mean theta, concentration nu):

    y_C ~ BB(n_a, theta_C, nu_C)    y_G | y_C ~ BB(y_C, theta_G, nu_G)    y_H | y_G ~ BB(y_G, ...)

so theta_C theta_G theta_H is the cell's p_harmful_gm in every draw. The three factors share no
parameter and are fitted one by one. Per factor:

    mu_type ~ Beta(printed mean, kappa)                  what the risk model receives
    logit theta = logit mu_type + effect_family + e
    effect = contrast_matrix @ contrasts    contrasts ~ N(0, 1)
    e ~ N(0, sd)    sd ~ HalfNormal(.5)    log nu ~ N(log 5, 2)

The effects of the families sum to 0, and any two differ by N(0, 1). Two families have one contrast
and the effects -+ contrast / 2.

A cell whose agents contradict the model, or a sampler that has not converged, falls back to the
bootstrap of `misgen.analysis.rates`, and the result says so. Importing this file brings jax.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from misgen.analysis.hierarchy.factor_model import (
    LOGITS,
    FactorData,
    Positions,
    best_theta,
    contrast_matrix,
    diagnostics,
    draw_log_nu,
    importance_sample,
    log_joint,
    logit_theta,
    marginal,
    no_data,
    put_cell,
    sample_many,
)
from misgen.analysis.priors.types import FACTORS
from misgen.analysis.rates import (
    MIN_AGENTS,
    AgentCounts,
    Estimate,
    FloatArray,
    Rates,
    bootstrap,
    estimate,
    point_rates,
)

Slot = tuple[str, str]  # (family, code of the cell)

CHAINS, WARMUP, SAMPLES = 4, 500, 2000
MAX_R_HAT, MIN_ESS, MAX_DIVERGENT = 1.01, 400, 0.001
"""Beyond any of these a fit is refused."""
MAX_DISAGREEMENT = 0.02
"""Largest difference of theta_C theta_G from the direct estimate of p_gm."""
IMPORTANCE_DRAWS = 50_000
"""Weighted draws among which a refused fit resamples."""


@dataclass(frozen=True)
class CellCounts:
    """The agents of one cell, none if it is only predicted. cell: its code. gc or hgc that must
    not enter are NaN."""

    family: str
    cell: str
    shift_type: str
    counts: AgentCounts

    @property
    def slot(self) -> Slot:
        return self.family, self.cell


@dataclass(frozen=True)
class FactorPosterior:
    """Draws [draws] of one factor's parameters.

    theta: the means of the cells with data; predicted: of the others that were given.
    effects: of each family on the logit. log_nu: cells whose counts entered (log concentration
    over agents).
    """

    mu: dict[str, FloatArray]
    theta: dict[Slot, FloatArray]
    predicted: dict[Slot, FloatArray]
    effects: dict[str, FloatArray]
    sd: FloatArray
    log_nu: dict[Slot, FloatArray]
    r_hat_max: float
    ess_min: float
    divergent_share: float

    @property
    def refused(self) -> str:
        """Why the sampler's draws must not be used; empty when they may."""
        failed = [
            (self.r_hat_max > MAX_R_HAT, f"R-hat {self.r_hat_max:.3f} > {MAX_R_HAT}"),
            (self.ess_min < MIN_ESS, f"effective sample size {self.ess_min:.0f} < {MIN_ESS}"),
            (
                self.divergent_share > MAX_DIVERGENT,
                f"{self.divergent_share:.2%} divergent > {MAX_DIVERGENT:.1%}",
            ),
        ]
        return ", ".join(text for is_so, text in failed if is_so)


class CellCheck(NamedTuple):
    """Whether a chain of factors may describe a cell: c_a and g_a / c_a must be unrelated.

    correlation: of the two over agents (NaN where one does not vary). direct_p_gm: maximum
    likelihood of one beta-binomial for the failures; product_p_gm: of two in a chain. Both are free
    of the printed priors, which would pull a chain of two twice.
    """

    correlation: float
    direct_p_gm: float
    product_p_gm: float

    @property
    def disagreement(self) -> float:
        return abs(self.direct_p_gm - self.product_p_gm)


@dataclass(frozen=True)
class HierarchicalFit:
    """Posterior draws; see `fit`.

    cells: draws of the rates of each cell with agents; what is not defined or not asked for is NaN.
    mu: the rates of each shift type, for the risk model; p_harm has its prior unless asked for.
    refused: why the whole fit was given up for the bootstrap, or "". fallback: why single cells
    were. flags: what a reader must know about intervals.
    """

    p_capable: FactorPosterior
    p_goal_fail: FactorPosterior
    p_harm: FactorPosterior | None
    cells: dict[Slot, Rates]
    mu: dict[str, Rates]
    checks: dict[Slot, CellCheck]
    refused: str
    flags: list[str]
    fallback: dict[Slot, str]
    counts: dict[Slot, AgentCounts] = field(repr=False)

    @property
    def r_hat_max(self) -> float:
        return max(posterior.r_hat_max for posterior in self._posteriors)

    @property
    def ess_min(self) -> float:
        return min(posterior.ess_min for posterior in self._posteriors)

    @property
    def divergent_share(self) -> float:
        return max(posterior.divergent_share for posterior in self._posteriors)

    @property
    def _posteriors(self) -> list[FactorPosterior]:
        return [one for one in (self.p_capable, self.p_goal_fail, self.p_harm) if one is not None]

    def estimates(self, family: str, cell: str) -> dict[str, Estimate]:
        """Posterior mean and central 90 % of a cell's rates, or the reason for there being none."""
        slot = family, cell
        counts = self.counts[slot]
        raw = point_rates(counts)._asdict()
        return {
            name: estimate(
                math.nan if math.isnan(raw[name]) else float(draws.mean()), draws, counts.k
            )
            for name, draws in self.cells[slot]._asdict().items()
        }


def fit(
    cells: Sequence[CellCounts],
    priors: Mapping[str, Mapping[str, float]],
    kappa: float = 10.0,
    *,
    power: float = 1.0,
    harm: bool = False,
    draws: int = 4000,
    seed: int = 0,
) -> HierarchicalFit:
    """Fit the factors of all cells.

    Args:
        cells: of any number of families, any number of a type; one without agents is predicted.
        priors: type -> factor -> printed mean. Types without a cell keep their prior.
        kappa: equivalent sample size of each printed mean.
        power: exponent of the likelihood; 0 gives the prior.
        harm: whether measured harm updates p_harm.

    Raises:
        ValueError: cells repeat, or name a type without a prior; kappa or power out of range.
    """
    _check(cells, priors, kappa, power)
    seen = [cell for cell in cells if cell.counts.k]
    setting = _Setting(priors, kappa, power, _places(cells, list(priors)))
    checks = {cell.slot: check_cell(cell.counts) for cell in seen}
    fallback = {slot: reason for slot, check in checks.items() if (reason := _contradiction(check))}
    boot = {cell.slot: bootstrap(cell.counts, draws, seed) for cell in seen}
    replaced = {slot: boot[slot] for slot in fallback}
    factors = FACTORS[: 2 + harm]
    tasks = [_task(factor, seen, replaced, setting) for factor in factors]
    posteriors = [_posterior(task, draws, seed + 1000 * i) for i, task in enumerate(tasks)]
    refused = _refusal(factors, posteriors)
    if refused:
        replaced = boot
        tasks = [_task(factor, seen, boot, setting) for factor in factors]
        posteriors, effective = _all_resampled(tasks, posteriors, draws, seed)
        refused += f": bootstrap draws instead ({effective:,.0f} effective draws)"
    rates = {cell.slot: _cell_rates(cell, posteriors, replaced.get(cell.slot)) for cell in seen}
    flags = [_no_agent(cell) for cell in cells if not cell.counts.k]
    flags += [flag for cell in seen for flag in _flags(cell, rates[cell.slot], boot[cell.slot])]
    return HierarchicalFit(
        posteriors[0],
        posteriors[1],
        posteriors[2] if harm else None,
        rates,
        _type_rates(posteriors, setting, draws, seed),
        checks,
        refused,
        flags,
        fallback,
        {cell.slot: cell.counts for cell in seen},
    )


def _refusal(factors: Sequence[str], posteriors: Sequence[FactorPosterior]) -> str:
    pairs = zip(factors, posteriors, strict=True)
    reasons = [f"{factor}: {one.refused}" for factor, one in pairs if one.refused]
    return "; ".join(reasons)


def _no_agent(cell: CellCounts) -> str:
    return f"{' '.join(cell.slot)}: no agent, predicted from others"


@dataclass(frozen=True)
class _Setting:
    """What all factors share. places: (row, type) of each cell, see `FactorData`."""

    priors: Mapping[str, Mapping[str, float]]
    kappa: float
    power: float
    places: "_Places"


class _Places(NamedTuple):
    """row_family: the family of each row, by its place in `families`. where: cell -> (row, type).

    A row holds one cell of each type. A family has as many rows as it has cells of one type; the
    first rows are one of each family.
    """

    families: tuple[str, ...]
    row_family: tuple[int, ...]
    where: dict[Slot, tuple[int, int]]


def _places(cells: Sequence[CellCounts], types: list[str]) -> _Places:
    families = sorted({cell.family for cell in cells})
    rows = list(range(max(2, len(families))))  # of one family the contrast is with an unseen one
    taken: set[tuple[int, int]] = set()
    where = {}
    for cell in cells:
        family, kind = families.index(cell.family), types.index(cell.shift_type)
        free = [i for i, row in enumerate(rows) if row == family and (i, kind) not in taken]
        if not free:
            free = [len(rows)]
            rows.append(family)
        where[cell.slot] = free[0], kind
        taken.add(where[cell.slot])
    return _Places(tuple(families), tuple(rows), where)


def _check(
    cells: Sequence[CellCounts],
    priors: Mapping[str, Mapping[str, float]],
    kappa: float,
    power: float,
) -> None:
    slots = [cell.slot for cell in cells]
    unknown = sorted({cell.shift_type for cell in cells} - set(priors))
    if len(set(slots)) < len(slots):
        raise ValueError(f"each cell is given once; got {slots}; merge the agents of a cell")
    if unknown:
        raise ValueError(f"every cell's type needs a prior; got {unknown}, priors of {[*priors]}")
    if kappa <= 0:
        raise ValueError(f"kappa is above 0; got {kappa:g}; the default is 10")
    if power < 0:
        raise ValueError(f"the power of the data is 0 or more; got {power:g}; 1 takes them in full")


# ------------------------------------------------------------------------- cells as curves, checks


def _trials(counts: AgentCounts, factor: str) -> tuple[FloatArray, FloatArray]:
    """Successes and trials of a factor over agents that have any; empty where it is undefined."""
    columns = [counts.n, counts.c, counts.gc, counts.hgc]
    i = FACTORS.index(factor)
    used = ~np.isnan(columns[i + 1]) & (columns[i] > 0)
    return columns[i + 1][used], columns[i][used]


def check_cell(counts: AgentCounts) -> CellCheck:
    """Compare one beta-binomial of the failures with the chain of two; NaN where undefined."""
    defined = (counts.c > 0) & ~np.isnan(counts.gc)
    capable, failed = (counts.c / counts.n)[defined], (counts.gc[defined] / counts.c[defined])
    varies = len(capable) > 1 and min(np.ptp(capable), np.ptp(failed)) > 0
    product = math.prod(best_theta(*_trials(counts, factor)) for factor in FACTORS[:2])
    known = ~np.isnan(counts.gc)
    return CellCheck(
        float(np.corrcoef(capable, failed)[0, 1]) if varies else math.nan,
        best_theta(counts.gc[known], counts.n[known]),
        product,
    )


def _contradiction(check: CellCheck) -> str:
    if not check.disagreement > MAX_DISAGREEMENT:
        return ""
    return (
        f"p_gm is {check.direct_p_gm:.3f} directly and {check.product_p_gm:.3f} as a chain of "
        f"factors (correlation of capability and goal failure over agents "
        f"{check.correlation:.2f}): bootstrap draws instead"
    )


@dataclass(frozen=True)
class _Task:
    """One factor of all cells: its prior, joint tables, normals of cells in fallback, curves."""

    types: tuple[str, ...]
    places: _Places
    data: FactorData
    joints: dict[Slot, FloatArray]
    normals: dict[Slot, tuple[float, float]]


def _task(
    factor: str, cells: Sequence[CellCounts], bootstrapped: Mapping[Slot, Rates], setting: _Setting
) -> _Task:
    means = np.array([prior[factor] for prior in setting.priors.values()])
    kappa, power = setting.kappa, setting.power
    trials = {cell.slot: _trials(cell.counts, factor) for cell in cells}
    known = {slot: found for slot, found in trials.items() if len(found[1]) and power > 0}
    joints = {s: log_joint(*found, power) for s, found in known.items() if s not in bootstrapped}
    normals = {
        slot: _logit_normal(getattr(bootstrapped[slot], factor), power)
        for slot in known
        if slot in bootstrapped
    }
    places = setting.places
    data = no_data(kappa * means, kappa * (1 - means), places.row_family)
    for slot, joint in joints.items():
        put_cell(data, places.where[slot], marginal(joint))
    for slot, normal in normals.items():
        put_cell(data, places.where[slot], norm.logpdf(LOGITS, *normal))
    return _Task(tuple(setting.priors), places, data, joints, normals)


def _logit_normal(draws: FloatArray, power: float) -> tuple[float, float]:
    """Mean and standard deviation of logit draws, the latter widened to the power."""
    logits = logit(np.clip(draws, expit(LOGITS[0]), expit(LOGITS[-1])))
    return float(logits.mean()), float(logits.std() / math.sqrt(power))


# ---------------------------------------------------------------------------------------- posterior


def _posterior(task: _Task, draws: int, seed: int) -> FactorPosterior:
    """NUTS, its diagnostics, and `draws` of its draws in random order."""
    samples = max(SAMPLES, math.ceil(draws / CHAINS))
    chains, divergent = sample_many([task.data] * CHAINS, seed, WARMUP, samples)
    r_hat, ess = diagnostics(chains, task.data.side)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(CHAINS * samples)[:draws]
    flat = {name: x.reshape(-1, *x.shape[2:])[chosen] for name, x in chains.items()}
    return _factor_posterior(task, flat, rng, (r_hat, ess, float(divergent.mean())))


def _factor_posterior(
    task: _Task, draws: Positions, rng: np.random.Generator, worst: tuple[float, float, float]
) -> FactorPosterior:
    logits = logit_theta(draws, task.data.side)
    places = task.places
    theta = {slot: expit(logits[:, *where]) for slot, where in places.where.items()}
    effects = draws["contrast"] @ contrast_matrix(max(places.row_family) + 1).T
    known = {*task.joints, *task.normals}
    return FactorPosterior(
        {name: expit(draws["logit_mu"][:, i]) for i, name in enumerate(task.types)},
        {slot: value for slot, value in theta.items() if slot in known},
        {slot: value for slot, value in theta.items() if slot not in known},
        {family: effects[:, i] for i, family in enumerate(places.families)},
        draws["sd"],
        {
            slot: draw_log_nu(joint, logits[:, *places.where[slot]], rng)
            for slot, joint in task.joints.items()
        },
        *worst,
    )


def _all_resampled(
    tasks: Sequence[_Task], refused: Sequence[FactorPosterior], draws: int, seed: int
) -> tuple[list[FactorPosterior], float]:
    """`_resampled` for each factor, and the smallest effective number of draws."""
    found = [
        _resampled(task, posterior, draws, seed + 1000 * i)
        for i, (task, posterior) in enumerate(zip(tasks, refused, strict=True))
    ]
    return [posterior for posterior, _ in found], min(effective for _, effective in found)


def _resampled(
    task: _Task, refused: FactorPosterior, draws: int, seed: int
) -> tuple[FactorPosterior, float]:
    """Sampling-importance-resampling, and its effective number of draws.

    The diagnostics stay those of the refused sampler.
    """
    drawn, weight = importance_sample(task.data, IMPORTANCE_DRAWS, seed)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(weight), draws, p=weight / weight.sum())
    kept = {name: value[chosen] for name, value in drawn.items()}
    effective = float(weight.sum() ** 2 / (weight**2).sum())
    worst = refused.r_hat_max, refused.ess_min, refused.divergent_share
    return _factor_posterior(task, kept, rng, worst), effective


# --------------------------------------------------------------------------------------- the result


def _cell_rates(
    cell: CellCounts, posteriors: Sequence[FactorPosterior], bootstrapped: Rates | None
) -> Rates:
    """Draws of a cell's rates; a factor that is undefined or not asked for is NaN."""
    nothing = np.full_like(posteriors[0].sd, np.nan)
    if bootstrapped is not None:
        harm = len(posteriors) == len(FACTORS)
        left_out = {} if harm else {"p_harm": nothing, "p_harmful_gm": nothing}
        return bootstrapped._replace(**left_out)
    chain = (cell.counts.c, cell.counts.gc, cell.counts.hgc)
    undefined = [bool(np.isnan(column).any()) for column in chain]
    theta = [
        nothing if bad else (posterior.theta | posterior.predicted)[cell.slot]
        for posterior, bad in zip(posteriors, undefined, strict=False)
    ]
    return _chained(*theta, *[nothing] * (len(FACTORS) - len(theta)))


def _chained(capable: FloatArray, goal_fail: FloatArray, harm: FloatArray) -> Rates:
    gm = capable * goal_fail
    return Rates(capable, goal_fail, harm, gm, gm * harm)


def _type_rates(
    posteriors: Sequence[FactorPosterior], setting: _Setting, draws: int, seed: int
) -> dict[str, Rates]:
    rng = np.random.default_rng(seed)
    rates = {}
    for name, prior in setting.priors.items():
        factors = [posterior.mu[name] for posterior in posteriors]
        if len(factors) < len(FACTORS):
            factors.append(_prior_harm(prior, setting.kappa, draws, rng))
        rates[name] = _chained(*factors)
    return rates


def _prior_harm(
    prior: Mapping[str, float], kappa: float, draws: int, rng: np.random.Generator
) -> FloatArray:
    """NaN where the prior has none."""
    if "p_harm" not in prior:
        return np.full(draws, np.nan)
    return rng.beta(kappa * prior["p_harm"], kappa * (1 - prior["p_harm"]), draws)


def _flags(cell: CellCounts, rates: Rates, boot: Rates) -> list[str]:
    """Too few agents; hierarchical intervals less than half as wide as the bootstrap's."""
    name, k = " ".join(cell.slot), cell.counts.k
    if k < MIN_AGENTS:
        return [f"{name}: {estimate(0.0, np.zeros(1), k).reason}"]
    flags = []
    for rate, raw in point_rates(cell.counts)._asdict().items():
        draws = getattr(rates, rate)
        if math.isnan(raw) or np.isnan(draws).any():
            continue
        narrow, wide = (
            one.high - one.low
            for one in (estimate(raw, d, k) for d in (draws, getattr(boot, rate)))
        )
        if narrow < wide / 2:
            flags.append(
                f"{name} {rate}: the hierarchical interval is {narrow:.3f} wide, the bootstrap's "
                f"{wide:.3f}: a kind of agent that is rare may be missing among {k}"
            )
    return flags
