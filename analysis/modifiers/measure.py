"""What raises or lowers the risk, measured: modifiers of P(goal misgeneralization) over agents.

    diversity   d (share of training levels with the broken draw) against the reference d
    spec        q (weight of the intended reward) against q = 1 at the same d: `spec_gaming`
    capability  checkpoints by competence against those of competence .8-1.05, at the same d
    method      other ways to train against the reference method at the same d

Every ratio compares two arms of one cell that differ in one of these alone, by p_gm over *all*
trained agents. Levels have the names of the source's modifiers. What the records do not vary is
in `not_identified` with its reason, and keeps its prior. Statistics: `contrasts` and
`dose_response`; who the agents are: `arms`.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from analysis.modifiers import contrasts
from analysis.modifiers.arms import PLAYER, Cell, Setup, counts_of, read_cells
from analysis.modifiers.contrasts import LINKS, PRIOR_SD, Density
from analysis.modifiers.dose_response import CapabilitySlope, DoseResponse, dose_response, log_slope
from analysis.modifiers.multiplicativity import Multiplicativity, multiplicativity
from analysis.rates import (
    MIN_AGENTS,
    AgentCounts,
    Estimate,
    bootstrap_arms,
    estimate,
    point_rates,
)
from analysis.records import Records, tags_of
from analysis.table import aligned

NARROW_BELOW, DIVERSE_ABOVE = 0.1, 0.3
SPEC_BANDS = MappingProxyType({"high": (0.8, 1.0), "medium": (0.4, 0.7), "low": (0.0, 0.3)})
HUMAN_BAND = (0.8, 1.05)
METHOD_LEVELS = MappingProxyType({"cloning": "behavioral_cloning"})

LEVELS = MappingProxyType(
    {
        "diversity": ("narrow", "diverse"),
        "spec": tuple(SPEC_BANDS),
        "capability": ("below_human", "superhuman"),
        "method": ("behavioral_cloning", "interpretability_verified"),
    }
)
"""The source's levels other than the reference."""

FACTORS = ("p_capable", "p_goal_fail", "p_harm")


class Reference(NamedTuple):
    """The arm at which every modifier is 1; the source's neutral diversity is .1-.3."""

    d: float = 0.1
    q: float = 1.0
    method: str = "ppo"


REFERENCE = Reference()


def _setup(reference: Reference) -> Setup:
    return Setup(reference.method, reference.d, reference.q)


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
    scope: "cell", "pooled" (over identified cells) or "pooled, all cells".
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


@dataclass(frozen=True)
class ModifierReport:
    """Everything that the records say about modifiers.

    identified: (family, cell) -> whether its rates may be quoted. not_identified: a modifier, or
    modifier/level, -> the reason.
    """

    variant: str
    link: str
    reference: Reference
    identified: Mapping[tuple[str, str], bool]
    ratios: Sequence[RiskRatio]
    slopes: Sequence[CapabilitySlope]
    dose_responses: Sequence[DoseResponse]
    multiplicativity: Sequence[Multiplicativity]
    not_identified: Mapping[str, str]

    def level(self, modifier: str, level: str) -> RiskRatio | None:
        """The pooled ratio that stands for a level: of its arms the one in the most cells, then
        with the most agents. None where no arm has an interval in an identified cell."""
        wanted = (modifier, level, "pooled")
        found = [
            r
            for r in self.ratios
            if (r.modifier, r.level, r.scope) == wanted and not math.isnan(r.log_sd)
        ]
        return max(found, key=lambda r: (len(r.cells), r.k_agents), default=None)


def measure_modifiers(
    records: Records,
    reference: Reference = REFERENCE,
    variant: str = "11",
    link: str = "log",
    *,
    broken_episodes: Mapping[str, float] | None = None,
    replicates: int = 4000,
    seed: int = 0,
) -> ModifierReport:
    """Compare the arms of every cell at one variant with a broken cue.

    link: the scale of the ratios, see `contrasts.LINK_OF_OVERFLOW`. broken_episodes: run_id ->
    episodes of training in which the goals came apart; a run's metrics have it, records do not.
    Raises ValueError for an unknown link, a variant with the cue intact, and see `read_cells`.
    """
    contrasts.check_link(link)
    if variant not in ("10", "11"):
        raise ValueError(
            f"goal failure needs a broken cue, `variant` '10' or '11'; got {variant!r}; take '11'"
        )
    cells, draws = read_cells(records, variant), (replicates, seed)
    single = [_ratio(c, one, link, draws) for c in cells for one in _comparisons(c, reference)]
    is_identified = {cell.where: cell.identified for cell in cells}
    report = ModifierReport(
        variant,
        link,
        reference,
        is_identified,
        [*_pooled(single, is_identified), *single],
        [slope for cell in cells for slope in _slopes(cell, reference)],
        [one for cell in cells for one in _doses(cell, reference, broken_episodes, draws)],
        [one for cell in cells for one in multiplicativity(cell, _setup(reference))],
        {},
    )
    return replace(report, not_identified=_not_identified(report, broken_episodes))


# ------------------------------------------------------------------------------ what is compared


class _Comparison(NamedTuple):
    modifier: str
    level: str
    arm: str
    reference: str
    agents: AgentCounts
    reference_agents: AgentCounts
    tags: str = ""
    note: str = ""


def _comparisons(cell: Cell, reference: Reference) -> Iterator[_Comparison]:
    """Arms of one cell that differ in one thing alone."""
    present = set(cell.setups())
    for setup in cell.setups():
        for modifier, level, base in _against(setup, reference):
            if base in present and base != setup:
                away = base.d != reference.d and modifier != "diversity"
                note = f"at d={base.d:g}, not at the reference d={reference.d:g}" if away else ""
                yield _Comparison(
                    modifier, level, setup.label, base.label,
                    cell.arm(setup), cell.arm(base), tags_of(setup.q), note,
                )  # fmt: skip
    yield from _capability(cell, reference)


def _against(setup: Setup, reference: Reference) -> Iterator[tuple[str, str, Setup]]:
    """The arm that a setup is compared with, for each modifier that could tell them apart."""
    method, d, q = setup
    if (method, q) == (reference.method, reference.q):
        yield "diversity", diversity_level(d), Setup(method, reference.d, q)
    if method == reference.method:
        yield "spec", spec_level(q), Setup(method, d, reference.q)
    if q == reference.q:
        yield "method", METHOD_LEVELS.get(method, method), Setup(reference.method, d, q)


def diversity_level(d: float) -> str:
    """The source's level of a training diversity."""
    if d < NARROW_BELOW:
        return "narrow"
    return "diverse" if d > DIVERSE_ABOVE else "reference"


def spec_level(q: float) -> str:
    """The source's band of a specification quality; it leaves gaps between its bands."""
    for name, (low, high) in SPEC_BANDS.items():
        if low <= q <= high:
            return name
    return "between bands"


def capability_level(competence: float) -> str:
    """The band of a competence; "" where it is not known."""
    if math.isnan(competence):
        return ""
    low, high = HUMAN_BAND
    if competence < low:
        return "below_human"
    return "reference" if competence <= high else "superhuman"


_BAND_NAMES = {
    "below_human": f"competence < {HUMAN_BAND[0]:g}",
    "reference": f"competence {HUMAN_BAND[0]:g}-{HUMAN_BAND[1]:g}",
    "superhuman": f"competence > {HUMAN_BAND[1]:g}",
}


def _capability(cell: Cell, reference: Reference) -> Iterator[_Comparison]:
    """Checkpoints of agents of the reference method and q, band against band, at each d that has
    several checkpoints. An agent may be in both bands, in one, or in neither."""
    for setup in _with_checkpoints(cell, reference):
        bands = defaultdict(list)
        for one in cell.evaluated:
            if one.setup == setup:
                bands[capability_level(one.competence)].append(one)
        for level in LEVELS["capability"]:
            if bands[level] and bands["reference"]:
                yield _Comparison(
                    "capability", level,
                    f"{setup.label}, {_BAND_NAMES[level]}",
                    f"{setup.label}, {_BAND_NAMES['reference']}",
                    counts_of(bands[level]), counts_of(bands["reference"]),
                    note=f"checkpoints at d={setup.d:g}; player: {PLAYER}",
                )  # fmt: skip


def _with_checkpoints(cell: Cell, reference: Reference) -> list[Setup]:
    """Arms of the reference method and q with several checkpoints."""
    return [
        setup
        for setup in cell.setups()
        if (setup.method, setup.q) == (reference.method, reference.q)
        and len({one.step for one in cell.evaluated if one.setup == setup}) > 1
    ]


# -------------------------------------------------------------------------------------- one ratio


def _ratio(cell: Cell, one: _Comparison, link: str, draws: tuple[int, int]) -> RiskRatio:
    k = min(one.agents.k, one.reference_agents.k)
    raw = _raw(one, link)
    rates = _bootstrap(one, cell.harm_by_construction, draws)
    ratio = RiskRatio(
        *one[:4], "cell", (cell.where,), link, Estimate(raw, reason=rates["p_gm"].reason), raw,
        rates["p_gm"], {name: rates[name] for name in FACTORS}, math.nan, math.nan,
        one.agents.k, one.reference_agents.k, _levels(one), tags=one.tags, note=one.note,
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
        note=_join(one.note, _too_narrow(found, rates["p_gm"], link)),
        likelihoods=likelihoods,
    )


def _join(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _raw(one: _Comparison, link: str) -> float:
    """The ratio of the mean rates on a link: of rates, of hazards, or of odds."""
    rates = np.array([point_rates(a).p_gm for a in (one.agents, one.reference_agents)])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.exp(np.subtract(*LINKS[link].forward(rates))))
    return ratio if math.isfinite(ratio) else math.nan


def _bootstrap(
    one: _Comparison, harm_by_construction: bool, draws: tuple[int, int]
) -> dict[str, Estimate]:
    """Raw ratios of the factors and of p_gm with paired intervals; they multiply in every draw."""
    arms = bootstrap_arms(one.agents, one.reference_agents, *draws)
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


def _likelihoods(one: _Comparison, link: str, harm_by_construction: bool) -> dict[str, Density]:
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


def _levels(one: _Comparison) -> str:
    n = np.concatenate([one.agents.n, one.reference_agents.n])
    low, high = round(float(n.min())), round(float(n.max()))
    return f"{low}" if low == high else f"{low}-{high}"


# ------------------------------------------------------------------------------------------ pooled


def _pooled(
    single: Sequence[RiskRatio], is_identified: Mapping[tuple[str, str], bool]
) -> Iterator[RiskRatio]:
    groups: dict[tuple[str, ...], list[RiskRatio]] = defaultdict(list)
    for one in single:
        groups[one.modifier, one.level, one.arm, one.reference].append(one)
    order = list(LEVELS)
    for key in sorted(groups, key=lambda key: (order.index(key[0]), key[1:])):
        good = [one for one in groups[key] if is_identified[one.cells[0]]]
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
        levels=_span_of([one.levels for one in usable or ratios]),
        likelihoods={},
        note="",
    )
    factors = {
        name: _pool_factor(name, ratios, [one for one in usable if name in one.likelihoods])
        for name in FACTORS
    }
    if not usable:
        fewest = min(min(one.k_agents, one.k_reference) for one in ratios)
        reason = estimate(math.nan, np.empty(0), fewest).reason + " in a cell"
        zeros = sum(not one.raw > 0 for one in ratios)
        note = f"{zeros} cells with a raw ratio of 0 or none are left out" if zeros else ""
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
        note="one cell alone" * (len(usable) == 1),
    )


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


def _span_of(levels: Iterable[str]) -> str:
    ends = [int(end) for one in levels for end in one.split("-")]
    return f"{min(ends)}" if min(ends) == max(ends) else f"{min(ends)}-{max(ends)}"


# ------------------------------------------------------------------------------- along a dose


def _doses(
    cell: Cell,
    reference: Reference,
    broken_episodes: Mapping[str, float] | None,
    draws: tuple[int, int],
) -> Iterator[DoseResponse]:
    setups = [s for s in cell.setups() if (s.method, s.q) == (reference.method, reference.q)]
    if len(setups) < 2:
        return
    arms = [(setup.d, cell.arm(setup)) for setup in setups]
    yield dose_response(cell.where, "d", arms, *draws)
    seen = [[(broken_episodes or {}).get(a.run_id) for a in cell.last(s)] for s in setups]
    known = [[dose for dose in doses if dose is not None] for doses in seen]
    if all(len(some) == len(every) for some, every in zip(known, seen, strict=True)):
        means = [float(np.mean(doses)) for doses in known]
        arms = [(mean, agents) for mean, (_, agents) in zip(means, arms, strict=True)]
        yield dose_response(cell.where, "broken_episodes", arms, *draws)


def _slopes(cell: Cell, reference: Reference) -> Iterator[CapabilitySlope]:
    for setup in _with_checkpoints(cell, reference):
        known = [e for e in cell.evaluated if e.setup == setup and e.competence > 0]
        if known:
            agent = np.array([one.agent_number for one in known])
            competence = np.array([one.competence for one in known])
            p_gm = np.array([one.gc / one.n for one in known])
            slope = log_slope(agent, competence, p_gm)
            yield CapabilitySlope(*cell.where, setup.label, slope, agent, competence, p_gm)


# ---------------------------------------------------------------------------------- what is missing

_ABSENT = MappingProxyType(
    {
        "diversity": "no cell has the reference d and another one",
        "diversity/narrow": "no arm with d below .1 beside the reference d",
        "diversity/diverse": "no arm with d above .3 beside the reference d",
        "spec": "every agent was trained with q = 1",
        "spec/high": "no arm with q from .8 up to 1, beside q = 1 itself",
        "spec/medium": "no arm with q .4-.7",
        "spec/low": "no arm with q 0-.3",
        "capability": "no arm has checkpoints on both sides of competence .8",
        "capability/below_human": "no checkpoint has a competence below .8 in a cell with others",
        "capability/superhuman": f"no checkpoint has a competence above 1.05; player: {PLAYER}",
        "capability/width": "the agents of a cell share one network",
        "method": "every agent was trained by the reference method",
        "method/behavioral_cloning": "no clones beside agents of the reference method",
        "method/interpretability_verified": "no agents were accepted by a probe",
        "deployment_response": "no monitor, override, shutdown or ramp was evaluated",
    }
)
"""Reasons for what the records do not vary."""


def _not_identified(
    report: ModifierReport, broken_episodes: Mapping[str, float] | None
) -> dict[str, str]:
    reasons = {}
    for modifier, levels in LEVELS.items():
        if not any(one.modifier == modifier for one in report.ratios):
            reasons[modifier] = _ABSENT[modifier]
            continue
        for level in levels:
            if report.level(modifier, level) is None:
                reasons[f"{modifier}/{level}"] = _why_not(report, modifier, level)
    reasons |= {key: _ABSENT[key] for key in ("capability/width", "deployment_response")}
    if not any(one.dose == "broken_episodes" for one in report.dose_responses):
        given = (
            "some runs are missing in the mapping given" if broken_episodes else "none was given"
        )
        reasons["broken_episodes"] = f"not in the records; {given}"
    if not report.multiplicativity:
        reasons["multiplicativity"] = "no cell has two modifiers varied alone and together"
    return reasons


def _why_not(report: ModifierReport, modifier: str, level: str) -> str:
    found = [r for r in report.ratios if (r.modifier, r.level) == (modifier, level)]
    if not found:
        return _ABSENT[f"{modifier}/{level}"]
    pooled = [one for one in found if one.scope == "pooled"]
    return pooled[0].ratio.reason if pooled else "no identified cell has this arm"


# -------------------------------------------------------------------------------------------- text

_MEANING = {"log": "of rates", "cloglog": "of hazards -ln(1 - p)", "logit": "of odds"}

_LEGEND = """\
Ratios of p_gm over all trained agents, competent or not; [central 90 % over agents]. ratio:
beta-binomial with the weak prior N(0, 1.5) on its logarithm, median; raw: of the means; bootstrap:
raw with the interval for arms paired by agent number. capable, goal fails, harm: the raw ratio of
each factor, paired bootstrap; in a cell they multiply to that of harmful goal misgeneralization.
pooled: random effects over cells; + : this cell is not identified (its d = 1 control fails too, or
a random policy is capable) and enters "all cells" alone."""


def format_modifiers(report: ModifierReport) -> str:
    """Plain text: the ratios and their notes, what varies between cells, slopes, dose-response,
    whether modifiers multiply, and what is not identified with its reason."""
    reference = _setup(report.reference)
    title = (
        f"Modifiers at variant {report.variant}, ratios {_MEANING[report.link]}; "
        f"reference arm {reference.method} d={reference.d:g} q={reference.q:g}"
    )
    missing = [[name, reason] for name, reason in report.not_identified.items()]
    parts = [
        title,
        _ratio_table(report),
        _LEGEND,
        *_titled("Between cells", _spread_lines(report)),
        *_titled("d ln p_gm / d ln competence over checkpoints", _slope_lines(report)),
        *_titled("Dose-response: p_gm of all trained agents", _dose_lines(report)),
        *_titled("Do modifiers multiply", _pair_lines(report)),
        *_titled("Not identified", [["modifier", "reason"], *missing]),
    ]
    return "\n\n".join(parts) + "\n"


def times(estimate: Estimate) -> str:
    """A ratio to three digits with its interval: `.0374 [.012, .11]`, `48.2`, `-` for NaN."""
    if math.isnan(estimate.low):
        return _three(estimate.value)
    value = "" if math.isnan(estimate.value) else f"{_three(estimate.value)} "
    return f"{value}[{_three(estimate.low)}, {_three(estimate.high)}]"


def _three(value: float) -> str:
    if math.isnan(value):
        return "-"
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _titled(title: str, lines: Sequence[Sequence[str]]) -> list[str]:
    """A title over a table whose first line is the header; nothing for a table without lines."""
    return [f"{title}\n{aligned(lines[0], lines[1:])}"] if len(lines) > 1 else []


def _ratio_table(report: ModifierReport) -> str:
    header = (
        "modifier,level,arm,against,cell,agents x levels,ratio,raw,bootstrap,capable,goal fails,"
        "harm,tags,note"
    ).split(",")
    groups: dict[tuple[str, ...], list[RiskRatio]] = defaultdict(list)
    for one in report.ratios:  # pooled ones come first, each then above its cells
        groups[one.modifier, one.level, one.arm, one.reference].append(one)
    ratios = [one for group in groups.values() for one in group]
    notes = list(dict.fromkeys(filter(None, map(_reasons, ratios))))
    lines = []
    for one in ratios:
        mark = f"({notes.index(_reasons(one)) + 1})" if _reasons(one) else ""
        lines.append([
            one.modifier, one.level, one.arm, one.reference, _where(report, one),
            f"{one.k_agents}/{one.k_reference} x {one.levels}", times(one.ratio), _three(one.raw),
            times(one.bootstrap), *(times(one.factors[name]) for name in FACTORS), one.tags, mark,
        ])  # fmt: skip
    if not lines:
        return "No cell has two arms that differ in one modifier alone."
    return "\n\n".join([
        aligned(header, lines), "\n".join(f"({i}) {note}" for i, note in enumerate(notes, 1)),
    ]).rstrip()  # fmt: skip


def _reasons(one: RiskRatio) -> str:
    return _join(*dict.fromkeys([one.note, one.ratio.reason]))


def _where(report: ModifierReport, one: RiskRatio) -> str:
    if one.scope != "cell":
        return f"{one.scope}: {len(one.cells)}"
    return " ".join(one.cells[0]) + " +" * (not report.identified[one.cells[0]])


def _spread_lines(report: ModifierReport) -> list[list[str]]:
    return [
        "modifier,arm,against,scope,cells,sd of ln ratio,ratio in a further cell".split(","),
        *(
            [
                one.modifier, one.arm, one.reference, one.scope, str(len(one.cells)),
                times(one.spread), times(one.new_cell),
            ]
            for one in report.ratios
            if not math.isnan(one.spread.value)
        ),
    ]  # fmt: skip


def _slope_lines(report: ModifierReport) -> list[list[str]]:
    return [
        "cell,arm,agents,points,slope,note".split(","),
        *(
            [
                f"{one.family} {one.cell}", one.arm, str(len(np.unique(one.agent_number))),
                str(len(one.p_gm)), times(one.slope), one.slope.reason,
            ]
            for one in report.slopes
        ),
    ]  # fmt: skip


def _dose_lines(report: ModifierReport) -> list[list[str]]:
    lines = ["cell,dose,at,agents,p_gm,monotone fit,half effect at,between,note".split(",")]
    for one in report.dose_responses:
        half, (low, high) = one.half_effect_dose, one.between
        for i, dose in enumerate(one.doses):
            summary = [times(half), f"{low:g}-{high:g}", half.reason] if i == 0 else ["", "", ""]
            lines.append([
                f"{one.family} {one.cell}", one.dose, f"{dose:g}", str(one.agents[i]),
                times(one.rates[i]), times(one.fit[i]), *summary,
            ])  # fmt: skip
    return lines


def _pair_lines(report: ModifierReport) -> list[list[str]]:
    header = "cell,pair,arms,agents,expected p_gm,ceiling,verdict,log,cloglog,logit,".split(",")
    header[-1:] = ["smallest on", "agents needed", "tags"]
    return [
        header,
        *(
            [
                f"{one.family} {one.cell}", " x ".join(one.pair), " | ".join(one.arms),
                "/".join(map(str, one.agents)), _three(one.expected), _three(one.ceiling),
                one.verdict, *(times(one.ratio_of_ratios[link]) for link in LINKS),
                one.best_scale, str(one.agents_needed), one.tags,
            ]
            for one in report.multiplicativity
        ),
    ]  # fmt: skip
