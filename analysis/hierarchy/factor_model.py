"""One factor of the hierarchical model: its likelihood as curves, its coordinates, its sampler.

Each log nu meets the data of its own cell only. It is summed out beforehand, on a grid, so that a
cell enters the sampler as one curve over logit theta: the same posterior in half the dimensions,
without the ridge between theta and nu, and one compiled sampler for every data set, kappa and
power.

The only file that knows jax and NumPyro; importing it switches jax to 64 bit, and lets it keep
compiled samplers on disk.
"""

import hashlib
import math
import os
import platform
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.nn import log_sigmoid
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer.hmc import hmc
from numpyro.infer.util import log_density, potential_energy
from scipy.interpolate import CubicSpline
from scipy.special import digamma, expit, gammaln, logsumexp, ndtri, polygamma
from scipy.stats import norm, rankdata

from misgen.analysis.rates import FloatArray

numpyro.enable_x64()

CACHE = "jax_compilation_cache_dir"
PROCESSOR = ("model", "flags", "CPU", "Features")
"""What lines of /proc/cpuinfo begin with that say what machine code a processor runs."""


def keep_compiled() -> None:
    """Let jax keep what it compiles in the user's cache folder, unless it was told of another.

    Compiling the sampler takes a process longer than most fits. The folder is named by the
    processor: machine code of another one may not run on this one.
    """
    if getattr(jax.config, CACHE) is not None:
        return
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
        processor = [line for line in text.splitlines() if line.startswith(PROCESSOR)]
    except OSError:
        processor = [platform.processor()]
    name = hashlib.sha256("\n".join([platform.machine(), *processor]).encode()).hexdigest()[:16]
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(root) / "misgen" / f"samplers-{name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a cache that cannot be written is only slower
    if os.access(folder, os.W_OK):
        jax.config.update(CACHE, str(folder))


keep_compiled()

Positions = dict[str, FloatArray]
"""Draws of the parameters by name: logit_mu [..., types], contrast [..., families - 1], sd,
e [..., rows, types]."""

LOG_NU = (math.log(5), 2.0)
"""Mean and standard deviation of log nu."""
SD_SCALE = 0.5
"""Scale of the half-normal prior of a cell's deviation."""
TARGET_ACCEPT = 0.95

STEP = 0.1
LOGITS = np.linspace(-15, 15, 301)
"""Grid of logit theta; beyond it a curve goes on straight."""
FINE = np.linspace(-15, 15, 3001)
"""A grid on which sharp curves are summed."""
NODES = np.linspace(-4.5, 4.5, 49)
"""Grid of (log nu - mean) / standard deviation."""


# ---------------------------------------------------------------------------------- cells as curves


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


def best_theta(successes: FloatArray, trials: FloatArray) -> float:
    """Maximum likelihood of the mean, log nu summed out."""
    if not len(trials):
        return math.nan
    curve = CubicSpline(LOGITS, marginal(log_joint(successes, trials)))(FINE)
    return float(expit(FINE[np.argmax(curve)]))


class FactorData(NamedTuple):
    """One factor of all cells, as the compiled sampler takes it. A row is a family, or its second,
    third, ... cell of some type.

    side [rows, families - 1]: row of `contrast_matrix` of each row's family.
    alpha, beta [types]: of the Beta priors; logit_mean, logit_variance [types]: of logit mu. curves
    [rows, types, intervals, 4]: log-likelihoods of logit theta, see `cubics`; zero without data.
    center, precision [rows, types]: normal stand-ins for the curves, precision 0 without data. They
    choose coordinates and never touch the posterior.
    """

    side: Any
    alpha: Any
    beta: Any
    logit_mean: Any
    logit_variance: Any
    curves: Any
    center: Any
    precision: Any


def contrast_matrix(families: int) -> FloatArray:
    """[families, families - 1]: what each standard normal contrast adds to each family's logit.

    Helmert's columns, scaled: the effects sum to 0 and any two differ by N(0, 1). Column k sets
    family k + 1 against those before it; of two families it is (-.5, .5).
    """
    matrix = np.zeros((families, families - 1))
    for k in range(families - 1):
        matrix[: k + 1, k], matrix[k + 1, k] = -1, k + 1
    scaled: FloatArray = matrix / np.sqrt(2 * (matrix**2).sum(0))
    return scaled


def no_data(alpha: FloatArray, beta: FloatArray, row_family: Sequence[int] = (0, 1)) -> FactorData:
    """The priors alone; the arrays for the cells are zero and may be filled."""
    side = contrast_matrix(max(row_family) + 1)[list(row_family)]
    shape = (len(row_family), len(alpha))
    curves = np.zeros((*shape, len(LOGITS) - 1, 4))
    mean, variance = digamma(alpha) - digamma(beta), polygamma(1, alpha) + polygamma(1, beta)
    cells = curves, np.zeros(shape), np.zeros(shape)
    return FactorData(side, alpha, beta, mean, variance, *cells)


def put_cell(data: FactorData, where: tuple[int, int], log_likelihood: FloatArray) -> None:
    """Enter a cell's log-likelihood at `LOGITS`; `where` is (row, type)."""
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


# -------------------------------------------------------------------- the model and its coordinates


def model(data: FactorData) -> None:
    """One factor, sampled in the coordinates of `parameters`."""
    real = dist.constraints.real
    sd = numpyro.sample("sd", dist.HalfNormal(SD_SCALE))
    units = {
        name: numpyro.sample(name, dist.ImproperUniform(real, (), shape))
        for name, shape in _shapes(data).items()
    }
    p, log_jacobian = parameters(sd, units, data)
    # The density of logit mu, where a mu near 1 keeps its digits.
    beta = data.alpha * log_sigmoid(p["logit_mu"]) + data.beta * log_sigmoid(-p["logit_mu"])
    numpyro.factor("mu", jnp.sum(beta))
    numpyro.factor("contrast", jnp.sum(dist.Normal(0, 1).log_prob(p["contrast"])))
    numpyro.factor("e", jnp.sum(dist.Normal(0, sd).log_prob(p["e"])))
    numpyro.factor("coordinates", log_jacobian)
    numpyro.factor("counts", jnp.sum(_evaluate(data.curves, logit_theta(p, data.side))))


def _shapes(data: FactorData) -> dict[str, tuple[int, ...]]:
    cells = np.shape(data.center)
    return {"unit_contrast": np.shape(data.side)[1:], "unit_mu": cells[1:], "unit_e": cells}


def parameters(sd: Any, units: Mapping[str, Any], data: FactorData) -> tuple[dict[str, Any], Any]:
    """Contrasts, then logit mu, then e: each as its conditional mean + standard deviation x unit.

    The conditionals are those of the normal model that has the curves' stand-ins in place of the
    curves, given sd and the parameters before, each contrast as if it were the only one. Where a
    cell says little this is the usual non-centred form, e = sd x unit; where it says much, its
    theta stays put while sd moves. Either form alone has a funnel in the other case. Also returns
    the log of the Jacobian.
    """
    known = data.precision / (1 + data.precision * sd**2)  # of a cell's center, about its type
    total = 1 / data.logit_variance + known.sum(0)
    pull = data.logit_mean / data.logit_variance + (known * data.center).sum(0)
    side = data.side.T[..., None]  # [contrasts, rows, 1]
    tilt = (known * side).sum(1)
    contrast_precision = 1 + jnp.sum((known * side**2).sum(1) - tilt**2 / total, 1)
    contrast_pull = jnp.sum((known * side * data.center).sum(1) - tilt * pull / total, 1)
    contrast_sd = contrast_precision**-0.5
    contrast = contrast_pull * contrast_sd**2 + contrast_sd * units["unit_contrast"]
    mu_sd = total**-0.5
    logit_mu = (pull - contrast @ tilt) / total + mu_sd * units["unit_mu"]
    base = logit_mu + (data.side @ contrast)[:, None]
    e_sd = sd * (1 + data.precision * sd**2) ** -0.5
    e = (data.center - base) * data.precision * e_sd**2 + e_sd * units["unit_e"]
    log_jacobian = jnp.log(contrast_sd).sum() + jnp.log(mu_sd).sum() + jnp.log(e_sd).sum()
    return {"logit_mu": logit_mu, "contrast": contrast, "sd": sd, "e": e}, log_jacobian


def logit_theta(draws: Mapping[str, Any], side: Any) -> Any:
    """[..., rows, types]. side: of `FactorData`."""
    effect = draws["contrast"] @ side.T
    return draws["logit_mu"][..., None, :] + effect[..., None] + draws["e"]


def _evaluate(curves: Any, x: Any) -> Any:
    """The cubics [rows, types, intervals, 4] at x [rows, types]; straight on beyond the grid."""
    inside = jnp.clip(x, LOGITS[0], LOGITS[-1])
    position = (inside - LOGITS[0]) / STEP
    i = jnp.clip(jnp.floor(position).astype(int), 0, curves.shape[2] - 1)
    t = position - i
    c = jnp.take_along_axis(curves, i[..., None, None], axis=2)[..., 0, :]
    value = c[..., 0] + t * (c[..., 1] + t * (c[..., 2] + t * c[..., 3]))
    slope = (c[..., 1] + t * (2 * c[..., 2] + t * 3 * c[..., 3])) / STEP
    return value + slope * (x - inside)


# ----------------------------------------------------------------------------------------- sampling


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
        _start(start_key, data),
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


def _start(key: Any, data: FactorData) -> dict[str, Any]:
    """Uniform on -1..1 in every coordinate; `sd` as its logarithm."""
    shapes = {"sd": ()} | _shapes(data)
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


def diagnostics(chains: Positions, side: FloatArray) -> tuple[float, float]:
    """Worst R-hat and effective sample size, of rank-normalised draws (Vehtari et al. 2021)."""
    columns = [x.reshape(*x.shape[:2], -1) for x in (*chains.values(), logit_theta(chains, side))]
    values = np.concatenate(columns, axis=2)
    ranks = rankdata(values.reshape(-1, values.shape[2]), axis=0).reshape(values.shape)
    normal = ndtri((ranks - 0.375) / (values.shape[0] * values.shape[1] + 0.25))
    return float(np.max(split_gelman_rubin(normal))), float(np.min(effective_sample_size(normal)))


def importance_sample(data: FactorData, draws: int, seed: int) -> tuple[Positions, FloatArray]:
    """Draws without a chain, and their weights [draws] (mean 1) towards the posterior.

    sd comes from its prior, the rest given sd from the normal model of `parameters`.
    """
    drawn, log_weight = _importance(jax.random.key(seed), data, draws)
    weight = np.exp(np.asarray(log_weight) - float(log_weight.max()))
    return {name: np.asarray(x) for name, x in drawn.items()}, weight / weight.mean()


@partial(jax.jit, static_argnames="draws")
def _importance(key: Any, data: FactorData, draws: int) -> tuple[dict[str, Any], Any]:
    shapes = {"sd": ()} | _shapes(data)
    keys = jax.random.split(key, len(shapes))
    units = {
        name: jax.random.normal(k, (draws, *shape))
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    units["sd"] = SD_SCALE * jnp.abs(units["sd"])

    def one(z: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        proposal = {name: dist.Normal(0, 1) for name in z} | {"sd": dist.HalfNormal(SD_SCALE)}
        log_proposal = sum(jnp.sum(proposal[name].log_prob(x)) for name, x in z.items())
        log_posterior, _ = log_density(model, (data,), {}, z)
        drawn, _ = parameters(z["sd"], z, data)
        return drawn, log_posterior - log_proposal

    found: tuple[dict[str, Any], Any] = jax.vmap(one)(units)
    return found


def draw_prior(data: FactorData, draws: int, rng: np.random.Generator) -> Positions:
    """Draws of one factor's parameters from their prior, by the names of the sampler."""
    shape = (draws, *np.shape(data.curves)[:2])
    # Of two gammas the ratio keeps the digits that a beta draw near 1 would round away.
    first, second = (rng.standard_gamma(a, (draws, shape[2])) for a in (data.alpha, data.beta))
    tiny = np.finfo(float).tiny
    sd = np.abs(rng.normal(0, SD_SCALE, draws))
    return {
        "logit_mu": np.log(np.maximum(first, tiny)) - np.log(np.maximum(second, tiny)),
        "contrast": rng.standard_normal((draws, np.shape(data.side)[1])),
        "sd": sd,
        "e": rng.standard_normal(shape) * sd[:, None, None],
    }
