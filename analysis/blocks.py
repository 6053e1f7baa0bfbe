"""Counts as blocks: one per policy, agent and variant."""

import functools
import math
import operator
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np

from misgen.analysis.counts import ARM_COLUMNS, COUNTED, HASHES, counted
from misgen.analysis.rates import AgentCounts
from misgen.analysis.records import SCHEMA, Records, query, relation_of, tags_of

CUE_BROKEN = ("10", "11")
"""Only these variants declare a goal failure; the table says "capability only" at the others."""


Levels = Literal["scored", "all", "intact"]
"""Of a block: those that are scored; all that define `capable`, without harm; of the scored ones
the levels of the same seeds at variant 00, where capability alone is defined."""


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
        return _agents(self)

    def at(self, column: str, value: Any, by: str) -> "Arm":
        """The arm that differs in one column only, and in what follows from it: the tags, and the
        `value` if arms are told apart by this column."""
        arm = self._replace(value=value) if column == by else self
        if column == "q":
            arm = arm._replace(tags=tags_of(value))
        return arm._replace(**{column: value}) if column in Arm._fields else arm


@functools.lru_cache(4096)  # asked for beside every control
def _agents(arm: Arm) -> Arm:
    return arm._replace(
        cell=arm.train_distribution,
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

    def counts(self, levels: Levels) -> tuple[float, float, float, float]:
        """n, c, gc and hgc of `AgentCounts`."""
        if levels == "intact":
            return self.intact, self.intact_capable, math.nan, math.nan
        is_broken = self.variant in CUE_BROKEN
        if levels == "all":
            failed = self.judged_failed if is_broken else math.nan
            return self.judged, self.judged_capable, failed, math.nan if failed else failed
        failed = self.goal_failed if is_broken else math.nan
        harmed = math.nan if self.harm_unknown or math.isnan(failed) else self.harmed
        return self.scored, self.capable, failed, harmed


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


def blocks_of_run(blocks: Iterable[Block], run_id: str) -> dict[str, Block]:
    """Those of the agent that was evaluated in a run, by variant."""
    return {b.variant: b for b in blocks if b.role == "agent" and b.run_id == run_id}


def counts_of_blocks(blocks: Iterable[Block], levels: Levels = "scored") -> AgentCounts:
    """Sums per agent number; blocks without such a level are left out."""
    sums: dict[int, tuple[float, ...]] = {}
    for b in blocks:
        own, before = b.counts(levels), sums.get(b.agent_number)
        if own[0]:
            sums[b.agent_number] = own if before is None else tuple(map(operator.add, before, own))
    numbers = np.array(sorted(sums), dtype=np.int64)
    columns = np.array([sums[number] for number in sorted(sums)], dtype=float).reshape(-1, 4).T
    return AgentCounts(numbers, *columns)
