"""The trained agents of every cell, arm by arm and checkpoint by checkpoint, with their competence.

All trained agents, competent or not: the gate is itself a consequence of training, so arms are
compared without it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from misgen.analysis.blocks import Block, read_blocks
from misgen.analysis.rates import AgentCounts, assessable, competent, identified, point_rates
from misgen.analysis.records import Records

PLAYER = "intended planner, no random actions"
"""The player that competence is measured against. Records hold no planner with 10 % random actions
on an agent's own levels; against this stricter one no agent can be far above 1."""


class Setup(NamedTuple):
    """How the agents of an arm were trained."""

    method: str
    d: float
    q: float

    @property
    def label(self) -> str:
        """`d=0.1`, with method and q only where they are not the usual ones."""
        parts = [self.method] * (self.method != "ppo") + [f"d={self.d:g}"]
        return " ".join(parts + [f"q={self.q:g}"] * (self.q != 1))


class Evaluated(NamedTuple):
    """One agent at one checkpoint, on the distinguishing levels of its block.

    competence: (return - random) / (player - random) on held-out levels of its own training
    distribution; NaN where these or their controls are missing. hgc: NaN if harm is not known.
    """

    setup: Setup
    agent_number: int
    run_id: str
    step: int
    n: int
    c: int
    gc: int
    hgc: float
    competence: float


@dataclass(frozen=True)
class Cell:
    """The agents trained in one cell. identified: by its d = 1 control, see `rates.identified`."""

    family: str
    code: str
    identified: bool
    informs_type: bool
    harm_by_construction: bool
    evaluated: Sequence[Evaluated]

    @property
    def where(self) -> tuple[str, str]:
        return self.family, self.code

    def setups(self) -> list[Setup]:
        return sorted({one.setup for one in self.evaluated})

    def last(self, setup: Setup) -> list[Evaluated]:
        """Each agent of an arm at its last checkpoint, by agent number."""
        found: dict[int, Evaluated] = {}
        for one in sorted(self.evaluated, key=lambda one: one.step):
            if one.setup == setup:
                found[one.agent_number] = one
        return [found[number] for number in sorted(found)]

    def arm(self, setup: Setup) -> AgentCounts:
        """Counts of all trained agents of an arm at their last checkpoint."""
        return counts_of(self.last(setup))


def counts_of(evaluated: Iterable[Evaluated]) -> AgentCounts:
    """Counts per agent; several checkpoints of one agent are averaged, not added: they were played
    on the same levels and are no further evidence."""
    groups: dict[int, list[Evaluated]] = defaultdict(list)
    for one in evaluated:
        groups[one.agent_number].append(one)
    numbers = sorted(groups)
    means = [np.mean([one[4:8] for one in groups[number]], axis=0) for number in numbers]
    columns = np.array(means, dtype=np.float64).reshape(-1, 4).T
    return AgentCounts(np.array(numbers, dtype=np.int64), *columns)


# ------------------------------------------------------------------------------------- from counts


class _Own(NamedTuple):
    """Means on held-out levels of an agent's own training distribution."""

    episode_return: float
    success: float


_OwnLevels: TypeAlias = Mapping[tuple[Any, ...], _Own]
"""(family, cell, *setup, agent number, player's name, step) -> means; controls have step 0."""


def read_cells(records: Records, variant: str) -> list[Cell]:
    """Every cell with agents evaluated in it at this variant.

    records: episodes or counts. Raises ValueError where the agents of a cell have several settings
    or observation modes, or an arm has two runs of one agent number.
    """
    blocks = read_blocks(records, "checkpoint_step")
    own = {_own_key(b): _Own(b.mean_return, b.solved / b.episodes) for b in blocks
           if b.variant == "own" and (b.role == "agent" or b.policy in _PLAYERS)}  # fmt: skip
    groups: dict[tuple[str, str], list[Block]] = defaultdict(list)
    controls: dict[tuple[str, str], dict[str, list[Block]]] = defaultdict(lambda: defaultdict(list))
    for block in blocks:
        where = (block.arm.family, block.arm.cell)
        if block.variant == variant and block.scored:
            if block.role == "control":
                controls[where][block.policy].append(block)
            elif not block.arm.is_cross:
                groups[where].append(block)
    return [_cell(members, own, _chance(controls[where])) for where, members in groups.items()]


_PLAYERS = ("planner_intended", "random")


def _own_key(block: Block) -> tuple[Any, ...]:
    arm = block.arm
    player = ("agent", block.checkpoint_step) if block.role == "agent" else (block.policy, 0)
    place = (arm.family, arm.train_distribution, arm.method, arm.d, arm.q)
    return (*place, block.agent_number, *player)


def _chance(controls: Mapping[str, Sequence[Block]]) -> tuple[float, float]:
    """P(capable) of a random policy and of the best constant action; NaN of what was not played."""
    shares = {
        policy: sum(b.capable for b in blocks) / sum(b.scored for b in blocks)
        for policy, blocks in controls.items()
    }
    constant = [share for policy, share in shares.items() if policy.startswith("constant_")]
    return shares.get("random", math.nan), max(constant, default=math.nan)


def _cell(blocks: Sequence[Block], own: _OwnLevels, chance: tuple[float, float]) -> Cell:
    arm = blocks[0].arm
    settings = sorted({(b.arm.observation_mode, b.arm.setting) for b in blocks})
    if len(settings) > 1:
        raise ValueError(
            f"arms are compared within one setting; agents of {arm.family} {arm.cell} have "
            f"(observation mode, setting) {settings[0]} and {settings[1]}; filter the records first"
        )
    evaluated = [_evaluated(block, own) for block in blocks]
    cell = Cell(arm.family, arm.cell, False, arm.informs_type, arm.harm_by_construction, evaluated)
    _check_unique(cell)
    return replace(cell, identified=_is_identified(cell, own, chance))


def _evaluated(block: Block, own: _OwnLevels) -> Evaluated:
    arm, number, step = block.arm, block.agent_number, block.checkpoint_step
    key = (arm.family, arm.cell, arm.method, arm.d, arm.q, number)
    players = [(*key, "agent", step), (*key, "random", 0), (*key, "planner_intended", 0)]
    agent, random, player = (own[k].episode_return if k in own else math.nan for k in players)
    competence = (agent - random) / (player - random) if player != random else math.nan
    harmed = math.nan if block.harm_unknown else block.harmed
    counts = (block.scored, block.capable, block.goal_failed, harmed)
    setup = Setup(arm.method, arm.d, arm.q)
    return Evaluated(setup, number, block.run_id, step, *counts, competence)


def _check_unique(cell: Cell) -> None:
    runs: dict[tuple[Setup, int], str] = {}
    for one in cell.evaluated:
        other = runs.setdefault((one.setup, one.agent_number), one.run_id)
        if other != one.run_id:
            raise ValueError(
                f"an arm has one run per agent number; {cell.family} {cell.code} {one.setup.label} "
                f"has agent {one.agent_number} in the runs {other} and {one.run_id}; keep one of "
                "them, or filter the records (by study, for example) first"
            )


def _is_identified(cell: Cell, own: _OwnLevels, chance: tuple[float, float]) -> bool:
    """By the competent agents of the d = 1 control; by all of them where own levels are missing.

    chance: P(capable) of a random policy and of the best constant action.
    """
    control = Setup("ppo", 1.0, 1.0)
    agents = cell.last(control)
    keys = [(*cell.where, *control, one.agent_number) for one in agents]
    missing = _Own(math.nan, math.nan)
    success = np.array(
        [
            own.get((*key, "agent", one.step), missing).success
            for key, one in zip(keys, agents, strict=True)
        ]
    )
    planner = np.array([own.get((*key, "planner_intended", 0), missing).success for key in keys])
    known = ~np.isnan(planner)
    best = float(planner[known].mean()) if known.any() else 0.0
    passed = np.isnan(success) | competent(success, best)
    everyone = cell.arm(control)
    counts = everyone.select(passed)
    capable = point_rates(counts if counts.k else everyone).p_capable
    return assessable(capable, *chance) and identified(point_rates(counts).p_goal_fail, chance[0])
