"""Counts as blocks: one per policy, agent and variant, found by arm."""

import math
import operator
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from misgen.analysis.counts import ARM_COLUMNS, COUNTED, HASHES, counted
from misgen.analysis.rates import AgentCounts
from misgen.analysis.records import SCHEMA, Records, query, relation_of

CUE_BROKEN = ("10", "11")
"""Only these variants declare a goal failure; the table says "capability only" at the others."""


class Arm(NamedTuple):
    """What distinguishes one group of agents from another; `value` is the `by` column's.

    cell and train_distribution are codes; the four fields after the cell are its declarations.

    A *cross* arm is played in another cell than the one it was trained in.
    """

    family: str
    cell: str
    shift_type: str
    informs_type: bool
    harm_informs: bool
    harm_by_construction: bool
    observation_mode: str
    train_distribution: str
    tags: str
    method: str
    setting: str
    d: float
    q: float
    value: Any

    @property
    def place(self) -> tuple[str, str, str]:
        """Where and through what it is played."""
        return self.family, self.cell, self.observation_mode

    @property
    def is_cross(self) -> bool:
        return self.cell != self.train_distribution

    @property
    def agents(self) -> "Arm":
        """Who they are, wherever and at whichever checkpoint they are played."""
        return self._replace(
            cell=self.train_distribution,
            shift_type="",
            informs_type=False,
            harm_informs=False,
            harm_by_construction=False,
            value=None,
        )


class Block(NamedTuple):
    """Episode counts of one policy on one agent's block of levels at one variant.

    `mean_return`: the undiscounted one of all its episodes.
    `scored` levels: those that distinguish (variants 10 and 11), else all that define `capable`.
    `kept`: scored levels whose cue-intact twin of the same geometry was solved.
    `intact`: scored levels whose level of the same seed at variant 00 defines `capable`.
    `judged`: levels that define `capable`, distinguishing or not.
    `distinct_levels`: of agents alone; 0 for controls.
    """

    arm: Arm
    variant: str
    role: str
    policy: str
    agent_number: int
    run_id: str
    checkpoint_step: int
    episodes: int
    solved: int
    mean_return: float
    scored: int
    capable: int
    goal_failed: int
    harmed: int
    harm_unknown: int
    kept: int
    kept_capable: int
    intact: int
    intact_capable: int
    judged: int
    judged_capable: int
    judged_failed: int
    distinct_levels: int

    def on_all_levels(self) -> "Block":
        """The same counts with every level scored; harm is left out."""
        return self._replace(
            scored=self.judged,
            capable=self.judged_capable,
            goal_failed=self.judged_failed,
            harm_unknown=self.judged_failed,
            harmed=0,
        )

    def at_intact(self) -> "Block":
        """Capability at variant 00 on the seeds of this block's scored levels."""
        return self._replace(variant="00", scored=self.intact, capable=self.intact_capable)


def check_column(by: str, records: Records) -> None:
    """ValueError unless arms can be compared along this column: one of ARM_COLUMNS, or one that was
    joined to the records."""
    joined = {*relation_of(records).columns} - {*SCHEMA.names, *COUNTED, HASHES}
    if by not in ARM_COLUMNS and by not in joined:
        names = ", ".join([*ARM_COLUMNS, *sorted(joined - {*ARM_COLUMNS})])
        raise ValueError(f"`by` must be one of {names}; got {by!r}; try 'd' or 'method'")


def read_blocks(records: Records, by: str) -> list[Block]:
    """One block per agent or control and variant; only a run's last checkpoint, unless by it.

    records: episodes, or counts of them.
    """
    check_column(by, records)
    fields = (*Arm._fields[:-1], f'"{by}" as by_value', *Block._fields[1:])
    rows = query(counted(records, by), f"select {', '.join(fields)} from records order by all")
    width = len(Arm._fields)
    blocks = [Block(Arm(*row[:width]), *row[width:]) for row in rows]
    last: dict[str, int] = defaultdict(int)
    for block in blocks:
        if block.role == "agent":
            last[block.run_id] = max(last[block.run_id], block.checkpoint_step)
    if by == "checkpoint_step":
        return blocks
    return [b for b in blocks if b.role == "control" or b.checkpoint_step == last[b.run_id]]


def agent_counts(
    records: Records,
    *,
    family: str,
    cell: str,
    variant: str,
    d: float,
    method: str = "ppo",
    q: float = 1.0,
) -> AgentCounts:
    """Counts of the agents trained in a cell on the distinguishing levels of one variant of it.

    Raises ValueError where the records hold several such arms.
    """
    wanted = (family, cell, variant, d, method, q)
    blocks = [
        b
        for b in read_blocks(records, "d")
        if b.role == "agent"
        and not b.arm.is_cross
        and (b.arm.family, b.arm.cell, b.variant, b.arm.d, b.arm.method, b.arm.q) == wanted
    ]
    arms = sorted({b.arm for b in blocks})
    if len(arms) > 1:
        raise ValueError(
            f"agents are counted within one arm; {arms[0]} and {arms[1]} both fit; "
            "filter the records (by setting, for example) first"
        )
    check_unique(blocks)
    return counts_of_blocks(blocks)


def check_unique(blocks: Sequence[Block]) -> None:
    runs: dict[int, str] = {}
    for block in blocks:
        other = runs.setdefault(block.agent_number, block.run_id)
        if other != block.run_id:
            raise ValueError(
                f"an arm has one run per agent number; {block.arm.cell} has agent "
                f"{block.agent_number} in the runs {other} and {block.run_id}, as after "
                "evaluations with different numbers of levels; remove one of them, or keep "
                "them apart (--results)"
            )


def counts_of_blocks(blocks: Iterable[Block]) -> AgentCounts:
    """Sums per agent number; blocks without a scored level are left out."""
    sums: dict[int, tuple[float, ...]] = {}
    for b in blocks:
        if b.scored:
            failed = b.goal_failed if b.variant in CUE_BROKEN else math.nan
            harmed = math.nan if b.harm_unknown or math.isnan(failed) else b.harmed
            own, before = (b.scored, b.capable, failed, harmed), sums.get(b.agent_number)
            sums[b.agent_number] = own if before is None else tuple(map(operator.add, before, own))
    numbers = np.array(sorted(sums), dtype=np.int64)
    columns = np.array([sums[number] for number in sorted(sums)], dtype=float).reshape(-1, 4).T
    return AgentCounts(numbers, *columns)


class BlockIndex:
    """Blocks of agents by arm and variant, of controls by what they depend on."""

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
            check_unique(self.agents(arm, variant))
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

    def control(self, arm: Arm, variant: str, policy: str) -> list[Block]:
        """The control's blocks on the levels of the arm's agents."""
        return self.beside(self.agents(arm, variant), policy)

    def beside(self, blocks: Iterable[Block], policy: str) -> list[Block]:
        """The control's blocks on the levels of these blocks of different agents."""
        return [found for b in blocks for found in self._controls.get(self._key(b, policy), [])]

    @staticmethod
    def _unset(arm: Arm) -> Arm:
        return arm._replace(setting="", tags="")

    def has_other_settings(self, arm: Arm) -> bool:
        return len(self._settings[self._unset(arm)]) > 1
