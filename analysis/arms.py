"""Who the agents of an arm are, and what may be said of them: the reader of every table, comparison
and multiplier.

`read_arms` finds blocks of agents by arm and variant, and of controls by what they depend on. An
agent is competent by the last checkpoint of its run, an arm assessable where its agents are more
capable than chance, a cell identified by its d = 1 control arm.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from misgen.analysis.blocks import CUE_BROKEN, Arm, Block, Levels, counts_of_blocks, read_blocks
from misgen.analysis.rates import (
    MAX_CONTROL_GOAL_FAIL,
    MAX_RANDOM_CAPABLE,
    AgentCounts,
    FloatArray,
    Rates,
    assessable,
    competent,
    point_rates,
)
from misgen.analysis.records import Records
from misgen.analysis.verdicts import TINY

NOT_ASSESSABLE = "not assessable: no more capable than a random policy or a constant action"


class Arms:
    """Blocks of agents by arm and variant, of controls by what they depend on.

    arms: (arm, variant) of all that were evaluated. Raises ValueError where an arm has two runs of
    one agent number.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._agents: dict[Any, list[Block]] = defaultdict(list)
        self._controls: dict[Any, list[Block]] = defaultdict(list)
        self._own: dict[Arm, dict[int, Block]] = defaultdict(dict)
        self.policies = sorted({b.policy for b in blocks if b.role == "control"})
        for b in sorted(blocks, key=lambda b: b.checkpoint_step):
            if b.role == "control":
                self._controls[self._key(b, b.policy)].append(b)
            else:
                self._agents[b.arm, b.variant].append(b)
                if b.variant == "own":
                    self._own[b.arm.agents][b.agent_number] = b  # the last checkpoint's stays
        self.arms = sorted(self._agents, key=lambda pair: (pair[0].place, pair[1], pair[0]))
        self._settings: dict[Arm, set[str]] = defaultdict(set)
        for arm, variant in self.arms:
            _check_unique(self.agents(arm, variant))
            self._settings[self._unset(arm)].add(arm.setting)

    @staticmethod
    def _key(block: Block, policy: str) -> tuple[Any, ...]:
        """What decides how a control does on the levels of a block. Agents of one number have the
        same levels; an evaluation with another number of them is another one."""
        arm, levels = block.arm, (block.variant, block.agent_number, block.episodes)
        if policy.startswith("noisy_") or block.variant == "own":  # the arm's noise, its d
            return policy, *levels, arm.cell, arm.agents
        return policy, *levels, *arm.place

    def agents(self, arm: Arm, variant: str) -> list[Block]:
        return self._agents.get((arm, variant), [])

    def own(self, arm: Arm) -> dict[int, Block]:
        """Agent number -> its last checkpoint on levels of its own training distribution."""
        return self._own.get(arm.agents, {})

    def beside(self, blocks: Iterable[Block], policy: str) -> list[Block]:
        """The control's blocks on the levels of these blocks of different agents."""
        return [found for b in blocks for found in self._controls.get(self._key(b, policy), [])]

    @staticmethod
    def _unset(arm: Arm) -> Arm:
        return arm._replace(setting="", tags="")

    def has_other_settings(self, arm: Arm) -> bool:
        return len(self._settings[self._unset(arm)]) > 1


def read_arms(records: Records, by: str) -> Arms:
    """The arms of episodes, or of counts of them, that differ in the column `by` or in any other of
    `Arm`. Agents at their last checkpoint, unless by it."""
    return Arms(read_blocks(records, by))


def _check_unique(blocks: Sequence[Block]) -> None:
    runs: dict[int, str] = {}
    for block in blocks:
        other = runs.setdefault(block.agent_number, block.run_id)
        if other != block.run_id:
            raise ValueError(
                f"an arm has one run per agent number; {block.arm.cell} has agent "
                f"{block.agent_number} in the runs {other} and {block.run_id}, as after "
                "evaluations with different numbers of levels; remove one of them, keep them "
                "apart (--results), or filter the records first"
            )


# --------------------------------------------------------------------------------- who is competent


class Trained(NamedTuple):
    """All trained agents of an arm at a variant.

    own_success: of each on held-out levels of its own training distribution; planner_success: of
    the intended planner there. NaN: not played.
    """

    counts: AgentCounts
    is_competent: npt.NDArray[np.bool_]
    own_success: FloatArray
    planner_success: float
    note: str

    @property
    def competent(self) -> AgentCounts:
        return self.counts.select(self.is_competent)


@functools.lru_cache(32)  # a control arm is asked for beside every arm
def trained(arms: Arms, arm: Arm, variant: str) -> Trained:
    """An agent is competent by its last checkpoint, so that all its checkpoints are in one
    population; all are where own levels or the planner's were not played."""
    counts = counts_of_blocks(arms.agents(arm, variant))
    last = arms.own(arm)
    now = last | {b.agent_number: b for b in arms.agents(arm, "own")}
    own, final = (
        np.array([_solved([blocks[a]] if a in blocks else []) for a in counts.agent_number])
        for blocks in (now, last)
    )
    planner = _solved(arms.beside(last.values(), "planner_intended"))
    missing = sorted({b.agent_number for b in arms.agents(arm, variant)} - {*counts.agent_number})
    notes = [f"agents {missing} have no level to score and are left out"] if missing else []
    if arm.is_cross:
        notes.append(f"trained in {arm.train_distribution}: compared with no other arm")
    is_competent = competent(final, planner)
    if math.isnan(planner) or not last:
        is_competent = np.ones(counts.k, dtype=bool)
        notes.append("competence not checked: no own levels")
    elif any(now[a].checkpoint_step < last[a].checkpoint_step for a in last):
        notes.append("competent: by the last checkpoint; own: of this one")
    return Trained(counts, is_competent, own, planner, "; ".join(notes))


def _solved(blocks: Sequence[Block]) -> float:
    episodes = sum(b.episodes for b in blocks)
    return sum(b.solved for b in blocks) / episodes if episodes else math.nan


def competence(arms: Arms, own: Block) -> float:
    """(return - random) / (planner - random) of an agent's block of levels of its own training
    distribution; NaN where one of these was not played."""
    random, planner = (
        next((b.mean_return for b in arms.beside([own], policy)), math.nan)
        for policy in ("random", "planner_intended")
    )
    return (own.mean_return - random) / (planner - random) if planner != random else math.nan


# --------------------------------------------------------------------------- what may be said of it


@functools.lru_cache(4096)  # arms have their controls in common
def raw_rates(arms: Arms, blocks: tuple[Block, ...], levels: Levels = "scored") -> Rates:
    """Of some of the blocks of `arms`; NaN without such a level."""
    return point_rates(counts_of_blocks(blocks, levels))


@functools.lru_cache(32)
def controls_beside(arms: Arms, arm: Arm, variant: str) -> dict[str, tuple[Block, ...]]:
    """Policy -> the control's blocks on the levels of an arm's agents."""
    agents = arms.agents(arm, variant)
    return {policy: tuple(arms.beside(agents, policy)) for policy in arms.policies}


def control_rates(
    arms: Arms, arm: Arm, variant: str, levels: Levels = "scored"
) -> dict[str, Rates]:
    """Policy -> raw rates on the levels of an arm's agents, of controls with such a level."""
    blocks = controls_beside(arms, arm, variant)
    rates = {policy: raw_rates(arms, found, levels) for policy, found in blocks.items()}
    return {policy: found for policy, found in rates.items() if not math.isnan(found.p_capable)}


def chance(controls: Mapping[str, Rates]) -> tuple[float, float]:
    """P(capable) of a random policy and of the best constant action; NaN of what was not played."""
    names = ("random", best_constant(controls))
    random, best = (controls[p].p_capable if p in controls else math.nan for p in names)
    return random, best


def best_constant(controls: Mapping[str, Rates]) -> str:
    """The constant action that is capable most often; "" if none was played."""
    constant = [policy for policy in controls if policy.startswith("constant_")]
    return max(constant, key=lambda policy: controls[policy].p_capable, default="")


@functools.lru_cache(32)
def is_assessable(arms: Arms, arm: Arm, variant: str) -> bool:
    """Whether something can be said about the goals of an arm's agents at a variant with the cue
    broken: of the competent ones, of all where none is."""
    if variant not in CUE_BROKEN:
        return True
    agents = trained(arms, arm, variant)
    counts = agents.competent if agents.is_competent.any() else agents.counts
    return assessable(point_rates(counts).p_capable, *chance(control_rates(arms, arm, variant)))


def doubts(arms: Arms, control: Arm, variant: str) -> list[str]:
    """Why the goal failure of a cell may not be quoted, by its d = 1 control arm; none if it may:
    the cell is identified. Differences to the control may be quoted all the same."""
    if not arms.agents(control, variant):
        return ["no d = 1 control arm"]
    reasons = []
    floor = point_rates(trained(arms, control, variant).competent).p_goal_fail
    if not is_assessable(arms, control, variant):
        reasons.append("the d = 1 control arm is no more capable than chance")
    elif math.isnan(floor):
        reasons.append("no competent agent, or no capable episode, in the d = 1 control arm")
    elif floor > MAX_CONTROL_GOAL_FAIL + TINY:
        reasons.append(f"goal failure {floor:.2f} of the control exceeds {MAX_CONTROL_GOAL_FAIL}")
    random, _ = chance(control_rates(arms, control, variant))
    if math.isnan(random):
        reasons.append("no random policy was evaluated")
    elif random > MAX_RANDOM_CAPABLE + TINY:
        reasons.append(f"a random policy is capable on {random:.2f} > {MAX_RANDOM_CAPABLE}")
    return reasons
