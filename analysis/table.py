"""The table of rates: episode records in, one row per arm, variant and population out.

`misgen.analysis.table_text` shows the rows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from misgen.analysis.arms import (
    NOT_ASSESSABLE,
    Arms,
    best_constant,
    control_rates,
    controls_beside,
    doubts,
    is_assessable,
    raw_rates,
    read_arms,
    trained,
)
from misgen.analysis.blocks import CUE_BROKEN, Arm
from misgen.analysis.counts import shared_levels
from misgen.analysis.intervals import Estimate, bootstrap_difference, estimates, wilson
from misgen.analysis.rates import (
    AgentCounts,
    FloatArray,
    Rates,
    chance_corrected_transfer,
    mean,
    normalised_goal_failure,
    p_gm_bounds,
    point_rates,
    share_of_agents_gm,
)
from misgen.analysis.records import Records
from misgen.analysis.text import number
from misgen.analysis.verdicts import Verdict, permutation_test

NO_OTHER = "nothing to compare with"
"""Why a control arm has no verdict."""


@dataclass(frozen=True)
class Row:
    """One line of the table: an arm at a variant, seen over one population of its agents.

    population: "competent" (the headline), "all trained", or "bounds" (p_gm alone).
    controls: policy -> rates on the same levels; controls_all_levels: and on those that do not
    distinguish. has_other_settings: another arm differs in `setting` alone. dots: g_a / c_a per
    agent [agents].
    """

    family: str
    cell: str
    shift_type: str
    informs_type: bool
    harm_informs: bool
    harm_by_construction: bool
    """The cell's design makes every goal failure harmful: p_harm is not a finding."""
    train_distribution: str
    observation_mode: str
    variant: str
    method: str
    setting: str
    d: float
    q: float
    tags: str
    by: str
    value: Any
    population: str
    agents: int
    levels: str
    own_success: float
    planner_own_success: float
    p_capable: Estimate
    p_goal_fail: Estimate
    p_harm: Estimate
    p_gm: Estimate
    p_harmful_gm: Estimate
    difference_goal_fail: Estimate
    """`attributable_goal_failure` when the arm is compared with the d = 1 control."""
    difference_p_gm: Estimate
    verdict_goal_fail: Verdict
    """Whether the arm and the control differ, by a permutation test over agents."""
    verdict_p_gm: Verdict
    assessable: bool
    """Capable more often than a random policy and the best constant action on the same levels; if
    not, there is no conditional rate and no verdict."""
    best_constant: str
    """The constant action that is capable most often, among `controls`; "" if none was played."""
    identified: bool
    share_of_agents_gm: float
    distinguishing_share: float
    duplicate_share: float
    capability_retention: float
    chance_corrected_transfer: float
    normalised_goal_failure: float
    controls: Mapping[str, Rates]
    controls_all_levels: Mapping[str, Rates]
    has_other_settings: bool
    dots: FloatArray
    note: str
    broken_share: float = math.nan
    """Share of the training levels whose cue is really broken, mean over agents; NaN: not known."""
    shared_share: float = math.nan
    """Share of an agent's distinguishing levels that another agent's block holds; NaN: unknown."""

    @property
    def intended(self) -> float:
        return self.p_capable.value - self.p_gm.value

    @property
    def proxy(self) -> float:
        return self.p_gm.value

    @property
    def neither(self) -> float:
        return 1 - self.p_capable.value

    @property
    def label(self) -> str:
        """The arm in words: `d=0.1`, with method, q, setting and the cell it was trained in only
        where they tell arms apart."""
        parts = [f"{self.by}={self.value:g}" if _is_number(self.value) else str(self.value)]
        parts += [f"d={self.d:g}"] * (self.by != "d") + [f"q={self.q:g}"] * (self.q != 1)
        parts += [self.method] * (self.method != "ppo")
        *said, other = self.setting.split(" ")  # see `settings.by_setting`
        parts += said or [f"({other[:4]})"] * (self.has_other_settings and self.by != "setting")
        parts += [f"trained in {self.train_distribution}"] * (self.train_distribution != self.cell)
        return " ".join(dict.fromkeys(parts))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


VERDICTS = ("verdict_goal_fail", "verdict_p_gm")


def rates_table(
    records: Records,
    by: str = "d",
    against: Any = 1.0,
    replicates: int = 4000,
    seed: int = 0,
    broken_shares: Mapping[str, float] = MappingProxyType({}),
) -> list[Row]:
    """Three rows (competent, all trained, bounds) for every arm and shifted or twin variant.

    by: the scalar column along which arms are compared; against: its value in the control arm.
    Arms also differ by family, cell, observation mode, tags, method, setting, d and q.
    broken_shares: run id -> share of training levels whose cue is really broken.
    """
    arms, shared = read_arms(records, by), shared_levels(records)
    rows = []
    for arm, variant in arms.arms:
        if variant != "own":
            own = arms.agents(arm, variant)
            shares = [broken_shares[b.run_id] for b in own if b.run_id in broken_shares]
            held = shared.get((arm.family, arm.cell, variant), {})
            twice = mean([held[b.agent_number] for b in own if b.agent_number in held])
            for row in arm_rows(arms, arm, variant, (by, against), (replicates, seed)):
                rows.append(replace(row, broken_share=mean(shares), shared_share=twice))
    return rows


def arm_rows(
    arms: Arms, arm: Arm, variant: str, by: tuple[str, Any], draws: tuple[int, int]
) -> list[Row]:
    """The three rows of one arm at one variant. by: as `rates_table` has it, and against; draws:
    replicates and seed."""
    agents, control = trained(arms, arm, variant), arm.at(*by, by[0])
    against = trained(arms, control, variant)
    common = _common(arms, arm, variant, by[0])
    has_control = control != arm and not arm.is_cross
    hidden = {}
    if not common["assessable"]:
        hidden = _hidden(("p_goal_fail", "p_harm", "difference_goal_fail"), NOT_ASSESSABLE)
    elif has_control and not is_assessable(arms, control, variant):
        hidden = _hidden(("difference_goal_fail",), "the control arm is not assessable")
    rows = []
    for population in ("competent", "all trained"):
        counts, compared, own = agents.counts, against.counts, agents.own_success
        if population == "competent":
            counts, compared = agents.competent, against.competent
            own = own[agents.is_competent]
        columns = common | _further(arms, arm, variant, counts, common["controls"])
        columns |= estimates(counts, *draws)
        columns |= _differences(counts, compared if has_control else None, draws) | hidden
        row = Row(
            population=population,
            agents=counts.k,
            levels=counts.levels_each,
            own_success=mean(own),
            share_of_agents_gm=share_of_agents_gm(counts),
            dots=counts.dots(),
            note=join_notes(agents.note, _one_agent(counts)),
            **columns,
        )
        rows.append(row)
    low, high = p_gm_bounds(agents.counts, agents.is_competent)
    names = (*Rates._fields, "difference_goal_fail", "difference_p_gm")
    bounds = _hidden(names, "") | {"p_gm": Estimate(math.nan, low, high)}
    bounds |= dict.fromkeys(VERDICTS, Verdict(reason="bounds"))
    return [*rows, replace(rows[1], population="bounds", note="", **bounds)]


def _hidden(names: Sequence[str], reason: str) -> dict[str, Any]:
    """What is printed instead of these numbers, and of verdicts."""
    missing: dict[str, Any] = dict.fromkeys(names, Estimate(math.nan, reason=reason))
    return missing | dict.fromkeys(VERDICTS, Verdict(reason=reason))


def _common(arms: Arms, arm: Arm, variant: str, by: str) -> dict[str, Any]:
    """What all three rows of an arm share."""
    controls = control_rates(arms, arm, variant)
    return arm._asdict() | {
        "variant": variant,
        "by": by,
        "planner_own_success": trained(arms, arm, variant).planner_success,
        "controls": controls,
        "controls_all_levels": control_rates(arms, arm, variant, "all"),
        "has_other_settings": arms.has_other_settings(arm),
        "assessable": is_assessable(arms, arm, variant),
        "best_constant": best_constant(controls),
        "identified": not arm.is_cross and not doubts(arms, arm.at("d", 1.0, by), variant),
    }


def _differences(
    counts: AgentCounts, compared: AgentCounts | None, draws: tuple[int, int]
) -> dict[str, Any]:
    """The differences to the control arm, and whether they are real."""
    columns: dict[str, Any] = {}
    for rate, name in (("p_goal_fail", "goal_fail"), ("p_gm", "p_gm")):
        if compared is None or compared.k == 0:
            reason = "" if compared is None else "no agent in the control arm"
            columns[f"difference_{name}"] = Estimate(math.nan, reason=reason)
            columns[f"verdict_{name}"] = Verdict(reason=reason or NO_OTHER)
        else:
            columns[f"difference_{name}"] = bootstrap_difference(counts, compared, rate, *draws)
            columns[f"verdict_{name}"] = permutation_test(counts, compared, rate, draws[1])
    return columns


def _further(
    arms: Arms, arm: Arm, variant: str, counts: AgentCounts, controls: Mapping[str, Rates]
) -> dict[str, Any]:
    blocks = [b for b in arms.agents(arm, variant) if b.agent_number in counts.agent_number]
    players = controls_beside(arms, arm, variant)
    intact = [tuple(blocks), *(players.get(p, ()) for p in ("random", "planner_intended"))]
    rates, nothing = point_rates(counts), Rates(*[math.nan] * 5)
    random, planner, low, high = (
        controls.get(policy, nothing)
        for policy in ("random", "planner_intended", "noisy_intended", "noisy_proxy")
    )
    shares = [b.scored / b.episodes for b in blocks] if variant in CUE_BROKEN else []
    return {
        "distinguishing_share": mean(shares),
        "duplicate_share": mean([1 - b.distinct_levels / b.episodes for b in blocks]),
        "capability_retention": mean([b.kept_capable / b.kept for b in blocks if b.kept]),
        "chance_corrected_transfer": chance_corrected_transfer(
            [rates.p_capable, random.p_capable, planner.p_capable],
            [raw_rates(arms, group, "intact").p_capable for group in intact],
        ),
        "normalised_goal_failure": normalised_goal_failure(
            rates.p_goal_fail, low.p_goal_fail, high.p_goal_fail
        ),
    }


def _one_agent(counts: AgentCounts) -> str:
    if counts.k != 1 or np.isnan(counts.gc[0]):
        return ""
    low, high = wilson(counts.gc[0], counts.c[0])
    ends = f"{number(low)} to {number(high)}"
    return f"one agent: goal failure {ends} by Wilson over its episodes, not over agents"


def join_notes(*notes: str) -> str:
    """Every part of the notes once; they are parted by semicolons."""
    return "; ".join(dict.fromkeys(part for note in notes for part in note.split("; ") if part))
