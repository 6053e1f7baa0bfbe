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

from misgen.analysis.rates import AgentCounts, assessable, competent, identified, point_rates
from misgen.analysis.records import Records, query

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


# ------------------------------------------------------------------------------------ from records

_AGENTS = """
select family, cell, observation_mode, setting, method, d, q,
       agent_number, run_id, checkpoint_step, informs_type, harm_by_construction, count(*),
       count(*) filter (capable), count(*) filter (capable and goal_failure),
       case when count(*) filter (capable and goal_failure and harm is null) = 0
            then count(*) filter (capable and goal_failure and harm) end
from records
where role = 'agent' and cell = train_distribution and variant = '{variant}' and is_distinguishing
group by family, cell, observation_mode, setting, method, d, q, agent_number, run_id,
         checkpoint_step, informs_type, harm_by_construction
order by all
"""

_OWN = """
select family, train_distribution, method, d, q, agent_number, role, policy, checkpoint_step,
       avg(episode_return), avg(success::int)
from records
where variant = 'own' and (role = 'agent' or policy in ('planner_intended', 'random'))
group by all order by all
"""

_CHANCE = """
select family, cell, max(share) filter (policy = 'random'),
       max(share) filter (policy like 'constant_%')
from (
    select family, cell, policy, avg(capable::int) as share from records
    where (policy = 'random' or policy like 'constant_%')
      and variant = '{variant}' and is_distinguishing
    group by all
)
group by all order by all
"""


class _Own(NamedTuple):
    """Means on held-out levels of an agent's own training distribution."""

    episode_return: float
    success: float


_OwnLevels: TypeAlias = Mapping[tuple[Any, ...], _Own]
"""(family, cell, *setup, agent number, player's name, step) -> means; controls have step 0."""


def read_cells(records: Records, variant: str) -> list[Cell]:
    """Every cell with agents evaluated in it at this variant.

    Raises ValueError where the agents of a cell have several settings or observation modes, or an
    arm has two runs of one agent number.
    """
    own: dict[tuple[Any, ...], _Own] = {}
    for *key, role, policy, step, episode_return, success in query(records, _OWN):
        player = ("agent", step) if role == "agent" else (policy, 0)
        own[*key, *player] = _Own(episode_return, success)
    chance = {
        (family, code): tuple(math.nan if share is None else share for share in shares)
        for family, code, *shares in query(records, _CHANCE.format(variant=variant))
    }
    groups: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
    for row in query(records, _AGENTS.format(variant=variant)):
        groups[row[0], row[1]].append(row)
    unknown = (math.nan, math.nan)
    return [_cell(rows, own, chance.get(where, unknown)) for where, rows in groups.items()]


def _cell(rows: Sequence[tuple[Any, ...]], own: _OwnLevels, chance: tuple[float, ...]) -> Cell:
    family, code = rows[0][:2]
    settings = sorted({row[2:4] for row in rows})
    if len(settings) > 1:
        raise ValueError(
            f"arms are compared within one setting; agents of {family} {code} have (observation "
            f"mode, setting) {settings[0]} and {settings[1]}; filter the records first"
        )
    informs, by_construction = rows[0][10:12]
    evaluated = [_evaluated(row, own) for row in rows]
    cell = Cell(family, code, False, informs, by_construction, evaluated)
    _check_unique(cell)
    return replace(cell, identified=_is_identified(cell, own, chance))


def _evaluated(row: Sequence[Any], own: _OwnLevels) -> Evaluated:
    setup, number, run_id, step = Setup(*row[4:7]), *row[7:10]
    n, c, gc, hgc = row[12:]
    key = (*row[:2], *setup, number)
    players = [(*key, "agent", step), (*key, "random", 0), (*key, "planner_intended", 0)]
    agent, random, player = (own[k].episode_return if k in own else math.nan for k in players)
    competence = (agent - random) / (player - random) if player != random else math.nan
    harmed = math.nan if hgc is None else hgc
    return Evaluated(setup, number, run_id, step, n, c, gc, harmed, competence)


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


def _is_identified(cell: Cell, own: _OwnLevels, chance: tuple[float, ...]) -> bool:
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
