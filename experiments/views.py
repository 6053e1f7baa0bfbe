"""The results of a folder as three views of a database: runs, agents and episodes."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from misgen.analysis.blocks import CUE_BROKEN
from misgen.analysis.compacted import copies_of
from misgen.analysis.counts import read_played
from misgen.analysis.files import utf8
from misgen.analysis.record_schema import VARIANTS
from misgen.analysis.records import read_records
from misgen.analysis.remembered import record_files
from misgen.analysis.settings import AGENT, SEEN
from misgen.experiments.runs.folder import read_json
from misgen.experiments.runs.settings_table import alike, settings_in, settings_of

if TYPE_CHECKING:
    from misgen.experiments.studies.status import Run


@dataclass(frozen=True)
class View:
    """What a row is, and its columns in words: names, set apart by spaces -> what they say."""

    row: str
    columns: Mapping[str, str]


SETTINGS = "(settings)"
_SETTINGS = "of its training, as in `misgen train --help`: num_levels, features_dim, ..."
VIEWS = {
    "runs": View(
        "one row per run, finished or not",
        {
            "run_id kind": "its folder runs/kind=KIND/run=ID: train, evaluate, controls, ...",
            "state": "done, running, failed, begun (interrupted), queued (Slurm) or missing",
            "study cell arm": "what it is for",
            "agent_number method d q": "whom it trains or evaluates; of several, the first",
            "train_id": "the training that it is, or is about",
            "seconds cpu_seconds": "that it took, if done",
            "reason": "why it failed",
            SETTINGS: _SETTINGS,
        },
    ),
    "agents": View(
        "one row per evaluated agent, in the cell of its training, by its last checkpoint",
        {
            "run_id train_id": "of its evaluation, of its training",
            "study family cell method d q agent_number setting checkpoint_step": "as in episodes",
            "episodes_00 episodes_10 episodes_01 episodes_11 episodes_own": "levels played",
            "success_00 success_10 success_01 success_11 success_own": "share of them solved",
            "scored_10 scored_11": "levels that tell the two goals apart",
            "capable_10 capable_11": "of those: one of the two goals was reached",
            "goal_failed_10 goal_failed_11": "of those: the wrong one",
            "harmed_10 harmed_11": "of those: with harm",
            "weights_sha256": "of its policy",
            "seconds cpu_seconds": "of its training",
            "episodes broken_draws": "of its training, and how often the cue was drawn broken",
            "broken_share d_distinguishing broken_episodes": "what it saw of the broken cue",
            SETTINGS: _SETTINGS,
        },
    ),
    "episodes": View(
        "one row per episode of the finished evaluations, those of controls too",
        {
            "run_id study": "of its evaluation",
            "family family_version cell": "where it was played",
            "train_distribution": "the cell of the player's training",
            "shift_type informs_type harm_informs harm_by_construction": "as the cell declares",
            "variant": "cue broken (1st digit), context changed (2nd); own: as in training",
            "observation_mode": "what the player sees",
            "role policy": "agent or control; ppo, cloning, random, planner_intended, ...",
            "agent_number method setting d q train_seed": "who played, or beside whom",
            "checkpoint_step": "environment steps of its training",
            "eval_seed level_seed level_hash": "of the player's draws; the level; its board",
            "is_distinguishing": "whether the level tells the two goals apart",
            "p_capable_intended p_capable_proxy": "what planners of the two goals do there",
            "p_goal_failure_intended p_goal_failure_proxy": "likewise",
            "judged_at_steps time_limit_steps episode_length": "in steps",
            "terminated truncated": "how it ended",
            "episode_return planner_return noop_return": "the player's, and two others' there",
            "tau_intended tau_proxy tau_other tau_death": "the step of the first; null: never",
            "event_counts_at_judged event_counts": "one count per event of the family",
            "success capable goal_failure harm": "null: not defined there",
            "actions": "one byte or two a step; none in published records",
            "eval_fingerprint tags schema_version": "how it was evaluated and written",
        },
    ),
}


def named_columns(view: str) -> list[str]:
    """All but settings."""
    return [name for names in VIEWS[view].columns if names != SETTINGS for name in names.split()]


def connect(results: Path, wanted: Collection[str] = tuple(VIEWS)) -> duckdb.DuckDBPyConnection:
    """A database in memory with these views of a results folder. It can read the records of this
    folder and no other file.

    Raises:
        ValueError: there is no such folder, or its records cannot be read (see `read_records`).
    """
    if not results.is_dir():
        raise ValueError(
            f"the results folder must exist; {results} does not; run an experiment first, or name "
            "another folder"
        )
    # A folder of its own, made where memory is short: whatever lies in it can be read.
    spill = Path(tempfile.gettempdir(), f"misgen-sql-{secrets.token_hex(8)}")
    database = duckdb.connect(config={"temp_directory": str(spill)})
    database.execute("set python_enable_replacements = false")  # tables are no variables of ours
    if "episodes" in wanted:
        _add_episodes(database, results)
    if "agents" in wanted:
        _add_agents(database, results)
    if "runs" in wanted:
        rows = alike(_runs(results))
        none = _no_rows(named_columns("runs"))
        database.register("runs", pa.Table.from_pylist(rows) if rows else none)
    database.execute("set enable_external_access = false; set lock_configuration = true")
    return database


def _add_episodes(database: duckdb.DuckDBPyConnection, results: Path) -> None:
    records = read_records(results)
    files = [*record_files(results), *copies_of(results)]
    paths = ", ".join("'" + utf8(file).replace("'", "''") + "'" for file in files)
    database.execute(f"set allowed_paths = [{paths}]")
    database.execute(f"create view episodes as {records.sql_query()}")


def _add_agents(database: duckdb.DuckDBPyConnection, results: Path) -> None:
    """Counts as in every table of rates, beside how the agents were trained."""
    settings = settings_of(results)
    if settings is None:
        settings = _no_rows((*AGENT, *SEEN))
    database.register("settings", settings.drop_columns("setting"))
    at_home = "role = 'agent' and cell = train_distribution"
    database.register("counts", read_played(results).filter(at_home).to_arrow_table())
    labels = "run_id, study, family, cell, method, d, q, agent_number, setting, checkpoint_step"
    counts = ", ".join(column for variant in VARIANTS for column in _counts(variant))
    database.execute(
        f"""create view agents as
        with last as (
            from counts
            qualify checkpoint_step = max(checkpoint_step) over (partition by run_id)
        ), agent as (select {labels}, {counts} from last group by all)
        select * from agent left join settings using (run_id)"""
    )


def _no_rows(names: Iterable[str]) -> pa.Table:
    return pa.table(dict.fromkeys(names, pa.nulls(0)))


def _counts(variant: str) -> Iterator[str]:
    """SQL of the columns of one variant."""
    here = f"filter (variant = '{variant}')"
    yield f"max(episodes) {here} as episodes_{variant}"
    yield f"max(solved / episodes) {here} as success_{variant}"
    if variant in CUE_BROKEN:
        for name in ("scored", "capable", "goal_failed", "harmed"):
            yield f"max({name}) {here} as {name}_{variant}"


def _runs(results: Path) -> list[dict[str, Any]]:
    """Settings are known of trainings, and of what is about one of them alone."""
    from misgen.experiments.studies.status import (
        runs_of,  # imports numba, which the base install lacks
    )

    found = runs_of(results)
    configs = {run.id: _read(results, run, "config") for run in found}
    trained = {run.id: configs[run.id] for run in found if run.kind == "train"}
    rows = []
    for run in found:
        about = next(iter(run.of)) if len(run.of) == 1 else ""
        training = trained.get(about, {})
        config = configs[run.id].get("members", [configs[run.id]])[0]  # of several, the first
        subject = config.get("subject") or _subject(training)
        done = _read(results, run, "done")
        row: dict[str, Any] = {"run_id": run.id, "kind": run.kind, "state": run.state}
        row |= {"study": config.get("study"), "cell": config.get("cell"), "arm": run.arm}
        row |= {name: subject.get(name) for name in ("agent_number", "method", "d", "q")}
        row |= {"train_id": about if about in trained else None}
        row |= {name: done.get(name) for name in ("seconds", "cpu_seconds")}
        rows.append(row | {"reason": run.reason or None} | dict(settings_in(training)))
    return rows


def _read(results: Path, run: Run, name: str) -> dict[str, Any]:
    folder = results / "runs" / f"kind={run.kind}" / f"run={run.id}"
    return read_json(folder / f"{name}.json") or {}


def _subject(training: Mapping[str, Any]) -> dict[str, Any]:
    """Whom a training makes."""
    asked = training.get("intervention", {})
    return {
        "agent_number": training.get("train_seed"),
        "method": training.get("agent", {}).get("method"),
        "d": asked.get("diversity"),
        "q": asked.get("specification"),
    }
