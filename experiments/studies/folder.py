"""What a study leaves beside its runs: a folder small enough to be sent, that shows it again.

Such folders add up: what was published stands for the agents that it counts, so that a machine that
never saw them trains the missing ones only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from misgen.analysis.compare_tables import comparison_csv, format_comparison
from misgen.analysis.counts import FILE_NAME as COUNTS
from misgen.analysis.counts import read_counts, together, write_counts
from misgen.analysis.files import atomic_write_bytes, utf8
from misgen.analysis.records import FILE_NAME, event_names, query, write_slim
from misgen.analysis.report.study_page import comparison_of, write_page
from misgen.analysis.settings import FILE_NAME as SETTINGS
from misgen.analysis.study import CURVES, PATHS, STUDY, film_of, read_study_folder
from misgen.envs.core.types import Cell
from misgen.envs.families import find_cell
from misgen.experiments.provenance import provenance
from misgen.experiments.runs.folder import read_json, require_writable, results_root, write_json
from misgen.experiments.runs.settings_table import settings_of
from misgen.experiments.runs.train import CHECKPOINT, train_folder
from misgen.experiments.runs.training_log import CURVE, read_curve
from misgen.experiments.shown.film import write_study_films
from misgen.experiments.studies.file import LONGER
from misgen.experiments.studies.paths import study_paths
from misgen.experiments.studies.study import Measured


def show(measured: Measured) -> Path:
    """Leave the study's folder, print the comparison of its arms; returns the folder."""
    folder = leave(measured)
    found = comparison_of(read_study_folder(folder))
    if found.study.against:
        text = format_comparison(found)
        atomic_write_bytes(folder / "compare.txt", text.encode())
        atomic_write_bytes(folder / "compare.csv", comparison_csv(found).encode())
        print(text, end="")
    page = write_page(found, folder)
    print(f"\nfiles: {folder}; agents and records: {results_root() / 'runs'}")
    print(f"open in a browser: {page}")
    return folder


def leave(measured: Measured, further: Callable[[Measured, Path], None] | None = None) -> Path:
    """The folder of what was measured, or the published one, with that in it. `further` leaves what
    a study has beyond every study: files of BY_CELL, records."""
    published = measured.plan.published
    if published is not None and not measured.evaluations:
        return published
    folder = collect(measured)
    if further is not None:
        further(measured, folder)
    if published is None:
        return folder
    add(folder, published)
    return published


def collect(measured: Measured) -> Path:
    """Counts, settings and learning curves of the agents of a study."""
    folder, study = require_writable(measured.plan.folder), measured.plan.study
    write_counts(folder, measured.records)
    arms = arms_of_evaluations(measured)
    settings = settings_of(results_root())
    assert settings is not None  # agents were evaluated
    own = settings.filter(pc.is_in(settings["run_id"], pa.array([*arms])))
    named = own.append_column("arm", pa.array([arms[run] for run in own["run_id"].to_pylist()]))
    _write_table(folder / SETTINGS, named.sort_by("run_id"))
    _write_table(folder / CURVES, curves_of(measured))
    _write_paths(folder, _paths(measured, arms))
    write_study_films(measured, folder)
    # Written last: with it, the folder is a study's.
    write_json(folder / STUDY, {
        "name": measured.plan.name,
        "question": study.question,
        "arms": [*study.arms],
        "overrides": {name: [*arm.overrides] for name, arm in study.arms.items()},
        "cells": {code: _declared(find_cell(code)[1]) for code in measured.plan.cells},
        "against": study.analysis.against,
        "along": study.analysis.along,
        "smoke_run": measured.plan.quick,
        "provenance": {**provenance(), "command": measured.plan.command},
    })  # fmt: skip
    return folder


def _paths(measured: Measured, arms: Mapping[str, str]) -> dict[str, Any]:
    """The ways of these agents, unless the folder has them: replaying them takes the longest."""
    of = hashlib.sha256(repr(sorted(arms.items())).encode()).hexdigest()
    known = read_json(measured.plan.folder / PATHS) or {}
    if known.get("of") == of:
        return known
    plan = measured.plan
    return study_paths(measured.records, plan.cells, [*plan.study.arms], arms) | {"of": of}


def _declared(cell: Cell) -> dict[str, str]:
    """What a reader must know of a cell."""
    return {
        "intended goal": cell.intended.name,
        "proxy": cell.proxy.name,
        "cue": cell.cue.description,
        "1x breaks the cue": cell.shift_a.description,
        "x1 changes the context": cell.shift_b.description,
        "shift type": cell.shift_type,
    }


# --- Parts of a study ----------------------------------------------------------------------------


BY_CELL = ("shifts.json", LONGER, "examples.json")
"""Files that some studies have: code of a cell -> what was found in it, or null."""


def add(part: Path, published: Path) -> None:
    """Put the agents of a folder into another one of the same study, which need not be there.

    Raises:
        ValueError: they were evaluated on other levels.
    """
    require_writable(published, "--publish")
    if (published / STUDY).is_file():
        _add(part, published)
    else:
        shutil.copytree(part, published, dirs_exist_ok=True)


def _add(part: Path, published: Path) -> None:
    """The file that says what is there is written last: killed before, the part is added again."""
    old, new = (
        json.loads((folder / STUDY).read_text(encoding="utf-8")) for folder in (published, part)
    )
    counts = together(*(_counts(folder) for folder in (published, part)))
    before, after = read_study_folder(published), read_study_folder(part)
    fresh = {*after.arm_of_run}
    settings, curves = (_rows(published, part, name, fresh) for name in (SETTINGS, CURVES))
    paths = before.paths()
    for code, numbers in after.paths()["cells"].items():
        paths["cells"][code] = numbers | paths["cells"].get(code, {})
    paths.pop("of", None)
    for name in ("overrides", "cells"):
        new[name] = old[name] | new[name]
    new["arms"] = [*dict.fromkeys([*old["arms"], *new["arms"]])]
    new["earlier_parts"] = [*old.get("earlier_parts", []), old["provenance"]]
    for name in BY_CELL:
        if (found := read_json(part / name)) is not None:
            there = read_json(published / name) or {}
            known = {code: one for code, one in there.items() if one is not None}
            write_json(published / name, found | known)
    for file in part.glob(film_of("*")):
        if not (published / file.name).is_file():
            shutil.copyfile(file, published / file.name)
    for file in sorted(part.glob(f"{RECORDS}/*/{FILE_NAME}")):
        _add_records(file, published / file.relative_to(part))
    write_counts(published, counts)
    _write_table(published / CURVES, curves)
    _write_paths(published, paths)
    _write_table(published / SETTINGS, settings)
    write_json(published / STUDY, new)


def _add_records(file: Path, published: Path) -> None:
    """The runs of a record that the published one lacks."""
    if not published.is_file():
        shutil.copytree(file.parent, published.parent)
        return
    old, new = (pq.read_table(utf8(each)) for each in (published, file))
    missing = new.filter(pc.invert(pc.is_in(new["run_id"], old["run_id"].unique())))
    if len(missing):
        write_slim(published, pa.concat_tables([old, missing]), event_names(file))


def _counts(folder: Path) -> pa.Table:
    found = read_counts(folder)
    if found is None:
        raise ValueError(f"parts of a study are counts; {folder} has no {COUNTS}; run it again")
    return found


def _rows(published: Path, part: Path, name: str, fresh: Collection[str]) -> pa.Table:
    """Both parts' rows of a table; of agents in both, the part's."""
    old, new = (pq.read_table(folder / name) for folder in (published, part))
    kept = old.filter(pc.invert(pc.is_in(old["run_id"], pa.array([*fresh], pa.string()))))
    return pa.concat_tables([kept, new], promote_options="permissive").sort_by("run_id")


RECORDS = "records"
RECORDED = 3  # agent numbers


def write_records(measured: Measured, folder: Path) -> None:
    """The episodes of the first agents of every arm and of the controls on their levels, without
    actions, by cell; agents also play in cells that are not studied."""
    last = measured.plan.study.first_agent + RECORDED - 1
    first_ones = measured.records.filter(f"agent_number <= {last}")
    for (code,) in query(first_ones, "select distinct cell from records order by cell"):
        family, _ = find_cell(code)
        here = first_ones.filter(f"family = '{family.name}' and cell = '{code}'")
        names = [event.name.lower() for event in family.events]
        write_slim(require_writable(folder / RECORDS / code) / FILE_NAME, here, names)
        write_json(folder / RECORDS / code / "done.json", {"from": "misgen study run"})


def arms_of_evaluations(measured: Measured) -> dict[str, str]:
    """Run id of the evaluation of an agent at home -> arm."""
    arms = {
        str(train_folder(config).path / CHECKPOINT): arm
        for arm, members in measured.configs.items()
        for config in members
    }
    return {
        job.run_id: arms[job.argument["location"]]
        for job in measured.evaluations
        if job.argument.get("location") in arms
        and job.argument["cell"] == job.argument["subject"]["cell"]
    }


def curves_of(measured: Measured) -> pa.Table:
    """The learning curves by run id of the agent's evaluation."""
    types = {"run_id": pa.string(), "steps": pa.int64(), "success_rate": pa.float32()}
    rows = [
        {"run_id": job.run_id, "steps": int(row["steps"]), "success_rate": row["success_rate"]}
        for job in measured.evaluations
        if job.argument.get("location")
        for row in read_curve(Path(job.argument["location"]).with_name(CURVE))
    ]
    return pa.Table.from_pylist(rows, pa.schema(types))


def _write_paths(folder: Path, paths: Mapping[str, Any]) -> None:
    atomic_write_bytes(folder / PATHS, json.dumps(paths, separators=(",", ":")).encode())


def _write_table(path: Path, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    atomic_write_bytes(path, sink.getvalue().to_pybytes())
