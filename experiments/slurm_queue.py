"""Which runs are in the queue of a Slurm cluster: what was submitted, and what squeue says of it.

Slurm's accounting is not asked: a cluster may have none. What became of a run, its folder says.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from misgen.experiments.run_folder import read_json, write_json

JOB_NAME = "misgen"  # of every array that we submit; scancel --name=misgen cancels one's own
ANSWER_S = 60.0


def submissions(results: Path) -> Path:
    """The folder of what was submitted from a results folder, and of its logs."""
    return results / "slurm"


def remember(results: Path, tasks: Mapping[str, Iterable[str]]) -> None:
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


def queued_if_known(results: Path) -> dict[str, str]:
    """The same; empty where Slurm does not answer, as on a machine outside the cluster."""
    with contextlib.suppress(ValueError):
        return queued_runs(results)
    return {}


def _tasks_in_queue() -> list[str]:
    """ "12_0" for each task of an array, "12" for a job without."""
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
