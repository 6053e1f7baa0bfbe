"""The hierarchical model of the rates: agents within cells, cells within shift types and families.

Per cell, a chain of beta-binomials over its agents a (BB: mean theta, concentration nu):

    y_C ~ BB(n_a, theta_C, nu_C)    y_G | y_C ~ BB(y_C, theta_G, nu_G)    y_H | y_G ~ BB(y_G, ...)

so theta_C theta_G theta_H is the cell's p_harmful_gm in every draw. The three factors share no
parameter and are fitted one by one. Per factor:

    mu_type ~ Beta(printed mean, kappa)                  what the risk model receives
    logit theta = logit mu_type -+ contrast / 2 + e      first / second family
    contrast ~ N(0, 1)    e ~ N(0, sd)    sd ~ HalfNormal(.5)    log nu ~ N(log 5, 2)

Each log nu meets the data of its own cell only. It is summed out beforehand, on a grid, so that
a cell enters the sampler as one curve over logit theta: the same posterior in half the dimensions,
without the ridge between theta and nu, and one compiled sampler for every data set, kappa and
power. A cell whose agents contradict the model, or a sampler that has not converged, falls back to
the bootstrap of `analysis.rates`, and the result says so.

The only file that knows jax and NumPyro; importing it switches jax to 64 bit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.nn import log_sigmoid
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer.hmc import hmc
from numpyro.infer.util import potential_energy
from scipy.interpolate import CubicSpline
from scipy.special import digamma, expit, gammaln, logit, logsumexp, ndtri, polygamma
from scipy.stats import norm, rankdata

from analysis.prior_types import FACTORS
from analysis.rates import (
    MIN_AGENTS,
    AgentCounts,
    Estimate,
    FloatArray,
    Rates,
    bootstrap,
    estimate,
    point_rates,
)

numpyro.enable_x64()

Slot = tuple[str, str]  # (family, cell)
Positions = dict[str, FloatArray]

LOG_NU = (math.log(5), 2.0)
"""Mean and standard deviation of log nu."""
SD_SCALE = 0.5
"""Scale of the half-normal prior of a cell's deviation."""

CHAINS, WARMUP, SAMPLES, TARGET_ACCEPT = 4, 500, 2000, 0.95
MAX_R_HAT, MIN_ESS, MAX_DIVERGENT = 1.01, 400, 0.001
"""Beyond any of these a fit is refused."""
MAX_DISAGREEMENT = 0.02
"""Largest difference of theta_C theta_G from the direct estimate of p_gm."""
PRIOR_DRAWS = 200_000
"""Prior draws among which a refused fit resamples."""

STEP = 0.1
LOGITS = np.linspace(-15, 15, 301)
"""Grid of logit theta; beyond it a curve goes on straight."""
FINE = np.linspace(-15, 15, 3001)
"""A grid on which sharp curves are summed."""
NODES = np.linspace(-4.5, 4.5, 49)
"""Grid of (log nu - mean) / standard deviation."""


@dataclass(frozen=True)
class CellCounts:
    """The agents of one cell. `cell` is the shift type. gc or hgc that must not enter are NaN."""

    family: str
    cell: str
    counts: AgentCounts

    @property
    def slot(self) -> Slot:
        return self.family, self.cell


@dataclass(frozen=True)
class FactorPosterior:
    """Draws [draws] of one factor's parameters.

    theta: the means of the cells with data; predicted: of the other cells of these families.
    contrast: logit of the second family minus the first, in alphabetical order. log_nu: cells
    whose counts entered (log concentration over agents).
    """

    mu: dict[str, FloatArray]
    theta: dict[Slot, FloatArray]
    predicted: dict[Slot, FloatArray]
    contrast: FloatArray
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
    families: Sequence[str] = (),
) -> HierarchicalFit:
    """Fit the factors of all cells.

    Args:
        priors: type -> factor -> printed mean. Types without a cell keep their prior.
        kappa: equivalent sample size of each printed mean.
        power: exponent of the likelihood; 0 gives the prior.
        harm: whether measured harm updates p_harm.
        families: two at most; names one without cells, whose cells are then predicted.

    Raises:
        ValueError: cells repeat, name a type without a prior, or come from three families.
    """
    empty = [cell for cell in cells if not cell.counts.k]
    cells = [cell for cell in cells if cell.counts.k]
    names = _families(cells, priors, families, kappa)
    checks = {cell.slot: check_cell(cell.counts) for cell in cells}
    fallback = {slot: reason for slot, check in checks.items() if (reason := _contradiction(check))}
    boot = {cell.slot: bootstrap(cell.counts, draws, seed) for cell in cells}
    factors = FACTORS[: 2 + harm]
    tasks = [
        _task(factor, cells, {slot: boot[slot] for slot in fallback}, priors, kappa, power, names)
        for factor in factors
    ]
    posteriors = [_posterior(task, draws, seed + 1000 * i) for i, task in enumerate(tasks)]
    pairs = zip(factors, posteriors, strict=True)
    refused = "; ".join(f"{factor}: {one.refused}" for factor, one in pairs if one.refused)
    if refused:
        tasks = [_task(factor, cells, boot, priors, kappa, power, names) for factor in factors]
        posteriors = [
            _resampled(task, old, draws, seed + i)
            for i, (task, old) in enumerate(zip(tasks, posteriors, strict=True))
        ]
        refused += ": bootstrap draws instead"
    bootstrapped = boot if refused else {slot: boot[slot] for slot in fallback}
    rates = {
        cell.slot: _cell_rates(cell, posteriors, bootstrapped.get(cell.slot)) for cell in cells
    }
    return HierarchicalFit(
        posteriors[0],
        posteriors[1],
        posteriors[2] if harm else None,
        rates,
        _type_rates(posteriors, priors, kappa, draws, seed),
        checks,
        refused,
        [f"{' '.join(cell.slot)}: no agent, predicted from others" for cell in empty]
        + [flag for cell in cells for flag in _flags(cell, rates[cell.slot], boot[cell.slot])],
        fallback,
        {cell.slot: cell.counts for cell in cells},
    )


def _families(
    cells: Sequence[CellCounts],
    priors: Mapping[str, Mapping[str, float]],
    named: Sequence[str],
    kappa: float,
) -> tuple[str, ...]:
    slots = [cell.slot for cell in cells]
    families = sorted({family for family, _ in slots} | set(named))
    unknown = sorted({cell for _, cell in slots} - set(priors))
    if len(set(slots)) < len(slots):
        raise ValueError(f"each cell is given once; got {slots}; merge the agents of a cell")
    if unknown:
        raise ValueError(f"every cell's type needs a prior; got {unknown}, priors of {[*priors]}")
    if kappa <= 0:
        raise ValueError(f"kappa is above 0; got {kappa:g}; the default is 10")
    if len(families) > 2:
        raise ValueError(f"the contrast is between two families; got {families}; fit two at a time")
    return tuple(families)


# ------------------------------------------------------------------------- cells as curves, checks


def _trials(counts: AgentCounts, factor: str) -> tuple[FloatArray, FloatArray]:
    """Successes and trials of a factor over agents that have any; empty where it is undefined."""
    columns = [counts.n, counts.c, counts.gc, counts.hgc]
    i = FACTORS.index(factor)
    used = ~np.isnan(columns[i + 1]) & (columns[i] > 0)
    return columns[i + 1][used], columns[i][used]


def log_joint(successes: FloatArray, trials: FloatArray, power: float = 1.0) -> FloatArray:
    """power x log BB(successes) + log prior of log nu, at `LOGITS` x `NODES`, up to a constant."""
    nu = np.exp(LOG_NU[0] + LOG_NU[1] * NODES)
    alpha, beta = (expit(sign * LOGITS)[:, None] * nu for sign in (1, -1))
    total = -len(trials) * (gammaln(alpha) + gammaln(beta) - gammaln(nu))
    for y, n in zip(successes, trials, strict=True):
        total = total + gammaln(y + alpha) + gammaln(n - y + beta) - gammaln(n + nu)
    joint: FloatArray = power * total + norm.logpdf(NODES)
    return joint


def marginal(joint: FloatArray) -> FloatArray:
    """The log-likelihood of logit theta at `LOGITS`, log nu summed out."""
    summed: FloatArray = logsumexp(joint, axis=1)
    return summed


def _best_theta(successes: FloatArray, trials: FloatArray) -> float:
    """Maximum likelihood of the mean, log nu summed out."""
    if not len(trials):
        return math.nan
    curve = CubicSpline(LOGITS, marginal(log_joint(successes, trials)))(FINE)
    return float(expit(FINE[np.argmax(curve)]))


def check_cell(counts: AgentCounts) -> CellCheck:
    """Compare one beta-binomial of the failures with the chain of two; NaN where undefined."""
    defined = (counts.c > 0) & ~np.isnan(counts.gc)
    capable, failed = (counts.c / counts.n)[defined], (counts.gc[defined] / counts.c[defined])
    varies = len(capable) > 1 and min(np.ptp(capable), np.ptp(failed)) > 0
    product = math.prod(_best_theta(*_trials(counts, factor)) for factor in FACTORS[:2])
    known = ~np.isnan(counts.gc)
    return CellCheck(
        float(np.corrcoef(capable, failed)[0, 1]) if varies else math.nan,
        _best_theta(counts.gc[known], counts.n[known]),
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


class FactorData(NamedTuple):
    """One factor of all cells, as the compiled sampler takes it.

    alpha, beta [types]: of the Beta priors; logit_mean, logit_variance [types]: of logit mu. curves
    [2, types, intervals, 4]: log-likelihoods of logit theta, see `cubics`; zero without data.
    center, precision [2, types]: normal stand-ins for the curves, precision 0 without data. They
    choose coordinates and never touch the posterior.
    """

    alpha: Any
    beta: Any
    logit_mean: Any
    logit_variance: Any
    curves: Any
    center: Any
    precision: Any


def no_data(alpha: FloatArray, beta: FloatArray) -> FactorData:
    """The priors alone; the arrays for the cells are zero and may be filled."""
    shape = (2, len(alpha))
    curves = np.zeros((*shape, len(LOGITS) - 1, 4))
    mean, variance = digamma(alpha) - digamma(beta), polygamma(1, alpha) + polygamma(1, beta)
    return FactorData(alpha, beta, mean, variance, curves, np.zeros(shape), np.zeros(shape))


def put_cell(data: FactorData, where: tuple[int, int], log_likelihood: FloatArray) -> None:
    """Enter a cell's log-likelihood at `LOGITS`; `where` is (family, type)."""
    curve = CubicSpline(LOGITS, log_likelihood - log_likelihood.max())
    data.curves[where] = cubics(curve)
    mean, variance = (float(a[where[1]]) for a in (data.logit_mean, data.logit_variance))
    variance += 0.25 + SD_SCALE**2
    data.center[where], data.precision[where] = _stand_in(curve, mean, variance)


def cubics(curve: CubicSpline) -> FloatArray:
    """Coefficients of 1, t, t^2, t^3 (0 <= t <= 1) in each interval of `LOGITS`."""
    coefficients: FloatArray = curve.c[::-1].T * STEP ** np.arange(4)
    return coefficients


def _stand_in(curve: CubicSpline, mean: float, variance: float) -> tuple[float, float]:
    """Center and precision of the normal which, times N(mean, variance), has the moments that the
    curve's product with it has: also a curve that only rises gets a finite one."""
    log_product = curve(FINE) + norm.logpdf(FINE, mean, math.sqrt(variance))
    weight = np.exp(log_product - log_product.max())
    middle = np.average(FINE, weights=weight)
    spread = max(float(np.average((FINE - middle) ** 2, weights=weight)), (FINE[1] - FINE[0]) ** 2)
    precision = 1 / spread - 1 / variance
    if precision <= 0:
        return 0.0, 0.0
    return float((middle / spread - mean / variance) / precision), precision


@dataclass(frozen=True)
class _Task:
    """One factor of all cells: its prior, joint tables, normals of cells in fallback, curves."""

    types: tuple[str, ...]
    families: tuple[str, ...]
    data: FactorData
    joints: dict[Slot, FloatArray]
    normals: dict[Slot, tuple[float, float]]

    def where(self, slot: Slot) -> tuple[int, int]:
        return self.families.index(slot[0]), self.types.index(slot[1])


def _task(
    factor: str,
    cells: Sequence[CellCounts],
    bootstrapped: Mapping[Slot, Rates],
    priors: Mapping[str, Mapping[str, float]],
    kappa: float,
    power: float,
    families: tuple[str, ...],
) -> _Task:
    means = np.array([prior[factor] for prior in priors.values()])
    trials = {cell.slot: _trials(cell.counts, factor) for cell in cells}
    known = {slot: found for slot, found in trials.items() if len(found[1]) and power > 0}
    joints = {s: log_joint(*found, power) for s, found in known.items() if s not in bootstrapped}
    normals = {
        slot: _logit_normal(getattr(bootstrapped[slot], factor), power)
        for slot in known
        if slot in bootstrapped
    }
    data = no_data(kappa * means, kappa * (1 - means))
    task = _Task(tuple(priors), families, data, joints, normals)
    for slot, joint in joints.items():
        put_cell(data, task.where(slot), marginal(joint))
    for slot, normal in normals.items():
        put_cell(data, task.where(slot), norm.logpdf(LOGITS, *normal))
    return task


def _logit_normal(draws: FloatArray, power: float) -> tuple[float, float]:
    """Mean and standard deviation of logit draws, the latter widened to the power."""
    logits = logit(np.clip(draws, expit(LOGITS[0]), expit(LOGITS[-1])))
    return float(logits.mean()), float(logits.std() / math.sqrt(power))


# ----------------------------------------------------------------------------------------- sampling


def model(data: FactorData) -> None:
    """One factor, sampled in the coordinates of `parameters`."""
    types = np.shape(data.curves)[1]
    real = dist.constraints.real
    sd = numpyro.sample("sd", dist.HalfNormal(SD_SCALE))
    units = {
        name: numpyro.sample(name, dist.ImproperUniform(real, (), shape))
        for name, shape in _shapes(types).items()
    }
    p, log_jacobian = parameters(sd, units, data)
    # The density of logit mu, where a mu near 1 keeps its digits.
    beta = data.alpha * log_sigmoid(p["logit_mu"]) + data.beta * log_sigmoid(-p["logit_mu"])
    numpyro.factor("mu", jnp.sum(beta))
    numpyro.factor("contrast", dist.Normal(0, 1).log_prob(p["contrast"]))
    numpyro.factor("e", jnp.sum(dist.Normal(0, sd).log_prob(p["e"])))
    numpyro.factor("coordinates", log_jacobian)
    numpyro.factor("counts", jnp.sum(_evaluate(data.curves, logit_theta(p))))


def _shapes(types: int) -> dict[str, tuple[int, ...]]:
    return {"unit_contrast": (), "unit_mu": (types,), "unit_e": (2, types)}


def parameters(sd: Any, units: Mapping[str, Any], data: FactorData) -> tuple[dict[str, Any], Any]:
    """Contrast, then logit mu, then e: each as its conditional mean + standard deviation x unit.

    The conditionals are those of the normal model that has the curves' stand-ins in place of the
    curves, given sd and the parameters before. Where a cell says little this is the usual
    non-centred form, e = sd x unit; where it says much, its theta stays put while sd moves. Either
    form alone has a funnel in the other case. Also returns the log of the Jacobian.
    """
    side = np.array([[-0.5], [0.5]])
    known = data.precision / (1 + data.precision * sd**2)  # of a cell's center, about its type
    total = 1 / data.logit_variance + known.sum(0)
    pull = data.logit_mean / data.logit_variance + (known * data.center).sum(0)
    tilt = (known * side).sum(0)
    contrast_precision = 1 + jnp.sum((known * side**2).sum(0) - tilt**2 / total)
    contrast_pull = jnp.sum((known * side * data.center).sum(0) - tilt * pull / total)
    contrast_sd = contrast_precision**-0.5
    contrast = contrast_pull * contrast_sd**2 + contrast_sd * units["unit_contrast"]
    mu_sd = total**-0.5
    logit_mu = (pull - tilt * contrast) / total + mu_sd * units["unit_mu"]
    base = logit_mu + side * contrast
    e_sd = sd * (1 + data.precision * sd**2) ** -0.5
    e = (data.center - base) * data.precision * e_sd**2 + e_sd * units["unit_e"]
    log_jacobian = jnp.log(contrast_sd) + jnp.log(mu_sd).sum() + jnp.log(e_sd).sum()
    return {"logit_mu": logit_mu, "contrast": contrast, "sd": sd, "e": e}, log_jacobian


def logit_theta(draws: Mapping[str, Any]) -> Any:
    """[..., 2, types]: family by type."""
    shift = draws["contrast"][..., None, None] * np.array([[-0.5], [0.5]])
    return draws["logit_mu"][..., None, :] + shift + draws["e"]


def _evaluate(curves: Any, x: Any) -> Any:
    """The cubics [2, types, intervals, 4] at x [2, types]; straight on beyond the grid."""
    inside = jnp.clip(x, LOGITS[0], LOGITS[-1])
    position = (inside - LOGITS[0]) / STEP
    i = jnp.clip(jnp.floor(position).astype(int), 0, curves.shape[2] - 1)
    t = position - i
    c = jnp.take_along_axis(curves, i[..., None, None], axis=2)[..., 0, :]
    value = c[..., 0] + t * (c[..., 1] + t * (c[..., 2] + t * c[..., 3]))
    slope = (c[..., 1] + t * (2 * c[..., 2] + t * 3 * c[..., 3])) / STEP
    return value + slope * (x - inside)


@partial(jax.jit, static_argnames=("warmup", "samples", "thin"))
def sample(
    keys: Any, data: FactorData, warmup: int, samples: int, thin: int
) -> tuple[dict[str, Any], Any]:
    """Run one NUTS chain per key and data set, all at once.

    Args:
        keys: [chains]; every array of `data` has the same first axis.
        warmup: steps that adapt the sampler; a multiple of `thin`.
        thin: one draw in `thin` is kept.

    Returns:
        Draws [chains, samples, ...] by name and the share of divergent steps [chains].
    """
    return jax.vmap(lambda key, one: _chain(key, one, warmup, samples, thin))(keys, data)


def _chain(
    key: Any, data: FactorData, warmup: int, samples: int, thin: int
) -> tuple[dict[str, Any], Any]:
    """`hmc` keeps its state outside of `MCMC`, so many data sets can share one compilation."""
    init, step = hmc(potential_fn_gen=lambda one: partial(potential_energy, model, (one,), {}))
    start_key, chain_key = jax.random.split(key)
    state = init(
        _start(start_key, np.shape(data.curves)[1]),
        warmup,
        model_args=(data,),
        rng_key=chain_key,
        target_accept_prob=TARGET_ACCEPT,
    )

    def one(_: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        state = step(carry[0], (data,), {})
        return state, carry[1] + state.diverging

    def kept(state: Any, _: Any) -> tuple[Any, tuple[Any, Any]]:
        state, divergent = jax.lax.fori_loop(0, thin, one, (state, 0))
        drawn, _ = parameters(jnp.exp(state.z["sd"]), state.z, data)
        return state, (drawn, divergent)

    # Warm-up in the same loop: another one would be compiled again.
    _, (draws, divergent) = jax.lax.scan(kept, state, length=warmup // thin + samples)
    draws, divergent = jax.tree.map(lambda x: x[warmup // thin :], (draws, divergent))
    return draws, divergent.mean() / thin


def _start(key: Any, types: int) -> dict[str, Any]:
    """Uniform on -1..1 in every coordinate; `sd` as its logarithm."""
    shapes = {"sd": ()} | _shapes(types)
    keys = jax.random.split(key, len(shapes))
    return {
        name: jax.random.uniform(k, shape, minval=-1.0, maxval=1.0)
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def sample_many(
    data: Sequence[FactorData], seed: int, warmup: int, samples: int, thin: int = 1
) -> tuple[Positions, FloatArray]:
    """`sample` with one chain for each of `data`, as numpy arrays."""
    keys = jax.random.split(jax.random.key(seed), len(data))
    stacked = FactorData(*(np.stack(arrays) for arrays in zip(*data, strict=True)))
    draws, divergent = sample(keys, stacked, warmup=warmup, samples=samples, thin=thin)
    return {name: np.asarray(value) for name, value in draws.items()}, np.asarray(divergent)


def draw_log_nu(joint: FloatArray, logits: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draws of log nu given draws of logit theta [draws], from the table of their joint density."""
    position = (np.clip(logits, LOGITS[0], LOGITS[-1]) - LOGITS[0]) / STEP
    i = np.minimum(position.astype(int), len(LOGITS) - 2)
    t = (position - i)[:, None]
    log_density = (1 - t) * joint[i] + t * joint[i + 1]
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    steps = (density[:, 1:] + density[:, :-1]) / 2
    cdf = np.cumsum(steps, axis=1)
    target = rng.random(len(logits)) * cdf[:, -1]
    left = (cdf < target[:, None]).sum(axis=1)
    rows = np.arange(len(logits))
    within = 1 - (cdf[rows, left] - target) / steps[rows, left]
    u = NODES[left] + within * (NODES[1] - NODES[0])
    drawn: FloatArray = LOG_NU[0] + LOG_NU[1] * u
    return drawn


# ---------------------------------------------------------------------------------------- posterior


def _posterior(task: _Task, draws: int, seed: int) -> FactorPosterior:
    """NUTS, its diagnostics, and `draws` of its draws in random order."""
    samples = max(SAMPLES, math.ceil(draws / CHAINS))
    chains, divergent = sample_many([task.data] * CHAINS, seed, WARMUP, samples)
    r_hat, ess = _diagnostics(chains)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(CHAINS * samples)[:draws]
    flat = {name: x.reshape(-1, *x.shape[2:])[chosen] for name, x in chains.items()}
    return _factor_posterior(task, flat, rng, (r_hat, ess, float(divergent.mean())))


def _diagnostics(chains: Positions) -> tuple[float, float]:
    """Worst R-hat and effective sample size, of rank-normalised draws (Vehtari et al. 2021)."""
    columns = [x.reshape(*x.shape[:2], -1) for x in (*chains.values(), logit_theta(chains))]
    values = np.concatenate(columns, axis=2)
    ranks = rankdata(values.reshape(-1, values.shape[2]), axis=0).reshape(values.shape)
    normal = ndtri((ranks - 0.375) / (values.shape[0] * values.shape[1] + 0.25))
    return float(np.max(split_gelman_rubin(normal))), float(np.min(effective_sample_size(normal)))


def _factor_posterior(
    task: _Task, draws: Positions, rng: np.random.Generator, diagnostics: tuple[float, float, float]
) -> FactorPosterior:
    logits = logit_theta(draws)
    slots = {(family, name): None for family in task.families for name in task.types}
    theta = {slot: expit(logits[:, *task.where(slot)]) for slot in slots}
    known = {*task.joints, *task.normals}
    return FactorPosterior(
        {name: expit(draws["logit_mu"][:, i]) for i, name in enumerate(task.types)},
        {slot: value for slot, value in theta.items() if slot in known},
        {slot: value for slot, value in theta.items() if slot not in known},
        draws["contrast"],
        draws["sd"],
        {
            slot: draw_log_nu(joint, logits[:, *task.where(slot)], rng)
            for slot, joint in task.joints.items()
        },
        *diagnostics,
    )


def _resampled(task: _Task, refused: FactorPosterior, draws: int, seed: int) -> FactorPosterior:
    """Sampling-importance-resampling of prior draws by the cells' logit-normal likelihoods.

    A cell's deviation is integrated out of its weight and then drawn given the data.
    """
    rng = np.random.default_rng(seed)
    prior = draw_prior(task.data, PRIOR_DRAWS, rng)
    log_weight = np.zeros(PRIOR_DRAWS)
    centers = logit_theta(prior | {"e": np.zeros_like(prior["e"])})
    for slot, (mean, sd) in task.normals.items():
        spread = np.hypot(sd, prior["sd"])
        log_weight += norm.logpdf(mean, centers[:, *task.where(slot)], spread)
    weight = np.exp(log_weight - log_weight.max())
    chosen = rng.choice(PRIOR_DRAWS, draws, p=weight / weight.sum())
    kept = {name: value[chosen] for name, value in prior.items()}
    for slot, (mean, sd) in task.normals.items():
        where = (slice(None), *task.where(slot))
        shrink = 1 / (1 + (kept["sd"] / sd) ** 2)
        middle = (mean - centers[chosen][where]) * (1 - shrink)
        kept["e"][where] = middle + kept["e"][where] * np.sqrt(shrink)
    diagnostics = refused.r_hat_max, refused.ess_min, refused.divergent_share
    return _factor_posterior(task, kept, rng, diagnostics)


def draw_prior(data: FactorData, draws: int, rng: np.random.Generator) -> Positions:
    """Draws of one factor's parameters from their prior, by the names of the sampler."""
    shape = (draws, *np.shape(data.curves)[:2])
    # Of two gammas the ratio keeps the digits that a beta draw near 1 would round away.
    first, second = (rng.standard_gamma(a, (draws, shape[2])) for a in (data.alpha, data.beta))
    tiny = np.finfo(float).tiny
    sd = np.abs(rng.normal(0, SD_SCALE, draws))
    return {
        "logit_mu": np.log(np.maximum(first, tiny)) - np.log(np.maximum(second, tiny)),
        "contrast": rng.standard_normal(draws),
        "sd": sd,
        "e": rng.standard_normal(shape) * sd[:, None, None],
    }


# --------------------------------------------------------------------------------------- the result


def _cell_rates(
    cell: CellCounts, posteriors: Sequence[FactorPosterior], bootstrapped: Rates | None
) -> Rates:
    """Draws of a cell's rates; a factor that is undefined or not asked for is NaN."""
    nothing = np.full_like(posteriors[0].contrast, np.nan)
    if bootstrapped is not None:
        harm = len(posteriors) == len(FACTORS)
        left_out = {} if harm else {"p_harm": nothing, "p_harmful_gm": nothing}
        return bootstrapped._replace(**left_out)
    chain = (cell.counts.c, cell.counts.gc, cell.counts.hgc)
    undefined = [bool(np.isnan(column).any()) for column in chain]
    theta = [
        nothing if bad else posterior.theta.get(cell.slot, posterior.predicted.get(cell.slot))
        for posterior, bad in zip(posteriors, undefined, strict=False)
    ]
    return _chained(*theta, *[nothing] * (len(FACTORS) - len(theta)))


def _chained(capable: Any, goal_fail: Any, harm: Any) -> Rates:
    gm = capable * goal_fail
    return Rates(capable, goal_fail, harm, gm, gm * harm)


def _type_rates(
    posteriors: Sequence[FactorPosterior],
    priors: Mapping[str, Mapping[str, float]],
    kappa: float,
    draws: int,
    seed: int,
) -> dict[str, Rates]:
    rng = np.random.default_rng(seed)

    def harm(name: str) -> FloatArray:
        if len(posteriors) == len(FACTORS):
            return posteriors[2].mu[name]
        mean = priors[name].get("p_harm", math.nan)
        return (
            rng.beta(kappa * mean, kappa * (1 - mean), draws)
            if mean == mean
            else np.full(draws, mean)
        )

    return {
        name: _chained(posteriors[0].mu[name], posteriors[1].mu[name], harm(name))
        for name in priors
    }


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
