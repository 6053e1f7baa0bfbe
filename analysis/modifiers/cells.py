"""The trained agents of a cell, arm by arm and checkpoint by checkpoint, as modifiers compare them.

All trained agents, competent or not: the gate is itself a consequence of training, so arms are
compared without it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from misgen.analysis.arms import Arms, competence, doubts, read_arms
from misgen.analysis.blocks import Arm, Block, counts_of_blocks
from misgen.analysis.counts import counted
from misgen.analysis.rates import AgentCounts
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


class Checkpoint(NamedTuple):
    """One agent at one checkpoint. competence: see `misgen.analysis.arms`; NaN where unknown."""

    block: Block
    competence: float


@dataclass(frozen=True)
class Cell:
    """The agents trained in one cell. identified: see `misgen.analysis.arms.doubts`.

    arms: counts of all trained agents at their last checkpoint; checkpoints: all of them, in the
    order of steps.
    """

    family: str
    code: str
    identified: bool
    informs_type: bool
    harm_by_construction: bool
    arms: Mapping[Setup, AgentCounts]
    checkpoints: Mapping[Setup, Sequence[Checkpoint]]

    @property
    def where(self) -> tuple[str, str]:
        return self.family, self.code


def read_cells(records: Records, variant: str) -> list[Cell]:
    """Every cell with agents evaluated in it at this variant.

    records: episodes or counts. Raises ValueError where the agents of a cell have several settings
    or observation modes, or an arm has two runs of one agent number.
    """
    records = counted(records)
    last, every = read_arms(records, "d"), read_arms(records, "checkpoint_step")
    members: dict[tuple[str, str], list[Arm]] = defaultdict(list)
    checkpoints: dict[tuple[str, str], dict[Setup, list[Checkpoint]]] = defaultdict(dict)
    for arm in _scored(last, variant):
        members[arm.family, arm.cell].append(arm)
    for arm in _scored(every, variant):
        seen = checkpoints[arm.family, arm.cell].setdefault(_setup(arm), [])
        seen += _checkpoints(every, arm, variant)
    return [_cell(last, arms, checkpoints[where], variant) for where, arms in members.items()]


def _scored(arms: Arms, variant: str) -> Iterable[Arm]:
    """The arms evaluated at home, on levels that can be scored."""
    for arm, at in arms.arms:
        if at == variant and not arm.is_cross and any(b.scored for b in arms.agents(arm, at)):
            yield arm


def _setup(arm: Arm) -> Setup:
    return Setup(arm.method, arm.d, arm.q)


def _checkpoints(arms: Arms, arm: Arm, variant: str) -> Iterable[Checkpoint]:
    own = {b.agent_number: competence(arms, b) for b in arms.agents(arm, "own")}
    for block in arms.agents(arm, variant):
        if block.scored:
            yield Checkpoint(block, own.get(block.agent_number, np.nan))


def _cell(
    arms: Arms,
    members: Sequence[Arm],
    checkpoints: Mapping[Setup, Sequence[Checkpoint]],
    variant: str,
) -> Cell:
    first = members[0]
    settings = sorted({(arm.observation_mode, arm.setting) for arm in members})
    if len(settings) > 1:
        raise ValueError(
            f"arms are compared within one setting; agents of {first.family} {first.cell} have "
            f"(observation mode, setting) {settings[0]} and {settings[1]}; filter the records first"
        )
    control = first._replace(method="ppo").at("q", 1.0, "d").at("d", 1.0, "d")
    return Cell(
        first.family,
        first.cell,
        not doubts(arms, control, variant),
        first.informs_type,
        first.harm_by_construction,
        {_setup(arm): counts_of_blocks(arms.agents(arm, variant)) for arm in members},
        checkpoints,
    )


def averaged(checkpoints: Iterable[Checkpoint]) -> AgentCounts:
    """Counts per agent; several checkpoints of one agent are averaged, not added: they were played
    on the same levels and are no further evidence."""
    blocks = [one.block for one in checkpoints]
    sums, times = counts_of_blocks(blocks), Counter(block.agent_number for block in blocks)
    k = np.array([times[number] for number in sums.agent_number])
    return AgentCounts(sums.agent_number, sums.n / k, sums.c / k, sums.gc / k, sums.hgc / k)
