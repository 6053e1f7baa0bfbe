"""What raises or lowers the risk, measured: modifiers of P(goal misgeneralization) over agents.

    diversity   d (share of training levels with the broken draw) against the reference d
    spec        q (weight of the intended reward) against q = 1 at the same d: `spec_gaming`
    capability  checkpoints by competence against those of competence .8-1.05, at the same d
    method      other ways to train against the reference method at the same d

Every ratio compares two arms of one cell that differ in one of these alone, by p_gm over *all*
trained agents. Levels have the names of the source's modifiers. What the records do not vary is
in `not_identified` with its reason, and keeps its prior. Statistics: `log_ratios` and
`dose_response`; who the agents are: `cells`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from misgen.analysis.modifiers.cells import PLAYER, Cell, Setup, read_cells
from misgen.analysis.modifiers.comparisons import LEVELS, REFERENCE, comparisons, with_checkpoints
from misgen.analysis.modifiers.dose_response import dose_response, log_slope
from misgen.analysis.modifiers.log_ratios import check_link
from misgen.analysis.modifiers.multiplicativity import multiplicativity
from misgen.analysis.modifiers.ratios import pooled_ratios, ratio_of
from misgen.analysis.modifiers.results import (
    CapabilitySlope,
    DoseResponse,
    Multiplicativity,
    RiskRatio,
)
from misgen.analysis.records import Records


@dataclass(frozen=True)
class ModifierReport:
    """Everything that the records say about modifiers.

    identified: (family, cell) -> whether its rates may be quoted. not_identified: a modifier, or
    modifier/level, -> the reason.
    """

    variant: str
    link: str
    reference: Setup
    identified: Mapping[tuple[str, str], bool]
    ratios: Sequence[RiskRatio]
    slopes: Sequence[CapabilitySlope]
    dose_responses: Sequence[DoseResponse]
    multiplicativity: Sequence[Multiplicativity]
    not_identified: Mapping[str, str]

    def level(self, modifier: str, level: str) -> RiskRatio | None:
        """The pooled ratio that stands for a level: of its arms the one in the most cells, then
        with the most agents. None where no arm beside the reference arm has an interval in an
        identified cell: arms at another d say nothing of the level at the reference."""
        wanted = (modifier, level, "pooled")
        found = [
            r
            for r in self.ratios
            if (r.modifier, r.level, r.scope) == wanted
            and r.at_reference
            and not math.isnan(r.log_sd)
        ]
        return max(found, key=lambda r: (len(r.cells), r.k_agents), default=None)


def measure_modifiers(
    records: Records,
    reference: Setup = REFERENCE,
    variant: str = "11",
    link: str = "log",
    *,
    broken_episodes: Mapping[str, float] | None = None,
    replicates: int = 4000,
    seed: int = 0,
) -> ModifierReport:
    """Compare the arms of every cell at one variant with a broken cue.

    link: the scale of the ratios, see `analysis.risk.formula.OVERFLOWS`. broken_episodes: run_id ->
    episodes of training in which the goals came apart; a run's metrics have it, records do not.
    Raises ValueError for an unknown link, a variant with the cue intact, and see `read_cells`.
    """
    check_link(link)
    if variant not in ("10", "11"):
        raise ValueError(
            f"goal failure needs a broken cue, `variant` '10' or '11'; got {variant!r}; take '11'"
        )
    cells, draws = read_cells(records, variant), (replicates, seed)
    single = [ratio_of(c, one, link, draws) for c in cells for one in comparisons(c, reference)]
    is_identified = {cell.where: cell.identified for cell in cells}
    pooled = {cell.where for cell in cells if cell.identified and cell.informs_type}
    report = ModifierReport(
        variant,
        link,
        reference,
        is_identified,
        [*pooled_ratios(single, pooled), *single],
        [slope for cell in cells for slope in _slopes(cell, reference)],
        [one for cell in cells for one in _doses(cell, reference, broken_episodes, draws)],
        [one for cell in cells for one in multiplicativity(cell, reference, draws)],
        {},
    )
    return replace(report, not_identified=_not_identified(report, broken_episodes))


# ------------------------------------------------------------------------------- along a dose


def _doses(
    cell: Cell,
    reference: Setup,
    broken_episodes: Mapping[str, float] | None,
    draws: tuple[int, int],
) -> Iterator[DoseResponse]:
    arms = {s.d: s for s in sorted(cell.arms) if (s.method, s.q) == (reference.method, reference.q)}
    if len(arms) < 2:
        return
    over_d = [(d, cell.arms[setup]) for d, setup in arms.items()]
    yield dose_response(cell.where, "d", over_d, *draws)
    runs = [{one.block.run_id for one in cell.checkpoints[setup]} for setup in arms.values()]
    seen = broken_episodes or {}
    if all(run in seen for members in runs for run in members):
        means = [float(np.mean([seen[run] for run in sorted(members)])) for members in runs]
        over_episodes = [(mean, agents) for mean, (_, agents) in zip(means, over_d, strict=True)]
        yield dose_response(cell.where, "broken_episodes", over_episodes, *draws)


def _slopes(cell: Cell, reference: Setup) -> Iterator[CapabilitySlope]:
    for setup in with_checkpoints(cell, reference):
        known = [(block, x) for block, x in cell.checkpoints[setup] if x > 0]
        if known:
            agent = [block.agent_number for block, _ in known]
            competence = [x for _, x in known]
            p_gm = [block.goal_failed / block.scored for block, _ in known]
            slope = log_slope(np.array(agent), np.array(competence), np.array(p_gm))
            yield CapabilitySlope(
                *cell.where, setup.label, slope, tuple(agent), tuple(competence), tuple(p_gm)
            )


# ---------------------------------------------------------------------------------- what is missing

_ABSENT = MappingProxyType(
    {
        "diversity": "no cell has the reference d and another one",
        "diversity/narrow": "no arm with d below .1 beside the reference d",
        "diversity/diverse": "no arm with d above .3 beside the reference d",
        "diversity/extra_compute": "arms of one budget, and records hold no learning curves",
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
_NEVER_VARIED = ("diversity/extra_compute", "capability/width", "deployment_response")


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
    reasons |= {key: _ABSENT[key] for key in _NEVER_VARIED}
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
    if not pooled:
        return "no identified cell has this arm"
    if not any(one.at_reference for one in pooled):
        return f"measured against {pooled[0].reference}, not against the reference arm: shown only"
    return next(one.ratio.reason for one in pooled if one.at_reference)
