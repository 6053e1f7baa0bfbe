"""The ratio of one arm to its reference arm, in one cell and pooled over cells."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from misgen.analysis.modifiers import contrasts
from misgen.analysis.modifiers.cells import Cell
from misgen.analysis.modifiers.comparisons import LEVELS, Comparison
from misgen.analysis.modifiers.contrasts import LINKS, PRIOR_SD, Density
from misgen.analysis.priors.types import FACTORS
from misgen.analysis.rates import (
    MIN_AGENTS,
    Estimate,
    bootstrap_arms,
    count_range,
    estimate,
    point_rates,
)

_NONE = Estimate(math.nan)


@dataclass(frozen=True)
class RiskRatio:
    """p_gm of an arm relative to its reference arm, in one cell or pooled over cells.

    ratio: posterior median and central 90 % on `link`; with fewer than 3 agents in an arm the raw
    ratio and the reason. raw: from the mean rates; pooled: geometric mean; NaN where undefined.
    bootstrap: the paired one, with the raw ratio of rates. factors: likewise for p_capable,
    p_goal_fail, p_harm: their raw ratios multiply to that of p_harmful_gm. Pooled: posterior
    medians and intervals of beta-binomials of each factor given the one before, as ratio has them
    (the bootstrap's pseudo-agent would pull ratios of low rates to 1). log_mean, log_sd: of
    the posterior of the logarithm; NaN without an interval. spread: standard deviation of the
    logarithm between cells, new_cell: the ratio in a further one; pooled only.
    scope: "cell", "pooled" (over identified cells that inform their type) or "pooled, all cells".
    at_reference: the arm compared against is the reference arm itself (for capability: its
    checkpoints).
    """

    modifier: str
    level: str
    arm: str
    reference: str
    scope: str
    cells: tuple[tuple[str, str], ...]
    link: str
    ratio: Estimate
    raw: float
    bootstrap: Estimate
    factors: Mapping[str, Estimate]
    log_mean: float
    log_sd: float
    k_agents: int
    k_reference: int
    levels: str
    spread: Estimate = _NONE
    new_cell: Estimate = _NONE
    tags: str = ""
    note: str = ""
    at_reference: bool = True
    likelihoods: Mapping[str, Density] = field(default_factory=dict, repr=False, compare=False)
    """Of the logarithm, before the weak prior: "ratio" and each factor."""

    @property
    def data_log_sd(self) -> float:
        """Standard deviation of the logarithm without the weak prior, so that the update of
        another prior does not count it; inf where the data say nothing."""
        precision = self.log_sd**-2 - PRIOR_SD**-2
        if math.isnan(precision):
            return math.nan
        return precision**-0.5 if precision > 0 else math.inf

    @property
    def data_log_mean(self) -> float:
        """Likewise the mean; NaN where the data say nothing."""
        sd = self.data_log_sd
        return math.nan if math.isinf(sd) else self.log_mean * (sd / self.log_sd) ** 2


def ratio_of(cell: Cell, one: Comparison, link: str, draws: tuple[int, int]) -> RiskRatio:
    k = min(one.agents.k, one.reference_agents.k)
    raw = _raw(one, link)
    rates = _bootstrap(one, cell.harm_by_construction, draws)
    ratio = RiskRatio(
        *one[:4], "cell", (cell.where,), link, Estimate(raw, reason=rates["p_gm"].reason), raw,
        rates["p_gm"], {name: rates[name] for name in FACTORS}, math.nan, math.nan,
        one.agents.k, one.reference_agents.k,
        count_range([*one.agents.n, *one.reference_agents.n]),
        tags=one.tags, note=one.note, at_reference=one.at_reference,
    )  # fmt: skip
    if k < MIN_AGENTS:
        return ratio
    likelihoods = _likelihoods(one, link, cell.harm_by_construction)
    posterior = contrasts.posterior(likelihoods["ratio"])
    found = contrasts.exp(posterior.estimate())
    return replace(
        ratio,
        ratio=found,
        log_mean=posterior.mean,
        log_sd=posterior.sd,
        note=join_notes(one.note, _too_narrow(found, rates["p_gm"], link)),
        likelihoods=likelihoods,
    )


def join_notes(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _raw(one: Comparison, link: str) -> float:
    """The ratio of the mean rates on a link: of rates, of hazards, or of odds."""
    rates = np.array([point_rates(a).p_gm for a in (one.agents, one.reference_agents)])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.exp(np.subtract(*LINKS[link].forward(rates))))
    return ratio if math.isfinite(ratio) else math.nan


def _bootstrap(
    one: Comparison, harm_by_construction: bool, draws: tuple[int, int]
) -> dict[str, Estimate]:
    """Raw ratios of the factors and of p_gm with paired intervals; they multiply in every draw."""
    arms = bootstrap_arms([one.agents, one.reference_agents], *draws)
    rates = [point_rates(agents) for agents in (one.agents, one.reference_agents)]
    found = {}
    for name in (*FACTORS, "p_gm"):
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(np.true_divide(*(getattr(rate, name) for rate in rates)))
            drawn = np.true_divide(*(getattr(arm, name) for arm in arms))
        k = min(one.agents.k, one.reference_agents.k)
        found[name] = estimate(value if math.isfinite(value) else math.nan, drawn, k)
    if harm_by_construction:
        found["p_harm"] = Estimate(math.nan, reason="harm is by construction of the cell")
    return found


def _likelihoods(one: Comparison, link: str, harm_by_construction: bool) -> dict[str, Density]:
    """Of the log ratio of p_gm on the link, and of rates of each factor given the one before.

    A factor that an arm never came to, or that is by construction, is left out.
    """
    pair = (one.agents, one.reference_agents)
    steps = dict(zip(FACTORS, (("c", "n"), ("gc", "c"), ("hgc", "gc")), strict=True))
    if harm_by_construction:
        del steps["p_harm"]
    found = {}
    for name, (part, whole) in {"ratio": ("gc", "n"), **steps}.items():
        arms = [contrasts.Arm(getattr(a, part), getattr(a, whole)) for a in pair]
        if all(arm.levels.sum() > 0 and not np.isnan(arm.failures).any() for arm in arms):
            scale = link if name == "ratio" else "log"
            found[name] = contrasts.likelihood(arms, (1, -1), scale)
    return found


def _too_narrow(ratio: Estimate, bootstrap: Estimate, link: str) -> str:
    """A flag: rare failing agents are what a beta-binomial overlooks with few agents."""
    if link != "log" or math.isnan(bootstrap.low) or bootstrap.low <= 0:
        return ""
    if math.log(ratio.high / ratio.low) >= math.log(bootstrap.high / bootstrap.low) / 2:
        return ""
    return (
        "interval less than half as wide as the bootstrap's: agents of two kinds are not excluded"
    )


def pooled_ratios(
    single: Sequence[RiskRatio], pooled: Collection[tuple[str, str]]
) -> Iterator[RiskRatio]:
    """Over the cells that may be pooled, (family, code), and over all where these are fewer."""
    groups: dict[tuple[str, ...], list[RiskRatio]] = defaultdict(list)
    for one in single:
        groups[one.modifier, one.level, one.arm, one.reference].append(one)
    order = list(LEVELS)
    for key in sorted(groups, key=lambda key: (order.index(key[0]), key[1:])):
        good = [one for one in groups[key] if one.cells[0] in pooled]
        if good:
            yield _pool(good, "pooled")
        if len(good) < len(groups[key]):
            yield _pool(groups[key], "pooled, all cells")


def _pool(ratios: Sequence[RiskRatio], scope: str) -> RiskRatio:
    """One ratio over the cells that have an interval; the raw one where none has."""
    usable = [one for one in ratios if "ratio" in one.likelihoods]
    pooled = replace(
        ratios[0],
        scope=scope,
        cells=tuple(one.cells[0] for one in usable or ratios),
        raw=_geometric_mean([one.raw for one in usable or ratios]),
        bootstrap=Estimate(math.nan, reason="per cell only"),
        k_agents=sum(one.k_agents for one in usable or ratios),
        k_reference=sum(one.k_reference for one in usable or ratios),
        levels=count_range(int(n) for one in usable or ratios for n in one.levels.split("-")),
        likelihoods={},
        note=_shared_note(ratios),
    )
    factors = {
        name: _pool_factor(name, ratios, [one for one in usable if name in one.likelihoods])
        for name in FACTORS
    }
    if not usable:
        fewest = min(min(one.k_agents, one.k_reference) for one in ratios)
        reason = estimate(math.nan, np.empty(0), fewest).reason + " in a cell"
        zeros = sum(not one.raw > 0 for one in ratios)
        left_out = f"{zeros} cells with a raw ratio of 0 or none are left out" if zeros else ""
        note = join_notes(pooled.note, left_out)
        return replace(
            pooled, ratio=Estimate(pooled.raw, reason=reason), factors=factors, note=note
        )
    over = contrasts.pool([one.likelihoods["ratio"] for one in usable])
    return replace(
        pooled,
        ratio=contrasts.exp(over.mean.estimate()),
        log_mean=over.mean.mean,
        log_sd=over.mean.sd,
        spread=over.spread.estimate(),
        new_cell=contrasts.exp(over.new_cell.estimate()),
        factors=factors,
        note=join_notes(pooled.note, "one cell alone" * (len(usable) == 1)),
    )


def _shared_note(ratios: Sequence[RiskRatio]) -> str:
    """What the notes of all cells say."""
    first, *others = (one.note.split("; ") for one in ratios)
    return join_notes(*(part for part in first if all(part in other for other in others)))


def _pool_factor(name: str, ratios: Sequence[RiskRatio], usable: Sequence[RiskRatio]) -> Estimate:
    if usable:
        over = contrasts.pool([one.likelihoods[name] for one in usable])
        return contrasts.exp(over.mean.estimate())
    value = _geometric_mean([one.factors[name].value for one in ratios])
    return Estimate(value, reason=ratios[0].factors[name].reason)


def _geometric_mean(ratios: Iterable[float]) -> float:
    """Of the positive ones; NaN without any."""
    positive = [ratio for ratio in ratios if ratio > 0]
    return float(np.exp(np.mean(np.log(positive)))) if positive else math.nan
