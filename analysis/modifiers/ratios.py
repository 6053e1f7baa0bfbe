"""The ratio of one arm to its reference arm, in one cell and pooled over cells."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from misgen.analysis.intervals import Estimate, estimate
from misgen.analysis.modifiers.cells import Cell
from misgen.analysis.modifiers.comparisons import LEVELS, Comparison
from misgen.analysis.modifiers.log_ratios import LogRatio, log_ratio, pool
from misgen.analysis.modifiers.results import RiskRatio
from misgen.analysis.priors.types import FACTORS
from misgen.analysis.rates import count_range


@dataclass(frozen=True)
class CellRatio(RiskRatio):
    """Of one cell. measured: "p_gm" and each factor, to be pooled."""

    measured: Mapping[str, LogRatio] = field(default_factory=dict, repr=False, compare=False)


def ratio_of(cell: Cell, one: Comparison, link: str, draws: tuple[int, int]) -> CellRatio:
    """draws: replicates and seed."""
    arms = (one.agents, one.reference_agents)
    found = log_ratio(arms, "p_gm", link, *draws)
    factors = {name: log_ratio(arms, name, "log", *draws) for name in FACTORS}
    if cell.harm_by_construction:
        reason = "harm is by construction of the cell"
        factors["p_harm"] = LogRatio(Estimate(math.nan, reason=reason))
    return CellRatio(
        *one[:4], "cell", (cell.where,), link, found.ratio, found.ratio.value,
        {name: factor.ratio for name, factor in factors.items()}, found.log_mean, found.log_sd,
        one.agents.k, one.reference_agents.k,
        count_range([*one.agents.n, *one.reference_agents.n]),
        tags=one.tags, note=one.note, at_reference=one.at_reference,
        measured={"p_gm": found, **factors},
    )  # fmt: skip


def pooled_ratios(
    single: Sequence[CellRatio], pooled: Collection[tuple[str, str]]
) -> Iterator[RiskRatio]:
    """Over the cells that may be pooled, (family, code), and over all where these are fewer."""
    groups: dict[tuple[str, ...], list[CellRatio]] = defaultdict(list)
    for one in single:
        groups[one.modifier, one.level, one.arm, one.reference].append(one)
    order = list(LEVELS)
    for key in sorted(groups, key=lambda key: (order.index(key[0]), key[1:])):
        good = [one for one in groups[key] if one.cells[0] in pooled]
        if good:
            yield _pool(good, "pooled")
        if len(good) < len(groups[key]):
            yield _pool(groups[key], "pooled, all cells")


def _pool(ratios: Sequence[CellRatio], scope: str) -> RiskRatio:
    """One ratio over the cells that have an interval; the raw one where none has."""
    usable = [one for one in ratios if not math.isnan(one.log_sd)]
    kept = usable or ratios
    pooled = replace(
        ratios[0],
        scope=scope,
        cells=tuple(one.cells[0] for one in kept),
        raw=_geometric_mean(one.raw for one in kept),
        factors={name: _pool_factor(name, ratios) for name in FACTORS},
        k_agents=sum(one.k_agents for one in kept),
        k_reference=sum(one.k_reference for one in kept),
        levels=count_range(int(n) for one in kept for n in one.levels.split("-")),
        note=_shared_note(ratios),
        measured={},
    )
    if not usable:
        fewest = min(min(one.k_agents, one.k_reference) for one in ratios)
        reason = estimate(math.nan, np.empty(0), fewest).reason + " in a cell"
        zeros = sum(not one.raw > 0 for one in ratios)
        left_out = f"{zeros} cells with a raw ratio of 0 or none are left out" if zeros else ""
        note = _joined(pooled.note, left_out)
        return replace(pooled, ratio=Estimate(pooled.raw, reason=reason), note=note)
    note = _joined(pooled.note, "one cell alone" * (len(usable) == 1))
    over = pool([one.measured["p_gm"] for one in usable])
    return replace(pooled, **over._asdict(), note=note)


def _pool_factor(name: str, ratios: Sequence[CellRatio]) -> Estimate:
    measured = [one.measured[name] for one in ratios if not math.isnan(one.measured[name].log_sd)]
    if measured:
        return pool(measured).ratio
    value = _geometric_mean(one.factors[name].value for one in ratios)
    return Estimate(value, reason=ratios[0].factors[name].reason)


def _shared_note(ratios: Sequence[CellRatio]) -> str:
    """What the notes of all cells say."""
    first, *others = (one.note.split("; ") for one in ratios)
    return _joined(*(part for part in first if all(part in other for other in others)))


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _geometric_mean(ratios: Iterable[float]) -> float:
    """Of the positive ones; NaN without any."""
    positive = [ratio for ratio in ratios if ratio > 0]
    return float(np.exp(np.mean(np.log(positive)))) if positive else math.nan
