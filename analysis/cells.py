"""The cells of a study side by side: what agents did, how much of it the cue caused, whether the
measurement can be believed. Rows of `misgen.analysis.table` in, one line per cell and variant out.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from misgen.analysis.blocks import CUE_BROKEN
from misgen.analysis.figures import ArmDots, Panel
from misgen.analysis.rates import ALPHA, COMPETENT, Estimate
from misgen.analysis.table import Row, chance
from misgen.analysis.text import aligned, number, span

REFERENCE_ARMS = ("d=0", "d=0.1", "d=1")
CLONES = "clones d=0"

MISGENERALIZES = "misgeneralizes"
DIFFERENCE_ONLY = "not identified: difference only"
NOTHING_SHOWN = "no misgeneralization shown"
NOT_LEARNABLE = "not learnable at this budget"
NOT_ASSESSABLE = "not assessable"


@dataclass(frozen=True)
class CellLine:
    """One cell, by its code, at variant 10 or 11: the competent agents of its arms, by arm.

    trained: how many agents the d = 0 arm has, competent or not.
    """

    cell: str
    variant: str
    arms: Mapping[str, Row]
    trained: int

    @property
    def attributable(self) -> Estimate:
        """Goal failure at d = 0 minus that of the d = 1 control."""
        return self.arms["d=0"].difference_goal_fail

    @property
    def identified(self) -> bool:
        """Whether goal failure may be quoted at all: the control is assessable, its goal failure is
        <= .10, and a random policy is rarely capable."""
        return self.arms["d=0"].identified

    @property
    def verdict(self) -> str:
        """What may be said, in words."""
        competent = self.arms["d=0"].agents
        if 2 * competent < self.trained:
            return NOT_LEARNABLE
        if not self.arms["d=0"].assessable:
            return NOT_ASSESSABLE
        verdict = self.arms["d=0"].verdict_goal_fail
        if verdict.reason:
            return verdict.reason
        if not verdict.differs or self.attributable.value < 0:
            return NOTHING_SHOWN
        return MISGENERALIZES if self.identified else DIFFERENCE_ONLY


def cell_lines(rows: Iterable[Row]) -> list[CellLine]:
    """One line for every cell and variant with a broken cue that has a d = 0 arm of PPO agents.

    Agents evaluated in a cell other than their own, and q < 1, are left out. Ordered by family.
    """
    groups: dict[tuple[str, str, str], dict[str, Row]] = {}
    trained: dict[tuple[str, str, str], int] = {}
    for row in rows:
        arm = _arm(row)
        if arm is None or row.variant not in CUE_BROKEN or row.train_distribution != row.cell:
            continue
        key = (row.family, row.cell, row.variant)
        if row.population == "competent":
            groups.setdefault(key, {})[arm] = row
        elif row.population == "all trained" and arm == "d=0":
            trained[key] = row.agents
    keys = [key for key in sorted(trained) if "d=0" in groups[key]]
    return [CellLine(*key[1:], groups[key], trained[key]) for key in keys]


def _arm(row: Row) -> str | None:
    """The name of an arm that the cells are compared by; None for any other."""
    if row.q != 1:
        return None
    if row.method == "cloning":
        return CLONES if row.d == 0 else None
    name = f"d={row.d:g}"
    return name if row.method == "ppo" and name in REFERENCE_ARMS else None


HEADER = (
    "cell,variant,agents x levels,own d=0,own d=1,capable d=0,goal failure d=0,d=0.1,d=1,"
    "attributable to the cue,clones d=0,distinguish,random capable,constant capable,identified,"
    "verdict"
).split(",")

LEGEND = f"""\
Goal failure is given capable, mean over competent agents (own-distribution success at least
{COMPETENT:g} of the planner's); brackets: central 90 % over agents. agents x levels: of the arms
d = 0 / 0.1 / 1 / clones x distinguishing levels of each agent. attributable: goal failure at d = 0
minus that of the d = 1 control. identified: the control is assessable (capable more often than a
random policy and the best constant action), its goal failure is at most .10 and a random policy is
capable on at most .3; where the answer is no, quote the difference only. Clones imitate the
intended planner on levels of d = 0. A verdict is a permutation test over agents at {ALPHA:g}."""


def format_cells(lines: Sequence[CellLine]) -> str:
    """Plain text, one line per cell and variant, and what the columns mean."""
    return aligned(HEADER, [_cells(line) for line in lines]) + f"\n\n{LEGEND}\n"


def _cells(line: CellLine) -> list[str]:
    base = line.arms["d=0"]
    agents = "/".join(str(_agents(line, arm)) for arm in (*REFERENCE_ARMS, CLONES))
    return [
        line.cell,
        line.variant,
        f"{agents} x {base.levels}",
        number(base.own_success),
        number(line.arms["d=1"].own_success) if "d=1" in line.arms else "-",
        span(base.p_capable),
        *(_goal_failure(line, arm) for arm in REFERENCE_ARMS),
        span(line.attributable),
        _goal_failure(line, CLONES),
        number(base.distinguishing_share),
        *map(number, chance(base.controls)),
        "yes" if line.identified else "no",
        line.verdict,
    ]


def _agents(line: CellLine, arm: str) -> int:
    return line.arms[arm].agents if arm in line.arms else 0


def _goal_failure(line: CellLine, arm: str) -> str:
    return span(line.arms[arm].p_goal_fail) if arm in line.arms else "-"


def cell_panels(lines: Sequence[CellLine], variant: str) -> list[Panel]:
    """A panel per cell for `goal_failure_figure`: an arm's agents as dots, mean and interval."""
    return [
        Panel(
            f"{line.cell}, variant {variant}: {line.verdict}",
            [
                ArmDots(arm.removesuffix(" d=0"), row.dots, *row.p_goal_fail[:3])
                for arm in (*REFERENCE_ARMS, CLONES)
                if (row := line.arms.get(arm)) is not None
            ],
            {"proxy planner": line.arms["d=0"].controls["planner_proxy"].p_goal_fail}
            if "planner_proxy" in line.arms["d=0"].controls
            else {},
        )
        for line in lines
        if line.variant == variant
    ]


# ------------------------------------------------------------------------------------- other tables


def format_cross(rows: Iterable[Row], variant: str = "11") -> str:
    """Agents of d = 0 on the shifted levels of every cell of their family: capable / goal failure
    given capable, over all trained agents. Lines: trained in; columns: played in."""
    found: dict[tuple[tuple[str, str], tuple[str, str]], str] = {}
    for row in rows:
        if row.population != "all trained" or row.variant != variant or _arm(row) != "d=0":
            continue
        rates = f"{number(row.p_capable.value)} / {number(row.p_goal_fail.value)} ({row.agents})"
        trained = (row.family, row.train_distribution)
        found[trained, (row.family, row.cell)] = rates
    cells = sorted({trained for trained, _ in found})
    lines = [[one[1], *(found.get((one, other), "") for other in cells)] for one in cells]
    return (
        aligned(["trained in", *(code for _, code in cells)], lines)
        + f"\n\nVariant {variant}: capable / goal failure given capable (agents). Off the diagonal "
        "the cue of training is absent: these are other tasks, not shifts.\n"
    )


def format_arms(rows: Iterable[Row], variant: str = "11") -> str:
    """Arms beyond the reference ones (diversity, specification quality): p_gm over all trained
    agents, the rate by which arms are compared, and the conditional rates of the competent ones."""
    kept: dict[tuple[tuple[str, str], float, float], dict[str, Row]] = {}
    for row in rows:
        own = row.train_distribution == row.cell and row.variant == variant
        if own and row.method == "ppo" and row.population in ("competent", "all trained"):
            key = ((row.family, row.cell), -row.q, row.d)
            kept.setdefault(key, {})[row.population] = row
    several = [key for key in sorted(kept) if sum(key[0] == other[0] for other in kept) > 3]
    lines = []
    for cell, minus_q, d in several:
        everyone, competent = (
            kept[cell, minus_q, d][population] for population in ("all trained", "competent")
        )
        lines.append([
            cell[1], f"d={d:g} q={-minus_q:g}", everyone.tags,
            f"{competent.agents} of {everyone.agents}", span(everyone.p_gm),
            span(competent.p_capable), span(competent.p_goal_fail),
        ])  # fmt: skip
    header = "cell,arm,tags,competent,p_gm of all trained,capable,goal failure given capable"
    return aligned(header.split(","), lines) + "\n"


def format_checkpoints(rows: Iterable[Row], variant: str = "11") -> str:
    """Agents of d = 0 at shares of their training: rates of all trained agents by step."""
    lines = []
    for row in sorted(rows, key=lambda row: (row.family, row.cell, row.value)):
        wanted = row.population == "all trained" and row.variant == variant
        if wanted and _arm(row) == "d=0" and row.train_distribution == row.cell:
            lines.append([
                row.cell, f"{row.value:,}", str(row.agents),
                number(row.own_success), span(row.p_capable), span(row.p_goal_fail),
                span(row.p_gm),
            ])  # fmt: skip
    header = "cell,steps,agents,own,capable,goal failure given capable,p_gm"
    return aligned(header.split(","), lines) + "\n"


def format_shifts(rows: Iterable[Mapping[str, Any]]) -> str:
    """How far each variant is from 00, in three columns; rows as `experiments.shift` makes them,
    NaN as null."""
    lines = [
        [
            row["cell"],
            row["variant"],
            f"{number(row['auc'])} +- {number(row['auc_sd'])}",
            f"{row['num_levels']} x 2, {row['num_observations']}",
            f"{row['length_ratio']:.2f}",
            number(math.nan if row["return_drop"] is None else row["return_drop"]),
            str(row["control_agents"]),
        ]
        for row in rows
    ]
    header = (
        "cell,variant,classifier AUC,levels and observations,length ratio,return drop of d=1,agents"
    )
    return (
        aligned(header.split(","), lines)
        + "\n\nAUC: logistic regression on observations along the intended planner's way, against\n"
        "variant 00, mean and deviation over folds split by level; length: of that way, over\n"
        "00's; return drop: mean return of the control agents at 00 minus at the variant. No\n"
        "rank: the three measure different things.\n"
    )
