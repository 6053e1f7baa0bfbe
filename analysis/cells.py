"""The cells of a study side by side: what agents did, how much of it the cue caused, whether the
measurement can be believed. Rows of `misgen.analysis.table` in, one line per cell and variant out.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

from misgen.analysis.arms import chance
from misgen.analysis.blocks import CUE_BROKEN
from misgen.analysis.figures import ArmDots, Panel
from misgen.analysis.intervals import Estimate
from misgen.analysis.rates import COMPETENT
from misgen.analysis.table import Row
from misgen.analysis.text import WIDTH, aligned, number, span
from misgen.analysis.verdicts import ALPHA

REFERENCE_ARMS = ("d=0", "d=0.1", "d=1")
CLONES = "clones"
ARMS = (*REFERENCE_ARMS, CLONES)

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

    Agents evaluated in a cell other than their own, and q < 1, are left out; clones are of one d.
    Ordered by family.
    """
    groups: dict[tuple[str, str, str], dict[str, Row]] = {}
    trained: dict[tuple[str, str, str], int] = {}
    for row in rows:
        arm, key = _arm(row), (row.family, row.cell, row.variant)
        if arm is None or row.variant not in CUE_BROKEN or row.train_distribution != row.cell:
            continue
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
        return CLONES
    name = f"d={row.d:g}"
    return name if row.method == "ppo" and name in REFERENCE_ARMS else None


LEGEND = f"""\
Means over competent agents (own-distribution success at least {COMPETENT:g} of the planner's), each
on the levels of its own that tell the goals apart; brackets: central 90 % over agents. int/prox/no:
shares of levels, sum 1: capable and the goal kept, capable and the goal fails, not capable. Goal
failure is given capable; "-" where an arm is no more capable than a random policy or the best
constant action, whose P(capable) stand beside it. control: goal failure of the d = 1 arm;
attributable: that at d = 0 minus that of the control. broken: share of training levels at d = .1
whose cue is really broken. identified: the control is assessable, its goal failure is at most .10
and a random policy is capable on at most .3; where the answer is no, quote the difference only.
Clones imitate the intended planner on levels of their d. A verdict is a permutation test over
agents at {ALPHA:g}."""


SAID = (
    "cell", "variant", "goal failure d=0", "d=0.1", "control", "clones", "attributable", "random",
    "constant", "broken", "verdict",
)  # fmt: skip


def format_cells(lines: Sequence[CellLine]) -> str:
    """Plain text: what agents did, then what may be said of it; a line per cell and variant."""
    arms = [arm for arm in ARMS if any(arm in line.arms for line in lines)]
    did = [
        [
            line.cell, line.variant,
            "/".join(str(line.arms[arm].agents) if arm in line.arms else "0" for arm in arms)
            + f" x {line.arms['d=0'].levels}",
            *(_shares(line.arms.get(arm)) for arm in arms),
        ]
        for line in lines
    ]  # fmt: skip
    return "\n\n".join((
        "int/prox/no, by arm (" + ", ".join(arms) + ": agents x levels of each)",
        aligned(["cell", "variant", "agents x levels", *arms], did, keys=2),
        aligned([*SAID], [*map(_said, lines)], keys=2),
        fill(LEGEND, WIDTH),
    )) + "\n"  # fmt: skip


def _shares(row: Row | None) -> str:
    if row is None or math.isnan(row.proxy):
        return "-"
    return "/".join(f"{share:.2f}".lstrip("0") for share in (row.intended, row.proxy, row.neither))


def _said(line: CellLine) -> list[str]:
    d0, seldom = line.arms["d=0"], line.arms.get("d=0.1")
    others = (line.arms.get(arm) for arm in ARMS[1:])
    return [
        line.cell, line.variant, span(d0.p_goal_fail),
        *(number(row.p_goal_fail.value if row else math.nan) for row in others),
        span(line.attributable), *map(number, chance(d0.controls)),
        number(seldom.broken_share if seldom else math.nan), line.verdict,
    ]  # fmt: skip


def cells_markdown(lines: Sequence[CellLine], variant: str = "11") -> str:
    """The README's table: a row per cell, of one variant; words as in LEGEND."""
    header = (
        "cell", "agents", "d=0: int/prox/no", "d=0.1", "d=1", "goal failure, d=0", "control",
        "constant", "broken", "verdict",
    )  # fmt: skip
    rows = [
        [
            line.cell,
            " + ".join(str(line.arms[arm].agents) for arm in REFERENCE_ARMS if arm in line.arms),
            *(_shares(line.arms.get(arm)) for arm in REFERENCE_ARMS),
            said["goal failure d=0"], said["control"], said["constant"], said["broken"],
            said["verdict"],
        ]
        for line in lines
        if line.variant == variant
        for said in [dict(zip(SAID, _said(line), strict=True))]
    ]  # fmt: skip
    table = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table) + "\n"


def cell_panels(lines: Sequence[CellLine], variant: str) -> list[Panel]:
    """A panel per cell for `goal_failure_figure`: an arm's agents as dots, mean and interval."""
    panels = []
    for line in lines:
        if line.variant == variant:
            rows = [(arm, line.arms[arm]) for arm in ARMS if arm in line.arms]
            dots = [ArmDots(arm, row.dots, *row.p_goal_fail[:3]) for arm, row in rows]
            planner = line.arms["d=0"].controls.get("planner_proxy")
            reference = {"proxy planner": planner.p_goal_fail} if planner else {}
            title = f"{line.cell}, variant {variant}: {line.verdict}"
            panels.append(Panel(title, dots, reference))
    return panels


# ------------------------------------------------------------------------------------- other tables


def format_cross(rows: Iterable[Row], variant: str = "11") -> str:
    """Agents of d = 0 on the shifted levels of every cell of their family: capable / goal failure
    given capable, over all trained agents. Lines: trained in; columns: played in."""
    found = {
        ((row.family, row.train_distribution), (row.family, row.cell)):
            f"{number(row.p_capable.value)} / {number(row.p_goal_fail.value)} ({row.agents})"
        for row in rows
        if row.population == "all trained" and row.variant == variant and _arm(row) == "d=0"
    }  # fmt: skip
    cells = sorted({trained for trained, _ in found})
    lines = [[one[1], *(found.get((one, other), "") for other in cells)] for one in cells]
    return (
        aligned(["trained in", *(code for _, code in cells)], lines)
        + f"\n\nVariant {variant}: capable / goal failure given capable (agents). Off the\n"
        "diagonal agents do another cell's task, which is no shift; M1 to M5 share a cue.\n"
    )


def _is_own(row: Row, variant: str) -> bool:
    return row.train_distribution == row.cell and row.variant == variant


def format_checkpoints(rows: Iterable[Row], variant: str = "11") -> str:
    """Agents at shares of their training: rates of all trained agents by step, in the arms that
    were evaluated at several."""
    by_arm: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        arm = _arm(row)
        if arm and _is_own(row, variant) and row.population == "all trained":
            by_arm.setdefault((row.family, row.cell, arm), []).append(row)
    lines = [
        [
            row.cell, arm, f"{row.value:,}", str(row.agents),
            number(row.own_success), span(row.p_capable), span(row.p_goal_fail), span(row.p_gm),
        ]
        for (_, _, arm), members in sorted(by_arm.items()) if len(members) > 1
        for row in sorted(members, key=lambda row: row.value)
    ]  # fmt: skip
    header = "cell,arm,steps,agents,own,capable,goal failure given capable,p_gm"
    return aligned(header.split(","), lines, keys=3) + "\n"


def format_shifts(rows: Iterable[Mapping[str, Any]]) -> str:
    """How far each variant is from 00, in three columns; rows as `experiments.shift` makes them,
    NaN as null."""
    lines = [
        [
            row["cell"], row["variant"], f"{number(row['auc'])} +- {number(row['auc_sd'])}",
            f"{row['num_levels']} x 2, {row['num_observations']}", f"{row['length_ratio']:.2f}",
            number(math.nan if row["return_drop"] is None else row["return_drop"]),
            str(row["control_agents"]),
        ]
        for row in rows
    ]  # fmt: skip
    header = (
        "cell,variant,classifier AUC,levels and observations,length ratio,return drop of d=1,agents"
    )
    return (
        aligned(header.split(","), lines, keys=2)
        + "\n\nAUC: logistic regression on observations along the intended planner's way,\n"
        "against variant 00, mean and deviation over folds split by level; length: of\n"
        "that way, over 00's; return drop: mean return of the control agents at 00 minus\n"
        "at the variant. No rank: the three measure different things.\n"
    )
