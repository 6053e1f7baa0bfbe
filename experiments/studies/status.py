"""`misgen study status`: how far the runs of a results folder are, from any terminal.

The folder is the truth: done.json, failed.json, a live claim, progress.json. What a sweep means to
train and has not begun is known by its file in `sweeps`.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from misgen.analysis.text import aligned
from misgen.experiments.cell_choice import arm_words
from misgen.experiments.jobs.attempt import claimed_by
from misgen.experiments.runs.folder import (
    id_of,
    is_done,
    read_json,
    require_writable,
    results_root,
    run_folders,
    run_id,
    write_json,
)

STATES = ("done", "running", "failed", "begun", "queued", "missing")
"""begun: interrupted; the command that began it goes on with it. queued: begun or missing, and
Slurm will do it."""


@dataclass(frozen=True)
class Run:
    """One run as its folder shows it."""

    kind: str
    id: str
    arm: str
    state: str
    seconds: float = 0.0  # that it took, if done
    share: float = 0.0  # done of a running one
    seconds_left: float | None = None  # of a running one, from its progress so far
    reason: str = ""  # why it failed
    of: frozenset[str] = frozenset()  # ids of the trainings that it is, or is about


def remember(study: str, runs: Mapping[str, str]) -> None:
    """Say in a file which runs a sweep means, and of which arms; the same sweep has the same
    file."""
    folder = require_writable(results_root() / "sweeps")
    file = folder / f"{run_id({'study': study, 'runs': sorted(runs)})}.json"
    if not file.is_file():
        write_json(file, {"study": study, "runs": runs})


def sweeps_of(results: Path) -> list[dict[str, Any]]:
    """All that were remembered in a results folder: `study`, "" of a plain sweep, and `runs`, id ->
    arm."""
    files = (read_json(file) for file in sorted((results / "sweeps").glob("*.json")))
    return [{"study": "", **file} for file in files if file]


def runs_of(results: Path, study: str = "") -> list[Run]:
    """Every run of a results folder, and those that its sweeps name and nobody has begun.

    study: only what belongs to it: its trainings and what was evaluated of them.
    """
    wanted: dict[str, str] = {}
    for sweep in sweeps_of(results):
        if study in ("", sweep["study"]):
            wanted |= sweep["runs"]
    found = [_run(folder, wanted) for folder in run_folders(results)]
    known = {run.id for run in found if run.kind == "train"}
    missing = [Run("train", name, arm, "missing") for name, arm in wanted.items()
               if name not in known]  # fmt: skip
    runs = [run for run in found if not study or run.of & {*wanted}] + missing
    queued: dict[str, str] = {}
    with contextlib.suppress(ValueError):  # Slurm does not answer outside its cluster
        queued = queued_runs(results)
    return [
        replace(run, state="queued")
        if run.state in ("begun", "missing") and run.id in queued
        else run
        for run in runs
    ]


def _run(folder: Path, arms: Mapping[str, str]) -> Run:
    kind = folder.parent.name.removeprefix("kind=")
    name = id_of(folder)
    config = read_json(folder / "config.json") or {}
    of = trained_of(name, config)
    named = [arms[run] for run in sorted(of) if run in arms]
    run = partial(Run, kind, name, named[0] if named else arm_of(kind, config), of=of)
    if is_done(folder):
        done = read_json(folder / "done.json") or {}
        return run("done", seconds=float(done.get("seconds", 0)))
    if claimed_by(folder) is not None:
        share, left = _progress(folder)
        return run("running", share=share, seconds_left=left)
    failed = read_json(folder / "failed.json")
    if failed is not None:
        return run("failed", reason=str(failed.get("error", "")))
    return run("begun" if config else "missing")


def trained_of(name: str, config: Mapping[str, Any]) -> frozenset[str]:
    """The trainings that a run is, or is about."""
    places = [one["location"] for one in config.get("members", [config]) if one.get("location")]
    return frozenset(id_of(Path(place).parent) for place in places) or frozenset({name})


def arm_of(kind: str, config: Mapping[str, Any]) -> str:
    """What the agents of an arm have in common, in words."""
    one = config.get("members", [config])[0]
    if kind == "train" and "agent" in one:
        asked = one["intervention"]
        return _words(one["cell"], one["agent"]["method"], asked["diversity"],
                      asked["specification"])  # fmt: skip
    if "subject" in one:
        subject = one["subject"]
        at_home = one["cell"] == subject["cell"]
        place = subject["cell"] if at_home else f"{subject['cell']} in {one['cell']}"
        return _words(place, subject["method"], subject["d"], subject["q"])
    return str(one.get("cell", ""))


def _words(cell: str, method: str, d: float, q: float) -> str:
    return cell if method == "control" else arm_words(cell, method, d, q)


def _progress(folder: Path) -> tuple[float, float | None]:
    """Share done, and seconds left if it goes on as since its begin; None: not known."""
    told = read_json(folder / "progress.json")
    if told is None or not told.get("done"):
        return 0.0, None
    share = float(told["done"]) / float(told["total"])
    try:
        spent = time.time() - (folder / "config.json").stat().st_mtime  # written when it began
    except OSError:
        return share, None
    return share, spent * (1 - share) / share


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """The same as JSON data: counts and cost by arm, what runs, what failed."""
    arms: dict[tuple[str, str], Counter[str]] = {}
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    for run in runs:
        arms.setdefault((run.kind, run.arm), Counter())[run.state] += 1
        seconds[run.kind, run.arm] += run.seconds
    return {
        "states": {state: sum(run.state == state for run in runs) for state in STATES},
        "seconds": round(sum(seconds.values()), 1),
        "arms": [
            {"kind": kind, "arm": arm, **{state: counts[state] for state in STATES},
             "seconds": round(seconds[kind, arm], 1)}
            for (kind, arm), counts in sorted(arms.items())
        ],
        "running": [
            {"id": run.id, "kind": run.kind, "arm": run.arm, "share": round(run.share, 3),
             "seconds_left": run.seconds_left and round(run.seconds_left)}
            for run in runs if run.state == "running"
        ],
        "failed": [
            {"id": run.id, "kind": run.kind, "arm": run.arm, "reason": run.reason}
            for run in runs if run.state == "failed"
        ],
    }  # fmt: skip


def format_status(found: Mapping[str, Any]) -> str:
    """A line per arm, then what runs and what failed."""
    states = [state for state in STATES if state != "queued" or found["states"][state]]
    lines = [
        [one["kind"], one["arm"], *(str(one[state] or "") for state in states),
         f"{one['seconds'] / 60:.1f}"]
        for one in found["arms"]
    ]  # fmt: skip
    total = [str(found["states"][state] or "") for state in states]
    lines.append(["all", "", *total, f"{found['seconds'] / 60:.1f}"])
    table = aligned(["kind", "arm", *states, "minutes"], lines)
    parts = [table]
    for one in found["running"]:
        left = one["seconds_left"]
        eta = "" if left is None else f", about {left / 60:.1f} min left"
        parts.append(f"running: {one['kind']} {one['arm']} {one['id']}: {one['share']:.0%}{eta}")
    for one in found["failed"]:
        parts.append(f"failed: {one['kind']} {one['arm']} {one['id']}: {one['reason']}")
    return "\n".join(parts) + "\n"


# --- What is in the queue of a Slurm cluster -----------------------------------------------------

JOB_NAME = "misgen"  # of every array that we submit; scancel --name=misgen cancels one's own
ANSWER_S = 60.0


def submissions(results: Path) -> Path:
    """The folder of what was submitted from a results folder, and of its logs."""
    return results / "slurm"


def remember_submitted(results: Path, tasks: Mapping[str, Iterable[str]]) -> None:
    """Note which runs the tasks of an array train ("12_0" -> ids of runs)."""
    job = next(iter(tasks)).partition("_")[0]
    file = submissions(results) / f"job={job}.json"
    write_json(file, {"tasks": {task: sorted(runs) for task, runs in tasks.items()}})


def queued_runs(results: Path) -> dict[str, str]:
    """Id of a run -> the task, pending or running, that trains it unless it is done.

    Raises:
        ValueError: Slurm does not answer.
    """
    if not submissions(results).is_dir():
        return {}
    found = {}
    for task in _tasks_in_queue():
        job = task.partition("_")[0]
        submitted = read_json(submissions(results) / f"job={job}.json") or {}
        found.update(dict.fromkeys(submitted.get("tasks", {}).get(task, ()), task))
    return found


def _tasks_in_queue() -> list[str]:
    """ "12_0" for each task of an array, "12" for a job without. Slurm's accounting is not asked: a
    cluster may have none."""
    command = ["squeue", "--noheader", "--array", f"--name={JOB_NAME}", "--format=%F_%K"]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", timeout=ANSWER_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
        raise ValueError(
            f"Slurm's squeue does not answer ({said}); run this on a login node of the cluster, "
            "once its controller is up"
        ) from error
    return [line.strip().removesuffix("_N/A") for line in done.stdout.splitlines()]
