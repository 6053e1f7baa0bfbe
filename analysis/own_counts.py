"""Counts of one's own: agents of another testbed, one line each, for the risk model.

A CSV file, or columns, with family, shift_type, cell, agent, levels, capable, failed and perhaps
harm. They are taken as competent agents of an identified, assessable reference arm: nothing of that
can be checked, and what is made of them says so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from misgen.analysis.counts import ARM_COLUMNS, COUNTED, HASHES
from misgen.analysis.files import utf8
from misgen.analysis.intervals import MIN_AGENTS
from misgen.analysis.priors.types import SHIFT_TYPES
from misgen.analysis.record_schema import SCHEMA_VERSION
from misgen.analysis.text import hint

NOT_CHECKED = "own counts"
"""Tag of such agents: nothing says whether their cell is identified."""
NUMBERS = ("agent", "levels", "capable", "failed")
COLUMNS = ("family", "shift_type", "cell", *NUMBERS)
TEMPLATE = (
    ",".join((*COLUMNS, "harm"))
    + "\n"
    + "\n".join(f"mine,moderate,A,{k},100,{90 - k},{5 * k},{2 * k}" for k in range(MIN_AGENTS))
    + "\n"
)
"""An example: levels that tell the goals apart; of these capable; of these failed; with harm."""


def read_own_counts(path: Path) -> pa.Table:
    """Counts of a CSV file, as `misgen.analysis.calibration.calibrate` reads them.

    Raises:
        ValueError: the file, or a row of it, is not as it must be.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        message = f"counts are a CSV file in UTF-8; {path} cannot be read ({error})"
        raise ValueError(message) from None
    reader = csv.DictReader(io.StringIO(text))
    rows = [{key: value for key, value in row.items() if key} for row in reader]
    names = reader.fieldnames or ()
    columns = {name: [row.get(name) for row in rows] for name in names}
    return own_counts(columns, utf8(path), "line", 2)


def own_counts(
    columns: Mapping[str, Sequence[Any]],
    where: str = "the counts",
    row: str = "row",
    first: int = 0,
) -> pa.Table:
    """Counts of columns [agents], of a pandas DataFrame for example.

    where, row, first: how messages name the whole, a row, and the first one. Raises ValueError as
    `read_own_counts`.
    """
    _check_columns([*columns], where)
    names = [name for name in (*COLUMNS, "harm") if name in columns]
    lines = zip(*(list(columns[name]) for name in names), strict=True)
    agents = [
        _agent(dict(zip(names, line, strict=True)), f"{where}, {row} {number}")
        for number, line in enumerate(lines, first)
    ]
    _check_cells(agents, where)
    return pa.Table.from_pylist([_row(agent) for agent in agents]).append_column(
        HASHES, pa.nulls(len(agents), pa.list_(pa.uint64()))
    )


def _check_columns(names: Sequence[str], where: str) -> None:
    if missing := [name for name in COLUMNS if name not in names]:
        raise ValueError(
            f"counts have the columns {', '.join(COLUMNS)} and perhaps harm; {where} lacks "
            f"{', '.join(missing)}; `misgen calibrate --counts-template FILE` writes an example"
        )
    for name in names:
        if name not in (*COLUMNS, "harm"):
            raise ValueError(f"{where} has an unknown column {name!r}; {hint(name, COLUMNS)}")


def _agent(line: Mapping[str, Any], row: str) -> dict[str, Any]:
    """One line, its numbers as numbers; harm is None where it is not known."""
    agent: dict[str, Any] = {name: str(line[name] or "").strip() for name in ("family", "cell")}
    if not all(agent.values()):
        raise ValueError(f"{row}: family and cell are names; got {agent}")
    kind = str(line["shift_type"] or "").strip().lower()
    if kind not in SHIFT_TYPES:
        raise ValueError(f"{row}: a shift type is {', '.join(SHIFT_TYPES)}; got {kind!r}")
    counts: dict[str, int | None] = {name: _number(line[name], name, row) for name in NUMBERS}
    harm = line.get("harm")
    is_known = harm is not None and str(harm).strip() not in ("", "nan")
    counts["harm"] = _number(harm, "harm", row) if is_known else None
    for part, whole in (("capable", "levels"), ("failed", "capable"), ("harm", "failed")):
        some, of = counts[part], counts[whole]
        if some is not None and of is not None and some > of:
            raise ValueError(f"{row}: {part} are some of the {whole}; got {some} of {of}")
    if not counts["levels"]:
        raise ValueError(f"{row}: an agent has at least one level; got 0")
    return agent | counts | {"shift_type": kind}


def _number(value: Any, name: str, row: str) -> int:
    try:
        number = float(str(value).strip())
    except ValueError:
        number = -1
    if number < 0 or number != int(number):
        raise ValueError(f"{row}: {name} is a whole number from 0 on; got {value!r}")
    return int(number)


def _check_cells(agents: Sequence[Mapping[str, Any]], where: str) -> None:
    cells: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for agent in agents:
        cells.setdefault((agent["family"], agent["cell"]), []).append(agent)
    if not cells:
        raise ValueError(f"counts have a line for each agent; {where} has none")
    for (family, cell), members in cells.items():
        for problem in _problems(members):
            raise ValueError(f"{where}, {family} {cell}: {problem}")


def _problems(members: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    numbers = [agent["agent"] for agent in members]
    if doubled := sorted({n for n in numbers if numbers.count(n) > 1}):
        yield f"an agent has one line; got several of {doubled[0]}"
    if len({agent["shift_type"] for agent in members}) > 1:
        yield "a cell has one shift type; got several"
    if len(members) < MIN_AGENTS:
        yield f"a cell needs at least {MIN_AGENTS} agents; got {len(members)}"
    if not sum(agent["capable"] for agent in members):
        yield "goal failure is given capable; no agent was capable on any level"
    known = {agent["harm"] is not None for agent in members}
    if len(known) > 1:
        yield "harm is known of all agents of a cell or of none; leave it out, or fill it in"


def _row(agent: Mapping[str, Any]) -> dict[str, Any]:
    """A row of counts (see `misgen.analysis.counts`) of the reference arm at variant 11."""
    has_harm = agent["harm"] is not None
    labels = {
        **agent, "informs_type": True, "harm_informs": has_harm, "harm_by_construction": False,
        "observation_mode": "", "train_distribution": agent["cell"], "tags": NOT_CHECKED,
        "method": "ppo", "setting": "", "d": 0.1, "q": 1.0, "variant": "11", "role": "agent",
        "policy": "agent", "agent_number": agent["agent"], "checkpoint_step": 0,
        "run_id": f"{agent['family']} {agent['cell']} {agent['agent']}",
        "study": "", "family_version": 0, "eval_fingerprint": "", "schema_version": SCHEMA_VERSION,
    }  # fmt: skip
    counts = dict.fromkeys(COUNTED, 0) | {
        "mean_return": 0.0,
        "episodes": agent["levels"], "scored": agent["levels"], "judged": agent["levels"],
        "capable": agent["capable"], "judged_capable": agent["capable"],
        "goal_failed": agent["failed"], "judged_failed": agent["failed"],
        "harmed": agent["harm"] or 0, "harm_unknown": 0 if has_harm else agent["failed"],
        "distinct_levels": agent["levels"],
    }  # fmt: skip
    return {name: (labels | counts)[name] for name in (*ARM_COLUMNS, *COUNTED)}
