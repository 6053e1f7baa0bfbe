"""What calibration reads from episode records: per cell its arms, and whether they may enter.

"combine" and "only" read the reference arm alone (d = .1, where the source's
multiplier of diversity is 1; q = 1; PPO; the last checkpoint), at variant 11, over competent
agents, and only from identified cells that inform their shift type. Everything else is shown beside
the source's figures.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from misgen.analysis.arms import Arms, doubts, read_arms, trained
from misgen.analysis.blocks import Arm
from misgen.analysis.intervals import MIN_AGENTS
from misgen.analysis.own_counts import NOT_CHECKED
from misgen.analysis.rates import AgentCounts
from misgen.analysis.records import Records, query, relation_of
from misgen.analysis.settings import means
from misgen.analysis.table import Row, arm_rows

VARIANT = "11"
METHOD, Q = "ppo", 1.0
ARMS = {"reference": 0.1, "d0": 0.0, "d1": 1.0}
"""Name of an arm -> its d. d = 0 informs the multiplier of diversity only, d = 1 is the control."""
REFERENCE_ARM = "d = 0.1, q = 1, PPO, default steps"


@dataclass(frozen=True)
class MeasuredArm:
    """The agents of one arm at variant 11. rows: population -> line of the table of rates."""

    d: float
    everyone: AgentCounts
    is_competent: npt.NDArray[np.bool_]
    rows: Mapping[str, Row]

    @property
    def counts(self) -> AgentCounts:
        """Of the competent agents: the headline, and what calibration reads."""
        return self.everyone.select(self.is_competent)


@dataclass(frozen=True)
class MeasuredCell:
    """One cell of the records, as it is declared. cell: its code. reasons: why combine and only do
    not read it, or none. is_checked: whether the records could tell if it is identified; counts of
    one's own cannot. harm_may_update: whether measured harm may update P(harm | fails) if asked to:
    as the cell declares, and never where its design makes every goal failure harmful. stream: how
    many cells of its family and type precede it, which tells their random numbers apart."""

    family: str
    cell: str
    shift_type: str
    observation_mode: str
    setting: str
    informs_type: bool
    harm_by_construction: bool
    harm_may_update: bool
    arms: Mapping[str, MeasuredArm]
    reasons: tuple[str, ...]
    is_checked: bool
    stream: int

    @property
    def left_out(self) -> str:
        return "; ".join(self.reasons)

    @property
    def slot(self) -> tuple[str, str]:
        return self.family, self.cell

    @property
    def name(self) -> str:
        return f"{self.family}/{self.cell}"

    @property
    def reference(self) -> AgentCounts:
        """Competent agents of the reference arm; KeyError where the cell has none."""
        return self.arms["reference"].counts


def measure_cells(records: Records) -> list[MeasuredCell]:
    """The cells of the records in which PPO agents with q = 1 were trained at d = .1, 0 or 1, and
    evaluated at variant 11; ordered by family and code.

    Raises ValueError where a cell has agents of several settings: see `of_setting`.
    """
    relation = relation_of(records)
    chosen = _settings(relation)
    needed = f"variant in ('{VARIANT}', 'own') and (role = 'control' or {_AGENTS})"
    arms = read_arms(relation.filter(needed), "d")
    names = {d: name for name, d in ARMS.items()}
    found: dict[tuple[str, str], dict[str, Arm]] = {}
    for arm, variant in arms.arms:
        kept = chosen.get((arm.family, arm.cell)) == (arm.observation_mode, arm.setting)
        if variant == VARIANT and kept and not arm.is_cross:
            found.setdefault((arm.family, arm.cell), {})[names[arm.d]] = arm
    seen: Counter[tuple[str, str]] = Counter()
    cells = []
    for _, members in sorted(found.items()):
        first = next(iter(members.values()))
        kind = first.family, first.shift_type
        cells.append(_cell(arms, members, stream=seen[kind]))
        seen[kind] += 1
    return cells


_AGENTS = (
    f"role = 'agent' and method = '{METHOD}' and q = {Q} and d in {tuple(ARMS.values())} "
    "and cell = train_distribution"
)


def _settings(records: duckdb.DuckDBPyRelation) -> dict[tuple[str, str], tuple[str, str]]:
    """(family, cell) -> observation mode and setting of its agents; ValueError for several: which
    one is the reference is not ours to say."""
    sql = f"""select family, cell, observation_mode, setting,
                     count(distinct run_id) as agents
              from records where {_AGENTS} and variant = '{VARIANT}'
              group by all order by family, cell, agents desc, setting"""
    found: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    for family, cell, *setting in query(records, sql):
        found.setdefault((family, cell), []).append(tuple(setting))
    for (_, cell), several in found.items():
        if len(several) > 1:
            listed = ", ".join(f"{agents} of {mode} ({name[:8]})" for mode, name, agents in several)
            raise ValueError(
                f"calibration reads agents that were trained in one way; {cell} has {listed}; say "
                "which: --setting NAME=VALUE, as total_steps=1000000, or the letters in brackets"
            )
    return {key: (mode, name) for key, ((mode, name, _),) in found.items()}


def of_setting(
    records: Records, wanted: str, settings: pa.Table | None = None
) -> duckdb.DuckDBPyRelation:
    """The records without the agents that were trained in another way; controls stay.

    wanted: NAME=VALUE of a column of `settings`, or the first letters of a setting's hash.
    Raises ValueError where no agent was trained so.
    """
    relation = relation_of(records)
    name, is_value, value = wanted.partition("=")
    sql = "select distinct setting from records where role = 'agent' order by 1"
    known = [each for (each,) in query(relation, sql)]
    if not is_value:
        kept = [each for each in known if each.startswith(wanted)]
    else:
        columns = [] if settings is None else settings.column_names
        if settings is None or name not in columns:
            raise ValueError(
                f"--setting names what agents were trained with, of {', '.join(columns) or 'none'};"
                f" got {wanted}"
            )
        pairs = zip(settings["setting"].to_pylist(), settings[name].to_pylist(), strict=True)
        kept = sorted({each for each, other in pairs if means(value, other)})
    if not {*kept} & {*known}:
        raise ValueError(f"no agent of these records was trained with --setting {wanted}")
    listed = ", ".join(f"'{each}'" for each in kept)
    return relation.filter(f"role = 'control' or setting in ({listed})")


def trained_alike(records: Records) -> duckdb.DuckDBPyRelation:
    """The records without agents of other settings than their cell's reference has."""
    relation = relation_of(records)
    columns = "(family, cell, observation_mode, setting)"
    kept = [f"{columns} = {(*where, *setting)}" for where, setting in _settings(relation).items()]
    return relation.filter(" or ".join(["role = 'control'", *kept]))


def _cell(arms: Arms, members: Mapping[str, Arm], stream: int) -> MeasuredCell:
    measured = {name: _measure(arms, arm) for name, arm in members.items()}
    first = next(iter(members.values()))
    reasons = _not_enough(measured.get("reference"))
    is_checked = first.tags != NOT_CHECKED
    if is_checked:
        found = doubts(arms, first.at("d", ARMS["d1"], "d"), VARIANT)
        reasons += [f"not identified: {reason}" for reason in found]
    if not first.informs_type:
        reasons.append("the cell declares that it does not inform its shift type")
    return MeasuredCell(
        first.family,
        first.cell,
        first.shift_type,
        first.observation_mode,
        first.setting,
        first.informs_type,
        first.harm_by_construction,
        first.harm_informs and not first.harm_by_construction,
        measured,
        tuple(reasons),
        is_checked,
        stream,
    )


def _measure(arms: Arms, arm: Arm) -> MeasuredArm:
    agents = trained(arms, arm, VARIANT)
    rows = {row.population: row for row in arm_rows(arms, arm, VARIANT, ("d", 1.0), (4000, 0))}
    return MeasuredArm(arm.d, agents.counts, agents.is_competent, rows)


def _not_enough(reference: MeasuredArm | None) -> list[str]:
    if reference is None:
        return [f"no agents of the reference arm ({REFERENCE_ARM})"]
    counts = reference.counts
    if counts.k < MIN_AGENTS:
        return [
            f"{counts.k} competent of {reference.everyone.k} agents in the reference arm, where "
            f"{MIN_AGENTS} are needed"
        ]
    if counts.c.sum() == 0:
        return ["no capable episode in the reference arm: goal failure is undefined"]
    if not reference.rows["competent"].assessable:
        return ["not assessable: the reference arm is no more capable than chance"]
    return []


def random_capable(arms: Mapping[str, MeasuredArm]) -> float:
    """P(capable) of the random policy on the levels of the first of these arms; NaN without."""
    controls = next(iter(arms.values())).rows["competent"].controls
    return controls["random"].p_capable if "random" in controls else math.nan


def refusal(cells: Sequence[MeasuredCell]) -> str:
    """Why combine and only are refused, with what to run; empty if a cell enters."""
    if any(not cell.left_out for cell in cells):
        return ""
    if not any("reference" in cell.arms for cell in cells):
        return (
            f"these records have no agents of the reference arm ({REFERENCE_ARM}) at variant "
            f"{VARIANT}, which alone may enter; run `misgen run-cells`, or `misgen train -m "
            "intervention.diversity=0.1,1 'train_seed=range(5)'` and `misgen evaluate`"
        )
    codes: dict[str, list[str]] = {}
    for cell in cells:
        for reason in cell.reasons:
            codes.setdefault(reason, []).append(cell.cell)
    why = "; ".join(f"{reason} ({', '.join(found)})" for reason, found in codes.items())
    return f"no cell of these records enters: {why}; train more agents, or other cells"
